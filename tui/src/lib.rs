//! `tandem`: the dashboard and the scripted commands of Tandem.
//!
//! `client` and `link` do the I/O; `app` is the model without I/O; `view` draws it; `problems` and
//! `plan` judge snapshots for both the dashboard and the commands.

pub mod app;
pub mod cli;
pub mod client;
pub mod commands;
pub mod dashboard;
pub mod history;
pub mod keys;
pub mod link;
pub mod node;
pub mod plan;
pub mod problems;
pub mod routers;
pub mod rows;
pub mod view;
pub mod words;
