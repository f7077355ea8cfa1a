//! The state machine in thousands of networks that lose, delay, repeat and cut, with clocks that are fast or slow, and nodes
//! that freeze, die, return, and are given orders. Nothing here waits: time is a number.
//!
//! A failing run prints its seed and its last steps. `TANDEM_SIM_SEED=N` runs that one alone, `TANDEM_SIM_RUNS=N` more or
//! fewer of them.

mod invariants;
mod network;
mod node;
mod random;
mod run;
mod world;

/// Runs of each test, unless `TANDEM_SIM_RUNS` says otherwise.
const RUNS: u64 = 1_500;
/// Lines of the trace that a failure prints.
const TRACE_LINES: usize = 120;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Runs `RUNS` seeds from `first`.
fn check(first: u64) {
    let runs = number("TANDEM_SIM_RUNS").unwrap_or(RUNS);
    let seeds = match number("TANDEM_SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => first..first + runs,
    };
    let began = std::time::Instant::now();
    let mut facts = 0;
    for seed in seeds.clone() {
        match run::run(seed, false) {
            Ok(checked) => facts += checked,
            Err(failure) => report(seed, &failure.what),
        }
    }
    let runs = seeds.end - seeds.start;
    println!("{runs} runs, {facts} facts, {:.1?}", began.elapsed());
}

/// Runs it again, now with its steps told.
fn report(seed: u64, what: &str) {
    let again = run::run(seed, true);
    let trace = again.err().map(|failure| failure.trace).unwrap_or_default();
    for line in &trace[trace.len().saturating_sub(TRACE_LINES)..] {
        println!("{line}");
    }
    panic!("{what}\nTANDEM_SIM_SEED={seed} runs it again");
}

#[test]
fn the_right_router_is_master_after_every_trouble() {
    check(1);
}

#[test]
fn the_right_router_is_master_after_every_other_trouble() {
    check(1_000_000);
}

#[test]
fn a_seed_decides_a_whole_run() {
    for seed in [7, 8, 9] {
        let facts = |run: Result<u64, run::Failure>| run.map_err(|failure| failure.what);
        assert_eq!(
            facts(run::run(seed, false)),
            facts(run::run(seed, true)),
            "tracing must not change a run"
        );
    }
}
