//! Trailers of requests and answers between peers of HTTP/2, with and without a length said before, beside haproxy: which
//! frames come out on the other side.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex, PoisonError};

use tandem_tests::beside::{BOTH, Differences, Side, scripted};
use tandem_tests::http2::{Client, Frame, PREFACE, block, flag, kind};
use tandem_tests::wait::wait_for;
use tandem_tests::{Outcome, require};

/// What a peer says on its stream behind its head.
#[derive(Clone, Copy, Debug)]
struct Said {
    /// `content-length`.
    length: Option<&'static str>,
    /// Data frames; the last ends the stream if there are no trailers and `ends` is set.
    data: &'static [&'static str],
    trailers: bool,
    /// Without trailers: whether the last data carries the end, or an empty frame after it.
    ends: bool,
}

const fn said(
    length: Option<&'static str>,
    data: &'static [&'static str],
    trailers: bool,
    ends: bool,
) -> Said {
    Said {
        length,
        data,
        trailers,
        ends,
    }
}

const CASES: &[(&str, Said)] = &[
    ("a length", said(Some("3"), &["abc"], false, true)),
    (
        "a length, the end apart",
        said(Some("3"), &["abc"], false, false),
    ),
    (
        "a length and trailers",
        said(Some("3"), &["abc"], true, false),
    ),
    (
        "a length in parts and trailers",
        said(Some("3"), &["a", "bc"], true, false),
    ),
    ("no length and trailers", said(None, &["abc"], true, false)),
    (
        "no data, a length of 0 and trailers",
        said(Some("0"), &[], true, false),
    ),
    ("no data and trailers", said(None, &[], true, false)),
];

/// The frames that say it.
fn frames(head: &[(&str, &str)], said: Said) -> Vec<u8> {
    let mut fields = head.to_vec();
    if let Some(length) = said.length {
        fields.push(("content-length", length));
    }
    let mut out = Frame::new(kind::HEADERS, flag::END_HEADERS, 1, block(&fields)).bytes();
    for (at, data) in said.data.iter().enumerate() {
        let is_end = said.ends && !said.trailers && at + 1 == said.data.len();
        let flags = if is_end { flag::END_STREAM } else { 0 };
        out.extend(Frame::new(kind::DATA, flags, 1, data.as_bytes()).bytes());
    }
    if said.trailers {
        let flags = flag::END_HEADERS | flag::END_STREAM;
        out.extend(Frame::new(kind::HEADERS, flags, 1, block(&[("x-trailer", "7")])).bytes());
    } else if !said.ends {
        out.extend(Frame::new(kind::DATA, flag::END_STREAM, 1, []).bytes());
    }
    out
}

/// What came of a stream: its heads, all data, how it ended.
#[derive(Clone, Debug, Default, PartialEq)]
struct Came {
    heads: usize,
    data: String,
    end: &'static str,
}

impl Came {
    fn take(&mut self, frame: &Frame) {
        match frame.kind {
            kind::HEADERS => self.heads += 1,
            kind::DATA => self.data.push_str(&String::from_utf8_lossy(&frame.payload)),
            kind::RST_STREAM => self.end = "reset",
            _ => {}
        }
        if frame.ends_stream() {
            self.end = match self.heads {
                2 if frame.kind == kind::HEADERS => "trailers",
                _ => "end",
            };
        }
    }
}

/// A server of HTTP/2 that waits for a request's end, answers what it is told, and remembers what came.
fn server(answer: Said, came: Arc<Mutex<Vec<Came>>>) -> Outcome<u16> {
    scripted(move |mut stream: TcpStream, _| {
        let first = Frame::new(kind::SETTINGS, 0, 0, []).bytes();
        if stream.write_all(&first).is_err() {
            return;
        }
        let mut read = Vec::new();
        let mut buffer = [0; 4_096];
        let mut request = Came::default();
        let mut at = PREFACE.len();
        while request.end.is_empty() {
            match stream.read(&mut buffer) {
                Ok(count) if count > 0 => read.extend_from_slice(&buffer[..count]),
                _ => break,
            }
            while let Some(head) = read.get(at..at + 9) {
                let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
                let Some(payload) = read.get(at + 9..at + 9 + length) else {
                    break;
                };
                let stream_id = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
                let frame = Frame::new(head[3], head[4], stream_id, payload);
                if frame.kind == kind::SETTINGS && frame.flags & flag::ACK == 0 {
                    let _ = stream.write_all(&Frame::new(kind::SETTINGS, flag::ACK, 0, []).bytes());
                }
                if stream_id == 1 {
                    request.take(&frame);
                }
                at += 9 + length;
            }
        }
        if request.heads == 0 {
            return;
        }
        came.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(request);
        let _ = stream.write_all(&frames(&[(":status", "200")], answer));
        while matches!(stream.read(&mut buffer), Ok(count) if count > 0) {}
    })
}

fn ask(side: &Side, request: Said) -> Outcome<Came> {
    let mut client = Client::connect(side.address, &[])?;
    let head = [
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", "a"),
        (":path", "/"),
    ];
    client.stream.write_all(&frames(&head, request))?;
    let mut came = Came::default();
    while came.end.is_empty() {
        let Some(frame) = client.frame() else {
            came.end = "closed";
            break;
        };
        if frame.stream == 1 {
            came.take(&frame);
        }
    }
    Ok(came)
}

#[test]
fn trailers_behind_a_length_pass_as_with_haproxy() -> Outcome {
    require!("haproxy", "tandemd");
    const PLAIN: Said = said(Some("3"), &["abc"], false, true);
    let mut differences = Differences::default();
    for (name, one) in CASES {
        for (what, request, answer) in [("request", *one, PLAIN), ("answer", PLAIN, *one)] {
            let mut found = Vec::new();
            for which in BOTH {
                let record = Arc::new(Mutex::new(Vec::new()));
                let port = server(answer, Arc::clone(&record))?;
                let text = format!(
                    "frontend f\n bind {{in}} proto h2\n default_backend b\nbackend b\n retries 0\n server s 127.0.0.1:{port} proto h2\n"
                );
                let side = Side::start(which, &text)?;
                let came = ask(&side, request)?;
                let line = side.wait_lines(" f ", 1)?.remove(0);
                let words: Vec<&str> = line.split(' ').collect();
                let letters = format!("{:?} {:?}", words.get(5), words.get(9));
                let seen = std::cell::RefCell::new(Vec::new());
                if came.heads > 0 && letters.contains("200") {
                    wait_for(
                        "the request to be seen",
                        std::time::Duration::from_secs(5),
                        || {
                            let record = record.lock().unwrap_or_else(PoisonError::into_inner);
                            seen.borrow_mut().clone_from(&record);
                            if record.is_empty() {
                                Err(String::new())
                            } else {
                                Ok(())
                            }
                        },
                    )?;
                }
                found.push((came, letters, seen.into_inner()));
            }
            differences.compare(&format!("{what}: {name}"), &found[0], &found[1]);
            if std::env::var_os("SHOW").is_some() {
                println!("{what}: {name}: {:?}", found[0]);
            }
        }
    }
    differences.none()
}
