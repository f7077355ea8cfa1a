//! The worker: listeners, TLS, HTTP/1, rules, balancing, servers, health and traffic logs.
//!
//! Rooms stand on floors and use only lower ones; see ARCHITECTURE.md.

pub mod acl;
pub mod app;
pub mod balance;
pub mod command;
mod gate;
pub mod health;
pub mod http;
pub mod http1;
pub mod http2;
pub mod listener;
pub mod log;
pub mod net;
pub mod pattern;
pub mod persistence;
pub mod proxy;
pub mod resolve;
pub mod rules;
pub mod sample;
pub mod server;
pub mod state;
pub mod stats;
pub mod tcp;
pub mod tls;
pub mod txn;

pub use app::{ListenerKey, Setup, check, listener_keys, run};
