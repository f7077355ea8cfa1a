//! The version-free HTTP message.

mod grammar;
mod head;

pub use grammar::{is_control, is_token};
pub use head::{Field, Head, Text};
