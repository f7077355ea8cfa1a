//! Heads: bytes to a [`Head`] and the facts that decide framing. Strict; see RFC 9112 for what is refused and why.

use std::mem::MaybeUninit;
use std::ops::Range;

use super::{BodyLength, target};
use crate::http::Head;

/// Bounds of a head.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most bytes of a head (`tune.bufsize` - `tune.maxrewrite`).
    pub head_bytes: usize,
    /// Most fields (`tune.http.maxhdr`).
    pub fields: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_bytes: (16 << 10) - 1024,
            fields: 101,
        }
    }
}

/// Why a head was refused, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct ParseError {
    /// What is wrong.
    pub reason: &'static str,
    /// Position of the offending byte as well as it is known.
    pub position: usize,
}

/// The state of parsing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed<T> {
    /// More bytes are needed.
    Partial,
    /// The head is complete.
    Complete {
        /// Bytes that it takes.
        length: usize,
        /// What its fields say.
        facts: T,
    },
}

/// What a request's fields say of its framing and its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestFacts {
    /// Its body.
    pub body: BodyLength,
    /// Whether the client wants to go on after it.
    pub keep_alive: bool,
    /// `Connection: upgrade` with an `Upgrade` field.
    pub upgrade: bool,
    /// Whether the method is HEAD.
    pub is_head: bool,
    /// Whether the method is CONNECT.
    pub is_connect: bool,
    /// `Expect: 100-continue`.
    pub expects_continue: bool,
}

/// What an answer's fields say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseFacts {
    /// Its body.
    pub body: BodyLength,
    /// Whether the server goes on after it.
    pub keep_alive: bool,
    /// Whether it carries a `Content-Length` (which stays on an answer without a body).
    pub has_length: bool,
}

/// Most fields that fit without an allocation.
const FIELDS_ON_STACK: usize = 128;

/// Finds the end of a head, and refuses line ends other than CRLF.
fn head_end(bytes: &[u8]) -> Result<Option<usize>, ParseError> {
    let mut line_start = 0;
    for at in memchr::memchr_iter(b'\n', bytes) {
        if at == 0 || bytes[at - 1] != b'\r' {
            return Err(ParseError {
                reason: "a line that ends with a bare LF",
                position: at,
            });
        }
        if at == line_start + 1 && line_start > 0 {
            return Ok(Some(at + 1));
        }
        line_start = at + 1;
    }
    Ok(None)
}

/// What is there of a head, within its bound, and whether that is all of it.
fn bounded(bytes: &[u8], limits: Limits) -> Result<(&[u8], bool), ParseError> {
    let end = head_end(bytes)?;
    let raw = &bytes[..end.unwrap_or(bytes.len())];
    if raw.len() > limits.head_bytes {
        return Err(ParseError {
            reason: "the head is too long",
            position: limits.head_bytes,
        });
    }
    Ok((raw, end.is_some()))
}

/// Whether the parser is through; a whole head that it wants more of is broken, and `incomplete` says how.
fn is_complete(
    status: httparse::Result<usize>,
    raw: &[u8],
    whole: bool,
    incomplete: &'static str,
) -> Result<bool, ParseError> {
    match status {
        Ok(httparse::Status::Complete(_)) => Ok(true),
        Ok(httparse::Status::Partial) if !whole => Ok(false),
        Ok(httparse::Status::Partial) => Err(ParseError {
            reason: incomplete,
            position: 0,
        }),
        Err(error) => Err(ParseError {
            reason: why(error),
            position: bad_byte(raw),
        }),
    }
}

fn range_in(base: &[u8], part: &[u8]) -> Range<usize> {
    let start = (part.as_ptr() as usize).wrapping_sub(base.as_ptr() as usize);
    if start > base.len() {
        return 0..0;
    }
    start..start + part.len()
}

fn why(error: httparse::Error) -> &'static str {
    match error {
        httparse::Error::HeaderName => "invalid header name",
        httparse::Error::HeaderValue => "invalid header value",
        httparse::Error::NewLine => "invalid line end",
        httparse::Error::Status => "invalid status line",
        httparse::Error::Token => "invalid method or target",
        httparse::Error::TooManyHeaders => "too many headers",
        httparse::Error::Version => "invalid version",
    }
}

/// Position of the first byte that no head may hold, for a capture.
fn bad_byte(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .position(|byte| *byte < 0x20 && !matches!(byte, b'\r' | b'\n' | b'\t') || *byte == 0x7f)
        .unwrap_or(0)
}

/// Parses a request's head. Empty lines before it are to be consumed by the caller first.
pub fn parse_request(
    bytes: &[u8],
    limits: Limits,
    head: &mut Head,
) -> Result<Parsed<RequestFacts>, ParseError> {
    request_by_shape(bytes, bytes, limits, head)
}

/// The same, with the places of all parts found in `shape`, which is as long as `bytes`.
#[inline]
pub(super) fn request_by_shape(
    bytes: &[u8],
    shape: &[u8],
    limits: Limits,
    head: &mut Head,
) -> Result<Parsed<RequestFacts>, ParseError> {
    let (raw, whole) = bounded(bytes, limits)?;
    let shape = &shape[..raw.len()];
    let mut stack = [const { MaybeUninit::uninit() }; FIELDS_ON_STACK];
    let mut heap = Vec::new();
    let fields = room(&mut stack, &mut heap, limits.fields);
    let mut request = httparse::Request::new(&mut []);
    let status = request.parse_with_uninit_headers(shape, fields);
    if !is_complete(status, raw, whole, "incomplete request line")? {
        return Ok(Parsed::Partial);
    }
    let (Some(method), Some(target), Some(minor)) = (request.method, request.path, request.version)
    else {
        return Err(ParseError {
            reason: "incomplete request line",
            position: 0,
        });
    };
    let target_range = range_in(shape, target.as_bytes());
    if let Some(at) = target.bytes().position(|byte| !byte.is_ascii_graphic()) {
        return Err(ParseError {
            reason: "invalid byte in the target",
            position: target_range.start + at,
        });
    }
    let is_connect = method == "CONNECT";
    let target_start = target_range.start;
    head.load_request(raw, range_in(shape, method.as_bytes()), target_range, minor);
    let mut tally = Tally::default();
    for field in request.headers.iter() {
        let name = range_in(shape, field.name.as_bytes());
        let value = range_in(shape, trim(field.value));
        tally.take(&raw[name.clone()], &raw[value.clone()], name.start)?;
        head.push_range(name, value);
    }
    if tally.hosts > 1 {
        return Err(ParseError {
            reason: "more than one Host",
            position: 0,
        });
    }
    if let Some(reason) = target::fault(target, is_connect, || head.header(b"host")) {
        return Err(ParseError {
            reason,
            position: target_start,
        });
    }
    let body = match (tally.transfer_encoding, tally.length) {
        (true, Some(_)) => {
            return Err(ParseError {
                reason: "both Content-Length and Transfer-Encoding",
                position: 0,
            });
        }
        (true, None) if minor == 0 => {
            return Err(ParseError {
                reason: "Transfer-Encoding in HTTP/1.0",
                position: 0,
            });
        }
        (true, None) => BodyLength::Chunked,
        (false, Some(0) | None) => BodyLength::None,
        (false, Some(length)) => BodyLength::Bytes(length),
    };
    let facts = RequestFacts {
        body,
        keep_alive: tally.keep_alive(minor),
        // HTTP/2 in a tunnel would carry requests past every rule; RFC 9113 has given `h2c` up.
        upgrade: tally.connection_upgrade && tally.upgrade && !tally.upgrade_to_http2 && minor == 1,
        is_head: method == "HEAD",
        is_connect,
        expects_continue: tally.expects_continue && minor == 1,
    };
    Ok(Parsed::Complete {
        length: raw.len(),
        facts,
    })
}

/// Parses an answer's head. `to_head` and `to_connect` say what the request's method was.
pub fn parse_response(
    bytes: &[u8],
    limits: Limits,
    to_head: bool,
    to_connect: bool,
    head: &mut Head,
) -> Result<Parsed<ResponseFacts>, ParseError> {
    response_by_shape(bytes, bytes, limits, to_head, to_connect, head)
}

/// The same, with the places of all parts found in `shape`, which is as long as `bytes`.
#[inline]
pub(super) fn response_by_shape(
    bytes: &[u8],
    shape: &[u8],
    limits: Limits,
    to_head: bool,
    to_connect: bool,
    head: &mut Head,
) -> Result<Parsed<ResponseFacts>, ParseError> {
    let (raw, whole) = bounded(bytes, limits)?;
    let shape = &shape[..raw.len()];
    let mut stack = [const { MaybeUninit::uninit() }; FIELDS_ON_STACK];
    let mut heap = Vec::new();
    // HAProxy counts the first line of an answer, but not of a request.
    let fields = room(&mut stack, &mut heap, limits.fields.saturating_sub(1));
    let mut response = httparse::Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    let status = config.parse_response_with_uninit_headers(&mut response, shape, fields);
    if !is_complete(status, raw, whole, "incomplete status line")? {
        return Ok(Parsed::Partial);
    }
    let (Some(status), Some(minor)) = (response.code, response.version) else {
        return Err(ParseError {
            reason: "incomplete status line",
            position: 0,
        });
    };
    if !(100..1000).contains(&status) {
        return Err(ParseError {
            reason: "invalid status",
            position: 9,
        });
    }
    let reason = response
        .reason
        .filter(|reason| !reason.is_empty())
        .map_or(0..0, |reason| range_in(shape, reason.as_bytes()));
    head.load_response(raw, status, reason, minor);
    let mut tally = Tally::default();
    for field in response.headers.iter() {
        let name = range_in(shape, field.name.as_bytes());
        let value = range_in(shape, trim(field.value));
        tally.take(&raw[name.clone()], &raw[value.clone()], name.start)?;
        head.push_range(name, value);
    }
    let bodiless = to_head
        || matches!(status, 100..=199 | 204 | 304)
        || (to_connect && (200..300).contains(&status));
    let body = match (bodiless, tally.transfer_encoding, tally.length) {
        (_, true, Some(_)) => {
            return Err(ParseError {
                reason: "both Content-Length and Transfer-Encoding",
                position: 0,
            });
        }
        (_, true, _) if minor == 0 => {
            return Err(ParseError {
                reason: "Transfer-Encoding in HTTP/1.0",
                position: 0,
            });
        }
        (true, ..) => BodyLength::None,
        (false, true, None) => BodyLength::Chunked,
        (false, false, Some(0)) => BodyLength::None,
        (false, false, Some(length)) => BodyLength::Bytes(length),
        (false, false, None) => BodyLength::Close,
    };
    let facts = ResponseFacts {
        body,
        keep_alive: body != BodyLength::Close && tally.keep_alive(minor),
        has_length: tally.length.is_some(),
    };
    Ok(Parsed::Complete {
        length: raw.len(),
        facts,
    })
}

fn room<'a, 'b>(
    stack: &'a mut [MaybeUninit<httparse::Header<'b>>; FIELDS_ON_STACK],
    heap: &'a mut Vec<MaybeUninit<httparse::Header<'b>>>,
    fields: usize,
) -> &'a mut [MaybeUninit<httparse::Header<'b>>] {
    if fields <= FIELDS_ON_STACK {
        return &mut stack[..fields];
    }
    heap.resize_with(fields, MaybeUninit::uninit);
    heap
}

fn trim(value: &[u8]) -> &[u8] {
    match value {
        [b' ' | b'\t', ..] | [.., b' ' | b'\t'] => value.trim_ascii(),
        _ => value,
    }
}

/// What the fields that matter for framing said so far.
#[derive(Default)]
struct Tally {
    length: Option<u64>,
    transfer_encoding: bool,
    close: bool,
    connection_keep_alive: bool,
    connection_upgrade: bool,
    upgrade: bool,
    upgrade_to_http2: bool,
    expects_continue: bool,
    hosts: u32,
}

impl Tally {
    fn keep_alive(&self, minor: u8) -> bool {
        // RFC 9112 9.3.
        !self.close && (minor == 1 || self.connection_keep_alive)
    }

    fn take(&mut self, name: &[u8], value: &[u8], position: usize) -> Result<(), ParseError> {
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => self.hosts += 1,
            6 if name.eq_ignore_ascii_case(b"expect") => {
                self.expects_continue = value.eq_ignore_ascii_case(b"100-continue");
            }
            7 if name.eq_ignore_ascii_case(b"upgrade") => {
                self.upgrade = true;
                self.upgrade_to_http2 |= value
                    .split(|byte| *byte == b',')
                    .any(|token| token.trim_ascii().eq_ignore_ascii_case(b"h2c"));
            }
            10 if name.eq_ignore_ascii_case(b"connection") => {
                for token in value.split(|byte| *byte == b',') {
                    let token = token.trim_ascii();
                    self.close |= token.eq_ignore_ascii_case(b"close");
                    self.connection_keep_alive |= token.eq_ignore_ascii_case(b"keep-alive");
                    self.connection_upgrade |= token.eq_ignore_ascii_case(b"upgrade");
                }
            }
            14 if name.eq_ignore_ascii_case(b"content-length") => {
                let length = content_length(value).ok_or(ParseError {
                    reason: "invalid Content-Length",
                    position,
                })?;
                // RFC 9112 6.3: the same value again is harmless, another is not.
                if self.length.is_some_and(|before| before != length) {
                    return Err(ParseError {
                        reason: "different Content-Lengths",
                        position,
                    });
                }
                self.length = Some(length);
            }
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                if self.transfer_encoding || !value.eq_ignore_ascii_case(b"chunked") {
                    return Err(ParseError {
                        reason: "unsupported Transfer-Encoding",
                        position,
                    });
                }
                self.transfer_encoding = true;
            }
            _ => {}
        }
        Ok(())
    }
}

/// A `Content-Length` field's value, if it is nothing but one number.
pub fn content_length(value: &[u8]) -> Option<u64> {
    if value.is_empty() || value.len() > 19 || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(
        value
            .iter()
            .fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0')),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Result<Parsed<RequestFacts>, ParseError> {
        parse_request(text.as_bytes(), Limits::default(), &mut Head::default())
    }

    fn body(text: &str) -> BodyLength {
        match check(text) {
            Ok(Parsed::Complete { facts, .. }) => facts.body,
            other => panic!("{text:?}: {other:?}"),
        }
    }

    #[test]
    fn framing_of_requests() {
        assert_eq!(body("GET / HTTP/1.1\r\nhost: a\r\n\r\n"), BodyLength::None);
        assert_eq!(
            body("POST / HTTP/1.1\r\ncontent-length: 5\r\nContent-Length:5 \r\n\r\nhello"),
            BodyLength::Bytes(5)
        );
        assert_eq!(
            body("POST / HTTP/1.1\r\ntransfer-encoding: Chunked\r\n\r\n"),
            BodyLength::Chunked
        );
        assert_eq!(check("GET / HTTP/1.1\r\nhost: a\r\n"), Ok(Parsed::Partial));
    }

    #[test]
    fn an_upgrade_to_http2_is_not_asked_of_the_server() {
        let upgrade = |protocols: &str| {
            let text = format!(
                "GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: {protocols}\r\n\r\n"
            );
            match check(&text) {
                Ok(Parsed::Complete { facts, .. }) => facts.upgrade,
                other => panic!("{other:?}"),
            }
        };
        assert!(upgrade("websocket"));
        assert!(!upgrade("h2c"));
        assert!(!upgrade("websocket, H2C"));
    }

    #[test]
    fn ambiguous_and_broken_requests_are_refused() {
        for text in [
            "GET / HTTP/1.1\nhost: a\n\n",
            "GET / HTTP/1.1\r\nhost: a\n\r\n",
            "GET / HTTP/1.1\r\na: b\rc: d\r\n\r\n",
            "GET / HTTP/1.1\r\na : b\r\n\r\n",
            "GET / HTTP/1.1\r\n folded: b\r\n\r\n",
            "GET / HTTP/1.1\r\na: b\r\n c\r\n\r\n",
            "GET / HTTP/1.1\r\na: b\0c\r\n\r\n",
            "GET  / HTTP/1.1\r\n\r\n",
            "GET /\u{e4} HTTP/1.1\r\n\r\n",
            "GET example HTTP/1.1\r\n\r\n",
            "GET / HTTP/2.0\r\n\r\n",
            "GET /\r\n\r\n",
            "GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
            "POST / HTTP/1.1\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n",
            "POST / HTTP/1.1\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n",
            "POST / HTTP/1.1\r\ncontent-length: +5\r\n\r\n",
            "POST / HTTP/1.1\r\ncontent-length: 5, 5\r\n\r\n",
            "POST / HTTP/1.1\r\ncontent-length: 99999999999999999999\r\n\r\n",
            "POST / HTTP/1.1\r\ntransfer-encoding: gzip, chunked\r\n\r\n",
            "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n",
            "POST / HTTP/1.1\r\ntransfer-encoding: xchunked\r\n\r\n",
            "POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n",
        ] {
            assert!(check(text).is_err(), "{text:?}");
        }
        let long = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(16_000));
        assert_eq!(
            check(&long).map_err(|error| error.reason),
            Err("the head is too long")
        );
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(102));
        assert_eq!(
            check(&many).map_err(|error| error.reason),
            Err("too many headers")
        );
    }

    #[test]
    fn framing_of_answers() {
        let facts = |text: &str, to_head| match parse_response(
            text.as_bytes(),
            Limits::default(),
            to_head,
            false,
            &mut Head::default(),
        ) {
            Ok(Parsed::Complete { facts, .. }) => (facts.body, facts.keep_alive),
            other => panic!("{text:?}: {other:?}"),
        };
        assert_eq!(
            facts("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc", false),
            (BodyLength::Bytes(3), true)
        );
        assert_eq!(
            facts("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n", true),
            (BodyLength::None, true)
        );
        assert_eq!(
            facts("HTTP/1.1 304 \r\ncontent-length: 3\r\n\r\n", false),
            (BodyLength::None, true)
        );
        assert_eq!(
            facts("HTTP/1.1 200 OK\r\n\r\n", false),
            (BodyLength::Close, false)
        );
        assert_eq!(
            facts("HTTP/1.0 200 OK\r\ncontent-length: 3\r\n\r\n", false),
            (BodyLength::Bytes(3), false)
        );
    }
}
