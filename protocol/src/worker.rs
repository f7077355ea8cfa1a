//! What the control process asks of a worker, and what a worker tells.

use serde::{Deserialize, Serialize};

use crate::event::Event;
use crate::operation::{Operation, Refusal};
use crate::patterns::PatternAsk;
use crate::snapshot::WorkerSnapshot;

/// Asked of a worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WorkerAsk {
    /// All figures.
    Snapshot,
    /// `show sess`: at most [`MAX_SESSIONS_SHOWN`].
    Sessions,
    /// `show errors`: the last refused request and answer of each proxy.
    Errors,
    /// A command on lists of patterns; answered by [`WorkerTell::Done`].
    Patterns(PatternAsk),
    /// A change.
    Do(Operation),
}

/// Most sessions in one answer.
pub const MAX_SESSIONS_SHOWN: usize = 20_000;

/// A request with its number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerRequest {
    /// Comes back in the answer.
    pub id: u64,
    /// What.
    pub ask: WorkerAsk,
}

/// A session as `show sess` tells of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionInfo {
    /// Its number.
    pub id: u64,
    /// `tcpv4`, `tcpv6`, `unix_stream`.
    pub protocol: String,
    /// The client's address and port.
    pub source: String,
    /// Frontend.
    pub frontend: String,
    /// Backend, if chosen.
    pub backend: String,
    /// Server, if chosen.
    pub server: String,
    /// Milliseconds since it was accepted.
    pub age_ms: u64,
    /// Milliseconds since its last byte either way.
    pub idle_ms: u64,
    /// Requests on it so far.
    pub requests: u64,
    /// What it waits for: `request`, `queue`, `connect`, `response`, `data`, `keep-alive`, `tunnel`.
    pub stage: String,
}

/// A refused message as `show errors` tells of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorCapture {
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// The proxy that refused it.
    pub proxy: String,
    /// Whether it was a request (else an answer).
    pub is_request: bool,
    /// The other proxy involved, or empty.
    pub backend: String,
    /// The server, or empty.
    pub server: String,
    /// Client's address and port.
    pub source: String,
    /// What was wrong.
    pub reason: String,
    /// Position of the offending byte.
    pub position: usize,
    /// The message's first bytes, at most [`MAX_CAPTURE_BYTES`].
    pub bytes: Vec<u8>,
}

/// Most bytes that are kept of a refused message.
pub const MAX_CAPTURE_BYTES: usize = 1_024;

/// Told by a worker to the control process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum WorkerTell {
    /// Answer to [`WorkerAsk::Snapshot`].
    Snapshot {
        /// The request's number.
        id: u64,
        /// All figures.
        snapshot: Box<WorkerSnapshot>,
    },
    /// Answer to [`WorkerAsk::Sessions`].
    Sessions {
        /// The request's number.
        id: u64,
        /// The sessions.
        sessions: Vec<SessionInfo>,
    },
    /// Answer to [`WorkerAsk::Errors`].
    Errors {
        /// The request's number.
        id: u64,
        /// The captures.
        errors: Vec<ErrorCapture>,
    },
    /// Answer to [`WorkerAsk::Do`] and [`WorkerAsk::Patterns`].
    Done {
        /// The request's number.
        id: u64,
        /// What was done (may be empty), or why not.
        result: Result<String, Refusal>,
    },
    /// Something happened.
    Event(Event),
    /// An operator made this change on the statistics page.
    Operated(Operation),
}
