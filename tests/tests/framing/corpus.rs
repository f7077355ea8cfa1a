//! The corpus: requests and answers that break the rules of RFC 9112 one at a time, or stretch them, made from the rules.

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

fn lengths(corpus: &mut Corpus) {
    for (value, expect) in [
        ("3", Passed(1, &b"abc"[..])),
        (" 3 ", Passed(1, b"abc")),
        ("\t3\t", Passed(1, b"abc")),
        ("03", AtMost(1)),
        ("0000000000000000000000000003", AtMost(1)),
        ("3, 3", AtMost(1)),
        ("3,3", AtMost(1)),
        ("", Refused),
        (" ", Refused),
        ("+3", Refused),
        ("-3", Refused),
        ("--3", Refused),
        ("3-", Refused),
        ("3,", Refused),
        (",3", Refused),
        ("3,4", Refused),
        ("3, 0", Refused),
        ("0, 3", Refused),
        ("3;3", Refused),
        ("3 3", Refused),
        ("3\t3", Refused),
        ("3.0", Refused),
        ("3e0", Refused),
        ("0x3", Refused),
        ("3h", Refused),
        ("\"3\"", Refused),
        ("'3'", Refused),
        ("three", Refused),
        ("NaN", Refused),
        ("\u{0663}", Refused),
        ("\u{ff13}", Refused),
        ("18446744073709551615", Refused),
        ("18446744073709551616", Refused),
        ("18446744073709551619", Refused),
        ("9223372036854775808", Refused),
        ("4294967299", Refused),
        ("99999999999999999999999999999999", Refused),
    ] {
        let whole = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {value}\r\n\r\nabc");
        corpus.add(format!("Content-Length {value:?}"), whole, expect);
    }
    for (lines, expect) in [
        ("Content-Length: 3\r\nContent-Length: 3", AtMost(1)),
        ("Content-Length: 3\r\ncontent-length: 0", Refused),
        ("Content-Length: 0\r\nContent-Length: 3", Refused),
        ("Content-Length: 3\r\nX-A: b\r\nCONTENT-LENGTH: 4", Refused),
        ("Content-Length: 3\r\nContent-Length:", Refused),
        ("Content-Length:\r\nContent-Length: 3", Refused),
        ("Content-Length : 3", Refused),
        (" Content-Length: 3", Refused),
        ("Content-Length\t: 3", Refused),
        ("X-A: b\r\n Content-Length: 3", Refused),
        ("Content-Length: 3\r\n 0", Refused),
        ("Content-Length: 3\r\nContent_Length: 0", AtMost(1)),
        ("Content-Length: 3\r\nContent-Length2: 0", AtMost(1)),
        ("Connection: content-length\r\nContent-Length: 3", AtMost(1)),
        (
            "Content-Length: 3\r\nConnection: Content-Length, close",
            AtMost(1),
        ),
    ] {
        let whole = format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\n\r\nabc");
        corpus.add(format!("{lines:?}"), whole, expect);
    }
    for method in ["GET", "HEAD", "DELETE", "OPTIONS", "PUT", "PATCH", "QUERY"] {
        let whole = format!("{method} / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
        corpus.add(format!("{method} with a body"), whole, Passed(1, b"abc"));
        let whole = format!("{method} / HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc");
        corpus.add(
            format!("{method} with a body in HTTP/1.0"),
            whole,
            Passed(1, b"abc"),
        );
        let hidden = HIDDEN_REQUEST;
        let whole = format!(
            "{method} / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{hidden}",
            hidden.len()
        );
        corpus.add(
            format!("{method} with a request as its body"),
            whole,
            AtMost(1),
        );
    }
    let whole = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc";
    corpus.add("a body that is cut", whole, Refused);
}

fn codings(corpus: &mut Corpus) {
    let body = "3\r\nabc\r\n0\r\n\r\n";
    for (value, expect) in [
        ("chunked", Passed(1, &b"abc"[..])),
        ("Chunked", Passed(1, b"abc")),
        ("CHUNKED", Passed(1, b"abc")),
        ("  chunked  ", Passed(1, b"abc")),
        ("\tchunked\t", Passed(1, b"abc")),
        (",chunked", AtMost(1)),
        ("chunked,", AtMost(1)),
        (", chunked ,", AtMost(1)),
        ("gzip, chunked", AtMost(1)),
        ("", Refused),
        (",", Refused),
        ("identity", Refused),
        ("gzip", Refused),
        ("chunked, chunked", Refused),
        ("chunked chunked", Refused),
        ("chunked, identity", Refused),
        ("identity, chunked", Refused),
        ("chunked, gzip", Refused),
        ("chunked; q=1", Refused),
        ("chunked;a=b", Refused),
        ("chunked;", Refused),
        ("xchunked", Refused),
        ("chunkedx", Refused),
        ("x chunked", Refused),
        ("chunk", Refused),
        ("chunke\u{0064}\u{0301}", Refused),
        ("\"chunked\"", Refused),
        ("'chunked'", Refused),
        ("chunked\u{a0}", Refused),
        ("\u{a0}chunked", Refused),
        ("c\thunked", Refused),
        ("deflate, x", Refused),
        ("trailers", Refused),
        ("null", Refused),
        ("\u{212a}chunked", Refused),
    ] {
        let whole =
            format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: {value}\r\n\r\n{body}");
        corpus.add(
            format!("Transfer-Encoding {value:?}"),
            whole,
            expect.clone(),
        );
        // With a length beside it, both orders: the classic.
        let (coding, length) = (
            format!("Transfer-Encoding: {value}"),
            "Content-Length: 4".to_owned(),
        );
        for lines in [[&coding, &length], [&length, &coding]] {
            let [one, two] = lines;
            let whole = format!(
                "POST / HTTP/1.1\r\nHost: a\r\n{one}\r\n{two}\r\n\r\n{body}{HIDDEN_REQUEST}"
            );
            corpus.add(format!("{one:?} and {two:?}"), whole, Refused);
        }
    }
    for (lines, expect) in [
        (
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
            Refused,
        ),
        (
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
            Refused,
        ),
        (
            "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
            Refused,
        ),
        (
            "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked",
            AtMost(1),
        ),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: ", Refused),
        ("Transfer-Encoding : chunked", Refused),
        ("Transfer-Encoding\t: chunked", Refused),
        (" Transfer-Encoding: chunked", Refused),
        ("X-A: b\r\n Transfer-Encoding: chunked", Refused),
        ("Transfer-Encoding:\r\n chunked", Refused),
        ("Transfer-Encoding: \x0bchunked", Refused),
        ("Transfer-Encoding: chunked\0", Refused),
        ("Transfer\0-Encoding: chunked", Refused),
        (
            "Connection: transfer-encoding\r\nTransfer-Encoding: chunked",
            AtMost(1),
        ),
        (
            "Transfer-Encoding: chunked\r\nConnection: Transfer-Encoding, close",
            AtMost(1),
        ),
        (
            "TE: chunked\r\nTransfer-Encoding: chunked",
            Passed(1, b"abc"),
        ),
    ] {
        let whole = format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\n\r\n{body}");
        corpus.add(format!("{lines:?}"), whole, expect);
    }
    let whole = format!("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
    corpus.add("a transfer coding in HTTP/1.0", whole, Refused);
    let whole = format!(
        "POST / HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n{body}"
    );
    corpus.add("a coding and a length in HTTP/1.0", whole, Refused);
}

fn chunks(corpus: &mut Corpus) {
    let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    // Each with a request behind it that must not be reached when the body is broken.
    for (body, expect) in [
        ("0\r\n\r\n", Passed(2, &b""[..])),
        ("3\r\nabc\r\n0\r\n\r\n", Passed(2, b"abc")),
        ("1\r\na\r\n2\r\nbc\r\n0\r\n\r\n", Passed(2, b"abc")),
        ("00003\r\nabc\r\n000\r\n\r\n", Passed(2, b"abc")),
        ("3;a\r\nabc\r\n0;b\r\n\r\n", Passed(2, b"abc")),
        ("3;a=b\r\nabc\r\n0\r\n\r\n", Passed(2, b"abc")),
        ("3;a=\"b;c\"\r\nabc\r\n0\r\n\r\n", Passed(2, b"abc")),
        ("3 ;a\r\nabc\r\n0\r\n\r\n", AtMost(2)),
        ("3\t; a = b\r\nabc\r\n0\r\n\r\n", AtMost(2)),
        ("3;\r\nabc\r\n0\r\n\r\n", AtMost(2)),
        ("3 \r\nabc\r\n0\r\n\r\n", AtMost(2)),
        ("3\r\nabc\r\n0\r\nX-T: t\r\n\r\n", Passed(2, b"abc")),
        ("3\r\nabc\r\n0\r\nX-T: t\r\nX-U:\r\n\r\n", Passed(2, b"abc")),
        ("3\r\nabc\r\n0\r\nContent-Length: 5\r\n\r\n", AtMost(2)),
        (
            "3\r\nabc\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n",
            AtMost(2),
        ),
        ("3\r\nabc\r\n0\r\nHost: b\r\n\r\n", AtMost(2)),
        ("A\r\n0123456789\r\n0\r\n\r\n", Passed(2, b"0123456789")),
        ("a\r\n0123456789\r\n0\r\n\r\n", Passed(2, b"0123456789")),
        ("\r\n3\r\nabc\r\n0\r\n\r\n", Refused),
        (" 3\r\nabc\r\n0\r\n\r\n", Refused),
        ("\t3\r\nabc\r\n0\r\n\r\n", Refused),
        ("+3\r\nabc\r\n0\r\n\r\n", Refused),
        ("-3\r\nabc\r\n0\r\n\r\n", Refused),
        ("0x3\r\nabc\r\n0\r\n\r\n", Refused),
        ("3h\r\nabc\r\n0\r\n\r\n", Refused),
        ("g\r\nabc\r\n0\r\n\r\n", Refused),
        ("3,\r\nabc\r\n0\r\n\r\n", Refused),
        ("3 3\r\nabc\r\n0\r\n\r\n", Refused),
        ("3\0\r\nabc\r\n0\r\n\r\n", Refused),
        ("\"3\"\r\nabc\r\n0\r\n\r\n", Refused),
        ("\u{0663}\r\nabc\r\n0\r\n\r\n", Refused),
        (";a\r\nabc\r\n0\r\n\r\n", Refused),
        ("3\nabc\r\n0\r\n\r\n", Refused),
        ("3\rabc\r\n0\r\n\r\n", Refused),
        ("3\r\r\nabc\r\n0\r\n\r\n", Refused),
        ("3\n\rabc\r\n0\r\n\r\n", Refused),
        ("3\r\nabc\n0\r\n\r\n", Refused),
        ("3\r\nabc\r0\r\n\r\n", Refused),
        ("3\r\nabc0\r\n\r\n", Refused),
        ("3\r\nabcd\r\n0\r\n\r\n", Refused),
        ("3\r\nab\r\n0\r\n\r\n", Refused),
        ("3\r\nabc\r\r\n0\r\n\r\n", Refused),
        ("3\r\nabc \r\n0\r\n\r\n", Refused),
        ("3\r\nabc\r\n0\n\r\n", Refused),
        ("3\r\nabc\r\n0\r\r\n\r\n", Refused),
        ("3\r\nabc\r\n0\r\n\n", Refused),
        ("3\r\nabc\r\n0\r\n\r", Refused),
        ("3\r\nabc\r\n0\r\nX-T: t\n\r\n", Refused),
        ("3\r\nabc\r\n0\r\nX-T : t\r\n\r\n", Refused),
        ("3\r\nabc\r\n0\r\n X-T: t\r\n\r\n", Refused),
        ("3\r\nabc\r\n0\r\nX-T: t\r\n u\r\n\r\n", Refused),
        ("3\r\nabc\r\n0\r\nX-T\r\n\r\n", Refused),
        ("3\r\nabc\r\n0\r\n: t\r\n\r\n", Refused),
        ("3\r\nabc\r\n0\r\nX T: t\r\n\r\n", Refused),
        ("3\r\nabc\r\n0\r\nX-T: \0\r\n\r\n", Refused),
        ("3\r\nabc\r\n0\r\nX-T: a\rb\r\n\r\n", Refused),
        ("3;a\nb\r\nabc\r\n0\r\n\r\n", Refused),
        ("3;a\rb\r\nabc\r\n0\r\n\r\n", Refused),
        ("3;a=\"\r\n\"\r\nabc\r\n0\r\n\r\n", Refused),
        ("3;\0\r\nabc\r\n0\r\n\r\n", Refused),
        ("3;\x7f\r\nabc\r\n0\r\n\r\n", Refused),
        ("fffffffffffffffff\r\nabc\r\n0\r\n\r\n", Refused),
        ("10000000000000003\r\nabc\r\n0\r\n\r\n", Refused),
        ("ffffffffffffffff\r\nabc\r\n0\r\n\r\n", Refused),
        ("100000003\r\nabc\r\n0\r\n\r\n", Refused),
        (
            "00000000000000000000000000000003\r\nabc\r\n0\r\n\r\n",
            AtMost(2),
        ),
    ] {
        corpus.add(
            format!("chunks {body:?}"),
            format!("{head}{body}{AFTER}"),
            expect,
        );
    }
    for body in [
        "",
        "0\r\n",
        "0\r\nX-T: t\r\n",
        "3\r\nabc\r\n",
        "3\r\nabc",
        "3\r\nab",
        "3\r\n",
        "3",
    ] {
        corpus.add(
            format!("chunks that end with {body:?}"),
            format!("{head}{body}"),
            Refused,
        );
    }
    let long = format!("{head}3;{}\r\nabc\r\n0\r\n\r\n", "x".repeat(40_000));
    corpus.add("an endless chunk extension", long, Refused);
    let long = format!("{head}0\r\nX-T: {}\r\n\r\n", "x".repeat(40_000));
    corpus.add("an endless trailer", long, Refused);
    let long = format!("{head}{}3\r\nabc\r\n0\r\n\r\n", "0".repeat(40_000));
    corpus.add("an endless chunk size", long, Refused);
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

/// All answers of a server. `Refused` means that the client must get a 502, or an answer that is visibly cut.
pub(crate) fn answers() -> Vec<Case> {
    let mut corpus = Corpus::default();
    for line in [
        "",
        "HTTP",
        "HTTP/1.1",
        "HTTP/1.1 ",
        "HTTP/1.1 2",
        "HTTP/1.1 20",
        "HTTP/1.1 2000 OK",
        "HTTP/1.1 20x OK",
        "HTTP/1.1 -200 OK",
        "HTTP/1.1 +20 OK",
        "HTTP/1.1  200 OK",
        "HTTP/2.0 200 OK",
        "HTTP/0.9 200 OK",
        "http/1.1 200 OK",
        "ICY 200 OK",
        "HTTP/1.1\t200 OK",
        " HTTP/1.1 200 OK",
        "\tHTTP/1.1 200 OK",
        "HTTP/1.1 000 x",
        "HTTP/1.1 099 x",
        "HTTP/1.1 200\0OK",
        "HTTP/1.1 200 O\0K",
        "HTTP/1.1 200 O\x01K",
        "HTTP/1.1 200 O\rK",
        "GET / HTTP/1.1",
        "200 OK",
        "HTTP/1.1 200 OK\n",
        "HTTP/1.1 20\u{0663} OK",
    ] {
        let whole = format!("{line}\r\nContent-Length: 3\r\n\r\nabc");
        corpus.add(format!("status line {line:?}"), whole, Refused);
    }
    for line in [
        "HTTP/1.1 200 OK",
        "HTTP/1.1 200 ",
        "HTTP/1.0 200 OK",
        "HTTP/1.1 299 Strange",
        "HTTP/1.1 599 x",
        "HTTP/1.1 200 O\tK",
    ] {
        let whole = format!("{line}\r\nContent-Length: 3\r\n\r\nabc");
        corpus.add(format!("status line {line:?}"), whole, Passed(1, b"abc"));
    }
    for (line, expect) in [
        ("HTTP/1.1 200", AtMost(1)),
        ("HTTP/1.2 200 OK", AtMost(1)),
        ("HTTP/1.1 600 x", AtMost(1)),
        ("HTTP/1.1 999 x", AtMost(1)),
        ("HTTP/1.1 200 \u{e9}t\u{e9}", AtMost(1)),
    ] {
        let whole = format!("{line}\r\nContent-Length: 3\r\n\r\nabc");
        corpus.add(format!("status line {line:?}"), whole, expect);
    }
    for byte in 0..=255u8 {
        if !is_token(byte) && byte != b':' {
            let whole = join(&[
                b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nX-",
                &[byte],
                b"A: b\r\n\r\nabc",
            ]);
            corpus.add(format!("byte {byte:#04x} in a name"), whole, Refused);
        }
        if (byte < 0x20 && byte != b'\t') || byte == 0x7f {
            let whole = join(&[
                b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nX-A: b",
                &[byte],
                b"c\r\n\r\nabc",
            ]);
            corpus.add(format!("byte {byte:#04x} in a value"), whole, Refused);
        }
    }
    for (lines, expect) in [
        ("Content-Length: 3", Passed(1, &b"abc"[..])),
        ("Content-Length: 2", AtMost(1)),
        ("Content-Length: 4", Refused),
        ("Content-Length: 03", AtMost(1)),
        ("Content-Length: 3, 3", AtMost(1)),
        ("Content-Length: 3\r\nContent-Length: 3", AtMost(1)),
        ("Content-Length: 3\r\nContent-Length: 4", Refused),
        ("Content-Length: 3, 4", Refused),
        ("Content-Length: +3", Refused),
        ("Content-Length: -3", Refused),
        ("Content-Length: 0x3", Refused),
        ("Content-Length: 3a", Refused),
        ("Content-Length:", Refused),
        ("Content-Length: 18446744073709551619", Refused),
        ("Content-Length : 3", Refused),
        (" Content-Length: 3", Refused),
        ("Content-Length: 3\r\n 0", Refused),
        ("Content-Length: 3\nX-A: b", Refused),
        ("Content-Length: 3\rX-A: b", Refused),
        ("X-A", Refused),
        (": b", Refused),
        ("X-A: b\r\n c", Refused),
        ("Transfer-Encoding: chunked\r\nContent-Length: 3", Refused),
        ("Content-Length: 3\r\nTransfer-Encoding: chunked", Refused),
        ("Transfer-Encoding: identity\r\nContent-Length: 3", Refused),
        ("Transfer-Encoding: chunked, identity", Refused),
        ("Transfer-Encoding: identity, chunked", Refused),
        ("Transfer-Encoding: chunked, chunked", Refused),
        ("Transfer-Encoding: xchunked", Refused),
        ("Transfer-Encoding: gzip", Refused),
        ("Transfer-Encoding:", Refused),
        ("Transfer-Encoding: chunked;a=b", Refused),
        ("Transfer-Encoding : chunked", Refused),
        ("Transfer-Encoding:\r\n chunked", Refused),
        ("Connection: content-length\r\nContent-Length: 3", AtMost(1)),
        ("X-A: b", Passed(1, b"abc")),
    ] {
        let whole = format!("HTTP/1.1 200 OK\r\n{lines}\r\n\r\nabc");
        corpus.add(format!("{lines:?}"), whole, expect);
    }
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (body, expect) in [
        ("3\r\nabc\r\n0\r\n\r\n", Passed(1, &b"abc"[..])),
        ("3;a=b\r\nabc\r\n0\r\nX-T: t\r\n\r\n", Passed(1, b"abc")),
        (
            "3\r\nabc\r\n0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhidden",
            AtMost(1),
        ),
        ("3\r\nabc\r\n", Refused),
        ("3\r\nabc\r\n0\r\n", Refused),
        ("3\r\nab", Refused),
        ("", Refused),
        ("0x3\r\nabc\r\n0\r\n\r\n", Refused),
        ("3\nabc\r\n0\r\n\r\n", Refused),
        ("3\r\nabc\n0\r\n\r\n", Refused),
        ("3\r\nabcd\r\n0\r\n\r\n", Refused),
        ("3\r\nabc\r\n0\r\nX T: t\r\n\r\n", Refused),
        ("-3\r\nabc\r\n0\r\n\r\n", Refused),
        (" 3\r\nabc\r\n0\r\n\r\n", Refused),
        ("3;a\rb\r\nabc\r\n0\r\n\r\n", Refused),
        ("fffffffffffffffff\r\nabc\r\n0\r\n\r\n", Refused),
    ] {
        corpus.add(format!("chunks {body:?}"), format!("{head}{body}"), expect);
    }
    for (name, text, expect) in [
        ("nothing", "", Refused),
        ("half a head", "HTTP/1.1 200 OK\r\nContent-Le", Refused),
        (
            "bytes behind the answer",
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhidden",
            Passed(1, &b"abc"[..]),
        ),
        (
            "a body behind 204",
            "HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\nabc",
            AtMost(1),
        ),
        (
            "a body behind 304",
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\n",
            Passed(1, b""),
        ),
        (
            "an interim answer",
            "HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
            Passed(2, b""),
        ),
        (
            "an interim answer alone",
            "HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n",
            AtMost(2),
        ),
        (
            "a broken interim answer",
            "HTTP/1.1 103 Early Hints\r\nA B: c\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
            Refused,
        ),
        (
            "101 that nobody asked for",
            "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhidden",
            AtMost(1),
        ),
        ("HTTP/0.9", "<html>hello</html>", Refused),
    ] {
        corpus.add(name, text, expect);
    }
    let whole = format!(
        "HTTP/1.1 200 OK\r\nX-A: {}\r\nContent-Length: 3\r\n\r\nabc",
        "x".repeat(40_000)
    );
    corpus.add("a value of 40,000 bytes", whole, Refused);
    let whole = format!(
        "HTTP/1.1 200 OK\r\n{}Content-Length: 3\r\n\r\nabc",
        "X-A: b\r\n".repeat(300)
    );
    corpus.add("300 fields", whole, Refused);
    corpus.0
}
