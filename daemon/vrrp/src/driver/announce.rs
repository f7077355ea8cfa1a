//! Gratuitous ARPs and unsolicited neighbour advertisements: the network learns where the virtual addresses are.
//!
//! They wait in lanes, one for each interface or `garp_group` and each of the two kinds, and leave with the
//! spacing that the configuration asks for. Nobody waits for them: advertisements and timers come in between.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use config::keepalived::KeepalivedConfig;
use protocol::Refusal;
use sys::neighbour::{NEIGHBOUR_ADVERTISEMENT_BYTES, neighbour_advertisement};
use sys::packet::{FrameSocket, gratuitous_arp};

use super::Driver;
use super::unit::Unit;
use crate::core::{Burst, Moment};
use crate::network::View;

/// Messages that may wait in a lane, a message that is repeated counted once; more are dropped and told.
const MAX_WAITING: usize = 16_384;
/// Messages that leave in one turn of the driver.
const MESSAGES_A_TURN: usize = 128;
/// Pause after so many, for what else there is to do.
const TURN_PAUSE: Duration = Duration::from_millis(1);

/// Which of the two a message is: they have intervals of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Arp,
    Neighbour,
}

enum Frame {
    Arp([u8; 42]),
    Neighbour([u8; NEIGHBOUR_ADVERTISEMENT_BYTES]),
}

impl Frame {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Arp(bytes) => bytes,
            Self::Neighbour(bytes) => bytes,
        }
    }
}

/// A message for one address.
struct Waiting {
    /// The instance that it is of.
    owner: Arc<str>,
    /// The interface.
    index: u32,
    frame: Frame,
    /// How often it is still to be sent.
    rounds: u32,
}

#[derive(Default)]
struct Lane {
    /// Least time between two messages.
    interval: Duration,
    /// When the next one may leave.
    next_at: Moment,
    waiting: VecDeque<Waiting>,
}

/// What a turn did for an instance.
pub(super) struct Sent {
    /// The instance.
    pub(super) owner: Arc<str>,
    /// Messages that left.
    pub(super) count: u64,
}

/// All lanes.
pub(super) struct Announcer {
    socket: FrameSocket,
    /// By the interface's name, or the group's number.
    lanes: BTreeMap<(Place, Kind), Lane>,
    intervals: (Duration, Duration),
    groups: Vec<config::keepalived::GarpGroup>,
}

/// What shares a lane.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Interface(u32),
    Group(usize),
}

impl Announcer {
    /// Opens the socket. Needs CAP_NET_RAW.
    pub(super) fn open() -> std::io::Result<Self> {
        Ok(Self {
            socket: FrameSocket::open()?,
            lanes: BTreeMap::new(),
            intervals: (Duration::ZERO, Duration::ZERO),
            groups: Vec::new(),
        })
    }

    /// Takes the intervals of a configuration; what waits goes on with them.
    pub(super) fn configure(&mut self, config: &KeepalivedConfig) {
        let announcing = &config.global.announcing;
        self.intervals = (announcing.garp_interval, announcing.gna_interval);
        self.groups.clone_from(&config.garp_groups);
        let (intervals, groups) = (self.intervals, &self.groups);
        for ((place, kind), lane) in &mut self.lanes {
            let (arp, neighbour) = match place {
                Place::Interface(_) => intervals,
                Place::Group(number) => match groups.get(*number) {
                    Some(group) => (group.garp_interval, group.gna_interval),
                    None => intervals,
                },
            };
            lane.interval = match kind {
                Kind::Arp => arp,
                Kind::Neighbour => neighbour,
            };
        }
    }

    /// Lets a message wait for its turn; false if too many wait.
    fn queue(&mut self, device: &str, kind: Kind, message: Waiting) -> bool {
        let group = self
            .groups
            .iter()
            .position(|group| group.interfaces.iter().any(|name| name == device));
        let (place, (arp, neighbour)) = match group {
            Some(number) => {
                let group = &self.groups[number];
                (
                    Place::Group(number),
                    (group.garp_interval, group.gna_interval),
                )
            }
            None => (Place::Interface(message.index), self.intervals),
        };
        let lane = self.lanes.entry((place, kind)).or_default();
        lane.interval = match kind {
            Kind::Arp => arp,
            Kind::Neighbour => neighbour,
        };
        if lane.waiting.len() >= MAX_WAITING {
            return false;
        }
        lane.waiting.push_back(message);
        true
    }

    /// Forgets what waits for an instance: its addresses are not here any more.
    pub(super) fn forget(&mut self, owner: &str) {
        for lane in self.lanes.values_mut() {
            lane.waiting.retain(|message| &*message.owner != owner);
        }
    }

    /// When the next message may leave.
    pub(super) fn deadline(&self) -> Option<Moment> {
        self.lanes
            .values()
            .filter(|lane| !lane.waiting.is_empty())
            .map(|lane| lane.next_at)
            .min()
    }

    /// Sends what is due, and no more than a turn's worth.
    pub(super) fn turn(&mut self, now: Moment) -> Vec<Sent> {
        let mut sent: Vec<Sent> = Vec::new();
        let mut budget = MESSAGES_A_TURN;
        // A process that was held up between two messages must not make up for it: the spacing counts from when one has left.
        let begun = Instant::now();
        for lane in self.lanes.values_mut() {
            while lane.next_at <= now {
                let Some(mut message) = lane.waiting.pop_front() else {
                    break;
                };
                if budget == 0 {
                    lane.waiting.push_front(message);
                    lane.next_at = now + TURN_PAUSE;
                    break;
                }
                budget -= 1;
                match self.socket.send(message.index, message.frame.bytes()) {
                    Ok(()) => match sent.iter_mut().find(|one| one.owner == message.owner) {
                        Some(one) => one.count += 1,
                        None => sent.push(Sent {
                            owner: Arc::clone(&message.owner),
                            count: 1,
                        }),
                    },
                    Err(error) => {
                        tracing::debug!("{}: announcement not sent: {error}", message.owner);
                    }
                }
                lane.next_at = after(lane, now + begun.elapsed());
                message.rounds -= 1;
                if message.rounds > 0 {
                    lane.waiting.push_back(message);
                }
            }
        }
        self.lanes
            .retain(|_, lane| !lane.waiting.is_empty() || lane.next_at > now);
        sent
    }
}

/// When the message after one that leaves now may leave. Spacings finer than our timers are kept on average.
fn after(lane: &Lane, now: Moment) -> Moment {
    const TIMER: Duration = Duration::from_millis(1);
    if lane.interval >= TIMER {
        now + lane.interval
    } else {
        lane.next_at.max(now.saturating_sub(TIMER)) + lane.interval
    }
}

/// The messages of an instance's addresses, for the devices that `wanted` names.
fn messages(
    unit: &Unit,
    view: &View,
    rounds: u32,
    wanted: impl Fn(&str) -> bool,
) -> Vec<(String, Kind, Waiting)> {
    let owner: Arc<str> = Arc::from(unit.name());
    let mut found = Vec::new();
    for (device, entry) in unit.addresses() {
        let interface = view.get(device);
        let Some((interface, hardware)) = interface.and_then(|one| Some((one, one.hardware?)))
        else {
            continue;
        };
        if !wanted(device) {
            continue;
        }
        let (kind, frame) = match entry.address {
            IpAddr::V4(address) => (Kind::Arp, Frame::Arp(gratuitous_arp(hardware, address))),
            IpAddr::V6(address) => {
                let frame = neighbour_advertisement(hardware, address, interface.forwards_ipv6);
                (Kind::Neighbour, Frame::Neighbour(frame))
            }
        };
        let message = Waiting {
            owner: Arc::clone(&owner),
            index: interface.index,
            frame,
            rounds,
        };
        found.push((device.to_owned(), kind, message));
    }
    found
}

impl Driver {
    /// Announces an instance's addresses, address after address, round after round.
    pub(super) fn announce(&mut self, at: usize, burst: Burst) {
        let unit = &self.units[at];
        let rounds = match burst {
            Burst::Full => unit.config.garp_master_repeat,
            Burst::LowerPriority => unit.config.addressing.lower_prio_repeat,
            Burst::Refresh => unit.config.garp_master_refresh_repeat,
        };
        self.announce_where(at, rounds, |_| true);
    }

    /// `garp_extra_if`: the switches behind interfaces that carry no advertisements must not forget them.
    pub(super) fn announce_extra(&mut self, at: usize) {
        let now = self.now();
        let unit = &mut self.units[at];
        let Some(extra) = unit.config.addressing.extra_interfaces else {
            return;
        };
        unit.extra_at = unit.core.is_active().then_some(now + extra.every);
        let carries = unit.wire().to_owned();
        let vmacs = unit.config.vmacs();
        let vmacs: Vec<_> = vmacs.map(|(vmac, ..)| vmac.name.clone()).collect();
        self.announce_where(at, 1, |device| {
            device != carries && (extra.all || vmacs.iter().any(|name| name == device))
        });
    }

    /// One more announcement of each address, because an operator asks. A node without the addresses must not claim them.
    pub(super) fn announce_once(&mut self, instance: &str) -> Result<String, Refusal> {
        let Some(at) = self.find(instance) else {
            return Err(Refusal::NoSuchInstance(instance.to_owned()));
        };
        if !self.units[at].core.is_active() {
            let why = "not master here, so its addresses are another node's to announce";
            return Err(Refusal::Unsafe(format!("{instance}: {why}")));
        }
        self.announce_where(at, 1, |_| true);
        Ok(format!("{instance}: its addresses are announced again"))
    }

    fn announce_where(&mut self, at: usize, rounds: u32, wanted: impl Fn(&str) -> bool) {
        if rounds == 0 {
            return;
        }
        let mut dropped = 0;
        for (device, kind, message) in messages(&self.units[at], &self.network.view, rounds, wanted)
        {
            if !self.announcer.queue(&device, kind, message) {
                dropped += 1;
            }
        }
        if dropped > 0 {
            let name = self.units[at].name();
            tracing::warn!(
                "{name}: {dropped} announcements dropped: {MAX_WAITING} wait already on an interface"
            );
        }
        self.send_announcements();
    }

    /// Sends the announcements that are due.
    pub(super) fn send_announcements(&mut self) {
        let now = self.now();
        for sent in self.announcer.turn(now) {
            if let Some(unit) = self
                .units
                .iter_mut()
                .find(|unit| unit.name() == &*sent.owner)
            {
                unit.counters.gratuitous_arps_sent += sent.count;
            }
        }
    }
}
