//! A connection of any transport, read into a [`Buffer`] and written from a slice.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use super::socket::{poll_receive, poll_send};
use super::{Buffer, Fresh, TlsStream};
use crate::app::Clock;

/// A connection.
#[derive(Debug)]
pub enum Stream {
    /// TCP.
    Tcp(TcpStream),
    /// TCP that the runtime does not watch.
    Fresh(Fresh),
    /// A unix stream socket.
    Unix(UnixStream),
    /// TLS over TCP, our end the server's.
    TlsServer(Box<TlsStream<rustls::ServerConnection>>),
    /// TLS over TCP, our end the client's.
    TlsClient(Box<TlsStream<rustls::ClientConnection>>),
    /// One stream of a client's HTTP/2 connection: its bytes are the body's.
    Http2(Box<crate::http2::ClientStream>),
    /// One stream of a server's HTTP/2 connection.
    Http2Server(Box<crate::http2::ServerStream>),
    /// Its transport has been taken over.
    Taken,
}

macro_rules! each {
    ($stream:expr, $name:ident => $body:expr, $tls:ident => $secure:expr, $http2:pat => $else:expr) => {
        match $stream {
            Stream::Tcp($name) => $body,
            Stream::Unix($name) => $body,
            Stream::TlsServer($tls) => $secure,
            Stream::TlsClient($tls) => $secure,
            Stream::Http2($http2) => $else,
            Stream::Http2Server($http2) => $else,
            // Whoever comes here has had it watched.
            Stream::Fresh(_) | Stream::Taken => Poll::Ready(Err(unsupported())),
        }
    };
}

impl Stream {
    /// Lets the runtime watch the connection, if it does not yet.
    pub fn watched(&mut self) -> io::Result<()> {
        if !matches!(self, Self::Fresh(_)) {
            return Ok(());
        }
        if let Self::Fresh(fresh) = std::mem::replace(self, Self::Taken) {
            *self = Self::Tcp(TcpStream::from_std(fresh.into_socket())?);
        }
        Ok(())
    }

    /// Takes the connection from the runtime, which watches it no longer; only TCP without TLS can do without.
    pub fn unwatched(&mut self) -> io::Result<()> {
        if !matches!(self, Self::Tcp(_)) {
            return Ok(());
        }
        if let Self::Tcp(stream) = std::mem::replace(self, Self::Taken) {
            *self = Self::Fresh(Fresh::client(stream.into_std()?));
        }
        Ok(())
    }

    /// The connection, if it may idle as it is: without a task and without the runtime.
    pub fn resting(&mut self) -> Option<&mut Fresh> {
        match self {
            Self::Fresh(fresh) if fresh.rests() => Some(fresh),
            _ => None,
        }
    }

    /// Whether it is unwatched and has been so for long enough, while something else is waited for: then
    /// [`Stream::watched`] is to be called. If it may stay so for a while, the task is woken after it.
    pub fn wants_watching(&mut self, clock: Clock, context: &Context<'_>) -> bool {
        match self {
            Self::Fresh(fresh) => fresh.wants_watching(clock, context.waker()),
            _ => false,
        }
    }

    /// Reads once; 0 is the end of the stream. A short read is trusted to mean "drained": the next read waits for
    /// the kernel's event without asking it first.
    pub fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut Buffer,
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::TlsServer(stream) => return stream.poll_read(context, buffer),
            Self::TlsClient(stream) => return stream.poll_read(context, buffer),
            Self::Http2(stream) => return stream.poll_read(context, buffer),
            Self::Http2Server(stream) => return stream.poll_read(context, buffer),
            Self::Tcp(_) | Self::Fresh(_) | Self::Unix(_) | Self::Taken => {}
        }
        if let Self::Fresh(fresh) = self
            && let Some(read) = fresh.read(buffer.space())
        {
            return Poll::Ready(read.inspect(|count| buffer.filled(*count)));
        }
        self.watched()?;
        if let Self::Tcp(socket) = self {
            let count = ready!(poll_receive(socket, context, buffer.space()))?;
            buffer.filled(count);
            return Poll::Ready(Ok(count));
        }
        let mut space = ReadBuf::new(buffer.space());
        ready!(self.poll_read_into(context, &mut space))?;
        let count = space.filled().len();
        buffer.filled(count);
        Poll::Ready(Ok(count))
    }

    /// Reads once what the kernel holds already, of plain TCP and without waiting for its event; `None` if it holds nothing.
    pub fn read_now(&mut self, buffer: &mut Buffer) -> Option<io::Result<usize>> {
        let read = match self {
            Self::Tcp(socket) => Some(sys::tcp::receive(socket, buffer.space())),
            Self::Fresh(fresh) => fresh.read(buffer.space()),
            _ => None,
        };
        match read {
            Some(Ok(count)) => buffer.filled(count),
            Some(Err(error)) if error.kind() != io::ErrorKind::WouldBlock => {
                return Some(Err(error));
            }
            _ => {
                buffer.release_if_empty();
                return None;
            }
        }
        read
    }

    /// Reads once into other memory; not for streams of HTTP/2.
    pub fn poll_read_into(
        &mut self,
        context: &mut Context<'_>,
        space: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.watched()?;
        each!(self, stream => Pin::new(stream).poll_read(context, space), stream => stream.poll_read_into(context, space), _ => Poll::Ready(Err(unsupported())))
    }

    /// Reads like [`Stream::poll_read`], but takes no memory for the buffer while nothing has come: for watching a peer
    /// that is not expected to send.
    pub fn poll_input(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut Buffer,
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(stream) => ready!(stream.poll_read_ready(context))?,
            Self::Unix(stream) => ready!(stream.poll_read_ready(context))?,
            Self::TlsServer(stream) => ready!(stream.poll_input(context))?,
            Self::TlsClient(stream) => ready!(stream.poll_input(context))?,
            // It is watched if this takes longer: see `wants_watching`.
            Self::Fresh(_) => return Poll::Pending,
            Self::Http2(_) | Self::Http2Server(_) | Self::Taken => {}
        }
        self.poll_read(context, buffer)
    }

    /// Writes some bytes.
    pub fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if let Self::Fresh(fresh) = self {
            if let Some(written) = fresh.write(bytes) {
                return Poll::Ready(written);
            }
            self.watched()?;
        }
        if let Self::Tcp(socket) = self {
            return poll_send(socket, context, bytes);
        }
        each!(self, stream => Pin::new(stream).poll_write(context, bytes), stream => stream.poll_write(context, bytes), stream => stream.poll_write(context, bytes))
    }

    /// Writes some bytes of several pieces; not for streams of HTTP/2.
    pub fn poll_write_vectored(
        &mut self,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.watched()?;
        each!(self, stream => Pin::new(stream).poll_write_vectored(context, slices), stream => stream.poll_write_vectored(context, slices), _ => Poll::Ready(Err(unsupported())))
    }

    /// Whether pieces are worth being written together.
    pub fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(stream) => stream.is_write_vectored(),
            Self::Unix(stream) => stream.is_write_vectored(),
            Self::Fresh(_) | Self::TlsServer(_) | Self::TlsClient(_) => true,
            Self::Http2(_) | Self::Http2Server(_) | Self::Taken => false,
        }
    }

    /// Pushes out what TLS holds back.
    pub fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(_) | Self::Fresh(_) | Self::Unix(_) | Self::Taken => Poll::Ready(Ok(())),
            Self::TlsServer(stream) => stream.poll_flush(context),
            Self::TlsClient(stream) => stream.poll_flush(context),
            Self::Http2(stream) => stream.poll_flush(),
            Self::Http2Server(stream) => stream.poll_flush(),
        }
    }

    /// Ends our direction.
    pub fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Self::Fresh(fresh) = self {
            return Poll::Ready(fresh.socket().shutdown(std::net::Shutdown::Write));
        }
        each!(self, stream => Pin::new(stream).poll_shutdown(context), stream => stream.poll_shutdown(context), stream => stream.poll_shutdown())
    }

    /// Whether an idle connection still looks alive: no byte and no end has come.
    pub fn is_quiet(&mut self, context: &mut Context<'_>) -> bool {
        let ready = match self {
            Self::Tcp(stream) => stream.poll_read_ready(context),
            Self::Unix(stream) => stream.poll_read_ready(context),
            Self::TlsServer(stream) => stream.poll_input(context),
            Self::TlsClient(stream) => stream.poll_input(context),
            // Nothing is kept before it was waited for.
            Self::Fresh(_) | Self::Http2(_) | Self::Http2Server(_) | Self::Taken => return false,
        };
        if ready.is_pending() {
            return true;
        }
        // The readiness may be left from a read that filled its buffer: only the kernel knows.
        let mut byte = [0];
        let seen = match self {
            Self::Tcp(stream) => stream.try_read(&mut byte),
            Self::Unix(stream) => stream.try_read(&mut byte),
            // TLS may carry records without data (tickets); they are read by the next real read.
            Self::TlsServer(_) => return false,
            Self::TlsClient(stream) => {
                let mut space = ReadBuf::new(&mut byte);
                return stream.poll_read_into(context, &mut space).is_pending();
            }
            Self::Fresh(_) | Self::Http2(_) | Self::Http2Server(_) | Self::Taken => return false,
        };
        matches!(seen, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// The TCP socket under it, if there is one.
    fn tcp(&self) -> Option<SockRef<'_>> {
        match self {
            Self::Tcp(stream) => Some(stream.into()),
            Self::Fresh(fresh) => Some(fresh.socket().into()),
            Self::Unix(_) => None,
            Self::TlsServer(stream) => Some(stream.socket().into()),
            Self::TlsClient(stream) => Some(stream.socket().into()),
            Self::Http2(_) | Self::Http2Server(_) | Self::Taken => None,
        }
    }

    /// The client's stream, if it is one of HTTP/2.
    pub fn http2(&mut self) -> Option<&mut crate::http2::ClientStream> {
        match self {
            Self::Http2(stream) => Some(stream),
            _ => None,
        }
    }

    /// The request's stream, if it goes to a server by HTTP/2.
    pub fn http2_server(&mut self) -> Option<&mut crate::http2::ServerStream> {
        match self {
            Self::Http2Server(stream) => Some(stream),
            _ => None,
        }
    }

    /// The protocol that ALPN agreed on.
    pub fn alpn(&self) -> Option<&[u8]> {
        match self {
            Self::TlsServer(stream) => stream.connection().alpn_protocol(),
            Self::TlsClient(stream) => stream.connection().alpn_protocol(),
            _ => None,
        }
    }

    /// Makes the close a reset, so that the peer learns that the transfer was cut.
    pub fn reset_on_close(&mut self) {
        if let Self::Http2(stream) = self {
            stream.reset(h2::Reason::CANCEL);
        } else if let Self::Http2Server(stream) = self {
            stream.reset();
        } else if let Some(socket) = self.tcp() {
            // A socket that is already gone needs no reset.
            let _ = socket.set_linger(Some(std::time::Duration::ZERO));
        }
    }
}

fn unsupported() -> io::Error {
    io::ErrorKind::Unsupported.into()
}

/// Writes `bytes` from `*written` on until all are out and flushed.
pub fn poll_write_all(
    stream: &mut Stream,
    context: &mut Context<'_>,
    bytes: &[u8],
    written: &mut usize,
) -> Poll<io::Result<()>> {
    while *written < bytes.len() {
        let count = ready!(stream.poll_write(context, &bytes[*written..]))?;
        if count == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        *written += count;
    }
    stream.poll_flush(context)
}
