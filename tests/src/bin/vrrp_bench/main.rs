//! `tandem-vrrp-bench`: tandemd beside keepalived, in network namespaces: how fast an address moves, what 255 instances cost,
//! how regular advertisements are beside a saturated proxy, and how steady BFD sessions are.

mod bfd;
mod figures;
mod jitter;
mod many;
mod nodes;
mod takeover;
mod wire;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use bfd::Load;
use figures::Report;
use nodes::Pace;
use takeover::End;
use tandem_tests::{Failure, Lab, NodeKind, Outcome, Requirement};

const HELP: &str = "\
tandem-vrrp-bench: tandemd beside keepalived, in network namespaces (root)

usage: tandem-vrrp-bench [OPTIONS]

  --only A,B         what to measure, of: takeover, many, jitter, bfd (default: the first three)
  --pace A,B         advertisement intervals, of: 1000 (version 2), 100, 10 (version 3), in ms (default: all;
                     `many` takes 1000 and 100, `jitter` takes 100)
  --end A,B          how a master goes, of: killed, stopped (default: both)
  --load A,B         what runs beside BFD sessions, of: quiet, busy (default: both), or none: takeovers alone
  --runs N           takeovers of a row (default 15; a third of it at 1000 ms)
  --window SECONDS   measured window of `many`, `jitter` and `bfd` (default 10)
  --json FILE        write everything that was measured to FILE
  --check            exit with 1 if a bar is missed
  --help             this text

Takeover: a client asks the address every 5 ms (ICMP echo) and sees all advertisements. `advert` is the time from the
master's last advertisement to its successor's first, `answer` that to the successor's first answer, `outage` the
longest time without one. Killed: the master's cable is cut and all its processes get SIGKILL. Stopped: SIGTERM.
Many: CPU time and memory of the process that speaks VRRP, of 255 instances; the supervisors of both are apart.
Jitter: by how much the time between two advertisements differs from the interval, with wrk on the same node.
BFD: how often sessions that nothing happens to go down, all pairs at once, and how fast an address moves when a tracked
neighbor gets SIGKILL, from its last packet. Busy: two threads that only compute for each core.
";

struct Plan {
    only: Vec<String>,
    paces: Vec<u64>,
    ends: Vec<End>,
    loads: Vec<Load>,
    runs: usize,
    window: Duration,
    json: Option<PathBuf>,
    check: bool,
}

impl Plan {
    fn read(mut words: impl Iterator<Item = String>) -> Outcome<Option<Plan>> {
        let mut plan = Plan {
            only: ["takeover", "many", "jitter"].map(str::to_owned).to_vec(),
            paces: vec![1000, 100, 10],
            ends: vec![End::Killed, End::Stopped],
            loads: vec![Load::Quiet, Load::Busy],
            runs: 15,
            window: Duration::from_secs(10),
            json: None,
            check: false,
        };
        while let Some(word) = words.next() {
            if word == "--help" {
                return Ok(None);
            }
            if word == "--check" {
                plan.check = true;
                continue;
            }
            let value = words
                .next()
                .ok_or_else(|| Failure::new(format!("{word} wants a value")))?;
            let wrong = || Failure::new(format!("{word}: '{value}' is not understood"));
            let list = || value.split(',');
            match word.as_str() {
                "--only" => plan.only = list().map(str::to_owned).collect(),
                "--pace" => {
                    let all: Result<Vec<u64>, _> = list().map(str::parse).collect();
                    plan.paces = all.map_err(|_| wrong())?;
                }
                "--end" => {
                    let end = |word| match word {
                        "killed" => Ok(End::Killed),
                        "stopped" => Ok(End::Stopped),
                        _ => Err(wrong()),
                    };
                    plan.ends = list().map(end).collect::<Outcome<_>>()?;
                }
                "--load" => {
                    let load = |word| match word {
                        "busy" => Ok(Some(Load::Busy)),
                        "none" => Ok(None),
                        "quiet" => Ok(Some(Load::Quiet)),
                        _ => Err(wrong()),
                    };
                    let loads = list().map(load).collect::<Outcome<Vec<_>>>()?;
                    plan.loads = loads.into_iter().flatten().collect();
                }
                "--runs" => plan.runs = value.parse().map_err(|_| wrong())?,
                "--window" => {
                    plan.window = Duration::from_secs(value.parse().map_err(|_| wrong())?);
                }
                "--json" => plan.json = Some(PathBuf::from(value)),
                _ => return Err(Failure::new(format!("{word} is not known; see --help"))),
            }
        }
        Ok(Some(plan))
    }

    fn wants(&self, what: &str) -> bool {
        self.only.iter().any(|one| one == what)
    }

    /// The wanted paces of these.
    fn paces(&self, of: &[u64]) -> Vec<Pace> {
        let wanted = self.paces.iter().filter(|pace| of.contains(pace));
        wanted
            .map(|&milliseconds| Pace {
                version: if milliseconds >= 1000 { 2 } else { 3 },
                interval: Duration::from_millis(milliseconds),
            })
            .collect()
    }
}

fn main() -> ExitCode {
    let plan = match Plan::read(std::env::args().skip(1)) {
        Ok(Some(plan)) => plan,
        Ok(None) => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Err(failure) => {
            eprintln!("{failure}");
            return ExitCode::from(2);
        }
    };
    let mut report = Report::default();
    let outcome = run(&plan, &mut report);
    if let Some(path) = &plan.json {
        let text = format!("{:#}\n", report.json());
        if let Err(error) = std::fs::write(path, text) {
            eprintln!("{}: {error}", path.display());
            return ExitCode::FAILURE;
        }
    }
    match outcome {
        Ok(()) if plan.check && !report.is_good() => ExitCode::FAILURE,
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("tandem-vrrp-bench: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(plan: &Plan, report: &mut Report) -> Outcome {
    let kinds = [NodeKind::Tandem.missing(), NodeKind::Peer.missing()];
    let root = Requirement::from("root").missing();
    if let Some(missing) = kinds.into_iter().chain([root]).flatten().next() {
        return Err(Failure::new(format!("it needs {missing}")));
    }
    if plan.wants("takeover") {
        for pace in plan.paces(&[10, 100, 1000]) {
            let lab = Lab::start()?;
            let slow = pace.interval >= Duration::from_secs(1);
            let runs = if slow {
                plan.runs.div_ceil(3)
            } else {
                plan.runs
            };
            takeover::all(&lab, report, pace, &plan.ends, runs)?;
        }
    }
    if plan.wants("many") {
        for pace in plan.paces(&[100, 1000]) {
            many::all(report, pace, plan.window)?;
        }
    }
    if plan.wants("jitter") {
        for pace in plan.paces(&[100]) {
            jitter::all(report, pace, plan.window)?;
        }
    }
    if plan.wants("bfd") {
        bfd::steady(report, &plan.loads, plan.window)?;
        if plan.runs > 0 {
            bfd::takeovers(report, plan.runs)?;
        }
    }
    Ok(())
}
