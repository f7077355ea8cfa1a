//! The end of the daemon: vrrp first, so that the peer takes the addresses before anything else goes; then the workers;
//! control last.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal as UnixSignal;
use protocol::process::{Role, ToChild};

use super::listeners::Listeners;
use super::{Signal, Supervisor};

/// How long vrrp may take to give its addresses away.
const VRRP_LIMIT: Duration = Duration::from_secs(5);
/// How long others may take to end after `Stop`.
const STOP_LIMIT: Duration = Duration::from_secs(5);
/// Exit code of a daemon that could not start.
pub(super) const FAILED: u8 = 1;

/// A stop under way.
pub(super) struct Stop {
    code: u8,
    /// Workers may finish what runs.
    graceful: bool,
    stage: Stage,
    deadline: Option<Instant>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Vrrp,
    Workers,
    Control,
}

/// The exit code of a daemon that a signal ended: the master of HAProxy ends with 130 on SIGINT and with 0 else.
pub(super) fn code_of(signal: Signal) -> u8 {
    if signal == Signal::Interrupt { 130 } else { 0 }
}

impl Supervisor {
    /// A signal wants the daemon to end. A second, harder one cuts a graceful end short.
    pub(super) fn begin_stop(&mut self, signal: Signal) {
        let code = code_of(signal);
        let graceful = signal == Signal::Graceful;
        if let Some(stop) = &mut self.stop {
            if stop.graceful && !graceful {
                (stop.graceful, stop.code) = (false, code);
                if stop.stage == Stage::Workers {
                    self.stop_workers();
                }
            }
            return;
        }
        tracing::info!(
            "stopping{}",
            if graceful {
                " when all sessions have ended"
            } else {
                ""
            }
        );
        self.start_stop(code, graceful);
    }

    /// Ends the daemon with an exit code.
    pub(super) fn begin_stop_with(&mut self, code: u8) {
        if self.stop.is_none() {
            self.start_stop(code, false);
        }
    }

    fn start_stop(&mut self, code: u8, graceful: bool) {
        self.systemd.stopping();
        self.reload = None;
        self.stop = Some(Stop {
            code,
            graceful,
            stage: Stage::Vrrp,
            deadline: Some(Instant::now() + VRRP_LIMIT),
        });
        self.tell_all(Role::Vrrp, &ToChild::Stop);
        self.tick_stop(Instant::now());
    }

    fn tell_all(&mut self, role: Role, message: &ToChild) {
        for child in self
            .children
            .values_mut()
            .filter(|child| child.role == role)
        {
            child.leaving = true;
            child.tell(message);
        }
    }

    fn any(&self, role: Role) -> bool {
        self.children.values().any(|child| child.role == role)
    }

    fn stop_workers(&mut self) {
        // Who connects from now on is refused, not left waiting in a queue that nobody empties.
        self.listeners = Listeners::default();
        let graceful = self.stop.as_ref().is_some_and(|stop| stop.graceful);
        let hard_stop_ms = self.hard_stop();
        let message = if graceful {
            ToChild::Drain {
                hard_stop_ms,
                handed_over: None,
            }
        } else {
            ToChild::Stop
        };
        self.tell_all(Role::Worker, &message);
        let limit = match (graceful, hard_stop_ms) {
            (false, _) => Some(STOP_LIMIT),
            (true, Some(limit)) => Some(Duration::from_millis(limit).saturating_add(STOP_LIMIT)),
            (true, None) => None,
        };
        if let Some(stop) = &mut self.stop {
            stop.stage = Stage::Workers;
            stop.deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
        }
    }

    /// Moves on when a stage's processes are gone, or kills them at its deadline.
    pub(super) fn tick_stop(&mut self, now: Instant) {
        let Some(stop) = &self.stop else { return };
        let (stage, late) = (
            stop.stage,
            stop.deadline.is_some_and(|deadline| deadline <= now),
        );
        let role = match stage {
            Stage::Vrrp => Role::Vrrp,
            Stage::Workers => Role::Worker,
            Stage::Control => Role::Control,
        };
        if self.any(role) {
            if late {
                for child in self.children.values().filter(|child| child.role == role) {
                    tracing::error!(
                        "{} (process {}) does not end: killed",
                        role.as_str(),
                        child.pid
                    );
                    child.signal(UnixSignal::SIGKILL);
                }
            }
            return;
        }
        match stage {
            Stage::Vrrp => {
                self.stop_workers();
                self.tick_stop(now);
            }
            Stage::Workers => {
                if let Some(stop) = &mut self.stop {
                    stop.stage = Stage::Control;
                    stop.deadline = Some(now + STOP_LIMIT);
                }
                self.tell_all(Role::Control, &ToChild::Stop);
            }
            Stage::Control => {}
        }
    }

    /// The exit code, once nothing runs any more.
    pub(super) fn finished(&self) -> Option<ExitCode> {
        let stop = self.stop.as_ref()?;
        (stop.stage == Stage::Control && self.children.is_empty()).then(|| {
            tracing::info!("stopped");
            ExitCode::from(stop.code)
        })
    }
}
