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

    /// Watches a descriptor until it is closed; [`Watch::writable`] tells `number` once, when it can be written to or has failed.
    pub fn add(&self, descriptor: impl AsFd, number: u64) -> io::Result<()> {
        let flags = EpollFlags::EPOLLOUT | EpollFlags::EPOLLONESHOT;
        let event = EpollEvent::new(flags, number);
        Ok(self.watched.get_ref().0.add(descriptor, event)?)
    }

    /// Waits until there are writable ones; puts their numbers at the end of `numbers`. Cancel-safe.
    pub async fn writable(&self, numbers: &mut Vec<u64>) {
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
        watch.add(&one, 7).expect("watched");
        let mut numbers = Vec::new();
        watch.writable(&mut numbers).await;
        assert_eq!(numbers, [7]);
        let again = watch.writable(&mut numbers);
        let again = tokio::time::timeout(Duration::from_millis(20), again).await;
        assert!(again.is_err());
    }
}
