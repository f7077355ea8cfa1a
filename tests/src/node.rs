//! A node of the pair: `tandemd`, or Debian's haproxy and keepalived, with the files they share.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::control::ControlSocket;
use crate::ensure;
use crate::failure::{Failure, Outcome};
use crate::host::Host;
use crate::lab::Lab;
use crate::process::{Process, Signal, is_alive, send};
use crate::requirements::our_program;
use crate::wait::{wait_for, wait_until};

/// Where a node's files lie.
pub const HAPROXY_FILE: &str = "/etc/haproxy/haproxy.cfg";
/// Where a node's files lie.
pub const KEEPALIVED_FILE: &str = "/etc/keepalived/keepalived.conf";
/// The control socket of a `tandemd` node, inside of its host.
pub const SOCKET: &str = "/run/tandem/tandem.sock";

/// How long a node may take until it answers.
const READY: Duration = Duration::from_secs(10);

/// What runs on a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeKind {
    /// `tandemd`.
    Tandem,
    /// haproxy and keepalived.
    Peer,
}

impl NodeKind {
    /// What the machine must have for it.
    pub fn missing(self) -> Option<String> {
        let needs: &[&'static str] = match self {
            NodeKind::Tandem => &["tandemd"],
            NodeKind::Peer => &["haproxy", "keepalived", "killall"],
        };
        needs
            .iter()
            .find_map(|&name| crate::Requirement::from(name).missing())
    }
}

/// A part of a node that can be killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// What serves requests: the worker, or haproxy.
    Worker,
    /// What holds the address: the vrrp process, or keepalived.
    Vrrp,
    /// The process that watches the others; haproxy and keepalived have none in common, so it is all of them.
    Supervisor,
    /// The process with the control socket.
    Control,
    /// Everything at once.
    Daemon,
}

/// The configuration of a node.
#[derive(Debug, Clone, Default)]
pub struct NodeFiles {
    /// The text of `haproxy.cfg`; without it no proxy runs.
    pub haproxy: Option<String>,
    /// The text of `keepalived.conf`; without it no VRRP runs.
    pub keepalived: Option<String>,
    /// Further files: path in the host, content.
    pub extra: Vec<(String, Vec<u8>)>,
    /// Further arguments of `tandemd`.
    pub arguments: Vec<String>,
}

impl NodeFiles {
    /// Both files.
    pub fn pair(haproxy: impl Into<String>, keepalived: impl Into<String>) -> NodeFiles {
        NodeFiles {
            haproxy: Some(haproxy.into()),
            keepalived: Some(keepalived.into()),
            ..NodeFiles::default()
        }
    }

    /// A proxy alone.
    pub fn proxy(haproxy: impl Into<String>) -> NodeFiles {
        NodeFiles {
            haproxy: Some(haproxy.into()),
            ..NodeFiles::default()
        }
    }

    /// With a further file.
    pub fn with(mut self, path: &str, content: impl Into<Vec<u8>>) -> NodeFiles {
        self.extra.push((path.to_owned(), content.into()));
        self
    }

    /// With a further argument for `tandemd`.
    pub fn argument(mut self, argument: &str) -> NodeFiles {
        self.arguments.push(argument.to_owned());
        self
    }
}

/// A running node; killed when dropped.
pub struct Node {
    host: Arc<Host>,
    kind: NodeKind,
    files: NodeFiles,
    processes: Vec<Process>,
    socket: PathBuf,
}

impl Node {
    /// Starts a node on a host of the lab and waits until it is ready.
    pub fn start(lab: &Lab, host: &str, kind: NodeKind, files: NodeFiles) -> Outcome<Node> {
        let host = Arc::clone(lab.host(host));
        let socket = host.path(SOCKET);
        let mut node = Node {
            host,
            kind,
            files,
            processes: Vec::new(),
            socket,
        };
        node.up()?;
        Ok(node)
    }

    /// The same with the control socket at a path that hosts and the outside share: below [`Lab::folder`], say.
    pub fn start_with_socket(
        lab: &Lab,
        host: &str,
        files: NodeFiles,
        socket: PathBuf,
    ) -> Outcome<Node> {
        let host = Arc::clone(lab.host(host));
        let mut node = Node {
            host,
            kind: NodeKind::Tandem,
            files,
            processes: Vec::new(),
            socket,
        };
        node.up()?;
        Ok(node)
    }

    /// Starts a node that is expected to end by itself: a broken configuration, say. Does not wait.
    pub fn start_unready(lab: &Lab, host: &str, kind: NodeKind, files: NodeFiles) -> Outcome<Node> {
        let host = Arc::clone(lab.host(host));
        let socket = host.path(SOCKET);
        let mut node = Node {
            host,
            kind,
            files,
            processes: Vec::new(),
            socket,
        };
        node.launch()?;
        Ok(node)
    }

    /// Starts it again, after its end, and waits until it is ready.
    pub fn up(&mut self) -> Outcome {
        self.launch()?;
        match self.kind {
            NodeKind::Tandem => self.wait_for_socket(),
            NodeKind::Peer => self.wait_for_listener(),
        }
    }

    fn launch(&mut self) -> Outcome {
        self.processes.clear();
        self.write_files()?;
        match self.kind {
            NodeKind::Tandem => self.launch_tandemd(),
            NodeKind::Peer => self.launch_peers(),
        }
    }

    /// Writes the configuration into the host.
    fn write_files(&self) -> Outcome {
        for (path, text) in [
            (HAPROXY_FILE, &self.files.haproxy),
            (KEEPALIVED_FILE, &self.files.keepalived),
        ] {
            if let Some(text) = text {
                self.host.write(path, text)?;
            }
        }
        for (path, content) in &self.files.extra {
            self.host.write(path, content)?;
        }
        Ok(())
    }

    fn launch_tandemd(&mut self) -> Outcome {
        let program = our_program("tandemd").ok_or_else(|| Failure::new("tandemd is not built"))?;
        // A path below the host's root is called by its name in there.
        let inside = self.host.path("");
        let socket = match self.socket.strip_prefix(&inside) {
            Ok(rest) => PathBuf::from("/").join(rest),
            Err(_) => self.socket.clone(),
        };
        let mut command = self.host.command(program);
        command.arg("-db");
        if self.files.haproxy.is_some() {
            command.args(["-f", HAPROXY_FILE]);
        }
        if self.files.keepalived.is_some() {
            command.args(["-f", KEEPALIVED_FILE]);
        }
        command
            .arg("--socket")
            .arg(socket)
            .args(&self.files.arguments);
        self.processes
            .push(self.host.spawn_command("tandemd", command)?);
        Ok(())
    }

    fn launch_peers(&mut self) -> Outcome {
        if self.files.haproxy.is_some() {
            // haproxy refuses to start where it may not open the descriptors of the file's maxconn; -n goes before it.
            self.processes.push(
                self.host
                    .spawn("haproxy", &["-db", "-n", "4000", "-f", HAPROXY_FILE])?,
            );
        }
        if let Some(text) = &self.files.keepalived {
            let mut arguments = vec![
                "--dont-fork",
                "--log-console",
                "--log-detail",
                "--use-file",
                KEEPALIVED_FILE,
            ];
            // With it alone its BFD does not run.
            if !text.contains("bfd_instance") {
                arguments.push("--vrrp");
            }
            self.processes
                .push(self.host.spawn("keepalived", &arguments)?);
        }
        Ok(())
    }

    /// Until the control socket answers, and the worker behind it if proxies are configured.
    fn wait_for_socket(&mut self) -> Outcome {
        let socket = self.socket();
        let has_proxies = self.files.haproxy.as_ref().is_some_and(|text| {
            let begins = |line: &str| {
                ["frontend ", "backend ", "listen "].map(|word| line.starts_with(word))
            };
            text.lines().any(|line| begins(line).contains(&true))
        });
        let daemon = &mut self.processes[0];
        let name = self.host.name().to_owned();
        let ready = wait_for(
            &format!("tandemd on {name} to answer `show info`"),
            READY,
            || {
                if !daemon.is_running() {
                    return Ok(false);
                }
                socket
                    .command("show info")
                    .map_err(|error| error.to_string())?;
                let stat = || {
                    socket
                        .command("show stat")
                        .map_err(|error| error.to_string())
                };
                if has_proxies && !stat()?.contains("END,") {
                    return Err("no worker answers".to_owned());
                }
                Ok(true)
            },
        )?;
        ensure!(
            ready,
            "tandemd on {name} ended at its start:\n{}",
            daemon.log()
        );
        Ok(())
    }

    fn wait_for_listener(&mut self) -> Outcome {
        let table = format!("/proc/{}/net/tcp", self.host.init());
        let wants_listener = self.files.haproxy.is_some();
        let processes = &mut self.processes;
        wait_until(
            &format!("the peers on {} to be ready", self.host.name()),
            READY,
            || {
                // State 0A is LISTEN.
                let text = std::fs::read_to_string(&table).unwrap_or_default();
                let listening = text
                    .lines()
                    .any(|line| line.split_whitespace().nth(3) == Some("0A"));
                listening || !wants_listener || processes.iter_mut().any(|one| !one.is_running())
            },
        )?;
        let stopped = self
            .processes
            .iter_mut()
            .find_map(|one| (!one.is_running()).then(|| one.log()));
        match stopped {
            Some(log) => Err(Failure::new(format!(
                "a peer on {} ended at its start:\n{log}",
                self.host.name()
            ))),
            None => Ok(()),
        }
    }

    /// What runs on it.
    pub fn kind(&self) -> NodeKind {
        self.kind
    }

    /// The host it runs on.
    pub fn host(&self) -> &Arc<Host> {
        &self.host
    }

    /// The process started first: `tandemd`'s supervisor, or haproxy.
    pub fn main(&mut self) -> &mut Process {
        &mut self.processes[0]
    }

    /// The control socket of a `tandemd` node.
    pub fn socket(&self) -> ControlSocket {
        ControlSocket::at(&self.socket)
    }

    /// One command on the control socket.
    pub fn command(&self, line: &str) -> Outcome<String> {
        self.socket().command(line)
    }

    /// All that it printed.
    pub fn log(&self) -> String {
        self.processes
            .iter()
            .map(Process::log)
            .collect::<Vec<_>>()
            .join("\n")
    }

    /// Changes of a VRRP state that the log tells of so far.
    pub fn transitions(&self) -> usize {
        let states = ["MASTER", "BACKUP", "FAULT"];
        let is_change = |line: &&str| {
            let (_, to) = line.split_once(" -> ").unwrap_or_default();
            states.iter().any(|state| to.starts_with(state))
        };
        self.log().lines().filter(is_change).count()
    }

    /// Replaces its configuration files on disk; a reload makes them count.
    pub fn rewrite(&mut self, change: impl FnOnce(&mut NodeFiles)) -> Outcome {
        change(&mut self.files);
        self.write_files()
    }

    /// The processes of a part.
    pub fn pids(&self, part: Part) -> Vec<i32> {
        let all = || self.host.processes().into_iter();
        match (self.kind, part) {
            (NodeKind::Tandem, Part::Worker) => self.tandem_role("worker"),
            (NodeKind::Tandem, Part::Vrrp) => self.tandem_role("vrrp"),
            (NodeKind::Tandem, Part::Control) => self.tandem_role("control"),
            (NodeKind::Tandem, Part::Supervisor) => {
                self.processes.iter().map(Process::pid).collect()
            }
            (NodeKind::Tandem, Part::Daemon) => {
                self.processes.iter().flat_map(Process::tree).collect()
            }
            (NodeKind::Peer, Part::Worker) => named(all(), "haproxy"),
            (NodeKind::Peer, Part::Vrrp) => named(all(), "keepalived"),
            (NodeKind::Peer, _) => [named(all(), "keepalived"), named(all(), "haproxy")].concat(),
        }
    }

    /// A `tandemd` child shows its role in its title: `tandemd: worker`.
    fn tandem_role(&self, role: &str) -> Vec<i32> {
        let Some(supervisor) = self.processes.first() else {
            return Vec::new();
        };
        let children = supervisor.tree().into_iter().skip(1);
        children
            .filter(|&pid| {
                crate::process::title(pid)
                    .split([' ', ':', '='])
                    .any(|word| word == role)
            })
            .collect()
    }

    /// Kills a part with SIGKILL and returns the ids of what was killed.
    pub fn kill(&self, part: Part) -> Outcome<Vec<i32>> {
        let pids = self.pids(part);
        ensure!(
            !pids.is_empty(),
            "{} has no {part:?} to kill: {:?}",
            self.host.name(),
            self.host.processes()
        );
        for &pid in &pids {
            // One may end with another: what is gone already is as wanted.
            let _ = send(pid, Signal::SIGKILL);
        }
        Ok(pids)
    }

    /// Waits until a part that was killed has been replaced by a new process.
    pub fn wait_replaced(&self, part: Part, killed: &[i32], limit: Duration) -> Outcome<Duration> {
        wait_until(
            &format!("a new {part:?} on {}", self.host.name()),
            limit,
            || {
                self.pids(part)
                    .iter()
                    .any(|pid| !killed.contains(pid) && is_alive(*pid))
            },
        )
    }

    /// Stops it as an administrator would (SIGTERM) and waits for its end.
    pub fn stop(&mut self, limit: Duration) -> Outcome {
        for process in &mut self.processes {
            if process.is_running() {
                process.signal(Signal::SIGTERM)?;
            }
        }
        for process in &mut self.processes {
            process.wait(limit)?;
        }
        self.processes.clear();
        Ok(())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        for process in &self.processes {
            for pid in process.tree().into_iter().rev() {
                let _ = send(pid, Signal::SIGKILL);
            }
        }
    }
}

/// The processes whose program has this name.
fn named(processes: impl Iterator<Item = (i32, String)>, program: &str) -> Vec<i32> {
    let is_it = |title: &str| {
        title
            .split(' ')
            .next()
            .and_then(|path| path.rsplit('/').next())
            == Some(program)
    };
    processes
        .filter(|(_, title)| is_it(title))
        .map(|(pid, _)| pid)
        .collect()
}
