//! What moves an address besides a dead node: servers of the proxy, files and processes; and sync groups, whose members
//! move together. Node a has the better priority and tracks; node b only takes what a gives.

use std::time::Duration;

use tandem_tests::process::{Signal, send};
use tandem_tests::requirements::our_program;
use tandem_tests::wait::wait_for;
use tandem_tests::{
    Failure, Lab, Node, NodeFiles, NodeKind, Origin, Outcome, Part, article, ensure, lab::VIP,
    require,
};

/// Far beyond what the protocol (0.1 s between advertisements) and the checks need: a busy machine is slow.
const LIMIT: Duration = Duration::from_secs(8);
/// For how long what must not move is watched: a takeover needs 0.4 s.
const WATCH: Duration = Duration::from_millis(600);
/// The address of the second instance.
const SECOND: &str = "10.230.137.101";
const FILE: &str = "/etc/keepalived/value";
const STORY: &str = "/etc/keepalived/story";
const TELL: &str = "/etc/keepalived/tell.sh";

/// A program whose name nothing else on the machine has; at most 15 bytes, as the kernel cuts the rest.
const PROGRAM: &str = "tndm-tracked";

/// A virtual router; `rest` stands in its block.
fn instance(name: &str, id: u8, priority: u8, address: &str, rest: &str) -> String {
    format!(
        "vrrp_instance {name} {{\nversion 3\nstate BACKUP\ninterface eth0\nvirtual_router_id {id}\npriority {priority}\n\
         advert_int 0.1\nvirtual_ipaddress {{\n{address}\n}}\n{rest}\n}}\n"
    )
}

/// Both virtual routers of node b; `rest` stands in their blocks.
fn peer(rest: &str) -> String {
    let first = instance("R1", 51, 100, VIP, rest);
    first + &instance("R2", 52, 100, SECOND, rest)
}

fn start(lab: &Lab, host: &str, keepalived: String) -> Outcome<Node> {
    let files = NodeFiles {
        keepalived: Some(keepalived),
        ..NodeFiles::default()
    };
    Node::start(lab, host, NodeKind::Tandem, files)
}

/// Waits until one host alone holds the address.
fn wait_on(lab: &Lab, address: &str, host: &str, why: &str) -> Outcome {
    wait_for(&format!("{address} on {host} ({why})"), LIMIT, || {
        let found = lab.who_has(address).map_err(|error| error.to_string())?;
        match found == [host] {
            true => Ok(()),
            false => Err(format!("it is on {found:?}")),
        }
    })
}

/// Waits until a host holds addresses, whoever else does: nobody removes those of a node that was killed.
fn wait_held_too(lab: &Lab, addresses: &[&str], host: &str) -> Outcome {
    wait_for(&format!("{addresses:?} on {host}"), LIMIT, || {
        for address in addresses {
            let found = lab.who_has(address).map_err(|error| error.to_string())?;
            if !found.iter().any(|holder| holder == host) {
                return Err(format!("{address} is on {found:?}"));
            }
        }
        Ok(())
    })
}

/// Waits until `show vrrp` of an instance has a text.
fn wait_shown(node: &Node, name: &str, text: &str) -> Outcome {
    wait_for(&format!("{name} to show {text:?}"), LIMIT, || {
        let shown = node.command(&format!("show vrrp {name}"));
        let shown = shown.map_err(|error| error.to_string())?;
        // It is laid out for a terminal.
        let words: Vec<_> = shown.split_whitespace().collect();
        match words.join(" ").contains(text) {
            true => Ok(()),
            false => Err(shown),
        }
    })
}

/// What must hold all the time for a while does.
fn stays(lab: &Lab, address: &str, host: &str, why: &str) -> Outcome {
    let began = std::time::Instant::now();
    while began.elapsed() < WATCH {
        let found = lab.who_has(address)?;
        ensure!(
            found == [host],
            "{why}: {address} is on {found:?}, not on {host}"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// `tandemd -c` of the node's files as they would be with another keepalived.conf.
fn check(node: &Node, keepalived: &str) -> Outcome<(bool, String)> {
    const OTHER: &str = "/etc/keepalived/other.conf";
    node.host().write(OTHER, keepalived)?;
    let program = our_program("tandemd").ok_or_else(|| Failure::new("tandemd is not built"))?;
    let program = program.to_string_lossy();
    let files = ["-c", "-f", tandem_tests::node::HAPROXY_FILE, "-f", OTHER];
    let output = node.host().output(&program, &files)?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    Ok((output.status.success(), said))
}

#[test]
fn an_address_is_where_the_servers_of_its_backend_are_usable() -> Outcome {
    require!("root", "users", "tandemd");
    let lab = Lab::start()?;
    let origin = Origin::start(lab.host("web1"), 80)?;
    let _peer = start(&lab, "b", peer(""))?;
    let haproxy = article::with_defaults(
        "frontend in\nbind *:8080\ndefault_backend web\nbackend web\n\
         server web1 host1:80 check inter 100ms fall 2 rise 1\nserver web3 host3:80 disabled\n",
    );
    let keepalived = instance("R1", 51, 150, VIP, "track_backend web")
        + &instance("R2", 52, 150, SECOND, "track_backend {\nweb weight -60\n}");
    let files = NodeFiles::pair(haproxy, keepalived.clone());
    let mut node = Node::start(&lab, "a", NodeKind::Tandem, files)?;
    let both_on = |host: &str, why: &str| {
        wait_on(&lab, VIP, host, why)?;
        wait_on(&lab, SECOND, host, why)
    };
    let both_stay = |host: &str, why: &str| {
        stays(&lab, VIP, host, why)?;
        let found = lab.who_has(SECOND)?;
        ensure!(found == [host], "{why}: {SECOND} is on {found:?}");
        Ok(())
    };
    both_on("a", "a server is usable")?;
    wait_shown(&node, "R1", "1 of 2 servers usable")?;

    // By an operator, and back.
    node.command("disable server web/web1")?;
    both_on("b", "the last server was disabled")?;
    wait_shown(&node, "R1", "R1: FAULT")?;
    wait_shown(&node, "R2", "priority 90 = 150 configured")?;
    node.command("enable server web/web1")?;
    both_on("a", "the server was enabled")?;

    // A worker that is replaced while all is well moves nothing; for one that dies another has half an interval, 50 ms.
    let killed = node.kill(Part::Worker)?;
    node.wait_replaced(Part::Worker, &killed, LIMIT)?;
    both_on("a", "another worker serves")?;
    both_stay("a", "the worker was killed with a usable server")?;
    let said = node.command("reload")?;
    ensure!(said.contains("Success=1"), "{said}");
    both_stay("a", "a reload with a usable server")?;

    // One that hangs serves nobody, whatever it said of its servers before.
    let hung = node.pids(Part::Worker);
    for &pid in &hung {
        send(pid, Signal::SIGSTOP)?;
    }
    both_on("b", "the worker hangs")?;
    for &pid in &hung {
        send(pid, Signal::SIGCONT)?;
    }
    both_on("a", "the worker hangs no longer")?;

    // The server dies; a new worker must not believe that it lives before it has looked.
    drop(origin);
    both_on("b", "the server died")?;
    wait_shown(&node, "R2", "R2: BACKUP")?;
    let transitions = node.transitions();
    let killed = node.kill(Part::Worker)?;
    node.wait_replaced(Part::Worker, &killed, LIMIT)?;
    both_stay("b", "the worker was killed while the server is dead")?;
    let said = node.command("reload")?;
    ensure!(said.contains("Success=1"), "{said}");
    both_stay("b", "a reload while the server is dead")?;
    node.main().signal(Signal::SIGUSR2)?;
    both_stay("b", "a reload by signal while the server is dead")?;
    ensure!(node.transitions() == transitions, "{}", node.log());
    let killed = node.kill(Part::Vrrp)?;
    node.wait_replaced(Part::Vrrp, &killed, LIMIT)?;
    both_stay("b", "the vrrp process was killed while the server is dead")?;

    let _origin = Origin::start(lab.host("web1"), 80)?;
    both_on("a", "the server is back")?;

    // What the proxy does not have is told before it counts.
    let (passed, said) = check(&node, &keepalived.replace("web weight", "wep weight"))?;
    ensure!(
        !passed && said.contains("track_backend 'wep': the proxy has no backend of this name"),
        "{said}"
    );
    let (passed, said) = check(&node, &keepalived)?;
    ensure!(passed, "{said}");
    Ok(())
}

#[test]
fn the_number_in_a_file_moves_an_address() -> Outcome {
    require!("root", "users", "tandemd");
    let lab = Lab::start()?;
    let _peer = start(&lab, "b", peer(""))?;
    let a = lab.host("a");
    let keepalived = format!("track_file value {{\nfile {FILE}\nweight 2\ninit_file -5\n}}\n")
        + &instance("R1", 51, 120, VIP, "track_file {\nvalue\n}")
        + &instance(
            "R2",
            52,
            120,
            SECOND,
            "track_file {\nvalue weight 0 reverse\n}",
        );
    let mut node = start(&lab, "a", keepalived)?;
    // -5 times 2; weight 0 reverse: what is not 0 is well.
    wait_shown(&node, "R1", "priority 110 = 120 configured")?;
    ensure!(
        a.read(FILE)? == "-5\n",
        "init_file wrote {:?}",
        a.read(FILE)
    );
    wait_on(&lab, VIP, "a", "init_file")?;
    wait_on(&lab, SECOND, "a", "init_file")?;

    a.write(FILE, "-15\n")?;
    wait_shown(&node, "R1", "priority 90 = 120 configured")?;
    wait_on(&lab, VIP, "b", "priority 90")?;
    stays(&lab, SECOND, "a", "a number that is not 0")?;

    // As keepalived: a file that is gone counts as 0.
    a.exec("rm", &[FILE])?;
    wait_shown(&node, "R1", "priority 120 = 120 configured")?;
    wait_on(&lab, VIP, "a", "the file is gone")?;
    wait_on(&lab, SECOND, "b", "the file is gone")?;
    wait_shown(&node, "R2", "R2: FAULT")?;

    // Of -254 and less, FAULT.
    a.write(FILE, "-127\n")?;
    wait_shown(&node, "R1", "R1: FAULT")?;
    wait_on(&lab, VIP, "b", "-254")?;
    wait_on(&lab, SECOND, "a", "the file is back")?;

    // A reload with another weight, and a vrrp process that is killed: the number still counts.
    node.rewrite(|files| {
        files.keepalived = files
            .keepalived
            .take()
            .map(|text| text.replace("\nweight 2\n", "\nweight -1\n"));
    })?;
    let said = node.command("reload")?;
    ensure!(said.contains("Success=1"), "{said}");
    wait_shown(&node, "R1", "priority 247 = 120 configured")?;
    wait_on(&lab, VIP, "a", "the weight is -1")?;
    let killed = node.kill(Part::Vrrp)?;
    node.wait_replaced(Part::Vrrp, &killed, LIMIT)?;
    wait_shown(&node, "R1", "priority 247 = 120 configured")?;
    wait_on(&lab, VIP, "a", "a new vrrp process")?;
    ensure!(a.read(FILE)? == "-127\n", "init_file wrote again");
    Ok(())
}

#[test]
fn an_address_is_where_enough_processes_run() -> Outcome {
    require!("root", "users", "tandemd");
    let lab = Lab::start()?;
    let _peer = start(&lab, "b", peer("down_timer_adverts 8"))?;
    let a = lab.host("a");
    let program = format!("/etc/keepalived/{PROGRAM}");
    a.exec("cp", &["/bin/sleep", &program])?;
    let run = || a.spawn(&program, &["600"]);
    let pids = || -> Vec<i32> {
        let all = a.processes().into_iter();
        all.filter(|(_, title)| title.starts_with(&program))
            .map(|(pid, _)| pid)
            .collect()
    };
    let keepalived = format!(
        "vrrp_track_process one {{\nprocess {PROGRAM}\nweight -40\n}}\n\
         vrrp_track_process two {{\nprocess {program} 600\nquorum 2\n}}\n"
    ) + &instance("R1", 51, 120, VIP, "track_process {\none\n}")
        + &instance("R2", 52, 120, SECOND, "track_process {\ntwo weight 0\n}");
    let mut running = vec![run()?];
    let node = start(&lab, "a", keepalived)?;
    wait_on(&lab, VIP, "a", "one runs, and one is enough")?;
    wait_on(&lab, SECOND, "b", "one runs, and two are wanted")?;
    wait_shown(&node, "R2", "1 process, 2 wanted")?;
    running.push(run()?);
    wait_on(&lab, SECOND, "a", "two run")?;

    let (first, rest) = match pids()[..] {
        [first, second] => (first, second),
        ref other => return Err(Failure::new(format!("{other:?} run"))),
    };
    send(first, Signal::SIGKILL)?;
    wait_on(&lab, SECOND, "b", "one of two was killed")?;
    wait_shown(&node, "R2", "R2: FAULT")?;
    stays(&lab, VIP, "a", "one of two was killed")?;
    send(rest, Signal::SIGKILL)?;
    wait_shown(&node, "R1", "priority 80 = 120 configured")?;
    wait_on(&lab, VIP, "b", "none runs")?;
    running.push(run()?);
    wait_on(&lab, VIP, "a", "one runs again")?;
    stays(&lab, SECOND, "b", "two are wanted")?;
    running.push(run()?);
    wait_on(&lab, SECOND, "a", "two run again")?;

    // What was said last may have been said an interval ago; with the usual 3 it would be 0.36 s.
    let began = std::time::Instant::now();
    lab.isolate("a")?;
    wait_held_too(&lab, &[VIP, SECOND], "b")?;
    let waited = began.elapsed();
    ensure!(
        waited >= Duration::from_millis(700),
        "down_timer_adverts 8 waited {waited:?}"
    );
    Ok(())
}

#[test]
fn a_sync_group_moves_together() -> Outcome {
    require!("root", "users", "tandemd");
    let lab = Lab::start()?;
    let group = |rest: &str| format!("vrrp_sync_group G {{\ngroup {{\nR1\nR2\n}}\n{rest}\n}}\n");
    let _peer = start(&lab, "b", peer("") + &group(""))?;
    let a = lab.host("a");
    a.write(FILE, "0\n")?;
    a.write(TELL, format!("#!/bin/sh\necho \"$@\" >> {STORY}\n"))?;
    a.exec("chmod", &["755", TELL])?;
    let keepalived = format!(
        "global_defs {{\nscript_user root\n}}\ntrack_file value {{\nfile {FILE}\nweight 0\n}}\n"
    ) + &instance(
        "R1",
        51,
        150,
        VIP,
        &format!("pre_release \"{TELL} R1 leaves\""),
    ) + &instance("R2", 52, 150, SECOND, "track_file {\nvalue\n}")
        + &group(&format!("notify {TELL}"));
    let mut node = start(&lab, "a", keepalived)?;
    let both_on = |host: &str, why: &str| {
        wait_on(&lab, VIP, host, why)?;
        wait_on(&lab, SECOND, host, why)
    };
    let told = |line: &str, times: usize| {
        wait_for(&format!("{line:?} {times} times"), LIMIT, || {
            let story = a.read(STORY).unwrap_or_default();
            match story.lines().filter(|told| *told == line).count() {
                found if found == times => Ok(()),
                _ => Err(story),
            }
        })
    };
    both_on("a", "the better priority")?;
    told("GROUP G MASTER 0", 1)?;

    // One member's file: both are in FAULT.
    a.write(FILE, "1\n")?;
    both_on("b", "one member is in FAULT")?;
    wait_shown(&node, "R1", "R1: FAULT")?;
    wait_shown(&node, "R2", "R2: FAULT")?;
    told("GROUP G FAULT 0", 1)?;
    a.write(FILE, "0\n")?;
    both_on("a", "no member is in FAULT")?;
    told("GROUP G MASTER 0", 2)?;

    // A reload that changes one member's priority moves nothing, and the better one keeps both.
    let transitions = node.transitions();
    node.rewrite(|files| {
        files.keepalived = files
            .keepalived
            .take()
            .map(|text| text.replacen("priority 150", "priority 160", 1));
    })?;
    let said = node.command("reload")?;
    ensure!(said.contains("Success=1"), "{said}");
    wait_shown(&node, "R1", "priority 160 = 160 configured")?;
    stays(&lab, VIP, "a", "a reload")?;
    both_on("a", "a reload")?;
    ensure!(node.transitions() == transitions, "{}", node.log());

    // An operator moves one member: both go, and both come back.
    told("R1 leaves", 0)?;
    let said = node.command("vrrp failover R2")?;
    told("R1 leaves", 1)?;
    both_on("b", &said)?;
    stays(&lab, VIP, "b", &said)?;
    let said = node.command("vrrp failback R2")?;
    both_on("a", &said)?;
    told("GROUP G MASTER 0", 3)?;

    // A node that dies leaves both.
    node.kill(Part::Daemon)?;
    wait_held_too(&lab, &[VIP, SECOND], "b")?;
    node.up()?;
    both_on("a", "the node is back")?;
    Ok(())
}
