//! The state machine, alone and in sync groups, in thousands of networks that lose, delay, repeat and cut, with clocks that are fast or slow, and nodes
//! that freeze, die, return, and are given orders. Nothing here waits: time is a number.
//!
//! A clock that is set is no trouble here: the core is told only time since the start, and the last test sees that nothing
//! else in the process asks for the time of day.
//!
//! A failing run prints its seed and its last steps. `TANDEM_SIM_SEED=N` runs that one alone, `TANDEM_SIM_RUNS=N` more or
//! fewer of them.

mod groups;
mod invariants;
mod network;
mod node;
mod random;
mod run;
mod world;

/// A run of this test's kind, by its seed; whether its steps are told.
type Run = fn(u64, bool) -> Result<u64, run::Failure>;
/// Runs of each test, unless `TANDEM_SIM_RUNS` says otherwise.
const RUNS: u64 = 1_000;
/// Runs of each test of groups, which take longer.
const GROUP_RUNS: u64 = 400;
/// Lines of the trace that a failure prints.
const TRACE_LINES: usize = 120;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Runs so many seeds from `first`.
fn check(run: Run, runs: u64, first: u64) {
    let runs = number("TANDEM_SIM_RUNS").unwrap_or(runs);
    let seeds = match number("TANDEM_SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => first..first + runs,
    };
    let began = std::time::Instant::now();
    let mut facts = 0;
    for seed in seeds.clone() {
        match run(seed, false) {
            Ok(checked) => facts += checked,
            Err(failure) => report(run, seed, &failure.what),
        }
    }
    let runs = seeds.end - seeds.start;
    println!("{runs} runs, {facts} facts, {:.1?}", began.elapsed());
}

/// Runs it again, now with its steps told.
fn report(run: Run, seed: u64, what: &str) {
    let again = run(seed, true);
    let trace = again.err().map(|failure| failure.trace).unwrap_or_default();
    for line in &trace[trace.len().saturating_sub(TRACE_LINES)..] {
        println!("{line}");
    }
    panic!("{what}\nTANDEM_SIM_SEED={seed} runs it again");
}

#[test]
fn the_right_router_is_master_after_every_trouble() {
    check(run::run, RUNS, 1);
}

#[test]
fn the_right_router_is_master_after_every_other_trouble() {
    check(run::run, RUNS, 1_000_000);
}

#[test]
fn groups_move_as_one_after_every_trouble() {
    check(groups::run, GROUP_RUNS, 1);
}

#[test]
fn groups_move_as_one_after_every_other_trouble() {
    check(groups::run, GROUP_RUNS, 1_000_000);
}

#[test]
fn a_seed_decides_a_whole_run() {
    for seed in [7, 8, 9] {
        let facts = |run: Result<u64, run::Failure>| run.map_err(|failure| failure.what);
        for run in [run::run, groups::run] {
            assert_eq!(
                facts(run(seed, false)),
                facts(run(seed, true)),
                "tracing must not change a run"
            );
        }
    }
}

/// Files that may ask for the time of day, and what for.
const TIME_OF_DAY: [(&str, &str); 2] = [
    (
        "driver/authentication.rs",
        "where the numbers of trailers begin after a restart",
    ),
    (
        "driver/voice.rs",
        "where the numbers of authentication headers begin after a restart",
    ),
];

/// keepalived 2.4.3 mended a clock step that left two masters for good.
#[test]
fn nothing_that_decides_asks_for_the_time_of_day() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![root.clone()];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder of sources") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            files += 1;
            let text = std::fs::read_to_string(&path).expect("a source");
            let name = path.strip_prefix(&root).expect("below it").display();
            let name = name.to_string();
            let asks = ["SystemTime", "UNIX_EPOCH", "CLOCK_REALTIME"];
            let asks = asks.iter().any(|word| text.contains(word));
            let may = TIME_OF_DAY.iter().any(|(file, _)| *file == name);
            assert!(!asks || may, "{name} asks for the time of day");
        }
    }
    assert!(files > 30, "{files} files");
}
