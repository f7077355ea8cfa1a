//! The runtime API of a worker: operations, and the channel to the control process.

mod apply;
mod patterns;
mod serve;
mod settings;

pub use apply::apply;
pub(crate) use apply::{find as find_server, find_backend, tell_operation};
pub use serve::serve;
pub use settings::{Settings, take_over_settings};
