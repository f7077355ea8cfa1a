//! Bodies: how long they are, chunks decoded in place, chunks written.

use std::ops::Range;

use crate::http::{Head, is_control, is_token};

/// How a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyLength {
    /// There is none.
    None,
    /// So many bytes.
    Bytes(u64),
    /// Chunked.
    Chunked,
    /// With the connection (answers only).
    Close,
}

/// A body that breaks its framing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BodyError(pub &'static str);

/// Longest chunk size line and longest trailer section in bytes.
const MAX_SIZE_LINE: usize = 256;
const MAX_TRAILERS: usize = 8 << 10;
/// Most trailer fields that are kept.
const MAX_TRAILER_FIELDS: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Bytes(u64),
    Close,
    ChunkSize,
    ChunkData(u64),
    ChunkEnd,
    Trailers(usize),
    /// All that was announced is here; what carries it has still to end, perhaps with trailers.
    StreamEnd,
    Done,
}

/// Finds the data of a body in its bytes.
#[derive(Clone, Copy, Debug)]
pub struct BodyDecoder {
    state: State,
    /// What comes behind the last byte of a known length.
    behind_bytes: State,
}

impl BodyDecoder {
    /// A decoder for a body of this length.
    pub fn new(length: BodyLength) -> Self {
        Self {
            state: match length {
                BodyLength::None | BodyLength::Bytes(0) => State::Done,
                BodyLength::Bytes(count) => State::Bytes(count),
                BodyLength::Chunked => State::ChunkSize,
                BodyLength::Close => State::Close,
            },
            behind_bytes: State::Done,
        }
    }
    /// A decoder for the data of a stream of HTTP/2, which ends with the stream, whatever length was announced.
    pub fn of_stream(length: BodyLength) -> Self {
        Self {
            state: match length {
                BodyLength::None => State::Done,
                BodyLength::Bytes(0) => State::StreamEnd,
                BodyLength::Bytes(count) => State::Bytes(count),
                BodyLength::Chunked | BodyLength::Close => State::Close,
            },
            behind_bytes: State::StreamEnd,
        }
    }
    /// Whether the whole body was seen.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }
    /// Whether the end of what carries it, connection or stream, is what is waited for.
    pub fn ends_with_connection(&self) -> bool {
        matches!(self.state, State::Close | State::StreamEnd)
    }
    /// The end of what carries it has come.
    pub fn end(&mut self) {
        self.state = State::Done;
    }
    /// Bytes that are certainly still to come, for choosing a buffer.
    pub fn remaining_hint(&self) -> u64 {
        match self.state {
            State::Bytes(count) | State::ChunkData(count) => count,
            State::Close => u64::MAX,
            _ => 0,
        }
    }
    /// `count` bytes of data went by without being looked at; never more than [`BodyDecoder::remaining_hint`] allows.
    pub fn skip(&mut self, count: u64) {
        self.state = match self.state {
            State::Bytes(left) if left <= count => self.behind_bytes,
            State::Bytes(left) => State::Bytes(left - count),
            State::ChunkData(left) if left <= count => State::ChunkEnd,
            State::ChunkData(left) => State::ChunkData(left - count),
            state => state,
        };
    }
    /// Looks at the front of `bytes`: how many are used up, and which of them are data. (0, empty) wants more bytes.
    /// Trailers are checked and dropped.
    pub fn decode(&mut self, bytes: &[u8]) -> Result<(usize, Range<usize>), BodyError> {
        self.step(bytes, None)
    }
    /// The same; trailer fields that may be passed on (see [`is_trailer_allowed`]) are appended to `trailers`.
    pub fn decode_with_trailers(
        &mut self,
        bytes: &[u8],
        trailers: &mut Head,
    ) -> Result<(usize, Range<usize>), BodyError> {
        self.step(bytes, Some(trailers))
    }

    fn step(
        &mut self,
        bytes: &[u8],
        mut trailers: Option<&mut Head>,
    ) -> Result<(usize, Range<usize>), BodyError> {
        let mut at = 0;
        loop {
            let rest = &bytes[at..];
            match self.state {
                State::Done => return Ok((at, 0..0)),
                _ if rest.is_empty() => return Ok((at, 0..0)),
                State::Close => return Ok((bytes.len(), at..bytes.len())),
                State::StreamEnd => return Err(BodyError("data behind the end of a body")),
                State::Bytes(count) | State::ChunkData(count) => {
                    let take = count.min(rest.len() as u64);
                    let left = count - take;
                    self.state = match (self.state, left) {
                        (State::Bytes(_), 0) => self.behind_bytes,
                        (State::Bytes(_), left) => State::Bytes(left),
                        (_, 0) => State::ChunkEnd,
                        (_, left) => State::ChunkData(left),
                    };
                    let end = at + take as usize;
                    return Ok((end, at..end));
                }
                State::ChunkSize => {
                    let Some(end) = line_end(rest, MAX_SIZE_LINE)? else {
                        return Ok((at, 0..0));
                    };
                    let size = chunk_size(&rest[..end])?;
                    at += end + 2;
                    self.state = if size == 0 {
                        State::Trailers(0)
                    } else {
                        State::ChunkData(size)
                    };
                }
                State::ChunkEnd => {
                    if rest[0] != b'\r' || rest.get(1).is_some_and(|byte| *byte != b'\n') {
                        return Err(BodyError("a chunk does not end with CRLF"));
                    }
                    if rest.len() < 2 {
                        return Ok((at, 0..0));
                    }
                    at += 2;
                    self.state = State::ChunkSize;
                }
                State::Trailers(seen) => {
                    let Some(end) = line_end(rest, MAX_TRAILERS)? else {
                        return Ok((at, 0..0));
                    };
                    let line = &rest[..end];
                    at += end + 2;
                    if line.is_empty() {
                        self.state = State::Done;
                        return Ok((at, 0..0));
                    }
                    let (name, value) = trailer_field(line)?;
                    if seen + end > MAX_TRAILERS {
                        return Err(BodyError("the trailers are too long"));
                    }
                    if let Some(trailers) = trailers.as_deref_mut()
                        && is_trailer_allowed(name)
                    {
                        if trailers.fields().len() == MAX_TRAILER_FIELDS {
                            return Err(BodyError("too many trailers"));
                        }
                        trailers.add(name, value);
                    }
                    self.state = State::Trailers(seen + end);
                }
            }
        }
    }
}

/// Where a line ends (its CR), once its LF is there.
fn line_end(bytes: &[u8], limit: usize) -> Result<Option<usize>, BodyError> {
    match memchr::memchr(b'\n', bytes) {
        // The same verdict however the bytes arrive.
        Some(at) if at > limit => Err(BodyError("a line in the framing of a body is too long")),
        Some(0) => Err(BodyError("a bare LF in the framing of a body")),
        Some(at) if bytes[at - 1] != b'\r' => Err(BodyError("a bare LF in the framing of a body")),
        Some(at) if memchr::memchr(b'\r', &bytes[..at - 1]).is_some() => {
            Err(BodyError("a bare CR in the framing of a body"))
        }
        Some(at) => Ok(Some(at - 1)),
        None if bytes.len() > limit => {
            Err(BodyError("a line in the framing of a body is too long"))
        }
        None => Ok(None),
    }
}

fn chunk_size(line: &[u8]) -> Result<u64, BodyError> {
    let digits = line
        .iter()
        .take_while(|byte| byte.is_ascii_hexdigit())
        .count();
    // RFC 9112 7.1: 1*HEXDIG, then nothing or extensions. 15 digits cannot overflow.
    if digits == 0 || digits > 15 {
        return Err(BodyError("invalid chunk size"));
    }
    let tail = &line[digits..];
    let blank = tail
        .iter()
        .take_while(|byte| matches!(byte, b' ' | b'\t'))
        .count();
    if !(tail.is_empty() || tail.get(blank) == Some(&b';'))
        || tail.iter().any(|byte| is_control(*byte))
    {
        return Err(BodyError("invalid chunk extension"));
    }
    Ok(line[..digits].iter().fold(0, |size, digit| {
        size << 4 | u64::from((*digit as char).to_digit(16).unwrap_or(0))
    }))
}

/// Name and value of a trailer line.
fn trailer_field(line: &[u8]) -> Result<(&[u8], &[u8]), BodyError> {
    let invalid = BodyError("invalid trailers");
    let colon = memchr::memchr(b':', line).ok_or(invalid)?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    let is_valid = !name.is_empty()
        && name.iter().all(|byte| is_token(*byte))
        && !value.iter().any(|byte| is_control(*byte));
    if is_valid {
        Ok((name, value.trim_ascii()))
    } else {
        Err(invalid)
    }
}

/// Fields that mean something else, or something dangerous, behind a body: framing, routing, the connection, credentials
/// and what decides how the body is read (RFC 9110 6.5.1). Sorted.
const FORBIDDEN_TRAILERS: [&[u8]; 25] = [
    b"age",
    b"authorization",
    b"cache-control",
    b"connection",
    b"content-encoding",
    b"content-length",
    b"content-range",
    b"content-type",
    b"cookie",
    b"expect",
    b"forwarded",
    b"host",
    b"keep-alive",
    b"location",
    b"max-forwards",
    b"proxy-authorization",
    b"proxy-connection",
    b"range",
    b"set-cookie",
    b"te",
    b"trailer",
    b"transfer-encoding",
    b"upgrade",
    b"vary",
    b"www-authenticate",
];

/// Whether a trailer field of this name is passed on. HTTP/1 and HTTP/2 ask the same question.
pub fn is_trailer_allowed(name: &[u8]) -> bool {
    let is_ours = name
        .get(..12)
        .is_some_and(|front| front.eq_ignore_ascii_case(b"x-forwarded-"));
    !is_ours
        && !FORBIDDEN_TRAILERS
            .iter()
            .any(|forbidden| name.eq_ignore_ascii_case(forbidden))
}

/// Appends data as one chunk.
pub fn push_chunk(out: &mut Vec<u8>, data: &[u8]) {
    if data.is_empty() {
        return;
    }
    let mut digits = [0; 16];
    let mut at = digits.len();
    let mut size = data.len();
    while size > 0 {
        at -= 1;
        digits[at] = b"0123456789abcdef"[size & 15];
        size >>= 4;
    }
    out.extend_from_slice(&digits[at..]);
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(data);
    out.extend_from_slice(b"\r\n");
}

/// Appends the last chunk.
pub fn end_chunks(out: &mut Vec<u8>) {
    out.extend_from_slice(b"0\r\n\r\n");
}

/// Appends the last chunk and the trailer section behind it.
pub fn end_chunks_with(out: &mut Vec<u8>, trailers: &Head) {
    out.extend_from_slice(b"0\r\n");
    for (name, value) in trailers.iter() {
        let at = out.len();
        out.extend_from_slice(name);
        out[at..].make_ascii_lowercase();
        out.extend_from_slice(b": ");
        out.extend_from_slice(value);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Decodes in pieces of `step` bytes; the data and how many bytes were used.
    fn check(input: &[u8], step: usize) -> Result<(Vec<u8>, usize, bool), BodyError> {
        let mut decoder = BodyDecoder::new(BodyLength::Chunked);
        let (mut data, mut used, mut seen) = (Vec::new(), 0, 0);
        while seen < input.len() && !decoder.is_done() {
            seen = (seen + step).min(input.len());
            loop {
                let (count, range) = decoder.decode(&input[used..seen])?;
                data.extend_from_slice(&input[used..seen][range]);
                used += count;
                if count == 0 || decoder.is_done() {
                    break;
                }
            }
        }
        Ok((data, used, decoder.is_done()))
    }

    #[test]
    fn chunks_are_decoded_however_they_are_cut() {
        let input = b"5\r\nhello\r\n1;x=y\r\n \r\n00A\r\n0123456789\r\n0\r\nx: y\r\n\r\nGET";
        for step in 1..input.len() {
            assert_eq!(
                check(input, step),
                Ok((b"hello 0123456789".to_vec(), input.len() - 3, true)),
                "step {step}"
            );
        }
    }

    #[test]
    fn odd_chunks_are_refused() {
        for input in [
            &b"5\nhello\r\n"[..],
            b"5 5\r\nhello\r\n",
            b"\r\nhello",
            b"-1\r\n",
            b"0x5\r\nhello\r\n",
            b"5\r\nhelloXX",
            b"1111111111111111\r\n",
            b"5;\x01\r\nhello\r\n",
            b"0\r\nno colon\r\n\r\n",
            b"\n",
        ] {
            assert!(
                check(input, 1).is_err(),
                "{:?}",
                String::from_utf8_lossy(input)
            );
            assert!(
                check(input, 99).is_err(),
                "{:?}",
                String::from_utf8_lossy(input)
            );
        }
    }

    #[test]
    fn allowed_trailers_are_kept_and_written_again() {
        let input = b"0;e=1\r\nX-Sum:  a b \r\nContent-Length: 5\r\nX-Forwarded-For: 1.2.3.4\r\nempty:\r\n\r\n";
        for step in 1..=input.len() {
            let mut decoder = BodyDecoder::new(BodyLength::Chunked);
            let mut trailers = Head::default();
            let (mut used, mut seen) = (0, 0);
            while !decoder.is_done() {
                seen = (seen + step).min(input.len());
                while let (count @ 1.., _) = decoder
                    .decode_with_trailers(&input[used..seen], &mut trailers)
                    .expect("valid trailers")
                {
                    used += count;
                }
            }
            let mut out = Vec::new();
            end_chunks_with(&mut out, &trailers);
            assert_eq!(
                String::from_utf8_lossy(&out),
                "0\r\nx-sum: a b\r\nempty: \r\n\r\n",
                "step {step}"
            );
        }
    }

    #[test]
    fn a_stream_ends_its_body_whatever_length_was_announced() {
        let mut decoder = BodyDecoder::of_stream(BodyLength::Bytes(3));
        assert_eq!(decoder.decode(b"ab"), Ok((2, 0..2)));
        assert!(!decoder.ends_with_connection());
        assert_eq!(decoder.decode(b"c"), Ok((1, 0..1)));
        assert!(!decoder.is_done() && decoder.ends_with_connection());
        assert_eq!(decoder.remaining_hint(), 0);
        assert!(decoder.decode(b"d").is_err(), "more than was announced");
        decoder.end();
        assert!(decoder.is_done());
        let empty = BodyDecoder::of_stream(BodyLength::Bytes(0));
        assert!(empty.ends_with_connection(), "trailers may come");
    }

    #[test]
    fn too_many_trailers_are_refused() {
        let mut input = b"0\r\n".to_vec();
        for _ in 0..=MAX_TRAILER_FIELDS {
            input.extend_from_slice(b"a: b\r\n");
        }
        let mut decoder = BodyDecoder::new(BodyLength::Chunked);
        let outcome = decoder.decode_with_trailers(&input, &mut Head::default());
        assert_eq!(outcome, Err(BodyError("too many trailers")));
    }
}
