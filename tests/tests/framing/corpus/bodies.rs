//! Requests whose bodies have wrong or odd lengths, codings and chunks.

use super::Expect::{AtMost, Passed, Refused};
use super::{AFTER, Corpus, HIDDEN_REQUEST};

pub(super) fn lengths(corpus: &mut Corpus) {
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

pub(super) fn codings(corpus: &mut Corpus) {
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

pub(super) fn chunks(corpus: &mut Corpus) {
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
