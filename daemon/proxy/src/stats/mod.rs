//! The worker's figures: the snapshot that every renderer reads, `clear counters`, and the statistics page.

mod service;
mod snapshot;

pub use service::{StatsService, service};
pub use snapshot::{clear, snapshot};
