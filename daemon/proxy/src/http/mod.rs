//! The version-free HTTP message.

mod head;

pub use head::{Field, Head, Text};
