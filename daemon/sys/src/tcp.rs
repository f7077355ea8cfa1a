//! TCP options that neither socket2 nor nix wraps.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

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
    fn a_listening_socket_takes_the_option() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("a socket");
        super::set_fast_open(&socket, 16).expect("the option");
    }
}
