//! A node of a simulation: a core, the driver's rules around it, and a clock that is not quite right.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;

use tandem_vrrp::core::tracking::Standing;
use tandem_vrrp::core::{Action, Instance, Moment, Rules};

use crate::network::Packet;

/// Packets that wait for a node that does not run; the kernel drops further ones.
const INBOX_PACKETS: usize = 1_500;

/// A clock with its own beginning and its own speed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    /// What it shows when the simulation begins.
    pub(crate) offset: Duration,
    /// Millionths by which it is fast, or slow when negative.
    pub(crate) drift: i32,
}

impl Clock {
    const MILLION: i128 = 1_000_000;

    fn rate(self) -> i128 {
        Self::MILLION + i128::from(self.drift)
    }

    /// What it shows at a true time.
    pub(crate) fn shows(self, at: Duration) -> Moment {
        let gone = nanoseconds(at) * self.rate() / Self::MILLION;
        self.offset + duration(gone)
    }

    /// The first true time at which it shows that.
    pub(crate) fn when(self, moment: Moment) -> Duration {
        let gone = nanoseconds(moment.saturating_sub(self.offset));
        duration((gone * Self::MILLION + self.rate() - 1) / self.rate())
    }
}

fn nanoseconds(time: Duration) -> i128 {
    i128::try_from(time.as_nanos()).unwrap_or(i128::MAX)
}

fn duration(nanoseconds: i128) -> Duration {
    Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or_default())
}

/// Whether a node runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    /// It runs.
    Up,
    /// It is stopped, and what comes waits: SIGSTOP.
    Paused,
    /// It is gone, with all that it knew.
    Down,
}

/// A node.
pub(crate) struct Node {
    /// Its address.
    pub(crate) address: IpAddr,
    /// Its definition.
    pub(crate) rules: Rules,
    /// Its clock.
    pub(crate) clock: Clock,
    /// How late it runs after what woke it, at most.
    pub(crate) latency: Duration,
    /// The state machine.
    pub(crate) core: Instance,
    /// Whether it runs.
    pub(crate) life: Life,
    /// Something that it tracks says FAULT.
    pub(crate) fault: bool,
    /// What its tracked items add to its priority.
    pub(crate) weight: i32,
    /// When it runs next.
    pub(crate) turn_at: Option<Duration>,
    inbox: VecDeque<Packet>,
}

impl Node {
    /// A node that is down.
    pub(crate) fn new(address: IpAddr, rules: Rules, clock: Clock, latency: Duration) -> Self {
        Self {
            address,
            core: Instance::new(rules.clone()),
            rules,
            clock,
            latency,
            life: Life::Down,
            fault: false,
            weight: 0,
            turn_at: None,
            inbox: VecDeque::new(),
        }
    }

    /// The priority that it would advertise.
    pub(crate) fn priority(&self) -> u8 {
        if self.rules.base_priority == u8::MAX {
            return u8::MAX;
        }
        let sum = i32::from(self.rules.base_priority) + self.weight;
        u8::try_from(sum.clamp(1, 254)).unwrap_or(1)
    }

    /// Whether it can be master: it runs, and nothing that it tracks is wrong.
    pub(crate) fn is_able(&self) -> bool {
        self.life == Life::Up && !self.fault
    }

    /// Starts it anew.
    pub(crate) fn start(&mut self, now: Duration) -> Vec<Action> {
        self.life = Life::Up;
        self.core = Instance::new(self.rules.clone());
        self.core.set_source(self.address);
        self.inbox.clear();
        self.judge(now, "started")
    }

    /// Ends it without a word.
    pub(crate) fn crash(&mut self) {
        self.life = Life::Down;
        self.core = Instance::new(self.rules.clone());
        self.inbox.clear();
        self.turn_at = None;
    }

    /// Tells the core what tracking says.
    pub(crate) fn judge(&mut self, now: Duration, cause: &str) -> Vec<Action> {
        let standing = if self.fault {
            Standing::Fault("simulated".to_owned())
        } else {
            Standing::Well
        };
        let (now, priority) = (self.clock.shows(now), self.priority());
        self.core.judge(now, &standing, priority, cause)
    }

    /// A packet reaches it; it runs a little later.
    pub(crate) fn receive(&mut self, packet: Packet, at: Duration) {
        if self.life == Life::Down || self.inbox.len() == INBOX_PACKETS {
            return;
        }
        self.inbox.push_back(packet);
        self.run_at(at);
    }

    /// Sees that it runs at this time at the latest.
    pub(crate) fn run_at(&mut self, at: Duration) {
        if self.life == Life::Up {
            self.turn_at = Some(self.turn_at.map_or(at, |planned| planned.min(at)));
        }
    }

    /// One turn of the driver's loop: timers come first, but a silence counts only after what waits was heard.
    pub(crate) fn turn(&mut self, now: Duration) -> Vec<Action> {
        self.turn_at = None;
        if self.life != Life::Up {
            return Vec::new();
        }
        let mut actions = Vec::new();
        if self.core.must_hear_first(self.clock.shows(now)) {
            self.hear(now, &mut actions);
        }
        actions.extend(self.core.elapsed(self.clock.shows(now)));
        self.hear(now, &mut actions);
        actions
    }

    fn hear(&mut self, now: Duration, actions: &mut Vec<Action>) {
        let now = self.clock.shows(now);
        for packet in self.inbox.drain(..) {
            actions.extend(
                self.core
                    .heard(now, packet.from, packet.priority, packet.interval),
            );
        }
    }

    /// Plans the next turn by the core's timers; `late` is how late it will be.
    pub(crate) fn plan(&mut self, now: Duration, late: Duration) {
        if let Some(deadline) = self.core.deadline() {
            let at = self.clock.when(deadline).max(now) + late;
            self.run_at(at);
        }
    }
}
