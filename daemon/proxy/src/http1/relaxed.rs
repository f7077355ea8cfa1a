//! `option accept-invalid-http-request` and `accept-invalid-http-response`: names of fields with characters that RFC 9110
//! has no room for, and targets with a fragment or bytes above 126. Only what the strict parser has refused comes here.
//!
//! The odd bytes are masked and the strict parser reads the mask, so that line ends, versions and framing stay as strict as
//! ever. A name that a lenient server could take for one that decides framing or routing is refused all the same.

use super::parse::{self, Limits, ParseError, Parsed, RequestFacts, ResponseFacts};
use crate::http::{Head, is_token};

/// Stands for an odd byte; a token's character, and one of a target.
const MASK: u8 = b'x';
/// Names that decide framing, without what is no letter: a lenient server may find them within an odd name.
const FRAMING: [&str; 2] = ["contentlength", "transferencoding"];
/// Names that decide routing and the connection, likewise; an odd name may hold them, but not be them.
const ROUTING: [&str; 7] = [
    "host",
    "connection",
    "proxyconnection",
    "upgrade",
    "expect",
    "te",
    "trailer",
];

/// A head with its odd bytes masked, and the first of them.
struct Masked {
    bytes: Vec<u8>,
    odd: ParseError,
}

/// Parses a request that the strict parser has refused. With a head come the fault that it has and the fault's position.
///
/// # Errors
///
/// Whatever is refused even so.
pub fn parse_request(
    bytes: &[u8],
    limits: Limits,
    head: &mut Head,
    refusal: ParseError,
) -> Result<(Parsed<RequestFacts>, ParseError), ParseError> {
    let masked = mask(bytes, limits, true).ok_or(refusal)?;
    let parsed = parse::request_by_shape(bytes, &masked.bytes, limits, head)?;
    Ok((parsed, masked.odd))
}

/// The same of an answer.
///
/// # Errors
///
/// Whatever is refused even so.
pub fn parse_response(
    bytes: &[u8],
    limits: Limits,
    to_head: bool,
    to_connect: bool,
    head: &mut Head,
    refusal: ParseError,
) -> Result<(Parsed<ResponseFacts>, ParseError), ParseError> {
    let masked = mask(bytes, limits, false).ok_or(refusal)?;
    let parsed = parse::response_by_shape(bytes, &masked.bytes, limits, to_head, to_connect, head)?;
    Ok((parsed, masked.odd))
}

/// `None` without an odd byte that may pass.
fn mask(bytes: &[u8], limits: Limits, is_request: bool) -> Option<Masked> {
    // A head within its bound ends before this; what is behind it is of no account.
    let looked_at = bytes.len().min(limits.head_bytes + 1);
    let mut masked = bytes.to_vec();
    let mut odd = None;
    let mut start = 0;
    let mut is_first = true;
    while start < looked_at {
        let end =
            memchr::memchr(b'\n', &bytes[start..looked_at]).map_or(looked_at, |at| start + at);
        let line = &bytes[start..end];
        if !is_first && (line.is_empty() || line == b"\r") {
            break;
        }
        let (range, is_odd, reason): (_, fn(u8) -> bool, _) = if !is_first {
            (name_of(line), is_odd_in_name, "invalid header name")
        } else if is_request {
            (
                target_of(line),
                is_odd_in_target,
                "invalid byte in the target",
            )
        } else {
            (0..0, is_odd_in_name, "")
        };
        for at in start + range.start..start + range.end {
            if is_odd(bytes[at]) {
                masked[at] = MASK;
                odd.get_or_insert(ParseError {
                    reason,
                    position: at,
                });
            }
        }
        is_first = false;
        start = end + 1;
    }
    odd.map(|odd| Masked { bytes: masked, odd })
}

/// A byte that no name may hold and that passes. NUL and line ends never do: servers end names or lines at them.
fn is_odd_in_name(byte: u8) -> bool {
    !is_token(byte) && !matches!(byte, 0 | b'\r' | b'\n' | b':')
}

/// HAProxy's manual: 0 to 32 and 127 never pass.
fn is_odd_in_target(byte: u8) -> bool {
    matches!(
        byte,
        b'#' | b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}' | 0x80..
    )
}

/// Where a field's name stands in its line; nowhere if the line goes on with the one before, or if the name is too close
/// to one that decides how a message is read.
fn name_of(line: &[u8]) -> std::ops::Range<usize> {
    let end = memchr::memchr(b':', line)
        .unwrap_or_else(|| line.strip_suffix(b"\r").unwrap_or(line).len());
    let name = &line[..end];
    if matches!(name.first(), None | Some(b' ' | b'\t')) {
        return 0..0;
    }
    let bare: String = name
        .iter()
        .filter(|byte| byte.is_ascii_alphanumeric())
        .map(|byte| char::from(byte.to_ascii_lowercase()))
        .collect();
    let decides =
        ROUTING.contains(&bare.as_str()) || FRAMING.iter().any(|name| bare.contains(name));
    if decides { 0..0 } else { 0..end }
}

/// Where a request's target stands in its line, if it is a path: another form names a host, in which nothing may be odd.
fn target_of(line: &[u8]) -> std::ops::Range<usize> {
    let Some(start) = memchr::memchr(b' ', line).map(|at| at + 1) else {
        return 0..0;
    };
    if line.get(start) != Some(&b'/') {
        return 0..0;
    }
    let length = memchr::memchr2(b' ', b'\r', &line[start..]).unwrap_or(line.len() - start);
    start..start + length
}

#[cfg(test)]
mod tests {
    use super::super::{BodyLength, Limits, ParseError, Parsed};
    use super::*;

    fn request(bytes: &[u8]) -> Result<(Head, RequestFacts, &'static str), &'static str> {
        let mut head = Head::default();
        let limits = Limits::default();
        let refusal = match parse::parse_request(bytes, limits, &mut head) {
            Err(refusal) => refusal,
            Ok(_) => panic!("the strict parser has nothing against it"),
        };
        match parse_request(bytes, limits, &mut head, refusal) {
            Ok((Parsed::Complete { facts, length }, odd)) if length == bytes.len() => {
                Ok((head, facts, odd.reason))
            }
            Ok(other) => panic!("{other:?}"),
            Err(ParseError { reason, .. }) => Err(reason),
        }
    }

    #[test]
    fn odd_names_and_targets_pass_as_they_are() {
        for name in [
            &b"X a"[..],
            b"Xa ",
            b"X\ta",
            b"X\x01a",
            b"X(a",
            b"X\x80a",
            b"X\x7fa",
            b"X-Host ",
        ] {
            let bytes = [
                b"POST / HTTP/1.1\r\nHost: a\r\n",
                name,
                b": v\r\nContent-Length: 3\r\n\r\n",
            ]
            .concat();
            let (head, facts, odd) = request(&bytes).expect("accepted");
            assert_eq!(head.header(name), Some(&b"v"[..]), "{name:?}");
            assert_eq!(
                (facts.body, odd),
                (BodyLength::Bytes(3), "invalid header name")
            );
        }
        for target in [&b"/a#b"[..], b"/a\xffb", b"/\x80"] {
            let bytes = [b"GET ", target, b" HTTP/1.1\r\nHost: a\r\n\r\n"].concat();
            let (head, ..) = request(&bytes).expect("accepted");
            assert_eq!(head.target(), target);
        }
    }

    #[test]
    fn what_decides_framing_or_routing_stays_strict() {
        for line in [
            &b"Content-Length : 3"[..],
            b"Content Length: 3",
            b"\x01content-length: 3",
            b"Transfer-Encoding\x0b: chunked",
            b"X Transfer-Encoding: chunked",
            b"Transfer\xffEncoding: chunked",
            b"Host : b",
            b"\"host: b",
            b"Connection\t: close",
            b"X\0a: 1",
            b"X\ra: 1",
            b" Xa: 1",
            b": 1",
            b"X a",
            b"X a: 1\x01",
        ] {
            let bytes = [b"GET / HTTP/1.1\r\nHost: a\r\n", line, b"\r\n\r\n"].concat();
            assert!(request(&bytes).is_err(), "{}", line.escape_ascii());
        }
        for line in [
            &b"GET /a\x7f HTTP/1.1"[..],
            b"GET /a\x01 HTTP/1.1",
            b"GET /a b# HTTP/1.1",
            b"GET http://a#b/ HTTP/1.1",
            b"CONNECT a#:80 HTTP/1.1",
        ] {
            let bytes = [line, b"\r\nHost: a\r\n\r\n"].concat();
            assert!(request(&bytes).is_err(), "{}", line.escape_ascii());
        }
        let both = b"GET / HTTP/1.1\r\nHost: a\r\nX a: 1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(
            request(both).map(|_| ()),
            Err("both Content-Length and Transfer-Encoding")
        );
    }

    #[test]
    fn a_head_in_pieces_is_waited_for() {
        let bytes = b"GET /a#b HTTP/1.1\r\nHost: a\r\nX (a: 1\r\n\r\n";
        let limits = Limits::default();
        for end in 1..bytes.len() {
            let mut head = Head::default();
            let Err(refusal) = parse::parse_request(&bytes[..end], limits, &mut head) else {
                continue;
            };
            let parsed = parse_request(&bytes[..end], limits, &mut head, refusal);
            assert!(
                matches!(parsed, Ok((Parsed::Partial, _))),
                "{end}: {parsed:?}"
            );
        }
    }
}
