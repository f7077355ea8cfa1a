//! Bidirectional Forwarding Detection (RFC 5880, single hop as RFC 5881), without sockets or clocks.
//!
//! [`packet`] is the Control packet as bytes, [`session`] the state machine of one neighbour. Here is the table of all
//! sessions: whose a packet is, whether it came from near enough, and what is counted.

pub mod packet;
pub mod session;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use config::keepalived::BfdInstance;

use crate::core::Moment;
use packet::{ControlPacket, PACKET_BYTES, Refused, SessionState};
use session::{Action, Session, Settings};

/// Copies of the last word of a session that ends: a lost one must not cost its neighbour a detection time.
const LAST_WORDS: u32 = 3;
/// Longest pause between two of them.
const LAST_WORDS_SPACING: Duration = Duration::from_millis(100);

/// What was counted of a session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Packets sent.
    pub sent: u64,
    /// Valid packets heard.
    pub received: u64,
    /// Times that it came up.
    pub ups: u64,
    /// Times that it went down after it was up.
    pub downs: u64,
    /// Refused packets by reason.
    pub refused: BTreeMap<&'static str, u64>,
}

/// A session of the table.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its name.
    pub name: Arc<str>,
    /// Index of the interface that a link-local neighbour is on; 0 while that is not known.
    pub interface: u32,
    /// Its definition, without places.
    pub config: BfdInstance,
    /// The state machine.
    pub session: Session,
    /// What was counted.
    pub counters: Counters,
    /// How often its last word is still to be said, and when next; nobody is told of it any more.
    ending: Option<(u32, Moment)>,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deed {
    /// These bytes go to the neighbour of this `bfd_instance`.
    Send {
        /// Its name.
        name: Arc<str>,
        /// The packet.
        bytes: [u8; PACKET_BYTES],
    },
    /// Tell of this session: its state, or the reason for it, changed.
    Tell {
        /// Its name.
        name: Arc<str>,
        /// Its state before.
        from: SessionState,
    },
    /// This session is over: its socket can be closed.
    Close {
        /// Its name.
        name: Arc<str>,
    },
}

/// A datagram of the port, with what the kernel tells of it.
#[derive(Clone, Copy, Debug)]
pub struct Datagram<'a> {
    /// Its sender.
    pub source: IpAddr,
    /// The address of ours that it was sent to.
    pub destination: IpAddr,
    /// TTL or hop limit.
    pub ttl: u8,
    /// Index of the interface that it came through.
    pub interface: u32,
    /// What it holds.
    pub bytes: &'a [u8],
}

/// A refused packet: whose it seems to be, and why it counts for nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedPacket {
    /// The session of its sender, if there is one.
    pub name: Option<Arc<str>>,
    /// Why.
    pub refused: Refused,
}

/// All sessions.
#[derive(Default)]
pub struct Table {
    entries: Vec<Entry>,
    /// Empty between two calls: its memory is used again.
    actions: Vec<Action>,
}

impl Entry {
    /// Whether it came from where the neighbour is, as far as its address alone does not tell.
    fn is_on_its_interface(&self, datagram: &Datagram<'_>) -> bool {
        !self.config.is_link_local() || self.interface == datagram.interface
    }
}

impl Table {
    /// All sessions that are configured.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| entry.ending.is_none())
    }

    /// Whether nothing is left to do.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// A session, also one that ends.
    pub fn find(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| *entry.name == *name)
    }

    /// The interface of a link-local neighbour; 0 if it is not known.
    pub fn set_interface(&mut self, name: &str, interface: u32) {
        let mut entries = self.entries.iter_mut();
        if let Some(entry) = entries.find(|entry| *entry.name == *name) {
            entry.interface = interface;
        }
    }

    /// Takes a configuration. Sessions with the same ends go on as they are, with new numbers by a poll sequence; those that
    /// are gone say AdminDown. `random` gives discriminators and seeds.
    pub fn configure(
        &mut self,
        now: Moment,
        configs: &[BfdInstance],
        mut random: impl FnMut() -> u64,
    ) -> Vec<Deed> {
        let mut deeds = Vec::new();
        let same_ends = |one: &BfdInstance, other: &BfdInstance| {
            (&one.name.text, one.neighbor, &one.interface, one.source)
                == (
                    &other.name.text,
                    other.neighbor,
                    &other.interface,
                    other.source,
                )
        };
        for at in 0..self.entries.len() {
            let entry = &self.entries[at];
            let stays = configs.iter().any(|new| same_ends(new, &entry.config));
            if !stays && entry.ending.is_none() {
                self.end(now, at, "it is gone from the configuration", &mut deeds);
            }
        }
        for config in configs {
            let config = plain(config);
            let settings = settings(&config);
            let mut entries = self.entries.iter();
            let known = entries
                .position(|entry| entry.ending.is_none() && same_ends(&config, &entry.config));
            match known {
                Some(at) => {
                    let entry = &mut self.entries[at];
                    entry.config = config;
                    let from = entry.session.state();
                    entry.session.follow(now, settings, &mut self.actions);
                    self.perform(at, from, &mut deeds);
                }
                None => {
                    // A successor of the same name needs the socket: what is left to say is not said.
                    self.entries
                        .retain(|entry| *entry.name != *config.name.text);
                    let discriminator = self.new_discriminator(&mut random);
                    let session = Session::new(now, settings, discriminator, random());
                    let name: Arc<str> = config.name.text.as_str().into();
                    self.entries.push(Entry {
                        name: name.clone(),
                        interface: 0,
                        config,
                        session,
                        counters: Counters::default(),
                        ending: None,
                    });
                    deeds.push(Deed::Close { name: name.clone() });
                    let from = SessionState::Down;
                    deeds.push(Deed::Tell { name, from });
                }
            }
        }
        deeds
    }

    /// RFC 5880 section 6.3: not 0, and no other session's.
    fn new_discriminator(&self, random: &mut impl FnMut() -> u64) -> u32 {
        loop {
            let found = (random() >> 32) as u32;
            let mut entries = self.entries.iter();
            if found != 0 && !entries.any(|entry| entry.session.discriminator() == found) {
                return found;
            }
        }
    }

    /// Ends all sessions: each says AdminDown once at once, and again while [`Table::elapsed`] is called.
    pub fn stop(&mut self, now: Moment, reason: &str) -> Vec<Deed> {
        let mut deeds = Vec::new();
        for at in 0..self.entries.len() {
            if self.entries[at].ending.is_none() {
                self.end(now, at, reason, &mut deeds);
            }
        }
        deeds
    }

    fn end(&mut self, now: Moment, at: usize, reason: &str, deeds: &mut Vec<Deed>) {
        let entry = &mut self.entries[at];
        let from = entry.session.state();
        let spacing = entry.session.transmit_interval().min(LAST_WORDS_SPACING);
        entry.session.admin_down(now, reason, &mut self.actions);
        entry.ending = Some((LAST_WORDS - 1, now + spacing));
        self.perform(at, from, deeds);
    }

    /// When [`Table::elapsed`] wants to be called next.
    pub fn deadline(&self) -> Option<Moment> {
        let deadline = |entry: &Entry| match entry.ending {
            Some((_, at)) => Some(at),
            None => entry.session.deadline(),
        };
        self.entries.iter().filter_map(deadline).min()
    }

    /// Whether what waits in the sockets must be heard before [`Table::elapsed`] counts: a silence is none while packets
    /// wait.
    pub fn must_hear_first(&self, now: Moment) -> bool {
        self.entries
            .iter()
            .any(|entry| entry.session.must_hear_first(now))
    }

    /// Runs every timer that is due; what is to be done goes to the end of `deeds`.
    pub fn elapsed(&mut self, now: Moment, deeds: &mut Vec<Deed>) {
        let mut over = false;
        for at in 0..self.entries.len() {
            let entry = &mut self.entries[at];
            match &mut entry.ending {
                Some((left, next)) if *next <= now => {
                    *next = now + LAST_WORDS_SPACING;
                    let name = entry.name.clone();
                    if *left == 0 {
                        deeds.push(Deed::Close { name });
                        *next = Moment::MAX;
                        over = true;
                        continue;
                    }
                    *left -= 1;
                    let bytes = entry.session.packet().write();
                    deeds.push(Deed::Send { name, bytes });
                }
                Some(_) => {}
                None => {
                    let from = entry.session.state();
                    entry.session.elapsed(now, &mut self.actions);
                    self.perform(at, from, deeds);
                }
            }
        }
        if over {
            self.entries
                .retain(|entry| entry.ending != Some((0, Moment::MAX)));
        }
    }

    /// Takes a datagram: whose it is (RFC 5880 section 6.8.6, RFC 5881 section 5), and what it does there. What is to be done
    /// goes to the end of `deeds`.
    pub fn heard(
        &mut self,
        now: Moment,
        datagram: &Datagram<'_>,
        deeds: &mut Vec<Deed>,
    ) -> Result<(), RefusedPacket> {
        match self.addressed(datagram) {
            Ok((at, packet)) => {
                let entry = &mut self.entries[at];
                let from = entry.session.state();
                match entry.session.heard(now, &packet, &mut self.actions) {
                    Ok(()) => {
                        entry.counters.received += 1;
                        self.perform(at, from, deeds);
                        Ok(())
                    }
                    // It knows: the last word need not be said again.
                    Err(Refused::AdminDown) if packet.state < SessionState::Init => {
                        entry.ending = Some((0, now));
                        Ok(())
                    }
                    Err(refused) => Err(self.refuse(Some(at), refused)),
                }
            }
            Err(refused) => {
                let at = match refused {
                    // Who knows its discriminator means this session, wherever it speaks from.
                    Refused::Source { wanted, .. } => self
                        .entries
                        .iter()
                        .position(|entry| entry.config.neighbor == wanted),
                    _ => self.neighbor(datagram),
                };
                Err(self.refuse(at, refused))
            }
        }
    }

    fn addressed(&self, datagram: &Datagram<'_>) -> Result<(usize, ControlPacket), Refused> {
        let packet = ControlPacket::read(datagram.bytes)?;
        let at = match packet.your_discriminator {
            0 => self
                .neighbor(datagram)
                .ok_or(Refused::Stranger(datagram.source))?,
            ours => {
                let mut entries = self.entries.iter();
                entries
                    .position(|entry| entry.session.discriminator() == ours)
                    .ok_or(Refused::YourDiscriminator(ours))?
            }
        };
        let config = &self.entries[at].config;
        // Stricter than RFC 5880 section 6.3, which lets a neighbour move: ours are configured by address.
        if config.neighbor != datagram.source {
            return Err(Refused::Source {
                found: datagram.source,
                wanted: config.neighbor,
            });
        }
        if !self.entries[at].is_on_its_interface(datagram) {
            return Err(Refused::Interface {
                found: datagram.interface,
                wanted: self.entries[at].interface,
            });
        }
        // RFC 5881 section 5 with a TTL of 255; as keepalived the one to begin with is what we send ourselves.
        let least = config.ttl.saturating_sub(config.max_hops);
        if config.max_hops != u8::MAX && datagram.ttl < least {
            return Err(Refused::Ttl {
                found: datagram.ttl,
                least,
            });
        }
        Ok((at, packet))
    }

    /// The session whose neighbour sent it; if only the interface is not right, one that has the address.
    fn neighbor(&self, datagram: &Datagram<'_>) -> Option<usize> {
        let has_its_ends = |entry: &&Entry| {
            let config = &entry.config;
            entry.ending.is_none()
                && config.neighbor == datagram.source
                && config
                    .source
                    .is_none_or(|source| source == datagram.destination)
        };
        let on_its_interface =
            |entry: &Entry| has_its_ends(&entry) && entry.is_on_its_interface(datagram);
        let mut entries = self.entries.iter();
        let found = entries.position(on_its_interface);
        found.or_else(|| {
            let mut entries = self.entries.iter();
            entries.position(|entry| has_its_ends(&entry))
        })
    }

    fn refuse(&mut self, at: Option<usize>, refused: Refused) -> RefusedPacket {
        let name = at.and_then(|at| self.entries.get_mut(at)).map(|entry| {
            let counters = &mut entry.counters;
            *counters.refused.entry(refused.reason()).or_default() += 1;
            entry.name.clone()
        });
        RefusedPacket { name, refused }
    }

    /// Counts what a session decided, and says whose it is.
    fn perform(&mut self, at: usize, from: SessionState, deeds: &mut Vec<Deed>) {
        let entry = &mut self.entries[at];
        let up = SessionState::Up;
        let to = entry.session.state();
        if self.actions.contains(&Action::Tell) {
            entry.counters.ups += u64::from(from != up && to == up);
            entry.counters.downs += u64::from(from == up && to != up);
        }
        for action in self.actions.drain(..) {
            let name = entry.name.clone();
            deeds.push(match action {
                Action::Send(packet) => {
                    entry.counters.sent += 1;
                    let bytes = packet.write();
                    Deed::Send { name, bytes }
                }
                Action::Tell => Deed::Tell { name, from },
            });
        }
    }
}

/// What of a definition is the session's.
fn settings(config: &BfdInstance) -> Settings {
    Settings {
        neighbor: config.neighbor,
        min_rx: config.min_rx,
        min_tx: config.min_tx,
        idle_tx: config.idle_tx,
        multiplier: config.multiplier,
        passive: config.passive,
    }
}

fn plain(config: &BfdInstance) -> BfdInstance {
    let mut plain = config.clone();
    plain.name.span = config::Span::default();
    plain.span = config::Span::default();
    plain
}
