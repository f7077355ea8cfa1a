//! 255 instances on one link: what they cost as master and as backup.

use std::time::{Duration, Instant};

use tandem_tests::{Failure, Lab, Node, NodeKind, Outcome, Part};

use crate::figures::{Report, ms};
use crate::nodes::{Pace, start, word};

/// As many as a link can have.
const INSTANCES: u8 = 255;
/// The second round of announcements comes 5 s after a takeover: it is no part of what is measured.
const SETTLE: Duration = Duration::from_secs(6);

/// The process that speaks VRRP: keepalived's parent and our supervisor are apart.
fn speaker(node: &Node) -> Outcome<i32> {
    let pids = node.pids(Part::Vrrp);
    let busiest = pids.into_iter().max_by_key(|pid| cpu(*pid));
    busiest.ok_or_else(|| Failure::new("no process speaks VRRP"))
}

/// CPU time of all threads of a process.
fn cpu(pid: i32) -> Duration {
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{pid}/task")) else {
        return Duration::ZERO;
    };
    let used = |path: std::path::PathBuf| {
        let text = std::fs::read_to_string(path.join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<u64>().ok()
    };
    Duration::from_nanos(tasks.flatten().filter_map(|task| used(task.path())).sum())
}

/// A line of a process's memory, in MB.
fn memory(pid: i32, file: &str, line: &str) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
    let found = text.lines().find_map(|one| one.strip_prefix(line));
    let kib = found.and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok());
    kib.unwrap_or_default() / 1024.0
}

/// CPU in ms/s and memory in MB of a process.
#[derive(Clone, Copy, Debug, Default)]
struct Cost {
    cpu: f64,
    resident: f64,
    proportional: f64,
}

fn measure(lab: &Lab, kind: NodeKind, pace: Pace, window: Duration) -> Outcome<[Cost; 2]> {
    let first = start(lab, 0, kind, pace, INSTANCES)?;
    let wanted = usize::from(INSTANCES);
    let held = || lab.host("a").addresses().map_or(0, |all| all.len());
    tandem_tests::wait_until("all addresses", Duration::from_secs(60), || held() > wanted)?;
    let second = start(lab, 1, kind, pace, INSTANCES)?;
    std::thread::sleep(SETTLE);
    let pids = [speaker(&first)?, speaker(&second)?];
    let before = pids.map(cpu);
    let began = Instant::now();
    std::thread::sleep(window);
    let after = pids.map(cpu);
    let seconds = began.elapsed().as_secs_f64();
    let mut costs = [Cost::default(); 2];
    for (at, cost) in costs.iter_mut().enumerate() {
        *cost = Cost {
            cpu: ms(after[at] - before[at]) / seconds,
            resident: memory(pids[at], "status", "VmRSS:"),
            proportional: memory(pids[at], "smaps_rollup", "Pss:"),
        };
    }
    let backup = lab.host("b").addresses()?.len();
    if held() <= wanted || backup > 2 {
        return Err(Failure::new(format!(
            "{} of {wanted} addresses are on the master, {backup} on the backup",
            held()
        )));
    }
    Ok(costs)
}

/// Ours and keepalived's, one after the other.
pub(crate) fn all(report: &mut Report, pace: Pace, window: Duration) -> Outcome {
    println!("\n{INSTANCES} instances, {}", pace.name());
    let mut costs = Vec::new();
    for kind in [NodeKind::Peer, NodeKind::Tandem] {
        let lab = Lab::start()?;
        let measured = measure(&lab, kind, pace, window)?;
        for (role, cost) in ["master", "backup"].into_iter().zip(measured) {
            report.row(
                format!(
                    "{} {INSTANCES} instances, {} as {role}",
                    pace.name(),
                    word(kind)
                ),
                vec![
                    ("CPU ms/s", cost.cpu),
                    ("RSS MB", cost.resident),
                    ("PSS MB", cost.proportional),
                ],
            );
        }
        costs.push(measured);
    }
    for (at, role) in ["master", "backup"].into_iter().enumerate() {
        let (theirs, ours) = (costs[0][at], costs[1][at]);
        let of = |what: &str| format!("{} as {role}: {what}", pace.name());
        report.bar(of("CPU, ms/s, beside keepalived"), ours.cpu, theirs.cpu);
        report.bar(
            of("memory, MB (PSS), beside keepalived"),
            ours.proportional,
            theirs.proportional,
        );
    }
    Ok(())
}
