//! Two tables of sessions with a wire between them, and single packets by hand: what all tests of sessions stand on.

mod packet;
mod refusals;
mod states;
mod timers;

use std::net::IpAddr;
use std::time::Duration;

use config::Word;
use config::keepalived::BfdInstance;

use super::packet::{ControlPacket, Diagnostic, Refused, SessionState};
use super::*;

const A: &str = "10.0.0.1";
const B: &str = "10.0.0.2";
const MS: Duration = Duration::from_millis(1);

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn config(neighbor: &str) -> BfdInstance {
    let name = Word::new("peer", config::Span::default());
    BfdInstance {
        min_rx: 50 * MS,
        min_tx: 50 * MS,
        multiplier: 4,
        ..BfdInstance::new(name, address(neighbor))
    }
}

/// Numbers that are not random, but different.
fn numbers(mut seed: u64) -> impl FnMut() -> u64 {
    move || {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        seed
    }
}

/// What lies between two nodes.
#[derive(Clone, Copy, Default)]
struct Wire {
    /// What A says is lost.
    cut_ab: bool,
    /// What B says is lost.
    cut_ba: bool,
    /// One of so many packets is lost; 0 means none.
    loss: u64,
}

struct Pair {
    now: Moment,
    tables: [Table; 2],
    wire: Wire,
    /// When and whether each was seen to change its state, with the reason.
    changes: [Vec<(Moment, SessionState, String)>; 2],
    /// When each spoke, and what.
    sent: [Vec<(Moment, ControlPacket)>; 2],
    random: Box<dyn FnMut() -> u64>,
}

impl Pair {
    fn new(a: BfdInstance, b: BfdInstance) -> Self {
        Self::seeded(a, b, 7)
    }

    fn seeded(a: BfdInstance, b: BfdInstance, seed: u64) -> Self {
        let mut pair = Self {
            now: Duration::from_secs(100),
            tables: [Table::default(), Table::default()],
            wire: Wire::default(),
            changes: Default::default(),
            sent: Default::default(),
            random: Box::new(numbers(seed)),
        };
        pair.configure(0, a);
        pair.configure(1, b);
        pair
    }

    fn configure(&mut self, side: usize, config: BfdInstance) {
        let deeds = self.tables[side].configure(self.now, &[config], &mut self.random);
        self.perform(side, deeds);
    }

    fn session(&self, side: usize) -> &Entry {
        self.tables[side].entries().next().expect("a session")
    }

    fn states(&self) -> [SessionState; 2] {
        [0, 1].map(|side| self.session(side).session.state())
    }

    fn is_up(&self) -> bool {
        self.states() == [SessionState::Up; 2]
    }

    fn perform(&mut self, side: usize, deeds: Vec<Deed>) {
        for deed in deeds {
            match deed {
                Deed::Send { bytes, .. } => {
                    let packet = ControlPacket::read(&bytes).expect("ours is valid");
                    self.sent[side].push((self.now, packet));
                    let cut = [self.wire.cut_ab, self.wire.cut_ba][side];
                    let lost =
                        self.wire.loss != 0 && (self.random)().is_multiple_of(self.wire.loss);
                    if !cut && !lost {
                        self.deliver(1 - side, &bytes);
                    }
                }
                Deed::Tell { .. } => {
                    let mut entries = self.tables[side].entries();
                    if let Some(entry) = entries.next() {
                        let (state, reason) = (entry.session.state(), entry.session.reason());
                        self.changes[side].push((self.now, state, reason.to_owned()));
                    }
                }
                Deed::Close { .. } => {}
            }
        }
    }

    fn deliver(&mut self, side: usize, bytes: &[u8]) {
        let source = address([B, A][side]);
        let datagram = Datagram {
            source,
            destination: address([A, B][side]),
            ttl: 255,
            interface: 1,
            bytes,
        };
        let mut deeds = Vec::new();
        let _ = self.tables[side].heard(self.now, &datagram, &mut deeds);
        self.perform(side, deeds);
    }

    /// Lets time pass.
    fn run(&mut self, time: Duration) {
        let until = self.now + time;
        loop {
            let next = self.tables.iter().filter_map(Table::deadline).min();
            let Some(next) = next.filter(|next| *next <= until) else {
                break;
            };
            self.now = self.now.max(next);
            for side in [0, 1] {
                let mut deeds = Vec::new();
                self.tables[side].elapsed(self.now, &mut deeds);
                self.perform(side, deeds);
            }
        }
        self.now = until;
    }

    fn forget(&mut self) {
        self.sent = Default::default();
        self.changes = Default::default();
    }

    fn reason(&self, side: usize) -> &str {
        self.session(side).session.reason()
    }
}

impl Pair {
    fn states_of_b(&self) -> SessionState {
        self.session(1).session.state()
    }
}

/// A session that is Up, and a valid packet for it.
fn up() -> (Pair, ControlPacket) {
    let mut pair = Pair::new(config(B), config(A));
    pair.run(3_000 * MS);
    let packet = pair.session(1).session.packet();
    pair.forget();
    (pair, packet)
}
