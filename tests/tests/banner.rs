//! Two masters in the dashboard: a red banner over every screen within two seconds, whether the nodes hear each other or
//! not, and gone once one of them has yielded.

use std::time::{Duration, Instant};

use tandem_tests::requirements::our_program;
use tandem_tests::scenario::{Pair, SETTLE};
use tandem_tests::terminal::{LARGE, SMALL, Size, Terminal};
use tandem_tests::wait::wait_for;
use tandem_tests::{Failure, Node, NodeKind, Outcome, ensure, require, wait_until};

/// Within this the banner is there, from the takeover of the second master.
const TOLD: Duration = Duration::from_secs(2);
/// What a busy machine may add to it.
const BUSY: Duration = Duration::from_millis(150);

/// The dashboard of these nodes.
fn dashboard(nodes: &[&Node], size: Size) -> Outcome<Terminal> {
    let program = our_program("tandem").ok_or_else(|| Failure::new("tandem is not built"))?;
    let mut words = vec![program.to_string_lossy().into_owned()];
    for node in nodes {
        words.push("--node".into());
        words.push(format!("unix:{}", node.socket().path().display()));
    }
    let terminal = Terminal::start_words(size, &words, &[])?;
    terminal.wait_for("good order", SETTLE, |screen| {
        screen.to_lowercase().contains("all clear")
    })?;
    ensure!(
        terminal.red_line().is_none(),
        "a banner over nothing:\n{}",
        terminal.text()
    );
    Ok(terminal)
}

fn wait_for_banner(terminal: &Terminal, words: &[&str], since: Instant) -> Outcome {
    let limit = (TOLD + BUSY).saturating_sub(since.elapsed());
    wait_for("the red banner", limit, || match terminal.red_line() {
        Some(line) if words.iter().all(|word| line.contains(word)) => Ok(()),
        _ => Err(terminal.text()),
    })?;
    println!("a red banner after {:?}", since.elapsed());
    Ok(())
}

fn wait_for_its_end(terminal: &Terminal) -> Outcome {
    wait_for("the banner to go", SETTLE, || {
        let text = terminal.text();
        match terminal.red_line().is_none() && text.to_lowercase().contains("all clear") {
            true => Ok(()),
            false => Err(text),
        }
    })
}

fn is(node: &Node, state: &str) -> bool {
    let text = node.command("show vrrp").unwrap_or_default();
    text.contains(&format!("R1: {state} "))
}

/// The node hears no advertisement any more.
fn deafen(node: &Node) -> Outcome {
    for words in [
        "add table ip deaf",
        "add chain ip deaf input { type filter hook input priority 0 ; }",
        "add rule ip deaf input ip protocol 112 drop",
    ] {
        let words: Vec<_> = words.split_whitespace().collect();
        node.host().exec("nft", &words)?;
    }
    Ok(())
}

fn heal(node: &Node) -> Outcome {
    let deleted = node.host().exec("nft", &["delete", "table", "ip", "deaf"]);
    deleted.map(drop)
}

/// From the moment on at which both nodes are master.
fn two_masters(pair: &Pair) -> Outcome<Instant> {
    wait_until("b to take over", SETTLE, || is(&pair.b, "MASTER"))?;
    let since = Instant::now();
    ensure!(is(&pair.a, "MASTER"), "a has yielded");
    Ok(since)
}

/// b does not hear a: a hears both, so the dashboard of a alone tells it, too.
#[test]
fn a_second_master_that_is_heard_is_told_in_red() -> Outcome {
    require!("root", "users", "tandemd", "tandem", "nginx", "nft");
    let pair = Pair::start(NodeKind::Tandem, NodeKind::Tandem)?;
    wait_until("b to be backup", SETTLE, || is(&pair.b, "BACKUP"))?;
    let mut one = dashboard(&[&pair.a], SMALL)?;
    // On another screen than the first.
    one.send("2")?;
    let both = dashboard(&[&pair.a, &pair.b], LARGE)?;
    deafen(&pair.b)?;
    let since = two_masters(&pair)?;
    wait_for_banner(&one, &["R1", "SPLIT BRAIN"], since)?;
    wait_for_banner(&both, &["R1", "SPLIT BRAIN"], since)?;
    heal(&pair.b)?;
    one.send("1")?;
    wait_for_its_end(&one)?;
    wait_for_its_end(&both)?;
    ensure!(
        is(&pair.a, "MASTER") && is(&pair.b, "BACKUP"),
        "the wrong one yielded"
    );
    Ok(())
}

/// Neither hears the other: no node can know of two masters, the dashboard that sees both does.
#[test]
fn two_masters_that_do_not_hear_each_other_are_told_in_red() -> Outcome {
    require!("root", "users", "tandemd", "tandem", "nginx", "nft");
    let pair = Pair::start(NodeKind::Tandem, NodeKind::Tandem)?;
    wait_until("b to be backup", SETTLE, || is(&pair.b, "BACKUP"))?;
    let both = dashboard(&[&pair.a, &pair.b], LARGE)?;
    deafen(&pair.a)?;
    deafen(&pair.b)?;
    let since = two_masters(&pair)?;
    wait_for_banner(&both, &["R1", "SPLIT BRAIN"], since)?;
    let told = both.text();
    ensure!(told.contains("do not hear each other"), "{told}");
    heal(&pair.a)?;
    heal(&pair.b)?;
    wait_for_its_end(&both)
}
