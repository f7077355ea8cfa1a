//! Answers that break the rules, or stretch them.

use super::Expect::{AtMost, Passed, Refused};
use super::{Case, Corpus, is_token, join};

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
