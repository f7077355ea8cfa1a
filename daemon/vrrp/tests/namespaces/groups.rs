//! A sync group beside the same group of Debian's keepalived, in both roles.

use std::time::Duration;

use crate::lab::{Lab, Node, stays, wait};
use crate::{ELECTION, has_keepalived};

/// Scenarios of this file.
pub(crate) const SCENARIOS: [(&str, fn()); 2] = [
    ("a_sync_group_follows_a_sync_group_of_keepalived", || {
        beside(false)
    }),
    ("a_sync_group_is_followed_by_keepalived", || beside(true)),
];

/// What R2 tracks on node a.
const TRACKED: &str = "trk0";
const WATCH: Duration = Duration::from_secs(1);

fn instance(name: &str, id: u8, priority: u8, last: u8, more: &str) -> String {
    format!(
        "vrrp_instance {name} {{\n state BACKUP\n interface eth0\n virtual_router_id {id}\n version 3\n advert_int 0.1\n \
         priority {priority}\n virtual_ipaddress {{\n 10.230.137.{last}\n }}\n {more}\n}}\n"
    )
}

fn start(lab: &Lab, name: &str, ours: bool) -> Node {
    let (priority, more) = match name {
        "a" => (150, format!("track_interface {{\n {TRACKED}\n }}")),
        _ => (100, String::new()),
    };
    let group = "vrrp_sync_group G {\n group {\n R1\n R2\n }\n}\n";
    let text =
        instance("R1", 50, priority, 100, "") + &instance("R2", 51, priority, 101, &more) + group;
    let path = lab.folder.join(format!("{name}.group.conf"));
    std::fs::write(&path, text).expect("a file");
    match ours {
        true => lab.ours(name, &format!("file={}", path.display())),
        false => lab.keepalived_with(name, &path),
    }
}

/// The better node is ours, or keepalived; the other one is the other.
fn beside(ours_is_better: bool) {
    if !has_keepalived() {
        return;
    }
    let lab = Lab::new();
    lab.ip("a", &format!("link add {TRACKED} type veth peer name trk1"));
    lab.ip("a", "link set trk1 up");
    lab.ip("a", &format!("link set {TRACKED} up"));
    let has = |name: &str, last: u8| {
        lab.ip(name, "-4 -o addr show")
            .contains(&format!(" 10.230.137.{last}/"))
    };
    let both_on = |name: &str| {
        let other = if name == "a" { "b" } else { "a" };
        [100, 101]
            .iter()
            .all(|&last| has(name, last) && !has(other, last))
    };
    let _b = start(&lab, "b", !ours_is_better);
    wait("b holds both", ELECTION, || both_on("b"));
    let mut a = start(&lab, "a", ours_is_better);
    wait("a, the better one, takes both", ELECTION, || both_on("a"));
    stays("a holds both", WATCH, || both_on("a"));
    lab.ip("a", &format!("link set {TRACKED} down"));
    wait("a member's fault moves both", ELECTION, || both_on("b"));
    stays("b holds both", WATCH, || both_on("b"));
    lab.ip("a", &format!("link set {TRACKED} up"));
    wait("a takes both back", ELECTION, || both_on("a"));
    stays("a holds both again", WATCH, || both_on("a"));
    a.signal("KILL");
    let b_has = || has("b", 100) && has("b", 101);
    wait("b succeeds in both", ELECTION, b_has);
}
