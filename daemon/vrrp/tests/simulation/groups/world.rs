//! Nodes, the links between them and what is watched, moved from event to event.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use config::keepalived::Version;
use protocol::vrrp::VrrpState;
use tandem_vrrp::core::tracking::Standing;
use tandem_vrrp::core::{Action, Rules};

use super::MAX_LINKS;
use super::node::{Decided, Member, Node};
use crate::invariants::{Limits, Seen, Watch};
use crate::network::{MAX_NODES, Network, Packet};
use crate::node::Life;
use crate::random::Random;
use crate::world::{HIGHEST, Trace, adverts, calm, clock, drifted, reloaded};

/// A link between all nodes.
pub(super) struct Link {
    /// What carries packets.
    pub(super) network: Network,
    /// What is watched.
    pub(super) watch: Watch,
}

/// Routers with the same sync group.
pub(super) struct World {
    /// The true time.
    pub(super) now: Duration,
    /// The routers.
    pub(super) nodes: Vec<Node>,
    /// Between them.
    pub(super) links: Vec<Link>,
    /// Decides whatever is not decided.
    pub(super) random: Random,
    /// Bounds of times, over all links.
    pub(super) limits: Limits,
    /// Of every node.
    pub(super) version: Version,
    trace: Trace,
}

/// The rules of a node's member.
fn rules(
    random: &mut Random,
    version: Version,
    interval: Duration,
    (priority, down_timer_adverts): (u8, u32),
) -> Rules {
    // Version 3 learns the master's interval: there they may differ.
    let differs = version == Version::V3 && random.chance(15);
    let is_owner = priority == u8::MAX;
    let nopreempt = !is_owner && random.chance(12);
    Rules {
        version,
        base_priority: priority,
        starts_active: true,
        advert_interval: if differs { interval * 2 } else { interval },
        nopreempt,
        preempt_delay: match random.chance(20) {
            true => interval * random.pick(&[1, 2, 5]),
            false => Duration::ZERO,
        },
        timer_expired_backup: (nopreempt && random.chance(50)).then_some(HIGHEST),
        down_timer_adverts,
        last_word: true,
        answers_lower: true,
        announce_lower_again: random.pick(&[Duration::ZERO, interval * 5]),
        announce_again: random.pick(&[Duration::ZERO, interval * 5]),
        announce_refresh: random.pick(&[Duration::ZERO, interval * 8]),
    }
}

impl World {
    /// Nodes that their seed decides.
    pub(super) fn new(seed: u64, traced: bool) -> Self {
        let mut random = Random::new(seed);
        let count = random.pick(&[2, 2, 2, 3, 4]);
        let width = random.pick(&[2, 2, MAX_LINKS]);
        let version = random.pick(&[Version::V2, Version::V3]);
        let interval = match version {
            Version::V2 => Duration::from_secs(random.between(1, 2)),
            Version::V3 => Duration::from_millis(random.pick(&[20, 50, 100, 250, 1000])),
        };
        let intervals: Vec<_> = (0..width)
            .map(|_| interval * random.pick(&[1, 1, 1, 2]))
            .collect();
        // Priorities of a node: the same everywhere, or of each member alone, where they may contradict each other's.
        let is_even = random.chance(50);
        let latency = (interval / 10).min(Duration::from_millis(2));
        let down_timer_adverts = adverts(&mut random);
        let mut nodes = Vec::new();
        for at in 0..count {
            let common = random.pick(&[99, 100, 150, 200]);
            let members = (0..width).map(|link| {
                let priority = match is_even {
                    true => common,
                    false if at == 0 && random.chance(10) => u8::MAX,
                    false => random.pick(&[50, 100, 100, 150, 200]),
                };
                let rules = rules(
                    &mut random,
                    version,
                    intervals[link],
                    (priority, down_timer_adverts),
                );
                // The order of addresses is not the order of nodes, nor that on other links.
                let last = u8::try_from(1 + (at * 3 + link) % 5).unwrap_or(1);
                let third = u8::try_from(link).unwrap_or(0);
                Member::new(IpAddr::V4(Ipv4Addr::new(10, 0, third, last)), rules)
            });
            let members = members.collect();
            nodes.push(Node::new(members, clock(&mut random), latency));
        }
        let all = || nodes.iter().flat_map(|node| &node.members);
        let longest = all().map(|one| one.rules.advert_interval).max();
        let longest = longest.unwrap_or(interval);
        let skew = match version {
            Version::V2 => Duration::from_secs(1),
            Version::V3 => longest,
        };
        let delays = all().map(|one| one.rules.preempt_delay).max();
        let calm = calm(interval);
        let limits = Limits {
            intervals: (interval, drifted(longest)),
            down: drifted(longest * down_timer_adverts + skew),
            preempt: drifted(delays.unwrap_or_default()),
            slop: (calm.most_delay + latency) * 2 + Duration::from_millis(1),
        };
        let links = intervals.into_iter().map(|interval| Link {
            network: Network::new(calm),
            watch: Watch::new(Limits {
                intervals: (interval, limits.intervals.1),
                ..limits
            }),
        });
        Self {
            now: Duration::ZERO,
            links: links.collect(),
            nodes,
            random,
            limits,
            version,
            trace: Trace::new(traced),
        }
    }

    /// Notes a line for who looks for the cause of a failure.
    pub(super) fn note(&mut self, line: impl FnOnce() -> String) {
        self.trace.note(self.now, line);
    }

    /// Its members, a line each.
    pub(super) fn described(&self) -> String {
        let mut text = String::new();
        for (at, node) in self.nodes.iter().enumerate() {
            text += &format!("node {at}: {:?} {:?}\n", node.life, node.clock);
            for (link, member) in node.members.iter().enumerate() {
                text += &format!(
                    "  link {link}: {} {:?} {:?} weight {} {:?}\n",
                    member.address,
                    member.core.shown(),
                    member.own,
                    member.weight,
                    member.rules,
                );
            }
        }
        text
    }

    /// All lines kept.
    pub(super) fn trace(self) -> Vec<String> {
        self.trace.lines()
    }

    /// Facts that were checked.
    pub(super) fn checked(&self) -> u64 {
        self.links.iter().map(|link| link.watch.checked).sum()
    }

    /// Lets the world go on until then.
    pub(super) fn run_until(&mut self, end: Duration) -> Result<(), String> {
        loop {
            let turns = self.nodes.iter().filter_map(|node| node.turn_at);
            let arrivals = self.links.iter().filter_map(|link| link.network.next_at());
            let Some(at) = turns.chain(arrivals).min().filter(|at| *at <= end) else {
                break;
            };
            self.now = self.now.max(at);
            for link in 0..self.links.len() {
                while let Some((to, packet)) = self.links[link].network.arrived(self.now) {
                    self.deliver(link, to, packet);
                }
            }
            for node in 0..self.nodes.len() {
                if self.nodes[node].turn_at.is_some_and(|at| at <= self.now) {
                    let decided = self.nodes[node].turn(self.now);
                    self.perform(node, decided)?;
                }
            }
            self.look()?;
        }
        self.now = self.now.max(end);
        self.look()
    }

    /// All members of a node are master or none, and each link is as it must be.
    fn look(&mut self) -> Result<(), String> {
        for (at, node) in self.nodes.iter().enumerate() {
            let mut members = node.members.iter();
            let active = members.clone().filter(|one| one.core.is_active()).count();
            if active != 0 && active != node.members.len() {
                return Err(format!("node {at}: {active} members alone are master"));
            }
            let least = match node.life {
                Life::Down => VrrpState::Init,
                Life::Up | Life::Paused => node.group.shown(),
            };
            if (active != 0) != (least == VrrpState::Master) {
                return Err(format!("node {at}: its group is {least}"));
            }
            let in_fault = members.any(|one| one.core.shown() == VrrpState::Fault);
            if in_fault && least != VrrpState::Fault {
                return Err(format!(
                    "node {at}: a member is in FAULT, the group {least}"
                ));
            }
        }
        for (at, link) in self.links.iter_mut().enumerate() {
            let seen = self.nodes.iter();
            let seen: Vec<_> = seen
                .map(|node| Seen::new(node.life, &node.members[at].core))
                .collect();
            let looked = link.watch.look(self.now, &seen);
            looked.map_err(|what| format!("link {at}: {what}"))?;
        }
        Ok(())
    }

    fn deliver(&mut self, link: usize, to: usize, packet: Packet) {
        let late = self.lateness(to);
        self.nodes[to].receive(link, packet, self.now + late);
        if packet.priority != 0 {
            // Who hears a master on one link leaves it the others.
            for any in &mut self.links {
                any.watch.assured(to, self.now);
            }
        }
        self.note(|| {
            let Packet { from, priority, .. } = packet;
            format!("node {to} is reached on link {link} by {from} priority {priority}")
        });
    }

    fn lateness(&mut self, node: usize) -> Duration {
        let latency = self.nodes[node].latency;
        self.random.time(Duration::ZERO, latency)
    }

    /// Does what the cores of a node decided, and plans its next turn.
    fn perform(&mut self, at: usize, decided: Decided) -> Result<(), String> {
        for (link, action) in decided {
            self.note(|| format!("node {at} link {link}: {action:?}"));
            let did = self.links[link].watch.did(at, self.now, &action);
            did.map_err(|what| format!("link {link}: {what}"))?;
            if let Action::Advertise(priority) = action {
                let member = &self.nodes[at].members[link];
                let packet = Packet {
                    from: member.address,
                    priority,
                    interval: member.rules.advert_interval,
                };
                let (count, network) = (self.nodes.len(), &mut self.links[link].network);
                network.send(&mut self.random, self.now, count, at, packet);
            }
        }
        let late = self.lateness(at);
        self.nodes[at].plan(self.now, late);
        Ok(())
    }

    fn each_watch(&mut self, change: impl Fn(&mut Watch)) {
        self.links
            .iter_mut()
            .for_each(|link| change(&mut link.watch));
    }

    /// From now on nothing disturbs the networks, or again.
    pub(super) fn quiet(&mut self, is_quiet: bool) {
        let since = is_quiet.then_some(self.now);
        self.each_watch(|watch| watch.quiet(since));
    }

    /// Forgets how long there was no master.
    pub(super) fn forget_gap(&mut self) {
        let now = self.now;
        self.each_watch(|watch| watch.forget_gap(now));
    }

    /// Changes of state of each node on each link, to compare.
    pub(super) fn transitions(&self) -> Vec<[u32; MAX_NODES]> {
        let each = self.links.iter();
        each.map(|link| link.watch.transitions()).collect()
    }

    /// Starts a node that is down, or starts it anew.
    pub(super) fn start(&mut self, at: usize) -> Result<(), String> {
        if self.nodes[at].life != Life::Down {
            self.crash(at);
        }
        self.note(|| format!("node {at} starts"));
        let now = self.now;
        self.each_watch(|watch| watch.woke(at, now));
        let decided = self.nodes[at].start(now);
        self.perform(at, decided)
    }

    /// A node dies, and its addresses with it.
    pub(super) fn crash(&mut self, at: usize) {
        if self.nodes[at].life == Life::Down {
            return;
        }
        self.note(|| format!("node {at} dies"));
        let (now, running) = (self.now, self.nodes[at].life == Life::Up);
        self.nodes[at].crash();
        self.each_watch(|watch| match running {
            true => watch.slept(at, now, true),
            false => watch.gone(at),
        });
    }

    /// A node is stopped in order.
    pub(super) fn stop(&mut self, at: usize) -> Result<(), String> {
        if self.nodes[at].life != Life::Up {
            return Ok(());
        }
        self.note(|| format!("node {at} is stopped"));
        let decided = self.nodes[at].stop();
        self.perform(at, decided)?;
        self.crash(at);
        Ok(())
    }

    /// A node does not run any more, and keeps all that it has.
    pub(super) fn pause(&mut self, at: usize) {
        if self.nodes[at].life == Life::Up {
            self.note(|| format!("node {at} is paused"));
            self.nodes[at].life = Life::Paused;
            self.nodes[at].turn_at = None;
            let now = self.now;
            self.each_watch(|watch| watch.slept(at, now, false));
        }
    }

    /// Ends a pause.
    pub(super) fn resume(&mut self, at: usize) -> Result<(), String> {
        if self.nodes[at].life != Life::Paused {
            return Ok(());
        }
        self.note(|| format!("node {at} wakes"));
        self.nodes[at].life = Life::Up;
        let now = self.now;
        self.each_watch(|watch| watch.woke(at, now));
        let late = self.lateness(at);
        self.nodes[at].run_at(now + late);
        // What changed meanwhile waits for it, too.
        let moment = self.nodes[at].clock.shows(now);
        for member in &mut self.nodes[at].members {
            member.core.follow(moment, member.rules.clone());
        }
        self.judge(at, "it woke")
    }

    /// What a member tracks fails, is not known yet, or is well.
    pub(super) fn set_standing(
        &mut self,
        at: usize,
        link: usize,
        standing: Standing,
    ) -> Result<(), String> {
        self.note(|| format!("node {at} link {link}: {standing:?}"));
        self.nodes[at].members[link].own = standing;
        self.judge(at, "its trackers changed")
    }

    /// All that a node tracks is well.
    pub(super) fn heal(&mut self, at: usize) -> Result<(), String> {
        for link in 0..self.links.len() {
            if self.nodes[at].members[link].own != Standing::Well {
                self.set_standing(at, link, Standing::Well)?;
            }
        }
        Ok(())
    }

    /// What a member tracks changes its priority.
    pub(super) fn set_weight(&mut self, at: usize, link: usize, weight: i32) -> Result<(), String> {
        self.note(|| format!("node {at} link {link}: weight {weight}"));
        self.nodes[at].members[link].weight = weight;
        self.judge(at, "its priority changes")
    }

    /// A reload brings a member another priority, and perhaps switches its `nopreempt`.
    pub(super) fn reload(&mut self, at: usize, link: usize) -> Result<(), String> {
        let node = &mut self.nodes[at];
        let now = node.clock.shows(self.now);
        let member = &mut node.members[link];
        reloaded(&mut self.random, &mut member.rules);
        if node.life == Life::Up {
            member.core.follow(now, member.rules.clone());
        }
        let (priority, nopreempt) = (member.rules.base_priority, member.rules.nopreempt);
        self.note(|| {
            format!("node {at} link {link}: reload: priority {priority}, nopreempt {nopreempt}")
        });
        self.judge(at, "its priority was reloaded")
    }

    fn judge(&mut self, at: usize, cause: &str) -> Result<(), String> {
        if self.nodes[at].life != Life::Up {
            return Ok(());
        }
        let decided = self.nodes[at].judge(self.now, cause);
        self.perform(at, decided)
    }

    /// An operator gives the addresses away, or takes them back; false if that was refused.
    pub(super) fn operator(&mut self, at: usize, order: Order) -> Result<bool, String> {
        if self.nodes[at].life != Life::Up {
            return Ok(false);
        }
        self.note(|| format!("node {at}: operator: {order:?}"));
        let decided = match order {
            Order::Failover { force } => self.nodes[at].failover(self.now, force),
            Order::Failback => self.nodes[at].failback(self.now),
        };
        match decided {
            Ok(decided) => self.perform(at, decided).map(|()| true),
            Err(_) => Ok(false),
        }
    }

    /// A link is cut for one node, in both directions.
    pub(super) fn cut(&mut self, link: usize, at: usize) {
        self.note(|| format!("node {at} is cut off from link {link}"));
        let mut side = [false; MAX_NODES];
        side[at] = true;
        self.links[link].network.split(&side);
    }

    /// The only master, if there is exactly one.
    pub(super) fn master(&self) -> Option<usize> {
        let is_master = |at: &usize| {
            let node = &self.nodes[*at];
            node.life != Life::Down && node.is_active()
        };
        let mut masters = (0..self.nodes.len()).filter(is_master);
        masters.next().filter(|_| masters.next().is_none())
    }

    /// The nodes that could be master.
    pub(super) fn able(&self) -> Vec<usize> {
        let all = 0..self.nodes.len();
        all.filter(|at| self.nodes[*at].is_able()).collect()
    }

    /// Whether each of these wins against each other on all links or on none.
    pub(super) fn agree(&self, nodes: &[usize]) -> bool {
        let wins = |one: &Member, other: &Member| {
            (one.priority(), one.address) > (other.priority(), other.address)
        };
        let pair = |one: usize, other: usize| {
            let members = &self.nodes[other].members;
            let mut each = self.nodes[one].members.iter().zip(members);
            let wins_first = each.next().is_some_and(|(own, theirs)| wins(own, theirs));
            each.all(|(own, theirs)| wins(own, theirs) == wins_first)
        };
        let mut all = nodes.iter();
        all.all(|one| nodes.iter().all(|other| one == other || pair(*one, *other)))
    }

    /// The longest interval that a node on a link may count with: it may have learnt another one's.
    fn interval(&self, link: usize) -> Duration {
        let each = self.nodes.iter();
        let each = each.map(|node| node.members[link].rules.advert_interval);
        each.max().unwrap_or_default()
    }

    /// How long a node may need to follow a master that goes.
    pub(super) fn patience(&self, at: usize, end: End) -> Duration {
        let silently = end == End::Silent;
        let links = 0..self.links.len();
        let wait = |link| {
            let interval = self.interval(link);
            let unit = match self.version {
                Version::V2 => Duration::from_secs(1),
                Version::V3 => interval,
            };
            let priority = self.nodes[at].members[link].priority();
            let skew = unit * (256 - u32::from(priority)) / 256;
            let adverts = self.nodes[at].members[link].rules.down_timer_adverts;
            skew + interval * if silently { adverts } else { 0 }
        };
        let told = links.clone().filter(|link| end != End::ToldBut(*link));
        let first = told.map(wait).min().unwrap_or_default();
        // A member that heard the master in its last two intervals holds the others back.
        let fresh = links.map(|link| self.interval(link) * 2).max();
        let held = fresh.filter(|_| silently).unwrap_or_default();
        drifted(first.max(held)) + self.limits.slop
    }
}

/// How a master goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It resigns on every link.
    Told,
    /// It resigns, but not on this link.
    ToldBut(usize),
    /// Nobody is told.
    Silent,
}

/// What an operator wants.
#[derive(Clone, Copy, Debug)]
pub(super) enum Order {
    /// Give the addresses away.
    Failover {
        /// To whomever.
        force: bool,
    },
    /// Take them back.
    Failback,
}
