//! Owners, wrong packets over IPv6, and instances without anybody to speak to.

use std::time::Duration;

use crate::lab::{Lab, Node, stays, wait};
use crate::{ELECTION, SOON, forget};

/// Scenarios of this file.
pub(crate) const SCENARIOS: [(&str, fn()); 4] = [
    (
        "an_instance_that_must_have_peers_is_a_fault_without",
        lonely,
    ),
    ("an_owner_speaks_at_once_every_ten_milliseconds", owner),
    ("two_groups_on_one_interface_share_a_number", groups),
    ("wrong_packets_over_ipv6_count_for_nothing", wrong),
];

fn ours(lab: &Lab, name: &str, head: &str, lines: &str) -> Node {
    let path = lab.folder.join(format!("{name}.odd.conf"));
    let text = format!(
        "vrrp_instance R1 {{\n interface eth0\n virtual_router_id 50\n {head}\n {lines}\n}}\n"
    );
    std::fs::write(&path, text).expect("a file");
    lab.ours(name, &format!("file={}", path.display()))
}

fn lonely() {
    let lab = Lab::new();
    let lines = "unicast_fault_no_peer\n virtual_ipaddress {\n 10.230.137.100\n }";
    let a = ours(&lab, "a", "priority 100", lines);
    a.hears(
        "INIT -> FAULT: interface eth0: there is no unicast_peer",
        SOON,
    );
}

fn owner() {
    let lab = Lab::new();
    let lines = "version 3\n advert_int 0.01\n virtual_ipaddress {\n 10.230.137.100\n }";
    let b = ours(&lab, "b", "state BACKUP\n priority 99", lines);
    b.hears("BACKUP -> MASTER", SOON);
    b.forget();
    let mut a = ours(&lab, "a", "state MASTER\n priority 255", lines);
    a.hears(
        "INIT -> MASTER: started; priority 255 owns the addresses",
        SOON,
    );
    wait("the owner has it", SOON, || lab.has("a") && !lab.has("b"));
    b.hears("with higher priority 255 > 99", SOON);
    stays("one master", Duration::from_secs(1), || {
        lab.has("a") && !lab.has("b")
    });
    a.signal("KILL");
    let took = wait("b has taken over", SOON, || lab.has("b"));
    println!("  10 ms: SIGKILL of the owner to takeover: {took:?}");
    // As in keepalived: an owner that is configured as BACKUP listens first.
    let a = ours(&lab, "a", "state BACKUP\n priority 255", lines);
    a.hears("INIT -> BACKUP", SOON);
    wait("the owner has it", SOON, || lab.has("a") && !lab.has("b"));
}

fn groups() {
    let lab = Lab::new();
    let instance = |name: &str, group: &str, priority: u8, address: &str| {
        format!(
            "vrrp_instance {name} {{\n interface eth0\n virtual_router_id 50\n version 3\n advert_int 0.1\n priority {priority}\n \
             mcast_dst_ip {group}\n virtual_ipaddress {{\n {address}\n }}\n}}\n"
        )
    };
    let node = |name: &str, one: u8, two: u8| {
        let path = lab.folder.join(format!("{name}.groups.conf"));
        let text = instance("one", "224.0.0.18", one, "10.230.137.100")
            + &instance("two", "224.0.0.77", two, "10.230.137.101");
        std::fs::write(&path, text).expect("a file");
        lab.ours(name, &format!("file={}", path.display()))
    };
    let (mut a, _b) = (node("a", 100, 99), node("b", 99, 100));
    let settled = || {
        let has = |name: &str, last: u8| {
            lab.ip(name, "-4 -o addr show")
                .contains(&format!(" 10.230.137.{last}/"))
        };
        has("a", 100) && !has("b", 100) && has("b", 101) && !has("a", 101)
    };
    wait("each has its own", ELECTION, settled);
    stays("each has its own", Duration::from_secs(1), settled);
    a.tell("show");
    a.hears("SHOW", SOON);
    assert_eq!(a.count("VrrpPacketRefused"), 0, "{}", a.text());
}

fn wrong() {
    let lab = Lab::new();
    lab.ip("c", "addr add fe80::9/64 dev eth0 nodad");
    lab.ip("c", "addr add 2001:db8::9/64 dev eth0 nodad");
    let lines = "virtual_ipaddress {\n fe80::100\n 2001:db8::100\n }";
    let mut a = ours(&lab, "a", "priority 100", lines);
    wait("a is master", ELECTION, || {
        lab.ip("a", "-6 -o addr show").contains("2001:db8::100/")
    });
    forget(&mut a);
    lab.forge(&["ipv6"]);
    a.tell("show");
    a.hears(
        "refused: [(\"address-count\", 5), (\"checksum\", 5), (\"length\", 10), (\"source\", 5), (\"ttl\", 5)]",
        SOON,
    );
    assert_eq!(a.count("->"), 0, "{}", a.text());
    assert_eq!(a.count("EVENT Warning VrrpPacketRefused"), 5);
}
