//! A timer that is right to some microseconds: the runtime's own counts in whole milliseconds.

use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::time::Duration;

use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

struct Descriptor(TimerFd);

impl AsRawFd for Descriptor {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

/// One timer, set again and again.
pub struct Alarm {
    timer: AsyncFd<Descriptor>,
}

impl Alarm {
    /// Must be called within a runtime that polls descriptors.
    pub fn new() -> io::Result<Self> {
        let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
        let timer = Descriptor(TimerFd::new(ClockId::CLOCK_MONOTONIC, flags)?);
        // SAFETY: the descriptor that `as_raw_fd` gives is owned by the value that is handed over, which is never changed
        // or closed before it is dropped.
        let timer = unsafe { AsyncFd::register_with_interest(timer, Interest::READABLE)? };
        Ok(Self { timer })
    }

    /// It will ring once after this time, and not at the time set before; never without one.
    pub fn set(&self, after: Option<Duration>) -> io::Result<()> {
        let timer = &self.timer.get_ref().0;
        match after {
            // Zero would stop it.
            Some(after) => timer.set(
                Expiration::OneShot(TimeSpec::from(after.max(Duration::from_nanos(1)))),
                TimerSetTimeFlags::empty(),
            )?,
            None => timer.unset()?,
        }
        Ok(())
    }

    /// Waits until it has rung since it was last set. Cancel-safe. It need not be read: setting it anew makes it silent.
    pub async fn ring(&self) -> io::Result<()> {
        self.timer.readable().await?.clear_ready();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[tokio::test]
    async fn it_rings_in_time_and_only_for_what_was_set_last() {
        let alarm = Alarm::new().expect("a timer");
        let began = Instant::now();
        alarm.set(Some(Duration::from_secs(60))).expect("set");
        alarm.set(Some(Duration::from_micros(2_300))).expect("set");
        alarm.ring().await.expect("rings");
        assert!(began.elapsed() >= Duration::from_micros(2_300));
        alarm.set(Some(Duration::ZERO)).expect("set");
        alarm.ring().await.expect("rings at once");
        alarm.set(Some(Duration::from_millis(1))).expect("set");
        alarm.set(None).expect("unset");
        let silent = tokio::time::timeout(Duration::from_millis(20), alarm.ring()).await;
        assert!(silent.is_err());
    }
}
