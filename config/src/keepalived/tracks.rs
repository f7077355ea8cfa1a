//! The typed model of what is tracked: by whom, with which weight, and what the items are.

use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::model::Notify;
use super::places::Places;
use super::shared::Shared;
use crate::source::{Span, Word};

/// `min_rx` and `min_tx` of a BFD session, by default.
const DEFAULT_INTERVAL: Duration = Duration::from_millis(10);

/// An entry of a `track_*` block.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tracked<T> {
    /// What: an index into a list of [`KeepalivedConfig`], or a name.
    pub item: T,
    /// `weight` here, else the item's own; 0 means FAULT while it is down.
    pub weight: i32,
    /// `reverse`: the weight's sign is turned round; with weight 0, FAULT while it is up.
    pub reverse: bool,
}

/// All that an instance or a sync group tracks.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tracks {
    /// `track_script`: into [`KeepalivedConfig::scripts`].
    pub scripts: Vec<Tracked<usize>>,
    /// `track_interface`, by name.
    pub interfaces: Vec<Tracked<Word>>,
    /// `track_file`: into [`KeepalivedConfig::track_files`].
    pub files: Vec<Tracked<usize>>,
    /// `track_process`: into [`KeepalivedConfig::track_processes`].
    pub processes: Vec<Tracked<usize>>,
    /// `track_bfd`: into [`KeepalivedConfig::bfd_instances`].
    pub bfds: Vec<Tracked<usize>>,
    /// `track_backend` (ours): backends of the proxy, by name.
    pub backends: Vec<Tracked<Word>>,
}

/// `vrrp_sync_group NAME { … }`: instances that move together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SyncGroup {
    /// Its name.
    pub name: Word,
    /// `group`: into [`KeepalivedConfig::instances`]; no instance is in two groups.
    pub members: Vec<usize>,
    /// `track_*`: they count for every member.
    pub tracks: Shared<Tracks>,
    /// `notify*`.
    pub notify: Notify,
    /// `smtp_alert`.
    pub smtp_alert: bool,
    /// `sync_group_tracking_weight`: the weights of what the members track count.
    pub tracking_weight: bool,
    /// Where its keywords stand, for the checks of `-c`.
    #[serde(skip)]
    pub places: Places,
    /// The block's first line.
    pub span: Span,
}

/// `track_file NAME { … }`: a file that holds a number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrackFile {
    /// Its name.
    pub name: Word,
    /// `file`.
    pub file: String,
    /// `weight`, 1 by default: the number is multiplied by it; 0 means FAULT unless the number is 0.
    pub weight: i32,
    /// `weight … reverse`: the product is subtracted.
    pub reverse: bool,
    /// `init_file`: what is written at the start.
    pub init: Option<InitFile>,
}

/// `init_file [VALUE] [overwrite]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InitFile {
    /// The number, 0 by default.
    pub value: i64,
    /// Also over what is there.
    pub overwrite: bool,
}

/// `vrrp_track_process NAME { … }`: how many processes of a kind there are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrackProcess {
    /// Its name.
    pub name: Word,
    /// Which processes.
    pub process: ProcessMatch,
    /// `weight`, 0 by default as in keepalived 2.2.7, whatever its manual says; 0 means FAULT while there are too few or too many.
    pub weight: i32,
    /// `weight … reverse`: see [`Tracked::reverse`].
    pub reverse: bool,
    /// `quorum`: least number of processes, 1 by default.
    pub quorum: u32,
    /// `quorum_max`: largest number of processes.
    pub quorum_max: Option<u32>,
    /// `fork_delay`: how long there must be enough before it counts.
    pub fork_delay: Duration,
    /// `terminate_delay`: how long there must be too few before it counts.
    pub terminate_delay: Duration,
}

/// Which processes a `vrrp_track_process` means.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessMatch {
    /// The name, or the command when the whole command line counts.
    pub command: String,
    /// Parameters of the command.
    pub parameters: Vec<String>,
    /// Whether the command line counts and not the process's name: `full_command`, parameters or `param_match` were written.
    pub full_command: bool,
    /// `param_match`.
    pub parameter_match: ParameterMatch,
}

/// `param_match`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ParameterMatch {
    /// All parameters, exactly.
    #[default]
    Exact,
    /// `partial`: the first ones, exactly; more may follow.
    Partial,
    /// `initial`: as many, and the last one may go on.
    Initial,
}

/// `bfd_instance NAME { … }`: a BFD session (RFC 5880, asynchronous mode).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BfdInstance {
    /// Its name.
    pub name: Word,
    /// `neighbor_ip`.
    pub neighbor: IpAddr,
    /// `neighbor_ip …%INTERFACE`, of a link-local address (ours): where it is.
    pub interface: Option<String>,
    /// `source_ip`.
    pub source: Option<IpAddr>,
    /// `min_rx`, 10 ms by default.
    pub min_rx: Duration,
    /// `min_tx`, 10 ms by default.
    pub min_tx: Duration,
    /// `idle_tx`, 1 s by default.
    pub idle_tx: Duration,
    /// `multiplier`, 5 by default.
    pub multiplier: u8,
    /// `passive`: wait until the neighbour speaks.
    pub passive: bool,
    /// `ttl` or `hoplimit`: 255 by default, 64 for IPv6.
    pub ttl: u8,
    /// `max_hops`: how much less than `ttl` the TTL of what is heard may be; 255 does not look.
    pub max_hops: u8,
    /// `weight`, 0 by default.
    pub weight: i32,
    /// `weight … reverse`: see [`Tracked::reverse`].
    pub reverse: bool,
    /// Instances and sync groups are told of its changes: `vrrp`, or `checker` is not written.
    pub tells_vrrp: bool,
    /// The block's first line.
    pub span: Span,
}

impl BfdInstance {
    /// One with this neighbour and keepalived's defaults.
    pub fn new(name: Word, neighbor: IpAddr) -> Self {
        Self {
            name,
            neighbor,
            interface: None,
            source: None,
            min_rx: DEFAULT_INTERVAL,
            min_tx: DEFAULT_INTERVAL,
            idle_tx: Duration::from_secs(1),
            multiplier: 5,
            passive: false,
            ttl: if neighbor.is_ipv4() { 255 } else { 64 },
            max_hops: 0,
            weight: 0,
            reverse: false,
            tells_vrrp: true,
            span: Span::default(),
        }
    }

    /// Whether the neighbour is to be looked for on one interface alone.
    pub fn is_link_local(&self) -> bool {
        matches!(self.neighbor, IpAddr::V6(address) if address.is_unicast_link_local())
    }
}
