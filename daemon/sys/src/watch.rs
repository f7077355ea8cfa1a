//! Many descriptors watched as one: an epoll descriptor of its own, which is all that the runtime knows of.

use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Results that are taken from the system at a time.
const EVENTS: usize = 64;

struct Descriptor(Epoll);

impl AsRawFd for Descriptor {
    fn as_raw_fd(&self) -> RawFd {
        self.0.0.as_raw_fd()
    }
}

/// Descriptors that are waited for together, each once.
pub struct Watch {
    watched: AsyncFd<Descriptor>,
}

impl Watch {
    /// Must be called within a runtime that polls descriptors.
    pub fn new() -> io::Result<Self> {
        let epoll = Descriptor(Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?);
        // SAFETY: the descriptor that `as_raw_fd` gives is owned by the value that is handed over, which is never changed
        // or closed before it is dropped.
        let watched = unsafe { AsyncFd::register_with_interest(epoll, Interest::READABLE)? };
        Ok(Self { watched })
    }

    /// Watches a descriptor until it is closed; [`Watch::ready`] tells `number` once, when it can be written to or has failed.
    pub fn add_writable(&self, descriptor: impl AsFd, number: u64) -> io::Result<()> {
        self.add(descriptor, EpollFlags::EPOLLOUT, number)
    }

    /// Watches a descriptor until it is closed or removed; [`Watch::ready`] tells `number` once, when there is something to
    /// read, an end, or a failure.
    pub fn add_readable(&self, descriptor: impl AsFd, number: u64) -> io::Result<()> {
        let flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLRDHUP;
        self.add(descriptor, flags, number)
    }

    fn add(&self, descriptor: impl AsFd, flags: EpollFlags, number: u64) -> io::Result<()> {
        let event = EpollEvent::new(flags | EpollFlags::EPOLLONESHOT, number);
        Ok(self.watched.get_ref().0.add(descriptor, event)?)
    }

    /// Watches a descriptor no longer.
    pub fn remove(&self, descriptor: impl AsFd) {
        // It fails for one that is not watched.
        let _ = self.watched.get_ref().0.delete(descriptor);
    }

    /// Waits until there are ready ones; puts their numbers at the end of `numbers`. Cancel-safe.
    pub async fn ready(&self, numbers: &mut Vec<u64>) {
        // It fails only while the runtime ends.
        while let Ok(mut ready) = self.watched.readable().await {
            let mut events = [EpollEvent::empty(); EVENTS];
            let epoll = &ready.get_inner().0;
            let count = epoll.wait(&mut events, EpollTimeout::ZERO).unwrap_or(0);
            if count < EVENTS {
                ready.clear_ready();
            }
            if count > 0 {
                numbers.extend(events[..count].iter().map(EpollEvent::data));
                return;
            }
        }
        std::future::pending().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    #[tokio::test]
    async fn what_is_watched_is_told_once() {
        let (one, _peer) = UnixStream::pair().expect("a pair");
        let watch = Watch::new().expect("a descriptor");
        watch.add_writable(&one, 7).expect("watched");
        let mut numbers = Vec::new();
        watch.ready(&mut numbers).await;
        assert_eq!(numbers, [7]);
        let again = watch.ready(&mut numbers);
        let again = tokio::time::timeout(Duration::from_millis(20), again).await;
        assert!(again.is_err());
    }

    #[tokio::test]
    async fn what_was_removed_is_not_told() {
        use std::io::Write;

        let (one, mut peer) = UnixStream::pair().expect("a pair");
        let (two, mut other) = UnixStream::pair().expect("a pair");
        let watch = Watch::new().expect("a descriptor");
        watch.add_readable(&one, 1).expect("watched");
        watch.add_readable(&two, 2).expect("watched");
        watch.remove(&one);
        peer.write_all(b"x").expect("room");
        other.write_all(b"x").expect("room");
        let mut numbers = Vec::new();
        watch.ready(&mut numbers).await;
        assert_eq!(numbers, [2]);
        watch.add_readable(&one, 3).expect("watched again");
        watch.ready(&mut numbers).await;
        assert_eq!(numbers, [2, 3]);
    }
}
