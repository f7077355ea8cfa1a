//! Frames with descriptors between two processes of the daemon, over a stream socketpair.
//!
//! A frame on the wire: `u32` little-endian length of the payload, `u8` count of descriptors, payload.
//! Descriptors travel with the frame's first byte (unix(7), SCM_RIGHTS).

use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::Arc;

use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg,
    sendmsg, socketpair,
};
use tokio::io::unix::AsyncFd;
use tokio::sync::Mutex;

/// Longest payload in bytes.
pub const MAX_PAYLOAD_BYTES: usize = 64 << 20;
/// Most descriptors of one frame.
pub const MAX_DESCRIPTORS: usize = 200;
const HEADER_BYTES: usize = 5;
/// Most bytes that are read at a time.
const READ_BYTES: usize = 64 << 10;
/// Bytes that are read while it is not known how many come: most frames are short, and memory that was touched stays.
const FIRST_READ_BYTES: usize = 4 << 10;

/// Both ends of a new channel, close-on-exec, for [`Channel::new`] here or in a child.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(
        AddressFamily::Unix,
        SockType::Stream,
        None,
        SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
    )?)
}

/// One end of a channel: a sender that can be cloned, and a receiver.
pub struct Channel {
    /// Sends frames.
    pub sender: Sender,
    /// Receives frames.
    pub receiver: Receiver,
}

impl Channel {
    /// Takes an end over. Must be called within a tokio runtime.
    pub fn new(descriptor: OwnedFd) -> io::Result<Self> {
        nix::fcntl::fcntl(
            &descriptor,
            nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK),
        )?;
        // SAFETY: an `OwnedFd` is open for as long as the `AsyncFd` owns it, and always gives the same number.
        let descriptor = Arc::new(unsafe { AsyncFd::register(descriptor) }?);
        Ok(Self {
            sender: Sender {
                descriptor: Arc::clone(&descriptor),
                turn: Arc::new(Mutex::new(())),
            },
            receiver: Receiver {
                descriptor,
                bytes: Vec::new(),
                descriptors: VecDeque::new(),
            },
        })
    }
}

/// The sending half; clones share the channel, whole frames in turn.
#[derive(Clone)]
pub struct Sender {
    descriptor: Arc<AsyncFd<OwnedFd>>,
    turn: Arc<Mutex<()>>,
}

impl Sender {
    /// Sends one frame. Waits while the other end does not read. Dropping the future midway breaks the channel.
    pub async fn send(&self, payload: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        if payload.len() > MAX_PAYLOAD_BYTES || descriptors.len() > MAX_DESCRIPTORS {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "frame too large for a channel",
            ));
        }
        let _turn = self.turn.lock().await;
        let mut header = [0; HEADER_BYTES];
        header[..4].copy_from_slice(&(payload.len() as u32).to_le_bytes());
        header[4] = descriptors.len() as u8;
        let raw: Vec<RawFd> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
        let total = HEADER_BYTES + payload.len();
        let mut sent = 0;
        while sent < total {
            let mut ready = self.descriptor.writable().await?;
            let outcome = ready.try_io(|descriptor| {
                let head = IoSlice::new(&header[sent.min(HEADER_BYTES)..]);
                let body =
                    IoSlice::new(&payload[sent.saturating_sub(HEADER_BYTES).min(payload.len())..]);
                let rights = [ControlMessage::ScmRights(&raw)];
                let control: &[ControlMessage<'_>] = if sent == 0 && !raw.is_empty() {
                    &rights
                } else {
                    &[]
                };
                sendmsg::<()>(
                    descriptor.as_raw_fd(),
                    &[head, body],
                    control,
                    MsgFlags::MSG_NOSIGNAL,
                    None,
                )
                .map_err(io::Error::from)
            });
            match outcome {
                Ok(Ok(count)) => sent += count,
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(Err(error)) => return Err(error),
                Err(_would_block) => {}
            }
        }
        Ok(())
    }
}

/// The receiving half.
pub struct Receiver {
    descriptor: Arc<AsyncFd<OwnedFd>>,
    bytes: Vec<u8>,
    descriptors: VecDeque<OwnedFd>,
}

impl Receiver {
    /// The next frame, or `None` when the other end is gone. Cancel-safe.
    pub async fn receive(&mut self) -> io::Result<Option<(Vec<u8>, Vec<OwnedFd>)>> {
        loop {
            if let Some(frame) = self.take_frame()? {
                return Ok(Some(frame));
            }
            let mut ready = self.descriptor.readable().await?;
            let wanted = self.wanted();
            let outcome = ready.try_io(|descriptor| receive_some(descriptor.as_raw_fd(), wanted));
            match outcome {
                Ok(Ok((bytes, _))) if bytes.is_empty() => return Ok(None),
                Ok(Ok((bytes, descriptors))) => {
                    self.bytes.extend_from_slice(&bytes);
                    self.descriptors.extend(descriptors);
                }
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionReset => {
                    return Ok(None);
                }
                Ok(Err(error)) => return Err(error),
                Err(_would_block) => {}
            }
        }
    }

    /// Bytes to read next: what is missing of a frame that has begun.
    fn wanted(&self) -> usize {
        let length = self.bytes.first_chunk::<HEADER_BYTES>();
        let length = length.map_or(0, |[a, b, c, d, _]| u32::from_le_bytes([*a, *b, *c, *d]));
        let missing = (length as usize).saturating_sub(self.bytes.len());
        missing.clamp(FIRST_READ_BYTES, READ_BYTES)
    }

    fn take_frame(&mut self) -> io::Result<Option<(Vec<u8>, Vec<OwnedFd>)>> {
        let Some(header) = self.bytes.first_chunk::<HEADER_BYTES>() else {
            return Ok(None);
        };
        let [a, b, c, d, count] = *header;
        let length = u32::from_le_bytes([a, b, c, d]) as usize;
        if length > MAX_PAYLOAD_BYTES {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "frame too large on a channel",
            ));
        }
        if self.bytes.len() < HEADER_BYTES + length {
            return Ok(None);
        }
        let count = usize::from(count);
        if self.descriptors.len() < count {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "a frame came without its descriptors",
            ));
        }
        let payload = self.bytes[HEADER_BYTES..HEADER_BYTES + length].to_vec();
        self.bytes.drain(..HEADER_BYTES + length);
        if self.bytes.is_empty() && self.bytes.capacity() > READ_BYTES {
            self.bytes = Vec::new();
        }
        Ok(Some((payload, self.descriptors.drain(..count).collect())))
    }
}

fn receive_some(descriptor: RawFd, wanted: usize) -> io::Result<(Vec<u8>, Vec<OwnedFd>)> {
    let mut bytes = vec![0; wanted];
    let mut space = nix::cmsg_space!([RawFd; MAX_DESCRIPTORS]);
    let mut received = Vec::new();
    let count = {
        let mut slices = [IoSliceMut::new(&mut bytes)];
        let message = recvmsg::<()>(
            descriptor,
            &mut slices,
            Some(&mut space),
            MsgFlags::MSG_CMSG_CLOEXEC,
        )?;
        for control in message.cmsgs()? {
            if let ControlMessageOwned::ScmRights(descriptors) = control {
                for descriptor in descriptors {
                    // SAFETY: the kernel has just made this descriptor for us, and nobody else owns it.
                    received.push(unsafe { OwnedFd::from_raw_fd(descriptor) });
                }
            }
        }
        message.bytes
    };
    bytes.truncate(count);
    Ok((bytes, received))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[tokio::test]
    async fn frames_and_descriptors_arrive_in_order() {
        let (left, right) = pair().expect("socketpair");
        let left = Channel::new(left).expect("left");
        let mut right = Channel::new(right).expect("right");
        let (reader, writer) = nix::unistd::pipe().expect("pipe");
        let sending = tokio::spawn(async move {
            let left = left;
            left.sender
                .send(&vec![7; 300_000], &[])
                .await
                .expect("large");
            left.sender
                .send(b"with", &[reader.as_fd()])
                .await
                .expect("descriptor");
        });
        let (large, none) = right.receiver.receive().await.expect("io").expect("frame");
        assert_eq!((large.len(), none.len()), (300_000, 0));
        let (with, some) = right.receiver.receive().await.expect("io").expect("frame");
        assert_eq!((with.as_slice(), some.len()), (&b"with"[..], 1));
        nix::unistd::write(&writer, b"x").expect("write");
        let mut byte = [0];
        assert_eq!(nix::unistd::read(&some[0], &mut byte).expect("read"), 1);
        sending.await.expect("sender");
        assert!(right.receiver.receive().await.expect("io").is_none());
    }
}
