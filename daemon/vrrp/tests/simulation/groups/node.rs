//! A node whose virtual routers are one sync group, with the driver's rules around them.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;

use tandem_vrrp::core::group::{Group, failover};
use tandem_vrrp::core::tracking::Standing;
use tandem_vrrp::core::{Action, Instance, Rules};

use crate::network::Packet;
use crate::node::{Clock, Life};

/// Packets that wait for a node that does not run; the kernel drops further ones.
const INBOX_PACKETS: usize = 1_500;

/// What a member's core decided.
pub(super) type Decided = Vec<(usize, Action)>;

/// A virtual router of a node.
pub(super) struct Member {
    /// Its address on its link.
    pub(super) address: IpAddr,
    /// Its definition.
    pub(super) rules: Rules,
    /// The state machine.
    pub(super) core: Instance,
    /// What it tracks itself.
    pub(super) own: Standing,
    /// What its tracked items add to its priority.
    pub(super) weight: i32,
}

impl Member {
    /// One that has not started.
    pub(super) fn new(address: IpAddr, rules: Rules) -> Self {
        Self {
            address,
            core: Instance::new(rules.clone()),
            rules,
            own: Standing::Well,
            weight: 0,
        }
    }

    /// The priority that it would advertise.
    pub(super) fn priority(&self) -> u8 {
        if self.rules.base_priority == u8::MAX {
            return u8::MAX;
        }
        let sum = i32::from(self.rules.base_priority) + self.weight;
        u8::try_from(sum.clamp(1, 254)).unwrap_or(1)
    }
}

/// A node.
pub(super) struct Node {
    /// Its virtual routers, one on each link.
    pub(super) members: Vec<Member>,
    /// What binds them.
    pub(super) group: Group,
    /// Its clock.
    pub(super) clock: Clock,
    /// How late it runs after what woke it, at most.
    pub(super) latency: Duration,
    /// Whether it runs.
    pub(super) life: Life,
    /// When it runs next.
    pub(super) turn_at: Option<Duration>,
    inbox: VecDeque<(usize, Packet)>,
}

fn group(members: usize) -> Group {
    Group::new("G", (1..=members).map(|at| format!("VI_{at}")).collect())
}

impl Node {
    /// A node that is down.
    pub(super) fn new(members: Vec<Member>, clock: Clock, latency: Duration) -> Self {
        Self {
            group: group(members.len()),
            members,
            clock,
            latency,
            life: Life::Down,
            turn_at: None,
            inbox: VecDeque::new(),
        }
    }

    /// Whether it can be master: it runs, and nothing that it tracks is wrong.
    pub(super) fn is_able(&self) -> bool {
        let is_well = |member: &Member| member.own == Standing::Well;
        self.life == Life::Up && self.members.iter().all(is_well)
    }

    /// Whether all its virtual routers are master.
    pub(super) fn is_active(&self) -> bool {
        self.members.iter().all(|member| member.core.is_active())
    }

    /// Whether one of them leaves a master alone that it outranks.
    pub(super) fn yields(&self) -> bool {
        let yields = |member: &Member| member.rules.nopreempt || member.core.is_held();
        self.members.iter().any(yields)
    }

    /// Whether it outranks another one everywhere.
    pub(super) fn outranks(&self, other: &Self) -> bool {
        let mut pairs = self.members.iter().zip(&other.members);
        pairs.all(|(own, theirs)| own.priority() > theirs.priority())
    }

    fn forget(&mut self) {
        for member in &mut self.members {
            member.core = Instance::new(member.rules.clone());
            member.core.set_source(member.address);
        }
        self.group = group(self.members.len());
        self.inbox.clear();
    }

    /// Starts it anew.
    pub(super) fn start(&mut self, now: Duration) -> Decided {
        self.life = Life::Up;
        self.forget();
        self.judge(now, "started")
    }

    /// Ends it without a word.
    pub(super) fn crash(&mut self) {
        self.life = Life::Down;
        self.forget();
        self.turn_at = None;
    }

    /// Ends it in order.
    pub(super) fn stop(&mut self) -> Decided {
        let stop = |(at, member): (usize, &mut Member)| labeled(at, member.core.stop("simulated"));
        self.members.iter_mut().enumerate().flat_map(stop).collect()
    }

    /// Tells the cores what tracking says.
    pub(super) fn judge(&mut self, now: Duration, cause: &str) -> Decided {
        let own: Vec<_> = self.members.iter().map(|one| one.own.clone()).collect();
        let moment = self.clock.shows(now);
        let mut decided = Vec::new();
        for (at, member) in self.members.iter_mut().enumerate() {
            let standing = self.group.standing(&own, at);
            let priority = member.priority();
            let actions = member.core.judge(moment, &standing, priority, cause);
            decided.extend(labeled(at, actions));
        }
        self.settle(now, &mut decided);
        decided
    }

    fn settle(&mut self, now: Duration, decided: &mut Decided) {
        let now = self.clock.shows(now);
        let mut cores: Vec<_> = self.members.iter_mut().map(|one| &mut one.core).collect();
        for (at, actions) in self.group.settle(now, &mut cores).actions {
            decided.extend(labeled(at, actions));
        }
    }

    /// A packet reaches it on a link; it runs a little later.
    pub(super) fn receive(&mut self, link: usize, packet: Packet, at: Duration) {
        if self.life == Life::Down || self.inbox.len() == INBOX_PACKETS {
            return;
        }
        self.inbox.push_back((link, packet));
        self.run_at(at);
    }

    /// Sees that it runs at this time at the latest.
    pub(super) fn run_at(&mut self, at: Duration) {
        if self.life == Life::Up {
            self.turn_at = Some(self.turn_at.map_or(at, |planned| planned.min(at)));
        }
    }

    /// One turn of the driver's loop: timers come first, but a silence counts only after what waits was heard.
    pub(super) fn turn(&mut self, now: Duration) -> Decided {
        self.turn_at = None;
        if self.life != Life::Up {
            return Vec::new();
        }
        let mut decided = Vec::new();
        let moment = self.clock.shows(now);
        let mut has_heard = false;
        for at in 0..self.members.len() {
            let core = &self.members[at].core;
            if core.deadline().is_none_or(|due| due > moment) {
                continue;
            }
            if !has_heard && core.must_hear_first(moment) {
                has_heard = true;
                self.hear(now, &mut decided);
            }
            if (self.members[at].core.deadline()).is_none_or(|due| due > moment) {
                continue;
            }
            let mut cores: Vec<_> = self.members.iter_mut().map(|one| &mut one.core).collect();
            let told = self.group.hold_back(moment, at, &mut cores);
            decided.extend(labeled(at, told));
            let actions = self.members[at].core.elapsed(moment);
            decided.extend(labeled(at, actions));
            self.settle(now, &mut decided);
        }
        self.hear(now, &mut decided);
        decided
    }

    fn hear(&mut self, now: Duration, decided: &mut Decided) {
        let moment = self.clock.shows(now);
        while let Some((at, packet)) = self.inbox.pop_front() {
            let core = &mut self.members[at].core;
            let actions = core.heard(moment, packet.from, packet.priority, packet.interval);
            decided.extend(labeled(at, actions));
            self.settle(now, decided);
        }
    }

    /// Plans the next turn by the cores' timers; `late` is how late it will be.
    pub(super) fn plan(&mut self, now: Duration, late: Duration) {
        let deadlines = self.members.iter();
        let deadlines = deadlines.filter_map(|member| member.core.deadline());
        if let Some(deadline) = deadlines.min() {
            let at = self.clock.when(deadline).max(now) + late;
            self.run_at(at);
        }
    }

    /// An operator gives the addresses away.
    pub(super) fn failover(&mut self, now: Duration, force: bool) -> Result<Decided, String> {
        let moment = self.clock.shows(now);
        let mut cores: Vec<_> = self.members.iter_mut().map(|one| &mut one.core).collect();
        let batch = failover(moment, force, &mut cores)?;
        let labels = batch.into_iter().enumerate();
        let mut decided = labels
            .flat_map(|(at, actions)| labeled(at, actions))
            .collect();
        self.settle(now, &mut decided);
        Ok(decided)
    }

    /// An operator takes them back.
    pub(super) fn failback(&mut self, now: Duration) -> Result<Decided, String> {
        let moment = self.clock.shows(now);
        let (_, actions) = self.members[0].core.failback(moment)?;
        let mut decided = labeled(0, actions).collect();
        self.settle(now, &mut decided);
        Ok(decided)
    }
}

fn labeled(at: usize, actions: Vec<Action>) -> impl Iterator<Item = (usize, Action)> {
    actions.into_iter().map(move |action| (at, action))
}
