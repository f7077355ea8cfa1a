//! Two masters that do not understand each other: told within two seconds, with the one that has to yield.

use std::process::Command;
use std::time::Duration;

use crate::lab::{Lab, run, stays, wait};
use crate::{A, B, ELECTION, MASTER_DOWN, SOON};

/// Whether packets can be dropped in a namespace here.
fn can_filter(lab: &Lab) -> bool {
    let found = Command::new("ip")
        .args([
            "netns",
            "exec",
            &lab.space("b"),
            "nft",
            "add",
            "table",
            "ip",
            "deaf",
        ])
        .output()
        .is_ok_and(|output| output.status.success());
    if !found {
        println!("SKIPPED: nft is not installed or does not work here");
    }
    found
}

/// The backup goes deaf and takes over; the master hears it, and says so.
pub(crate) fn told() {
    let lab = Lab::new();
    if !can_filter(&lab) {
        return;
    }
    let (mut a, b) = (lab.ours("a", A), lab.ours("b", B));
    wait("a is master", ELECTION, || lab.has("a") && !lab.has("b"));
    // The advertisements of the election are over.
    a.forget();
    let nft = |words: &str| run(&format!("ip netns exec {} nft {words}", lab.space("b")));
    nft("add chain ip deaf input { type filter hook input priority 0 ; }");
    nft("add rule ip deaf input ip protocol 112 drop");
    b.forget();
    b.hears("BACKUP -> MASTER", MASTER_DOWN);
    let took = a.hears(
        "another master was heard: advertisement from 10.230.137.2 with lower claim (priority 99, ours 100)",
        SOON,
    );
    println!("  two masters are told after {took:?}");
    a.tell("show");
    a.hears("conflict: true", SOON);
    stays(
        "a is master and does not yield",
        Duration::from_secs(2),
        || lab.has("a"),
    );
    assert_eq!(a.count("another master was heard"), 1, "told once");
    nft("delete table ip deaf");
    b.hears(
        "MASTER -> BACKUP: advertisement from 10.230.137.1 with higher priority",
        SOON,
    );
    a.hears("the other master has yielded", SOON);
    wait("a is master alone", SOON, || lab.has("a") && !lab.has("b"));
}
