//! What happens around the daemon's life, beside Debian's keepalived: scripts before the first and after the last process,
//! another network namespace, and lines of the configuration for one node alone. Both do the same with the same file.

use std::sync::Arc;
use std::time::Duration;

use tandem_tests::process::Signal;
use tandem_tests::requirements::our_program;
use tandem_tests::wait::{wait_for, wait_until};
use tandem_tests::{Failure, Host, Lab, NodeKind, Outcome, Process, ensure, lab::VIP, require};

const FILE: &str = "/etc/keepalived/keepalived.conf";
const STORY: &str = "/etc/keepalived/story";
const TELL: &str = "/etc/keepalived/tell.sh";
/// Far beyond what an address owner needs to become master.
const LIMIT: Duration = Duration::from_secs(10);
const BOTH: [(&str, NodeKind); 2] = [("a", NodeKind::Peer), ("b", NodeKind::Tandem)];

/// Tells who runs it, with which words, in which network namespace, and whether the virtual address is there.
const SCRIPT: &str = r#"#!/bin/sh
story() { echo "$@" >> /etc/keepalived/story; }
vip=$(ip -4 -o addr show | grep -c 'inet 10.230.137.100/')
words="$1 $#"; for word in "$@"; do words="$words|$word"; done
story "$words $(id -u):$(id -g) namespace=$(ip netns identify $$) vip=$vip pwd=$(pwd) TOLD=$TOLD"
case "$1" in
fail*) exit 3;;
slow*) trap 'story "$1 was told to end"; exit 0' TERM; sleep 30 & wait; story "$1 was not";;
deaf*) trap 'story "$1 was told to end"' TERM; for i in 1 2 3 4 5 6 7 8; do sleep 1; done; story "$1 was not ended";;
esac
exit 0
"#;

/// The file: an address owner that tells all of its life.
fn file(global: &str, more: &str) -> String {
    format!(
        "global_defs {{\nscript_user root\n{global}\n}}\nvrrp_instance R1 {{\nstate MASTER\ninterface eth0\n\
         virtual_router_id ID\npriority 255\nadvert_int 1\nvirtual_ipaddress {{\n{VIP}\n}}\n\
         notify_master \"{TELL} master\"\nnotify_stop \"{TELL} stop\"\n{more}\n}}\n"
    )
}

fn prepare(host: &Host, text: &str) -> Outcome {
    // Both run at once and do not know each other.
    let id = if host.name() == "a" { "51" } else { "52" };
    host.write(FILE, text.replace("ID", id))?;
    host.write(STORY, "")?;
    host.write(TELL, SCRIPT)?;
    host.exec("chmod", &["755", TELL]).map(drop)
}

/// Starts one of both with the file.
fn start(host: &Arc<Host>, kind: NodeKind, words: &[&str]) -> Outcome<Process> {
    let mut command = match kind {
        NodeKind::Peer => {
            let mut command = host.command("keepalived");
            command.args(["-n", "-l", "-D", "-P", "-f", FILE]);
            command
        }
        NodeKind::Tandem => {
            let program =
                our_program("tandemd").ok_or_else(|| Failure::new("tandemd is not built"))?;
            let mut command = host.command(program);
            command.args(["-db", "--socket", "/run/tandem/tandem.sock", "-f", FILE]);
            command
        }
    };
    command.args(words).env("TOLD", "yes").current_dir("/");
    host.spawn_command("daemon", command)
}

/// Does the same on both hosts at once.
fn on_both(lab: &Lab, work: impl Fn(&Arc<Host>, NodeKind) -> Outcome + Sync) -> Outcome {
    std::thread::scope(|scope| {
        let work = &work;
        let both = BOTH.map(|(name, kind)| scope.spawn(move || work(lab.host(name), kind)));
        for one in both {
            one.join()
                .map_err(|_| Failure::new("a thread panicked"))??;
        }
        Ok(())
    })
}

fn story(host: &Host) -> Outcome<Vec<String>> {
    Ok(host.read(STORY)?.lines().map(str::to_owned).collect())
}

fn wait_told(host: &Host, text: &str) -> Outcome {
    wait_for(&format!("{text:?} in the story"), LIMIT, || {
        let story = story(host).map_err(|error| error.to_string())?;
        let told = story.iter().any(|line| line.starts_with(text));
        told.then_some(()).ok_or_else(|| story.join("\n"))
    })
}

/// The story of a life from its start to SIGTERM, once it was master.
fn life(host: &Arc<Host>, kind: NodeKind, text: &str) -> Outcome<Vec<String>> {
    prepare(host, text)?;
    let mut daemon = start(host, kind, &[])?;
    wait_told(host, "master")?;
    daemon.signal(Signal::SIGTERM)?;
    let status = daemon.wait(LIMIT)?;
    ensure!(status.success(), "{status}");
    ensure!(
        !host.addresses()?.iter().any(|one| one.to_string() == VIP),
        "the address stays"
    );
    story(host)
}

#[test]
fn scripts_of_start_and_end_run_as_keepalived_runs_them() -> Outcome {
    require!("root", "users", "keepalived", "tandemd");
    let lab = Lab::start()?;
    let line = |words: &str, vip: u8| format!("{words} 0:0 namespace= vip={vip} pwd=/ TOLD=yes");
    let ended = |name: &str| format!("{name} was told to end");
    let between = [line("master 1|master", 1), line("stop 1|stop", 0)];
    let with = |first: &[String], last: &[String]| [first, &between, last].concat();
    let startup = |name: &str| {
        format!("startup_script \"{TELL} {name} one 'two three'\" root\nstartup_script_timeout 1")
    };
    let shutdown =
        |name: &str| format!("shutdown_script \"{TELL} {name}\" root\nshutdown_script_timeout 1");
    let up = |name: &str| line(&format!("{name} 3|{name}|one|two three"), 0);
    let down = |name: &str| line(&format!("{name} 1|{name}"), 0);
    for (global, expected) in [
        (
            startup("up") + "\n" + &shutdown("down"),
            with(&[up("up")], &[down("down")]),
        ),
        // That one fails or cannot run changes nothing.
        (
            startup("fail1") + "\n" + &shutdown("fail2"),
            with(&[up("fail1")], &[down("fail2")]),
        ),
        (
            "startup_script /no/such/script\nshutdown_script /no/such/script".to_owned(),
            with(&[], &[]),
        ),
        // One that runs for too long may clear up, and one that does not listen is killed.
        (
            startup("slow1") + "\n" + &shutdown("slow2"),
            with(
                &[up("slow1"), ended("slow1")],
                &[down("slow2"), ended("slow2")],
            ),
        ),
        (startup("deaf1"), with(&[up("deaf1"), ended("deaf1")], &[])),
    ] {
        on_both(&lab, |host, kind| {
            let told = life(host, kind, &file(&global, ""))?;
            ensure!(told == expected, "{kind:?} {global}:\n{}", told.join("\n"));
            Ok(())
        })?;
    }
    Ok(())
}

#[test]
fn a_daemon_that_is_stopped_at_its_start_becomes_nothing() -> Outcome {
    require!("root", "users", "keepalived", "tandemd");
    let lab = Lab::start()?;
    let global = format!(
        "startup_script \"{TELL} slow\"\nstartup_script_timeout 20\nshutdown_script \"{TELL} down\""
    );
    on_both(&lab, |host, kind| {
        prepare(host, &file(&global, ""))?;
        let mut daemon = start(host, kind, &[])?;
        wait_told(host, "slow")?;
        daemon.signal(Signal::SIGTERM)?;
        let status = daemon.wait(Duration::from_secs(5))?;
        ensure!(status.success(), "{kind:?}: {status}");
        wait_told(host, "slow was told to end")?;
        wait_told(host, "down 1|down 0:0 namespace= vip=0")?;
        let told = story(host)?;
        ensure!(told.len() == 3, "{kind:?}:\n{}", told.join("\n"));
        Ok(())
    })
}

#[test]
fn scripts_of_start_and_end_run_as_their_user() -> Outcome {
    require!("root", "users", "tandemd");
    let lab = Lab::start()?;
    let host = lab.host("b");
    // keepalived 2.2.7 ends at its start if the user is not its own.
    let global =
        format!("startup_script \"{TELL} up\" daemon\nshutdown_script \"{TELL} down\" daemon sys");
    prepare(host, &file(&global, ""))?;
    host.exec("chmod", &["666", STORY])?;
    let mut daemon = start(host, NodeKind::Tandem, &[])?;
    wait_told(host, "master")?;
    daemon.signal(Signal::SIGTERM)?;
    daemon.wait(LIMIT)?;
    let told = story(host)?;
    let users = told
        .iter()
        .filter_map(|line| Some((line.split(' ').next()?, line.split_once(" namespace")?.0)))
        .map(|(name, line)| (name, line.rsplit(' ').next().unwrap_or_default()))
        .collect::<Vec<_>>();
    let expected = [
        ("up", "1:1"),
        ("master", "0:0"),
        ("stop", "0:0"),
        ("down", "1:3"),
    ];
    ensure!(users == expected, "{users:?}");
    Ok(())
}

#[test]
fn a_script_ends_with_a_daemon_that_is_killed() -> Outcome {
    require!("root", "users", "keepalived", "tandemd");
    let lab = Lab::start()?;
    let global = format!("startup_script \"{TELL} slow\"\nstartup_script_timeout 20");
    for (name, kind) in BOTH {
        let host = lab.host(name);
        prepare(host, &file(&global, ""))?;
        let mut daemon = start(host, kind, &[])?;
        wait_told(host, "slow 1")?;
        daemon.kill();
        wait_told(host, "slow was told to end")?;
    }
    Ok(())
}

#[test]
fn a_network_namespace_holds_all_of_the_daemon() -> Outcome {
    require!("root", "users", "keepalived", "tandemd");
    let lab = Lab::start()?;
    let text = "net_namespace red\n".to_owned()
        + &file(
            &format!("startup_script \"{TELL} up\"\nshutdown_script \"{TELL} down\""),
            &format!("track_script {{\nchk\n}}\nnotify \"{TELL} notify\""),
        )
        + &format!("vrrp_script chk {{\nscript \"{TELL} chk\"\ninterval 100\n}}\n");
    // The script must be known before who tracks it.
    let at = text.find("vrrp_instance").unwrap_or_default();
    let (before, rest) = text.split_at(at);
    let script = rest.find("vrrp_script").unwrap_or_default();
    let text = format!("{before}{}{}", &rest[script..], &rest[..script]);
    let mut stories = Vec::new();
    for (name, kind) in BOTH {
        let host = lab.host(name);
        prepare(host, &text)?;
        for line in [
            "netns add red",
            "link add outside type veth peer name eth0 netns red",
            "-n red link set lo up",
            "-n red addr add 10.230.137.7/24 dev eth0",
            "-n red link set eth0 up",
            "link set outside up",
        ] {
            host.exec("ip", &line.split(' ').collect::<Vec<_>>())?;
        }
        let inside = || host.exec("ip", &["-n", "red", "-4", "-o", "addr", "show"]);
        let mut daemon = start(host, kind, &[])?;
        wait_until("the address is in the namespace", LIMIT, || {
            inside().is_ok_and(|text| text.contains(VIP))
        })?;
        ensure!(
            !host.addresses()?.iter().any(|one| one.to_string() == VIP),
            "{kind:?}: the address is outside"
        );
        wait_told(host, "master")?;
        wait_told(host, "notify")?;
        wait_told(host, "chk")?;
        daemon.signal(Signal::SIGTERM)?;
        let status = daemon.wait(LIMIT)?;
        ensure!(status.success(), "{kind:?}: {status}");
        ensure!(!inside()?.contains(VIP), "{kind:?}: the address stays");
        let mut told = story(host)?;
        told.sort();
        stories.push(told);
    }
    let inside = stories[1]
        .iter()
        .all(|line| line.contains(" namespace=red "));
    ensure!(
        stories[0] == stories[1] && inside,
        "keepalived:\n{}\nours:\n{}",
        stories[0].join("\n"),
        stories[1].join("\n")
    );
    // One that is not there is an error, not another place for the addresses.
    for (name, kind) in BOTH {
        let host = lab.host(name);
        prepare(
            host,
            &text.replace("net_namespace red", "net_namespace blue"),
        )?;
        let mut daemon = start(host, kind, &[])?;
        if kind == NodeKind::Tandem {
            let status = daemon.wait(LIMIT)?;
            ensure!(!status.success(), "{kind:?}: {status}");
            ensure!(daemon.log().contains("blue"), "{}", daemon.log());
        }
        ensure!(
            !host.addresses()?.iter().any(|one| one.to_string() == VIP),
            "{kind:?}: the address is outside"
        );
    }
    Ok(())
}

#[test]
fn lines_for_one_node_count_there_alone() -> Outcome {
    require!("root", "users", "keepalived", "tandemd");
    let lab = Lab::start()?;
    let text = file(
        "",
        "@main virtual_ipaddress_excluded {\n@main 10.230.138.1\n@main }\n\
         @^main virtual_ipaddress_excluded {\n@backup 10.230.138.2\n@^backup 10.230.138.3\n@^main }",
    );
    for (words, expected) in [
        (&["-i", "main"][..], "10.230.138.1"),
        (&["-i", "backup"], "10.230.138.2"),
        (&["--config-id", "other"], "10.230.138.3"),
        (&[], "10.230.138.3"),
    ] {
        on_both(&lab, |host, kind| {
            prepare(host, &text)?;
            let mut daemon = start(host, kind, words)?;
            wait_told(host, "master")?;
            let addresses = host.addresses()?;
            let found: Vec<_> = addresses
                .iter()
                .map(ToString::to_string)
                .filter(|one| one.starts_with("10.230.138."))
                .collect();
            ensure!(found == [expected], "{kind:?} {words:?}: {found:?}");
            daemon.signal(Signal::SIGTERM)?;
            daemon.wait(LIMIT).map(drop)
        })?;
    }
    Ok(())
}
