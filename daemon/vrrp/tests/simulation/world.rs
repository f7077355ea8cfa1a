//! Nodes, their network and what is watched, moved from event to event.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use config::keepalived::Version;
use tandem_vrrp::core::{Action, Rules};

use crate::invariants::{Limits, Seen, Watch};
use crate::network::{MAX_NODES, Network, Packet, Weather};
use crate::node::{Clock, Life, Node};
use crate::random::Random;

/// Lines of a trace that are kept; earlier ones are forgotten.
const TRACE_LINES: usize = 400;

/// What happened, for who looks for the cause of a failure; nothing is kept of a run that is not traced.
pub(crate) struct Trace(Option<Vec<String>>);

impl Trace {
    pub(crate) fn new(traced: bool) -> Self {
        Self(traced.then(Vec::new))
    }

    pub(crate) fn note(&mut self, now: Duration, line: impl FnOnce() -> String) {
        if let Some(lines) = &mut self.0 {
            if lines.len() == TRACE_LINES {
                lines.drain(..TRACE_LINES / 2);
            }
            lines.push(format!("{:>12.6} {}", now.as_secs_f64(), line()));
        }
    }

    /// All lines kept.
    pub(crate) fn lines(self) -> Vec<String> {
        self.0.unwrap_or_default()
    }
}
/// `timer_expired_backup`: no other router's priority is higher, but for an owner's.
pub(crate) const HIGHEST: u8 = 254;
/// What clocks may differ by, in millionths.
const MAX_DRIFT: u64 = 10_000;
/// What that adds to a time, in hundredths.
const DRIFT_PERCENT: u32 = 102;

/// A group of routers.
pub(crate) struct World {
    /// The true time.
    pub(crate) now: Duration,
    /// The routers.
    pub(crate) nodes: Vec<Node>,
    /// Between them.
    pub(crate) network: Network,
    /// Decides whatever is not decided.
    pub(crate) random: Random,
    /// What is watched.
    pub(crate) watch: Watch,
    /// Bounds of times.
    pub(crate) limits: Limits,
    /// Of every node.
    pub(crate) version: Version,
    trace: Trace,
}

/// A time as a clock that is slow would show it.
pub(crate) fn drifted(time: Duration) -> Duration {
    time * DRIFT_PERCENT / 100
}

impl World {
    /// A group that its seed decides.
    pub(crate) fn new(seed: u64, traced: bool) -> Self {
        let mut random = Random::new(seed);
        let count = random.pick(&[2, 2, 3, 3, 4, 5]);
        let version = random.pick(&[Version::V2, Version::V3]);
        let interval = match version {
            Version::V2 => Duration::from_secs(random.between(1, 3)),
            Version::V3 => {
                Duration::from_millis(random.pick(&[10, 20, 50, 100, 250, 1000, 2000, 3000]))
            }
        };
        let latency = (interval / 10).min(Duration::from_millis(2));
        let calm = calm(interval);
        let mut nodes = Vec::new();
        let has_owner = random.chance(15);
        let has_delay = random.chance(40);
        let down_timer_adverts = adverts(&mut random);
        for at in 0..count {
            let own = at == 0 && has_owner;
            // Version 3 learns the master's interval: there they may differ.
            let differs = version == Version::V3 && random.chance(20);
            let nopreempt = !own && random.chance(25);
            let rules = Rules {
                version,
                base_priority: if own {
                    u8::MAX
                } else if random.chance(50) {
                    random.pick(&[99, 100, 150])
                } else {
                    u8::try_from(random.between(1, 254)).unwrap_or(1)
                },
                starts_active: true,
                advert_interval: if differs { interval * 2 } else { interval },
                nopreempt,
                preempt_delay: if has_delay && random.chance(50) {
                    interval * random.pick(&[1, 2, 5])
                } else {
                    Duration::ZERO
                },
                timer_expired_backup: (nopreempt && random.chance(50)).then_some(HIGHEST),
                down_timer_adverts,
                last_word: true,
                answers_lower: true,
                announce_lower_again: random.pick(&[Duration::ZERO, interval * 5]),
                announce_again: random.pick(&[Duration::ZERO, interval * 5]),
                announce_refresh: random.pick(&[Duration::ZERO, interval * 8]),
            };
            let clock = clock(&mut random);
            // The order of addresses is not the order of nodes.
            let last = u8::try_from(1 + (at * 3 + 1) % 5).unwrap_or(1);
            let address = IpAddr::V4(Ipv4Addr::new(10, 0, 0, last));
            nodes.push(Node::new(address, rules, clock, latency));
        }
        let longest = nodes.iter().map(|node| node.rules.advert_interval).max();
        let longest = longest.unwrap_or(interval);
        let skew = match version {
            Version::V2 => Duration::from_secs(1),
            Version::V3 => longest,
        };
        let delays = nodes.iter().map(|node| node.rules.preempt_delay).max();
        let limits = Limits {
            intervals: (interval, drifted(longest)),
            down: drifted(longest * down_timer_adverts + skew),
            preempt: drifted(delays.unwrap_or_default()),
            slop: (calm.most_delay + latency) * 2 + Duration::from_millis(1),
        };
        Self {
            now: Duration::ZERO,
            nodes,
            network: Network::new(calm),
            random,
            watch: Watch::new(limits),
            limits,
            version,
            trace: Trace::new(traced),
        }
    }

    /// Notes a line for who looks for the cause of a failure.
    pub(crate) fn note(&mut self, line: impl FnOnce() -> String) {
        self.trace.note(self.now, line);
    }

    /// Its nodes, a line each.
    pub(crate) fn described(&self) -> String {
        let line = |(at, node): (usize, &Node)| {
            format!(
                "node {at}: {} {:?} weight {} fault {} {:?} {:?} {:?}\n",
                node.address,
                node.life,
                node.weight,
                node.fault,
                node.core.shown(),
                node.rules,
                node.clock
            )
        };
        self.nodes.iter().enumerate().map(line).collect()
    }

    /// All lines kept.
    pub(crate) fn trace(self) -> Vec<String> {
        self.trace.lines()
    }

    /// Lets the world go on until then.
    pub(crate) fn run_until(&mut self, end: Duration) -> Result<(), String> {
        loop {
            let turns = self.nodes.iter().filter_map(|node| node.turn_at);
            let next = turns.chain(self.network.next_at()).min();
            let Some(at) = next.filter(|at| *at <= end) else {
                break;
            };
            self.now = self.now.max(at);
            while let Some((to, packet)) = self.network.arrived(self.now) {
                self.deliver(to, packet);
            }
            for node in 0..self.nodes.len() {
                if self.nodes[node].turn_at.is_some_and(|at| at <= self.now) {
                    let actions = self.nodes[node].turn(self.now);
                    self.perform(node, &actions)?;
                }
            }
            self.look()?;
        }
        self.now = self.now.max(end);
        self.look()
    }

    fn look(&mut self) -> Result<(), String> {
        let seen = self.nodes.iter();
        let seen: Vec<_> = seen.map(|node| Seen::new(node.life, &node.core)).collect();
        self.watch.look(self.now, &seen)
    }

    fn deliver(&mut self, to: usize, packet: Packet) {
        let late = self.lateness(to);
        let node = &mut self.nodes[to];
        node.receive(packet, self.now + late);
        if packet.priority != 0 {
            self.watch.assured(to, self.now);
        }
        self.note(|| {
            format!(
                "node {to} is reached by {} priority {}",
                packet.from, packet.priority
            )
        });
    }

    fn lateness(&mut self, node: usize) -> Duration {
        let latency = self.nodes[node].latency;
        self.random.time(Duration::ZERO, latency)
    }

    /// Does what a core decided, and plans its next turn.
    pub(crate) fn perform(&mut self, at: usize, actions: &[Action]) -> Result<(), String> {
        for action in actions {
            self.note(|| format!("node {at}: {action:?}"));
            self.watch.did(at, self.now, action)?;
            if let Action::Advertise(priority) = action {
                let node = &self.nodes[at];
                let packet = Packet {
                    from: node.address,
                    priority: *priority,
                    interval: node.rules.advert_interval,
                };
                let count = self.nodes.len();
                self.network
                    .send(&mut self.random, self.now, count, at, packet);
            }
        }
        let late = self.lateness(at);
        self.nodes[at].plan(self.now, late);
        Ok(())
    }

    /// Starts a node that is down, or starts it anew.
    pub(crate) fn start(&mut self, at: usize) -> Result<(), String> {
        if self.nodes[at].life != Life::Down {
            self.crash(at);
        }
        self.note(|| format!("node {at} starts"));
        self.watch.woke(at, self.now);
        let actions = self.nodes[at].start(self.now);
        self.perform(at, &actions)
    }

    /// A node dies, and its addresses with it.
    pub(crate) fn crash(&mut self, at: usize) {
        if self.nodes[at].life == Life::Down {
            return;
        }
        self.note(|| format!("node {at} dies"));
        let running = self.nodes[at].life == Life::Up;
        self.nodes[at].crash();
        if running {
            self.watch.slept(at, self.now, true);
        } else {
            self.watch.gone(at);
        }
    }

    /// A node is stopped in order.
    pub(crate) fn stop(&mut self, at: usize) -> Result<(), String> {
        if self.nodes[at].life != Life::Up {
            return Ok(());
        }
        self.note(|| format!("node {at} is stopped"));
        let actions = self.nodes[at].core.stop("simulated");
        self.perform(at, &actions)?;
        self.crash(at);
        Ok(())
    }

    /// A node does not run any more, and keeps all that it has.
    pub(crate) fn pause(&mut self, at: usize) {
        if self.nodes[at].life == Life::Up {
            self.note(|| format!("node {at} is paused"));
            self.nodes[at].life = Life::Paused;
            self.nodes[at].turn_at = None;
            self.watch.slept(at, self.now, false);
        }
    }

    /// Ends a pause.
    pub(crate) fn resume(&mut self, at: usize) -> Result<(), String> {
        if self.nodes[at].life != Life::Paused {
            return Ok(());
        }
        self.note(|| format!("node {at} wakes"));
        self.nodes[at].life = Life::Up;
        let now = self.now;
        self.watch.woke(at, now);
        let late = self.lateness(at);
        self.nodes[at].run_at(now + late);
        // What changed meanwhile waits for it, too.
        let node = &mut self.nodes[at];
        node.core.follow(node.clock.shows(now), node.rules.clone());
        self.judge(at, "it woke")
    }

    /// What a node tracks fails, or is well again.
    pub(crate) fn set_fault(&mut self, at: usize, fault: bool) -> Result<(), String> {
        self.nodes[at].fault = fault;
        self.note(|| format!("node {at}: fault {fault}"));
        self.judge(
            at,
            if fault {
                "it failed"
            } else {
                "it is well again"
            },
        )
    }

    /// What a node tracks changes its priority.
    pub(crate) fn set_weight(&mut self, at: usize, weight: i32) -> Result<(), String> {
        self.nodes[at].weight = weight;
        self.note(|| format!("node {at}: weight {weight}"));
        self.judge(at, "its priority changes")
    }

    /// A reload brings another priority, and perhaps switches `nopreempt`; the owner remains it.
    pub(crate) fn reload(&mut self, at: usize) -> Result<(), String> {
        let random = &mut self.random;
        let node = &mut self.nodes[at];
        reloaded(random, &mut node.rules);
        let now = node.clock.shows(self.now);
        if node.life == Life::Up {
            node.core.follow(now, node.rules.clone());
        }
        let rules = &self.nodes[at].rules;
        let (priority, nopreempt) = (rules.base_priority, rules.nopreempt);
        self.note(|| format!("node {at}: reload: priority {priority}, nopreempt {nopreempt}"));
        self.judge(at, "its priority was reloaded")
    }

    fn judge(&mut self, at: usize, cause: &str) -> Result<(), String> {
        if self.nodes[at].life != Life::Up {
            return Ok(());
        }
        let actions = self.nodes[at].judge(self.now, cause);
        self.perform(at, &actions)
    }

    /// An operator gives the addresses away; false if that was refused.
    pub(crate) fn failover(&mut self, at: usize, force: bool) -> Result<bool, String> {
        if self.nodes[at].life != Life::Up {
            return Ok(false);
        }
        self.watch.failover = None;
        let now = self.nodes[at].clock.shows(self.now);
        match self.nodes[at].core.failover(now, force) {
            Ok(actions) => {
                self.note(|| format!("node {at}: operator: failover, force {force}"));
                self.perform(at, &actions).map(|()| true)
            }
            Err(_) => Ok(false),
        }
    }

    /// An operator takes them back; false if that was refused.
    pub(crate) fn failback(&mut self, at: usize) -> Result<bool, String> {
        if self.nodes[at].life != Life::Up {
            return Ok(false);
        }
        let now = self.nodes[at].clock.shows(self.now);
        match self.nodes[at].core.failback(now) {
            Ok((_, actions)) => {
                self.note(|| format!("node {at}: operator: failback"));
                self.perform(at, &actions).map(|()| true)
            }
            Err(_) => Ok(false),
        }
    }

    /// The only master, if there is exactly one.
    pub(crate) fn master(&self) -> Option<usize> {
        let is_master = |at: &usize| {
            let node = &self.nodes[*at];
            node.life != Life::Down && node.core.is_active()
        };
        let mut masters = (0..self.nodes.len()).filter(is_master);
        masters.next().filter(|_| masters.next().is_none())
    }

    /// The nodes that could be master.
    pub(crate) fn able(&self) -> Vec<usize> {
        let all = 0..self.nodes.len();
        all.filter(|at| self.nodes[*at].is_able()).collect()
    }

    /// The skew time of a node behind a master with this interval.
    pub(crate) fn skew(&self, at: usize, interval: Duration) -> Duration {
        let unit = match self.version {
            Version::V2 => Duration::from_secs(1),
            Version::V3 => interval,
        };
        unit * (256 - u32::from(self.nodes[at].priority())) / 256
    }

    /// Nodes in a random order of sides.
    pub(crate) fn sides(&mut self) -> Vec<bool> {
        (0..MAX_NODES).map(|_| self.random.chance(50)).collect()
    }
}

/// `down_timer_adverts`: the same for all (keepalived.conf(5)). With one, a network's jitter alone makes a second master.
pub(crate) fn adverts(random: &mut Random) -> u32 {
    random.pick(&[3, 3, 3, 2, 4, 7])
}

/// What a reload changes of a definition.
pub(crate) fn reloaded(random: &mut Random, rules: &mut Rules) {
    if rules.base_priority == u8::MAX {
        return;
    }
    rules.base_priority = random.pick(&[1, 60, 99, 100, 101, 150, 254]);
    if random.chance(30) {
        rules.nopreempt = !rules.nopreempt;
        rules.timer_expired_backup = (rules.nopreempt && random.chance(50)).then_some(HIGHEST);
    }
}

/// A clock with any beginning, and any speed within [`MAX_DRIFT`].
pub(crate) fn clock(random: &mut Random) -> Clock {
    let drift = i32::try_from(random.between(0, 2 * MAX_DRIFT)).unwrap_or(0);
    Clock {
        offset: Duration::from_millis(random.between(0, 1_000_000)),
        drift: drift - i32::try_from(MAX_DRIFT).unwrap_or(0),
    }
}

/// A network without trouble.
pub(crate) fn calm(interval: Duration) -> Weather {
    Weather {
        loss: 0,
        twice: 0,
        least_delay: Duration::from_micros(20),
        most_delay: (interval / 8).min(Duration::from_millis(5)),
        in_order: true,
    }
}
