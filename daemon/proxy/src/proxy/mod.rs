//! HTTP from a client's request to the end of its answer. [`walk`] tells the whole way; the other files are its steps.

mod answer;
mod body;
mod close;
mod connection;
mod conversation;
mod exchange;
mod failure;
mod finish;
mod leave;
mod multiplex;
mod parked;
mod reach;
mod ready;
mod receive;
mod request_body;
mod streams;
mod typed;
mod upload;
mod walk;

pub use connection::{Connection, Interrupt, Presence};
pub use conversation::{Conversation, Opening};
pub use exchange::Exchange;
pub(crate) use finish::{account, log_early, log_transaction};
pub use multiplex::serve as serve_http2;
pub use parked::drive as drive_parked;
pub(crate) use reach::server_by_rule;
pub use reach::{Target, reach_server};

/// A body longer than this is moved in large buffers, or without being copied.
const LARGE_BODY: u64 = 32 << 10;
