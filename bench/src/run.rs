//! The walk: for each row start all contenders, warm them, then measure them in turn, round by round.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Stdio;
use std::time::Duration;

use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

use crate::congestion;
use crate::contender::{Contender, Running};
use crate::load::{self, Load};
use crate::measure;
use crate::process::{self, Memory, Owned};
use crate::rows::{Row, rows};
use crate::setup::Setup;
use crate::sink::Sink;

/// How to measure.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) rows: Vec<Row>,
    pub(crate) rounds: usize,
    pub(crate) window: Duration,
    pub(crate) warm_up: Duration,
    /// Where the contenders run.
    pub(crate) proxy_core: usize,
    /// Where load generator, origin and log sink run.
    pub(crate) load_core: usize,
    /// Keep the temporary folder.
    pub(crate) keep: bool,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            rows: rows().cloned().collect(),
            rounds: 5,
            window: Duration::from_secs(2),
            warm_up: Duration::from_secs(1),
            proxy_core: 0,
            load_core: 1,
            keep: false,
        }
    }
}

/// A sample whose core did more than this for others, as a share of the time, is named as disturbed.
pub(crate) const FOREIGN_MAX: f64 = 0.05;

/// One measured window of one contender.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    /// In the unit of the row's metric; less is better.
    pub(crate) figure: f64,
    /// What the load generator saw.
    pub(crate) load: Load,
    /// CPU time of the contender's processes, from before the first request to after the last.
    pub(crate) cpu: Duration,
    /// The same span on the clock.
    pub(crate) wall: Duration,
    /// What its core did for others in that span: their work makes ours dearer.
    pub(crate) foreign: Duration,
    /// Memory at its end.
    pub(crate) memory: Memory,
    /// Lines that reached the log sink.
    pub(crate) log_lines: u64,
}

impl Sample {
    /// Completed requests per second.
    pub(crate) fn rate(&self) -> f64 {
        self.load.requests as f64 / self.load.duration.as_secs_f64().max(1e-6)
    }

    /// Whether others worked on the contender's core.
    pub(crate) fn is_disturbed(&self) -> bool {
        self.foreign.as_secs_f64() / self.wall.as_secs_f64() > FOREIGN_MAX
    }

    /// Share of its core that the contender used.
    pub(crate) fn busy(&self) -> f64 {
        self.cpu.as_secs_f64() / self.wall.as_secs_f64()
    }
}

/// What came of a contender in a row.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    /// One sample a round.
    Measured(Vec<Sample>),
    /// Why there are none.
    Skipped(String),
}

/// All that a run measured.
pub(crate) struct Results {
    pub(crate) plan: Plan,
    /// TCP's congestion control of all connections.
    pub(crate) congestion: String,
    /// With what each says of its version.
    pub(crate) contenders: Vec<(Contender, String)>,
    /// Outcomes in the order of `contenders`.
    pub(crate) rows: Vec<(Row, Vec<Outcome>)>,
}

/// Measures `plan`. Fails only if nothing can be measured; a contender that fails is skipped.
pub(crate) fn run(plan: &Plan, contenders: Vec<Contender>) -> Result<Results, String> {
    check_names(&contenders)?;
    pin_this_process(plan)?;
    let mut folder = tempfile::Builder::new()
        .prefix("tandem-bench-")
        .tempdir()
        .map_err(|error| format!("folder: {error}"))?;
    folder.disable_cleanup(plan.keep);
    if plan.keep {
        eprintln!(
            "configurations and output stay in {}",
            folder.path().display()
        );
    }
    let sink = Sink::start().map_err(|error| format!("log sink: {error}"))?;
    let (_origin, origin_address) = start_origin(plan.load_core)?;
    let setup = Setup::new(folder.path(), origin_address, sink.address())?;
    load::prepare(folder.path()).map_err(|error| format!("scripts for wrk: {error}"))?;

    let mut rows = Vec::new();
    for row in &plan.rows {
        eprintln!("{}: {}", row.name, row.title);
        rows.push((
            row.clone(),
            measure_row(row, plan, &contenders, &setup, &sink),
        ));
    }
    let with_version = |contender: Contender| {
        let version = contender.version();
        (contender, version)
    };
    Ok(Results {
        plan: plan.clone(),
        congestion: congestion::of_loopback().unwrap_or_else(|error| error.to_string()),
        contenders: contenders.into_iter().map(with_version).collect(),
        rows,
    })
}

fn measure_row(
    row: &Row,
    plan: &Plan,
    contenders: &[Contender],
    setup: &Setup,
    sink: &Sink,
) -> Vec<Outcome> {
    let mut samples: Vec<Vec<Sample>> = vec![Vec::new(); contenders.len()];
    let mut started: Vec<Result<Option<Running>, String>> = contenders
        .iter()
        .map(|contender| {
            if measure::starts_anew(row) {
                return Ok(None);
            }
            let running = contender.start(row, setup, plan.proxy_core)?;
            measure::warm_up(row, plan, &running, setup)?;
            Ok(Some(running))
        })
        .collect();
    let mut generation = 0;
    for round in 0..plan.rounds {
        // Another one begins in each round, so that none is always behind the same neighbour.
        for turn in 0..contenders.len() {
            let place = (turn + round) % contenders.len();
            let contender = &contenders[place];
            generation += 1;
            let sample = match &mut started[place] {
                Err(_) => continue,
                Ok(Some(running)) => {
                    measure::window(contender, row, plan, running, setup, sink, generation)
                }
                Ok(None) => measure::from_the_start(contender, row, plan, setup, sink),
            };
            match sample {
                Ok(sample) => samples[place].push(sample),
                Err(reason) => started[place] = Err(reason),
            }
        }
    }
    let outcome = |(place, result): (usize, Result<Option<Running>, String>)| match result {
        Ok(_) => Outcome::Measured(std::mem::take(&mut samples[place])),
        Err(reason) => {
            eprintln!("  {} is skipped: {reason}", contenders[place].name);
            Outcome::Skipped(reason)
        }
    };
    started.into_iter().enumerate().map(outcome).collect()
}

fn check_names(contenders: &[Contender]) -> Result<(), String> {
    for (place, contender) in contenders.iter().enumerate() {
        if contenders[..place]
            .iter()
            .any(|other| other.name == contender.name)
        {
            return Err(format!(
                "two contenders are called '{}'; name one with --contender",
                contender.name
            ));
        }
    }
    if contenders.is_empty() {
        Err("no contender is left".into())
    } else {
        Ok(())
    }
}

/// This process, and with it the log sink and all load generators, keeps off the contenders' core.
fn pin_this_process(plan: &Plan) -> Result<(), String> {
    if plan.proxy_core == plan.load_core {
        return Err("the contenders and the load need a core each".into());
    }
    let mut set = CpuSet::new();
    set.set(plan.load_core)
        .and_then(|()| sched_setaffinity(Pid::from_raw(0), &set))
        .map_err(|error| {
            format!(
                "core {} for the load: {error}; two cores are needed",
                plan.load_core
            )
        })
}

fn start_origin(core: usize) -> Result<(Owned, SocketAddr), String> {
    let fail = |error: std::io::Error| format!("origin: {error}");
    let own = std::env::current_exe().map_err(fail)?;
    let mut command = process::pinned(core, own);
    command
        .arg("origin")
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    let mut child = Owned(command.spawn().map_err(fail)?);
    let mut line = String::new();
    if let Some(output) = child.0.stdout.take() {
        BufReader::new(output).read_line(&mut line).map_err(fail)?;
    }
    let port: u16 = line
        .trim()
        .parse()
        .map_err(|_| "origin: it did not start".to_owned())?;
    Ok((child, SocketAddr::from((Ipv4Addr::LOCALHOST, port))))
}
