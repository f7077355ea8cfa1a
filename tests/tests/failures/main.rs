//! Servers that die at every stage, clients that are slow or silent, and what everybody else notices of them. Beside
//! haproxy: what a client gets and what the log says.

mod clients;
mod others;
mod rows;
mod servers;
mod silent;
mod soak;
mod stages;
