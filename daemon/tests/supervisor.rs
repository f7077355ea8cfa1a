//! The program itself: starting, refusing, restarting what dies, reloading, ending.

mod support;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use support::{LIMIT, ask};

const PROGRAM: &str = env!("CARGO_BIN_EXE_tandemd");

struct Daemon {
    process: Child,
    folder: tempfile::TempDir,
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn configuration(folder: &Path, extra: &str) -> String {
    let at = |name: &str| folder.join(name).display().to_string();
    format!(
        "global\n stats socket {} level admin mode 600\n{extra}\
         defaults\n mode http\n timeout client 5s\n timeout server 5s\n timeout connect 1s\n\
         frontend main\n bind unix@{}\n default_backend nginx\n\
         backend nginx\n server web1 127.0.0.1:1\n",
        at("s"),
        at("front")
    )
}

impl Daemon {
    async fn start() -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let file = folder.path().join("h.cfg");
        std::fs::write(&file, configuration(folder.path(), "")).expect("configuration");
        let process = Command::new(PROGRAM)
            .arg("-f")
            .arg(&file)
            .arg("-p")
            .arg(folder.path().join("pid"))
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        let daemon = Self { process, folder };
        daemon
            .wait_for("a worker", async |daemon| daemon.worker().await.is_some())
            .await;
        daemon
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("s")
    }

    async fn ask(&self, line: &str) -> String {
        if tokio::net::UnixStream::connect(self.socket())
            .await
            .is_err()
        {
            return String::new();
        }
        ask(&self.socket(), line).await
    }

    /// Process id of the worker that answers.
    async fn worker(&self) -> Option<i32> {
        let backends = self.ask("show backend").await;
        let info = self.ask("show info").await;
        let pid = info
            .lines()
            .find_map(|line| line.strip_prefix("Pid: "))?
            .parse()
            .ok()?;
        (backends.contains("nginx") && pid != i32::try_from(self.process.id()).ok()?).then_some(pid)
    }

    async fn wait_for(&self, what: &str, condition: impl AsyncFn(&Self) -> bool) {
        let deadline = Instant::now() + LIMIT;
        while !condition(self).await {
            assert!(Instant::now() < deadline, "no {what} in time");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn signal(&self, signal: nix::sys::signal::Signal) {
        send(i32::try_from(self.process.id()).expect("a pid"), signal);
    }

    fn end(&mut self) -> Option<i32> {
        let deadline = Instant::now() + LIMIT;
        loop {
            if let Some(status) = self.process.try_wait().expect("our child") {
                return status.code();
            }
            assert!(Instant::now() < deadline, "it does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn send(pid: i32, signal: nix::sys::signal::Signal) {
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal).expect("it runs");
}

fn run(arguments: &[&str], configuration: &str) -> Output {
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("h.cfg");
    std::fs::write(&file, configuration).expect("configuration");
    Command::new(PROGRAM)
        .args(arguments)
        .arg("-f")
        .arg(&file)
        .arg("--socket")
        .arg(folder.path().join("own"))
        .output()
        .expect("it runs")
}

#[tokio::test]
async fn a_worker_that_dies_is_replaced_and_the_history_tells_it() {
    let mut daemon = Daemon::start().await;
    let first = daemon.worker().await.expect("a worker");
    send(first, nix::sys::signal::Signal::SIGKILL);
    daemon
        .wait_for("new worker", async |daemon| {
            daemon.worker().await.is_some_and(|pid| pid != first)
        })
        .await;
    let events = daemon.ask("show events").await;
    assert!(
        events.contains(&format!(
            "worker: process {first} died (signal 9 (SIGKILL))"
        )),
        "{events}"
    );
    let pid = std::fs::read_to_string(daemon.folder.path().join("pid")).expect("pidfile");
    assert_eq!(pid.trim(), daemon.process.id().to_string());
    daemon.signal(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(daemon.end(), Some(0));
    assert!(!daemon.folder.path().join("pid").exists() && !daemon.socket().exists());
}

#[tokio::test]
async fn a_reload_starts_a_new_worker_and_a_broken_one_changes_nothing() {
    let mut daemon = Daemon::start().await;
    let first = daemon.worker().await.expect("a worker");
    assert_eq!(daemon.ask("reload").await, "Success=1\n\n");
    let second = daemon.worker().await.expect("a worker");
    assert_ne!(first, second);
    let file = daemon.folder.path().join("h.cfg");
    std::fs::write(&file, configuration(daemon.folder.path(), " nonsense\n"))
        .expect("configuration");
    let answer = daemon.ask("reload").await;
    assert!(
        answer.starts_with("Success=0\n") && answer.contains("'nonsense'"),
        "{answer}"
    );
    assert_eq!(daemon.worker().await, Some(second));
    daemon.signal(nix::sys::signal::Signal::SIGINT);
    assert_eq!(daemon.end(), Some(130));
}

#[tokio::test]
async fn the_control_process_is_replaced_too() {
    let mut daemon = Daemon::start().await;
    let worker = daemon.worker().await.expect("a worker");
    let children =
        std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", daemon.process.id()))
            .expect("children");
    let control = children.split_whitespace().find(|pid| {
        std::fs::read_to_string(format!("/proc/{pid}/comm"))
            .is_ok_and(|name| name.trim() == "tandemd-control")
    });
    let control: i32 = control.expect("a control process").parse().expect("a pid");
    send(control, nix::sys::signal::Signal::SIGKILL);
    daemon
        .wait_for("new control process", async |daemon| {
            daemon
                .ask("show events")
                .await
                .contains("control: started as process")
                && daemon.worker().await == Some(worker)
        })
        .await;
    daemon.signal(nix::sys::signal::Signal::SIGUSR1);
    assert_eq!(daemon.end(), Some(0));
}

#[test]
fn checking_is_silent_unless_asked() {
    let folder = tempfile::tempdir().expect("folder");
    let good = configuration(folder.path(), "");
    let output = run(&["-c"], &good);
    assert_eq!(
        (
            output.status.code(),
            output.stdout.len(),
            output.stderr.len()
        ),
        (Some(0), 0, 0)
    );
    let output = run(&["-c", "-V"], &good);
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "Configuration file is valid\n"
    );
    let output = run(
        &["-c"],
        &configuration(folder.path(), " nonsense\n madness\n"),
    );
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text.contains("h.cfg:3:") && text.contains("nonsense") && text.contains("madness"),
        "{text}"
    );
}

#[test]
fn all_occupied_ports_are_named_with_their_lines() {
    let taken: Vec<_> = (0..2)
        .map(|_| std::net::TcpListener::bind("127.0.0.1:0").expect("a port"))
        .collect();
    let ports: Vec<u16> = taken
        .iter()
        .map(|listener| listener.local_addr().expect("address").port())
        .collect();
    let folder = tempfile::tempdir().expect("folder");
    let text = format!(
        "{}frontend a\n bind 127.0.0.1:{}\n default_backend nginx\nfrontend b\n bind 127.0.0.1:{}\n default_backend nginx\n",
        configuration(folder.path(), ""),
        ports[0],
        ports[1]
    );
    let output = run(&[], &text);
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    for (name, port, line) in [("a", ports[0], 14), ("b", ports[1], 17)] {
        let wanted = format!(
            "h.cfg:{line}: frontend '{name}': cannot bind to 127.0.0.1:{port}: Address already in use"
        );
        assert!(told.contains(&wanted), "{wanted} in {told}");
    }
}

#[test]
fn conditions_are_evaluated_by_exit_code() {
    let check = |condition: &str, expected: i32| {
        let status = Command::new(PROGRAM)
            .args(["-cc", condition])
            .stderr(Stdio::null())
            .status()
            .expect("it runs");
        assert_eq!(status.code(), Some(expected), "{condition}");
    };
    check("version_atleast(2.4)", 0);
    check("version_before(2.4)", 1);
    check("nonsense(", 2);
}
