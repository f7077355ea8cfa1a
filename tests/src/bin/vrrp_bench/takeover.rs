//! How long it takes from the last advertisement of a master that goes to the first of its successor, and to the first answer
//! that a client gets from it.

use std::time::{Duration, Instant};

use tandem_tests::{Failure, Lab, NodeKind, Outcome};

use crate::figures::{Report, ms, quantile};
use crate::nodes::{ADDRESSES, PRIORITIES, Pace, VIP, clean, destroy, start, wait_master, word};
use crate::wire::{ASK_EVERY, Seen, What, Wire, now};

/// What the issue grants beyond the protocol's own time, in milliseconds.
const GRANTED_MS: f64 = 5.0;
/// Timers of the kernel and the way over the link may make two equal things differ by that, in milliseconds.
const EQUAL_MS: f64 = 0.5;

/// How a master goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Its cable is cut, and all its processes are killed.
    Killed,
    /// SIGTERM.
    Stopped,
}

/// What one end cost, in milliseconds.
struct Cost {
    /// From its last advertisement to its successor's first.
    advert: f64,
    /// From its last advertisement to the first answer of its successor.
    answer: f64,
    /// The longest time without an answer.
    outage: f64,
}

/// Measures one combination.
pub(crate) fn measure(
    lab: &Lab,
    kinds: [NodeKind; 2],
    pace: Pace,
    end: End,
    runs: usize,
) -> Outcome<[Vec<f64>; 3]> {
    let wire = Wire::start(lab.host("client"), Some(VIP))?;
    let mut costs = [Vec::new(), Vec::new(), Vec::new()];
    let _second = start(lab, 1, kinds[1], pace, 1)?;
    for run in 0..runs {
        let mut first = start(lab, 0, kinds[0], pace, 1)?;
        wait_master(&wire, 0, pace)?;
        // Anywhere between two advertisements.
        std::thread::sleep(pace.interval * (run as u32 * 7 % 10) / 10 + ASK_EVERY * 4);
        match end {
            End::Killed => {
                lab.cut_link("a")?;
                destroy(&first);
            }
            End::Stopped => first.stop(Duration::from_secs(10))?,
        }
        let cost = wait_cost(&wire, pace, end)?;
        costs[0].push(cost.advert);
        costs[1].push(cost.answer);
        costs[2].push(cost.outage);
        drop(first);
        clean(lab)?;
    }
    Ok(costs)
}

fn wait_cost(wire: &Wire, pace: Pace, end: End) -> Outcome<Cost> {
    let limit = pace.down(1) + Duration::from_secs(5);
    let began = Instant::now();
    loop {
        if let Some(cost) = cost(&wire.seen(), end) {
            return Ok(cost);
        }
        if began.elapsed() > limit {
            let last: Vec<_> = wire.seen().into_iter().rev().take(5).collect();
            return Err(Failure::new(format!(
                "nobody took over within {limit:?} (now {:?}): {last:?}",
                now()
            )));
        }
        std::thread::sleep(ASK_EVERY);
    }
}

fn cost(seen: &[Seen], end: End) -> Option<Cost> {
    let advert_of = |which: usize, at: &Seen| match at.1 {
        What::Advert { from, priority, .. } => {
            from == ADDRESSES[which]
                && match (which, end) {
                    (0, End::Stopped) => priority == 0,
                    _ => priority > 0,
                }
        }
        What::Answer | What::Bfd { .. } => false,
    };
    let last = seen.iter().rev().find(|one| advert_of(0, one))?.0;
    let first = seen.iter().find(|one| one.0 > last && advert_of(1, one))?.0;
    let is_answer = |one: &&Seen| one.1 == What::Answer;
    let answer = seen.iter().filter(is_answer).find(|one| one.0 > first)?.0;
    let answers: Vec<Duration> = seen.iter().filter(is_answer).map(|one| one.0).collect();
    let outage = answers
        .windows(2)
        .filter(|two| two[1] > last)
        .map(|two| two[1] - two[0])
        .max()?;
    Some(Cost {
        advert: ms(first - last),
        answer: ms(answer - last),
        outage: ms(outage),
    })
}

/// All combinations of a pace.
pub(crate) fn all(
    lab: &Lab,
    report: &mut Report,
    pace: Pace,
    ends: &[End],
    runs: usize,
) -> Outcome {
    use NodeKind::{Peer, Tandem};
    for &end in ends {
        let promised = match end {
            End::Killed => pace.down(PRIORITIES[1]),
            End::Stopped => pace.skew(PRIORITIES[1]),
        };
        let what = match end {
            End::Killed => "killed",
            End::Stopped => "stopped",
        };
        println!(
            "\n{}, master {what}: the protocol's time is {:.2} ms",
            pace.name(),
            ms(promised)
        );
        // Ours and keepalived's in turn, so that the machine's mood is shared.
        let combinations = [
            [Peer, Peer],
            [Tandem, Tandem],
            [Peer, Tandem],
            [Tandem, Peer],
        ];
        let mut medians = Vec::new();
        for kinds in combinations {
            let costs = measure(lab, kinds, pace, end, runs)?;
            let name = format!("{what} {} -> {}", word(kinds[0]), word(kinds[1]));
            let mut figures = Vec::new();
            let names = [
                ["advert min", "median", "max"],
                ["answer min", "median ", "max "],
                ["outage min", "median  ", "max  "],
            ];
            for (names, costs) in names.iter().zip(&costs) {
                for (name, share) in names.iter().zip([0.0, 0.5, 1.0]) {
                    figures.push((*name, quantile(costs, share)));
                }
            }
            report.row(format!("{} {name}", pace.name()), figures);
            medians.push([quantile(&costs[0], 0.5), quantile(&costs[1], 0.5)]);
        }
        // A takeover is the successor's work: ours are those with one of ours in second place.
        for (at, name) in [(1, "ours -> ours"), (2, "keepalived -> ours")] {
            let [advert, answer] = medians[at];
            let of = |what: &str| format!("{} {name}: median {what}", pace.name());
            let limit = ms(promised) + GRANTED_MS;
            report.bar(of("answer, ms"), answer, limit);
            report.bar(
                of("advertisement, ms, beside keepalived"),
                advert,
                medians[0][0] + EQUAL_MS,
            );
        }
    }
    Ok(())
}
