//! Where log lines go, and which a frontend writes.

use serde::{Deserialize, Serialize};

use crate::source::Word;

/// Severities of syslog, as in RFC 5424 6.2.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum LogLevel {
    Emerg = 0,
    Alert = 1,
    Crit = 2,
    Err = 3,
    Warning = 4,
    Notice = 5,
    Info = 6,
    Debug = 7,
}

/// Where log lines go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LogAddress {
    /// A datagram socket in the file system, `/dev/log`. Opened before the chroot.
    Unix(String),
    /// Syslog over UDP; the name is resolved when the worker starts.
    Udp {
        /// Host name or address.
        host: String,
        /// Port, 514 by default.
        port: u16,
    },
    /// `stdout`.
    Stdout,
    /// `stderr`.
    Stderr,
    /// `fd@N`.
    Fd(i32),
}

/// `format` of a `log` line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum LogLineFormat {
    Local,
    #[default]
    Rfc3164,
    Rfc5424,
    Priority,
    Short,
    Timed,
    Iso,
    Raw,
}

/// A `log ADDRESS [len N] [format F] FACILITY [MAX [MIN]]` line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogTarget {
    /// Where to.
    pub address: LogAddress,
    /// Longest line in bytes, 1,024 by default.
    pub max_length: u32,
    /// Line format. `stdout`, `stderr` and `fd@` without a format are written as `raw`-like as HAProxy does.
    pub format: LogLineFormat,
    /// Facility's number, 0 (kern) to 23 (local7).
    pub facility: u8,
    /// Nothing less severe than this is sent; debug by default.
    pub max_level: LogLevel,
    /// Nothing is sent as more severe than this; emerg by default.
    pub min_level: LogLevel,
}

/// Which traffic log a frontend writes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum TrafficLog {
    /// The short default line (`Connect from …`).
    #[default]
    Plain,
    /// `option tcplog`.
    Tcp,
    /// `option httplog`.
    Http,
    /// `option httplog clf`.
    HttpClf,
    /// `option httpslog`.
    Https,
    /// `log-format …`.
    Format(Word),
}
