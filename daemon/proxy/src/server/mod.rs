//! Servers as the data path uses them: a place (`queue`), a connection (`connect`), kept connections (`pool`).

mod connect;
mod pool;
mod queue;

pub use connect::{ConnectError, Connector, ServerConnection, address_for, connect};
pub use pool::{IDLE_LIMIT, drop_all_idle, drop_idle, put_idle, take_idle};
pub use queue::{Admission, Slot, Ticket};
