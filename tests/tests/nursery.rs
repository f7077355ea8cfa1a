//! The nursery: children are forked from a small process, not executed anew; its death or standstill disturbs nothing.

use std::time::Duration;

use tandem_tests::process::{Signal, is_alive, send, title};
use tandem_tests::wait::wait_for;
use tandem_tests::{
    Failure, Lab, Node, NodeFiles, NodeKind, Outcome, Part, article, ensure, lab::VIP, require,
    wait_until,
};

const LIMIT: Duration = Duration::from_secs(10);

/// A line of `/proc/PID/status`.
fn status(pid: i32, name: &str) -> Outcome<String> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.map(|value| value.trim().to_owned())
        .ok_or_else(|| Failure::new(format!("no {name} in the status of {pid}")))
}

/// The one process of a part.
fn one(node: &Node, part: Part) -> Outcome<i32> {
    wait_for(&format!("one {part:?}"), LIMIT, || {
        match node.pids(part)[..] {
            [pid] => Ok(pid),
            ref several => Err(format!("processes {several:?}")),
        }
    })
}

/// What the nursery shows as its command line.
const NURSERY: &str = "tandemd: nursery";

fn nursery(node: &Node) -> Option<i32> {
    let mut all = node.host().processes().into_iter();
    all.find(|(_, title)| title == NURSERY).map(|(pid, _)| pid)
}

#[test]
fn children_come_from_the_nursery_and_its_death_disturbs_nothing() -> Outcome {
    require!("root", "users", "tandemd");
    let lab = Lab::start()?;
    let files = NodeFiles::pair(article::haproxy(), article::keepalived());
    let mut node = Node::start(&lab, "a", NodeKind::Tandem, files)?;
    node.main().wait_for_log("serves on", LIMIT)?;
    wait_until("the address", LIMIT, || {
        lab.who_has(VIP).is_ok_and(|holders| holders == ["a"])
    })?;
    let nursery_of = |node: &Node| nursery(node).ok_or_else(|| Failure::new("no nursery"));
    let pid = nursery_of(&node)?;
    ensure!(
        status(pid, "CapEff")?.trim_start_matches('0').is_empty(),
        "the nursery has rights in effect: {}",
        status(pid, "CapEff")?
    );
    ensure!(
        std::fs::read_dir(format!("/proc/{pid}/fd"))?.count() == 4,
        "the nursery holds more than its streams and its channel"
    );
    let forked = |pid: i32, role: &str| title(pid) == format!("tandemd: {role}");
    let (vrrp, control) = (one(&node, Part::Vrrp)?, one(&node, Part::Control)?);
    ensure!(
        forked(vrrp, "vrrp") && forked(control, "control"),
        "{:?}",
        node.host().processes()
    );
    // Another in place of one that died is forked too, with the limits that the supervisor has by now.
    let supervisor = node.main().pid();
    let limits = format!("--pid {supervisor} --core=4096:4096");
    let words: Vec<&str> = limits.split(' ').collect();
    let set = std::process::Command::new("prlimit").args(words).status()?;
    ensure!(set.success(), "prlimit ended with {set}");
    node.kill(Part::Control)?;
    node.wait_replaced(Part::Control, &[control], LIMIT)?;
    let control = one(&node, Part::Control)?;
    ensure!(forked(control, "control"), "{}", title(control));
    let limits = std::fs::read_to_string(format!("/proc/{control}/limits"))?;
    let core = limits.lines().find(|line| line.starts_with("Max core"));
    ensure!(
        core.is_some_and(|line| line
            .split_whitespace()
            .filter(|word| *word == "4096")
            .count()
            == 2),
        "limits of the supervisor do not count: {core:?}"
    );

    let transitions = node.transitions();
    send(pid, Signal::SIGKILL)?;
    node.main().wait_for_log("nursery process", LIMIT)?;
    ensure!(
        one(&node, Part::Vrrp)? == vrrp && one(&node, Part::Control)? == control,
        "a process went with the nursery"
    );
    // From now on they are executed.
    node.kill(Part::Vrrp)?;
    node.wait_replaced(Part::Vrrp, &[vrrp], LIMIT)?;
    let vrrp = one(&node, Part::Vrrp)?;
    ensure!(!forked(vrrp, "vrrp"), "who forked {}", title(vrrp));
    // The crash has left the address where it was: the new process takes it off and becomes master again.
    wait_until("the new master", LIMIT, || {
        node.transitions() >= transitions + 2
            && lab.who_has(VIP).is_ok_and(|holders| holders == ["a"])
    })?;
    node.command("show info")?;
    Ok(())
}

#[test]
fn a_nursery_that_stands_still_is_given_up() -> Outcome {
    require!("root", "users", "tandemd");
    let lab = Lab::start()?;
    let files = NodeFiles::pair(article::haproxy(), article::keepalived());
    let mut node = Node::start(&lab, "a", NodeKind::Tandem, files)?;
    node.main().wait_for_log("serves on", LIMIT)?;
    let pid = nursery(&node).ok_or_else(|| Failure::new("no nursery"))?;
    let control = one(&node, Part::Control)?;
    send(pid, Signal::SIGSTOP)?;
    node.kill(Part::Control)?;
    node.wait_replaced(Part::Control, &[control], LIMIT)?;
    node.main().wait_for_log("does not start control", LIMIT)?;
    wait_until("the nursery's end", LIMIT, || !is_alive(pid))?;
    node.command("show info")?;
    // In order to the end, with nothing left behind.
    node.main().signal(Signal::SIGTERM)?;
    let status = node.main().wait(LIMIT)?;
    ensure!(status.success(), "it ended with {status}");
    let left = node.host().processes();
    ensure!(
        !left.iter().any(|(_, title)| title.contains("tandemd")),
        "left behind: {left:?}"
    );
    Ok(())
}
