//! Addresses that leave in order: `pre_release` runs before; and addresses that stay for the next daemon.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::lab::{Lab, Node, VIP, run, stays, wait};
use crate::{A, B, ELECTION, MASTER_DOWN, SKEW, SOON};

/// The scenarios of this file.
pub(crate) const SCENARIOS: [(&str, fn()); 4] = [
    ("a_restart_that_keeps_addresses_is_seen_by_nobody", restart),
    (
        "kept_addresses_go_by_themselves_before_another_takes_over",
        nobody_returns,
    ),
    ("pre_release_runs_before_the_addresses_leave", release),
    ("pre_release_that_hangs_is_given_up_at_its_time", hangs),
];

/// What vrrp_alone gives a pre_release.
const LIMIT: Duration = Duration::from_millis(700);

fn restart() {
    let lab = Lab::new();
    let (a, b) = (lab.ours("a", &format!("{A} keep")), lab.ours("b", B));
    wait("a is master", ELECTION, || lab.has("a") && !lab.has("b"));
    b.forget();
    assert_eq!(a.stop(), Some(0));
    let left = lab.ip("a", "-4 -o addr show dev eth0");
    assert!(
        left.contains(VIP) && left.contains("valid_lft 3sec"),
        "{left}"
    );
    let started = Instant::now();
    let a = lab.ours("a", &format!("{A} keep"));
    a.hears("INIT -> MASTER: the last daemon kept the addresses", SOON);
    println!("  start to master: {:?}", started.elapsed());
    wait("they stay for good", SOON, || {
        let shown = lab.ip("a", "-4 -o addr show dev eth0");
        shown.contains(VIP) && !shown.contains("sec")
    });
    stays("nobody saw it", MASTER_DOWN, || {
        lab.has("a") && !lab.has("b") && b.count("VrrpTransition") == 0
    });
}

fn nobody_returns() {
    let lab = Lab::new();
    let (a, b) = (lab.ours("a", &format!("{A} keep")), lab.ours("b", B));
    wait("a is master", ELECTION, || lab.has("a") && !lab.has("b"));
    b.forget();
    assert_eq!(a.stop(), Some(0));
    assert!(lab.has("a"));
    b.hears(
        "BACKUP -> MASTER: no advertisement from 10.230.137.1",
        MASTER_DOWN,
    );
    // The kernel looks once a second at most.
    wait("they are gone", Duration::from_millis(500), || {
        !lab.has("a")
    });
    // Who comes so late begins anew.
    let a = lab.ours("a", &format!("{A} keep"));
    a.hears("INIT -> BACKUP", SOON);
    wait("a is master again", ELECTION, || {
        lab.has("a") && !lab.has("b")
    });
}

/// A node whose pre_release notes whether the address is still there, and then runs `more`.
fn with_hook(lab: &Lab, more: &str) -> (Node, PathBuf) {
    let (notes, program) = (lab.folder.join("notes"), lab.folder.join("hook.sh"));
    let text = format!(
        "#!/bin/sh\nip -4 -o addr show dev eth0 | grep -q {VIP} && echo \"here: $TANDEM_NOTIFY_REASON\" >> {0}\n{more}\n\
         echo end >> {0}\n",
        notes.display()
    );
    std::fs::write(&program, text).expect("a file");
    run(&format!("chmod 755 {}", program.display()));
    let own = std::env::current_exe().expect("this program");
    let mut command = Command::new("ip");
    command
        .args(["netns", "exec", &lab.space("a")])
        .arg(own)
        .arg("node")
        .args(A.split(' '))
        .arg(format!("pre_release={}", program.display()));
    (Node::start(command), notes)
}

fn noted(notes: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(notes).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn release() {
    let lab = Lab::new();
    let (mut a, notes) = with_hook(&lab, "sleep 0.05");
    let mut b = lab.ours("b", B);
    wait("a is master", ELECTION, || lab.has("a") && !lab.has("b"));
    a.tell("failover");
    a.hears(
        "DONE Ok(\"R1: 10.230.137.2 (priority 99) took over",
        SOON * 2,
    );
    assert_eq!(noted(&notes), ["here: operator: failover", "end"]);
    a.tell("failback");
    wait("a is master again", SOON, || lab.has("a") && !lab.has("b"));
    // Preemption: the other speaks already, the address leaves all the same after the command.
    b.tell("set priority=200");
    b.hears(
        "MASTER: the master 10.230.137.1 has lower priority",
        MASTER_DOWN,
    );
    wait("the address left", SOON, || !lab.has("a"));
    // On a busy machine the half interval may end before the command.
    let lines = noted(&notes);
    assert!(
        lines[2].starts_with("here: advertisement from 10.230.137.2 with higher priority 200"),
        "{lines:?}"
    );
    let before = lines.len();
    b.tell("set priority=99");
    wait("a is master again", ELECTION, || {
        lab.has("a") && !lab.has("b")
    });
    // A lost link waits for nothing and nobody.
    lab.ip("sw", "link set va down");
    a.hears("MASTER -> FAULT", SOON);
    assert_eq!(noted(&notes).len(), before);
    lab.ip("sw", "link set va up");
    wait("a is master again", ELECTION, || {
        lab.has("a") && !lab.has("b")
    });
    b.forget();
    assert_eq!(a.stop(), Some(0));
    assert_eq!(noted(&notes)[before..], ["here: SIGTERM", "end"]);
    b.hears("BACKUP -> MASTER: 10.230.137.1 resigned", SKEW);
}

fn hangs() {
    let lab = Lab::new();
    let (a, notes) = with_hook(&lab, "exec sleep 5");
    wait("a is master", ELECTION, || lab.has("a"));
    let began = Instant::now();
    let mut a = a;
    a.signal("TERM");
    wait("the command runs", SOON, || noted(&notes).len() == 1);
    wait("the address left", SOON, || !lab.has("a"));
    let took = began.elapsed();
    println!("  given up after {took:?}");
    assert!(
        took >= LIMIT && took < LIMIT + Duration::from_millis(500),
        "{took:?}"
    );
    assert_eq!(a.end(), Some(0));
}
