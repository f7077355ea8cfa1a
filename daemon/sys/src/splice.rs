//! Bytes from socket to socket by way of a pipe: splice(2) moves pages, nothing is copied to this process and back.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use nix::fcntl::{FcntlArg, OFlag, SpliceFFlags, fcntl, splice};

/// A pipe between two sockets. It knows nothing of how much it holds.
#[derive(Debug)]
pub struct Pipe {
    reader: OwnedFd,
    writer: OwnedFd,
}

impl Pipe {
    /// Opens one that holds `capacity_bytes`, or as much as the system allows.
    pub fn open(capacity_bytes: usize) -> io::Result<Self> {
        let (reader, writer) = nix::unistd::pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
        let pipe = Self { reader, writer };
        let capacity = i32::try_from(capacity_bytes).unwrap_or(i32::MAX);
        // pipe(7): beyond a user's share it is refused; the pipe works as it is.
        let _ = fcntl(&pipe.writer, FcntlArg::F_SETPIPE_SZ(capacity));
        Ok(pipe)
    }

    /// Moves what `from` has received into the empty pipe, at most `count` bytes; 0 is the end of the stream.
    pub fn fill(&self, from: impl AsFd, count: usize) -> io::Result<usize> {
        move_pages(from, &self.writer, count)
    }

    /// Moves what the pipe holds to `to`, at most `count` bytes.
    pub fn drain(&self, to: impl AsFd, count: usize) -> io::Result<usize> {
        move_pages(&self.reader, to, count)
    }
}

fn move_pages(from: impl AsFd, to: impl AsFd, count: usize) -> io::Result<usize> {
    let flags = SpliceFFlags::SPLICE_F_MOVE | SpliceFFlags::SPLICE_F_NONBLOCK;
    splice(from, None, to, None, count, flags).map_err(io::Error::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    #[test]
    fn bytes_pass_from_socket_to_socket_and_the_end_is_seen() {
        let (mut client, from) = UnixStream::pair().expect("socketpair");
        let (mut server, to) = UnixStream::pair().expect("socketpair");
        from.set_nonblocking(true).expect("a socket can");
        let pipe = Pipe::open(64 << 10).expect("a pipe");
        let empty = pipe.fill(&from, 64 << 10).expect_err("nothing is there");
        assert_eq!(empty.kind(), io::ErrorKind::WouldBlock);
        client.write_all(b"across").expect("room in the socket");
        assert_eq!(pipe.fill(&from, 64 << 10).expect("data is there"), 6);
        assert_eq!(pipe.drain(&to, 6).expect("room in the socket"), 6);
        let mut seen = [0; 6];
        server.read_exact(&mut seen).expect("it arrived");
        assert_eq!(&seen, b"across");
        drop(client);
        assert_eq!(pipe.fill(&from, 64 << 10).expect("the end"), 0);
    }
}
