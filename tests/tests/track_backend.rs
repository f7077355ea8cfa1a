//! `track_backend`: how soon the servers of a backend move an address, and that belief alone moves none.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tandem_tests::wait::wait_for;
use tandem_tests::{
    Lab, Node, NodeFiles, NodeKind, Origin, Outcome, article, ensure, lab::VIP, require, wait_until,
};

const LIMIT: Duration = Duration::from_secs(8);
/// Seconds between advertisements.
const INTERVAL: f64 = 0.1;
/// Priorities of the node that tracks, and of the other.
const PRIORITIES: [u8; 2] = [150, 100];
/// What a busy machine may add to a time of the protocol.
const BUSY: Duration = Duration::from_millis(300);

fn keepalived(priority: u8, rest: &str) -> String {
    format!(
        "vrrp_instance R1 {{\nversion 3\nstate BACKUP\ninterface eth0\nvirtual_router_id 51\npriority {priority}\n\
         advert_int {INTERVAL}\nvirtual_ipaddress {{\n{VIP}\n}}\n{rest}\n}}\n"
    )
}

fn skew(priority: u8) -> Duration {
    Duration::from_secs_f64(INTERVAL * f64::from(256 - u16::from(priority)) / 256.0)
}

/// Node b, which tracks nothing, as master.
fn other(lab: &Lab) -> Outcome<Node> {
    let files = NodeFiles {
        keepalived: Some(keepalived(PRIORITIES[1], "")),
        ..NodeFiles::default()
    };
    let node = Node::start(lab, "b", NodeKind::Tandem, files)?;
    wait_until("b to be master", LIMIT, || is(&node, "MASTER"))?;
    Ok(node)
}

fn tracking(lab: &Lab, backend: &str) -> Outcome<Node> {
    let haproxy = article::with_defaults(&format!(
        "frontend in\nbind *:8080\ndefault_backend web\n{backend}"
    ));
    let files = NodeFiles::pair(haproxy, keepalived(PRIORITIES[0], "track_backend web"));
    Node::start(lab, "a", NodeKind::Tandem, files)
}

fn shown(node: &Node) -> String {
    let text = node.command("show vrrp").unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn is(node: &Node, state: &str) -> bool {
    shown(node).contains(&format!("R1: {state} "))
}

/// Waits for text in `show vrrp`.
fn wait_shown(node: &Node, text: &str) -> Outcome {
    wait_for(&format!("{text:?} to be shown"), LIMIT, || {
        let told = shown(node);
        match told.contains(text) {
            true => Ok(()),
            false => Err(told),
        }
    })
}

/// Waits for a state, and says when it was entered, as time since 1970.
fn entered(node: &Node, state: &str) -> Outcome<Duration> {
    wait_until(state, LIMIT, || is(node, state))?;
    let text = node.command("show vrrp json")?;
    let told: serde_json::Value = serde_json::from_str(text.trim())?;
    let since_ms = told[0]["tandem"]["since_ms"].as_u64().unwrap_or(0);
    Ok(Duration::from_millis(since_ms))
}

fn now() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

fn within(what: &str, since: Duration, entered: Duration, limit: Duration) -> Outcome {
    let took = entered.saturating_sub(since);
    println!("measured: {what} {took:?}, promised {limit:?}");
    ensure!(took <= limit + BUSY, "{what} {took:?} instead of {limit:?}");
    Ok(())
}

#[test]
fn the_last_server_takes_the_address_with_it_and_brings_it_back() -> Outcome {
    require!("root", "users", "tandemd");
    const CHECK: Duration = Duration::from_millis(100);
    let lab = Lab::start()?;
    let origin = Origin::start(lab.host("web1"), 80)?;
    let b = other(&lab)?;
    let a = tracking(
        &lab,
        "backend web\nserver web1 host1:80 check inter 100ms fall 2 rise 1\n",
    )?;
    entered(&a, "MASTER")?;
    wait_until("b to yield", LIMIT, || is(&b, "BACKUP"))?;

    let began = now();
    drop(origin);
    let taken = entered(&b, "MASTER")?;
    // `fall` checks fail, and then a resigns: b waits for its skew time.
    let limit = CHECK * 2 + skew(PRIORITIES[1]);
    within(
        "the last server's death moves the address in",
        began,
        taken,
        limit,
    )?;
    ensure!(is(&a, "FAULT"), "{}", shown(&a));

    let began = now();
    let _origin = Origin::start(lab.host("web1"), 80)?;
    let taken = entered(&a, "MASTER")?;
    let master_down = Duration::from_secs_f64(3.0 * INTERVAL) + skew(PRIORITIES[0]);
    within(
        "its return brings the address back in",
        began,
        taken,
        CHECK + master_down,
    )
}

/// Checks that come once a minute, behind those of another backend: the first ones of the tracked backend come at once.
#[test]
fn rare_checks_do_not_delay_what_is_told_at_the_start() -> Outcome {
    require!("root", "users", "tandemd");
    let lab = Lab::start()?;
    let origin = Origin::start(lab.host("web1"), 80)?;
    let b = other(&lab)?;
    let backends = "backend others\nserver web1 host1:80 check inter 60s\n\
                    backend web\nserver web1 host1:80 check inter 60s\n";
    let began = now();
    let mut a = tracking(&lab, backends)?;
    let taken = entered(&a, "MASTER")?;
    let master_down = Duration::from_secs_f64(3.0 * INTERVAL) + skew(PRIORITIES[0]);
    // The processes start, too.
    let limit = Duration::from_secs(1) + master_down;
    within(
        "a node whose server lives takes the address in",
        began,
        taken,
        limit,
    )?;
    a.stop(LIMIT)?;
    wait_until("b to be master again", LIMIT, || is(&b, "MASTER"))?;

    // The server is dead: this is known before the address could come for its sake.
    drop(origin);
    a.up()?;
    wait_shown(&a, "none of 1 servers is usable")?;
    ensure!(
        is(&a, "FAULT") && is(&b, "MASTER") && !a.log().contains("-> MASTER"),
        "{}",
        a.log()
    );
    Ok(())
}

/// A server that neither answers nor refuses: until its check has ended, it is told as believed, and no address comes.
#[test]
fn a_server_that_is_only_believed_to_be_up_brings_no_address() -> Outcome {
    require!("root", "users", "tandemd", "nft");
    let lab = Lab::start()?;
    let b = other(&lab)?;
    for words in [
        "add table ip mute",
        "add chain ip mute input { type filter hook input priority 0 ; }",
        "add rule ip mute input tcp dport 80 drop",
    ] {
        let words: Vec<_> = words.split_whitespace().collect();
        lab.host("web1").exec("nft", &words)?;
    }
    let a = tracking(
        &lab,
        "backend web\ntimeout check 2s\nserver web1 host1:80 check inter 2s\n",
    )?;
    wait_shown(
        &a,
        "1 of 1 servers are believed to be usable, and no check has ended yet",
    )?;
    wait_shown(&a, "none of 1 servers is usable")?;
    ensure!(
        is(&b, "MASTER") && !a.log().contains("-> MASTER"),
        "{}",
        a.log()
    );
    Ok(())
}
