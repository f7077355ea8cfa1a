//! The supervisor: owns the configuration, the listening sockets and the other processes.
//!
//! It reads nothing from the network. All that happens arrives as a [`Happening`] in one queue and is handled
//! in turn; files beside this one hold the stages of a reload and of a stop.

mod child;
mod listeners;
mod reload;
mod scripts;
mod stop;
mod systemd;

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use protocol::process::{FromChild, HEARTBEAT_LIMIT_MS, ProxyHealth, Role, ScriptOutcome, ToChild};
use protocol::{Event, EventKind, EventSeverity, EventSource, wire};
use tokio::signal::unix::SignalKind;
use tokio::sync::mpsc;

use crate::arguments::Arguments;
use crate::configuration::{Configuration, Loaded};
use crate::logging::{LogTarget, TARGET_VARIABLE};
use crate::start::Parent;
use crate::{control, version};
use child::Child;
use listeners::{FileAccess, Listeners};
use scripts::ScriptRunner;
use systemd::Systemd;

pub use listeners::{DEFAULT_BACKLOG, describe};

/// Happenings that may wait.
const MAX_HAPPENINGS: usize = 4_096;
/// How often timers are looked at.
const TICK: Duration = Duration::from_millis(100);
/// First pause before a restart, after one that was made at once.
const RESTART_PAUSE: Duration = Duration::from_millis(200);
/// Longest pause before a restart.
const MAX_RESTART_PAUSE: Duration = Duration::from_secs(5);
/// A process that ran for this long has earned a restart at once again.
const STABLE_AFTER: Duration = Duration::from_secs(10);
/// A worker that gives no sign of life for this long is killed, so that it can be started again.
const HUNG_AFTER: Duration = Duration::from_secs(10);
/// The control socket where none is configured.
pub const DEFAULT_SOCKET: &str = "/run/tandem/tandem.sock";

/// What the supervisor reacts to.
enum Happening {
    /// A child said something.
    Told {
        /// Who.
        pid: u32,
        /// What.
        message: FromChild,
    },
    /// A child ended.
    Ended {
        /// Who.
        pid: u32,
        /// How.
        reason: String,
    },
    /// A signal arrived.
    Signal(Signal),
    /// A script ended, for the vrrp process that asked.
    ScriptDone {
        /// Who asked.
        pid: u32,
        /// Its request.
        id: u64,
        /// How.
        outcome: ScriptOutcome,
    },
    /// A configuration was read for a reload.
    Loaded(Box<Result<Loaded, String>>),
}

/// Signals by their meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Signal {
    Terminate,
    Interrupt,
    Graceful,
    Reload,
}

/// When a role is started again.
#[derive(Default)]
struct Restarts {
    in_a_row: u32,
    due: Option<Instant>,
}

struct Supervisor {
    arguments: Arguments,
    configuration: Configuration,
    node: String,
    children: HashMap<u32, Child>,
    worker: Option<u32>,
    vrrp: Option<u32>,
    control: Option<u32>,
    restarts: HashMap<Role, Restarts>,
    listeners: Listeners,
    stats: Vec<(control::SocketSetup, Arc<OwnedFd>)>,
    own_files: Vec<PathBuf>,
    health: ProxyHealth,
    worker_state: Vec<u8>,
    happenings: mpsc::Sender<Happening>,
    scripts: ScriptRunner,
    systemd: Systemd,
    environment: Vec<(String, String)>,
    parent: Option<Parent>,
    announced: bool,
    reload: Option<reload::Reload>,
    stop: Option<stop::Stop>,
    started_at_ms: u64,
    /// The last vrrp process ended otherwise than asked.
    vrrp_died: bool,
}

/// Runs the supervisor until it is told to end. `parent` is let go when all processes are ready.
pub async fn run(
    arguments: Arguments,
    configuration: Configuration,
    target: LogTarget,
    parent: Option<Parent>,
) -> ExitCode {
    let (happenings, mut queue) = mpsc::channel(MAX_HAPPENINGS);
    if let Err(error) = listen_to_signals(&happenings) {
        tracing::error!("signals cannot be received: {error}");
        return ExitCode::FAILURE;
    }
    let mut environment = vec![(TARGET_VARIABLE.to_owned(), target.as_str().to_owned())];
    if arguments.debug {
        environment.push(("TANDEM_DEBUG".to_owned(), "1".to_owned()));
    }
    let node = configuration.node(&arguments);
    let mut supervisor = Supervisor {
        scripts: runner(&configuration),
        node,
        arguments,
        configuration: Configuration::default(),
        children: HashMap::new(),
        worker: None,
        vrrp: None,
        control: None,
        restarts: HashMap::new(),
        listeners: Listeners::default(),
        stats: Vec::new(),
        own_files: Vec::new(),
        health: ProxyHealth {
            alive: false,
            detail: "no worker is ready yet".to_owned(),
        },
        worker_state: Vec::new(),
        happenings,
        systemd: Systemd::from_environment(),
        environment,
        parent,
        announced: false,
        reload: None,
        stop: None,
        started_at_ms: protocol::event::now_ms(),
        vrrp_died: false,
    };
    if let Err(failures) = supervisor.begin(configuration) {
        for failure in failures {
            // In the background the terminal still hears why.
            if supervisor.parent.is_some() {
                eprintln!("error: {failure}");
            }
            tracing::error!("{failure}");
        }
        return ExitCode::FAILURE;
    }
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            Some(happening) = queue.recv() => supervisor.handle(happening),
            _ = tick.tick() => supervisor.tick(),
        }
        if let Some(code) = supervisor.finished() {
            supervisor.leave().await;
            return code;
        }
    }
}

fn runner(configuration: &Configuration) -> ScriptRunner {
    let global = configuration
        .keepalived
        .as_ref()
        .map(|keepalived| &keepalived.global);
    ScriptRunner::new(
        global.and_then(|global| global.script_user.clone()),
        global.is_some_and(|global| global.enable_script_security),
    )
}

fn listen_to_signals(happenings: &mpsc::Sender<Happening>) -> std::io::Result<()> {
    for (kind, meaning) in [
        (SignalKind::terminate(), Signal::Terminate),
        (SignalKind::interrupt(), Signal::Interrupt),
        (SignalKind::user_defined1(), Signal::Graceful),
        (SignalKind::user_defined2(), Signal::Reload),
        (SignalKind::hangup(), Signal::Reload),
    ] {
        let mut signals = tokio::signal::unix::signal(kind)?;
        let happenings = happenings.clone();
        tokio::spawn(async move {
            while signals.recv().await.is_some() {
                if happenings.send(Happening::Signal(meaning)).await.is_err() {
                    return;
                }
            }
        });
    }
    Ok(())
}

impl Supervisor {
    /// Opens all sockets, writes the pidfile and starts the children.
    fn begin(&mut self, configuration: Configuration) -> Result<(), Vec<String>> {
        if let Some(haproxy) = &configuration.haproxy {
            self.listeners =
                Listeners::open(haproxy, &configuration.sources, &Listeners::default())?;
        }
        self.stats = self
            .open_stats_sockets(&configuration)
            .map_err(|failure| vec![failure])?;
        self.configuration = configuration;
        if let Some(path) = self.configuration.pidfile(&self.arguments) {
            match std::fs::write(&path, format!("{}\n", std::process::id())) {
                Ok(()) => self.own_files.push(path),
                Err(error) => {
                    return Err(vec![format!(
                        "cannot write the pidfile {}: {error}",
                        path.display()
                    )]);
                }
            }
        }
        for role in [Role::Control, Role::Vrrp, Role::Worker] {
            if self.configured(role) {
                self.start(role)
                    .map_err(|error| vec![format!("cannot start {}: {error}", role.as_str())])?;
            }
        }
        Ok(())
    }

    fn configured(&self, role: Role) -> bool {
        match role {
            Role::Control => true,
            Role::Vrrp => self.configuration.keepalived.is_some(),
            Role::Worker => self.configuration.haproxy.is_some(),
        }
    }

    fn current(&self, role: Role) -> Option<&Child> {
        let pid = match role {
            Role::Control => self.control,
            Role::Vrrp => self.vrrp,
            Role::Worker => self.worker,
        };
        pid.and_then(|pid| self.children.get(&pid))
    }

    /// Starts a role with the current configuration and makes it the current one.
    fn start(&mut self, role: Role) -> std::io::Result<()> {
        let pid = match role {
            Role::Control => self.start_control()?,
            Role::Vrrp => {
                let Some(setup) = self.vrrp_setup(&self.configuration) else {
                    return Ok(());
                };
                let pid = self.start_peer(Role::Vrrp, setup, Vec::new())?;
                if let Some(child) = self.children.get(&pid) {
                    child.tell(&ToChild::ProxyHealth(self.health.clone()));
                }
                pid
            }
            Role::Worker => {
                let configuration = self.configuration.clone();
                let listeners = self.listeners.clone();
                let Some(pid) = self.start_worker(&configuration, &listeners)? else {
                    return Ok(());
                };
                pid
            }
        };
        *match role {
            Role::Control => &mut self.control,
            Role::Vrrp => &mut self.vrrp,
            Role::Worker => &mut self.worker,
        } = Some(pid);
        self.event(
            EventKind::ProcessStarted,
            EventSeverity::Info,
            role.as_str(),
            &format!("started as process {pid}"),
            if self.announced {
                "in place of the one that ended"
            } else {
                "the daemon starts"
            },
        );
        Ok(())
    }

    /// Starts a worker or vrrp with a channel to control.
    fn start_peer(
        &mut self,
        role: Role,
        setup: Vec<u8>,
        listeners: Vec<Arc<OwnedFd>>,
    ) -> std::io::Result<u32> {
        let (theirs, for_control) = sys::channel::pair()?;
        let mut descriptors = vec![Arc::new(theirs)];
        descriptors.extend(listeners);
        let child = Child::start(
            role,
            setup,
            descriptors,
            &self.happenings,
            &self.environment,
        )?;
        let pid = child.pid;
        self.children.insert(pid, child);
        if let Some(control) = self.current(Role::Control) {
            control.tell_with(&ToChild::Peer { role, pid }, vec![Arc::new(for_control)]);
        }
        Ok(pid)
    }

    fn start_worker(
        &mut self,
        configuration: &Configuration,
        listeners: &Listeners,
    ) -> std::io::Result<Option<u32>> {
        let Some(haproxy) = &configuration.haproxy else {
            return Ok(None);
        };
        let setup = proxy::Setup {
            config: haproxy.clone(),
            node: self.node.clone(),
            pid_for_logs: std::process::id(),
            listeners: proxy::listener_keys(haproxy),
            servers_state: self.worker_state.clone(),
        };
        let setup = wire::encode(&setup).map_err(std::io::Error::other)?;
        self.start_peer(Role::Worker, setup, listeners.descriptors())
            .map(Some)
    }

    fn start_control(&mut self) -> std::io::Result<u32> {
        let setup = wire::encode(&self.control_setup()).map_err(std::io::Error::other)?;
        let child = Child::start(
            Role::Control,
            setup,
            self.stats_descriptors(),
            &self.happenings,
            &self.environment,
        )?;
        // All others get a new channel to it.
        for peer in self
            .children
            .values()
            .filter(|peer| peer.role != Role::Control)
        {
            let (theirs, for_control) = sys::channel::pair()?;
            peer.tell_with(
                &ToChild::Peer {
                    role: Role::Control,
                    pid: child.pid,
                },
                vec![Arc::new(theirs)],
            );
            child.tell_with(
                &ToChild::Peer {
                    role: peer.role,
                    pid: peer.pid,
                },
                vec![Arc::new(for_control)],
            );
        }
        let pid = child.pid;
        self.children.insert(pid, child);
        Ok(pid)
    }

    fn stats_descriptors(&self) -> Vec<Arc<OwnedFd>> {
        self.stats
            .iter()
            .map(|(_, descriptor)| Arc::clone(descriptor))
            .collect()
    }

    fn vrrp_setup(&self, configuration: &Configuration) -> Option<Vec<u8>> {
        let setup = vrrp::Setup {
            config: configuration.keepalived.clone()?,
            proxy_configured: configuration.haproxy.is_some(),
            node: self.node.clone(),
        };
        wire::encode(&setup)
            .inspect_err(|error| tracing::error!("no setup for vrrp: {error}"))
            .ok()
    }

    fn control_setup(&self) -> control::Setup {
        let global = self
            .configuration
            .haproxy
            .as_ref()
            .map(|haproxy| &haproxy.global);
        let mail = self
            .configuration
            .keepalived
            .as_ref()
            .and_then(|keepalived| control::MailSetup::new(&keepalived.global));
        let identity = self.configuration.control_identity();
        control::Setup {
            node: self.node.clone(),
            version: version::VERSION.to_owned(),
            supervisor_pid: std::process::id(),
            started_at_ms: self.started_at_ms,
            sockets: self.stats.iter().map(|(setup, _)| setup.clone()).collect(),
            timeout: global
                .and_then(|global| global.stats_timeout)
                .unwrap_or(control::DEFAULT_TIMEOUT),
            max_clients: global
                .and_then(|global| global.stats_maxconn)
                .unwrap_or(control::DEFAULT_MAX_CLIENTS),
            proxy_configured: self.configured(Role::Worker),
            vrrp_configured: self.configured(Role::Vrrp),
            mail,
            description: global
                .and_then(|global| global.description.clone())
                .unwrap_or_default(),
            uid: identity.uid,
            gid: identity.gid,
        }
    }

    /// Opens the configured stats sockets, or the default one; those already open are kept.
    fn open_stats_sockets(
        &mut self,
        configuration: &Configuration,
    ) -> Result<Vec<(control::SocketSetup, Arc<OwnedFd>)>, String> {
        let mut sockets = Vec::new();
        let configured = configuration
            .haproxy
            .as_ref()
            .map(|haproxy| haproxy.global.stats_sockets.as_slice());
        for socket in configured.unwrap_or_default() {
            let setup = control::SocketSetup {
                name: describe(&socket.address),
                level: control::level(socket.level),
            };
            if let Some((_, open)) = self.stats.iter().find(|(open, _)| open.name == setup.name) {
                sockets.push((setup, Arc::clone(open)));
                continue;
            }
            let access = FileAccess {
                mode: socket.mode,
                user: socket.user.as_ref(),
                group: socket.group.as_ref(),
            };
            match listeners::open_plain(&socket.address, &access) {
                Ok(descriptor) => {
                    if let config::haproxy::BindAddress::Unix(path) = &socket.address {
                        self.own_files.push(PathBuf::from(path));
                    }
                    sockets.push((setup, Arc::new(descriptor)));
                }
                Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
                    tracing::warn!(
                        "stats socket {}: taken by another process; this daemon does not answer there",
                        setup.name
                    );
                }
                Err(error) => {
                    let place = configuration.sources.name(socket.span.file);
                    return Err(format!(
                        "{place}:{}: stats socket {}: {error}",
                        socket.span.line, setup.name
                    ));
                }
            }
        }
        let own = self.arguments.socket.clone();
        if own.is_some() || configured.unwrap_or_default().is_empty() {
            let path = own.unwrap_or_else(|| PathBuf::from(DEFAULT_SOCKET));
            let address = config::haproxy::BindAddress::Unix(path.to_string_lossy().into_owned());
            let setup = control::SocketSetup {
                name: describe(&address),
                level: protocol::Level::Admin,
            };
            if let Some((_, open)) = self.stats.iter().find(|(open, _)| open.name == setup.name) {
                sockets.push((setup, Arc::clone(open)));
            } else {
                let access = FileAccess {
                    mode: Some(0o660),
                    ..FileAccess::default()
                };
                match listeners::open_plain(&address, &access) {
                    Ok(descriptor) => {
                        self.own_files.push(path);
                        sockets.push((setup, Arc::new(descriptor)));
                    }
                    // Another daemon of this host has it, or we may not: the proxy works without.
                    Err(error) => tracing::warn!(
                        "control socket {}: {error}; `--socket` names another",
                        path.display()
                    ),
                }
            }
        }
        Ok(sockets)
    }

    fn handle(&mut self, happening: Happening) {
        match happening {
            Happening::Told { pid, message } => self.told(pid, message),
            Happening::Ended { pid, reason } => self.ended(pid, &reason),
            Happening::Signal(signal) => match signal {
                Signal::Reload => self.begin_reload(None),
                Signal::Terminate | Signal::Interrupt | Signal::Graceful => self.begin_stop(signal),
            },
            Happening::ScriptDone { pid, id, outcome } => {
                if let Some(child) = self.children.get(&pid) {
                    child.tell(&ToChild::ScriptDone { id, outcome });
                }
            }
            Happening::Loaded(loaded) => self.loaded(*loaded),
        }
        self.update_health();
        self.announce();
    }

    fn told(&mut self, pid: u32, message: FromChild) {
        let Some(child) = self.children.get_mut(&pid) else {
            return;
        };
        match message {
            FromChild::Ready => {
                child.ready = true;
                child.heartbeat = Instant::now();
                self.candidate_ready(pid);
            }
            FromChild::Heartbeat => child.heartbeat = Instant::now(),
            FromChild::Failed(reason) => child.failure = Some(reason),
            FromChild::Event(event) => self.pass_on(&ToChild::Event(event)),
            FromChild::RunScript {
                id,
                argv,
                user,
                timeout_ms,
            } => {
                let runner = self.scripts.clone();
                let happenings = self.happenings.clone();
                tokio::spawn(async move {
                    let outcome = runner
                        .run(argv, user, Duration::from_millis(timeout_ms))
                        .await;
                    // The supervisor ends if nobody listens.
                    let _ = happenings
                        .send(Happening::ScriptDone { pid, id, outcome })
                        .await;
                });
            }
            FromChild::Mail { subject, body } => self.pass_on(&ToChild::Mail { subject, body }),
            FromChild::WorkerState(state) => self.worker_state_known(state),
            FromChild::Reload { id } => self.begin_reload(Some((pid, id))),
        }
    }

    fn pass_on(&self, message: &ToChild) {
        if let Some(control) = self.current(Role::Control) {
            control.tell(message);
        }
    }

    fn ended(&mut self, pid: u32, reason: &str) {
        let Some(child) = self.children.remove(&pid) else {
            return;
        };
        let role = child.role;
        if role == Role::Vrrp {
            self.vrrp_died = reason != child::CLEAN_END;
        }
        if role != Role::Control {
            self.pass_on(&ToChild::PeerGone { role, pid });
        }
        let reason = match &child.failure {
            Some(failure) => format!("{failure} ({reason})"),
            None => reason.to_owned(),
        };
        let was_current = [self.worker, self.vrrp, self.control].contains(&Some(pid));
        for current in [&mut self.worker, &mut self.vrrp, &mut self.control] {
            current.take_if(|current| *current == pid);
        }
        if self.candidate_ended(pid, &reason) {
            return;
        }
        if child.leaving || self.stop.is_some() {
            tracing::info!("{} (process {pid}) ended: {reason}", role.as_str());
            self.tick_stop(Instant::now());
            return;
        }
        self.update_health();
        self.event(
            EventKind::ProcessDied,
            EventSeverity::Alert,
            role.as_str(),
            &format!("process {pid} died"),
            &reason,
        );
        if !was_current {
            return;
        }
        if !self.announced && !child.ready {
            // It never worked: to try again would hide why.
            if self.parent.is_some() {
                eprintln!("error: {} cannot start: {reason}", role.as_str());
            }
            tracing::error!("{} cannot start: {reason}", role.as_str());
            self.begin_stop_with(stop::FAILED);
            return;
        }
        self.plan_restart(role, child.started);
    }

    fn plan_restart(&mut self, role: Role, started: Instant) {
        let restarts = self.restarts.entry(role).or_default();
        if started.elapsed() >= STABLE_AFTER {
            restarts.in_a_row = 0;
        }
        restarts.in_a_row += 1;
        if restarts.in_a_row == 1 {
            self.restart(role);
            return;
        }
        let pause = RESTART_PAUSE
            .saturating_mul(1 << (restarts.in_a_row - 2).min(10))
            .min(MAX_RESTART_PAUSE);
        restarts.due = Some(Instant::now() + pause);
        tracing::warn!(
            "{} is started again in {} ms: it died {} times in a row",
            role.as_str(),
            pause.as_millis(),
            restarts.in_a_row
        );
    }

    fn restart(&mut self, role: Role) {
        if !self.configured(role) || self.current(role).is_some() {
            return;
        }
        if let Err(error) = self.start(role) {
            tracing::error!("cannot start {}: {error}", role.as_str());
            self.restarts.entry(role).or_default().due = Some(Instant::now() + MAX_RESTART_PAUSE);
        }
    }

    fn tick(&mut self) {
        let now = Instant::now();
        let due: Vec<Role> = self
            .restarts
            .iter_mut()
            .filter_map(|(role, restarts)| restarts.due.take_if(|due| *due <= now).map(|_| *role))
            .collect();
        if self.stop.is_none() {
            for role in due {
                self.restart(role);
            }
        }
        for child in self.children.values() {
            let silent = child.role == Role::Worker
                && child.ready
                && child.heartbeat.elapsed() >= HUNG_AFTER;
            if silent || child.hung() {
                tracing::error!(
                    "{} (process {}) hangs: killed",
                    child.role.as_str(),
                    child.pid
                );
                child.signal(nix::sys::signal::Signal::SIGKILL);
            }
        }
        self.update_health();
        self.tick_reload(now);
        self.tick_stop(now);
        self.announce();
        let healthy = self.all_ready() && (self.worker.is_none() || self.health.alive);
        self.systemd.tick(healthy);
    }

    fn all_ready(&self) -> bool {
        [Role::Control, Role::Vrrp, Role::Worker]
            .into_iter()
            .all(|role| {
                !self.configured(role) || self.current(role).is_some_and(|child| child.ready)
            })
    }

    /// Looks at the worker and tells vrrp and systemd if something changed.
    fn update_health(&mut self) {
        let health = match self.current(Role::Worker) {
            None => ProxyHealth {
                alive: false,
                detail: "the worker died and is started again".to_owned(),
            },
            Some(worker) if !worker.ready => ProxyHealth {
                alive: false,
                detail: format!("worker {} is not ready yet", worker.pid),
            },
            Some(worker)
                if worker.heartbeat.elapsed() >= Duration::from_millis(HEARTBEAT_LIMIT_MS) =>
            {
                ProxyHealth {
                    alive: false,
                    detail: format!(
                        "worker {} gives no sign of life for {HEARTBEAT_LIMIT_MS} ms",
                        worker.pid
                    ),
                }
            }
            Some(worker) => ProxyHealth {
                alive: true,
                detail: format!("worker {} answers", worker.pid),
            },
        };
        let stopping = self.stop.is_some();
        if health != self.health && !stopping && self.configured(Role::Worker) {
            if health.alive != self.health.alive {
                tracing::info!(
                    "proxy is {}: {}",
                    if health.alive { "alive" } else { "not alive" },
                    health.detail
                );
            }
            self.health = health;
            if let Some(vrrp) = self.current(Role::Vrrp) {
                vrrp.tell(&ToChild::ProxyHealth(self.health.clone()));
            }
        }
        let word = |role: Role| match self.current(role) {
            _ if !self.configured(role) => "not configured",
            Some(child) if child.ready => "running",
            Some(_) => "starting",
            None => "down",
        };
        let status = format!(
            "worker {}, vrrp {}, control {}",
            word(Role::Worker),
            word(Role::Vrrp),
            word(Role::Control)
        );
        self.systemd.status(if stopping {
            "stopping".to_owned()
        } else {
            status
        });
    }

    /// Tells systemd and the parent once, when all that is configured is ready.
    fn announce(&mut self) {
        if self.announced || self.stop.is_some() || !self.all_ready() {
            return;
        }
        self.announced = true;
        self.systemd.ready();
        if let Some(parent) = self.parent.take() {
            parent.release();
        }
        tracing::info!(
            "Tandem {} serves on {} (process {})",
            version::VERSION,
            self.node,
            std::process::id()
        );
    }

    /// Logs an event of our own and gives it to the history.
    fn event(
        &self,
        kind: EventKind,
        severity: EventSeverity,
        subject: &str,
        change: &str,
        reason: &str,
    ) {
        match severity {
            EventSeverity::Info | EventSeverity::Notice => {
                tracing::info!("{subject} {change}: {reason}")
            }
            EventSeverity::Warning => tracing::warn!("{subject} {change}: {reason}"),
            EventSeverity::Alert => tracing::error!("{subject} {change}: {reason}"),
        }
        self.pass_on(&ToChild::Event(Event::now(
            EventSource::Supervisor,
            severity,
            kind,
            subject,
            change,
            reason,
        )));
    }

    /// Removes the files that were made here, and addresses that vrrp could not remove itself.
    async fn leave(&mut self) {
        if self.vrrp_died
            && let Some(keepalived) = &self.configuration.keepalived
        {
            match vrrp::remove_addresses(keepalived).await {
                Ok(removed) if removed.is_empty() => {}
                Ok(removed) => tracing::warn!(
                    "removed {}: vrrp had died before it could",
                    removed.join(", ")
                ),
                Err(reason) => {
                    tracing::error!("virtual addresses may be left on this node: {reason}")
                }
            }
        }
        for path in self.own_files.drain(..) {
            // An operator may have removed it.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Another supervisor or vrrp process of ours in this network namespace, by its process id.
pub fn other_supervisor() -> Option<u32> {
    let namespace = std::fs::read_link("/proc/self/ns/net").ok()?;
    let entries = std::fs::read_dir("/proc").ok()?;
    entries.filter_map(Result::ok).find_map(|entry| {
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        (pid != std::process::id() && owns_addresses(&entry.path(), &namespace)).then_some(pid)
    })
}

fn owns_addresses(process: &Path, namespace: &Path) -> bool {
    let name = std::fs::read_to_string(process.join("comm")).unwrap_or_default();
    if !matches!(name.trim_end(), "tandemd" | "tandemd-vrrp") {
        return false;
    }
    let words = std::fs::read(process.join("cmdline")).unwrap_or_default();
    let only_looks = words
        .split(|byte| *byte == 0)
        .any(|word| word == b"-c" || word == b"--cleanup");
    !only_looks && std::fs::read_link(process.join("ns/net")).is_ok_and(|other| other == namespace)
}
