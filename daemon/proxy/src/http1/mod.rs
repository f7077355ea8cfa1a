//! HTTP/1: strict parsing into a head, framing decided once, heads written anew, bodies decoded and framed.
//!
//! Pure: bytes in, bytes out. What is ambiguous is refused (RFC 9112 6.3, 11.2).

mod body;
mod parse;
pub mod relaxed;
mod target;
mod write;

pub use body::{
    BodyDecoder, BodyError, BodyLength, end_chunks, end_chunks_with, is_trailer_allowed, push_chunk,
};
pub use parse::{
    Limits, ParseError, Parsed, RequestFacts, ResponseFacts, content_length, parse_request,
    parse_response,
};
pub use write::{ClientPersistence, Framing, write_request_head, write_response_head};
