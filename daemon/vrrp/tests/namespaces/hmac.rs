//! `auth_hmac` between nodes: elections, keys that change while all run, and who only repeats what it heard.

use std::process::Command;
use std::time::Duration;

use crate::lab::{Lab, Node, stays, wait};
use crate::{ELECTION, MASTER_DOWN, SOON, forget};

/// Scenarios of this file.
pub(crate) const SCENARIOS: [(&str, fn()); 7] = [
    ("proofs_elect_a_master_in_version_2", || {
        elects("", "10.230.137.100");
    }),
    ("proofs_elect_a_master_in_version_3", || {
        elects("version 3\n advert_int 0.3", "10.230.137.100");
    }),
    ("proofs_elect_a_master_over_ipv6", || {
        elects("advert_int 0.3", "fe80::100\n 2001:db8::100");
    }),
    ("proofs_of_before_hold_up_no_takeover", replayed),
    (
        "proofs_of_before_count_for_nothing_after_a_restart",
        restarted,
    ),
    ("keys_are_changed_while_all_run", rotated),
    ("proofs_and_none_keep_nodes_apart", apart),
];

const KEYS: [&str; 2] = [
    "key 1 hex:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
    "key 2 'a second key of thirty-two octets'",
];
/// What no node may ever print.
const SECRETS: [&str; 2] = ["000102030405", "thirty-two"];

fn write(lab: &Lab, name: &str, lines: &str, addresses: &str) -> std::path::PathBuf {
    let path = lab.folder.join(format!("{name}.hmac.conf"));
    let priority = if name == "a" { 100 } else { 99 };
    let text = format!(
        "vrrp_instance R1 {{\n interface eth0\n virtual_router_id 50\n priority {priority}\n {lines}\n \
         virtual_ipaddress {{\n {addresses}\n }}\n}}\n"
    );
    std::fs::write(&path, text).expect("a file");
    path
}

fn hmac(keys: &str, rest: &str) -> String {
    format!("auth_hmac {{\n {keys}\n {rest}\n }}")
}

fn ours(lab: &Lab, name: &str, lines: &str, addresses: &str) -> Node {
    let path = write(lab, name, lines, addresses);
    lab.ours(name, &format!("file={}", path.display()))
}

fn has(lab: &Lab, name: &str, address: &str) -> bool {
    lab.ip(name, "-o addr show")
        .contains(&format!(" {address}/"))
}

fn elects(lines: &str, addresses: &str) {
    let lab = Lab::new();
    let lines = format!("{lines}\n {}", hmac(KEYS[0], ""));
    let first = addresses.split_whitespace().next().expect("an address");
    let (mut a, mut b) = (
        ours(&lab, "a", &lines, addresses),
        ours(&lab, "b", &lines, addresses),
    );
    let settled = || has(&lab, "a", first) && !has(&lab, "b", first);
    wait("a is master", ELECTION, settled);
    stays("a alone is master", Duration::from_secs(1), settled);
    b.tell("show");
    b.hears(
        "auth_hmac with key 1 of 1, time within 5 s, enforce; proved by ",
        SOON,
    );
    assert_eq!(b.count("VrrpPacketRefused"), 0, "{}", b.text());
    a.signal("KILL");
    wait("b has followed", MASTER_DOWN, || has(&lab, "b", first));
    for node in [&a, &b] {
        assert!(!SECRETS.iter().any(|secret| node.text().contains(secret)));
    }
}

/// A third node that has recorded what the master says, and repeats it.
fn replaying(lab: &Lab) -> Node {
    let own = std::env::current_exe().expect("this program");
    let mut forger = Command::new("ip");
    forger
        .args(["netns", "exec", &lab.space("c")])
        .arg(own)
        .args(["forge", "replay"]);
    let forger = Node::start(forger);
    forger.hears("RECORDED", ELECTION);
    forger
}

/// A third node repeats what the master said, also after its death.
fn replayed() {
    let lab = Lab::new();
    let lines = hmac(KEYS[0], "");
    let vip = "10.230.137.100";
    let (mut a, mut b) = (ours(&lab, "a", &lines, vip), ours(&lab, "b", &lines, vip));
    wait("a is master", ELECTION, || {
        has(&lab, "a", vip) && !has(&lab, "b", vip)
    });
    forget(&mut b);
    let forger = replaying(&lab);
    a.signal("KILL");
    let took = b.hears("BACKUP -> MASTER", MASTER_DOWN);
    println!("  kill -9 to takeover while its words are repeated: {took:?}");
    assert_eq!(forger.end(), Some(0));
    b.tell("show");
    b.hears("SHOW", SOON);
    let text = b.text();
    // Within the window they are repeated, afterwards they are stale.
    for reason in ["(\"replay\", ", "(\"stale\", "] {
        assert!(text.contains(reason), "{reason}\n{text}");
    }
    assert_eq!(b.count("MASTER -> "), 0, "{text}");
}

/// What was heard before a restart does not count once more: with `remember`. Without it, it does.
fn restarted() {
    let lab = Lab::new();
    let lines = hmac(KEYS[0], "time_window 30");
    let vip = "10.230.137.100";
    let mut a = ours(&lab, "a", &lines, vip);
    let path = write(&lab, "b", &lines, vip);
    let words = format!("file={}", path.display());
    let memory = lab.folder.join("b.memory");
    let remembering = format!("{words} remember={}", memory.display());
    let mut b = lab.ours("b", &remembering);
    wait("a is master", ELECTION, || {
        has(&lab, "a", vip) && !has(&lab, "b", vip)
    });
    let _forger = replaying(&lab);
    a.signal("KILL");
    // Half a second at most, and the machine may be busy.
    stays("b is backup", Duration::from_millis(900), || {
        !has(&lab, "b", vip)
    });
    b.signal("KILL");
    let believed = |words: &str| {
        let mut node = lab.ours("b", words);
        node.hears("INIT -> BACKUP", SOON);
        node.hears("VrrpPacketRefused", ELECTION);
        node.tell("show");
        node.hears("(\"replay\", ", SOON);
        let text = node.text();
        node.signal("KILL");
        !text.contains("adverts_received: 0")
    };
    assert!(!believed(&remembering), "it counted once more");
    assert!(believed(&words), "nothing was repeated");
}

/// From one key to another without a transition, node by node, as an operator does it.
fn rotated() {
    let lab = Lab::new();
    let vip = "10.230.137.100";
    let fast = |hmac: String| format!("version 3\n advert_int 0.3\n {hmac}");
    let both = KEYS.join("\n ");
    let lines = fast(hmac(KEYS[0], ""));
    let (mut a, mut b) = (ours(&lab, "a", &lines, vip), ours(&lab, "b", &lines, vip));
    let settled = || has(&lab, "a", vip) && !has(&lab, "b", vip);
    wait("a is master", ELECTION, settled);
    forget(&mut a);
    forget(&mut b);
    let steps = [
        ("b", hmac(&both, "active_key 1")),
        ("a", hmac(&both, "active_key 1")),
        ("a", hmac(&both, "active_key 2")),
        ("b", hmac(&both, "active_key 2")),
        ("b", hmac(KEYS[1], "")),
        ("a", hmac(KEYS[1], "anti_replay monotonic")),
        ("b", hmac(KEYS[1], "anti_replay monotonic")),
    ];
    for (name, block) in steps {
        write(&lab, name, &fast(block), vip);
        let node = if name == "a" { &mut a } else { &mut b };
        node.tell("set");
        stays("a is master", Duration::from_millis(700), settled);
    }
    b.tell("show");
    b.hears(
        "auth_hmac with key 2 of 2, monotonic, enforce; proved by ",
        SOON,
    );
    for node in [&a, &b] {
        let text = node.text();
        assert_eq!(node.count("->"), 0, "{text}");
        assert_eq!(node.count("VrrpPacketRefused"), 0, "{text}");
        assert!(!SECRETS.iter().any(|secret| text.contains(secret)));
    }
}

/// A node with keys and one without refuse each other; a permissive one believes both.
fn apart() {
    let lab = Lab::new();
    let vip = "10.230.137.100";
    let fast = |hmac: String| format!("version 3\n advert_int 0.3\n {hmac}");
    let mut a = ours(&lab, "a", &fast(String::new()), vip);
    wait("a is master", ELECTION, || has(&lab, "a", vip));
    let mut b = ours(&lab, "b", &fast(hmac(KEYS[0], "")), vip);
    b.hears("no trailer of auth_hmac: its sender has no key", ELECTION);
    a.hears("a trailer of auth_hmac, wanted none", ELECTION);
    // The backup first, permissive; then the master: nobody is alone at any time.
    write(&lab, "b", &fast(hmac(KEYS[0], "mode permissive")), vip);
    b.tell("set");
    b.hears("an advertisement is believed without a proof", SOON);
    wait("a alone is master", SOON, || {
        has(&lab, "a", vip) && !has(&lab, "b", vip)
    });
    forget(&mut a);
    forget(&mut b);
    write(&lab, "a", &fast(hmac(KEYS[0], "mode permissive")), vip);
    a.tell("set");
    stays("a alone is master", Duration::from_secs(1), || {
        has(&lab, "a", vip) && !has(&lab, "b", vip)
    });
    write(&lab, "b", &fast(hmac(KEYS[0], "mode enforce")), vip);
    b.tell("set");
    stays("a alone is master", Duration::from_secs(1), || {
        has(&lab, "a", vip) && !has(&lab, "b", vip)
    });
    assert_eq!(a.count("->") + b.count("->"), 0, "{}", b.text());
}
