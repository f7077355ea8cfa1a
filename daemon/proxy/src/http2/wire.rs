//! What an HTTP/2 connection writes, gathered: the frames of all streams that were ready in one turn leave with one system
//! call. Large data is not copied; it leaves together with what waits.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::task::{Context, Poll, ready};

use tokio::io::ReadBuf;

use crate::net::Stream;

/// Writes of at least so many bytes are not copied.
const LARGE_BYTES: usize = 4 << 10;
/// Most bytes that wait.
const MAX_WAITING: usize = 32 << 10;
/// A buffer larger than this is not kept.
const MAX_KEPT: usize = 4 << 10;

/// A transport with what waits to be written.
#[derive(Debug)]
pub struct Wire {
    stream: RefCell<Stream>,
    waiting: RefCell<Waiting>,
    /// Whether flushing is left to [`Wire::poll_send`].
    defers: Cell<bool>,
}

#[derive(Debug, Default)]
struct Waiting {
    bytes: Vec<u8>,
    sent: usize,
}

impl Waiting {
    fn rest(&self) -> &[u8] {
        &self.bytes[self.sent..]
    }

    fn clear(&mut self) {
        self.sent = 0;
        if self.bytes.capacity() > MAX_KEPT {
            self.bytes = Vec::new();
        } else {
            self.bytes.clear();
        }
    }
}

impl Wire {
    pub(super) fn new(stream: Stream) -> Self {
        Self {
            stream: RefCell::new(stream),
            waiting: RefCell::default(),
            defers: Cell::new(false),
        }
    }

    /// From now on whoever drives the connection calls [`Wire::poll_send`] at the end of each turn.
    pub fn defer(&self) {
        self.defers.set(true);
    }

    pub(super) fn poll_read(
        &self,
        context: &mut Context<'_>,
        space: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.stream.borrow_mut().poll_read_into(context, space)
    }

    pub(super) fn poll_write(
        &self,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if bytes.len() < LARGE_BYTES {
            if self.waiting.borrow().rest().len() + bytes.len() > MAX_WAITING {
                ready!(self.poll_send(context))?;
            }
            self.waiting.borrow_mut().bytes.extend_from_slice(bytes);
            return Poll::Ready(Ok(bytes.len()));
        }
        let mut stream = self.stream.borrow_mut();
        let mut waiting = self.waiting.borrow_mut();
        loop {
            let before = waiting.rest().len();
            if before == 0 {
                return stream.poll_write(context, bytes);
            }
            let count = if stream.is_write_vectored() {
                let pieces = [IoSlice::new(waiting.rest()), IoSlice::new(bytes)];
                ready!(stream.poll_write_vectored(context, &pieces))?
            } else {
                ready!(stream.poll_write(context, waiting.rest()))?
            };
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            if count > before {
                waiting.clear();
                return Poll::Ready(Ok(count - before));
            }
            waiting.sent += count;
            if count == before {
                waiting.clear();
            }
        }
    }

    /// Writes what waits.
    pub fn poll_send(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut stream = self.stream.borrow_mut();
        let mut waiting = self.waiting.borrow_mut();
        while !waiting.rest().is_empty() {
            let count = ready!(stream.poll_write(context, waiting.rest()))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            waiting.sent += count;
        }
        waiting.clear();
        stream.poll_flush(context)
    }

    pub(super) fn poll_flush(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.defers.get() {
            return Poll::Ready(Ok(()));
        }
        self.poll_send(context)
    }

    pub(super) fn poll_shutdown(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(context))?;
        self.stream.borrow_mut().poll_shutdown(context)
    }
}
