//! A server that does what the path says.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tandem_tests::Outcome;
use tandem_tests::beside::{read_all, read_until, scripted};

use tandem_tests::play::reset;

/// What the scripted server does is in the first word of the path after `/`.
pub(crate) fn origin() -> Outcome<u16> {
    scripted(|mut stream, _| {
        loop {
            let head = read_until(&mut stream, "\r\n\r\n");
            if !head.contains("\r\n\r\n") {
                return;
            }
            let word = head
                .split(['/', ' ', '?'])
                .nth(2)
                .unwrap_or_default()
                .to_owned();
            let answer: &[u8] = match word.as_str() {
                "slow" => {
                    std::thread::sleep(Duration::from_millis(400));
                    b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nslow"
                }
                "silent" => {
                    read_all(&mut stream);
                    return;
                }
                "close" => return,
                "reset" => {
                    reset(stream);
                    return;
                }
                "bad" => b"HTTP/1.1 2x0 OK\r\n\r\n",
                "garbage" => b"hello, this is no HTTP\r\n\r\n",
                "half-head" => b"HTTP/1.1 200 OK\r\ncontent-le",
                "half-body" | "reset-body" | "slow-body" => b"HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n0123456789",
                "no-length" => b"HTTP/1.1 200 OK\r\nx-a: b\r\n\r\n0123456789",
                "http10" => b"HTTP/1.0 200 OK\r\ncontent-length: 3\r\n\r\nabc",
                "chunked" => b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n",
                "half-chunked" => b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
                "early" => {
                    let _ = stream.write_all(b"HTTP/1.1 413 Too Large\r\ncontent-length: 3\r\n\r\nbig");
                    // Not a byte more: the next request may follow at once.
                    let mut byte = [0];
                    while !head.ends_with('!') && byte != *b"!" {
                        if !matches!(stream.read(&mut byte), Ok(1)) {
                            return;
                        }
                    }
                    continue;
                }
                "early-close" => b"HTTP/1.1 413 Too Large\r\nconnection: close\r\ncontent-length: 3\r\n\r\nbig",
                "websocket" => {
                    let _ = stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\nopen");
                    let _ = std::io::copy(&mut &stream, &mut &stream);
                    return;
                }
                "103" => b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
                "trailer" => b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5;ext=1\r\nhello\r\n0\r\nx-sum: 7\r\n\r\n",
                "echo" => {
                    let (_, mut body) = head.split_once("\r\n\r\n").map(|(a, b)| (a, b.to_owned())).unwrap_or_default();
                    if !body.ends_with("\r\n\r\n") {
                        body += &read_until(&mut stream, "\r\n\r\n");
                    }
                    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
                    let _ = stream.write_all(answer.as_bytes());
                    continue;
                }
                "flaky" => {
                    flaky(&mut stream, &head);
                    return;
                }
                "show" => {
                    let lines = head.lines().filter(|line| line.starts_with("x-server:"));
                    let shown = lines.collect::<Vec<_>>().join("|");
                    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{shown}", shown.len());
                    let _ = stream.write_all(answer.as_bytes());
                    continue;
                }
                // What came of the head: its first line and the fields whose names begin with an x.
                "fields" => {
                    let mut lines: Vec<&str> = head.lines().skip(1).filter(|line| line.starts_with('x')).collect();
                    lines.sort_unstable();
                    let shown = format!("{}|{}", head.lines().next().unwrap_or_default(), lines.join("|"));
                    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{shown}", shown.len());
                    let _ = stream.write_all(answer.as_bytes());
                    continue;
                }
                "odd-name" => b"HTTP/1.1 200 OK\r\nx (odd): 1\r\ncontent-length: 2\r\n\r\nok",
                "odd-length" => b"HTTP/1.1 200 OK\r\ncontent-length : 2\r\ncontent-length: 4\r\n\r\nokok",
                "many" => b"HTTP/1.1 200 OK\r\na: 1\r\nb: 1\r\nc: 1\r\nd: 1\r\ne: 1\r\ncontent-length: 2\r\n\r\nok",
                "304" => b"HTTP/1.1 304 Not Modified\r\netag: \"x\"\r\n\r\n",
                "204" => b"HTTP/1.1 204 No Content\r\n\r\n",
                "100" => b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
                "500" => b"HTTP/1.1 500 Oops\r\ncontent-length: 4\r\n\r\noops",
                "head" => b"HTTP/1.1 200 OK\r\ncontent-length: 2000\r\n\r\n",
                _ => b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-type: text/plain\r\n\r\nhello",
            };
            let _ = stream.write_all(answer);
            match word.as_str() {
                "bad" | "garbage" | "half-head" | "half-body" | "no-length" | "half-chunked"
                | "early-close" => {
                    return;
                }
                "reset-body" => {
                    // The client has the first half before the reset overtakes it.
                    std::thread::sleep(Duration::from_millis(100));
                    reset(stream);
                    return;
                }
                "slow-body" => {
                    read_all(&mut stream);
                    return;
                }
                _ => {}
            }
        }
    })
}

/// Fails every other time, as the word behind `/flaky/` says; else it answers with the body that it got.
fn flaky(stream: &mut TcpStream, head: &str) {
    static TIMES: Mutex<BTreeMap<String, usize>> = Mutex::new(BTreeMap::new());
    let (fields, body) = head.split_once("\r\n\r\n").unwrap_or_default();
    let word = fields
        .split(['/', ' '])
        .nth(3)
        .unwrap_or_default()
        .to_owned();
    let length = fields
        .lines()
        .find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok())
        .unwrap_or(0);
    if word == "late" {
        return;
    }
    let fails = {
        let mut times = TIMES.lock().unwrap_or_else(PoisonError::into_inner);
        let time = times.entry(word.clone()).or_default();
        *time += 1;
        *time % 2 == 1
    };
    let mut body = body.as_bytes().to_vec();
    let mut byte = [0];
    while body.len() < length && matches!(stream.read(&mut byte), Ok(1)) {
        body.push(byte[0]);
    }
    let text = match (fails, word.as_str()) {
        (true, "close") => return,
        (true, "silent") => {
            read_all(stream);
            return;
        }
        (true, "junk") => "junk\r\n\r\n".to_owned(),
        (true, _) => {
            "HTTP/1.1 503 Not now\r\nconnection: close\r\ncontent-length: 3\r\n\r\nnot".to_owned()
        }
        (false, _) => format!(
            "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{}",
            body.len() + 1,
            String::from_utf8_lossy(&body) + "."
        ),
    };
    let _ = stream.write_all(text.as_bytes());
}
