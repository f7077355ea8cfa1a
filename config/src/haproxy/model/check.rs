//! How servers are checked, as the configuration says it: kinds of checks, their steps, agents, and what failures do.
//!
//! HAProxy's manual, `option httpchk`, `http-check`, `option tcp-check`, `tcp-check`, `agent-check`, `observe`.

use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::bind::Proto;
use super::tls::ServerTls;
use crate::source::{Span, Word};

/// How the servers of a proxy are checked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthCheck {
    /// The kind.
    pub kind: CheckKind,
    /// `http-check` or `tcp-check` rules in order; empty for the other kinds.
    pub steps: Vec<CheckStep>,
    /// `http-check disable-on-404`.
    pub disable_on_404: bool,
    /// `http-check send-state`.
    pub send_state: bool,
}

/// What a check speaks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum CheckKind {
    /// The connection alone, or what `tcp-check` rules say.
    #[default]
    Tcp,
    /// `option tcp-check` with its rules.
    TcpScript,
    /// `option httpchk`, which says what is sent where no rule says it.
    Http(HttpRequest),
    /// `option ssl-hello-chk`.
    SslHello,
    /// `option smtpchk [HELO|EHLO DOMAIN]`: the line that greets, without its end.
    Smtp(String),
    /// `option mysql-check [user NAME [post-41|pre-41]]`.
    Mysql {
        /// The user to log in as; without one the greeting is enough.
        user: Option<String>,
        /// `pre-41`: the handshake of MySQL before 4.1.
        pre_41: bool,
    },
    /// `option pgsql-check user NAME`.
    Pgsql(String),
    /// `option redis-check`.
    Redis,
    /// `option ldap-check`.
    Ldap,
    /// `option external-check`.
    External {
        /// `external-check command`.
        command: String,
        /// `external-check path`, the `PATH` of the command.
        path: String,
    },
}

/// A request of `option httpchk`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpRequest {
    /// Method, `OPTIONS` by default.
    pub method: String,
    /// Target, `/` by default.
    pub uri: String,
    /// Version, `HTTP/1.0` by default.
    pub version: String,
    /// Headers behind the version, the old way to write them.
    pub headers: Vec<(String, String)>,
}

impl Default for HttpRequest {
    fn default() -> Self {
        Self {
            method: "OPTIONS".to_owned(),
            uri: "/".to_owned(),
            version: "HTTP/1.0".to_owned(),
            headers: Vec::new(),
        }
    }
}

/// A rule of `http-check` or `tcp-check`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckStep {
    /// What it does.
    pub action: CheckAction,
    /// `comment`, its own or that of a `comment` rule before it.
    pub comment: Option<String>,
    /// Where it was written.
    pub span: Span,
}

/// What a rule of a check does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CheckAction {
    /// `comment`: counts as a step, and is told where the next one fails.
    Comment,
    /// `connect`.
    Connect(CheckConnect),
    /// `tcp-check send…`.
    Send(CheckData),
    /// `http-check send`.
    HttpSend(HttpSend),
    /// `expect`.
    Expect(CheckExpect),
    /// `set-var(NAME) EXPR`.
    SetVar(String, Word),
    /// `set-var-fmt(NAME) FMT`.
    SetVarFormat(String, Word),
    /// `unset-var(NAME)`.
    UnsetVar(String),
}

/// `connect`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckConnect {
    /// `default`: what is not said here is taken from the server's line.
    pub default: bool,
    /// `port`: a number or an expression.
    pub port: Option<Word>,
    /// `addr` with the port written behind it (0 for none).
    pub address: Option<(IpAddr, u16)>,
    /// `send-proxy`.
    pub send_proxy: bool,
    /// `ssl`.
    pub tls: bool,
    /// `sni`.
    pub sni: Option<String>,
    /// `alpn`.
    pub alpn: Vec<String>,
    /// `proto`.
    pub proto: Proto,
    /// `via-socks4`.
    pub via_socks4: bool,
    /// `linger`: close in order rather than by a reset.
    pub linger: bool,
}

/// What is sent, or looked for in an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CheckData {
    /// A text.
    Text(String),
    /// A log format.
    Format(Word),
    /// Bytes, written in hexadecimal.
    Binary(Vec<u8>),
    /// A log format that yields hexadecimal digits.
    BinaryFormat(Word),
}

/// `http-check send`: what it does not say is as `option httpchk` said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpSend {
    /// `meth`.
    pub method: Option<String>,
    /// `uri`, `uri-lf`.
    pub uri: Option<CheckData>,
    /// `ver`.
    pub version: Option<String>,
    /// `hdr NAME FMT`.
    pub headers: Vec<(String, Word)>,
    /// `body`, `body-lf`.
    pub body: Option<CheckData>,
    /// A `Connection` header was written: it is dropped, and none is added.
    pub without_connection: bool,
}

/// `expect`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckExpect {
    /// `!`.
    pub negated: bool,
    /// What is expected.
    pub what: ExpectKind,
    /// `min-recv`; `None` for -1.
    pub min_recv: Option<u32>,
    /// `ok-status`.
    pub ok_status: Option<String>,
    /// `error-status`.
    pub error_status: Option<String>,
    /// `tout-status`.
    pub timeout_status: Option<String>,
    /// `on-success`.
    pub on_success: Option<Word>,
    /// `on-error`.
    pub on_error: Option<Word>,
    /// `status-code`.
    pub status_code: Option<Word>,
}

/// What a check's answer must hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExpectKind {
    /// `status CODES`: ranges, both ends included.
    Status(Vec<(u16, u16)>),
    /// `rstatus REGEX`.
    StatusRegex(Word),
    /// `hdr` (values apart at commas) or `fhdr` (whole).
    Header {
        /// `fhdr`.
        full: bool,
        /// Which headers.
        name: TextMatch,
        /// Which values; every one if absent.
        value: Option<TextMatch>,
    },
    /// `string`, `string-lf`, `binary`, `binary-lf`.
    Contains(CheckData),
    /// `rstring REGEX`.
    Regex(Word),
    /// `rbinary REGEX`: on the hexadecimal digits of the answer.
    BinaryRegex(Word),
}

/// A header's name or value in `expect hdr`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TextMatch {
    /// `-m`.
    pub method: MatchMethod,
    /// The text or expression.
    pub text: Word,
    /// `name-lf`, `value-lf`.
    pub format: bool,
}

/// `-m`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum MatchMethod {
    #[default]
    Exact,
    Prefix,
    Suffix,
    Substring,
    Regex,
}

/// Check settings of a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckConfig {
    /// `inter`, 2 s by default.
    pub inter: Duration,
    /// `fastinter`; `inter` by default.
    pub fastinter: Option<Duration>,
    /// `downinter`; `inter` by default.
    pub downinter: Option<Duration>,
    /// `rise`, 2 by default.
    pub rise: u32,
    /// `fall`, 3 by default.
    pub fall: u32,
    /// `port`; the server's own by default.
    pub port: Option<u16>,
    /// `addr`; the server's own by default.
    pub address: Option<IpAddr>,
    /// `check-ssl`, or `ssl` of a server that is checked where it serves.
    pub tls: bool,
    /// The server's settings of TLS, with `check-sni`, whether `tls` is set or not: `connect ssl` uses them.
    pub tls_options: ServerTls,
    /// `check-alpn`.
    pub alpn: Vec<String>,
    /// `check-proto`; the server's own `proto` by default.
    pub proto: Proto,
    /// `check-via-socks4`.
    pub via_socks4: bool,
    /// `check-send-proxy`, or the server's own `send-proxy` where the check goes to the same address and port.
    pub send_proxy: bool,
    /// `observe`.
    pub observe: Option<Observe>,
    /// `error-limit`, 10 by default.
    pub error_limit: u32,
    /// `on-error`.
    pub on_error: OnError,
    /// `init-state`.
    pub init_state: InitState,
}

impl Default for CheckConfig {
    fn default() -> Self {
        Self {
            inter: Duration::from_secs(2),
            fastinter: None,
            downinter: None,
            rise: 2,
            fall: 3,
            port: None,
            address: None,
            tls: false,
            tls_options: ServerTls::default(),
            alpn: Vec::new(),
            proto: Proto::Auto,
            via_socks4: false,
            send_proxy: false,
            observe: None,
            error_limit: 10,
            on_error: OnError::FailCheck,
            init_state: InitState::Up,
        }
    }
}

/// `observe`: which part of the traffic is watched for errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Observe {
    /// Connections that fail.
    Layer4,
    /// Answers that are wrong, too.
    Layer7,
}

/// `on-error`: what happens after `error-limit` errors in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnError {
    /// The next check comes soon.
    FastInter,
    /// As if a check had failed.
    FailCheck,
    /// One more failed check takes the server out.
    SuddenDeath,
    /// The server is out at once.
    MarkDown,
}

/// `init-state`: what a checked server is before its first check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum InitState {
    /// Up, and one failed check takes it out.
    Up,
    /// Up, and `fall` failed checks take it out.
    FullyUp,
    /// Down, and one good check brings it up.
    Down,
    /// Down, and `rise` good checks bring it up.
    FullyDown,
}

/// `agent-check` of a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentConfig {
    /// `agent-port`.
    pub port: u16,
    /// `agent-addr`; the server's own by default.
    pub address: Option<String>,
    /// `agent-send`.
    pub send: String,
    /// `agent-inter`, 2 s by default.
    pub inter: Duration,
}
