//! HTTP/2 from clients and to servers: beside haproxy where it sets the measure, by hand-made frames where a peer
//! misbehaves.

mod origin;
mod refusals;

use std::process::Command;

use tandem_tests::beside::{BOTH, Differences, Side, Which};
use tandem_tests::http2::{Client, Frame, code, flag, has_status, kind, request};
use tandem_tests::{Outcome, certificate, ensure, require};

use origin::origin;

const LIMIT_SECONDS: &str = "20";

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
