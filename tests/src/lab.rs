//! The network of a test: a bridge in a hub, two nodes, three web servers and a client around it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::failure::{Failure, Outcome};
use crate::host::{Furnishing, Host};

/// The virtual address of the article's files.
pub const VIP: &str = "10.230.137.100";

/// Every host: name, furnishing, addresses in 10.230.0.0/16.
pub const HOSTS: [(&str, Furnishing, &[&str]); 6] = [
    ("a", Furnishing::Private, &["10.230.137.1"]),
    ("b", Furnishing::Private, &["10.230.137.2"]),
    ("web1", Furnishing::Shared, &["10.230.150.68"]),
    ("web2", Furnishing::Shared, &["10.230.150.69"]),
    ("web3", Furnishing::Shared, &["10.230.150.70"]),
    (
        "client",
        Furnishing::Shared,
        &[
            "10.230.200.1",
            "10.230.200.2",
            "10.230.200.3",
            "10.230.200.4",
        ],
    ),
];

/// The names by which the article's files know the first two web servers.
const NAMES: &str =
    "127.0.0.1 localhost\n10.230.150.68 host1\n10.230.150.69 host2\n10.230.150.70 host3\n";

/// How much of each log is printed after a failure.
const LOG_TAIL_BYTES: usize = 6000;

/// One lab at a time in a process: labs beside each other would disturb their timing.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// A network in namespaces. Dropping it ends everything in it; after a failure it first prints the logs.
pub struct Lab {
    hosts: BTreeMap<String, Arc<Host>>,
    hub: Host,
    folder: PathBuf,
    _turn: MutexGuard<'static, ()>,
}

impl Lab {
    /// Builds the network of [`HOSTS`].
    pub fn start() -> Outcome<Lab> {
        let turn = ONE_AT_A_TIME
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let folder = tempfile::Builder::new()
            .prefix("tandem-lab-")
            .tempdir()?
            .keep();
        // Servers that give up their rights read and write below this folder.
        std::fs::set_permissions(&folder, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        let hub = Host::start("hub", Furnishing::Shared, &folder, Some(&folder))?;
        let mut lab = Lab {
            hosts: BTreeMap::new(),
            hub,
            folder,
            _turn: turn,
        };
        // No spanning tree and no snooping: a port forwards at once, and multicast reaches everybody.
        lab.hub.exec_in_network(
            "ip",
            &[
                "link",
                "add",
                "lan",
                "type",
                "bridge",
                "forward_delay",
                "0",
                "stp_state",
                "0",
                "mcast_snooping",
                "0",
            ],
        )?;
        lab.hub
            .exec_in_network("ip", &["link", "set", "lan", "up"])?;
        for (name, furnishing, addresses) in HOSTS {
            lab.add_host(name, furnishing, addresses)?;
        }
        Ok(lab)
    }

    /// Adds a host with addresses of 10.230.0.0/16 to the network.
    pub fn add_host(
        &mut self,
        name: &str,
        furnishing: Furnishing,
        addresses: &[&str],
    ) -> Outcome<Arc<Host>> {
        let host = Host::start(name, furnishing, &self.folder, None)?;
        let (port, init) = (port(name), host.init().to_string());
        self.hub.exec_in_network(
            "ip",
            &[
                "link", "add", &port, "type", "veth", "peer", "name", "eth0", "netns", &init,
            ],
        )?;
        self.hub
            .exec_in_network("ip", &["link", "set", &port, "master", "lan", "up"])?;
        for address in addresses {
            host.exec(
                "ip",
                &[
                    "addr",
                    "add",
                    &format!("{address}/16"),
                    "brd",
                    "+",
                    "dev",
                    "eth0",
                ],
            )?;
        }
        host.exec("ip", &["link", "set", "eth0", "up"])?;
        if furnishing == Furnishing::Private {
            host.write("/etc/hosts", NAMES)?;
        }
        let host = Arc::new(host);
        self.hosts.insert(name.to_owned(), Arc::clone(&host));
        Ok(host)
    }

    /// A host by name.
    ///
    /// # Panics
    /// When there is none of that name: a mistake in the test.
    pub fn host(&self, name: &str) -> &Arc<Host> {
        self.hosts
            .get(name)
            .unwrap_or_else(|| panic!("the lab has no host {name}"))
    }

    /// The folder of this lab, outside of the hosts; it vanishes with it.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Pulls a host's cable: it sees its carrier go.
    pub fn cut_link(&self, name: &str) -> Outcome {
        self.hub
            .exec_in_network("ip", &["link", "set", &port(name), "down"])
            .map(drop)
    }

    /// Puts the cable back.
    pub fn restore_link(&self, name: &str) -> Outcome {
        self.hub
            .exec_in_network("ip", &["link", "set", &port(name), "up"])
            .map(drop)
    }

    /// Stops forwarding to and from a host while its carrier stays: what a failed switch does.
    pub fn isolate(&self, name: &str) -> Outcome {
        self.hub
            .exec_in_network("bridge", &["link", "set", "dev", &port(name), "state", "0"])
            .map(drop)
    }

    /// Ends [`Lab::isolate`].
    pub fn rejoin(&self, name: &str) -> Outcome {
        self.hub
            .exec_in_network("bridge", &["link", "set", "dev", &port(name), "state", "3"])
            .map(drop)
    }

    /// Whether frames come to a host and from it. The kernel makes a port whose cable is back forward a while later, and would
    /// end a [`Lab::isolate`] that comes before it.
    pub fn is_joined(&self, name: &str) -> Outcome<bool> {
        let shown = self
            .hub
            .exec_in_network("bridge", &["link", "show", "dev", &port(name)])?;
        Ok(shown.contains(" state forwarding "))
    }

    /// The hosts that hold an address.
    pub fn who_has(&self, address: &str) -> Outcome<Vec<String>> {
        let wanted: IpAddr = address
            .parse()
            .map_err(|_| Failure::new(format!("{address} is no address")))?;
        let mut holders = Vec::new();
        for (name, host) in &self.hosts {
            if host.addresses()?.contains(&wanted) {
                holders.push(name.clone());
            }
        }
        Ok(holders)
    }

    /// The last part of every log, for the person who reads a failure.
    pub fn logs(&self) -> String {
        let mut files: Vec<PathBuf> = std::fs::read_dir(&self.folder)
            .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
            .unwrap_or_default();
        files.retain(|path| path.extension().is_some_and(|extension| extension == "log"));
        files.sort();
        let mut text = String::new();
        for file in files {
            let bytes = std::fs::read(&file).unwrap_or_default();
            if bytes.is_empty() {
                continue;
            }
            let tail = &bytes[bytes.len().saturating_sub(LOG_TAIL_BYTES)..];
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            text.push_str(&format!(
                "---- {name}\n{}\n",
                String::from_utf8_lossy(tail).trim_end()
            ));
        }
        text
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if Failure::any() {
            eprintln!("{}", self.logs());
        }
        self.hosts.clear();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// The hub's end of a host's cable.
fn port(host: &str) -> String {
    format!("to-{host}")
}
