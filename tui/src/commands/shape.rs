//! The shapes of `--json`. They are a promise: fields are added, none is renamed or dropped.

use protocol::operation::ServerAdmin;
use protocol::snapshot::{AdminCause, CheckStats, Operational, ProxySnapshot, ServerStats, Times};
use protocol::vrrp::{BfdSnapshot, Effect, InstanceSnapshot, PeerSeen};
use protocol::{EventSeverity, EventSource};
use serde::Serialize;

use crate::node::{NodeView, Reach};
use crate::problems::Problem;
use crate::{rows, words};

/// What went wrong.
#[derive(Clone, Debug, Serialize)]
pub struct Failure {
    /// `usage`, `unreachable`, `refused`, `timeout` or `failed`.
    pub kind: &'static str,
    /// Which node, if it was one.
    pub node: Option<String>,
    /// In words.
    pub message: String,
    /// The node's place, to name it once its name is known.
    #[serde(skip)]
    pub place: Option<usize>,
}

impl Failure {
    /// A failure.
    pub fn new(kind: &'static str, node: Option<String>, message: impl Into<String>) -> Self {
        Self {
            kind,
            node,
            message: message.into(),
            place: None,
        }
    }
}

/// A document that holds nothing but failures.
#[derive(Debug, Serialize)]
pub struct Failures<'a> {
    /// All of them.
    pub errors: &'a [Failure],
}

/// `tandem status --json`.
#[derive(Debug, Serialize)]
pub struct Status<'a> {
    /// Nothing worse than a notice.
    pub ok: bool,
    /// When, as RFC 3339.
    pub at: String,
    /// All nodes in the order given.
    pub nodes: Vec<NodeShape>,
    /// What is wrong, the worst first.
    pub problems: &'a [Problem],
    /// What could not be asked.
    pub errors: &'a [Failure],
}

/// A node of `status`.
#[derive(Debug, Serialize)]
#[allow(missing_docs)]
pub struct NodeShape {
    pub node: String,
    pub socket: String,
    pub reachable: bool,
    pub why: Option<String>,
    pub version: Option<String>,
    pub uptime_seconds: Option<u64>,
    pub worker_pid: Option<u32>,
    pub connections: Option<u64>,
    pub requests_per_second: Option<u64>,
    pub errors_5xx_per_second: Option<u64>,
    pub sessions: Option<u64>,
    pub vrrp: Vec<InstanceStateShape>,
}

/// An instance of `status`.
#[derive(Debug, Serialize)]
#[allow(missing_docs)]
pub struct InstanceStateShape {
    pub instance: String,
    pub state: String,
    pub addresses: Vec<String>,
    pub addresses_present: bool,
}

impl NodeShape {
    /// From what is known.
    pub fn new(node: &NodeView) -> Self {
        let live = node.live();
        let worker = live.and_then(|snapshot| snapshot.worker.as_ref());
        Self {
            node: node.label.clone(),
            socket: node.address.path.display().to_string(),
            reachable: live.is_some(),
            why: if let Reach::Lost { why, .. } = &node.reach {
                Some(why.clone())
            } else {
                None
            },
            version: live.map(|snapshot| snapshot.version.clone()),
            uptime_seconds: live.map(|snapshot| snapshot.uptime_seconds),
            worker_pid: worker.map(|worker| worker.process.pid),
            connections: worker.map(|worker| worker.process.current_connections),
            requests_per_second: worker.map(|_| node.history.requests.latest()),
            errors_5xx_per_second: worker.map(|_| node.history.errors.latest()),
            sessions: worker.map(|_| node.history.sessions.latest()),
            vrrp: live
                .map_or(&[][..], |snapshot| &snapshot.vrrp)
                .iter()
                .map(|instance| InstanceStateShape {
                    instance: instance.name.clone(),
                    state: instance.state.to_string(),
                    addresses: instance.addresses.clone(),
                    addresses_present: instance.addresses_present,
                })
                .collect(),
        }
    }
}

/// `tandem servers --json`.
#[derive(Debug, Serialize)]
pub struct Servers<'a> {
    /// Backends of all nodes.
    pub backends: Vec<BackendShape>,
    /// Servers of all nodes.
    pub servers: Vec<ServerShape>,
    /// What could not be asked.
    pub errors: &'a [Failure],
}

/// A backend on a node.
#[derive(Debug, Serialize)]
#[allow(missing_docs)]
pub struct BackendShape {
    pub node: String,
    pub backend: String,
    pub status: String,
    pub algorithm: String,
    pub usable_servers: usize,
    pub all_servers: usize,
    pub sessions: u64,
    pub queue: u64,
    pub rate: u64,
}

impl BackendShape {
    /// From a picture.
    pub fn new(node: &NodeView, proxy: &ProxySnapshot) -> Self {
        let stats = proxy.backend.clone().unwrap_or_default();
        Self {
            node: node.label.clone(),
            backend: proxy.name.clone(),
            status: stats.status,
            algorithm: stats.algorithm,
            usable_servers: proxy
                .servers
                .iter()
                .filter(|server| rows::usable(server))
                .count(),
            all_servers: proxy.servers.len(),
            sessions: stats.sessions.current,
            queue: stats.queue.current,
            rate: stats.rate.current,
        }
    }
}

/// A server on a node.
#[derive(Debug, Serialize)]
#[allow(missing_docs)]
pub struct ServerShape {
    pub node: String,
    pub backend: String,
    pub server: String,
    pub address: String,
    pub status: String,
    /// `ready`, `drain` or `maint`.
    pub admin: &'static str,
    /// `operator`, `configuration`, `resolution` or nothing.
    pub admin_cause: Option<&'static str>,
    /// `up`, `going_down`, `down`, `going_up` or `no_check`.
    pub operational: &'static str,
    /// Whether new requests may go to it.
    pub usable: bool,
    pub backup: bool,
    pub weight: u32,
    pub configured_weight: u32,
    pub sessions: u64,
    pub sessions_max: u64,
    pub sessions_total: u64,
    pub rate: u64,
    pub queue: u64,
    pub errors: u64,
    pub retries: u64,
    pub last_change_ms: u64,
    pub times: TimesShape,
    pub check: Option<CheckShape>,
    /// What its agent said last.
    pub agent: Option<CheckShape>,
}

/// Averages in milliseconds.
#[derive(Debug, Serialize)]
#[allow(missing_docs)]
pub struct TimesShape {
    pub queue_ms: u64,
    pub connect_ms: u64,
    pub response_ms: u64,
    pub total_ms: u64,
}

/// A server's last check.
#[derive(Debug, Serialize)]
#[allow(missing_docs)]
pub struct CheckShape {
    pub status: String,
    pub code: Option<u16>,
    pub duration_ms: u64,
    pub description: String,
    pub detail: String,
    pub failures: u64,
    /// Oldest first, `true` is good.
    pub history: Vec<bool>,
}

impl ServerShape {
    /// From a picture.
    pub fn new(node: &NodeView, backend: &str, server: &ServerStats) -> Self {
        let Times {
            queue_ms,
            connect_ms,
            response_ms,
            total_ms,
            ..
        } = server.times;
        Self {
            node: node.label.clone(),
            backend: backend.to_owned(),
            server: server.name.clone(),
            address: server.address.clone(),
            status: server.status.clone(),
            admin: match server.admin {
                ServerAdmin::Ready => "ready",
                ServerAdmin::Drain => "drain",
                ServerAdmin::Maint => "maint",
            },
            admin_cause: match server.admin_cause {
                AdminCause::None => None,
                AdminCause::Operator => Some("operator"),
                AdminCause::Configuration => Some("configuration"),
                AdminCause::Resolution => Some("resolution"),
            },
            operational: match server.operational {
                Operational::Up => "up",
                Operational::GoingDown => "going_down",
                Operational::Down => "down",
                Operational::GoingUp => "going_up",
                Operational::NoCheck => "no_check",
            },
            usable: rows::usable(server),
            backup: server.backup,
            weight: server.weight,
            configured_weight: server.initial_weight,
            sessions: server.sessions.current,
            sessions_max: server.sessions.maximum,
            sessions_total: server.sessions_total,
            rate: server.rate.current,
            queue: server.queue.current,
            errors: rows::errors(server),
            retries: server.retries,
            last_change_ms: server.last_change_ms,
            times: TimesShape {
                queue_ms,
                connect_ms,
                response_ms,
                total_ms,
            },
            check: server.check.as_ref().map(CheckShape::new),
            agent: server.agent.as_ref().map(CheckShape::new),
        }
    }
}

impl CheckShape {
    fn new(check: &CheckStats) -> Self {
        Self {
            status: check.status.clone(),
            code: check.code,
            duration_ms: check.duration_ms,
            description: check.description.clone(),
            detail: check.detail.clone(),
            failures: check.failures,
            history: check.history.clone(),
        }
    }
}

/// `tandem vrrp --json`.
#[derive(Debug, Serialize)]
pub struct Vrrp<'a> {
    /// Instances of all nodes.
    pub instances: Vec<InstanceShape>,
    /// BFD sessions of all nodes, whether somebody tracks them or not.
    pub bfd: Vec<BfdShape>,
    /// What could not be asked.
    pub errors: &'a [Failure],
}

/// An instance on a node.
#[derive(Debug, Serialize)]
#[allow(missing_docs)]
pub struct InstanceShape {
    pub node: String,
    pub instance: String,
    pub interface: String,
    pub vrid: u8,
    /// `INIT`, `BACKUP`, `MASTER` or `FAULT`.
    pub state: String,
    pub since: String,
    pub base_priority: u8,
    pub effective_priority: u8,
    pub shares: Vec<ShareShape>,
    pub advert_interval_ms: u64,
    pub nopreempt: bool,
    pub addresses: Vec<String>,
    pub addresses_present: bool,
    /// An operator gave the addresses away.
    pub held: bool,
    /// Another master is heard.
    pub conflict: bool,
    pub master: Option<PeerShape>,
    pub peers: Vec<PeerShape>,
    /// Latest last.
    pub transitions: Vec<TransitionShape>,
    pub adverts_sent: u64,
    pub adverts_received: u64,
    pub became_master: u64,
    /// Which member of its sync group decided for the whole group, and why, where its links elected different nodes; else empty.
    pub decided: String,
}

/// A BFD session on a node.
#[derive(Debug, Serialize)]
#[allow(missing_docs)]
pub struct BfdShape {
    pub node: String,
    pub session: String,
    pub neighbor: String,
    pub interface: String,
    pub source: String,
    /// `AdminDown`, `Down`, `Init` or `Up`.
    pub state: String,
    /// Whether it counts as up for those who track it.
    pub up: bool,
    pub since: String,
    pub detail: String,
    /// On which side to look while it is not Up.
    pub means: Option<&'static str>,
    /// Why it left Up last.
    pub diagnostic: String,
    pub remote_state: String,
    pub remote_diagnostic: String,
    pub heard_ms: Option<u64>,
    pub discriminator: u32,
    pub remote_discriminator: u32,
    pub transmit_interval_us: u64,
    pub receive_interval_us: u64,
    pub detection_time_us: u64,
    pub multiplier: u8,
    pub remote_multiplier: u8,
    pub sent: u64,
    pub received: u64,
    pub ups: u64,
    pub downs: u64,
    /// By reason.
    pub refused: std::collections::BTreeMap<String, u64>,
    /// Instances that track it, themselves or by their sync groups.
    pub tracked_by: Vec<String>,
}

impl BfdShape {
    /// From a picture.
    pub fn new(node: &NodeView, session: &BfdSnapshot, instances: &[InstanceSnapshot]) -> Self {
        let trackers = session.trackers(instances).into_iter();
        Self {
            node: node.label.clone(),
            session: session.name.clone(),
            neighbor: session.neighbor.clone(),
            interface: session.interface.clone(),
            source: session.source.clone(),
            state: session.state.clone(),
            up: session.up,
            since: words::moment(session.since_ms),
            detail: session.detail.clone(),
            means: session.means(),
            diagnostic: session.diagnostic.clone(),
            remote_state: session.remote_state.clone(),
            remote_diagnostic: session.remote_diagnostic.clone(),
            heard_ms: session.heard_ms,
            discriminator: session.discriminator,
            remote_discriminator: session.remote_discriminator,
            transmit_interval_us: session.transmit_interval_us,
            receive_interval_us: session.receive_interval_us,
            detection_time_us: session.detection_time_us,
            multiplier: session.multiplier,
            remote_multiplier: session.remote_multiplier,
            sent: session.sent,
            received: session.received,
            ups: session.ups,
            downs: session.downs,
            refused: session.refused.iter().cloned().collect(),
            tracked_by: trackers.map(str::to_owned).collect(),
        }
    }
}

/// A tracked item's share in the priority.
#[derive(Debug, Serialize)]
#[allow(missing_docs)]
pub struct ShareShape {
    pub item: String,
    pub healthy: bool,
    /// What it adds to the priority.
    pub priority: i32,
    /// It holds the instance in FAULT.
    pub fault: bool,
    pub detail: String,
}

/// Another router.
#[derive(Debug, Serialize)]
#[allow(missing_docs)]
pub struct PeerShape {
    pub address: String,
    pub priority: u8,
    pub age_ms: u64,
}

/// A change of state.
#[derive(Debug, Serialize)]
#[allow(missing_docs)]
pub struct TransitionShape {
    pub at: String,
    pub from: String,
    pub to: String,
    pub reason: String,
}

impl InstanceShape {
    /// From a picture.
    pub fn new(node: &NodeView, instance: &InstanceSnapshot) -> Self {
        let peer = |peer: &PeerSeen| PeerShape {
            address: peer.address.clone(),
            priority: peer.priority,
            age_ms: peer.age_ms,
        };
        Self {
            node: node.label.clone(),
            instance: instance.name.clone(),
            interface: instance.interface.clone(),
            vrid: instance.vrid,
            state: instance.state.to_string(),
            since: words::moment(instance.since_ms),
            base_priority: instance.base_priority,
            effective_priority: instance.effective_priority,
            shares: instance
                .shares
                .iter()
                .map(|share| ShareShape {
                    item: share.item.clone(),
                    healthy: share.healthy,
                    priority: if let Effect::Priority(number) = share.effect {
                        number
                    } else {
                        0
                    },
                    fault: share.effect == Effect::Fault,
                    detail: share.detail.clone(),
                })
                .collect(),
            advert_interval_ms: instance.advert_interval_ms,
            nopreempt: instance.nopreempt,
            addresses: instance.addresses.clone(),
            addresses_present: instance.addresses_present,
            held: instance.held,
            conflict: instance.conflict,
            master: instance.master.as_ref().map(peer),
            peers: instance.peers.iter().map(peer).collect(),
            transitions: instance
                .transitions
                .iter()
                .map(|transition| TransitionShape {
                    at: words::moment(transition.at_ms),
                    from: transition.from.to_string(),
                    to: transition.to.to_string(),
                    reason: transition.reason.clone(),
                })
                .collect(),
            adverts_sent: instance.counters.adverts_sent,
            adverts_received: instance.counters.adverts_received,
            became_master: instance.counters.became_master,
            decided: instance.decided.clone(),
        }
    }
}

/// A changing command's outcome.
#[derive(Debug, Serialize)]
pub struct Changes<'a> {
    /// Whether everything was done, and came true within the time if it was waited for.
    pub ok: bool,
    /// Each node that was asked.
    pub results: &'a [Change],
    /// What went wrong.
    pub errors: &'a [Failure],
}

/// What a node did.
#[derive(Clone, Debug, Serialize)]
pub struct Change {
    /// The node.
    pub node: String,
    /// Whether it was done.
    pub done: bool,
    /// In words.
    pub message: String,
}

/// `tandem raw --json`.
#[derive(Debug, Serialize)]
pub struct Answers<'a> {
    /// Each node's answer.
    pub answers: Vec<Answer>,
    /// What went wrong.
    pub errors: &'a [Failure],
}

/// A node's answer.
#[derive(Debug, Serialize)]
#[allow(missing_docs)]
pub struct Answer {
    pub node: String,
    pub text: String,
}

/// A line of `tandem events --json`.
#[derive(Debug, Serialize)]
#[allow(missing_docs)]
pub struct EventShape<'a> {
    pub node: &'a str,
    pub sequence: u64,
    pub at: String,
    /// `info`, `notice`, `warning` or `alert`.
    pub severity: &'static str,
    /// `supervisor`, `worker`, `vrrp`, `control` or `operator`.
    pub source: &'static str,
    pub subject: &'a str,
    pub change: &'a str,
    pub reason: &'a str,
}

impl<'a> EventShape<'a> {
    /// From an event.
    pub fn new(node: &'a str, event: &'a protocol::Event) -> Self {
        Self {
            node,
            sequence: event.sequence,
            at: words::moment(event.at_ms),
            severity: match event.severity {
                EventSeverity::Info => "info",
                EventSeverity::Notice => "notice",
                EventSeverity::Warning => "warning",
                EventSeverity::Alert => "alert",
            },
            source: match event.source {
                EventSource::Supervisor => "supervisor",
                EventSource::Worker => "worker",
                EventSource::Vrrp => "vrrp",
                EventSource::Control => "control",
                EventSource::Operator => "operator",
            },
            subject: &event.subject,
            change: &event.change,
            reason: &event.reason,
        }
    }
}
