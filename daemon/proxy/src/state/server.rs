//! A server's facts, state and counters.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock};

use arc_swap::ArcSwapOption;
use config::haproxy::{InitState, ServerConfig};
use protocol::operation::ServerAdmin;
use protocol::snapshot::{AdminCause, Operational};

use super::backend::BackendId;
use super::counters::{Average, Counter, MaxGauge, RateMeter, ResponseCounters};
use super::protocols::ProtocolCounters;

/// Index of a server in its backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ServerId(pub u32);

/// What may be sent to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Usability {
    /// Nothing.
    Down = 0,
    /// What persistence sends (drain, or weight 0).
    PersistentOnly = 1,
    /// Everything.
    Up = 2,
}

/// What checks and operators say of a server; guarded by its lock, published as [`Usability`].
#[derive(Clone, Debug)]
pub struct Health {
    /// What the operator wants.
    pub admin: ServerAdmin,
    /// Who set that.
    pub admin_cause: AdminCause,
    /// What the checks say.
    pub operational: Operational,
    /// 0 to rise + fall - 1, as HAProxy counts.
    pub health: u32,
    /// Milliseconds of the worker's clock of the last change.
    pub changed_at_ms: u64,
    /// Milliseconds spent down before `changed_at_ms`.
    pub downtime_ms: u64,
    /// Whether checks run (`disable health`).
    pub checks_enabled: bool,
    /// Whether the last check was one of this worker and found it well.
    pub seen_well: bool,
    /// Short word of the last check (`L4OK`); empty before the first.
    pub check_status: &'static str,
    /// HTTP status of the last check.
    pub check_code: Option<u16>,
    /// Duration of the last check.
    pub check_duration_ms: u64,
    /// What the last check found.
    pub check_detail: String,
    /// Latest results, oldest first; at most 20.
    pub check_history: VecDeque<bool>,
    /// It answers, and wants no new clients (`disable-on-404`, `set server … health stopping`).
    pub stopping: bool,
    /// The administrative state of the server that it tracks.
    pub inherited: ServerAdmin,
    /// Its traffic has errors: the next check comes after `fastinter`.
    pub suspected: bool,
    /// `set server … check-addr`.
    pub check_address: Option<IpAddr>,
    /// `set server … check-port`.
    pub check_port: Option<u16>,
    /// What its agent says, if it has one.
    pub agent: Option<Box<AgentHealth>>,
}

/// What an agent says of its server.
#[derive(Clone, Debug)]
pub struct AgentHealth {
    /// Whether it is asked (`disable agent`).
    pub enabled: bool,
    /// Where it is asked; the server's own address if absent.
    pub address: Option<IpAddr>,
    /// Where it is asked.
    pub port: u16,
    /// What is sent to it first.
    pub send: String,
    /// 1 is up, 0 is down.
    pub health: u32,
    /// Short word of the last answer.
    pub status: &'static str,
    /// Its code.
    pub code: Option<u16>,
    /// How long it took.
    pub duration_ms: u64,
    /// What was said.
    pub detail: String,
    /// Latest answers, oldest first, whether each left the server up; at most 20.
    pub history: VecDeque<bool>,
}

/// The ramp of a server that does not start slowly, in thousandths.
const FULL_SPEED: u32 = 1_000;
/// Weights of dynamic algorithms are counted in such parts, so that one of 1 can grow too.
const WEIGHT_SCALE: u32 = 16;

/// A server of a backend.
#[derive(Debug)]
pub struct Server {
    /// Its index in the backend.
    pub id: ServerId,
    /// HAProxy's number.
    pub sid: u32,
    /// Its name.
    pub name: String,
    /// Its backend's name, for messages.
    pub backend: String,
    /// Its line.
    pub config: ServerConfig,
    /// Resolved address; `None` while it has none (or for a unix socket).
    pub address: ArcSwapOption<SocketAddr>,
    /// The name that its address is resolved from now, without one for an address as written; a server of SRV records
    /// has its record's host.
    pub fqdn: ArcSwapOption<String>,
    /// Whether an operator gave it the address, which resolutions then leave alone.
    pub is_pinned: AtomicBool,
    /// The address at the worker's start, before operators or resolvers changed it.
    pub initial_address: Option<SocketAddr>,
    /// State behind [`Server::usability`].
    pub health: Mutex<Health>,
    usability: AtomicU8,
    /// How often its usability has changed: one that went and came back between two requests has lost its place in line.
    pub comings_and_goings: AtomicU32,
    /// Weight set by the operator, 0 to 256.
    pub user_weight: AtomicU32,
    /// `maxconn` now, 0 for none; operators change it.
    pub maxconn: AtomicU32,
    /// How much of `slowstart` has passed, in thousandths; 1000 when it is not under way.
    ramp: AtomicU32,
    /// Milliseconds of the worker's clock at which `slowstart` began; 0 when it is not under way.
    ramp_began_ms: AtomicU64,
    /// Figures.
    pub counters: ServerCounters,
    /// TLS and HTTP/2 of its backend.
    pub protocols: OnceLock<Arc<ProtocolCounters>>,
    /// Grows when its sessions are to be shut down; a session compares with the value at its start.
    pub shutdown_generation: AtomicU64,
    /// Whether the last shutdown came of an active server that is up again.
    pub shut_by_active: AtomicBool,
    /// Wakes sessions to look at `shutdown_generation`.
    pub shutdown: tokio::sync::Notify,
    /// Errors of its traffic in a row (`observe`).
    pub consecutive_errors: AtomicU32,
    /// The server that it tracks.
    pub tracked: OnceLock<(BackendId, ServerId)>,
    /// Servers that track it.
    pub trackers: Mutex<Vec<(BackendId, ServerId)>>,
    /// Whether the configuration speaks of it by name (`use-server`, `srv_is_up` and the like).
    pub is_referenced: AtomicBool,
    /// `del server` has taken it out: who still holds it finishes and keeps nothing.
    pub is_removed: AtomicBool,
}

impl Server {
    /// Counts another unused connection, if `pool-max-conn` allows one more.
    pub fn enter_idle(&self) -> bool {
        let idle = &self.counters.idle_connections;
        match self.config.pool.idle_limit() {
            Some(0) => false,
            limit => idle.try_enter(limit.unwrap_or(0).into()),
        }
    }

    /// A server at the start of a worker.
    pub fn new(
        id: ServerId,
        backend: String,
        config: ServerConfig,
        address: Option<SocketAddr>,
        now_ms: u64,
    ) -> Self {
        let check = config.check.as_ref();
        let admin = if config.disabled {
            ServerAdmin::Maint
        } else {
            ServerAdmin::Ready
        };
        let unresolved = address.is_none()
            && matches!(config.address, config::haproxy::ServerAddress::Host { .. });
        let health = Health {
            admin: if unresolved {
                ServerAdmin::Maint
            } else {
                admin
            },
            admin_cause: match (config.disabled, unresolved) {
                (true, _) => AdminCause::Configuration,
                (_, true) => AdminCause::Resolution,
                _ => AdminCause::None,
            },
            operational: match check.map(|check| check.init_state) {
                None => Operational::NoCheck,
                Some(InitState::Up | InitState::FullyUp) => Operational::Up,
                Some(InitState::Down) if check.is_some_and(|check| check.rise > 1) => {
                    Operational::GoingUp
                }
                Some(InitState::Down | InitState::FullyDown) => Operational::Down,
            },
            // HAProxy starts a server up, one failure away from going down.
            health: check.map_or(1, |check| match check.init_state {
                InitState::Up => check.rise,
                InitState::FullyUp => check.rise + check.fall - 1,
                InitState::Down => check.rise - 1,
                InitState::FullyDown => 0,
            }),
            changed_at_ms: now_ms,
            downtime_ms: 0,
            checks_enabled: check.is_some(),
            seen_well: false,
            check_status: if check.is_some() { "INI" } else { "" },
            check_code: None,
            check_duration_ms: 0,
            check_detail: String::new(),
            check_history: VecDeque::new(),
            stopping: false,
            inherited: ServerAdmin::Ready,
            suspected: false,
            check_address: None,
            check_port: None,
            agent: config.agent.as_ref().map(|agent| {
                Box::new(AgentHealth {
                    enabled: true,
                    address: agent
                        .address
                        .as_deref()
                        .and_then(crate::health::agent::resolve),
                    port: agent.port,
                    send: agent.send.clone(),
                    health: 1,
                    status: "INI",
                    code: None,
                    duration_ms: 0,
                    detail: String::new(),
                    history: VecDeque::new(),
                })
            }),
        };
        let fqdn = match &config.address {
            config::haproxy::ServerAddress::Host { host, .. }
                if host.parse::<std::net::IpAddr>().is_err() && !host.starts_with('_') =>
            {
                Some(host.clone())
            }
            _ => None,
        };
        let server = Self {
            id,
            sid: config.id,
            name: config.name.text.clone(),
            backend,
            address: ArcSwapOption::from_pointee(address),
            fqdn: ArcSwapOption::from_pointee(fqdn),
            is_pinned: AtomicBool::new(false),
            initial_address: address,
            usability: AtomicU8::new(0),
            comings_and_goings: AtomicU32::new(0),
            user_weight: AtomicU32::new(u32::from(config.weight)),
            maxconn: AtomicU32::new(config.maxconn.unwrap_or(0)),
            ramp: AtomicU32::new(FULL_SPEED),
            ramp_began_ms: AtomicU64::new(0),
            counters: ServerCounters::default(),
            protocols: OnceLock::new(),
            shutdown_generation: AtomicU64::new(0),
            shut_by_active: AtomicBool::new(false),
            shutdown: tokio::sync::Notify::new(),
            consecutive_errors: AtomicU32::new(0),
            tracked: OnceLock::new(),
            trackers: Mutex::default(),
            is_referenced: AtomicBool::new(false),
            is_removed: AtomicBool::new(false),
            health: Mutex::new(health),
            config,
        };
        server.publish();
        server
    }

    /// The host name of its line; `None` where that says an address.
    pub fn host_name(&self) -> Option<&str> {
        match &self.config.address {
            config::haproxy::ServerAddress::Host { host, .. }
                if host.parse::<std::net::IpAddr>().is_err() =>
            {
                Some(host)
            }
            _ => None,
        }
    }

    /// What may be sent here now: one atomic load.
    pub fn usability(&self) -> Usability {
        match self.usability.load(Relaxed) {
            2 => Usability::Up,
            1 => Usability::PersistentOnly,
            _ => Usability::Down,
        }
    }

    /// Its weight now in sixteenths, as dynamic algorithms take it: during `slowstart` it has first one sixteenth of what
    /// it will have, then one more with each sixteenth of the time (HAProxy 2.6 was seen to do so).
    pub fn effective_weight(&self) -> u32 {
        let parts = self.ramp.load(Relaxed) * WEIGHT_SCALE / FULL_SPEED + 1;
        self.user_weight.load(Relaxed) * parts.min(WEIGHT_SCALE)
    }

    /// Begins `slowstart`, if the server has one: it has just come back.
    pub fn start_slowly(&self, now_ms: u64) {
        if self.config.slowstart.is_some() {
            self.ramp_began_ms.store(now_ms.max(1), Relaxed);
            self.ramp.store(0, Relaxed);
        }
    }

    /// Moves `slowstart` on; says whether that changed anything.
    pub fn ramp_up(&self, now_ms: u64) -> bool {
        let began_ms = self.ramp_began_ms.load(Relaxed);
        let Some(duration) = self.config.slowstart.filter(|_| began_ms != 0) else {
            return false;
        };
        let elapsed_ms = u128::from(now_ms.saturating_sub(began_ms));
        let ramp = elapsed_ms * u128::from(FULL_SPEED) / duration.as_millis().max(1);
        let ramp = ramp.min(u128::from(FULL_SPEED)) as u32;
        if ramp == FULL_SPEED {
            self.ramp_began_ms.store(0, Relaxed);
        }
        self.ramp.swap(ramp, Relaxed) != ramp
    }

    /// Of so many places, those that it has during `slowstart`.
    pub fn ramped(&self, places: u32) -> u32 {
        match self.ramp.load(Relaxed) {
            FULL_SPEED => places,
            ramp => ((u64::from(places) * u64::from(ramp) / u64::from(FULL_SPEED)) as u32).max(1),
        }
    }

    /// The share of its weight that it has during `slowstart`, in per cent; `None` when that is not under way.
    pub fn throttle(&self) -> Option<u32> {
        let weight = self.user_weight.load(Relaxed);
        let effective = self.effective_weight();
        let is_slow = self.ramp.load(Relaxed) != FULL_SPEED && effective < weight * WEIGHT_SCALE;
        // Rounded as HAProxy was seen to round.
        is_slow.then(|| (100 * effective).div_ceil(WEIGHT_SCALE) / weight.max(1))
    }

    /// Its weight now in whole numbers, rounded up.
    pub fn shown_weight(&self) -> u32 {
        self.effective_weight().div_ceil(WEIGHT_SCALE)
    }

    /// Recomputes [`Server::usability`] after `health` or the weight has changed; says whether it changed.
    /// The caller then calls [`super::Backend::servers_changed`].
    pub fn publish(&self) -> bool {
        let usability = {
            let health = self
                .health
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            let alive = !crate::health::is_down(&health);
            match (crate::health::effective_admin(&health), alive) {
                (ServerAdmin::Maint, _) | (_, false) => Usability::Down,
                (ServerAdmin::Drain, true) => Usability::PersistentOnly,
                (ServerAdmin::Ready, true)
                    if health.stopping || self.user_weight.load(Relaxed) == 0 =>
                {
                    Usability::PersistentOnly
                }
                (ServerAdmin::Ready, true) => Usability::Up,
            }
        };
        let has_changed = self.usability.swap(usability as u8, Relaxed) != usability as u8;
        if has_changed {
            self.comings_and_goings.fetch_add(1, Relaxed);
        }
        has_changed
    }
}

/// HAProxy's words for the results of checks, in the order of their numbers in state files, from 0.
pub const CHECK_WORDS: &[&str] = &[
    "UNK", "INI", "CHECKED", "HANA", "SOCKERR", "L4OK", "L4TOUT", "L4CON", "L6OK", "L6TOUT",
    "L6RSP", "L7TOUT", "L7RSP", "L7OK", "L7OKC", "L7STS", "PROCERR", "PROCTOUT", "PROCOK",
];

/// The word of ours for a word that was told; an unknown one is as if no check had run.
pub fn check_word(told: &str) -> &'static str {
    CHECK_WORDS
        .iter()
        .find(|word| **word == told)
        .copied()
        .unwrap_or("INI")
}

/// A server's counters; see `protocol::snapshot::ServerStats` for their meaning.
#[derive(Debug, Default)]
#[allow(missing_docs)]
pub struct ServerCounters {
    pub sessions: MaxGauge,
    pub sessions_total: Counter,
    pub chosen_total: Counter,
    pub rate: RateMeter,
    pub queue: MaxGauge,
    pub requests_total: Counter,
    pub bytes_in: Counter,
    pub bytes_out: Counter,
    pub denied_responses: Counter,
    pub connection_errors: Counter,
    pub response_errors: Counter,
    pub retries: Counter,
    pub redispatches: Counter,
    pub client_aborts: Counter,
    pub server_aborts: Counter,
    pub connects: Counter,
    pub reuses: Counter,
    pub idle_connections: MaxGauge,
    pub failed_checks: Counter,
    pub failed_by_traffic: Counter,
    pub down_transitions: Counter,
    pub last_session_ms: AtomicU64,
    pub responses: ResponseCounters,
    pub queue_time: Average,
    pub connect_time: Average,
    pub response_time: Average,
    pub total_time: Average,
}
