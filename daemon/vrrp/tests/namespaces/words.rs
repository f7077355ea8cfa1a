//! Words of keepalived.conf(5) that are seen from outside: packet filters, spacing in groups, further notifications; beside
//! keepalived where it has the word.

use std::process::Command;
use std::time::Duration;

use crate::lab::{Lab, Node, VIP, run, wait};
use crate::{ELECTION, SOON, forget, has_keepalived};

/// Scenarios of this file.
pub(crate) const SCENARIOS: [(&str, fn()); 7] = [
    ("a_label_changes_without_a_transition", labelled),
    ("announcements_of_a_group_keep_their_interval", grouped),
    ("instances_wait_after_the_boot", booted),
    ("lines_of_priorities_are_those_of_keepalived", priorities),
    ("addresses_have_virtual_macs_as_in_keepalived", virtual_macs),
    ("a_static_entry_that_cannot_be_is_a_fault", static_track),
    ("no_accept_drops_packets_as_keepalived_does", filtered),
];

/// An instance that is master within half a second, as a file.
fn file(lab: &Lab, name: &str, top: &str, more: &str) -> std::path::PathBuf {
    let path = lab.folder.join(format!("{name}.words.conf"));
    let text = format!(
        "{top}\nvrrp_instance R1 {{\n interface eth0\n virtual_router_id 50\n version 3\n advert_int 0.1\n priority 100\n \
         {more}\n}}\n"
    );
    std::fs::write(&path, text).expect("a file");
    path
}

fn ours(lab: &Lab, name: &str, path: &std::path::Path) -> Node {
    lab.ours(name, &format!("file={}", path.display()))
}

/// Whether the client is answered.
fn answers(lab: &Lab, address: &str) -> bool {
    let space = lab.space("c");
    let line = format!("netns exec {space} ping -c 1 -W 0.3 {address}");
    let done = Command::new("ip").args(line.split(' ')).output();
    done.is_ok_and(|output| output.status.success())
}

fn tables(lab: &Lab, name: &str) -> Option<String> {
    let space = lab.space(name);
    let line = format!("netns exec {space} nft list ruleset");
    let done = Command::new("ip").args(line.split(' ')).output().ok()?;
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    done.status.success().then_some(text)
}

fn filtered() {
    let lab = Lab::new();
    if tables(&lab, "a").is_none() {
        println!("SKIPPED: no nftables here");
        return;
    }
    lab.ip("c", "addr add 2001:db8::9/64 dev eth0 nodad");
    let more = |word: &str| {
        format!(
            "{word}\n virtual_ipaddress {{\n {VIP}/24\n }}\n virtual_ipaddress_excluded {{\n 2001:db8::100/64\n \
             fe80::100/64\n }}"
        )
    };
    let silent = |name: &str| {
        wait("it is master", ELECTION, || {
            lab.ip(name, "-6 -o addr show").contains("2001:db8::100/")
        });
        let own = if name == "a" { 1 } else { 2 };
        wait("its own address answers", SOON, || {
            answers(&lab, &format!("10.230.137.{own}"))
        });
        for address in [VIP, "2001:db8::100", "fe80::100%eth0"] {
            assert!(!answers(&lab, address), "{name}: {address} answers");
        }
        // Where it is can be asked all the same: it is there to be routed through.
        for address in [VIP, "2001:db8::100"] {
            let neighbour = lab.ip("c", &format!("neigh show {address}"));
            assert!(neighbour.contains(&lab.hardware(name)), "{neighbour}");
        }
    };
    let mut a = ours(&lab, "a", &file(&lab, "a", "", &more("no_accept")));
    silent("a");
    let told = tables(&lab, "a").unwrap_or_default();
    assert!(told.contains("table inet tandem-vrrp"), "{told}");
    forget(&mut a);
    // Reloads: other addresses, then all of them are accepted, then not.
    file(&lab, "a", "", &more("accept"));
    a.tell("set");
    for address in [VIP, "2001:db8::100", "fe80::100%eth0"] {
        wait("it answers", SOON, || answers(&lab, address));
    }
    file(&lab, "a", "", &more("no_accept"));
    a.tell("set");
    wait("it is silent again", SOON, || !answers(&lab, VIP));
    assert_eq!(a.count("->"), 0, "{}", a.text());
    a.signal("KILL");
    wait("the table went with its process", SOON, || {
        tables(&lab, "a").is_some_and(|text| !text.contains("tandem-vrrp"))
    });
    let a = ours(&lab, "a", &file(&lab, "a", "", &more("no_accept")));
    a.hears("BACKUP -> MASTER", SOON);
    assert_eq!(a.stop(), Some(0));
    assert_eq!(tables(&lab, "a").as_deref(), Some(""));
    if !has_keepalived() {
        return;
    }
    let path = file(&lab, "b", "", &more("no_accept"));
    let _b = lab.keepalived_with("b", &path);
    silent("b");
}

/// The scope, the label and the broadcast address alone: at once, and the client notices nothing.
fn labelled() {
    let lab = Lab::new();
    let more =
        |words: &str| format!("virtual_ipaddress {{\n {VIP}/32 {words}\n 10.230.137.101/24\n }}");
    let mut a = ours(&lab, "a", &file(&lab, "a", "", &more("")));
    wait("a is master", ELECTION, || lab.has("a"));
    forget(&mut a);
    for (words, seen) in [
        ("label eth0:vip", "scope global eth0:vip"),
        ("scope link", "scope link eth0"),
        (
            "brd 10.230.137.255 label eth0:x",
            "brd 10.230.137.255 scope global eth0:x",
        ),
    ] {
        file(&lab, "a", "", &more(words));
        a.tell("set");
        let shown = || lab.ip("a", &format!("-o addr show to {VIP}"));
        let start = std::time::Instant::now();
        while !shown().contains(seen) {
            assert!(start.elapsed() < SOON, "{}{}", shown(), a.text());
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(lab.ip("a", "addr show dev eth0").contains(".101/24"));
        assert!(answers(&lab, VIP));
    }
    a.tell("show");
    a.hears("SHOW", SOON);
    assert_eq!(a.count("->"), 0, "{}", a.text());
    assert_eq!(a.count("put back"), 0, "{}", a.text());
}

fn booted() {
    let lab = Lab::new();
    let uptime = || -> f64 {
        let text = std::fs::read_to_string("/proc/uptime").expect("it is there");
        let first = text.split(' ').next().expect("a number");
        first.parse().expect("a number")
    };
    let more = format!("virtual_ipaddress {{\n {VIP}\n }}");
    let begins = uptime() + 1.5;
    let top = format!("global_defs {{\n vrrp_delay_after_boot {begins:.2}\n}}");
    let a = ours(&lab, "a", &file(&lab, "a", &top, &more));
    a.hears("READY", SOON);
    a.hears("INIT -> BACKUP: ", SOON);
    assert!(uptime() >= begins - 0.05, "{} {begins}", uptime());
    let b = ours(
        &lab,
        "b",
        &file(
            &lab,
            "b",
            "global_defs {\n vrrp_delay_after_boot 1\n}",
            &more,
        ),
    );
    b.hears("INIT -> BACKUP: started", SOON);
}

/// Two interfaces of a `garp_group`, and IPv6 beside IPv4: no two messages are nearer than the interval.
fn grouped() {
    let lab = Lab::new();
    let probe = Command::new("tcpdump").arg("--version").output();
    if probe.is_err() {
        println!("SKIPPED: tcpdump is not installed");
        return;
    }
    let top =
        "garp_group {\n garp_interval 0.08\n gna_interval 0.12\n interfaces {\n eth0\n eth1\n }\n}";
    let more = format!(
        "garp_master_delay 0\n virtual_ipaddress {{\n {VIP}\n 10.230.137.101 dev eth1\n }}\n \
         virtual_ipaddress_excluded {{\n 2001:db8::1/64\n 2001:db8::2/64 dev eth1\n }}"
    );
    let measure = |name: &str, keepalived: bool| {
        let space = lab.space(name);
        lab.ip(name, "link add eth1 type veth peer name peer1");
        lab.ip(name, "link set peer1 up");
        lab.ip(name, "link set eth1 up");
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &space]);
        command.args(["tcpdump", "-l", "-n", "-tt", "-i", "any", "-Q", "out"]);
        command.args(["--immediate-mode", "arp or icmp6"]);
        let seen = Node::start(command);
        wait("the capture runs", SOON, || {
            let ask = format!("netns exec {space} ping -c 1 -W 0.05 10.230.137.250");
            let _ = Command::new("ip").args(ask.split(' ')).output();
            seen.count("who-has 10.230.137.250") > 0
        });
        let path = file(&lab, name, top, &more);
        let node = match keepalived {
            true => lab.keepalived_with(name, &path),
            false => ours(&lab, name, &path),
        };
        for (what, limit) in [
            ("who-has 10.230.137.10", 0.07),
            ("neighbor advertisement, tgt is 2001:db8::", 0.11),
        ] {
            // keepalived 2.2.7 loses most of what waits in a group.
            let least = if keepalived { 3 } else { 10 };
            wait(what, Duration::from_secs(8), || seen.count(what) >= least);
            let seconds = |line: &String| -> f64 {
                let first = line.split(' ').next().expect("a time");
                first.parse().expect("a time")
            };
            let times: Vec<_> = seen.lines_with(what).iter().map(seconds).collect();
            let gaps = times.windows(2).map(|two| two[1] - two[0]);
            let mut gaps: Vec<_> = gaps.collect();
            gaps.sort_by(f64::total_cmp);
            // A process that is held up just before it sends is nearer to the next message than it meant to be.
            let usual = gaps[gaps.len() / 2];
            println!("  {name} (keepalived {keepalived}): {what}: usual gap {usual:.4} s");
            assert!(usual > limit, "{what}: {usual} s");
        }
        drop(node);
    };
    measure("a", false);
    if has_keepalived() {
        measure("b", true);
    }
}

/// A tracked script moves the priority, and a third node says a lower one: what both write and run.
fn priorities() {
    if !has_keepalived() {
        return;
    }
    let lab = Lab::new();
    let steps = |name: &str, keepalived: bool| -> (Vec<String>, Vec<String>) {
        let path = |kind: &str| lab.folder.join(format!("{name}.{kind}"));
        let (tracked, notes, fifo) = (path("tracked"), path("notes"), path("fifo"));
        let note = path("sh");
        let script = format!("#!/bin/sh\necho \"$*\" >> {}\n", notes.display());
        std::fs::write(&note, script).expect("a file");
        run(&format!("chmod 755 {}", note.display()));
        let top = format!(
            "global_defs {{\n script_user root\n vrrp_notify_fifo {}\n vrrp_notify_priority_changes on\n}}\n\
             vrrp_script chk {{\n script \"/usr/bin/test -e {}\"\n interval 1\n weight 10\n}}",
            fifo.display(),
            tracked.display()
        );
        let more = format!(
            "notify_master_rx_lower_pri \"{} lower\"\n track_script {{\n chk\n }}\n virtual_ipaddress {{\n {VIP}\n }}",
            note.display()
        );
        let path = file(&lab, name, &top, &more);
        let (node, reader) = match keepalived {
            false => (ours(&lab, name, &path), None),
            true => {
                let node = lab.keepalived_with(name, &path);
                wait("its FIFO is there", SOON, || fifo.exists());
                let mut reader = Command::new("cat");
                reader.arg(&fifo);
                (node, Some(Node::start(reader)))
            }
        };
        let lines = || match &reader {
            Some(reader) => reader.said(""),
            None => node.said("LINE "),
        };
        let told = |text: &str| lines().iter().any(|line| line.contains(text));
        let start = std::time::Instant::now();
        while !told("\"R1\" MASTER 100") {
            assert!(start.elapsed() < ELECTION, "{:?}\n{}", lines(), node.text());
            std::thread::sleep(Duration::from_millis(5));
        }
        std::fs::write(&tracked, "").expect("a file");
        wait("the higher one is told", ELECTION, || told(" 110"));
        std::fs::remove_file(&tracked).expect("it is there");
        wait("the lower one is told", ELECTION, || {
            lines().last().is_some_and(|line| line.ends_with(" 100"))
        });
        let own = std::env::current_exe().expect("this program");
        let mut forger = Command::new("ip");
        forger
            .args(["netns", "exec", &lab.space("c")])
            .arg(own)
            .args(["forge", "lower"]);
        assert!(forger.status().is_ok_and(|status| status.success()));
        wait("the lower priority is told", SOON, || {
            told("MASTER_RX_LOWER_PRI 100")
                && std::fs::read_to_string(&notes).is_ok_and(|text| !text.is_empty())
        });
        let mut found = lines();
        found.dedup();
        let mut noted: Vec<String> = std::fs::read_to_string(&notes)
            .unwrap_or_default()
            .lines()
            .map(str::to_owned)
            .collect();
        noted.dedup();
        drop(node);
        lab.ip(name, "addr flush dev eth0");
        (found, noted)
    };
    let ours = steps("a", false);
    let theirs = steps("b", true);
    println!("  {ours:?}");
    assert_eq!(ours, theirs);
}

/// Virtual MACs of single addresses: interfaces, Ethernet addresses and what is on them.
fn virtual_macs() {
    let lab = Lab::new();
    let able = Command::new("ip")
        .args(["-n", &lab.space("c"), "link", "add", "link", "eth0"])
        .args(["mv0", "type", "macvlan"])
        .output();
    if !able.is_ok_and(|output| output.status.success()) {
        println!("SKIPPED: no macvlan here");
        return;
    }
    lab.ip("c", "link del mv0");
    let single = "virtual_ipaddress {\n 10.230.137.100 use_vmac\n 10.230.137.101 dev eth1 use_vmac\n \
                  10.230.137.102 dev eth1\n }\n virtual_ipaddress_excluded {\n 2001:db8::1/64\n \
                  2001:db8::2/64 dev eth1 use_vmac\n }";
    let all = "use_vmac\n use_vmac_addr\n virtual_ipaddress {\n 10.230.137.100\n 10.230.137.101 dev eth1\n }\n \
               virtual_ipaddress_excluded {\n 2001:db8::1/64\n 2001:db8::2/64 dev eth1\n }";
    let nodes: &[&str] = if has_keepalived() {
        &["a", "b"]
    } else {
        &["a"]
    };
    for name in nodes {
        lab.ip(name, "link add eth1 type veth peer name peer1");
        lab.ip(name, "link set peer1 up");
        lab.ip(name, "link set eth1 up");
    }
    // All interfaces with their virtual addresses.
    let picture = |name: &str| -> Vec<String> {
        let text = lab.ip(name, "-br addr");
        let mut lines = Vec::new();
        for line in text.lines() {
            let mut words = line.split_whitespace();
            let mut device = words.next().unwrap_or_default().to_owned();
            let hardware = match device.starts_with("vrrp") {
                true => lab.ip(
                    name,
                    &format!(
                        "-br link show {}",
                        device.split('@').next().unwrap_or_default()
                    ),
                ),
                false => String::new(),
            };
            let hardware = hardware
                .split_whitespace()
                .nth(2)
                .unwrap_or_default()
                .to_owned();
            if !device.starts_with("vrrp") {
                // The number of a veth's other end differs.
                device = device.split('@').next().unwrap_or_default().to_owned();
            }
            let kept = |word: &&str| word.contains("137.10") || word.contains("2001:");
            for address in words.filter(kept) {
                lines.push(format!("{device} {hardware} {address}"));
            }
        }
        lines.sort();
        lines
    };
    for lines in [single, all] {
        let mut pictures = Vec::new();
        for name in nodes {
            let path = file(&lab, name, "", lines);
            let node = match *name {
                "a" => ours(&lab, name, &path),
                _ => lab.keepalived_with(name, &path),
            };
            wait("it is master", ELECTION, || {
                lab.ip(name, "-br addr").contains("2001:db8::2/")
            });
            pictures.push(picture(name));
            if *name == "a" {
                assert!(answers(&lab, VIP));
                let neighbour = lab.ip("c", &format!("neigh show {VIP}"));
                assert!(neighbour.contains("00:00:5e:00:01:32"), "{neighbour}");
            }
            assert_eq!(node.stop(), Some(0));
            assert!(!lab.ip(name, "-br link").contains("vrrp"), "{name}");
        }
        assert!(
            pictures.windows(2).all(|two| two[0] == two[1]),
            "{pictures:#?}"
        );
        assert!(pictures[0].len() >= 4, "{pictures:#?}");
    }
}

/// What a `track_group` names and cannot be there is a fault of its instances, until it can.
fn static_track() {
    let lab = Lab::new();
    let top = "track_group G {\n group {\n R1\n }\n}\nstatic_ipaddress {\n 10.99.0.1/32 dev eth1 track_group G\n}";
    let more = format!("virtual_ipaddress {{\n {VIP}\n }}");
    let a = ours(&lab, "a", &file(&lab, "a", top, &more));
    a.hears(
        "-> FAULT: track_group G: 10.99.0.1/32 on eth1 is missing",
        SOON,
    );
    lab.ip("a", "link add eth1 type veth peer name peer1");
    a.hears("BACKUP -> MASTER", ELECTION);
    assert!(lab.ip("a", "addr show dev eth1").contains("10.99.0.1/32"));
    lab.ip("a", "addr del 10.99.0.1/32 dev eth1");
    a.hears("10.99.0.1/32 on eth1 put back", SOON);
    lab.ip("a", "link del eth1");
    a.hears(
        "MASTER -> FAULT: track_group G: 10.99.0.1/32 on eth1 is missing",
        SOON,
    );
    wait("the address is gone", SOON, || !lab.has("a"));
}
