//! Names of servers while the worker runs: `resolvers` sections, their questions and what answers change (configuration
//! manual, 5.3).
//!
//! `message` reads and writes DNS messages, `transport` asks name servers, `records` keeps what was answered and deals
//! addresses out, `run` is the tasks, one a name, and `change` tells servers. How traffic is handled is not known here.

mod change;
mod message;
mod records;
mod run;
mod transport;

use std::net::SocketAddr;
use std::sync::Mutex;

use config::haproxy::{HaproxyConfig, NameServer, ResolversConfig};
use protocol::snapshot::{NameServerStats, ResolversStats};

use crate::state::Counter;

pub use message::valid_name;
pub use run::start;

/// The system's name servers; read before the chroot hides the file.
const RESOLV_CONF: &str = "/etc/resolv.conf";
/// Most name servers that are taken from it.
const MAX_SYSTEM_SERVERS: usize = 16;
const DNS_PORT: u16 = 53;

/// All sections, and what operators asked of them.
#[derive(Debug, Default)]
pub struct Resolvers {
    sections: Vec<Section>,
    renames: Mutex<Vec<Rename>>,
    asked: tokio::sync::Notify,
}

/// A server gets another name (`set server B/S fqdn`).
#[derive(Debug)]
struct Rename {
    backend: usize,
    server: usize,
    name: String,
}

#[derive(Debug)]
struct Section {
    config: ResolversConfig,
    servers: Vec<Asked>,
}

/// A name server with its figures.
#[derive(Debug)]
struct Asked {
    name: String,
    address: SocketAddr,
    tcp: bool,
    counters: Counters,
}

/// See the management manual, `show resolvers`.
#[derive(Debug, Default)]
struct Counters {
    sent: Counter,
    send_errors: Counter,
    valid: Counter,
    updates: Counter,
    empty: Counter,
    nx: Counter,
    timeouts: Counter,
    refused: Counter,
    other: Counter,
    invalid: Counter,
    too_big: Counter,
    truncated: Counter,
}

impl Resolvers {
    /// The sections of a configuration, the system's name servers read where they are asked for.
    pub fn open(config: &HaproxyConfig) -> Self {
        let sections = config.resolvers.iter().map(|section| Section {
            servers: section.nameservers.iter().flat_map(asked).collect(),
            config: section.clone(),
        });
        Self {
            sections: sections.collect(),
            ..Self::default()
        }
    }

    /// Asks for another name of a server, by the indices of its backend and of itself.
    pub fn rename(&self, backend: usize, server: usize, name: String) {
        self.renames
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .push(Rename {
                backend,
                server,
                name,
            });
        self.asked.notify_one();
    }

    fn take_renames(&self) -> Vec<Rename> {
        std::mem::take(
            &mut *self
                .renames
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner),
        )
    }

    fn section(&self, name: &str) -> Option<usize> {
        self.sections
            .iter()
            .position(|section| section.config.name.text == name)
    }

    /// Figures for `show resolvers`.
    pub fn stats(&self) -> Vec<ResolversStats> {
        let section = |section: &Section| ResolversStats {
            name: section.config.name.text.clone(),
            nameservers: section.servers.iter().map(Asked::stats).collect(),
        };
        self.sections.iter().map(section).collect()
    }
}

impl Asked {
    fn stats(&self) -> NameServerStats {
        let counters = &self.counters;
        NameServerStats {
            name: self.name.clone(),
            sent: counters.sent.value(),
            send_errors: counters.send_errors.value(),
            valid: counters.valid.value(),
            updates: counters.updates.value(),
            empty: counters.empty.value(),
            nx: counters.nx.value(),
            timeouts: counters.timeouts.value(),
            refused: counters.refused.value(),
            other: counters.other.value(),
            invalid: counters.invalid.value(),
            too_big: counters.too_big.value(),
            truncated: counters.truncated.value(),
        }
    }
}

fn asked(server: &NameServer) -> Vec<Asked> {
    match server {
        NameServer::Address { name, address, tcp } => vec![Asked {
            name: name.text.clone(),
            address: *address,
            tcp: *tcp,
            counters: Counters::default(),
        }],
        NameServer::ResolvConf(_) => {
            let text = std::fs::read_to_string(RESOLV_CONF).unwrap_or_default();
            let server = |(name, address)| Asked {
                name,
                address,
                tcp: false,
                counters: Counters::default(),
            };
            system_servers(&text).into_iter().map(server).collect()
        }
    }
}

/// `nameserver ADDRESS` lines (resolv.conf(5)), by their addresses' text.
fn system_servers(text: &str) -> Vec<(String, SocketAddr)> {
    text.lines()
        .filter_map(|line| {
            let mut words = line.split_ascii_whitespace();
            let address = (words.next()? == "nameserver").then(|| words.next())??;
            // A scope (`fe80::1%eth0`) says an interface, which a plain address cannot.
            let ip = address.parse().ok()?;
            Some((address.to_owned(), SocketAddr::new(ip, DNS_PORT)))
        })
        .take(MAX_SYSTEM_SERVERS)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systems_name_servers_are_read() {
        let text = "# a comment\nnameserver 192.0.2.1\nsearch x\n  nameserver\t2001:db8::1 x\nnameserver nonsense\nnameserver\n";
        let found = system_servers(text);
        assert_eq!(
            found,
            [
                (
                    "192.0.2.1".to_owned(),
                    "192.0.2.1:53".parse().expect("an address")
                ),
                (
                    "2001:db8::1".to_owned(),
                    "[2001:db8::1]:53".parse().expect("an address")
                ),
            ]
        );
    }
}
