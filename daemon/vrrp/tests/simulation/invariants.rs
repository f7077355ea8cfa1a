//! What must hold, whatever happens; some of it only while the network is quiet.

use std::time::Duration;

use protocol::vrrp::VrrpState;
use tandem_vrrp::core::{Action, Burst, Instance};

use crate::network::MAX_NODES;
use crate::node::Life;

/// Time for another master's addresses to go, and for what answers it to be spaced, before ours are announced again.
const ANNOUNCED_WITHIN: Duration = Duration::from_millis(160);
/// Least time between two answers to other masters.
const ANSWER_SPACING: Duration = Duration::from_millis(100);

/// How long things may take in this run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Shortest and longest interval of a node.
    pub(crate) intervals: (Duration, Duration),
    /// Longest master-down interval.
    pub(crate) down: Duration,
    /// Longest `preempt_delay`.
    pub(crate) preempt: Duration,
    /// Ways and turns, there and back.
    pub(crate) slop: Duration,
}

/// What is seen of a node's virtual router.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    life: Life,
    shown: VrrpState,
    hands_over: bool,
}

impl Seen {
    /// A virtual router of a node with this life.
    pub(crate) fn new(life: Life, core: &Instance) -> Self {
        Self {
            life,
            shown: core.shown(),
            hands_over: core.is_handing_over(),
        }
    }

    fn is_active(self) -> bool {
        self.shown == VrrpState::Master
    }
}

/// An announcement that clients need: two were master, and one was left.
#[derive(Clone, Copy, Debug)]
struct Owed {
    by: usize,
    since: Duration,
    until: Duration,
}

/// What is watched.
pub(crate) struct Watch {
    limits: Limits,
    /// Since when nothing disturbs the network.
    quiet_since: Option<Duration>,
    holds: [bool; MAX_NODES],
    /// When a node was last given reason to wait: it started, woke, or heard a master.
    assured_at: [Duration; MAX_NODES],
    up_since: [Duration; MAX_NODES],
    up_time: [Duration; MAX_NODES],
    sent: [u32; MAX_NODES],
    transitions: [u32; MAX_NODES],
    masterless_since: Option<Duration>,
    longest_gap: Duration,
    doubled_since: Option<Duration>,
    owed: Option<Owed>,
    /// The last outcome of a failover by an operator.
    pub(crate) failover: Option<Result<String, String>>,
    /// Facts that were checked, for the report.
    pub(crate) checked: u64,
}

impl Watch {
    /// Watches from the beginning.
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            quiet_since: None,
            holds: [false; MAX_NODES],
            assured_at: [Duration::ZERO; MAX_NODES],
            up_since: [Duration::ZERO; MAX_NODES],
            up_time: [Duration::ZERO; MAX_NODES],
            sent: [0; MAX_NODES],
            transitions: [0; MAX_NODES],
            masterless_since: None,
            longest_gap: Duration::ZERO,
            doubled_since: None,
            owed: None,
            failover: None,
            checked: 0,
        }
    }

    /// From now on nothing disturbs the network, or again.
    pub(crate) fn quiet(&mut self, since: Option<Duration>) {
        self.quiet_since = since;
        self.doubled_since = None;
        self.owed = None;
    }

    /// Forgets how long there was no master.
    pub(crate) fn forget_gap(&mut self, now: Duration) {
        self.longest_gap = Duration::ZERO;
        if self.masterless_since.is_some() {
            self.masterless_since = Some(now);
        }
    }

    /// The longest time without a master since then.
    pub(crate) fn gap(&self, now: Duration) -> Duration {
        let running = self.masterless_since.map(|since| now - since);
        self.longest_gap.max(running.unwrap_or_default())
    }

    /// Changes of state of all nodes, to compare.
    pub(crate) fn transitions(&self) -> [u32; MAX_NODES] {
        self.transitions
    }

    /// Advertisements that a node has sent.
    pub(crate) fn sent(&self, node: usize) -> u32 {
        self.sent[node]
    }

    /// A node started or woke.
    pub(crate) fn woke(&mut self, node: usize, now: Duration) {
        self.assured_at[node] = now;
        self.up_since[node] = now;
        self.doubled_since = None;
    }

    /// A node stopped running; with `crash` its addresses are gone with it.
    pub(crate) fn slept(&mut self, node: usize, now: Duration, crash: bool) {
        self.up_time[node] += now - self.up_since[node];
        self.doubled_since = None;
        if crash {
            self.holds[node] = false;
        }
        if self.owed.is_some_and(|owed| owed.by == node) {
            self.owed = None;
        }
    }

    /// A paused node died.
    pub(crate) fn gone(&mut self, node: usize) {
        self.holds[node] = false;
    }

    /// A node was reached by a master.
    pub(crate) fn assured(&mut self, node: usize, now: Duration) {
        self.assured_at[node] = now;
    }

    /// Looks at what a node does.
    pub(crate) fn did(
        &mut self,
        node: usize,
        now: Duration,
        action: &Action,
    ) -> Result<(), String> {
        match action {
            Action::Advertise(_) => self.sent[node] += 1,
            Action::AddAddresses => {
                let held = std::mem::replace(&mut self.holds[node], true);
                if held {
                    return Err(format!("node {node} takes addresses that it holds"));
                }
            }
            Action::RemoveAddresses => {
                let held = std::mem::replace(&mut self.holds[node], false);
                if !held {
                    return Err(format!(
                        "node {node} removes addresses that it does not hold"
                    ));
                }
                self.left(now);
            }
            Action::Announce(burst) => {
                if !self.holds[node] {
                    return Err(format!(
                        "node {node} announces addresses that are not there"
                    ));
                }
                if self.owed.is_some_and(|owed| owed.by == node) && *burst != Burst::Refresh {
                    self.checked += 1;
                    self.owed = None;
                }
            }
            Action::Enter { from, to, .. } => {
                if from == to {
                    return Err(format!("node {node} enters {to} from {from}"));
                }
                self.transitions[node] += 1;
                self.assured_at[node] = now;
                if *from == VrrpState::Master && self.owed.is_some_and(|owed| owed.by == node) {
                    self.owed = None;
                }
            }
            Action::FailoverEnded(outcome) => self.failover = Some(outcome.clone()),
            _ => {}
        }
        Ok(())
    }

    /// Addresses were removed: whoever is left with them must tell the clients.
    fn left(&mut self, now: Duration) {
        let mut holders = (0..MAX_NODES).filter(|node| self.holds[*node]);
        let (Some(by), None) = (holders.next(), holders.next()) else {
            return;
        };
        if self.quiet_since.is_some() {
            let until = now + ANNOUNCED_WITHIN + self.limits.slop;
            self.owed = Some(Owed {
                by,
                since: now,
                until,
            });
        }
    }

    /// Looks at all nodes after something happened.
    pub(crate) fn look(&mut self, now: Duration, nodes: &[Seen]) -> Result<(), String> {
        self.checked += 1;
        let (mut masters, mut holders, mut leaving) = (0, 0, 0);
        for (at, node) in nodes.iter().enumerate() {
            if node.is_active() != self.holds[at] {
                return Err(format!(
                    "node {at} is {}, and its addresses are {}",
                    node.shown,
                    if self.holds[at] { "there" } else { "not there" }
                ));
            }
            if node.life == Life::Up {
                masters += usize::from(node.is_active());
                leaving += usize::from(node.hands_over);
                self.starving(at, now, *node)?;
                self.babbling(at, now)?;
            }
            holders += usize::from(self.holds[at]);
        }
        if masters == 0 {
            self.masterless_since.get_or_insert(now);
        } else if let Some(since) = self.masterless_since.take() {
            self.longest_gap = self.longest_gap.max(now - since);
        }
        // Who gives the addresses away keeps them until its successor has had time to take them.
        let together = masters - leaving > 1 && holders == masters && self.quiet_since.is_some();
        if !together {
            self.doubled_since = None;
        } else if now - *self.doubled_since.get_or_insert(now)
            > self.limits.intervals.1 + self.limits.slop
        {
            return Err(format!(
                "{masters} masters hear each other for longer than an interval"
            ));
        }
        if let Some(owed) = self.owed.filter(|owed| owed.until < now) {
            // A paused one cannot.
            if nodes[owed.by].life == Life::Up {
                return Err(format!(
                    "another master was there until {:?}, and node {} has not announced its addresses since",
                    owed.since, owed.by
                ));
            }
            self.owed = None;
        }
        Ok(())
    }

    /// A backup that hears no master becomes one in time.
    fn starving(&self, at: usize, now: Duration, node: Seen) -> Result<(), String> {
        if node.shown != VrrpState::Backup {
            return Ok(());
        }
        let silent = now.saturating_sub(self.assured_at[at]);
        let limit = self.limits.down + self.limits.preempt + self.limits.slop;
        if silent > limit {
            return Err(format!(
                "node {at} has heard no master for {silent:?} (limit {limit:?}) and is not master"
            ));
        }
        Ok(())
    }

    /// Nobody sends more than its interval and its answers.
    fn babbling(&self, at: usize, now: Duration) -> Result<(), String> {
        let up = self.up_time[at] + (now - self.up_since[at]);
        let times = |each: Duration| up.as_secs_f64() * 1.02 / each.as_secs_f64();
        let regular = times(self.limits.intervals.0) + times(ANSWER_SPACING);
        let limit = regular + 3.0 * f64::from(self.transitions[at]) + 5.0;
        if f64::from(self.sent[at]) > limit {
            return Err(format!(
                "node {at} has sent {} advertisements in {up:?} (limit {limit:.0})",
                self.sent[at]
            ));
        }
        Ok(())
    }
}
