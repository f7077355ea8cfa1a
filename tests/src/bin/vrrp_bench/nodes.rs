//! The nodes that are measured: their files, their start, their end.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use tandem_tests::process::{Signal, send};
use tandem_tests::{Failure, Lab, Node, NodeFiles, NodeKind, Outcome, Part};

use crate::wire::{What, Wire};

/// The virtual address of the first instance.
pub(crate) const VIP: Ipv4Addr = Ipv4Addr::new(10, 230, 137, 100);
/// The first node and the second.
pub(crate) const ADDRESSES: [Ipv4Addr; 2] = [
    Ipv4Addr::new(10, 230, 137, 1),
    Ipv4Addr::new(10, 230, 137, 2),
];
/// Their priorities.
pub(crate) const PRIORITIES: [u8; 2] = [100, 99];

/// An advertisement interval with the version that it is measured in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pace {
    /// 2 or 3.
    pub(crate) version: u8,
    /// `advert_int`.
    pub(crate) interval: Duration,
}

impl Pace {
    /// Skew time of a priority (RFC 3768 6.1, RFC 5798 6.1).
    pub(crate) fn skew(self, priority: u8) -> Duration {
        let whole = if self.version == 2 {
            Duration::from_secs(1)
        } else {
            self.interval
        };
        whole * (256 - u32::from(priority)) / 256
    }

    /// The master-down interval of a priority.
    pub(crate) fn down(self, priority: u8) -> Duration {
        self.interval * 3 + self.skew(priority)
    }

    /// `v3 100 ms`.
    pub(crate) fn name(self) -> String {
        format!("v{} {} ms", self.version, self.interval.as_millis())
    }
}

/// `ours` or `keepalived`.
pub(crate) fn word(kind: NodeKind) -> &'static str {
    match kind {
        NodeKind::Tandem => "ours",
        NodeKind::Peer => "keepalived",
    }
}

/// A `keepalived.conf` with this many instances.
pub(crate) fn file(pace: Pace, priority: u8, instances: u8) -> String {
    let mut text = format!(
        "global_defs {{\n vrrp_version {}\n vrrp_garp_master_repeat 1\n}}\n",
        pace.version
    );
    for number in 1..=instances {
        let address = if number == 1 {
            VIP
        } else {
            Ipv4Addr::new(10, 230, 138, number)
        };
        text.push_str(&format!(
            "vrrp_instance R{number} {{\n state BACKUP\n interface eth0\n virtual_router_id {number}\n \
             priority {priority}\n advert_int {}\n virtual_ipaddress {{\n {address}\n }}\n}}\n",
            pace.interval.as_secs_f64()
        ));
    }
    text
}

/// Starts a node: `which` is 0 or 1.
pub(crate) fn start(
    lab: &Lab,
    which: usize,
    kind: NodeKind,
    pace: Pace,
    instances: u8,
) -> Outcome<Node> {
    let files = NodeFiles {
        keepalived: Some(file(pace, PRIORITIES[which], instances)),
        ..NodeFiles::default()
    };
    Node::start(lab, ["a", "b"][which], kind, files)
}

/// Waits until this node alone has advertised for some intervals.
pub(crate) fn wait_master(wire: &Wire, which: usize, pace: Pace) -> Outcome {
    let limit = pace.down(1) * 2 + Duration::from_secs(10);
    let began = Instant::now();
    loop {
        let quiet = pace.interval * 5 / 2;
        wire.forget();
        std::thread::sleep(quiet);
        let seen = wire.seen();
        let adverts: Vec<_> = seen
            .iter()
            .filter_map(|(_, what)| match what {
                What::Advert { from, .. } => Some(*from),
                What::Answer | What::Bfd { .. } => None,
            })
            .collect();
        if adverts.len() >= 2 && adverts.iter().all(|from| *from == ADDRESSES[which]) {
            return Ok(());
        }
        if began.elapsed() > limit {
            return Err(Failure::new(format!(
                "node {which} is not the only master after {limit:?}: {adverts:?}"
            )));
        }
    }
}

/// Kills a node whole, children first, so that none of it can resign for the others.
pub(crate) fn destroy(node: &Node) {
    for pid in node.pids(Part::Daemon).into_iter().rev() {
        let _ = send(pid, Signal::SIGKILL);
    }
}

/// Makes the first node's host as it was before: its cable, and no address that a dead process left.
pub(crate) fn clean(lab: &Lab) -> Outcome {
    lab.restore_link("a")?;
    let host = lab.host("a");
    for address in host.addresses()? {
        if address != ADDRESSES[0] && address.is_ipv4() {
            let _ = host.output(
                "ip",
                &["addr", "del", &format!("{address}/32"), "dev", "eth0"],
            );
        }
    }
    Ok(())
}
