//! HTTP/2 from clients and to servers: beside haproxy where it sets the measure, by hand-made frames where a peer
//! misbehaves.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tandem_tests::beside::{BOTH, Differences, Side, Which, scripted};
use tandem_tests::http2::{
    Client, Frame, block, code, flag, has_status, kind, request, websocket_accept,
};
use tandem_tests::{Outcome, certificate, ensure, require};

const LIMIT_SECONDS: &str = "20";

/// What a server got: heads and bodies as they came.
type Record = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

/// A server of HTTP/1 that answers by path and remembers what it got.
fn origin() -> Outcome<(u16, Record)> {
    let record = Record::default();
    let kept = Arc::clone(&record);
    let port = scripted(move |mut stream, _| {
        let mut read = Vec::new();
        while let Some((head, body)) = receive(&mut stream, &mut read) {
            kept.lock()
                .expect("no panic holds it")
                .push((head.clone(), body.clone()));
            if answer(&mut stream, &head, &body).is_none() {
                return;
            }
        }
    })?;
    Ok((port, record))
}

/// A request: its head, and its body without framing.
fn receive(stream: &mut TcpStream, read: &mut Vec<u8>) -> Option<(String, Vec<u8>)> {
    let more = |stream: &mut TcpStream, read: &mut Vec<u8>| -> Option<()> {
        let mut buffer = [0; 65_536];
        let count = stream.read(&mut buffer).ok().filter(|count| *count > 0)?;
        read.extend(&buffer[..count]);
        Some(())
    };
    let end = loop {
        if let Some(at) = read.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            break at + 4;
        }
        more(stream, read)?;
    };
    let head = String::from_utf8_lossy(&read[..end]).into_owned();
    read.drain(..end);
    let field = |name: &str| {
        let line = head.lines().find(|line| line.starts_with(name))?;
        Some(line[name.len()..].trim().to_owned())
    };
    if let Some(length) = field("content-length:").and_then(|text| text.parse().ok()) {
        while read.len() < length {
            more(stream, read)?;
        }
        return Some((head, read.drain(..length).collect()));
    }
    let mut body = Vec::new();
    if field("transfer-encoding:").is_some() {
        loop {
            let end = loop {
                if let Some(at) = read.windows(2).position(|bytes| bytes == b"\r\n") {
                    break at;
                }
                more(stream, read)?;
            };
            let size = usize::from_str_radix(std::str::from_utf8(&read[..end]).ok()?, 16).ok()?;
            if size == 0 {
                while !read.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
                    more(stream, read)?;
                }
                let at = read.windows(4).position(|bytes| bytes == b"\r\n\r\n")? + 4;
                let trailers: Vec<u8> = read.drain(..at).collect();
                let trailers = String::from_utf8_lossy(&trailers[3..]).trim().to_owned();
                return Some((
                    if trailers.is_empty() {
                        head
                    } else {
                        format!("{head}{trailers}")
                    },
                    body,
                ));
            }
            while read.len() < end + 2 + size + 2 {
                more(stream, read)?;
            }
            body.extend_from_slice(&read[end + 2..end + 2 + size]);
            read.drain(..end + 2 + size + 2);
        }
    }
    Some((head, body))
}

fn answer(stream: &mut TcpStream, head: &str, body: &[u8]) -> Option<()> {
    let path = head.split(' ').nth(1)?;
    let ok = |length: usize| {
        format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nx-o: 1\r\n\r\n").into_bytes()
    };
    let mut out = match path {
        "/echo" => [ok(body.len()), body.to_vec()].concat(),
        "/big" => [ok(1 << 20), vec![b'b'; 1 << 20]].concat(),
        "/chunked" => b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n".to_vec(),
        "/trailers" => {
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-end\r\n\r\n3\r\nabc\r\n0\r\nx-end: 7\r\n\r\n".to_vec()
        }
        "/close" => b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nuntil the end".to_vec(),
        "/hints" => [&b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"[..], &ok(2), b"hi"].concat(),
        "/204" => b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(),
        "/304" => b"HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\netag: \"a\"\r\n\r\n".to_vec(),
        "/cut" => b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc".to_vec(),
        "/silent" => {
            // Until the proxy hangs up.
            let _ = stream.read(&mut [0]);
            return None;
        }
        "/slow" => {
            std::thread::sleep(Duration::from_millis(500));
            [&ok(2)[..], b"hi"].concat()
        }
        "/socket" => {
            let lower = head.to_lowercase();
            let at = lower.find("sec-websocket-key: ")? + "sec-websocket-key: ".len();
            let key = head[at..].lines().next()?;
            let switch = format!(
                "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: {}\r\n\r\n",
                websocket_accept(key.trim())
            );
            stream.write_all(switch.as_bytes()).ok()?;
            let mut buffer = [0; 1_024];
            loop {
                let count = stream.read(&mut buffer).ok().filter(|count| *count > 0)?;
                stream.write_all(&buffer[..count]).ok()?;
            }
        }
        _ => [&ok(2)[..], b"hi"].concat(),
    };
    if head.starts_with("HEAD ") {
        let end = out.windows(4).position(|bytes| bytes == b"\r\n\r\n")? + 4;
        out.truncate(end);
    }
    stream.write_all(&out).ok()?;
    (path != "/close" && path != "/cut").then_some(())
}

fn listen(origin: u16) -> String {
    format!(
        "listen l\n bind {{in}}\n bind {{in2}} proto h2\n timeout http-request 2s\n timeout http-keep-alive 2s\n server s1 127.0.0.1:{origin}\n"
    )
}

/// Runs a program; its output.
fn run(program: &str, arguments: &[&str]) -> Outcome<String> {
    let output = Command::new("timeout")
        .stdin(std::fs::File::open("/etc/hostname")?)
        .args([LIMIT_SECONDS, program])
        .args(arguments)
        .output()?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// curl with prior knowledge: status, version, size and body.
fn curl(side: &Side, path: &str, arguments: &[&str]) -> Outcome<String> {
    let url = format!("http://{}{path}", side.address);
    let mut all = vec!["-s", "-i", "--http2-prior-knowledge", "-m", "10", &url];
    all.extend(arguments);
    run("curl", &all)
}

/// Lines in an order that does not depend on that of the fields.
fn sorted(head: &str) -> Vec<String> {
    let mut lines = head.lines().map(|line| line.trim().to_lowercase());
    let first = lines.next().unwrap_or_default();
    let mut rest: Vec<String> = lines.filter(|line| !line.is_empty()).collect();
    rest.sort();
    rest.insert(0, first);
    rest
}

/// A log line without the client's port, dates, times and bytes.
fn stable(line: &str) -> String {
    let words: Vec<&str> = line.split(' ').collect();
    let kept = words
        .iter()
        .enumerate()
        .filter(|(at, _)| !matches!(at, 0 | 1 | 4 | 6));
    kept.map(|(_, word)| *word).collect::<Vec<_>>().join(" ")
}

#[test]
fn requests_answers_and_log_lines_are_those_of_haproxy() -> Outcome {
    require!("haproxy", "tandemd", "curl");
    let (port, record) = origin()?;
    let mut differences = Differences::default();
    let cases: &[(&str, &[&str])] = &[
        ("/a?b=c&d", &[]),
        (
            "/a",
            &[
                "-H",
                "Cookie: a=b",
                "-H",
                "Cookie: c=d",
                "-H",
                "TE: trailers",
                "-H",
                "X-Foo:  a b ",
            ],
        ),
        ("/echo", &["-d", "hello"]),
        ("/echo", &["-T", "-"]),
        ("/echo", &["-X", "POST", "-H", "Content-Length: 0"]),
        ("/big", &["-o", "/dev/null"]),
        ("/chunked", &[]),
        ("/trailers", &[]),
        ("/close", &[]),
        ("/hints", &[]),
        ("/204", &[]),
        ("/304", &[]),
        ("/a", &["-I"]),
        ("/a", &["-X", "DELETE"]),
        ("/", &["-X", "OPTIONS", "--request-target", "*"]),
        ("/a", &["-H", "Host: other.example:81"]),
        ("/x%20y/../z", &["--path-as-is"]),
    ];
    let sides = [
        Side::start(BOTH[0], &listen(port))?,
        Side::start(BOTH[1], &listen(port))?,
    ];
    for (path, arguments) in cases {
        let what = format!("{path} {arguments:?}");
        let mut found = Vec::new();
        for side in &sides {
            record.lock().expect("no panic holds it").clear();
            side.forget();
            let own = side.address.to_string();
            let answer = curl(side, path, arguments)?;
            let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
            let line = side.wait_lines("HTTP/2.0", 1)?.remove(0);
            let sent = record.lock().expect("no panic holds it").clone();
            let sent: Vec<_> = sent
                .iter()
                .map(|(head, body)| (sorted(&head.replace(&own, "HOST")), body.clone()))
                .collect();
            found.push((
                sorted(head),
                body.to_owned(),
                sent,
                stable(&line).replace(&own, "HOST"),
            ));
        }
        let (haproxy, tandem) = (found.remove(0), found.remove(0));
        differences.compare(&format!("{what}: answer's head"), haproxy.0, tandem.0);
        differences.compare(
            &format!("{what}: answer's body"),
            sorted(&haproxy.1),
            sorted(&tandem.1),
        );
        differences.compare(&format!("{what}: what the server got"), haproxy.2, tandem.2);
        differences.compare(&format!("{what}: log line"), haproxy.3, tandem.3);
    }
    differences.none()
}

#[test]
fn many_streams_on_few_connections_all_succeed() -> Outcome {
    require!("tandemd", "h2load");
    let (port, _) = origin()?;
    let side = Side::start(Which::Tandem, &listen(port))?;
    for address in [side.address, side.second] {
        let url = format!("http://{address}/a");
        let output = run("h2load", &["-n", "5000", "-c", "5", "-m", "100", &url])?;
        ensure!(
            output.contains("5000 succeeded, 0 failed, 0 errored"),
            "{address}: {output}"
        );
    }
    side.wait_stat("l", "FRONTEND", "scur", "0")?;
    ensure!(
        side.stat("l", "FRONTEND", "req_tot")? == "10000",
        "requests are not counted"
    );
    ensure!(
        side.stat("l", "s1", "scur")? == "0",
        "a place at the server is lost"
    );
    Ok(())
}

#[test]
fn alpn_agrees_on_http2() -> Outcome {
    require!("tandemd", "curl");
    let (port, record) = origin()?;
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join("pem"), certificate::pem(&["localhost"])?)?;
    let text = format!(
        "listen l\n bind {{in}} ssl crt {{dir}}/pem alpn h2,http/1.1\n bind {{in2}} ssl crt {{dir}}/pem\n server s1 127.0.0.1:{port}\n"
    );
    let side = Side::start_in(Which::Tandem, &text, folder)?;
    for (address, version) in [(side.address, "2"), (side.second, "1.1")] {
        let url = format!("https://{address}/a");
        let output = run(
            "curl",
            &["-sk", "--http2", "-w", "%{http_version} %{http_code}", &url],
        )?;
        ensure!(output == format!("hi{version} 200"), "{output:?}");
    }
    ensure!(
        record.lock().expect("no panic holds it").len() == 2,
        "the server got other requests"
    );
    side.wait_lines("\"GET https://127.0.0.1:", 1)?;
    Ok(())
}

#[test]
fn bodies_of_a_mebibyte_pass_both_ways() -> Outcome {
    require!("tandemd");
    let (port, record) = origin()?;
    let side = Side::start(Which::Tandem, &listen(port))?;
    let mut client = Client::connect(side.address, &[])?;
    client.head(1, &request("POST", "/echo"), false)?;
    let body: Vec<u8> = (0..1u32 << 20).map(|at| (at % 251) as u8).collect();
    // A window of 65,535 bytes: the rest as the proxy opens it.
    let (mut sent, mut stream_room, mut room) = (0, 65_535usize, 65_535usize);
    while sent < body.len() {
        let count = room.min(stream_room).min(16_384).min(body.len() - sent);
        if count == 0 {
            let frame = client.until("window", |frame| frame.kind == kind::WINDOW_UPDATE)?;
            let opened =
                u32::from_be_bytes(frame.payload[..4].try_into().expect("4 bytes")) as usize;
            match frame.stream {
                0 => room += opened,
                _ => stream_room += opened,
            }
            continue;
        }
        client.data(1, &body[sent..sent + count], sent + count == body.len())?;
        sent += count;
        room -= count;
        stream_room -= count;
    }
    let (head, data) = client.answer(1)?;
    ensure!(has_status(&head, 200), "another status");
    ensure!(
        data == body,
        "the body came back changed: {} bytes",
        data.len()
    );
    let got = record.lock().expect("no panic holds it").clone();
    ensure!(
        got.len() == 1 && got[0].1 == body,
        "the server got another body"
    );
    ensure!(
        got[0].0.contains("transfer-encoding: chunked"),
        "without a length it comes in chunks"
    );
    Ok(())
}

#[test]
fn a_reader_that_opens_its_window_slowly_gets_everything() -> Outcome {
    require!("tandemd");
    let (port, _) = origin()?;
    let side = Side::start(Which::Tandem, &listen(port))?;
    let mut slow = Client::connect(side.address, &[(4, 1_000)])?;
    slow.head(1, &request("GET", "/big"), true)?;
    let mut got = 0;
    let mut others = 0;
    let mut allowed = 1_000;
    while got < 1 << 20 {
        let frame = slow.until("data", |frame| {
            frame.kind == kind::DATA && frame.stream == 1
        })?;
        ensure!(
            frame.payload.len() <= allowed,
            "more than the window has room for"
        );
        allowed -= frame.payload.len();
        got += frame.payload.len();
        if !frame.payload.is_empty() && got < 1 << 20 {
            // Each time twice as much, for the test's sake.
            let room = (frame.payload.len() as u32 * 2).min(200_000);
            slow.window(0, room)?;
            slow.window(1, room)?;
            allowed += room as usize;
        }
        others += 1;
        if others % 5 == 0 {
            ensure!(
                curl(&side, "/a", &[])?.ends_with("hi"),
                "another client waits"
            );
        }
    }
    ensure!(got == 1 << 20, "{got} bytes");
    Ok(())
}

#[test]
fn one_of_a_hundred_streams_is_reset_and_the_others_do_not_notice() -> Outcome {
    require!("tandemd");
    let (port, _) = origin()?;
    let side = Side::start(Which::Tandem, &listen(port))?;
    let mut client = Client::connect(side.address, &[])?;
    for at in 0..100 {
        let path = if at == 50 { "/silent" } else { "/slow" };
        client.head(at * 2 + 1, &request("GET", path), true)?;
    }
    client.send(&Frame::new(
        kind::RST_STREAM,
        0,
        101,
        code::CANCEL.to_be_bytes(),
    ))?;
    let mut ended = std::collections::HashSet::new();
    while ended.len() < 99 {
        let frame = client.until("answers", |frame| frame.stream > 0)?;
        ensure!(frame.stream != 101, "the reset stream was answered");
        ensure!(
            frame.kind != kind::RST_STREAM,
            "stream {} was reset",
            frame.stream
        );
        if frame.ends_stream() {
            ended.insert(frame.stream);
        }
    }
    // The one that was cut off is over everywhere.
    side.wait_stat("l", "s1", "scur", "0")?;
    let lines = side.wait_lines("/silent HTTP/2.0", 1)?;
    // Where it was then: waiting to connect, for the answer's head, or within its body.
    ensure!(
        [" CC-- ", " CH-- ", " CD-- "]
            .iter()
            .any(|letters| lines[0].contains(letters)),
        "{lines:?}"
    );
    Ok(())
}

#[test]
fn an_answer_that_is_cut_resets_its_stream_only() -> Outcome {
    require!("tandemd");
    let (port, _) = origin()?;
    let side = Side::start(Which::Tandem, &listen(port))?;
    let mut client = Client::connect(side.address, &[])?;
    client.head(1, &request("GET", "/cut"), true)?;
    let end = client.until("reset", |frame| frame.kind == kind::RST_STREAM)?;
    ensure!(end.stream == 1, "stream {}", end.stream);
    client.head(3, &request("GET", "/a"), true)?;
    ensure!(
        client.answer(3)?.1 == b"hi",
        "the next request is not answered"
    );
    Ok(())
}

#[test]
fn trailers_pass_both_ways() -> Outcome {
    require!("tandemd");
    let (port, record) = origin()?;
    let side = Side::start(Which::Tandem, &listen(port))?;
    let mut client = Client::connect(side.address, &[])?;
    client.head(1, &request("POST", "/trailers"), false)?;
    client.data(1, b"body", false)?;
    client.head(
        1,
        &[("x-sum", "9"), ("content-length", "1"), ("host", "b")],
        true,
    )?;
    let mut heads = Vec::new();
    loop {
        let frame = client.until("answer", |frame| frame.stream == 1)?;
        if frame.kind == kind::HEADERS {
            heads.push(frame.ends_stream());
        }
        if frame.ends_stream() {
            break;
        }
    }
    ensure!(
        heads == [false, true],
        "the answer's trailers are missing: {heads:?}"
    );
    let got = record.lock().expect("no panic holds it").clone();
    ensure!(
        got[0].0.ends_with("x-sum: 9") && got[0].1 == b"body",
        "{got:?}"
    );
    Ok(())
}

#[test]
fn a_websocket_goes_through() -> Outcome {
    require!("haproxy", "tandemd");
    let (port, record) = origin()?;
    let mut differences = Differences::default();
    let mut found = Vec::new();
    for which in BOTH {
        let side = Side::start(which, &listen(port))?;
        record.lock().expect("no panic holds it").clear();
        let mut client = Client::connect(side.address, &[])?;
        let settings = client.until("settings", |frame| frame.kind == kind::SETTINGS)?;
        ensure!(
            settings
                .payload
                .chunks(6)
                .any(|one| one == [0, 8, 0, 0, 0, 1]),
            "{which:?} does not offer it"
        );
        let mut fields = request("CONNECT", "/socket");
        fields.push((":protocol", "websocket"));
        fields.push(("sec-websocket-version", "13"));
        client.head(1, &fields, false)?;
        let head = client.until("head", |frame| frame.stream == 1)?;
        ensure!(
            has_status(&head.payload, 200) && !head.ends_stream(),
            "{which:?}: {head:?}"
        );
        for text in [&b"ping"[..], b"pong"] {
            client.data(1, text, false)?;
            let back = client.until("data", |frame| frame.kind == kind::DATA)?;
            ensure!(back.payload == text, "{which:?} gave {back:?}");
        }
        client.data(1, b"", true)?;
        client.until("end", Frame::ends_stream)?;
        let line = side.wait_lines("HTTP/2.0", 1)?.remove(0);
        let got = record.lock().expect("no panic holds it").remove(0).0;
        ensure!(
            got.to_lowercase().contains("sec-websocket-key: "),
            "{which:?} sent no key"
        );
        let lines = sorted(&got)
            .into_iter()
            .filter(|line| !line.starts_with("sec-websocket-key"));
        found.push((lines.collect::<Vec<_>>(), stable(&line)));
    }
    let (haproxy, tandem) = (found.remove(0), found.remove(0));
    differences.compare("what the server got", haproxy.0, tandem.0);
    differences.compare("log line", haproxy.1, tandem.1);
    differences.none()
}

/// What a flood writes at once; false when nothing more can be written.
type Step = fn(&mut Client, u32) -> Outcome;

#[test]
fn floods_are_refused_counted_and_logged() -> Outcome {
    require!("tandemd", "curl");
    let (port, _) = origin()?;
    let cases: &[(&str, Step)] = &[
        ("rapid resets", |client, at| {
            client.head(at * 2 + 1, &request("GET", "/silent"), true)?;
            client.send(&Frame::new(
                kind::RST_STREAM,
                0,
                at * 2 + 1,
                code::CANCEL.to_be_bytes(),
            ))
        }),
        ("endless heads", |client, at| {
            if at == 0 {
                let first = block(&request("GET", "/"));
                return client.send(&Frame::new(kind::HEADERS, 0, 1, first));
            }
            client.send(&Frame::new(kind::CONTINUATION, 0, 1, block(&[("x", "y")])))
        }),
        ("endless heads", |client, at| {
            if at == 0 {
                let first = block(&request("GET", "/"));
                return client.send(&Frame::new(kind::HEADERS, 0, 1, first));
            }
            client.send(&Frame::new(kind::CONTINUATION, 0, 1, []))
        }),
        ("empty data frames", |client, at| {
            if at == 0 {
                client.head(1, &request("POST", "/echo"), false)?;
            }
            client.data(1, b"", false)
        }),
        ("settings", |client, _| {
            client.send(&Frame::new(kind::SETTINGS, 0, 0, []))
        }),
        ("pings", |client, _| {
            client.send(&Frame::new(kind::PING, 0, 0, [0; 8]))
        }),
        ("window updates", |client, _| client.window(0, 1)),
        ("priorities or unknown frames", |client, at| {
            client.send(&Frame::new(kind::PRIORITY, 0, at * 2 + 1, [0, 0, 0, 0, 9]))
        }),
        ("priorities or unknown frames", |client, _| {
            client.send(&Frame::new(99, 0, 0, []))
        }),
    ];
    for (name, step) in cases {
        let side = Side::start(Which::Tandem, &listen(port))?;
        let mut client = Client::connect(side.address, &[])?;
        client.limit(Duration::from_secs(10))?;
        for at in 0..100_000 {
            if step(&mut client, at).is_err() {
                break;
            }
            ensure!(at < 99_999, "{name}: 100,000 frames were taken");
        }
        let reason = client.goaway();
        // The last words may be lost where our own frames were still on their way.
        ensure!(
            matches!(reason, None | Some(code::ENHANCE_YOUR_CALM)),
            "{name}: GOAWAY with {reason:?}"
        );
        let lines = side.wait_lines("HTTP/2 connection closed", 1)?;
        ensure!(lines[0].contains(name), "{name}: {lines:?}");
        let answer = curl(&side, "/a", &[])?;
        ensure!(
            answer.ends_with("hi"),
            "{name}: it does not answer afterwards: {answer}"
        );
        let info = side.command("show info")?;
        let counted = info
            .lines()
            .any(|line| line.starts_with("H2Flood") && line.ends_with(": 1"));
        ensure!(counted, "{name}: it is not counted: {info}");
        side.wait_stat("l", "FRONTEND", "scur", "0")?;
        side.wait_stat("l", "s1", "scur", "0")?;
    }
    Ok(())
}

#[test]
fn bad_heads_reset_their_stream_and_reach_no_server() -> Outcome {
    require!("tandemd");
    let (port, record) = origin()?;
    let side = Side::start(Which::Tandem, &listen(port))?;
    let get = || request("GET", "/a");
    let with = |name: &'static str, value: &'static str| {
        let mut fields = get();
        fields.push((name, value));
        fields
    };
    let bad: Vec<(&str, Vec<(&str, &str)>)> = vec![
        ("a CR LF in a value", with("x", "a\r\nb: c")),
        ("a LF in a value", with("x", "a\nb")),
        ("a NUL in a value", with("x", "a\0b")),
        ("an upper-case name", with("X-A", "b")),
        ("a name with a colon", with("a:b", "c")),
        ("a name with a space", with("a b", "c")),
        ("an empty name", with("", "c")),
        ("Connection", with("connection", "close")),
        ("Transfer-Encoding", with("transfer-encoding", "chunked")),
        ("Upgrade", with("upgrade", "h2c")),
        ("Keep-Alive", with("keep-alive", "5")),
        ("TE that is not trailers", with("te", "gzip")),
        ("a second path", with(":path", "/b")),
        ("a pseudo header behind a field", {
            let mut fields = get();
            fields.insert(0, ("x", "y"));
            fields
        }),
        ("an unknown pseudo header", with(":x", "y")),
        ("a space in the path", request("GET", "/a b")),
        ("a CR LF in the path", request("GET", "/a HTTP/1.1\r\nx: y")),
        ("an empty path", request("GET", "")),
        ("a path without a slash", request("GET", "a")),
        ("a space in the method", request("G ET", "/")),
        ("no method", get().into_iter().skip(1).collect()),
        (
            "no scheme",
            vec![(":method", "GET"), (":authority", "a"), (":path", "/")],
        ),
        (
            "no path",
            vec![(":method", "GET"), (":authority", "a"), (":scheme", "http")],
        ),
        ("another host", with("host", "other.example")),
        ("two different lengths", {
            let mut fields = with("content-length", "1");
            fields.push(("content-length", "2"));
            fields
        }),
        ("a length that is none", with("content-length", "+1")),
        (
            "user information",
            vec![
                (":method", "GET"),
                (":scheme", "http"),
                (":authority", "a@b"),
                (":path", "/"),
            ],
        ),
        (
            "a space in the authority",
            vec![
                (":method", "GET"),
                (":scheme", "http"),
                (":authority", "a b"),
                (":path", "/"),
            ],
        ),
        ("an unknown protocol", {
            let mut fields = request("CONNECT", "/");
            fields.push((":protocol", "other"));
            fields
        }),
    ];
    for (name, fields) in &bad {
        let mut client = Client::connect(side.address, &[])?;
        client.head(1, fields, true)?;
        let end = client.until("answer", |frame| {
            frame.stream == 1 || frame.kind == kind::GOAWAY
        })?;
        let refused = match end.kind {
            kind::RST_STREAM => end.code() == Some(code::PROTOCOL_ERROR),
            kind::HEADERS => has_status(&end.payload, 400),
            _ => true,
        };
        ensure!(refused, "{name}: {end:?}");
    }
    // A body that is longer or shorter than it says.
    for (length, body) in [("3", &b"abcd"[..]), ("5", b"abcd")] {
        let mut client = Client::connect(side.address, &[])?;
        let mut fields = request("POST", "/echo");
        fields.push(("content-length", length));
        client.head(1, &fields, false)?;
        client.data(1, body, true)?;
        let end = client.until("answer", |frame| frame.stream == 1)?;
        ensure!(
            end.code() == Some(code::PROTOCOL_ERROR) || has_status(&end.payload, 400),
            "a length of {length} for 4 bytes: {end:?}"
        );
    }
    let got = record.lock().expect("no panic holds it").clone();
    ensure!(got.is_empty(), "the server got {got:?}");
    // Each is counted, and has its line.
    side.wait_lines("<BADREQ>", bad.len() - 4)?;
    let errors: usize = side.stat("l", "FRONTEND", "ereq")?.parse().unwrap_or(0);
    ensure!(
        errors >= bad.len(),
        "{errors} errors of {} are counted",
        bad.len()
    );
    Ok(())
}

#[test]
fn more_streams_than_allowed_are_refused_one_by_one() -> Outcome {
    require!("tandemd");
    let (port, _) = origin()?;
    let text = format!("global: tune.h2.max-concurrent-streams 3\n{}", listen(port));
    let side = Side::start(Which::Tandem, &text)?;
    let mut client = Client::connect(side.address, &[])?;
    let settings = client.until("settings", |frame| frame.kind == kind::SETTINGS)?;
    ensure!(
        settings
            .payload
            .chunks(6)
            .any(|one| one == [0, 3, 0, 0, 0, 3]),
        "{settings:?}"
    );
    for at in 0..5 {
        client.head(at * 2 + 1, &request("GET", "/slow"), true)?;
    }
    let (mut refused, mut answered) = (0, 0);
    while refused + answered < 5 {
        let frame = client.until("answers", |frame| frame.stream > 0)?;
        refused += u32::from(frame.code() == Some(code::REFUSED_STREAM));
        answered += u32::from(frame.ends_stream());
    }
    ensure!(
        (refused, answered) == (2, 3),
        "{refused} refused, {answered} answered"
    );
    Ok(())
}

#[test]
fn an_idle_connection_ends_in_order() -> Outcome {
    require!("tandemd");
    let (port, _) = origin()?;
    let text = listen(port)
        .replace("http-keep-alive 2s", "http-keep-alive 200ms")
        .replace("http-request 2s", "http-request 300ms");
    let side = Side::start(Which::Tandem, &text)?;
    // One that says nothing, one that says half a head, one that was served.
    let mut silent = Client::connect(side.address, &[])?;
    ensure!(silent.goaway() == Some(code::NO_ERROR), "a silent client");
    let mut half = Client::connect(side.address, &[])?;
    half.send(&Frame::new(
        kind::HEADERS,
        0,
        1,
        block(&request("GET", "/")),
    ))?;
    ensure!(
        half.goaway() == Some(code::NO_ERROR),
        "a client with half a head"
    );
    let mut served = Client::connect(side.address, &[])?;
    served.head(1, &request("GET", "/a"), true)?;
    ensure!(served.answer(1)?.1 == b"hi", "no answer");
    ensure!(
        served.goaway() == Some(code::NO_ERROR),
        "a client that was served"
    );
    side.wait_stat("l", "FRONTEND", "scur", "0")?;
    Ok(())
}

#[test]
fn a_server_of_http2_gets_many_requests_on_one_connection() -> Outcome {
    require!("tandemd", "h2load", "curl");
    let (port, record) = origin()?;
    let text = format!(
        "listen l\n bind {{in}}\n http-reuse always\n server s1 {{in2}} proto h2\nlisten inner\n bind {{in2}} proto h2\n server s1 127.0.0.1:{port}\n"
    );
    let side = Side::start(Which::Tandem, &text)?;
    let url = format!("http://{}/a", side.address);
    for version in ["--h1", "-m10"] {
        let output = run("h2load", &["-n", "2000", "-c", "5", version, &url])?;
        ensure!(
            output.contains("2000 succeeded, 0 failed, 0 errored"),
            "{version}: {output}"
        );
    }
    let connections: u32 = side
        .stat("inner", "FRONTEND", "conn_tot")?
        .parse()
        .unwrap_or(u32::MAX);
    ensure!(
        connections <= 60,
        "{connections} connections for 4000 requests"
    );
    record.lock().expect("no panic holds it").clear();
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        let send = |path: &str, more: &[&str]| {
            let url = format!("http://{}{path}", side.address);
            let mut all = vec!["-s", version, "-m", "10", &url];
            all.extend(more);
            run("curl", &all)
        };
        ensure!(
            send("/echo", &["-d", "hello"])? == "hello",
            "{version}: a body with its length"
        );
        let text = std::fs::read_to_string("/etc/hostname")?;
        ensure!(
            send("/echo", &["-T", "-", "-H", "expect:"])? == text,
            "{version}: a body without"
        );
        ensure!(send("/chunked", &[])? == "abcdefg", "{version}: chunks");
        ensure!(
            send("/big", &["-o", "/dev/null", "-w", "%{size_download}"])? == "1048576",
            "{version}: a large answer"
        );
        ensure!(send("/a", &["-I"])?.starts_with("HTTP/"), "{version}: HEAD");
        ensure!(
            send("/204", &["-w", "%{http_code}"])? == "204",
            "{version}: 204"
        );
        ensure!(
            send("/cut", &["-w", "%{exitcode}"])? != "abc0",
            "{version}: a cut answer looks whole"
        );
    }
    Ok(())
}

/// SIGUSR1: what is on its way comes to its end, and the client is told to go elsewhere.
#[test]
fn a_drain_tells_clients_and_loses_nothing() -> Outcome {
    require!("tandemd");
    let (port, _) = origin()?;
    let side = Side::start(Which::Tandem, &listen(port))?;
    let mut client = Client::connect(side.address, &[])?;
    client.head(1, &request("GET", "/slow"), true)?;
    side.wait_stat("l", "s1", "scur", "1")?;
    tandem_tests::process::send(side.pid(), nix::sys::signal::Signal::SIGUSR1)?;
    client.until("GOAWAY", |frame| {
        frame.kind == kind::GOAWAY && frame.code() == Some(code::NO_ERROR)
    })?;
    // A request that was on its way when the client was told.
    client.head(3, &request("GET", "/a"), true)?;
    let (mut ended, mut ping) = (0, false);
    while ended < 2 {
        let frame = client.until("answers", |_| true)?;
        ensure!(frame.kind != kind::RST_STREAM, "{frame:?}");
        ended += u32::from(frame.ends_stream());
        if frame.kind == kind::PING && !ping {
            ping = true;
            client.send(&Frame::new(kind::PING, flag::ACK, 0, frame.payload))?;
        }
    }
    let _ = client.goaway();
    Ok(())
}
