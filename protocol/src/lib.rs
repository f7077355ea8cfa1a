//! Plain data on the control socket and between the processes of the daemon.
//!
//! Nothing here opens a socket. [`wire`] alone knows the codec; [`render`] and [`stat_fields`] turn a
//! [`Snapshot`] into the formats that HAProxy's tools read.

pub mod client;
pub mod event;
pub mod explain;
pub mod operation;
pub mod patterns;
pub mod process;
pub mod protocol_stats;
pub mod render;
pub mod snapshot;
pub mod stat_fields;
pub mod vrrp;
pub mod wire;
pub mod worker;

pub use event::{Event, EventKind, EventSeverity, EventSource};
pub use operation::{Level, Operation, Refusal, ServerName};
pub use snapshot::Snapshot;
