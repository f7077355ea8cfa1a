//! Heads written anew: names in lower case, framing and connection fields our own.

use std::ops::Range;

use super::BodyLength;
use crate::http::Head;

/// How the body of a written message is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// No body, and no field that says so.
    None,
    /// No body, but the `Content-Length` of the head stays (answers to HEAD, 304).
    Described,
    /// `content-length`.
    Length(u64),
    /// `transfer-encoding: chunked`.
    Chunked,
    /// Until the connection closes.
    Close,
}

impl Framing {
    /// The framing that says the same as a body's length.
    pub fn of(length: BodyLength) -> Self {
        match length {
            BodyLength::None => Self::None,
            BodyLength::Bytes(count) => Self::Length(count),
            BodyLength::Chunked => Self::Chunked,
            BodyLength::Close => Self::Close,
        }
    }
}

/// What the written `connection` field says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientPersistence {
    /// Nothing: HTTP/1.1 goes on by itself.
    Silent,
    /// `close`.
    Close,
    /// `keep-alive`, for HTTP/1.0.
    KeepAlive,
    /// `upgrade`: the connection changes its protocol.
    Upgrade,
}

/// Appends a request's head.
pub fn write_request_head(
    out: &mut Vec<u8>,
    head: &Head,
    framing: Framing,
    persistence: ClientPersistence,
) {
    out.extend_from_slice(head.method());
    out.push(b' ');
    out.extend_from_slice(head.wire_target());
    out.extend_from_slice(if head.minor_version() == 0 {
        b" HTTP/1.0\r\n"
    } else {
        b" HTTP/1.1\r\n"
    });
    write_fields(out, head, framing, persistence);
}

/// Appends an answer's head.
pub fn write_response_head(
    out: &mut Vec<u8>,
    head: &Head,
    framing: Framing,
    persistence: ClientPersistence,
) {
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(itoa::Buffer::new().format(head.status()).as_bytes());
    out.push(b' ');
    out.extend_from_slice(head.reason());
    out.extend_from_slice(b"\r\n");
    write_fields(out, head, framing, persistence);
}

fn write_fields(out: &mut Vec<u8>, head: &Head, framing: Framing, persistence: ClientPersistence) {
    let fields_start = out.len();
    let mut nominated: Option<Vec<u8>> = None;
    let mut run = Run::default();
    for (index, field) in head.fields().iter().enumerate() {
        let (name, value) = (head.text(field.name), head.text(field.value));
        match name.len() {
            // RFC 9110 7.6.1: what concerns one connection is not passed on.
            10 if name.eq_ignore_ascii_case(b"connection") => {
                for token in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                    if !is_own_token(token) {
                        let list = nominated.get_or_insert_default();
                        list.extend_from_slice(token);
                        list.push(b',');
                    }
                }
                continue;
            }
            10 if name.eq_ignore_ascii_case(b"keep-alive") => continue,
            16 if name.eq_ignore_ascii_case(b"proxy-connection") => continue,
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => continue,
            14 if framing != Framing::Described && name.eq_ignore_ascii_case(b"content-length") => {
                continue;
            }
            7 if name.eq_ignore_ascii_case(b"upgrade")
                && persistence != ClientPersistence::Upgrade =>
            {
                continue;
            }
            _ => {}
        }
        run.take(out, head, index);
    }
    run.end(out, head);
    if let Some(nominated) = nominated {
        drop_nominated(out, fields_start, head, &nominated, framing, persistence);
    }
    match framing {
        Framing::Length(count) => push_field(
            out,
            b"content-length",
            itoa::Buffer::new().format(count).as_bytes(),
        ),
        Framing::Chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        Framing::None | Framing::Described | Framing::Close => {}
    }
    match persistence {
        ClientPersistence::Silent => {}
        ClientPersistence::Close => out.extend_from_slice(b"connection: close\r\n"),
        ClientPersistence::KeepAlive => out.extend_from_slice(b"connection: keep-alive\r\n"),
        ClientPersistence::Upgrade => out.extend_from_slice(b"connection: upgrade\r\n"),
    }
    out.extend_from_slice(b"\r\n");
}

/// Fields that lie side by side in the head's buffer just as they are to be written: they are copied in one piece, and their
/// names put into lower case where they stand then.
#[derive(Default)]
struct Run {
    /// Positions among the head's fields.
    fields: Range<usize>,
    /// Where their lines are in the head's buffer.
    bytes: Range<usize>,
}

impl Run {
    /// Takes the next field in, or writes what was taken and then it.
    fn take(&mut self, out: &mut Vec<u8>, head: &Head, index: usize) {
        let field = &head.fields()[index];
        let (name, value) = (field.name.range(), field.value.range());
        let bytes = head.bytes();
        let is_line = bytes.get(name.end..value.start) == Some(b": ")
            && bytes.get(value.end..value.end + 2) == Some(b"\r\n");
        if !is_line {
            self.end(out, head);
            push_field(out, &bytes[name], &bytes[value]);
        } else if self.fields.end == index && self.bytes.end == name.start {
            self.fields.end += 1;
            self.bytes.end = value.end + 2;
        } else {
            self.end(out, head);
            self.fields = index..index + 1;
            self.bytes = name.start..value.end + 2;
        }
    }

    /// Writes what was taken.
    fn end(&mut self, out: &mut Vec<u8>, head: &Head) {
        let (fields, bytes) = (
            std::mem::take(&mut self.fields),
            std::mem::take(&mut self.bytes),
        );
        let at = out.len();
        out.extend_from_slice(&head.bytes()[bytes.clone()]);
        let written = &mut out[at..];
        for field in &head.fields()[fields] {
            let name = field.name.range();
            written[name.start - bytes.start..name.end - bytes.start].make_ascii_lowercase();
        }
    }
}

fn push_field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    let at = out.len();
    out.reserve(name.len() + value.len() + 4);
    out.extend_from_slice(name);
    out[at..].make_ascii_lowercase();
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

fn is_own_token(token: &[u8]) -> bool {
    token.is_empty()
        || [&b"close"[..], b"keep-alive", b"upgrade"]
            .iter()
            .any(|own| token.eq_ignore_ascii_case(own))
}

/// Fields that nobody may have removed by naming them in `Connection`.
const PROTECTED: [&[u8]; 6] = [
    b"host",
    b"content-length",
    b"transfer-encoding",
    b"cookie",
    b"authorization",
    b"upgrade",
];

/// The rare message that names further fields in `Connection`: its fields are written once more without them.
fn drop_nominated(
    out: &mut Vec<u8>,
    fields_start: usize,
    head: &Head,
    nominated: &[u8],
    framing: Framing,
    persistence: ClientPersistence,
) {
    let mut rest = Head::default();
    let is_named = |name: &[u8]| {
        !PROTECTED.iter().any(|protected| name.eq_ignore_ascii_case(protected))
            // Fields that we add ourselves stay: a client must not be able to remove them.
            && !name.get(..12).is_some_and(|front| front.eq_ignore_ascii_case(b"x-forwarded-"))
            && nominated.split(|byte| *byte == b',').any(|token| name.eq_ignore_ascii_case(token))
    };
    rest.start_request(b"", b"", 1);
    for (name, value) in head.iter() {
        if !is_named(name) && !name.eq_ignore_ascii_case(b"connection") {
            rest.add(name, value);
        }
    }
    out.truncate(fields_start);
    for (name, value) in rest.iter() {
        let own = [
            &b"keep-alive"[..],
            b"proxy-connection",
            b"transfer-encoding",
        ]
        .iter()
        .any(|own| name.eq_ignore_ascii_case(own))
            || (name.eq_ignore_ascii_case(b"content-length") && framing != Framing::Described)
            || (name.eq_ignore_ascii_case(b"upgrade") && persistence != ClientPersistence::Upgrade);
        if !own {
            push_field(out, name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn framing_and_connection_are_written_anew() {
        let mut head = Head::default();
        head.start_request(b"POST", b"/", 1);
        for (name, value) in [
            ("Host", "a"),
            ("Connection", "close, X-Secret"),
            ("X-Secret", "1"),
            ("Content-Length", "9"),
            ("Keep-Alive", "5"),
        ] {
            head.add(name.as_bytes(), value.as_bytes());
        }
        let mut out = Vec::new();
        write_request_head(&mut out, &head, Framing::Chunked, ClientPersistence::Silent);
        assert_eq!(
            String::from_utf8_lossy(&out),
            "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"
        );
    }

    #[test]
    fn fields_that_lie_side_by_side_are_written_like_all_others() {
        let raw = b"GET / HTTP/1.1\r\nHost: a\r\nX-One: 1\r\nConnection: close\r\nX-Two:2\r\nX-Three: 3 \r\nX-Four: 4\r\nX-Empty:\r\nX-Five: 5\r\n\r\n";
        let mut head = Head::default();
        let limits = crate::http1::Limits::default();
        crate::http1::parse_request(raw, limits, &mut head).expect("it is a request");
        head.add(b"X-Six", b"6");
        head.remove(b"x-four");
        let mut out = Vec::new();
        write_request_head(&mut out, &head, Framing::None, ClientPersistence::Silent);
        assert_eq!(
            String::from_utf8_lossy(&out),
            "GET / HTTP/1.1\r\nhost: a\r\nx-one: 1\r\nx-two: 2\r\nx-three: 3\r\nx-empty: \r\nx-five: 5\r\nx-six: 6\r\n\r\n"
        );
    }
}
