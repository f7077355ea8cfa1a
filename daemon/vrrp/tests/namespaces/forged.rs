//! What packets that must not count change: nothing. `forge` sends them.

use crate::lab::{Lab, stays, wait};
use crate::{A, B, ELECTION, SOON, forget};

pub(crate) fn slowly() {
    let lab = Lab::new();
    let (mut a, mut b) = (lab.ours("a", A), lab.ours("b", B));
    wait("a is master", ELECTION, || lab.has("a") && !lab.has("b"));
    forget(&mut a);
    forget(&mut b);
    lab.forge(&[]);
    assert_eq!(
        (a.count("->"), b.count("->")),
        (0, 0),
        "nobody changed its state"
    );
    assert!(lab.has("a") && !lab.has("b"));
    assert_eq!(
        a.count("EVENT Warning VrrpPacketRefused"),
        3,
        "one report for each reason"
    );
    a.tell("show");
    a.hears(
        "refused: [(\"authentication\", 120), (\"checksum\", 120), (\"interval\", 120)]",
        SOON,
    );
}

pub(crate) fn burst() {
    let lab = Lab::new();
    let (mut a, mut b) = (lab.ours("a", A), lab.ours("b", B));
    wait("a is master", ELECTION, || lab.has("a") && !lab.has("b"));
    forget(&mut a);
    forget(&mut b);
    lab.forge(&["burst"]);
    for node in [&mut a, &mut b] {
        node.tell("show");
        node.hears("SHOW", SOON);
        let text = node.text();
        for reason in [
            "address-count",
            "address-list",
            "authentication",
            "checksum",
            "interval",
            "length",
            "ttl",
            "version",
        ] {
            assert!(
                text.contains(&format!("(\"{reason}\", ")),
                "{reason}\n{text}"
            );
        }
        assert_eq!(node.count("->"), 0, "nobody changed its state\n{text}");
        let told = node.count("EVENT Warning VrrpPacketRefused");
        assert!((8..=16).contains(&told), "{told} reports\n{text}");
    }
    stays("a alone is master", SOON, || lab.has("a") && !lab.has("b"));
    assert_eq!((a.count("->"), b.count("->")), (0, 0));
}
