//! A host: a network, mount and process namespace of its own, held by a process that ends with this program.
//!
//! Hosts are entered from outside: programs with `nsenter`, files through `/proc/PID/root`, sockets by threads that enter
//! the network namespace ([`Host::in_network`]).

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use nix::sched::{CloneFlags, setns};
use nix::sys::socket::SockaddrStorage;

use crate::failure::{Context, Failure, Outcome};
use crate::process::{Process, children, is_alive, title};
use crate::requirements::our_program;
use crate::wait::wait_until;

/// The path in every host: daemons live in the administrators' folders.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// How much of the machine's file system a host has for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Furnishing {
    /// The machine's own files.
    Shared,
    /// `/etc`, `/dev`, `/run` and `/var/lib/haproxy` of its own, so that several nodes do not meet.
    Private,
}

/// Gives a node its own `/run`, `/etc` (a copy), `/dev` (so that it has a `/dev/log`) and `/var/lib/haproxy`.
const PRIVATE: &str = r#"
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/lock /run/tandem /run/haproxy /run/.own/etc /run/.own/dev/pts /run/.own/dev/shm
cp -a /etc/. /run/.own/etc/ 2>/dev/null || true
mkdir -p /run/.own/etc/haproxy /run/.own/etc/keepalived /run/.own/etc/ssl/certs
rm -rf /run/.own/etc/keepalived/keepalived.conf /run/.own/etc/haproxy/haproxy.cfg
for device in null zero full random urandom tty ptmx; do
    touch /run/.own/dev/$device; mount --bind /dev/$device /run/.own/dev/$device
done
mount --bind /dev/pts /run/.own/dev/pts
mount -t tmpfs -o mode=1777 tmpfs /run/.own/dev/shm
ln -s /proc/self/fd /run/.own/dev/fd
ln -s /proc/self/fd/0 /run/.own/dev/stdin
ln -s /proc/self/fd/1 /run/.own/dev/stdout
ln -s /proc/self/fd/2 /run/.own/dev/stderr
if [ -d /var/lib/haproxy ]; then mount -t tmpfs -o mode=755 tmpfs /var/lib/haproxy
else mount -t tmpfs -o mode=755 tmpfs /var/lib; mkdir /var/lib/haproxy; fi
mount --bind /run/.own/etc /etc
mount --rbind /run/.own/dev /dev
"#;

/// A host of a lab. Dropping it ends everything in it.
pub struct Host {
    name: String,
    holder: Child,
    /// Process 1 of the host, as seen from here.
    init: i32,
    network: File,
    logs: PathBuf,
    started: AtomicU32,
}

impl Host {
    /// Makes a host. `logs` is the folder for what its programs print; `remove_at_end` is removed when the host ends.
    pub fn start(
        name: &str,
        furnishing: Furnishing,
        logs: &Path,
        remove_at_end: Option<&Path>,
    ) -> Outcome<Host> {
        let hold =
            our_program("tandem-hold").ok_or_else(|| Failure::new("tandem-hold is not built"))?;
        let mut script = String::from("ip link set lo up\n");
        if furnishing == Furnishing::Private {
            script.push_str(PRIVATE);
        }
        let errors = File::create(logs.join(format!("{name}-hold.log")))?;
        let mut command = Command::new("unshare");
        command
            .args([
                "--net",
                "--mount",
                "--pid",
                "--fork",
                "--kill-child",
                "--mount-proc",
                "--",
            ])
            .arg(hold)
            .arg(script);
        command.args(remove_at_end).env("PATH", PATH);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(errors.try_clone()?);
        let mut holder = command.spawn().context("unshare")?;
        let mut answer = String::new();
        if let Some(output) = holder.stdout.take() {
            BufReader::new(output).read_line(&mut answer)?;
        }
        if answer.trim() != "ready" {
            let _ = holder.kill();
            let _ = holder.wait();
            let reason =
                std::fs::read_to_string(logs.join(format!("{name}-hold.log"))).unwrap_or_default();
            return Err(Failure::new(format!(
                "the host {name} could not be made: {}",
                reason.trim()
            )));
        }
        let init = *children(holder.id() as i32)
            .first()
            .ok_or_else(|| Failure::new(format!("{name} has no init")))?;
        let network = File::open(format!("/proc/{init}/ns/net")).context("network namespace")?;
        Ok(Host {
            name: name.to_owned(),
            holder,
            init,
            network,
            logs: logs.to_owned(),
            started: AtomicU32::new(0),
        })
    }

    /// Its name: `a`, `b`, `web1`, `client`, …
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Process 1 of the host, as seen from outside.
    pub fn init(&self) -> i32 {
        self.init
    }

    /// Where a path of the host is found from outside.
    pub fn path(&self, inside: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{inside}", self.init))
    }

    /// Writes a file of the host, with the folders above it.
    pub fn write(&self, inside: &str, content: impl AsRef<[u8]>) -> Outcome {
        let path = self.path(inside);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).context(folder.display())?;
        }
        std::fs::write(&path, content).context(format!("writing {inside} of {}", self.name))
    }

    /// Reads a file of the host.
    pub fn read(&self, inside: &str) -> Outcome<String> {
        std::fs::read_to_string(self.path(inside))
            .context(format!("reading {inside} of {}", self.name))
    }

    /// The words that enter the host, for a command line of one's own.
    pub fn entry(&self) -> Vec<String> {
        let target = self.init.to_string();
        [
            "nsenter", "--target", &target, "--net", "--mount", "--pid", "--",
        ]
        .map(str::to_owned)
        .to_vec()
    }

    /// A command that will run in the host.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let entry = self.entry();
        let mut command = Command::new(&entry[0]);
        command.args(&entry[1..]).arg(program).env("PATH", PATH);
        command
    }

    /// Runs a program in the host to its end and returns what it printed, whatever its exit status.
    pub fn output(&self, program: &str, arguments: &[&str]) -> Outcome<Output> {
        let mut command = self.command(program);
        command.args(arguments).stdin(Stdio::null());
        command
            .output()
            .context(format!("{program} in {}", self.name))
    }

    /// Runs a program in the host; fails with its error output unless it succeeds.
    pub fn exec(&self, program: &str, arguments: &[&str]) -> Outcome<String> {
        let output = self.output(program, arguments)?;
        self.succeeded(program, arguments, output)
    }

    /// Runs a program in the host's network but with the files and process ids of outside, where `ip` finds other hosts.
    pub(crate) fn exec_in_network(&self, program: &str, arguments: &[&str]) -> Outcome<String> {
        let network = format!("--net=/proc/{}/ns/net", self.init);
        let mut command = Command::new("nsenter");
        command
            .args([&network, "--", program])
            .args(arguments)
            .env("PATH", PATH)
            .stdin(Stdio::null());
        let output = command
            .output()
            .context(format!("{program} in {}", self.name))?;
        self.succeeded(program, arguments, output)
    }

    fn succeeded(&self, program: &str, arguments: &[&str], output: Output) -> Outcome<String> {
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let words = arguments.join(" ");
        let said = String::from_utf8_lossy(&output.stderr);
        Err(Failure::new(format!(
            "{program} {words} in {}: {}: {}",
            self.name,
            output.status,
            said.trim()
        )))
    }

    /// Starts a program in the host; its output goes to a log file that is printed when the test fails.
    pub fn spawn(&self, program: &str, arguments: &[&str]) -> Outcome<Process> {
        let mut command = self.command(program);
        command.args(arguments);
        self.spawn_command(program, command)
    }

    /// Starts a prepared [`Host::command`]; `name` names its log.
    pub fn spawn_command(&self, name: &str, command: Command) -> Outcome<Process> {
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        let base = name.rsplit('/').next().unwrap_or(name);
        Process::start(
            &format!("{base} on {}", self.name),
            command,
            &self.logs.join(format!("{}-{number}-{base}.log", self.name)),
        )
    }

    /// Runs `work` on a thread that has entered the host's network; the sockets it returns stay there.
    pub fn in_network<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Outcome<T> {
        let network = self.network.try_clone()?;
        let thread = std::thread::spawn(move || {
            setns(&network, CloneFlags::CLONE_NEWNET)?;
            Ok::<T, nix::Error>(work())
        });
        thread
            .join()
            .map_err(|_| Failure::new("a thread in a host's network panicked"))?
            .context("entering a network")
    }

    /// Runs `work` for as long as it likes on a thread that has entered the host's network.
    pub fn background(
        &self,
        work: impl FnOnce() + Send + 'static,
    ) -> Outcome<std::thread::JoinHandle<()>> {
        let network = self.network.try_clone()?;
        Ok(std::thread::spawn(move || {
            match setns(&network, CloneFlags::CLONE_NEWNET) {
                Ok(()) => work(),
                Err(error) => eprintln!("entering a host's network: {error}"),
            }
        }))
    }

    /// Every process of the host with its title, but for process 1.
    pub fn processes(&self) -> Vec<(i32, String)> {
        let namespace = |pid: i32| std::fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
        let Some(ours) = namespace(self.init) else {
            return Vec::new();
        };
        let Ok(entries) = std::fs::read_dir("/proc") else {
            return Vec::new();
        };
        entries
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
            .filter(|&pid| {
                pid != self.init && namespace(pid).as_ref() == Some(&ours) && is_alive(pid)
            })
            .map(|pid| (pid, title(pid)))
            .collect()
    }

    /// The addresses of the host's interfaces but `lo`. Asks the kernel itself: it is asked often while others are measured.
    pub fn addresses(&self) -> Outcome<Vec<IpAddr>> {
        let interfaces =
            self.in_network(|| nix::ifaddrs::getifaddrs().map(Iterator::collect::<Vec<_>>))??;
        let address_of = |address: SockaddrStorage| {
            let v4 = address.as_sockaddr_in().map(|found| IpAddr::V4(found.ip()));
            v4.or_else(|| {
                address
                    .as_sockaddr_in6()
                    .map(|found| IpAddr::V6(found.ip()))
            })
        };
        let others = interfaces
            .into_iter()
            .filter(|interface| interface.interface_name != "lo");
        Ok(others
            .filter_map(|interface| address_of(interface.address?))
            .collect())
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // Its standard input ends here: process 1 leaves and the kernel ends the others.
        drop(self.holder.stdin.take());
        let gone = wait_until("the end of a host", Duration::from_secs(2), || {
            matches!(self.holder.try_wait(), Ok(Some(_)) | Err(_))
        });
        if gone.is_err() {
            let _ = self.holder.kill();
            let _ = self.holder.wait();
        }
    }
}
