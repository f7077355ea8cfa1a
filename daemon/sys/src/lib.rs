//! The system's doors: the only crate with unsafe code.
//!
//! Each file wraps one thing that std, nix and socket2 do not offer safely; nothing here knows a protocol of ours.

pub mod adopt;
pub mod alarm;
pub mod batch;
pub mod channel;
pub mod confine;
pub mod datagram;
pub mod descriptors;
pub mod memory;
pub mod namespace;
pub mod neighbour;
pub mod nursery;
pub mod orphan;
pub mod packet;
pub mod privileges;
pub mod realtime;
pub mod spawn;
pub mod splice;
pub mod tcp;
pub mod title;
pub mod watch;
