//! Runs track and notify scripts: as their user, without a shell, bounded in time and number.

use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use protocol::process::ScriptOutcome;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::programs::{self, Account, Refusal, Rights, Security};

/// Scripts that run at a time.
pub(super) const MAX_RUNNING_SCRIPTS: usize = 32;
/// How long scripts that notify may go on when the daemon ends; after that they are on their own.
const FINISH_LIMIT: Duration = Duration::from_secs(5);
const FINISH_LOOK: Duration = Duration::from_millis(20);
/// From SIGTERM to SIGKILL for a script whose time is over, as keepalived 2.2.7 was seen to do.
const KILL_AFTER: Duration = Duration::from_secs(2);
/// Scripts that run or wait; more are refused.
pub(super) const MAX_PENDING_SCRIPTS: usize = 256;

/// The environment of an external check's command.
pub(super) struct CheckEnvironment {
    /// What the check says of itself.
    pub(super) variables: Vec<(String, String)>,
    /// The daemon's own variables stay.
    pub(super) preserved: bool,
}

/// What a script is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To check something: only its outcome counts, and it is known when its time is over.
    Checks,
    /// To tell something: it may go on for a while when the daemon ends.
    Notifies,
    /// To prepare or clear up, while all else waits for its end.
    Waited,
}

/// Runs scripts; clones share the limits.
#[derive(Clone)]
pub(super) struct ScriptRunner {
    turns: Arc<Semaphore>,
    pending: Arc<AtomicUsize>,
    /// Process groups of scripts that run.
    groups: Arc<Mutex<Vec<(Pid, Purpose)>>>,
    default_user: Option<Account>,
    security: Security,
}

impl ScriptRunner {
    /// A runner with the configuration's `script_user` and `enable_script_security`.
    pub(super) fn new(default_user: Option<Account>, security: Security) -> Self {
        Self {
            turns: Arc::new(Semaphore::new(MAX_RUNNING_SCRIPTS)),
            pending: Arc::new(AtomicUsize::new(0)),
            groups: Arc::default(),
            default_user,
            security,
        }
    }

    /// Runs one script to its end, or to the end of its time.
    pub(super) async fn run(
        &self,
        argv: Vec<String>,
        user: Option<(String, Option<String>)>,
        timeout: Duration,
        purpose: Purpose,
        variables: Vec<(String, String)>,
    ) -> ScriptOutcome {
        let admitted = self
            .identity(user)
            .and_then(|identity| self.admit(&argv, identity).map(|()| identity));
        let identity = match admitted {
            Ok(identity) => identity,
            Err(reason) => return ScriptOutcome::Failed(reason),
        };
        let environment = CheckEnvironment {
            variables,
            preserved: true,
        };
        self.wait_and_run(argv, identity, timeout, purpose, Some(environment))
            .await
    }

    /// Runs the command of an external check in an environment of its own.
    pub(super) async fn run_check(
        &self,
        argv: Vec<String>,
        identity: Option<(u32, u32)>,
        timeout: Duration,
        environment: CheckEnvironment,
    ) -> ScriptOutcome {
        self.wait_and_run(argv, identity, timeout, Purpose::Checks, Some(environment))
            .await
    }

    async fn wait_and_run(
        &self,
        argv: Vec<String>,
        identity: Option<(u32, u32)>,
        timeout: Duration,
        purpose: Purpose,
        environment: Option<CheckEnvironment>,
    ) -> ScriptOutcome {
        if self.pending.fetch_add(1, Ordering::Relaxed) >= MAX_PENDING_SCRIPTS {
            self.pending.fetch_sub(1, Ordering::Relaxed);
            return ScriptOutcome::Failed(format!("{MAX_PENDING_SCRIPTS} scripts wait already"));
        }
        let outcome = match Arc::clone(&self.turns).acquire_owned().await {
            Ok(turn) => {
                self.run_now(turn, argv, identity, timeout, purpose, environment)
                    .await
            }
            Err(_) => ScriptOutcome::Failed("scripts are no longer run".to_owned()),
        };
        self.pending.fetch_sub(1, Ordering::Relaxed);
        outcome
    }

    async fn run_now(
        &self,
        turn: OwnedSemaphorePermit,
        argv: Vec<String>,
        identity: Option<(u32, u32)>,
        timeout: Duration,
        purpose: Purpose,
        environment: Option<CheckEnvironment>,
    ) -> ScriptOutcome {
        let (program, mut command) = match command(&argv, identity) {
            Ok(command) => (&argv[0], command),
            Err(reason) => return ScriptOutcome::Failed(reason),
        };
        if let Some(environment) = environment {
            if !environment.preserved {
                command.env_clear();
            }
            command.envs(environment.variables);
        }
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(error) => return ScriptOutcome::Failed(format!("cannot run '{program}': {error}")),
        };
        let group = child
            .id()
            .and_then(|pid| i32::try_from(pid).ok())
            .map(Pid::from_raw);
        self.groups().extend(group.map(|group| (group, purpose)));
        match tokio::time::timeout(timeout, child.wait()).await {
            Ok(ended) => {
                self.forget(group);
                match ended {
                    Ok(status) => match (status.code(), status.signal()) {
                        (Some(code), _) => ScriptOutcome::Exited(code),
                        (None, signal) => ScriptOutcome::Signaled(signal.unwrap_or_default()),
                    },
                    Err(error) => ScriptOutcome::Failed(error.to_string()),
                }
            }
            Err(_elapsed) => {
                // What its time says is known now; its place is free when it is gone.
                let runner = self.clone();
                let ending = tokio::spawn(async move {
                    end(child, group).await;
                    runner.forget(group);
                    drop(turn);
                });
                if purpose == Purpose::Waited {
                    let _ = ending.await;
                }
                ScriptOutcome::TimedOut
            }
        }
    }

    /// Whether a program may run with the rights of a user, or why not.
    fn admit(&self, argv: &[String], identity: Option<(u32, u32)>) -> Result<(), String> {
        let Some(program) = argv.first() else {
            return Err("an empty command".to_owned());
        };
        let rights = Rights::of(identity);
        match programs::examine(program, &rights, self.security) {
            // Its user may see what we do not (a network file system); the kernel will tell.
            Err(Refusal::Hidden(..)) if self.security == Security::Off => Ok(()),
            verdict => verdict.map_err(|refusal| refusal.to_string()),
        }
    }

    /// Starts a program that runs beside the daemon until it is told to end: the reader of a notify FIFO.
    pub(super) fn start(
        &self,
        argv: &[String],
        user: Option<(String, Option<String>)>,
    ) -> Result<tokio::process::Child, String> {
        let identity = self.identity(user)?;
        self.admit(argv, identity)?;
        command(argv, identity)?
            .spawn()
            .map_err(|error| format!("cannot run '{}': {error}", argv[0]))
    }

    fn groups(&self) -> MutexGuard<'_, Vec<(Pid, Purpose)>> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn forget(&self, group: Option<Pid>) {
        self.groups().retain(|(other, _)| Some(*other) != group);
    }

    /// Asks the scripts that others wait for to end.
    pub(super) fn end_waited(&self) {
        self.ask_to_end(Purpose::Waited);
    }

    fn ask_to_end(&self, wanted: Purpose) {
        for (group, purpose) in self.groups().iter() {
            if *purpose == wanted {
                // It may have ended this moment.
                let _ = killpg(*group, Signal::SIGTERM);
            }
        }
    }

    /// The same scripts and limits under another configuration.
    pub(super) fn configure(&mut self, other: Self) {
        self.default_user = other.default_user;
        self.security = other.security;
    }

    /// The daemon ends: nobody wants to know what scripts check, and those that notify get a little time.
    pub(super) async fn finish(&self) {
        self.ask_to_end(Purpose::Checks);
        let deadline = Instant::now() + FINISH_LIMIT;
        while self.pending.load(Ordering::Relaxed) > 0 && Instant::now() < deadline {
            tokio::time::sleep(FINISH_LOOK).await;
        }
    }

    /// User and group of a script; `None` stays what the daemon is.
    pub(super) fn identity(
        &self,
        user: Option<(String, Option<String>)>,
    ) -> Result<Option<(u32, u32)>, String> {
        if !sys::privileges::is_root() {
            return Ok(None);
        }
        programs::account(user.as_ref(), self.default_user.as_ref())
            .map_err(|refusal| refusal.to_string())
    }
}

/// A command line as its user, in a process group of its own, or why it may not run.
fn command(
    argv: &[String],
    identity: Option<(u32, u32)>,
) -> Result<tokio::process::Command, String> {
    let Some((program, rest)) = argv.split_first() else {
        return Err("an empty command".to_owned());
    };
    let mut command = tokio::process::Command::new(program);
    command
        .args(rest)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0);
    if let Some((uid, gid)) = identity {
        command.gid(gid).uid(uid);
    }
    // keepalived.conf(5): "Scripts will be sent SIGTERM if their parent terminates".
    sys::orphan::ends_with_parent(command.as_std_mut());
    Ok(command)
}

/// Ends a script whose time is over, and those that it started: it may clear up first, but not for long.
async fn end(mut child: tokio::process::Child, group: Option<Pid>) {
    let send = |signal| {
        if let Some(group) = group {
            // The group is gone if the script ended this moment.
            let _ = killpg(group, signal);
        }
    };
    send(Signal::SIGTERM);
    if tokio::time::timeout(KILL_AFTER, child.wait())
        .await
        .is_err()
    {
        send(Signal::SIGKILL);
        // Killed above; waiting only reaps it.
        let _ = child.wait().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn check(argv: &[&str], timeout_ms: u64, expected: ScriptOutcome) {
        let runner = ScriptRunner::new(Some(("root".to_owned(), None)), Security::Off);
        let argv = argv.iter().map(|&word| word.to_owned()).collect();
        assert_eq!(
            runner
                .run(
                    argv,
                    None,
                    Duration::from_millis(timeout_ms),
                    Purpose::Checks,
                    Vec::new()
                )
                .await,
            expected
        );
    }

    #[tokio::test]
    async fn a_script_ends_as_it_ends_or_at_its_timeout() {
        check(
            &["/bin/sh", "-c", "exit 3"],
            5_000,
            ScriptOutcome::Exited(3),
        )
        .await;
        check(
            &["/bin/sh", "-c", "kill -9 $$"],
            5_000,
            ScriptOutcome::Signaled(9),
        )
        .await;
        check(&["/bin/sleep", "60"], 50, ScriptOutcome::TimedOut).await;
        check(
            &[],
            50,
            ScriptOutcome::Failed("an empty command".to_owned()),
        )
        .await;
    }

    #[tokio::test]
    async fn no_shell_reads_the_words() {
        check(
            &["/bin/true", "|", "false"],
            5_000,
            ScriptOutcome::Exited(0),
        )
        .await;
        let runner = ScriptRunner::new(None, Security::Off);
        let outcome = runner
            .run(
                vec!["/no/such/program".to_owned()],
                None,
                Duration::from_secs(1),
                Purpose::Checks,
                Vec::new(),
            )
            .await;
        assert!(
            matches!(&outcome, ScriptOutcome::Failed(reason) if reason == "/no/such/program does not exist"),
            "{outcome:?}"
        );
    }
}
