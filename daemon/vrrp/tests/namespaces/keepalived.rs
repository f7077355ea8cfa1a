//! Version 2 beside Debian's keepalived, in both roles.

use crate::lab::{Lab, stays, wait};
use crate::{A, B, ELECTION, MASTER_DOWN, SKEW, has_keepalived};

/// Scenarios of this file.
pub(crate) const SCENARIOS: [(&str, fn()); 3] = [
    ("keepalived_follows_ours", keepalived_backup),
    ("ours_follows_keepalived", keepalived_master),
    ("unicast_works_with_keepalived", unicast),
];

fn keepalived_backup() {
    if !has_keepalived() {
        return;
    }
    let lab = Lab::new();
    let (mut a, _b) = (lab.ours("a", A), lab.keepalived("b", "BACKUP", 99, ""));
    wait("a is master", ELECTION, || lab.has("a") && !lab.has("b"));
    a.signal("KILL");
    let took = wait("keepalived took over", MASTER_DOWN, || lab.has("b"));
    println!("  kill -9 of ours to keepalived's takeover: {took:?}");
    let a = lab.ours("a", A);
    wait("a is master again", ELECTION, || {
        lab.has("a") && !lab.has("b")
    });
    assert_eq!(a.stop(), Some(0));
    let took = wait("keepalived took over", SKEW, || lab.has("b"));
    println!("  SIGTERM of ours to keepalived's takeover: {took:?}");
    assert!(!lab.has("a"));
}

fn keepalived_master() {
    if !has_keepalived() {
        return;
    }
    let lab = Lab::new();
    let (mut a, b) = (lab.keepalived("a", "MASTER", 100, ""), lab.ours("b", B));
    wait("keepalived is master", ELECTION, || {
        lab.has("a") && !lab.has("b")
    });
    b.forget();
    a.signal("KILL");
    let took = b.hears("BACKUP -> MASTER", MASTER_DOWN);
    println!("  kill -9 of keepalived to takeover: {took:?}");
    let mut a = lab.keepalived("a", "MASTER", 100, "");
    wait("keepalived is master again", ELECTION, || {
        lab.has("a") && !lab.has("b")
    });
    b.forget();
    a.signal("TERM");
    let took = b.hears("BACKUP -> MASTER", SKEW);
    println!("  SIGTERM of keepalived to takeover: {took:?}");
    assert!(lab.has("b") && !lab.has("a"));
}

fn unicast() {
    if !has_keepalived() {
        return;
    }
    let lab = Lab::new();
    let more = "unicast_src_ip 10.230.137.2\n unicast_peer {\n 10.230.137.1\n }";
    let a = lab.ours("a", &format!("{A} source=10.230.137.1 peers=10.230.137.2"));
    let _b = lab.keepalived("b", "BACKUP", 99, more);
    wait("a is master", ELECTION, || lab.has("a") && !lab.has("b"));
    stays("one master", MASTER_DOWN, || lab.has("a") && !lab.has("b"));
    a.stop();
    wait("keepalived took over", SKEW, || {
        lab.has("b") && !lab.has("a")
    });
    let _a = lab.ours("a", &format!("{A} source=10.230.137.1 peers=10.230.137.2"));
    wait("a is master again", ELECTION, || {
        lab.has("a") && !lab.has("b")
    });
}
