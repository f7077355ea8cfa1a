//! The typed model of a `keepalived.conf`, as keepalived.conf(5) defines its words.

use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::addressing::{Addressing, Announcing, GarpGroup, InterfaceDelay, Statics, Vmac};
use super::dbus::Dbus;
use super::hmac::AuthHmac;
use super::life::Life;
pub use super::notify::{GlobalNotify, Notify, NotifyCommand, NotifyFifo, PreRelease};
use super::places::Places;
pub use super::rare::Rare;
pub use super::shared::Shared;
pub use super::tracks::*;
use crate::source::{Span, Word};

/// A whole keepalived configuration.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct KeepalivedConfig {
    /// `global_defs`.
    pub global: GlobalDefs,
    /// `net_namespace`: the whole daemon lives in this network namespace.
    pub net_namespace: Option<Word>,
    /// `garp_group` blocks.
    pub garp_groups: Vec<GarpGroup>,
    /// `interface_up_down_delays`.
    pub interface_delays: Vec<InterfaceDelay>,
    /// `static_ipaddress`, `static_routes` and `static_rules`.
    pub statics: Statics,
    /// `vrrp_script` blocks, in any order relative to their users.
    pub scripts: Vec<VrrpScript>,
    /// `track_file` blocks.
    pub track_files: Vec<TrackFile>,
    /// `vrrp_track_process` blocks.
    pub track_processes: Vec<TrackProcess>,
    /// `bfd_instance` blocks.
    pub bfd_instances: Vec<BfdInstance>,
    /// `vrrp_instance` blocks.
    #[serde(deserialize_with = "super::shared::instances")]
    pub instances: Vec<VrrpInstance>,
    /// `vrrp_sync_group` blocks.
    pub sync_groups: Vec<SyncGroup>,
}

/// `vrrp_version` and `version`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Version {
    /// RFC 3768: whole seconds, IPv4.
    #[default]
    V2,
    /// RFC 5798: centiseconds, IPv4 and IPv6.
    V3,
}

impl Version {
    /// Its number on the wire.
    pub fn number(self) -> u8 {
        match self {
            Self::V2 => 2,
            Self::V3 => 3,
        }
    }
}

/// `global_defs { … }`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GlobalDefs {
    /// `router_id`; the host name by default.
    pub router_id: Option<String>,
    /// `notification_email`: recipients of `smtp_alert`.
    pub notification_email: Vec<String>,
    /// `notification_email_from`.
    pub notification_email_from: Option<String>,
    /// `smtp_server HOST [PORT]`; the name is kept as written and resolved when used.
    pub smtp_server: Option<(String, u16)>,
    /// `smtp_connect_timeout`, 30 s by default.
    pub smtp_connect_timeout: Duration,
    /// `smtp_helo_name`; the host name by default.
    pub smtp_helo_name: Option<String>,
    /// FIFOs, and what all instances do that do not say otherwise.
    pub notify: GlobalNotify,
    /// `vrrp_mcast_group4`, 224.0.0.18 by default.
    pub vrrp_mcast_group4: std::net::Ipv4Addr,
    /// `vrrp_mcast_group6`, ff02::12 by default.
    pub vrrp_mcast_group6: std::net::Ipv6Addr,
    /// `vrrp_garp_master_delay`, 5 s by default: the second burst of gratuitous ARPs.
    pub garp_master_delay: Duration,
    /// `vrrp_garp_master_repeat`, 5 by default: messages in a burst.
    pub garp_master_repeat: u32,
    /// `vrrp_garp_master_refresh`, 0 (off) by default.
    pub garp_master_refresh: Duration,
    /// `vrrp_garp_master_refresh_repeat`, 1 by default.
    pub garp_master_refresh_repeat: u32,
    /// More about announcements and virtual MACs.
    pub announcing: Announcing,
    /// `default_interface`, of static addresses; eth0 by default.
    pub default_interface: String,
    /// `enable_dbus` and its names.
    pub dbus: Dbus,
    /// `script_user USER [GROUP]`.
    pub script_user: Option<(String, Option<String>)>,
    /// `enable_script_security`.
    pub enable_script_security: bool,
    /// `vrrp_skip_check_adv_addr`.
    pub skip_check_adv_addr: bool,
    /// `vrrp_strict`.
    pub strict: bool,
    /// `vrrp_startup_delay`, 0 by default.
    pub startup_delay: Duration,
    /// `vrrp_delay_after_boot`, 0 by default: the same, counted from the system's boot.
    pub delay_after_boot: Duration,
    /// `vrrp_version`, 2 by default; instances with IPv6 addresses speak version 3 whatever it says.
    pub vrrp_version: Version,
    /// `vrrp_down_timer_adverts`, 3 by default.
    pub down_timer_adverts: u32,
    /// `vrrp_higher_prio_send_advert`; on unless it is turned off.
    pub higher_prio_send_advert: bool,
    /// `vrrp_lower_prio_no_advert`.
    pub lower_prio_no_advert: bool,
    /// The daemon's own life: its scripts, its scheduling, its packet filter.
    pub life: Rare<Life>,
    /// Where its keywords stand, for the checks of `-c`.
    #[serde(skip)]
    pub places: Places,
}

impl Default for GlobalDefs {
    fn default() -> Self {
        Self {
            router_id: None,
            notification_email: Vec::new(),
            notification_email_from: None,
            smtp_server: None,
            smtp_connect_timeout: Duration::from_secs(30),
            smtp_helo_name: None,
            notify: GlobalNotify::default(),
            vrrp_mcast_group4: std::net::Ipv4Addr::new(224, 0, 0, 18),
            vrrp_mcast_group6: std::net::Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x12),
            garp_master_delay: Duration::from_secs(5),
            garp_master_repeat: 5,
            garp_master_refresh: Duration::ZERO,
            garp_master_refresh_repeat: 1,
            announcing: Announcing::default(),
            default_interface: "eth0".to_owned(),
            dbus: Dbus::default(),
            script_user: None,
            enable_script_security: false,
            skip_check_adv_addr: false,
            strict: false,
            startup_delay: Duration::ZERO,
            delay_after_boot: Duration::ZERO,
            vrrp_version: Version::V2,
            down_timer_adverts: 3,
            higher_prio_send_advert: true,
            lower_prio_no_advert: false,
            life: Rare::default(),
            places: Places::default(),
        }
    }
}

/// What a tracked script asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ScriptKind {
    /// Run this command line, split into words, without a shell.
    Run(Vec<String>),
    /// "Is the proxy alive" (`killall -0 haproxy`, `pidof haproxy`, `pgrep haproxy`,
    /// `systemctl is-active haproxy` and their usual spellings): answered from the worker's heartbeat.
    ProxyAlive,
}

/// `vrrp_script NAME { … }`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VrrpScript {
    /// Its name.
    pub name: Word,
    /// What it asks.
    pub kind: ScriptKind,
    /// The command as written, for logs and screens.
    pub command: String,
    /// `interval`, 1 s by default.
    pub interval: Duration,
    /// `timeout`; the interval by default.
    pub timeout: Duration,
    /// `weight`, -253 to 253, 0 by default; 0 means FAULT on failure.
    pub weight: i32,
    /// `weight … reverse`: see [`Tracked::reverse`].
    pub reverse: bool,
    /// `rise`, 1 by default: successes until it counts as up.
    pub rise: u32,
    /// `fall`, 1 by default: failures until it counts as down.
    pub fall: u32,
    /// `init_fail`: assume failure until the first result.
    pub init_fail: bool,
    /// `user USER [GROUP]`.
    pub user: Option<(String, Option<String>)>,
    /// Where its keywords stand, for the checks of `-c`.
    #[serde(skip)]
    pub places: Places,
}

/// `state`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum InitialState {
    /// `MASTER`. No head start below priority 255.
    Master,
    /// `BACKUP`, the default.
    #[default]
    Backup,
}

/// `authentication { … }`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Authentication {
    /// `auth_type PASS`: the password's first 8 octets, zero-filled, as keepalived sends them.
    Pass([u8; 8]),
    /// `auth_type AH`: the key of the authentication header, cut and filled likewise.
    Ah([u8; 8]),
}

/// A `preferred_lft` without end.
pub const FOREVER: u32 = u32::MAX;

/// What the checksum of version 3 over IPv4 covers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Checksum {
    /// The addresses of the IP header too (RFC 5798); after a peer that does otherwise was heard, as it does.
    #[default]
    WithPseudoHeader,
    /// `v3_checksum_as_v2`: the packet alone (RFC 9568).
    WithoutPseudoHeader,
    /// `old_unicast_checksum`: as keepalived did up to 1.3.6.
    OldUnicast,
    /// `old_unicast_checksum never`: with the addresses, whatever a peer does.
    NeverOldUnicast,
}

/// `min_ttl` and `max_ttl` of a `unicast_peer`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerTtl {
    /// The peer.
    pub peer: IpAddr,
    /// Least TTL or hop limit of its packets, 0 by default.
    pub min: u8,
    /// Greatest, 255 by default.
    pub max: u8,
}

/// An entry of `virtual_ipaddress` or `static_ipaddress`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VirtualAddress {
    /// The address.
    pub address: IpAddr,
    /// Prefix length; 32 (128 for IPv6) when none is written.
    pub prefix_length: u8,
    /// `brd`.
    pub broadcast: Option<std::net::Ipv4Addr>,
    /// `peer`: the other end of a point-to-point link.
    pub peer: Option<IpAddr>,
    /// `dev`; the instance's interface when none is written.
    pub device: Option<String>,
    /// `label`.
    pub label: Option<String>,
    /// `scope`, as the kernel's number (0 global, 253 link, 254 host).
    pub scope: u8,
    /// `preferred_lft` in seconds, [`FOREVER`] by default; 0, the default of an IPv6 address with /128, deprecates it.
    pub preferred_lft: u32,
    /// The kernel's flags (IFA_F_*): `home`, `mngtmpaddr`, `noprefixroute`, `autojoin`, and "nodad" for IPv6 without `-nodad`.
    pub flags: u32,
    /// `no_track`: is not put back when somebody removes it.
    pub no_track: bool,
    /// `track_group` of a static one.
    pub track_group: Option<Word>,
    /// The virtual MAC that it is on, other than the instance's own (`use_vmac`, `use_vmac_addr`).
    pub vmac: Option<Box<Vmac>>,
    /// Where it was written.
    pub span: Span,
}

/// `vrrp_instance NAME { … }`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VrrpInstance {
    /// Its name.
    pub name: Word,
    /// `state`.
    pub state: InitialState,
    /// `interface`.
    pub interface: String,
    /// `version`; the global one when none is written, and 3 where the addresses are IPv6.
    pub version: Version,
    /// `virtual_router_id`, 1 to 255.
    pub virtual_router_id: u8,
    /// `priority`, 1 to 255; by default 100, with `state MASTER` 255.
    pub priority: u8,
    /// `advert_int`, whole seconds in version 2, hundredths up to 40.95 s in version 3, 1 s by default.
    pub advert_int: Duration,
    /// `authentication`.
    pub authentication: Option<Authentication>,
    /// `auth_hmac`; `authentication` is nothing then.
    pub auth_hmac: Option<Box<AuthHmac>>,
    /// `virtual_ipaddress`, in order: they go into the advertisement.
    pub virtual_addresses: Vec<VirtualAddress>,
    /// `virtual_ipaddress_excluded`: set up, but not in the advertisement.
    pub excluded_addresses: Vec<VirtualAddress>,
    /// `nopreempt`, already cleared when `state MASTER` makes keepalived clear it.
    pub nopreempt: bool,
    /// `preempt_delay`, 0 by default.
    pub preempt_delay: Duration,
    /// `timer_expired_backup`: the highest priority of the others. A master with `nopreempt` that did not run for so long
    /// that a router of this priority may have taken over becomes backup.
    pub timer_expired_backup: Option<u8>,
    /// `unicast_src_ip`, or `mcast_src_ip`: the source of our advertisements.
    pub source_address: Option<IpAddr>,
    /// `mcast_dst_ip`: another group than the global one.
    pub group: Option<IpAddr>,
    /// `unicast_peer`: send to these instead of to the group; empty means multicast.
    pub unicast_peers: Vec<IpAddr>,
    /// `min_ttl` and `max_ttl` of those peers that have some.
    pub peer_ttls: Vec<PeerTtl>,
    /// `unicast_ttl`, 255 by default: TTL or hop limit of what we send to peers.
    pub unicast_ttl: u8,
    /// `unicast_fault_no_peer` where there is no peer: the instance stays in FAULT.
    pub unicast_fault_no_peer: bool,
    /// `skip_check_adv_addr`: the address list of the master is compared once only.
    pub skip_check_adv_addr: bool,
    /// `v3_checksum_as_v2`, `old_unicast_checksum`.
    pub checksum: Checksum,
    /// `strict_mode`; what it forbids is out of the other fields already.
    pub strict: bool,
    /// `track_*`.
    pub tracks: Shared<Tracks>,
    /// `dont_track_primary`.
    pub dont_track_primary: bool,
    /// `track_src_ip`: FAULT while the configured source address is not on this node.
    pub track_src_ip: bool,
    /// `down_timer_adverts`: intervals of silence before the skew time begins, 3 by default.
    pub down_timer_adverts: u32,
    /// `higher_prio_send_advert`: who yields says so once. Here it does unless this is turned off.
    pub higher_prio_send_advert: bool,
    /// `lower_prio_no_advert`: a lower advertisement is not answered.
    pub lower_prio_no_advert: bool,
    /// `garp_master_delay`; the global one when none is written.
    pub garp_master_delay: Duration,
    /// `garp_master_repeat`; the global one when none is written.
    pub garp_master_repeat: u32,
    /// `garp_master_refresh`; the global one when none is written.
    pub garp_master_refresh: Duration,
    /// `garp_master_refresh_repeat`; the global one when none is written.
    pub garp_master_refresh_repeat: u32,
    /// Announcements, routes, rules, and the virtual MAC.
    pub addressing: Shared<Addressing>,
    /// `notify*` and `pre_release`.
    pub notify: Rare<Notify>,
    /// `smtp_alert`.
    pub smtp_alert: bool,
    /// Where its keywords stand, for the proofs of `-c`; empty behind a channel between processes.
    #[serde(skip)]
    pub places: Places,
    /// The block's first line.
    pub span: Span,
}

impl VrrpInstance {
    /// Whether its advertisements travel by IPv6: its family is that of its virtual addresses.
    pub fn is_ipv6(&self) -> bool {
        self.virtual_addresses
            .first()
            .is_some_and(|entry| entry.address.is_ipv6())
    }
}
