//! The daemon's own log: stderr in the foreground, the journal's form under systemd, syslog in the background.
//!
//! The supervisor decides once and hands the choice to its children in the environment. Traffic logs are
//! the worker's.

use std::io::{self, Write};
use std::os::unix::net::UnixDatagram;
use std::sync::Arc;

use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

/// The variable in which children find the supervisor's choice.
pub const TARGET_VARIABLE: &str = "TANDEM_LOG_TARGET";
/// The variable that names what is logged, as `tracing-subscriber`'s filters are written.
pub const FILTER_VARIABLE: &str = "TANDEM_LOG";
/// Facility `daemon` (RFC 5424 6.2.1), shifted to its place.
const FACILITY: u8 = 3 << 3;

/// Where the log goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogTarget {
    /// stderr with timestamps.
    Stderr,
    /// stderr with `<N>` before each line, for the journal.
    Journal,
    /// `/dev/log`.
    Syslog,
}

impl LogTarget {
    /// The word in the environment.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stderr => "stderr",
            Self::Journal => "journal",
            Self::Syslog => "syslog",
        }
    }

    /// What the environment says: the supervisor's choice, else the journal if it listens, else stderr.
    pub fn from_environment() -> Self {
        match std::env::var(TARGET_VARIABLE).as_deref() {
            Ok("syslog") => Self::Syslog,
            Ok("journal") => Self::Journal,
            Ok(_) => Self::Stderr,
            Err(_) if std::env::var_os("JOURNAL_STREAM").is_some() => Self::Journal,
            Err(_) => Self::Stderr,
        }
    }
}

/// Starts the log of this process. Call it before a chroot. A second call has no effect.
pub fn start(target: LogTarget, debug: bool) {
    let default = if debug { "debug" } else { "info" };
    let filter = tracing_subscriber::EnvFilter::try_from_env(FILTER_VARIABLE)
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(default));
    let writer = Lines::new(target);
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_target(false)
        .with_ansi(false)
        .with_writer(writer);
    let _ = match target {
        LogTarget::Stderr => builder.try_init(),
        LogTarget::Journal | LogTarget::Syslog => {
            builder.without_time().with_level(false).try_init()
        }
    };
}

/// Makes a writer for each line.
#[derive(Clone)]
struct Lines {
    target: LogTarget,
    socket: Option<Arc<UnixDatagram>>,
}

impl Lines {
    fn new(target: LogTarget) -> Self {
        let socket = (target == LogTarget::Syslog).then(connect_syslog).flatten();
        Self { target, socket }
    }
}

fn connect_syslog() -> Option<Arc<UnixDatagram>> {
    let socket = UnixDatagram::unbound().ok()?;
    socket.connect("/dev/log").ok()?;
    // A syslog that does not read must not hold the daemon up.
    socket.set_nonblocking(true).ok()?;
    Some(Arc::new(socket))
}

/// A line on its way; written as a whole when dropped.
struct Line {
    target: LogTarget,
    socket: Option<Arc<UnixDatagram>>,
    severity: u8,
    bytes: Vec<u8>,
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let text = String::from_utf8_lossy(&self.bytes);
        let text = text.trim();
        // A log that cannot be written has nobody to tell.
        let _ = match self.target {
            LogTarget::Stderr => writeln!(io::stderr(), "{text}"),
            LogTarget::Journal => writeln!(io::stderr(), "<{}>{text}", self.severity),
            LogTarget::Syslog => match &self.socket {
                Some(socket) => socket
                    .send(
                        format!(
                            "<{}>tandemd[{}]: {text}",
                            FACILITY | self.severity,
                            std::process::id()
                        )
                        .as_bytes(),
                    )
                    .map(|_| ()),
                None => Ok(()),
            },
        };
    }
}

fn severity(level: &Level) -> u8 {
    match *level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line {
            target: self.target,
            socket: self.socket.clone(),
            severity: 6,
            bytes: Vec::new(),
        }
    }

    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> Line {
        let mut line = self.make_writer();
        line.severity = severity(metadata.level());
        line
    }
}
