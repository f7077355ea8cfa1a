//! How a process of ours comes and ends: forked by the nursery, or executed anew.

use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use protocol::process::Role;
use protocol::{EventKind, EventSeverity};
use sys::nursery::Nursery;
use tokio::signal::unix::SignalKind;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::{Happening, Supervisor};
use crate::logging::{LogTarget, TARGET_VARIABLE};

/// How a child ends that did what it was told.
pub(super) const CLEAN_END: &str = "exit status 0";

/// How a child ends that made a system call that only an attacker makes (`sys::confine`).
const FORBIDDEN_CALL: &str = "killed by SIGSYS: it made a system call that its filter forbids; the kernel's log has the call's number \
                              (type=1326, syscall=N); 'insecure-no-confinement' in the global section runs the worker without the filter";

/// How long the nursery's end is waited for.
const NURSERY_PATIENCE: Duration = Duration::from_secs(1);

/// A child that runs.
pub(super) enum Process {
    Executed(u32, tokio::process::Child),
    Forked(Forked),
}

/// One that the nursery forked for us.
pub(super) struct Forked {
    pid: Pid,
    /// Told of each end of a child.
    ends: tokio::signal::unix::Signal,
}

impl Process {
    /// Starts a process in a role, born with a channel. A nursery that fails is ended: children are executed from then on.
    pub(super) fn start(
        role: Role,
        birth: &OwnedFd,
        environment: &[(String, String)],
        nursery: &mut Option<Nursery>,
    ) -> std::io::Result<Self> {
        // A worker reads what strangers send: executed anew, it has each time other addresses for all that it holds.
        if let Some(forks) = nursery.as_ref().filter(|_| role != Role::Worker) {
            let title = format!("tandemd: {}", role.as_str());
            match forks.start(role.as_str(), &title, environment, birth) {
                Ok(pid) => return Ok(Self::Forked(Forked::new(pid)?)),
                Err(error) => {
                    let pid = forks.pid();
                    tracing::warn!(
                        "the nursery (process {pid}) does not start {}: {error}",
                        role.as_str()
                    );
                    kill(pid);
                    *nursery = None;
                }
            }
        }
        execute(role, birth, environment)
    }

    /// Its process id.
    pub(super) fn id(&self) -> u32 {
        match self {
            Self::Executed(pid, _) => *pid,
            Self::Forked(forked) => forked.pid.as_raw().unsigned_abs(),
        }
    }

    /// Waits for its end, and says how it ended.
    pub(super) async fn wait(self) -> String {
        match self {
            Self::Executed(_, mut child) => match child.wait().await {
                Ok(status) => describe(status),
                Err(error) => error.to_string(),
            },
            Self::Forked(forked) => forked.wait().await,
        }
    }
}

impl Forked {
    fn new(pid: u32) -> std::io::Result<Self> {
        Ok(Self {
            pid: Pid::from_raw(i32::try_from(pid).map_err(std::io::Error::other)?),
            ends: tokio::signal::unix::signal(SignalKind::child())?,
        })
    }

    async fn wait(mut self) -> String {
        loop {
            return match waitpid(self.pid, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(_, code)) => describe(ExitStatus::from_raw(code << 8)),
                Ok(WaitStatus::Signaled(_, signal, _)) => {
                    describe(ExitStatus::from_raw(signal as i32))
                }
                Ok(_) => {
                    // Ends come together; one that came before this was waited for is found above.
                    self.ends.recv().await;
                    continue;
                }
                Err(nix::errno::Errno::EINTR) => continue,
                Err(error) => error.to_string(),
            };
        }
    }
}

fn kill(pid: u32) {
    if let Ok(pid) = i32::try_from(pid) {
        // It is gone if this fails.
        let _ = nix::sys::signal::kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
}

fn execute(
    role: Role,
    birth: &OwnedFd,
    environment: &[(String, String)],
) -> std::io::Result<Process> {
    let mut command = sys::spawn::again(&format!("tandemd: {}", role.as_str()), birth);
    command
        .arg(format!("--role={}", role.as_str()))
        .envs(environment.iter().cloned());
    if environment
        .iter()
        .any(|(name, value)| name == TARGET_VARIABLE && value == LogTarget::Syslog.as_str())
    {
        // In the background nobody holds the terminal.
        command.stdout(Stdio::null()).stderr(Stdio::null());
    }
    // A terminal's Ctrl-C is for the supervisor, which ends the others in order.
    command.process_group(0);
    // The children tell systemd nothing.
    command
        .env_remove("NOTIFY_SOCKET")
        .env_remove("WATCHDOG_USEC")
        .env_remove("WATCHDOG_PID");
    let child = tokio::process::Command::from(command).spawn()?;
    let pid = child
        .id()
        .ok_or_else(|| std::io::Error::other("it ended at once"))?;
    Ok(Process::Executed(pid, child))
}

fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(nix::libc::SIGSYS)) => FORBIDDEN_CALL.to_owned(),
        (None, Some(signal)) => match Signal::try_from(signal) {
            Ok(name) => format!("signal {signal} ({})", name.as_str()),
            Err(_) => format!("signal {signal}"),
        },
        (None, None) => "unknown".to_owned(),
    }
}

/// Waits for the nursery's end beside all else; what is returned with the nursery is done then.
pub(super) fn keep_nursery(
    nursery: Option<Nursery>,
    happenings: &mpsc::Sender<Happening>,
) -> (Option<Nursery>, Option<JoinHandle<()>>) {
    let Some(nursery) = nursery else {
        return (None, None);
    };
    let pid = nursery.pid();
    match Forked::new(pid) {
        Ok(forked) => {
            let happenings = happenings.clone();
            let end = tokio::spawn(async move {
                let reason = forked.wait().await;
                // The supervisor ends if nobody listens.
                let _ = happenings
                    .send(Happening::NurseryEnded { pid, reason })
                    .await;
            });
            (Some(nursery), Some(end))
        }
        Err(error) => {
            tracing::warn!("the nursery (process {pid}) is not used: {error}");
            (None, None)
        }
    }
}

impl Supervisor {
    /// The nursery died, or was given up.
    pub(super) fn nursery_ended(&mut self, pid: u32, reason: &str) {
        self.nursery = None;
        self.event(
            EventKind::ProcessDied,
            EventSeverity::Warning,
            "nursery",
            &format!("process {pid} died; from now on children are executed and take more memory"),
            reason,
        );
    }

    /// Ends the nursery, and waits for its end a little: nothing of ours outlives the daemon.
    pub(super) async fn end_nursery(&mut self, end: Option<JoinHandle<()>>) {
        self.nursery = None;
        if let Some(end) = end {
            // One that does not end is stopped by somebody: it ends when it goes on.
            let _ = tokio::time::timeout(NURSERY_PATIENCE, end).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_told_in_words() {
        let told = |status| describe(ExitStatus::from_raw(status));
        assert_eq!(told(0), CLEAN_END);
        assert_eq!(told(3 << 8), "exit status 3");
        assert_eq!(told(9), "signal 9 (SIGKILL)");
        assert!(told(nix::libc::SIGSYS).contains("insecure-no-confinement"));
    }
}
