//! The network of a simulation: it loses, delays (and so reorders), repeats, and is cut in pieces.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::IpAddr;
use std::time::Duration;

use crate::random::Random;

/// Most nodes of a simulation.
pub(crate) const MAX_NODES: usize = 5;

/// An advertisement, checked and read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Packet {
    /// Its sender.
    pub(crate) from: IpAddr,
    /// What it says.
    pub(crate) priority: u8,
    /// What it says.
    pub(crate) interval: Duration,
}

/// What befalls packets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weather {
    /// Packets lost in a hundred, for each receiver.
    pub(crate) loss: u64,
    /// Packets that come twice in a hundred.
    pub(crate) twice: u64,
    /// Shortest way.
    pub(crate) least_delay: Duration,
    /// Longest way.
    pub(crate) most_delay: Duration,
    /// Whether what was sent first arrives first.
    pub(crate) in_order: bool,
}

/// A packet on its way: when it arrives, its number, where, and what it is.
type Flight = (Duration, u64, usize, Packet);

/// Who reaches whom, and what is on its way.
pub(crate) struct Network {
    /// What befalls packets now.
    pub(crate) weather: Weather,
    reaches: [[bool; MAX_NODES]; MAX_NODES],
    last: [[Duration; MAX_NODES]; MAX_NODES],
    flying: BinaryHeap<Reverse<Flight>>,
    sent: u64,
}

impl Network {
    /// All reach all.
    pub(crate) fn new(weather: Weather) -> Self {
        Self {
            weather,
            reaches: [[true; MAX_NODES]; MAX_NODES],
            last: [[Duration::ZERO; MAX_NODES]; MAX_NODES],
            flying: BinaryHeap::new(),
            sent: 0,
        }
    }

    /// Sends to all others of `nodes` nodes.
    pub(crate) fn send(
        &mut self,
        random: &mut Random,
        now: Duration,
        nodes: usize,
        from: usize,
        packet: Packet,
    ) {
        for to in (0..nodes).filter(|to| *to != from) {
            if !self.reaches[from][to] || random.chance(self.weather.loss) {
                continue;
            }
            let copies = 1 + usize::from(random.chance(self.weather.twice));
            for _ in 0..copies {
                let delay = random.time(self.weather.least_delay, self.weather.most_delay);
                let mut at = now + delay;
                if self.weather.in_order {
                    at = at.max(self.last[from][to]);
                }
                self.last[from][to] = at;
                self.sent += 1;
                self.flying.push(Reverse((at, self.sent, to, packet)));
            }
        }
    }

    /// When the next packet arrives.
    pub(crate) fn next_at(&self) -> Option<Duration> {
        self.flying.peek().map(|Reverse((at, ..))| *at)
    }

    /// The packet that arrives by `now`, and where.
    pub(crate) fn arrived(&mut self, now: Duration) -> Option<(usize, Packet)> {
        if self.next_at()? > now {
            return None;
        }
        let Reverse((_, _, to, packet)) = self.flying.pop()?;
        Some((to, packet))
    }

    /// All reach all again.
    pub(crate) fn heal(&mut self) {
        self.reaches = [[true; MAX_NODES]; MAX_NODES];
    }

    /// Nodes reach only those of their own side.
    pub(crate) fn split(&mut self, side: &[bool]) {
        for (from, row) in self.reaches.iter_mut().enumerate() {
            for (to, reaches) in row.iter_mut().enumerate() {
                let of = |node: usize| side.get(node).copied().unwrap_or_default();
                *reaches = of(from) == of(to);
            }
        }
    }

    /// One direction fails: `to` does not hear `from` any more.
    pub(crate) fn deafen(&mut self, from: usize, to: usize) {
        self.reaches[from][to] = false;
    }
}
