//! The typed protocol between `tandem` and the control process.
//!
//! A client sends [`crate::wire::CLIENT_MAGIC`], then frames of [`ClientRequest`]; the control process
//! answers with frames of [`ClientReply`].

use serde::{Deserialize, Serialize};

use crate::event::Event;
use crate::operation::{Level, Operation, Refusal};
use crate::snapshot::Snapshot;

/// Version of the typed protocol. A server answers another version with a refusal that names both.
pub const PROTOCOL_VERSION: u32 = 1;
/// Shortest interval of pushed snapshots in milliseconds; shorter wishes are raised to it.
pub const MIN_PUSH_INTERVAL_MS: u64 = 100;

/// A request with its number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientRequest {
    /// Comes back in the answer; from 1.
    pub id: u64,
    /// What.
    pub body: ClientAsk,
}

/// What a client asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClientAsk {
    /// First of all.
    Hello {
        /// The client's [`PROTOCOL_VERSION`].
        version: u32,
    },
    /// One snapshot.
    Snapshot,
    /// Snapshots at an interval, and events as they happen, until the connection ends.
    Subscribe {
        /// Milliseconds between snapshots.
        interval_ms: u64,
    },
    /// History: events after a sequence number, at most 1,000, oldest first.
    Events {
        /// 0 for all that is kept.
        after: u64,
    },
    /// A change.
    Do(Operation),
    /// A text command, answered as on the text socket.
    Text(String),
}

/// What the control process answers; `id` 0 marks a push.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClientReply {
    /// The request's number, or 0.
    pub id: u64,
    /// What.
    pub body: ClientTell,
}

/// What a client is told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ClientTell {
    /// Answer to Hello.
    Welcome {
        /// The server's [`PROTOCOL_VERSION`].
        version: u32,
        /// The node's name.
        node: String,
        /// What this client may do.
        level: Level,
    },
    /// Answer to Snapshot, or pushed.
    Snapshot(Box<Snapshot>),
    /// Answer to Events, or pushed.
    Events(Vec<Event>),
    /// A change is done; the text may be empty.
    Done(String),
    /// It was not done.
    Refused(Refusal),
    /// Answer to Text.
    Text(String),
}
