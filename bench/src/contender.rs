//! A program that is measured: how it is started, asked whether it does the work, and named.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::handshake;
use crate::lists;
use crate::load;
use crate::process::{self, Owned};
use crate::rows::{Lookup, Mode, Row, Work};
use crate::setup::{
    FOUND_HEADER, GENERATION_HEADER, NGINX_STREAM_MODULE, PORT_VARIABLE, SOCKET_VARIABLE, Setup,
};

/// How long a contender has from its start to its first right answer.
const START_PATIENCE: Duration = Duration::from_secs(20);
/// Pause between two questions to a starting contender.
const PROBE_PAUSE: Duration = Duration::from_millis(1);
/// How long one question to a starting contender may take.
const PROBE_PATIENCE: Duration = Duration::from_secs(2);
/// What of a contender's complaints is shown.
const COMPLAINT_MAX_BYTES: usize = 600;

/// Which language a contender speaks on its command line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    Tandemd,
    Haproxy,
    Nginx,
}

/// A program to measure.
#[derive(Clone, Debug)]
pub(crate) struct Contender {
    /// Its name in tables; unique in a run.
    pub(crate) name: String,
    /// Its language.
    pub(crate) kind: Kind,
    /// The program.
    pub(crate) path: PathBuf,
}

impl Contender {
    /// A contender.
    pub(crate) fn new(name: impl Into<String>, kind: Kind, path: impl Into<PathBuf>) -> Self {
        Self {
            name: name.into(),
            kind,
            path: path.into(),
        }
    }

    /// `NAME=KIND:PATH` of the command line.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("'{text}': wanted NAME=KIND:PATH with tandemd, haproxy or nginx as KIND");
        let (name, rest) = text.split_once('=').ok_or_else(wrong)?;
        let (kind, path) = rest.split_once(':').ok_or_else(wrong)?;
        let kind = match kind {
            "tandemd" => Kind::Tandemd,
            "haproxy" => Kind::Haproxy,
            "nginx" => Kind::Nginx,
            _ => return Err(wrong()),
        };
        let usable = |name: &str| {
            name.chars()
                .all(|c| c.is_ascii_alphanumeric() || "-._".contains(c))
        };
        if name.is_empty() || path.is_empty() || !usable(name) {
            return Err(wrong());
        }
        Ok(Self::new(name, kind, path))
    }

    /// Another haproxy, called `haproxy-VERSION` by what it says of itself.
    pub(crate) fn named_by_version(path: PathBuf) -> Result<Self, String> {
        let contender = Self::new("haproxy", Kind::Haproxy, path);
        let version = contender.version();
        let number = version
            .split_whitespace()
            .find(|word| word.starts_with(|c: char| c.is_ascii_digit()))
            .and_then(|word| word.split(|c: char| !c.is_ascii_digit() && c != '.').next());
        match number {
            Some(number) => Ok(Self {
                name: format!("haproxy-{number}"),
                ..contender
            }),
            None => Err(format!(
                "--haproxy {}: it does not tell its version",
                contender.path.display()
            )),
        }
    }

    /// The first line that it says about its version.
    pub(crate) fn version(&self) -> String {
        let output = Command::new(&self.path)
            .arg("-v")
            .stdin(Stdio::null())
            .output();
        let Ok(output) = output else {
            return String::new();
        };
        let text = [output.stdout, output.stderr].concat();
        String::from_utf8_lossy(&text)
            .lines()
            .next()
            .unwrap_or_default()
            .trim()
            .to_owned()
    }

    /// Starts it for `row` on `core` with a first configuration and waits until it does the row's work.
    pub(crate) fn start(&self, row: &Row, setup: &Setup, core: usize) -> Result<Running, String> {
        if self.kind == Kind::Nginx && !row.suits_nginx() {
            return Err("this is not its work".into());
        }
        if !self.path.exists() {
            return Err(format!("{} does not exist", self.path.display()));
        }
        if self.kind == Kind::Nginx
            && row.mode == Mode::Tcp
            && !Path::new(NGINX_STREAM_MODULE).exists()
        {
            return Err(
                "its module for TCP is not installed (Debian's libnginx-mod-stream)".into(),
            );
        }
        let fail = |error: io::Error| error.to_string();
        let port = free_port().map_err(fail)?;
        let mut command = process::pinned(core, &self.path);
        let socket = |purpose: &str| {
            setup
                .folder()
                .join(format!("{}-{}.{purpose}", self.name, row.name))
        };
        let stats_socket = socket("stats");
        command.env(PORT_VARIABLE, port.to_string());
        command.env(SOCKET_VARIABLE, &stats_socket);
        match self.kind {
            Kind::Tandemd => {
                let file = setup.write_haproxy(row, 0).map_err(fail)?;
                command.arg("-f").arg(file);
                command.arg("--socket").arg(socket("sock"));
            }
            Kind::Haproxy => {
                let file = setup.write_haproxy(row, 0).map_err(fail)?;
                // Only a master can reload.
                let master = matches!(row.work, Work::Reload);
                command.arg(if master { "-W" } else { "-db" });
                command.arg("-f").arg(file);
            }
            Kind::Nginx => {
                let file = setup.write_nginx(row, 0, &self.name, port).map_err(fail)?;
                command.arg("-c").arg(file);
            }
        }
        let said = setup
            .folder()
            .join(format!("{}-{}.out", self.name, row.name));
        let output = File::create(&said).map_err(fail)?;
        let errors = output.try_clone().map_err(fail)?;
        command.stdin(Stdio::null()).stdout(output).stderr(errors);
        let child = Owned(command.spawn().map_err(fail)?);
        let mut running = Running {
            child,
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            stats_socket,
        };
        running
            .wait_until_it_works(row, setup, 0)
            .map_err(|reason| match complaint(&said) {
                Some(complaint) if running.child.has_ended() => {
                    format!("{reason}; it said: {complaint}")
                }
                _ => reason,
            })?;
        Ok(running)
    }
}

/// A started contender; it is stopped when this goes out of scope.
pub(crate) struct Running {
    pub(crate) child: Owned,
    pub(crate) address: SocketAddr,
    /// Where haproxy and tandemd answer `show stat`.
    pub(crate) stats_socket: PathBuf,
}

impl Running {
    /// Hands `contender` the configuration of `generation` and waits until requests pass it.
    pub(crate) fn reload(
        &mut self,
        contender: &Contender,
        row: &Row,
        setup: &Setup,
        generation: u32,
    ) -> Result<Duration, String> {
        let fail = |error: io::Error| error.to_string();
        let signal = match contender.kind {
            Kind::Tandemd | Kind::Haproxy => {
                setup.write_haproxy(row, generation).map_err(fail)?;
                Signal::SIGUSR2
            }
            Kind::Nginx => {
                let port = self.address.port();
                setup
                    .write_nginx(row, generation, &contender.name, port)
                    .map_err(fail)?;
                Signal::SIGHUP
            }
        };
        let started = Instant::now();
        kill(Pid::from_raw(self.child.id() as i32), signal)
            .map_err(|error| format!("{signal}: {error}"))?;
        self.wait_until_it_works(row, setup, generation)?;
        Ok(started.elapsed())
    }

    fn wait_until_it_works(
        &mut self,
        row: &Row,
        setup: &Setup,
        generation: u32,
    ) -> Result<(), String> {
        let deadline = Instant::now() + START_PATIENCE;
        loop {
            if self.child.has_ended() {
                return Err("it ended at once".into());
            }
            let problem = match self.probe(row, setup) {
                Ok(answer) => match check(row, generation, &answer) {
                    Ok(()) => return self.probe_h2(row),
                    Err(problem) => problem,
                },
                Err(error) => error.to_string(),
            };
            if Instant::now() > deadline {
                return Err(format!(
                    "no right answer after {} s: {problem}",
                    START_PATIENCE.as_secs()
                ));
            }
            std::thread::sleep(PROBE_PAUSE);
        }
    }

    fn probe(&self, row: &Row, setup: &Setup) -> io::Result<Vec<u8>> {
        let request = format!(
            "GET {}?head HTTP/1.1\r\nHost: bench.test\r\n{}: {}\r\nConnection: close\r\n\r\n",
            lists::PATH,
            lists::CLIENT_HEADER,
            lists::CLIENT
        );
        if let Some(certificate) = setup.certificate(row) {
            let client =
                handshake::client(&certificate.to_string_lossy()).map_err(io::Error::other)?;
            return handshake::exchange(self.address, Arc::new(client), request.as_bytes())
                .map(|(answer, _)| answer);
        }
        let mut stream = TcpStream::connect_timeout(&self.address, PROBE_PATIENCE)?;
        if row.h2 {
            // It speaks nothing else; h2load asks it.
            return Ok(Vec::new());
        }
        stream.set_read_timeout(Some(PROBE_PATIENCE))?;
        stream.write_all(request.as_bytes())?;
        let mut answer = Vec::new();
        stream.take(1 << 20).read_to_end(&mut answer)?;
        Ok(answer)
    }

    fn probe_h2(&self, row: &Row) -> Result<(), String> {
        if !row.h2 {
            return Ok(());
        }
        let said = load::h2load_once(row, self.address, "/")
            .map_err(|error| format!("h2load: {error}"))?;
        let speaks = said.contains("Application protocol: h2");
        match (speaks, said.contains("status codes: 1 2xx")) {
            (true, true) => Ok(()),
            (false, _) => Err("it does not speak HTTP/2".into()),
            (true, false) => Err("its answer over HTTP/2 was not 200".into()),
        }
    }
}

/// The origin shows the head that reached it: it must be what the row asks of a proxy.
fn check(row: &Row, generation: u32, answer: &[u8]) -> Result<(), String> {
    if row.h2 && row.tls.is_none() {
        return Ok(());
    }
    let answer = String::from_utf8_lossy(answer).to_ascii_lowercase();
    let Some((head, seen)) = answer.split_once("\r\n\r\n") else {
        return Err("it closed without an answer".into());
    };
    if !head.starts_with("http/1.1 200 ") {
        return Err(format!(
            "it answered '{}'",
            head.lines().next().unwrap_or_default()
        ));
    }
    let has = |name: &str, value: &str| {
        seen.contains(&format!("\r\n{}: {value}\r\n", name.to_ascii_lowercase()))
    };
    let forwarded = has("x-forwarded-for", "127.0.0.1");
    let found = match row.lookup {
        None => true,
        Some(Lookup::Acl(_)) => has(FOUND_HEADER, "yes"),
        Some(Lookup::Map(_)) => has(FOUND_HEADER, "pool-7321"),
    };
    let reloads = matches!(row.work, Work::Reload);
    match row.mode {
        Mode::Http if !forwarded => Err("it sent no X-Forwarded-For".into()),
        Mode::Http if !found => Err("it did not find what it looked up".into()),
        Mode::Http if reloads && !has(GENERATION_HEADER, &generation.to_string()) => {
            Err("it did not load its new configuration".into())
        }
        Mode::Tcp if forwarded => Err("it changed what it should relay".into()),
        Mode::Http | Mode::Tcp => Ok(()),
    }
}

/// The last of what a contender said before it failed, on one line.
fn complaint(said: &Path) -> Option<String> {
    let text = fs::read(said).ok()?;
    let tail = &text[text.len().saturating_sub(COMPLAINT_MAX_BYTES)..];
    let text = String::from_utf8_lossy(tail);
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    (!lines.is_empty()).then(|| lines.join(" | "))
}

fn free_port() -> io::Result<u16> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
        .local_addr()
        .map(|address| address.port())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::rows;

    #[test]
    fn a_contender_is_named_kind_and_path() {
        let contender = Contender::parse("old=haproxy:/opt/haproxy").expect("it is whole");
        assert_eq!(
            (contender.name.as_str(), contender.kind),
            ("old", Kind::Haproxy)
        );
        for wrong in [
            "haproxy:/opt/x",
            "a=apache:/opt/x",
            "a=haproxy:",
            "=haproxy:/x",
            "a/b=haproxy:/x",
        ] {
            assert!(Contender::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn only_the_rows_own_work_passes_the_probe() {
        let http = rows().next().expect("there are rows");
        let tcp = rows()
            .find(|row| row.mode == Mode::Tcp)
            .expect("there is one");
        let relayed = b"HTTP/1.1 200 OK\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n";
        let proxied =
            b"HTTP/1.1 200 OK\r\n\r\nGET / HTTP/1.1\r\nx-forwarded-for: 127.0.0.1\r\n\r\n";
        assert!(check(http, 0, proxied).is_ok() && check(tcp, 0, relayed).is_ok());
        assert!(check(http, 0, relayed).is_err() && check(tcp, 0, proxied).is_err());
        assert!(check(http, 0, b"HTTP/1.1 503 Service Unavailable\r\n\r\n").is_err());
        assert!(check(http, 0, b"").is_err());
        let map = rows()
            .find(|row| row.lookup == Some(Lookup::Map("str")))
            .expect("there is one");
        assert!(check(map, 0, proxied).is_err());
    }
}
