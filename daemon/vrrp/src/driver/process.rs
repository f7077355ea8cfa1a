//! What the configuration says of the process itself: its scheduling, the kernel's reports of local groups, and whether
//! strangers' virtual routers are told.

use std::time::Duration;

use config::keepalived::{Life, Scheduling};
use protocol::{EventKind, EventSeverity};
use sys::realtime::{USUAL_LIMIT_US, USUAL_PRIORITY};

use super::Driver;
use super::ports::PortNumber;
use crate::core::Moment;

/// Whether the kernel reports memberships of 224.0.0.0/24.
const LOCAL_REPORTS: &str = "/proc/sys/net/ipv4/igmp_link_local_mcast_reports";
/// A virtual router that is not ours is told so often.
const STRANGER_SPACING: Duration = Duration::from_secs(60);
/// Of so many is remembered when they were told.
const MAX_STRANGERS: usize = 256;

/// Virtual routers that are heard and not configured.
#[derive(Default)]
pub(super) struct Strangers {
    told: Vec<(PortNumber, u8, Moment)>,
}

impl Strangers {
    /// Whether one is to be told of.
    fn is_news(&mut self, now: Moment, port: PortNumber, vrid: u8) -> bool {
        let mut told = self.told.iter_mut();
        if let Some(known) = told.find(|(at, of, _)| (*at, *of) == (port, vrid)) {
            let due = known.2 + STRANGER_SPACING <= now;
            if due {
                known.2 = now;
            }
            return due;
        }
        let room = self.told.len() < MAX_STRANGERS;
        if room {
            self.told.push((port, vrid, now));
        }
        room
    }
}

impl Driver {
    /// Follows a new configuration; what the kernel does not allow is told and changes nothing else.
    pub(super) fn follow_life(&self, old: &Life, new: &Life) {
        if old.scheduling != new.scheduling {
            for failure in schedule(&new.scheduling) {
                tracing::warn!("vrrp: {failure}");
            }
        }
        if old.disable_local_igmp != new.disable_local_igmp {
            let value = if new.disable_local_igmp { "0" } else { "1" };
            if let Err(error) = std::fs::write(LOCAL_REPORTS, value) {
                tracing::warn!("vrrp: disable_local_igmp: {LOCAL_REPORTS}: {error}");
            }
        }
    }

    /// An advertisement with a VRID that no instance on its interface has (`log_unknown_vrids`).
    pub(super) fn stranger(&mut self, port: PortNumber, vrid: u8, from: std::net::IpAddr) {
        let now = self.now();
        if self.setup.config.global.life.log_unknown_vrids
            && self.strangers.is_news(now, port, vrid)
        {
            let interface = self.ports.interface(port).unwrap_or("?").to_owned();
            let change =
                format!("advertisement of virtual router {vrid}, which is not configured here");
            let reason = format!("from {from}");
            let (severity, kind) = (EventSeverity::Notice, EventKind::Other);
            self.event(severity, kind, &interface, &change, &reason);
        }
    }
}

/// Sets all of it, what is not written as it is without; what could not be.
fn schedule(wanted: &Scheduling) -> Vec<String> {
    let mut failures = Vec::new();
    let mut note = |what: &str, outcome: std::io::Result<()>| {
        if let Err(error) = outcome {
            failures.push(format!("{what}: {error}"));
        }
    };
    note(
        "vrrp_priority",
        sys::realtime::set_nice(wanted.nice.unwrap_or(0)),
    );
    note(
        "vrrp_cpu_affinity",
        sys::realtime::set_processors(&wanted.cpus),
    );
    let limit = wanted.realtime_limit_us.unwrap_or(USUAL_LIMIT_US);
    let priority = wanted.realtime.map_or(USUAL_PRIORITY, i32::from);
    // Who gives it less than others have does not mean to give it real time.
    let is_plain = wanted.realtime.is_none() && wanted.nice.is_some_and(|nice| nice > 0);
    let outcome = match is_plain {
        true => sys::realtime::schedule_plainly(),
        false => sys::realtime::schedule_as(priority, limit),
    };
    note("vrrp_rt_priority", outcome);
    failures
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stranger_is_told_once_a_minute() {
        let mut strangers = Strangers::default();
        let second = Duration::from_secs;
        assert!(strangers.is_news(second(1), 0, 7));
        assert!(!strangers.is_news(second(2), 0, 7));
        assert!(strangers.is_news(second(2), 0, 8) && strangers.is_news(second(2), 1, 7));
        assert!(!strangers.is_news(second(60), 0, 7));
        assert!(strangers.is_news(second(61), 0, 7));
        for vrid in 0..=255 {
            let _many = strangers.is_news(second(62), 2, vrid);
        }
        assert_eq!(strangers.told.len(), MAX_STRANGERS);
    }
}
