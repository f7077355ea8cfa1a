//! The worker as a whole: what every room shares, how it is built from a configuration, how it runs and drains.

mod build;
mod figures;
mod run;
mod servers;
pub mod shared;
mod state_file;
mod takeover;
mod tracked;

pub use build::{
    App, BackendRuntime, FrontendRuntime, ListenerKey, ListenerRuntime, ServerRuntime, build,
    check, listener_keys,
};
pub use run::{Setup, run};
pub use servers::{add_server, remove_server};
pub use shared::{
    Clock, ErrorCaptures, EventSink, ProcessCounters, SessionEntry, SessionStage, SessionTable,
    Shared,
};
