//! `tandemd` and Debian's haproxy beside each other on loopback, with the same configuration: for tests that ask both the
//! same and compare. Namespaces and VRRP are not needed for that; see [`crate::Lab`] for tests that need them.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr as SocketAddrUnix, UnixDatagram, UnixStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tempfile::TempDir;

use crate::failure::{Context, Failure, Outcome};
use crate::process::children;
use crate::requirements::our_program;
use crate::wait::wait_for;

/// How long a side may take until it accepts connections, and an exchange until it ends.
const LIMIT: Duration = Duration::from_secs(15);
/// Ports for listeners: below those that the kernel gives to outgoing connections.
const PORTS: std::ops::Range<u16> = 12_000..32_000;
/// The largest log line.
const LINE_BYTES: usize = 16_384;

/// Which of the two programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// `tandemd`.
    Tandem,
    /// Debian's haproxy.
    Haproxy,
}

/// Both, in the order in which they are asked.
pub const BOTH: [Which; 2] = [Which::Haproxy, Which::Tandem];

/// One running program; killed when dropped.
pub struct Side {
    /// Which one.
    pub which: Which,
    /// The address of the listener that the configuration calls `{in}`.
    pub address: SocketAddr,
    /// The address of the listener that the configuration calls `{in2}`.
    pub second: SocketAddr,
    child: Child,
    folder: TempDir,
    lines: Arc<Mutex<Vec<String>>>,
}

/// Begins every configuration; `{…}` are filled in by [`Side::start`].
pub const HEAD: &str = "global\n log 127.0.0.1:{log} format rfc3164 local0\n nbthread 1\n stats socket {dir}/sock level admin\n{global}\n\
    defaults\n mode http\n log global\n option httplog\n timeout connect 500ms\n timeout client 5s\n timeout server 5s\n";

impl Side {
    /// Starts one program with `HEAD` and this text, in which `{in}`, `{in2}`, `{dir}` stand for what belongs to a side
    /// and lines that begin with `global:` go to the global section. Waits until it accepts connections.
    pub fn start(which: Which, text: &str) -> Outcome<Side> {
        let folder = tempfile::Builder::new().prefix("beside-").tempdir()?;
        Side::start_in(which, text, folder)
    }

    /// The same with files prepared in the folder that `{dir}` stands for.
    pub fn start_in(which: Which, text: &str, folder: TempDir) -> Outcome<Side> {
        // The control process gives up its rights and still opens the socket below this folder.
        std::fs::set_permissions(
            folder.path(),
            std::os::unix::fs::PermissionsExt::from_mode(0o755),
        )?;
        let sink = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        let log = sink.local_addr()?.port();
        let lines = collect(sink);
        let (first, second) = (free_port()?, free_port()?);
        let (global, rest): (Vec<&str>, Vec<&str>) = text
            .lines()
            .partition(|line| line.trim_start().starts_with("global:"));
        let global: String = global
            .iter()
            .map(|line| line.trim_start().replacen("global:", " ", 1) + "\n")
            .collect();
        let text = format!("{}{}\n", HEAD.replace("{global}", &global), rest.join("\n"))
            .replace("{log}", &log.to_string())
            .replace("{dir}", &folder.path().to_string_lossy())
            .replace("{in}", &format!("127.0.0.1:{first}"))
            .replace("{in2}", &format!("127.0.0.1:{second}"));
        let file = folder.path().join("side.cfg");
        std::fs::write(&file, &text)?;
        let output = std::fs::File::create(folder.path().join("output"))?;
        let program = match which {
            Which::Tandem => {
                our_program("tandemd").ok_or_else(|| Failure::new("tandemd is not built"))?
            }
            Which::Haproxy => PathBuf::from("haproxy"),
        };
        let child = Command::new(program)
            .args(["-db", "-f"])
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .context("starting a side")?;
        let mut side = Side {
            which,
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, first)),
            second: SocketAddr::from((Ipv4Addr::LOCALHOST, second)),
            child,
            folder,
            lines,
        };
        side.wait_ready()?;
        Ok(side)
    }

    fn wait_ready(&mut self) -> Outcome {
        let limit = LIMIT;
        let what = format!("{:?} to answer on its socket", self.which);
        wait_for(&what, limit, || {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(format!("it ended with {status}: {}", self.output()));
            }
            // The socket speaks once the program is up: a connection to the frontend would leave traces in the figures.
            let info = self
                .command("show info")
                .map_err(|error| format!("{error}: {}", self.output()))?;
            if info.contains("Pid:") {
                Ok(())
            } else {
                Err(self.output())
            }
        })
    }

    /// What the program printed.
    pub fn output(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("output")).unwrap_or_default()
    }

    /// The folder that `{dir}` stands for.
    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// Asks the control socket.
    pub fn command(&self, command: &str) -> Outcome<String> {
        let mut socket = UnixStream::connect(self.folder.path().join("sock"))?;
        socket.set_read_timeout(Some(LIMIT))?;
        socket.write_all(format!("{command}\n").as_bytes())?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer)?;
        Ok(answer)
    }

    /// A column of `show stat` by names.
    pub fn stat(&self, proxy: &str, server: &str, column: &str) -> Outcome<String> {
        let table = self.command("show stat")?;
        let mut lines = table.lines();
        let names = lines.next().unwrap_or_default().trim_start_matches("# ");
        let at = names
            .split(',')
            .position(|name| name == column)
            .ok_or_else(|| Failure::new(format!("no column {column}")))?;
        lines
            .find(|line| line.starts_with(&format!("{proxy},{server},")))
            .and_then(|line| line.split(',').nth(at))
            .map(str::to_owned)
            .ok_or_else(|| Failure::new(format!("no line {proxy}/{server} in {table}")))
    }

    /// Waits until a column of `show stat` has a value.
    pub fn wait_stat(&self, proxy: &str, server: &str, column: &str, wanted: &str) -> Outcome {
        let what = format!("{:?} {proxy}/{server} {column} = {wanted}", self.which);
        wait_for(&what, LIMIT, || {
            let found = self
                .stat(proxy, server, column)
                .map_err(|error| error.to_string())?;
            if found == wanted { Ok(()) } else { Err(found) }
        })
    }

    /// The log lines so far, without priority, date and tag, those about starting left out.
    pub fn lines(&self) -> Vec<String> {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines
            .iter()
            .filter_map(|line| {
                let (_, message) = line.split_once("]: ")?;
                (!message.contains(" started.") && !message.starts_with("Proxy "))
                    .then(|| message.trim_end().to_owned())
            })
            .collect()
    }

    /// Waits until there are this many log lines that hold a text; returns them.
    pub fn wait_lines(&self, text: &str, count: usize) -> Outcome<Vec<String>> {
        let what = format!("{count} log lines with {text:?} of {:?}", self.which);
        wait_for(&what, LIMIT, || {
            let found: Vec<String> = self
                .lines()
                .into_iter()
                .filter(|line| line.contains(text))
                .collect();
            if found.len() >= count {
                Ok(found)
            } else {
                Err(format!("{:?}", self.lines()))
            }
        })
    }

    /// Forgets the log lines so far.
    pub fn forget(&self) {
        self.lines
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    /// The process that was started.
    pub fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    /// The process that serves: haproxy itself, or our worker.
    pub fn serving(&self) -> i32 {
        let own = self.child.id() as i32;
        children(own)
            .into_iter()
            .find(|&child| crate::process::title(child).contains("worker"))
            .unwrap_or(own)
    }

    /// How many descriptors the serving process holds.
    pub fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.serving())).map_or(0, Iterator::count)
    }

    /// A new connection to `{in}`.
    pub fn connect(&self) -> Outcome<TcpStream> {
        connect(self.address)
    }

    /// Sends bytes to `{in}` on a connection of their own and returns all that comes until its end.
    pub fn exchange(&self, bytes: &[u8]) -> Outcome<Vec<u8>> {
        let mut stream = self.connect()?;
        let written = stream.write_all(bytes);
        let answer = read_all(&mut stream);
        if answer.is_empty() {
            written.context("sending")?;
        }
        Ok(answer)
    }

    /// One GET with `Connection: close`.
    pub fn get(&self, path: &str, headers: &[&str]) -> Outcome<crate::http::Answer> {
        let mut request =
            format!("GET {path} HTTP/1.1\r\nHost: example.org\r\nConnection: close\r\n");
        for header in headers {
            request.push_str(header);
            request.push_str("\r\n");
        }
        request.push_str("\r\n");
        let bytes = self.exchange(request.as_bytes())?;
        crate::http::Answer::parse(&bytes).ok_or_else(|| {
            Failure::new(format!(
                "{:?} gave no answer to {path}: {:?}",
                self.which,
                String::from_utf8_lossy(&bytes)
            ))
        })
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        // SIGTERM first: our supervisor ends its children in order.
        let pid = self.child.id() as i32;
        let _ = crate::process::send(pid, nix::sys::signal::Signal::SIGTERM);
        let ended = crate::wait::wait_until("the end of a side", Duration::from_secs(3), || {
            matches!(self.child.try_wait(), Ok(Some(_)))
        });
        if ended.is_err() {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("---- {:?} printed\n{}", self.which, self.output());
        }
    }
}

/// Connects with the usual limits.
pub fn connect(to: SocketAddr) -> Outcome<TcpStream> {
    let stream = TcpStream::connect_timeout(&to, LIMIT).context(to)?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.set_write_timeout(Some(LIMIT))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Reads until the end of the connection, however it ends.
pub fn read_all(stream: &mut TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    let _ = stream.read_to_end(&mut all);
    all
}

/// Reads until the bytes hold `text`; what was read, also when the connection ended before.
pub fn read_until(stream: &mut TcpStream, text: &str) -> String {
    let mut all = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let seen = String::from_utf8_lossy(&all).into_owned();
        if seen.contains(text) {
            return seen;
        }
        match stream.read(&mut buffer) {
            Ok(count) if count > 0 => all.extend_from_slice(&buffer[..count]),
            _ => return seen,
        }
    }
}

/// A port that nothing listens on. It stays this program's until its end: neither another test nor an outgoing connection
/// gets it, so that what still speaks to a server that has gone reaches nobody.
pub fn free_port() -> Outcome<u16> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let width = PORTS.end - PORTS.start;
    let offset = (std::process::id() as u16).wrapping_mul(61) % width;
    for _ in 0..width {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = PORTS.start + (offset.wrapping_add(step)) % width;
        if claim(port) && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    Err(Failure::new("no port is free"))
}

/// Takes a port among all test programs of this network: its abstract name is free again when this program has ended.
fn claim(port: u16) -> bool {
    static CLAIMS: Mutex<Vec<UnixDatagram>> = Mutex::new(Vec::new());
    let name = format!("tandem-test-port-{port}");
    let claimed =
        SocketAddrUnix::from_abstract_name(name).and_then(|name| UnixDatagram::bind_addr(&name));
    let Ok(claim) = claimed else { return false };
    let mut claims = CLAIMS.lock().unwrap_or_else(PoisonError::into_inner);
    claims.push(claim);
    true
}

/// A listener on a port of [`free_port`]; another port if a program that knows nothing of claims was faster.
pub fn listener() -> Outcome<TcpListener> {
    const TRIES: usize = 20;
    let mut found = Err(Failure::new("no port was tried"));
    for _ in 0..TRIES {
        let address = (Ipv4Addr::LOCALHOST, free_port()?);
        found = TcpListener::bind(address).context("listening on a claimed port");
        if found.is_ok() {
            break;
        }
    }
    found
}

fn collect(sink: UdpSocket) -> Arc<Mutex<Vec<String>>> {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let wanted = Arc::downgrade(&lines);
    let _ = sink.set_read_timeout(Some(Duration::from_millis(100)));
    std::thread::spawn(move || {
        let mut buffer = vec![0; LINE_BYTES];
        loop {
            let received = sink.recv(&mut buffer);
            let Some(lines) = wanted.upgrade() else {
                return;
            };
            if let Ok(count) = received {
                let line = String::from_utf8_lossy(&buffer[..count]).into_owned();
                lines
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(line);
            }
        }
    });
    lines
}

/// A server that does with each connection what a function says; its thread lives as long as the test program.
pub fn scripted(serve: impl Fn(TcpStream, usize) + Send + Sync + 'static) -> Outcome<u16> {
    let listener = listener()?;
    let port = listener.local_addr()?.port();
    let serve = Arc::new(serve);
    std::thread::spawn(move || {
        for (number, stream) in listener.incoming().flatten().enumerate() {
            let serve = Arc::clone(&serve);
            std::thread::spawn(move || {
                let _ = stream.set_read_timeout(Some(LIMIT));
                serve(stream, number);
            });
        }
    });
    Ok(port)
}

/// Compares what the two sides gave; all differences of a list of cases are told together.
#[derive(Default)]
pub struct Differences(Vec<String>);

impl Differences {
    /// Notes a difference, if there is one.
    pub fn compare<T: PartialEq + std::fmt::Debug>(&mut self, what: &str, haproxy: T, tandem: T) {
        if haproxy != tandem {
            self.0.push(format!(
                "{what}\n  haproxy {haproxy:?}\n  tandem  {tandem:?}"
            ));
        }
    }

    /// Notes something else that went wrong.
    pub fn note(&mut self, text: &str) {
        self.0.push(text.to_owned());
    }

    /// Fails if any was noted.
    pub fn none(self) -> Outcome {
        crate::ensure!(
            self.0.is_empty(),
            "{} differences:\n{}",
            self.0.len(),
            self.0.join("\n")
        );
        Ok(())
    }
}
