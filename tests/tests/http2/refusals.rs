//! What is refused: floods, bad heads, too many streams, clients that say nothing. Frames are made by hand.

use std::time::Duration;

use tandem_tests::beside::{Side, Which};
use tandem_tests::http2::{Client, Frame, block, code, has_status, kind, request};
use tandem_tests::{Outcome, ensure, require};

use crate::origin::origin;
use crate::{curl, listen};

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
