//! A backup that is deaf becomes a second master: it is told within two seconds on the node that stays, which keeps the
//! clients by announcing its addresses again; the other one, by the rule of RFC 5798 6.4.3, is the one that yields.

use std::time::{Duration, Instant};

use tandem_tests::scenario::{Pair, SETTLE};
use tandem_tests::wait::wait_for;
use tandem_tests::{Host, Node, NodeKind, Outcome, ensure, lab::VIP, require, wait_until};

/// Within this two masters are told, from the takeover of the second.
const TOLD: Duration = Duration::from_secs(2);

/// What the node shows, without its line breaks.
fn shown(node: &Node) -> String {
    let text = node.command("show vrrp").unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The Ethernet address of a host's interface for VRRP, or what a client has in mind for the virtual address.
fn hardware(text: &str, mark: &str) -> Option<String> {
    let rest = text.split_once(mark)?.1;
    rest.split_whitespace().next().map(str::to_owned)
}

fn known_to(client: &Host) -> Option<String> {
    let text = client.exec("ip", &["neigh", "show", VIP]).ok()?;
    hardware(&text, "lladdr ")
}

#[test]
fn two_masters_are_told_and_the_winner_keeps_its_clients() -> Outcome {
    require!("root", "users", "tandemd", "nginx", "nft");
    let pair = Pair::start(NodeKind::Tandem, NodeKind::Tandem)?;
    wait_until("b to be backup", SETTLE, || {
        shown(&pair.b).contains("R1: BACKUP ")
    })?;
    let own = pair.a.host().exec("ip", &["-o", "link", "show", "eth0"])?;
    let own = hardware(&own, "link/ether ");
    let client = pair.lab.host("client");
    // An announcement changes what a client knows, and makes nothing known.
    client.exec("ping", &["-c", "1", "-W", "2", VIP])?;
    wait_until("the client to go to a", TOLD, || known_to(client) == own)?;
    let nft = |words: &str| {
        let words: Vec<_> = words.split_whitespace().collect();
        pair.b.host().exec("nft", &words)
    };
    nft("add table ip deaf")?;
    nft("add chain ip deaf input { type filter hook input priority 0 ; }")?;
    nft("add rule ip deaf input ip protocol 112 drop")?;
    wait_until("b to take over", SETTLE, || {
        shown(&pair.b).contains("R1: MASTER ")
    })?;
    let began = Instant::now();
    wait_for("two masters to be told", TOLD, || {
        let text = shown(&pair.a);
        match text.contains("TWO MASTERS") && text.contains("It has to yield") {
            true => Ok(()),
            false => Err(text),
        }
    })?;
    println!("told after {:?}", began.elapsed());
    ensure!(
        shown(&pair.a).contains("R1: MASTER "),
        "the better one yielded"
    );
    // b's announcements drew the client away; those of a bring it back.
    wait_until("the client to go to a again", SETTLE, || {
        known_to(client) == own
    })?;
    nft("delete table ip deaf")?;
    wait_until("b to yield", SETTLE, || {
        shown(&pair.b).contains("R1: BACKUP ")
    })?;
    pair.wait_holder("a", SETTLE)?;
    wait_until("the client to go to a still", SETTLE, || {
        known_to(client) == own
    })?;
    wait_until("the trouble to be over", SETTLE, || {
        let text = shown(&pair.a);
        !text.contains("TWO MASTERS") && text.contains("R1: MASTER ")
    })
    .map(drop)
}
