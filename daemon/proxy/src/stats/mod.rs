//! The worker's figures: the snapshot that every renderer reads, `clear counters`, and the statistics page.

mod page;
mod service;
mod snapshot;

pub use service::{MAX_FORM_BYTES, StatsService, service};
pub use snapshot::{clear, snapshot};
