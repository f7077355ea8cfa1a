//! The virtual router as RFC 3768 and RFC 5798 define it: a state machine without sockets or clocks.
//!
//! Time comes in as [`Moment`]s, packets come in checked, and what is to be done comes out as
//! [`Action`]s in the order in which they must happen. Where keepalived's behaviour differs from the
//! RFC, its users' expectations win; where keepalived falls short, a comment says so.

mod follow;
pub mod group;
mod interval;
mod lapse;
mod operator;
mod peers;
mod resume;
#[cfg(test)]
mod tests;
pub mod tracking;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use config::keepalived::Version;
use protocol::EventSeverity;
use protocol::vrrp::VrrpState;

use operator::Handover;
pub use peers::{MAX_PEERS, Peer, Peers};
use tracking::Standing;

/// Time since the process started.
pub type Moment = Duration;

/// The priority of the router that owns the addresses.
pub(crate) const OWNER: u8 = 255;
/// The priority that resigns.
const RESIGN: u8 = 0;
/// Least time between two answers to other masters: a flood of them must not become a flood of ours.
const ANSWER_SPACING: Duration = Duration::from_millis(100);
/// Time for another master to let its addresses go before we announce ours again.
const YIELD_TIME: Duration = Duration::from_millis(30);
/// A timer so late means that we did not run.
const OVERDUE: Duration = Duration::from_millis(100);
/// What an instance follows; a reload may change it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// `version`: it decides the skew time, and whether a backup learns its master's interval.
    pub version: Version,
    /// `priority`.
    pub base_priority: u8,
    /// `state MASTER`: with priority 255 it speaks at once, as the owner; otherwise it means nothing.
    pub starts_active: bool,
    /// `advert_int`.
    pub advert_interval: Duration,
    /// `nopreempt`.
    pub nopreempt: bool,
    /// `preempt_delay`.
    pub preempt_delay: Duration,
    /// `timer_expired_backup`: the highest priority of the others.
    pub timer_expired_backup: Option<u8>,
    /// `down_timer_adverts`: intervals of silence before the skew time begins.
    pub down_timer_adverts: u32,
    /// `higher_prio_send_advert`: who yields advertises once more.
    pub last_word: bool,
    /// `lower_prio_no_advert` turned round: a lower master is answered at once.
    pub answers_lower: bool,
    /// `garp_master_delay`; zero is no second round.
    pub announce_again: Duration,
    /// `garp_lower_prio_delay`: the same after another master was heard; zero is no second round.
    pub announce_lower_again: Duration,
    /// `garp_master_refresh`; zero is off.
    pub announce_refresh: Duration,
}

/// Which gratuitous ARPs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Burst {
    /// `garp_master_repeat` for each address.
    Full,
    /// `garp_lower_prio_repeat` for each address: another master was heard that must yield.
    LowerPriority,
    /// `garp_master_refresh_repeat` for each address.
    Refresh,
}

/// What the driver is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send an advertisement with this priority.
    Advertise(u8),
    /// Put the virtual addresses on this node.
    AddAddresses,
    /// Take them off.
    RemoveAddresses,
    /// Send gratuitous ARPs.
    Announce(Burst),
    /// The state has changed.
    Enter {
        /// From.
        from: VrrpState,
        /// To.
        to: VrrpState,
        /// Why.
        reason: String,
    },
    /// Tell the operator.
    Tell {
        /// How loud.
        severity: EventSeverity,
        /// What changed.
        change: String,
        /// Why.
        reason: String,
    },
    /// The outcome of [`Instance::failover`].
    FailoverEnded(Result<String, String>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing is wrong yet; something is not there yet.
    Waiting,
    Fault,
    Backup,
    Active,
}

/// Why the master-down timer runs as it does.
#[derive(Clone, Copy, Debug)]
enum Wait {
    /// Nobody was heard since then.
    Nobody { since: Moment },
    /// A master was heard then.
    Silence { from: IpAddr, since: Moment },
    /// A master resigned then.
    Resigned { from: IpAddr, since: Moment },
    /// A master is heard that we outrank.
    Preempt { from: IpAddr, priority: u8 },
}

/// A virtual router on this node.
#[derive(Debug)]
pub struct Instance {
    rules: Arc<Rules>,
    source: IpAddr,
    effective: u8,
    state: State,
    wait: Wait,
    /// Master_Adver_Interval (RFC 5798 6.1): our own, or the one that our master advertises.
    master_interval: Duration,
    master: Option<IpAddr>,
    peers: Peers,
    held: bool,
    handover: Option<Box<Handover>>,
    master_down_at: Option<Moment>,
    advert_at: Option<Moment>,
    /// When we last said as master that we are.
    advertised_at: Moment,
    preempt_at: Option<Moment>,
    announce_at: Option<Moment>,
    yield_again_at: Option<Moment>,
    yield_at: Option<Moment>,
    refresh_at: Option<Moment>,
    active_since: Moment,
    answered_at: Option<Moment>,
    conflict_until: Option<Moment>,
    /// The addresses are here from before, until then ([`Instance::resume`]).
    kept_until: Option<Moment>,
    /// The interval that our master advertised last, where it is not ours.
    other_interval: Option<Duration>,
    /// Why the state was entered.
    reason: String,
    /// It was told that the sync group keeps this instance from taking over.
    held_back: bool,
}

impl Instance {
    /// What it follows.
    pub(crate) fn rules(&self) -> &Arc<Rules> {
        &self.rules
    }

    /// An instance that waits for [`Instance::judge`] to let it go.
    pub fn new(rules: impl Into<Arc<Rules>>) -> Self {
        let rules = rules.into();
        Self {
            effective: rules.base_priority,
            master_interval: rules.advert_interval,
            rules,
            source: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            state: State::Waiting,
            wait: Wait::Nobody {
                since: Moment::ZERO,
            },
            master: None,
            peers: Peers::default(),
            held: false,
            handover: None,
            master_down_at: None,
            advert_at: None,
            advertised_at: Moment::ZERO,
            preempt_at: None,
            announce_at: None,
            yield_again_at: None,
            yield_at: None,
            refresh_at: None,
            active_since: Moment::ZERO,
            answered_at: None,
            conflict_until: None,
            kept_until: None,
            other_interval: None,
            reason: String::new(),
            held_back: false,
        }
    }

    /// Our address in advertisements: it decides between equal priorities.
    pub fn set_source(&mut self, source: IpAddr) {
        self.source = source;
    }

    /// The state in keepalived's words.
    pub fn shown(&self) -> VrrpState {
        match self.state {
            State::Waiting => VrrpState::Init,
            State::Fault => VrrpState::Fault,
            State::Backup => VrrpState::Backup,
            State::Active => VrrpState::Master,
        }
    }

    /// Whether the addresses are ours now.
    pub fn is_active(&self) -> bool {
        self.state == State::Active
    }

    /// Whether an operator gave the addresses away.
    pub fn is_held(&self) -> bool {
        self.held
    }

    /// Whether another master was heard within its own interval.
    pub fn in_conflict(&self, now: Moment) -> bool {
        self.conflict_until.is_some_and(|until| now < until)
    }

    /// The priority in use.
    pub fn effective_priority(&self) -> u8 {
        self.effective
    }

    /// The router that we hold for the master, when it is not us.
    pub fn master(&self) -> Option<&Peer> {
        self.peers.find(self.master?)
    }

    /// All routers heard, most recent first.
    pub fn peers(&self) -> &Peers {
        &self.peers
    }

    /// When [`Instance::elapsed`] wants to be called next.
    pub fn deadline(&self) -> Option<Moment> {
        let timers = [
            self.master_down_at,
            self.advert_at,
            self.announce_at,
            self.yield_again_at,
            self.yield_at,
            self.refresh_at,
            self.handover.as_ref().map(|handover| handover.until),
            self.conflict_until,
        ];
        timers.into_iter().flatten().min()
    }

    /// Whether what waits in the sockets must be heard before [`Instance::elapsed`] counts: a silence is none while
    /// advertisements wait, and a master that did not run for so long that others may have followed it asks first.
    pub fn must_hear_first(&self, now: Moment) -> bool {
        let overdue = OVERDUE.min(self.master_interval * 3);
        self.master_down_at.is_some_and(|at| at <= now)
            || self.deadline().is_some_and(|at| at + overdue < now)
    }

    /// Version 2: (256 - priority) / 256 seconds (RFC 3768 6.1); version 3: that share of the master's interval
    /// (RFC 5798 6.1).
    fn skew(&self) -> Duration {
        let whole = match self.rules.version {
            Version::V2 => Duration::from_secs(1),
            Version::V3 => self.master_interval,
        };
        whole * u32::from(256 - u16::from(self.effective)) / 256
    }

    fn master_down_interval(&self) -> Duration {
        self.master_interval * self.rules.down_timer_adverts + self.skew()
    }

    /// Takes over the interval that our master advertises (RFC 5798 6.4.2); in version 2 it is our own.
    fn learn(&mut self, interval: Duration) {
        self.master_interval = match self.rules.version {
            Version::V2 => self.rules.advert_interval,
            Version::V3 => interval,
        };
    }

    /// Takes what tracking found: whether the instance may run, and with which priority. `cause` says what changed.
    pub fn judge(
        &mut self,
        now: Moment,
        standing: &Standing,
        effective: u8,
        cause: &str,
    ) -> Vec<Action> {
        self.effective = effective;
        let mut actions = Vec::new();
        match (standing, self.state) {
            (Standing::Well, State::Waiting | State::Fault) => self.leave(now, cause, &mut actions),
            (Standing::Fault(reason), State::Waiting | State::Backup | State::Active) => {
                self.resign(State::Fault, reason, &mut actions);
            }
            (Standing::Waiting(_), _)
            | (Standing::Well, _)
            | (Standing::Fault(_), State::Fault) => {}
        }
        actions
    }

    /// The interval that the master-down timer counts with: our own, or in version 3 that of our master.
    pub fn master_interval(&self) -> Duration {
        self.master_interval
    }

    /// RFC 3768 6.4.1: the owner speaks at once, all others listen first. As in keepalived an owner that is configured
    /// as BACKUP listens, too.
    fn leave(&mut self, now: Moment, cause: &str, actions: &mut Vec<Action>) {
        if self.resumes(now, actions) {
            return;
        }
        if self.rules.base_priority == OWNER && self.rules.starts_active {
            self.enter_active(
                now,
                &format!("{cause}; priority 255 owns the addresses"),
                actions,
            );
            return;
        }
        self.enter_backup(now, Wait::Nobody { since: now }, cause, actions);
    }

    /// Takes a valid advertisement of another router. `interval` is the one that it advertises.
    pub fn heard(
        &mut self,
        now: Moment,
        from: IpAddr,
        priority: u8,
        interval: Duration,
    ) -> Vec<Action> {
        self.peers.note(now, from, priority);
        let mut actions = Vec::new();
        self.lapse(now, &mut actions);
        match self.state {
            State::Waiting | State::Fault => self.master = (priority != RESIGN).then_some(from),
            State::Backup => {
                self.heard_in_backup(now, from, priority, interval);
                self.compare_interval(from, interval, &mut actions);
            }
            State::Active => self.heard_in_active(now, from, priority, interval, &mut actions),
        }
        actions
    }

    fn heard_in_backup(&mut self, now: Moment, from: IpAddr, priority: u8, interval: Duration) {
        if priority == RESIGN && self.master.is_some_and(|master| master != from) {
            // Our master is another one: who yields to it has nothing to hand over.
            return;
        }
        if priority == RESIGN {
            // RFC 3768 6.4.2: wait the skew time, and never longer than we would have waited anyway.
            let soon = now + self.skew();
            self.master_down_at = Some(self.master_down_at.map_or(soon, |at| at.min(soon)));
            self.wait = Wait::Resigned { from, since: now };
            self.master = None;
            return;
        }
        self.master = Some(from);
        let yields = self.rules.nopreempt || self.held;
        if priority >= self.effective {
            self.preempt_at = None;
        } else if !yields {
            // As keepalived: the delay counts from the first sight of a master that we outrank.
            self.preempt_at
                .get_or_insert(now + self.rules.preempt_delay);
        }
        let obeyed =
            priority >= self.effective || yields || self.preempt_at.is_some_and(|at| now < at);
        if obeyed {
            self.wait = Wait::Silence { from, since: now };
            self.learn(interval);
            self.master_down_at = Some(now + self.master_down_interval());
        } else {
            // RFC 3768 6.4.2: discarded; the timer runs out although somebody speaks.
            self.wait = Wait::Preempt { from, priority };
        }
    }

    fn heard_in_active(
        &mut self,
        now: Moment,
        from: IpAddr,
        priority: u8,
        interval: Duration,
        actions: &mut Vec<Action>,
    ) {
        if let Some(handover) = self.handover.as_deref().copied() {
            return self.heard_in_handover(now, (from, priority, interval), handover, actions);
        }
        let outranked =
            priority > self.effective || (priority == self.effective && from > self.source);
        if outranked {
            let reason = if priority > self.effective {
                format!(
                    "advertisement from {from} with higher priority {priority} > {}",
                    self.effective
                )
            } else {
                format!(
                    "advertisement from {from} with equal priority {priority} and a higher address"
                )
            };
            self.master = Some(from);
            self.learn(interval);
            self.enter_backup(now, Wait::Silence { from, since: now }, &reason, actions);
            // The last word of who yields: it makes the other announce its addresses now that ours are gone.
            // Without it a healed network keeps the clients here until their ARP caches age.
            if self.rules.last_word {
                actions.push(Action::Advertise(self.effective));
            }
            return;
        }
        // Whoever loses hands over with one advertisement; only later ones are a second master.
        let handing_over = now < self.active_since + self.rules.advert_interval;
        if priority != RESIGN && !handing_over {
            if !self.in_conflict(now) {
                actions.push(Action::Tell {
                    severity: EventSeverity::Warning,
                    change: "another master was heard".to_owned(),
                    reason: format!(
                        "advertisement from {from} with lower claim (priority {priority}, ours {}); \
                         it is told to yield, and the addresses are announced again",
                        self.effective
                    ),
                });
            }
            let within = interval.max(self.rules.advert_interval);
            self.conflict_until = Some(now + within * 3 / 2);
        }
        // It may have been the last word of who yields: whether or not it is answered, the addresses are announced after it.
        let answer_at = self.answered_at.map_or(now, |at| at + ANSWER_SPACING);
        self.yield_at.get_or_insert(answer_at.max(now + YIELD_TIME));
        let again = self.rules.announce_lower_again;
        if !again.is_zero() {
            // The second round of a takeover that is not long ago would only double this one's.
            self.announce_at = None;
            self.yield_again_at = Some(now + again.max(YIELD_TIME));
        }
        if now < answer_at {
            if priority == RESIGN {
                self.answer_soon(now);
            }
            return;
        }
        self.answered_at = Some(now);
        // RFC 5798 6.4.3: priority 0 is always answered; RFC 5798 would discard a lower one, keepalived answers it.
        if self.rules.answers_lower || priority == RESIGN {
            actions.push(Action::Advertise(self.effective));
            self.advertised_at = now;
            self.advert_at = Some(now + self.rules.advert_interval);
        }
    }

    /// Answers priority 0 although an answer has just left: a backup that heard it takes over after its skew time, unless
    /// it hears us before. Not more often than four times as often as we advertise anyway.
    fn answer_soon(&mut self, now: Moment) {
        let spacing = ANSWER_SPACING.min(self.rules.advert_interval / 4);
        let soon = self.answered_at.map_or(now, |at| at + spacing).max(now);
        if self.advert_at.is_some_and(|at| at > soon) {
            self.advert_at = Some(soon);
            self.answered_at = Some(soon);
        }
    }

    /// Runs every timer that is due.
    pub fn elapsed(&mut self, now: Moment) -> Vec<Action> {
        let mut actions = Vec::new();
        let due = |timer: &mut Option<Moment>| timer.take_if(|at| *at <= now).is_some();
        self.lapse(now, &mut actions);
        if let Some(at) = self.advert_at.filter(|at| *at <= now) {
            actions.push(Action::Advertise(self.effective));
            self.advertised_at = now;
            // Counted from when it was due, so that lateness does not add up; but nothing is made good in a burst.
            self.advert_at = Some((at + self.rules.advert_interval).max(now));
        }
        if due(&mut self.yield_at) | due(&mut self.yield_again_at) {
            actions.push(Action::Announce(Burst::LowerPriority));
        }
        if due(&mut self.announce_at) {
            actions.push(Action::Announce(Burst::Full));
        }
        if due(&mut self.refresh_at) {
            actions.push(Action::Announce(Burst::Refresh));
            self.refresh_at = Some(now + self.rules.announce_refresh);
        }
        if due(&mut self.conflict_until) {
            actions.push(Action::Tell {
                severity: EventSeverity::Notice,
                change: "the other master has yielded".to_owned(),
                reason: "no advertisement of another master for one and a half intervals"
                    .to_owned(),
            });
        }
        if let Some(handover) = self
            .handover
            .as_deref()
            .copied()
            .filter(|handover| handover.until <= now)
        {
            self.handover_over(now, handover, &mut actions);
        }
        if due(&mut self.master_down_at) {
            let reason = self.silence(now);
            self.enter_active(now, &reason, &mut actions);
        }
        actions
    }

    /// What made the master-down timer run out.
    fn silence(&self, now: Moment) -> String {
        let seconds = |since: Moment| format!("{:.2} s", now.saturating_sub(since).as_secs_f64());
        match self.wait {
            Wait::Nobody { since } => {
                format!("no advertisement from anybody for {}", seconds(since))
            }
            Wait::Silence { from, since } => {
                format!("no advertisement from {from} for {}", seconds(since))
            }
            Wait::Resigned { from, since } => {
                format!(
                    "{from} resigned (priority 0) and nobody else spoke for {}",
                    seconds(since)
                )
            }
            Wait::Preempt { from, priority } => {
                format!(
                    "the master {from} has lower priority {priority} < {}",
                    self.effective
                )
            }
        }
    }

    /// Gives everything up, for good.
    pub fn stop(&mut self, reason: &str) -> Vec<Action> {
        let mut actions = Vec::new();
        self.resign(State::Waiting, reason, &mut actions);
        actions
    }

    /// Leaves Backup or Active for a state without timers.
    fn resign(&mut self, to: State, reason: &str, actions: &mut Vec<Action>) {
        let from = self.shown();
        if self.state == State::Active || self.kept_until.take().is_some() {
            // RFC 3768 6.4.3: on shutdown say priority 0.
            actions.push(Action::Advertise(RESIGN));
            actions.push(Action::RemoveAddresses);
        }
        self.forget_timers();
        self.master_interval = self.rules.advert_interval;
        if self.handover.take().is_some() {
            actions.push(Action::FailoverEnded(Err(format!("interrupted: {reason}"))));
        }
        self.master = None;
        self.state = to;
        self.entered(from, reason, actions);
    }

    fn enter_backup(&mut self, now: Moment, wait: Wait, reason: &str, actions: &mut Vec<Action>) {
        let from = self.shown();
        if self.state == State::Active {
            actions.push(Action::RemoveAddresses);
        }
        self.forget_timers();
        self.state = State::Backup;
        self.wait = wait;
        self.master_down_at = Some(now + self.master_down_interval());
        self.entered(from, reason, actions);
    }

    fn enter_active(&mut self, now: Moment, reason: &str, actions: &mut Vec<Action>) {
        let from = self.shown();
        self.forget_timers();
        self.state = State::Active;
        self.master_interval = self.rules.advert_interval;
        self.master = None;
        self.active_since = now;
        self.advertised_at = now;
        self.advert_at = Some(now + self.rules.advert_interval);
        let again = self.rules.announce_again;
        self.announce_at = (!again.is_zero()).then(|| now + again);
        if !self.rules.announce_refresh.is_zero() {
            self.refresh_at = Some(now + self.rules.announce_refresh);
        }
        // RFC 3768 6.4.2: advertise first, so that the old master yields before the addresses move.
        actions.push(Action::Advertise(self.effective));
        actions.push(Action::AddAddresses);
        actions.push(Action::Announce(Burst::Full));
        self.entered(from, reason, actions);
        if std::mem::take(&mut self.held) {
            actions.push(Action::Tell {
                severity: EventSeverity::Notice,
                change: "failover ended".to_owned(),
                reason: "this node is master again".to_owned(),
            });
        }
    }

    fn forget_timers(&mut self) {
        self.master_down_at = None;
        self.advert_at = None;
        self.preempt_at = None;
        self.announce_at = None;
        self.yield_again_at = None;
        self.yield_at = None;
        self.refresh_at = None;
        self.answered_at = None;
        self.conflict_until = None;
        self.held_back = false;
    }

    /// Says that the state changed, and keeps why.
    fn entered(&mut self, from: VrrpState, reason: &str, actions: &mut Vec<Action>) {
        self.reason = reason.to_owned();
        if from == self.shown() {
            return;
        }
        actions.push(Action::Enter {
            from,
            to: self.shown(),
            reason: reason.to_owned(),
        });
    }
}
