//! Traffic logs and state changes: formats, syslog lines, targets that never make anybody wait.

mod batch;
pub mod date;
mod format;
pub mod local_time;
mod plan;
mod reports;
mod sockets;
mod stamp;
mod variables;

pub use format::{Gauges, Line, LogFormat, Purpose};
pub use plan::{LogPlan, MAX_LINE_BYTES, plan};
pub use reports::Reports;
pub use sockets::LogSockets;
pub use stamp::clf_date;
