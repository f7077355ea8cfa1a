//! The vrrp process: virtual routers on this node, their addresses, and what they watch.
//!
//! [`core`] is the protocol without sockets or clocks; [`bfd`] is another one, of sessions that instances track. [`packet`] turns advertisements into bytes and back.
//! The driver performs what the core decides: it owns the sockets, netlink, the timers, and the channels to
//! the supervisor (which runs scripts for us) and to the control process (which shows and steers us).

pub mod bfd;
mod cleanup;
pub mod core;
mod driver;
mod network;
pub mod packet;
pub mod watch;

use std::process::ExitCode;

pub use cleanup::remove_addresses;
use config::keepalived::KeepalivedConfig;
use serde::{Deserialize, Serialize};
use sys::channel::Channel;

/// What the process is told at its birth, and again when the configuration changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Setup {
    /// The instances and what they track.
    pub config: KeepalivedConfig,
    /// Whether this daemon has a proxy of its own, whose health answers the proxy-alive scripts.
    pub proxy_configured: bool,
    /// The end of the process leaves its addresses for the next one.
    pub keep_addresses: bool,
    /// The node's name: the `router_id` when none is configured.
    pub node: String,
    /// What the process before said last ([`protocol::process::FromChild::Remember`]); empty if nothing is known.
    pub remembered: Vec<u8>,
}

/// Runs the virtual routers until the supervisor says stop, vanishes, or SIGTERM or SIGINT comes.
///
/// Wants a `current_thread` runtime with I/O and time of its own, CAP_NET_ADMIN and CAP_NET_RAW. Returns
/// success after an orderly end: priority 0 said, addresses removed, `notify_stop` run.
pub async fn run(setup: Setup, supervisor: Channel, control: Option<Channel>) -> ExitCode {
    driver::run(setup, supervisor, control).await
}
