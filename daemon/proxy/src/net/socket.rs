//! Reading from and writing to a watched TCP socket with the plain system calls ([`sys::tcp::receive`]).
//!
//! As tokio's own: what is read or written short tells that the socket is drained or full, and the next call waits for the
//! kernel's event without asking first.

use std::io::{self, ErrorKind};
use std::task::{Context, Poll, ready};

use tokio::io::Interest;
use tokio::net::TcpStream;

/// Reads once; 0 is the end of the stream.
pub(super) fn poll_receive(
    socket: &TcpStream,
    context: &mut Context<'_>,
    space: &mut [u8],
) -> Poll<io::Result<usize>> {
    loop {
        ready!(socket.poll_read_ready(context))?;
        let length = space.len();
        let receive = || sys::tcp::receive(socket, space);
        if let Some(outcome) = attempt(socket, Interest::READABLE, length, receive) {
            return Poll::Ready(outcome);
        }
    }
}

/// Writes once.
pub(super) fn poll_send(
    socket: &TcpStream,
    context: &mut Context<'_>,
    bytes: &[u8],
) -> Poll<io::Result<usize>> {
    loop {
        ready!(socket.poll_write_ready(context))?;
        let send = || sys::tcp::send(socket, bytes);
        if let Some(outcome) = attempt(socket, Interest::WRITABLE, bytes.len(), send) {
            return Poll::Ready(outcome);
        }
    }
}

/// One call; `None` where its event was stale, and is to be waited for again.
fn attempt(
    socket: &TcpStream,
    interest: Interest,
    length: usize,
    call: impl FnOnce() -> io::Result<usize>,
) -> Option<io::Result<usize>> {
    let mut short = None;
    let outcome = socket.try_io(interest, || match call() {
        // The event counts as used up, which is what this error says.
        Ok(count) if count > 0 && count < length => {
            short = Some(count);
            Err(ErrorKind::WouldBlock.into())
        }
        outcome => outcome,
    });
    match (short, outcome) {
        (Some(count), _) => Some(Ok(count)),
        (None, Err(error)) if error.kind() == ErrorKind::WouldBlock => None,
        (None, Err(error)) if error.kind() == ErrorKind::Interrupted => None,
        (None, outcome) => Some(outcome),
    }
}
