//! What an instance watches, and what that does to it: fault, or a share of its priority.

use std::time::Duration;

use protocol::process::ScriptOutcome;
use protocol::vrrp::{Effect, Share};

use super::Moment;

/// Longest that a dead proxy is overlooked: its successor inherits the listening sockets and answers what queued.
pub const MAX_PROXY_GRACE: Duration = Duration::from_millis(500);
/// The words for "the proxy's own process answers".
pub const BY_HEARTBEAT: &str = "answered by the worker's heartbeat";

/// Whether an instance may run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nothing is in its way.
    Well,
    /// Something is not known or not ready yet: what.
    Waiting(String),
    /// Something is wrong: what.
    Fault(String),
}

/// What a tracked item says now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// Not known yet: why.
    Unknown(String),
    /// Well: how.
    Up(String),
    /// Not well: why.
    Down(String),
}

/// A tracked item with its weight for one instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// `script chk_haproxy`, `interface eth0`.
    pub name: String,
    /// What it says.
    pub report: Report,
    /// 0 means FAULT while it is down.
    pub weight: i32,
    /// Down means FAULT whatever the weight.
    pub vital: bool,
}

/// The sum of all items.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whether the instance may run.
    pub standing: Standing,
    /// Its priority.
    pub effective: u8,
    /// What each item does.
    pub shares: Vec<Share>,
}

/// Weighs all items of an instance with this `priority`.
pub fn weigh(base: u8, items: &[Item]) -> Verdict {
    let mut sum = i32::from(base);
    let mut fault = None;
    let mut waiting = None;
    let mut shares = Vec::with_capacity(items.len());
    for item in items {
        let (healthy, detail) = match &item.report {
            Report::Up(detail) => (true, detail),
            Report::Down(detail) | Report::Unknown(detail) => (false, detail),
        };
        let effect = match &item.report {
            Report::Unknown(detail) => {
                waiting.get_or_insert_with(|| format!("{}: {detail}", item.name));
                Effect::Fault
            }
            Report::Down(detail) if item.vital || item.weight == 0 => {
                fault.get_or_insert_with(|| format!("{}: {detail}", item.name));
                Effect::Fault
            }
            // A positive weight adds while all is well, a negative one subtracts while it is not.
            Report::Up(_) => Effect::Priority(item.weight.max(0)),
            Report::Down(_) => Effect::Priority(item.weight.min(0)),
        };
        if let Effect::Priority(share) = effect {
            sum += share;
        }
        shares.push(Share {
            item: item.name.clone(),
            healthy,
            effect,
            detail: detail.clone(),
        });
    }
    let standing = match (fault, waiting) {
        (Some(reason), _) => Standing::Fault(reason),
        (None, Some(reason)) => Standing::Waiting(reason),
        (None, None) => Standing::Well,
    };
    // The owner's 255 is not for others, and 0 means resigning.
    let effective = if base == 255 {
        255
    } else {
        u8::try_from(sum.clamp(1, 254)).unwrap_or(base)
    };
    Verdict {
        standing,
        effective,
        shares,
    }
}

/// Counts a script's results until they mean something.
#[derive(Clone, Debug)]
pub struct ScriptTrack {
    rise: u32,
    fall: u32,
    up: Option<bool>,
    streak: u32,
    detail: String,
}

impl ScriptTrack {
    /// A script without results; with `init_fail` it counts as down until one comes.
    pub fn new(rise: u32, fall: u32, init_fail: bool) -> Self {
        let detail = if init_fail {
            "no result yet (init_fail)"
        } else {
            "no result yet"
        };
        Self {
            rise: rise.max(1),
            fall: fall.max(1),
            up: init_fail.then_some(false),
            streak: 0,
            detail: detail.to_owned(),
        }
    }

    /// Takes a result; true if the script counts as up or down now and did not before.
    pub fn ended(&mut self, outcome: &ScriptOutcome) -> bool {
        let success = *outcome == ScriptOutcome::Exited(0);
        let text = describe(outcome);
        match self.up {
            // As keepalived: the first result decides alone.
            None => {
                self.up = Some(success);
                self.streak = 0;
                self.detail = text;
                true
            }
            Some(up) if up == success => {
                self.streak = 0;
                self.detail = text;
                false
            }
            Some(up) => {
                self.streak += 1;
                let (wanted, noun) = if up {
                    (self.fall, "failures")
                } else {
                    (self.rise, "successes")
                };
                self.detail = format!("{text}, {} of {wanted} {noun}", self.streak);
                if self.streak < wanted {
                    return false;
                }
                self.streak = 0;
                self.up = Some(success);
                true
            }
        }
    }

    /// What it says now.
    pub fn report(&self) -> Report {
        match self.up {
            None => Report::Unknown(self.detail.clone()),
            Some(true) => Report::Up(self.detail.clone()),
            Some(false) => Report::Down(self.detail.clone()),
        }
    }
}

fn describe(outcome: &ScriptOutcome) -> String {
    match outcome {
        ScriptOutcome::Exited(status) => format!("exit status {status}"),
        ScriptOutcome::Signaled(signal) => format!("ended by signal {signal}"),
        ScriptOutcome::TimedOut => "timed out".to_owned(),
        ScriptOutcome::Failed(why) => why.clone(),
    }
}

/// The proxy of this daemon, with a short patience for its restarts.
#[derive(Clone, Debug, Default)]
pub enum ProxyTrack {
    /// It was never alive.
    #[default]
    NotReady,
    /// It works.
    Alive,
    /// It died, and its successor has until then.
    Grace {
        /// The end of patience.
        until: Moment,
        /// Why it is not alive.
        detail: String,
    },
    /// It is dead.
    Dead {
        /// Why.
        detail: String,
    },
}

impl ProxyTrack {
    /// Takes a report of the supervisor; true if the verdict may have changed.
    pub fn told(&mut self, now: Moment, alive: bool, detail: &str, grace: Duration) -> bool {
        let next = match (&*self, alive) {
            (Self::Alive, true) | (Self::NotReady, false) => return false,
            (_, true) => Self::Alive,
            (Self::Alive, false) => Self::Grace {
                until: now + grace,
                detail: detail.to_owned(),
            },
            (Self::Grace { until, .. }, false) => Self::Grace {
                until: *until,
                detail: detail.to_owned(),
            },
            (Self::Dead { .. }, false) => Self::Dead {
                detail: detail.to_owned(),
            },
        };
        *self = next;
        true
    }

    /// The end of patience, if it runs.
    pub fn deadline(&self) -> Option<Moment> {
        match self {
            Self::Grace { until, .. } => Some(*until),
            Self::NotReady | Self::Alive | Self::Dead { .. } => None,
        }
    }

    /// Ends the patience if it is time; true if it did.
    pub fn elapsed(&mut self, now: Moment) -> bool {
        let Self::Grace { until, detail } = self else {
            return false;
        };
        if now < *until {
            return false;
        }
        let detail = std::mem::take(detail);
        *self = Self::Dead { detail };
        true
    }

    /// What it says now.
    pub fn report(&self) -> Report {
        match self {
            Self::NotReady => Report::Unknown("the proxy is not ready yet".to_owned()),
            Self::Alive => Report::Up(BY_HEARTBEAT.to_owned()),
            Self::Grace { detail, .. } => Report::Up(format!(
                "{detail}; its successor has a moment to take its place"
            )),
            Self::Dead { detail } => Report::Down(format!(
                "the proxy is dead ({detail}); an address must not point at a dead proxy"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OK: ScriptOutcome = ScriptOutcome::Exited(0);
    const BAD: ScriptOutcome = ScriptOutcome::Exited(1);

    fn item(report: Report, weight: i32) -> Item {
        Item {
            name: "script chk".to_owned(),
            report,
            weight,
            vital: false,
        }
    }

    fn up() -> Report {
        Report::Up(String::new())
    }

    fn down() -> Report {
        Report::Down("exit status 1".to_owned())
    }

    #[test]
    fn weights_add_on_success_and_subtract_on_failure() {
        let check = |report: Report, weight, expected| {
            let verdict = weigh(100, &[item(report, weight)]);
            assert_eq!(
                (verdict.standing, verdict.effective),
                (Standing::Well, expected)
            );
        };
        check(up(), 5, 105);
        check(down(), 5, 100);
        check(up(), -5, 100);
        check(down(), -5, 95);
        check(up(), 0, 100);
        check(up(), 253, 254);
        check(down(), -253, 1);
    }

    #[test]
    fn weight_zero_means_fault() {
        let verdict = weigh(100, &[item(down(), 0)]);
        assert_eq!(
            verdict.standing,
            Standing::Fault("script chk: exit status 1".to_owned())
        );
        assert_eq!(verdict.shares[0].effect, Effect::Fault);
    }

    #[test]
    fn a_vital_item_means_fault_whatever_its_weight() {
        let vital = Item {
            vital: true,
            ..item(down(), -2)
        };
        assert!(matches!(weigh(100, &[vital]).standing, Standing::Fault(_)));
    }

    #[test]
    fn the_owner_keeps_its_priority() {
        assert_eq!(weigh(255, &[item(down(), -5)]).effective, 255);
    }

    #[test]
    fn nothing_runs_before_the_first_result() {
        let verdict = weigh(
            100,
            &[item(Report::Unknown("no result yet".to_owned()), -2)],
        );
        assert_eq!(
            verdict.standing,
            Standing::Waiting("script chk: no result yet".to_owned())
        );
    }

    #[test]
    fn a_script_falls_after_fall_failures_in_a_row_and_rises_after_rise_successes() {
        let mut track = ScriptTrack::new(2, 3, false);
        assert!(track.ended(&OK));
        assert!(!track.ended(&BAD) && !track.ended(&BAD));
        assert!(!track.ended(&OK), "a success between starts the count anew");
        assert!(!track.ended(&BAD) && !track.ended(&BAD) && track.ended(&BAD));
        assert_eq!(
            track.report(),
            Report::Down("exit status 1, 3 of 3 failures".to_owned())
        );
        assert!(!track.ended(&OK) && track.ended(&OK));
        assert_eq!(
            track.report(),
            Report::Up("exit status 0, 2 of 2 successes".to_owned())
        );
    }

    #[test]
    fn the_first_result_decides_alone() {
        let mut track = ScriptTrack::new(3, 3, false);
        assert!(track.ended(&BAD));
        assert_eq!(track.report(), Report::Down("exit status 1".to_owned()));
    }

    #[test]
    fn init_fail_counts_as_down_at_once() {
        let track = ScriptTrack::new(1, 1, true);
        assert!(matches!(track.report(), Report::Down(_)));
    }

    #[test]
    fn a_proxy_that_returns_within_the_grace_was_never_gone() {
        let second = Duration::from_secs(1);
        let grace = Duration::from_millis(500);
        let mut proxy = ProxyTrack::default();
        assert!(!proxy.told(second, false, "starting", grace));
        assert!(matches!(proxy.report(), Report::Unknown(_)));
        assert!(proxy.told(second, true, "", grace));
        assert!(proxy.told(second * 2, false, "killed by signal 9", grace));
        assert!(matches!(proxy.report(), Report::Up(_)));
        assert!(!proxy.elapsed(second * 2 + grace / 2));
        assert!(proxy.told(second * 2 + grace / 2, true, "", grace));
        assert_eq!(proxy.deadline(), None);
        proxy.told(second * 4, false, "killed by signal 9", grace);
        assert!(proxy.elapsed(second * 4 + grace));
        assert!(matches!(proxy.report(), Report::Down(_)));
    }
}
