//! What all clients share: the peers, the history, the latest picture of the node, and the operations.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use protocol::event::now_ms;
use protocol::operation::ServerAdmin;
use protocol::patterns::PatternAsk;
use protocol::process::{FromChild, Role};
use protocol::snapshot::{Setting, WorkerSnapshot};
use protocol::vrrp::{BfdSnapshot, InstanceSnapshot, VrrpAsk, VrrpTell};
use protocol::worker::{ErrorCapture, SessionInfo, WorkerAsk, WorkerTell};
use protocol::{Event, EventKind, EventSeverity, EventSource, Operation, Refusal, Snapshot, wire};
use sys::channel::{Channel, Sender};
use tokio::sync::{Notify, mpsc, oneshot, watch};

use super::history::History;
use super::peers::{Ask, NoAnswer, Peer, Tell};
use super::succession::{MAX_TURNS, Succession, Turn};
use super::{Setup, role_name};

/// How often the picture is renewed at least. While nobody is subscribed only the worker is asked, so often at most and at
/// least: in between it depends on the number of servers. Nobody's looking costs next to nothing; what operators change is
/// fetched at once.
const IDLE_POLL_MS: u64 = 1_000;
const MAX_IDLE_POLL_MS: u64 = 10_000;
/// Milliseconds of pause for each server.
const IDLE_POLL_MS_PER_SERVER: u64 = 4;
/// How long a reload may take before who asked for it is told so.
const RELOAD_LIMIT: Duration = Duration::from_secs(60);

/// How long to wait for the successor of a worker that has ended.
const SUCCESSION_LIMIT: Duration = Duration::from_millis(500);

/// How long a client that comes while the daemon starts is kept for the first worker.
const FIRST_WORKER_LIMIT: Duration = Duration::from_secs(2);

/// Why the worker gave no answer.
pub(super) enum WorkerSilent {
    /// None serves, or it takes too long.
    Late,
    /// This one has ended.
    Gone(u32),
}

type ReloadAnswer = oneshot::Sender<Result<String, String>>;

/// The shared state. Locks are held for moments, never across an await.
pub struct Hub {
    setup: Mutex<Arc<Setup>>,
    supervisor: Sender,
    workers: Mutex<Vec<Peer>>,
    worker_detail: Mutex<String>,
    last_worker: Mutex<Option<Arc<Snapshot>>>,
    vrrp: Mutex<Option<Peer>>,
    /// Events of this node.
    pub history: Arc<History>,
    picture: watch::Sender<Arc<Snapshot>>,
    intervals: Mutex<HashMap<u64, u64>>,
    faster: Notify,
    asked_above: Mutex<HashMap<u64, ReloadAnswer>>,
    numbers: AtomicU64,
    told_state: Mutex<(Vec<ServerWish>, Vec<Setting>)>,
    /// The worker of the running configuration.
    pub(super) current: watch::Sender<Option<u32>>,
    turns: mpsc::Sender<Turn>,
    /// Changes of workers, and who takes over.
    pub(super) succession: Succession,
}

/// What operators have set on a server: it survives the worker.
type ServerWish = (ServerAdmin, u32, String, u64);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Writes an event into the daemon's log. The supervisor and vrrp write theirs themselves, so that they are there
/// also when no control process is.
pub(super) fn log_event(event: &Event) {
    let Event {
        subject,
        change,
        reason,
        ..
    } = event;
    if matches!(event.source, EventSource::Supervisor | EventSource::Vrrp) {
        return;
    }
    match event.severity {
        EventSeverity::Info | EventSeverity::Notice => {
            tracing::info!("{subject} {change}: {reason}")
        }
        EventSeverity::Warning => tracing::warn!("{subject} {change}: {reason}"),
        EventSeverity::Alert => tracing::error!("{subject} {change}: {reason}"),
    }
}

impl Hub {
    /// A hub without peers.
    pub(super) fn new(setup: Setup, supervisor: Sender) -> (Self, mpsc::Receiver<Turn>) {
        let (turns, queue) = mpsc::channel(MAX_TURNS);
        let hub = Self {
            current: watch::channel(None).0,
            turns,
            succession: Succession::default(),
            setup: Mutex::new(Arc::new(setup)),
            supervisor,
            workers: Mutex::default(),
            worker_detail: Mutex::new("the worker has not started yet".to_owned()),
            last_worker: Mutex::default(),
            vrrp: Mutex::default(),
            history: Arc::default(),
            picture: watch::channel(Arc::default()).0,
            intervals: Mutex::default(),
            faster: Notify::new(),
            asked_above: Mutex::default(),
            numbers: AtomicU64::new(1),
            told_state: Mutex::default(),
        };
        (hub, queue)
    }

    /// The setup in force.
    pub fn setup(&self) -> Arc<Setup> {
        Arc::clone(&lock(&self.setup))
    }

    /// Puts a new setup in force.
    pub fn replace_setup(&self, setup: Setup) {
        *lock(&self.setup) = Arc::new(setup);
    }

    /// Something about workers happened; it is followed in order.
    pub(super) async fn turn(&self, turn: Turn) {
        // The control process ends if nobody listens.
        let _ = self.turns.send(turn).await;
    }

    /// Sends a message to the supervisor.
    pub async fn tell_supervisor(&self, message: &FromChild) -> std::io::Result<()> {
        let frame = wire::encode(message).map_err(std::io::Error::other)?;
        self.supervisor.send(&frame, &[]).await
    }

    /// A process can be asked from now on.
    pub fn add_peer(self: &Arc<Self>, role: Role, pid: u32, channel: Channel) {
        let peer = Peer::start(
            pid,
            channel,
            role == Role::Worker,
            Arc::clone(&self.history),
            self.turns.clone(),
        );
        match role {
            Role::Worker => {
                lock(&self.workers).push(peer);
            }
            Role::Vrrp => *lock(&self.vrrp) = Some(peer),
            Role::Control => {}
        }
    }

    /// A process is gone.
    pub fn remove_peer(&self, role: Role, pid: u32) {
        match role {
            Role::Worker => {
                let mut workers = lock(&self.workers);
                workers.retain(|worker| worker.pid != pid);
                self.current.send_if_modified(|current| {
                    current.take_if(|current| *current == pid).is_some()
                });
                if workers.is_empty() {
                    *lock(&self.worker_detail) =
                        format!("worker {pid} ended and is being replaced");
                }
            }
            Role::Vrrp => {
                lock(&self.vrrp).take_if(|peer| peer.pid == pid);
            }
            Role::Control => {}
        }
    }

    /// The worker of the running configuration.
    fn worker(&self) -> Option<Peer> {
        let current = *self.current.borrow();
        current.and_then(|pid| self.worker_of(pid))
    }

    /// A worker by its process id.
    pub(super) fn worker_of(&self, pid: u32) -> Option<Peer> {
        lock(&self.workers)
            .iter()
            .find(|worker| worker.pid == pid)
            .cloned()
    }

    /// Asks the worker. One that ends at this moment (a reload drains it) is left to its successor.
    async fn ask_worker(&self, ask: WorkerAsk) -> Option<Tell> {
        loop {
            match self.ask_worker_once(&ask).await {
                Ok(tell) => return Some(tell),
                Err(WorkerSilent::Late) => return None,
                Err(WorkerSilent::Gone(pid)) => self.succeeded(pid).await?,
            }
        }
    }

    /// Asks the worker that serves now.
    pub(super) async fn ask_worker_once(&self, ask: &WorkerAsk) -> Result<Tell, WorkerSilent> {
        let worker = self.worker().ok_or(WorkerSilent::Late)?;
        let answer = worker.ask(Ask::Worker(ask.clone())).await;
        answer.map_err(|reason| match reason {
            NoAnswer::Late => WorkerSilent::Late,
            NoAnswer::Gone => WorkerSilent::Gone(worker.pid),
        })
    }

    /// Returns when another worker serves than this one.
    pub(super) async fn succeeded(&self, pid: u32) -> Option<()> {
        let mut current = self.current.subscribe();
        let is_other = |current: &Option<u32>| *current != Some(pid);
        let followed = tokio::time::timeout(SUCCESSION_LIMIT, current.wait_for(is_other)).await;
        followed.ok()?.ok().map(|_| ())
    }

    /// Returns when the first worker serves, so that a command given at once after the start finds its backends. A daemon
    /// without proxy, one that has had a worker, and one whose worker does not come, are not waited for.
    pub(super) async fn first_worker(&self) {
        if !self.setup().proxy_configured || lock(&self.last_worker).is_some() {
            return;
        }
        let mut current = self.current.subscribe();
        let _ = tokio::time::timeout(FIRST_WORKER_LIMIT, current.wait_for(Option::is_some)).await;
    }

    /// Numbers an event, keeps it and logs it.
    pub fn record(&self, event: Event) {
        let event = self.history.record(event);
        log_event(&event);
        if event.source != EventSource::Supervisor {
            return;
        }
        if event.kind == EventKind::ProcessDied && event.subject == Role::Worker.as_str() {
            *lock(&self.worker_detail) = format!("{}: {}", event.change, event.reason);
        }
    }

    /// A picture of the node as it is now.
    pub async fn snapshot(&self) -> Arc<Snapshot> {
        let (worker, vrrp) = tokio::join!(self.worker_snapshot(), self.routers());
        let snapshot = self.assemble(worker, vrrp);
        self.picture.send_replace(Arc::clone(&snapshot));
        snapshot
    }

    /// The same without VRRP, whose process does little else than answer: for the figures that the next worker begins with.
    async fn glance(&self) -> Arc<Snapshot> {
        let worker = self.worker_snapshot().await;
        self.assemble(worker, None)
    }

    /// Puts a picture together of what was asked, and keeps the worker's figures.
    fn assemble(
        &self,
        worker: Option<WorkerSnapshot>,
        vrrp: Option<(Vec<InstanceSnapshot>, Vec<BfdSnapshot>)>,
    ) -> Arc<Snapshot> {
        let setup = self.setup();
        let at_ms = now_ms();
        let current = *self.current.borrow();
        let draining_workers = lock(&self.workers)
            .iter()
            .map(|worker| worker.pid)
            .take_while(|pid| Some(*pid) != current)
            .collect();
        let worker_detail = match (&worker, setup.proxy_configured) {
            (Some(_), _) => String::new(),
            (None, false) => "no proxy is configured".to_owned(),
            (None, true) => lock(&self.worker_detail).clone(),
        };
        let vrrp_running = vrrp.is_some();
        let (vrrp, bfd) = vrrp.unwrap_or_default();
        let snapshot = Arc::new(Snapshot {
            at_ms,
            node: setup.node.clone(),
            version: setup.version.clone(),
            supervisor_pid: setup.supervisor_pid,
            uptime_seconds: at_ms.saturating_sub(setup.started_at_ms) / 1_000,
            worker,
            proxy_configured: setup.proxy_configured,
            worker_detail,
            vrrp,
            bfd,
            vrrp_configured: setup.vrrp_configured,
            vrrp_running,
            draining_workers,
        });
        if snapshot.worker.is_some() {
            *lock(&self.last_worker) = Some(Arc::clone(&snapshot));
        }
        snapshot
    }

    async fn worker_snapshot(&self) -> Option<WorkerSnapshot> {
        figures(self.ask_worker(WorkerAsk::Snapshot).await?)
    }

    /// All instances as they are now; none if no vrrp process answers.
    #[cfg(feature = "dbus")]
    pub(super) async fn instances(&self) -> Option<Vec<InstanceSnapshot>> {
        let (instances, _) = self.routers().await?;
        Some(instances)
    }

    /// The same with all BFD sessions.
    async fn routers(&self) -> Option<(Vec<InstanceSnapshot>, Vec<BfdSnapshot>)> {
        let peer = lock(&self.vrrp).clone()?;
        match peer.ask(Ask::Vrrp(VrrpAsk::Show)).await.ok()? {
            Tell::Vrrp(VrrpTell::Instances {
                instances,
                sessions,
                ..
            }) => Some((instances, sessions)),
            _ => None,
        }
    }

    /// `show sess`.
    pub async fn sessions(&self) -> Option<Vec<SessionInfo>> {
        match self.ask_worker(WorkerAsk::Sessions).await? {
            Tell::Worker(WorkerTell::Sessions { sessions, .. }) => Some(sessions),
            _ => None,
        }
    }

    /// `show errors`.
    pub async fn errors(&self) -> Option<Vec<ErrorCapture>> {
        match self.ask_worker(WorkerAsk::Errors).await? {
            Tell::Worker(WorkerTell::Errors { errors, .. }) => Some(errors),
            _ => None,
        }
    }

    /// A command on lists of patterns; the caller has checked the level.
    pub async fn patterns(&self, ask: PatternAsk) -> Result<String, Refusal> {
        if self.worker().is_none() {
            return Err(Refusal::NotRunning(role_name(Role::Worker).to_owned()));
        }
        match self.ask_worker(WorkerAsk::Patterns(ask)).await {
            Some(Tell::Worker(WorkerTell::Done { result, .. })) => result,
            _ => Err(no_answer(Role::Worker)),
        }
    }

    /// Gives the supervisor the worker's figures whenever operators have changed something, so that a worker that dies is
    /// replaced by one that knows.
    async fn hand_over_state(&self, snapshot: &Snapshot) {
        let Some(worker) = &snapshot.worker else {
            return;
        };
        let servers = worker.proxies.iter().flat_map(|proxy| &proxy.servers);
        let wishes: Vec<ServerWish> = servers
            .map(|server| {
                let address = server.address.clone();
                (
                    server.admin,
                    server.user_weight,
                    address,
                    server.session_limit,
                )
            })
            .collect();
        let told = (wishes, worker.settings.clone());
        if *lock(&self.told_state) == told {
            return;
        }
        *lock(&self.told_state) = told;
        if let Ok(state) = wire::encode(worker) {
            // The supervisor's end is noticed elsewhere.
            let _ = self.tell_supervisor(&FromChild::LatestState(state)).await;
        }
    }

    /// The processes as the master of HAProxy lists them (`show proc`).
    pub fn processes(&self) -> String {
        let setup = self.setup();
        let uptime = now_ms().saturating_sub(setup.started_at_ms) / 1_000;
        let current = self.worker().map(|worker| worker.pid);
        let line = |pid: u32, kind: &str| {
            let version = crate::version::compatible_version();
            format!(
                "{pid:<15} {kind:<15} {:<15} {:<15} {version}\n",
                0,
                format!("{uptime}s")
            )
        };
        let mut text = format!(
            "{:<15} {:<15} {:<15} {:<15} <version>\n",
            "#<PID>", "<type>", "<reloads>", "<uptime>"
        );
        text.push_str(&line(setup.supervisor_pid, "master"));
        text.push_str("# workers\n");
        for pid in lock(&self.workers)
            .iter()
            .map(|worker| worker.pid)
            .filter(|pid| Some(*pid) == current)
        {
            text.push_str(&line(pid, "worker"));
        }
        text.push_str("# old workers\n");
        for pid in lock(&self.workers)
            .iter()
            .map(|worker| worker.pid)
            .filter(|pid| Some(*pid) != current)
        {
            text.push_str(&line(pid, "worker"));
        }
        text.push_str("# programs\n");
        if let Some(vrrp) = lock(&self.vrrp).as_ref() {
            text.push_str(&line(vrrp.pid, "vrrp"));
        }
        text
    }

    /// The encoded figures of the worker as they are, or as they were last.
    pub async fn worker_state(&self) -> Vec<u8> {
        // Who follows waits for this: a successor is not waited for.
        let now = self.ask_worker_once(&WorkerAsk::Snapshot).await;
        let now = now.ok().and_then(figures);
        let last = lock(&self.last_worker).clone();
        let last = last.as_ref().and_then(|last| last.worker.as_ref());
        now.as_ref()
            .or(last)
            .and_then(|state| wire::encode(state).ok())
            .unwrap_or_default()
    }

    /// Does what an operator asks; the caller has checked the level. `who` goes into the log.
    pub async fn operate(&self, operation: Operation, who: &str) -> Result<String, Refusal> {
        let result = match &operation {
            Operation::Reload => self.reload().await,
            Operation::VrrpFailover { .. } | Operation::VrrpFailback { .. } => {
                let peer = lock(&self.vrrp).clone();
                match peer {
                    None => Err(Refusal::NotRunning(role_name(Role::Vrrp).to_owned())),
                    Some(peer) => match peer.ask(Ask::Vrrp(VrrpAsk::Do(operation.clone()))).await {
                        Ok(Tell::Vrrp(VrrpTell::Done { result, .. })) => result,
                        _ => Err(no_answer(Role::Vrrp)),
                    },
                }
            }
            _ if self.worker().is_none() => {
                Err(Refusal::NotRunning(role_name(Role::Worker).to_owned()))
            }
            _ => self.change_worker(&operation).await,
        };
        if result.is_ok() {
            // The next poll hands the change to the supervisor; it need not wait for its turn.
            self.faster.notify_one();
            let (subject, change) = super::views::describe_operation(&operation);
            // The history has it from the process that did it; the log also tells where it came from.
            tracing::info!("{subject} {change}: asked on {who}");
        }
        result
    }

    /// Has vrrp announce the addresses of an instance once more; refused where they are not on this node.
    #[cfg(feature = "dbus")]
    pub(super) async fn announce(&self, instance: String, who: &str) -> Result<String, Refusal> {
        let peer = lock(&self.vrrp).clone();
        let peer = peer.ok_or_else(|| Refusal::NotRunning(role_name(Role::Vrrp).to_owned()))?;
        let result = match peer.ask(Ask::Vrrp(VrrpAsk::Announce(instance))).await {
            Ok(Tell::Vrrp(VrrpTell::Done { result, .. })) => result,
            _ => Err(no_answer(Role::Vrrp)),
        };
        if let Ok(done) = &result {
            tracing::info!("{done}: asked on {who}");
        }
        result
    }

    async fn reload(&self) -> Result<String, Refusal> {
        match self.ask_supervisor(|id| FromChild::Reload { id }).await {
            Some(Ok(text)) => Ok(text),
            Some(Err(reason)) => Err(Refusal::Invalid(format!("Success=0\n{reason}"))),
            None => Err(Refusal::NotRunning("The supervisor".to_owned())),
        }
    }

    /// Has the supervisor write a file: where it is.
    #[cfg(feature = "dbus")]
    pub(super) async fn write_report(
        &self,
        report: protocol::process::Report,
        text: String,
    ) -> Result<String, Refusal> {
        let ask = |id| FromChild::WriteReport { id, report, text };
        match self.ask_supervisor(ask).await {
            Some(result) => result.map_err(Refusal::Invalid),
            None => Err(Refusal::NotRunning("The supervisor".to_owned())),
        }
    }

    /// Asks the supervisor for something and awaits its end; nothing if it does not answer.
    async fn ask_supervisor(
        &self,
        ask: impl FnOnce(u64) -> FromChild,
    ) -> Option<Result<String, String>> {
        let id = self.numbers.fetch_add(1, Ordering::Relaxed);
        let (sender, answer) = oneshot::channel();
        lock(&self.asked_above).insert(id, sender);
        let told = self.tell_supervisor(&ask(id)).await;
        let answer = match told {
            Ok(()) => tokio::time::timeout(RELOAD_LIMIT, answer)
                .await
                .ok()
                .and_then(Result::ok),
            Err(_) => None,
        };
        lock(&self.asked_above).remove(&id);
        answer
    }

    /// The supervisor has done what it was asked.
    pub fn operation_done(&self, id: u64, result: Result<String, String>) {
        if let Some(answer) = lock(&self.asked_above).remove(&id) {
            // Who asked may have gone.
            let _ = answer.send(result);
        }
    }

    /// The latest picture, renewed at the shortest interval of all subscribers.
    pub fn subscribe(self: &Arc<Self>, interval_ms: u64) -> Subscription {
        let id = self.numbers.fetch_add(1, Ordering::Relaxed);
        lock(&self.intervals).insert(id, interval_ms);
        self.faster.notify_one();
        Subscription {
            id,
            hub: Arc::clone(self),
            pictures: self.picture.subscribe(),
        }
    }
}

fn figures(tell: Tell) -> Option<WorkerSnapshot> {
    match tell {
        Tell::Worker(WorkerTell::Snapshot { snapshot, .. }) => Some(*snapshot),
        _ => None,
    }
}

pub(super) fn no_answer(role: Role) -> Refusal {
    Refusal::NotRunning(format!("{} does not answer; it", role_name(role)))
}

/// A client's share in the common poll.
pub struct Subscription {
    id: u64,
    hub: Arc<Hub>,
    /// The latest picture.
    pub pictures: watch::Receiver<Arc<Snapshot>>,
}

impl Drop for Subscription {
    fn drop(&mut self) {
        lock(&self.hub.intervals).remove(&self.id);
    }
}

/// The pause until the next poll while nobody is subscribed. Without a worker, there may soon be one.
fn idle_poll_ms(snapshot: &Snapshot) -> u64 {
    let proxies = snapshot.worker.iter().flat_map(|worker| &worker.proxies);
    let servers: usize = proxies.map(|proxy| proxy.servers.len()).sum();
    (servers as u64 * IDLE_POLL_MS_PER_SERVER).clamp(IDLE_POLL_MS, MAX_IDLE_POLL_MS)
}

/// Renews the picture for all subscribers at once; a task of its own.
pub(super) async fn poll(hub: Arc<Hub>) {
    loop {
        let wanted_ms = lock(&hub.intervals).values().copied().min();
        let snapshot = match wanted_ms {
            Some(_) => hub.snapshot().await,
            None => hub.glance().await,
        };
        hub.hand_over_state(&snapshot).await;
        // Who subscribed meanwhile has called `faster`.
        let interval_ms = match wanted_ms {
            Some(wanted_ms) => wanted_ms.min(IDLE_POLL_MS),
            None => idle_poll_ms(&snapshot),
        };
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(interval_ms)) => {}
            () = hub.faster.notified() => {}
        }
    }
}
