//! `-sf`, `-st` and `-x`: a daemon started by hand in the place of another one, of ours or haproxy, loses no request.

use std::time::Duration;

use tandem_tests::requirements::our_program;
use tandem_tests::scenario::NODE;
use tandem_tests::{
    Failure, Host, Lab, Load, LoadOptions, Node, NodeFiles, NodeKind, Outcome, Part, article,
    ensure, lab::VIP, require, wait_until,
};

const LIMIT: Duration = Duration::from_secs(15);
/// Times that one daemon follows another in the usual run.
const TAKEOVERS: usize = 6;
const PIDFILE: &str = "/run/d.pid";

const PROXY: &str = "global\n  stats socket /run/d.sock level admin expose-fd listeners\n\
     defaults\n  mode http\n  timeout connect 1s\n  timeout client 30s\n  timeout server 30s\n\
     frontend main\n  bind :8001\n  http-request return status 200 content-type text/plain string hello\n";

fn tandemd() -> Outcome<String> {
    let program = our_program("tandemd").ok_or_else(|| Failure::new("tandemd is not built"))?;
    Ok(program.to_string_lossy().into_owned())
}

/// Runs a program to its end, in the background as `-D` says; gives its exit code and what it printed.
fn run(host: &Host, program: &str, words: &str) -> Outcome<(Option<i32>, String)> {
    let words: Vec<&str> = words.split_whitespace().collect();
    let output = host.output(program, &words)?;
    let said = [output.stdout, output.stderr].concat();
    Ok((
        output.status.code(),
        String::from_utf8_lossy(&said).into_owned(),
    ))
}

/// Whether a process of the host's own numbers runs.
fn is_alive(host: &Host, pid: i32) -> bool {
    pid > 0 && host.exec("kill", &["-0", &pid.to_string()]).is_ok()
}

fn start(host: &Host, program: &str, words: &str) -> Outcome<i32> {
    let (code, said) = run(
        host,
        program,
        &format!("-D -f /etc/d.cfg -p {PIDFILE} {words}"),
    )?;
    ensure!(
        code == Some(0),
        "{program} {words} ended with {code:?}: {said}"
    );
    let mut pid = 0;
    // haproxy's parent may end before its child has written the file.
    wait_until("the pidfile", LIMIT, || {
        let text = host.read(PIDFILE).unwrap_or_default();
        pid = text.trim().parse().unwrap_or(0);
        is_alive(host, pid)
    })?;
    Ok(pid)
}

fn loads(lab: &Lab, kept: bool) -> Outcome<Vec<Load>> {
    let target = format!("{NODE}:8001")
        .parse()
        .map_err(|_| Failure::new("no address"))?;
    let closing = LoadOptions {
        keep_alive: false,
        pause: Duration::from_millis(1),
        ..LoadOptions::new(target, 6)
    };
    let client = lab.host("client");
    let mut loads = vec![Load::start(client, closing)?];
    if kept {
        loads.push(Load::start(client, LoadOptions::new(target, 6))?);
    }
    Ok(loads)
}

fn none_failed(loads: Vec<Load>) -> Outcome {
    for load in loads {
        let tally = load.finish();
        println!("{} requests", tally.completed);
        ensure!(
            tally.failures() == 0 && tally.completed > 0,
            "{} were answered, failed: {:?}",
            tally.completed,
            tally.failed
        );
    }
    Ok(())
}

fn gone(host: &Host, pid: i32) -> Outcome {
    wait_until("the old daemon to end", LIMIT, || !is_alive(host, pid)).map(drop)
}

#[test]
fn one_daemon_follows_another_under_load_without_a_failed_request() -> Outcome {
    require!("root", "users", "tandemd");
    let lab = Lab::start()?;
    let host = lab.host("a");
    host.write("/etc/d.cfg", PROXY)?;
    let mut old = start(host, &tandemd()?, "-sf")?;
    let loads = loads(&lab, true)?;
    for number in 0..TAKEOVERS {
        let how = match number % 3 {
            0 => format!("-sf {old}"),
            1 => format!("-x /run/d.sock -sf {old}"),
            // Processes that are gone are no obstacle.
            _ => format!("-sf {old} 4194000"),
        };
        let new = start(host, &tandemd()?, &how)?;
        ensure!(new != old, "process {old} is still the one of the pidfile");
        gone(host, old)?;
        ensure!(
            host.path("/run/d.sock").exists() && host.path(PIDFILE).exists(),
            "the old daemon took the files of the new one with it"
        );
        old = new;
    }
    none_failed(loads)?;
    let new = start(host, &tandemd()?, &format!("-st {old}"))?;
    gone(host, old)?;
    host.exec("kill", &[&new.to_string()])?;
    gone(host, new)?;
    ensure!(
        !host.path("/run/d.sock").exists() && !host.path(PIDFILE).exists(),
        "files are left behind"
    );
    // What cannot be taken over from is named, and nothing is started.
    let (code, said) = run(
        host,
        &tandemd()?,
        "-D -f /etc/d.cfg -x /run/none.sock -p /run/e.pid",
    )?;
    ensure!(
        code == Some(1) && said.contains("-x /run/none.sock"),
        "{code:?}: {said}"
    );
    Ok(())
}

#[test]
fn haproxy_is_followed_without_a_failed_request() -> Outcome {
    require!("root", "users", "tandemd", "haproxy");
    let lab = Lab::start()?;
    let host = lab.host("a");
    host.write("/etc/d.cfg", PROXY)?;
    let old = start(host, "haproxy", "")?;
    let loads = loads(&lab, false)?;
    let new = start(host, &tandemd()?, &format!("-sf {old}"))?;
    gone(host, old)?;
    none_failed(loads)?;
    let name = host.exec("cat", &[&format!("/proc/{new}/comm")])?;
    ensure!(name.trim() == "tandemd", "{name} serves");
    host.exec("kill", &[&new.to_string()])?;
    gone(host, new)
}

#[test]
fn a_daemon_with_virtual_addresses_reloads_instead() -> Outcome {
    require!("root", "users", "tandemd");
    let lab = Lab::start()?;
    let files = NodeFiles::pair(PROXY, article::keepalived());
    let mut node = Node::start(&lab, "a", NodeKind::Tandem, files)?;
    wait_until("the address", LIMIT, || {
        lab.who_has(VIP).is_ok_and(|holders| holders == ["a"])
    })?;
    let vrrp = node.pids(Part::Vrrp);
    let supervisor = node.host().exec("pgrep", &["-x", "tandemd"])?;
    let supervisor = supervisor.trim();
    let line = format!("/proc/{supervisor}/cmdline");
    let words = node.host().exec("cat", &[&line])?.replace('\0', " ");
    let (_, words) = words
        .split_once(' ')
        .ok_or_else(|| Failure::new("no command line"))?;
    let changed = PROXY.replace(":8001", ":8002");
    node.rewrite(|files| files.haproxy = Some(changed))?;
    let worker = node.pids(Part::Worker);
    let (code, said) = run(
        node.host(),
        &tandemd()?,
        &format!("{words} -D -sf {supervisor}"),
    )?;
    ensure!(
        code == Some(0) && said.contains("has reloaded"),
        "{code:?}: {said}"
    );
    ensure!(
        node.pids(Part::Worker) != worker,
        "the worker is the old one"
    );
    // Other files than it runs with cannot be had by a reload.
    node.host().write("/etc/other.cfg", PROXY)?;
    let (code, said) = run(
        node.host(),
        &tandemd()?,
        &format!("-f /etc/other.cfg -D -sf {supervisor}"),
    )?;
    ensure!(
        code == Some(1) && said.contains("other files"),
        "{code:?}: {said}"
    );
    ensure!(
        node.main().is_running() && node.pids(Part::Vrrp) == vrrp && lab.who_has(VIP)? == ["a"],
        "the address moved"
    );
    Ok(())
}
