//! Sync groups over two networks, alone and beside the same group of Debian's keepalived, in both roles.

use std::path::PathBuf;
use std::time::Duration;

use crate::lab::{Lab, Node, run, stays, wait};
use crate::{ELECTION, MASTER_DOWN, SOON, has_keepalived};

/// Scenarios of this file.
pub(crate) const SCENARIOS: [(&str, fn()); 12] = [
    ("a_group_of_version_2_follows_keepalived", || {
        beside(V2, Ours::Worse)
    }),
    ("a_group_of_version_2_is_followed_by_keepalived", || {
        beside(V2, Ours::Better)
    }),
    ("a_group_of_version_3_follows_keepalived", || {
        beside(V3_SLOW, Ours::Worse)
    }),
    ("a_group_of_version_3_is_followed_by_keepalived", || {
        beside(V3_SLOW, Ours::Better)
    }),
    (
        "a_group_restarts_with_its_addresses_and_nobody_sees_it",
        restarts,
    ),
    (
        "a_group_that_is_preempted_waits_once_for_pre_release",
        waits_once,
    ),
    (
        "a_group_whose_priorities_contradict_the_other_s_does_not_flap",
        || contradicted(true),
    ),
    (
        "a_group_whose_priorities_contradict_keepalived_s_does_not_flap",
        || contradicted(false),
    ),
    ("a_healed_split_of_crossed_links_ends_on_one_node", || {
        crossed(true)
    }),
    (
        "a_healed_split_of_crossed_links_ends_on_one_node_beside_keepalived",
        || crossed(false),
    ),
    ("changes_of_a_group_are_told_in_order", || told(true)),
    (
        "changes_of_a_group_are_told_as_keepalived_tells_them",
        || told(false),
    ),
];

/// Lines of the instances, and how long a master may be missed.
type Way = (&'static str, Duration);
const V2: Way = ("advert_int 1", MASTER_DOWN);
const V3: Way = ("version 3\n advert_int 0.1", SOON);
/// Long enough intervals for a machine that is busy: nothing may move for want of a processor.
const V3_SLOW: Way = ("version 3\n advert_int 0.5", MASTER_DOWN);
const WATCH: Duration = Duration::from_secs(1);

/// Which node is ours, where the other one is keepalived's.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ours {
    Better,
    Worse,
}

/// A file of two instances on two networks that are one group.
struct Text {
    way: &'static str,
    priorities: (u8, u8),
    /// Further lines of each instance.
    each: String,
    /// Further lines of the group.
    group: String,
}

impl Text {
    fn new(way: Way, priority: u8) -> Self {
        Self {
            way: way.0,
            priorities: (priority, priority),
            each: String::new(),
            group: String::new(),
        }
    }

    fn write(&self, lab: &Lab, name: &str) -> PathBuf {
        let instance = |number: u8, priority: u8| {
            format!(
                "vrrp_instance R{number} {{\n state BACKUP\n interface eth{}\n virtual_router_id {}\n {}\n priority {priority}\n \
                 virtual_ipaddress {{\n 10.230.13{}.100\n }}\n {}\n}}\n",
                number - 1,
                49 + number,
                self.way,
                6 + number,
                self.each
            )
        };
        let text = format!(
            "global_defs {{\n script_user root\n}}\n{}{}vrrp_sync_group G {{\n group {{\n R1\n R2\n }}\n {}\n}}\n",
            instance(1, self.priorities.0),
            instance(2, self.priorities.1),
            self.group
        );
        let path = lab.folder.join(format!("{name}.group.conf"));
        std::fs::write(&path, text).expect("a file");
        path
    }

    fn start(&self, lab: &Lab, name: &str, ours: bool) -> Node {
        let path = self.write(lab, name);
        match ours {
            true => lab.ours(name, &format!("file={}", path.display())),
            false => lab.keepalived_with(name, &path),
        }
    }
}

/// How many of the two addresses a node has.
fn held(lab: &Lab, name: &str) -> usize {
    let shown = lab.ip(name, "-4 -o addr show");
    let has = |third: &u8| shown.contains(&format!(" 10.230.{third}.100/"));
    [137, 138].iter().filter(|third| has(third)).count()
}

fn all_on(lab: &Lab, name: &str) -> bool {
    let other = if name == "a" { "b" } else { "a" };
    held(lab, name) == 2 && held(lab, other) == 0
}

/// A lost link of one network moves both addresses, and so does a death.
fn beside(way: Way, ours: Ours) {
    if !has_keepalived() {
        return;
    }
    let lab = Lab::new();
    lab.add_link();
    let _b = Text::new(way, 100).start(&lab, "b", ours == Ours::Worse);
    wait("b holds both", ELECTION, || all_on(&lab, "b"));
    let mut a = Text::new(way, 150).start(&lab, "a", ours == Ours::Better);
    wait("a, the better one, takes both", ELECTION, || {
        all_on(&lab, "a")
    });
    stays("a holds both", WATCH, || all_on(&lab, "a"));
    lab.ip("sw", "link set wa down");
    let took = wait("a link of a moves both", way.1, || all_on(&lab, "b"));
    println!(
        "  {}: lost link to takeover: {took:?}",
        way.0.replace("\n ", ", ")
    );
    stays("b holds both", WATCH, || all_on(&lab, "b"));
    lab.ip("sw", "link set wa up");
    wait("a takes both back", ELECTION, || all_on(&lab, "a"));
    stays("a holds both again", WATCH, || all_on(&lab, "a"));
    a.signal("KILL");
    wait("b succeeds in both", way.1, || held(&lab, "b") == 2);
}

/// Each node has the higher priority on one network: whoever is first remains it. `alone`: both nodes are ours.
fn contradicted(alone: bool) {
    if !alone && !has_keepalived() {
        return;
    }
    let lab = Lab::new();
    lab.add_link();
    let text = |priorities| Text {
        priorities,
        ..Text::new(V3_SLOW, 0)
    };
    let mut b = text((100, 150)).start(&lab, "b", alone);
    wait("b holds both", ELECTION, || all_on(&lab, "b"));
    let a = text((150, 100)).start(&lab, "a", true);
    stays("b, the first, holds both", WATCH * 4, || all_on(&lab, "b"));
    b.signal("KILL");
    wait("a succeeds", V3_SLOW.1, || held(&lab, "a") == 2);
    for dev in ["eth0", "eth1"] {
        lab.ip("b", &format!("addr flush dev {dev}"));
    }
    lab.ip("b", "addr add 10.230.137.2/24 dev eth0");
    lab.ip("b", "addr add 10.230.138.2/24 dev eth1");
    a.forget();
    let _b = text((100, 150)).start(&lab, "b", alone);
    stays("a holds both", WATCH * 4, || all_on(&lab, "a"));
    assert_eq!(a.count("VrrpTransition"), 0, "{}", a.text());
}

/// Equal priorities, and each node has the higher address on one network: both are masters while they do not hear each
/// other, and one alone soon after they do. `alone`: both nodes are ours.
fn crossed(alone: bool) {
    if !alone && !has_keepalived() {
        return;
    }
    let lab = Lab::new();
    lab.add_link();
    for name in ["a", "b"] {
        lab.ip(name, "addr flush dev eth1");
    }
    lab.ip("a", "addr add 10.230.138.2/24 dev eth1");
    lab.ip("b", "addr add 10.230.138.1/24 dev eth1");
    let part = |how: &str| {
        lab.ip("sw", &format!("link set vb {}", how.replace('%', "br0")));
        lab.ip("sw", &format!("link set wb {}", how.replace('%', "br1")));
    };
    part("nomaster");
    let a = Text::new(V3_SLOW, 100).start(&lab, "a", true);
    let _b = Text::new(V3_SLOW, 100).start(&lab, "b", alone);
    for _ in 0..2 {
        wait("both hold both", ELECTION, || {
            held(&lab, "a") == 2 && held(&lab, "b") == 2
        });
        a.forget();
        part("master %");
        let one = || all_on(&lab, "a") || all_on(&lab, "b");
        wait("one holds both", ELECTION, one);
        // Until the first advertisements have passed it may be the one that gives way next.
        std::thread::sleep(WATCH);
        wait("one holds both", V3_SLOW.1, one);
        stays("one holds both", WATCH, one);
        assert!(a.count("G: BACKUP -> MASTER") <= 1, "{}", a.text());
        part("nomaster");
    }
}

fn restarts() {
    let lab = Lab::new();
    lab.add_link();
    let path = Text::new(V2, 150).write(&lab, "a");
    let start = || lab.ours("a", &format!("file={} keep", path.display()));
    let (a, b) = (start(), Text::new(V2, 100).start(&lab, "b", true));
    wait("a holds both", ELECTION, || all_on(&lab, "a"));
    b.forget();
    assert_eq!(a.stop(), Some(0));
    assert!(all_on(&lab, "a"));
    let a = start();
    a.hears("G: INIT -> MASTER", SOON);
    stays("nobody saw it", MASTER_DOWN, || {
        all_on(&lab, "a") && b.count("VrrpTransition") == 0
    });
    assert_eq!(a.count("VrrpTransition R"), 2, "{}", a.text());
}

/// A program that notes which addresses are there when it is run, and what it was run for.
fn noting(lab: &Lab, more: &str) -> (PathBuf, String) {
    let (notes, program) = (lab.folder.join("notes"), lab.folder.join("note.sh"));
    let text = format!(
        "#!/bin/sh\nheld=$(ip -4 -o addr show | grep -c '10.230.13[78].100/')\n{more}\necho \"$* $held\" >> {}\n",
        notes.display()
    );
    std::fs::write(&program, text).expect("a file");
    run(&format!("chmod 755 {}", program.display()));
    (notes, program.display().to_string())
}

fn noted(notes: &std::path::Path) -> Vec<String> {
    let text = std::fs::read_to_string(notes).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// R1 alone is preempted at first: R2's address stays until R1's command has ended, and its own command runs at that time.
fn waits_once() {
    let lab = Lab::new();
    lab.add_link();
    // Half an interval of two seconds is longer than the command.
    let (notes, program) = noting(&lab, "sleep 0.3");
    let each = format!("pre_release \"{program} before\"\n notify_backup \"{program} after\"");
    let way = ("advert_int 2", MASTER_DOWN);
    let a = Text {
        each,
        ..Text::new(way, 100)
    };
    let _a = a.start(&lab, "a", true);
    wait("a holds both", ELECTION, || held(&lab, "a") == 2);
    let _ = std::fs::remove_file(&notes);
    let _b = Text::new(way, 150).start(&lab, "b", true);
    wait("b has both", ELECTION, || all_on(&lab, "b"));
    wait("all is noted", SOON, || noted(&notes).len() == 4);
    let lines = noted(&notes);
    assert_eq!(lines[..2], ["before 2", "before 2"], "{lines:?}");
    assert!(
        lines[2].ends_with(" 0") && lines[3].ends_with(" 0"),
        "{lines:?}"
    );
}

/// The commands of a group and their arguments, through a fault and back. `ours`: and their order.
fn told(ours: bool) {
    if !ours && !has_keepalived() {
        return;
    }
    let lab = Lab::new();
    lab.add_link();
    let (notes, program) = noting(&lab, "");
    let commands = ["master", "backup", "fault"];
    let commands = commands.map(|state| format!(" notify_{state} \"{program} own-{state}\"\n"));
    let group = format!("{}\n notify \"{program} any\"", commands.concat());
    let _a = Text {
        group,
        ..Text::new(V3, 100)
    }
    .start(&lab, "a", ours);
    let told = |count| noted(&notes).len() >= count;
    wait("backup and master are told", ELECTION, || told(4));
    lab.ip("sw", "link set wa down");
    wait("the fault is told", ELECTION, || told(6));
    lab.ip("sw", "link set wa up");
    wait("backup and master are told again", ELECTION, || told(10));
    let lines = noted(&notes);
    let lines: Vec<_> = lines
        .iter()
        .filter_map(|line| line.rsplit_once(' '))
        .collect();
    let states = ["backup", "master", "fault", "backup", "master"];
    let expected = states.map(|state| {
        [
            format!("own-{state}"),
            format!("any GROUP G {} 0", state.to_uppercase()),
        ]
    });
    let mut found: Vec<_> = lines.iter().map(|(words, _)| (*words).to_owned()).collect();
    if !ours {
        // Of two commands for one change, either may be first there.
        found
            .chunks_mut(2)
            .for_each(|pair| pair.sort_by(|one, other| other.cmp(one)));
    }
    assert_eq!(found, expected.concat());
}
