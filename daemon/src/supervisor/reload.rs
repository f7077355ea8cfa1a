//! A reload: read and check first, open sockets, ask for the servers' state, start a new worker, and only when it is
//! ready let the old one drain. Whatever fails before that leaves everything as it was.

use std::time::{Duration, Instant};

use protocol::process::{Role, ToChild};
use protocol::{EventKind, EventSeverity, wire};

use super::listeners::Listeners;
use super::{Happening, Supervisor, runner};
use crate::configuration::{Configuration, Loaded, load};

/// How long a port may be held by a worker that drains.
const OPEN_LIMIT: Duration = Duration::from_secs(2);
/// How long the control process may take to tell the servers' state.
const STATE_LIMIT: Duration = Duration::from_secs(3);
/// How long a new worker may take to become ready.
const READY_LIMIT: Duration = Duration::from_secs(20);

/// A reload under way.
pub(super) struct Reload {
    /// The control process and its request, if it asked.
    requester: Option<(u32, u64)>,
    stage: Stage,
    since: Instant,
}

enum Stage {
    Reading,
    /// A port is still held by a worker that was just told to let it go.
    Opening(Box<Configuration>),
    /// Waiting for the old worker's state.
    Asking(Box<Configuration>, Listeners),
    /// Waiting for the new worker.
    Starting(Box<Configuration>, Listeners, u32),
}

impl Supervisor {
    /// A signal or an operator wants the configuration read again.
    pub(super) fn begin_reload(&mut self, requester: Option<(u32, u64)>) {
        if self.stop.is_some() || self.reload.is_some() {
            let reason = "another reload or the end of the daemon is under way";
            tracing::warn!("reload refused: {reason}");
            self.answer(requester, Err(reason.to_owned()));
            return;
        }
        tracing::info!("reload: reading the configuration");
        self.systemd.reloading();
        self.reload = Some(Reload {
            requester,
            stage: Stage::Reading,
            since: Instant::now(),
        });
        let arguments = self.arguments.clone();
        let happenings = self.happenings.clone();
        tokio::task::spawn_blocking(move || {
            // The supervisor ends if nobody listens.
            let _ = happenings.blocking_send(Happening::Loaded(Box::new(load(&arguments))));
        });
    }

    /// The configuration was read.
    pub(super) fn loaded(&mut self, loaded: Result<Loaded, String>) {
        let loaded = match loaded {
            Ok(loaded) => loaded,
            Err(reason) => return self.fail_reload(&reason),
        };
        let text = loaded.text();
        if !text.is_empty() {
            tracing::warn!("reload: {}", text.trim_end());
        }
        if loaded.diagnostics.has_errors()
            || (self.arguments.zero_warning && loaded.diagnostics.has_warnings())
        {
            return self.fail_reload(&format!("the configuration is refused\n{text}"));
        }
        let configuration = loaded.configuration;
        if configuration.haproxy.is_none() && configuration.keepalived.is_none() {
            return self.fail_reload("the configuration is empty");
        }
        let (before, after) = (
            self.configuration.net_namespace(),
            configuration.net_namespace(),
        );
        if before != after {
            tracing::warn!(
                "reload: net_namespace changes with a restart alone: the daemon stays in {}",
                before.unwrap_or("the namespace it was started in")
            );
        }
        if let Some(reload) = &mut self.reload {
            reload.since = Instant::now();
        }
        self.open_listeners(configuration);
    }

    fn open_listeners(&mut self, configuration: Configuration) {
        let opened = match &configuration.haproxy {
            None => Ok(Listeners::default()),
            Some(haproxy) => Listeners::open(haproxy, &configuration.sources, &self.listeners),
        };
        let listeners = match opened {
            Ok(listeners) => listeners,
            Err(failures) => {
                // A port that the last reload took away is free once the old worker has closed it.
                let drains = self
                    .children
                    .values()
                    .any(|child| child.role == Role::Worker && child.leaving);
                match &mut self.reload {
                    Some(reload) if drains && reload.since.elapsed() < OPEN_LIMIT => {
                        reload.stage = Stage::Opening(Box::new(configuration));
                    }
                    _ => self.fail_reload(&failures.join("\n")),
                }
                return;
            }
        };
        let asked = self.worker.is_some() && self.control.is_some();
        if let Some(reload) = &mut self.reload {
            reload.stage = Stage::Asking(Box::new(configuration), listeners);
            reload.since = Instant::now();
        }
        if asked {
            self.pass_on(&ToChild::AskWorkerState);
        } else {
            self.start_candidate();
        }
    }

    /// The control process told the figures of the worker.
    pub(super) fn worker_state_known(&mut self, state: Vec<u8>) {
        if !state.is_empty() {
            self.worker_state = state;
        }
        let died_once = self
            .restarts
            .get_mut(&Role::Worker)
            .filter(|restarts| restarts.in_a_row == 1);
        if self.worker.is_none()
            && self.stop.is_none()
            && died_once.is_some_and(|restarts| restarts.due.take().is_some())
        {
            self.restart(Role::Worker);
        }
        self.start_candidate();
    }

    fn start_candidate(&mut self) {
        let Some(mut reload) = self.reload.take() else {
            return;
        };
        let Stage::Asking(configuration, listeners) = reload.stage else {
            self.reload = Some(reload);
            return;
        };
        match self.start_worker(&configuration, &listeners) {
            Ok(Some(pid)) => {
                reload.stage = Stage::Starting(configuration, listeners, pid);
                reload.since = Instant::now();
                self.reload = Some(reload);
            }
            Ok(None) => {
                self.reload = Some(reload_at(reload.requester));
                self.apply(*configuration, listeners, None);
            }
            Err(error) => {
                self.reload = Some(reload_at(reload.requester));
                self.fail_reload(&format!("the new worker cannot be started: {error}"));
            }
        }
    }

    /// A child became ready: if it is the new worker, the reload is done.
    pub(super) fn candidate_ready(&mut self, pid: u32) {
        let Some(reload) = self
            .reload
            .take_if(|reload| matches!(&reload.stage, Stage::Starting(_, _, new) if *new == pid))
        else {
            return;
        };
        self.reload = Some(reload_at(reload.requester));
        if let Stage::Starting(configuration, listeners, _) = reload.stage {
            self.apply(*configuration, listeners, Some(pid));
        }
    }

    /// A child ended: `true` if it was the new worker, whose end fails the reload and nothing else.
    pub(super) fn candidate_ended(&mut self, pid: u32, reason: &str) -> bool {
        let is_candidate = matches!(&self.reload, Some(Reload { stage: Stage::Starting(_, _, new), .. }) if *new == pid);
        if is_candidate {
            self.fail_reload(&format!(
                "the new worker ended before it was ready: {reason}"
            ));
        }
        is_candidate
    }

    /// The new configuration is the running one from here on.
    fn apply(
        &mut self,
        configuration: Configuration,
        listeners: Listeners,
        new_worker: Option<u32>,
    ) {
        let hard_stop = self.hard_stop();
        let handed_over = new_worker
            .and_then(|pid| self.children.get_mut(&pid))
            .map(|new| std::mem::take(&mut new.born_with));
        let old = std::mem::replace(&mut self.worker, new_worker);
        self.tell_current_worker();
        if let Some(old) = old.and_then(|pid| self.children.get_mut(&pid)) {
            old.leaving = true;
            old.tell(&ToChild::Drain {
                hard_stop_ms: hard_stop,
                handed_over,
            });
        }
        self.listeners = listeners;
        match self.open_stats_sockets(&configuration) {
            Ok(stats) => self.use_stats_sockets(stats),
            Err(failure) => {
                tracing::error!("reload: the stats sockets stay as they were: {failure}")
            }
        }
        self.scripts.configure(runner(&configuration));
        self.node = configuration.node(&self.arguments);
        self.configuration = configuration;
        self.update_health();
        self.open_fifos();
        self.watch();
        self.hand_over_vrrp();
        self.tell_all_observed();
        if let Some(control) = self.current(Role::Control) {
            match wire::encode(&self.control_setup()) {
                Ok(setup) => {
                    control.tell_with(&ToChild::NewControlConfig(setup), self.stats_descriptors())
                }
                Err(error) => tracing::error!("reload: control keeps its old setup: {error}"),
            }
        }
        let requester = self.reload.take().and_then(|reload| reload.requester);
        self.event(
            EventKind::Reload,
            EventSeverity::Notice,
            "configuration",
            "reloaded",
            "all processes use it",
        );
        self.answer(requester, Ok("Success=1".to_owned()));
        self.systemd.ready();
    }

    fn hand_over_vrrp(&mut self) {
        let setup = self.vrrp_setup(&self.configuration);
        match (self.vrrp, setup) {
            (Some(pid), Some(setup)) => {
                if let Some(child) = self.children.get(&pid) {
                    child.tell(&ToChild::NewVrrpConfig(setup));
                }
            }
            (Some(pid), None) => {
                self.vrrp = None;
                if let Some(child) = self.children.get_mut(&pid) {
                    child.leaving = true;
                    child.tell(&ToChild::Stop);
                }
            }
            (None, Some(_)) => self.restart(Role::Vrrp),
            (None, None) => {}
        }
    }

    /// `hard-stop-after` in milliseconds.
    pub(super) fn hard_stop(&self) -> Option<u64> {
        let limit = self
            .configuration
            .haproxy
            .as_ref()
            .and_then(|haproxy| haproxy.global.hard_stop_after);
        limit.map(|limit| u64::try_from(limit.as_millis()).unwrap_or(u64::MAX))
    }

    pub(super) fn tick_reload(&mut self, now: Instant) {
        if let Some(Reload {
            stage: stage @ Stage::Opening(_),
            ..
        }) = &mut self.reload
            && let Stage::Opening(configuration) = std::mem::replace(stage, Stage::Reading)
        {
            return self.open_listeners(*configuration);
        }
        let Some(reload) = &self.reload else { return };
        let waited = now.duration_since(reload.since);
        match &reload.stage {
            Stage::Asking(..) if waited >= STATE_LIMIT => {
                tracing::warn!(
                    "reload: the servers' state is not known in time; the new worker starts with the last known one"
                );
                self.start_candidate();
            }
            Stage::Starting(_, _, pid) if waited >= READY_LIMIT => {
                let pid = *pid;
                if let Some(child) = self.children.get_mut(&pid) {
                    child.leaving = true;
                    child.signal(nix::sys::signal::Signal::SIGKILL);
                }
                self.fail_reload(&format!(
                    "the new worker was not ready within {} s",
                    READY_LIMIT.as_secs()
                ));
            }
            _ => {}
        }
    }

    fn fail_reload(&mut self, reason: &str) {
        self.tell_current_worker();
        let requester = self.reload.take().and_then(|reload| reload.requester);
        self.event(
            EventKind::Reload,
            EventSeverity::Warning,
            "configuration",
            "not reloaded, the running one stays",
            reason.trim_end(),
        );
        self.answer(requester, Err(reason.trim_end().to_owned()));
        self.systemd.ready();
    }

    fn answer(&self, requester: Option<(u32, u64)>, result: Result<String, String>) {
        if let Some((pid, id)) = requester
            && let Some(child) = self.children.get(&pid)
        {
            child.tell(&ToChild::OperationDone { id, result });
        }
    }
}

fn reload_at(requester: Option<(u32, u64)>) -> Reload {
    Reload {
        requester,
        stage: Stage::Reading,
        since: Instant::now(),
    }
}
