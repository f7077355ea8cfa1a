//! Where nodes are, and what is known of each.

use std::path::PathBuf;

use protocol::{Level, Snapshot};

use crate::history::{EventLog, NodeHistory};

/// Where the daemon listens when nobody says otherwise.
pub const DEFAULT_SOCKET: &str = "/run/tandem/tandem.sock";
/// Most nodes of one client.
pub const MAX_NODES: usize = 16;

/// A node of the command line: `unix:/path`, `/path`, or either with `NAME=` before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeAddress {
    /// The name given, which wins over the node's own.
    pub name: Option<String>,
    /// The socket.
    pub path: PathBuf,
}

impl NodeAddress {
    /// Reads an address.
    ///
    /// ```
    /// let node = tandem_client::node::NodeAddress::parse("a=unix:/run/a.sock").unwrap();
    /// assert_eq!(node.name.as_deref(), Some("a"));
    /// assert_eq!(node.path.to_str(), Some("/run/a.sock"));
    /// ```
    ///
    /// # Errors
    /// A sentence that says what was expected.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| {
            Err(format!(
                "'{text}': {why}; expected unix:/path, /path or NAME=unix:/path"
            ))
        };
        let (name, place) = match text.split_once('=') {
            Some((name, place)) if !name.contains(['/', ':']) => (Some(name), place),
            _ => (None, text),
        };
        if name.is_some_and(str::is_empty) {
            return wrong("the name is empty");
        }
        let path = place
            .strip_prefix("unix:")
            .or_else(|| place.strip_prefix("unix@"))
            .unwrap_or(place);
        if path.is_empty() {
            return wrong("no path");
        }
        if path == place && !path.contains('/') {
            return wrong("not a path of a unix socket");
        }
        Ok(Self {
            name: name.map(str::to_owned),
            path: PathBuf::from(path),
        })
    }

    /// What the node is called before it told its own name.
    pub fn label(&self) -> String {
        self.name
            .clone()
            .unwrap_or_else(|| self.path.display().to_string())
    }
}

/// Whether a node answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// The first attempt runs.
    Connecting,
    /// It answers.
    Up,
    /// It does not.
    Lost {
        /// Since when, in milliseconds since 1970.
        since_ms: u64,
        /// Why: `Connection refused`.
        why: String,
    },
}

/// All that a client knows of a node.
#[derive(Clone, Debug)]
pub struct NodeView {
    /// How it is called here; unique among the nodes.
    pub label: String,
    /// Its address as given.
    pub address: NodeAddress,
    /// Whether it answers.
    pub reach: Reach,
    /// What we may do there, once known.
    pub level: Option<Level>,
    /// Its latest picture; stale when the node is lost.
    pub snapshot: Option<Snapshot>,
    /// Rates and figures over time.
    pub history: NodeHistory,
    /// What happened there.
    pub events: EventLog,
}

impl NodeView {
    /// A node that was not asked yet.
    pub fn new(address: NodeAddress) -> Self {
        Self {
            label: address.label(),
            address,
            reach: Reach::Connecting,
            level: None,
            snapshot: None,
            history: NodeHistory::default(),
            events: EventLog::default(),
        }
    }

    /// The latest picture if the node answers: what may be judged and acted upon.
    pub fn live(&self) -> Option<&Snapshot> {
        if self.reach == Reach::Up {
            self.snapshot.as_ref()
        } else {
            None
        }
    }

    /// Takes a new picture.
    pub fn take(&mut self, snapshot: Snapshot) {
        self.history.record(&snapshot);
        self.snapshot = Some(snapshot);
    }
}

/// Names every node: the given name, else its own name, else its path; a name that occurs twice
/// (two nodes in namespaces of one host) gets the socket's path.
pub fn label_nodes(nodes: &mut [NodeView]) {
    let wanted: Vec<String> = nodes
        .iter()
        .map(|node| match (&node.address.name, &node.snapshot) {
            (Some(name), _) => name.clone(),
            (None, Some(snapshot)) if !snapshot.node.is_empty() => {
                crate::words::printable(&snapshot.node)
            }
            _ => node.address.label(),
        })
        .collect();
    for (index, node) in nodes.iter_mut().enumerate() {
        let name = &wanted[index];
        let twice = wanted
            .iter()
            .enumerate()
            .any(|(other, label)| other != index && label == name);
        node.label = if twice {
            format!("{name} ({})", node.address.path.display())
        } else {
            name.clone()
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_each_form_are_read() {
        for (text, name, path) in [
            ("unix:/run/x.sock", None, "/run/x.sock"),
            ("/run/x.sock", None, "/run/x.sock"),
            ("./x.sock", None, "./x.sock"),
            ("a=unix:/run/x.sock", Some("a"), "/run/x.sock"),
            ("a=/run/x.sock", Some("a"), "/run/x.sock"),
            ("/run/odd=name.sock", None, "/run/odd=name.sock"),
        ] {
            let node = NodeAddress::parse(text).expect(text);
            assert_eq!(
                (node.name.as_deref(), node.path.to_str()),
                (name, Some(path)),
                "{text}"
            );
        }
        for text in ["", "unix:", "=unix:/x", "a=", "host1"] {
            assert!(NodeAddress::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn two_nodes_of_one_host_name_are_told_apart_by_their_sockets() {
        let view = |text: &str| {
            let mut view = NodeView::new(NodeAddress::parse(text).expect("an address"));
            view.snapshot = Some(Snapshot {
                node: "host".to_owned(),
                ..Snapshot::default()
            });
            view
        };
        let mut nodes = [
            view("/run/a.sock"),
            view("/run/b.sock"),
            view("c=/run/c.sock"),
        ];
        label_nodes(&mut nodes);
        assert_eq!(nodes[0].label, "host (/run/a.sock)");
        assert_eq!(nodes[1].label, "host (/run/b.sock)");
        assert_eq!(nodes[2].label, "c");
    }
}
