//! A backend's facts and counters.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwapOption;

use super::counters::{Average, Counter, MaxGauge, RateMeter, ResponseCounters};
use super::places::Places;
use super::protocols::ProtocolCounters;
use super::server::{Server, ServerId, Usability};

/// Most servers that a backend may have after `add server`; a configuration may name more.
pub const MAX_SERVERS: usize = 16_384;

/// Index of a backend in the runtime's list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BackendId(pub u32);

/// A backend (or the back half of a `listen`).
#[derive(Debug)]
pub struct Backend {
    /// Its index.
    pub id: BackendId,
    /// Index of its configuration in `HaproxyConfig::proxies`.
    pub config_index: usize,
    /// HAProxy's number.
    pub iid: u32,
    /// Its name.
    pub name: String,
    /// Whether it speaks HTTP.
    pub http: bool,
    /// Its servers by [`ServerId`]; operators add and remove some.
    pub servers: Places<Server>,
    /// `fullconn`: with so many sessions servers have their whole `maxconn`; 0 for always.
    pub fullconn: std::sync::atomic::AtomicU32,
    /// Requests (or streams) that have a place at a server now.
    pub served: AtomicU64,
    /// Whether a server's `maxconn` depends on the load (`minconn`).
    has_ramps: AtomicBool,
    /// Grows whenever a server's usability or weight changes; balancers compare it and rebuild.
    generation: AtomicU64,
    /// Whether servers without a cookie get one made of their addresses (`cookie … dynamic`).
    pub dynamic_cookies: AtomicBool,
    /// What such cookies are made of, beside addresses (`dynamic-cookie-key`).
    pub dynamic_cookie_key: ArcSwapOption<String>,
    /// Wakes those who wait in the queue when a place is free or a server comes up.
    pub wake: tokio::sync::Notify,
    /// Figures.
    pub counters: BackendCounters,
    availability: Mutex<Availability>,
}

/// Since when a backend has been up or down.
#[derive(Clone, Copy, Debug, Default)]
pub struct Availability {
    /// Milliseconds of the worker's clock of the last change.
    pub changed_at_ms: u64,
    /// Milliseconds spent down before that.
    pub downtime_ms: u64,
}

impl Backend {
    /// A backend of given servers.
    pub fn new(
        id: BackendId,
        config_index: usize,
        iid: u32,
        name: String,
        http: bool,
        servers: Vec<Arc<Server>>,
    ) -> Self {
        let backend = Self {
            fullconn: std::sync::atomic::AtomicU32::new(0),
            served: AtomicU64::new(0),
            has_ramps: AtomicBool::new(false),
            id,
            config_index,
            iid,
            name,
            http,
            servers: Places::from(servers),
            generation: AtomicU64::new(1),
            dynamic_cookies: AtomicBool::new(false),
            dynamic_cookie_key: ArcSwapOption::empty(),
            wake: tokio::sync::Notify::new(),
            counters: BackendCounters::default(),
            availability: Mutex::default(),
        };
        for server in backend.servers.now().iter() {
            backend.adopt(server);
        }
        backend
    }

    /// Lets a new server in; `make` is told its index. `None` when there are [`MAX_SERVERS`] already.
    pub fn add_server(&self, make: impl FnOnce(ServerId) -> Server) -> Option<Arc<Server>> {
        let server = self.servers.add(MAX_SERVERS, |place| {
            let server = Arc::new(make(ServerId(place as u32)));
            self.adopt(&server);
            server
        })?;
        self.servers_changed();
        Some(server)
    }

    fn adopt(&self, server: &Server) {
        // It belongs to one backend.
        let _ = server.protocols.set(Arc::clone(&self.counters.protocols));
        if server.config.minconn.is_some() {
            self.has_ramps.store(true, Relaxed);
        }
    }

    /// A server by its index.
    pub fn server(&self, id: ServerId) -> Option<Arc<Server>> {
        self.servers.get(id.0 as usize)
    }

    /// How many requests a server may have at a time now; 0 for any number. `minconn` makes it follow the backend's load up
    /// to `fullconn`, `slowstart` the time since the server came back.
    pub fn places(&self, server: &Server) -> u32 {
        let most = server.maxconn.load(Relaxed);
        if most == 0 {
            return 0;
        }
        let mut places = most;
        if let Some(least) = server.config.minconn.filter(|least| *least < most) {
            // Those who wait do not count.
            let sessions = self.served.load(Relaxed);
            let fullconn = u64::from(self.fullconn.load(Relaxed));
            if sessions < fullconn {
                places = ((u64::from(most) * sessions / fullconn) as u32).max(least);
            }
        }
        server.ramped(places)
    }

    /// Whether the number of places of a server changes with the load.
    pub fn has_ramps(&self) -> bool {
        self.has_ramps.load(Relaxed)
    }

    /// Servers that take new clients (`nbsrv`).
    pub fn usable_servers(&self) -> usize {
        let servers = self.servers.now();
        let usable = servers.iter();
        usable
            .filter(|server| server.usability() == Usability::Up)
            .count()
    }

    /// Usable servers: those that are not backups, and backups.
    pub fn usable_by_kind(&self) -> (usize, usize) {
        let servers = self.servers.now();
        let usable = servers
            .iter()
            .filter(|server| server.usability() == Usability::Up);
        let (backup, active): (Vec<_>, Vec<_>) = usable.partition(|server| server.config.backup);
        (active.len(), backup.len())
    }

    /// Whether a server takes new clients.
    pub fn is_available(&self) -> bool {
        self.usable_servers() > 0
    }

    /// Since when it has been up or down.
    pub fn availability(&self) -> Availability {
        *self
            .availability
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Called when [`Backend::is_available`] has changed.
    pub fn availability_changed(&self, usable: bool, now_ms: u64) {
        let mut availability = self
            .availability
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if usable {
            availability.downtime_ms += now_ms.saturating_sub(availability.changed_at_ms);
        }
        availability.changed_at_ms = now_ms;
    }

    /// The state that balancers have to follow.
    pub fn generation(&self) -> u64 {
        self.generation.load(Relaxed)
    }

    /// Called after a server's usability or weight has changed.
    pub fn servers_changed(&self) {
        self.generation.fetch_add(1, Relaxed);
        self.wake.notify_waiters();
    }
}

/// A backend's counters; see `protocol::snapshot::BackendStats` for their meaning.
#[derive(Debug, Default)]
#[allow(missing_docs)]
pub struct BackendCounters {
    pub sessions: MaxGauge,
    pub sessions_total: Counter,
    pub chosen_total: Counter,
    pub rate: RateMeter,
    pub queue: MaxGauge,
    pub requests_total: Counter,
    pub bytes_in: Counter,
    pub bytes_out: Counter,
    pub denied_requests: Counter,
    pub denied_responses: Counter,
    pub connection_errors: Counter,
    pub response_errors: Counter,
    pub retries: Counter,
    pub redispatches: Counter,
    pub client_aborts: Counter,
    pub server_aborts: Counter,
    pub connects: Counter,
    pub reuses: Counter,
    pub internal_errors: Counter,
    pub down_transitions: Counter,
    pub last_session_ms: AtomicU64,
    pub responses: ResponseCounters,
    pub queue_time: Average,
    pub connect_time: Average,
    pub response_time: Average,
    pub total_time: Average,
    pub protocols: Arc<ProtocolCounters>,
}
