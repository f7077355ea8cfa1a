//! Virtual routers against each other and against Debian's keepalived, in network namespaces.
//!
//! `cargo test -p tandem-vrrp --test namespaces -- [NAME…]` runs the scenarios whose names contain one of the words.

mod addresses;
#[allow(dead_code)]
#[path = "../../examples/vrrp_alone.rs"]
mod alone;
mod beside;
mod bfd;
mod bfd_beside;
mod bfd_forged;
mod bfd_wire;
mod bfd_words;
mod busy;
mod conflict;
mod dumped;
mod forge;
mod forged;
mod garps;
mod groups;
mod handover;
mod hmac;
mod keepalived;
mod lab;
mod lapse;
mod notify;
mod odd;
mod process;
mod release;
mod reload;
mod routing;
mod table;
mod words;

use std::process::{Command, ExitCode};
use std::time::Duration;

use lab::{Lab, VIP, has_keepalived, perform, run, stays, wait};

/// Three intervals and the longest skew, and some for a busy machine.
const MASTER_DOWN: Duration = Duration::from_millis(4_300);
/// The skew of priority 99 or 100, and some for a busy machine.
const SKEW: Duration = Duration::from_millis(900);
/// An election at the start, with preemption of who was first.
const ELECTION: Duration = Duration::from_secs(10);
const SOON: Duration = Duration::from_secs(2);

const A: &str = "priority=100 state=MASTER pass=passwd";
const B: &str = "priority=99 pass=passwd";

const SCENARIOS: [(&str, fn()); 17] = [
    ("a_backup_that_was_frozen_hears_its_master_first", frozen),
    ("a_control_process_is_replaced", control),
    (
        "a_daemon_whose_supervisor_vanishes_gives_up_in_order",
        abandoned,
    ),
    (
        "a_failover_and_a_failback_cost_a_client_no_answer",
        handover::between_ours,
    ),
    (
        "a_failover_goes_to_the_peer_and_a_failback_returns",
        handover::told,
    ),
    (
        "a_failover_to_keepalived_costs_a_client_no_answer",
        handover::to_keepalived,
    ),
    ("a_failover_without_a_peer_moves_nothing", handover::alone),
    ("a_fault_of_a_script_moves_the_addresses", script),
    (
        "a_healed_network_has_one_master_and_its_clients_know",
        healed,
    ),
    (
        "a_killed_master_is_succeeded_and_its_address_reclaimed",
        killed,
    ),
    ("a_lost_link_is_a_fault", link),
    ("a_missing_interface_is_a_fault_until_it_appears", missing),
    ("a_proxy_that_dies_is_a_fault_after_its_grace", proxy),
    ("a_reload_leaves_what_did_not_change", reload),
    ("a_second_master_is_told_and_has_to_yield", conflict::told),
    ("an_address_that_somebody_removes_is_put_back", removed),
    ("forged_advertisements_silence_nobody", forged::slowly),
];

/// These want the machine for themselves: a flood keeps it busy, and the processes under test have real-time priority.
const ALONE: [(&str, fn()); 1] = [(
    "a_burst_of_malformed_packets_changes_nothing",
    forged::burst,
)];

/// Scenarios that run at once: each has namespaces of its own and mostly waits, but what it times is not to wait for others.
const AT_ONCE: usize = 16;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("node") => return alone::node(arguments[1..].to_vec()),
        Some("forge") => return forge::run(&arguments[1..]),
        Some("forge-bfd") => return bfd_forged::forge(&arguments[1..]),
        _ => {}
    }
    let probe = format!("tandem-probe-{}", std::process::id());
    let able = Command::new("ip").args(["netns", "add", &probe]).output();
    if !able.is_ok_and(|output| output.status.success()) {
        println!("SKIPPED: network namespaces need root and iproute2");
        // Where everything has to run, nothing may be left out.
        return match std::env::var_os("CI") {
            Some(_) => ExitCode::FAILURE,
            None => ExitCode::SUCCESS,
        };
    }
    run(&format!("ip netns del {probe}"));
    let wanted: Vec<_> = arguments
        .iter()
        .filter(|word| !word.starts_with('-'))
        .collect();
    let is_wanted = |(name, _): &&(&str, fn())| {
        wanted.is_empty() || wanted.iter().any(|word| name.contains(*word))
    };
    let together: Vec<_> = SCENARIOS
        .iter()
        .chain(&addresses::SCENARIOS)
        .chain(&beside::SCENARIOS)
        .chain(&busy::SCENARIOS)
        .chain(&bfd::SCENARIOS)
        .chain(&bfd_beside::SCENARIOS)
        .chain(&bfd_forged::SCENARIOS)
        .chain(&bfd_words::SCENARIOS)
        .chain(&dumped::SCENARIOS)
        .chain(&garps::SCENARIOS)
        .chain(&groups::SCENARIOS)
        .chain(&hmac::SCENARIOS)
        .chain(&lapse::SCENARIOS)
        .chain(&keepalived::SCENARIOS)
        .chain(&odd::SCENARIOS)
        .chain(&process::SCENARIOS)
        .chain(&notify::SCENARIOS)
        .chain(&release::SCENARIOS)
        .chain(&reload::SCENARIOS)
        .chain(&routing::SCENARIOS)
        .chain(&table::SCENARIOS)
        .chain(&words::SCENARIOS)
        .filter(is_wanted)
        .copied()
        .collect();
    let alone: Vec<_> = ALONE.iter().filter(is_wanted).copied().collect();
    let mut failed = perform(&together, AT_ONCE);
    if !failed.is_empty() {
        // Beside fifteen others a peer that is no real-time process may be too late for what it has promised. Alone it may not.
        println!("again, each alone:");
        failed = perform(&failed, 1);
    }
    failed.extend(perform(&alone, 1));
    match failed.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

/// Forgets what a node said until now: an answer comes after everything that happened before.
fn forget(node: &mut lab::Node) {
    node.forget();
    node.tell("show");
    node.hears("SHOW", SOON);
    node.forget();
}

fn killed() {
    let lab = Lab::new();
    let (mut a, b) = (lab.ours("a", A), lab.ours("b", B));
    wait("a is master", ELECTION, || lab.has("a") && !lab.has("b"));
    b.forget();
    a.signal("KILL");
    let took = b.hears("BACKUP -> MASTER", MASTER_DOWN);
    println!("  kill -9 to takeover: {took:?}");
    assert!(
        lab.has("a"),
        "a killed process cannot take its address away"
    );
    let a = lab.ours("a", A);
    a.hears("AddressReclaimed", SOON);
    assert!(!lab.has("a"));
    wait("a is master again", ELECTION, || {
        lab.has("a") && !lab.has("b")
    });
    b.forget();
    assert_eq!(a.stop(), Some(0));
    let took = b.hears("BACKUP -> MASTER", SKEW);
    println!("  SIGTERM to takeover: {took:?}");
    assert_eq!(b.stop(), Some(0));
    assert!(
        !lab.has("a") && !lab.has("b"),
        "a stop leaves no address behind"
    );
}

fn script() {
    let lab = Lab::new();
    let (good, notes) = (lab.folder.join("good"), lab.folder.join("notes"));
    std::fs::write(&good, "").expect("a file");
    let note = lab.folder.join("note.sh");
    std::fs::write(
        &note,
        format!("#!/bin/sh\necho \"$*\" >> {}\n", notes.display()),
    )
    .expect("a file");
    run(&format!("chmod +x {}", note.display()));
    let own = std::env::current_exe().expect("this program");
    let space = lab.space("a");
    // `ours` splits words at blanks; these have some.
    let mut command = Command::new("ip");
    command
        .args(["netns", "exec", &space])
        .arg(own)
        .arg("node")
        .args(A.split(' '));
    command
        .arg(format!("script=test -e {}", good.display()))
        .args(["fall=2", "mail"]);
    command.arg(format!("notify={}", note.display()));
    let a = lab::Node::start(command);
    let b = lab.ours("b", B);
    wait("a is master", ELECTION, || lab.has("a") && !lab.has("b"));
    b.forget();
    std::fs::remove_file(&good).expect("it was there");
    a.hears(
        "MASTER -> FAULT: script chk: exit status 1, 2 of 2 failures",
        Duration::from_secs(4),
    );
    b.hears("BACKUP -> MASTER: 10.230.137.1 resigned", SKEW);
    std::fs::write(&good, "").expect("a file");
    a.hears(
        "FAULT -> BACKUP: script chk: exit status 0, 1 of 1 successes",
        SOON,
    );
    wait("a is master again", ELECTION, || {
        lab.has("a") && !lab.has("b")
    });
    a.hears("MAIL VRRP Instance R1 - Entering FAULT state", SOON);
    assert_eq!(a.stop(), Some(0));
    let expected = ["BACKUP", "MASTER", "FAULT", "BACKUP", "MASTER", "STOP"]
        .iter()
        .flat_map(|state| {
            [
                format!("own-{}", state.to_lowercase()),
                format!("INSTANCE R1 {state} 100"),
            ]
        })
        .collect::<Vec<_>>();
    let noted = std::fs::read_to_string(&notes).expect("notes");
    assert_eq!(
        noted.lines().collect::<Vec<_>>(),
        expected,
        "notifications come in order, also at the end"
    );
}

fn healed() {
    let lab = Lab::new();
    let (mut a, b) = (lab.ours("a", A), lab.ours("b", B));
    wait("a is master", ELECTION, || lab.has("a") && !lab.has("b"));
    // Isolated ports of a bridge reach all others but each other: the client sees both.
    let isolate = |word: &str| {
        for port in ["va", "vb"] {
            run(&format!(
                "bridge -n {} link set dev {port} isolated {word}",
                lab.space("sw")
            ));
        }
    };
    isolate("on");
    wait("both are master", ELECTION, || lab.has("a") && lab.has("b"));
    wait("the client believes b", SOON, || {
        let _ = Command::new("ip")
            .args(["netns", "exec", &lab.space("c"), "ping", "-c1", "-W1", VIP])
            .output();
        lab.client_goes_to("b")
    });
    forget(&mut a);
    isolate("off");
    b.hears(
        "MASTER -> BACKUP: advertisement from 10.230.137.1 with higher priority",
        SOON,
    );
    let took = wait("the client believes a", SOON, || lab.client_goes_to("a"));
    println!("  healed: the client knows the winner after {took:?}");
    stays("one master", MASTER_DOWN, || lab.has("a") && !lab.has("b"));
    assert_eq!(a.count("->"), 0, "the winner never changed");
}

fn link() {
    let lab = Lab::new();
    let (a, b) = (lab.ours("a", A), lab.ours("b", B));
    wait("a is master", ELECTION, || lab.has("a") && !lab.has("b"));
    b.forget();
    lab.ip("sw", "link set va down");
    a.hears("MASTER -> FAULT: interface eth0: it has no carrier", SOON);
    assert!(!lab.has("a"));
    let took = b.hears("BACKUP -> MASTER", MASTER_DOWN);
    println!("  link cut to takeover: {took:?}");
    lab.ip("sw", "link set va up");
    a.hears("FAULT -> BACKUP: its interface is well again", SOON);
    wait("a is master again", ELECTION, || {
        lab.has("a") && !lab.has("b")
    });
}

fn missing() {
    let lab = Lab::new();
    let a = lab.ours("a", &format!("{A} interface=eth7"));
    a.hears(
        "Alert VrrpTransition R1: INIT -> FAULT: interface eth7: it does not exist",
        SOON,
    );
    lab.ip("a", "link add eth7 type veth peer name eth8");
    lab.ip("a", "link set eth8 up");
    lab.ip("a", "addr add 10.1.1.1/24 dev eth7");
    lab.ip("a", "link set eth7 up");
    a.hears("FAULT -> BACKUP", SOON);
    a.hears("BACKUP -> MASTER", MASTER_DOWN);
    lab.ip("a", "link del eth7");
    a.hears("MASTER -> FAULT: interface eth7: it does not exist", SOON);
}

fn proxy() {
    let lab = Lab::new();
    let own = std::env::current_exe().expect("this program");
    let mut command = Command::new("ip");
    command
        .args(["netns", "exec", &lab.space("a")])
        .arg(own)
        .arg("node")
        .args(A.split(' '));
    command.args(["script=killall -0 haproxy", "weight=-2", "proxy"]);
    let mut a = lab::Node::start(command);
    a.hears(
        "VrrpScriptNative chk: answered by the worker's heartbeat",
        SOON,
    );
    a.hears("READY", SOON);
    assert_eq!(
        a.count("->"),
        0,
        "nothing happens before the proxy is ready"
    );
    a.tell("proxy up");
    a.hears("BACKUP -> MASTER", MASTER_DOWN);
    a.forget();
    a.tell("proxy down");
    a.tell("show");
    a.hears("its successor has a moment", SOON);
    a.tell("proxy up");
    stays("no transition", Duration::from_secs(1), || {
        a.count("->") == 0
    });
    a.tell("proxy down");
    let took = a.hears(
        "MASTER -> FAULT: script chk: the proxy is dead (the worker was killed by signal 9)",
        SOON,
    );
    println!("  dead proxy to FAULT: {took:?}");
    assert!(!lab.has("a"));
    a.tell("proxy up");
    a.hears("FAULT -> BACKUP: the proxy is alive", SOON);
    a.hears("BACKUP -> MASTER", MASTER_DOWN);
}

fn reload() {
    let lab = Lab::new();
    let mut a = lab.ours("a", A);
    wait("a is master", ELECTION, || lab.has("a"));
    forget(&mut a);
    a.tell("set priority=100");
    a.tell("show");
    a.hears("SHOW", SOON);
    assert_eq!(a.count("->"), 0, "the same configuration changes nothing");
    a.tell("set also=2");
    a.hears("also2: BACKUP -> MASTER", MASTER_DOWN);
    assert_eq!(a.count("R1: "), 0, "a new instance leaves the others alone");
    assert!(lab.ip("a", "-4 -o addr show").contains("10.231.0.2/32"));
    a.tell("set also=1");
    a.hears(
        "also2: MASTER -> INIT: it is gone from the configuration",
        SOON,
    );
    assert_eq!(a.count("R1: ") + a.count("also1: MASTER ->"), 0);
    assert!(!lab.ip("a", "-4 -o addr show").contains("10.231.0.2/32"));
    forget(&mut a);
    a.tell("set vrid=51");
    a.hears(
        "R1: MASTER -> INIT: its configuration changed: it begins anew",
        SOON,
    );
    wait("the address is gone", SOON, || !lab.has("a"));
    a.hears("R1: BACKUP -> MASTER", MASTER_DOWN);
    assert_eq!(a.stop(), Some(0));
    assert!(!lab.has("a"));
}

fn frozen() {
    let lab = Lab::new();
    let (mut a, mut b) = (lab.ours("a", A), lab.ours("b", B));
    wait("a is master", ELECTION, || lab.has("a") && !lab.has("b"));
    forget(&mut a);
    forget(&mut b);
    b.signal("STOP");
    stays("a is master", MASTER_DOWN * 2, || lab.has("a"));
    b.signal("CONT");
    b.tell("show");
    b.hears("SHOW", SOON);
    stays("a alone is master", SOON, || lab.has("a") && !lab.has("b"));
    assert_eq!((a.count("->"), b.count("->")), (0, 0));
    // The other way round: a frozen master keeps its address, and must not lose its clients when it wakes.
    a.signal("STOP");
    b.hears("BACKUP -> MASTER", MASTER_DOWN);
    a.signal("CONT");
    wait("a is master again", SOON, || lab.has("a") && !lab.has("b"));
}

fn control() {
    let lab = Lab::new();
    let mut a = lab.ours("a", A);
    a.hears("EVENT Notice VrrpTransition R1: INIT -> BACKUP", SOON);
    a.tell("control");
    a.hears(
        "EVENT Warning VrrpTransition R1: BACKUP -> MASTER",
        MASTER_DOWN,
    );
    a.forget();
    a.tell("show");
    a.hears("SHOW", SOON);
}

fn abandoned() {
    let lab = Lab::new();
    let (mut a, b) = (lab.ours("a", A), lab.ours("b", B));
    wait("a is master", ELECTION, || lab.has("a") && !lab.has("b"));
    b.forget();
    a.tell("abandon");
    assert_eq!(a.end(), Some(0));
    assert!(!lab.has("a"));
    b.hears("BACKUP -> MASTER: 10.230.137.1 resigned", SKEW);
}

fn removed() {
    let lab = Lab::new();
    let a = lab.ours("a", A);
    wait("a is master", ELECTION, || lab.has("a"));
    for _ in 0..2 {
        a.forget();
        lab.ip("a", &format!("addr del {VIP}/32 dev eth0"));
        a.hears("put back: 10.230.137.100", SOON);
        assert!(lab.has("a"));
    }
}
