//! Bodies that come by HTTP/2 and are held before a server gets them: `option http-buffer-request`, `retry-on`; beside
//! haproxy.

use std::collections::HashSet;
use std::io::{Read, Write};
use std::process::Command;
use std::sync::{Arc, Mutex};

use tandem_tests::beside::{BOTH, Differences, Side, scripted};
use tandem_tests::http2::{Client, request};
use tandem_tests::{Outcome, ensure, require};

/// "408" by the code of RFC 7541 appendix B.
const HUFFMAN_408: [u8; 3] = [0x68, 0x0f, 0x7f];

/// Method, path and body of each request that a server got.
type Record = Arc<Mutex<Vec<(String, usize)>>>;

/// A server that fails the first request of a path below `/503` or `/empty`, and answers the others with the body's size.
fn origin() -> Outcome<(u16, Record)> {
    let record = Record::default();
    let kept = Arc::clone(&record);
    let seen = Arc::new(Mutex::new(HashSet::new()));
    let port = scripted(move |mut stream, _| {
        let mut read = Vec::new();
        let mut buffer = [0; 65_536];
        loop {
            let whole = loop {
                if let Some(whole) = whole(&read) {
                    break whole;
                }
                match stream.read(&mut buffer) {
                    Ok(count) if count > 0 => read.extend(&buffer[..count]),
                    _ => return,
                }
            };
            let (line, size, length) = whole;
            read.drain(..length);
            kept.lock()
                .expect("no panic holds it")
                .push((line.clone(), size));
            let is_first = seen.lock().expect("no panic holds it").insert(line.clone());
            let answer = if is_first && line.contains(" /empty") {
                return;
            } else if is_first && line.contains(" /503") {
                "HTTP/1.1 503 Not Yet\r\ncontent-length: 4\r\n\r\nwait".to_owned()
            } else {
                let text = size.to_string();
                format!(
                    "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{text}",
                    text.len()
                )
            };
            if stream.write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    })?;
    Ok((port, record))
}

/// The request line, the size of the body, and of all, once a request is whole.
fn whole(read: &[u8]) -> Option<(String, usize, usize)> {
    let find = |part: &[u8], from: usize| {
        let at = read[from..]
            .windows(part.len())
            .position(|bytes| bytes == part)?;
        Some(from + at + part.len())
    };
    let end = find(b"\r\n\r\n", 0)?;
    let head = String::from_utf8_lossy(&read[..end]).to_lowercase();
    let line = head.lines().next()?.to_owned();
    if let Some(at) = head.find("content-length:") {
        let text = head[at + "content-length:".len()..].lines().next()?;
        let size = text.trim().parse().ok()?;
        return (read.len() >= end + size).then_some((line, size, end + size));
    }
    if !head.contains("transfer-encoding:") {
        return Some((line, 0, end));
    }
    let (mut at, mut body) = (end, 0);
    loop {
        let data = find(b"\r\n", at)?;
        let size =
            usize::from_str_radix(std::str::from_utf8(&read[at..data - 2]).ok()?, 16).ok()?;
        at = data + size + 2;
        body += size;
        if read.len() < at {
            return None;
        }
        if size == 0 {
            return Some((line, body, at));
        }
    }
}

fn text(origin: u16) -> String {
    format!(
        "listen l\n bind {{in}}\n timeout http-request 1s\n option http-buffer-request\n retry-on 503 empty-response\n retries 2\n \
         http-request set-header x-size %[req.body_len]\n server s1 127.0.0.1:{origin}\n"
    )
}

#[test]
fn a_body_is_held_and_sent_again_as_haproxy_does() -> Outcome {
    require!("haproxy", "tandemd", "curl");
    let long = "x".repeat(30_000);
    let cases: &[(&str, &[&str])] = &[
        ("/a", &[]),
        ("/a", &["-d", "hello"]),
        ("/a", &["-d", "hello", "-H", "transfer-encoding: chunked"]),
        ("/a", &["-d", &long]),
        ("/503/get", &[]),
        ("/503/post", &["-d", "hello"]),
        ("/503/put", &["-X", "PUT", "-d", "hello there"]),
        ("/503/long", &["-d", &long]),
        ("/empty/get", &[]),
        ("/empty/post", &["-d", "hello"]),
    ];
    let mut differences = Differences::default();
    let mut all = Vec::new();
    for which in BOTH {
        let (port, record) = origin()?;
        let side = Side::start(which, &text(port))?;
        let mut found = Vec::new();
        for (path, arguments) in cases {
            side.forget();
            let url = format!("http://{}{path}", side.address);
            let output = Command::new("timeout")
                .args(["20", "curl", "-s", "--http2-prior-knowledge", "-m", "10"])
                .args(["-w", " %{http_code}", &url])
                .args(*arguments)
                .output()?;
            let line = side.wait_lines("HTTP/2.0", 1)?.remove(0);
            let words: Vec<_> = line.split(' ').collect();
            let state = words
                .iter()
                .position(|word| word.len() == 4 && word.contains("--"));
            let state = state
                .map(|at| words[at..at + 2].join(" "))
                .unwrap_or_default();
            let sent = std::mem::take(&mut *record.lock().expect("no panic holds it"));
            let answer = String::from_utf8_lossy(&output.stdout).into_owned();
            found.push((answer, sent, state));
        }
        all.push(found);
    }
    let (haproxy, tandem) = (all.remove(0), all.remove(0));
    for (((path, arguments), haproxy), tandem) in cases.iter().zip(haproxy).zip(tandem) {
        let first = arguments.first().unwrap_or(&"");
        differences.compare(&format!("{path} {first}"), haproxy, tandem);
    }
    differences.none()
}

#[test]
fn a_body_that_does_not_come_ends_with_408_and_reaches_no_server() -> Outcome {
    require!("haproxy", "tandemd");
    for which in BOTH {
        let (port, record) = origin()?;
        let side = Side::start(which, &text(port))?;
        let mut client = Client::connect(side.address, &[])?;
        client.head(1, &request("POST", "/a"), false)?;
        client.data(1, b"begin", false)?;
        let (head, _) = client.answer(1)?;
        let is_timeout = head
            .windows(3)
            .any(|text| text == b"408" || text == HUFFMAN_408);
        ensure!(is_timeout, "{which:?}: {head:?}");
        let line = side.wait_lines("HTTP/2.0", 1)?.remove(0);
        ensure!(
            line.contains(" 408 ") && line.contains(" cR"),
            "{which:?}: {line}"
        );
        let got = record.lock().expect("no panic holds it").len();
        ensure!(got == 0, "{which:?}: a server got {got} requests");
    }
    Ok(())
}
