//! Traffic logs and state changes: formats, syslog lines, targets that never make anybody wait.

pub mod date;
mod format;
pub mod local_time;
mod stamp;
mod variables;

pub use format::{Gauges, Line, LogFormat, Purpose};
