//! How many announcements leave, and when: counted in one capture, of ours and of keepalived with the same words.

use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::lab::{Lab, Node, wait};
use crate::{ELECTION, SOON, has_keepalived};

/// Scenarios of this file.
pub(crate) const SCENARIOS: [(&str, fn()); 2] = [
    ("announcements_are_as_many_as_keepalived_sends", counted),
    ("announcements_keep_the_intervals_of_keepalived", spaced),
];

/// For how long is listened after a takeover, and after another master was heard: rounds are whole seconds apart.
const WATCH: Duration = Duration::from_millis(2_600);
/// In whole seconds after the first one, and how many: of a takeover.
const MASTER: [(&str, &[(u64, usize)]); 9] = [
    // 0 counts as 1.
    (
        "garp_master_repeat 0\n garp_master_delay 1",
        &[(0, 1), (1, 1)],
    ),
    ("garp_master_delay 0", &[(0, 5)]),
    (
        "garp_master_delay 1\n garp_master_repeat 2",
        &[(0, 2), (1, 2)],
    ),
    // Fractions are cut off.
    (
        "garp_master_delay 1.9\n garp_master_repeat 2",
        &[(0, 2), (1, 2)],
    ),
    (
        "garp_master_delay 0\n garp_master_repeat 2\n garp_master_refresh 1\n garp_master_refresh_repeat 0",
        &[(0, 2), (1, 1), (2, 1)],
    ),
    (
        "garp_master_delay 0\n garp_master_repeat 1\n garp_master_refresh 1\n garp_master_refresh_repeat 3",
        &[(0, 1), (1, 3), (2, 3)],
    ),
    (
        "garp_master_delay 0\n garp_master_repeat 1\n garp_master_refresh 0",
        &[(0, 1)],
    ),
    (
        "garp_master_delay 0\n garp_master_repeat 1\n garp_master_refresh 0.7",
        &[(0, 1)],
    ),
    ("garp_master_delay 0\n garp_master_repeat -1", &[(0, 5)]),
];
/// The same after an advertisement of a lower priority.
const LOWER: [(&str, &[(u64, usize)]); 5] = [
    // What the instance says of a takeover is not for this: the defaults are the global ones.
    ("garp_master_delay 1\n garp_master_repeat 2", &[(0, 5)]),
    (
        "garp_master_delay 0\n garp_master_repeat 1\n garp_lower_prio_delay 1\n garp_lower_prio_repeat 3",
        &[(0, 3), (1, 3)],
    ),
    (
        "garp_master_delay 0\n garp_master_repeat 1\n garp_lower_prio_delay 1\n garp_lower_prio_repeat 0",
        &[],
    ),
    (
        "garp_master_delay 0\n garp_master_repeat 1\n garp_lower_prio_delay 0\n garp_lower_prio_repeat 2",
        &[(0, 2)],
    ),
    (
        "garp_master_delay 1\n garp_lower_prio_repeat 2\n garp_lower_prio_delay 0.5",
        &[(0, 2)],
    ),
];

/// The address of a virtual router: those of ours and of keepalived are others.
fn address(vrid: u8) -> String {
    format!("10.230.137.{vrid}")
}

/// Virtual routers of ours begin with 51, those of keepalived with 151.
fn first(name: &str) -> u8 {
    if name == "a" { 51 } else { 151 }
}

fn instance(vrid: u8, words: &str) -> String {
    let address = address(vrid);
    format!(
        "vrrp_instance R{vrid} {{\n state MASTER\n interface eth0\n virtual_router_id {vrid}\n version 3\n advert_int 0.1\n \
         priority 200\n {words}\n virtual_ipaddress {{\n {address}\n }}\n}}\n"
    )
}

/// Starts ours on `a`, or keepalived on `b`.
fn start(lab: &Lab, name: &str, text: &str) -> Node {
    let path = lab.folder.join(format!("{name}.garps.conf"));
    std::fs::write(&path, text).expect("a file");
    match name {
        "a" => lab.ours(name, &format!("file={}", path.display())),
        _ => lab.keepalived_with(name, &path),
    }
}

/// A capture at the client, where all of them arrive; nothing if there is no tcpdump.
fn capture(lab: &Lab, filter: &str) -> Option<Node> {
    if Command::new("tcpdump").arg("--version").output().is_err() {
        println!("SKIPPED: tcpdump is not installed");
        return None;
    }
    let space = lab.space("c");
    let mut command = Command::new("ip");
    command.args(["netns", "exec", &space]);
    command.args(["tcpdump", "-l", "-n", "-tt", "-i", "eth0"]);
    command.args(["--immediate-mode", filter]);
    let seen = Node::start(command);
    wait("the capture runs", SOON, || {
        let ask = format!("netns exec {space} ping -c 1 -W 0.05 10.230.137.250");
        let _ = Command::new("ip").args(ask.split(' ')).output();
        seen.count("who-has 10.230.137.250") > 0
    });
    Some(seen)
}

/// When an address was announced, in seconds since 1970.
fn times(seen: &Node, announced: &str) -> Vec<f64> {
    let time = |line: &String| line.split(' ').next()?.parse().ok();
    seen.lines_with(announced).iter().filter_map(time).collect()
}

/// How many announcements of a virtual router left since then, by whole seconds after the first one.
fn rounds(seen: &Node, vrid: u8, since: f64) -> Vec<(u64, usize)> {
    let address = address(vrid);
    let mut times = times(
        seen,
        &format!("who-has {address} (ff:ff:ff:ff:ff:ff) tell {address},"),
    );
    times.retain(|time| *time >= since);
    let mut rounds: Vec<(u64, usize)> = Vec::new();
    for time in &times {
        let second = (time - times[0]).round() as u64;
        match rounds.last_mut() {
            Some((last, count)) if *last == second => *count += 1,
            _ => rounds.push((second, 1)),
        }
    }
    // What comes at the end of the watch comes here and not there.
    rounds.retain(|(second, _)| *second <= 2);
    rounds
}

fn counted() {
    let lab = Lab::new();
    let Some(seen) = capture(&lab, "arp") else {
        return;
    };
    let names: &[&str] = if has_keepalived() {
        &["a", "b"]
    } else {
        &["a"]
    };
    let all: Vec<_> = MASTER.iter().chain(&LOWER).collect();
    let vrids = |name: &str| (first(name)..).take(all.len()).collect::<Vec<_>>();
    let mut nodes = Vec::new();
    for name in names {
        let all = vrids(name).into_iter().zip(&all);
        let text: String = all
            .map(|(vrid, (words, _))| instance(vrid, words))
            .collect();
        nodes.push(start(&lab, name, &text));
    }
    let shown = |name: &str| lab.ip(name, "-4 -o addr show");
    for name in names {
        for vrid in vrids(name) {
            let address = format!(" {}/", address(vrid));
            wait(&address, ELECTION, || shown(name).contains(&address));
        }
    }
    std::thread::sleep(WATCH);
    for name in names {
        for (vrid, (words, expected)) in vrids(name).into_iter().zip(&MASTER) {
            let found = rounds(&seen, vrid, 0.0);
            assert_eq!(
                found,
                *expected,
                "{name}: {words}\n{}",
                seen.lines_with(&address(vrid)).join("\n")
            );
        }
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let since = now.expect("a time after 1970").as_secs_f64();
    let lower = names
        .iter()
        .flat_map(|name| vrids(name).split_off(MASTER.len()));
    let lower: Vec<_> = lower.map(|vrid| vrid.to_string()).collect();
    let mut words = vec!["once"];
    words.extend(lower.iter().map(String::as_str));
    lab.forge(&words);
    std::thread::sleep(WATCH);
    for name in names {
        let lower = vrids(name).split_off(MASTER.len());
        for (vrid, (words, expected)) in lower.into_iter().zip(&LOWER) {
            let found = rounds(&seen, vrid, since);
            assert_eq!(found, *expected, "{name}: {words}");
        }
    }
    for node in nodes {
        assert_eq!(node.stop(), Some(0));
    }
}

fn spaced() {
    let lab = Lab::new();
    let Some(seen) = capture(&lab, "arp or icmp6") else {
        return;
    };
    let names: &[&str] = if has_keepalived() {
        &["a", "b"]
    } else {
        &["a"]
    };
    for name in names {
        let vrid = first(name);
        let top = "global_defs {\n vrrp_garp_interval 0.08\n vrrp_gna_interval 0.12\n}\n";
        let more = format!(
            "garp_master_delay 0\n garp_master_repeat 4\n virtual_ipaddress_excluded {{\n 2001:db8::{vrid}/64\n }}"
        );
        let node = start(&lab, name, &format!("{top}{}", instance(vrid, &more)));
        for (what, interval) in [
            (format!("who-has {} ", address(vrid)), 0.08),
            (format!("tgt is 2001:db8::{vrid},"), 0.12),
        ] {
            // keepalived 2.2.7 forgets all but two.
            let least = if *name == "a" { 4 } else { 2 };
            wait(&what, SOON * 3, || times(&seen, &what).len() >= least);
            let times = times(&seen, &what);
            let mut gaps: Vec<_> = times.windows(2).map(|two| two[1] - two[0]).collect();
            gaps.sort_by(f64::total_cmp);
            // One that was held up is nearer to the next than it meant to be.
            let usual = gaps[gaps.len() / 2];
            println!("  {name}: {what}: usual gap {usual:.4} s of {interval} s");
            assert!(usual > interval - 0.01, "{name}: {what}: {gaps:?}");
        }
        assert_eq!(node.stop(), Some(0));
    }
}
