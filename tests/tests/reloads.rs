//! Reloads under load: no request fails, no connection is reset, old workers go, memory comes back, counters go on, VRRP does
//! not notice. `TANDEM_RELOADS` says how many (60 by default; `make soak` asks for 1,000).

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tandem_tests::process::Signal;
use tandem_tests::requirements::{find_program, our_program};
use tandem_tests::scenario::NODE;
use tandem_tests::wait::wait_for;
use tandem_tests::{
    Failure, Host, Lab, Load, LoadOptions, Node, NodeFiles, NodeKind, Origin, Outcome, Part,
    Process, article, ensure, lab::VIP, require, wait_until,
};

const LIMIT: Duration = Duration::from_secs(20);
/// Reloads in the usual run.
const RELOADS: usize = 60;
/// How much more memory than at first all processes may hold together at the end.
const MEMORY_GROWTH_KIB: u64 = 24 * 1024;
/// How many more descriptors than at first each of them may hold at the end: what the load itself keeps open is gone by then.
const DESCRIPTOR_GROWTH: usize = 8;

/// Two versions of one configuration: other rules, another order and weight of servers, another port beside the common ones.
fn version(second: bool) -> String {
    let (rule, weight, extra) = if second {
        ("http-request set-header X-Version two", 3, 8082)
    } else {
        ("http-request set-header X-Version one", 1, 8081)
    };
    format!(
        "global\n  maxconn 4000\n  hard-stop-after 20s\n\
         defaults\n  mode http\n  timeout connect 2s\n  timeout client 30s\n  timeout server 30s\n\
         frontend web\n  bind :80\n  bind :{extra}\n  {rule}\n  default_backend pool\n\
         frontend typed\n  bind :81 proto h2\n  {rule}\n  default_backend pool\n\
         backend pool\n  option httpchk GET /\n  server web1 10.230.150.68:80 check inter 500ms weight {weight}\n  \
         server web2 10.230.150.69:80 check inter 500ms\n\
         listen bodies\n  bind :82\n  server web3 10.230.150.70:80 check inter 500ms\n"
    )
}

fn origin(lab: &Lab, host: &str) -> Outcome<Process> {
    let program =
        our_program("tandem-origin").ok_or_else(|| Failure::new("tandem-origin is not built"))?;
    let process = lab
        .host(host)
        .spawn(&program.to_string_lossy(), &["0.0.0.0:80", "512"])?;
    process.wait_for_log("listening", LIMIT)?;
    Ok(process)
}

/// Resident memory of processes in KiB.
fn resident_kib(pids: &[i32]) -> u64 {
    let of = |pid: &i32| {
        let text = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let line = text.lines().find(|line| line.starts_with("VmRSS:"))?;
        line.split_whitespace().nth(1)?.parse::<u64>().ok()
    };
    pids.iter().filter_map(of).sum()
}

fn descriptors(pid: i32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

/// What must be as before after all the reloads.
#[derive(Debug)]
struct Footprint {
    memory_kib: u64,
    supervisor: usize,
    control: usize,
    worker: usize,
}

fn footprint(node: &mut Node) -> Outcome<Footprint> {
    let worker = wait_for("one worker", LIMIT, || match node.pids(Part::Worker)[..] {
        [worker] => Ok(worker),
        ref several => Err(format!("workers {several:?}")),
    })?;
    let control = node.pids(Part::Control)[0];
    let supervisor = node.main().pid();
    Ok(Footprint {
        memory_kib: resident_kib(&node.pids(Part::Daemon)),
        supervisor: descriptors(supervisor),
        control: descriptors(control),
        worker: descriptors(worker),
    })
}

/// Events that a node keeps.
const MAX_EVENTS: usize = 1_000;

/// Changes of a VRRP state in a log.
fn transitions(log: &str) -> usize {
    let states = ["MASTER", "BACKUP", "FAULT"];
    let is_change = |line: &&str| {
        let (_, to) = line.split_once(" -> ").unwrap_or_default();
        states.iter().any(|state| to.starts_with(state))
    };
    log.lines().filter(is_change).count()
}

/// Programs that load the proxy in turns until they are told to stop, and what they had to complain about.
struct Program {
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<(u64, Vec<String>)>>,
}

impl Program {
    /// Runs `arguments` again and again; `judge` finds requests and complaints in what it printed.
    fn start(
        host: &Arc<Host>,
        program: &'static str,
        arguments: &[&str],
        judge: fn(&str) -> Result<u64, String>,
    ) -> Program {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, host) = (Arc::clone(&stop), Arc::clone(host));
        let arguments: Vec<String> = arguments.iter().map(|word| (*word).to_owned()).collect();
        let thread = std::thread::spawn(move || {
            let (mut requests, mut complaints) = (0, Vec::new());
            while !stopped.load(Ordering::Relaxed) {
                let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
                let said = match host.output(program, &words) {
                    Ok(output) => String::from_utf8_lossy(&output.stdout).into_owned(),
                    Err(error) => error.to_string(),
                };
                match judge(&said) {
                    Ok(count) => requests += count,
                    Err(complaint) => complaints.push(format!("{program}: {complaint}")),
                }
            }
            (requests, complaints)
        });
        Program {
            stop,
            thread: Some(thread),
        }
    }

    fn finish(mut self) -> (u64, Vec<String>) {
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take().expect("it was started");
        thread
            .join()
            .unwrap_or_else(|_| (0, vec!["a loader panicked".to_owned()]))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn wrk_says(said: &str) -> Result<u64, String> {
    let requests = said
        .lines()
        .find_map(|line| line.trim().split_once(" requests in ")?.0.parse().ok());
    match requests {
        Some(count) if !said.contains("Socket errors") && !said.contains("Non-2xx") => Ok(count),
        _ => Err(said.to_owned()),
    }
}

fn h2load_says(said: &str) -> Result<u64, String> {
    // requests: 3000 total, 96 started, 96 done, 96 succeeded, 2904 failed, 2904 errored, 0 timeout
    // It makes no new connection after GOAWAY and counts what it never sent as failed: what the proxy got is counted there.
    let line = said
        .lines()
        .find(|line| line.starts_with("requests:"))
        .ok_or_else(|| said.to_owned())?;
    let succeeded = line
        .split(", ")
        .find_map(|part| part.strip_suffix(" succeeded")?.parse().ok());
    succeeded.ok_or_else(|| said.to_owned())
}

fn count(node: &Node, proxy: &str, column: &str) -> Outcome<u64> {
    let text = node.socket().stat(proxy, "FRONTEND", column)?;
    text.and_then(|text| text.parse().ok())
        .ok_or_else(|| Failure::new(format!("{proxy} has no {column}")))
}

#[test]
fn reloads_under_load_lose_nothing() -> Outcome {
    require!("root", "users", "tandemd", "tandem-origin");
    let reloads = std::env::var("TANDEM_RELOADS")
        .ok()
        .and_then(|count| count.parse().ok())
        .unwrap_or(RELOADS);
    let lab = Lab::start()?;
    let _origins = [origin(&lab, "web1")?, origin(&lab, "web2")?];
    let _bodies = Origin::start(lab.host("web3"), 80)?;
    let files = NodeFiles::pair(version(false), article::keepalived());
    let mut node = Node::start(&lab, "a", NodeKind::Tandem, files)?;
    // The address comes a moment before the line that tells why.
    wait_until("the address", LIMIT, || {
        lab.who_has(VIP).is_ok_and(|holders| holders == ["a"]) && node.log().contains("-> MASTER")
    })?;
    let before_reloads = transitions(&node.log());
    ensure!(before_reloads > 0, "no transition in {}", node.log());
    let vrrp = node.pids(Part::Vrrp);
    let target: SocketAddr = format!("{NODE}:80")
        .parse()
        .map_err(|_| Failure::new("no address"))?;
    let client = lab.host("client");

    // The history is to tell of this after all the reloads.
    let marked = node.command("disable health pool/web1; enable health pool/web1")?;
    ensure!(marked.trim().is_empty(), "the mark says {marked}");
    let history = wait_for("the mark in the history", LIMIT, || {
        let events = node
            .command("show events")
            .map_err(|error| error.to_string())?;
        match events.contains("pool/web1: health checks enabled") {
            true => Ok(events),
            false => Err(events),
        }
    })?;

    // What a first load makes it hold is no growth.
    Load::start(client, LoadOptions::new(target, 32))?.finish();
    node.command("reload")?;
    let before = footprint(&mut node)?;

    let loads = [
        ("kept", Load::start(client, LoadOptions::new(target, 8))?),
        (
            "thinking",
            Load::start(
                client,
                LoadOptions {
                    pause: Duration::from_millis(5),
                    ..LoadOptions::new(target, 40)
                },
            )?,
        ),
        (
            "closing",
            Load::start(
                client,
                LoadOptions {
                    keep_alive: false,
                    pause: Duration::from_millis(1),
                    ..LoadOptions::new(target, 4)
                },
            )?,
        ),
        (
            "posting",
            Load::start(
                client,
                LoadOptions {
                    body_bytes: 100_000,
                    pause: Duration::from_millis(3),
                    ..LoadOptions::new(SocketAddr::new(target.ip(), 82), 4)
                },
            )?,
        ),
    ];
    let mut programs = Vec::new();
    if find_program("wrk").is_some() {
        let words = ["-t1", "-c16", "-d4s", &format!("http://{target}/")];
        programs.push((Program::start(client, "wrk", &words, wrk_says), false));
    }
    if find_program("h2load").is_some() {
        let words = ["-t1", "-c4", "-m8", "-n3000", &format!("http://{NODE}:81/")];
        programs.push((Program::start(client, "h2load", &words, h2load_says), true));
    }

    // Faster than old workers drain, there would be more of them at a time than a site ever sees.
    let began = Instant::now();
    let mut longest = Duration::ZERO;
    let mut most_workers = 0;
    for number in 0..reloads {
        node.rewrite(|files| files.haproxy = Some(version(number % 2 == 0)))?;
        let asked = Instant::now();
        if number % 3 == 0 {
            let answer = node.command("reload")?;
            ensure!(
                answer.contains("Success=1"),
                "reload {number} says {answer}"
            );
        } else {
            let done = node.log().matches("configuration reloaded").count();
            node.main().signal(Signal::SIGUSR2)?;
            wait_until("the reload", LIMIT, || {
                let log = node.log();
                log.matches("configuration reloaded").count() > done || log.contains("not reloaded")
            })?;
            ensure!(
                !node.log().contains("not reloaded"),
                "reload {number} failed"
            );
        }
        longest = longest.max(asked.elapsed());
        most_workers = most_workers.max(node.pids(Part::Worker).len());
    }
    let took = began.elapsed();

    let (mut completed, mut typed) = (0, 0);
    let mut complaints = Vec::new();
    for (program, by_http2) in programs {
        let (requests, mut told) = program.finish();
        *if by_http2 { &mut typed } else { &mut completed } += requests;
        complaints.append(&mut told);
    }
    for (name, load) in loads {
        let tally = load.finish();
        if name != "posting" {
            completed += tally.completed;
        }
        ensure!(tally.completed > 0, "the {name} clients did nothing");
        if tally.failures() > 0 {
            complaints.push(format!("{name}: {:?}", tally.failed));
        }
    }
    println!(
        "{reloads} reloads in {took:?} (the slowest {longest:?}, at most {most_workers} workers at a time), {completed} requests, {typed} by HTTP/2"
    );
    for line in node
        .log()
        .lines()
        .filter(|line| line.contains("not known in time"))
    {
        println!("{line}");
    }
    ensure!(complaints.is_empty(), "requests failed: {complaints:#?}");

    // Old workers are gone, and what they held with them.
    // Kept connections to servers are given up after some seconds.
    let after = wait_for("the footprint of the start", LIMIT, || {
        let after = footprint(&mut node).map_err(|error| error.to_string())?;
        let grown = [
            (before.supervisor, after.supervisor),
            (before.control, after.control),
            (before.worker, after.worker),
        ];
        let is_small = after.memory_kib <= before.memory_kib + MEMORY_GROWTH_KIB
            && grown
                .iter()
                .all(|(before, after)| *after <= before + DESCRIPTOR_GROWTH);
        match is_small {
            true => Ok(after),
            false => Err(format!("before {before:?}, after {after:?}")),
        }
    })?;
    println!("footprint before {before:?}, after {after:?}");
    // Counters go on over all workers: each request was counted once.
    let counted = count(&node, "web", "req_tot")?;
    ensure!(
        counted >= completed,
        "{completed} requests were answered, {counted} are counted"
    );
    // wrk leaves requests unanswered at its end, h2load none: each request that came was answered.
    let (asked, answered) = (
        count(&node, "typed", "req_tot")?,
        count(&node, "typed", "hrsp_2xx")?,
    );
    ensure!(
        asked == typed && answered == typed,
        "HTTP/2: {asked} requests came, {answered} were answered, {typed} answers arrived"
    );
    let gauge = node.socket().stat("web", "FRONTEND", "scur")?;
    ensure!(
        gauge.as_deref() == Some("0"),
        "{gauge:?} sessions are counted with no client left"
    );
    // The history goes on over all workers; it lets go of nothing but what is older than its latest events.
    let events = node.command("show events")?;
    let kept: Vec<&str> = events.lines().filter(|line| !line.is_empty()).collect();
    let number = |line: &&str| line.split(' ').next()?.parse::<usize>().ok();
    let numbers: Vec<usize> = kept.iter().filter_map(number).collect();
    ensure!(
        numbers.len() == kept.len() && numbers.windows(2).all(|pair| pair[1] == pair[0] + 1),
        "events are missing: {events}"
    );
    let is_whole = numbers.first() == Some(&1);
    ensure!(
        is_whole || kept.len() == MAX_EVENTS,
        "{} events are kept, the first is {:?}",
        kept.len(),
        numbers.first()
    );
    let told = events.matches("configuration: reloaded").count();
    ensure!(
        !is_whole || events.starts_with(history.trim_end()) && told == reloads + 1,
        "of {} reloads {told} are told\nbefore: {history}\nafter: {events}",
        reloads + 1
    );
    // VRRP never noticed.
    ensure!(node.pids(Part::Vrrp) == vrrp, "vrrp was replaced");
    ensure!(
        lab.who_has(VIP)? == ["a"] && transitions(&node.log()) == before_reloads,
        "VRRP made a transition: {}",
        node.log()
    );
    Ok(())
}
