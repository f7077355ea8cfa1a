//! When checks run: one task with one list of due times for all servers. A plain check of a connection runs in that task
//! (`dial`); any other has a task of its own while it is under way.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use protocol::operation::ServerAdmin;
use socket2::Socket;
use sys::watch::Watch;
use tokio::time::Instant;

use super::connection::{self, Detour, Limits, Target};
use super::dial;
use super::outcome::Outcome;
use super::plan::{Checks, Kind};
use super::script::Site;
use super::{Hurry, Pace, agent, change, external, lock_health, script};
use crate::app::{App, BackendRuntime};
use crate::state::{Backend, Server};

/// Most by which `spread-checks` may change an interval, in per cent.
const MAX_SPREAD_PERCENT: u64 = 50;
/// First checks are spread over this time at least, if any interval is as long.
const LEAST_SPREAD: Duration = Duration::from_secs(1);
/// Checks that come due within this time of one another are begun together: as long as a hundredth of the shortest
/// interval, within these bounds. Five thousand in two seconds were measured to cost a tenth less so.
const TOGETHER: [Duration; 2] = [Duration::from_millis(1), Duration::from_millis(10)];

/// A check or an agent of a server.
struct Entry {
    backend: Arc<Backend>,
    server: Arc<Server>,
    checks: Arc<Checks>,
    is_agent: bool,
    /// Number of the next due time: those of an older number are void.
    generation: Cell<u64>,
    /// When it was due; it may have begun a little earlier, and keeps its place among the others.
    due: Cell<Instant>,
    /// It is under way, and schedules itself at its end.
    running: Cell<bool>,
    /// The connection of a plain check that is under way, and when that began. Its due time is then its time limit.
    dialed: RefCell<Option<Dialed>>,
    turn: Cell<u64>,
}

/// A connection that is being made.
struct Dialed {
    socket: Socket,
    started: Instant,
    until: Instant,
}

type Due = Reverse<(Instant, usize, u64)>;

struct Schedule {
    app: Arc<App>,
    /// By index; the place of a server that has left is given to the next that comes.
    entries: RefCell<Vec<Option<Rc<Entry>>>>,
    /// Places of servers that have left, with the number from which the next entry's due times count.
    free: RefCell<Vec<(usize, u64)>>,
    due: RefCell<BinaryHeap<Due>>,
    /// What comes due within this time is begun together.
    together: Duration,
    /// Absent if the system had no descriptor for it: then every check has a task.
    watch: Option<Watch>,
    /// Something was put in front of what the task waits for.
    moved: tokio::sync::Notify,
}

/// Starts all checks on the calling runtime. First checks are spread: the nth of all begins after that share of its own
/// interval, or of [`LEAST_SPREAD`] if that is longer. HAProxy was seen to take the shortest interval of a second or more instead, for which
/// an agent that is asked every 200 ms beside checks once a minute would wait for half a minute.
pub fn start(app: &Arc<App>) {
    let mut entries = Vec::new();
    let now = Instant::now();
    for runtime in &app.backends {
        for server in runtime.backend.servers.now().iter() {
            entries.extend(entries_of(runtime, server));
        }
    }
    let global = &app.shared.config.global;
    let shortest = entries
        .iter()
        .map(Entry::interval)
        .filter(|interval| *interval >= LEAST_SPREAD)
        .min()
        .unwrap_or_default();
    let count = u32::try_from(entries.len()).unwrap_or(u32::MAX).max(1);
    let least = entries.iter().map(Entry::shortest_interval).min();
    let least = least.unwrap_or(LEAST_SPREAD);
    let due = entries
        .iter()
        .enumerate()
        .map(|(at, entry)| {
            let span = entry.interval().max(shortest.min(LEAST_SPREAD));
            let span = global.max_spread_checks.map_or(span, |most| most.min(span));
            Reverse((now + span * u32::try_from(at).unwrap_or(0) / count, at, 0))
        })
        .collect();
    let schedule = Rc::new(Schedule {
        app: Arc::clone(app),
        entries: RefCell::new(entries.into_iter().map(Rc::new).map(Some).collect()),
        free: RefCell::default(),
        due: RefCell::new(due),
        together: (least / 100).clamp(TOGETHER[0], TOGETHER[1]),
        watch: Watch::new().ok(),
        moved: tokio::sync::Notify::new(),
    });
    tokio::task::spawn_local(run(schedule));
}

/// The check and the agent of a server, if it has them.
fn entries_of(runtime: &BackendRuntime, server: &Arc<Server>) -> impl Iterator<Item = Entry> {
    let kinds = [
        (server.config.check.is_some(), false),
        (server.config.agent.is_some(), true),
    ];
    let now = Instant::now();
    kinds
        .into_iter()
        .filter(|(is_there, _)| *is_there)
        .map(move |(_, is_agent)| Entry {
            backend: Arc::clone(&runtime.backend),
            server: Arc::clone(server),
            checks: Arc::clone(&runtime.checks),
            is_agent,
            generation: Cell::new(0),
            due: Cell::new(now),
            running: Cell::new(false),
            dialed: RefCell::new(None),
            turn: Cell::new(0),
        })
}

async fn run(schedule: Rc<Schedule>) {
    let shared = Arc::clone(&schedule.app.shared);
    // Kept between the turns for their memory.
    let (mut ended, mut dialed) = (Vec::new(), Vec::new());
    loop {
        let first = schedule.due.borrow().peek().map(|Reverse((at, ..))| *at);
        let until = first.unwrap_or_else(|| Instant::now() + Duration::from_secs(3_600));
        tokio::select! {
            () = tokio::time::sleep_until(until) => {}
            () = schedule.ended(&mut ended) => {
                for index in ended.drain(..) {
                    schedule.connected(index as usize);
                }
                continue;
            }
            () = schedule.moved.notified() => continue,
            wish = shared.health.wishes() => {
                if wish.servers_changed {
                    schedule.follow();
                }
                wish.hurried.iter().for_each(|&(place, pace)| schedule.hurry(place, pace));
                continue;
            }
        }
        // The new worker checks from here on; two of them would tell the same twice.
        if shared.draining.load(Relaxed) {
            return;
        }
        let horizon = Instant::now() + schedule.together;
        while let Some((at, index)) = schedule.take_due(horizon) {
            schedule.begin(at, index, &mut dialed);
        }
        schedule.look(&mut dialed);
    }
}

impl Entry {
    fn configured_interval(&self) -> Duration {
        let (config, agent) = (&self.server.config.check, &self.server.config.agent);
        match (config, agent) {
            (Some(check), _) if !self.is_agent => check.inter,
            (_, Some(agent)) => agent.inter,
            _ => Duration::from_secs(2),
        }
    }

    /// The shortest that a state may ask for.
    fn shortest_interval(&self) -> Duration {
        let inter = self.configured_interval();
        match self.server.config.check.as_ref().filter(|_| !self.is_agent) {
            Some(check) => [check.fastinter, check.downinter]
                .into_iter()
                .flatten()
                .fold(inter, Duration::min),
            None => inter,
        }
    }

    /// The interval that the server's state asks for.
    fn interval(&self) -> Duration {
        let Some(check) = self.server.config.check.as_ref().filter(|_| !self.is_agent) else {
            return self.configured_interval();
        };
        let health = lock_health(&self.server);
        match health.health {
            0 => check.downinter.unwrap_or(check.inter),
            count if count + 1 >= check.rise + check.fall && !health.suspected => check.inter,
            _ => check.fastinter.unwrap_or(check.inter),
        }
    }

    /// Whether the check may run now.
    fn is_wanted(&self) -> bool {
        let health = lock_health(&self.server);
        if self.is_agent {
            return health.agent.as_ref().is_some_and(|agent| agent.enabled);
        }
        health.checks_enabled && super::effective_admin(&health) != ServerAdmin::Maint
    }
}

impl Schedule {
    /// The next check that is due by now.
    fn take_due(&self, horizon: Instant) -> Option<(Instant, usize)> {
        let mut due = self.due.borrow_mut();
        loop {
            let Reverse((at, index, generation)) = *due.peek()?;
            if at > horizon {
                return None;
            }
            due.pop();
            let is_good = |entry: Rc<Entry>| entry.generation.get() == generation;
            if self.entry(index).is_some_and(is_good) {
                return Some((at, index));
            }
        }
    }

    fn entry(&self, index: usize) -> Option<Rc<Entry>> {
        self.entries.borrow().get(index)?.clone()
    }

    /// Takes in servers that have come, and lets go of those that have left.
    fn follow(&self) {
        let mut entries = self.entries.borrow_mut();
        let mut free = self.free.borrow_mut();
        for (index, place) in entries.iter_mut().enumerate() {
            let gone = |entry: &mut Rc<Entry>| entry.server.is_removed.load(Relaxed);
            if let Some(entry) = place.take_if(gone) {
                free.push((index, entry.generation.get() + 1));
            }
        }
        let mut begun = Vec::new();
        for (backend, server) in self.app.shared.health.take_newcomers() {
            let Some(runtime) = self.app.backends.get(backend.0 as usize) else {
                continue;
            };
            for entry in entries_of(runtime, &server) {
                let (index, generation) = free.pop().unwrap_or((entries.len(), 0));
                if entries.len() <= index {
                    entries.resize_with(index + 1, || None);
                }
                entry.generation.set(generation);
                entries[index] = Some(Rc::new(entry));
                begun.push(index);
            }
        }
        drop((entries, free));
        for index in begun {
            self.put(index, Instant::now());
        }
    }

    fn put(&self, index: usize, at: Instant) {
        let Some(entry) = self.entry(index) else {
            return;
        };
        let generation = entry.generation.get() + 1;
        entry.generation.set(generation);
        let mut due = self.due.borrow_mut();
        let is_first = due.peek().is_none_or(|Reverse((first, ..))| at < *first);
        due.push(Reverse((at, index, generation)));
        if is_first {
            self.moved.notify_one();
        }
    }

    /// Runs a check, and schedules the next one after it. A plain one is put into `dialed` to be looked at.
    fn begin(self: &Rc<Self>, at: Instant, index: usize, dialed: &mut Vec<(usize, Dialed)>) {
        let Some(entry) = self.entry(index) else {
            return;
        };
        let late = entry.dialed.take();
        if let Some(late) = late {
            return self.conclude(index, &entry, late.started, Outcome::new("L4TOUT", ""));
        }
        entry.due.set(at);
        let started = Instant::now();
        if !entry.is_wanted() {
            self.put(index, started + entry.interval());
            return;
        }
        entry.running.set(true);
        let alone = (!entry.is_agent && self.watch.is_some() && entry.checks.plan.is_plain())
            .then(|| plain_target(&entry))
            .flatten();
        let Some(to) = alone else {
            let schedule = Rc::clone(self);
            tokio::task::spawn_local(async move { schedule.check(index, &entry, started).await });
            return;
        };
        match dial::dial(to) {
            Ok(socket) => {
                let until = limits(&self.app, &entry, started).connect_until(started);
                let one = Dialed {
                    socket,
                    started,
                    until,
                };
                dialed.push((index, one));
            }
            Err(error) => self.conclude(index, &entry, started, connection::failed(&error)),
        }
    }

    /// Takes in what became at once of connections that were just begun, and watches the others.
    fn look(&self, dialed: &mut Vec<(usize, Dialed)>) {
        if dialed.is_empty() {
            return;
        }
        let seen = dial::look(dialed.iter().map(|(_, one)| &one.socket));
        for ((index, one), seen) in dialed.drain(..).zip(seen) {
            let Some(entry) = self.entry(index) else {
                continue;
            };
            if let Some(ending) = seen {
                drop(one.socket);
                self.conclude(index, &entry, one.started, connection::told(ending));
                continue;
            }
            let watched = match &self.watch {
                Some(watch) => watch.add_writable(&one.socket, index as u64),
                None => Ok(()),
            };
            if let Err(error) = watched {
                self.conclude(index, &entry, one.started, connection::failed(&error));
                continue;
            }
            self.put(index, one.until);
            entry.dialed.replace(Some(one));
        }
    }

    /// Waits until connections that are watched have ended.
    async fn ended(&self, ended: &mut Vec<u64>) {
        match &self.watch {
            Some(watch) => watch.ready(ended).await,
            None => std::future::pending().await,
        }
    }

    /// A connection that was watched is made, or failed.
    fn connected(&self, index: usize) {
        let Some(entry) = self.entry(index) else {
            return;
        };
        if let Some(one) = entry.dialed.take() {
            let ending = dial::ending(&one.socket);
            drop(one.socket);
            self.conclude(index, &entry, one.started, connection::told(ending));
        }
    }

    /// The end of a plain check.
    fn conclude(&self, index: usize, entry: &Rc<Entry>, started: Instant, outcome: Outcome) {
        let outcome = entry.checks.plan.told(outcome);
        self.finish_check(index, entry, started, &outcome);
    }

    async fn check(&self, index: usize, entry: &Rc<Entry>, started: Instant) {
        let limits = limits(&self.app, entry, started);
        if entry.is_agent {
            let said = agent::ask(&entry.server, limits).await;
            if entry.is_wanted() {
                let duration = started.elapsed();
                agent::apply(
                    &self.app.shared,
                    &entry.backend,
                    &entry.server,
                    said,
                    duration,
                );
            }
            return self.next(index, entry);
        }
        let site = Site {
            app: &self.app,
            backend: &entry.backend,
            server: &entry.server,
            checks: &entry.checks,
            limits,
        };
        let outcome = match entry.checks.plan.kind {
            Kind::External => external::run(site).await,
            _ => script::run(site).await,
        };
        self.finish_check(index, entry, started, &outcome);
    }

    fn finish_check(&self, index: usize, entry: &Rc<Entry>, started: Instant, outcome: &Outcome) {
        // The operator may have put it into maintenance meanwhile: the result no longer matters.
        if entry.is_wanted() {
            lock_health(&entry.server).suspected = false;
            entry.server.consecutive_errors.store(0, Relaxed);
            let duration = Some(started.elapsed());
            change::record(
                &self.app.shared,
                &entry.backend,
                &entry.server,
                outcome,
                duration,
            );
        }
        self.next(index, entry);
    }

    /// The state may have changed: a server that begins to fail is looked at after `fastinter`.
    fn next(&self, index: usize, entry: &Rc<Entry>) {
        // It may have left meanwhile, and its place may be another's.
        if !self.entry(index).is_some_and(|now| Rc::ptr_eq(&now, entry)) {
            return;
        }
        entry.running.set(false);
        let interval = self.spread(entry, entry.interval());
        let now = Instant::now();
        let next = entry.due.get() + interval;
        self.put(index, if next > now { next } else { now + interval });
    }

    /// `spread-checks`: the interval changed by up to so many per cent either way.
    fn spread(&self, entry: &Entry, interval: Duration) -> Duration {
        let shared = &self.app.shared;
        let percent = u64::from(shared.config.global.spread_checks).min(MAX_SPREAD_PERCENT);
        if percent == 0 {
            return interval;
        }
        let turn = entry.turn.get() + 1;
        entry.turn.set(turn);
        let random = shared
            .clock
            .now_us()
            .wrapping_mul(0x9E37_79B9_7F4A_7C15)
            .wrapping_add(turn << 20)
            .wrapping_add(u64::from(entry.server.id.0))
            >> 33;
        let width = interval.as_micros() as u64 * percent / 100;
        let shift = if width == 0 {
            0
        } else {
            random % (2 * width + 1)
        };
        Duration::from_micros(interval.as_micros() as u64 + shift - width)
    }

    /// A server is suspected: its next check comes after `fastinter` at the latest.
    fn hurry(&self, place: Hurry, pace: Pace) {
        let is_meant =
            |entry: &Rc<Entry>| !entry.is_agent && (entry.backend.id, entry.server.id) == place;
        let found = self
            .entries
            .borrow()
            .iter()
            .position(|entry| entry.as_ref().is_some_and(is_meant));
        if let Some(index) = found
            && let Some(entry) = self.entry(index).filter(|entry| !entry.running.get())
        {
            let check = entry.server.config.check.as_ref();
            let soon = match (pace, check) {
                (Pace::Fast, Some(check)) => check.fastinter.unwrap_or(check.inter),
                _ => Duration::ZERO,
            };
            self.put(index, Instant::now() + soon);
        }
    }
}

/// Where a check of the connection alone goes; `None` if it takes more than an ordinary TCP socket.
fn plain_target(entry: &Entry) -> Option<std::net::SocketAddr> {
    let config = &entry.server.config;
    let check = config.check.as_ref()?;
    let is_bound = config.source.is_some() || config.tcp_user_timeout.is_some();
    if check.tls || check.send_proxy || is_bound {
        return None;
    }
    match connection::target(&entry.server, Detour::default()) {
        Target::Tcp(to) if to.port() != 0 => Some(to),
        _ => None,
    }
}

fn limits(app: &App, entry: &Entry, started: Instant) -> Limits {
    let proxy = app.shared.config.proxies.get(entry.backend.config_index);
    Limits {
        started,
        interval: entry.interval(),
        check: proxy.and_then(|proxy| proxy.timeouts.check),
        connect: proxy.and_then(|proxy| proxy.timeouts.connect),
    }
}
