//! Interfaces above others: ipvlan, and virtual MACs and ipvlans in a VRF, as keepalived makes them.

use std::time::Duration;

use crate::lab::{Lab, VIP, has_keepalived, run, stays, wait};
use crate::way::{V3, Way, file, ours, reached};
use crate::{ELECTION, SOON};

/// Scenarios of this file.
pub(crate) const SCENARIOS: [(&str, fn()); 8] = [
    (
        "a_route_of_a_vrf_is_where_keepalived_puts_it",
        routes_of_a_vrf,
    ),
    ("an_interface_in_a_vrf_works_with_keepalived", || {
        Way {
            prepare: vrfs,
            lines: "interface eth0\n version 3\n advert_int 0.5",
            ..V3
        }
        .beside();
    }),
    ("an_ipvlan_is_as_keepalived_makes_it", pictures),
    ("an_ipvlan_that_is_deleted_is_made_again", deleted),
    ("an_ipvlan_without_an_address_is_a_fault", without_address),
    ("an_ipvlan_works_with_keepalived", || {
        let lines =
            "interface eth0\n use_ipvlan ipv50 10.230.137.5$OWN/24\n version 3\n advert_int 0.5";
        Way { lines, ..V3 }.beside();
    }),
    ("an_ipvlan_works_with_keepalived_over_ipv6", over_ipv6),
    ("a_virtual_mac_in_a_vrf_works_with_keepalived", || {
        Way {
            prepare: vrfs,
            lines: "interface eth0\n use_vmac\n version 3\n advert_int 0.5",
            ..V3
        }
        .beside();
    }),
];

/// `eth0` of both nodes in a VRF.
fn vrfs(lab: &Lab) {
    for name in ["a", "b"] {
        lab.ip(name, "link add red type vrf table 10");
        lab.ip(name, "link set red up");
        lab.ip(name, "link set eth0 master red");
    }
}

/// Routes of a VRF, of another table too, of a VRF that is not there, and of a device that is none.
const VRF_ROUTES: &str = "virtual_routes {
  10.8.1.0/24 via 10.230.137.9 dev eth0 vrf red
  10.8.2.0/24 dev eth0 vrf red metric 5
  10.8.3.0/24 dev eth0 vrf red table 20
  10.8.4.0/24 dev eth0 table 20 vrf red
  10.8.5.0/24 dev eth0 vrf blue
  10.8.6.0/24 dev eth0 vrf eth0
  blackhole 10.8.7.0/24 vrf red
  10.8.8.0/24 dev eth1
  10.8.9.0/24 dev eth1 vrf red
  2001:db8:8::/64 dev eth0 vrf red
 }";

fn routes_of_a_vrf() {
    if !has_keepalived() {
        return;
    }
    let lab = Lab::new();
    vrfs(&lab);
    lab.add_link();
    let mut seen = Vec::new();
    let routes = |name: &str| {
        ["-4", "-6"].map(|family| {
            lab.ip(
                name,
                &format!("{family} route show table all proto keepalived"),
            )
        })
    };
    for name in ["b", "a"] {
        let lines = format!("interface eth0\n version 3\n advert_int 0.5\n {VRF_ROUTES}");
        let path = file(&lab, name, 100, "", &lines);
        let node = match name {
            "a" => ours(&lab, name, &path),
            _ => lab.keepalived_with(name, &path),
        };
        wait("it is master", ELECTION, || lab.has(name));
        wait("the last route", SOON, || {
            routes(name)[1].contains("2001:db8:8::/64")
        });
        seen.push(routes(name));
        assert_eq!(node.stop(), Some(0));
        assert_eq!(routes(name).concat(), "", "all are removed");
    }
    assert_eq!(seen[0], seen[1]);
    assert!(seen[0][0].contains("10.8.1.0/24 via 10.230.137.9 dev eth0 table 10"));
}

/// A pair of virtual routers of IPv6 on ipvlans, in both roles.
fn over_ipv6() {
    if !has_keepalived() {
        return;
    }
    for words in ["use_ipvlan", "use_ipvlan fe80::5$OWN/64"] {
        let lab = Lab::new();
        let has = |name: &str| lab.ip(name, "-6 -o addr show").contains(" 2001:db8::100/");
        let alone = |name: &str| ["a", "b"].iter().all(|one| has(one) == (*one == name));
        let lines = format!("interface eth0\n version 3\n advert_int 0.5\n {words}");
        let path = |name: &str, priority| {
            let path = file(&lab, name, priority, "", &lines);
            let text = std::fs::read_to_string(&path).expect("a file");
            let text = text.replace(VIP, "fe80::100\n 2001:db8::100/64");
            std::fs::write(&path, text).expect("a file");
            path
        };
        lab.ip("c", "addr add 2001:db8::9/64 dev eth0 nodad");
        let answered = || {
            let line = format!(
                "netns exec {} ping -c 1 -W 0.3 2001:db8::100",
                lab.space("c")
            );
            let done = std::process::Command::new("ip")
                .args(line.split(' '))
                .output();
            done.is_ok_and(|output| output.status.success())
        };
        let node = ours(&lab, "a", &path("a", 100));
        let other = lab.keepalived_with("b", &path("b", 90));
        wait("ours is master", ELECTION, || alone("a"));
        wait("the client goes to ours", ELECTION, answered);
        assert_eq!(node.stop(), Some(0));
        wait("keepalived succeeds ours", ELECTION, || alone("b"));
        let node = ours(&lab, "a", &path("a", 80));
        wait("the client goes to keepalived", ELECTION, answered);
        stays("keepalived is master", SOON, || alone("b"));
        assert_eq!(node.count("VrrpPacketRefused"), 0, "{}", node.text());
        assert_eq!(other.stop(), Some(0));
        wait("ours succeeds keepalived", ELECTION, || alone("a"));
        wait("the client goes to ours", ELECTION, answered);
        assert_eq!(node.stop(), Some(0));
        assert!(!lab.ip("a", "-br link").contains("vrrp.50"));
    }
}

/// What `ip` tells of both interfaces, and the settings; without numbers that differ between nodes.
fn picture(lab: &Lab, name: &str, device: &str, own: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for device in ["eth0", device] {
        let text = lab.ip(name, &format!("-d addr show dev {device}"));
        let kept = |line: &&str| {
            !["link/ether", "inet6 fe80", "valid_lft"]
                .iter()
                .any(|word| line.contains(word))
        };
        for line in text.lines().filter(kept) {
            let line = line.split_once("@if").map_or(line, |(name, _)| name);
            let line = line.split_once(": ").map_or(line, |(_, rest)| rest);
            let line = line.replace(own, "OWN");
            lines.push(
                line.trim()
                    .replace("10.230.137.1/", "NODE/")
                    .replace("10.230.137.2/", "NODE/"),
            );
        }
        let space = lab.space(name);
        for setting in ["arp_ignore", "arp_filter", "accept_local", "rp_filter"] {
            let path = format!("/proc/sys/net/ipv4/conf/{device}/{setting}");
            lines.push(format!(
                "{setting} {}",
                run(&format!("ip netns exec {space} cat {path}")).trim()
            ));
        }
    }
    lines
}

fn pictures() {
    if !has_keepalived() {
        return;
    }
    for (words, prepare, device, global) in [
        (
            "use_ipvlan 10.230.137.5$OWN/24",
            (|_| {}) as fn(&Lab),
            "vrrp.50",
            "",
        ),
        (
            "use_vmac\n use_ipvlan 10.230.137.5$OWN/24",
            |_| {},
            "vrrp.50",
            "",
        ),
        (
            "use_ipvlan ipv50 10.230.137.5$OWN/24\n use_vmac mac50",
            |_| {},
            "ipv50",
            "",
        ),
        (
            "use_ipvlan ipv50 10.230.137.5$OWN private",
            |_| {},
            "ipv50",
            "",
        ),
        (
            "use_ipvlan vepa 10.230.137.5$OWN",
            vrfs,
            "v.50",
            "global_defs {\n vmac_prefix v\n}",
        ),
    ] {
        let lab = Lab::new();
        prepare(&lab);
        let lines = format!("interface eth0\n version 3\n advert_int 0.5\n {words}");
        // One after the other: their virtual routers are the same.
        let mut seen = Vec::new();
        for (name, own) in [("a", "10.230.137.51"), ("b", "10.230.137.52")] {
            let path = file(&lab, name, 100, global, &lines);
            let node = match name {
                "a" => ours(&lab, name, &path),
                _ => lab.keepalived_with(name, &path),
            };
            wait("it is master", ELECTION, || lab.has(name));
            seen.push(picture(&lab, name, device, own));
            assert_eq!(node.stop(), Some(0));
            assert!(!lab.ip(name, "-br link").contains(device), "{name}");
        }
        assert_eq!(seen[0], seen[1], "{words}");
        assert!(
            seen[0].iter().any(|line| line.contains("ipvlan  mode l2")),
            "{:#?}",
            seen[0]
        );
    }
}

fn deleted() {
    let lab = Lab::new();
    let lines = "interface eth0\n version 3\n advert_int 0.5\n use_ipvlan 10.230.137.51/24";
    let mut a = ours(&lab, "a", &file(&lab, "a", 100, "", lines));
    wait("a is master", ELECTION, || lab.has("a"));
    assert!(lab.ip("a", "addr show dev eth0").contains(VIP));
    lab.ip("a", "link del vrrp.50");
    wait("it is there again", SOON, || {
        lab.ip("a", "-o addr show")
            .contains("vrrp.50    inet 10.230.137.51/24")
    });
    wait("a is master", ELECTION, || lab.has("a"));
    lab.ip("a", "addr del 10.230.137.51/24 dev vrrp.50");
    wait("its address is there again", SOON, || {
        lab.ip("a", "-o addr show")
            .contains("vrrp.50    inet 10.230.137.51/24")
    });
    wait("the client is answered", ELECTION, || reached(&lab));
    // What a crash leaves is taken over.
    a.signal("KILL");
    let a = ours(&lab, "a", &file(&lab, "a", 100, "", lines));
    a.hears("BACKUP -> MASTER", ELECTION);
    assert!(lab.has("a"));
    assert_eq!(a.stop(), Some(0));
    assert!(!lab.ip("a", "-br link").contains("vrrp.50"));
}

fn without_address() {
    let lab = Lab::new();
    let lines = "interface eth0\n version 3\n advert_int 0.5\n use_ipvlan";
    let a = ours(&lab, "a", &file(&lab, "a", 100, "", lines));
    a.hears("use_ipvlan has no address of its own", SOON);
    stays("it is no master", Duration::from_secs(3), || !lab.has("a"));
    assert_eq!(a.stop(), Some(0));
}
