//! Runs track and notify scripts: as their user, without a shell, bounded in time and number.

use std::os::unix::fs::MetadataExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use protocol::process::ScriptOutcome;
use tokio::sync::Semaphore;

/// Scripts that run at a time.
pub(super) const MAX_RUNNING_SCRIPTS: usize = 32;
/// How long scripts that notify may go on when the daemon ends; after that they are on their own.
const FINISH_LIMIT: Duration = Duration::from_secs(5);
const FINISH_LOOK: Duration = Duration::from_millis(20);
/// Scripts that run or wait; more are refused.
pub(super) const MAX_PENDING_SCRIPTS: usize = 256;
/// The user that keepalived takes when none is configured, if the system has it.
const DEFAULT_SCRIPT_USER: &str = "keepalived_script";

/// The environment of an external check's command.
pub(super) struct CheckEnvironment {
    /// What the check says of itself.
    pub(super) variables: Vec<(String, String)>,
    /// The daemon's own variables stay.
    pub(super) preserved: bool,
}

/// Runs scripts; clones share the limits.
#[derive(Clone)]
pub(super) struct ScriptRunner {
    turns: Arc<Semaphore>,
    pending: Arc<AtomicUsize>,
    /// Process groups of scripts that check something.
    checks: Arc<Mutex<Vec<Pid>>>,
    default_user: Option<(String, Option<String>)>,
    security: bool,
}

impl ScriptRunner {
    /// A runner with the configuration's `script_user` and `enable_script_security`.
    pub(super) fn new(default_user: Option<(String, Option<String>)>, security: bool) -> Self {
        Self {
            turns: Arc::new(Semaphore::new(MAX_RUNNING_SCRIPTS)),
            pending: Arc::new(AtomicUsize::new(0)),
            checks: Arc::default(),
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
        notifies: bool,
        variables: Vec<(String, String)>,
    ) -> ScriptOutcome {
        let identity = match self.identity(user) {
            Ok(identity) => identity,
            Err(reason) => return ScriptOutcome::Failed(reason),
        };
        let environment = CheckEnvironment {
            variables,
            preserved: true,
        };
        self.wait_and_run(argv, identity, timeout, notifies, Some(environment))
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
        self.wait_and_run(argv, identity, timeout, false, Some(environment))
            .await
    }

    async fn wait_and_run(
        &self,
        argv: Vec<String>,
        identity: Option<(u32, u32)>,
        timeout: Duration,
        notifies: bool,
        environment: Option<CheckEnvironment>,
    ) -> ScriptOutcome {
        if self.pending.fetch_add(1, Ordering::Relaxed) >= MAX_PENDING_SCRIPTS {
            self.pending.fetch_sub(1, Ordering::Relaxed);
            return ScriptOutcome::Failed(format!("{MAX_PENDING_SCRIPTS} scripts wait already"));
        }
        let outcome = match self.turns.acquire().await {
            Ok(_turn) => {
                self.run_now(argv, identity, timeout, notifies, environment)
                    .await
            }
            Err(_) => ScriptOutcome::Failed("scripts are no longer run".to_owned()),
        };
        self.pending.fetch_sub(1, Ordering::Relaxed);
        outcome
    }

    async fn run_now(
        &self,
        argv: Vec<String>,
        identity: Option<(u32, u32)>,
        timeout: Duration,
        notifies: bool,
        environment: Option<CheckEnvironment>,
    ) -> ScriptOutcome {
        let (program, mut command) = match self.command(&argv, identity) {
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
        let check = group.filter(|_| !notifies);
        if let Some(group) = check {
            self.checks().push(group);
        }
        let ended = tokio::time::timeout(timeout, child.wait()).await;
        if let Some(group) = check {
            self.checks().retain(|other| *other != group);
        }
        match ended {
            Ok(Ok(status)) => match (status.code(), status.signal()) {
                (Some(code), _) => ScriptOutcome::Exited(code),
                (None, signal) => ScriptOutcome::Signaled(signal.unwrap_or_default()),
            },
            Ok(Err(error)) => ScriptOutcome::Failed(error.to_string()),
            Err(_elapsed) => {
                if let Some(group) = group {
                    // The group is gone if the script ended this moment.
                    let _ = killpg(group, Signal::SIGKILL);
                }
                // Killed above; waiting only reaps it.
                let _ = child.wait().await;
                ScriptOutcome::TimedOut
            }
        }
    }

    /// A command line as its user, in a process group of its own, or why it may not run.
    fn command(
        &self,
        argv: &[String],
        identity: Option<(u32, u32)>,
    ) -> Result<tokio::process::Command, String> {
        let Some((program, rest)) = argv.split_first() else {
            return Err("an empty command".to_owned());
        };
        if self.security
            && identity.is_none_or(|(uid, _)| uid == 0)
            && let Some(path) = writable_component(Path::new(program))
        {
            return Err(format!(
                "enable_script_security: {} can be changed by others than root",
                path.display()
            ));
        }
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
        Ok(command)
    }

    /// Starts a program that runs beside the daemon until it is told to end: the reader of a notify FIFO.
    pub(super) fn start(
        &self,
        argv: &[String],
        user: Option<(String, Option<String>)>,
    ) -> Result<tokio::process::Child, String> {
        let identity = self.identity(user)?;
        let mut command = self.command(argv, identity)?;
        command
            .spawn()
            .map_err(|error| format!("cannot run '{}': {error}", argv[0]))
    }

    fn checks(&self) -> MutexGuard<'_, Vec<Pid>> {
        self.checks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same scripts and limits under another configuration.
    pub(super) fn configure(&mut self, other: Self) {
        self.default_user = other.default_user;
        self.security = other.security;
    }

    /// The daemon ends: nobody wants to know what scripts check, and those that notify get a little time.
    pub(super) async fn finish(&self) {
        for group in self.checks().drain(..) {
            // It may have ended this moment.
            let _ = killpg(group, Signal::SIGKILL);
        }
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
        let (name, group) = match user.or_else(|| self.default_user.clone()) {
            Some(named) => named,
            None if sys::privileges::user_id(DEFAULT_SCRIPT_USER).is_ok() => {
                (DEFAULT_SCRIPT_USER.to_owned(), None)
            }
            None => return Ok(None),
        };
        let uid = sys::privileges::user_id(&name).map_err(|error| error.to_string())?;
        let gid = match group {
            Some(group) => sys::privileges::group_id(&group),
            None => sys::privileges::primary_group_of(&name),
        };
        Ok(Some((uid, gid.map_err(|error| error.to_string())?)))
    }
}

/// The first component of a program's path that others than root may change.
fn writable_component(program: &Path) -> Option<PathBuf> {
    const OTHERS_WRITE: u32 = 0o022;
    const STICKY: u32 = 0o1000;
    let resolved = program.canonicalize().ok()?;
    resolved.ancestors().map(Path::to_owned).find(|path| {
        std::fs::metadata(path).is_ok_and(|data| {
            data.uid() != 0 || (data.mode() & OTHERS_WRITE != 0 && data.mode() & STICKY == 0)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn check(argv: &[&str], timeout_ms: u64, expected: ScriptOutcome) {
        let runner = ScriptRunner::new(Some(("root".to_owned(), None)), false);
        let argv = argv.iter().map(|&word| word.to_owned()).collect();
        assert_eq!(
            runner
                .run(
                    argv,
                    None,
                    Duration::from_millis(timeout_ms),
                    false,
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
        let runner = ScriptRunner::new(None, false);
        let outcome = runner
            .run(
                vec!["/no/such/program".to_owned()],
                None,
                Duration::from_secs(1),
                false,
                Vec::new(),
            )
            .await;
        assert!(
            matches!(outcome, ScriptOutcome::Failed(reason) if reason.contains("/no/such/program"))
        );
    }
}
