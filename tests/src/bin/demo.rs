//! `tandem-demo`: the pair, its web servers and a client in a network of its own, under the dashboard; or, with
//! `--headless`, a walk through failover, failback, a dead server and a drain that succeeds only if every step held.

use std::io::{BufRead, BufReader, IsTerminal};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use nix::sys::stat::Mode;
use tandem_tests::demo::{Demo, NODES};
use tandem_tests::requirements::{find_program, our_program};
use tandem_tests::{Context, Failure, NodeKind, Outcome, ensure};

const USAGE: &str = "usage: tandem-demo [--headless] [--with-peers]
  --headless    no dashboard: walk through every step and exit 0 only if all held
  --with-peers  haproxy and keepalived on the nodes instead of tandemd (headless only)";

/// Set in the copy of this program that is root of a user namespace.
const INSIDE: &str = "TANDEM_DEMO_INSIDE";
/// How long a node or a web server stays dead before it comes back by itself.
const DEAD_FOR: Duration = Duration::from_secs(12);

fn main() -> ExitCode {
    let mut headless = false;
    let mut kind = NodeKind::Tandem;
    for argument in std::env::args().skip(1) {
        match argument.as_str() {
            "--headless" => headless = true,
            "--with-peers" => kind = NodeKind::Peer,
            _ => {
                eprintln!("{USAGE}");
                return ExitCode::from(if argument == "--help" { 0 } else { 2 });
            }
        }
    }
    match run(headless, kind) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("demo: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(headless: bool, kind: NodeKind) -> Outcome {
    for (program, package) in [
        ("ip", "iproute2"),
        ("bridge", "iproute2"),
        ("unshare", "util-linux"),
        ("nsenter", "util-linux"),
    ] {
        ensure!(
            find_program(program).is_some(),
            "the demo needs {program}: apt-get install {package}"
        );
    }
    if let Some(missing) = kind.missing() {
        return Err(Failure::new(format!("the demo needs {missing}")));
    }
    if !nix::unistd::geteuid().is_root() {
        return Err(enter_namespaces());
    }
    if headless {
        return walk(kind);
    }
    ensure!(
        std::io::stdout().is_terminal(),
        "the dashboard needs a terminal; without one: --headless"
    );
    watch()
}

/// Becomes root of a new user namespace by starting anew in it; returns only if that is refused.
fn enter_namespaces() -> Failure {
    if std::env::var_os(INSIDE).is_some() {
        return Failure::new("the user namespace did not make us root");
    }
    let program = match std::env::current_exe() {
        Ok(program) => program,
        Err(error) => return Failure::new(format!("this program: {error}")),
    };
    let mut command = Command::new("unshare");
    command
        .args(["--user", "--map-root-user", "--net", "--mount", "--"])
        .arg(program)
        .args(std::env::args_os().skip(1));
    let error = command.env(INSIDE, "1").exec();
    Failure::new(format!(
        "user namespaces are not allowed here ({error}); run the demo as root"
    ))
}

/// The headless demo.
fn walk(kind: NodeKind) -> Outcome {
    let began = Instant::now();
    let say = |what: &str, text: &str| {
        println!(
            "[{:5.1} s] {what:<12} {text}",
            began.elapsed().as_secs_f64()
        )
    };
    say(
        "start",
        "a bridge, two nodes, three web servers and a client, each in namespaces of its own",
    );
    let mut demo = Demo::start(kind)?;
    say(
        "traffic",
        "the client asks the virtual address 100 times a second",
    );
    type Step = fn(&mut Demo) -> Outcome<String>;
    let steps: [(&str, Step); 5] = [
        ("address up", |demo| demo.address_up()),
        ("failover", Demo::failover),
        ("failback", Demo::failback),
        ("dead server", Demo::web_death),
        ("drain", Demo::drain),
    ];
    for (what, step) in steps {
        match step(&mut demo) {
            Ok(text) => say(what, &text),
            Err(failure) => {
                say(what, &format!("FAILED: {failure}"));
                return Err(Failure::new(format!("the step {what:?} did not hold")));
            }
        }
    }
    drop(demo);
    say("end", "every step held; everything is cleaned up");
    Ok(())
}

/// What a key of the dashboard asks for.
enum Wish {
    KillMaster,
    KillWeb,
    Ended,
}

/// The demo with the dashboard on this terminal. The dashboard writes `kill-master` and `kill-web` to a FIFO when its keys
/// F9 and F10 are pressed; what was killed comes back by itself after [`DEAD_FOR`].
fn watch() -> Outcome {
    let tandem = our_program("tandem").ok_or_else(|| Failure::new("tandem is not built"))?;
    println!("starting two nodes, three web servers and a client …");
    let mut demo = Demo::start(NodeKind::Tandem)?;
    let fifo = demo.folder().join("keys");
    nix::unistd::mkfifo(&fifo, Mode::from_bits_truncate(0o600)).context("the dashboard's FIFO")?;
    // Open for both, so that the reader sees no end when a writer closes.
    let keys = std::fs::File::options()
        .read(true)
        .write(true)
        .open(&fifo)
        .context("the dashboard's FIFO")?;
    let (sender, wishes) = channel();
    let for_end = sender.clone();
    std::thread::spawn(move || read_keys(keys, &sender));
    let mut command = Command::new(tandem);
    for (name, socket) in ["a", "b"].iter().zip(demo.sockets()) {
        command
            .arg("--node")
            .arg(format!("{name}=unix:{}", socket.display()));
    }
    let mut dashboard = command
        .arg("--demo-fifo")
        .arg(&fifo)
        .spawn()
        .context("tandem")?;
    let ended = std::thread::spawn(move || {
        let status = dashboard.wait();
        let _ = for_end.send(Wish::Ended);
        status
    });
    let outcome = serve_wishes(&mut demo, &wishes);
    let status = ended
        .join()
        .map_err(|_| Failure::new("the dashboard's watcher panicked"))??;
    drop(demo);
    outcome?;
    ensure!(status.success(), "the dashboard ended with {status}");
    println!("everything is cleaned up");
    Ok(())
}

fn read_keys(keys: std::fs::File, wishes: &Sender<Wish>) {
    for line in BufReader::new(keys).lines().map_while(Result::ok) {
        let wish = match line.trim() {
            "kill-master" => Wish::KillMaster,
            "kill-web" => Wish::KillWeb,
            _ => continue,
        };
        if wishes.send(wish).is_err() {
            return;
        }
    }
}

/// Fulfils wishes and revives what is dead, until the dashboard ends. A wish that cannot be fulfilled is dropped: the
/// dashboard shows the state of things anyway, and a message would spoil its screen.
fn serve_wishes(demo: &mut Demo, wishes: &std::sync::mpsc::Receiver<Wish>) -> Outcome {
    let mut dead_node: Option<(usize, Instant)> = None;
    let mut dead_webs: Vec<(usize, Instant)> = Vec::new();
    loop {
        match wishes.recv_timeout(Duration::from_millis(200)) {
            Ok(Wish::Ended) | Err(RecvTimeoutError::Disconnected) => return Ok(()),
            // One node has to stay.
            Ok(Wish::KillMaster) if dead_node.is_none() => {
                dead_node = demo.kill_master().ok().map(|node| (node, Instant::now()));
            }
            Ok(Wish::KillWeb) if dead_webs.len() < 2 => {
                if let Some(web) = demo.first_web() {
                    demo.kill_web(web);
                    dead_webs.push((web, Instant::now()));
                }
            }
            Ok(_) | Err(RecvTimeoutError::Timeout) => {}
        }
        if let Some((node, _)) = dead_node.filter(|(_, since)| since.elapsed() >= DEAD_FOR) {
            demo.revive_node(node)
                .context(format!("node {} does not come back", NODES[node]))?;
            dead_node = None;
        }
        if let Some(&(web, _)) = dead_webs
            .first()
            .filter(|(_, since)| since.elapsed() >= DEAD_FOR)
        {
            demo.revive_web(web)?;
            dead_webs.remove(0);
        }
    }
}
