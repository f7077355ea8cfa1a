//! HTTP/2 by hand: a client that writes frames one by one, right and wrong ones, and reads what comes as frames.
//! Heads are written without compression; of heads that come only what tests ask for is understood.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::beside::connect;
use crate::failure::{Failure, Outcome};

/// What a client says first (RFC 9113 3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Types of frames (RFC 9113 6).
#[allow(missing_docs)]
pub mod kind {
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const PRIORITY: u8 = 2;
    pub const RST_STREAM: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const PING: u8 = 6;
    pub const GOAWAY: u8 = 7;
    pub const WINDOW_UPDATE: u8 = 8;
    pub const CONTINUATION: u8 = 9;
}

/// Flags of frames.
#[allow(missing_docs)]
pub mod flag {
    pub const ACK: u8 = 1;
    pub const END_STREAM: u8 = 1;
    pub const END_HEADERS: u8 = 4;
}

/// `ENHANCE_YOUR_CALM`, `PROTOCOL_ERROR` and others as numbers (RFC 9113 7).
#[allow(missing_docs)]
pub mod code {
    pub const NO_ERROR: u32 = 0;
    pub const PROTOCOL_ERROR: u32 = 1;
    pub const REFUSED_STREAM: u32 = 7;
    pub const CANCEL: u32 = 8;
    pub const ENHANCE_YOUR_CALM: u32 = 11;
}

/// A frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Its type, see [`kind`].
    pub kind: u8,
    /// Its flags, see [`flag`].
    pub flags: u8,
    /// Its stream.
    pub stream: u32,
    /// What it carries.
    pub payload: Vec<u8>,
}

impl Frame {
    /// A frame.
    pub fn new(kind: u8, flags: u8, stream: u32, payload: impl Into<Vec<u8>>) -> Self {
        Self {
            kind,
            flags,
            stream,
            payload: payload.into(),
        }
    }

    /// Its bytes.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = (self.payload.len() as u32).to_be_bytes()[1..].to_vec();
        bytes.extend([self.kind, self.flags]);
        bytes.extend(self.stream.to_be_bytes());
        bytes.extend(&self.payload);
        bytes
    }

    /// The error code of RST_STREAM or GOAWAY.
    pub fn code(&self) -> Option<u32> {
        let at = match self.kind {
            kind::RST_STREAM => 0,
            kind::GOAWAY => 4,
            _ => return None,
        };
        let bytes = self.payload.get(at..at + 4)?;
        Some(u32::from_be_bytes(bytes.try_into().ok()?))
    }

    /// Whether it ends its stream.
    pub fn ends_stream(&self) -> bool {
        matches!(self.kind, kind::DATA | kind::HEADERS) && self.flags & flag::END_STREAM != 0
    }
}

/// A block of fields, none of them compressed (RFC 7541 6.2.2: literal, not indexed).
pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            push_length(&mut block, text.len());
            block.extend(text.as_bytes());
        }
    }
    block
}

/// RFC 7541 5.1, with a prefix of seven bits.
fn push_length(block: &mut Vec<u8>, length: usize) {
    if length < 127 {
        block.push(length as u8);
        return;
    }
    block.push(127);
    let mut rest = length - 127;
    while rest >= 128 {
        block.push((rest & 127) as u8 | 128);
        rest >>= 7;
    }
    block.push(rest as u8);
}

/// The fields of a plain request.
pub fn request<'a>(method: &'a str, path: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        (":method", method),
        (":scheme", "http"),
        (":authority", "example.org"),
        (":path", path),
    ]
}

/// A client's connection.
pub struct Client {
    /// The transport.
    pub stream: TcpStream,
    read: Vec<u8>,
}

impl Client {
    /// Connects and says the preface with these settings (identifier and value).
    pub fn connect(to: SocketAddr, settings: &[(u16, u32)]) -> Outcome<Self> {
        let mut client = Self {
            stream: connect(to)?,
            read: Vec::new(),
        };
        let mut payload = Vec::new();
        for (identifier, value) in settings {
            payload.extend(identifier.to_be_bytes());
            payload.extend(value.to_be_bytes());
        }
        let mut first = PREFACE.to_vec();
        first.extend(Frame::new(kind::SETTINGS, 0, 0, payload).bytes());
        client.stream.write_all(&first)?;
        Ok(client)
    }

    /// Sends a frame.
    pub fn send(&mut self, frame: &Frame) -> Outcome {
        Ok(self.stream.write_all(&frame.bytes())?)
    }

    /// Sends the head of a request in one frame.
    pub fn head(&mut self, stream: u32, fields: &[(&str, &str)], ends: bool) -> Outcome {
        let flags = flag::END_HEADERS | if ends { flag::END_STREAM } else { 0 };
        self.send(&Frame::new(kind::HEADERS, flags, stream, block(fields)))
    }

    /// Sends data.
    pub fn data(&mut self, stream: u32, data: &[u8], ends: bool) -> Outcome {
        let flags = if ends { flag::END_STREAM } else { 0 };
        self.send(&Frame::new(kind::DATA, flags, stream, data))
    }

    /// Opens a window.
    pub fn window(&mut self, stream: u32, bytes: u32) -> Outcome {
        self.send(&Frame::new(
            kind::WINDOW_UPDATE,
            0,
            stream,
            bytes.to_be_bytes(),
        ))
    }

    /// The next frame; `None` at the end of the connection, however it ends.
    pub fn frame(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.take() {
                return Some(frame);
            }
            let mut buffer = [0; 16_384];
            match self.stream.read(&mut buffer) {
                Ok(count) if count > 0 => self.read.extend(&buffer[..count]),
                _ => return None,
            }
        }
    }

    fn take(&mut self) -> Option<Frame> {
        let [a, b, c, kind, flags, s, t, u, v] = *self.read.first_chunk::<9>()?;
        let length = u32::from_be_bytes([0, a, b, c]) as usize;
        if self.read.len() < 9 + length {
            return None;
        }
        let payload = self.read[9..9 + length].to_vec();
        self.read.drain(..9 + length);
        Some(Frame {
            kind,
            flags,
            stream: u32::from_be_bytes([s & 127, t, u, v]),
            payload,
        })
    }

    /// Reads until a frame for which `wanted` holds; settings are acknowledged on the way.
    pub fn until(&mut self, what: &str, wanted: impl Fn(&Frame) -> bool) -> Outcome<Frame> {
        let mut seen = Vec::new();
        while let Some(frame) = self.frame() {
            if frame.kind == kind::SETTINGS && frame.flags & flag::ACK == 0 {
                self.send(&Frame::new(kind::SETTINGS, flag::ACK, 0, []))?;
            }
            if wanted(&frame) {
                return Ok(frame);
            }
            seen.push((frame.kind, frame.stream, frame.code()));
        }
        Err(Failure::new(format!(
            "no {what}; (type, stream, code) seen: {seen:?}"
        )))
    }

    /// The code of the GOAWAY that ends the connection, or `None` if it ended without one. Nothing is written meanwhile.
    pub fn goaway(&mut self) -> Option<u32> {
        let mut last = None;
        while let Some(frame) = self.frame() {
            if frame.kind == kind::GOAWAY {
                last = frame.code();
            }
        }
        last
    }

    /// Receives a stream's answer to its end: the head's block and the data. Windows are opened again.
    pub fn answer(&mut self, stream: u32) -> Outcome<(Vec<u8>, Vec<u8>)> {
        let (mut head, mut data) = (Vec::new(), Vec::new());
        loop {
            let frame = self.until("answer", |frame| frame.stream == stream)?;
            match frame.kind {
                kind::HEADERS => head.extend(&frame.payload),
                kind::DATA => {
                    data.extend(&frame.payload);
                    if !frame.payload.is_empty() && !frame.ends_stream() {
                        let count = frame.payload.len() as u32;
                        self.window(0, count)?;
                        self.window(stream, count)?;
                    }
                }
                kind::RST_STREAM => {
                    return Err(Failure::new(format!(
                        "stream {stream} was reset: {:?}",
                        frame.code()
                    )));
                }
                _ => {}
            }
            if frame.ends_stream() {
                return Ok((head, data));
            }
        }
    }

    /// How long a read may take.
    pub fn limit(&mut self, limit: Duration) -> Outcome {
        Ok(self.stream.set_read_timeout(Some(limit))?)
    }
}

/// Whether a head's block begins with this status; those of the static table only (RFC 7541 A).
pub fn has_status(block: &[u8], status: u16) -> bool {
    let known = [
        (200, 8),
        (204, 9),
        (206, 10),
        (304, 11),
        (400, 12),
        (404, 13),
        (500, 14),
    ];
    let index = known.iter().find(|(found, _)| *found == status);
    match (index, block.first()) {
        (Some((_, index)), Some(first)) => *first == 0x80 | index,
        _ => false,
    }
}

/// The answer to a WebSocket's key (RFC 6455 4.2.2).
pub fn websocket_accept(key: &str) -> String {
    let text = format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    let digits = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in sha1(text.as_bytes()).chunks(3) {
        let mut bytes = [0; 4];
        bytes[1..=chunk.len()].copy_from_slice(chunk);
        let bits = u32::from_be_bytes(bytes);
        for at in 0..4 {
            out.push(if at > chunk.len() {
                '='
            } else {
                char::from(digits[(bits >> (18 - 6 * at) & 63) as usize])
            });
        }
    }
    out
}

/// SHA-1 (RFC 3174 6.1).
fn sha1(input: &[u8]) -> [u8; 20] {
    let mut message = input.to_vec();
    message.push(0x80);
    while message.len() % 64 != 56 {
        message.push(0);
    }
    message.extend((input.len() as u64 * 8).to_be_bytes());
    let mut state: [u32; 5] = [
        0x6745_2301,
        0xefcd_ab89,
        0x98ba_dcfe,
        0x1032_5476,
        0xc3d2_e1f0,
    ];
    for block in message.chunks(64) {
        let mut words = [0u32; 80];
        for (word, bytes) in words.iter_mut().zip(block.chunks(4)) {
            *word = bytes
                .iter()
                .fold(0, |word, byte| word << 8 | u32::from(*byte));
        }
        for at in 16..80 {
            words[at] =
                (words[at - 3] ^ words[at - 8] ^ words[at - 14] ^ words[at - 16]).rotate_left(1);
        }
        let [mut a, mut b, mut c, mut d, mut e] = state;
        for (at, word) in words.iter().enumerate() {
            let (mix, constant) = match at / 20 {
                0 => (b & c | !b & d, 0x5a82_7999),
                1 => (b ^ c ^ d, 0x6ed9_eba1),
                2 => (b & c | b & d | c & d, 0x8f1b_bcdc),
                _ => (b ^ c ^ d, 0xca62_c1d6u32),
            };
            let next = a
                .rotate_left(5)
                .wrapping_add(mix)
                .wrapping_add(e)
                .wrapping_add(*word)
                .wrapping_add(constant);
            (a, b, c, d, e) = (next, a, b.rotate_left(30), c, d);
        }
        for (sum, value) in state.iter_mut().zip([a, b, c, d, e]) {
            *sum = sum.wrapping_add(value);
        }
    }
    let mut out = [0; 20];
    for (bytes, word) in out.chunks_mut(4).zip(state) {
        bytes.copy_from_slice(&word.to_be_bytes());
    }
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_key_of_the_rfc_gives_its_answer() {
        // RFC 6455 1.3.
        assert_eq!(
            super::websocket_accept("dGhlIHNhbXBsZSBub25jZQ=="),
            "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        );
    }
}
