//! Sync groups: every node has a virtual router on each of several links, and all of a node's are master or none.
//!
//! The links have networks of their own that fail one by one; a node's clock, process and group are one.

mod node;
mod run;
mod world;

pub(crate) use run::run;

/// Most links of a simulation.
const MAX_LINKS: usize = 3;
