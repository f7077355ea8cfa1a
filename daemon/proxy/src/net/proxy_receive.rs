//! Taking a PROXY header from a new connection: exactly its bytes, so that TLS or the request behind it stay in the socket.

use std::io;
use std::os::fd::AsRawFd;

use nix::sys::socket::{MsgFlags, recv};
use tokio::io::Interest;

use super::Stream;
use super::proxy_protocol::{MAX_V2_BYTES, ParseError, Parsed, parse};

/// Most bytes that are looked at in one go; longer headers take several.
const LOOK_BYTES: usize = 1_024;

/// Why there is no header.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    /// The end came before any byte.
    #[error("the connection ended before the header")]
    Closed,
    /// The end came within it.
    #[error("the connection ended within the header")]
    Truncated,
    /// What came is none.
    #[error("{0}")]
    Bad(#[from] ParseError),
    /// The connection broke.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// Reads a header. The caller limits the time. A header may come in pieces; not one byte behind it is taken.
pub async fn receive(stream: &Stream) -> Result<Parsed, ReceiveError> {
    let mut header = Vec::new();
    let mut look = [0; LOOK_BYTES];
    loop {
        let count = peek(stream, &mut look).await?;
        if count == 0 {
            return Err(if header.is_empty() {
                ReceiveError::Closed
            } else {
                ReceiveError::Truncated
            });
        }
        let before = header.len();
        header.extend_from_slice(&look[..count]);
        match parse(&header) {
            // All that came belongs to the header.
            Err(ParseError::Incomplete) if header.len() < MAX_V2_BYTES => {
                take(stream, &mut look[..count]).await?;
            }
            Err(error) => return Err(error.into()),
            Ok(parsed) => {
                let rest = parsed.length.saturating_sub(before).min(count);
                take(stream, &mut look[..rest]).await?;
                return Ok(parsed);
            }
        }
    }
}

async fn peek(stream: &Stream, bytes: &mut [u8]) -> io::Result<usize> {
    received(stream, bytes, MsgFlags::MSG_PEEK).await
}

/// Takes bytes that were seen to be there.
async fn take(stream: &Stream, bytes: &mut [u8]) -> io::Result<()> {
    let mut taken = 0;
    while taken < bytes.len() {
        match received(stream, &mut bytes[taken..], MsgFlags::empty()).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => taken += count,
        }
    }
    Ok(())
}

async fn received(stream: &Stream, bytes: &mut [u8], flags: MsgFlags) -> io::Result<usize> {
    match stream {
        Stream::Tcp(stream) => {
            let descriptor = stream.as_raw_fd();
            stream
                .async_io(Interest::READABLE, || Ok(recv(descriptor, bytes, flags)?))
                .await
        }
        Stream::Unix(stream) => {
            let descriptor = stream.as_raw_fd();
            stream
                .async_io(Interest::READABLE, || Ok(recv(descriptor, bytes, flags)?))
                .await
        }
        // The header comes before TLS.
        _ => Err(io::ErrorKind::Unsupported.into()),
    }
}
