//! The life of the daemon as operators see it: rights, processes that die or hang, reloads, the background, readiness.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use tandem_tests::process::{Signal, is_alive, send};
use tandem_tests::requirements::our_program;
use tandem_tests::scenario::{NODE, Pair, SETTLE, node_address};
use tandem_tests::sinks::Syslog;
use tandem_tests::wait::wait_for;
use tandem_tests::{
    ControlSocket, Failure, Host, Lab, Node, NodeFiles, NodeKind, Outcome, Part, Process, article,
    ensure, http, lab::VIP, require, wait_until,
};

const LIMIT: Duration = Duration::from_secs(10);
/// CAP_NET_ADMIN, CAP_NET_RAW, CAP_IPC_LOCK, CAP_SYS_NICE (capabilities(7)).
const VRRP_CAPABILITIES: u64 = 1 << 12 | 1 << 13 | 1 << 14 | 1 << 23;

/// A proxy that answers by itself.
fn answering(port: u16, answer: &str, global: &str) -> String {
    format!(
        "global\n  maxconn 500\n{global}defaults\n  mode http\n  timeout connect 1s\n  timeout client 30s\n  timeout server 30s\n\
         frontend main\n  bind :{port}\n  http-request return status 200 content-type text/plain string {answer}\n"
    )
}

fn tandemd() -> Outcome<String> {
    let program = our_program("tandemd").ok_or_else(|| Failure::new("tandemd is not built"))?;
    Ok(program.to_string_lossy().into_owned())
}

/// What the node answers on a port, or nothing.
fn asked(lab: &Lab, port: u16) -> Option<String> {
    let address = format!("{NODE}:{port}").parse().ok()?;
    let answer = http::get(lab.host("client"), address, "/", &[]).ok()?;
    Some(answer.body.trim().to_owned())
}

fn wait_answer(lab: &Lab, port: u16, wanted: &str) -> Outcome {
    wait_for(
        &format!("{wanted:?} on port {port}"),
        LIMIT,
        || match asked(lab, port) {
            Some(answer) if answer == wanted => Ok(()),
            other => Err(format!("{other:?}")),
        },
    )
}

/// A line of `/proc/PID/status`.
fn status(pid: i32, name: &str) -> Outcome<String> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.map(|value| value.trim().to_owned())
        .ok_or_else(|| Failure::new(format!("no {name} in the status of {pid}")))
}

/// The one process of a part, once those that drain have ended.
fn one(node: &Node, part: Part) -> Outcome<i32> {
    wait_for(&format!("one {part:?}"), LIMIT, || {
        match node.pids(part)[..] {
            [pid] => Ok(pid),
            ref several => Err(format!("processes {several:?}")),
        }
    })
}

/// Whether a port of the node takes connections.
fn is_open(lab: &Lab, port: u16) -> Outcome<bool> {
    let address = format!("{NODE}:{port}")
        .parse()
        .map_err(|_| Failure::new("no address"))?;
    lab.host("client")
        .in_network(move || std::net::TcpStream::connect_timeout(&address, LIMIT).is_ok())
}

fn account(file: &str, name: &str) -> Outcome<String> {
    let text = std::fs::read_to_string(file)?;
    text.lines()
        .find_map(|line| {
            Some(
                line.strip_prefix(name)?
                    .strip_prefix(':')?
                    .split(':')
                    .nth(1)?
                    .to_owned(),
            )
        })
        .ok_or_else(|| Failure::new(format!("no {name} in {file}")))
}

#[test]
fn every_process_holds_only_the_rights_it_needs() -> Outcome {
    require!("root", "users", "tandemd");
    let lab = Lab::start()?;
    let files = NodeFiles::pair(article::haproxy(), article::keepalived());
    let mut node = Node::start(&lab, "a", NodeKind::Tandem, files)?;
    // All have become what they stay.
    node.main().wait_for_log("serves on", LIMIT)?;
    let (user, group) = (
        account("/etc/passwd", "haproxy")?,
        account("/etc/group", "haproxy")?,
    );
    let chroot = std::fs::metadata(node.host().path("/var/lib/haproxy"))?;

    for part in [Part::Worker, Part::Control, Part::Vrrp] {
        let pid = one(&node, part)?;
        let rights = if part == Part::Vrrp {
            VRRP_CAPABILITIES
        } else {
            0
        };
        for set in ["CapEff", "CapPrm", "CapBnd"] {
            let held =
                u64::from_str_radix(&status(pid, set)?, 16).map_err(|_| Failure::new(set))?;
            ensure!(
                held == rights,
                "{part:?}: {set} is {held:x}, not {rights:x}"
            );
        }
        ensure!(
            status(pid, "CapInh")?.trim_start_matches('0').is_empty(),
            "{part:?} hands rights on"
        );
        ensure!(
            status(pid, "NoNewPrivs")? == "1",
            "{part:?} can gain rights"
        );
        // Filters of system calls: what kills, and in the worker what is left and what is refused without a word.
        let filters = match part {
            Part::Worker => ("2", "3"),
            Part::Control => ("2", "1"),
            _ => ("0", "0"),
        };
        let mode = (status(pid, "Seccomp")?, status(pid, "Seccomp_filters")?);
        ensure!(
            (mode.0.as_str(), mode.1.as_str()) == filters,
            "{part:?}: seccomp {mode:?}, not {filters:?}"
        );
        if part == Part::Vrrp {
            continue;
        }
        let same = |id: &str| [id, id, id, id].join("\t");
        ensure!(
            status(pid, "Uid")? == same(&user),
            "{part:?}: users {}",
            status(pid, "Uid")?
        );
        ensure!(
            status(pid, "Gid")? == same(&group),
            "{part:?}: groups {}",
            status(pid, "Gid")?
        );
        ensure!(
            status(pid, "Groups")? == group,
            "{part:?} is in groups {}",
            status(pid, "Groups")?
        );
    }
    let root = std::fs::metadata(format!("/proc/{}/root/", one(&node, Part::Worker)?))?;
    ensure!(
        (root.dev(), root.ino()) == (chroot.dev(), chroot.ino()),
        "the worker is not in its chroot"
    );
    ensure!(
        std::fs::read_dir(format!("/proc/{}/cwd/", one(&node, Part::Worker)?))?.count() == 0,
        "the worker's directory is outside of its chroot"
    );
    node.main().wait_for_log("worker: confined to ", LIMIT)?;
    // For a search of faults a worker can be left as it is.
    let open = article::haproxy().replacen("global", "global\n    insecure-no-confinement", 1);
    let worker = one(&node, Part::Worker)?;
    node.rewrite(|files| files.haproxy = Some(open))?;
    node.command("reload")?;
    node.wait_replaced(Part::Worker, &[worker], LIMIT)?;
    let worker = one(&node, Part::Worker)?;
    ensure!(
        status(worker, "Seccomp")? == "0",
        "the worker is confined against the configuration"
    );
    Ok(())
}

#[test]
fn a_worker_that_keeps_dying_costs_the_address_until_it_stays() -> Outcome {
    require!("root", "users", "tandemd", "nginx");
    let pair = Pair::start(NodeKind::Tandem, NodeKind::Tandem)?;
    let began = Instant::now();
    let mut deaths = 0;
    let mut moved = false;
    while began.elapsed() < Duration::from_secs(8) {
        for pid in pair.a.pids(Part::Worker) {
            if send(pid, Signal::SIGKILL).is_ok() {
                deaths += 1;
                wait_until("its end", LIMIT, || !is_alive(pid))?;
            }
        }
        moved |= pair.lab.who_has(VIP)? == ["b"];
        std::thread::sleep(Duration::from_millis(20)); // The pace of the killer.
    }
    ensure!(moved, "the address stayed with a dead proxy");
    // At once, then after 0.2, 0.4, 0.8, 1.6, 3.2 and 5 seconds.
    ensure!(
        (3..=8).contains(&deaths),
        "{deaths} workers were started in 8 s"
    );
    let log = pair.a.log();
    ensure!(
        log.contains("times in a row"),
        "the pauses are not told: {log}"
    );
    // Nobody kills it any more: it stays, and the address comes home.
    pair.wait_holder("a", SETTLE)?;
    ensure!(
        asked_at(&pair.lab, VIP).is_some(),
        "the address does not answer"
    );
    Ok(())
}

fn asked_at(lab: &Lab, address: &str) -> Option<u16> {
    let address = format!("{address}:80").parse().ok()?;
    http::get(lab.host("client"), address, "/", &[])
        .ok()
        .map(|answer| answer.status)
}

#[test]
fn a_worker_that_hangs_loses_the_address_and_is_replaced() -> Outcome {
    require!("root", "users", "tandemd", "nginx");
    let pair = Pair::start(NodeKind::Tandem, NodeKind::Tandem)?;
    let hung = one(&pair.a, Part::Worker)?;
    send(hung, Signal::SIGSTOP)?;
    pair.wait_holder("b", Duration::from_secs(9))?;
    let answer = pair.a.command("show vrrp")?;
    ensure!(
        answer.contains("no sign of life"),
        "the reason is not told: {answer}"
    );
    pair.a
        .wait_replaced(Part::Worker, &[hung], Duration::from_secs(15))?;
    ensure!(!is_alive(hung), "the hung worker is still there");
    pair.wait_holder("a", SETTLE)?;
    let events = pair.a.command("show events")?;
    ensure!(
        events.contains("worker: process"),
        "the history does not tell it: {events}"
    );
    Ok(())
}

#[test]
fn a_reload_changes_binds_servers_and_priorities() -> Outcome {
    require!("root", "users", "tandemd");
    let lab = Lab::start()?;
    let proxy = |port: u16, servers: &[&str]| {
        let lines: String = servers
            .iter()
            .map(|server| format!("  server {server} 10.230.150.68:80\n"))
            .collect();
        format!("{}backend pool\n{lines}", answering(port, "hello", ""))
    };
    let files = NodeFiles::pair(proxy(8001, &["one", "two"]), article::keepalived());
    let mut node = Node::start(&lab, "a", NodeKind::Tandem, files)?;
    wait_answer(&lab, 8001, "hello")?;
    wait_until("the address", LIMIT, || {
        lab.who_has(VIP).is_ok_and(|holders| holders == ["a"])
    })?;
    let vrrp = one(&node, Part::Vrrp)?;

    node.rewrite(|files| {
        files.haproxy = Some(proxy(8002, &["two", "three"]));
        files.keepalived = Some(article::keepalived().replace("priority 100", "priority 150"));
    })?;
    node.main().signal(Signal::SIGUSR2)?;
    wait_answer(&lab, 8002, "hello")?;
    wait_until("the old port to close", LIMIT, || {
        asked(&lab, 8001).is_none()
    })?;
    let servers: Vec<String> = node
        .socket()
        .show_stat()?
        .into_iter()
        .filter(|line| line["pxname"] == "pool" && line["svname"] != "BACKEND")
        .map(|line| line["svname"].clone())
        .collect();
    ensure!(servers == ["two", "three"], "the servers are {servers:?}");
    wait_for("the new priority", LIMIT, || {
        match node.command("show vrrp") {
            Ok(answer) if answer.contains("150 = 150 configured") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })?;
    ensure!(lab.who_has(VIP)? == ["a"], "the reload cost the address");
    ensure!(one(&node, Part::Vrrp)? == vrrp, "vrrp was replaced");

    // SIGHUP does the same; a broken file changes nothing and is told with its line.
    node.rewrite(|files| {
        files.haproxy = Some(proxy(8002, &["two"]).replace("mode http", "mode htpp"))
    })?;
    let worker = one(&node, Part::Worker)?;
    node.main().signal(Signal::SIGHUP)?;
    node.main()
        .wait_for_log("not reloaded, the running one stays", LIMIT)?;
    ensure!(
        node.log().contains("/etc/haproxy/haproxy.cfg:4"),
        "no file and line: {}",
        node.log()
    );
    ensure!(
        one(&node, Part::Worker)? == worker,
        "the worker was replaced"
    );
    wait_answer(&lab, 8002, "hello")?;
    // Over the socket the same is refused with the reason.
    let answer = node.command("reload")?;
    ensure!(
        answer.contains("htpp") && !answer.contains("Success=1"),
        "`reload` says: {answer}"
    );
    node.rewrite(|files| files.haproxy = Some(proxy(8003, &[])))?;
    let answer = node.command("reload")?;
    ensure!(answer.contains("Success=1"), "`reload` says: {answer}");
    wait_answer(&lab, 8003, "hello")
}

#[test]
fn a_stats_socket_has_its_level_mode_and_owner_also_after_a_reload() -> Outcome {
    require!("root", "users", "tandemd");
    let lab = Lab::start()?;
    let with = |sockets: &str| {
        let pool = "backend pool\n  server one 10.230.150.68:80\n";
        format!("{}{pool}", answering(8001, "hello", sockets))
    };
    let text = with(
        "  stats socket /run/user.sock level user mode 640 user haproxy group haproxy\n  stats socket /run/op.sock level operator\n  stats socket /run/tandem/tandem.sock level admin\n",
    );
    let host = lab.host("a").clone();
    // What a daemon that was killed leaves behind is no obstacle.
    let stale = host.path("/run/user.sock");
    drop(std::os::unix::net::UnixListener::bind(&stale)?);
    let mut node = Node::start(&lab, "a", NodeKind::Tandem, NodeFiles::proxy(text))?;
    let (user, operator) = (
        ControlSocket::at(&stale),
        ControlSocket::at(host.path("/run/op.sock")),
    );
    for change in [
        "set server pool/one state maint",
        "disable server pool/one",
        "set weight pool/one 5",
        "shutdown sessions server pool/one",
        "clear counters all",
        "reload",
    ] {
        ensure!(
            user.command(change)?.trim() == "Permission denied",
            "{change} as user"
        );
        ensure!(
            operator.command(change)?.trim() == "Permission denied",
            "{change} as operator"
        );
    }
    ensure!(
        user.command("clear counters")?.trim() == "Permission denied",
        "clear counters as user"
    );
    ensure!(
        user.command("show sess")?.trim() == "Permission denied",
        "show sess as user"
    );
    ensure!(
        operator.command("clear counters")?.trim().is_empty(),
        "clear counters as operator"
    );
    ensure!(
        user.command("show cli level")?.trim() == "user",
        "the level"
    );
    ensure!(
        node.command("set server pool/one state maint")?
            .trim()
            .is_empty(),
        "as admin"
    );

    let access = || -> Outcome<(u32, u32, u32)> {
        let data = std::fs::metadata(&stale)?;
        Ok((data.permissions().mode() & 0o777, data.uid(), data.gid()))
    };
    let id = |file: &str| -> Outcome<u32> {
        account(file, "haproxy")?
            .parse()
            .map_err(|_| Failure::new("no number"))
    };
    let (uid, gid) = (id("/etc/passwd")?, id("/etc/group")?);
    ensure!(access()? == (0o640, uid, gid), "access {:?}", access()?);

    let text = with(
        "  stats socket /run/user.sock level operator mode 600 user root group root\n  stats socket /run/tandem/tandem.sock level admin\n",
    );
    node.rewrite(|files| files.haproxy = Some(text))?;
    ensure!(
        node.command("reload")?.contains("Success=1"),
        "the reload failed"
    );
    wait_until("the new level", LIMIT, || {
        user.command("show cli level")
            .is_ok_and(|level| level.trim() == "operator")
    })?;
    ensure!(
        access()? == (0o600, 0, 0),
        "access after the reload {:?}",
        access()?
    );
    wait_until("the socket that is configured no more to go", LIMIT, || {
        !host.path("/run/op.sock").exists()
    })?;
    Ok(())
}

/// Starts `tandemd` in a host without the harness's own arguments.
fn spawn(host: &Host, arguments: &[&str]) -> Outcome<Process> {
    host.spawn(&tandemd()?, arguments)
}

#[test]
fn the_background_begins_when_all_is_ready_and_logs_to_syslog() -> Outcome {
    require!("root", "users", "tandemd");
    let lab = Lab::start()?;
    let host = lab.host("a");
    let syslog = Syslog::on_dev_log(host)?;
    host.write(
        "/etc/d.cfg",
        answering(8001, "hello", "  pidfile /run/d.pid\n"),
    )?;
    let output = host.output(&tandemd()?, &["-D", "-f", "/etc/d.cfg"])?;
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    ensure!(
        output.status.success(),
        "-D ended with {}: {said}",
        output.status
    );
    // Ready means ready: no waiting here.
    ensure!(
        asked(&lab, 8001).as_deref() == Some("hello"),
        "it does not answer at once"
    );
    syslog.wait_for("tandemd[", LIMIT)?;
    syslog.wait_for("serves on", LIMIT)?;
    let pid = host.read("/run/d.pid")?.trim().to_owned();
    let title = host.exec("cat", &[&format!("/proc/{pid}/comm")])?;
    ensure!(
        title.trim() == "tandemd",
        "process {pid} of the pidfile is {title}"
    );
    // A second one on the same port fails in the foreground of the shell, and names the line.
    let output = host.output(
        &tandemd()?,
        &[
            "-D",
            "-f",
            "/etc/d.cfg",
            "-p",
            "/run/e.pid",
            "--socket",
            "/run/e.sock",
        ],
    )?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(
        output.status.code() == Some(1) && said.contains("/etc/d.cfg:10"),
        "{}: {said}",
        output.status
    );
    ensure!(
        !host.path("/run/e.pid").exists() && !host.path("/run/e.sock").exists(),
        "a failed start leaves files"
    );
    host.exec("kill", &[&pid])?;
    wait_until("its end", LIMIT, || {
        host.processes()
            .iter()
            .all(|(_, title)| !title.contains("tandemd"))
    })?;
    ensure!(
        !host.path("/run/d.pid").exists(),
        "the pidfile is left behind"
    );
    syslog.wait_for("stopped", LIMIT)?;
    Ok(())
}

#[test]
fn systemd_hears_of_readiness_reloads_and_the_end() -> Outcome {
    require!("root", "users", "tandemd");
    let lab = Lab::start()?;
    let host = lab.host("a");
    host.write("/etc/w.cfg", answering(8001, "hello", ""))?;
    let notified = UnixDatagram::bind(host.path("/run/notify"))?;
    notified.set_read_timeout(Some(LIMIT))?;
    let mut command = host.command(tandemd()?);
    command
        .args(["-Ws", "-f", "/etc/w.cfg", "-p", "/run/w.pid"])
        .env("NOTIFY_SOCKET", "/run/notify");
    let mut daemon = host.spawn_command("tandemd", command)?;
    let next = || -> Outcome<String> {
        let mut buffer = [0; 4096];
        let count = notified.recv(&mut buffer)?;
        Ok(String::from_utf8_lossy(&buffer[..count]).into_owned())
    };
    let first = next()?;
    ensure!(first.contains("READY=1"), "the first datagram is {first:?}");
    ensure!(
        asked(&lab, 8001).as_deref() == Some("hello"),
        "ready, and it does not answer"
    );
    daemon.signal(Signal::SIGUSR2)?;
    let until = |wanted: &str| -> Outcome<String> {
        for _ in 0..20 {
            let told = next()?;
            if told.contains(wanted) {
                return Ok(told);
            }
        }
        Err(Failure::new(format!("systemd is not told {wanted}")))
    };
    ensure!(
        until("RELOADING=1")?.contains("MONOTONIC_USEC="),
        "no time with RELOADING=1"
    );
    until("READY=1")?;
    daemon.signal(Signal::SIGTERM)?;
    until("STOPPING=1")?;
    let status = daemon.wait(LIMIT)?;
    ensure!(
        status.code() == Some(0),
        "a master ends with {status} on SIGTERM"
    );
    ensure!(
        !host.path("/run/w.pid").exists(),
        "the pidfile is left behind"
    );
    Ok(())
}

#[test]
fn a_graceful_stop_lets_requests_end_and_takes_no_new_ones() -> Outcome {
    require!("root", "users", "tandemd");
    let lab = Lab::start()?;
    // A server that answers when this test lets it.
    let web = lab.host("web1");
    let listener = web.in_network(|| std::net::TcpListener::bind("10.230.150.68:90"))??;
    let text = answering(8001, "hello", "").replace(
        "  http-request return status 200 content-type text/plain string hello\n",
        "  default_backend slow\nbackend slow\n  server one 10.230.150.68:90\n",
    );
    let mut node = Node::start(&lab, "a", NodeKind::Tandem, NodeFiles::proxy(text))?;
    let client = lab.host("client").clone();
    let address = format!("{NODE}:8001")
        .parse()
        .map_err(|_| Failure::new("no address"))?;
    let asking = std::thread::spawn(move || http::get(&client, address, "/", &[]));
    let (mut request, _) = listener.accept()?;
    node.main().signal(Signal::SIGUSR1)?;
    wait_until("the port to close", LIMIT, || {
        is_open(&lab, 8001).is_ok_and(|open| !open)
    })?;
    ensure!(node.main().is_running(), "it did not wait for the request");
    std::io::Write::write_all(
        &mut request,
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate",
    )?;
    let answer = asking
        .join()
        .map_err(|_| Failure::new("the client panicked"))??;
    ensure!(answer.body == "late", "the answer is {:?}", answer.body);
    let status = node.main().wait(LIMIT)?;
    ensure!(status.code() == Some(0), "it ended with {status}");
    Ok(())
}

#[test]
fn cleanup_removes_what_a_crash_left_and_nothing_of_a_running_daemon() -> Outcome {
    require!("root", "users", "tandemd");
    let lab = Lab::start()?;
    let files = NodeFiles::pair(article::haproxy(), article::keepalived());
    let mut node = Node::start(&lab, "a", NodeKind::Tandem, files)?;
    let holds = |wanted: bool| {
        wait_until("the address", LIMIT, || {
            lab.who_has(VIP)
                .is_ok_and(|holders| (holders == ["a"]) == wanted)
        })
    };
    holds(true)?;
    let host = lab.host("a");
    let arguments = [
        "--cleanup",
        "-q",
        "-f",
        "/etc/haproxy/haproxy.cfg",
        "-f",
        "/etc/keepalived/keepalived.conf",
    ];
    let output = host.output(&tandemd()?, &arguments)?;
    ensure!(
        output.status.success() && lab.who_has(VIP)? == ["a"],
        "the address of a running daemon was taken"
    );
    // Else vrrp may see the supervisor's end before its own, and remove the address.
    send(one(&node, Part::Vrrp)?, Signal::SIGSTOP)?;
    let killed = node.kill(Part::Daemon)?;
    wait_until("their end", LIMIT, || {
        killed.iter().all(|pid| !is_alive(*pid))
    })?;
    ensure!(lab.who_has(VIP)? == ["a"], "nothing to clean up");
    let said = host.exec(&tandemd()?, &arguments)?;
    ensure!(said.contains(VIP), "it says: {said}");
    ensure!(lab.who_has(VIP)?.is_empty(), "the address is still there");
    // The next start finds its stale socket and pidfile no obstacle.
    node.up()?;
    holds(true).map(drop)
}

#[test]
fn two_daemons_on_one_host_do_not_disturb_each_other() -> Outcome {
    require!("root", "users", "tandemd");
    let lab = Lab::start()?;
    let host = lab.host("a");
    host.write("/etc/one.cfg", answering(8001, "one", ""))?;
    host.write("/etc/two.cfg", answering(8002, "two", ""))?;
    let mut first = spawn(host, &["-db", "-f", "/etc/one.cfg"])?;
    first.wait_for_log("serves on", LIMIT)?;
    let mut second = spawn(host, &["-db", "-f", "/etc/two.cfg"])?;
    second.wait_for_log("serves on", LIMIT)?;
    ensure!(
        second
            .log()
            .contains("WARN control socket /run/tandem/tandem.sock"),
        "no warning: {}",
        second.log()
    );
    let mut third = spawn(
        host,
        &["-db", "-f", "/etc/two.cfg", "--socket", "/run/three.sock"],
    )?;
    let status = third.wait(LIMIT)?;
    ensure!(
        status.code() == Some(1),
        "two daemons on one port: {status}"
    );
    wait_answer(&lab, 8001, "one")?;
    wait_answer(&lab, 8002, "two")?;
    let socket = ControlSocket::at(host.path("/run/tandem/tandem.sock"));
    second.signal(Signal::SIGTERM)?;
    second.wait(LIMIT)?;
    // The socket is the first one's and stays.
    ensure!(
        socket.command("show info")?.contains("Name: "),
        "the first one's socket is gone"
    );
    wait_answer(&lab, 8001, "one")?;
    first.signal(Signal::SIGTERM)?;
    first.wait(LIMIT)?;
    ensure!(
        !host.path("/run/tandem/tandem.sock").exists(),
        "the socket is left behind"
    );
    Ok(())
}

#[test]
fn an_ordinary_user_runs_a_proxy_and_hears_what_is_left_out() -> Outcome {
    require!("root", "users", "tandemd", "setpriv");
    let lab = Lab::start()?;
    let host = lab.host("a");
    host.write(
        "/etc/n.cfg",
        answering(8001, "hello", "  chroot /var/lib/haproxy\n  user haproxy\n"),
    )?;
    host.write("/etc/n.conf", article::keepalived())?;
    let as_nobody = ["--reuid=65534", "--regid=65534", "--clear-groups"];
    // The program may lie where an ordinary user cannot reach it.
    host.write("/run/tandemd", std::fs::read(tandemd()?)?)?;
    host.exec("chmod", &["755", "/run/tandemd"])?;
    let start = |words: &[&str]| host.spawn("setpriv", &[&as_nobody, words].concat());
    let mut daemon = start(&["/run/tandemd", "-db", "-f", "/etc/n.cfg"])?;
    daemon.wait_for_log("serves on", LIMIT)?;
    wait_answer(&lab, 8001, "hello")?;
    for told in [
        "chroot is left out: it takes root",
        "user and group are left out",
        "WARN control socket /run/tandem/tandem.sock: Permission denied",
    ] {
        ensure!(
            daemon.log().contains(told),
            "{told:?} is not said: {}",
            daemon.log()
        );
    }
    daemon.signal(Signal::SIGTERM)?;
    let mut vrrp = start(&["/run/tandemd", "-db", "-f", "/etc/n.conf"])?;
    ensure!(
        vrrp.wait(LIMIT)?.code() == Some(1),
        "VRRP runs without rights"
    );
    ensure!(
        vrrp.log().contains("virtual addresses take CAP_NET_ADMIN"),
        "{}",
        vrrp.log()
    );
    host.write("/etc/root.cfg", answering(8003, "hello", ""))?;
    host.exec("chmod", &["600", "/etc/root.cfg"])?;
    let mut unreadable = start(&["/run/tandemd", "-c", "-f", "/etc/root.cfg"])?;
    ensure!(
        unreadable.wait(LIMIT)?.code() == Some(1),
        "an unreadable file is accepted"
    );
    ensure!(
        unreadable.log().contains("/etc/root.cfg")
            && unreadable.log().contains("Permission denied"),
        "{}",
        unreadable.log()
    );
    daemon.wait(LIMIT)?;

    // Root of a namespace that knows no other user: the article's `user haproxy` is impossible, a file without it runs.
    host.write("/etc/ns.cfg", answering(8004, "hello", ""))?;
    let mut inner = start(&[
        "unshare",
        "-Ur",
        "/run/tandemd",
        "-db",
        "-f",
        "/etc/ns.cfg",
        "--socket",
        "/dev/shm/ns.sock",
    ])?;
    inner.wait_for_log("serves on", LIMIT)?;
    wait_answer(&lab, 8004, "hello")?;
    let mut other = start(&[
        "unshare",
        "-Ur",
        "/run/tandemd",
        "-db",
        "-f",
        "/etc/n.cfg",
        "--socket",
        "/dev/shm/n.sock",
    ])?;
    ensure!(
        other.wait(LIMIT)?.code() == Some(1),
        "another user was not refused"
    );
    ensure!(
        other
            .log()
            .contains("does not exist in this user namespace"),
        "{}",
        other.log()
    );
    inner.signal(Signal::SIGTERM)?;
    inner.wait(LIMIT).map(drop)
}

#[test]
fn a_script_runs_as_its_user_and_no_longer_than_its_time() -> Outcome {
    require!("root", "users", "tandemd");
    let lab = Lab::start()?;
    let host = lab.host("a");
    host.write(
        "/etc/keepalived/who.sh",
        "#!/bin/sh\nid -un > /run/who/$1\n",
    )?;
    host.write(
        "/etc/keepalived/slow.sh",
        "#!/bin/sh\necho $$ >> /run/who/slow\nexec sleep 600\n",
    )?;
    host.exec(
        "sh",
        &[
            "-c",
            "chmod 755 /etc/keepalived/*.sh; mkdir -m 777 /run/who",
        ],
    )?;
    let text = article::keepalived()
        .replace("global_defs {", "global_defs {\nscript_user nobody")
        .replace("vrrp_instance", "vrrp_script slow {\nscript /etc/keepalived/slow.sh\ninterval 1\ntimeout 1\nfall 1\nweight -10\n}\nvrrp_instance")
        .replace("chk_haproxy\n}\nnopreempt", "slow\n}\nnotify_master \"/etc/keepalived/who.sh master\"\nnotify_stop \"/etc/keepalived/who.sh stop\"\nnopreempt");
    ensure!(
        text.contains("notify_stop") && text.contains("script_user"),
        "the article's file has changed: {text}"
    );
    let files = NodeFiles {
        keepalived: Some(text),
        ..NodeFiles::default()
    };
    let mut node = Node::start(&lab, "a", NodeKind::Tandem, files)?;
    let ran_as = |what: &str| {
        wait_for(&format!("the script for {what}"), LIMIT, || {
            match host.read(&format!("/run/who/{what}")) {
                Ok(name) if name.trim() == "nobody" => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
    };
    ran_as("master")?;
    wait_for("the slow script to count as failed", LIMIT, || {
        match node.command("show vrrp") {
            Ok(answer) if answer.contains("90 = 100 configured") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })?;
    let first = host
        .read("/run/who/slow")?
        .lines()
        .next()
        .unwrap_or_default()
        .to_owned();
    wait_until("the end of the slow script", LIMIT, || {
        !host.path(&format!("/proc/{first}")).exists()
            || host.exec("kill", &["-0", &first]).is_err()
    })?;
    node.stop(LIMIT)?;
    ran_as("stop")?;
    ensure!(
        host.processes()
            .iter()
            .all(|(_, title)| !title.contains("sleep 600")),
        "a script outlives the daemon"
    );
    Ok(())
}

#[test]
fn the_web_port_of_the_node_is_free_after_a_stop() -> Outcome {
    require!("root", "users", "tandemd");
    let lab = Lab::start()?;
    let mut node = Node::start(
        &lab,
        "a",
        NodeKind::Tandem,
        NodeFiles::proxy(article::haproxy()),
    )?;
    wait_until("the port", LIMIT, || {
        http::get(lab.host("client"), node_address(), "/", &[]).is_ok()
    })?;
    node.main().signal(Signal::SIGINT)?;
    let status = node.main().wait(LIMIT)?;
    ensure!(status.code() == Some(130), "SIGINT ends it with {status}");
    node.up()?;
    node.main().signal(Signal::SIGTERM)?;
    let status = node.main().wait(LIMIT)?;
    ensure!(
        [Some(0), Some(143)].contains(&status.code()),
        "SIGTERM ends it with {status}"
    );
    ensure!(
        lab.host("a")
            .processes()
            .iter()
            .all(|(_, title)| !title.contains("tandemd")),
        "processes are left"
    );
    Ok(())
}
