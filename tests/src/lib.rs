//! The harness of the end-to-end tests and of `make demo`: a network in namespaces, nodes that run either `tandemd` or the
//! pair it replaces (haproxy and keepalived), web servers, clients that measure, a terminal and a browser.
//!
//! ```text
//!                          hub: bridge "lan", 10.230.0.0/16
//!      ┌──────────┬───────────┬─────────┬──────────┬──────────┐
//!    a .137.1   b .137.2   web1 .150.68  web2 .150.69  web3 .150.70   client .200.1 to .200.4
//! ```
//!
//! Every host is a network, mount and process namespace of its own with an interface `eth0`; nothing has a route out. A
//! [`Host`] ends with the program that made it, however that program ends, and takes all its processes with it.
//!
//! What the scenarios assert lives in `tests/tests/`; what several of them share, in [`scenario`].

pub mod article;
pub mod beside;
pub mod browser;
pub mod certificate;
pub mod control;
pub mod demo;
pub mod dns;
pub mod failure;
pub mod host;
pub mod http;
pub mod http2;
pub mod lab;
pub mod load;
pub mod machine;
pub mod nginx;
pub mod node;
pub mod origin;
pub mod play;
pub mod prober;
pub mod process;
pub mod requirements;
pub mod scenario;
pub mod sinks;
pub mod steady;
pub mod terminal;
pub mod wait;

pub use control::ControlSocket;
pub use failure::{Context, Failure, Outcome};
pub use host::Host;
pub use lab::Lab;
pub use load::{Load, LoadOptions, Tally};
pub use nginx::Nginx;
pub use node::{Node, NodeFiles, NodeKind, Part};
pub use origin::Origin;
pub use prober::{ProbeOptions, Prober, Report};
pub use process::Process;
pub use requirements::Requirement;
pub use terminal::Terminal;
pub use wait::wait_until;
