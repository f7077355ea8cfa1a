//! What must not disturb the proxy: odd, slow, large and broken input, beside haproxy where it sets the measure.

use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tandem_tests::beside::{BOTH, Side, Which, connect, read_all, read_until, scripted};
use tandem_tests::wait::wait_for;
use tandem_tests::{Origin, Outcome, certificate, ensure, http, require};

const REQUEST: &str = "POST /echo?x=%20 HTTP/1.1\r\nHost: example.org\r\nUser-Agent: a b\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello";

fn listen(origin: u16) -> String {
    format!("listen l\n bind {{in}}\n server s1 127.0.0.1:{origin}\n")
}

fn status(bytes: &[u8]) -> u16 {
    http::Answer::parse(bytes).map_or(0, |answer| answer.status)
}

#[test]
fn large_heads_get_the_same_status() -> Outcome {
    require!("haproxy", "tandemd");
    let origin = Origin::on_loopback("o")?;
    let sides = [
        Side::start(BOTH[0], &listen(origin.port()))?,
        Side::start(BOTH[1], &listen(origin.port()))?,
    ];
    let many = |count: usize| -> String { (0..count).map(|n| format!("x-{n}: v\r\n")).collect() };
    let get = |path: &str, headers: &str| {
        format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{headers}\r\n")
    };
    let cases = [
        (
            "a line of 1 MB",
            get(&format!("/{}", "a".repeat(1 << 20)), ""),
        ),
        (
            "a line of 10,000 bytes",
            get(&format!("/{}", "a".repeat(10_000)), ""),
        ),
        (
            "a header of 10,000 bytes",
            get("/", &format!("x: {}\r\n", "b".repeat(10_000))),
        ),
        (
            "a header of 20,000 bytes",
            get("/", &format!("x: {}\r\n", "b".repeat(20_000))),
        ),
        ("90 headers", get("/", &many(90))),
        ("200 headers", get("/", &many(200))),
    ];
    for (name, request) in cases {
        let mut found = Vec::new();
        for side in &sides {
            found.push(status(&side.exchange(request.as_bytes())?));
        }
        // haproxy closes so soon that its answer to the longest may be lost.
        ensure!(
            found[0] == found[1] || (found[0] == 0 && found[1] == 400),
            "{name}: haproxy {}, tandem {}",
            found[0],
            found[1]
        );
    }
    ensure!(
        sides[1].get("/", &[])?.status == 200,
        "it does not answer afterwards"
    );
    Ok(())
}

/// A request cut in two at each of its bytes, and one sent byte by byte, reach the server whole.
#[test]
fn a_request_may_come_in_any_pieces() -> Outcome {
    require!("tandemd");
    let origin = Origin::on_loopback("o")?;
    let side = Side::start(Which::Tandem, &listen(origin.port()))?;
    let bytes = REQUEST.as_bytes();
    for at in 1..bytes.len() {
        let mut stream = side.connect()?;
        stream.write_all(&bytes[..at])?;
        // Without a pause both parts would often be read at once.
        std::thread::sleep(Duration::from_millis(3));
        stream.write_all(&bytes[at..])?;
        let answer = read_all(&mut stream);
        ensure!(
            status(&answer) == 200,
            "cut at {at}: {:?}",
            String::from_utf8_lossy(&answer)
        );
    }
    let mut stream = side.connect()?;
    for byte in bytes {
        stream.write_all(&[*byte])?;
        std::thread::sleep(Duration::from_millis(2));
    }
    let answer = read_all(&mut stream);
    ensure!(
        status(&answer) == 200,
        "byte by byte: {:?}",
        String::from_utf8_lossy(&answer)
    );
    let requests = origin.requests();
    ensure!(requests.len() == bytes.len(), "{} requests", requests.len());
    for request in &requests {
        ensure!(
            request.head == requests[0].head,
            "another head: {}",
            request.text()
        );
        ensure!(request.body == b"hello", "another body: {:?}", request.body);
    }
    Ok(())
}

/// The same for an answer, and for chunks in both directions.
#[test]
fn an_answer_may_come_in_any_pieces() -> Outcome {
    require!("tandemd");
    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nX-A: b\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;ext=1\r\n world\r\n0\r\nX-T: 1\r\n\r\n";
    let origin = scripted(|mut stream, number| {
        let head = read_until(&mut stream, "\r\n\r\n");
        if !head.contains("\r\n\r\n") {
            return;
        }
        let at = 1 + number % (ANSWER.len() - 1);
        let _ = stream.set_nodelay(true);
        let _ = stream.write_all(&ANSWER[..at]);
        std::thread::sleep(Duration::from_millis(3));
        let _ = stream.write_all(&ANSWER[at..]);
    })?;
    let side = Side::start(
        Which::Tandem,
        &format!("listen l\n bind {{in}}\n option httpclose\n server s1 127.0.0.1:{origin}\n"),
    )?;
    for number in 0..ANSWER.len() {
        let answer = side.exchange(b"GET / HTTP/1.0\r\n\r\n")?;
        ensure!(
            answer.ends_with(b"\r\n\r\nhello world"),
            "answer {number}: {:?}",
            String::from_utf8_lossy(&answer)
        );
    }
    Ok(())
}

#[test]
fn pipelined_requests_are_answered_in_order() -> Outcome {
    require!("tandemd");
    let origin = Origin::on_loopback("o")?;
    let side = Side::start(Which::Tandem, &listen(origin.port()))?;
    let mut requests = String::new();
    for number in 200..300 {
        requests.push_str(&format!("GET /status/{number} HTTP/1.1\r\nhost: a\r\n\r\n"));
    }
    requests.push_str("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    let answers = String::from_utf8_lossy(&side.exchange(requests.as_bytes())?).into_owned();
    let order: Vec<u16> = answers
        .split("HTTP/1.1 ")
        .skip(1)
        .filter_map(|answer| answer.get(..3)?.parse().ok())
        .collect();
    // 204 and 205 have bodies here, which a proxy need not pass on: what matters is that each answer is there, in order.
    let wanted: Vec<u16> = (200..300).chain([200]).collect();
    ensure!(order == wanted, "{order:?}");
    Ok(())
}

/// After idle, broken and finished connections no descriptor is left.
#[test]
fn no_descriptor_is_left_behind() -> Outcome {
    require!("tandemd");
    let origin = Origin::on_loopback("o")?;
    let folder = tempfile::Builder::new().prefix("beside-").tempdir()?;
    std::fs::write(
        folder.path().join("pem"),
        certificate::pem(&["example.org"])?,
    )?;
    let text = format!(
        " option dontlognull\n timeout client 20s\nfrontend f\n bind {{in}}\n bind {{in2}} ssl crt {{dir}}/pem\n default_backend b\nbackend b\n option http-server-close\n server s1 127.0.0.1:{}\n",
        origin.port()
    );
    let side = Side::start_in(Which::Tandem, &text, folder)?;
    side.get("/", &[])?;
    // The first request's own descriptors are given back soon.
    side.wait_stat("f", "FRONTEND", "scur", "0")?;
    let before = (0..40)
        .map(|_| {
            std::thread::sleep(Duration::from_millis(5));
            side.descriptors()
        })
        .min()
        .unwrap_or_default();
    let idle: Vec<TcpStream> = (0..500).map(|_| side.connect()).collect::<Outcome<_>>()?;
    wait_for(
        "500 connections to be accepted",
        Duration::from_secs(10),
        || {
            let now = side.descriptors();
            if now >= before + 500 {
                Ok(())
            } else {
                Err(now.to_string())
            }
        },
    )?;
    ensure!(
        side.get("/", &[])?.status == 200,
        "no answer beside 500 idle connections"
    );
    drop(idle);
    for number in 0..50 {
        // Garbage on the TLS port, plain and cut short.
        let mut stream = connect(side.second)?;
        stream.write_all(b"GET / HTTP/1.1\r\n\r\n\x16\x03\x01\x00\xff")?;
        if number % 2 == 0 {
            read_all(&mut stream);
        }
        // Garbage on the plain one.
        let mut stream = side.connect()?;
        stream.write_all(&[
            0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, b'\r', b'\n', b'\r', b'\n',
        ])?;
        read_all(&mut stream);
        side.get("/", &[])?;
        // Cut in the middle of a request and of its body.
        side.connect()?.write_all(&REQUEST.as_bytes()[..40])?;
        side.connect()?
            .write_all(&REQUEST.as_bytes()[..REQUEST.len() - 2])?;
    }
    wait_for(
        "the descriptors to be given back",
        Duration::from_secs(15),
        || {
            let now = side.descriptors();
            if now <= before {
                Ok(())
            } else {
                Err(format!("{now} of {before}"))
            }
        },
    )?;
    ensure!(
        side.get("/", &[])?.status == 200,
        "it does not answer afterwards"
    );
    ensure!(
        side.stat("f", "FRONTEND", "scur")? == "0",
        "sessions are left"
    );
    ensure!(
        side.stat("b", "s1", "scur")? == "0",
        "places at the server are left"
    );
    Ok(())
}

/// A server that ends its kept connections without a word costs no request, not even one with a body: what has ended is
/// seen before it is used again.
#[test]
fn a_kept_connection_that_has_ended_is_not_used() -> Outcome {
    require!("haproxy", "tandemd");
    let ended = Arc::new(AtomicUsize::new(0));
    let ends = Arc::clone(&ended);
    let origin = scripted(move |mut stream, _| {
        let got = read_until(&mut stream, "hello");
        if got.ends_with("hello") {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
            drop(stream);
            ends.fetch_add(1, Ordering::Relaxed);
        }
    })?;
    for which in BOTH {
        ended.store(0, Ordering::Relaxed);
        let wait_ended = |count: usize| {
            wait_for(
                "the server to end a connection",
                Duration::from_secs(5),
                || {
                    let now = ended.load(Ordering::Relaxed);
                    if now >= count {
                        Ok(())
                    } else {
                        Err(now.to_string())
                    }
                },
            )
        };
        let side = Side::start(
            which,
            &format!("listen l\n bind {{in}}\n http-reuse always\n server s1 127.0.0.1:{origin}\n"),
        )?;
        let mut kept = side.connect()?;
        for number in 0..100 {
            kept.write_all(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello")?;
            let answer = read_until(&mut kept, "\r\n\r\nok");
            ensure!(
                answer.starts_with("HTTP/1.1 200"),
                "{which:?}, request {number}: {answer:?}"
            );
            // Another client would take what the first has left.
            wait_ended(2 * number + 1)?;
            let answer = side.exchange(REQUEST.as_bytes())?;
            ensure!(
                status(&answer) == 200,
                "{which:?}, other client {number}: {:?}",
                String::from_utf8_lossy(&answer)
            );
            wait_ended(2 * number + 2)?;
        }
    }
    Ok(())
}

/// A client that has left does not get its place at a server: with `abortonclose` it leaves the queue at once.
#[test]
fn who_leaves_the_queue_is_not_served() -> Outcome {
    require!("tandemd");
    // haproxy now and then misses one that has left together with its request.
    let which = Which::Tandem;
    let origin = Origin::on_loopback("o")?;
    let side = Side::start(
        which,
        &format!(
            " option abortonclose\nlisten l\n bind {{in}}\n server s1 127.0.0.1:{} maxconn 1\n",
            origin.port()
        ),
    )?;
    origin.once(tandem_tests::origin::Answer::Delay(Duration::from_millis(
        700,
    )));
    let mut first = side.connect()?;
    first.write_all(b"GET /first HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")?;
    wait_for("the first at the server", Duration::from_secs(5), || {
        if origin.requests().is_empty() {
            Err("none".into())
        } else {
            Ok(())
        }
    })?;
    for _ in 0..5 {
        side.connect()?
            .write_all(b"GET /gone HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")?;
    }
    let left = side.wait_lines("/gone", 5)?;
    ensure!(
        left.iter().all(|line| line.contains(" CQ-- ")),
        "{which:?}: {left:?}"
    );
    ensure!(
        status(&read_all(&mut first)) == 200,
        "the first was disturbed"
    );
    ensure!(
        side.get("/last", &[])?.status == 200,
        "the last was not served"
    );
    let paths = origin
        .requests()
        .iter()
        .filter(|one| one.text().contains("/gone"))
        .count();
    ensure!(
        paths == 0,
        "{which:?}: {paths} reached the server though their client had left"
    );
    Ok(())
}
