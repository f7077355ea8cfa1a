//! What all runtimes of a worker share: configuration, state, clock, counters, sessions, captures, events.
//!
//! Everything here is reached through one `Arc<Shared>`; nothing here knows how traffic is handled.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use config::haproxy::HaproxyConfig;
use protocol::event::Event;
use protocol::operation::Operation;
use protocol::worker::{ErrorCapture, SessionInfo};

use crate::pattern::Registry;
use crate::state::{Backend, BackendId, Counter, Frontend, FrontendId, MaxGauge, RateMeter, add};

/// A lock whose holder cannot leave broken state behind: a panic elsewhere does not spread.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What all runtimes of a worker share.
pub struct Shared {
    /// The configuration, with defaults applied.
    pub config: HaproxyConfig,
    /// Frontends in order of configuration; [`FrontendId`] is the index.
    pub frontends: Vec<Arc<Frontend>>,
    /// Backends in order of configuration; [`BackendId`] is the index.
    pub backends: Vec<Arc<Backend>>,
    /// Lists of patterns and maps.
    pub patterns: Arc<Registry>,
    /// The worker's clock.
    pub clock: Clock,
    /// `node`, or the host's name.
    pub node: String,
    /// Process id for logs and `show info`.
    pub pid: u32,
    /// Figures of the process.
    pub process: ProcessCounters,
    /// Sessions now.
    pub sessions: SessionTable,
    /// Refused messages.
    pub errors: ErrorCaptures,
    /// What happened, on its way to the control process.
    pub events: Waiting<Event>,
    /// Changes made on the statistics page, on their way to the control process: another worker may have to know.
    pub operated: Waiting<Operation>,
    /// HTTP/2 connections that were closed because of floods.
    pub floods: crate::http2::Floods,
    /// Log targets; traffic logs and state changes share them.
    pub reports: crate::log::Reports,
    /// `resolvers` sections.
    pub resolvers: crate::resolve::Resolvers,
    /// The way to the checks.
    pub health: crate::health::HealthDoor,
    /// Set when the worker drains: no new connections, none kept.
    pub draining: AtomicBool,
    /// When it began to drain, in microseconds of the clock; 0 before.
    pub(super) drain_began_us: AtomicU64,
    /// Tasks that accept.
    pub(super) acceptors: MaxGauge,
    /// What operators have set.
    pub(crate) settings: crate::command::Settings,
    /// `statm` of this process (proc(5)), opened before the chroot hides it.
    pub memory_file: Option<std::fs::File>,
}

/// Connections that the limit of descriptors allows: two each, and some for ourselves.
pub fn connections_by_descriptors() -> u64 {
    const OWN_DESCRIPTORS: u64 = 100;
    sys::privileges::descriptor_limit().saturating_sub(OWN_DESCRIPTORS) / 2
}

impl Shared {
    /// Shared state of a new worker; `now_ms` of its clock is 0 here.
    pub fn new(
        config: HaproxyConfig,
        frontends: Vec<Arc<Frontend>>,
        backends: Vec<Arc<Backend>>,
        patterns: Arc<Registry>,
        node: String,
        pid: u32,
    ) -> Self {
        Self {
            process: ProcessCounters::new(&config.global),
            reports: crate::log::Reports::open(&config, pid),
            resolvers: crate::resolve::Resolvers::open(&config),
            config,
            frontends,
            backends,
            patterns,
            clock: Clock::start(),
            node,
            pid,
            sessions: SessionTable::default(),
            errors: ErrorCaptures::default(),
            events: Waiting::default(),
            operated: Waiting::default(),
            floods: crate::http2::Floods::default(),
            health: crate::health::HealthDoor::default(),
            draining: AtomicBool::new(false),
            drain_began_us: AtomicU64::new(0),
            acceptors: MaxGauge::default(),
            settings: crate::command::Settings::default(),
            memory_file: std::fs::File::open("/proc/self/statm").ok(),
        }
    }

    /// Since when the worker drains, in microseconds of the clock.
    pub fn draining_since_us(&self) -> Option<u64> {
        Some(self.drain_began_us.load(Relaxed)).filter(|began| *began > 0)
    }

    /// A frontend by its name.
    pub fn frontend(&self, name: &str) -> Option<&Arc<Frontend>> {
        self.frontends.iter().find(|frontend| frontend.name == name)
    }

    /// A backend by its name.
    pub fn backend(&self, name: &str) -> Option<&Arc<Backend>> {
        self.backends.iter().find(|backend| backend.name == name)
    }
}

/// A clock that starts at 0 with the worker and never goes back.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
    /// Microseconds since 1970 at `start`.
    wall_start_us: u64,
}

impl Clock {
    /// Starts it.
    pub fn start() -> Self {
        Self {
            start: Instant::now(),
            wall_start_us: system_us(),
        }
    }
    /// Microseconds since the worker started.
    pub fn now_us(&self) -> u64 {
        self.start.elapsed().as_micros() as u64
    }
    /// Milliseconds since the worker started.
    pub fn now_ms(&self) -> u64 {
        self.start.elapsed().as_millis() as u64
    }
    /// Microseconds since 1970 by the system's clock, now.
    pub fn wall_us(&self) -> u64 {
        system_us()
    }
    /// Microseconds since 1970 when the worker started.
    pub fn wall_start_us(&self) -> u64 {
        self.wall_start_us
    }
    /// The instant of a moment of this clock.
    pub fn instant(&self, at_us: u64) -> Instant {
        self.start + std::time::Duration::from_micros(at_us)
    }
}

fn system_us() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |elapsed| elapsed.as_micros() as u64)
}

/// Figures of the process; see `protocol::snapshot::ProcessInfo`.
#[derive(Debug, Default)]
#[allow(missing_docs)]
pub struct ProcessCounters {
    /// Limit of connections now; 0 is none. Operators change it.
    pub maxconn: AtomicU64,
    /// `maxconnrate` now; 0 is none. Operators change it.
    pub connection_rate_limit: AtomicU32,
    /// `maxsessrate` now; 0 is none. Operators change it.
    pub session_rate_limit: AtomicU32,
    /// `maxsslrate` now; 0 is none. Operators change it.
    pub tls_rate_limit: AtomicU32,
    /// `maxsslconn`; 0 is none.
    pub tls_limit: AtomicU32,
    pub connections: MaxGauge,
    pub connections_total: Counter,
    pub connection_rate: RateMeter,
    pub session_rate: RateMeter,
    pub requests_total: Counter,
    pub tls_connections: MaxGauge,
    pub tls_total: Counter,
    pub tls_rate: RateMeter,
    pub bytes_out: Counter,
    pub dropped_logs: Counter,
    pub failed_accepts: Counter,
    pub tasks: MaxGauge,
    /// Runtimes.
    pub threads: AtomicU32,
    /// Share of the last second in which the runtimes were idle, in per cent.
    pub idle_percent: AtomicU32,
}

impl ProcessCounters {
    fn new(global: &config::haproxy::Global) -> Self {
        let maxconn = global
            .maxconn
            .map_or_else(connections_by_descriptors, u64::from);
        let counters = Self::default();
        counters.maxconn.store(maxconn, Relaxed);
        let limits = [
            (&counters.connection_rate_limit, global.max_connection_rate),
            (&counters.session_rate_limit, global.max_session_rate),
            (&counters.tls_rate_limit, global.max_tls_rate),
            (&counters.tls_limit, global.max_tls_connections),
        ];
        for (limit, configured) in limits {
            limit.store(configured, Relaxed);
        }
        counters.idle_percent.store(100, Relaxed);
        counters
    }
}

/// What a session waits for, as `show sess` says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum SessionStage {
    Request = 0,
    Queue,
    Connect,
    Response,
    Data,
    KeepAlive,
    Tunnel,
}

impl SessionStage {
    const NAMES: [&'static str; 7] = [
        "request",
        "queue",
        "connect",
        "response",
        "data",
        "keep-alive",
        "tunnel",
    ];
}

const NO_ID: u32 = u32::MAX;

/// A session as the table knows it; its task writes, others read.
#[derive(Debug)]
pub struct SessionEntry {
    /// Its number in this worker.
    pub id: u64,
    /// Its frontend.
    pub frontend: FrontendId,
    /// Milliseconds of the worker's clock of the accept.
    pub accepted_ms: u64,
    requests: AtomicU32,
    /// The low half of the milliseconds of the worker's clock of the last byte either way.
    active_ms: AtomicU32,
    stage: AtomicU8,
    backend: AtomicU32,
    server: AtomicU32,
    killed: AtomicBool,
    behind: Mutex<Behind>,
}

/// What of a session is seldom looked at. Addresses are kept short: with many idle connections each byte counts.
#[derive(Debug)]
struct Behind {
    /// Its task; a session waits with one waker for its whole life.
    waker: Option<Waker>,
    /// The client, or the one that a PROXY header names.
    source: (IpAddr, u16),
    /// Whether it came by a unix socket, without a PROXY header.
    is_unix: bool,
}

impl SessionEntry {
    /// The client that a PROXY header names.
    pub fn set_proxied_source(&self, source: SocketAddr) {
        let mut behind = lock(&self.behind);
        behind.source = (source.ip(), source.port());
        behind.is_unix = false;
    }
    /// What it waits for from now on.
    pub fn set_stage(&self, stage: SessionStage) {
        self.stage.store(stage as u8, Relaxed);
    }
    /// Where it goes: index of the backend and of the server in it.
    pub fn set_target(&self, backend: Option<u32>, server: Option<u32>) {
        self.backend.store(backend.unwrap_or(NO_ID), Relaxed);
        self.server.store(server.unwrap_or(NO_ID), Relaxed);
    }
    /// Its backend, if chosen.
    pub fn backend(&self) -> Option<BackendId> {
        Some(self.backend.load(Relaxed))
            .filter(|id| *id != NO_ID)
            .map(BackendId)
    }
    /// Its server's index, if chosen.
    pub fn server(&self) -> Option<u32> {
        Some(self.server.load(Relaxed)).filter(|id| *id != NO_ID)
    }
    /// Bytes went either way at `now_us` of the worker's clock.
    pub fn touch(&self, now_us: u64) {
        self.active_ms.store((now_us / 1_000) as u32, Relaxed);
    }
    /// Milliseconds since then, right for 24 days.
    fn idle_ms(&self, now_ms: u64) -> u64 {
        let since = (now_ms as u32).wrapping_sub(self.active_ms.load(Relaxed));
        // Another thread may have touched it after `now_ms`.
        (since as i32).max(0) as u64
    }
    /// Requests so far.
    pub fn set_requests(&self, count: u64) {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        self.requests.store(count, Relaxed);
    }
    /// Whether an operator ended it.
    pub fn is_killed(&self) -> bool {
        self.killed.load(Relaxed)
    }
    /// Remembers the task that [`SessionEntry::wake`] wakes.
    pub fn set_waker(&self, waker: &Waker) {
        lock(&self.behind).waker = Some(waker.clone());
    }
    /// Makes its task look around.
    pub fn wake(&self) {
        if let Some(waker) = &lock(&self.behind).waker {
            waker.wake_by_ref();
        }
    }
    /// Ends it.
    pub fn kill(&self) {
        self.killed.store(true, Relaxed);
        self.wake();
    }
}

/// Shards of the table, so that runtimes seldom meet at a lock.
const SESSION_SHARDS: usize = 16;

/// Numbers that we count ourselves need no secret to spread them; the multiplication moves their differences into the upper
/// bits, which the map looks at.
#[derive(Debug, Default)]
struct NumberHasher(u64);

impl Hasher for NumberHasher {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64((*byte).into()));
    }
    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0 ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

type Entries = HashMap<u64, Arc<SessionEntry>, BuildHasherDefault<NumberHasher>>;

/// All sessions of the worker.
#[derive(Debug, Default)]
pub struct SessionTable {
    next: AtomicU64,
    shards: [Mutex<Entries>; SESSION_SHARDS],
}

impl SessionTable {
    /// A new session's number.
    pub fn next_id(&self) -> u64 {
        add(&self.next, 1) + 1
    }
    fn shard(&self, id: u64) -> MutexGuard<'_, Entries> {
        lock(&self.shards[id as usize % SESSION_SHARDS])
    }
    /// Enters a session.
    pub fn enter(
        &self,
        id: u64,
        frontend: FrontendId,
        source: SocketAddr,
        is_unix: bool,
        now_ms: u64,
    ) -> Arc<SessionEntry> {
        let entry = Arc::new(SessionEntry {
            id,
            frontend,
            accepted_ms: now_ms,
            requests: AtomicU32::new(0),
            active_ms: AtomicU32::new(now_ms as u32),
            stage: AtomicU8::new(SessionStage::Request as u8),
            backend: AtomicU32::new(NO_ID),
            server: AtomicU32::new(NO_ID),
            killed: AtomicBool::new(false),
            behind: Mutex::new(Behind {
                waker: None,
                source: (source.ip(), source.port()),
                is_unix,
            }),
        });
        self.shard(id).insert(id, Arc::clone(&entry));
        entry
    }
    /// Removes a session.
    pub fn leave(&self, id: u64) {
        self.shard(id).remove(&id);
    }
    /// Ends a session (`shutdown session ID`); says whether there was one.
    pub fn shutdown(&self, id: u64) -> bool {
        let entry = self.shard(id).get(&id).cloned();
        entry.inspect(|entry| entry.kill()).is_some()
    }
    /// Makes all sessions look around, when the worker starts to drain for instance.
    pub fn wake_all(&self) {
        for shard in &self.shards {
            let entries: Vec<_> = lock(shard).values().cloned().collect();
            entries.iter().for_each(|entry| entry.wake());
        }
    }
    /// Ends all sessions.
    pub fn shutdown_all(&self) {
        for shard in &self.shards {
            let entries: Vec<_> = lock(shard).values().cloned().collect();
            entries.iter().for_each(|entry| entry.kill());
        }
    }
    /// Sessions now.
    pub fn count(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).len()).sum()
    }
    /// For `show sess`: at most `limit`, by number.
    pub fn list(&self, shared: &Shared, limit: usize) -> Vec<SessionInfo> {
        let now_ms = shared.clock.now_ms();
        let mut entries: Vec<Arc<SessionEntry>> = self
            .shards
            .iter()
            .flat_map(|shard| lock(shard).values().cloned().collect::<Vec<_>>())
            .collect();
        entries.sort_unstable_by_key(|entry| entry.id);
        entries.truncate(limit);
        entries
            .iter()
            .map(|entry| describe(shared, entry, now_ms))
            .collect()
    }
}

fn describe(shared: &Shared, entry: &SessionEntry, now_ms: u64) -> SessionInfo {
    let backend = entry
        .backend()
        .and_then(|id| shared.backends.get(id.0 as usize));
    let server = entry
        .server()
        .and_then(|index| backend.and_then(|backend| backend.servers.get(index as usize)));
    let (source, is_unix) = {
        let behind = lock(&entry.behind);
        (SocketAddr::from(behind.source), behind.is_unix)
    };
    SessionInfo {
        id: entry.id,
        protocol: match (is_unix, source) {
            (true, _) => "unix_stream",
            (_, SocketAddr::V4(_)) => "tcpv4",
            (_, SocketAddr::V6(_)) => "tcpv6",
        }
        .to_owned(),
        source: if is_unix {
            "unix:1".to_owned()
        } else {
            source.to_string()
        },
        frontend: shared
            .frontends
            .get(entry.frontend.0 as usize)
            .map(|found| found.name.clone())
            .unwrap_or_default(),
        backend: backend
            .map(|backend| backend.name.clone())
            .unwrap_or_default(),
        server: server.map(|server| server.name.clone()).unwrap_or_default(),
        age_ms: now_ms.saturating_sub(entry.accepted_ms),
        idle_ms: entry.idle_ms(now_ms),
        requests: u64::from(entry.requests.load(Relaxed)),
        stage: SessionStage::NAMES[usize::from(entry.stage.load(Relaxed)).min(6)].to_owned(),
    }
}

/// The last refused request and answer of each proxy.
#[derive(Debug, Default)]
pub struct ErrorCaptures(Mutex<HashMap<(String, bool), ErrorCapture>>);

impl ErrorCaptures {
    /// Keeps a capture in place of the proxy's last one. The caller cuts `bytes` to `MAX_CAPTURE_BYTES`.
    pub fn keep(&self, capture: ErrorCapture) {
        lock(&self.0).insert((capture.proxy.clone(), capture.is_request), capture);
    }
    /// All captures, the oldest first.
    pub fn list(&self) -> Vec<ErrorCapture> {
        let mut all: Vec<_> = lock(&self.0).values().cloned().collect();
        all.sort_by_key(|capture| capture.at_ms);
        all
    }
}

/// Most events that wait for the control process; the oldest goes first.
pub const MAX_WAITING_EVENTS: usize = 1_024;

/// Events on their way to the control process.
pub type EventSink = Waiting<Event>;

/// What waits for the control process: bounded, the oldest is dropped and counted.
#[derive(Debug)]
pub struct Waiting<T>(Arc<WaitingQueue<T>>);

impl<T> Clone for Waiting<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Default for Waiting<T> {
    fn default() -> Self {
        Self(Arc::new(WaitingQueue {
            waiting: Mutex::default(),
            dropped: Counter::default(),
            arrived: tokio::sync::Notify::new(),
        }))
    }
}

#[derive(Debug)]
struct WaitingQueue<T> {
    waiting: Mutex<VecDeque<T>>,
    dropped: Counter,
    arrived: tokio::sync::Notify,
}

impl<T> Waiting<T> {
    /// Takes one in; never waits.
    pub fn push(&self, event: T) {
        let mut waiting = lock(&self.0.waiting);
        if waiting.len() >= MAX_WAITING_EVENTS {
            waiting.pop_front();
            self.0.dropped.increment();
        }
        waiting.push_back(event);
        drop(waiting);
        self.0.arrived.notify_one();
    }
    /// The next one. One reader at a time. Cancel-safe.
    pub async fn next(&self) -> T {
        loop {
            if let Some(event) = lock(&self.0.waiting).pop_front() {
                return event;
            }
            self.0.arrived.notified().await;
        }
    }
    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        lock(&self.0.waiting).is_empty()
    }
    /// One back to the front, when it could not be told.
    pub fn put_back(&self, event: T) {
        lock(&self.0.waiting).push_front(event);
    }
    /// Those dropped because nobody read them.
    pub fn dropped(&self) -> u64 {
        self.0.dropped.value()
    }
}
