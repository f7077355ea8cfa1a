//! Sync groups (`vrrp_sync_group`): virtual routers that are master together or not at all.
//!
//! The members stay state machines of their own; a [`Group`] only says when one must follow another:
//!
//! - one is in FAULT: all are ([`Standing`]s are merged before the members are judged);
//! - one becomes master: the others take over at once ([`Group::settle`]);
//! - one stops being master: the others resign, with priority 0, and are backups ([`Group::settle`]);
//! - one that hears nobody any more does not become master while another member hears a master that it obeys, or has not
//!   listened for long enough to hear one ([`Group::hold_back`]): one broken network of several is no reason to move, and moving would tear the others apart;
//! - where links elect different nodes, the first member that hears another router decides (`contradiction`).
//!
//! All but the last two are what keepalived does. It says no priority 0 when a group falls back, and a held back member
//! waits for the other one's whole master-down time, where two of its intervals are enough here: while the master lives
//! it speaks once in each.

mod contradiction;
#[cfg(test)]
mod tests;

use protocol::EventSeverity;
use protocol::vrrp::VrrpState;

use contradiction::{Decided, Outranked};

use super::tracking::Standing;
use super::{Action, Instance, Moment, RESIGN, State, Wait};

/// Intervals within which a master that lives is heard, one of which may be lost.
const FRESH_INTERVALS: u32 = 2;

/// A virtual router as all nodes know it: its `virtual_router_id`, and whether it is one of IPv6.
pub type Rank = (u8, bool);

/// A change of a group's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entered {
    /// From.
    pub from: VrrpState,
    /// To.
    pub to: VrrpState,
    /// Why: the member and its reason.
    pub reason: String,
}

/// What follows from what members did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Followed {
    /// By position among the members.
    pub actions: Vec<(usize, Vec<Action>)>,
    /// Whether the group as a whole changed.
    pub entered: Option<Entered>,
}

/// A sync group.
#[derive(Debug)]
pub struct Group {
    name: String,
    /// Names of the members, in the order in which they are given everywhere here.
    members: Vec<String>,
    /// What tells members apart on every node, in whatever order its file has them.
    ranks: Vec<Rank>,
    /// All are master, or were until one stopped being it.
    active: bool,
    shown: VrrpState,
    /// It gave way lately, and does not know yet to whom.
    outranked: Option<Outranked>,
    /// The election that made it what it is, if its links elected different nodes.
    decided: Option<Decided>,
}

impl Group {
    /// A group of these members.
    pub fn new(name: impl Into<String>, members: Vec<String>) -> Self {
        Self {
            name: name.into(),
            members,
            ranks: Vec::new(),
            active: false,
            shown: VrrpState::Init,
            outranked: None,
            decided: None,
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its state.
    pub fn shown(&self) -> VrrpState {
        self.shown
    }

    /// Says which member comes before which: all nodes must agree on it. Without it their order counts.
    pub fn ranked(mut self, ranks: Vec<Rank>) -> Self {
        self.ranks = ranks;
        self
    }

    /// Takes other members; what it was is not told again. A master among them takes the new ones along.
    pub fn follow(&mut self, members: Vec<String>) {
        self.members = members;
        self.active = false;
        self.outranked = None;
        self.decided = None;
    }

    /// Which member decided who is master, and why, if the links elected different nodes; else empty.
    pub fn decided(&self) -> &str {
        self.decided.as_ref().map_or("", |decided| &decided.reason)
    }

    fn member(&self, at: usize) -> &str {
        self.members.get(at).map_or("?", String::as_str)
    }

    /// The standing of the member at `at`: its own if it is in FAULT itself, else as bad as the worst of all. `own` has one
    /// for each member.
    pub fn standing(&self, own: &[Standing], at: usize) -> Standing {
        if let Some(Standing::Fault(reason)) = own.get(at) {
            return Standing::Fault(reason.clone());
        }
        let worst = |wanted: fn(&Standing) -> bool| own.iter().position(wanted);
        let fault = worst(|one| matches!(one, Standing::Fault(_)));
        let waiting = worst(|one| matches!(one, Standing::Waiting(_)));
        let because = |at: usize, reason: &str| {
            format!("sync group {}: {}: {reason}", self.name, self.member(at))
        };
        match fault.or(waiting).map(|at| (at, &own[at])) {
            Some((at, Standing::Fault(reason))) => Standing::Fault(because(at, reason)),
            Some((at, Standing::Waiting(reason))) => Standing::Waiting(because(at, reason)),
            Some((_, Standing::Well)) | None => Standing::Well,
        }
    }

    /// Lets the others follow a member that became master or stopped being it. To be called after every call of a
    /// member's state machine, when all members have been judged.
    pub fn settle(&mut self, now: Moment, members: &mut [&mut Instance]) -> Followed {
        let mut followed = Followed::default();
        let mut because = String::new();
        let rising = members.iter().position(|member| member.is_active());
        let falling = members.iter().position(|member| !member.is_active());
        if let (false, Some(first)) = (self.active, rising) {
            self.active = true;
            self.outranked = None;
            self.decided.take_if(|decided| !decided.ours);
            because = self.because(first, members[first]);
            let reason = format!("{because} became master");
            for (at, member) in members.iter_mut().enumerate() {
                if member.state == State::Backup {
                    followed
                        .actions
                        .push((at, member.take_over(now, &self.reason(&reason))));
                }
            }
        } else if let (true, Some(first)) = (self.active, falling) {
            self.active = false;
            self.decided = None;
            because = self.because(first, members[first]);
            let reason = format!("{because} is no longer master");
            let held = members[first].is_held();
            self.outranked = Outranked::note(now, members[first]);
            for (at, member) in members.iter_mut().enumerate() {
                if member.is_active() {
                    let actions = member.give_way(now, held, &self.reason(&reason));
                    followed.actions.push((at, actions));
                }
            }
        }
        self.call_off(now, members, &mut followed);
        let to = state_of(members);
        if to != self.shown {
            let from = std::mem::replace(&mut self.shown, to);
            if matches!(to, VrrpState::Fault | VrrpState::Init) {
                self.decided = None;
            }
            let first = members.iter().position(|member| member.shown() == to);
            if let (true, Some(first)) = (because.is_empty(), first) {
                because = self.because(first, members[first]);
            }
            followed.entered = Some(Entered {
                from,
                to,
                reason: because,
            });
        }
        followed
    }

    /// A failover is one of all members: where one was refused, the others do not go on with theirs.
    fn call_off(&self, now: Moment, members: &mut [&mut Instance], followed: &mut Followed) {
        let is_staying = |member: &&mut Instance| member.is_active() && !member.is_handing_over();
        let Some(staying) = members.iter().position(is_staying) else {
            return;
        };
        let reason = self.reason(&format!("the failover of {} ended", self.member(staying)));
        for (at, member) in members.iter_mut().enumerate() {
            let actions = member.call_off(now, &reason);
            if !actions.is_empty() {
                followed.actions.push((at, actions));
            }
        }
    }

    /// The member, and why it is what it is.
    fn because(&self, at: usize, member: &Instance) -> String {
        // A reason that is the group's own already is not told inside itself.
        let prefix = format!("sync group {}: ", self.name);
        match member.reason.strip_prefix(&prefix) {
            Some(reason) => reason.to_owned(),
            None => format!("{} ({})", self.member(at), member.reason),
        }
    }

    fn reason(&self, reason: &str) -> String {
        format!("sync group {}: {reason}", self.name)
    }

    /// Before [`Instance::elapsed`] of the member at `at`: keeps it a backup although its master fell silent, while
    /// another member still hears the master that it obeys. A master that resigned has gone, with its whole group: where a
    /// link of its is down, its last word reaches the other members alone.
    pub fn hold_back(
        &mut self,
        now: Moment,
        at: usize,
        members: &mut [&mut Instance],
    ) -> Vec<Action> {
        let is_due = |member: &&&mut Instance| member.master_down_at.is_some_and(|due| due <= now);
        let Some(member) = members.get(at).filter(is_due) else {
            return Vec::new();
        };
        let has_resigned = matches!(member.wait, Wait::Resigned { .. });
        if let Some(told) = self.let_first(now, at, members) {
            return told;
        }
        if has_resigned {
            return Vec::new();
        }
        let others = members.iter().enumerate().filter(|(other, _)| *other != at);
        let until = others
            .filter_map(|(other, member)| Some((member.obeys_until()?, other)))
            .filter(|(until, _)| *until > now)
            .max();
        let Some((until, other)) = until else {
            return Vec::new();
        };
        let because = match members[other].wait {
            Wait::Silence { from, .. } => format!(
                "but {} of sync group {} still hears {from}: is the network of {} broken?",
                self.member(other),
                self.name,
                self.member(at)
            ),
            _ => format!(
                "but {} of sync group {} has not listened for two intervals yet",
                self.member(other),
                self.name
            ),
        };
        let reason = format!("its master fell silent, {because}");
        let member = &mut members[at];
        member.master_down_at = Some(until);
        if std::mem::replace(&mut member.held_back, true) {
            return Vec::new();
        }
        vec![Action::Tell {
            severity: EventSeverity::Warning,
            change: "stays backup with its sync group".to_owned(),
            reason,
        }]
    }
}

/// `vrrp failover` of a group: all members resign and hand over; nothing happens unless all can.
pub fn failover(
    now: Moment,
    force: bool,
    members: &mut [&mut Instance],
) -> Result<Vec<Vec<Action>>, String> {
    let is_ready = |member: &Instance| member.is_active() && !member.is_handing_over();
    match members.iter().position(|member| !is_ready(member)) {
        // It says why it cannot.
        Some(at) => members[at]
            .failover(now, force)
            .map(|actions| vec![actions]),
        None => members
            .iter_mut()
            .map(|member| member.failover(now, force))
            .collect(),
    }
}

/// A group is what all its members are, and otherwise the least of it.
fn state_of(members: &[&mut Instance]) -> VrrpState {
    let any = |state| members.iter().any(|member| member.shown() == state);
    [VrrpState::Fault, VrrpState::Init, VrrpState::Backup]
        .into_iter()
        .find(|state| any(*state))
        .unwrap_or(VrrpState::Master)
}

impl Instance {
    /// Until when the master that a backup obeys counts as alive, or may be there unheard.
    fn obeys_until(&self) -> Option<Moment> {
        match (self.state, self.wait) {
            (State::Backup, Wait::Silence { since, .. } | Wait::Nobody { since }) => {
                Some(since + self.master_interval * FRESH_INTERVALS)
            }
            _ => None,
        }
    }

    /// Becomes master because its sync group does.
    fn take_over(&mut self, now: Moment, reason: &str) -> Vec<Action> {
        let mut actions = Vec::new();
        self.enter_active(now, reason, &mut actions);
        actions
    }

    /// Becomes a backup because its sync group does: priority 0 lets whoever comes next come soon. `held` is whether an
    /// operator gave the addresses away.
    fn give_way(&mut self, now: Moment, held: bool, reason: &str) -> Vec<Action> {
        let mut actions = vec![Action::Advertise(RESIGN)];
        if self.handover.take().is_some() {
            // The member that was first says how the failover ended.
            actions.push(Action::FailoverEnded(Ok("with its sync group".to_owned())));
        }
        self.enter_backup(now, Wait::Nobody { since: now }, reason, &mut actions);
        self.held = held;
        actions
    }
}
