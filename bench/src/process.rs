//! What the kernel knows of a process tree: run time and memory, from `/proc`; and children that end with us.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How long a child may take to stop in order before it is killed.
const STOP_GRACE: Duration = Duration::from_secs(3);

/// What the kernel counts in: USER_HZ is 100 wherever Linux shows it to programs.
const MILLISECONDS_PER_TICK: u64 = 10;

/// A command for `program` on `core`, ended by the kernel if this thread ends first.
pub(crate) fn pinned(core: usize, program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "TERM", "--", "taskset", "-c"]);
    command.arg(core.to_string()).arg(program);
    command
}

/// A child that is stopped when this goes out of scope.
pub(crate) struct Owned(pub(crate) Child);

impl Owned {
    /// Process id of the child.
    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    /// Whether it runs no more.
    pub(crate) fn has_ended(&mut self) -> bool {
        !matches!(self.0.try_wait(), Ok(None))
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        // What it leaves behind, should it fail to end its own children, is found by this.
        let descendants: Vec<Identity> = tree(self.id())
            .unwrap_or_default()
            .into_iter()
            .filter_map(identity)
            .collect();
        if !self.has_ended() {
            // Not yet waited for, so the number still means our child.
            let _ = kill(Pid::from_raw(self.id() as i32), Signal::SIGTERM);
        }
        let is_left = |left: &&Identity| identity(left.process) == Some(**left);
        if until(STOP_GRACE, || {
            self.has_ended() && !descendants.iter().any(|left| is_left(&left))
        }) {
            return;
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
        for left in descendants.iter().filter(is_left) {
            let _ = kill(Pid::from_raw(left.process as i32), Signal::SIGKILL);
        }
        until(STOP_GRACE, || {
            !descendants.iter().any(|left| is_left(&left))
        });
    }
}

/// Asks again and again whether `done`, for `patience` at most.
fn until(patience: Duration, mut done: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + patience;
    while Instant::now() < deadline {
        if done() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    false
}

/// A process and the moment of its start: numbers are used again.
#[derive(Clone, Copy, PartialEq)]
struct Identity {
    process: u32,
    started: u64,
}

/// `None` of a process that runs no more.
fn identity(process: u32) -> Option<Identity> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut words = after_name.split_whitespace();
    let is_dead = words.next()? == "Z";
    // Field 22 of the line; the state was field 3.
    let started = words.nth(18)?.parse().ok()?;
    (!is_dead).then_some(Identity { process, started })
}

/// Run time of every thread of a process tree at one moment.
pub(crate) struct RunTime(HashMap<(u32, u32), u64>);

impl RunTime {
    /// Reads the run time of `root` and all its descendants.
    pub(crate) fn read(root: u32) -> io::Result<Self> {
        let mut threads = HashMap::new();
        for process in tree(root)? {
            let Ok(tasks) = fs::read_dir(format!("/proc/{process}/task")) else {
                continue;
            };
            for task in tasks.flatten() {
                let Some(id) = task.file_name().to_str().and_then(|name| name.parse().ok()) else {
                    continue;
                };
                let Ok(text) = fs::read_to_string(task.path().join("schedstat")) else {
                    continue;
                };
                let nanoseconds = text
                    .split_whitespace()
                    .next()
                    .and_then(|word| word.parse().ok());
                threads.insert((process, id), nanoseconds.unwrap_or(0));
            }
        }
        if threads.is_empty() {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                format!("process {root} is gone"),
            ));
        }
        Ok(Self(threads))
    }

    /// CPU time spent since the threads' start.
    pub(crate) fn total(&self) -> Duration {
        Duration::from_nanos(self.0.values().sum())
    }

    /// CPU time spent since `before`. A thread that ended in between is missed; a new one counts whole.
    pub(crate) fn since(&self, before: &Self) -> Duration {
        let spent = self
            .0
            .iter()
            .map(|(thread, now)| now.saturating_sub(*before.0.get(thread).unwrap_or(&0)));
        Duration::from_nanos(spent.sum())
    }
}

/// Memory of a process tree in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Memory {
    /// Resident set sizes, summed: pages that processes share count in each.
    pub(crate) resident: u64,
    /// Proportional set sizes, summed: a page shared by two counts half in each. 0 if the kernel does not tell.
    pub(crate) proportional: u64,
}

/// Memory of `root` and all its descendants.
pub(crate) fn memory(root: u32) -> io::Result<Memory> {
    let mut memory = Memory::default();
    for process in tree(root)? {
        let field = |file: &str, name: &str| {
            let text = fs::read_to_string(format!("/proc/{process}/{file}")).unwrap_or_default();
            kibibytes(&text, name) * 1024
        };
        memory.resident += field("status", "VmRSS:");
        memory.proportional += field("smaps_rollup", "Pss:");
    }
    Ok(memory)
}

/// CPU time that `core` spent on anything, since some fixed moment, in steps of 10 ms; `None` if the kernel does not tell.
pub(crate) fn core_time(core: usize) -> Option<Duration> {
    core_time_in(&fs::read_to_string("/proc/stat").ok()?, core)
}

fn core_time_in(stat: &str, core: usize) -> Option<Duration> {
    let name = format!("cpu{core}");
    let mut words = stat
        .lines()
        .map(str::split_whitespace)
        .find_map(|mut words| (words.next() == Some(name.as_str())).then_some(words))?;
    // user nice system idle iowait irq softirq steal: idle and iowait are no work.
    let mut ticks = 0u64;
    for place in 0..8 {
        let value: u64 = words.next()?.parse().ok()?;
        if place != 3 && place != 4 {
            ticks += value;
        }
    }
    Some(Duration::from_millis(ticks * MILLISECONDS_PER_TICK))
}

fn kibibytes(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

/// `root` and its descendants.
fn tree(root: u32) -> io::Result<Vec<u32>> {
    let mut parents = Vec::new();
    for entry in fs::read_dir("/proc")?.flatten() {
        let Some(process) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse::<u32>().ok())
        else {
            continue;
        };
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else {
            continue;
        };
        if let Some(parent) = parent_in(&stat) {
            parents.push((process, parent));
        }
    }
    let mut found = vec![root];
    let mut next = 0;
    while next < found.len() {
        let of = found[next];
        found.extend(
            parents
                .iter()
                .filter(|(_, parent)| *parent == of)
                .map(|(process, _)| *process),
        );
        next += 1;
    }
    Ok(found)
}

/// The parent's id in a line of `/proc/PID/stat`. The name before it may hold anything, even parentheses.
fn parent_in(stat: &str) -> Option<u32> {
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_hide_the_parent() {
        assert_eq!(parent_in("12 (a) 9 (b)) S 7 12 12 0"), Some(7));
        assert_eq!(parent_in("12 nothing"), None);
    }

    #[test]
    fn a_core_works_while_it_is_not_idle() {
        let stat =
            "cpu  9 9 9 9 9 9 9 9 0 0\ncpu0 1 2 3 1000 1000 4 5 6 7 8\ncpu1 0 0 0 1 1 0 0 0 0 0\n";
        assert_eq!(core_time_in(stat, 0), Some(Duration::from_millis(210)));
        assert_eq!(core_time_in(stat, 1), Some(Duration::ZERO));
        assert_eq!(core_time_in(stat, 2), None);
    }

    #[test]
    fn a_busy_thread_is_seen_in_the_run_time() {
        let own = std::process::id();
        let before = RunTime::read(own).expect("we run");
        let started = Instant::now();
        let mut sum = 0u64;
        while started.elapsed() < Duration::from_millis(50) {
            sum = std::hint::black_box(sum + 1);
        }
        let spent = RunTime::read(own).expect("we run").since(&before);
        assert!(spent > Duration::from_millis(5), "{spent:?}");
        assert!(memory(own).expect("we run").resident > 100_000);
    }

    #[test]
    fn what_a_child_leaves_behind_is_ended_too() {
        // The shell ends by the signal and does not hand it on.
        let mut shell = Command::new("sh");
        shell
            .args(["-c", "sleep 60 & echo; wait"])
            .stdout(std::process::Stdio::piped());
        let mut child = Owned(shell.spawn().expect("sh is everywhere"));
        let mut output = child.0.stdout.take().expect("it is piped");
        std::io::Read::read_exact(&mut output, &mut [0]).expect("it says that sleep was started");
        let of_child = tree(child.id()).expect("/proc is there");
        assert_eq!(of_child.len(), 2);
        drop(child);
        assert!(
            of_child
                .into_iter()
                .all(|process| identity(process).is_none())
        );
    }

    #[test]
    fn children_belong_to_the_tree() {
        let child = Owned(
            Command::new("sleep")
                .arg("60")
                .spawn()
                .expect("sleep is everywhere"),
        );
        assert!(
            tree(std::process::id())
                .expect("/proc is there")
                .contains(&child.id())
        );
    }
}
