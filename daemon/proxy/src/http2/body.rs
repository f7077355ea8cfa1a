//! The two directions of a stream's body, as the walk wants them: reads into a buffer, writes within the peer's window.

use std::io;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use h2::{RecvStream, SendStream};
use http::HeaderMap;

use crate::http::Head;
use crate::http1::is_trailer_allowed;
use crate::net::Buffer;

/// Most bytes of a body that are handed over at once.
const MAX_WRITE: usize = 64 << 10;
/// A body that begins with at most so many bytes does not ask for room first: they wait in the stream if there is none.
const MAX_UNASKED: usize = 4 << 10;

/// An error of a stream as one of a connection.
pub(super) fn broken(error: h2::Error) -> io::Error {
    if error.is_io() {
        error
            .into_io()
            .unwrap_or_else(|| io::ErrorKind::BrokenPipe.into())
    } else {
        io::Error::new(io::ErrorKind::ConnectionReset, error)
    }
}

/// A body that comes.
pub(super) struct Receiving {
    body: RecvStream,
    /// Data that was received and did not fit into the walk's buffer.
    left: Bytes,
    trailers: Option<HeaderMap>,
}

impl Receiving {
    pub(super) fn new(body: RecvStream) -> Self {
        Self {
            body,
            left: Bytes::new(),
            trailers: None,
        }
    }

    /// Whether all of it was read, and no trailers are left to be read.
    pub(super) fn is_at_end(&self) -> bool {
        self.left.is_empty() && self.body.is_end_stream()
    }

    /// Reads data; 0 is the end, and the trailers are known then.
    pub(super) fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut Buffer,
    ) -> Poll<io::Result<usize>> {
        while self.left.is_empty() {
            match ready!(self.body.poll_data(context)) {
                Some(Ok(data)) => self.left = data,
                Some(Err(error)) => return Poll::Ready(Err(broken(error))),
                None => {
                    self.trailers = ready!(self.body.poll_trailers(context)).map_err(broken)?;
                    return Poll::Ready(Ok(0));
                }
            }
        }
        let space = buffer.space();
        let count = self.left.len().min(space.len());
        space[..count].copy_from_slice(&self.left[..count]);
        buffer.filled(count);
        self.left.advance(count);
        // Room for as much again; a stream that was reset meanwhile needs none.
        let _ = self.body.flow_control().release_capacity(count);
        Poll::Ready(Ok(count))
    }

    /// Appends the trailers that may be passed on.
    pub(super) fn take_trailers(&mut self, into: &mut Head) {
        let Some(trailers) = self.trailers.take() else {
            return;
        };
        for (name, value) in &trailers {
            if is_trailer_allowed(name.as_str().as_bytes()) {
                into.add(name.as_str().as_bytes(), value.as_bytes().trim_ascii());
            }
        }
    }
}

impl std::fmt::Debug for Receiving {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.body.stream_id())
    }
}

/// A body that goes.
#[derive(Default)]
pub(super) struct Sending {
    stream: Option<SendStream<Bytes>>,
    has_begun: bool,
    /// Whether the next write that is taken whole is the last.
    ends: bool,
    ended: bool,
    trailers: Option<HeaderMap>,
}

impl Sending {
    /// The head is out; `ended` says that there is no body.
    pub(super) fn begin(&mut self, stream: SendStream<Bytes>, ended: bool) {
        self.stream = Some(stream);
        self.ended = ended;
    }

    pub(super) fn is_ended(&self) -> bool {
        self.ended
    }

    pub(super) fn set_ended(&mut self) {
        self.ended = true;
    }

    /// Whether nothing follows what is written next.
    pub(super) fn ends(&self) -> bool {
        self.ends && self.trailers.is_none()
    }

    /// The bytes that are written next are the last, but for these trailers.
    pub(super) fn end_with_next_write(&mut self, trailers: &Head) {
        self.ends = true;
        if trailers.fields().is_empty() {
            return;
        }
        let mut map = HeaderMap::with_capacity(trailers.fields().len());
        for (name, value) in trailers.iter() {
            if let (Ok(name), Ok(value)) = (
                http::HeaderName::from_bytes(name),
                http::HeaderValue::from_bytes(value),
            ) {
                map.append(name, value);
            }
        }
        self.trailers = Some(map);
    }

    /// Takes what the peer's window has room for.
    pub(super) fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let ends = self.ends();
        let Some(stream) = &mut self.stream else {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        };
        let wanted = bytes.len().min(MAX_WRITE);
        let is_small = !std::mem::replace(&mut self.has_begun, true) && bytes.len() <= MAX_UNASKED;
        let count = if is_small {
            wanted
        } else {
            stream.reserve_capacity(wanted);
            let mut room = stream.capacity();
            if room == 0 {
                room = match ready!(stream.poll_capacity(context)) {
                    Some(Ok(room)) => room,
                    Some(Err(error)) => return Poll::Ready(Err(broken(error))),
                    None => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
                };
            }
            room.min(wanted)
        };
        let is_last = ends && count == bytes.len();
        stream
            .send_data(Bytes::copy_from_slice(&bytes[..count]), is_last)
            .map_err(broken)?;
        self.ended |= is_last;
        Poll::Ready(Ok(count))
    }

    /// Sends the end if it did not go with the last bytes.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        if self.ends
            && !self.ended
            && let Some(stream) = &mut self.stream
        {
            self.ended = true;
            match self.trailers.take() {
                Some(trailers) => stream.send_trailers(trailers),
                None => stream.send_data(Bytes::new(), true),
            }
            .map_err(broken)?;
        }
        Ok(())
    }

    pub(super) fn shutdown(&mut self) -> io::Result<()> {
        self.ends = true;
        self.flush()
    }

    pub(super) fn stream(&mut self) -> Option<&mut SendStream<Bytes>> {
        self.stream.as_mut()
    }
}
