//! `--keep-addresses` through the whole daemon: it is stopped and started again, as `systemctl restart` does, and nobody sees it.

use std::time::Duration;

use tandem_tests::scenario::SETTLE;
use tandem_tests::wait::wait_for;
use tandem_tests::{
    Lab, Node, NodeFiles, NodeKind, Outcome, article, ensure, lab::VIP, require, wait_until,
};

const LIMIT: Duration = Duration::from_secs(10);
/// More than three intervals and a skew time: the peer would have moved by then.
const WATCH: Duration = Duration::from_millis(4_500);
/// Questions of the client, one every 20 ms: for longer than all of it takes.
const QUESTIONS: &str = "1000";

const PROXY: &str = "global\n  stats socket /run/d.sock level admin\ndefaults\n  mode http\n  timeout connect 1s\n  timeout client 5s\n  \
     timeout server 5s\nfrontend main\n  bind :80\n  http-request return status 200 content-type text/plain string hello\n";

fn node(lab: &Lab, name: &str, keepalived: &str) -> Outcome<Node> {
    let files = NodeFiles::pair(PROXY, keepalived).argument("--keep-addresses");
    Node::start(lab, name, NodeKind::Tandem, files)
}

fn wait_state(node: &Node, state: &str) -> Outcome {
    wait_for(&format!("R1 to be {state}"), SETTLE, || {
        let shown = node.command("show vrrp").unwrap_or_default();
        match shown.contains(&format!("R1: {state} ")) {
            true => Ok(()),
            false => Err(shown),
        }
    })
}

#[test]
fn a_restart_that_keeps_the_addresses_is_seen_by_nobody() -> Outcome {
    require!("root", "users", "tandemd");
    let lab = Lab::start()?;
    let mut a = node(&lab, "a", article::keepalived())?;
    let b = node(&lab, "b", &article::keepalived_backup())?;
    wait_state(&a, "MASTER")?;
    wait_state(&b, "BACKUP")?;
    let before = b.transitions();
    let changes = a.host().spawn("ip", &["-o", "monitor", "address"])?;
    let mut client = lab.host("client").spawn(
        "ping",
        &["-n", "-q", "-i", "0.02", "-W", "1", "-c", QUESTIONS, VIP],
    )?;
    for _ in 0..2 {
        a.stop(LIMIT)?;
        ensure!(
            lab.who_has(VIP)? == ["a"],
            "the address went with the daemon"
        );
        a.up()?;
        wait_state(&a, "MASTER")?;
        let story = a.command("show vrrp")?;
        ensure!(
            story.contains("the last daemon kept the addresses"),
            "it is master for another reason:\n{story}"
        );
    }
    wait_until("the address to stay for good", LIMIT, || {
        let shown = a.host().exec("ip", &["-o", "-4", "addr", "show"]);
        let shown = shown.unwrap_or_default();
        let line = shown.lines().find(|line| line.contains(VIP));
        line.is_some_and(|line| line.contains("valid_lft forever"))
    })?;
    let until = std::time::Instant::now() + WATCH;
    while std::time::Instant::now() < until {
        ensure!(lab.who_has(VIP)? == ["a"], "the address moved");
        std::thread::sleep(Duration::from_millis(100));
    }
    ensure!(b.transitions() == before, "the peer saw it:\n{}", b.log());
    let text = changes.log();
    let removed = text
        .lines()
        .any(|line| line.starts_with("Deleted") && line.contains(VIP));
    ensure!(!removed, "the address was removed:\n{text}");
    client.signal(tandem_tests::process::Signal::SIGINT)?;
    client.wait(LIMIT)?;
    let told = client.log();
    ensure!(
        told.contains(" 0% packet loss"),
        "the client missed answers:\n{told}"
    );
    println!("{}", told.lines().nth(2).unwrap_or_default());
    Ok(())
}
