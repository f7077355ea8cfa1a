//! Who wins: priorities after tracking, ties, timers (RFC 3768 6.4, RFC 9568 6.4).

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use super::super::model::{InitialState, Version, VrrpInstance};
use super::tracked::{Effect, Numbered, Tracked};

/// The owner of the addresses.
pub(super) const OWNER: u8 = 255;
/// Sums of weights that are told apart; more tracked items than make so many are not looked at.
const MAX_SUMS: usize = 1 << 14;

/// A node's instance, as the election sees it.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub(super) base: u8,
    pub(super) nopreempt: bool,
    pub(super) preempt_delay: Duration,
    pub(super) interval: Duration,
    pub(super) version: Version,
    /// Its address in advertisements, if the text or the host tells it.
    pub(super) source: Option<IpAddr>,
    pub(super) tracked: Vec<Tracked>,
    /// Files that hold numbers; taken to hold 0.
    pub(super) numbered: Vec<Numbered>,
}

/// What an instance can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It takes part with this priority.
    Runs(u8),
    /// It is in FAULT.
    Fault,
}

impl Candidate {
    pub(super) fn new(
        instance: &VrrpInstance,
        tracked: Vec<Tracked>,
        source: Option<IpAddr>,
    ) -> Self {
        // keepalived clears the delay where nothing is preempted, and for `state MASTER`.
        let delayed = !instance.nopreempt && instance.state != InitialState::Master;
        Self {
            base: instance.priority,
            nopreempt: instance.nopreempt,
            preempt_delay: if delayed {
                instance.preempt_delay
            } else {
                Duration::ZERO
            },
            interval: instance.advert_int,
            version: instance.version,
            source,
            tracked,
            numbered: Vec::new(),
        }
    }

    /// With these files.
    pub(super) fn with_numbered(self, numbered: Vec<Numbered>) -> Self {
        Self { numbered, ..self }
    }

    /// Its standing while all is well but for the number in a file.
    pub(super) fn with_number(&self, file: &Numbered, number: i64) -> Standing {
        /// keepalived.conf(5), "track files": beyond it an instance is in FAULT.
        const MOST: i64 = 253;
        let share = number.saturating_mul(file.factor);
        if share < -MOST {
            return Standing::Fault;
        }
        let share = i32::try_from(share.min(MOST + 1)).unwrap_or(0);
        self.sum(&|_| false).map_or(Standing::Fault, |sum| {
            Standing::Runs(self.clamped(sum + share))
        })
    }

    /// Its standing while the items with these names fail.
    pub(super) fn standing(&self, failed: &dyn Fn(&Tracked) -> bool) -> Standing {
        self.sum(failed)
            .map_or(Standing::Fault, |sum| Standing::Runs(self.clamped(sum)))
    }

    /// The shares of all items; none in FAULT.
    fn sum(&self, failed: &dyn Fn(&Tracked) -> bool) -> Option<i32> {
        let share = |item: &Tracked| match item.effect(!failed(item)) {
            Effect::Priority(share) => Some(share),
            Effect::Fault => None,
        };
        self.tracked.iter().map(share).sum()
    }

    /// Its priority while all is well.
    pub(super) fn well(&self) -> Standing {
        self.standing(&|_| false)
    }

    fn clamped(&self, sum: i32) -> u8 {
        if self.base == OWNER {
            return OWNER;
        }
        let sum = i32::from(self.base).saturating_add(sum).clamp(1, 254);
        u8::try_from(sum).unwrap_or(self.base)
    }

    /// All priorities that it can have, whatever fails; `without` leaves an item out and adds `plus` in its place.
    /// None if there are too many items to say.
    pub(super) fn reachable(&self, without: Option<usize>, plus: i32) -> Option<BTreeSet<u8>> {
        let mut sums = BTreeSet::from([plus]);
        for (at, item) in self.tracked.iter().enumerate() {
            if Some(at) == without {
                continue;
            }
            let shares = [true, false].map(|well| item.effect(well));
            let mut next = BTreeSet::new();
            for share in shares {
                // In FAULT it takes no part: that is another matter than its priority.
                if let Effect::Priority(share) = share {
                    next.extend(sums.iter().map(|sum| sum + share));
                }
            }
            if next.len() > MAX_SUMS {
                return None;
            }
            sums = next;
        }
        Some(sums.into_iter().map(|sum| self.clamped(sum)).collect())
    }

    /// The skew time with this priority. Version 2: (256 - priority) / 256 seconds; version 3: that share of the
    /// master's interval (RFC 9568 6.1).
    pub(super) fn skew(&self, priority: u8, master_interval: Duration) -> Duration {
        let of = match self.version {
            Version::V2 => Duration::from_secs(1),
            Version::V3 => master_interval,
        };
        of * (256 - u32::from(priority)) / 256
    }

    /// The master-down interval with this priority.
    pub(super) fn master_down(&self, priority: u8, master_interval: Duration) -> Duration {
        let interval = match self.version {
            Version::V2 => self.interval,
            Version::V3 => master_interval,
        };
        interval * 3 + self.skew(priority, master_interval)
    }
}

/// Whether the first of two that speak at once stays: the higher priority, then the higher address.
/// None if only the addresses decide and they are not known.
pub(super) fn outranks(first: (u8, Option<IpAddr>), second: (u8, Option<IpAddr>)) -> Option<bool> {
    if first.0 != second.0 {
        return Some(first.0 > second.0);
    }
    match (first.1, second.1) {
        (Some(one), Some(other)) if one != other => Some(one > other),
        _ => None,
    }
}
