//! HTTP/2: heads between the `h2` crate's types and [`Head`](crate::http::Head), streams that look like connections to
//! the walk, and the bounds that a peer's frames must keep.
//!
//! What drives a client's connection is `proxy::multiplex`; here is what it is made of.

mod body;
mod client_stream;
mod floods;
mod head;
mod server_stream;
mod settings;
mod watch;
mod websocket;
mod wire;

pub use client_stream::ClientStream;
pub use floods::{Flood, Floods};
pub use head::{
    Refusal, request_from_head, request_into_head, response_from_head, response_into_head,
};
pub use server_stream::{Said, ServerStream, StreamPlace, StreamPlaces};
pub use settings::Settings;
pub use watch::{Transport, Watch};
pub use websocket::{asks_for_websocket, websocket_accept};
pub use wire::Wire;

/// What an HTTP/2 client says first (RFC 9113 3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
