//! Processes in a host: started, watched, signalled by id, and ended with their owner.

use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

pub use nix::sys::signal::Signal;
use nix::unistd::Pid;

use crate::failure::{Context, Failure, Outcome};
use crate::wait::wait_until;

/// How long a started program may take to appear.
const APPEAR: Duration = Duration::from_secs(5);

/// A program running in a host; killed when dropped.
pub struct Process {
    name: String,
    /// The `nsenter` around the program.
    outer: Child,
    pid: i32,
    log: PathBuf,
}

impl Process {
    /// Starts a command that enters a host's namespaces, its output going to the file `log`.
    pub(crate) fn start(name: &str, mut command: Command, log: &Path) -> Outcome<Process> {
        let mut file = File::options()
            .create(true)
            .append(true)
            .open(log)
            .context(log.display())?;
        file.seek(SeekFrom::End(0))?;
        command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file);
        let mut outer = command.spawn().context(format!("starting {name}"))?;
        let outer_pid = outer.id() as i32;
        let mut pid = 0;
        wait_until(&format!("{name} to appear"), APPEAR, || {
            pid = children(outer_pid).first().copied().unwrap_or(0);
            pid != 0 || matches!(outer.try_wait(), Ok(Some(_)))
        })?;
        Ok(Process {
            name: name.to_owned(),
            outer,
            pid,
            log: log.to_owned(),
        })
    }

    /// Its process id as seen by the harness (not by the host).
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Its process and all that descend from it.
    pub fn tree(&self) -> Vec<i32> {
        let mut all = vec![self.pid];
        let mut next = 0;
        while next < all.len() {
            all.extend(children(all[next]));
            next += 1;
        }
        all
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> Outcome {
        send(self.pid, signal).context(format!("{signal} to {}", self.name))
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.outer.try_wait(), Ok(None))
    }

    /// Waits for its end.
    pub fn wait(&mut self, limit: Duration) -> Outcome<ExitStatus> {
        let mut status = None;
        wait_until(&format!("the end of {}", self.name), limit, || {
            status = self.outer.try_wait().ok().flatten();
            status.is_some()
        })?;
        status.ok_or_else(|| Failure::new(format!("{}: no exit status", self.name)))
    }

    /// All that it printed so far.
    pub fn log(&self) -> String {
        std::fs::read(&self.log)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// Waits until its output holds `text`.
    pub fn wait_for_log(&self, text: &str, limit: Duration) -> Outcome<Duration> {
        wait_until(&format!("{} to say {text:?}", self.name), limit, || {
            self.log().contains(text)
        })
    }

    /// Ends it at once.
    pub fn kill(&mut self) {
        if self.is_running() {
            let _ = send(self.pid, Signal::SIGKILL);
            if self.wait(Duration::from_secs(2)).is_err() {
                let _ = self.outer.kill();
            }
        }
        let _ = self.outer.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Sends a signal to one process.
pub fn send(pid: i32, signal: Signal) -> Outcome {
    crate::ensure!(pid > 1, "no process to send {signal} to");
    Ok(nix::sys::signal::kill(Pid::from_raw(pid), signal)?)
}

/// The direct children of a process, of all its threads.
pub fn children(pid: i32) -> Vec<i32> {
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{pid}/task")) else {
        return Vec::new();
    };
    tasks
        .flatten()
        .filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok())
        .flat_map(|text| {
            text.split_whitespace()
                .filter_map(|word| word.parse().ok())
                .collect::<Vec<i32>>()
        })
        .collect()
}

/// The command line of a process as it shows it (its title, where it set one).
pub fn title(pid: i32) -> String {
    let bytes = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&bytes)
        .replace('\0', " ")
        .trim()
        .to_owned()
}

/// Whether a process exists and is not merely waiting to be reaped.
pub fn is_alive(pid: i32) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else {
        return false;
    };
    let state = stat
        .rsplit(')')
        .next()
        .and_then(|rest| rest.trim_start().chars().next());
    !matches!(state, None | Some('Z' | 'X'))
}
