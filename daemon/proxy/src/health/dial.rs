//! Connections of plain checks: a check that only connects needs no task, no timer and no registration of its own.
//!
//! A batch is dialed and looked at once: a server near by has answered by then. What is left is watched (`sys::watch`).

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socket2::{Domain, Protocol, Socket, Type};

/// Begins to connect. When the answer comes nothing is sent: the close says all by its reset, as HAProxy was seen to do. So
/// a server has nothing to accept, and neither side keeps a socket in TIME_WAIT.
pub(super) fn dial(to: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(to),
        Type::STREAM.nonblocking(),
        Some(Protocol::TCP),
    )?;
    // Both only spare packets.
    let _ = socket.set_tcp_quickack(false);
    let _ = socket.set_linger(Some(Duration::ZERO));
    match socket.connect(&to.into()) {
        Err(error) if error.raw_os_error() != Some(nix::libc::EINPROGRESS) => Err(error),
        _ => Ok(socket),
    }
}

/// What became of connections by now, in their order: nothing yet, or how they ended.
pub(super) fn look<'s>(sockets: impl Iterator<Item = &'s Socket>) -> Vec<Option<io::Result<()>>> {
    let (sockets, mut polled): (Vec<_>, Vec<_>) = sockets
        .map(|socket| (socket, PollFd::new(socket.as_fd(), PollFlags::POLLOUT)))
        .unzip();
    // Where it fails, all are watched, which tells the same later.
    if poll(&mut polled, PollTimeout::ZERO).is_err() {
        return sockets.iter().map(|_| None).collect();
    }
    let bad = PollFlags::POLLERR | PollFlags::POLLHUP;
    sockets
        .iter()
        .zip(&polled)
        .map(|(socket, polled)| match polled.revents()? {
            events if events.is_empty() => None,
            events if events.intersects(bad) => Some(ending(socket)),
            _ => Some(Ok(())),
        })
        .collect()
}

/// How a connection ended that has ended.
pub(super) fn ending(socket: &Socket) -> io::Result<()> {
    match socket.take_error()? {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused() -> SocketAddr {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a socket");
        listener.local_addr().expect("it is bound")
    }

    #[test]
    fn a_server_near_by_has_answered_at_the_first_look() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a socket");
        let there = dial(listener.local_addr().expect("it is bound")).expect("begun");
        let Ok(nowhere) = dial(refused()) else { return };
        let seen = look([&there, &nowhere].into_iter());
        assert!(matches!(seen[0], Some(Ok(()))), "{seen:?}");
        let Some(Err(error)) = &seen[1] else {
            panic!("{seen:?}");
        };
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }
}
