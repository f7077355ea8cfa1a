//! HAProxy's configuration language.

pub mod model;

pub use model::*;
