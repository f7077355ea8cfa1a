//! A client's stream as the walk sees it: a connection that carries one request, whose head comes typed and whose bytes
//! are the body's.

use std::io;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::Response;
use http::request::Parts;

use crate::net::Buffer;

/// Most bytes of a body that are handed over at once.
const MAX_WRITE: usize = 64 << 10;

/// One stream of a client's connection.
pub struct ClientStream {
    /// The request's head until the walk takes it.
    request: Option<Parts>,
    body: RecvStream,
    /// Data that was received and did not fit into the walk's buffer.
    left: Bytes,
    respond: SendResponse<Bytes>,
    /// The answer's head until its first byte is written or it ends.
    head: Option<Response<()>>,
    send: Option<SendStream<Bytes>>,
    /// Whether the next write that is taken whole is the last.
    ends: bool,
    ended: bool,
}

impl std::fmt::Debug for ClientStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ClientStream({:?})", self.body.stream_id())
    }
}

fn broken(error: h2::Error) -> io::Error {
    if error.is_io() {
        error
            .into_io()
            .unwrap_or_else(|| io::ErrorKind::BrokenPipe.into())
    } else {
        io::Error::new(io::ErrorKind::ConnectionReset, error)
    }
}

impl ClientStream {
    /// A stream that was just accepted.
    pub fn new(request: http::Request<RecvStream>, respond: SendResponse<Bytes>) -> Self {
        let (parts, body) = request.into_parts();
        Self {
            request: Some(parts),
            body,
            left: Bytes::new(),
            respond,
            head: None,
            send: None,
            ends: false,
            ended: false,
        }
    }

    /// The request's head; there is one.
    pub fn take_request(&mut self) -> Option<Parts> {
        self.request.take()
    }

    /// Whether the whole body was read.
    pub fn is_at_end(&self) -> bool {
        self.left.is_empty() && self.body.is_end_stream()
    }

    /// Sends an interim answer. A stream that is gone shows that at the next read or write.
    pub fn interim(&mut self, response: Response<()>) {
        let _ = self.respond.send_informational(response);
    }

    /// Sets the answer's head; it goes out with the first bytes of the body, or with its end.
    pub fn begin(&mut self, response: Response<()>) {
        self.head = Some(response);
        self.ends = false;
    }

    /// The bytes that are written next are the last.
    pub fn end_with_next_write(&mut self) {
        self.ends = true;
    }

    /// Reads data of the body; 0 is its end.
    pub fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut Buffer,
    ) -> Poll<io::Result<usize>> {
        while self.left.is_empty() {
            match ready!(self.body.poll_data(context)) {
                Some(Ok(data)) => self.left = data,
                Some(Err(error)) => return Poll::Ready(Err(broken(error))),
                None => return Poll::Ready(Ok(0)),
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

    /// Takes what the peer's window has room for.
    pub fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        self.send_head(false)?;
        let Some(send) = &mut self.send else {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        };
        let wanted = bytes.len().min(MAX_WRITE);
        send.reserve_capacity(wanted);
        let mut room = send.capacity();
        if room == 0 {
            room = match ready!(send.poll_capacity(context)) {
                Some(Ok(room)) => room,
                Some(Err(error)) => return Poll::Ready(Err(broken(error))),
                None => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            };
        }
        let count = room.min(wanted);
        let is_last = self.ends && count == bytes.len();
        send.send_data(Bytes::copy_from_slice(&bytes[..count]), is_last)
            .map_err(broken)?;
        self.ended |= is_last;
        Poll::Ready(Ok(count))
    }

    fn send_head(&mut self, is_all: bool) -> io::Result<()> {
        if let Some(head) = self.head.take() {
            self.send = Some(self.respond.send_response(head, is_all).map_err(broken)?);
            self.ended |= is_all;
        }
        Ok(())
    }

    /// Sends what is held back: a head without a body, or the end of one that ended with an earlier write.
    pub fn poll_flush(&mut self) -> Poll<io::Result<()>> {
        self.send_head(self.ends)?;
        if self.ends
            && !self.ended
            && let Some(send) = &mut self.send
        {
            send.send_data(Bytes::new(), true).map_err(broken)?;
            self.ended = true;
        }
        Poll::Ready(Ok(()))
    }

    /// Ends our direction.
    pub fn poll_shutdown(&mut self) -> Poll<io::Result<()>> {
        self.ends = true;
        self.poll_flush()
    }

    /// Whether the client still wants the answer.
    pub fn poll_reset(&mut self, context: &mut Context<'_>) -> Poll<()> {
        match &mut self.send {
            Some(send) => send.poll_reset(context).map(|_| ()),
            None => self.respond.poll_reset(context).map(|_| ()),
        }
    }

    /// Cuts the stream off, so that the client does not take what it got for the whole.
    pub fn reset(&mut self, reason: Reason) {
        if !self.ended {
            self.respond.send_reset(reason);
            self.ended = true;
        }
    }
}

impl Drop for ClientStream {
    fn drop(&mut self) {
        // The answer was not finished: whatever the reason, the client must know.
        if !self.ended {
            self.respond.send_reset(Reason::INTERNAL_ERROR);
        }
    }
}
