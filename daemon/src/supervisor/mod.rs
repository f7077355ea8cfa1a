//! The supervisor: owns the configuration, the listening sockets and the other processes.
//!
//! It reads nothing from the network. All that happens arrives as a [`Happening`] in one queue and is handled
//! in turn; files beside this one hold the stages of a reload and of a stop.

mod births;
mod child;
mod fifos;
mod health;
mod life;
mod listeners;
mod observed;
mod process;
mod reload;
mod reports;
mod scripts;
mod stop;
mod systemd;

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use config::haproxy::ExternalCheckEnvironment;
use protocol::process::{FromChild, Observation, ProxyHealth, Role, ScriptOutcome, ToChild};
use protocol::{Event, EventKind, EventSeverity, EventSource};
use sys::nursery::Nursery;
use tokio::signal::unix::SignalKind;
use tokio::sync::mpsc;

use crate::arguments::Arguments;
use crate::configuration::{Configuration, Loaded};
use crate::logging::{LogTarget, TARGET_VARIABLE};
use crate::programs::Security;
use crate::start::Parent;
use crate::{control, handover};
use child::Child;
use fifos::Fifos;
use listeners::Listeners;
use observed::Watch;
use scripts::{CheckEnvironment, Purpose, ScriptRunner};
use systemd::Systemd;

pub use listeners::{DEFAULT_BACKLOG, describe};

/// Happenings that may wait.
const MAX_HAPPENINGS: usize = 4_096;
/// How often timers are looked at.
const TICK: Duration = Duration::from_millis(100);
/// First pause before a restart, after one that was made at once.
const RESTART_PAUSE: Duration = Duration::from_millis(200);
/// Longest wait for the figures of a worker that died.
const STATE_PAUSE: Duration = Duration::from_millis(20);
/// Last figures of old workers that may wait for a new one.
const MAX_ORPHANED_FIGURES: usize = 64;
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
    /// The nursery ended.
    NurseryEnded {
        /// Its process id.
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
    /// Tracked files or processes changed.
    Watched {
        /// Which watch saw it.
        watch: Arc<AtomicBool>,
        /// What it saw.
        observations: Vec<Observation>,
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
    own_files: Vec<births::OwnFile>,
    pidfile: Option<PathBuf>,
    health: ProxyHealth,
    worker_state: Vec<u8>,
    /// Last figures of old workers that came while no worker ran.
    orphaned_figures: Vec<Vec<u8>>,
    happenings: mpsc::Sender<Happening>,
    scripts: ScriptRunner,
    /// Where VRRP's changes are written to.
    fifos: Fifos,
    watch: Watch,
    /// Commands of external checks.
    checks: ScriptRunner,
    systemd: Systemd,
    environment: Vec<(String, String)>,
    /// Forks vrrp and control; without it they are executed.
    nursery: Option<Nursery>,
    parent: Option<Parent>,
    announced: bool,
    reload: Option<reload::Reload>,
    stop: Option<stop::Stop>,
    started_at_ms: u64,
    /// The last vrrp process ended otherwise than asked.
    vrrp_died: bool,
    /// What the next vrrp process is to know.
    memory: Vec<u8>,
}

/// Runs the supervisor until it is told to end. `parent` is let go when all processes are ready; `nursery` forks children.
pub async fn run(
    arguments: Arguments,
    configuration: Configuration,
    target: LogTarget,
    parent: Option<Parent>,
    nursery: Option<Nursery>,
) -> ExitCode {
    let (happenings, mut queue) = mpsc::channel(MAX_HAPPENINGS);
    if let Err(error) = listen_to_signals(&happenings) {
        tracing::error!("signals cannot be received: {error}");
        return ExitCode::FAILURE;
    }
    let (nursery, nursery_end) = process::keep_nursery(nursery, &happenings);
    let mut environment = vec![(TARGET_VARIABLE.to_owned(), target.as_str().to_owned())];
    if arguments.debug {
        environment.push(("TANDEM_DEBUG".to_owned(), "1".to_owned()));
    }
    let node = configuration.node(&arguments);
    // What HAProxy's master tells its workers; log formats and scripts read them.
    environment.push(("HAPROXY_MWORKER".to_owned(), "1".to_owned()));
    environment.push(("HAPROXY_LOCALPEER".to_owned(), node.clone()));
    let files: Vec<String> = arguments
        .files
        .iter()
        .map(|file| file.display().to_string())
        .collect();
    environment.push(("HAPROXY_CFGFILES".to_owned(), files.join(";")));
    let mut supervisor = Supervisor {
        scripts: runner(&configuration),
        watch: Watch::default(),
        checks: ScriptRunner::new(None, Security::Off),
        fifos: Fifos::default(),
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
        pidfile: None,
        health: ProxyHealth {
            alive: false,
            detail: "no worker is ready yet".to_owned(),
        },
        worker_state: Vec::new(),
        orphaned_figures: Vec::new(),
        happenings,
        systemd: Systemd::from_environment(),
        environment,
        nursery,
        parent,
        announced: false,
        reload: None,
        stop: None,
        started_at_ms: protocol::event::now_ms(),
        vrrp_died: false,
        memory: Vec::new(),
    };
    let mut reload = false;
    let interrupted = tokio::select! {
        () = life::begin(&configuration, &supervisor.scripts) => None,
        signal = life::told_to_end(&mut queue, &mut reload) => Some(signal),
    };
    if let Some(signal) = interrupted {
        tracing::info!("stopping before anything was started");
        supervisor.scripts.end_waited();
        life::end(&configuration, &supervisor.scripts).await;
        supervisor.end_nursery(nursery_end).await;
        return ExitCode::from(stop::code_of(signal));
    }
    if reload {
        // There is room: nothing else has happened.
        let _ = supervisor
            .happenings
            .try_send(Happening::Signal(Signal::Reload));
    }
    let begun = supervisor.begin(configuration);
    if let Err(failures) = begun {
        for failure in failures {
            // In the background the terminal still hears why.
            if supervisor.parent.is_some() {
                eprintln!("error: {failure}");
            }
            tracing::error!("{failure}");
        }
        life::end(&supervisor.configuration, &supervisor.scripts).await;
        supervisor.end_nursery(nursery_end).await;
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
            supervisor.end_nursery(nursery_end).await;
            return code;
        }
    }
}

fn runner(configuration: &Configuration) -> ScriptRunner {
    let global = configuration
        .keepalived
        .as_ref()
        .map(|keepalived| &keepalived.global);
    let secured = global.is_some_and(|global| global.enable_script_security);
    ScriptRunner::new(
        global.and_then(|global| global.script_user.clone()),
        Security::from(secured),
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
            let adopted = handover::adopt(&self.arguments).map_err(|failure| vec![failure])?;
            let kept = Listeners::adopting(adopted);
            self.listeners = Listeners::open(haproxy, &configuration.sources, &kept)?;
        }
        self.stats = self
            .open_stats_sockets(&configuration)
            .map_err(|failure| vec![failure])?;
        self.configuration = configuration;
        if let Some(path) = self.configuration.pidfile(&self.arguments) {
            match std::fs::write(&path, format!("{}\n", std::process::id())) {
                Ok(()) => self.pidfile = Some(path),
                Err(error) => {
                    return Err(vec![format!(
                        "cannot write the pidfile {}: {error}",
                        path.display()
                    )]);
                }
            }
        }
        self.watch();
        self.recall();
        for role in [Role::Control, Role::Vrrp, Role::Worker] {
            if role == Role::Vrrp {
                self.open_fifos();
            }
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
        self.tell_all_observed();
        if role == Role::Worker {
            self.tell_current_worker();
            for figures in std::mem::take(&mut self.orphaned_figures) {
                self.add_figures(figures);
            }
        }
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

    fn handle(&mut self, happening: Happening) {
        match happening {
            Happening::Told { pid, message } => self.told(pid, message),
            Happening::Ended { pid, reason } => self.ended(pid, &reason),
            Happening::NurseryEnded { pid, reason } => self.nursery_ended(pid, &reason),
            Happening::Signal(signal) => match signal {
                Signal::Reload => self.begin_reload(None),
                Signal::Terminate | Signal::Interrupt | Signal::Graceful => self.begin_stop(signal),
            },
            Happening::ScriptDone { pid, id, outcome } => {
                if let Some(child) = self.children.get(&pid) {
                    child.tell(&ToChild::ScriptDone { id, outcome });
                }
            }
            Happening::Watched {
                watch,
                observations,
            } => self.watched(&watch, observations),
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
                notifies,
                environment,
            } => {
                let runner = self.scripts.clone();
                let happenings = self.happenings.clone();
                tokio::spawn(async move {
                    let limit = Duration::from_millis(timeout_ms);
                    let purpose = match notifies {
                        true => Purpose::Notifies,
                        false => Purpose::Checks,
                    };
                    let outcome = runner.run(argv, user, limit, purpose, environment).await;
                    // The supervisor ends if nobody listens.
                    let _ = happenings
                        .send(Happening::ScriptDone { pid, id, outcome })
                        .await;
                });
            }
            FromChild::RunCheck {
                id,
                argv,
                environment,
                timeout_ms,
            } => self.run_check(pid, id, argv, environment, timeout_ms),
            FromChild::Observed(observations) => self.backends_observed(pid, observations),
            FromChild::Mail { subject, body } => self.pass_on(&ToChild::Mail { subject, body }),
            FromChild::Remember(memory) => self.remember(memory),
            FromChild::NotifyLine(line) => {
                let told = self.fifos.write(&line);
                self.tell_of_fifos(told);
            }
            FromChild::WorkerState(state) => self.worker_state_known(state),
            FromChild::LatestState(state) => self.worker_state = state,
            FromChild::LastFigures(figures) => {
                if self.worker != Some(pid) {
                    self.add_figures(figures);
                }
            }
            FromChild::Reload { id } => self.begin_reload(Some((pid, id))),
            FromChild::WriteReport { id, report, text } => {
                let result = self.write_report(report, &text);
                if let Some(child) = self.children.get(&pid) {
                    child.tell(&ToChild::OperationDone { id, result });
                }
            }
        }
    }

    /// Gives what an old worker has counted to the current one, or to the next if none runs.
    fn add_figures(&mut self, figures: Vec<u8>) {
        if let Some(worker) = self.current(Role::Worker) {
            worker.tell(&ToChild::AddFigures(figures));
        } else if self.stop.is_none() && self.orphaned_figures.len() < MAX_ORPHANED_FIGURES {
            self.orphaned_figures.push(figures);
        }
    }

    /// Runs the command of an external check as the worker's user, with limits of its own: scripts of VRRP do not wait.
    fn run_check(
        &self,
        pid: u32,
        id: u64,
        argv: Vec<String>,
        variables: Vec<(String, String)>,
        timeout_ms: u64,
    ) {
        let global = self
            .configuration
            .haproxy
            .as_ref()
            .map(|haproxy| &haproxy.global);
        let permission = global.and_then(|global| global.external_check);
        let identity = self.configuration.check_identity();
        let (runner, happenings) = (self.checks.clone(), self.happenings.clone());
        tokio::spawn(async move {
            let outcome = match (permission, identity) {
                (None, _) => ScriptOutcome::Failed("'external-check' is not configured".to_owned()),
                (_, Err(reason)) => ScriptOutcome::Failed(reason),
                (Some(environment), Ok(identity)) => {
                    let environment = CheckEnvironment {
                        variables,
                        preserved: environment == ExternalCheckEnvironment::Preserved,
                    };
                    let limit = Duration::from_millis(timeout_ms);
                    runner.run_check(argv, identity, limit, environment).await
                }
            };
            // The supervisor ends if nobody listens.
            let _ = happenings
                .send(Happening::ScriptDone { pid, id, outcome })
                .await;
        });
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
            self.vrrp_died = reason != process::CLEAN_END;
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
            if role == Role::Worker && self.control.is_some() && self.reload.is_none() {
                // The control process has the figures that it saw last; the restart follows its answer.
                restarts.due = Some(Instant::now() + STATE_PAUSE);
                self.pass_on(&ToChild::AskWorkerState);
                return;
            }
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
        let told = self.fifos.tick(now);
        self.tell_of_fifos(told);
        self.update_health();
        self.tick_reload(now);
        self.tick_stop(now);
        self.announce();
        let healthy = self.all_ready() && (self.worker.is_none() || self.health.alive);
        self.systemd.tick(healthy);
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
        self.scripts.finish().await;
        self.fifos.finish().await;
        self.checks.finish().await;
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
        life::end(&self.configuration, &self.scripts).await;
        // Another daemon of the same configuration may have written its own id since.
        let own_id = std::process::id().to_string();
        let still_ours =
            |path: &PathBuf| std::fs::read_to_string(path).is_ok_and(|text| text.trim() == own_id);
        let pidfile = self.pidfile.take().filter(still_ours);
        self.own_files.extend(pidfile.map(births::OwnFile::new));
        self.own_files.drain(..).for_each(|file| file.remove());
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
