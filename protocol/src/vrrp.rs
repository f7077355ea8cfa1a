//! What the vrrp process tells and is asked.

use serde::{Deserialize, Serialize};

use crate::event::Event;
use crate::operation::{Operation, Refusal};

/// State of an instance in keepalived's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum VrrpState {
    Init,
    Backup,
    Master,
    Fault,
}

impl std::fmt::Display for VrrpState {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Init => "INIT",
            Self::Backup => "BACKUP",
            Self::Master => "MASTER",
            Self::Fault => "FAULT",
        })
    }
}

/// What a tracked item does to an instance now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Effect {
    /// Adds this to the priority (may be negative or 0).
    Priority(i32),
    /// Holds the instance in FAULT.
    Fault,
}

/// A tracked item's share in an instance's priority.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// `script chk_haproxy`, `interface eth0`, `proxy`.
    pub item: String,
    /// Whether it is well.
    pub healthy: bool,
    /// What it does now.
    pub effect: Effect,
    /// Why: `exit status 1, 3 of 3 failures`, `answered by the worker's heartbeat`.
    pub detail: String,
}

/// Another router of the same virtual router, as last heard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerSeen {
    /// Its address.
    pub address: String,
    /// Its priority; 0 means that it resigned.
    pub priority: u8,
    /// Milliseconds since its last advertisement.
    pub age_ms: u64,
    /// Advertisements heard from it.
    pub adverts: u64,
}

/// A change of state with its reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transition {
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// From.
    pub from: VrrpState,
    /// To.
    pub to: VrrpState,
    /// Which packet, timer, tracked item or operator.
    pub reason: String,
}

/// Most transitions that an instance remembers.
pub const MAX_TRANSITIONS: usize = 16;

/// Packets of an instance that were counted, by what became of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VrrpCounters {
    /// Advertisements sent.
    pub adverts_sent: u64,
    /// Valid advertisements heard.
    pub adverts_received: u64,
    /// Priority-0 advertisements sent.
    pub resignations_sent: u64,
    /// Priority-0 advertisements heard.
    pub resignations_received: u64,
    /// Times that it became master.
    pub became_master: u64,
    /// Gratuitous ARPs sent.
    pub gratuitous_arps_sent: u64,
    /// Refused packets by reason (`checksum`, `ttl`, `authentication`, `length`, …), sorted by reason.
    pub refused: Vec<(String, u64)>,
}

/// All that is to be known about an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceSnapshot {
    /// Its name.
    pub name: String,
    /// Its interface.
    pub interface: String,
    /// Virtual router id.
    pub vrid: u8,
    /// Where it is.
    pub state: VrrpState,
    /// Since when, in milliseconds since 1970.
    pub since_ms: u64,
    /// Configured priority.
    pub base_priority: u8,
    /// Priority after tracking, 1 to 254 (255 for the owner).
    pub effective_priority: u8,
    /// What makes the difference.
    pub shares: Vec<Share>,
    /// Advertisement interval in milliseconds.
    pub advert_interval_ms: u64,
    /// The interval of the master in milliseconds, where it is not our own and we follow it (version 3).
    pub master_interval_ms: Option<u64>,
    /// `nopreempt`.
    pub nopreempt: bool,
    /// `preempt_delay` in milliseconds.
    pub preempt_delay_ms: u64,
    /// The virtual addresses, with prefix length.
    pub addresses: Vec<String>,
    /// Whether they are on this node now.
    pub addresses_present: bool,
    /// How advertisements are authenticated, in words; never a key.
    pub authentication: String,
    /// Our own address in advertisements.
    pub source: String,
    /// The router that we hold for the master when it is not us.
    pub master: Option<PeerSeen>,
    /// All routers heard, most recent first; at most 8.
    pub peers: Vec<PeerSeen>,
    /// An operator gave the addresses away here (`vrrp failover`) and has not asked them back.
    pub held: bool,
    /// Two masters are seen: we are master and heard another within its own interval.
    pub conflict: bool,
    /// Latest last; at most [`MAX_TRANSITIONS`].
    pub transitions: Vec<Transition>,
    /// The BFD sessions that it or its sync group tracks.
    pub bfd: Vec<BfdSnapshot>,
    /// Counted packets.
    pub counters: VrrpCounters,
    /// Which member of its sync group decided who is master of the whole group, and why, where links elected different
    /// nodes when it took over or let another node do so; else empty.
    pub decided: String,
}

/// In words, the diagnostic of who heard nothing for the detection time (RFC 5880 section 4.1, 1).
pub const BFD_EXPIRED: &str = "control detection time expired";
/// In a session's [`BfdSnapshot::detail`], before what keeps this node itself from speaking or hearing.
pub const BFD_OWN_TROUBLE: &str = "; here: ";

/// All that is to be known about a BFD session (`bfd_instance`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BfdSnapshot {
    /// Its name.
    pub name: String,
    /// The neighbour's address.
    pub neighbor: String,
    /// The interface that a link-local neighbour is on, if it is configured; else empty.
    pub interface: String,
    /// Our address; empty if the kernel chooses.
    pub source: String,
    /// `AdminDown`, `Down`, `Init` or `Up`.
    pub state: String,
    /// Whether it counts as up for those who track it: it is Up, or its neighbour took it down on purpose (RFC 5882 3.2).
    pub up: bool,
    /// Since when, in milliseconds since 1970.
    pub since_ms: u64,
    /// State and why: which packet, which timer, and what keeps it from working.
    pub detail: String,
    /// Why it left Up last, as the neighbour is told.
    pub diagnostic: String,
    /// The neighbour's state as it said last; empty while nothing is known of it.
    pub remote_state: String,
    /// The neighbour's diagnostic as it said last; empty before its first packet.
    pub remote_diagnostic: String,
    /// Milliseconds since its last valid packet.
    pub heard_ms: Option<u64>,
    /// Our number for the session.
    pub discriminator: u32,
    /// The neighbour's; 0 while nothing is known of it.
    pub remote_discriminator: u32,
    /// Longest pause between two packets of ours, in microseconds.
    pub transmit_interval_us: u64,
    /// Longest pause between two packets of the neighbour, in microseconds.
    pub receive_interval_us: u64,
    /// How many packets of ours the neighbour may miss.
    pub multiplier: u8,
    /// How many of its packets may be missed; 1 while nothing is known of it.
    pub remote_multiplier: u8,
    /// Longest silence of the neighbour that is no failure, in microseconds.
    pub detection_time_us: u64,
    /// Packets sent.
    pub sent: u64,
    /// Valid packets heard.
    pub received: u64,
    /// Times that it came up.
    pub ups: u64,
    /// Times that it left Up.
    pub downs: u64,
    /// Refused packets by reason, sorted.
    pub refused: Vec<(String, u64)>,
}

/// Asked of the vrrp process by the control process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum VrrpAsk {
    /// All instances.
    Show,
    /// Announce the addresses of this instance once more, by gratuitous ARP or neighbour advertisement.
    Announce(String),
    /// A change (`VrrpFailover`, `VrrpFailback`).
    Do(Operation),
}

/// A request with its number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VrrpRequest {
    /// Comes back in the answer.
    pub id: u64,
    /// What.
    pub ask: VrrpAsk,
}

/// Told by the vrrp process to the control process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum VrrpTell {
    /// Answer to [`VrrpAsk::Show`].
    Instances {
        /// The request's number.
        id: u64,
        /// All BFD sessions in order of configuration, whether they are tracked or not.
        sessions: Vec<BfdSnapshot>,
        /// All instances in order of configuration.
        instances: Vec<InstanceSnapshot>,
    },
    /// Answer to [`VrrpAsk::Announce`] and [`VrrpAsk::Do`]: what was done, or why not.
    Done {
        /// The request's number.
        id: u64,
        /// Outcome.
        result: Result<String, Refusal>,
    },
    /// Something happened.
    Event(Event),
}
