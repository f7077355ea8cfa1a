//! Links that elect different nodes: on one this node wins, on another one the other node does, by their priorities or,
//! where these are equal, by their addresses.
//!
//! Nodes that take over at the same moment then both give all up, come back after the same skew time, and would do so
//! for as long as chance wills. So one link decides: that of the member with the lowest virtual router id among those that
//! hear another router. Who loses there comes back [`EXTRA_INTERVALS`] later, and then hears the one that wins. Who wins
//! there cannot lose it to anybody: the order of priorities and addresses on one link is a whole one.
//!
//! keepalived needs no such word: it says no priority 0 when its group falls back, and hears ours, so it is back first.

use protocol::EventSeverity;

use super::Group;
use crate::core::{Action, Instance, Moment, Peer, State, Wait};

/// Intervals that who loses on the link that decides comes back later. The other one's skew time may be an interval
/// longer than ours, and an interval that it has learnt twice ours.
const EXTRA_INTERVALS: u32 = 2;
/// Master-down times after giving way within which that matters.
const RECENT: u32 = 2;

/// A group gave way because a member was outranked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outranked {
    /// When.
    at: Moment,
    /// The members wait until then for the one that wins.
    until: Option<Moment>,
}

/// What one link decided for the whole group.
#[derive(Clone, Debug)]
pub(super) struct Decided {
    /// In words.
    pub(super) reason: String,
    /// For this node.
    pub(super) ours: bool,
}

impl Outranked {
    /// Why the first of its members is no master any more, if it was outranked.
    pub(super) fn note(now: Moment, instance: &Instance) -> Option<Self> {
        let was_outranked =
            instance.state == State::Backup && matches!(instance.wait, Wait::Silence { .. });
        (was_outranked && !instance.held).then_some(Self {
            at: now,
            until: None,
        })
    }
}

impl Instance {
    /// Whether a router speaks as master on this link since we did, or began to just before.
    fn met(&self, peer: &Peer) -> bool {
        let just_before =
            peer.priority != 0 && peer.heard_at + self.skew() / 2 >= self.active_since;
        peer.claim != 0 && (peer.heard_at >= self.active_since || just_before)
    }

    /// Whether it wins against us.
    fn loses_to(&self, peer: &Peer) -> bool {
        (peer.claim, peer.address) > (self.effective, self.source)
    }
}

impl Group {
    /// Keeps a member that is due a backup for a while longer, if the group gave way lately, its links contradict each
    /// other, and it loses on the one that decides. `None`: nothing keeps it.
    pub(super) fn let_first(
        &mut self,
        now: Moment,
        at: usize,
        members: &mut [&mut Instance],
    ) -> Option<Vec<Action>> {
        let outranked = self.outranked?;
        if let Some(until) = outranked.until {
            members[at].master_down_at = Some(until);
            return (now < until).then(Vec::new);
        }
        let recent = members[at].master_down_interval() * RECENT;
        if now > outranked.at + recent {
            self.outranked = None;
            return None;
        }
        let wins = |member: &&mut Instance| {
            let mut met = member.peers.iter().filter(|peer| member.met(peer));
            met.any(|peer| !member.loses_to(peer))
        };
        let decides = members.iter().enumerate().filter_map(|(at, member)| {
            let met = member.peers.iter().filter(|peer| member.met(peer));
            let best = met.max_by_key(|peer| (peer.claim, peer.address))?;
            Some((at, member, best))
        });
        let (decider, member, best) =
            decides.min_by_key(|(at, ..)| (self.ranks.get(*at).copied(), *at))?;
        let ours = !member.loses_to(best);
        let loses = |member: &&mut Instance| {
            let mut met = member.peers.iter().filter(|peer| member.met(peer));
            met.any(|peer| member.loses_to(peer))
        };
        let is_contradicted = match ours {
            true => members.iter().any(loses),
            false => members.iter().any(wins),
        };
        if !is_contradicted {
            return None;
        }
        let reason = format!(
            "the links of sync group {} elect different nodes: {} decides, where {} has priority {} (ours {}{})",
            self.name,
            self.member(decider),
            best.address,
            best.claim,
            member.effective,
            match (best.claim == member.effective, ours) {
                (true, false) => ", and a lower address",
                (true, true) => ", and a higher address",
                (false, _) => "",
            }
        );
        self.decided = Some(Decided {
            reason: reason.clone(),
            ours,
        });
        if ours {
            return None;
        }
        let interval = members.iter().map(|member| member.master_interval).max()?;
        // Never for longer than a backup waits that heard a master just then.
        let patience = members.iter().map(|member| member.master_down_interval());
        let until = (now + interval * EXTRA_INTERVALS).min(outranked.at + patience.min()?);
        if until <= now {
            return None;
        }
        self.outranked = Some(Outranked {
            until: Some(until),
            ..outranked
        });
        members[at].master_down_at = Some(until);
        Some(vec![Action::Tell {
            severity: EventSeverity::Warning,
            change: "lets the other node take over first".to_owned(),
            reason,
        }])
    }
}
