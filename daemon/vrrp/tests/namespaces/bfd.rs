//! BFD sessions beside Debian's keepalived and among ours, and what their changes do to those who track them.
//!
//! Node c is the neighbour: a gateway that speaks BFD.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::lab::{Lab, Node, stays, wait};
use crate::{ELECTION, SOON, forget, has_keepalived};

/// Scenarios of this file.
pub(crate) const SCENARIOS: [(&str, fn()); 10] = [
    ("bfd_cut_in_one_direction_is_known_to_both_ends", one_way),
    ("bfd_moves_addresses_when_a_neighbor_of_ours_dies", || {
        dies(Kind::Ours, Kind::Ours, &IPV4)
    }),
    (
        "bfd_moves_addresses_when_keepalived_as_neighbor_dies",
        || dies(Kind::Ours, Kind::Keepalived, &IPV4),
    ),
    (
        "bfd_moves_addresses_when_keepalived_as_neighbor_dies_over_ipv6",
        || dies(Kind::Ours, Kind::Keepalived, &IPV6),
    ),
    (
        "bfd_moves_addresses_when_a_link_local_neighbor_dies",
        || dies(Kind::Ours, Kind::Ours, &LINK_LOCAL),
    ),
    ("bfd_of_keepalived_is_moved_by_a_neighbor_of_ours", || {
        dies(Kind::Keepalived, Kind::Ours, &IPV4)
    }),
    ("bfd_passive_works_with_keepalived", passive),
    ("bfd_reload_keeps_what_did_not_change", reload),
    ("bfd_sync_group_moves_as_one", group),
    ("bfd_weights_move_the_priority", weights),
];

/// Sixteen packets every 50 ms: a busy machine may stand still for some tenths of a second.
pub(crate) const DETECTION: Duration = Duration::from_millis(800);
/// The skew of priority 99 at 100 ms.
const SKEW: Duration = Duration::from_millis(62);
/// For a busy machine: all scenarios run at once. The figures are printed.
pub(crate) const MARGIN: Duration = Duration::from_millis(1_000);
/// Coming up: at most a second each way before both have spoken, and some.
pub(crate) const RISE: Duration = Duration::from_secs(8);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Ours,
    Keepalived,
}

struct Network {
    gateway: &'static str,
    node: &'static str,
}

const IPV4: Network = Network {
    gateway: "10.230.137.9",
    node: "10.230.137.1",
};
/// Reached through the interface that has the source address.
const LINK_LOCAL: Network = Network {
    gateway: "fe80::9",
    node: "fe80::1",
};
const IPV6: Network = Network {
    gateway: "2001:db8::9",
    node: "2001:db8::1",
};

pub(crate) fn session(name: &str, neighbor: &str, source: &str, more: &str) -> String {
    format!(
        "bfd_instance {name} {{\n neighbor_ip {neighbor}\n source_ip {source}\n min_rx 50\n min_tx 50\n multiplier 16\n {more}\n}}\n"
    )
}

pub(crate) fn instance(name: &str, id: u8, priority: u8, last: u8, more: &str) -> String {
    format!(
        "vrrp_instance {name} {{\n state BACKUP\n interface eth0\n virtual_router_id {id}\n version 3\n advert_int 0.1\n \
         priority {priority}\n virtual_ipaddress {{\n 10.230.137.{last}\n }}\n {more}\n}}\n"
    )
}

/// The instance of all scenarios.
pub(crate) fn router(priority: u8, more: &str) -> String {
    instance("R1", 50, priority, 100, more)
}

pub(crate) fn start(lab: &Lab, name: &str, kind: Kind, text: &str) -> Node {
    let path = lab.folder.join(format!("{name}.bfd.conf"));
    std::fs::write(&path, text).expect("a file");
    match kind {
        Kind::Ours => lab.ours(name, &format!("file={}", path.display())),
        Kind::Keepalived => lab.keepalived_bfd(name, &path),
    }
}

/// The gateway: a session with a node, and an instance that nobody else has.
fn gateway(lab: &Lab, kind: Kind, network: &Network, more: &str) -> Node {
    let text =
        session("node", network.node, network.gateway, more) + &instance("N", 60, 100, 199, "");
    start(lab, "c", kind, &text)
}

pub(crate) fn lab() -> Lab {
    let lab = Lab::new();
    for (name, last) in [("a", 1), ("c", 9)] {
        for network in ["2001:db8", "fe80"] {
            let address = format!("{network}::{last}/64");
            lab.ip(name, &format!("addr add {address} dev eth0 nodad"));
        }
    }
    lab
}

/// The tracked gateway dies, comes back, and ends in order.
fn dies(node: Kind, neighbor: Kind, network: &Network) {
    if (node == Kind::Keepalived || neighbor == Kind::Keepalived) && !has_keepalived() {
        return;
    }
    let lab = lab();
    let text =
        session("gw", network.gateway, network.node, "") + &router(100, "track_bfd {\n gw\n }");
    let mut a = start(&lab, "a", node, &text);
    let b = start(&lab, "b", Kind::Ours, &router(99, ""));
    wait("b is master while a's session is Down", ELECTION, || {
        lab.has("b") && !lab.has("a")
    });
    if node == Kind::Ours {
        let told = format!(
            "INIT -> FAULT: bfd gw: Down: nothing heard from {} yet",
            network.gateway
        );
        a.hears(&told, SOON);
    }
    let mut c = gateway(&lab, neighbor, network, "");
    let alone = |name: &str| ["a", "b"].iter().all(|one| lab.has(one) == (*one == name));
    wait("a is master with its session", RISE, || alone("a"));
    if node == Kind::Ours {
        assert_eq!(
            a.count("VrrpTracking bfd gw: Down -> Up"),
            1,
            "{}",
            a.text()
        );
    }
    b.forget();
    c.signal("KILL");
    let took = b.hears("BACKUP -> MASTER", DETECTION + SKEW + MARGIN);
    println!("  SIGKILL of the neighbor to takeover: {took:?}");
    if node == Kind::Ours {
        let told = format!("gw: Up -> Down: nothing heard from {} for", network.gateway);
        a.hears(&told, SOON);
        a.hears("MASTER -> FAULT: bfd gw: Down: nothing heard from", SOON);
        a.tell("show");
        a.hears("detection time", SOON);
        a.hears("downs: 1", SOON);
    }
    let c = gateway(&lab, neighbor, network, "");
    wait("a is master again", RISE, || alone("a"));
    // Who failed this, and why, is to be read.
    let remains = |time: Duration| {
        stays("a is master", time, || {
            let remains = alone("a");
            if !remains {
                println!("a:\n{}\nb:\n{}", a.text(), b.text());
            }
            remains
        });
    };
    remains(Duration::from_millis(500));
    b.forget();
    let stopping = Instant::now();
    c.stop();
    match neighbor {
        // keepalived just falls silent.
        Kind::Keepalived => {
            b.hears("BACKUP -> MASTER", DETECTION + SKEW + MARGIN);
            let took = stopping.elapsed();
            println!("  SIGTERM of the neighbor to takeover: {took:?}");
        }
        // AdminDown is no failure: keepalived takes it so, and ours does.
        Kind::Ours => {
            remains(Duration::from_secs(1));
            if node == Kind::Ours {
                let told = format!("gw: Up -> Down: {} said AdminDown", network.gateway);
                a.hears(&told, SOON);
            }
            let _c = gateway(&lab, neighbor, network, "");
            remains(Duration::from_secs(3));
            assert_eq!(b.count("BACKUP -> MASTER"), 0, "{}", b.text());
        }
    }
    if node == Kind::Ours {
        assert_eq!(a.stop(), Some(0));
    } else {
        a.signal("TERM");
    }
}

/// What the neighbour says is lost; what it hears is not.
fn one_way() {
    let lab = lab();
    let text = session("gw", IPV4.gateway, IPV4.node, "") + &router(100, "track_bfd {\n gw\n }");
    let mut a = start(&lab, "a", Kind::Ours, &text);
    let c = gateway(&lab, Kind::Ours, &IPV4, "");
    wait("a is master", RISE + ELECTION, || lab.has("a"));
    c.hears("node: Down -> Up", SOON);
    forget(&mut a);
    // The bridge brings it to everybody, and nobody takes it.
    lab.ip(
        "c",
        "neigh replace 10.230.137.1 lladdr 02:00:00:00:00:99 dev eth0 nud permanent",
    );
    let took = a.hears(
        "gw: Up -> Down: nothing heard from 10.230.137.9",
        DETECTION + MARGIN,
    );
    println!("  cut in one direction: {took:?}");
    c.hears(
        "node: Up -> Down: 10.230.137.1 said Down (control detection time expired)",
        SOON,
    );
    wait("a is in FAULT", SOON, || !lab.has("a"));
    stays("a stays in FAULT", Duration::from_secs(2), || {
        !lab.has("a") && a.count("Down -> Up") == 0
    });
    lab.ip("c", "neigh del 10.230.137.1 dev eth0");
    wait("a is master again", RISE + ELECTION, || lab.has("a"));
}

/// Ours waits for keepalived's word, and keepalived for ours.
fn passive() {
    if !has_keepalived() {
        return;
    }
    let lab = lab();
    let node = |more: &str| {
        session("gw", IPV4.gateway, IPV4.node, more) + &router(100, "track_bfd {\n gw\n }")
    };
    let a = start(&lab, "a", Kind::Ours, &node("passive"));
    let mut c = gateway(&lab, Kind::Keepalived, &IPV4, "");
    wait("a is master", RISE + ELECTION, || lab.has("a"));
    assert_eq!(a.stop(), Some(0));
    c.signal("TERM");
    c.end();
    let c = gateway(&lab, Kind::Keepalived, &IPV4, "passive");
    let _a = start(&lab, "a", Kind::Ours, &node(""));
    wait("a is master", RISE + ELECTION, || lab.has("a"));
    drop(c);
}

fn weights() {
    let lab = lab();
    let text = session("gw", IPV4.gateway, IPV4.node, "weight 10")
        + &router(100, "track_bfd {\n gw\n }")
        + &instance("R2", 51, 100, 101, "track_bfd {\n gw weight -10\n }")
        + &instance("R3", 52, 100, 102, "track_bfd {\n gw weight 10 reverse\n }")
        + &instance("R4", 53, 100, 103, "track_bfd {\n gw weight 0 reverse\n }");
    let a = start(&lab, "a", Kind::Ours, &text);
    let b = start(&lab, "b", Kind::Ours, &router(105, ""));
    a.hears("R2: priority 100 -> 90: started", SOON);
    wait("b is the better one", ELECTION, || {
        lab.has("b") && !lab.has("a")
    });
    // `weight 0 reverse`: it runs while the session is not Up.
    a.hears("R4: BACKUP -> MASTER", ELECTION);
    let mut c = gateway(&lab, Kind::Ours, &IPV4, "");
    a.hears(
        "R1: priority 100 -> 110: bfd gw: Up: 10.230.137.9 said",
        RISE,
    );
    a.hears("R2: priority 90 -> 100: bfd gw", SOON);
    a.hears("R3: priority 100 -> 90: bfd gw", SOON);
    a.hears("R4: MASTER -> FAULT: bfd gw: Up", SOON);
    wait("a is the better one", ELECTION, || {
        lab.has("a") && !lab.has("b")
    });
    a.forget();
    b.forget();
    c.signal("KILL");
    a.hears(
        "R1: priority 110 -> 100: bfd gw: Down: nothing heard",
        DETECTION + MARGIN,
    );
    a.hears("R2: priority 100 -> 90", SOON);
    a.hears("R3: priority 90 -> 100", SOON);
    a.hears("R4: FAULT -> BACKUP: bfd gw: Down", SOON);
    wait("b is the better one", ELECTION, || {
        lab.has("b") && !lab.has("a")
    });
}

/// Two instances of a group, and the group tracks.
fn group() {
    let lab = lab();
    let two = |priority: u8| {
        instance("R1", 50, priority, 100, "") + &instance("R2", 51, priority, 101, "")
    };
    let group =
        |more: &str| format!("vrrp_sync_group G {{\n group {{\n R1\n R2\n }}\n {more}\n}}\n");
    let text =
        session("gw", IPV4.gateway, IPV4.node, "") + &two(100) + &group("track_bfd {\n gw\n }");
    let _a = start(&lab, "a", Kind::Ours, &text);
    let _b = start(&lab, "b", Kind::Ours, &(two(99) + &group("")));
    let has = |name: &str| {
        let text = lab.ip(name, "-4 -o addr show");
        [100, 101].map(|last| text.contains(&format!(" 10.230.137.{last}/")))
    };
    let both = |name: &str, other: &str| has(name) == [true; 2] && has(other) == [false; 2];
    wait("both on b", ELECTION, || both("b", "a"));
    let mut c = gateway(&lab, Kind::Ours, &IPV4, "");
    wait("both on a", RISE + ELECTION, || both("a", "b"));
    c.signal("KILL");
    let took = wait("both on b", DETECTION + SKEW + MARGIN, || both("b", "a"));
    println!("  a sync group: SIGKILL of the neighbor to takeover: {took:?}");
}

/// Intervals change by a poll sequence, and what does not change is not touched.
fn reload() {
    let lab = lab();
    let path = lab.folder.join("a.bfd.conf");
    let text = |gw: &str, more: &str| {
        session("gw", IPV4.gateway, IPV4.node, gw) + more + &router(100, "track_bfd {\n gw\n }")
    };
    let mut a = start(&lab, "a", Kind::Ours, &text("", ""));
    let c = gateway(&lab, Kind::Ours, &IPV4, "");
    wait("a is master", RISE + ELECTION, || lab.has("a"));
    c.hears("node: Down -> Up", SOON);
    forget(&mut a);
    c.forget();
    let mut seen = watch(&lab);
    wait("packets are seen", ELECTION, || seen.count("BFDv1") > 10);
    let again = |a: &mut Node, text: &str| {
        // At once: who reads late must not find half a file.
        let new = path.with_extension("new");
        std::fs::write(&new, text).expect("a file");
        std::fs::rename(&new, &path).expect("a file");
        a.tell(&format!("set file={}", path.display()));
        a.tell("show");
    };
    for round in 0..20 {
        // A longer and a shorter pause, and other weights, in turn.
        let (gw, more) = match round % 4 {
            0 => ("min_tx 150\n min_rx 100", ""),
            1 => ("multiplier 12", ""),
            2 => (
                "weight 10\n weight 0",
                "bfd_instance new {\n neighbor_ip 10.230.137.77\n}\n",
            ),
            _ => ("", ""),
        };
        again(&mut a, &text(gw, more));
        std::thread::sleep(Duration::from_millis(120));
    }
    wait("more are seen", SOON, || seen.count("BFDv1") > 60);
    assert_eq!(a.count("gw: Up -> "), 0, "{}", a.text());
    assert_eq!(c.count("node: Up -> "), 0, "{}", c.text());
    assert_eq!(a.count("R1: "), 0, "no transition: {}", a.text());
    seen.signal("TERM");
    let packets = seen.text();
    assert!(
        packets.contains("Flags: [Poll]"),
        "a poll sequence: {packets}"
    );
    assert!(
        packets.contains("Flags: [Final]"),
        "and its answer: {packets}"
    );
    // Gone from the file: the neighbour is told, and does not wait for the detection time.
    again(&mut a, &router(100, ""));
    c.hears(
        "node: Up -> Down: 10.230.137.1 said AdminDown (administratively down)",
        SOON,
    );
    stays("a is master without it", Duration::from_millis(500), || {
        lab.has("a")
    });
    again(&mut a, &text("", ""));
    c.hears("node: Down -> Up", RISE);
    wait("a is master with it", ELECTION, || lab.has("a"));
}

/// Decodes the packets that a node sees.
fn watch(lab: &Lab) -> Node {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", &lab.space("a")]);
    command.args([
        "tcpdump",
        "-n",
        "-l",
        "-v",
        "-i",
        "eth0",
        "--immediate-mode",
    ]);
    command.args(["udp", "port", "3784"]);
    Node::start(command)
}
