//! `option external-check`: a command that the supervisor runs for the worker, which never forks.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use config::haproxy::{BindAddress, CheckKind, ServerAddress};
use protocol::process::{FromChild, ScriptOutcome};
use tokio::sync::{mpsc, oneshot};

use super::outcome::Outcome;
use super::script::Site;

/// Commands that wait for the supervisor; more fail at once.
const MAX_WAITING_COMMANDS: usize = 256;
/// How much longer than the command's own time its end is awaited.
const GRACE: Duration = Duration::from_secs(2);

/// The way to the supervisor for commands, and those that run.
#[derive(Debug)]
pub struct Commands {
    requests: mpsc::Sender<FromChild>,
    /// Taken once by who speaks with the supervisor.
    outgoing: Mutex<Option<mpsc::Receiver<FromChild>>>,
    running: Mutex<HashMap<u64, oneshot::Sender<ScriptOutcome>>>,
    next: AtomicU64,
}

impl Default for Commands {
    fn default() -> Self {
        let (requests, outgoing) = mpsc::channel(MAX_WAITING_COMMANDS);
        Self {
            requests,
            outgoing: Mutex::new(Some(outgoing)),
            running: Mutex::default(),
            next: AtomicU64::new(1),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Commands {
    /// What is to be said to the supervisor; there the first time only.
    pub(crate) fn outgoing(&self) -> Option<mpsc::Receiver<FromChild>> {
        lock(&self.outgoing).take()
    }

    /// The supervisor tells how a command ended.
    pub(crate) fn ended(&self, id: u64, outcome: ScriptOutcome) {
        if let Some(waiting) = lock(&self.running).remove(&id) {
            // The check may have given up.
            let _ = waiting.send(outcome);
        }
    }

    async fn run(
        &self,
        argv: Vec<String>,
        environment: Vec<(String, String)>,
        limit: Duration,
    ) -> ScriptOutcome {
        let id = self.next.fetch_add(1, Relaxed);
        let (done, ended) = oneshot::channel();
        lock(&self.running).insert(id, done);
        let request = FromChild::RunCheck {
            id,
            argv,
            environment,
            timeout_ms: limit.as_millis() as u64,
        };
        let outcome = if self.requests.try_send(request).is_err() {
            ScriptOutcome::Failed(format!("{MAX_WAITING_COMMANDS} commands wait already"))
        } else {
            match tokio::time::timeout(limit + GRACE, ended).await {
                Ok(Ok(outcome)) => outcome,
                Ok(Err(_)) | Err(_) => ScriptOutcome::TimedOut,
            }
        };
        lock(&self.running).remove(&id);
        outcome
    }
}

/// Runs the command of a server's check (manual, `external-check command`).
pub(super) async fn run(site: Site<'_>) -> Outcome {
    let shared = &site.app.shared;
    let Some(proxy) = shared.config.proxies.get(site.backend.config_index) else {
        return Outcome::new("SOCKERR", "");
    };
    let CheckKind::External { command, path } = &proxy.check.kind else {
        return Outcome::new("SOCKERR", "");
    };
    const NOT_USED: &str = "NOT_USED";
    let first = proxy.binds.first().map(|bind| match &bind.address {
        BindAddress::Tcp { address, port } => (
            address.map_or("0.0.0.0".to_owned(), |address| address.to_string()),
            port.to_string(),
        ),
        BindAddress::Unix(path) => (path.clone(), NOT_USED.to_owned()),
        BindAddress::Abstract(_) | BindAddress::Fd(_) => (NOT_USED.to_owned(), NOT_USED.to_owned()),
    });
    let (proxy_address, proxy_port) = first
        .clone()
        .unwrap_or((NOT_USED.to_owned(), NOT_USED.to_owned()));
    let server = site.server;
    let (address, port) = match (server.address.load().as_deref(), &server.config.address) {
        (Some(address), _) => (address.ip().to_string(), address.port().to_string()),
        (None, ServerAddress::Unix(path) | ServerAddress::Abstract(path)) => {
            (path.clone(), NOT_USED.to_owned())
        }
        (None, ServerAddress::Host { .. }) => (String::new(), String::new()),
    };
    let used = |text: &str| {
        if text == NOT_USED {
            String::new()
        } else {
            text.to_owned()
        }
    };
    let environment = [
        ("HAPROXY_PROXY_ADDR", used(&proxy_address)),
        ("HAPROXY_PROXY_ID", proxy.id.to_string()),
        ("HAPROXY_PROXY_NAME", proxy.name.text.clone()),
        ("HAPROXY_PROXY_PORT", used(&proxy_port)),
        ("HAPROXY_SERVER_ADDR", address.clone()),
        (
            "HAPROXY_SERVER_CURCONN",
            server.counters.sessions.current().to_string(),
        ),
        ("HAPROXY_SERVER_ID", server.sid.to_string()),
        (
            "HAPROXY_SERVER_MAXCONN",
            server.maxconn.load(Relaxed).to_string(),
        ),
        ("HAPROXY_SERVER_NAME", server.name.clone()),
        ("HAPROXY_SERVER_PORT", used(&port)),
        (
            "HAPROXY_SERVER_PROTO",
            if site.backend.http { "h1" } else { "tcp" }.to_owned(),
        ),
        (
            "HAPROXY_SERVER_SSL",
            u8::from(server.config.tls.is_some()).to_string(),
        ),
        ("PATH", path.clone()),
    ];
    let environment = environment
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    let argv = vec![command.clone(), proxy_address, proxy_port, address, port];
    let limit = site.limits.check.unwrap_or(site.limits.interval);
    match shared.health.commands.run(argv, environment, limit).await {
        ScriptOutcome::Exited(0) => Outcome::new("PROCOK", ""),
        ScriptOutcome::Exited(code) => {
            Outcome::coded("PROCERR", Some(u16::try_from(code).unwrap_or(u16::MAX)), "")
        }
        ScriptOutcome::Signaled(signal) => {
            Outcome::coded("PROCERR", Some(255), format!("killed by signal {signal}"))
        }
        ScriptOutcome::TimedOut => Outcome::new("PROCTOUT", ""),
        ScriptOutcome::Failed(why) => Outcome::coded("PROCERR", Some(255), why),
    }
}
