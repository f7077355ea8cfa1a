//! The worker as a whole: what every room shares, how it is built from a configuration, how it runs and drains.

pub mod shared;

pub use shared::{
    Clock, ErrorCaptures, EventSink, ProcessCounters, SessionEntry, SessionStage, SessionTable,
    Shared,
};
