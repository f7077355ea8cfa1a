//! What an operator can change, the same for text commands, typed requests and the statistics page.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// Permission level of a client, ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Level {
    User,
    Operator,
    Admin,
}

/// A server by its backend's and its own name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ServerName {
    /// The backend.
    pub backend: String,
    /// The server in it.
    pub server: String,
}

impl ServerName {
    /// Reads `backend/server`.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        match text.split_once('/') {
            Some((backend, server)) if !backend.is_empty() && !server.is_empty() => Ok(Self {
                backend: backend.to_owned(),
                server: server.to_owned(),
            }),
            _ => Err(Refusal::RequireServer),
        }
    }
}

impl std::fmt::Display for ServerName {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}/{}", self.backend, self.server)
    }
}

/// What an operator wants a server to be (`set server … state`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ServerAdmin {
    /// In use, if its checks agree.
    Ready,
    /// No new clients but those that persistence sends.
    Drain,
    /// Nothing at all, and no checks.
    Maint,
}

/// A new weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WeightChange {
    /// 0 to 256.
    Absolute(u16),
    /// Per cent of the configured weight.
    Percent(u32),
}

/// Health forced by `set server … health`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum ForcedHealth {
    Up,
    Stopping,
    Down,
}

/// A rate of the whole process that can be limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum GlobalRate {
    /// `maxconnrate`.
    Connections,
    /// `maxsessrate`.
    Sessions,
    /// `maxsslrate`.
    TlsSessions,
}

/// A change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Operation {
    /// `set server B/S state …`, `enable|disable server`.
    ServerState {
        /// Which.
        server: ServerName,
        /// Wanted.
        state: ServerAdmin,
    },
    /// `set server B/S weight`, `set weight`.
    ServerWeight {
        /// Which.
        server: ServerName,
        /// New weight.
        weight: WeightChange,
    },
    /// `set server B/S addr A [port P]`.
    ServerAddress {
        /// Which.
        server: ServerName,
        /// New address, if it changes.
        address: Option<IpAddr>,
        /// New port, if it changes.
        port: Option<u16>,
    },
    /// `set server B/S fqdn NAME`.
    ServerFqdn {
        /// Which.
        server: ServerName,
        /// New name.
        fqdn: String,
    },
    /// `set server B/S health up|stopping|down`.
    ServerHealth {
        /// Which.
        server: ServerName,
        /// Forced state.
        health: ForcedHealth,
    },
    /// `enable|disable health B/S`.
    ServerChecks {
        /// Which.
        server: ServerName,
        /// Whether checks run.
        enabled: bool,
    },
    /// `enable|disable agent B/S`.
    ServerAgent {
        /// Which.
        server: ServerName,
        /// Whether the agent is asked.
        enabled: bool,
    },
    /// `set server B/S agent up|down`.
    ServerAgentHealth {
        /// Which.
        server: ServerName,
        /// What the agent is to have said.
        up: bool,
    },
    /// `set server B/S check-addr A [port P]`, `check-port P`.
    ServerCheckTarget {
        /// Which.
        server: ServerName,
        /// New address, if it changes.
        address: Option<IpAddr>,
        /// New port, if it changes.
        port: Option<u16>,
    },
    /// `set server B/S agent-addr A [port P]`, `agent-port P`, `agent-send TEXT`.
    ServerAgentTarget {
        /// Which.
        server: ServerName,
        /// New address, if it changes.
        address: Option<IpAddr>,
        /// New port, if it changes.
        port: Option<u16>,
        /// What is sent to the agent from now on, if it changes.
        send: Option<String>,
    },
    /// `set maxconn server B/S N`.
    ServerMaxconn {
        /// Which.
        server: ServerName,
        /// New limit; 0 is none.
        maxconn: u32,
    },
    /// `add server B/S ADDRESS [OPTIONS]`.
    AddServer {
        /// Which.
        server: ServerName,
        /// Its address, and the options as a `server` line has them.
        words: Vec<String>,
    },
    /// `del server B/S`.
    RemoveServer {
        /// Which.
        server: ServerName,
    },
    /// `shutdown sessions server B/S`.
    ShutdownServerSessions {
        /// Which.
        server: ServerName,
    },
    /// `shutdown session ID`.
    ShutdownSession {
        /// The session's number as `show sess` prints it.
        id: u64,
    },
    /// `enable|disable frontend F`.
    FrontendEnabled {
        /// Which.
        frontend: String,
        /// Whether it accepts.
        enabled: bool,
    },
    /// `set maxconn frontend F N`.
    FrontendMaxconn {
        /// Which.
        frontend: String,
        /// New limit.
        maxconn: u32,
    },
    /// `set maxconn global N`.
    GlobalMaxconn {
        /// New limit.
        maxconn: u32,
    },
    /// `set rate-limit connections|sessions|ssl-sessions global N`.
    RateLimit {
        /// Which rate.
        rate: GlobalRate,
        /// New limit a second; 0 is none.
        limit: u32,
    },
    /// `clear counters [all]`.
    ClearCounters {
        /// Also the totals, not only the maxima.
        all: bool,
    },
    /// `vrrp failover INSTANCE [force]`: give the addresses to the peer and do not take them back while it speaks.
    VrrpFailover {
        /// Which.
        instance: String,
        /// Even if nobody is there to take over.
        force: bool,
    },
    /// `vrrp failback INSTANCE`: end the above; the better priority wins again.
    VrrpFailback {
        /// Which.
        instance: String,
    },
    /// `reload`.
    Reload,
    /// `enable|disable dynamic-cookie backend B`.
    DynamicCookies {
        /// Which.
        backend: String,
        /// Whether servers without a cookie of their own get one.
        enabled: bool,
    },
    /// `set dynamic-cookie-key backend B KEY`.
    DynamicCookieKey {
        /// Which.
        backend: String,
        /// What cookies are made of, beside addresses. A secret: it is in no log.
        key: String,
    },
}

impl Operation {
    /// The level that may do it.
    pub fn required_level(&self) -> Level {
        match self {
            Self::ClearCounters { all: false } => Level::Operator,
            _ => Level::Admin,
        }
    }
}

/// Why something was not done. `Display` gives HAProxy's words where it has them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// The client's level does not suffice.
    #[error("Permission denied")]
    PermissionDenied,
    /// No such backend.
    #[error("No such backend.")]
    NoSuchBackend,
    /// No such server.
    #[error("No such server.")]
    NoSuchServer,
    /// No such frontend.
    #[error("No such frontend.")]
    NoSuchFrontend,
    /// No such session.
    #[error("No such session (use 'show sess').")]
    NoSuchSession,
    /// Not of the form `backend/server`.
    #[error("Require 'backend/server'.")]
    RequireServer,
    /// No such instance.
    #[error("No such VRRP instance '{0}'.")]
    NoSuchInstance(String),
    /// A value that cannot be.
    #[error("{0}")]
    Invalid(String),
    /// It would do harm; the text says what and how to insist.
    #[error("{0}")]
    Unsafe(String),
    /// The process that would do it is not there.
    #[error("{0} is not running.")]
    NotRunning(String),
}
