//! One window of one contender: its work is done, and what it cost is read from the kernel.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::contender::{Contender, Running};
use crate::load::{self, Load};
use crate::process::{self, Memory, Owned, RunTime};
use crate::rows::{Metric, Row, Work};
use crate::run::{Plan, Sample};
use crate::setup::Setup;
use crate::show_stat;
use crate::sink::Sink;

/// After the load ends, what the proxy still does for it (closing, logging) belongs to the window.
const SETTLE: Duration = Duration::from_millis(30);
/// Idle connections are left alone for so long before memory is read.
const IDLE_SETTLE: Duration = Duration::from_millis(1500);
/// `show stat` under load is asked this often.
const SHOW_STAT_PAUSE: Duration = Duration::from_millis(50);

/// Whether the row starts its contenders anew for each window.
pub(crate) fn starts_anew(row: &Row) -> bool {
    matches!(row.work, Work::Idle { .. } | Work::Start)
}

/// Loads a contender that has just started, so that nothing is done for the first time in a window.
pub(crate) fn warm_up(
    row: &Row,
    plan: &Plan,
    running: &Running,
    setup: &Setup,
) -> Result<(), String> {
    match row.work {
        Work::Wrk { .. } | Work::H2load { .. } | Work::Paced { .. } | Work::Handshakes { .. } => {
            load::generate(row, setup, running.address, plan.warm_up, plan.load_core)?;
        }
        Work::WrkUnderShowStat => {
            load::generate(
                &small(row),
                setup,
                running.address,
                plan.warm_up,
                plan.load_core,
            )?;
            show_stat::ask(&running.stats_socket, row.servers)
                .map_err(|error| error.to_string())?;
        }
        Work::ShowStat => {
            show_stat::ask(&running.stats_socket, row.servers)
                .map_err(|error| error.to_string())?;
        }
        // Every server is checked once before the first window.
        Work::Alone => std::thread::sleep(row.checks.unwrap_or_default() + plan.warm_up),
        Work::Idle { .. } | Work::Start | Work::Reload => {}
    }
    Ok(())
}

/// One window of a contender that runs.
pub(crate) fn window(
    contender: &Contender,
    row: &Row,
    plan: &Plan,
    running: &mut Running,
    setup: &Setup,
    sink: &Sink,
    generation: u32,
) -> Result<Sample, String> {
    let account = Account::open(running, plan, sink)?;
    let load = match row.work {
        Work::Wrk { .. } | Work::H2load { .. } | Work::Paced { .. } | Work::Handshakes { .. } => {
            load::generate(row, setup, running.address, plan.window, plan.load_core)?
        }
        Work::WrkUnderShowStat => under_show_stat(row, plan, running, setup)?,
        Work::ShowStat => show_stat::ask_for(
            &running.stats_socket,
            row.servers,
            plan.window,
            Duration::ZERO,
        )?,
        Work::Alone => {
            let started = Instant::now();
            // Whole intervals, so that each window sees as many checks.
            std::thread::sleep(plan.window.max(row.checks.unwrap_or_default()));
            Load {
                requests: 1,
                duration: started.elapsed(),
                ..Load::default()
            }
        }
        Work::Reload => once(running.reload(contender, row, setup, generation)?),
        Work::Idle { .. } | Work::Start => return Err("this work starts anew".into()),
    };
    account.close(row, running, plan, sink, load)
}

/// One window of a contender that is started for it.
pub(crate) fn from_the_start(
    contender: &Contender,
    row: &Row,
    plan: &Plan,
    setup: &Setup,
    sink: &Sink,
) -> Result<Sample, String> {
    let started = Instant::now();
    let running = contender.start(row, setup, plan.proxy_core)?;
    let until_answer = started.elapsed();
    let account = Account::open(&running, plan, sink)?;
    let Work::Idle { connections } = row.work else {
        // All that it ever did is its cost.
        let all = Account {
            run_time: None,
            started,
            ..account
        };
        return all.close(row, &running, plan, sink, once(until_answer));
    };
    let _held = hold(row, plan, setup, &running, connections)?;
    std::thread::sleep(IDLE_SETTLE);
    let load = Load {
        requests: connections.into(),
        ..once(account.started.elapsed())
    };
    account.close(row, &running, plan, sink, load)
}

/// A single event that took `duration`.
fn once(duration: Duration) -> Load {
    Load {
        requests: 1,
        duration,
        p50: duration,
        p99: duration,
        ..Load::default()
    }
}

/// wrk's small requests while the table of servers is asked for; the row's own work has no generator.
fn under_show_stat(
    row: &Row,
    plan: &Plan,
    running: &Running,
    setup: &Setup,
) -> Result<Load, String> {
    let small = small(row);
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            show_stat::ask_for(
                &running.stats_socket,
                row.servers,
                plan.window,
                SHOW_STAT_PAUSE,
            )
        });
        let load = load::generate(&small, setup, running.address, plan.window, plan.load_core);
        asking.join().map_err(|_| "the asking thread panicked")??;
        load
    })
}

fn small(row: &Row) -> Row {
    Row {
        work: crate::table::SMALL_WORK,
        ..row.clone()
    }
}

/// Opens the row's connections in a process of their own; they are closed when it goes out of scope.
fn hold(
    row: &Row,
    plan: &Plan,
    setup: &Setup,
    running: &Running,
    connections: u16,
) -> Result<Owned, String> {
    let fail = |error: std::io::Error| format!("hold: {error}");
    let own = std::env::current_exe().map_err(fail)?;
    let mut command = process::pinned(plan.load_core, own);
    command
        .arg("hold")
        .arg(running.address.to_string())
        .arg(connections.to_string());
    match setup.certificate(row) {
        Some(certificate) => command.arg(certificate),
        None => command.arg("-"),
    };
    command.arg(if row.h2 { "h2" } else { "h1" });
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = Owned(command.spawn().map_err(fail)?);
    let mut line = String::new();
    if let Some(output) = child.0.stdout.take() {
        BufReader::new(output).read_line(&mut line).map_err(fail)?;
    }
    match line.trim().parse::<u16>() {
        Ok(held) if connections == held => Ok(child),
        _ => Err(format!("not all of {connections} connections were opened")),
    }
}

/// What the kernel said when a window began.
struct Account {
    started: Instant,
    log_lines: u64,
    core: Option<Duration>,
    /// `None` counts from the program's start.
    run_time: Option<RunTime>,
    memory: Memory,
}

const ENDED: &str = "it ended while it was measured";

impl Account {
    fn open(running: &Running, plan: &Plan, sink: &Sink) -> Result<Self, String> {
        let root = running.child.id();
        let fail = |error: std::io::Error| format!("{ENDED}: {error}");
        Ok(Self {
            memory: process::memory(root).map_err(fail)?,
            log_lines: sink.lines(),
            started: Instant::now(),
            core: process::core_time(plan.proxy_core),
            run_time: Some(RunTime::read(root).map_err(fail)?),
        })
    }

    fn close(
        self,
        row: &Row,
        running: &Running,
        plan: &Plan,
        sink: &Sink,
        load: Load,
    ) -> Result<Sample, String> {
        let root = running.child.id();
        let fail = |error: std::io::Error| format!("{ENDED}: {error}");
        std::thread::sleep(SETTLE);
        let now = RunTime::read(root).map_err(fail)?;
        let cpu = match &self.run_time {
            Some(before) => now.since(before),
            None => now.total(),
        };
        let core = process::core_time(plan.proxy_core).zip(self.core);
        let core = core.map_or(Duration::ZERO, |(after, before)| {
            after.saturating_sub(before)
        });
        let wall = self.started.elapsed();
        let memory = process::memory(root).map_err(fail)?;
        if load.requests == 0 {
            return Err(format!(
                "no request was completed; errors: {:?}",
                load.errors
            ));
        }
        let requests = load.requests as f64;
        let figure = match row.metric() {
            Metric::CpuPerRequest => cpu.as_secs_f64() * 1e6 / requests,
            Metric::CpuPerSecond => cpu.as_secs_f64() * 1e3 / wall.as_secs_f64(),
            Metric::BytesPerConnection => {
                memory.resident.saturating_sub(self.memory.resident) as f64 / requests
            }
            Metric::Milliseconds => load.p50.as_secs_f64() * 1e3,
            Metric::P99 => load.p99.as_secs_f64() * 1e6,
        };
        Ok(Sample {
            figure,
            load,
            cpu,
            foreign: core.saturating_sub(cpu),
            wall,
            memory,
            log_lines: sink.lines() - self.log_lines,
        })
    }
}
