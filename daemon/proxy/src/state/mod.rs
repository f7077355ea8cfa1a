//! Frontends, backends and servers: ids, administrative and operational state, counters.
//!
//! One owner for each fact: configuration is fixed, counters are atomics, and what checks and
//! operators change goes through [`Server`]'s methods, which tell the backend.

mod backend;
mod counters;
mod frontend;
mod places;
mod protocols;
mod server;

pub use backend::{Availability, Backend, BackendCounters, BackendId, MAX_SERVERS};
pub use counters::{
    Average, Counter, MaxGauge, RateMeter, ResponseCounters, add, set_sole_writer, subtract,
};
pub use frontend::{Frontend, FrontendCounters, FrontendId};
pub use places::{Places, Table};
pub use protocols::ProtocolCounters;
pub use server::{
    AgentHealth, CHECK_WORDS, Health, Server, ServerCounters, ServerId, Usability, check_word,
};
