//! What systemd is told (sd_notify(3)), and how often its watchdog wants to hear from us.

use std::time::{Duration, Instant};

use sd_notify::NotifyState;

/// The line to systemd; silent where nobody listens.
pub(super) struct Systemd {
    watchdog: Option<Duration>,
    pinged: Instant,
    status: String,
    announced: bool,
}

impl Default for Systemd {
    fn default() -> Self {
        Self::from_environment()
    }
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!("systemd was not told: {error}");
    }
}

impl Systemd {
    /// Reads `NOTIFY_SOCKET` and `WATCHDOG_USEC`.
    pub(super) fn from_environment() -> Self {
        // Half the interval, as sd_watchdog_enabled(3) recommends.
        let watchdog = sd_notify::watchdog_enabled().map(|interval| interval / 2);
        Self {
            watchdog,
            pinged: Instant::now(),
            status: String::new(),
            announced: false,
        }
    }

    /// The daemon serves, for the first time or after a reload.
    pub(super) fn ready(&mut self) {
        self.announced = true;
        tell(&[NotifyState::Ready, NotifyState::Status(&self.status)]);
    }

    /// A reload begins; systemd wants the moment with it.
    pub(super) fn reloading(&self) {
        match NotifyState::monotonic_usec_now() {
            Ok(moment) => tell(&[NotifyState::Reloading, moment]),
            Err(error) => tracing::debug!("no monotonic clock: {error}"),
        }
    }

    /// The daemon ends.
    pub(super) fn stopping(&self) {
        tell(&[NotifyState::Stopping]);
    }

    /// The line that `systemctl status` shows; sent when it changes, but not before READY=1: some launchers read the first
    /// datagram alone.
    pub(super) fn status(&mut self, status: String) {
        if status != self.status {
            if self.announced {
                tell(&[NotifyState::Status(&status)]);
            }
            self.status = status;
        }
    }

    /// Pings the watchdog when it is time, if all is well.
    pub(super) fn tick(&mut self, healthy: bool) {
        let Some(interval) = self.watchdog else {
            return;
        };
        if healthy && self.pinged.elapsed() >= interval {
            tell(&[NotifyState::Watchdog]);
            self.pinged = Instant::now();
        }
    }
}
