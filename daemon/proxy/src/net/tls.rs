//! A TLS connection over TCP behind its handshake: many records by one read, writes that fit the network's pieces.
//!
//! rustls alone reads 4 KiB at a time and holds all that it made for writing; here a large body is taken in reads as large
//! as the buffer that it is read into, and leaves in pieces of [`WRITE_BYTES`].

use std::io::{self, BufRead, Write};
use std::ops::DerefMut;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustls::{ConnectionCommon, SideData};
use tokio::io::{AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::socket::{poll_receive, poll_send};
use super::{BUFFER_BYTES, Buffer};

/// Most plaintext of one write. With the overhead of its records it stays below the 64 KiB that the kernel hands to a device
/// at once; a little more would leave a tiny segment behind each.
const WRITE_BYTES: usize = 62 << 10;

/// A connection. `C` is rustls's server or client connection.
#[derive(Debug)]
pub struct TlsStream<C> {
    socket: TcpStream,
    connection: C,
    /// Records that rustls has not seen.
    incoming: Buffer,
    /// What went wrong behind data that was read before it; the next read tells it.
    failed: Option<io::Error>,
    /// The socket has ended.
    ended: bool,
    /// Our end was told.
    closed: bool,
}

impl<C, S> TlsStream<C>
where
    C: DerefMut<Target = ConnectionCommon<S>>,
    S: SideData,
{
    /// Goes on where a handshake has ended.
    pub fn new(socket: TcpStream, mut connection: C) -> Self {
        connection.set_buffer_limit(Some(WRITE_BYTES));
        Self {
            socket,
            connection,
            incoming: Buffer::default(),
            failed: None,
            ended: false,
            closed: false,
        }
    }

    /// The TCP socket under it.
    pub fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// What the handshake agreed on.
    pub fn connection(&self) -> &C {
        &self.connection
    }

    /// Whether there may be something to read without asking the kernel.
    fn holds_input(&self) -> bool {
        !self.incoming.is_empty()
            || self.failed.is_some()
            || self.ended
            || !self.connection.wants_read()
    }

    /// Pending while nothing has come; takes no memory to find out.
    pub fn poll_input(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.holds_input() {
            return Poll::Ready(Ok(()));
        }
        self.socket.poll_read_ready(context)
    }

    /// Reads what has come into `buffer`, as much as it holds; 0 is the peer's well-formed end.
    ///
    /// # Errors
    /// Those of the socket, and an end without the peer's `close_notify` (RFC 8446 6.1).
    pub fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut Buffer,
    ) -> Poll<io::Result<usize>> {
        let mut space = ReadBuf::new(buffer.space());
        ready!(self.poll_read_into(context, &mut space))?;
        let count = space.filled().len();
        buffer.filled(count);
        Poll::Ready(Ok(count))
    }

    /// The same into other memory.
    pub fn poll_read_into(
        &mut self,
        context: &mut Context<'_>,
        space: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = space.filled().len();
        let outcome = self.poll_plaintext(context, space);
        self.incoming.release_if_empty();
        if space.filled().len() == before {
            return outcome;
        }
        // What was read is told first.
        if let Poll::Ready(Err(error)) = outcome {
            self.failed = Some(error);
        }
        Poll::Ready(Ok(()))
    }

    /// Fills `space` until it is full or nothing more has come.
    fn poll_plaintext(
        &mut self,
        context: &mut Context<'_>,
        space: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while space.remaining() > 0 {
            let mut reader = self.connection.reader();
            match reader.fill_buf() {
                Ok([]) => return Poll::Ready(Ok(())),
                Ok(data) => {
                    let count = data.len().min(space.remaining());
                    space.put_slice(&data[..count]);
                    reader.consume(count);
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
            if let Some(error) = self.failed.take() {
                return Poll::Ready(Err(error));
            }
            if !self.incoming.is_empty() {
                self.decrypt(context);
                continue;
            }
            if space.capacity() > BUFFER_BYTES {
                self.incoming.enlarge();
            }
            ready!(self.poll_receive(context))?;
        }
        Poll::Ready(Ok(()))
    }

    /// Receives records.
    fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.ended {
            // rustls knew of the end and did not tell it.
            return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
        }
        let count = ready!(poll_receive(&self.socket, context, self.incoming.space()))?;
        self.incoming.filled(count);
        if count == 0 {
            self.ended = true;
            self.connection.read_tls(&mut io::empty())?;
        }
        Poll::Ready(Ok(()))
    }

    /// Gives rustls some of what came.
    fn decrypt(&mut self, context: &mut Context<'_>) {
        let mut records = self.incoming.data();
        let taken = match self.connection.read_tls(&mut records) {
            // Behind the peer's `close_notify` nothing counts.
            Ok(0) => self.incoming.len(),
            Ok(taken) => taken,
            Err(error) => {
                self.failed = Some(error);
                return;
            }
        };
        self.incoming.consume(taken);
        if let Err(error) = self.connection.process_new_packets() {
            // The alert that says what is wrong is sent if the socket takes it.
            let _ = self.poll_send(context);
            self.failed = Some(io::Error::new(io::ErrorKind::InvalidData, error));
        }
    }

    /// Writes some bytes. What the socket does not take yet leaves with the next write or flush.
    pub fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_send(context))?;
        let count = self.connection.writer().write(bytes)?;
        self.sent(context, count)
    }

    /// Writes some bytes of several pieces.
    pub fn poll_write_vectored(
        &mut self,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_send(context))?;
        let count = self.connection.writer().write_vectored(pieces)?;
        self.sent(context, count)
    }

    fn sent(&mut self, context: &mut Context<'_>, count: usize) -> Poll<io::Result<usize>> {
        match self.poll_send(context) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(count)),
        }
    }

    /// Pushes out all that was written.
    pub fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_send(context)
    }

    /// Ends our direction: `close_notify`, then the socket's.
    pub fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.closed {
            self.connection.send_close_notify();
            self.closed = true;
        }
        ready!(self.poll_send(context))?;
        Pin::new(&mut self.socket).poll_shutdown(context)
    }

    /// Sends the records that rustls holds.
    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.connection.wants_write() {
            let mut socket = Socket {
                socket: &mut self.socket,
                context,
            };
            match self.connection.write_tls(&mut socket) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// The socket as rustls wants to write to it.
struct Socket<'a, 'c> {
    socket: &'a mut TcpStream,
    context: &'a mut Context<'c>,
}

impl Socket<'_, '_> {
    fn now(outcome: Poll<io::Result<usize>>) -> io::Result<usize> {
        match outcome {
            Poll::Ready(outcome) => outcome,
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

impl Write for Socket<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Self::now(poll_send(self.socket, self.context, bytes))
    }

    fn write_vectored(&mut self, pieces: &[io::IoSlice<'_>]) -> io::Result<usize> {
        // One record needs no list.
        if let [piece] = pieces {
            return self.write(piece);
        }
        Self::now(Pin::new(&mut *self.socket).poll_write_vectored(self.context, pieces))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
