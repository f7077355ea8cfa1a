//! What a configuration cannot do, proved from its text: warnings of `tandemd -c`.
//!
//! `alone` looks at one node, `pair` at both, `table` says for every single failure who becomes master.
//! Everything here is pure: what is known of this host comes in as a value.

mod alone;
mod bfd;
mod election;
mod keys;
mod links;
mod pair;
mod table;
#[cfg(test)]
mod tests;
mod tracked;

pub use alone::prove;
pub use pair::{PairProof, Side, prove_pair};
pub use table::{Holder, Return, Row, Scenario, render};
pub use tracked::Program;

use std::net::IpAddr;

use ipnet::IpNet;

/// What is known of the host whose configuration is proved.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Host {
    /// Its interfaces.
    pub interfaces: Vec<HostInterface>,
}

/// An interface of the host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostInterface {
    /// Its name.
    pub name: String,
    /// Its addresses with their prefix lengths.
    pub networks: Vec<IpNet>,
}

impl Host {
    /// Notes an interface, once.
    pub fn add_interface(&mut self, name: &str) -> &mut HostInterface {
        let at = match self.interfaces.iter().position(|known| known.name == name) {
            Some(at) => at,
            None => {
                self.interfaces.push(HostInterface {
                    name: name.to_owned(),
                    networks: Vec::new(),
                });
                self.interfaces.len() - 1
            }
        };
        &mut self.interfaces[at]
    }

    /// Notes an interface's address; a prefix length that cannot be is left out.
    pub fn add_address(&mut self, interface: &str, address: IpAddr, prefix_length: u8) {
        let interface = self.add_interface(interface);
        interface
            .networks
            .extend(IpNet::new(address, prefix_length).ok());
    }

    /// The interface with this name.
    pub fn interface(&self, name: &str) -> Option<&HostInterface> {
        self.interfaces
            .iter()
            .find(|interface| interface.name == name)
    }
}
