//! `resolvers` sections, and how the name of a server is resolved.

use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::source::{Span, Word};

/// A `resolvers` section.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResolversConfig {
    /// Its name.
    pub name: Word,
    /// Name servers in order.
    pub nameservers: Vec<NameServer>,
    /// `accepted_payload_size` in bytes, 512 by default.
    pub payload_bytes: u16,
    /// `resolve_retries`, 3 by default.
    pub retries: u32,
    /// `timeout resolve`: the period of resolutions, 1 s by default.
    pub timeout_resolve: Duration,
    /// `timeout retry`: between two queries without an answer, 1 s by default.
    pub timeout_retry: Duration,
    /// `hold`.
    pub hold: Hold,
    /// The section's first line.
    pub span: Span,
}

/// `nameserver NAME ADDRESS`, or the place of `parse-resolv-conf`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NameServer {
    /// A server.
    Address {
        /// Its name.
        name: Word,
        /// Where it answers.
        address: std::net::SocketAddr,
        /// `tcp@`: asked over TCP only.
        tcp: bool,
    },
    /// The servers of `/etc/resolv.conf`.
    ResolvConf(Span),
}

/// `hold STATUS PERIOD`: how long the last good answer stays good after an answer of another kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Hold {
    pub valid: Duration,
    pub obsolete: Duration,
    pub nx: Duration,
    pub timeout: Duration,
    pub refused: Duration,
    pub other: Duration,
}

impl Default for Hold {
    fn default() -> Self {
        const BAD: Duration = Duration::from_secs(30);
        Self {
            valid: Duration::from_secs(10),
            obsolete: Duration::ZERO,
            nx: BAD,
            timeout: BAD,
            refused: BAD,
            other: BAD,
        }
    }
}

/// How a server's name is resolved while the worker runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResolveConfig {
    /// `resolvers NAME`; without one the name is resolved at start only.
    pub resolvers: Option<Word>,
    /// `resolve-prefer ipv4`; IPv6 is preferred by default.
    pub prefer_ipv4: bool,
    /// `resolve-net`, networks preferred in this order.
    pub networks: Vec<IpNet>,
    /// `resolve-opts allow-dup-ip`.
    pub allow_duplicates: bool,
    /// `resolve-opts ignore-weight`: of SRV records.
    pub ignore_weight: bool,
}
