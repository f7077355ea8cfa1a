//! The parts of `tandemd` that are not the proxy and not VRRP: the supervisor and the control process.
//!
//! [`start`] reads the command line; [`supervisor`] owns the configuration, the listening sockets and the
//! other processes; [`control`] answers on the stats sockets. [`roles`] is where a child begins.

pub mod arguments;
pub mod birth;
pub mod configuration;
pub mod control;
pub mod handover;
pub mod logging;
pub mod programs;
pub mod proofs;
pub mod roles;
pub mod start;
pub mod supervisor;
pub mod version;
