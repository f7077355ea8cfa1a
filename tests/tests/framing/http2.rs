//! The same through HTTP/2: what its binary fields could carry into the text of HTTP/1 must not come out of it.
//!
//! The bytes are written here frame by frame (RFC 9113 4.1, RFC 7541 6.2.3), so that nothing tidies them first.

use super::corpus::{Case, Expect, HIDDEN};

use Expect::{AtMost, Passed, Refused};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// A field as a literal that is never indexed, without Huffman coding.
fn literal(name: &[u8], value: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x10];
    for text in [name, value] {
        let length = text.len();
        if length < 127 {
            bytes.push(length as u8);
        } else {
            bytes.push(127);
            let mut rest = length - 127;
            while rest >= 128 {
                bytes.push((rest % 128) as u8 | 0x80);
                rest /= 128;
            }
            bytes.push(rest as u8);
        }
        bytes.extend(text);
    }
    bytes
}

type Field<'a> = (&'a [u8], &'a [u8]);

/// A connection with one request of these fields, these pieces of content, and these trailers.
fn request(fields: &[Field<'_>], content: &[&[u8]], trailers: &[Field<'_>]) -> Vec<u8> {
    let block = |fields: &[Field<'_>]| -> Vec<u8> {
        fields
            .iter()
            .flat_map(|(name, value)| literal(name, value))
            .collect()
    };
    let mut bytes = PREFACE.to_vec();
    bytes.extend(frame(SETTINGS, 0, 0, &[]));
    let ends = content.is_empty() && trailers.is_empty();
    let flags = END_HEADERS | if ends { END_STREAM } else { 0 };
    bytes.extend(frame(HEADERS, flags, 1, &block(fields)));
    for (at, piece) in content.iter().enumerate() {
        let last = at + 1 == content.len() && trailers.is_empty();
        bytes.extend(frame(DATA, if last { END_STREAM } else { 0 }, 1, piece));
    }
    if !trailers.is_empty() {
        bytes.extend(frame(
            HEADERS,
            END_HEADERS | END_STREAM,
            1,
            &block(trailers),
        ));
    }
    bytes
}

const METHOD: Field<'static> = (b":method", b"GET");
const POST: Field<'static> = (b":method", b"POST");
const SCHEME: Field<'static> = (b":scheme", b"http");
const PATH: Field<'static> = (b":path", b"/");
const AUTHORITY: Field<'static> = (b":authority", b"a");

/// Whether the answer to stream 1, or the end of the connection, is there.
pub(crate) fn is_answered(mut bytes: &[u8]) -> bool {
    while let Some((head, rest)) = bytes.split_first_chunk::<9>() {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        let (kind, flags) = (head[3], head[4]);
        let Some(after) = rest.get(length..) else {
            return false;
        };
        let ends = matches!(kind, DATA | HEADERS) && flags & END_STREAM != 0 || kind == RST_STREAM;
        if kind == GOAWAY || (stream == 1 && ends) {
            return true;
        }
        bytes = after;
    }
    false
}

/// All requests.
pub(crate) fn requests() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut add = |name: String, bytes: Vec<u8>, expect: Expect| {
        cases.push(Case {
            name: format!("HTTP/2: {name}"),
            bytes,
            expect,
        })
    };
    let usual = [METHOD, SCHEME, PATH, AUTHORITY];
    add("usual".into(), request(&usual, &[], &[]), Passed(1, b""));
    for missing in 0..usual.len() {
        let mut fields = usual.to_vec();
        let (name, _) = fields.remove(missing);
        let expect = if name == b":authority" {
            AtMost(1)
        } else {
            Refused
        };
        let name = String::from_utf8_lossy(name).into_owned();
        add(
            format!("without {name}"),
            request(&fields, &[], &[]),
            expect,
        );
        let mut fields = usual.to_vec();
        fields.push(usual[missing]);
        add(format!("{name} twice"), request(&fields, &[], &[]), Refused);
        let mut fields = usual.to_vec();
        let field = fields.remove(missing);
        fields.extend([(&b"x-a"[..], &b"b"[..]), field]);
        add(
            format!("{name} behind a field"),
            request(&fields, &[], &[]),
            Refused,
        );
    }
    for byte in (0..=0x20u8).chain(0x7f..=0xff) {
        for (index, name) in [(0, ":method"), (2, ":path"), (3, ":authority")] {
            let value = [b"/a", &[byte][..], b"b"].concat();
            let mut fields = usual.to_vec();
            fields[index] = (
                name.as_bytes(),
                if index == 0 { &value[1..] } else { &value },
            );
            if index == 3 {
                fields[index].1 = &value[1..];
            }
            let expect = if index != 0 && byte >= 0x80 {
                AtMost(1)
            } else {
                Refused
            };
            add(
                format!("byte {byte:#04x} in {name}"),
                request(&fields, &[], &[]),
                expect,
            );
        }
        let value = [b"b", &[byte][..], b"c"].concat();
        let fields = [&usual[..], &[(&b"x-a"[..], &value[..])]].concat();
        let expect = match byte {
            b'\t' | b' ' => Passed(1, &b""[..]),
            0x80.. => AtMost(1),
            _ => Refused,
        };
        add(
            format!("byte {byte:#04x} in a value"),
            request(&fields, &[], &[]),
            expect,
        );
    }
    for byte in 0..=255u8 {
        let is_name = byte.is_ascii_lowercase()
            || byte.is_ascii_digit()
            || b"!#$%&'*+-.^_`|~".contains(&byte);
        if !is_name {
            let name = [b"x", &[byte][..], b"a"].concat();
            let fields = [&usual[..], &[(&name[..], &b"b"[..])]].concat();
            add(
                format!("byte {byte:#04x} in a name"),
                request(&fields, &[], &[]),
                Refused,
            );
        }
    }
    for (name, value, expect) in [
        ("connection", "close", Refused),
        ("connection", "keep-alive", Refused),
        ("keep-alive", "timeout=5", Refused),
        ("proxy-connection", "close", Refused),
        ("transfer-encoding", "chunked", Refused),
        ("transfer-encoding", "identity", Refused),
        ("upgrade", "websocket", Refused),
        ("upgrade", "h2c", Refused),
        ("te", "chunked", Refused),
        ("te", "trailers", Passed(1, &b""[..])),
        ("te", "trailers, chunked", Refused),
        ("", "b", Refused),
        (":", "b", Refused),
        (":x", "b", Refused),
        (":status", "200", Refused),
        (":protocol", "websocket", Refused),
        ("x-a", "", Passed(1, b"")),
        ("x-a", " b", AtMost(1)),
        ("x-a", "b ", AtMost(1)),
        ("x-a", "b\r\nx-hidden: c", Refused),
        (
            "x-a",
            "b\r\n\r\nGET /hidden HTTP/1.1\r\nHost: a\r\n\r\n",
            Refused,
        ),
        ("x-a: b\r\nx-hidden", "c", Refused),
        ("x-a:", "b", Refused),
        ("host", "a", Passed(1, b"")),
        ("host", "b", AtMost(1)),
        ("host", "", AtMost(1)),
        ("expect", "100-continue", AtMost(1)),
        ("content-length", "0", Passed(1, b"")),
        ("content-length", "5", Refused),
        ("content-length", "", Refused),
        ("content-length", "-0", Refused),
        ("content-length", "0, 0", AtMost(1)),
        ("content-length", "0x0", Refused),
        ("cookie", "a=b", Passed(1, b"")),
    ] {
        let fields = [&usual[..], &[(name.as_bytes(), value.as_bytes())]].concat();
        add(
            format!("{name:?}: {value:?}"),
            request(&fields, &[], &[]),
            expect,
        );
    }
    for (method, path, authority, expect) in [
        ("GET", "", "a", Refused),
        ("GET", "a", "a", Refused),
        ("GET", "*", "a", AtMost(1)),
        ("OPTIONS", "*", "a", Passed(1, &b""[..])),
        ("GET", "http://b/", "a", AtMost(1)),
        ("GET", "//b/", "a", Passed(1, b"")),
        ("GET", "/#x", "a", AtMost(1)),
        (
            "GET",
            "/ HTTP/1.1\r\nHost: b\r\n\r\nGET /hidden",
            "a",
            Refused,
        ),
        ("GET", "/ HTTP/1.1", "a", Refused),
        (
            "GET /hidden HTTP/1.1\r\nHost: a\r\n\r\nGET",
            "/",
            "a",
            Refused,
        ),
        ("", "/", "a", Refused),
        ("G T", "/", "a", Refused),
        ("get", "/", "a", AtMost(1)),
        ("GET", "/", "", AtMost(1)),
        ("GET", "/", "a\r\nx-hidden: b", Refused),
        ("GET", "/", "u@a", AtMost(1)),
        ("GET", "/", "a b", Refused),
        ("GET", "/", "a/b", AtMost(1)),
    ] {
        let fields = [
            (&b":method"[..], method.as_bytes()),
            SCHEME,
            (b":path", path.as_bytes()),
            (b":authority", authority.as_bytes()),
        ];
        add(
            format!("{method:?} {path:?} at {authority:?}"),
            request(&fields, &[], &[]),
            expect,
        );
    }
    bodies(&mut add);
    cases
}

fn bodies(add: &mut dyn FnMut(String, Vec<u8>, Expect)) {
    let post = [POST, SCHEME, PATH, AUTHORITY];
    let hidden = format!("0\r\n\r\nGET {HIDDEN} HTTP/1.1\r\nHost: a\r\n\r\n");
    let with =
        |length: &'static str| [&post[..], &[(&b"content-length"[..], length.as_bytes())]].concat();
    for (name, fields, content, expect) in [
        (
            "content",
            post.to_vec(),
            vec![&b"abc"[..]],
            Passed(1, &b"abc"[..]),
        ),
        (
            "content in pieces",
            post.to_vec(),
            vec![b"a", b"", b"bc"],
            Passed(1, b"abc"),
        ),
        ("empty content", post.to_vec(), vec![b""], Passed(1, b"")),
        (
            "chunks as content",
            post.to_vec(),
            vec![b"0\r\n\r\n"],
            Passed(1, b"0\r\n\r\n"),
        ),
        (
            "a request as content",
            post.to_vec(),
            vec![hidden.as_bytes()],
            AtMost(1),
        ),
        (
            "a length that fits",
            with("3"),
            vec![b"abc"],
            Passed(1, b"abc"),
        ),
        (
            "a length that fits the pieces",
            with("3"),
            vec![b"a", b"bc"],
            Passed(1, b"abc"),
        ),
        ("a length that is short", with("2"), vec![b"abc"], Refused),
        (
            "a length that is short of a piece",
            with("1"),
            vec![b"a", b"bc"],
            AtMost(1),
        ),
        ("a length that is long", with("4"), vec![b"abc"], Refused),
        (
            "a length of 0 with content",
            with("0"),
            vec![b"abc"],
            AtMost(1),
        ),
        (
            "a length that hides a request",
            with("5"),
            vec![hidden.as_bytes()],
            AtMost(1),
        ),
        (
            "a length that is no number",
            with("x"),
            vec![b"abc"],
            Refused,
        ),
        ("a length with a sign", with("+3"), vec![b"abc"], Refused),
        (
            "a length beyond all numbers",
            with("18446744073709551619"),
            vec![b"abc"],
            Refused,
        ),
    ] {
        add(name.into(), request(&fields, &content, &[]), expect);
    }
    for (first, second, expect) in [
        ("3", "3", AtMost(1)),
        ("3", "4", Refused),
        ("4", "3", Refused),
    ] {
        let mut fields = with(first);
        fields.push((b"content-length", second.as_bytes()));
        add(
            format!("lengths {first} and {second}"),
            request(&fields, &[b"abc"], &[]),
            expect,
        );
    }
    for (name, value, expect) in [
        ("x-t", "t", Passed(1, &b"abc"[..])),
        ("x-t", "", Passed(1, b"abc")),
        ("X-T", "t", Refused),
        ("x t", "t", Refused),
        ("x-t", "a\r\nb: c", Refused),
        ("x-t", "a\0", Refused),
        (":path", "/", AtMost(1)),
        (":status", "200", AtMost(1)),
        ("connection", "close", Refused),
        ("transfer-encoding", "chunked", Refused),
        ("content-length", "9", AtMost(1)),
        ("host", "b", AtMost(1)),
    ] {
        let fields = [(name.as_bytes(), value.as_bytes())];
        add(
            format!("trailer {name:?}: {value:?}"),
            request(&post, &[b"abc"], &fields),
            expect,
        );
    }
}
