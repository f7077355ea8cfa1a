//! Virtual routers over all nodes: the same router seen from each side, and who holds its addresses.

use protocol::vrrp::{InstanceSnapshot, VrrpState};

use crate::node::NodeView;

/// A new master is not called a second one before so many milliseconds: the pictures of two nodes are not of the
/// same moment. With the interval of the pictures it is told within two seconds.
pub const SETTLE_MS: u64 = 1_000;
/// A virtual router over all nodes that take part in it.
#[derive(Clone, Debug)]
pub struct VirtualRouter<'a> {
    /// The name of its first instance.
    pub name: &'a str,
    /// Virtual router id.
    pub vrid: u8,
    /// Its addresses.
    pub addresses: &'a [String],
    /// Its instances by the node's place among the nodes; live nodes only.
    pub members: Vec<(usize, &'a InstanceSnapshot)>,
}

/// How a virtual router is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouterState {
    /// This node (its place) holds the addresses.
    HeldBy(usize),
    /// A router that does not answer us holds them, as a node hears: its address, and its label if it is one of ours.
    HeldElsewhere(String),
    /// Several hold them.
    SplitBrain(Vec<usize>),
    /// Nobody does.
    Nobody,
}

/// Virtual routers of all live nodes; the same id and addresses on two nodes is one router.
pub fn virtual_routers(nodes: &[NodeView]) -> Vec<VirtualRouter<'_>> {
    let mut routers: Vec<VirtualRouter<'_>> = Vec::new();
    for (index, node) in nodes.iter().enumerate() {
        for instance in node.live().map_or(&[][..], |snapshot| &snapshot.vrrp) {
            let same = routers.iter_mut().find(|router| {
                router.vrid == instance.vrid
                    && router
                        .addresses
                        .iter()
                        .any(|address| instance.addresses.contains(address))
            });
            match same {
                Some(router) => router.members.push((index, instance)),
                None => routers.push(VirtualRouter {
                    name: &instance.name,
                    vrid: instance.vrid,
                    addresses: &instance.addresses,
                    members: vec![(index, instance)],
                }),
            }
        }
    }
    routers
}

impl VirtualRouter<'_> {
    /// Who holds the addresses.
    pub fn state(&self, nodes: &[NodeView]) -> RouterState {
        let masters: Vec<(usize, &InstanceSnapshot)> = self
            .members
            .iter()
            .filter(|(_, instance)| instance.state == VrrpState::Master)
            .copied()
            .collect();
        let at_ms = |index: usize| {
            nodes[index]
                .snapshot
                .as_ref()
                .map_or(0, |snapshot| snapshot.at_ms)
        };
        let settled = masters
            .iter()
            .filter(|(index, instance)| {
                at_ms(*index).saturating_sub(instance.since_ms) >= SETTLE_MS
            })
            .count();
        if masters.len() > 1 && settled > 1 || masters.iter().any(|(_, instance)| instance.conflict)
        {
            return RouterState::SplitBrain(masters.iter().map(|(index, _)| *index).collect());
        }
        // While an address moves, the one who took it last is right.
        if let Some((index, _)) = masters.iter().max_by_key(|(_, instance)| instance.since_ms) {
            return RouterState::HeldBy(*index);
        }
        let heard = self.members.iter().filter_map(|(_, instance)| {
            let master = instance.master.as_ref()?;
            // RFC 9568 6.1: silent for three intervals and the skew is gone.
            (master.priority > 0 && master.age_ms < 4 * instance.advert_interval_ms.max(1))
                .then_some((instance, master))
        });
        let ours: Vec<&str> = self
            .members
            .iter()
            .map(|(_, instance)| instance.source.as_str())
            .collect();
        // A master among our own nodes says itself what it is; only a stranger is believed by hearsay.
        if let Some((_, master)) = heard
            .into_iter()
            .find(|(_, master)| !ours.contains(&master.address.as_str()))
        {
            let lost = nodes.iter().find(|node| {
                let known = node.snapshot.as_ref().filter(|_| node.live().is_none());
                known.is_some_and(|snapshot| {
                    snapshot.vrrp.iter().any(|instance| {
                        instance.vrid == self.vrid && instance.source == master.address
                    })
                })
            });
            return RouterState::HeldElsewhere(match lost {
                Some(node) => format!("{} ({}; no answer here)", node.label, master.address),
                None => format!("{}, not one of these nodes", master.address),
            });
        }
        RouterState::Nobody
    }
}
