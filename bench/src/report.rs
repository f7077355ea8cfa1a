//! What is said about a run: tables for people, JSON for programs.

use std::fmt::Write;
use std::fs;

use serde_json::{Value, json};

use crate::contender::Kind;
use crate::rows::{BAR_OF_P99, Row};
use crate::run::{FOREIGN_MAX, Outcome, Results, Sample};
use crate::statistics::{Summary, median, summary};

/// Costs are compared with the contender of this name.
const REFERENCE: &str = "haproxy";
/// And bars are for the contender of this one.
const OURS: &str = "tandemd";

/// All tables: each row in detail, then the rows side by side, then the bars.
pub(crate) fn text(results: &Results) -> String {
    let mut text = String::new();
    let plan = &results.plan;
    text.push_str(&format!(
        "\n{} rounds of {} s after {} s of warm-up; contenders on core {}, load on core {}; TCP's congestion control {}; {}\n",
        plan.rounds,
        plan.window.as_secs(),
        plan.warm_up.as_secs(),
        plan.proxy_core,
        plan.load_core,
        results.congestion,
        machine()
    ));
    let name_width = name_width(results);
    for (contender, version) in &results.contenders {
        text.push_str(&format!("  {:name_width$} {}\n", contender.name, version));
    }
    for (row, outcomes) in &results.rows {
        detail(&mut text, results, row, outcomes);
    }
    overview(&mut text, results);
    disturbances(&mut text, results);
    bars(&mut text, results);
    text
}

/// Whether every bar of every row holds; an unmeasured one does not.
pub(crate) fn bars_hold(results: &Results) -> bool {
    results
        .rows
        .iter()
        .flat_map(|(row, outcomes)| verdicts(results, row, outcomes))
        .all(|verdict| verdict.holds())
}

/// A bar and what was measured of it.
struct Verdict {
    /// What is compared.
    of: &'static str,
    bar: f64,
    ratio: Option<Summary>,
}

impl Verdict {
    fn holds(&self) -> bool {
        self.ratio.is_some_and(|ratio| ratio.median <= self.bar)
    }

    fn word(&self) -> &'static str {
        match self.ratio {
            None => "not measured",
            Some(_) if self.holds() => "held",
            Some(_) => "MISSED",
        }
    }
}

/// The row's own bar, and that of its 99th percentile.
fn verdicts(results: &Results, row: &Row, outcomes: &[Outcome]) -> Vec<Verdict> {
    let ours = samples_of(results, outcomes, OURS);
    let reference = samples_of(results, outcomes, REFERENCE);
    let both = ours.zip(reference);
    let mut verdicts = vec![Verdict {
        of: row.metric().unit(),
        bar: row.bar,
        ratio: both.and_then(|(ours, reference)| ratio(ours, reference)),
    }];
    if row.has_latency() {
        verdicts.push(Verdict {
            of: "p99",
            bar: BAR_OF_P99,
            ratio: both.and_then(|(ours, reference)| ratio_of(p99, ours, reference)),
        });
    }
    verdicts
}

fn p99(sample: &Sample) -> f64 {
    sample.load.p99.as_secs_f64().max(1e-6)
}

fn detail(text: &mut String, results: &Results, row: &Row, outcomes: &[Outcome]) {
    let reference = samples_of(results, outcomes, REFERENCE);
    let name_width = name_width(results);
    let _ = writeln!(
        text,
        "\n{} ({}){}\n  {:name_width$} {:>9} {:>15}  {:>6} {:>13} {:>9} {:>5} {:>9} {:>9} {:>8} {:>7} {:>6}",
        row.title,
        row.name,
        if row.log { "" } else { " [no log]" },
        "",
        row.metric().unit(),
        "(quartiles)",
        "ratio",
        "(quartiles)",
        "req/s",
        "core",
        "p50",
        "p99",
        "RSS",
        "log/req",
        "errors"
    );
    for ((contender, _), outcome) in results.contenders.iter().zip(outcomes) {
        let samples = match outcome {
            Outcome::Measured(samples) => samples,
            Outcome::Skipped(reason) => {
                let _ = writeln!(text, "  {:name_width$} skipped: {reason}", contender.name);
                continue;
            }
        };
        let Some(cost) = summary(samples.iter().map(|sample| sample.figure)) else {
            continue;
        };
        let ratio = reference.and_then(|reference| ratio(samples, reference));
        let (ratio, ratio_range) = match ratio {
            Some(ratio) => (
                format!("{:.2}", ratio.median),
                format!("({:.2}-{:.2})", ratio.lower, ratio.upper),
            ),
            None => ("-".to_owned(), String::new()),
        };
        let cost_range = format!("({:.1}-{:.1})", cost.lower, cost.upper);
        let _ = writeln!(
            text,
            "  {:name_width$} {:>9.2} {:>15}  {:>6} {:>13} {:>9.0} {:>4.0}% {:>9} {:>9} {:>8} {:>7.2} {:>6}",
            contender.name,
            cost.median,
            cost_range,
            ratio,
            ratio_range,
            median(samples.iter().map(Sample::rate)),
            100.0 * median(samples.iter().map(Sample::busy)),
            time(median(
                samples.iter().map(|sample| sample.load.p50.as_secs_f64())
            )),
            time(median(
                samples.iter().map(|sample| sample.load.p99.as_secs_f64())
            )),
            format!(
                "{:.1}M",
                median(samples.iter().map(|sample| sample.memory.resident as f64)) / 1048576.0
            ),
            median(samples.iter().map(log_lines_per_request)),
            samples
                .iter()
                .map(|sample| sample.load.errors.total())
                .sum::<u64>(),
        );
    }
}

fn name_width(results: &Results) -> usize {
    results
        .contenders
        .iter()
        .map(|(contender, _)| contender.name.len())
        .max()
        .unwrap_or(0)
}

/// Figures of all rows: the reference in the row's unit, everyone as a share of it.
fn overview(text: &mut String, results: &Results) {
    let name_width = results
        .rows
        .iter()
        .map(|(row, _)| row.title.chars().count())
        .max()
        .unwrap_or(0)
        .max(24);
    let _ = write!(
        text,
        "\nwhat the work costs, {REFERENCE} = 1.00; less is better\n\n| {:name_width$} |",
        "work"
    );
    for (contender, _) in &results.contenders {
        let _ = write!(text, " {:>22} |", contender.name);
    }
    text.push_str("    bar |         |");
    let _ = write!(text, "\n|{}|", "-".repeat(name_width + 2));
    for _ in &results.contenders {
        let _ = write!(text, "{}:|", "-".repeat(23));
    }
    text.push_str("-------:|---------|\n");
    for (row, outcomes) in &results.rows {
        let reference = samples_of(results, outcomes, REFERENCE);
        let _ = write!(text, "| {:name_width$} |", row.title);
        for ((contender, _), outcome) in results.contenders.iter().zip(outcomes) {
            let cell = match outcome {
                Outcome::Skipped(_) => "-".to_owned(),
                Outcome::Measured(samples) => {
                    let figure = median(samples.iter().map(|sample| sample.figure));
                    let unit = row.metric().unit();
                    match reference.and_then(|reference| ratio(samples, reference)) {
                        Some(_) if contender.name == REFERENCE => {
                            format!("1.00 ({})", short(figure, unit))
                        }
                        Some(ratio) => format!("{:.2}", ratio.median),
                        None => short(figure, unit),
                    }
                }
            };
            let _ = write!(text, " {cell:>22} |");
        }
        let held = verdicts(results, row, outcomes).iter().all(Verdict::holds);
        let verdict = if held { "held" } else { "missed" };
        let _ = writeln!(text, " {:>6.2} | {verdict:7} |", row.bar);
    }
}

/// Says how often something else worked on the contenders' core.
fn disturbances(text: &mut String, results: &Results) {
    let (mut all, mut disturbed) = (0, 0);
    for outcome in results.rows.iter().flat_map(|(_, outcomes)| outcomes) {
        let Outcome::Measured(samples) = outcome else {
            continue;
        };
        all += samples.len();
        disturbed += samples
            .iter()
            .filter(|sample| sample.is_disturbed())
            .count();
    }
    if disturbed > 0 {
        let share = 100.0 * FOREIGN_MAX;
        let _ = writeln!(
            text,
            "\n{disturbed} of {all} windows were disturbed: something else took more than {share:.0} % of core {}",
            results.plan.proxy_core
        );
    }
}

/// Says which bars were missed, and of how many.
fn bars(text: &mut String, results: &Results) {
    let mut all = 0;
    let mut held = 0;
    for (row, outcomes) in &results.rows {
        for verdict in verdicts(results, row, outcomes) {
            all += 1;
            if verdict.holds() {
                held += 1;
                continue;
            }
            let ratio = verdict
                .ratio
                .map_or_else(|| "-".to_owned(), |ratio| format!("{:.2}", ratio.median));
            let _ = writeln!(
                text,
                "\n{} of '{}': {ratio}, at most {:.2} of {REFERENCE}: {}",
                verdict.of,
                row.name,
                verdict.bar,
                verdict.word()
            );
        }
    }
    let _ = writeln!(text, "\n{held} of {all} bars held");
}

/// Everything that was measured, sample by sample.
pub(crate) fn json(results: &Results) -> String {
    let plan = &results.plan;
    let contenders: Vec<Value> = results
        .contenders
        .iter()
        .map(|(contender, version)| {
            json!({
                "name": contender.name,
                "kind": match contender.kind {
                    Kind::Tandemd => "tandemd",
                    Kind::Haproxy => "haproxy",
                    Kind::Nginx => "nginx",
                },
                "version": version,
            })
        })
        .collect();
    let rows: Vec<Value> = results
        .rows
        .iter()
        .map(|(row, outcomes)| row_json(results, row, outcomes))
        .collect();
    let document = json!({
        "machine": machine(),
        "rounds": plan.rounds,
        "window_s": plan.window.as_secs(),
        "warm_up_s": plan.warm_up.as_secs(),
        "proxy_core": plan.proxy_core,
        "load_core": plan.load_core,
        "congestion": results.congestion,
        "reference": REFERENCE,
        "contenders": contenders,
        "rows": rows,
    });
    format!("{document:#}\n")
}

fn row_json(results: &Results, row: &Row, outcomes: &[Outcome]) -> Value {
    let reference = samples_of(results, outcomes, REFERENCE);
    let mut by_name = serde_json::Map::new();
    for ((contender, _), outcome) in results.contenders.iter().zip(outcomes) {
        let value = match outcome {
            Outcome::Skipped(reason) => json!({ "skipped": reason }),
            Outcome::Measured(samples) => json!({
                "figure": summary(samples.iter().map(|sample| sample.figure)).map(summary_json),
                "ratio": reference.and_then(|reference| ratio(samples, reference)).map(summary_json),
                "requests_per_second": median(samples.iter().map(Sample::rate)),
                "p50_us": median(samples.iter().map(|sample| sample.load.p50.as_secs_f64() * 1e6)),
                "p99_us": median(samples.iter().map(|sample| sample.load.p99.as_secs_f64() * 1e6)),
                "rss_bytes": median(samples.iter().map(|sample| sample.memory.resident as f64)),
                "disturbed_windows": samples.iter().filter(|sample| sample.is_disturbed()).count(),
                "samples": samples.iter().map(sample_json).collect::<Vec<_>>(),
            }),
        };
        by_name.insert(contender.name.clone(), value);
    }
    let bars: Vec<Value> = verdicts(results, row, outcomes)
        .iter()
        .map(|verdict| {
            json!({
                "of": verdict.of,
                "bar": verdict.bar,
                "ratio": verdict.ratio.map(summary_json),
                "verdict": verdict.word(),
            })
        })
        .collect();
    json!({
        "name": row.name,
        "title": row.title,
        "log": row.log,
        "unit": row.metric().unit(),
        "bars": bars,
        "contenders": by_name,
    })
}

fn sample_json(sample: &Sample) -> Value {
    let errors: serde_json::Map<String, Value> = sample
        .load
        .errors
        .fields()
        .iter()
        .map(|(name, count)| ((*name).to_owned(), json!(count)))
        .collect();
    json!({
        "figure": sample.figure,
        "requests": sample.load.requests,
        "duration_us": sample.load.duration.as_micros() as u64,
        "cpu_us": sample.cpu.as_micros() as u64,
        "foreign_us": sample.foreign.as_micros() as u64,
        "wall_us": sample.wall.as_micros() as u64,
        "p50_us": sample.load.p50.as_micros() as u64,
        "p99_us": sample.load.p99.as_micros() as u64,
        "rss_bytes": sample.memory.resident,
        "pss_bytes": sample.memory.proportional,
        "log_lines": sample.log_lines,
        "errors": errors,
    })
}

fn summary_json(summary: Summary) -> Value {
    json!({ "lower_quartile": summary.lower, "median": summary.median, "upper_quartile": summary.upper })
}

fn samples_of<'a>(results: &Results, outcomes: &'a [Outcome], name: &str) -> Option<&'a [Sample]> {
    let place = results
        .contenders
        .iter()
        .position(|(contender, _)| contender.name == name)?;
    match outcomes.get(place)? {
        Outcome::Measured(samples) => Some(samples),
        Outcome::Skipped(_) => None,
    }
}

/// Ratios of figures within each round: what the machine does to a round, it does to both.
fn ratio(samples: &[Sample], reference: &[Sample]) -> Option<Summary> {
    ratio_of(|sample| sample.figure, samples, reference)
}

fn ratio_of(
    of: impl Fn(&Sample) -> f64,
    samples: &[Sample],
    reference: &[Sample],
) -> Option<Summary> {
    summary(
        samples
            .iter()
            .zip(reference)
            .map(|(sample, reference)| of(sample) / of(reference).max(f64::MIN_POSITIVE)),
    )
}

fn log_lines_per_request(sample: &Sample) -> f64 {
    sample.log_lines as f64 / sample.load.requests.max(1) as f64
}

/// A figure with its unit, few digits.
fn short(figure: f64, unit: &str) -> String {
    if figure < 10.0 {
        format!("{figure:.2} {unit}")
    } else if figure < 1000.0 {
        format!("{figure:.1} {unit}")
    } else {
        format!("{figure:.0} {unit}")
    }
}

fn time(seconds: f64) -> String {
    if seconds < 1e-3 {
        format!("{:.0}µs", seconds * 1e6)
    } else {
        format!("{:.2}ms", seconds * 1e3)
    }
}

/// Processor and kernel, as far as they tell.
fn machine() -> String {
    let processors = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = processors
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    let count = processors
        .lines()
        .filter(|line| line.starts_with("processor"))
        .count();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!(
        "{count} x {}, Linux {}",
        model.map_or("unknown processor", |(_, name)| name.trim()),
        kernel.trim()
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::contender::Contender;
    use crate::load::Load;
    use crate::process::Memory;
    use crate::rows::rows;
    use crate::run::Plan;

    fn samples(costs_us: &[u64]) -> Outcome {
        let sample = |cost: &u64| Sample {
            figure: *cost as f64,
            load: Load {
                requests: 1000,
                duration: Duration::from_secs(1),
                ..Load::default()
            },
            cpu: Duration::from_micros(cost * 1000),
            wall: Duration::from_secs(1),
            foreign: Duration::ZERO,
            memory: Memory::default(),
            log_lines: 1000,
        };
        Outcome::Measured(costs_us.iter().map(sample).collect())
    }

    fn results(ours: Outcome) -> Results {
        let contenders = [(OURS, Kind::Tandemd), (REFERENCE, Kind::Haproxy)]
            .map(|(name, kind)| (Contender::new(name, kind, "/bin/true"), String::new()));
        let row = rows()
            .find(|row| row.name == "keepalive")
            .map(|row| Row {
                bar: 0.85,
                ..row.clone()
            })
            .expect("there is one");
        let rows = vec![(row, vec![ours, samples(&[10, 20, 40])])];
        Results {
            plan: Plan::default(),
            congestion: "cubic".to_owned(),
            contenders: contenders.into(),
            rows,
        }
    }

    #[test]
    fn ratios_are_taken_within_rounds() {
        // The medians' ratio would be 16 / 20; round by round it is 0.8, 0.8, 0.4.
        let results = results(samples(&[8, 16, 16]));
        let text = text(&results);
        assert!(text.contains("0.85 | held"), "{text}");
        assert!(text.contains("(0.60-0.80)"), "{text}");
        assert!(text.contains("1.00 (20.0 µs/req)"), "{text}");
        assert!(text.contains("2 of 2 bars held"), "{text}");
        assert!(bars_hold(&results));
        assert!(json(&results).contains("\"cpu_us\": 16000"));
    }

    #[test]
    fn a_bar_that_is_missed_or_not_measured_does_not_hold() {
        let missed = results(samples(&[9, 18, 36]));
        assert!(!bars_hold(&missed));
        assert!(
            text(&missed).contains("µs/req of 'keepalive': 0.90, at most 0.85 of haproxy: MISSED")
        );
        let skipped = results(Outcome::Skipped("it ended at once".into()));
        assert!(!bars_hold(&skipped));
        assert!(text(&skipped).contains("skipped: it ended at once"));
    }
}
