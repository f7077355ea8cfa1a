//! The `global` section: the process, its sockets of statistics, and its tuning.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::bind::BindAddress;
use super::log::LogTarget;
use crate::source::{Span, Word};

/// A name of an account in the system, or its number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Account {
    /// `user NAME`, `group NAME`.
    Name(Word),
    /// `uid N`, `gid N`.
    Id(u32),
}

/// The `global` section.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Global {
    /// `log` lines.
    pub logs: Vec<LogTarget>,
    /// `log-tag`, `haproxy` by default.
    pub log_tag: Option<String>,
    /// `log-send-hostname`; `Some("")` stands for the system's name.
    pub log_send_hostname: Option<String>,
    /// `chroot`.
    pub chroot: Option<Word>,
    /// `pidfile`.
    pub pidfile: Option<Word>,
    /// `maxconn`: connections of a process.
    pub maxconn: Option<u32>,
    /// `user` or `uid`.
    pub user: Option<Account>,
    /// `group` or `gid`.
    pub group: Option<Account>,
    /// `daemon`.
    pub daemon: bool,
    /// `master-worker`.
    pub master_worker: bool,
    /// `nbthread`: runtimes of the worker; the number of cores by default.
    pub nbthread: Option<u16>,
    /// `node`; the host name by default.
    pub node: Option<String>,
    /// `description`.
    pub description: Option<String>,
    /// `stats socket` lines.
    pub stats_sockets: Vec<StatsSocket>,
    /// `stats timeout`, 10 s by default.
    pub stats_timeout: Option<Duration>,
    /// `stats maxconn`, 10 by default.
    pub stats_maxconn: Option<u32>,
    /// `ca-base`.
    pub ca_base: Option<String>,
    /// `crt-base`.
    pub crt_base: Option<String>,
    /// `ssl-default-bind-options`, `-ciphers`, `-ciphersuites`, `-curves` and those of servers: words by keyword.
    pub ssl_defaults: BTreeMap<String, Vec<Word>>,
    /// Buffers of sockets, and pipes.
    pub tuning: Tuning,
    /// `tune.bufsize` in bytes, 16,384 by default.
    pub bufsize: Option<u32>,
    /// `tune.maxrewrite` in bytes, 1,024 by default.
    pub maxrewrite: Option<u32>,
    /// `tune.http.logurilen`: most bytes of a request line in logs, 1,024 by default.
    pub logged_line_bytes: Option<u32>,
    /// `tune.http.maxhdr`, 101 by default.
    pub max_headers: Option<u16>,
    /// `tune.h2.*`.
    pub http2: Http2Tuning,
    /// `spread-checks` in per cent, 0 by default.
    pub spread_checks: u32,
    /// `max-spread-checks`: the longest time over which first checks are spread.
    pub max_spread_checks: Option<Duration>,
    /// `external-check`: commands may be run as checks; with `preserve-env` in the daemon's environment.
    pub external_check: Option<ExternalCheckEnvironment>,
    /// `hard-stop-after`.
    pub hard_stop_after: Option<Duration>,
    /// `insecure-no-confinement` (ours): the worker keeps its files and system calls, for a search of faults.
    pub insecure_no_confinement: bool,
    /// `maxconnrate`: connections a second, 0 for no limit.
    pub max_connection_rate: u32,
    /// `maxsessrate`: sessions a second, 0 for no limit.
    pub max_session_rate: u32,
    /// `maxsslconn`: TLS connections with clients, 0 for no limit.
    pub max_tls_connections: u32,
    /// `maxsslrate`: TLS handshakes with clients a second, 0 for no limit.
    pub max_tls_rate: u32,
    /// `ulimit-n`: descriptors of the worker.
    pub ulimit_n: Option<u32>,
    /// `fd-hard-limit`: most descriptors of the worker, whatever the system allows.
    pub fd_hard_limit: Option<u32>,
    /// `server-state-base`: folder of state files that are named relatively.
    pub server_state_base: Option<String>,
    /// `server-state-file`: the file that `load-server-state-from-file global` names.
    pub server_state_file: Option<String>,
    /// `setenv`, `presetenv` and so on, already applied to the variables of this text.
    pub environment: BTreeMap<String, String>,
    /// `ssl-server-verify none`: servers are trusted unless they say otherwise.
    pub servers_unverified: bool,
}

/// Buffers of sockets, and pipes of bulk transfers; what is `None` is the system's or our own choice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tuning {
    /// `nosplice`: bytes are always copied.
    pub nosplice: bool,
    /// `maxpipes`: pipes of the process.
    pub max_pipes: Option<u32>,
    /// `tune.pipesize` in bytes.
    pub pipe_bytes: Option<u32>,
    /// `tune.rcvbuf.client` in bytes.
    pub client_receive_bytes: Option<u32>,
    /// `tune.sndbuf.client` in bytes.
    pub client_send_bytes: Option<u32>,
    /// `tune.rcvbuf.server` in bytes.
    pub server_receive_bytes: Option<u32>,
    /// `tune.sndbuf.server` in bytes.
    pub server_send_bytes: Option<u32>,
}

/// Permission level of a stats socket's client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Level {
    /// Reads what is not sensitive.
    User,
    /// Reads all, changes nothing (but `clear counters`).
    #[default]
    Operator,
    /// Everything.
    Admin,
}

/// `stats socket PATH …`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StatsSocket {
    /// Where it listens.
    pub address: BindAddress,
    /// `level`, operator by default.
    pub level: Level,
    /// `mode`, octal.
    pub mode: Option<u32>,
    /// `user` or `uid`.
    pub user: Option<Account>,
    /// `group` or `gid`.
    pub group: Option<Account>,
    /// `expose-fd listeners`: accepted; descriptors are handed over between our own processes.
    pub expose_fd: bool,
    /// Where it was written.
    pub span: Span,
}

/// `external-check [preserve-env]` in `global`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExternalCheckEnvironment {
    /// Commands see the variables of the check alone.
    Clean,
    /// And those of the daemon.
    Preserved,
}

/// `tune.h2.*`. `None` is HAProxy's default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Http2Tuning {
    /// `tune.h2.header-table-size` in bytes.
    pub header_table_bytes: Option<u32>,
    /// `tune.h2.max-frame-size` in bytes.
    pub max_frame_bytes: Option<u32>,
    /// `tune.h2.initial-window-size` in bytes.
    pub window_bytes: Option<u32>,
    /// `tune.h2.fe.initial-window-size`: the same towards clients.
    pub client_window_bytes: Option<u32>,
    /// `tune.h2.be.initial-window-size`: the same towards servers.
    pub server_window_bytes: Option<u32>,
    /// `tune.h2.max-concurrent-streams`.
    pub streams: Option<u32>,
    /// `tune.h2.fe.max-concurrent-streams`: the same towards clients.
    pub client_streams: Option<u32>,
    /// `tune.h2.be.max-concurrent-streams`: the same towards servers.
    pub server_streams: Option<u32>,
}
