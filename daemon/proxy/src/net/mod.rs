//! Bytes on the move: buffers from a pool, streams of every transport, lazy timers. Knows no protocol.

mod buffer;
mod fresh;
mod peeked;
mod pipe;
pub mod proxy_protocol;
mod proxy_receive;
mod socket;
mod stream;
mod timer;
mod tls;

pub use buffer::{BUFFER_BYTES, Buffer, LARGE_BUFFER_BYTES, set_buffer_bytes};
pub use fresh::{Fresh, wake_unwatched};
pub use peeked::{HeadSeen, Peeked};
pub use pipe::{Splice, set_pipes, wanted_pipes};
pub use proxy_receive::{ReceiveError, receive as receive_proxy_header};
pub use stream::{Stream, poll_write_all};
pub use timer::{Timer, drive as drive_timers};
pub use tls::TlsStream;
