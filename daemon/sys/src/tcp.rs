//! What neither tokio, socket2 nor nix offers of stream sockets.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use socket2::SockAddr;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A listening stream socket whose connections are not watched by the runtime before somebody wants it.
pub struct Listener(AsyncFd<OwnedFd>);

impl Listener {
    /// Takes a listening socket that does not block. Must be called within a runtime.
    pub fn new(socket: OwnedFd) -> io::Result<Self> {
        // SAFETY: an `OwnedFd` is open for as long as the `AsyncFd` owns it, and always gives the same number.
        let watched = unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE) }?;
        Ok(Self(watched))
    }

    /// Returns once a connection may wait. What is wrong with the socket shows when it is accepted from.
    pub async fn ready(&self) {
        let _ = self.0.readable().await;
    }

    /// Accepts a connection that waits: a socket that does not block, and its peer's address if it has one. One system call.
    pub fn accept(&self) -> io::Result<(OwnedFd, Option<SocketAddr>)> {
        self.0.try_io(Interest::READABLE, accept)
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.get_ref().as_fd()
    }
}

fn accept(listener: &OwnedFd) -> io::Result<(OwnedFd, Option<SocketAddr>)> {
    let listener = listener.as_raw_fd();
    let flags = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: the descriptor is borrowed for the call; the kernel writes an address of at most `length` bytes into
    // `storage` and its length into `length`.
    let (descriptor, address) = unsafe {
        SockAddr::try_init(|storage, length| {
            match libc::accept4(listener, storage.cast(), length, flags) {
                -1 => Err(io::Error::last_os_error()),
                descriptor => Ok(descriptor),
            }
        })
    }?;
    // SAFETY: the kernel has just made it, and nobody else knows it.
    let stream = unsafe { OwnedFd::from_raw_fd(descriptor) };
    Ok((stream, address.as_socket()))
}

/// Receives what has come (recv(2)), at most as much as `space` holds; 0 is the end of the stream.
///
/// The C library's function is a cancellation point, which costs a process with several threads two locked exchanges a call: no
/// thread here is ever cancelled.
pub fn receive(socket: &impl AsFd, space: &mut [u8]) -> io::Result<usize> {
    let descriptor = socket.as_fd().as_raw_fd();
    let (from, length) = (
        std::ptr::null_mut::<libc::sockaddr>(),
        std::ptr::null_mut::<u32>(),
    );
    // SAFETY: the descriptor is borrowed for the call, the kernel writes at most `space.len()` bytes into `space`, and no
    // address is asked for.
    let count = unsafe {
        libc::syscall(
            libc::SYS_recvfrom,
            descriptor,
            space.as_mut_ptr(),
            space.len(),
            0,
            from,
            length,
        )
    };
    usize::try_from(count).map_err(|_| io::Error::last_os_error())
}

/// Sends what there is room for (send(2)), without a signal where the peer is gone. See [`receive`].
pub fn send(socket: &impl AsFd, bytes: &[u8]) -> io::Result<usize> {
    let descriptor = socket.as_fd().as_raw_fd();
    let to = std::ptr::null::<libc::sockaddr>();
    // SAFETY: the descriptor is borrowed for the call, the kernel reads `bytes.len()` bytes of `bytes`, and no address is given.
    let count = unsafe {
        libc::syscall(
            libc::SYS_sendto,
            descriptor,
            bytes.as_ptr(),
            bytes.len(),
            libc::MSG_NOSIGNAL,
            to,
            0,
        )
    };
    usize::try_from(count).map_err(|_| io::Error::last_os_error())
}

/// Lets a listening socket take data in the first packet (RFC 7413); `pending` is how many such connections may wait.
pub fn set_fast_open(socket: &impl AsFd, pending: i32) -> io::Result<()> {
    let descriptor = socket.as_fd().as_raw_fd();
    // SAFETY: the descriptor is borrowed for the call, and the option's value is an int that lives as long.
    let outcome = unsafe {
        libc::setsockopt(
            descriptor,
            libc::IPPROTO_TCP,
            libc::TCP_FASTOPEN,
            (&raw const pending).cast(),
            size_of::<i32>() as libc::socklen_t,
        )
    };
    if outcome == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn an_accepted_connection_has_its_peers_address_and_does_not_block() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a socket");
        listener.set_nonblocking(true).expect("a socket can");
        let nobody = super::accept(&listener.try_clone().expect("a copy").into());
        assert_eq!(
            nobody.expect_err("nobody is there").kind(),
            std::io::ErrorKind::WouldBlock
        );
        let client = std::net::TcpStream::connect(listener.local_addr().expect("it is bound"))
            .expect("it listens");
        let (stream, source) = super::accept(&listener.into()).expect("a client");
        assert_eq!(source, client.local_addr().ok());
        let mut stream = std::net::TcpStream::from(stream);
        let nothing = std::io::Read::read(&mut stream, &mut [0]).expect_err("nothing was sent");
        assert_eq!(nothing.kind(), std::io::ErrorKind::WouldBlock);
    }

    #[test]
    fn what_is_sent_is_received_and_a_socket_without_data_or_peer_says_so() {
        let (near, far) = std::os::unix::net::UnixStream::pair().expect("a pair");
        near.set_nonblocking(true).expect("a socket can");
        let mut space = [0; 8];
        let nothing = super::receive(&near, &mut space).expect_err("nothing was sent");
        assert_eq!(nothing.kind(), std::io::ErrorKind::WouldBlock);
        assert_eq!(super::send(&far, b"hello").ok(), Some(5));
        assert_eq!(super::receive(&near, &mut space).ok(), Some(5));
        assert_eq!(&space[..5], b"hello");
        drop(far);
        assert_eq!(super::receive(&near, &mut space).ok(), Some(0));
        let gone = super::send(&near, b"hello").expect_err("nobody is there");
        assert_eq!(gone.kind(), std::io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn a_listening_socket_takes_the_option() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("a socket");
        super::set_fast_open(&socket, 16).expect("the option");
    }
}
