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
    /// A number, which the weight multiplies: of a `track_file`.
    Number(i64, String),
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
    /// `reverse`: what would be added is subtracted, and the reverse; with weight 0, FAULT while it is up.
    pub reverse: bool,
    /// Down means FAULT whatever the weight.
    pub vital: bool,
}

/// A share of the priority lies within this on both sides of 0; below it is FAULT (keepalived.conf(5), Track files).
const MAX_SHARE: i64 = 253;

impl Item {
    /// What it does to the priority now.
    fn effect(&self) -> Effect {
        let sign: i32 = if self.reverse { -1 } else { 1 };
        let up = match &self.report {
            Report::Unknown(_) => return Effect::Fault,
            Report::Number(value, _) if self.weight == 0 => *value == 0,
            Report::Number(value, _) => {
                let share = value
                    .saturating_mul(i64::from(self.weight))
                    .saturating_mul(i64::from(sign));
                return match i32::try_from(share.min(MAX_SHARE)) {
                    Ok(share) if i64::from(share) >= -MAX_SHARE => Effect::Priority(share),
                    _ => Effect::Fault,
                };
            }
            Report::Up(_) => true,
            Report::Down(_) if self.vital => return Effect::Fault,
            Report::Down(_) => false,
        };
        match (self.weight, up) {
            // `weight 0 reverse`: it must be down.
            (0, up) if up == self.reverse => Effect::Fault,
            (0, _) => Effect::Priority(0),
            // A positive weight counts while all is well, a negative one while it is not.
            (weight, true) => Effect::Priority(weight.max(0) * sign),
            (weight, false) => Effect::Priority(weight.min(0) * sign),
        }
    }
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
        let effect = item.effect();
        let (mut healthy, detail) = match &item.report {
            Report::Up(detail) => (true, detail),
            Report::Number(_, detail) => (effect != Effect::Fault, detail),
            Report::Down(detail) | Report::Unknown(detail) => (false, detail),
        };
        match (effect, &item.report) {
            (Effect::Priority(share), _) => sum += share,
            (Effect::Fault, Report::Unknown(_)) => {
                waiting.get_or_insert_with(|| format!("{}: {detail}", item.name));
            }
            (Effect::Fault, _) => {
                let turned = match item.reverse && item.weight == 0 {
                    true => " (weight 0 reverse)",
                    false => "",
                };
                healthy = false;
                fault.get_or_insert_with(|| format!("{}: {detail}{turned}", item.name));
            }
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

/// Counts of a `vrrp_track_process`, with its delays.
#[derive(Clone, Debug)]
pub struct ProcessTrack {
    quorum: u32,
    quorum_max: Option<u32>,
    fork_delay: Duration,
    terminate_delay: Duration,
    /// Processes at the last count.
    count: u32,
    up: Option<bool>,
    /// When the other way counts.
    turns_at: Option<Moment>,
}

impl ProcessTrack {
    /// Nothing was counted yet.
    pub fn new(
        quorum: u32,
        quorum_max: Option<u32>,
        fork_delay: Duration,
        terminate_delay: Duration,
    ) -> Self {
        Self {
            quorum,
            quorum_max,
            fork_delay,
            terminate_delay,
            count: 0,
            up: None,
            turns_at: None,
        }
    }

    fn enough(&self) -> bool {
        self.count >= self.quorum && self.quorum_max.is_none_or(|most| self.count <= most)
    }

    /// Takes a count; true if what it says changed.
    pub fn counted(&mut self, now: Moment, count: u32) -> bool {
        self.count = count;
        let enough = self.enough();
        let Some(up) = self.up else {
            self.up = Some(enough);
            return true;
        };
        if up == enough {
            self.turns_at = None;
            return false;
        }
        // The manual's names: after a fork there may be an exec, after an end another fork.
        let delay = match enough {
            true => self.fork_delay,
            false => self.terminate_delay,
        };
        self.turns_at.get_or_insert(now + delay);
        self.elapsed(now)
    }

    /// When [`ProcessTrack::elapsed`] wants to be called.
    pub fn deadline(&self) -> Option<Moment> {
        self.turns_at
    }

    /// Ends a delay if it is time; true if what it says changed.
    pub fn elapsed(&mut self, now: Moment) -> bool {
        if self.turns_at.take_if(|at| *at <= now).is_none() {
            return false;
        }
        self.up = Some(self.enough());
        true
    }

    /// What it says now.
    pub fn report(&self) -> Report {
        let count = match self.count {
            1 => "1 process".to_owned(),
            count => format!("{count} processes"),
        };
        match (self.up, self.quorum_max) {
            (None, _) => Report::Unknown("nothing was counted yet".to_owned()),
            (Some(true), _) => Report::Up(count),
            (Some(false), Some(most)) if self.count > most => {
                Report::Down(format!("{count}, at most {most} wanted"))
            }
            (Some(false), _) => Report::Down(format!("{count}, {} wanted", self.quorum)),
        }
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
            reverse: false,
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
    fn reverse_turns_the_weight_round() {
        // Each as keepalived 2.2.7 advertises it for priority 100; none is FAULT.
        let check = |report: Report, weight, expected: Option<u8>| {
            let reversed = Item {
                reverse: true,
                ..item(report, weight)
            };
            let verdict = weigh(100, &[reversed]);
            let found = Some(verdict.effective).filter(|_| verdict.standing == Standing::Well);
            assert_eq!(found, expected);
        };
        check(up(), 10, Some(90));
        check(down(), 10, Some(100));
        check(up(), -10, Some(100));
        check(down(), -10, Some(110));
        check(up(), 0, None);
        check(down(), 0, Some(100));
    }

    #[test]
    fn a_number_is_multiplied_by_its_weight() {
        // Each as keepalived 2.2.7 advertises it for priority 100; none is FAULT.
        let check = |value, weight, reverse, expected: Option<u8>| {
            let number = Item {
                reverse,
                ..item(Report::Number(value, String::new()), weight)
            };
            let verdict = weigh(100, &[number]);
            let found = Some(verdict.effective).filter(|_| verdict.standing == Standing::Well);
            assert_eq!(
                found, expected,
                "{value} times {weight}, reverse: {reverse}"
            );
        };
        check(5, 1, false, Some(105));
        check(5, -3, false, Some(85));
        check(5, 2, true, Some(90));
        check(-5, 2, false, Some(90));
        check(300, 1, false, Some(254));
        check(-300, 1, false, None);
        check(-254, 1, false, None);
        check(-253, 1, false, Some(1));
        check(254, -1, false, None);
        check(127, 2, false, Some(254));
        check(300, 1, true, None);
        check(-300, 1, true, Some(254));
        check(0, 0, false, Some(100));
        check(1, 0, false, None);
        check(0, 0, true, None);
        check(1, 0, true, Some(100));
        check(i64::MIN, i32::MIN, true, None);
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
    fn processes_count_after_their_delays() {
        let second = Duration::from_secs(1);
        let mut track = ProcessTrack::new(2, Some(3), second, second * 2);
        assert!(matches!(track.report(), Report::Unknown(_)));
        assert!(track.counted(Duration::ZERO, 2), "the first count decides");
        assert!(matches!(track.report(), Report::Up(_)));
        assert!(!track.counted(second, 1));
        assert_eq!(track.deadline(), Some(second * 3));
        assert!(!track.elapsed(second * 2));
        assert!(
            !track.counted(second * 2, 2),
            "back in time: nothing happened"
        );
        assert_eq!(track.deadline(), None);
        track.counted(second * 3, 4);
        assert!(track.elapsed(second * 5));
        assert_eq!(
            track.report(),
            Report::Down("4 processes, at most 3 wanted".to_owned())
        );
        track.counted(second * 6, 3);
        assert!(track.elapsed(second * 7));
        assert_eq!(track.report(), Report::Up("3 processes".to_owned()));
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
