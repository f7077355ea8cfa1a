//! Many instances on one link: what is done for each packet stays little.

use std::time::Duration;

use crate::lab::{Lab, Node, wait};
use crate::{ELECTION, SOON, forget};

/// Scenarios of this file.
pub(crate) const SCENARIOS: [(&str, fn()); 1] = [(
    "a_backup_of_many_instances_is_woken_less_often_than_it_is_spoken_to",
    woken,
)];

/// Besides the one that every node has.
const ALSO: u64 = 200;
const INTERVAL: Duration = Duration::from_millis(100);
const WATCHED: Duration = Duration::from_secs(2);

/// How often a process was woken until now.
fn wakes(node: &Node) -> u64 {
    let path = format!("/proc/{}/status", node.id());
    let text = std::fs::read_to_string(path).expect("it runs");
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    line.expect("the line").trim().parse().expect("a number")
}

fn woken() {
    let lab = Lab::new();
    let words = format!("v3 vrid=250 advert={} also={ALSO}", INTERVAL.as_secs_f64());
    let a = lab.ours("a", &format!("priority=100 {words}"));
    let all = usize::try_from(ALSO).expect("few") + 1;
    wait("a is master of all", ELECTION, || {
        a.count("BACKUP -> MASTER") >= all
    });
    let mut b = lab.ours("b", &format!("priority=99 {words}"));
    b.hears("INIT -> BACKUP", SOON);
    wait("b is backup of all", SOON, || {
        b.count("INIT -> BACKUP") >= all
    });
    forget(&mut b);
    let before = wakes(&b);
    std::thread::sleep(WATCHED);
    let woken = wakes(&b) - before;
    let spoken = (WATCHED.as_millis() / INTERVAL.as_millis()) as u64 * (ALSO + 1);
    println!("  {spoken} advertisements wake a backup {woken} times");
    assert!(woken < spoken / 2, "{woken} times for {spoken}");
    assert_eq!(b.count("-> MASTER"), 0, "{}", b.text());
}
