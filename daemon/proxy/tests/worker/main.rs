//! A whole worker on loopback sockets: a configuration, tiny origins, clients that speak raw HTTP/1.
#![allow(missing_docs)]

mod support;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use protocol::process::ToChild;

use support::{Origin, Worker, dead_port, read_all, read_head};

const PATIENCE: Duration = Duration::from_secs(10);

const DEFAULTS: &str = "global\n nbthread 2\n log {log} local0\ndefaults\n mode http\n log global\n option httplog\n timeout connect 2s\n timeout client 5s\n timeout server 5s\n";

fn one_backend(server: SocketAddr, extra: &str) -> String {
    format!(
        "{DEFAULTS}frontend f\n bind 127.0.0.1:1\n default_backend b\nbackend b\n{extra} server s {server}\n"
    )
}

#[test]
fn requests_alternate_over_servers_and_carry_the_clients_address() {
    let (one, two) = (Origin::echo("one"), Origin::echo("two"));
    let worker = Worker::start(&format!(
        "{DEFAULTS} option forwardfor\nfrontend f\n bind 127.0.0.1:1\n default_backend b\nbackend b\n balance roundrobin\n server a {}\n server b {}\n",
        one.address, two.address
    ));
    let answers: Vec<String> = (0..4)
        .map(|_| {
            worker.ask(
                0,
                b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            )
        })
        .collect();
    let names: Vec<bool> = answers
        .iter()
        .map(|answer| answer.contains("x-origin: one"))
        .collect();
    assert_eq!(names, [true, false, true, false], "{answers:?}");
    assert!(
        answers[0].contains("\r\nx-forwarded-for: 127.0.0.1\r\n"),
        "{}",
        answers[0]
    );
    let forwarded = answers[0]
        .split("\r\n\r\none\n")
        .nth(1)
        .expect("the head that the origin got");
    assert!(
        !forwarded.contains("connection:"),
        "the server's side is kept: {forwarded}"
    );
    // The lines of two runtimes leave on their own: the second request's may come first.
    for server in [" f b/a ", " f b/b "] {
        assert!(worker.logged(server).contains("GET /x HTTP/1.1"));
    }
}

#[test]
fn pipelined_requests_are_answered_in_order_on_kept_connections() {
    let origin = Origin::echo("one");
    let worker = Worker::start(&one_backend(origin.address, " http-reuse always\n"));
    let mut request = Vec::new();
    for index in 0..50 {
        request.extend_from_slice(format!("GET /{index}. HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
    }
    request.extend_from_slice(b"GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let answer = worker.ask(0, &request);
    let places: Vec<Option<usize>> = (0..50)
        .map(|index| answer.find(&format!("GET /{index}. ")))
        .collect();
    assert!(
        places.iter().all(Option::is_some) && places.is_sorted(),
        "{answer}"
    );
    assert_eq!(origin.connections.load(Ordering::SeqCst), 1);
}

#[test]
fn bodies_pass_both_ways_in_every_framing() {
    // Takes the whole body (chunked or counted) and answers in chunks, without length, or with one.
    let origin = Origin::new(|mut stream, _| {
        while let Some(head) = read_head(&mut stream) {
            let head = head.to_ascii_lowercase();
            let mut body = Vec::new();
            if head.contains("transfer-encoding: chunked") {
                let mut byte = [0];
                while !body.ends_with(b"0\r\n\r\n")
                    && stream.read(&mut byte).is_ok_and(|count| count > 0)
                {
                    body.push(byte[0]);
                }
            } else if let Some(length) = head
                .split("content-length: ")
                .nth(1)
                .and_then(|rest| rest.split('\r').next())
            {
                body.resize(length.parse().expect("length"), 0);
                stream.read_exact(&mut body).expect("body");
            }
            let echo = String::from_utf8_lossy(&body).into_owned();
            let data = "d".repeat(300_000);
            let answer = match &head {
                head if head.contains("/chunked") => format!(
                    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n{:x}\r\n{data}\r\n0\r\n\r\n",
                    data.len()
                ),
                head if head.contains("/close") => format!("HTTP/1.0 200 OK\r\n\r\n{data}"),
                _ => format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{echo}",
                    echo.len()
                ),
            };
            stream.write_all(answer.as_bytes()).expect("answer");
            if head.contains("/close") {
                return;
            }
        }
    });
    let worker = Worker::start(&one_backend(origin.address, ""));
    let close = "Host: a\r\nConnection: close\r\n";
    let counted = worker.ask(
        0,
        format!("POST /e HTTP/1.1\r\n{close}Content-Length: 5\r\n\r\nhello").as_bytes(),
    );
    assert!(counted.ends_with("\r\n\r\nhello"), "{counted}");
    let chunked = worker.ask(0, format!("POST /e HTTP/1.1\r\n{close}Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n").as_bytes());
    assert!(
        chunked.contains("\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
            || chunked.contains("2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"),
        "{chunked}"
    );
    let answer = worker.ask(
        0,
        format!("GET /chunked HTTP/1.1\r\n{close}\r\n").as_bytes(),
    );
    assert!(
        answer.contains("transfer-encoding: chunked") && answer.ends_with("0\r\n\r\n"),
        "{}",
        &answer[..200]
    );
    assert_eq!(
        answer.matches('d').count(),
        300_001
            + answer
                .split("\r\n\r\n")
                .next()
                .map_or(0, |head| head.matches('d').count())
    );
    let old = worker.ask(0, b"GET /chunked HTTP/1.0\r\n\r\n");
    assert!(
        !old.contains("chunked\r\n") && old.ends_with("dddd") && old.contains("connection: close"),
        "{}",
        &old[..200]
    );
    let until_close = worker.ask(0, format!("GET /close HTTP/1.1\r\n{close}\r\n").as_bytes());
    assert!(
        until_close.contains("transfer-encoding: chunked") && until_close.ends_with("0\r\n\r\n"),
        "{}",
        &until_close[..200]
    );
}

#[test]
fn refused_requests_get_400_and_the_server_sees_nothing() {
    let origin = Origin::echo("one");
    let worker = Worker::start(&one_backend(origin.address, ""));
    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(1_000_000));
    for request in [
        "GET / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
        "GET / HTTP/1.1\nHost: a\n\n",
        "NONSENSE\r\n\r\n",
        long.as_str(),
    ] {
        let mut stream = worker.connect(0);
        // The worker closes before it has read all of the long one.
        let _ = stream.write_all(request.as_bytes());
        let answer = read_all(stream);
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer:?}");
    }
    assert_eq!(origin.connections.load(Ordering::SeqCst), 0);
    assert!(worker.logged("<BADREQ>").contains(" 400 "));
    assert!(worker.ask(0, b"GET / HTTP/1.0\r\n\r\n").contains("200 OK"));
}

#[test]
fn broken_answers_become_502() {
    for (answer, letters) in [
        (&b""[..], " SH-- "),
        (b"garbage\r\n\r\n", " PH-- "),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
            " PH-- ",
        ),
    ] {
        let origin = Origin::fixed(answer);
        let worker = Worker::start(&one_backend(origin.address, ""));
        let got = worker.ask(
            0,
            b"GET /z HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        );
        assert!(got.starts_with("HTTP/1.1 502 "), "{got:?}");
        assert!(
            worker.logged("GET /z").contains(letters),
            "{}",
            worker.logged("GET /z")
        );
    }
}

#[test]
fn a_truncated_answer_is_not_passed_off_as_whole() {
    let origin = Origin::fixed(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
    let worker = Worker::start(&one_backend(origin.address, ""));
    let got = worker.ask(0, b"GET /t HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(got.ends_with("\r\n\r\nhalf"), "{got:?}");
    assert!(worker.logged("GET /t").contains(" SD-- "));
}

#[test]
fn a_kept_connection_that_died_is_replaced_without_the_client_noticing() {
    // The first connection answers once, keeps quiet, and closes when the second request comes.
    let origin = Origin::new(|mut stream, number| {
        let limit = if number == 0 { 1 } else { usize::MAX };
        let mut served = 0;
        while read_head(&mut stream).is_some() {
            if served == limit {
                return;
            }
            served += 1;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    let worker = Worker::start(&one_backend(origin.address, ""));
    let answer = worker.ask(0, b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert_eq!(answer.matches("200 OK").count(), 2, "{answer}");
    assert_eq!(origin.connections.load(Ordering::SeqCst), 2);
}

#[test]
fn timeouts_and_missing_servers_end_as_haproxy_ends_them() {
    let silent = Origin::new(|mut stream, _| {
        let _ = read_head(&mut stream);
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
    });
    let (dead, _reserved) = dead_port();
    let worker = Worker::start(&format!(
        "{DEFAULTS} timeout http-request 200ms\n timeout server 200ms\n timeout connect 100ms\n retries 2\n\
         frontend slow\n bind 127.0.0.1:1\n default_backend silent\n\
         frontend gone\n bind 127.0.0.1:2\n default_backend dead\n\
         frontend empty\n bind 127.0.0.1:3\n default_backend nobody\n\
         backend silent\n server s {}\nbackend dead\n server s {dead}\nbackend nobody\n",
        silent.address
    ));
    let close = b"GET /q HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    assert!(worker.ask(0, close).starts_with("HTTP/1.1 504 "));
    assert!(worker.logged(" slow silent/s ").contains(" sH-- "));
    assert!(worker.ask(1, close).starts_with("HTTP/1.1 503 "));
    let line = worker.logged(" gone dead/s ");
    assert!(
        line.contains(" SC-- ") && line.contains("/2 0/0 ") && line.contains("/-1/-1/"),
        "{line}"
    );
    assert!(worker.ask(2, close).starts_with("HTTP/1.1 503 "));
    assert!(worker.logged(" empty nobody/<NOSRV> ").contains(" SC-- "));
    let answer = worker.ask(0, b"GET / HT");
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer:?}");
    assert!(
        worker.logged("<BADREQ>").contains(" 408 ") && worker.logged("<BADREQ>").contains(" cR-- ")
    );
}

#[test]
fn a_full_server_makes_requests_wait_in_turn_and_time_out() {
    let gate = Arc::new((Mutex::new(false), std::sync::Condvar::new()));
    let door = Arc::clone(&gate);
    let origin = Origin::new(move |mut stream, _| {
        while read_head(&mut stream).is_some() {
            let (open, changed) = &*door;
            let mut open = open.lock().expect("gate");
            while !*open {
                open = changed.wait(open).expect("gate");
            }
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    let worker = Worker::start(&format!(
        "{DEFAULTS} timeout queue 300ms\nfrontend f\n bind 127.0.0.1:1\n default_backend b\nbackend b\n server s {} maxconn 1\n",
        origin.address
    ));
    let mut first = worker.connect(0);
    first
        .write_all(b"GET /first HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .expect("sent");
    let deadline = Instant::now() + PATIENCE;
    while origin.connections.load(Ordering::SeqCst) == 0 && Instant::now() < deadline {
        std::thread::yield_now();
    }
    let late = worker.ask(
        0,
        b"GET /late HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    );
    assert!(late.starts_with("HTTP/1.1 503 "), "{late:?}");
    assert!(
        worker.logged("GET /late").contains(" sQ-- "),
        "{}",
        worker.logged("GET /late")
    );
    let mut waiting = worker.connect(0);
    waiting
        .write_all(b"GET /waiting HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .expect("sent");
    *gate.0.lock().expect("gate") = true;
    gate.1.notify_all();
    assert!(read_all(first).contains("200 OK"));
    assert!(read_all(waiting).contains("200 OK"));
}

#[test]
fn a_dead_server_costs_no_request_when_another_lives() {
    let (dead, _reserved) = dead_port();
    let alive = Origin::echo("alive");
    let worker = Worker::start(&format!(
        "{DEFAULTS} option redispatch\nfrontend f\n bind 127.0.0.1:1\n default_backend b\nbackend b\n server a {dead}\n server b {}\n",
        alive.address
    ));
    for _ in 0..4 {
        assert!(
            worker
                .ask(
                    0,
                    b"GET /r HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
                )
                .contains("200 OK")
        );
    }
    assert!(
        worker.logged("/+1 ").contains(" b/b "),
        "{:?}",
        worker.log.lock()
    );
}

#[test]
fn upgrades_become_tunnels() {
    let origin = Origin::new(|mut stream, _| {
        let head = read_head(&mut stream).expect("head").to_ascii_lowercase();
        assert!(
            head.contains("\r\nconnection: upgrade\r\n") && head.contains("\r\nupgrade: echo\r\n"),
            "{head}"
        );
        stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nhello ").expect("answer");
        let mut bytes = [0; 16];
        let count = stream.read(&mut bytes).expect("bytes");
        stream.write_all(&bytes[..count]).expect("echo");
    });
    let worker = Worker::start(&one_backend(origin.address, ""));
    let mut stream = worker.connect(0);
    stream
        .write_all(b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
        .expect("sent");
    let head = read_head(&mut stream).expect("head");
    assert!(
        head.starts_with("HTTP/1.1 101 ") && head.contains("connection: upgrade"),
        "{head}"
    );
    stream.write_all(b"world").expect("sent");
    let mut tail = [0; 11];
    stream.read_exact(&mut tail).expect("tail");
    assert_eq!(&tail, b"hello world");
    drop(stream);
    assert!(worker.logged("GET /ws").contains(" 101 "));
}

#[test]
fn interim_answers_are_passed_on() {
    let origin = Origin::new(|mut stream, _| {
        let head = read_head(&mut stream).expect("head");
        assert!(head.contains("100-continue"), "{head}");
        stream
            .write_all(b"HTTP/1.1 100 Continue\r\n\r\n")
            .expect("interim");
        let mut body = [0; 5];
        stream.read_exact(&mut body).expect("body");
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
            .expect("head");
        stream.write_all(&body).expect("body");
    });
    let worker = Worker::start(&one_backend(origin.address, ""));
    let mut stream = worker.connect(0);
    stream.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\nConnection: close\r\n\r\n").expect("sent");
    assert!(
        read_head(&mut stream)
            .expect("interim")
            .starts_with("HTTP/1.1 100 ")
    );
    stream.write_all(b"hello").expect("body");
    assert!(read_all(stream).ends_with("\r\n\r\nhello"));
}

#[test]
fn tcp_keeps_half_closed_streams_and_logs_bytes() {
    // Reads to the end, then answers: that needs our end of the direction to be passed on.
    let origin = Origin::new(|mut stream, _| {
        let mut all = Vec::new();
        stream.read_to_end(&mut all).expect("all");
        let _ = stream.write_all(&all);
    });
    let worker = Worker::start(&format!(
        "global\n log {{log}} local0\ndefaults\n mode tcp\n log global\n option tcplog\n timeout connect 1s\n timeout client 5s\n timeout server 5s\n\
         listen l\n bind 127.0.0.1:1\n server s {}\n",
        origin.address
    ));
    let mut stream = worker.connect(0);
    let sent = vec![7; 3_000_000];
    let mut writer = stream.try_clone().expect("clone");
    let bytes = sent.clone();
    std::thread::spawn(move || {
        writer.write_all(&bytes).expect("sent");
        writer.shutdown(Shutdown::Write).expect("half");
    });
    let mut got = Vec::new();
    stream.read_to_end(&mut got).expect("all");
    assert_eq!(got.len(), sent.len());
    assert!(
        worker.logged(" l l/s ").contains(" 3000000 -- "),
        "{}",
        worker.logged(" l l/s ")
    );
}

#[test]
fn draining_ends_idle_connections_finishes_requests_and_exits() {
    let origin = Origin::new(|mut stream, _| {
        while read_head(&mut stream).is_some() {
            std::thread::sleep(Duration::from_millis(300));
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    let mut worker = Worker::start(&one_backend(origin.address, ""));
    let mut idle = worker.connect(0);
    idle.write_all(b"GET /i HTTP/1.1\r\nHost: a\r\n\r\n")
        .expect("sent");
    read_head(&mut idle).expect("answer");
    let mut body = [0; 2];
    idle.read_exact(&mut body).expect("body");
    let mut busy = worker.connect(0);
    busy.write_all(b"GET /b HTTP/1.1\r\nHost: a\r\n\r\n")
        .expect("sent");
    let deadline = Instant::now() + PATIENCE;
    while origin.connections.load(Ordering::SeqCst) < 2 && Instant::now() < deadline {
        std::thread::yield_now();
    }
    worker.tell(&ToChild::Drain {
        hard_stop_ms: Some(5_000),
        handed_over: None,
    });
    assert_eq!(read_all(idle), "");
    let answer = read_all(busy);
    assert!(
        answer.contains("connection: close") && answer.ends_with("ok"),
        "{answer}"
    );
    let code = worker
        .thread
        .take()
        .expect("thread")
        .join()
        .expect("no panic");
    assert_eq!(
        format!("{code:?}"),
        format!("{:?}", std::process::ExitCode::SUCCESS)
    );
}

#[test]
fn tls_serves_by_name_and_survives_nonsense() {
    let folder = tempfile::tempdir().expect("folder");
    let mut certificates = Vec::new();
    for name in ["one.test", "*.two.test"] {
        let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).expect("certificate");
        let path = folder.path().join(name.replace('*', "any"));
        // Key first: the order in the file does not matter.
        std::fs::write(
            &path,
            format!("{}{}", made.signing_key.serialize_pem(), made.cert.pem()),
        )
        .expect("written");
        certificates.push((path, made.cert.der().clone()));
    }
    let origin = Origin::echo("one");
    let worker = Worker::start(&format!(
        "{DEFAULTS}frontend f\n bind 127.0.0.1:1 ssl crt {} crt {}\n default_backend b\nbackend b\n server s {}\n",
        certificates[0].0.display(),
        certificates[1].0.display(),
        origin.address
    ));
    assert!(!worker.ask(0, b"GET / HTTP/1.0\r\n\r\n").contains("200 OK"));
    for (name, certificate) in [("one.test", 0), ("a.two.test", 1), ("other.test", 0)] {
        let mut roots = rustls::RootCertStore::empty();
        roots
            .add(certificates[certificate].1.clone())
            .expect("root");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let client = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let asked = rustls_pki_types::ServerName::try_from(name.to_owned()).expect("name");
        let mut tls = rustls::ClientConnection::new(Arc::new(client), asked).expect("client");
        let mut socket = worker.connect(0);
        let mut stream = rustls::Stream::new(&mut tls, &mut socket);
        let outcome =
            stream.write_all(b"GET /tls HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        if name == "other.test" {
            assert!(
                outcome.is_err(),
                "the default certificate is for another name"
            );
            continue;
        }
        outcome.expect("handshake and request");
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        assert!(
            String::from_utf8_lossy(&answer).contains("200 OK"),
            "{name}"
        );
    }
    assert!(
        worker.logged("GET /tls").contains(" f~ "),
        "{}",
        worker.logged("GET /tls")
    );
}

#[test]
fn session_rules_are_for_a_connection_and_leave_those_of_its_requests_alone() {
    let text = "
defaults
 mode http
 timeout client 5s
 timeout server 5s
 timeout connect 5s
 log {log} local0
frontend open
 bind 127.0.0.1:1
 option httplog
 tcp-request session accept
 tcp-request content reject if { path /refused }
 http-request return status 200
frontend shut
 bind 127.0.0.1:2
 tcp-request session accept if { src 10.0.0.1 }
 tcp-request session reject
 http-request return status 200
frontend relay
 bind 127.0.0.1:3
 mode tcp
 tcp-request session set-var(txn.seen) int(1)
 tcp-request session reject if { src 127.0.0.1 }
 default_backend open
backend open
 mode tcp
";
    let worker = Worker::start(text);
    let asked = worker.ask(
        0,
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /refused HTTP/1.1\r\nHost: a\r\n\r\n",
    );
    assert_eq!(asked.matches("HTTP/1.1 200").count(), 1, "{asked}");
    assert!(worker.logged("PR--").contains("/refused"));
    // Neither a request nor its time is waited for.
    for listener in [1, 2] {
        assert_eq!(read_all(worker.connect(listener)), "");
    }
}
