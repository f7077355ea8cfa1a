//! The corpus: requests and answers that break the rules of RFC 9112 one at a time, or stretch them, made from the rules.

mod answers;
mod bodies;

pub(crate) use answers::answers;
use bodies::{chunks, codings, lengths};

/// What must become of a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Expect {
    /// No message may come out of it.
    Refused,
    /// Exactly so many messages come out of it, and the first has this content.
    Passed(usize, &'static [u8]),
    /// The rules leave the choice; whatever comes out is at most so many sound messages, none of them the hidden one.
    AtMost(usize),
}

use Expect::{AtMost, Passed, Refused};

/// One case.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    /// What is special about it.
    pub(crate) name: String,
    /// What is sent.
    pub(crate) bytes: Vec<u8>,
    /// What must become of it.
    pub(crate) expect: Expect,
}

/// The target of a request that hides behind another; it must never come out as a message of its own.
pub(crate) const HIDDEN: &str = "/hidden";
const HIDDEN_REQUEST: &str = "GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n";
const AFTER: &str = "GET /after HTTP/1.1\r\nHost: a\r\n\r\n";

#[derive(Default)]
struct Corpus(Vec<Case>);

impl Corpus {
    fn add(&mut self, name: impl Into<String>, bytes: impl AsRef<[u8]>, expect: Expect) {
        self.0.push(Case {
            name: name.into(),
            bytes: bytes.as_ref().to_vec(),
            expect,
        });
    }
}

fn join(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// All requests.
pub(crate) fn requests() -> Vec<Case> {
    let mut corpus = Corpus::default();
    request_lines(&mut corpus);
    line_ends(&mut corpus);
    fields(&mut corpus);
    lengths(&mut corpus);
    codings(&mut corpus);
    chunks(&mut corpus);
    hosts_and_connections(&mut corpus);
    pipelines(&mut corpus);
    limits(&mut corpus);
    corpus.0
}

fn request_lines(corpus: &mut Corpus) {
    for byte in 0..=255u8 {
        if byte.is_ascii_alphanumeric() {
            continue;
        }
        let whole = join(&[b"G", &[byte], b"T / HTTP/1.1\r\nHost: a\r\n\r\n"]);
        let expect = if is_token(byte) {
            Passed(1, b"")
        } else {
            Refused
        };
        corpus.add(format!("byte {byte:#04x} in the method"), whole, expect);
        if !(0x21..0x7f).contains(&byte) {
            let whole = join(&[b"GET /a", &[byte], b"b HTTP/1.1\r\nHost: a\r\n\r\n"]);
            corpus.add(format!("byte {byte:#04x} in the target"), whole, Refused);
        }
    }
    for (target, expect) in [
        ("", Refused),
        ("a", Refused),
        ("a/b", Refused),
        ("?a", Refused),
        ("/", Passed(1, b"")),
        ("//a//b", Passed(1, b"")),
        ("/a?b=/c?d", Passed(1, b"")),
        ("/%00%0d%0a", Passed(1, b"")),
        ("/../..", Passed(1, b"")),
        ("/a#b", AtMost(1)),
        ("*", AtMost(1)),
        ("http://a/x", Passed(1, b"")),
        ("HTTP://a/x", AtMost(1)),
        ("http://a", AtMost(1)),
        ("http://b/x", AtMost(1)),
        ("http://u:p@a/x", AtMost(1)),
        ("http:///x", AtMost(1)),
        ("http:/x", AtMost(1)),
        ("https://a/x", AtMost(1)),
        ("://a/x", AtMost(1)),
        ("/a b", Refused),
        ("/a HTTP/1.1", Refused),
    ] {
        let whole = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
        corpus.add(format!("target {target:?}"), whole, expect);
    }
    corpus.add(
        "OPTIONS *",
        "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
        Passed(1, b""),
    );
    for version in [
        "",
        " ",
        "HTTP",
        "HTTP/",
        "HTTP/1",
        "HTTP/1.",
        "HTTP/.1",
        "HTTP/0.9",
        "HTTP/2.0",
        "HTTP/3.0",
        "HTTP/11",
        "HTTP/01.1",
        "HTTP/1.01",
        "HTTP/1.10",
        "HTTP/1,1",
        "HTTP/-1.1",
        "HTTP/1.x",
        "http/1.1",
        "Http/1.1",
        "HTTPS/1.1",
        "ICY/1.1",
        "HTTP /1.1",
        "HTTP/1.1 ",
        "HTTP/1.1\t",
        " HTTP/1.1",
        "\tHTTP/1.1",
        "HTTP/1.1 x",
        "HTTP/1.1\0",
    ] {
        let whole = format!("GET / {version}\r\nHost: a\r\n\r\n");
        corpus.add(format!("version {version:?}"), whole, Refused);
    }
    corpus.add(
        "version 1.2",
        "GET / HTTP/1.2\r\nHost: a\r\n\r\n",
        AtMost(1),
    );
    corpus.add("version 1.0", "GET / HTTP/1.0\r\n\r\n", Passed(1, b""));
    corpus.add("a request of HTTP/0.9", "GET /\r\n", Refused);
    corpus.add(
        "a request of HTTP/0.9 with an end",
        "GET /\r\n\r\n",
        Refused,
    );
    for (name, front, expect) in [
        ("an empty line", "\r\n", Passed(1, &b""[..])),
        ("two empty lines", "\r\n\r\n", AtMost(1)),
        ("a bare LF", "\n", AtMost(1)),
        ("a bare CR", "\r", Refused),
        ("a blank", " ", Refused),
        ("a tab", "\t", Refused),
        ("a NUL", "\0", Refused),
        ("a blank line", " \r\n", Refused),
        ("the end of a chunked body", "0\r\n\r\n", Refused),
    ] {
        let whole = format!("{front}GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        corpus.add(format!("{name} in front"), whole, expect);
    }
}

/// Every line end of a request replaced by every wrong one.
fn line_ends(corpus: &mut Corpus) {
    let lines = [
        "POST / HTTP/1.1",
        "Host: a",
        "Content-Length: 1",
        "X-A: b",
        "",
    ];
    for (at, line) in lines.iter().enumerate() {
        for wrong in [
            "\n", "\r", "\r\r\n", "\n\r", "\r\0\n", "\r \n", "\n\n", "\x0b\n",
        ] {
            let mut whole = String::new();
            for (index, line) in lines.iter().enumerate() {
                whole += line;
                whole += if index == at { wrong } else { "\r\n" };
            }
            whole += "Z";
            whole += HIDDEN_REQUEST;
            corpus.add(format!("{wrong:?} behind {line:?}"), whole, Refused);
        }
    }
}

fn fields(corpus: &mut Corpus) {
    for byte in 0..=255u8 {
        if !is_token(byte) && byte != b':' {
            let whole = join(&[b"GET / HTTP/1.1\r\nHost: a\r\nX-", &[byte], b"A: b\r\n\r\n"]);
            corpus.add(format!("byte {byte:#04x} in a name"), whole, Refused);
        }
        if byte < 0x20 || byte == 0x7f {
            let whole = join(&[
                b"GET / HTTP/1.1\r\nHost: a\r\nX-A: b",
                &[byte],
                b"c\r\n\r\n",
            ]);
            let expect = if byte == b'\t' {
                Passed(1, b"")
            } else {
                Refused
            };
            corpus.add(format!("byte {byte:#04x} in a value"), whole, expect);
        } else if byte >= 0x80 && byte % 16 == 0 {
            let whole = join(&[
                b"GET / HTTP/1.1\r\nHost: a\r\nX-A: b",
                &[byte],
                b"c\r\n\r\n",
            ]);
            corpus.add(format!("byte {byte:#04x} in a value"), whole, AtMost(1));
        }
    }
    for (line, expect) in [
        (" X-A: b", Refused),
        ("\tX-A: b", Refused),
        ("X-A: b\r\n c", Refused),
        ("X-A: b\r\n\tc", Refused),
        ("X-A:\r\n b", Refused),
        ("X-A: b\r\n ", Refused),
        ("X-A : b", Refused),
        ("X-A\t: b", Refused),
        (": b", Refused),
        (":", Refused),
        ("X-A", Refused),
        ("X-A;", Refused),
        ("X A: b", Refused),
        ("X-A:b", Passed(1, b"")),
        ("X-A:", Passed(1, b"")),
        ("X-A:   \t ", Passed(1, b"")),
        ("X-A: b: c", Passed(1, b"")),
        ("X-A:: b", Passed(1, b"")),
        ("X-A: \"b\r\n\tc\"", Refused),
        ("X-A: b\\\r\nX-B: c", Passed(1, b"")),
    ] {
        let whole = format!("GET / HTTP/1.1\r\nHost: a\r\n{line}\r\nX-Z: z\r\n\r\n");
        corpus.add(format!("field {line:?}"), whole, expect.clone());
        // The same as the first field, where it touches the request line.
        let whole = format!("GET / HTTP/1.1\r\n{line}\r\nHost: a\r\n\r\n");
        corpus.add(format!("first field {line:?}"), whole, expect);
    }
}

fn hosts_and_connections(corpus: &mut Corpus) {
    for (lines, expect) in [
        ("Host: a", Passed(1, &b""[..])),
        ("Host:", AtMost(1)),
        ("X-A: b", AtMost(1)),
        ("Host: a\r\nHost: a", Refused),
        ("Host: a\r\nHost: b", Refused),
        ("Host: a\r\nX-A: b\r\nhost: b", Refused),
        ("Host: a\r\n b", Refused),
        ("Host : a", Refused),
        ("Host: a b", AtMost(1)),
        ("Host: a, b", AtMost(1)),
        ("Host: a/b", AtMost(1)),
        ("Host: u@a", AtMost(1)),
        ("Host: a:b", AtMost(1)),
        ("Host: a:99999", AtMost(1)),
        ("Host: [::1", AtMost(1)),
        ("Host: [::1]:80", Passed(1, b"")),
        ("Host: a\0b", Refused),
        ("Host: a\x1fb", Refused),
        ("Host: a\r\nConnection: host", AtMost(1)),
        ("Host: a\r\nConnection: close, host, x", AtMost(1)),
        (
            "Host: a\r\nConnection: upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA",
            Passed(1, b""),
        ),
        (
            "Host: a\r\nConnection: upgrade, http2-settings\r\nUpgrade: h2c, websocket",
            AtMost(1),
        ),
        ("Host: a\r\nUpgrade: websocket", AtMost(1)),
        ("Host: a\r\nExpect: 100-continue", Passed(1, b"")),
        ("Host: a\r\nExpect: something", AtMost(1)),
        ("Host: a\r\nProxy-Connection: keep-alive", Passed(1, b"")),
        ("Host: a\r\nKeep-Alive: timeout=5", Passed(1, b"")),
        ("Host: a\r\nTE: trailers, chunked", Passed(1, b"")),
        ("Host: a\r\nTrailer: Content-Length", Passed(1, b"")),
    ] {
        let whole = format!("GET / HTTP/1.1\r\n{lines}\r\n\r\n");
        corpus.add(format!("{lines:?}"), whole, expect);
    }
}

fn pipelines(corpus: &mut Corpus) {
    let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
    let chunked =
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    let head = "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n";
    for (name, parts, expect) in [
        ("two", vec![AFTER, AFTER], Passed(2, &b""[..])),
        ("three", vec![AFTER, AFTER, AFTER], Passed(3, b"")),
        ("a body, then one", vec![post, AFTER], Passed(2, b"abc")),
        ("chunks, then one", vec![chunked, AFTER], Passed(2, b"abc")),
        ("HEAD, then one", vec![head, AFTER], Passed(2, b"")),
        ("one, then a body", vec![AFTER, post], Passed(2, b"")),
        (
            "an empty line between",
            vec![post, "\r\n", AFTER],
            Passed(2, b"abc"),
        ),
        ("garbage between", vec![post, "x", AFTER], AtMost(2)),
        (
            "one, then a broken one",
            vec![AFTER, "GET / HTTP/1.1\r\nA B: c\r\n\r\n", HIDDEN_REQUEST],
            Passed(1, b""),
        ),
        (
            "close, then one",
            vec![
                "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
                HIDDEN_REQUEST,
            ],
            Passed(1, b""),
        ),
        (
            "HTTP/1.0, then one",
            vec!["GET / HTTP/1.0\r\n\r\n", HIDDEN_REQUEST],
            Passed(1, b""),
        ),
        (
            "HTTP/1.0 kept, then one",
            vec!["GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", AFTER],
            Passed(2, b""),
        ),
    ] {
        corpus.add(format!("pipeline: {name}"), parts.concat(), expect);
    }
}

fn limits(corpus: &mut Corpus) {
    let many = |count: usize| "X-A: b\r\n".repeat(count);
    for (name, text, expect) in [
        (
            "200 fields",
            format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", many(200)),
            Refused,
        ),
        (
            "90 fields",
            format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", many(90)),
            Passed(1, &b""[..]),
        ),
        (
            "a value of 20,000 bytes",
            format!(
                "GET / HTTP/1.1\r\nHost: a\r\nX-A: {}\r\n\r\n",
                "x".repeat(20_000)
            ),
            Refused,
        ),
        (
            "a target of 20,000 bytes",
            format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(20_000)),
            Refused,
        ),
        (
            "a method of 20,000 bytes",
            format!("{} / HTTP/1.1\r\nHost: a\r\n\r\n", "X".repeat(20_000)),
            Refused,
        ),
        (
            "a name of 20,000 bytes",
            format!(
                "GET / HTTP/1.1\r\nHost: a\r\n{}: b\r\n\r\n",
                "x".repeat(20_000)
            ),
            Refused,
        ),
        (
            "a target of 8,000 bytes",
            format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(8_000)),
            Passed(1, b""),
        ),
        (
            "a head without an end",
            format!("GET / HTTP/1.1\r\nHost: a\r\n{}", many(10)),
            Refused,
        ),
    ] {
        corpus.add(name, text, expect);
    }
}
