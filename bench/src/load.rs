//! The load: wrk, h2load or our own clients on the load core, and what they report.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::lists;
use crate::origin;
use crate::process;
use crate::rows::{Row, Script, Work};
use crate::setup::Setup;

/// What a load generator has over its window before it is ended by force.
const GRACE: Duration = Duration::from_secs(20);
/// wrk counts an answer that takes longer as an error.
const WRK_TIMEOUT: &str = "4s";
const SCRIPT_PLAIN: &str = "plain.lua";
const SCRIPT_UPLOAD: &str = "upload.lua";
const SCRIPT_CHUNKED: &str = "chunked.lua";
const SCRIPT_LOOKUPS: &str = "lookups.lua";
/// Where h2load writes the time of each request.
const H2LOAD_LOG: &str = "h2load.log";

/// What one window of load came to.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Load {
    /// Completed requests.
    pub(crate) requests: u64,
    /// How long they took together.
    pub(crate) duration: Duration,
    /// Half of the requests took less.
    pub(crate) p50: Duration,
    /// 99 of 100 requests took less.
    pub(crate) p99: Duration,
    /// What went wrong.
    pub(crate) errors: LoadErrors,
}

/// Requests and connections that went wrong, by kind.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct LoadErrors {
    pub(crate) connect: u64,
    pub(crate) read: u64,
    pub(crate) write: u64,
    pub(crate) status: u64,
    pub(crate) timeout: u64,
    /// Handshakes that should have resumed a session and did not.
    pub(crate) not_resumed: u64,
}

impl LoadErrors {
    pub(crate) fn add(&mut self, other: &Self) {
        self.connect += other.connect;
        self.read += other.read;
        self.write += other.write;
        self.status += other.status;
        self.timeout += other.timeout;
        self.not_resumed += other.not_resumed;
    }

    pub(crate) fn fields(&self) -> [(&'static str, u64); 6] {
        [
            ("connect", self.connect),
            ("read", self.read),
            ("write", self.write),
            ("status", self.status),
            ("timeout", self.timeout),
            ("not_resumed", self.not_resumed),
        ]
    }

    pub(crate) fn total(&self) -> u64 {
        self.fields().iter().map(|(_, count)| count).sum()
    }
}

impl Load {
    /// One line for a reader of the generator's output.
    pub(crate) fn line(&self) -> String {
        let mut line = format!(
            "RESULT requests={} duration_us={} p50_us={} p99_us={}",
            self.requests,
            self.duration.as_micros(),
            self.p50.as_micros(),
            self.p99.as_micros()
        );
        for (name, count) in self.errors.fields() {
            line.push_str(&format!(" {name}={count}"));
        }
        line
    }

    /// Finds and reads that line in a generator's output.
    pub(crate) fn parse(output: &str) -> Option<Self> {
        let line = output
            .lines()
            .find_map(|line| line.strip_prefix("RESULT "))?;
        let number = |name: &str| -> Option<u64> {
            line.split(' ')
                .filter_map(|field| field.split_once('='))
                .find(|(key, _)| *key == name)?
                .1
                .parse()
                .ok()
        };
        Some(Self {
            requests: number("requests")?,
            duration: Duration::from_micros(number("duration_us")?),
            p50: Duration::from_micros(number("p50_us")?),
            p99: Duration::from_micros(number("p99_us")?),
            errors: LoadErrors {
                connect: number("connect")?,
                read: number("read")?,
                write: number("write")?,
                status: number("status")?,
                timeout: number("timeout")?,
                not_resumed: number("not_resumed").unwrap_or(0),
            },
        })
    }
}

/// Writes the scripts that wrk needs into `folder`.
pub(crate) fn prepare(folder: &Path) -> io::Result<()> {
    // Only what runs once at the end is in Lua; a function for each request would slow wrk down.
    let done = "\
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    \"RESULT requests=%d duration_us=%d p50_us=%d p99_us=%d connect=%d read=%d write=%d status=%d timeout=%d\\n\",
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    e.connect, e.read, e.write, e.status, e.timeout))
end
";
    fs::write(folder.join(SCRIPT_PLAIN), done)?;
    let upload = "wrk.method = \"POST\"\nwrk.body = string.rep(\"x\", 1048576)\n";
    fs::write(folder.join(SCRIPT_UPLOAD), format!("{upload}{done}"))?;
    // wrk adds a Content-Length to every body that it knows of: this request is a text of its own.
    let chunks = String::from_utf8_lossy(&origin::chunks()).replace("\r\n", "\\r\\n");
    let chunked = format!(
        "local whole\nfunction init(args)\n  whole = \"POST / HTTP/1.1\\r\\nHost: bench.test\\r\\n\
         Transfer-Encoding: chunked\\r\\n\\r\\n{chunks}\"\nend\n\
         function request() return whole end\n"
    );
    fs::write(folder.join(SCRIPT_CHUNKED), format!("{chunked}{done}"))?;
    let lookups = lists::requests_in_lua();
    fs::write(folder.join(SCRIPT_LOOKUPS), format!("{lookups}{done}"))
}

/// Loads `address` with the work of `row` for whole seconds of `window`.
pub(crate) fn generate(
    row: &Row,
    setup: &Setup,
    address: SocketAddr,
    window: Duration,
    core: usize,
) -> Result<Load, String> {
    let seconds = window.as_secs().max(1);
    let mut command = process::pinned(core, "timeout");
    command
        .args(["-k", "1"])
        .arg((seconds + GRACE.as_secs()).to_string());
    let name = match &row.work {
        Work::Wrk {
            connections,
            path,
            headers,
            script,
        } => {
            command.args(["wrk", "-t1", "--latency", "--timeout", WRK_TIMEOUT]);
            command
                .arg(format!("-c{connections}"))
                .arg(format!("-d{seconds}s"));
            command.arg("-s").arg(setup.folder().join(match script {
                Script::Plain => SCRIPT_PLAIN,
                Script::Upload => SCRIPT_UPLOAD,
                Script::Chunked => SCRIPT_CHUNKED,
                Script::Lookups => SCRIPT_LOOKUPS,
            }));
            for (name, value) in *headers {
                command.arg("-H").arg(format!("{name}: {value}"));
            }
            command.arg(format!("{}://{address}{path}", scheme(row)));
            "wrk"
        }
        Work::H2load {
            connections,
            streams,
        } => {
            command.args(["h2load", "-t1"]);
            command.arg(format!("-c{connections}"));
            command.arg(format!("-m{streams}"));
            return h2load(command, row, setup, address, window);
        }
        Work::Paced { connections, rate } => {
            command.args(["h2load", "-t1", "-m1"]);
            command.arg(format!("-c{connections}"));
            command.arg(format!("--rps={rate}"));
            if !row.h2 {
                command.arg("--h1");
            }
            return h2load(command, row, setup, address, window);
        }
        Work::Handshakes { resumed } => {
            let own = std::env::current_exe().map_err(|error| format!("own path: {error}"))?;
            let certificate = setup
                .certificate(row)
                .ok_or("a row of handshakes has a certificate")?;
            command
                .arg(own)
                .arg("handshake")
                .arg(address.to_string())
                .arg(seconds.to_string());
            command
                .arg(certificate)
                .arg(if *resumed { "resumed" } else { "full" });
            "handshake"
        }
        Work::Idle { .. }
        | Work::Alone
        | Work::ShowStat
        | Work::WrkUnderShowStat
        | Work::Start
        | Work::Reload => return Err("this work has no load generator".into()),
    };
    read(name, command)
}

fn scheme(row: &Row) -> &'static str {
    if row.tls.is_some() { "https" } else { "http" }
}

/// One request by h2load; what it says, to see that HTTP/2 was spoken and the answer was right.
pub(crate) fn h2load_once(row: &Row, address: SocketAddr, path: &str) -> io::Result<String> {
    let output = Command::new("timeout")
        .args(["-k", "1", "5", "h2load", "-t1", "-c1", "-n1"])
        .arg(format!("{}://{address}{path}", scheme(row)))
        .stdin(Stdio::null())
        .output()?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs h2load, told already how to load, for whole seconds of `window`.
fn h2load(
    mut command: Command,
    row: &Row,
    setup: &Setup,
    address: SocketAddr,
    window: Duration,
) -> Result<Load, String> {
    let log = setup.folder().join(H2LOAD_LOG);
    match fs::remove_file(&log) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(format!("{}: {error}", log.display()));
        }
        _ => {}
    }
    command.arg(format!("-D{}", window.as_secs().max(1)));
    command.arg(format!("--log-file={}", log.display()));
    command.arg(format!("{}://{address}/", scheme(row)));
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("h2load: {error}"))?;
    let said = String::from_utf8_lossy(&output.stdout);
    let times = fs::read_to_string(&log).unwrap_or_default();
    h2load_result(&said, &times, window).ok_or_else(|| {
        format!(
            "h2load gave no result ({}): {}",
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        )
    })
}

/// What h2load says, and its log: a line for each request with start, status and microseconds.
fn h2load_result(said: &str, times: &str, window: Duration) -> Option<Load> {
    let counts = said
        .lines()
        .find_map(|line| line.strip_prefix("requests: "))?;
    let count = |name: &str| -> Option<u64> {
        counts
            .split(", ")
            .find_map(|part| part.strip_suffix(name)?.trim().parse().ok())
    };
    let codes = said
        .lines()
        .find_map(|line| line.strip_prefix("status codes: "))?;
    let good: u64 = codes.split(" 2xx").next()?.trim().parse().ok()?;
    let done = count(" done")?;
    let mut times: Vec<u64> = times
        .lines()
        .filter_map(|line| line.rsplit('\t').next()?.parse().ok())
        .collect();
    times.sort_unstable();
    let percentile = |share: f64| {
        let place = (times.len().saturating_sub(1) as f64 * share) as usize;
        Duration::from_micros(times.get(place).copied().unwrap_or(0))
    };
    Some(Load {
        requests: good,
        duration: window,
        p50: percentile(0.50),
        p99: percentile(0.99),
        errors: LoadErrors {
            read: count(" failed")? + count(" errored")?,
            status: done.saturating_sub(good),
            timeout: count(" timeout")?,
            ..LoadErrors::default()
        },
    })
}

fn read(name: &str, mut command: Command) -> Result<Load, String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{name}: {error}"))?;
    Load::parse(&String::from_utf8_lossy(&output.stdout)).ok_or_else(|| {
        let errors = String::from_utf8_lossy(&output.stderr);
        format!(
            "{name} gave no result ({}): {}",
            output.status,
            errors.trim()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_line_is_read_as_written() {
        let load = Load {
            requests: 12,
            duration: Duration::from_micros(1_000_001),
            p50: Duration::from_micros(3),
            p99: Duration::from_micros(40),
            errors: LoadErrors {
                status: 2,
                not_resumed: 5,
                ..LoadErrors::default()
            },
        };
        assert_eq!(
            Load::parse(&format!("noise\n{}\nmore", load.line())),
            Some(load)
        );
        assert_eq!(Load::parse("Requests/sec: 12"), None);
    }

    #[test]
    fn what_h2load_says_is_read() {
        let said = "finished in 1.00s, 40.00 req/s, 7.14MB/s\n\
            requests: 42 total, 43 started, 42 done, 40 succeeded, 2 failed, 1 errored, 0 timeout\n\
            status codes: 40 2xx, 0 3xx, 0 4xx, 2 5xx\n";
        let times =
            "1795408717576287\t200\t608\n1795408717576288\t200\t7\n1795408717576288\t503\t628\n";
        let load = h2load_result(said, times, Duration::from_secs(1)).expect("it is whole");
        assert_eq!((load.requests, load.errors.total()), (40, 5));
        assert_eq!(load.p50, Duration::from_micros(608));
        assert_eq!(h2load_result("nothing", "", Duration::ZERO), None);
    }
}
