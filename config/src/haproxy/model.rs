//! The typed model of an `haproxy.cfg`, as HAProxy's configuration manual defines its words.
//!
//! Every proxy here has its `defaults` already applied. Conditions, rules and expressions stay
//! [`Word`]s: the daemon compiles them with its own vocabulary.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::source::{Span, Word};

pub use super::check_model::*;

/// A whole HAProxy configuration.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HaproxyConfig {
    /// All `global` sections together.
    pub global: Global,
    /// `frontend`, `backend` and `listen` sections in order of appearance.
    pub proxies: Vec<ProxyConfig>,
    /// `userlist` sections.
    pub userlists: Vec<UserList>,
    /// `resolvers` sections.
    pub resolvers: Vec<ResolversConfig>,
    /// Names of the files that spans point into, by their number.
    pub files: Vec<String>,
}

impl HaproxyConfig {
    /// The server that `track WORD` in a proxy names: `SERVER` or `BACKEND/SERVER`.
    pub fn tracked<'a>(
        &'a self,
        proxy: &'a ProxyConfig,
        word: &Word,
    ) -> Option<(&'a ProxyConfig, &'a ServerConfig)> {
        let (proxy, name) = match word.text.split_once('/') {
            None => (proxy, word.text.as_str()),
            Some((backend, name)) => {
                let mut backends = self.proxies.iter().filter(|proxy| proxy.kind.is_backend());
                (backends.find(|proxy| proxy.name.text == backend)?, name)
            }
        };
        let server = proxy
            .servers
            .iter()
            .find(|server| server.name.text == name)?;
        Some((proxy, server))
    }
}

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

/// `load-server-state-from-file`: which file tells the states of a backend's servers at the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum LoadState {
    /// None.
    #[default]
    None,
    /// The one of `server-state-file`.
    Global,
    /// The backend's own.
    Local,
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

/// What a proxy section is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum ProxyKind {
    Frontend,
    Backend,
    Listen,
}

impl ProxyKind {
    /// Whether it accepts connections.
    pub fn is_frontend(self) -> bool {
        matches!(self, Self::Frontend | Self::Listen)
    }

    /// Whether it has servers.
    pub fn is_backend(self) -> bool {
        matches!(self, Self::Backend | Self::Listen)
    }
}

/// `mode`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Mode {
    #[default]
    Tcp,
    Http,
}

/// A line made of the daemon's vocabulary, `http-request deny if x` for instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleLine {
    /// The words after the keyword (`deny if x`).
    pub words: Vec<Word>,
    /// The keyword's place.
    pub span: Span,
}

/// `acl NAME CRITERION [flags] [values]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AclLine {
    /// Its name; the same name again means "or".
    pub name: Word,
    /// The criterion and all that follows.
    pub words: Vec<Word>,
}

/// `use_backend NAME [if|unless CONDITION]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UseBackend {
    /// Its target (a log-format expression is possible in HAProxy).
    pub backend: Word,
    /// `if …` or `unless …`, the word itself included; empty means always.
    pub condition: Vec<Word>,
}

/// Timeouts of a proxy; `None` is unlimited (or falls back as the manual says).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Timeouts {
    pub client: Option<Duration>,
    pub server: Option<Duration>,
    pub connect: Option<Duration>,
    pub queue: Option<Duration>,
    pub check: Option<Duration>,
    pub http_request: Option<Duration>,
    pub http_keep_alive: Option<Duration>,
    pub tunnel: Option<Duration>,
    pub client_fin: Option<Duration>,
    pub server_fin: Option<Duration>,
    pub tarpit: Option<Duration>,
}

/// `option http-restrict-req-hdr-names`: what becomes of a request's headers whose names hold anything but letters, digits
/// and hyphens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum HeaderNames {
    /// They stay, the default.
    #[default]
    Preserve,
    /// They are taken out.
    Delete,
    /// The request is answered with 403.
    Reject,
}

/// `option http-keep-alive`, `http-server-close`, `httpclose`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConnectionMode {
    /// Both sides are kept, the default.
    #[default]
    KeepAlive,
    /// The server's side is closed after each answer, the client's kept.
    ServerClose,
    /// Both are closed.
    Close,
}

/// `http-reuse`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum HttpReuse {
    Never,
    #[default]
    Safe,
    Aggressive,
    Always,
}

/// `option forwardfor`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForwardFor {
    /// `except NET`.
    pub except: Option<IpNet>,
    /// `header NAME`, `X-Forwarded-For` by default.
    pub header: String,
    /// `if-none`.
    pub if_none: bool,
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

/// `balance`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Balance {
    /// `roundrobin`: dynamic weights.
    RoundRobin,
    /// `static-rr`: weights fixed at start.
    StaticRr,
    /// `leastconn`.
    LeastConn,
    /// `first`.
    First,
    /// `source`: hash of the client's address.
    Source,
    /// `uri [whole] [len N] [depth N] [path-only]`.
    Uri {
        /// Include the query.
        whole: bool,
        /// At most so many characters; 0 means all.
        length: u32,
        /// At most so many directories; 0 means all.
        depth: u32,
        /// Begin at the path, whatever authority stands before it.
        path_only: bool,
    },
    /// `url_param NAME [check_post]`; without the parameter: round robin.
    UrlParam {
        /// The parameter.
        name: String,
        /// Also look into the body of a POST.
        check_post: bool,
    },
    /// `hdr(NAME) [use_domain_only]`; without the header: round robin.
    Header {
        /// The header, in lower case.
        name: String,
        /// Hash the domain's second level only.
        use_domain_only: bool,
    },
    /// `hash EXPRESSION`; without a value: round robin.
    Hash {
        /// The sample expression.
        expression: Word,
    },
    /// `rdp-cookie [(NAME)]`; without the cookie: round robin.
    RdpCookie {
        /// The cookie, `mstshash` by default.
        name: String,
    },
    /// `random [(DRAWS)]`.
    Random {
        /// Draws; the least loaded wins. 2 by default.
        draws: u32,
    },
}

/// `hash-type`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum HashMethod {
    /// `map-based`, the default.
    #[default]
    MapBased,
    /// `consistent`.
    Consistent,
}

/// The function of `hash-type`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum HashFunction {
    #[default]
    Sdbm,
    Djb2,
    Wt6,
    Crc32,
    /// The key itself, read as a number.
    None,
}

/// `use-server NAME if|unless CONDITION`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UseServer {
    /// The server, or a format that names one.
    pub server: Word,
    /// `if …` or `unless …`, the word itself included.
    pub condition: Vec<Word>,
}

/// `force-persist` and `ignore-persist`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PersistRule {
    /// What it does.
    pub kind: PersistKind,
    /// `if …` or `unless …`, the word itself included.
    pub condition: Vec<Word>,
}

/// Which of the two a [`PersistRule`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PersistKind {
    /// `force-persist`: also to a server that is down.
    Force,
    /// `ignore-persist`: as if the request had no cookie.
    Ignore,
}

/// `cookie NAME …` in a backend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CookieConfig {
    /// The cookie's name.
    pub name: String,
    /// How it is handled.
    pub mode: CookieMode,
    /// `indirect`.
    pub indirect: bool,
    /// `nocache`.
    pub nocache: bool,
    /// `postonly`.
    pub postonly: bool,
    /// `preserve`.
    pub preserve: bool,
    /// `httponly`.
    pub httponly: bool,
    /// `secure`.
    pub secure: bool,
    /// `domain`, repeated.
    pub domains: Vec<String>,
    /// `maxidle`.
    pub maxidle: Option<Duration>,
    /// `maxlife`.
    pub maxlife: Option<Duration>,
    /// `attr`, repeated.
    pub attributes: Vec<String>,
    /// `dynamic`: servers without a cookie of their own get one made of their addresses and `dynamic-cookie-key`.
    pub dynamic: bool,
}

/// `rewrite`, `insert` or `prefix`; without one of them the cookie is only read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum CookieMode {
    Passive,
    Rewrite,
    Insert,
    Prefix,
}

/// `external-check [preserve-env]` in `global`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExternalCheckEnvironment {
    /// Commands see the variables of the check alone.
    Clean,
    /// And those of the daemon.
    Preserved,
}

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BindAddress {
    /// TCP; `None` is every address (of IPv4, as HAProxy's `:80` and `*:80`).
    Tcp {
        /// Address.
        address: Option<IpAddr>,
        /// Port.
        port: u16,
    },
    /// A unix stream socket.
    Unix(String),
    /// An abstract unix stream socket.
    Abstract(String),
    /// An inherited descriptor.
    Fd(i32),
}

/// `proto` of a `bind` or `server` line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Proto {
    /// Not written: what ALPN agrees on, or HTTP/1; a client may begin with HTTP/2's preface.
    #[default]
    Auto,
    /// `h1`.
    Http1,
    /// `h2`, without asking.
    Http2,
    /// `none`: bytes, in TCP mode.
    None,
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

/// One address of a `bind` line; a line with several addresses or ports makes several.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bind {
    /// Where.
    pub address: BindAddress,
    /// `name`.
    pub name: Option<String>,
    /// `ssl` with all that goes with it.
    pub tls: Option<BindTls>,
    /// `maxconn` of this socket.
    pub maxconn: Option<u32>,
    /// `backlog`.
    pub backlog: Option<u32>,
    /// `interface`.
    pub interface: Option<String>,
    /// `transparent`: bind although the address is not there (yet).
    pub transparent: bool,
    /// `v6only`, `v4v6`.
    pub v6only: Option<bool>,
    /// `mode` of a unix socket.
    pub mode: Option<u32>,
    /// `user`, `group` of a unix socket.
    pub user: Option<Account>,
    /// See `user`.
    pub group: Option<Account>,
    /// `accept-proxy`.
    pub accept_proxy: bool,
    /// `proto`.
    pub proto: Proto,
    /// `mss`: bytes; negative ones are taken off the interface's.
    pub mss: Option<i32>,
    /// `tcp-ut`: how long sent data may stay without acknowledgement.
    pub tcp_user_timeout: Option<Duration>,
    /// `tfo`: data in the first packet.
    pub fast_open: bool,
    /// Where it was written.
    pub span: Span,
}

/// What is offered in handshakes, by OpenSSL's names as they were written, with the defaults of `global` applied.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsChoice {
    /// `ssl-min-ver`, `no-tlsv12`, …: lowest version allowed, `TLSv1.2` or `TLSv1.3`.
    pub min_version: Option<String>,
    /// Highest version allowed.
    pub max_version: Option<String>,
    /// `ciphers`: a cipher list (openssl-ciphers(1)) for TLS 1.2.
    pub ciphers: Option<Word>,
    /// `ciphersuites`: names for TLS 1.3 with colons between.
    pub ciphersuites: Option<Word>,
    /// `curves`, or `ecdhe`: names with colons between.
    pub curves: Option<Word>,
}

impl TlsChoice {
    /// Takes what it does not say from another.
    pub fn or(&mut self, defaults: &Self) {
        fn fill<T: Clone>(slot: &mut Option<T>, default: &Option<T>) {
            if slot.is_none() {
                slot.clone_from(default);
            }
        }
        fill(&mut self.min_version, &defaults.min_version);
        fill(&mut self.max_version, &defaults.max_version);
        fill(&mut self.ciphers, &defaults.ciphers);
        fill(&mut self.ciphersuites, &defaults.ciphersuites);
        fill(&mut self.curves, &defaults.curves);
    }
}

/// TLS settings of a `bind` line.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BindTls {
    /// `crt` files or directories, `crt-base` already applied; the first certificate is the default one.
    pub certificates: Vec<Word>,
    /// `alpn` protocols in order; empty means that none is negotiated.
    pub alpn: Vec<String>,
    /// Versions, cipher suites and curves.
    pub choice: TlsChoice,
    /// `prefer-client-ciphers`; else our order counts.
    pub prefer_client_ciphers: bool,
    /// `no-tls-tickets`: sessions are resumed by what we remember of them, not by tickets.
    pub no_tickets: bool,
    /// `strict-sni`.
    pub strict_sni: bool,
    /// `ca-file`.
    pub ca_file: Option<Word>,
    /// `verify required|optional|none`.
    pub verify: Option<String>,
}

/// `init-addr` methods.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum InitAddr {
    /// The last address of the state file.
    Last,
    /// The system's resolver.
    Libc,
    /// Start without an address, in maintenance for lack of one.
    None,
    /// A fixed address.
    Ip(IpAddr),
}

/// Address of a server as written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ServerAddress {
    /// Host name or address, with its port (0: the port on which the client came).
    Host {
        /// Name or address.
        host: String,
        /// Port.
        port: u16,
        /// `+N` or `-N`: relative to the client's port.
        relative: bool,
    },
    /// A unix stream socket.
    Unix(String),
    /// An abstract unix stream socket, `abns@NAME`.
    Abstract(String),
}

/// Which PROXY header a server is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SendProxy {
    /// `send-proxy`: the line of version 1.
    V1,
    /// `send-proxy-v2`: the binary header of version 2.
    V2(ProxyV2Options),
}

/// `proxy-v2-options`: what a header of version 2 tells besides the addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProxyV2Options {
    /// `ssl`: whether the client came by TLS, and its version.
    pub ssl: bool,
    /// `cert-cn`: the common name of the client's certificate.
    pub cert_cn: bool,
    /// `ssl-cipher`.
    pub ssl_cipher: bool,
    /// `cert-sig`: signature algorithm of the certificate that we showed.
    pub cert_sig: bool,
    /// `cert-key`: key algorithm of the certificate that we showed.
    pub cert_key: bool,
    /// `authority`: the name that the client asked for by SNI.
    pub authority: bool,
    /// `crc32c`: a checksum of the header.
    pub crc32c: bool,
    /// `unique-id`: what `unique-id-format` makes.
    pub unique_id: bool,
}

/// `source`: from where a server is connected to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceConfig {
    /// The address; `None` leaves it to the system.
    pub address: Option<IpAddr>,
    /// First and last port, both 0 to leave it to the system.
    pub ports: (u16, u16),
    /// `interface NAME`.
    pub interface: Option<String>,
    /// `usesrc`.
    pub transparent: Option<TransparentSource>,
}

/// `usesrc`: an address that is not ours, by `IP_TRANSPARENT`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TransparentSource {
    /// `client`: the client's address and port.
    Client,
    /// `clientip`: the client's address.
    ClientIp,
    /// A fixed address; port 0 leaves it to the system.
    Address(std::net::SocketAddr),
    /// `hdr_ip(NAME[,OCCURRENCE])`: the address that a request's header has, by its place among the values: from 1, or
    /// from the last with -1.
    Header(String, i32),
}

/// A `resolvers` section.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResolversConfig {
    /// Its name.
    pub name: Word,
    /// Name servers in order.
    pub nameservers: Vec<NameServer>,
    /// `accepted_payload_size` in bytes, 512 by default.
    pub payload_bytes: u16,
    /// `resolve_retries`, 3 by default.
    pub retries: u32,
    /// `timeout resolve`: the period of resolutions, 1 s by default.
    pub timeout_resolve: Duration,
    /// `timeout retry`: between two queries without an answer, 1 s by default.
    pub timeout_retry: Duration,
    /// `hold`.
    pub hold: Hold,
    /// The section's first line.
    pub span: Span,
}

/// `nameserver NAME ADDRESS`, or the place of `parse-resolv-conf`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NameServer {
    /// A server.
    Address {
        /// Its name.
        name: Word,
        /// Where it answers.
        address: std::net::SocketAddr,
        /// `tcp@`: asked over TCP only.
        tcp: bool,
    },
    /// The servers of `/etc/resolv.conf`.
    ResolvConf(Span),
}

/// `hold STATUS PERIOD`: how long the last good answer stays good after an answer of another kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Hold {
    pub valid: Duration,
    pub obsolete: Duration,
    pub nx: Duration,
    pub timeout: Duration,
    pub refused: Duration,
    pub other: Duration,
}

impl Default for Hold {
    fn default() -> Self {
        const BAD: Duration = Duration::from_secs(30);
        Self {
            valid: Duration::from_secs(10),
            obsolete: Duration::ZERO,
            nx: BAD,
            timeout: BAD,
            refused: BAD,
            other: BAD,
        }
    }
}

/// How a server's name is resolved while the worker runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResolveConfig {
    /// `resolvers NAME`; without one the name is resolved at start only.
    pub resolvers: Option<Word>,
    /// `resolve-prefer ipv4`; IPv6 is preferred by default.
    pub prefer_ipv4: bool,
    /// `resolve-net`, networks preferred in this order.
    pub networks: Vec<IpNet>,
    /// `resolve-opts allow-dup-ip`.
    pub allow_duplicates: bool,
    /// `resolve-opts ignore-weight`: of SRV records.
    pub ignore_weight: bool,
}

/// Probes of TCP keep-alive; what is `None` is the system's choice (tcp(7)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeepaliveProbes {
    /// Probes without answer until the connection is given up.
    pub count: Option<u32>,
    /// Time without traffic until the first, in whole seconds.
    pub idle: Option<Duration>,
    /// Time between two, in whole seconds.
    pub interval: Option<Duration>,
}

/// How a server's unused connections are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolConfig {
    /// `pool-max-conn`: most unused connections of all threads together; `None` for no limit.
    pub max_idle: Option<u32>,
    /// `pool-purge-delay`: how long one is kept unused; zero keeps none.
    pub purge_delay: Duration,
    /// `max-reuse`: requests that a connection may carry after its first; `None` for no limit.
    pub max_reuse: Option<u32>,
}

impl PoolConfig {
    /// Most unused connections, with what `pool-purge-delay 0` means; `None` for no limit.
    pub fn idle_limit(&self) -> Option<u32> {
        if self.purge_delay.is_zero() {
            return Some(0);
        }
        self.max_idle
    }
}

impl Default for PoolConfig {
    /// As the manual says: no limits, and 5 s.
    fn default() -> Self {
        Self {
            max_idle: None,
            purge_delay: Duration::from_secs(5),
            max_reuse: None,
        }
    }
}

/// A `server` line, with `default-server` already applied.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServerConfig {
    /// Its name.
    pub name: Word,
    /// `id`, or its position from 1.
    pub id: u32,
    /// Its address.
    pub address: ServerAddress,
    /// Where the address was written.
    pub address_span: Span,
    /// `weight`, 0 to 256, 1 by default.
    pub weight: u16,
    /// `maxconn`: requests at a time (connections in TCP).
    pub maxconn: Option<u32>,
    /// `maxqueue`.
    pub maxqueue: Option<u32>,
    /// `minconn`.
    pub minconn: Option<u32>,
    /// `check`.
    pub check: Option<CheckConfig>,
    /// `cookie`.
    pub cookie: Option<String>,
    /// `backup`.
    pub backup: bool,
    /// That of `dispatch` or `option transparent`, which logs and statistics do not show as a server.
    pub nameless: bool,
    /// `disabled`: starts in maintenance.
    pub disabled: bool,
    /// `slowstart`.
    pub slowstart: Option<Duration>,
    /// `ssl`.
    pub tls: Option<ServerTls>,
    /// `send-proxy`, `send-proxy-v2` and so on.
    pub send_proxy: Option<SendProxy>,
    /// `init-addr`, `last,libc` by default.
    pub init_addr: Vec<InitAddr>,
    /// `on-marked-down shutdown-sessions`.
    pub shutdown_sessions_on_down: bool,
    /// `on-marked-up shutdown-backup-sessions`.
    pub shutdown_backups_on_up: bool,
    /// `agent-check`.
    pub agent: Option<AgentConfig>,
    /// `track [BACKEND/]SERVER`.
    pub track: Option<Word>,
    /// `source`.
    pub source: Option<SourceConfig>,
    /// `resolvers` and `resolve-…`.
    pub resolve: ResolveConfig,
    /// `tcp-ut`: how long sent data may stay without acknowledgement.
    pub tcp_user_timeout: Option<Duration>,
    /// The line's place.
    pub span: Span,
    /// `socks4`: the proxy (version 4 of SOCKS) through which it is reached.
    pub socks4: Option<SocketAddr>,
    /// `proto`.
    pub proto: Proto,
    /// `pool-max-conn`, `pool-purge-delay`, `max-reuse`.
    pub pool: PoolConfig,
}

/// TLS towards a server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerTls {
    /// `verify none`; required by default.
    pub verify_none: bool,
    /// `ca-file`.
    pub ca_file: Option<Word>,
    /// `sni str(NAME)` with a constant.
    pub sni: Option<String>,
    /// `verifyhost`.
    pub verify_host: Option<String>,
    /// `alpn` protocols in order; empty means that none is negotiated.
    pub alpn: Vec<String>,
    /// Versions and cipher suites.
    pub choice: TlsChoice,
    /// `no-tls-tickets`.
    pub no_tickets: bool,
    /// `no-ssl-reuse`: each connection begins with a full handshake.
    pub no_reuse: bool,
}

/// `stats …` lines of a proxy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StatsPage {
    /// `stats uri`, `/haproxy?stats` by default.
    pub uri: String,
    /// `stats auth USER:PASSWORD`, repeated.
    pub auth: Vec<(String, String)>,
    /// `stats realm`.
    pub realm: Option<String>,
    /// `stats refresh`.
    pub refresh: Option<Duration>,
    /// `stats admin if|unless CONDITION`, each the words from `if` on.
    pub admin: Vec<Vec<Word>>,
    /// `stats http-request …` rules.
    pub http_request: Vec<RuleLine>,
    /// `stats hide-version`.
    pub hide_version: bool,
    /// `stats show-legends`.
    pub show_legends: bool,
    /// `stats show-node [NAME]`; `Some("")` stands for the node's name.
    pub show_node: Option<String>,
    /// `stats show-desc [TEXT]`.
    pub show_desc: Option<String>,
    /// `stats scope`.
    pub scope: Vec<String>,
}

/// `errorfile CODE FILE`, read at load.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorFile {
    /// Status.
    pub status: u16,
    /// The raw HTTP answer as the file holds it.
    pub content: Vec<u8>,
}

/// A `frontend`, `backend` or `listen` section with its defaults applied.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProxyConfig {
    /// What it is.
    pub kind: ProxyKind,
    /// Its name.
    pub name: Word,
    /// `id`, or a number of its own, from 2 on in order of appearance (as HAProxy counts).
    pub id: u32,
    /// `mode`.
    pub mode: Mode,
    /// `disabled`.
    pub disabled: bool,
    /// `description`.
    pub description: Option<String>,
    /// `bind` lines.
    pub binds: Vec<Bind>,
    /// `maxconn` of the frontend.
    pub maxconn: Option<u32>,
    /// `backlog`.
    pub backlog: Option<u32>,
    /// `fullconn` of the backend.
    pub fullconn: Option<u32>,
    /// `timeout …`.
    pub timeouts: Timeouts,
    /// `log …` lines; `log global` puts the global targets here.
    pub logs: Vec<LogTarget>,
    /// `option httplog`, `tcplog`, `log-format`.
    pub traffic_log: TrafficLog,
    /// `log-tag`.
    pub log_tag: Option<String>,
    /// `option idle-close-on-response`.
    pub idle_close_on_response: bool,
    /// `rate-limit sessions`: new sessions a second, 0 for no limit.
    pub session_rate_limit: u32,
    /// `load-server-state-from-file`.
    pub load_state: LoadState,
    /// `server-state-file-name`; the proxy's name if absent.
    pub state_file: Option<String>,
    /// `option dontlognull`.
    pub dontlognull: bool,
    /// `option dontlog-normal`.
    pub dontlog_normal: bool,
    /// `option log-separate-errors`.
    pub log_separate_errors: bool,
    /// `option logasap`.
    pub logasap: bool,
    /// `option log-health-checks`.
    pub log_health_checks: bool,
    /// `option http-keep-alive`, …
    pub connection_mode: ConnectionMode,
    /// `http-reuse`.
    pub http_reuse: HttpReuse,
    /// `option forwardfor`.
    pub forwardfor: Option<ForwardFor>,
    /// `option redispatch [N]`: `Some(-1)` is the default of the last retry.
    pub redispatch: Option<i32>,
    /// `option abortonclose`.
    pub abortonclose: bool,
    /// `option persist`.
    pub persist: bool,
    /// `option allbackups`.
    pub allbackups: bool,
    /// `option tcpka`, `clitcpka`.
    pub client_tcp_keepalive: bool,
    /// `option tcpka`, `srvtcpka`.
    pub server_tcp_keepalive: bool,
    /// `option http-no-delay`, `http-pretend-keepalive` and other switches accepted without effect here, by name.
    pub accepted_options: Vec<String>,
    /// `retries`, 3 by default.
    pub retries: u32,
    /// `option http-buffer-request`.
    pub http_buffer_request: bool,
    /// `option http-ignore-probes`.
    pub http_ignore_probes: bool,
    /// `option disable-h2-upgrade`: HTTP/2 is spoken only where it was agreed on.
    pub disable_h2_upgrade: bool,
    /// `clitcpka-cnt`, `-idle`, `-intvl`: probes of TCP keep-alive towards clients.
    pub client_probes: KeepaliveProbes,
    /// The same with `srvtcpka-…` towards servers.
    pub server_probes: KeepaliveProbes,
    /// `option accept-invalid-http-request`.
    pub accept_invalid_request: bool,
    /// `option accept-invalid-http-response`.
    pub accept_invalid_response: bool,
    /// `option http-use-proxy-header`.
    pub use_proxy_header: bool,
    /// `option http-drop-request-trailers`.
    pub drop_request_trailers: bool,
    /// `option http-drop-response-trailers`.
    pub drop_response_trailers: bool,
    /// `dynamic-cookie-key`.
    pub dynamic_cookie_key: Option<String>,
    /// `option http-restrict-req-hdr-names`.
    pub header_names: HeaderNames,
    /// `http-send-name-header`.
    pub send_name_header: Option<String>,
    /// `retry-on` words, `conn-failure` by default.
    pub retry_on: Vec<Word>,
    /// `acl` lines in order.
    pub acls: Vec<AclLine>,
    /// `tcp-request connection` rules.
    pub tcp_request_connection: Vec<RuleLine>,
    /// `tcp-request inspect-delay`.
    pub inspect_delay: Option<Duration>,
    /// `tcp-request content` and `session` rules, and `inspect-delay`; words from the second on.
    pub tcp_request_content: Vec<RuleLine>,
    /// `http-request` rules in order, `http-request redirect` among them.
    pub http_request: Vec<RuleLine>,
    /// `http-response` rules in order.
    pub http_response: Vec<RuleLine>,
    /// `redirect` rules: evaluated after `http-request`.
    pub redirects: Vec<RuleLine>,
    /// `use_backend` in order.
    pub use_backends: Vec<UseBackend>,
    /// `default_backend`.
    pub default_backend: Option<Word>,
    /// `option transparent`: the server is the client's own destination.
    pub transparent: bool,
    /// `balance`; round robin by default.
    pub balance: Balance,
    /// `hash-type`'s method.
    pub hash_method: HashMethod,
    /// `hash-type`'s function.
    pub hash_function: HashFunction,
    /// `hash-type … avalanche`; also the default of `consistent` without a function.
    pub hash_avalanche: bool,
    /// `hash-balance-factor` in per cent of the average load; 0 is off.
    pub hash_balance_factor: u32,
    /// `use-server` in order.
    pub use_servers: Vec<UseServer>,
    /// `force-persist` and `ignore-persist` in order.
    pub persist_rules: Vec<PersistRule>,
    /// `persist rdp-cookie [(NAME)]`: the cookie's name.
    pub persist_rdp_cookie: Option<String>,
    /// `option prefer-last-server`.
    pub prefer_last_server: bool,
    /// `cookie`.
    pub cookie: Option<CookieConfig>,
    /// How its servers are checked.
    pub check: HealthCheck,
    /// `server` lines.
    pub servers: Vec<ServerConfig>,
    /// `stats …`.
    pub stats: Option<StatsPage>,
    /// `errorfile`.
    pub error_files: Vec<ErrorFile>,
    /// `monitor-uri`.
    pub monitor_uri: Option<String>,
    /// `capture request|response header NAME len N`, as words, in order.
    pub captures: Vec<RuleLine>,
    /// `unique-id-format`, `unique-id-header`.
    pub unique_id: Option<(Word, Option<String>)>,
    /// The section's first line.
    pub span: Span,
}

/// `userlist NAME`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserList {
    /// Its name.
    pub name: Word,
    /// Users: name, password as written, whether it is in the clear (`insecure-password`), groups.
    pub users: Vec<(String, String, bool, Vec<String>)>,
}
