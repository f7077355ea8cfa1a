//! `server` lines: where a backend connects to.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::bind::Proto;
use super::check::{AgentConfig, CheckConfig};
use super::resolvers::ResolveConfig;
use super::tls::ServerTls;
use crate::source::{Span, Word};

/// `init-addr` methods.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum InitAddr {
    /// The last address of the state file.
    Last,
    /// The system's resolver.
    Libc,
    /// Start without an address, in maintenance for lack of one.
    None,
    /// A fixed address.
    Ip(IpAddr),
}

/// Address of a server as written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ServerAddress {
    /// Host name or address, with its port (0: the port on which the client came).
    Host {
        /// Name or address.
        host: String,
        /// Port.
        port: u16,
        /// `+N` or `-N`: relative to the client's port.
        relative: bool,
    },
    /// A unix stream socket.
    Unix(String),
    /// An abstract unix stream socket, `abns@NAME`.
    Abstract(String),
}

/// Which PROXY header a server is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SendProxy {
    /// `send-proxy`: the line of version 1.
    V1,
    /// `send-proxy-v2`: the binary header of version 2.
    V2(ProxyV2Options),
}

/// `proxy-v2-options`: what a header of version 2 tells besides the addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProxyV2Options {
    /// `ssl`: whether the client came by TLS, and its version.
    pub ssl: bool,
    /// `cert-cn`: the common name of the client's certificate.
    pub cert_cn: bool,
    /// `ssl-cipher`.
    pub ssl_cipher: bool,
    /// `cert-sig`: signature algorithm of the certificate that we showed.
    pub cert_sig: bool,
    /// `cert-key`: key algorithm of the certificate that we showed.
    pub cert_key: bool,
    /// `authority`: the name that the client asked for by SNI.
    pub authority: bool,
    /// `crc32c`: a checksum of the header.
    pub crc32c: bool,
    /// `unique-id`: what `unique-id-format` makes.
    pub unique_id: bool,
}

/// `source`: from where a server is connected to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceConfig {
    /// The address; `None` leaves it to the system.
    pub address: Option<IpAddr>,
    /// First and last port, both 0 to leave it to the system.
    pub ports: (u16, u16),
    /// `interface NAME`.
    pub interface: Option<String>,
    /// `usesrc`.
    pub transparent: Option<TransparentSource>,
}

/// `usesrc`: an address that is not ours, by `IP_TRANSPARENT`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TransparentSource {
    /// `client`: the client's address and port.
    Client,
    /// `clientip`: the client's address.
    ClientIp,
    /// A fixed address; port 0 leaves it to the system.
    Address(std::net::SocketAddr),
    /// `hdr_ip(NAME[,OCCURRENCE])`: the address that a request's header has, by its place among the values: from 1, or
    /// from the last with -1.
    Header(String, i32),
}

/// How a server's unused connections are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolConfig {
    /// `pool-max-conn`: most unused connections of all threads together; `None` for no limit.
    pub max_idle: Option<u32>,
    /// `pool-purge-delay`: how long one is kept unused; zero keeps none.
    pub purge_delay: Duration,
    /// `max-reuse`: requests that a connection may carry after its first; `None` for no limit.
    pub max_reuse: Option<u32>,
}

impl PoolConfig {
    /// Most unused connections, with what `pool-purge-delay 0` means; `None` for no limit.
    pub fn idle_limit(&self) -> Option<u32> {
        if self.purge_delay.is_zero() {
            return Some(0);
        }
        self.max_idle
    }
}

impl Default for PoolConfig {
    /// As the manual says: no limits, and 5 s.
    fn default() -> Self {
        Self {
            max_idle: None,
            purge_delay: Duration::from_secs(5),
            max_reuse: None,
        }
    }
}

/// A `server` line, with `default-server` already applied.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServerConfig {
    /// Its name.
    pub name: Word,
    /// `id`, or its position from 1.
    pub id: u32,
    /// Its address.
    pub address: ServerAddress,
    /// Where the address was written.
    pub address_span: Span,
    /// `weight`, 0 to 256, 1 by default.
    pub weight: u16,
    /// `maxconn`: requests at a time (connections in TCP).
    pub maxconn: Option<u32>,
    /// `maxqueue`.
    pub maxqueue: Option<u32>,
    /// `minconn`.
    pub minconn: Option<u32>,
    /// `check`.
    pub check: Option<CheckConfig>,
    /// `cookie`.
    pub cookie: Option<String>,
    /// `backup`.
    pub backup: bool,
    /// That of `dispatch` or `option transparent`, which logs and statistics do not show as a server.
    pub nameless: bool,
    /// `disabled`: starts in maintenance.
    pub disabled: bool,
    /// `slowstart`.
    pub slowstart: Option<Duration>,
    /// `ssl`.
    pub tls: Option<ServerTls>,
    /// `send-proxy`, `send-proxy-v2` and so on.
    pub send_proxy: Option<SendProxy>,
    /// `init-addr`, `last,libc` by default.
    pub init_addr: Vec<InitAddr>,
    /// `on-marked-down shutdown-sessions`.
    pub shutdown_sessions_on_down: bool,
    /// `on-marked-up shutdown-backup-sessions`.
    pub shutdown_backups_on_up: bool,
    /// `agent-check`.
    pub agent: Option<AgentConfig>,
    /// `track [BACKEND/]SERVER`.
    pub track: Option<Word>,
    /// `source`.
    pub source: Option<SourceConfig>,
    /// `resolvers` and `resolve-…`.
    pub resolve: ResolveConfig,
    /// `tcp-ut`: how long sent data may stay without acknowledgement.
    pub tcp_user_timeout: Option<Duration>,
    /// The line's place.
    pub span: Span,
    /// `socks4`: the proxy (version 4 of SOCKS) through which it is reached.
    pub socks4: Option<SocketAddr>,
    /// `proto`.
    pub proto: Proto,
    /// `pool-max-conn`, `pool-purge-delay`, `max-reuse`.
    pub pool: PoolConfig,
}
