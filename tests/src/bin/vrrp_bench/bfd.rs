//! BFD: how steady sessions are that nothing happens to, and how fast an address moves when a tracked neighbour dies.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tandem_tests::NodeKind::{Peer, Tandem};
use tandem_tests::host::Furnishing;
use tandem_tests::{Failure, Lab, Node, NodeFiles, NodeKind, Outcome};

use crate::figures::{Report, ms, quantile};
use crate::nodes::{ADDRESSES, Pace, destroy, file, word};
use crate::wire::{Seen, What, Wire};

/// `min_tx`, `min_rx` and `multiplier` of the sessions that are watched.
const BEATS: [Beat; 2] = [Beat::new(10, 3), Beat::new(50, 3)];
/// Those of a session that is tracked.
const TRACKED: Beat = Beat::new(50, 4);
const PAIRS: [[NodeKind; 2]; 3] = [[Peer, Peer], [Tandem, Tandem], [Tandem, Peer]];
/// Longest until a session is Up.
const RISE: Duration = Duration::from_secs(20);
/// Longest until a tracked neighbour is missed, beyond its detection time and the skew.
const PATIENCE: Duration = Duration::from_secs(5);
/// Threads of the load for each core.
const THREADS_OF_A_CORE: usize = 2;
/// How much slower than keepalived a takeover may be in the median, in milliseconds.
const GRANTED_MS: f64 = 5.0;
const UP: u8 = 3;
/// The neighbour of [`takeovers`].
const NEIGHBOR: Ipv4Addr = Ipv4Addr::new(10, 230, 137, 9);

/// What runs beside the sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Load {
    /// Nothing.
    Quiet,
    /// Threads that only compute, on all cores.
    Busy,
}

#[derive(Clone, Copy)]
struct Beat {
    milliseconds: u64,
    multiplier: u32,
}

impl Beat {
    const fn new(milliseconds: u64, multiplier: u32) -> Self {
        Self {
            milliseconds,
            multiplier,
        }
    }

    /// `10 ms x 3`.
    fn name(self) -> String {
        format!("{} ms x {}", self.milliseconds, self.multiplier)
    }

    fn session(self, neighbor: Ipv4Addr, source: Ipv4Addr) -> String {
        let Self {
            milliseconds,
            multiplier,
        } = self;
        format!(
            "bfd_instance other {{\n neighbor_ip {neighbor}\n source_ip {source}\n min_rx {milliseconds}\n \
             min_tx {milliseconds}\n multiplier {multiplier}\n}}\n"
        )
    }
}

/// Threads that compute until they are dropped.
struct Hogs {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Hogs {
    /// They end by themselves after twice this time.
    fn start(window: Duration) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let until = Instant::now() + window * 2;
        let hog = |_| {
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) && Instant::now() < until {
                    std::hint::black_box((0..10_000u64).fold(1, u64::wrapping_mul));
                }
            })
        };
        let threads = (0..cores * THREADS_OF_A_CORE).map(hog).collect();
        Self { stop, threads }
    }
}

impl Drop for Hogs {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Two nodes with a session between them, and what the first one's link sees.
struct Pair {
    beat: Beat,
    kinds: [NodeKind; 2],
    ends: [Ipv4Addr; 2],
    wire: Wire,
    _nodes: [Node; 2],
}

/// What a node said in a window.
#[derive(Default)]
struct Said {
    /// How often it left Up because it heard nothing.
    expired: f64,
    /// How often it left Up for another reason: its neighbour said so.
    told: f64,
    /// The time between two packets, in milliseconds.
    pauses: Vec<f64>,
}

impl Pair {
    fn start(lab: &mut Lab, number: u8, beat: Beat, kinds: [NodeKind; 2]) -> Outcome<Self> {
        let ends = [1, 2].map(|end| Ipv4Addr::new(10, 230, 160 + number, end));
        let names = [1, 2].map(|end| format!("p{number}{end}"));
        for (name, address) in names.iter().zip(ends) {
            lab.add_host(name, Furnishing::Private, &[&address.to_string()])?;
        }
        let wire = Wire::start(lab.host(&names[0]), None)?;
        let node = |at: usize| {
            let vrid = number * 2 + at as u8 + 1;
            let text = beat.session(ends[1 - at], ends[at])
                + &format!(
                    "vrrp_instance R {{\n state BACKUP\n interface eth0\n virtual_router_id {vrid}\n priority 100\n \
                     virtual_ipaddress {{\n 10.230.180.{vrid}\n }}\n}}\n"
                );
            let files = NodeFiles {
                keepalived: Some(text),
                ..NodeFiles::default()
            };
            Node::start(lab, &names[at], kinds[at], files)
        };
        let nodes = [node(0)?, node(1)?];
        Ok(Self {
            beat,
            kinds,
            ends,
            wire,
            _nodes: nodes,
        })
    }

    fn is_up(&self) -> bool {
        let seen = self.wire.seen();
        let last = |end| seen.iter().rev().find_map(|one| of(one, end));
        self.ends
            .iter()
            .all(|end| last(*end).is_some_and(|(state, _)| state == UP))
    }

    fn said(&self) -> [Said; 2] {
        let seen = self.wire.seen();
        self.ends.map(|end| {
            let mut said = Said::default();
            let mut before: Option<(Duration, u8)> = None;
            for one in &seen {
                let Some((state, diagnostic)) = of(one, end) else {
                    continue;
                };
                if let Some((at, was)) = before {
                    said.pauses.push(ms(one.0.saturating_sub(at)));
                    match (was, state, diagnostic) {
                        (UP, UP, _) => {}
                        (UP, _, 1) => said.expired += 1.0,
                        (UP, ..) => said.told += 1.0,
                        _ => {}
                    }
                }
                before = Some((one.0, state));
            }
            said
        })
    }
}

/// State and diagnostic, if it is a BFD packet of this sender.
fn of(one: &Seen, sender: Ipv4Addr) -> Option<(u8, u8)> {
    match one.1 {
        What::Bfd {
            from,
            state,
            diagnostic,
        } if from == sender => Some((state, diagnostic)),
        What::Bfd { .. } | What::Advert { .. } | What::Answer => None,
    }
}

/// All pairs at once, so that the machine's mood is shared: how often their sessions go down.
pub(crate) fn steady(report: &mut Report, loads: &[Load], window: Duration) -> Outcome {
    if loads.is_empty() {
        return Ok(());
    }
    let mut lab = Lab::start()?;
    let mut pairs = Vec::new();
    for beat in BEATS {
        for kinds in PAIRS {
            let number = u8::try_from(pairs.len()).unwrap_or(u8::MAX);
            pairs.push(Pair::start(&mut lab, number, beat, kinds)?);
        }
    }
    let all_up = || pairs.iter().all(Pair::is_up);
    for &load in loads {
        tandem_tests::wait_until("all sessions to be Up", RISE, all_up)?;
        let name = match load {
            Load::Quiet => "quiet",
            Load::Busy => "busy",
        };
        println!("\nBFD sessions for {} s, {name}", window.as_secs());
        let hogs = (load == Load::Busy).then(|| Hogs::start(window));
        // The polls and the first turns of the load are no part of it.
        std::thread::sleep(Duration::from_secs(1));
        for pair in &pairs {
            pair.wire.forget();
        }
        std::thread::sleep(window);
        let all: Vec<[Said; 2]> = pairs.iter().map(Pair::said).collect();
        drop(hogs);
        let mut downs = Vec::new();
        for (pair, said) in pairs.iter().zip(&all) {
            let beat = pair.beat.name();
            downs.push(said[0].expired + said[1].expired);
            for at in [0, 1] {
                let (own, other) = (pair.kinds[at], pair.kinds[1 - at]);
                let said = &said[at];
                report.row(
                    format!("{name} {beat}: {} with {}", word(own), word(other)),
                    vec![
                        ("expired", said.expired),
                        ("told", said.told),
                        ("packets", said.pauses.len() as f64),
                        ("pause median ms", quantile(&said.pauses, 0.5)),
                        ("p99.9", quantile(&said.pauses, 0.999)),
                        ("max", quantile(&said.pauses, 1.0)),
                    ],
                );
            }
        }
        for (beat, downs) in BEATS.iter().zip(downs.chunks(PAIRS.len())) {
            let what = format!("{name} {}: detections of two of ours", beat.name());
            report.bar(what + ", beside keepalived", downs[1], downs[0]);
        }
    }
    Ok(())
}

/// A neighbour that the master tracks gets SIGKILL: from its last packet to the master's resignation, and to the first
/// advertisement of the other node.
pub(crate) fn takeovers(report: &mut Report, runs: usize) -> Outcome {
    let pace = Pace {
        version: 3,
        interval: Duration::from_millis(100),
    };
    println!(
        "\nBFD {}, {}: a tracked neighbor is killed",
        TRACKED.name(),
        pace.name()
    );
    let mut medians = Vec::new();
    for kind in [Peer, Tandem] {
        let mut lab = Lab::start()?;
        lab.add_host("gw", Furnishing::Private, &[&NEIGHBOR.to_string()])?;
        let start = |name: &str, text: String| {
            let files = NodeFiles {
                keepalived: Some(text),
                ..NodeFiles::default()
            };
            Node::start(&lab, name, kind, files)
        };
        let tracking = file(pace, 100, 1).replace(
            " virtual_ipaddress",
            " track_bfd {\n other\n }\n virtual_ipaddress",
        );
        let _first = start("a", TRACKED.session(NEIGHBOR, ADDRESSES[0]) + &tracking)?;
        let _second = start("b", file(pace, 99, 1))?;
        let wire = Wire::start(lab.host("a"), None)?;
        let mut costs = [Vec::new(), Vec::new()];
        for run in 0..runs {
            let neighbor = TRACKED.session(ADDRESSES[0], NEIGHBOR)
                + &file(pace, 100, 1)
                    .replace("virtual_router_id 1", "virtual_router_id 9")
                    .replace("10.230.137.100", "10.230.137.199");
            let neighbor = start("gw", neighbor)?;
            wait_up(&wire)?;
            wait_alone(&wire, pace)?;
            // Anywhere between two packets.
            std::thread::sleep(Duration::from_millis(run as u64 * 17 % 50 + 200));
            wire.forget();
            std::thread::sleep(Duration::from_millis(TRACKED.milliseconds * 2));
            destroy(&neighbor);
            let (resigned, taken) = wait_taken(&wire)?;
            costs[0].push(ms(resigned));
            costs[1].push(ms(taken));
            drop(neighbor);
            lab.host("gw")
                .output("ip", &["addr", "del", "10.230.137.199/32", "dev", "eth0"])?;
        }
        let mut figures = Vec::new();
        for (names, costs) in [
            ["noticed min", "median", "max"],
            ["takeover min", "median ", "max "],
        ]
        .iter()
        .zip(&costs)
        {
            for (name, share) in names.iter().zip([0.0, 0.5, 1.0]) {
                figures.push((*name, quantile(costs, share)));
            }
        }
        report.row(
            format!("{} killed, {}", TRACKED.name(), word(kind)),
            figures,
        );
        medians.push(quantile(&costs[1], 0.5));
    }
    report.bar(
        format!("{}: median takeover, ms, beside keepalived", TRACKED.name()),
        medians[1],
        medians[0] + GRANTED_MS,
    );
    Ok(())
}

fn wait_up(wire: &Wire) -> Outcome {
    wire.forget();
    let up = |end| {
        let seen = wire.seen();
        let last = seen.iter().rev().find_map(|one| of(one, end));
        last.is_some_and(|(state, _)| state == UP)
    };
    let both = || up(NEIGHBOR) && up(ADDRESSES[0]);
    tandem_tests::wait_until("the session to be Up", RISE, both)?;
    Ok(())
}

/// Until the first node alone has advertised for some intervals. The neighbour has an instance of its own.
fn wait_alone(wire: &Wire, pace: Pace) -> Outcome {
    let alone = || {
        wire.forget();
        std::thread::sleep(pace.interval * 5 / 2);
        let seen = wire.seen();
        let senders = seen.iter().filter_map(|one| match one.1 {
            What::Advert { from, vrid: 1, .. } => Some(from),
            What::Advert { .. } | What::Bfd { .. } | What::Answer => None,
        });
        let senders: Vec<_> = senders.collect();
        !senders.is_empty() && senders.iter().all(|from| *from == ADDRESSES[0])
    };
    tandem_tests::wait_until("the first node to be master", RISE, alone)?;
    Ok(())
}

fn wait_taken(wire: &Wire) -> Outcome<(Duration, Duration)> {
    let began = Instant::now();
    loop {
        if let Some(found) = taken(&wire.seen()) {
            return Ok(found);
        }
        if began.elapsed() > PATIENCE {
            return Err(Failure::new("nobody took over from a lost neighbor"));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// From the neighbour's last packet to the master's resignation, and to its successor's first advertisement.
fn taken(seen: &[Seen]) -> Option<(Duration, Duration)> {
    let last = seen.iter().rev().find(|one| of(one, NEIGHBOR).is_some())?.0;
    let advert = |sender: Ipv4Addr, resigns: bool| {
        let found = seen.iter().find(|one| {
            one.0 > last
                && matches!(one.1, What::Advert { from, priority, .. }
                    if from == sender && (priority == 0) == resigns)
        });
        found.map(|one| one.0)
    };
    Some((
        advert(ADDRESSES[0], true)? - last,
        advert(ADDRESSES[1], false)? - last,
    ))
}
