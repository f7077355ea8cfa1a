//! Text of HAProxy's and keepalived's configuration languages to a typed model and diagnostics.
//!
//! This crate knows the grammar of both languages and their scalar settings. It opens no sockets and
//! starts nothing. The vocabulary that runs (sample fetches, converters, actions) belongs to the
//! daemon; lines made of it are kept here as [`Word`]s with their places, so that the daemon can
//! report errors as precisely as this crate does. [`load`] is the door.

pub mod diagnostic;
pub mod haproxy;
pub mod keepalived;
pub mod load;
pub mod source;
pub mod suggest;

pub use diagnostic::{Diagnostic, DiagnosticKind, Diagnostics, Severity};
pub use load::{Input, Loaded, load, load_as};
pub use source::{FileId, SourceMap, Span, Word};
