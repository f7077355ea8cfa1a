//! `bind` lines: where a frontend listens.

use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::global::Account;
use super::tls::BindTls;
use crate::source::Span;

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BindAddress {
    /// TCP; `None` is every address (of IPv4, as HAProxy's `:80` and `*:80`).
    Tcp {
        /// Address.
        address: Option<IpAddr>,
        /// Port.
        port: u16,
    },
    /// A unix stream socket.
    Unix(String),
    /// An abstract unix stream socket.
    Abstract(String),
    /// An inherited descriptor.
    Fd(i32),
}

/// `proto` of a `bind` or `server` line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Proto {
    /// Not written: what ALPN agrees on, or HTTP/1; a client may begin with HTTP/2's preface.
    #[default]
    Auto,
    /// `h1`.
    Http1,
    /// `h2`, without asking.
    Http2,
    /// `none`: bytes, in TCP mode.
    None,
}

/// One address of a `bind` line; a line with several addresses or ports makes several.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bind {
    /// Where.
    pub address: BindAddress,
    /// `name`.
    pub name: Option<String>,
    /// `ssl` with all that goes with it.
    pub tls: Option<BindTls>,
    /// `maxconn` of this socket.
    pub maxconn: Option<u32>,
    /// `backlog`.
    pub backlog: Option<u32>,
    /// `interface`.
    pub interface: Option<String>,
    /// `transparent`: bind although the address is not there (yet).
    pub transparent: bool,
    /// `v6only`, `v4v6`.
    pub v6only: Option<bool>,
    /// `mode` of a unix socket.
    pub mode: Option<u32>,
    /// `user`, `group` of a unix socket.
    pub user: Option<Account>,
    /// See `user`.
    pub group: Option<Account>,
    /// `accept-proxy`.
    pub accept_proxy: bool,
    /// `proto`.
    pub proto: Proto,
    /// `mss`: bytes; negative ones are taken off the interface's.
    pub mss: Option<i32>,
    /// `tcp-ut`: how long sent data may stay without acknowledgement.
    pub tcp_user_timeout: Option<Duration>,
    /// `tfo`: data in the first packet.
    pub fast_open: bool,
    /// Where it was written.
    pub span: Span,
}
