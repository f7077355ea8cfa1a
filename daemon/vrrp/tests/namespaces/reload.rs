//! Reloads apply the difference alone: no transition, no gap in advertisements, no address removed that stays.

use std::process::Command;
use std::time::Duration;

use crate::lab::{Lab, Node, VIP, stays, wait};
use crate::{A, B, ELECTION, MASTER_DOWN, SOON, forget};

/// The scenarios of this file.
pub(crate) const SCENARIOS: [(&str, fn()); 2] = [
    ("addresses_come_and_go_one_by_one", addresses),
    ("twenty_reloads_cost_no_advertisement", spacing),
];

/// The longest gap between two advertisements: an interval, and some for a busy machine.
const MOST: Duration = Duration::from_millis(1_150);

/// Runs a watching program in a node's namespace.
fn watch(lab: &Lab, name: &str, words: &[&str]) -> Node {
    let mut command = Command::new("ip");
    command
        .args(["netns", "exec", &lab.space(name)])
        .args(words);
    Node::start(command)
}

/// The times of a node's advertisements, in seconds, as the client saw them.
fn times(lines: &[String], from: &str) -> Vec<f64> {
    let ours = lines
        .iter()
        .filter(|line| line.contains(&format!("IP {from} >")));
    ours.filter_map(|line| line.split(' ').next()?.parse().ok())
        .collect()
}

/// Twenty reloads, each with another priority, password, script or peer list, while both run.
fn spacing() {
    let lab = Lab::new();
    let (mut a, mut b) = (lab.ours("a", A), lab.ours("b", B));
    wait("a is master", ELECTION, || lab.has("a") && !lab.has("b"));
    let mut seen = watch(
        &lab,
        "c",
        &[
            "tcpdump",
            "-n",
            "-l",
            "-tt",
            "-i",
            "eth0",
            "--immediate-mode",
            "ip proto 112",
        ],
    );
    let mut changes = watch(&lab, "a", &["ip", "-o", "monitor", "address"]);
    wait("advertisements are seen", ELECTION, || {
        seen.count("VRRP") > 1
    });
    forget(&mut a);
    forget(&mut b);
    for round in 0..20 {
        let word = match round % 5 {
            0 => format!("priority={}", 101 + round),
            1 => format!("pass=pass{round}"),
            2 => format!("vip={VIP}/32,10.230.137.{}/32", 150 + round),
            3 => format!("script=true weight={round}"),
            _ => "nopreempt preempt_delay=1".to_owned(),
        };
        // The backup first hears both passwords as wrong for a moment only.
        b.tell(&format!("set {}", word.replace("priority=1", "priority=0")));
        a.tell(&format!("set {word}"));
        std::thread::sleep(Duration::from_millis(130));
        a.tell("show");
        a.hears("SHOW", SOON);
    }
    wait("more are seen", ELECTION, || {
        times(&seen.said(""), "10.230.137.1").len() > 6
    });
    assert_eq!(
        a.count("VrrpTransition"),
        0,
        "no transition: {:?}",
        a.said("")
    );
    assert_eq!(
        b.count("VrrpTransition"),
        0,
        "the backup saw no gap: {:?}",
        b.said("")
    );
    let times = times(&seen.said(""), "10.230.137.1");
    let longest = times
        .windows(2)
        .map(|pair| pair[1] - pair[0])
        .fold(0.0, f64::max);
    println!(
        "  {} advertisements, longest gap {longest:.3} s",
        times.len()
    );
    assert!(longest < MOST.as_secs_f64(), "{times:?}");
    let removed: Vec<String> = changes
        .said("")
        .into_iter()
        .filter(|line| line.contains("Deleted") && line.contains(&format!("{VIP}/")))
        .collect();
    assert!(removed.is_empty(), "{removed:?}");
    seen.signal("TERM");
    changes.signal("TERM");
    assert!(lab.has("a"));
}

fn addresses() {
    let lab = Lab::new();
    let mut a = lab.ours("a", &format!("{A} vip={VIP}/32,10.7.0.5/24,10.7.0.6/24"));
    wait("a is master", ELECTION, || lab.has("a"));
    forget(&mut a);
    let mut changes = watch(&lab, "a", &["ip", "-o", "monitor", "address"]);
    wait("changes are seen", SOON, || {
        lab.ip("a", "addr replace 10.9.9.9/32 dev lo");
        changes.count("10.9.9.9") > 0
    });
    a.tell(&format!("set vip={VIP}/32,10.7.0.6/24,10.7.0.7/24"));
    wait("one more is here", SOON, || {
        changes.count("10.7.0.7/24") == 1
    });
    wait("one is gone", SOON, || changes.count("Deleted") == 1);
    // Another prefix: the new one comes before the old one goes.
    a.tell(&format!("set vip={VIP}/24,10.7.0.6/24,10.7.0.7/24"));
    wait("the old prefix is gone", SOON, || {
        changes.count("Deleted") == 2
    });
    forget(&mut a);
    stays("no transition", Duration::from_millis(300), || {
        a.count("->") == 0
    });
    let told: Vec<String> = changes.said("inet ");
    let told: Vec<&str> = told
        .iter()
        .filter_map(|line| line.split(' ').next())
        .filter(|address| !address.contains("10.9.9.9"))
        .collect();
    // The kernel tells that the second of the subnet is its first one now; without that it would have gone as well.
    let old = format!("{VIP}/32");
    let new = format!("{VIP}/24");
    assert_eq!(
        told,
        ["10.7.0.7/24", "10.7.0.5/24", "10.7.0.6/24", &new, &old],
        "{:?}",
        changes.said("")
    );
    changes.signal("TERM");
    assert_eq!(a.stop(), Some(0));
    assert!(!lab.ip("a", "-4 -o addr show dev eth0").contains("10.7.0."));
    assert!(!lab.has("a"));
    // A backup takes them too, and has none of them.
    let mut a = lab.ours("a", A);
    let mut b = lab.ours("b", B);
    wait("a is master", ELECTION, || lab.has("a") && !lab.has("b"));
    for node in [&mut b, &mut a] {
        node.tell(&format!("set vip={VIP}/32,10.7.0.8/32"));
    }
    wait("it is here", SOON, || {
        lab.ip("a", "-4 -o addr show").contains("10.7.0.8")
    });
    stays("it is here alone", MASTER_DOWN, || {
        !lab.ip("b", "-4 -o addr show").contains("10.7.0.8") && !lab.has("b")
    });
}
