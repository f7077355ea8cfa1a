//! A pair on some kind of link: ours and keepalived elect each other and succeed each other, in both roles.

use std::path::PathBuf;
use std::time::Duration;

use crate::lab::{Lab, Node, VIP, has_keepalived, wait};
use crate::{ELECTION, SOON};

/// What keepalived says of a packet that it does not understand.
const COMPLAINTS: [&str; 6] = [
    "hecksum",
    "nvalid",
    "bogus",
    "incorrect",
    "mismatch",
    "dropped",
];
/// For a busy machine, on top of what the protocol promises.
const MARGIN: Duration = Duration::from_millis(1_500);

/// A kind of link, and what instances say of it.
pub(crate) struct Way {
    /// Makes it on the nodes.
    pub(crate) prepare: fn(&Lab),
    /// The instances' lines, with `$OWN` and `$PEER` for the last numbers of both nodes' addresses.
    pub(crate) lines: &'static str,
    /// What goes before the instance.
    pub(crate) top: &'static str,
    /// Three intervals and the skew of priority 99.
    pub(crate) master_down: Duration,
    /// The skew of priority 99.
    pub(crate) skew: Duration,
}

/// Version 2, each second.
pub(crate) const V2: Way = Way {
    prepare: |_| {},
    lines: "",
    top: "",
    master_down: Duration::from_millis(3_613),
    skew: Duration::from_millis(613),
};
/// Version 3, every 500 ms: a processor that is interpreted has no time for more.
pub(crate) const V3: Way = Way {
    master_down: Duration::from_millis(1_807),
    skew: Duration::from_millis(307),
    ..V2
};

/// A file of one instance with the virtual address of all scenarios.
pub(crate) fn file(lab: &Lab, name: &str, priority: u8, top: &str, lines: &str) -> PathBuf {
    let (own, peer) = if name == "a" { ("1", "2") } else { ("2", "1") };
    let lines = lines.replace("$OWN", own).replace("$PEER", peer);
    let path = lab.folder.join(format!("{name}.conf"));
    let text = format!(
        "{top}\nvrrp_instance R1 {{\n state BACKUP\n virtual_router_id 50\n priority {priority}\n {lines}\n \
         virtual_ipaddress {{\n {VIP}\n }}\n}}\n"
    );
    std::fs::write(&path, text).expect("a file");
    path
}

/// Starts one of ours with a file.
pub(crate) fn ours(lab: &Lab, name: &str, path: &std::path::Path) -> Node {
    lab.ours(name, &format!("file={}", path.display()))
}

impl Way {
    fn ours(&self, lab: &Lab, name: &str, priority: u8) -> Node {
        ours(lab, name, &file(lab, name, priority, self.top, self.lines))
    }

    fn keepalived(&self, lab: &Lab, name: &str, priority: u8) -> Node {
        lab.keepalived_with(name, &file(lab, name, priority, self.top, self.lines))
    }

    /// Ours beside keepalived.
    pub(crate) fn beside(&self) {
        if !has_keepalived() {
            return;
        }
        let lab = Lab::new();
        (self.prepare)(&lab);
        let alone = |name: &str| ["a", "b"].iter().all(|one| lab.has(one) == (*one == name));
        let master_down = self.master_down + MARGIN;
        let skew = self.skew + MARGIN;
        // Ours is the better one.
        let mut node = self.ours(&lab, "a", 100);
        let other = self.keepalived(&lab, "b", 99);
        wait("ours is master", ELECTION, || alone("a"));
        wait("the client goes to ours", SOON, || reached(&lab));
        node.signal("KILL");
        wait("keepalived succeeds ours", master_down, || lab.has("b"));
        let node = self.ours(&lab, "a", 100);
        wait("ours is master again", ELECTION, || alone("a"));
        assert_eq!(node.stop(), Some(0));
        wait("keepalived succeeds ours", skew, || lab.has("b"));
        wait("the client goes to keepalived", SOON, || reached(&lab));
        complains_not(&other);
        drop(other);
        wait("the address is free", SOON, || {
            !lab.has("a") && !lab.has("b")
        });
        // keepalived is the better one.
        let mut other = self.keepalived(&lab, "a", 100);
        let node = self.ours(&lab, "b", 99);
        wait("keepalived is master", ELECTION, || alone("a"));
        assert_eq!(node.count("VrrpPacketRefused"), 0, "{}", node.text());
        other.signal("KILL");
        wait("ours succeeds keepalived", master_down, || lab.has("b"));
        let mut other = self.keepalived(&lab, "a", 100);
        wait("keepalived is master again", ELECTION, || alone("a"));
        other.signal("TERM");
        wait("ours succeeds keepalived", skew, || lab.has("b"));
        wait("the client goes to ours", SOON, || reached(&lab));
        complains_not(&other);
        assert_eq!(node.stop(), Some(0));
        assert!(!lab.has("b"));
    }
}

/// Whether the client is answered at the virtual address.
pub(crate) fn reached(lab: &Lab) -> bool {
    let space = lab.space("c");
    let line = format!("netns exec {space} ping -c 1 -W 0.3 {VIP}");
    let done = std::process::Command::new("ip")
        .args(line.split(' '))
        .output();
    done.is_ok_and(|output| output.status.success())
}

fn complains_not(keepalived: &Node) {
    for complaint in COMPLAINTS {
        assert_eq!(
            keepalived.count(complaint),
            0,
            "{complaint}\n{}",
            keepalived.text()
        );
    }
}
