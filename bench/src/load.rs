//! The load: wrk or our own handshake client on the load core, and what they report.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::process;
use crate::rows::{Row, Work};
use crate::setup::Setup;

/// What a load generator has over its window before it is ended by force.
const GRACE: Duration = Duration::from_secs(20);
/// wrk counts an answer that takes longer as an error.
const WRK_TIMEOUT: &str = "4s";
const SCRIPT_PLAIN: &str = "plain.lua";
const SCRIPT_UPLOAD: &str = "upload.lua";

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
    fs::write(folder.join(SCRIPT_UPLOAD), format!("{upload}{done}"))
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
            upload,
        } => {
            command.args(["wrk", "-t1", "--latency", "--timeout", WRK_TIMEOUT]);
            command
                .arg(format!("-c{connections}"))
                .arg(format!("-d{seconds}s"));
            command.arg("-s").arg(setup.folder().join(if *upload {
                SCRIPT_UPLOAD
            } else {
                SCRIPT_PLAIN
            }));
            for (name, value) in *headers {
                command.arg("-H").arg(format!("{name}: {value}"));
            }
            let scheme = if row.tls.is_some() { "https" } else { "http" };
            command.arg(format!("{scheme}://{address}{path}"));
            "wrk"
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
    };
    read(name, command)
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
}
