//! Instances on VLANs and bonds.

use crate::lab::{Lab, run, stays, wait};
use crate::way::{V2, V3, Way, file, ours, reached};
use crate::{ELECTION, SOON};

/// Scenarios of this file.
pub(crate) const SCENARIOS: [(&str, fn()); 9] = [
    ("a_bond_that_loses_one_of_two_links_stays_master", slaves),
    ("a_bond_works_with_keepalived_in_version_2", || {
        Way {
            prepare: bonds,
            lines: "interface bond0\n advert_int 1",
            ..V2
        }
        .beside();
    }),
    ("a_bond_works_with_keepalived_in_version_3", || {
        Way {
            prepare: bonds,
            lines: "interface bond0\n version 3\n advert_int 0.5",
            ..V3
        }
        .beside();
    }),
    ("a_vlan_of_a_bond_works_with_keepalived", || {
        Way {
            prepare: vlans_of_bonds,
            lines: "interface bond0.10\n version 3\n advert_int 0.5",
            ..V3
        }
        .beside();
    }),
    (
        "a_vlan_that_is_deleted_is_a_fault_until_it_is_made_again",
        deleted,
    ),
    ("a_vlan_works_with_keepalived_by_unicast", || {
        let lines = "interface eth0.10\n version 3\n advert_int 0.5\n unicast_src_ip 10.230.137.$OWN\n unicast_peer {\n \
                     10.230.137.$PEER\n }";
        Way {
            prepare: vlans,
            lines,
            ..V3
        }
        .beside();
    }),
    ("a_vlan_works_with_keepalived_in_version_2", || {
        Way {
            prepare: vlans,
            lines: "interface eth0.10\n advert_int 1",
            ..V2
        }
        .beside();
    }),
    ("a_vlan_works_with_keepalived_in_version_3", || {
        Way {
            prepare: vlans,
            lines: "interface eth0.10\n version 3\n advert_int 0.5",
            ..V3
        }
        .beside();
    }),
    ("a_virtual_mac_on_a_vlan_works_with_keepalived", || {
        Way {
            prepare: vlans,
            lines: "interface eth0.10\n use_vmac\n version 3\n advert_int 0.5",
            ..V3
        }
        .beside();
    }),
];

const NODES: [(&str, u8); 3] = [("a", 1), ("b", 2), ("c", 9)];

/// VLAN 10 on an interface of a node, with the address that the interface had.
fn vlan(lab: &Lab, name: &str, below: &str, last: u8) {
    lab.ip(name, &format!("addr flush dev {below}"));
    lab.ip(
        name,
        &format!("link add link {below} name {below}.10 type vlan id 10"),
    );
    lab.ip(
        name,
        &format!("addr add 10.230.137.{last}/24 dev {below}.10"),
    );
    lab.ip(name, &format!("link set {below}.10 up"));
}

/// VLAN 10 on all nodes' `eth0`.
pub(crate) fn vlans(lab: &Lab) {
    for (name, last) in NODES {
        vlan(lab, name, "eth0", last);
    }
}

/// `bond0` of two links in place of `eth0`, on both nodes; the ends at the bridge are `va` and `xa`, `vb` and `xb`.
fn bonds(lab: &Lab) {
    let switch = lab.space("sw");
    for (name, last) in [("a", 1), ("b", 2)] {
        let space = lab.space(name);
        run(&format!(
            "ip -n {switch} link add x{name} type veth peer name eth1 netns {space}"
        ));
        run(&format!("ip -n {switch} link set x{name} master br0 up"));
        lab.ip(name, "addr flush dev eth0");
        lab.ip(
            name,
            "link add bond0 type bond mode active-backup miimon 50",
        );
        for slave in ["eth0", "eth1"] {
            lab.ip(name, &format!("link set {slave} down"));
            lab.ip(name, &format!("link set {slave} master bond0"));
        }
        lab.ip(name, &format!("addr add 10.230.137.{last}/24 dev bond0"));
        lab.ip(name, "link set bond0 up");
        wait("the bond has a link", SOON, || {
            lab.ip(name, "link show bond0").contains("state UP")
        });
    }
}

fn vlans_of_bonds(lab: &Lab) {
    bonds(lab);
    for (name, last) in [("a", 1), ("b", 2)] {
        vlan(lab, name, "bond0", last);
    }
    vlan(lab, "c", "eth0", 9);
}

/// One lost link of a bond is none for an instance; one that tracks the link minds; both are a fault.
fn slaves() {
    let lab = Lab::new();
    bonds(&lab);
    let lines =
        "interface bond0\n version 3\n advert_int 0.5\n track_interface {\n eth1 weight -50\n }";
    let a = ours(&lab, "a", &file(&lab, "a", 100, "", lines));
    let b = ours(&lab, "b", &file(&lab, "b", 90, "", lines));
    wait("a is master", ELECTION, || lab.has("a") && !lab.has("b"));
    a.forget();
    let switch = lab.space("sw");
    let port = |name: &str, state: &str| run(&format!("ip -n {switch} link set {name} {state}"));
    port("va", "down");
    wait("the other link is in use", SOON, || {
        let path = format!(
            "netns exec {} cat /sys/class/net/bond0/bonding/active_slave",
            lab.space("a")
        );
        run(&format!("ip {path}")).trim() == "eth1"
    });
    stays("a is master", SOON, || lab.has("a"));
    wait("the client is answered", SOON, || reached(&lab));
    assert_eq!(a.count("-> "), 0, "{}", a.text());
    port("va", "up");
    wait("both links are there", SOON, || {
        !lab.ip("a", "link show eth0").contains("NO-CARRIER")
    });
    // Tracked: a is worth 50 without eth1.
    port("xa", "down");
    a.hears("MASTER -> BACKUP", SOON);
    wait("b is master", SOON, || lab.has("b") && !lab.has("a"));
    port("xa", "up");
    wait("a is master again", ELECTION, || {
        lab.has("a") && !lab.has("b")
    });
    for name in ["va", "xa"] {
        port(name, "down");
    }
    a.hears("MASTER -> FAULT: interface bond0: it has no carrier", SOON);
    wait("b is master", SOON, || lab.has("b") && !lab.has("a"));
    for name in ["va", "xa"] {
        port(name, "up");
    }
    a.hears("FAULT -> BACKUP", SOON);
    wait("a is master again", ELECTION, || {
        lab.has("a") && !lab.has("b")
    });
    assert_eq!(a.stop(), Some(0));
    assert_eq!(b.stop(), Some(0));
}

/// The VLAN is made again with another number of the kernel's, and is taken up with its addresses.
fn deleted() {
    let lab = Lab::new();
    vlans(&lab);
    let lines = "interface eth0.10\n version 3\n advert_int 0.5";
    let a = ours(&lab, "a", &file(&lab, "a", 100, "", lines));
    let b = ours(&lab, "b", &file(&lab, "b", 90, "", lines));
    wait("a is master", ELECTION, || lab.has("a") && !lab.has("b"));
    lab.ip("a", "link del eth0.10");
    a.hears(
        "MASTER -> FAULT: interface eth0.10: it does not exist",
        SOON,
    );
    wait("b is master", SOON, || lab.has("b"));
    a.forget();
    vlan(&lab, "a", "eth0", 1);
    a.hears("FAULT -> BACKUP", SOON);
    wait("a is master again", ELECTION, || {
        lab.has("a") && !lab.has("b")
    });
    wait("the client is answered", SOON, || reached(&lab));
    assert_eq!(a.stop(), Some(0));
    assert_eq!(b.stop(), Some(0));
}
