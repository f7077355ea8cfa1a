//! `timer_expired_backup`: a master whose process stood still.

use std::time::Duration;

use crate::lab::{Lab, Node, stays, wait};
use crate::{ELECTION, SOON, forget};

/// Scenarios of this file.
pub(crate) const SCENARIOS: [(&str, fn()); 1] = [(
    "a_master_that_stood_still_leaves_the_addresses_to_who_followed_it",
    lapsed,
)];

fn ours(lab: &Lab, name: &str, priority: u8, more: &str) -> Node {
    let path = lab.folder.join(format!("{name}.lapse.conf"));
    let text = format!(
        "vrrp_instance R1 {{\n interface eth0\n virtual_router_id 50\n version 3\n advert_int 0.1\n priority {priority}\n \
         nopreempt\n {more}\n virtual_ipaddress {{\n 10.230.137.100\n }}\n}}\n"
    );
    std::fs::write(&path, text).expect("a file");
    lab.ours(name, &format!("file={}", path.display()))
}

fn lapsed() {
    let lab = Lab::new();
    let mut a = ours(&lab, "a", 200, "timer_expired_backup");
    wait("a is master", ELECTION, || lab.has("a"));
    let mut b = ours(&lab, "b", 100, "");
    b.hears("INIT -> BACKUP", SOON);
    forget(&mut a);
    a.signal("STOP");
    b.hears("BACKUP -> MASTER", SOON);
    forget(&mut b);
    a.signal("CONT");
    // Two lines tell of one change: the event and the instance.
    a.hears(
        "MASTER -> BACKUP: it did not run for ",
        Duration::from_millis(500),
    );
    wait("b alone has it", SOON, || lab.has("b") && !lab.has("a"));
    stays("b alone has it", Duration::from_secs(1), || {
        lab.has("b") && !lab.has("a")
    });
    assert_eq!(b.count("->"), 0, "{}", b.text());
    assert!(!a.text().contains("-> MASTER"), "{}", a.text());
    // Nobody is there to follow b: it is master again after its own time.
    a.signal("KILL");
    forget(&mut b);
    b.signal("STOP");
    stays("b stands still", Duration::from_millis(600), || {
        lab.has("b")
    });
    b.signal("CONT");
    forget(&mut b);
    assert_eq!(b.count("->"), 0, "without the word it goes on");
}
