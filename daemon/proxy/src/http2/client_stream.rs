//! A client's stream as the walk sees it: a connection that carries one request, whose head comes typed and whose bytes
//! are the body's.

use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::Response;
use http::request::Parts;

use super::Watch;
use super::body::{Receiving, Sending, broken};
use crate::http::Head;
use crate::net::Buffer;

/// One stream of a client's connection.
pub struct ClientStream {
    /// The request's head until the walk takes it.
    request: Option<Parts>,
    body: Receiving,
    respond: SendResponse<Bytes>,
    /// The answer's head until its first byte is written or it ends.
    head: Option<Response<()>>,
    answer: Sending,
    watch: Rc<Watch>,
    /// [`Watch::cuts`] when this stream was last looked at and was whole.
    cuts: u64,
}

impl std::fmt::Debug for ClientStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ClientStream({:?})", self.body)
    }
}

impl ClientStream {
    /// A stream that was just accepted, and was whole when [`Watch::cuts`] was `cuts`.
    pub fn new(
        request: http::Request<RecvStream>,
        respond: SendResponse<Bytes>,
        watch: Rc<Watch>,
        cuts: u64,
    ) -> Self {
        let (parts, body) = request.into_parts();
        Self {
            request: Some(parts),
            body: Receiving::new(body),
            respond,
            head: None,
            answer: Sending::default(),
            watch,
            cuts,
        }
    }

    /// The request's head; there is one.
    pub fn take_request(&mut self) -> Option<Parts> {
        self.request.take()
    }

    /// Whether the whole body was read, and no trailers are behind it.
    pub fn is_at_end(&self) -> bool {
        self.body.is_at_end()
    }

    /// Reads data of the body; 0 is its end.
    pub fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut Buffer,
    ) -> Poll<io::Result<usize>> {
        self.body.poll_read(context, buffer)
    }

    /// The trailers that came behind the body.
    pub fn take_trailers(&mut self, into: &mut Head) {
        self.body.take_trailers(into);
    }

    /// Sends an interim answer. A stream that is gone shows that at the next read or write.
    pub fn interim(&mut self, response: Response<()>) {
        let _ = self.respond.send_informational(response);
    }

    /// Sets the answer's head; it goes out with the first bytes of the body, or with its end.
    pub fn begin(&mut self, response: Response<()>) {
        self.head = Some(response);
        self.answer = Sending::default();
    }

    /// The bytes that are written next are the last, but for these trailers.
    pub fn end_with_next_write(&mut self, trailers: &Head) {
        self.answer.end_with_next_write(trailers);
    }

    /// Takes what the peer's window has room for.
    pub fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.send_head(false)?;
        self.answer.poll_write(context, bytes)
    }

    fn send_head(&mut self, is_all: bool) -> io::Result<()> {
        if let Some(head) = self.head.take() {
            let stream = self.respond.send_response(head, is_all).map_err(broken)?;
            self.answer.begin(stream, is_all);
        }
        Ok(())
    }

    /// Sends what is held back: a head without a body, or the end of one that ended with an earlier write.
    pub fn poll_flush(&mut self) -> Poll<io::Result<()>> {
        self.send_head(self.answer.ends())?;
        Poll::Ready(self.answer.flush())
    }

    /// Ends our direction.
    pub fn poll_shutdown(&mut self) -> Poll<io::Result<()>> {
        Poll::Ready(self.answer.shutdown())
    }

    /// Ready when the client does not want the answer any more. The connection's driver wakes a stream that was cut off.
    pub fn poll_gone(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let cuts = self.watch.cuts();
        if self.cuts == cuts || self.answer.is_ended() {
            return Poll::Pending;
        }
        let gone = match self.answer.stream() {
            Some(stream) => stream.poll_reset(context).map(|_| ()),
            None => self.respond.poll_reset(context).map(|_| ()),
        };
        if gone.is_pending() {
            self.cuts = cuts;
        }
        gone
    }

    /// Cuts the stream off, so that the client does not take what it got for the whole.
    pub fn reset(&mut self, reason: Reason) {
        if !self.answer.is_ended() {
            self.respond.send_reset(reason);
            self.answer.set_ended();
        }
    }
}

impl Drop for ClientStream {
    fn drop(&mut self) {
        // The answer was not finished: whatever the reason, the client must know.
        self.reset(Reason::INTERNAL_ERROR);
    }
}
