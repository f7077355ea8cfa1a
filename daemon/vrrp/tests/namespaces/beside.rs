//! Every way of speaking beside Debian's keepalived, in both roles: elections, takeovers, and no complaint in its log.

use std::time::Duration;

use crate::lab::{Lab, Node, wait};
use crate::{ELECTION, SOON, has_keepalived};

/// What keepalived says of a packet that it does not understand.
const COMPLAINTS: [&str; 8] = [
    "hecksum",
    "invalid",
    "Invalid",
    "bogus",
    "incorrect",
    "mismatch",
    "already processed",
    "dropped",
];
/// For a busy machine, on top of what the protocol promises: all scenarios run at once. The figures are printed.
const MARGIN: Duration = Duration::from_millis(1_500);

/// Scenarios of this file.
pub(crate) const SCENARIOS: [(&str, fn()); 10] = [
    ("authentication_headers_work_with_keepalived", || {
        beside(&AH)
    }),
    (
        "authentication_headers_work_with_keepalived_by_unicast",
        || beside(&AH_UNICAST),
    ),
    ("other_groups_work_with_keepalived", || beside(&GROUP)),
    ("other_groups_work_with_keepalived_over_ipv6", || {
        beside(&GROUP6)
    }),
    (
        "version_3_at_ten_milliseconds_works_with_keepalived",
        || beside(&V3_FAST),
    ),
    ("version_3_works_with_keepalived", || beside(&V3_IPV4)),
    ("version_3_works_with_keepalived_by_unicast", || {
        beside(&V3_UNICAST)
    }),
    ("version_3_works_with_keepalived_over_ipv6", || {
        beside(&V3_IPV6)
    }),
    (
        "version_3_works_with_keepalived_over_ipv6_by_unicast",
        || beside(&IPV6_UNICAST),
    ),
    (
        "version_3_works_with_the_checksums_of_old_keepalived",
        || beside(&OLD_CHECKSUM),
    ),
];

/// A way of speaking: the lines of both nodes' instance, with `$OWN` and `$PEER` for the last number of their addresses.
struct Way {
    global: &'static str,
    lines: &'static str,
    /// Lines of keepalived's alone.
    theirs: &'static str,
    address: &'static str,
    /// Three intervals and the skew of priority 99.
    master_down: Duration,
    /// The skew of priority 99.
    skew: Duration,
}

/// Version 3 every 100 ms.
const V3_IPV4: Way = Way {
    global: "",
    lines: "version 3\n advert_int 0.1\n virtual_ipaddress {\n 10.230.137.100\n 10.230.137.101\n }",
    theirs: "",
    address: "10.230.137.100/",
    master_down: Duration::from_millis(362),
    skew: Duration::from_millis(62),
};
const V3_FAST: Way = Way {
    lines: "version 3\n advert_int 0.01\n virtual_ipaddress {\n 10.230.137.100\n }",
    master_down: Duration::from_millis(37),
    skew: Duration::from_millis(7),
    ..V3_IPV4
};
const V3_UNICAST: Way = Way {
    lines: "version 3\n advert_int 0.1\n unicast_src_ip 10.230.137.$OWN\n unicast_peer {\n 10.230.137.$PEER min_ttl 255 max_ttl 255\n }\n virtual_ipaddress {\n 10.230.137.100\n }",
    ..V3_IPV4
};
/// Ours takes to the old sum as it hears it.
const OLD_CHECKSUM: Way = Way {
    lines: "version 3\n advert_int 0.1\n unicast_src_ip 10.230.137.$OWN\n unicast_peer {\n 10.230.137.$PEER\n }\n virtual_ipaddress {\n 10.230.137.100\n }",
    theirs: "old_unicast_checksum",
    ..V3_IPV4
};
const GROUP: Way = Way {
    lines: "version 3\n advert_int 0.1\n mcast_dst_ip 224.0.0.77\n mcast_src_ip 10.230.137.$OWN\n virtual_ipaddress {\n 10.230.137.100\n }",
    ..V3_IPV4
};
const V3_IPV6: Way = Way {
    lines: "advert_int 0.1\n virtual_ipaddress {\n fe80::100\n 2001:db8::100\n }",
    address: "2001:db8::100/",
    ..V3_IPV4
};
const GROUP6: Way = Way {
    global: "global_defs {\n vrrp_mcast_group6 ff02::77\n vrrp_strict\n}\n",
    ..V3_IPV6
};
const IPV6_UNICAST: Way = Way {
    lines: "advert_int 0.1\n unicast_src_ip 2001:db8::$OWN\n unicast_peer {\n 2001:db8::$PEER\n }\n virtual_ipaddress {\n 2001:db8::100\n }",
    ..V3_IPV6
};
const AH: Way = Way {
    lines: "advert_int 1\n authentication {\n auth_type AH\n auth_pass passwd\n }\n virtual_ipaddress {\n 10.230.137.100\n }",
    master_down: Duration::from_millis(3_613),
    skew: Duration::from_millis(613),
    ..V3_IPV4
};
const AH_UNICAST: Way = Way {
    lines: "advert_int 1\n authentication {\n auth_type AH\n auth_pass passwd\n }\n unicast_src_ip 10.230.137.$OWN\n unicast_peer {\n 10.230.137.$PEER\n }\n virtual_ipaddress {\n 10.230.137.100\n }",
    ..AH
};

struct Pair<'a> {
    lab: Lab,
    way: &'a Way,
}

impl Pair<'_> {
    fn text(&self, name: &str, priority: u8) -> String {
        let (own, peer) = if name == "a" { ("1", "2") } else { ("2", "1") };
        let lines = self.way.lines.replace("$OWN", own).replace("$PEER", peer);
        format!(
            "{}vrrp_instance R1 {{\n state BACKUP\n interface eth0\n virtual_router_id 50\n priority {priority}\n {lines}\n}}\n",
            self.way.global
        )
    }

    fn ours(&self, name: &str, priority: u8) -> Node {
        let path = self.lab.folder.join(format!("{name}.ours.conf"));
        std::fs::write(&path, self.text(name, priority)).expect("a file");
        self.lab.ours(name, &format!("file={}", path.display()))
    }

    fn keepalived(&self, name: &str, priority: u8) -> Node {
        let path = self.lab.folder.join(format!("{name}.theirs.conf"));
        let text = self.text(name, priority);
        let text = text.replace("advert_int", &format!("{}\n advert_int", self.way.theirs));
        std::fs::write(&path, text).expect("a file");
        self.lab.keepalived_with(name, &path)
    }

    fn has(&self, name: &str) -> bool {
        self.lab
            .ip(name, "-o addr show")
            .contains(&format!(" {}", self.way.address))
    }

    fn alone(&self, name: &str) -> bool {
        ["a", "b"].iter().all(|one| self.has(one) == (*one == name))
    }
}

/// Ours and keepalived elect each other, and succeed each other after SIGKILL and SIGTERM.
fn beside(way: &Way) {
    if !has_keepalived() {
        return;
    }
    let pair = Pair {
        lab: Lab::new(),
        way,
    };
    for (name, last) in [("a", 1), ("b", 2)] {
        pair.lab.ip(
            name,
            &format!("addr add 2001:db8::{last}/64 dev eth0 nodad"),
        );
        wait("a link-local address that may be used", SOON * 2, || {
            let text = pair.lab.ip(name, "-6 -o addr show dev eth0 scope link");
            text.contains("fe80") && !text.contains("tentative")
        });
    }
    let master_down = way.master_down + MARGIN;
    let skew = way.skew + MARGIN;
    // Ours is the better one.
    let (mut ours, other) = (pair.ours("a", 100), pair.keepalived("b", 99));
    wait("ours is master", ELECTION, || pair.alone("a"));
    ours.signal("KILL");
    let took = wait("keepalived succeeds ours", master_down, || pair.has("b"));
    println!(
        "  {}: SIGKILL of ours to keepalived's takeover: {took:?}",
        way.address
    );
    let ours = pair.ours("a", 100);
    wait("ours is master again", ELECTION, || pair.alone("a"));
    assert_eq!(ours.stop(), Some(0));
    let took = wait("keepalived succeeds ours", skew, || pair.has("b"));
    println!(
        "  {}: SIGTERM of ours to keepalived's takeover: {took:?}",
        way.address
    );
    for complaint in COMPLAINTS {
        assert_eq!(other.count(complaint), 0, "{complaint}\n{}", other.text());
    }
    drop(other);
    // keepalived is the better one.
    wait("the addresses are free", SOON, || {
        !pair.has("a") && !pair.has("b")
    });
    let mut other = pair.keepalived("a", 100);
    let ours = pair.ours("b", 99);
    wait("keepalived is master", ELECTION, || pair.alone("a"));
    assert_eq!(ours.count("VrrpPacketRefused"), 0, "{}", ours.text());
    other.signal("KILL");
    let took = wait("ours succeeds keepalived", master_down, || pair.has("b"));
    println!(
        "  {}: SIGKILL of keepalived to takeover: {took:?}",
        way.address
    );
    let mut other = pair.keepalived("a", 100);
    wait("keepalived is master again", ELECTION, || pair.alone("a"));
    other.signal("TERM");
    let took = wait("ours succeeds keepalived", skew, || pair.has("b"));
    println!(
        "  {}: SIGTERM of keepalived to takeover: {took:?}",
        way.address
    );
    for complaint in COMPLAINTS {
        assert_eq!(other.count(complaint), 0, "{complaint}\n{}", other.text());
    }
    assert_eq!(ours.stop(), Some(0));
}
