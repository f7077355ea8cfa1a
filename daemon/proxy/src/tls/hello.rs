//! A ClientHello at the beginning of a stream that is passed on as it is (RFC 8446 4.1.2 and 5.1): what `req.ssl_sni` and its
//! kin look at. Reads what a client wrote before anything is known of it: every length is checked against the bytes that are
//! there and against the length around it.

use std::borrow::Cow;

/// First byte of a record that carries handshake messages.
const HANDSHAKE: u8 = 22;
/// A handshake message's type.
const CLIENT_HELLO: u8 = 1;
/// Bytes in front of a handshake message's body.
const MESSAGE_HEADER: usize = 4;
/// RFC 8446 5.1: the longest content of a record.
const MAX_RECORD: usize = 1 << 14;
/// RFC 8446 4.1.2: version and random, which are always there.
const FIXED: usize = 2 + 32;
/// The longest session id.
const MAX_SESSION_ID: usize = 32;
/// Types of extensions: RFC 6066 3, RFC 8422 5.1.1, RFC 7301 3.1, RFC 5077 3.2.
const SERVER_NAME: u16 = 0;
const SUPPORTED_GROUPS: u16 = 10;
const ALPN: u16 = 16;
const SESSION_TICKET: u16 = 35;
/// Least bytes of an SSLv2 hello: its type and the version.
const VERSION_2_LEAST: usize = 3;
/// A server name's type that is a host's name.
const HOST_NAME: u8 = 0;

/// What a look at bytes that may not be complete yields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look<T> {
    /// It is there.
    Found(T),
    /// It is not there, and more bytes cannot change that.
    Absent,
    /// More bytes are needed to tell.
    Partial,
}

/// A complete hello message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello<'d> {
    /// The handshake message's type: 1 of a client's hello.
    pub kind: u8,
    /// The message's body: of one record as it stands, of several put together.
    body: Cow<'d, [u8]>,
}

/// The hello at the beginning of a stream, which may be spread over records (RFC 8446 5.1).
///
/// ```
/// use tandem_proxy::tls::hello::{Look, hello};
/// assert_eq!(hello(b"SSH-2.0-x\r\n"), Look::Absent);
/// assert_eq!(hello(&[22, 3, 1]), Look::Partial);
/// ```
pub fn hello(data: &[u8]) -> Look<Hello<'_>> {
    let mut message = Cow::Borrowed(&[][..]);
    let mut rest = data;
    loop {
        let (content, after) = match record(rest) {
            Look::Found(found) => found,
            Look::Absent => return Look::Absent,
            Look::Partial => return Look::Partial,
        };
        match message.is_empty() {
            true => message = Cow::Borrowed(content),
            false => message.to_mut().extend_from_slice(content),
        }
        if let [kind, first, second, third, ..] = *message {
            let length = number(&[first, second, third]);
            if length < FIXED {
                return Look::Absent;
            }
            if message.len() >= MESSAGE_HEADER + length {
                let body = match message {
                    Cow::Borrowed(all) => Cow::Borrowed(&all[MESSAGE_HEADER..][..length]),
                    Cow::Owned(all) => Cow::Owned(all[MESSAGE_HEADER..][..length].to_vec()),
                };
                return Look::Found(Hello { kind, body });
            }
        }
        match after {
            // The record is cut off.
            None => return Look::Partial,
            Some(after) => rest = after,
        }
    }
}

/// What a handshake record at the beginning holds, and what follows it if it is complete.
fn record(data: &[u8]) -> Look<(&[u8], Option<&[u8]>)> {
    match data {
        [] | [HANDSHAKE] => Look::Partial,
        [HANDSHAKE, major, ..] if *major < 3 => Look::Absent,
        [HANDSHAKE, _, _, high, low, rest @ ..] => {
            let length = usize::from(u16::from_be_bytes([*high, *low]));
            if !(1..=MAX_RECORD).contains(&length) {
                return Look::Absent;
            }
            Look::Found(match rest.split_at_checked(length) {
                Some((content, after)) => (content, Some(after)),
                None => (rest, None),
            })
        }
        [HANDSHAKE, ..] => Look::Partial,
        _ => Look::Absent,
    }
}

/// `req.ssl_ver`: the version that a stream's hello asks for, of SSLv2's as of later ones.
pub fn version(data: &[u8]) -> Look<(u8, u8)> {
    match (data, hello(data)) {
        (_, Look::Found(hello)) => Look::Found(hello.version()),
        (_, Look::Partial) => Look::Partial,
        ([HANDSHAKE, ..], Look::Absent) => Look::Absent,
        (_, Look::Absent) => version_2(data),
    }
}

/// A whole SSLv2 hello: a length with its upper bit set, its type, the version.
fn version_2(data: &[u8]) -> Look<(u8, u8)> {
    match data {
        [length, ..] if length & 0x80 == 0 => Look::Absent,
        [_, _, kind, ..] if *kind != CLIENT_HELLO => Look::Absent,
        [high, low, hello @ ..] => {
            let length = number(&[high & 0x7f, *low]);
            match hello {
                _ if length < VERSION_2_LEAST => Look::Absent,
                [_, major, minor, ..] if hello.len() >= length => Look::Found((*major, *minor)),
                _ => Look::Partial,
            }
        }
        _ => Look::Partial,
    }
}

impl Hello<'_> {
    /// Major and minor: 3 and 3 of TLS 1.2 and later.
    pub fn version(&self) -> (u8, u8) {
        // A body is never shorter than what is always there.
        match *self.body {
            [major, minor, ..] => (major, minor),
            _ => (0, 0),
        }
    }

    /// The name that a client asks for: of a list with several, which RFC 6066 3 forbids, the first.
    pub fn server_name(&self) -> Option<&[u8]> {
        let mut list = Reader(Reader(self.extension(SERVER_NAME)?).text(2)?);
        let kind = list.take(1)?[0];
        list.text(2).filter(|_| kind == HOST_NAME)
    }

    /// The protocols that a client offers (RFC 7301 3.1), in its order; up to what is broken.
    pub fn alpn(&self) -> impl Iterator<Item = &[u8]> {
        let list = self.extension(ALPN).and_then(|data| Reader(data).text(2));
        let mut list = Reader(list.unwrap_or_default());
        std::iter::from_fn(move || list.text(1))
    }

    /// Whether a client tells which elliptic curves it can (RFC 8422 5.1.1).
    pub fn has_curves(&self) -> bool {
        self.extension(SUPPORTED_GROUPS).is_some()
    }

    /// `req.ssl_st_ext`: 0 without the extension of session tickets, 1 with it, 2 with a ticket; nothing without extensions.
    pub fn ticket(&self) -> Option<u8> {
        match self.extension(SESSION_TICKET) {
            None if self.extensions()?.is_empty() => None,
            None => Some(0),
            Some([]) => Some(1),
            Some(_) => Some(2),
        }
    }

    /// The data of the first extension of this type.
    fn extension(&self, wanted: u16) -> Option<&[u8]> {
        let mut rest = Reader(self.extensions()?);
        loop {
            let kind = number(rest.take(2)?);
            let data = rest.text(2)?;
            if kind == usize::from(wanted) {
                return Some(data);
            }
        }
    }

    /// All extensions with types and lengths, of a client's hello.
    fn extensions(&self) -> Option<&[u8]> {
        // SSLv3 has none.
        if self.kind != CLIENT_HELLO || !matches!(self.version(), (3, 1..)) {
            return None;
        }
        extensions(&self.body)
    }
}

/// The extensions of a ClientHello's body.
fn extensions(body: &[u8]) -> Option<&[u8]> {
    let mut rest = Reader(body.get(FIXED..)?);
    let session_id = rest.text(1)?;
    if session_id.len() > MAX_SESSION_ID {
        return None;
    }
    rest.text(2)?;
    rest.text(1)?;
    rest.text(2)
}

/// Takes pieces from the front.
struct Reader<'d>(&'d [u8]);

impl<'d> Reader<'d> {
    fn take(&mut self, count: usize) -> Option<&'d [u8]> {
        let (piece, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(piece)
    }

    /// A piece behind its length, which takes `count` bytes.
    fn text(&mut self, count: usize) -> Option<&'d [u8]> {
        let length = number(self.take(count)?);
        self.take(length)
    }
}

/// Bytes as a number, the highest first; of at most three bytes here.
fn number(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .fold(0, |number, byte| number << 8 | usize::from(*byte))
}

#[cfg(test)]
mod tests;
