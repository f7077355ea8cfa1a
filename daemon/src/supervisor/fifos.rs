//! The notify FIFOs: `notify_fifo` and `vrrp_notify_fifo`, with the scripts that read them.
//!
//! A FIFO is opened for reading and writing, as keepalived does: lines wait in the kernel until somebody reads. What does
//! not fit there waits here, up to a bound; beyond it lines are lost, counted and told. Nothing ever waits for a reader.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use config::keepalived::{GlobalNotify, NotifyFifo};
use nix::sys::signal::{Signal, killpg};
use nix::sys::stat::Mode;
use nix::unistd::Pid;
use protocol::{EventKind, EventSeverity};

use super::Supervisor;
use super::births::OwnFile;
use super::scripts::ScriptRunner;

/// Lines that wait for a reader, beside what the kernel holds (64 KiB).
const MAX_WAITING_LINES: usize = 1_024;
/// Least time between two events about lost lines.
const REPORT_SPACING: Duration = Duration::from_secs(60);
/// Pause before a script that ended is started again.
const RESTART_PAUSE: Duration = Duration::from_secs(5);
/// How long a script may take to read its last lines when the daemon ends.
const FINISH_LIMIT: Duration = Duration::from_secs(1);

/// Something to tell: subject, change, reason.
pub(super) type Notice = (String, &'static str, String);

/// All FIFOs that are in use.
#[derive(Default)]
pub(super) struct Fifos(Vec<Fifo>);

struct Fifo {
    config: NotifyFifo,
    path: String,
    file: File,
    /// It was made here.
    own: Option<OwnFile>,
    waiting: VecDeque<Vec<u8>>,
    lost: u64,
    told_lost: u64,
    told_at: Option<Instant>,
    runner: ScriptRunner,
    script: Option<tokio::process::Child>,
    restart_at: Option<Instant>,
}

impl Fifos {
    /// Uses these FIFOs from now on; one that did not change stays open, and so does its script.
    fn configure(&mut self, global: &GlobalNotify, runner: &ScriptRunner) -> Vec<Notice> {
        let mut notices = Vec::new();
        let mut old = std::mem::take(&mut self.0);
        for config in global.fifos() {
            let Some(path) = &config.path else { continue };
            if let Some(at) = old.iter().position(|fifo| fifo.config == *config) {
                let mut kept = old.swap_remove(at);
                kept.runner = runner.clone();
                self.0.push(kept);
                continue;
            }
            // One whose script alone changed: what its reader has not read yet stays in it.
            let same_path = old.iter().position(|fifo| fifo.path == *path);
            let before = same_path.map(|at| old.swap_remove(at));
            match Fifo::open(config, path, runner, before) {
                Ok(mut fifo) => {
                    notices.extend(fifo.start());
                    self.0.push(fifo);
                }
                Err(reason) => notices.push((path.clone(), "the FIFO is not written to", reason)),
            }
        }
        for mut fifo in old {
            fifo.end_script(Signal::SIGTERM);
            fifo.remove();
        }
        notices
    }

    /// Writes a line to all, or keeps it until it can be written.
    pub(super) fn write(&mut self, line: &str) -> Vec<Notice> {
        let all = self.0.iter_mut();
        all.filter_map(|fifo| fifo.write(line.as_bytes())).collect()
    }

    /// Tries again what could not be written, and starts again what ended.
    pub(super) fn tick(&mut self, now: Instant) -> Vec<Notice> {
        let mut notices = Vec::new();
        for fifo in &mut self.0 {
            fifo.flush();
            notices.extend(fifo.watch(now));
        }
        notices
    }

    /// Lets the scripts read what is left, and removes what was made here.
    pub(super) async fn finish(&mut self) {
        let until = Instant::now() + FINISH_LIMIT;
        for mut fifo in self.0.drain(..) {
            fifo.flush();
            fifo.remove();
            let (script, file) = (fifo.script.take(), fifo.file);
            // A script that reads to the end sees it once nobody can write any more.
            drop(file);
            let Some(mut script) = script else { continue };
            let left = until.saturating_duration_since(Instant::now());
            if tokio::time::timeout(left, script.wait()).await.is_err() {
                terminate(&script, Signal::SIGTERM);
            }
        }
    }
}

impl Fifo {
    fn open(
        config: &NotifyFifo,
        path: &str,
        runner: &ScriptRunner,
        before: Option<Fifo>,
    ) -> Result<Self, String> {
        let plain = |error: std::io::Error| error.to_string();
        let made = match nix::unistd::mkfifo(path, Mode::S_IRUSR | Mode::S_IWUSR) {
            Ok(()) => true,
            Err(nix::errno::Errno::EEXIST) => false,
            Err(error) => return Err(std::io::Error::from(error).to_string()),
        };
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(nix::libc::O_NONBLOCK | nix::libc::O_NOFOLLOW)
            .open(path)
            .map_err(plain)?;
        if !file.metadata().map_err(plain)?.file_type().is_fifo() {
            return Err("there is a file of this name, and it is no FIFO".to_owned());
        }
        let owner = match (&config.user, made) {
            (Some(_), _) => runner.identity(config.user.clone())?,
            (None, true) => runner.identity(None)?,
            (None, false) => None,
        };
        if let Some((uid, gid)) = owner {
            std::os::unix::fs::fchown(&file, Some(uid), Some(gid)).map_err(plain)?;
        }
        let mut own = made.then(|| OwnFile::new(PathBuf::from(path)));
        let mut waiting = VecDeque::new();
        if let Some(mut before) = before {
            before.end_script(Signal::SIGTERM);
            own = own.or(before.own.take());
            waiting = std::mem::take(&mut before.waiting);
        }
        Ok(Self {
            config: config.clone(),
            path: path.to_owned(),
            file,
            own,
            waiting,
            lost: 0,
            told_lost: 0,
            told_at: None,
            runner: runner.clone(),
            script: None,
            restart_at: None,
        })
    }

    fn write(&mut self, line: &[u8]) -> Option<Notice> {
        self.flush();
        if self.waiting.len() < MAX_WAITING_LINES {
            self.waiting.push_back(line.to_owned());
            self.flush();
            return None;
        }
        self.lost += 1;
        let now = Instant::now();
        if self.told_at.is_some_and(|at| now < at + REPORT_SPACING) {
            return None;
        }
        let lines = self.lost - self.told_lost;
        (self.told_at, self.told_lost) = (Some(now), self.lost);
        let reason = format!("nobody reads it and {MAX_WAITING_LINES} wait already: {lines} lost");
        Some((self.path.clone(), "lines of the FIFO are lost", reason))
    }

    /// A line is far below what a pipe takes as a whole, so that none is written in part.
    fn flush(&mut self) {
        while let Some(line) = self.waiting.front() {
            match self.file.write(line) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return,
                Ok(_) => _ = self.waiting.pop_front(),
            }
        }
    }

    fn start(&mut self) -> Option<Notice> {
        let script = self.config.script.as_ref()?;
        let mut argv = script.argv.clone();
        argv.push(self.path.clone());
        match self.runner.start(&argv, script.user.clone()) {
            Ok(child) => {
                self.script = Some(child);
                None
            }
            Err(reason) => {
                self.restart_at = Some(Instant::now() + RESTART_PAUSE);
                Some((self.path.clone(), "its script does not run", reason))
            }
        }
    }

    fn watch(&mut self, now: Instant) -> Option<Notice> {
        if self.restart_at.take_if(|at| *at <= now).is_some() {
            return self.start();
        }
        let status = self.script.as_mut()?.try_wait().ok().flatten()?;
        self.script = None;
        self.restart_at = Some(now + RESTART_PAUSE);
        let seconds = RESTART_PAUSE.as_secs();
        let reason = format!("{status}; it is started again in {seconds} s");
        Some((self.path.clone(), "its script ended", reason))
    }

    fn end_script(&mut self, signal: Signal) {
        if let Some(script) = self.script.take() {
            terminate(&script, signal);
        }
    }

    fn remove(&mut self) {
        if let Some(own) = self.own.take() {
            own.remove();
        }
    }
}

fn terminate(script: &tokio::process::Child, signal: Signal) {
    let group = script.id().and_then(|pid| i32::try_from(pid).ok());
    if let Some(group) = group {
        // It may have ended this moment.
        let _ = killpg(Pid::from_raw(group), signal);
    }
}

impl Supervisor {
    /// Opens the configured FIFOs and starts their scripts.
    pub(super) fn open_fifos(&mut self) {
        let global = self.configuration.keepalived.as_ref();
        let global = global.map(|keepalived| keepalived.global.notify.clone());
        let notices = self
            .fifos
            .configure(&global.unwrap_or_default(), &self.scripts);
        self.tell_of_fifos(notices);
    }

    /// Tells what became of the FIFOs.
    pub(super) fn tell_of_fifos(&self, notices: Vec<Notice>) {
        for (subject, change, reason) in notices {
            let severity = EventSeverity::Warning;
            self.event(EventKind::Other, severity, &subject, change, &reason);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::programs::Security;
    use std::io::Read;
    use std::path::Path;

    fn fifos(path: &Path) -> (Fifos, Vec<Notice>) {
        let mut global = GlobalNotify::default();
        global.vrrp_fifo.path = Some(path.to_string_lossy().into_owned());
        let mut fifos = Fifos::default();
        let runner = ScriptRunner::new(Some(("root".to_owned(), None)), Security::Off);
        let notices = fifos.configure(&global, &runner);
        (fifos, notices)
    }

    #[tokio::test]
    async fn a_reader_that_comes_late_gets_all_lines_that_fit_and_nobody_waits_for_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("fifo");
        let (mut fifos, notices) = fifos(&path);
        assert!(notices.is_empty(), "{notices:?}");
        let line = |number: usize| format!("INSTANCE \"VI\" MASTER {number:>90}\n");
        let total = 3_000;
        let mut notices = Vec::new();
        for number in 0..total {
            notices.extend(fifos.write(&line(number)));
        }
        assert_eq!(notices.len(), 1, "lost lines are told once a minute");
        let mut reader = OpenOptions::new()
            .read(true)
            .custom_flags(nix::libc::O_NONBLOCK)
            .open(&path)
            .expect("the FIFO");
        let mut text = String::new();
        for _ in 0..100 {
            // Ends with an error: nothing is there just now.
            let _ = reader.read_to_string(&mut text);
            fifos.tick(Instant::now());
        }
        let read: Vec<&str> = text.lines().collect();
        let expected: Vec<String> = (0..read.len()).map(line).collect();
        assert!(
            read.len() > MAX_WAITING_LINES && read.len() < total,
            "{}",
            read.len()
        );
        assert_eq!(
            text,
            expected.concat(),
            "whole lines, in order, without a hole"
        );
        fifos.write(&line(0));
        text.clear();
        let _ = reader.read_to_string(&mut text);
        assert_eq!(text, line(0), "it goes on when somebody reads");
        fifos.finish().await;
        assert!(!path.exists(), "what was made here goes");
    }

    #[test]
    fn a_file_of_the_same_name_stays_what_it_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        std::fs::write(&path, "mine").expect("written");
        let (mut fifos, notices) = fifos(&path);
        assert!(notices[0].2.contains("no FIFO"), "{notices:?}");
        fifos.write("x\n");
        assert_eq!(std::fs::read_to_string(&path).expect("read"), "mine");
    }
}
