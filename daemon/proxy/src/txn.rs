//! A session (one client connection), a transaction (one request or one relayed stream), their
//! timings, and how they end.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::http::Head;
use crate::net::Peeked;
use crate::state::{Backend, Frontend, Server};

/// What TLS told of a connection.
#[derive(Clone, Debug, Default)]
pub struct TlsInfo {
    /// Name asked for by SNI.
    pub sni: Option<String>,
    /// `TLSv1.3`.
    pub version: &'static str,
    /// Cipher suite's name as OpenSSL writes it.
    pub cipher: &'static str,
    /// Protocol chosen by ALPN.
    pub alpn: Option<String>,
    /// Whether the session was resumed.
    pub resumed: bool,
}

/// One client connection, or one stream of a client's HTTP/2 connection.
#[derive(Clone, Debug)]
pub struct Session {
    /// Its number in this worker.
    pub id: u64,
    /// Where it was accepted.
    pub frontend: Arc<Frontend>,
    /// `name` of the bind line, or its number.
    // A thin pointer: an idle connection holds it.
    pub listener: Arc<String>,
    /// Client, as a PROXY header says if there was one; `0.0.0.0:0` for a unix socket.
    pub source: SocketAddr,
    /// Where it connected to, as above.
    pub destination: SocketAddr,
    /// Microseconds since 1970 of the accept.
    pub accepted_wall_us: u64,
    /// Microseconds of the worker's clock of the accept.
    pub accepted_us: u64,
    /// TLS, if it is.
    pub tls: Option<Arc<TlsInfo>>,
    /// Whether it speaks HTTP/2.
    pub is_http2: bool,
    /// What a PROXY header told, if there was one.
    pub proxied: Option<Arc<Proxied>>,
}

/// A connection that began with a PROXY header.
#[derive(Debug)]
pub struct Proxied {
    /// The peer that sent it: the connection's own source.
    pub source: SocketAddr,
    /// The connection's own destination.
    pub destination: SocketAddr,
    /// The authority TLV.
    pub authority: Option<Vec<u8>>,
    /// The unique ID TLV.
    pub unique_id: Option<Vec<u8>>,
}

impl Session {
    /// Client and where it connected to; `None` for a unix socket.
    pub fn addresses(&self) -> Option<(SocketAddr, SocketAddr)> {
        (!self.source.ip().is_unspecified()).then_some((self.source, self.destination))
    }

    /// The connection's own source and destination, whatever a PROXY header says.
    pub fn own_addresses(&self) -> (SocketAddr, SocketAddr) {
        match &self.proxied {
            Some(proxied) => (proxied.source, proxied.destination),
            None => (self.source, self.destination),
        }
    }
}

/// First letter of the termination state (manual, "8.5. Session state at disconnection").
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Cause {
    #[default]
    Normal,
    Client,
    ClientTimeout,
    Server,
    ServerTimeout,
    /// Refused by the proxy: rule, limit, syntax.
    Proxy,
    /// A resource ran out.
    Resource,
    Internal,
    /// The server was marked down (`on-marked-down`).
    Down,
    /// A session of a backup server that ended because an active one is up again (`on-marked-up shutdown-backup-sessions`).
    ActiveUp,
    /// Killed by an operator.
    Killed,
    /// Answered by ourselves: redirect, statistics, `return`.
    Local,
}

impl Cause {
    /// The letter in logs.
    pub fn letter(self) -> u8 {
        match self {
            Self::Normal => b'-',
            Self::Client => b'C',
            Self::ClientTimeout => b'c',
            Self::Server => b'S',
            Self::ServerTimeout => b's',
            Self::Proxy => b'P',
            Self::Resource => b'R',
            Self::Internal => b'I',
            Self::Down => b'D',
            Self::ActiveUp => b'U',
            Self::Killed => b'K',
            Self::Local => b'L',
        }
    }
}

/// Second letter: how far it had come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Stage {
    #[default]
    Done,
    Request,
    Queue,
    Connect,
    Headers,
    Data,
    Last,
    Tarpit,
}

impl Stage {
    /// The letter in logs.
    pub fn letter(self) -> u8 {
        match self {
            Self::Done => b'-',
            Self::Request => b'R',
            Self::Queue => b'Q',
            Self::Connect => b'C',
            Self::Headers => b'H',
            Self::Data => b'D',
            Self::Last => b'L',
            Self::Tarpit => b'T',
        }
    }
}

/// How a transaction ended. It alone decides the log letters, the counters and the error page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Termination {
    /// Who or what ended it.
    pub cause: Cause,
    /// How far it was.
    pub stage: Stage,
}

impl Termination {
    /// An end with its cause and stage.
    pub fn new(cause: Cause, stage: Stage) -> Self {
        Self { cause, stage }
    }

    /// The status of the error page that a client gets if no answer was begun; `None` where nobody would read it.
    pub fn error_status(self) -> Option<u16> {
        match (self.cause, self.stage) {
            (Cause::ClientTimeout, Stage::Request | Stage::Headers | Stage::Data) => Some(408),
            (Cause::Proxy, Stage::Headers | Stage::Data) => Some(502),
            (Cause::Proxy, Stage::Connect | Stage::Queue) => Some(503),
            (Cause::Proxy, _) => Some(403),
            (Cause::Client, Stage::Request | Stage::Headers) => Some(400),
            (Cause::ServerTimeout, Stage::Headers | Stage::Data) => Some(504),
            (Cause::ServerTimeout | Cause::Server, Stage::Connect | Stage::Queue) => Some(503),
            (Cause::Server, _) => Some(502),
            (Cause::Down | Cause::ActiveUp | Cause::Killed, Stage::Headers | Stage::Data) => {
                Some(502)
            }
            (Cause::Down | Cause::ActiveUp | Cause::Killed, _) => Some(503),
            (Cause::Resource | Cause::Internal, _) => Some(500),
            (
                Cause::Client
                | Cause::ClientTimeout
                | Cause::Normal
                | Cause::Local
                | Cause::ServerTimeout,
                _,
            ) => None,
        }
    }
}

/// Times of a transaction in microseconds of the worker's clock; 0 where a step was not reached.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timings {
    /// Accept, or the end of the previous transaction.
    pub start_us: u64,
    /// First byte of the request (`%TR` counts from here; `%Ti` until here).
    pub first_byte_us: u64,
    /// The request's head was complete.
    pub request_us: u64,
    /// It left the queue (a server's place was free).
    pub dequeued_us: u64,
    /// The server's connection was there.
    pub connected_us: u64,
    /// The answer's head was complete.
    pub response_us: u64,
    /// The end.
    pub end_us: u64,
}

/// A request's priority in queues (`http-request set-priority-class`, `set-priority-offset`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Priority {
    /// Lower classes go first, whatever the others have waited.
    pub class: i16,
    /// Milliseconds by which it counts as having come later (or, below 0, earlier).
    pub offset_ms: i32,
}

/// A kept body's memory above this is not kept for the next request.
const MAX_KEPT_BODY: usize = 64 << 10;

/// What persistence remembers between a request and its answer.
#[derive(Clone, Copy, Debug, Default)]
pub struct PersistenceState {
    /// The request's cookie led to the server that was used.
    pub direct: bool,
    /// Last-use date of the cookie as the client sent it (30 bits of seconds divided by 4), 0 for none.
    pub last_date: u64,
    /// First-use date, 0 for none.
    pub first_date: u64,
    /// `ignore-persist` holds: the client gets no cookie either.
    pub ignored: bool,
}

/// One request with its answer, or one relayed stream.
#[derive(Debug, Default)]
pub struct Transaction {
    /// The request's head (empty in TCP).
    pub request: Head,
    /// The answer's head.
    pub response: Head,
    /// A stream's first bytes while rules may look at them (TCP only).
    pub peeked: Option<Box<Peeked>>,
    /// The request line as the client sent it, for logs; at most 1,024 bytes.
    pub request_line: Vec<u8>,
    /// Chosen backend.
    pub backend: Option<Arc<Backend>>,
    /// Chosen server.
    pub server: Option<Arc<Server>>,
    /// Times.
    pub timings: Timings,
    /// End.
    pub termination: Termination,
    /// Third and fourth letter: persistence cookie in the request, and in the answer.
    pub cookie_letters: [u8; 2],
    /// Status sent to the client; 0 for none (`-1` in logs).
    pub status: u16,
    /// Bytes read from the client.
    pub bytes_in: u64,
    /// Bytes sent to the client, head included (`%B`).
    pub bytes_out: u64,
    /// Connection retries.
    pub retries: u32,
    /// Whether it was redispatched (`+` before the retries in logs).
    pub redispatched: bool,
    /// Requests before it in the server's and the backend's queue.
    pub queue_positions: (u32, u32),
    /// What is kept of the request's body: read before the rules, or to be sent again.
    pub body: Vec<u8>,
    /// `http-request disable-l7-retry`: after it was sent once, the request is not sent again.
    pub no_replay: bool,
    /// Values captured from the request, by capture slot.
    pub captured_request: Vec<Vec<u8>>,
    /// Values captured from the answer, by capture slot.
    pub captured_response: Vec<Vec<u8>>,
    /// Values of `capture cookie` in the request and in the answer; empty for none.
    pub captured_cookies: [Vec<u8>; 2],
    /// Variables of scope `txn`, `req`, `res` by name.
    pub variables: Vec<(String, Vec<u8>)>,
    /// Whether the statistics page answered (`<STATS>` in logs).
    pub is_statistics: bool,
    /// Severity set by `set-log-level`.
    pub log_level: Option<config::haproxy::LogLevel>,
    /// Its priority in queues.
    pub priority: Priority,
    /// What persistence has to remember between request and answer.
    pub persistence: PersistenceState,
    /// Whether the request is one to a proxy, whose authentication has fields of its own (`option http-use-proxy-header`).
    pub is_to_proxy: bool,
    /// `http-request set-log-level silent`.
    pub silent: bool,
    /// Its log line was written before its end (`option logasap`).
    pub is_logged: bool,
    /// The session's source and destination before `set-src`, `set-dst` and their ports changed them for this transaction.
    pub told_addresses: Option<Box<(SocketAddr, SocketAddr)>>,
}

impl Transaction {
    /// Back to the beginning; the memory is kept.
    pub fn clear(&mut self) {
        let Self {
            request,
            response,
            request_line,
            captured_request,
            captured_response,
            variables,
            body,
            ..
        } = self;
        request.clear();
        response.clear();
        request_line.clear();
        captured_request.clear();
        captured_response.clear();
        variables.clear();
        body.clear();
        *self = Self {
            request: std::mem::take(request),
            response: std::mem::take(response),
            request_line: std::mem::take(request_line),
            captured_request: std::mem::take(captured_request),
            captured_response: std::mem::take(captured_response),
            variables: std::mem::take(variables),
            body: if body.capacity() <= MAX_KEPT_BODY {
                std::mem::take(body)
            } else {
                Vec::new()
            },
            ..Self::default()
        };
    }

    /// A variable's value by its full name (`txn.x`).
    pub fn variable(&self, name: &str) -> Option<&[u8]> {
        self.variables
            .iter()
            .find(|(found, _)| found == name)
            .map(|(_, value)| value.as_slice())
    }

    /// Sets a variable, or takes it away.
    pub fn set_variable(&mut self, name: &str, value: Option<Vec<u8>>) {
        self.variables.retain(|(found, _)| found != name);
        if let Some(value) = value {
            self.variables.push((name.to_owned(), value));
        }
    }
}
