//! A connection of any transport, read into a [`Buffer`] and written from a slice.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use super::Buffer;

/// A connection.
#[derive(Debug)]
pub enum Stream {
    /// TCP.
    Tcp(TcpStream),
    /// A unix stream socket.
    Unix(UnixStream),
    /// TLS over TCP, our end the server's.
    TlsServer(Box<tokio_rustls::server::TlsStream<TcpStream>>),
    /// TLS over TCP, our end the client's.
    TlsClient(Box<tokio_rustls::client::TlsStream<TcpStream>>),
}

macro_rules! each {
    ($stream:expr, $name:ident => $body:expr) => {
        match $stream {
            Stream::Tcp($name) => $body,
            Stream::Unix($name) => $body,
            Stream::TlsServer($name) => $body,
            Stream::TlsClient($name) => $body,
        }
    };
}

impl Stream {
    /// Reads once; 0 is the end of the stream. A short read is trusted to mean "drained": the next read waits for
    /// the kernel's event without asking it first.
    pub fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut Buffer,
    ) -> Poll<io::Result<usize>> {
        let mut space = ReadBuf::new(buffer.space());
        ready!(each!(self, stream => Pin::new(stream).poll_read(context, &mut space)))?;
        let count = space.filled().len();
        buffer.filled(count);
        Poll::Ready(Ok(count))
    }

    /// Writes some bytes.
    pub fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        each!(self, stream => Pin::new(stream).poll_write(context, bytes))
    }

    /// Pushes out what TLS holds back.
    pub fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(_) | Self::Unix(_) => Poll::Ready(Ok(())),
            Self::TlsServer(stream) => Pin::new(stream).poll_flush(context),
            Self::TlsClient(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    /// Ends our direction.
    pub fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_shutdown(context))
    }

    /// Whether an idle connection still looks alive: no byte and no end has come.
    pub fn is_quiet(&mut self, context: &mut Context<'_>) -> bool {
        let ready = match self {
            Self::Tcp(stream) => stream.poll_read_ready(context),
            Self::Unix(stream) => stream.poll_read_ready(context),
            Self::TlsServer(stream) => stream.get_ref().0.poll_read_ready(context),
            Self::TlsClient(stream) => stream.get_ref().0.poll_read_ready(context),
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
                return Pin::new(stream).poll_read(context, &mut space).is_pending();
            }
        };
        matches!(seen, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// The TCP socket under it, if there is one.
    pub fn tcp(&self) -> Option<&TcpStream> {
        match self {
            Self::Tcp(stream) => Some(stream),
            Self::Unix(_) => None,
            Self::TlsServer(stream) => Some(stream.get_ref().0),
            Self::TlsClient(stream) => Some(stream.get_ref().0),
        }
    }

    /// Makes the close a reset, so that the peer learns that the transfer was cut.
    pub fn reset_on_close(&self) {
        if let Some(stream) = self.tcp() {
            // A socket that is already gone needs no reset.
            let _ = socket2::SockRef::from(stream).set_linger(Some(std::time::Duration::ZERO));
        }
    }
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
