//! Copies of another process's listening sockets (pidfd_getfd(2), Linux 5.6), for a daemon that takes over from it.

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;

use nix::sys::socket::{getsockopt, sockopt};

/// Most descriptors of a process that are looked at.
const MAX_LOOKED_AT: usize = 1 << 20;
/// Most sockets that are copied.
pub const MAX_ADOPTED: usize = 4_096;

/// Copies the listening stream sockets of a process. Takes the right to trace it (ptrace(2)): root has it, if no container
/// took CAP_SYS_PTRACE away.
pub fn listening_sockets(pid: u32) -> io::Result<Vec<OwnedFd>> {
    let pid_argument = libc::pid_t::try_from(pid).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: pidfd_open takes two integers and makes a new descriptor.
    let process = owned(unsafe { libc::syscall(libc::SYS_pidfd_open, pid_argument, 0) })?;
    let mut copies = Vec::new();
    for entry in std::fs::read_dir(format!("/proc/{pid}/fd"))?.take(MAX_LOOKED_AT) {
        let entry = entry?;
        let is_socket = std::fs::read_link(entry.path())
            .is_ok_and(|link| link.as_os_str().as_encoded_bytes().starts_with(b"socket:"));
        let number = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse::<i32>().ok());
        let Some(number) = number.filter(|_| is_socket) else {
            continue;
        };
        // SAFETY: pidfd_getfd takes integers and makes a new descriptor of ours.
        let copy =
            owned(unsafe { libc::syscall(libc::SYS_pidfd_getfd, process.as_raw_fd(), number, 0) });
        let copy = match copy {
            Ok(copy) => copy,
            // Closed in between.
            Err(error) if error.raw_os_error() == Some(libc::EBADF) => continue,
            Err(error) => return Err(error),
        };
        if getsockopt(&copy, sockopt::AcceptConn).unwrap_or(false) {
            if copies.len() >= MAX_ADOPTED {
                break;
            }
            copies.push(copy);
        }
    }
    Ok(copies)
}

/// The process that opened the socket that a stream is connected to (SO_PEERCRED, unix(7)).
pub fn peer_pid(stream: &UnixStream) -> io::Result<u32> {
    let credentials = getsockopt(&stream.as_fd(), sockopt::PeerCredentials)?;
    u32::try_from(credentials.pid()).map_err(|_| io::ErrorKind::NotFound.into())
}

fn owned(descriptor: libc::c_long) -> io::Result<OwnedFd> {
    match i32::try_from(descriptor) {
        // SAFETY: the kernel has just made this descriptor for us, and nobody else owns it.
        Ok(descriptor) if descriptor >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(descriptor) }),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listening_sockets_are_found_and_others_are_not() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("port");
        let address = listener.local_addr().expect("bound");
        let _client = std::net::TcpStream::connect(address).expect("connects");
        let copies = listening_sockets(std::process::id()).expect("own process");
        let found = copies
            .into_iter()
            .filter(|copy| {
                socket2::SockRef::from(copy)
                    .local_addr()
                    .is_ok_and(|local| local.as_socket() == Some(address))
            })
            .count();
        assert_eq!(found, 1);
    }
}
