//! kill -9 of each process of a pair at random, under client load: the address answers again within three intervals and the
//! skew time, and is on one node alone afterwards.
//!
//! `TANDEM_KILLS` is how often (8 in the usual run, 200 by `make soak`). Which process of which node, and when, `TANDEM_KILL_SEED`
//! decides, which is printed.

use std::time::{Duration, Instant};

use tandem_tests::scenario::{Pair, SETTLE, TOLERANCE, skew, summary, vip};
use tandem_tests::wait::wait_for;
use tandem_tests::{
    Load, LoadOptions, Node, NodeKind, Outcome, Part, article, ensure, lab::VIP, require,
};

const KILLS: u64 = 8;
/// The advertisement interval of both nodes.
const INTERVAL: Duration = Duration::from_millis(100);
/// Clients that ask without a pause, beside the one that measures.
const CLIENTS: usize = 2;
/// How long a process that died may take until its successor works; the pauses between restarts grow to 5 s.
const RECOVERY: Duration = Duration::from_secs(20);
/// A kill comes at any time within so many milliseconds after the pair is whole: many intervals of all timers.
const LONGEST_PAUSE_MS: usize = 1_000;
const PARTS: [Part; 4] = [Part::Supervisor, Part::Vrrp, Part::Worker, Part::Control];

/// The article's file with version 3 and ten advertisements a second.
fn keepalived() -> String {
    let text = article::keepalived()
        .replace("global_defs {", "global_defs {\nvrrp_version 3")
        .replace("advert_int 1\n", "advert_int 0.1\n")
        .replace("preempt_delay 2\n", "");
    let block = text
        .split_once("authentication {")
        .and_then(|(before, after)| Some((before, after.split_once('}')?.1)));
    block.map_or(text.clone(), |(before, after)| format!("{before}{after}"))
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// A number that the last one decides (an LCG of Knuth's).
fn next(seed: &mut u64) -> usize {
    *seed = seed
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    usize::try_from(*seed >> 33).unwrap_or(0)
}

/// Waits until both nodes can be master: their proxies live, one of them is master, and the other is its backup.
fn wait_ready(pair: &Pair) -> Outcome<String> {
    let state = |node: &Node| {
        let shown = node.command("show vrrp").unwrap_or_default();
        let states = ["MASTER", "BACKUP"];
        states
            .into_iter()
            .find(|state| shown.contains(&format!("R1: {state} ")))
    };
    wait_for("one master and one backup", RECOVERY, || {
        let states = [state(&pair.a), state(&pair.b)];
        let alone = pair.lab.who_has(VIP).map_err(|error| error.to_string())?;
        match states {
            [Some("MASTER"), Some("BACKUP")] if alone == ["a"] => Ok("a".to_owned()),
            [Some("BACKUP"), Some("MASTER")] if alone == ["b"] => Ok("b".to_owned()),
            _ => Err(format!("{states:?}, the address on {alone:?}")),
        }
    })
}

fn kill(pair: &mut Pair, first: bool, part: Part) -> Outcome<Vec<i32>> {
    let node = if first { &pair.a } else { &pair.b };
    node.kill(part)
}

/// Until the successor works; a supervisor has none, and is started again once all others have ended in order.
fn recover(pair: &mut Pair, first: bool, part: Part, killed: &[i32]) -> Outcome {
    let node = if first { &mut pair.a } else { &mut pair.b };
    if part != Part::Supervisor {
        return node.wait_replaced(part, killed, RECOVERY).map(drop);
    }
    wait_for(
        "the end of the daemon without its supervisor",
        RECOVERY,
        || {
            let left = node.host().processes();
            let left: Vec<_> = left
                .into_iter()
                .filter(|(_, title)| title.contains("tandemd"))
                .collect();
            if left.is_empty() {
                Ok(())
            } else {
                Err(format!("{left:?}"))
            }
        },
    )?;
    node.up()
}

#[test]
fn the_address_answers_again_whatever_process_is_killed() -> Outcome {
    require!("root", "users", "tandemd", "nginx");
    let kills = number("TANDEM_KILLS").unwrap_or(KILLS);
    let clock = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let given = number("TANDEM_KILL_SEED");
    let mut seed = given.unwrap_or(clock.map_or(1, |now| now.as_secs()));
    println!("TANDEM_KILL_SEED={seed}");
    let mut pair = Pair::start_with(
        NodeKind::Tandem,
        NodeKind::Tandem,
        article::haproxy(),
        &keepalived(),
    )?;
    let limit = INTERVAL * 3 + skew(article::BACKUP_PRIORITY) / 10 + TOLERANCE;
    let load = Load::start(pair.lab.host("client"), LoadOptions::new(vip(), CLIENTS))?;
    let mut longest = Duration::ZERO;
    let began = Instant::now();
    for round in 0..kills {
        let master = wait_ready(&pair)?;
        let part = PARTS[next(&mut seed) % PARTS.len()];
        let first = next(&mut seed).is_multiple_of(2);
        let of_master = (master == "a") == first;
        let prober = pair.probe()?;
        let pause = Duration::from_millis((next(&mut seed) % LONGEST_PAUSE_MS) as u64);
        std::thread::sleep(pause);
        let mark = prober.now();
        let killed = kill(&mut pair, first, part)?;
        prober.wait_answer_after(mark + limit, SETTLE)?;
        recover(&mut pair, first, part, &killed)?;
        pair.wait_single_holder(SETTLE)?;
        let until = prober.now();
        prober.wait_answer_after(until, SETTLE)?;
        let report = prober.finish().between(mark, Duration::MAX);
        let outage = report.longest_outage();
        longest = longest.max(outage);
        let whose = if of_master { "master" } else { "backup" };
        println!(
            "{round}: {part:?} of the {whose} after {pause:.0?}: silent for {outage:.0?}; {}",
            summary(&report)
        );
        ensure!(
            outage <= limit,
            "{part:?} of the {whose} ({master} is it) was killed and the address was silent for {outage:?}, more than {limit:?}"
        );
    }
    wait_ready(&pair)?;
    let tally = load.finish();
    println!(
        "{kills} kills in {:.0?}: silent for {longest:.0?} at most (limit {limit:.0?}); {} requests of the load answered, {} not",
        began.elapsed(),
        tally.completed,
        tally.failures()
    );
    Ok(())
}
