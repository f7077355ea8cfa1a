//! The words of `bfd_instance` and `track_bfd` beside keepalived: what they let pass, and what they do to an election.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use tandem_vrrp::bfd::packet::SessionState;

use crate::bfd::{DETECTION, Kind, MARGIN, RISE, instance, lab, router, session, start};
use crate::bfd_wire::Tap;
use crate::lab::{Lab, Node, run, stays, wait};
use crate::{ELECTION, SOON, has_keepalived};

/// Scenarios of this file.
pub(crate) const SCENARIOS: [(&str, fn()); 8] = [
    ("bfd_link_local_neighbors_of_two_links_are_two", two_links),
    ("bfd_nopreempt_stays_backup_as_in_keepalived", || {
        beside(nopreempt)
    }),
    ("bfd_over_a_router_wants_max_hops_as_in_keepalived", || {
        beside(routed)
    }),
    (
        "bfd_over_ipv6_has_a_hop_limit_of_64_as_in_keepalived",
        || beside(hop_limit),
    ),
    ("bfd_source_ip_is_where_it_speaks_from", || beside(source)),
    ("bfd_ttl_of_both_ends_as_in_keepalived", || beside(ttl)),
    ("bfd_two_sessions_of_a_link_fail_apart", || beside(two)),
    ("bfd_weights_are_those_of_keepalived", weights),
];

const A: &str = "10.230.137.1";
const B: &str = "10.230.137.2";
const C: &str = "10.230.137.9";

/// As both kinds, at once: what is asserted holds for both.
fn beside(check: fn(Kind)) {
    if !has_keepalived() {
        return check(Kind::Ours);
    }
    std::thread::scope(|scope| {
        scope.spawn(|| check(Kind::Keepalived));
        check(Kind::Ours);
    });
}

/// Whether keepalived is there to be the neighbour; else one of ours.
fn neighbor_kind() -> Kind {
    match Command::new("keepalived").arg("--version").output() {
        Ok(_) => Kind::Keepalived,
        Err(_) => Kind::Ours,
    }
}

fn idle(id: u8) -> String {
    instance("N", 60 + id, 100, 190 + id, "")
}

fn tracking() -> String {
    router(100, "track_bfd {\n gw\n }")
}

/// Both at once, and back: who is not master is not.
fn alone(lab: &Lab, name: &str) -> bool {
    ["a", "b"].iter().all(|one| lab.has(one) == (*one == name))
}

fn nopreempt(kind: Kind) {
    let lab = lab();
    let text = session("gw", C, A, "") + &router(100, "nopreempt\n track_bfd {\n gw\n }");
    let neighbor = || {
        start(
            &lab,
            "c",
            neighbor_kind(),
            &(session("node", A, C, "") + &idle(0)),
        )
    };
    let mut c = neighbor();
    let a = start(&lab, "a", kind, &text);
    wait("a is master", RISE + ELECTION, || lab.has("a"));
    let b = start(&lab, "b", Kind::Ours, &router(99, ""));
    b.hears("INIT -> BACKUP", SOON);
    c.signal("KILL");
    wait("b is master", DETECTION + MARGIN + SOON, || {
        alone(&lab, "b")
    });
    a.forget();
    let tap = Tap::start(&lab, "a", "eth0");
    let _c = neighbor();
    tap.up(A, RISE);
    // keepalived keeps what it logs to a pipe for itself.
    if kind == Kind::Ours {
        a.hears("R1: FAULT -> BACKUP: bfd gw: Up", SOON);
    }
    stays("b is master", Duration::from_secs(2), || alone(&lab, "b"));
}

/// a -- b, a router -- c.
fn routed(kind: Kind) {
    let lab = lab();
    lab.add_link();
    lab.ip("a", "link del eth1");
    lab.ip("c", "link del eth0");
    lab.ip("a", &format!("route add 10.230.138.0/24 via {B}"));
    lab.ip("c", "route add 10.230.137.0/24 via 10.230.138.2");
    run(&format!(
        "ip netns exec {} sysctl -q -w net.ipv4.ip_forward=1",
        lab.space("b")
    ));
    let far = "10.230.138.9";
    let neighbor = |more: &str| {
        let node = instance("N", 61, 100, 191, "").replace("eth0", "eth1");
        start(
            &lab,
            "c",
            neighbor_kind(),
            &(session("node", A, far, more) + &node),
        )
    };
    let node = |more: &str| session("gw", far, A, more) + &tracking();
    let tap = Tap::start(&lab, "a", "eth0");
    let mut a = start(&lab, "a", kind, &node(""));
    let c = neighbor("");
    let heard = tap.awaits("the neighbor is heard", far, RISE, |_| true);
    assert_eq!(heard.ttl, 254);
    stays("a is Down", Duration::from_millis(2_500), || {
        let mut seen = tap.of(A);
        seen.retain(|one| one.packet.state != SessionState::Down);
        seen.is_empty() && !lab.has("a")
    });
    if kind == Kind::Ours {
        a.hears(
            "VrrpPacketRefused bfd gw: packet refused: from 10.230.138.9: TTL 254, at least 255 wanted",
            SOON,
        );
        a.tell("show");
        a.hears("refused: [(\"ttl\", ", SOON);
    }
    drop((a, c));
    let _a = start(&lab, "a", kind, &node("max_hops 1"));
    let _c = neighbor("max_hops 1");
    wait("a is master", RISE + ELECTION, || lab.has("a"));
}

/// Without a word about it.
fn hop_limit(kind: Kind) {
    let (near, own) = ("2001:db8::9", "2001:db8::1");
    let lab = lab();
    let tap = Tap::start(&lab, "a", "eth0");
    let _a = start(
        &lab,
        "a",
        kind,
        &(session("gw", near, own, "") + &tracking()),
    );
    let more = session("node", own, near, "hoplimit 65");
    let _c = start(&lab, "c", neighbor_kind(), &(more + &idle(0)));
    // Here 64 are too few, there 65 are enough.
    let init = |one: &crate::bfd_wire::Seen| one.packet.state == SessionState::Init;
    let heard = tap.awaits("a hears", own, RISE, init);
    assert_eq!(heard.ttl, 64);
    stays("c does not", Duration::from_secs(2), || {
        let seen = tap.of(near);
        seen.iter()
            .all(|one| one.packet.state == SessionState::Down && one.ttl == 65)
    });
}

fn source(kind: Kind) {
    let lab = lab();
    lab.ip("a", "addr add 10.230.137.11/24 dev eth0");
    let tap = Tap::start(&lab, "a", "eth0");
    let text = session("gw", C, "10.230.137.11", "") + &tracking();
    let _a = start(&lab, "a", kind, &text);
    let more = session("node", "10.230.137.11", C, "");
    let _c = start(&lab, "c", neighbor_kind(), &(more + &idle(0)));
    let up = tap.up("10.230.137.11", RISE);
    assert_eq!(up.destination.to_string(), C);
    assert!(up.ports[0] >= 49152, "{up:?}");
    assert_eq!(tap.of(A).len(), 0);
    wait("a is master", ELECTION, || lab.has("a"));
}

/// What the one sends is too little for the other one, which expects what it sends itself.
fn ttl(kind: Kind) {
    let lab = lab();
    let tap = Tap::start(&lab, "a", "eth0");
    let a = start(
        &lab,
        "a",
        kind,
        &(session("gw", C, A, "ttl 64") + &tracking()),
    );
    let neighbor = |more: &str| {
        let text = session("node", A, C, more) + &idle(0);
        start(&lab, "c", neighbor_kind(), &text)
    };
    let c = neighbor("");
    let heard = tap.awaits("a hears", A, RISE, |one| {
        one.packet.state == SessionState::Init
    });
    assert_eq!(heard.ttl, 64);
    stays("c does not", Duration::from_secs(2), || {
        let seen = tap.of(C);
        seen.iter()
            .all(|one| one.packet.state == SessionState::Down)
    });
    drop(c);
    tap.forget();
    let _c = neighbor("ttl 70\n max_hops 6");
    assert_eq!(tap.up(C, RISE).ttl, 70);
    wait("a is master", ELECTION + RISE, || lab.has("a"));
    drop(a);
}

/// Two neighbours on the link, and an instance for each.
fn two(kind: Kind) {
    let lab = lab();
    let text = session("one", C, A, "")
        + &session("two", B, A, "")
        + &instance("R1", 50, 100, 100, "track_bfd {\n one\n }")
        + &instance("R2", 51, 100, 101, "track_bfd {\n two\n }");
    let tap = Tap::start(&lab, "a", "eth0");
    let _a = start(&lab, "a", kind, &text);
    let neighbor = |name: &str, own: &str, id: u8| {
        start(
            &lab,
            name,
            neighbor_kind(),
            &(session("node", A, own, "") + &idle(id)),
        )
    };
    let mut c = neighbor("c", C, 0);
    let _b = neighbor("b", B, 1);
    let has = || {
        let text = lab.ip("a", "-4 -o addr show");
        [100, 101].map(|last| text.contains(&format!(" 10.230.137.{last}/")))
    };
    wait("a has both", RISE + ELECTION, || has() == [true; 2]);
    let mut numbers: Vec<u32> = tap
        .of(A)
        .iter()
        .map(|one| one.packet.my_discriminator)
        .collect();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), 2, "{numbers:x?}");
    c.signal("KILL");
    wait("the first one is gone", DETECTION + MARGIN + RISE, || {
        has() == [false, true]
    });
    stays("the second one is there", Duration::from_secs(1), || {
        has() == [false, true]
    });
}

/// The same address of the neighbour on both: keepalived has no word for it.
fn two_links() {
    let lab = lab();
    lab.add_link();
    for (name, last) in [("a", 1), ("c", 9)] {
        lab.ip(name, &format!("addr add fe80::{last}/64 dev eth1 nodad"));
    }
    let on = |last: u8| {
        let one = |name: &str, link: &str| {
            format!(
                "bfd_instance {name} {{\n neighbor_ip fe80::{last}%{link}\n min_rx 50\n min_tx 50\n multiplier 16\n}}\n"
            )
        };
        one("one", "eth0") + &one("two", "eth1")
    };
    let text = on(9) + &router(100, "track_bfd {\n one weight -1\n two weight -2\n }");
    let mut a = start(&lab, "a", Kind::Ours, &text);
    let c = start(&lab, "c", Kind::Ours, &(on(1) + &idle(0)));
    for name in ["one", "two"] {
        a.hears(&format!("bfd {name}: Down -> Up"), RISE);
        c.hears(&format!("bfd {name}: Down -> Up"), RISE);
    }
    // One way alone: carrier and addresses stay.
    lab.ip("sw", "link set wc nomaster");
    a.hears(
        "bfd two: Up -> Down: nothing heard from fe80::9",
        DETECTION + MARGIN,
    );
    lab.ip("sw", "link set wc master br1");
    a.forget();
    a.hears("bfd two: Down -> Up", RISE);
    lab.ip("sw", "link set vc nomaster");
    a.hears(
        "bfd one: Up -> Down: nothing heard from fe80::9",
        DETECTION + MARGIN,
    );
    assert_eq!(a.count("bfd two: Up -> "), 0, "{}", a.text());
    a.tell("show");
    a.hears("SHOW", SOON);
}

/// The priorities that are advertised with the session Down and Up, with all weights at once.
fn weights() {
    if !has_keepalived() {
        return;
    }
    let (ours, theirs) = std::thread::scope(|scope| {
        let theirs = scope.spawn(|| advertised(Kind::Keepalived));
        (advertised(Kind::Ours), theirs.join().expect("no panic"))
    });
    assert_eq!(ours, theirs);
    let map = |all: &[(u8, u8)]| all.iter().copied().collect::<BTreeMap<_, _>>();
    assert_eq!(
        ours[0],
        map(&[(50, 100), (51, 90), (52, 100), (53, 110), (54, 100)])
    );
    assert_eq!(ours[1], map(&[(50, 110), (51, 100), (52, 90), (53, 100)]));
}

fn advertised(kind: Kind) -> [BTreeMap<u8, u8>; 2] {
    let lab = lab();
    let tracks = [
        "weight 10",
        "weight -10",
        "weight 10 reverse",
        "weight -10 reverse",
        "weight 0 reverse",
    ];
    let mut text = session("gw", C, A, "");
    for (id, track) in (0..).zip(tracks) {
        let more = format!("track_bfd {{\n gw {track}\n }}");
        text += &instance(&format!("R{id}"), 50 + id, 100, 100 + id, &more);
    }
    let _a = start(&lab, "a", kind, &text);
    let mut command = Command::new("ip");
    command.args(["netns", "exec", &lab.space("a"), "tcpdump"]);
    command.args([
        "-n",
        "-l",
        "--immediate-mode",
        "-i",
        "eth0",
        "src",
        A,
        "and",
        "proto",
        "112",
    ]);
    let seen = Node::start(command);
    let last = || {
        let word = |line: &str, name: &str| -> Option<u8> {
            let rest = line.split_once(name)?.1;
            rest.split(',').next()?.trim().parse().ok()
        };
        let lines = seen.lines_with("vrid ");
        let all = lines
            .iter()
            .filter_map(|line| Some((word(line, "vrid ")?, word(line, "prio ")?)));
        all.collect::<BTreeMap<_, _>>()
    };
    let five = |count: usize| move |all: &BTreeMap<u8, u8>| all.len() == count;
    wait("all are masters", ELECTION, || five(5)(&last()));
    // Of the last second alone.
    let settled = || {
        std::thread::sleep(Duration::from_millis(500));
        seen.forget();
        std::thread::sleep(Duration::from_secs(1));
        last()
    };
    let down = settled();
    let _c = start(
        &lab,
        "c",
        Kind::Keepalived,
        &(session("node", A, C, "") + &idle(0)),
    );
    wait("the session is Up", RISE, || last().get(&50) == Some(&110));
    [down, settled()]
}
