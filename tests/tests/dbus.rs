//! keepalived's names on D-Bus: `tandemd` with `enable_dbus` beside Debian's keepalived, on a system bus of the host's own.
//!
//! The bus has Debian's configuration, and the policy of `packaging/` instead of keepalived's.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use tandem_tests::process::Signal;
use tandem_tests::wait::wait_for;
use tandem_tests::{
    Host, Lab, Node, NodeFiles, NodeKind, Outcome, Process, ensure, require, wait_until,
};

const LIMIT: Duration = Duration::from_secs(10);
const SERVICE: &str = "org.keepalived.Vrrp1";
const DAEMON: &str = "/org/keepalived/Vrrp1/Vrrp";
const FIRST: &str = "/org/keepalived/Vrrp1/Instance/eth0/51/IPv4";
const SECOND: &str = "/org/keepalived/Vrrp1/Instance/eth0/52/IPv6";
const DAEMON_INTERFACE: &str = "org.keepalived.Vrrp1.Vrrp";
const INSTANCE_INTERFACE: &str = "org.keepalived.Vrrp1.Instance";
/// A user that is neither root nor the owner of the name.
const STRANGER: &str = "1";

/// Requires what tandemd beside keepalived on a bus needs, and more.
macro_rules! require_both {
    ($($more:literal),*) => {
        require!(
            "root",
            "users",
            "keepalived",
            "haproxy",
            "killall",
            "dbus-daemon",
            "busctl",
            "tandemd+dbus",
            $($more),*
        )
    };
}

/// The system's bus of a host, and somebody who writes down all signals.
struct Bus {
    daemon: Process,
    monitor: Process,
}

impl Bus {
    fn start(host: &Host) -> Outcome<Bus> {
        // keepalived's own policy would let root alone take the name, whatever ours says.
        let policies = "/etc/dbus-1/system.d";
        for policy in ["org.keepalived.Vrrp1.conf", "tandem-dbus.conf"] {
            let _ = std::fs::remove_file(host.path(&format!("{policies}/{policy}")));
        }
        let ours = include_str!("../../packaging/tandem-dbus.conf");
        host.write(&format!("{policies}/tandem-dbus.conf"), ours)?;
        host.exec("mkdir", &["-p", "/run/dbus"])?;
        let arguments = ["--system", "--nofork", "--nopidfile", "--nosyslog"];
        let daemon = host.spawn("dbus-daemon", &arguments)?;
        wait_for("the bus", LIMIT, || {
            let asked = host.exec("busctl", &["--system", "list"]);
            asked.map(|_| ()).map_err(|error| error.to_string())
        })?;
        let monitor = host.spawn(
            "busctl",
            &[
                "--system",
                "--json=short",
                "--match=type='signal'",
                "monitor",
            ],
        )?;
        monitor.wait_for_log("Monitoring", LIMIT)?;
        Ok(Bus { daemon, monitor })
    }

    /// Signals of keepalived's interfaces so far, in order: of each object, the member with its argument.
    fn signals(&self) -> BTreeMap<String, Vec<String>> {
        let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for line in self.monitor.log().lines() {
            let Ok(message) = serde_json::from_str::<Value>(line) else {
                continue;
            };
            let of = |key: &str| message[key].as_str().unwrap_or_default();
            if of("type") != "signal" || !of("interface").starts_with(SERVICE) {
                continue;
            }
            let (kind, argument) = (&message["payload"]["type"], &message["payload"]["data"]);
            let told = format!("{} {kind} {argument}", of("member"));
            // keepalived tells INIT now and then, and mostly begins with the first state entered, as we do.
            if told == status(0) {
                continue;
            }
            found.entry(of("path").to_owned()).or_default().push(told);
        }
        found
    }

    fn wait_for_signal(&self, path: &str, wanted: &str) -> Outcome {
        wait_for(&format!("{path} to signal {wanted}"), LIMIT, || {
            let signals = self.signals();
            let told = signals.get(path).map(Vec::as_slice).unwrap_or_default();
            match told.iter().any(|one| one == wanted) {
                true => Ok(()),
                false => Err(format!("{signals:?}")),
            }
        })
    }
}

fn status(state: u32) -> String {
    format!("VrrpStatusChange \"u\" [{state}]")
}

/// Calls a method; its answer is the JSON of busctl. The error is what the bus or the called one says.
fn call(host: &Host, path: &str, interface: &str, rest: &[&str]) -> Outcome<String> {
    let words = ["--system", "--json=short", "call", SERVICE, path, interface];
    host.exec("busctl", &[&words[..], rest].concat())
}

/// The properties of an instance with their types.
fn properties(host: &Host, path: &str) -> Result<Value, String> {
    let rest = ["GetAll", "s", INSTANCE_INTERFACE];
    let text = call(host, path, "org.freedesktop.DBus.Properties", &rest);
    let text = text.map_err(|error| error.to_string())?;
    let told: Value = serde_json::from_str(&text).map_err(|error| format!("{error}: {text}"))?;
    Ok(told["data"][0].clone())
}

fn wait_for_state(host: &Host, path: &str, state: u32) -> Outcome<Value> {
    wait_for(&format!("{path} to be in state {state}"), LIMIT, || {
        let told = properties(host, path)?;
        match told["State"]["data"][0] == state {
            true => Ok(told),
            false => Err(told.to_string()),
        }
    })
}

/// The paths of all objects.
fn tree(host: &Host) -> Outcome<Vec<String>> {
    let text = host.exec("busctl", &["--system", "--list", "tree", SERVICE])?;
    Ok(text.lines().map(str::to_owned).collect())
}

/// Members of one of keepalived's interfaces: kind and signature.
fn members(host: &Host, path: &str, interface: &str) -> Outcome<BTreeMap<String, String>> {
    let words = [
        "--system",
        "--json=short",
        "introspect",
        SERVICE,
        path,
        interface,
    ];
    let text = host.exec("busctl", &words)?;
    // `.Name property s - emits-change`
    let rows = text
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>());
    let rows = rows.filter(|row| row.len() > 3 && row[0].starts_with('.'));
    Ok(rows
        .map(|row| {
            (
                row[0].to_owned(),
                format!("{} {} {}", row[1], row[2], row[3]),
            )
        })
        .collect())
}

fn keepalived(priority: u8, with_second: bool) -> String {
    let instance = |name: &str, vrid: u8, address: &str| {
        format!(
            "vrrp_instance {name} {{\nversion 3\nstate BACKUP\ninterface eth0\nvirtual_router_id {vrid}\npriority {priority}\n\
             advert_int 0.2\nvirtual_ipaddress {{\n{address}\n}}\n}}\n"
        )
    };
    let second = match with_second {
        true => instance("VI_6", 52, "fe80::5200/64"),
        false => String::new(),
    };
    format!(
        "global_defs {{\nenable_dbus\n}}\n{}{second}",
        instance("VI_4", 51, "10.230.137.101/16")
    )
}

/// What a client sees of a daemon's life.
#[derive(Debug)]
struct Seen {
    tree: Vec<String>,
    tree_after_reload: Vec<String>,
    instance: BTreeMap<String, String>,
    daemon: BTreeMap<String, String>,
    backup: Vec<Value>,
    master: Value,
    signals: BTreeMap<String, Vec<String>>,
}

/// Backup of another node, its successor, reloaded without one instance, stopped.
fn life_of(kind: NodeKind) -> Outcome<Seen> {
    let lab = Lab::start()?;
    let files = |priority, with_second| NodeFiles {
        keepalived: Some(keepalived(priority, with_second)),
        ..NodeFiles::default()
    };
    let bus = Bus::start(lab.host("a"))?;
    let host = lab.host("a");
    // No bus is there: this one is told of, and nothing else is different.
    let mut other = Node::start(&lab, "b", NodeKind::Tandem, files(200, true))?;
    wait_until("the other node to be master", LIMIT, || {
        let shown = other.command("show vrrp").unwrap_or_default();
        shown.matches(": MASTER").count() == 2
    })?;
    let mut node = Node::start(&lab, "a", kind, files(100, true))?;
    let backup = vec![
        wait_for_state(host, FIRST, 1)?,
        wait_for_state(host, SECOND, 1)?,
    ];
    let (tree_before, instance, daemon) = (
        tree(host)?,
        members(host, FIRST, INSTANCE_INTERFACE)?,
        members(host, DAEMON, DAEMON_INTERFACE)?,
    );
    other.stop(LIMIT)?;
    bus.wait_for_signal(FIRST, &status(2))?;
    bus.wait_for_signal(SECOND, &status(2))?;
    let master = wait_for_state(host, FIRST, 2)?;
    call(host, FIRST, INSTANCE_INTERFACE, &["SendGarp"])?;
    node.rewrite(|now| *now = files(100, false))?;
    call(host, DAEMON, DAEMON_INTERFACE, &["ReloadConfig"])?;
    bus.wait_for_signal(DAEMON, "VrrpReloaded \"\" []")?;
    bus.wait_for_signal(SECOND, &status(3))?;
    let tree_after_reload = wait_for("the second instance's object to go", LIMIT, || {
        let told = tree(host).map_err(|error| error.to_string())?;
        match told.iter().any(|path| path == SECOND) {
            true => Err(format!("{told:?}")),
            false => Ok(told),
        }
    })?;
    node.stop(LIMIT)?;
    bus.wait_for_signal(DAEMON, "VrrpStopped \"\" []")?;
    Ok(Seen {
        tree: tree_before,
        tree_after_reload,
        instance,
        daemon,
        backup,
        master,
        signals: bus.signals(),
    })
}

#[test]
fn clients_of_keepalived_find_what_they_know() -> Outcome {
    require_both!();
    let ours = life_of(NodeKind::Tandem)?;
    let theirs = life_of(NodeKind::Peer)?;
    ensure!(ours.tree == theirs.tree, "{ours:#?}\n{theirs:#?}");
    ensure!(
        ours.tree_after_reload == theirs.tree_after_reload,
        "{ours:#?}\n{theirs:#?}"
    );
    // Values with their types, as they travel.
    ensure!(
        ours.backup == theirs.backup && ours.master == theirs.master,
        "{ours:#?}\n{theirs:#?}"
    );
    ensure!(ours.signals == theirs.signals, "{ours:#?}\n{theirs:#?}");
    // keepalived declares `Name` a string and gives a structure; we declare what we give.
    let mut instance = theirs.instance.clone();
    let name = instance.insert(".Name".to_owned(), "property (s) -".to_owned());
    ensure!(
        name.as_deref() == Some("property s -"),
        "keepalived has changed: {theirs:#?}"
    );
    ensure!(ours.instance == instance, "{ours:#?}\n{theirs:#?}");
    for (member, kind) in &theirs.daemon {
        let found = ours.daemon.get(member);
        ensure!(found == Some(kind), "{member}: {ours:#?}\n{theirs:#?}");
    }
    Ok(())
}

/// What clients make a daemon write: announcements on the wire, and files.
#[derive(Debug)]
struct Written {
    /// Frames of one call for each instance and another for the first.
    frames: Vec<String>,
    data: String,
    statistics: [String; 3],
}

fn written_by(kind: NodeKind) -> Outcome<Written> {
    let lab = Lab::start()?;
    let host = lab.host("a");
    let folder = match kind {
        NodeKind::Tandem => "/run/tandem",
        NodeKind::Peer => {
            host.exec("mount", &["-t", "tmpfs", "tmpfs", "/tmp"])?;
            "/tmp"
        }
    };
    let _bus = Bus::start(host)?;
    let filter = "arp net 10.230.137.101/32 or (icmp6 and ip6[40] == 136 and src fe80::5200)";
    let wire = host.spawn("tcpdump", &["-l", "-n", "-e", "-t", "-i", "eth0", filter])?;
    wire.wait_for_log("listening on", LIMIT)?;
    let text = keepalived(100, true).replace("advert_int", "garp_master_delay 0\nadvert_int");
    let files = NodeFiles {
        keepalived: Some(text),
        ..NodeFiles::default()
    };
    let node = Node::start(&lab, "a", kind, files)?;
    wait_for_state(host, FIRST, 2)?;
    wait_for_state(host, SECOND, 2)?;
    let frames = |count: usize| {
        let log = wire.log();
        // Without the sender's address, which each host has its own.
        let frames = log.lines().filter_map(|line| line.split_once(" > "));
        let frames: Vec<_> = frames.map(|(_, rest)| rest.to_owned()).collect();
        match frames.len() >= count {
            true => Ok(frames),
            false => Err(log),
        }
    };
    // garp_master_repeat: five for each of the two addresses.
    const BEFORE: usize = 10;
    let before = wait_for("the announcements of new masters", LIMIT, || frames(BEFORE))?;
    ensure!(before.len() == BEFORE, "{before:#?}");
    for (calls, path) in [FIRST, SECOND, FIRST].into_iter().enumerate() {
        call(host, path, INSTANCE_INTERFACE, &["SendGarp"])?;
        wait_for("its frame", LIMIT, || frames(BEFORE + calls + 1))?;
    }
    let frames = frames(BEFORE).unwrap_or_default().split_off(BEFORE);
    let print = |method: &str, file: &str| {
        // keepalived answers before it has written.
        let path = host.path(&format!("{folder}/{file}"));
        let _ = std::fs::remove_file(&path);
        call(host, DAEMON, DAEMON_INTERFACE, &[method])?;
        wait_for(&format!("{method} to write"), LIMIT, || {
            let text = std::fs::read_to_string(&path).map_err(|error| error.to_string())?;
            match text.trim().is_empty() {
                true => Err("it is empty".to_owned()),
                false => Ok(text),
            }
        })
    };
    let written = Written {
        frames,
        data: print("PrintData", "keepalived.data")?,
        statistics: [
            print("PrintStats", "keepalived.stats")?,
            print("PrintStatsClear", "keepalived.stats")?,
            print("PrintStats", "keepalived.stats")?,
        ],
    };
    drop(node);
    Ok(written)
}

/// The same with its numbers, which nobody can foretell, as 0.
fn without_numbers(text: &str) -> String {
    let lines = text.lines().map(|line| match line.rsplit_once(": ") {
        Some((label, number)) if number.parse::<u64>().is_ok() => format!("{label}: 0"),
        _ => line.to_owned(),
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Advertisements that the first instance sent, as `PrintStats` tells it.
fn sent(text: &str) -> u64 {
    let line = text
        .lines()
        .find_map(|line| line.trim().strip_prefix("Sent: "));
    line.and_then(|number| number.parse().ok()).unwrap_or(0)
}

#[test]
fn announcements_and_files_on_demand_are_keepalived_s() -> Outcome {
    require_both!("tcpdump");
    let ours = written_by(NodeKind::Tandem)?;
    let theirs = written_by(NodeKind::Peer)?;
    ensure!(
        ours.frames.len() == 3 && ours.frames == theirs.frames,
        "{ours:#?}\n{theirs:#?}"
    );
    ensure!(
        ours.frames[0]
            .contains("Request who-has 10.230.137.101 (ff:ff:ff:ff:ff:ff) tell 10.230.137.101")
            && ours.frames[1].contains("tgt is fe80::5200")
            && ours.frames[2] == ours.frames[0],
        "{ours:#?}"
    );
    // Ours tells less, and in keepalived's lines, but for the moment of the last transition and what is tracked.
    let words = ["scope global ", "preferred_lft forever "];
    let known = words
        .iter()
        .fold(theirs.data.clone(), |data, word| data.replace(word, ""));
    for line in ours.data.lines() {
        let (label, value) = line.split_once(" = ").unwrap_or((line, ""));
        let told = match label.trim() {
            "Last transition" => value.parse::<f64>().is_ok_and(|at| at > 1.7e9),
            // Each host's own.
            "Using src_ip" if value.starts_with("fe80:") => true,
            _ if label.starts_with("   Tracked: ") => true,
            _ => known.lines().any(|one| one == line),
        };
        ensure!(told, "'{line}' is not keepalived's: {}", theirs.data);
    }
    ensure!(
        ours.data.matches("State = MASTER").count() == 2,
        "{}",
        ours.data
    );
    for (our, their) in ours.statistics.iter().zip(&theirs.statistics) {
        ensure!(
            without_numbers(our) == without_numbers(their),
            "{our}\n{their}"
        );
    }
    let [first, cleared, after] = ours.statistics.each_ref().map(|text| sent(text));
    ensure!(
        first > 0 && first <= cleared && after < cleared,
        "{:#?}",
        ours.statistics
    );
    Ok(())
}

/// What cannot be done is said, and who may not ask is told so by the bus.
#[test]
fn what_is_not_done_is_refused_with_its_reason() -> Outcome {
    require!(
        "root",
        "users",
        "setpriv",
        "dbus-daemon",
        "busctl",
        "tandemd+dbus"
    );
    let lab = Lab::start()?;
    let host = lab.host("a");
    let files = NodeFiles {
        keepalived: Some(keepalived(100, false)),
        ..NodeFiles::default()
    };
    let mut node = Node::start(&lab, "a", NodeKind::Tandem, files)?;
    // Without a bus all else works, and that is told once.
    let alerts = |node: &Node| node.log().matches("is not on the bus").count();
    wait_until("the missing bus to be told", LIMIT, || alerts(&node) == 1)?;
    wait_until("the instance to be master", LIMIT, || {
        let shown = node.command("show vrrp").unwrap_or_default();
        shown.contains("MASTER")
    })?;
    let bus = Bus::start(host)?;
    wait_for_state(host, FIRST, 2)?;
    ensure!(alerts(&node) == 1, "{}", node.log());

    let refused = |path: &str, interface: &str, words: &[&str], reason: &str| {
        let told = call(host, path, interface, words);
        ensure!(
            told.as_ref()
                .is_err_and(|told| told.to_string().contains(reason)),
            "{words:?}: {told:?}"
        );
        Ok(())
    };
    let daemon = |words: &[&str], reason: &str| refused(DAEMON, DAEMON_INTERFACE, words, reason);
    // The folder of the files is gone: that is said, and nothing else is wrong.
    let files = host.path("/run/tandem");
    let moved = host.path("/run/elsewhere");
    std::fs::rename(&files, &moved)?;
    for dump in ["PrintData", "PrintStats", "PrintStatsClear"] {
        daemon(&[dump], "cannot write /run/tandem/keepalived.")?;
    }
    std::fs::rename(&moved, &files)?;
    daemon(
        &["CreateInstance", "ssuu", "X", "eth0", "9", "2"],
        "configuration alone",
    )?;
    daemon(&["DestroyInstance", "s", "VI_4"], "configuration alone")?;

    // A file that is refused: the caller learns why, and the old one goes on.
    node.rewrite(|files| {
        let text = keepalived(100, false).replace("virtual_router_id 51", "virtual_router_id 0");
        files.keepalived = Some(text);
    })?;
    daemon(&["ReloadConfig"], "virtual_router_id")?;
    node.rewrite(|files| files.keepalived = Some(keepalived(100, false)))?;

    // Strangers may look and not touch.
    let stranger = |words: &[&str]| {
        let as_other = [
            "--reuid",
            STRANGER,
            "--clear-groups",
            "--",
            "busctl",
            "--system",
        ];
        host.exec("setpriv", &[&as_other[..], words].concat())
    };
    let get = ["get-property", SERVICE, FIRST, INSTANCE_INTERFACE, "State"];
    ensure!(
        stranger(&get)?.trim() == "(us) 2 \"Master\"",
        "{:?}",
        stranger(&get)
    );
    let reload = stranger(&["call", SERVICE, DAEMON, DAEMON_INTERFACE, "ReloadConfig"]);
    ensure!(
        reload
            .as_ref()
            .is_err_and(|told| told.to_string().contains("ccess denied")),
        "{reload:?}"
    );

    // The bus dies: that is told once, VRRP goes on, and with the next bus all is there again.
    bus.daemon.signal(Signal::SIGKILL)?;
    wait_until("the loss to be told", LIMIT, || alerts(&node) == 2)?;
    ensure!(
        node.command("show vrrp")?.contains("MASTER"),
        "{}",
        node.log()
    );
    drop(bus);
    let _ = std::fs::remove_file(host.path("/run/dbus/system_bus_socket"));
    let bus = Bus::start(host)?;
    wait_for_state(host, FIRST, 2)?;
    ensure!(alerts(&node) == 2, "{}", node.log());
    // Without the keyword nothing is there.
    node.rewrite(|files| {
        files.keepalived = Some(keepalived(100, false).replace("enable_dbus", "router_id a"));
    })?;
    node.command("reload")?;
    bus.wait_for_signal(DAEMON, "VrrpStopped \"\" []")?;
    wait_until("the name to go", LIMIT, || {
        call(host, FIRST, INSTANCE_INTERFACE, &["SendGarp"]).is_err()
    })?;
    ensure!(
        node.command("show vrrp")?.contains("MASTER"),
        "{}",
        node.log()
    );
    Ok(())
}
