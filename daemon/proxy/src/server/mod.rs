//! Servers as the data path uses them: a place (`queue`), a connection (`connect`), kept connections (`pool`),
//! another try (`retry`).

mod connect;
mod pool;
mod proxy_header;
mod queue;
mod retry;
mod shared;
mod socks;

pub use connect::{
    Client, ConnectError, Connector, ServerConnection, address_for, connect, connect_unix,
    has_named_source, is_private, named_source, open_socket,
};
pub use pool::{Proof, drop_all_idle, drop_idle, is_worn_out, put_idle, take_idle};
pub use proxy_header::{check_header, proxy_header};
pub use queue::{Admission, Slot, Ticket};
pub use retry::RetryOn;
pub use shared::{open_shared, take_shared};
pub use socks::ask as ask_socks;
