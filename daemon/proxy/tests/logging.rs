//! Lines of the traffic log as HAProxy writes them, on a transaction with fixed times.

mod common;

use std::net::UdpSocket;
use std::time::Duration;

use common::{configuration, environment, session, transaction};
use config::Diagnostics;
use tandem_proxy::log::{Gauges, LogSockets, plan};
use tandem_proxy::txn::{Cause, Stage, Termination};

/// The line of a transaction under `options`, without its header.
fn line(options: &str) -> String {
    let collector = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    collector
        .set_read_timeout(Some(Duration::from_secs(5)))
        .expect("a limit");
    let port = collector.local_addr().expect("its address").port();
    let config = configuration(&format!(
        "frontend f\n mode http\n bind 127.0.0.1:8080\n log 127.0.0.1:{port} local0\n {options}\n default_backend b\nbackend b\n mode http\n server s 127.0.0.1:80\n"
    ));
    let environment = environment(&config);
    let session = session(&environment);
    let mut txn = transaction("GET", "/a?b", &[]);
    txn.backend = Some(environment.backends[0].clone());
    txn.server = Some(environment.backends[0].servers.get(0).expect("a server"));
    txn.timings.start_us = 1_000;
    txn.timings.first_byte_us = 2_000;
    txn.timings.request_us = 4_000;
    txn.timings.dequeued_us = 9_000;
    txn.timings.connected_us = 10_000;
    txn.timings.response_us = 30_000;
    txn.timings.end_us = 52_000;
    txn.status = 200;
    txn.bytes_in = 50;
    txn.bytes_out = 1_234;
    txn.cookie_letters = *b"NI";
    txn.captured_request = vec![b"host".to_vec(), b"agent \"x\"".to_vec()];
    txn.termination = Termination {
        cause: Cause::Normal,
        stage: Stage::Done,
    };
    let mut diagnostics = Diagnostics::default();
    let names = tandem_proxy::sample::Names::of(&config);
    let plan = plan(&config, 0, &names, 77, &mut diagnostics);
    assert!(diagnostics.0.is_empty(), "{:?}", diagnostics.0);
    let gauges = Gauges {
        process: 4,
        frontend: 3,
        backend: 2,
        server: 1,
    };
    let sockets = LogSockets::open(&config);
    plan.transaction(&sockets, &session, &txn, &gauges, &environment);
    let mut buffer = [0; 2_048];
    let length = collector.recv(&mut buffer).expect("a line");
    let text = String::from_utf8(buffer[..length].to_vec()).expect("text");
    assert!(
        text.starts_with("<134>") && text.ends_with('\n'),
        "{text:?}"
    );
    let (_, message) = text.split_once("haproxy[77]: ").expect("a tag");
    message.trim_end().to_owned()
}

/// Everything but the date.
#[track_caller]
fn check(options: &str, expected: &str) {
    let line = line(options);
    let cut = match (line.find('['), line.find("] ")) {
        (Some(start), Some(end)) if start < end => {
            format!("{}{}", &line[..start], &line[end + 2..])
        }
        _ => line.clone(),
    };
    assert_eq!(cut, expected, "{line}");
}

#[test]
fn lines_have_haproxys_fields() {
    check(
        "option httplog",
        "127.0.0.1:40000 f b/s 2/5/1/20/50 200 1234 - - --NI 4/3/2/1/0 0/0 {host|agent #22x#22} \"GET /a?b HTTP/1.1\"",
    );
    check(
        "option tcplog",
        "127.0.0.1:40000 f b/s 5/1/51 1234 -- 4/3/2/1/0 0/0",
    );
    check(
        "log-format \"%ci %[src] %{+Q}r %ST %[req.hdr(x-none)] %% %HM %HP %HQ %Ta %U\"",
        "127.0.0.1 127.0.0.1 \"GET /a?b HTTP/1.1\" 200 - % GET /a ?b 50 50",
    );
}
