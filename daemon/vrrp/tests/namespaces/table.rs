//! The table of `tandemd -c --peer` beside what happens: rows about a script, of an instance and of members of a sync group.

use std::path::Path;
use std::time::Duration;

use config::keepalived::proof::{Holder, Side, prove_pair};

use crate::lab::{Lab, Node, stays, wait};
use crate::{ELECTION, MASTER_DOWN};

/// Scenarios of this file.
pub(crate) const SCENARIOS: [(&str, fn()); 3] = [
    ("a_members_weight_does_what_the_table_says", member),
    ("a_weight_does_what_the_table_says", single),
    ("a_groups_weight_does_what_the_table_says", group),
];

/// Longer than a takeover with 0.3 s between advertisements.
const WATCH: Duration = Duration::from_secs(2);
const VIPS: [&str; 2] = ["10.230.137.100", "10.230.137.101"];

fn instance(number: usize, priority: u8, lines: &str) -> String {
    format!(
        "vrrp_instance VI_{number} {{\nversion 3\ninterface eth0\nvirtual_router_id {}\npriority {priority}\nadvert_int 0.3\n\
         virtual_ipaddress {{\n{}\n}}\n{lines}\n}}\n",
        50 + number,
        VIPS[number - 1],
    )
}

/// A script that fails while a file is there.
fn script(lab: &Lab, node: &str) -> String {
    let flag = lab.folder.join(format!("{node}.down"));
    format!(
        "vrrp_script chk {{\nscript \"/usr/bin/test ! -e {}\"\ninterval 1\n}}\n",
        flag.display()
    )
}

fn start(lab: &Lab, node: &str, text: &str) -> Node {
    let path = lab.folder.join(format!("{node}.table.conf"));
    std::fs::write(&path, text).expect("a file");
    lab.ours(node, &format!("file={}", path.display()))
}

fn has(lab: &Lab, node: &str, address: &str) -> bool {
    lab.ip(node, "-o addr show")
        .contains(&format!(" {address}/"))
}

/// Who has both addresses by the table when this fails, and how the priorities are shown.
fn told(texts: [&str; 2], failure: &str) -> Vec<Holder> {
    let loaded = texts.map(|text| config::load(&[config::Input::text("k.conf", text)], &|_| None));
    let side = |at: usize| Side {
        label: ["a", "b"][at],
        config: loaded[at].keepalived.as_ref().expect("a configuration"),
        sources: &loaded[at].sources,
        host: None,
        program: Default::default(),
    };
    let proof = prove_pair(side(0), side(1));
    let table = config::keepalived::proof::render(&proof.scenarios);
    let row = |scenario: &config::keepalived::proof::Scenario| {
        let row = scenario
            .rows
            .iter()
            .find(|row| row.failure.contains(failure));
        row.unwrap_or_else(|| panic!("no row '{failure}':\n{table}"))
            .holder
    };
    proof.scenarios.iter().map(row).collect()
}

/// Lets something fail on node a, and compares who is master of each address with the table.
fn compare(lab: &Lab, texts: [&str; 2], failure: &str, fail: &Path, content: &str) -> Vec<Holder> {
    let a = start(lab, "a", texts[0]);
    let _b = start(lab, "b", texts[1]);
    let holds = |node: &str, other: &str, address: &str| {
        has(lab, node, address) && !has(lab, other, address)
    };
    wait("a is master of both", ELECTION, || {
        VIPS.iter().all(|address| holds("a", "b", address))
    });
    std::fs::write(fail, content).expect("a file");
    let expected = told(texts, failure);
    let as_told = || {
        expected
            .iter()
            .zip(VIPS)
            .all(|(holder, address)| match holder {
                Holder::Node(0) => holds("a", "b", address),
                Holder::Node(_) => holds("b", "a", address),
                Holder::Both | Holder::Nobody => panic!("no row of these means {holder:?}"),
            })
    };
    let noticed = a.hears("chk: fails: exit status 1", ELECTION);
    println!("  noticed after {noticed:?}");
    wait("it is as the table tells", MASTER_DOWN, as_told);
    stays("it is as the table tells", WATCH, as_told);
    expected
}

fn pair(lab: &Lab, of: impl Fn(&str, u8) -> String) -> [String; 2] {
    [("a", 150), ("b", 100)].map(|(node, priority)| script(lab, node) + &of(node, priority))
}

/// b's member is held back: the other one of its group still obeys a.
fn member() {
    let lab = Lab::new();
    let texts = pair(&lab, |_, priority| {
        instance(1, priority, "")
            + &instance(2, priority, "track_script {\nchk weight -60\n}")
            + "vrrp_sync_group G {\ngroup {\nVI_1\nVI_2\n}\nsync_group_tracking_weight\n}\n"
    });
    let flag = lab.folder.join("a.down");
    let found = compare(&lab, [&texts[0], &texts[1]], "script chk", &flag, "");
    assert_eq!(found, [Holder::Node(0), Holder::Node(0)]);
}

/// Without a group it takes over by itself.
fn single() {
    let lab = Lab::new();
    let texts = pair(&lab, |_, priority| {
        instance(1, priority, "track_script {\nchk weight -40\n}")
            + &instance(2, priority, "track_script {\nchk weight -60\n}")
    });
    let flag = lab.folder.join("a.down");
    let found = compare(&lab, [&texts[0], &texts[1]], "script chk", &flag, "");
    assert_eq!(found, [Holder::Node(0), Holder::Node(1)]);
}

fn group() {
    let lab = Lab::new();
    let texts = pair(&lab, |_, priority| {
        instance(1, priority, "")
            + &instance(2, priority, "")
            + "vrrp_sync_group G {\ngroup {\nVI_1\nVI_2\n}\ntrack_script {\nchk weight -60\n}\n}\n"
    });
    let flag = lab.folder.join("a.down");
    let found = compare(&lab, [&texts[0], &texts[1]], "script chk", &flag, "");
    assert_eq!(found, [Holder::Node(1), Holder::Node(1)]);
}
