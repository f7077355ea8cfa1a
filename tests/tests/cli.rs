//! `tandem`: the scripted commands and their exit codes, and the dashboard's screens as text in both sizes.

use std::time::Duration;

use tandem_tests::requirements::our_program;
use tandem_tests::scenario::{Pair, SETTLE, Single};
use tandem_tests::terminal::{LARGE, SMALL, Size};
use tandem_tests::wait::wait_for;
use tandem_tests::{
    Failure, Node, NodeFiles, NodeKind, Outcome, Part, Terminal, article, ensure, require,
    wait_until,
};

const LIMIT: Duration = Duration::from_secs(10);

/// Runs `tandem` on a node: exit code, output and error output.
fn tandem(node: &Node, arguments: &[&str]) -> Outcome<(i32, String, String)> {
    let program = our_program("tandem").ok_or_else(|| Failure::new("tandem is not built"))?;
    let address = format!("unix:{}", node.socket().path().display());
    let output = std::process::Command::new(program)
        .arg("--node")
        .arg(address)
        .args(arguments)
        .output()?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok((
        output.status.code().unwrap_or(-1),
        text(output.stdout),
        text(output.stderr),
    ))
}

/// Runs `tandem` and wants success.
fn succeed(node: &Node, arguments: &[&str]) -> Outcome<String> {
    let (code, said, complaint) = tandem(node, arguments)?;
    ensure!(
        code == 0,
        "tandem {arguments:?} ended with {code}: {said}{complaint}"
    );
    Ok(said)
}

fn ready(setup: &Single) -> Outcome {
    wait_until("both servers to be up", LIMIT, || {
        ["web1", "web2"].iter().all(|server| matches!(setup.node.socket().stat("nginx", server, "status"), Ok(Some(status)) if status == "UP"))
    })
    .map(drop)
}

fn status_of(setup: &Single, server: &str) -> Outcome<String> {
    Ok(setup
        .node
        .socket()
        .stat("nginx", server, "status")?
        .unwrap_or_default())
}

#[test]
fn servers_are_steered_by_scripts() -> Outcome {
    require!("root", "users", "tandemd", "tandem", "nginx");
    let setup = Single::start(NodeKind::Tandem, NodeFiles::proxy(article::haproxy()))?;
    ready(&setup)?;
    let node = &setup.node;
    succeed(node, &["status"])?;
    let servers = succeed(node, &["servers"])?;
    ensure!(
        servers.contains("web1") && servers.contains("web2") && servers.contains("UP"),
        "{servers}"
    );
    for command in ["status", "servers", "events"] {
        let text = succeed(node, &[command, "--json"])?;
        let json = text
            .lines()
            .next()
            .is_some_and(|line| serde_json::from_str::<serde_json::Value>(line).is_ok())
            || serde_json::from_str::<serde_json::Value>(&text).is_ok();
        ensure!(json, "`{command} --json` is no JSON: {text}");
    }
    succeed(node, &["drain", "nginx/web1", "--wait"])?;
    ensure!(
        status_of(&setup, "web1")?.starts_with("DRAIN"),
        "after the drain it is {}",
        status_of(&setup, "web1")?
    );
    ensure!(
        setup.get("/")?.server() == "web2",
        "a drained server is used"
    );
    succeed(node, &["ready", "nginx/web1"])?;
    wait_until("web1 to be up", LIMIT, || {
        status_of(&setup, "web1").is_ok_and(|status| status == "UP")
    })?;
    succeed(node, &["maint", "nginx/web1"])?;
    ensure!(
        status_of(&setup, "web1")? == "MAINT",
        "it is {}",
        status_of(&setup, "web1")?
    );
    succeed(node, &["ready", "nginx/web1"])?;
    succeed(node, &["weight", "nginx/web1", "10"])?;
    ensure!(
        node.command("get weight nginx/web1")?.starts_with("10 "),
        "the weight did not change"
    );
    let info = succeed(node, &["raw", "show info"])?;
    ensure!(info.contains("Uptime_sec"), "{info}");
    let (code, _, complaint) = tandem(node, &["drain", "nginx/nobody"])?;
    ensure!(
        code != 0 && complaint.to_lowercase().contains("no such server"),
        "exit {code}: {complaint}"
    );
    let program = our_program("tandem").ok_or_else(|| Failure::new("tandem is not built"))?;
    let nowhere = std::process::Command::new(program)
        .args(["--node", "unix:/nowhere.sock", "status"])
        .output()?;
    ensure!(
        !nowhere.status.success(),
        "a node that is not there counts as success"
    );
    ensure!(
        String::from_utf8_lossy(&[nowhere.stdout, nowhere.stderr].concat())
            .contains("/nowhere.sock"),
        "the node is not named"
    );
    Ok(())
}

#[test]
fn the_address_is_moved_by_scripts() -> Outcome {
    require!("root", "users", "tandemd", "tandem", "nginx");
    let pair = Pair::start(NodeKind::Tandem, NodeKind::Tandem)?;
    succeed(&pair.a, &["failover", "R1", "--wait"])?;
    pair.wait_holder("b", SETTLE)?;
    succeed(&pair.a, &["failback", "R1"])?;
    pair.wait_holder("a", SETTLE)?;
    let events = succeed(&pair.a, &["events"])?;
    ensure!(
        events.contains("R1"),
        "the events do not name the instance: {events}"
    );
    let vrrp = pair.a.command("show vrrp")?;
    ensure!(
        vrrp.contains("R1") && vrrp.contains("MASTER") && vrrp.contains("100"),
        "{vrrp}"
    );
    let json = pair.a.command("show vrrp json")?;
    serde_json::from_str::<serde_json::Value>(json.trim())?;
    Ok(())
}

fn dashboard(pair: &Pair, size: Size, environment: &[(&str, &str)]) -> Outcome<Terminal> {
    let program = our_program("tandem").ok_or_else(|| Failure::new("tandem is not built"))?;
    let mut words = vec![program.to_string_lossy().into_owned()];
    for node in [&pair.a, &pair.b] {
        words.push("--node".into());
        words.push(format!("unix:{}", node.socket().path().display()));
    }
    Terminal::start_words(size, &words, environment)
}

#[test]
fn the_dashboard_fits_both_sizes_and_shows_both_nodes() -> Outcome {
    require!("root", "users", "tandemd", "tandem", "nginx");
    let pair = Pair::start(NodeKind::Tandem, NodeKind::Tandem)?;
    for size in [SMALL, LARGE] {
        let mut terminal = dashboard(&pair, size, &[])?;
        terminal.wait_for("the pair in good order", LIMIT, |screen| {
            screen.to_lowercase().contains("all clear")
                && screen.contains("MASTER")
                && screen.contains("BACKUP")
        })?;
        ensure!(
            terminal.has_colour(),
            "no colours though nothing forbids them"
        );
        terminal.send("?")?;
        terminal.wait_for("the help", LIMIT, |screen| {
            screen.to_lowercase().contains("filter")
        })?;
        terminal.send("q")?;
        // The first q may only close the help.
        if terminal.wait(Duration::from_secs(1)).is_err() {
            terminal.send("q")?;
        }
        ensure!(
            terminal.wait(LIMIT)? == 0,
            "the dashboard ended with an error"
        );
    }
    let terminal = dashboard(&pair, SMALL, &[("NO_COLOR", "1")])?;
    terminal.wait_for("the pair", LIMIT, |screen| screen.contains("MASTER"))?;
    ensure!(
        !terminal.has_colour(),
        "colours in spite of NO_COLOR:\n{}",
        terminal.text()
    );
    Ok(())
}

#[test]
fn the_dashboard_says_what_is_wrong_and_reconnects() -> Outcome {
    require!("root", "users", "tandemd", "tandem", "nginx");
    let mut pair = Pair::start(NodeKind::Tandem, NodeKind::Tandem)?;
    let terminal = dashboard(&pair, LARGE, &[])?;
    terminal.wait_for("good order", LIMIT, |screen| {
        screen.to_lowercase().contains("all clear")
    })?;
    pair.webs[0].kill();
    terminal.wait_for("the dead server among what is wrong", LIMIT, |screen| {
        !screen.to_lowercase().contains("all clear") && screen.contains("web1")
    })?;
    pair.webs[0].up()?;
    terminal.wait_for("good order again", SETTLE, |screen| {
        screen.to_lowercase().contains("all clear")
    })?;
    pair.a.kill(Part::Daemon)?;
    terminal.wait_for("a node that is gone", LIMIT, |screen| {
        !screen.to_lowercase().contains("all clear")
    })?;
    pair.a.up()?;
    wait_for("the dashboard to have both nodes again", SETTLE, || {
        let screen = terminal.text();
        let well = screen.to_lowercase().contains("all clear")
            && screen.contains("MASTER")
            && screen.contains("BACKUP");
        if well { Ok(()) } else { Err(screen) }
    })
}
