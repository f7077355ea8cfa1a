//! The worker process: set up, give up rights, run a runtime a core, obey the supervisor, drain, end.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use config::haproxy::{Account, HaproxyConfig};
use config::{Diagnostics, Severity};
use protocol::process::{FromChild, HEARTBEAT_MS, Role, ToChild};
use protocol::wire;
use serde::{Deserialize, Serialize};
use sys::channel::{Channel, Sender};
use sys::privileges::{Capability, Identity, Restriction};
use tokio::runtime::LocalRuntime;
use tokio::sync::watch;

use super::build::{App, build};
use crate::listener::{self, Socket};

/// How long what runs may go on when the supervisor is gone.
const ORPHAN_DRAIN: Duration = Duration::from_secs(2);
/// How long ended sessions get to notice it.
const LAST_WORDS: Duration = Duration::from_millis(300);
/// How often a draining worker looks whether it is empty.
const DRAIN_LOOK: Duration = Duration::from_millis(20);
/// Descriptors besides those of connections: logs, channels, runtimes, checks.
const SPARE_DESCRIPTORS: u64 = 256;
/// Descriptors for so many connections are asked for also where `maxconn` is lower.
const USUAL_CONNECTIONS: u64 = 2_000;

/// What a worker is started with.
#[derive(Serialize, Deserialize)]
pub struct Setup {
    /// The configuration, checked.
    pub config: HaproxyConfig,
    /// The node's name.
    pub node: String,
    /// Process id in log lines; 0 is the worker's own.
    pub pid_for_logs: u32,
    /// The listening sockets, in the order of the descriptors.
    pub listeners: Vec<super::ListenerKey>,
    /// An earlier worker's `WorkerSnapshot` encoded, or nothing: states, weights and addresses are taken over.
    pub servers_state: Vec<u8>,
    /// Backends that VRRP tracks: the supervisor is told of their usable servers.
    pub tracked_backends: Vec<String>,
}

/// Runs the worker until it is told to end. `supervisor` and `control` are ends of channels.
pub fn run(
    setup: Setup,
    listeners: Vec<OwnedFd>,
    supervisor: OwnedFd,
    control: OwnedFd,
) -> ExitCode {
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!("worker: cannot start a runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    let mut channel = match runtime.block_on(async { Channel::new(supervisor) }) {
        Ok(channel) => channel,
        Err(error) => {
            tracing::error!("worker: its channel cannot be used: {error}");
            return ExitCode::FAILURE;
        }
    };
    let prepared = match prepare(setup, listeners) {
        Ok(prepared) => prepared,
        Err(reason) => {
            runtime.block_on(async { tell(&channel.sender, &FromChild::Failed(reason)).await });
            return ExitCode::FAILURE;
        }
    };
    runtime.block_on(lead(prepared, &mut channel, control));
    ExitCode::SUCCESS
}

/// Turns of tasks until the system is asked for further events. With tokio's 61, half of a busy worker's requests wait for the
/// next batch in the middle of their work: 128 was measured to cost 2 % less for each request, and to halve the 99th percentile
/// of HTTP/2 with many streams; 256 brings nothing more.
const EVENT_INTERVAL: u32 = 128;

fn runtime() -> std::io::Result<LocalRuntime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .event_interval(EVENT_INTERVAL)
        .build_local(tokio::runtime::LocalOptions::default())
}

struct Prepared {
    app: Arc<App>,
    /// Sockets of each runtime, in order of `App::listeners`.
    sockets: Vec<Vec<OwnedFd>>,
    tracked_backends: Vec<String>,
}

fn prepare(setup: Setup, listeners: Vec<OwnedFd>) -> Result<Prepared, String> {
    let wanted = super::listener_keys(&setup.config);
    if wanted != setup.listeners || wanted.len() != listeners.len() {
        return Err("the listening sockets are not those of the configuration".to_owned());
    }
    limit_descriptors(&setup.config.global);
    let mut diagnostics = Diagnostics::default();
    let pid = if setup.pid_for_logs == 0 {
        std::process::id()
    } else {
        setup.pid_for_logs
    };
    let app = build(setup.config, setup.node, pid, &mut diagnostics);
    if diagnostics.has_errors() {
        let errors = diagnostics
            .0
            .into_iter()
            .filter(|diagnostic| diagnostic.severity == Severity::Error);
        return Err(errors
            .map(|error| error.message)
            .collect::<Vec<_>>()
            .join("; "));
    }
    if setup.servers_state.is_empty() {
        super::state_file::apply(&app.shared);
    }
    super::takeover::apply(&app.shared, &setup.servers_state);
    for back in &app.backends {
        back.balancer.begin(&back.backend);
    }
    let config = &app.shared.config;
    let threads = config
        .global
        .nbthread
        .map_or_else(cores, usize::from)
        .max(1);
    app.shared.process.threads.store(threads as u32, Relaxed);
    if threads == 1 {
        // This thread is the one runtime; those that encode answers only read.
        crate::state::set_sole_writer();
    }
    let fits = super::shared::connections_by_descriptors().max(1);
    let configured = app.shared.process.maxconn.fetch_min(fits, Relaxed);
    if configured > fits {
        tracing::warn!(
            "worker: maxconn {configured} takes more descriptors than the {} that it may open: from {fits} connections on \
             clients wait",
            sys::privileges::descriptor_limit()
        );
    }
    let limit = sys::privileges::descriptor_limit();
    let left = match config.global.maxconn {
        Some(_) => {
            let connections = app.shared.process.maxconn.load(Relaxed);
            limit.saturating_sub(connections.saturating_mul(2) + SPARE_DESCRIPTORS)
        }
        // The limit of connections is then that of descriptors, and far away.
        None => limit / 4,
    };
    crate::net::set_pipes(&config.global.tuning, left);
    let mut sockets = Vec::new();
    for _ in 1..threads {
        let copies: std::io::Result<Vec<OwnedFd>> =
            listeners.iter().map(OwnedFd::try_clone).collect();
        sockets
            .push(copies.map_err(|error| format!("a listening socket cannot be shared: {error}"))?);
    }
    sockets.insert(0, listeners);
    give_up_rights(config)?;
    confine(config.global.insecure_no_confinement)?;
    Ok(Prepared {
        app: Arc::new(app),
        sockets,
        tracked_backends: setup.tracked_backends,
    })
}

/// Sets the limit of descriptors: `ulimit-n`, else what `maxconn` takes, never above `fd-hard-limit`. Fewer than wished
/// make clients wait one day; they do not prevent the start.
fn limit_descriptors(global: &config::haproxy::Global) {
    let most = global.fd_hard_limit.map_or(u64::MAX, u64::from);
    let wanted = match (global.ulimit_n, global.maxconn) {
        (Some(limit), _) => Some(u64::from(limit)),
        (None, Some(maxconn)) => {
            let pipes = 2 * crate::net::wanted_pipes(&global.tuning) as u64;
            Some(u64::from(maxconn).max(USUAL_CONNECTIONS) * 2 + SPARE_DESCRIPTORS + pipes)
        }
        (None, None) => None,
    };
    let now = sys::privileges::descriptor_limit();
    let outcome = match wanted {
        Some(wanted) if wanted.min(most) > now => {
            sys::privileges::raise_descriptor_limit(wanted.min(most))
        }
        _ => {
            let lower = global.ulimit_n.map_or(now, u64::from).min(most);
            sys::privileges::lower_descriptor_limit(lower)
        }
    };
    if let Err(error) = outcome {
        tracing::warn!("worker: the limit of descriptors stays at {now}: {error}");
    }
    // Without room accepting pauses at every doubling; it still goes on.
    if let Err(error) = sys::descriptors::make_room(sys::privileges::descriptor_limit()) {
        tracing::debug!("worker: no room for descriptors is made ahead: {error}");
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn give_up_rights(config: &HaproxyConfig) -> Result<(), String> {
    let global = &config.global;
    if global.chroot.is_none()
        && global.user.is_none()
        && global.group.is_none()
        && !sys::privileges::is_root()
    {
        return Ok(());
    }
    let number = |account: &Account, find: fn(&str) -> std::io::Result<u32>| match account {
        Account::Id(id) => Ok(*id),
        Account::Name(name) => find(&name.text).map_err(|error| error.to_string()),
    };
    let uid = global
        .user
        .as_ref()
        .map(|user| number(user, sys::privileges::user_id))
        .transpose()?;
    let gid = match (&global.group, &global.user) {
        (Some(group), _) => Some(number(group, sys::privileges::group_id)?),
        (None, _) => None,
    };
    // ip(7): foreign source addresses (`usesrc`) take this one right.
    let servers = config.proxies.iter().flat_map(|proxy| &proxy.servers);
    let foreign = servers
        .filter_map(|server| server.source.as_ref())
        .any(|source| source.transparent.is_some());
    let keep: &[Capability] = if foreign {
        &[Capability::CAP_NET_RAW]
    } else {
        &[]
    };
    let restriction = Restriction {
        chroot: global.chroot.as_ref().map(|word| Path::new(&word.text)),
        identity: Identity { uid, gid },
        keep,
    };
    if !sys::privileges::is_root() && restriction.chroot.is_some() {
        tracing::warn!("worker: chroot is left out: it takes root");
    }
    if !sys::privileges::is_root() && (uid.is_some() || gid.is_some()) {
        tracing::warn!("worker: user and group are left out: it takes root");
    }
    if sys::privileges::is_root()
        && let Some(user) = uid.filter(|uid| !sys::privileges::is_mapped_user(*uid))
    {
        return Err(format!("user {user} does not exist in this user namespace"));
    }
    let restriction = Restriction {
        chroot: restriction.chroot.filter(|_| sys::privileges::is_root()),
        ..restriction
    };
    sys::privileges::restrict(&restriction)
        .map_err(|error| format!("rights cannot be given up: {error}"))
}

/// Everything is open: from here on the worker needs no file and few system calls.
fn confine(is_off: bool) -> Result<(), String> {
    if is_off {
        tracing::warn!("worker: not confined: 'insecure-no-confinement' is configured");
        return Ok(());
    }
    let confinement = sys::confine::to_sockets()
        .map_err(|error| format!("the worker cannot be confined: {error}"))?;
    let landlock = match confinement.landlock {
        Some(version) => format!("no files (Landlock ABI {version})"),
        None => "files as its user (this kernel has no Landlock)".to_owned(),
    };
    let calls = match confinement.system_calls {
        Some(count) => format!("{count} system calls (seccomp)"),
        None => "all system calls (this kernel has no seccomp)".to_owned(),
    };
    tracing::info!("worker: confined to {landlock} and {calls}");
    Ok(())
}

pub(super) async fn tell(sender: &Sender, message: &FromChild) -> bool {
    match wire::encode(message) {
        Ok(bytes) => sender.send(&bytes, &[]).await.is_ok(),
        Err(error) => {
            tracing::error!("worker: a message to the supervisor cannot be encoded: {error}");
            false
        }
    }
}

/// Runtime 0: leads the others and speaks with the supervisor.
async fn lead(prepared: Prepared, channel: &mut Channel, control: OwnedFd) {
    let Prepared {
        app,
        sockets,
        tracked_backends,
    } = prepared;
    let (drain, draining) = watch::channel(false);
    let (stop, stopping) = watch::channel(false);
    let pulses: Arc<Vec<AtomicU64>> = Arc::new(sockets.iter().map(|_| AtomicU64::new(0)).collect());
    let (ready, mut ready_count) = tokio::sync::mpsc::unbounded_channel();
    let mut threads = Vec::new();
    let mut sockets = sockets.into_iter().enumerate();
    let own = sockets.next();
    for (index, sockets) in sockets {
        let (app, pulses, ready) = (Arc::clone(&app), Arc::clone(&pulses), ready.clone());
        let (draining, mut stopping) = (draining.clone(), stopping.clone());
        let thread = std::thread::Builder::new()
            .name(format!("proxy-{index}"))
            .spawn(move || {
                let outcome = runtime().and_then(|runtime| {
                    runtime.block_on(async {
                        work(&app, index, sockets, &pulses, draining)?;
                        let _ = ready.send(Ok(()));
                        let _ = stopping.wait_for(|stopping| *stopping).await;
                        Ok(())
                    })
                });
                if let Err(error) = outcome {
                    let _ = ready.send(Err(error));
                }
            });
        match thread {
            Ok(thread) => threads.push(thread),
            Err(error) => {
                tell(
                    &channel.sender,
                    &FromChild::Failed(format!("a thread cannot be started: {error}")),
                )
                .await;
                return;
            }
        }
    }
    let mut outcome = own.map_or(Ok(()), |(index, sockets)| {
        work(&app, index, sockets, &pulses, draining)
    });
    for _ in &threads {
        outcome = match (outcome, ready_count.recv().await) {
            (Ok(()), Some(Err(error))) => Err(error),
            (outcome, _) => outcome,
        };
    }
    if let Err(error) = outcome {
        tell(
            &channel.sender,
            &FromChild::Failed(format!("a listening socket cannot be used: {error}")),
        )
        .await;
        return;
    }
    services(&app, control);
    if let Some(mut commands) = app.shared.health.commands.outgoing() {
        // External checks are run by the supervisor.
        let sender = channel.sender.clone();
        tokio::task::spawn_local(async move {
            while let Some(request) = commands.recv().await {
                tell(&sender, &request).await;
            }
        });
    }
    super::tracked::start(&tracked_backends, &app, &channel.sender);
    tell(&channel.sender, &FromChild::Ready).await;
    tokio::task::spawn_local(heartbeat(channel.sender.clone(), Arc::clone(&pulses)));
    let successor = obey(&app, channel, &drain).await;
    let _ = stop.send(true);
    // Threads end with their runtimes; one that hangs must not hold up the end.
    let deadline = Instant::now() + LAST_WORDS;
    while threads.iter().any(|thread| !thread.is_finished()) && Instant::now() < deadline {
        tokio::time::sleep(DRAIN_LOOK).await;
    }
    // Nothing is counted any more.
    if let Some(figures) =
        successor.and_then(|then| super::takeover::last_figures(&app.shared, &then))
    {
        tell(&channel.sender, &FromChild::LastFigures(figures)).await;
    }
}

/// What every runtime does: accept, pulse, purge.
fn work(
    app: &Arc<App>,
    index: usize,
    sockets: Vec<OwnedFd>,
    pulses: &Arc<Vec<AtomicU64>>,
    draining: watch::Receiver<bool>,
) -> std::io::Result<()> {
    if let Some(bytes) = app.shared.config.global.bufsize {
        crate::net::set_buffer_bytes(bytes as usize);
    }
    tokio::task::spawn_local(crate::net::drive_timers(app.shared.clock));
    for (socket, listener) in sockets.into_iter().zip(&app.listeners) {
        let socket = Socket::new(socket, &app.shared.config.global.tuning)?;
        let accepting = listener::accept(
            Arc::clone(app),
            Arc::clone(listener),
            socket,
            draining.clone(),
        );
        app.shared.acceptors.enter();
        let shared = Arc::clone(&app.shared);
        tokio::task::spawn_local(async move {
            accepting.await;
            shared.acceptors.leave();
        });
    }
    let shared = Arc::clone(&app.shared);
    tokio::task::spawn_local(async move { shared.reports.sockets.flush_in_turns().await });
    tokio::task::spawn_local(crate::net::wake_unwatched(app.shared.clock));
    tokio::task::spawn_local(crate::proxy::drive_parked());
    let (app, pulses) = (Arc::clone(app), Arc::clone(pulses));
    tokio::task::spawn_local(async move {
        let mut beat = tokio::time::interval(Duration::from_millis(HEARTBEAT_MS / 2));
        loop {
            beat.tick().await;
            let count = pulses[index].fetch_add(1, Relaxed);
            if count.is_multiple_of(1_000 / (HEARTBEAT_MS / 2)) {
                crate::server::drop_idle(&app.servers.now(), app.shared.clock.now_us());
            }
        }
    });
    Ok(())
}

/// How often the ramps of servers that start slowly are moved on.
pub(super) const RAMP_STEP: Duration = Duration::from_millis(100);

/// `slowstart`: weights and limits of servers that have come back grow step by step.
fn ramps(app: &Arc<App>) {
    let slow = |server: &Arc<crate::state::Server>| server.config.slowstart.is_some();
    let backends: Vec<_> = app
        .backends
        .iter()
        .filter(|back| back.backend.servers.now().iter().any(slow))
        .map(|back| Arc::clone(&back.backend))
        .collect();
    if backends.is_empty() {
        return;
    }
    let clock = app.shared.clock;
    tokio::task::spawn_local(async move {
        let mut steps = tokio::time::interval(RAMP_STEP);
        loop {
            steps.tick().await;
            let now_ms = clock.now_ms();
            for backend in &backends {
                let moved = backend
                    .servers
                    .now()
                    .iter()
                    .filter(|server| server.ramp_up(now_ms))
                    .count();
                if moved > 0 {
                    backend.servers_changed();
                }
            }
        }
    });
}

/// What one runtime does for all: queues follow changes of servers, shutdowns reach sessions, checks, the control channel.
fn services(app: &Arc<App>, control: OwnedFd) {
    for back in &app.backends {
        let back = Arc::clone(back);
        tokio::task::spawn_local(async move {
            loop {
                let changed = back.backend.wake.notified();
                tokio::pin!(changed);
                // Registered before looking, so that no change between is lost.
                changed.as_mut().enable();
                back.admission.dispatch();
                changed.await;
            }
        });
    }
    ramps(app);
    for server in app.servers.now().iter() {
        super::servers::follow_shutdowns(&app.shared, server);
    }
    crate::resolve::start(&app.shared);
    crate::health::start(app);
    serve_control(app, control);
}

fn serve_control(app: &Arc<App>, control: OwnedFd) {
    match Channel::new(control) {
        Ok(channel) => {
            tokio::task::spawn_local(crate::command::serve(channel, Arc::clone(app)));
        }
        Err(error) => tracing::error!("worker: the control channel cannot be used: {error}"),
    }
}

/// Tells the supervisor that all runtimes turn.
async fn heartbeat(sender: Sender, pulses: Arc<Vec<AtomicU64>>) {
    let mut before: Vec<u64> = pulses.iter().map(|pulse| pulse.load(Relaxed)).collect();
    let mut beat = tokio::time::interval(Duration::from_millis(HEARTBEAT_MS));
    beat.tick().await;
    loop {
        beat.tick().await;
        let now: Vec<u64> = pulses.iter().map(|pulse| pulse.load(Relaxed)).collect();
        let all_turned = now.iter().zip(&before).all(|(now, before)| now > before);
        before = now;
        if all_turned && !tell(&sender, &FromChild::Heartbeat).await {
            return;
        }
    }
}

/// Does what the supervisor says until the end; returns what the next worker has started with, if there is one.
async fn obey(
    app: &Arc<App>,
    channel: &mut Channel,
    drain: &watch::Sender<bool>,
) -> Option<Vec<u8>> {
    let mut successor = None;
    let mut deadline: Option<Instant> = None;
    let mut look = tokio::time::interval(DRAIN_LOOK);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let mut orphaned = false;
    loop {
        let is_draining = app.shared.draining.load(Relaxed);
        tokio::select! {
            received = channel.receiver.receive(), if !orphaned => match received {
                Ok(Some((bytes, descriptors))) => match wire::decode::<ToChild>(&bytes) {
                    Ok(ToChild::Drain { hard_stop_ms, handed_over }) => {
                        successor = handed_over.or(successor);
                        deadline = hard_stop_ms.map(|limit| Instant::now() + Duration::from_millis(limit));
                        begin_drain(app, drain);
                    }
                    Ok(ToChild::Stop) => break,
                    Ok(ToChild::ScriptDone { id, outcome }) => app.shared.health.commands.ended(id, outcome),
                    Ok(ToChild::AddFigures(figures)) => super::takeover::add(&app.shared, &figures),
                    Ok(ToChild::Peer { role: Role::Control, .. }) => {
                        descriptors.into_iter().for_each(|descriptor| serve_control(app, descriptor));
                    }
                    Ok(_) => {}
                    Err(error) => tracing::error!("worker: a message of the supervisor is not understood: {error}"),
                },
                Ok(None) | Err(_) => {
                    orphaned = true;
                    deadline = Some(Instant::now() + ORPHAN_DRAIN);
                    begin_drain(app, drain);
                }
            },
            _ = look.tick(), if is_draining => {
                let is_over = deadline.is_some_and(|deadline| Instant::now() >= deadline);
                if is_empty(app) || is_over {
                    break;
                }
            }
        }
    }
    begin_drain(app, drain);
    app.shared.sessions.shutdown_all();
    let deadline = Instant::now() + LAST_WORDS;
    let is_told = |app: &App| app.shared.events.is_empty() && app.shared.operated.is_empty();
    while !(is_empty(app) && is_told(app)) && Instant::now() < deadline {
        tokio::time::sleep(DRAIN_LOOK).await;
    }
    successor
}

/// Whether nobody accepts any more and all that was accepted has ended. A connection counts from its accept on, before its
/// session is in the table.
fn is_empty(app: &App) -> bool {
    app.shared.acceptors.current() == 0 && app.shared.process.connections.current() == 0
}

fn begin_drain(app: &Arc<App>, drain: &watch::Sender<bool>) {
    let now_us = app.shared.clock.now_us().max(1);
    // The second of two drains does not begin anew.
    let _ = app
        .shared
        .drain_began_us
        .compare_exchange(0, now_us, Relaxed, Relaxed);
    app.shared.draining.store(true, Relaxed);
    let _ = drain.send(true);
    app.shared.sessions.wake_all();
}
