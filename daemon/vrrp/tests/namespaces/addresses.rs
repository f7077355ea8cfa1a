//! What an instance sets up on its node and announces, beside keepalived where that is the measure.

use std::process::Command;
use std::time::Duration;

use crate::lab::{Lab, Node, VIP, run, wait};
use crate::{ELECTION, SKEW, SOON, has_keepalived};

/// The scenarios of this file.
pub(crate) const SCENARIOS: [(&str, fn()); 11] = [
    ("a_link_that_flaps_is_damped", flapping),
    (
        "a_virtual_mac_is_as_keepalived_makes_it_and_moves",
        virtual_mac,
    ),
    (
        "addresses_routes_and_rules_are_as_keepalived_sets_them",
        like_keepalived,
    ),
    (
        "an_interface_that_appears_later_gets_its_addresses",
        late_interface,
    ),
    ("announcements_keep_their_interval", paced),
    (
        "ipv6_instances_speak_from_a_virtual_mac_with_the_link_local_address_below",
        virtual_mac6,
    ),
    (
        "interfaces_without_advertisements_are_announced_again_and_again",
        extra_interfaces,
    ),
    (
        "ipv6_addresses_beside_an_ipv4_instance_move_with_their_neighbour_entries",
        neighbours,
    ),
    (
        "routes_and_rules_of_a_crash_are_reclaimed",
        reclaimed_routes,
    ),
    (
        "routes_and_rules_that_somebody_removes_are_put_back",
        restored_routes,
    ),
    ("static_entries_stay_from_the_start_to_the_end", statics),
];

/// A file of one instance; `more` goes into it, `top` before it.
fn file(lab: &Lab, name: &str, vrid: u8, priority: u8, top: &str, more: &str) -> String {
    let path = lab.folder.join(format!("{name}.instance.conf"));
    let text = format!(
        "{top}\nvrrp_instance R1 {{\n state MASTER\n interface eth0\n virtual_router_id {vrid}\n priority {priority}\n \
         advert_int 1\n {more}\n}}\n"
    );
    std::fs::write(&path, text).expect("a file");
    path.display().to_string()
}

/// Starts one of ours with a file.
fn ours(lab: &Lab, name: &str, path: &str) -> Node {
    lab.ours(name, &format!("file={path}"))
}

/// A second interface, without anybody behind it.
fn second_interface(lab: &Lab, name: &str) {
    lab.ip(name, "link add eth1 type veth peer name eth1p");
    lab.ip(name, "link set eth1p up");
    lab.ip(name, "link set eth1 up");
}

/// What was set up on a node, as `ip` tells it, without what differs between any two nodes.
fn picture(lab: &Lab, name: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for device in ["eth0", "eth1"] {
        for line in lab.ip(name, &format!("addr show dev {device}")).lines() {
            let line = line.trim();
            let own = line.contains("inet 10.230.137.1/") || line.contains("inet 10.230.137.2/");
            if line.starts_with("inet") && !own && !line.contains("inet6 fe80") {
                lines.push(format!("{device} {line}"));
            }
        }
    }
    for what in [
        "route show table all proto keepalived",
        "-6 route show table all proto keepalived",
        "rule show",
        "-6 rule show",
    ] {
        lines.extend(
            lab.ip(name, what)
                .lines()
                .map(|line| line.trim().to_owned()),
        );
    }
    lines.sort();
    lines
}

const EVERYTHING: &str = "virtual_ipaddress {
  10.230.137.100
  10.230.137.101/24 brd +
  10.230.137.102/24 brd - label eth0:1
  10.230.137.103/24 scope link dev eth1
  10.230.137.106/24 preferred_lft 0
 }
 virtual_ipaddress_excluded {
  2001:db8::1
  2001:db8::2/64
  2001:db8::3/64 preferred_lft 0
  2001:db8::4/128 preferred_lft forever
  2001:db8::5/64 noprefixroute home
  10.230.140.1/24 dev eth1
 }
 virtual_routes {
  10.1.0.0/16 via 10.230.137.9
  10.2.0.0/16 dev eth1
  10.3.0.0/16 via 10.230.137.9 dev eth0 src 10.230.137.100 metric 10 mtu 1400 table 100
  blackhole 10.4.0.0/16
  unreachable 10.5.0.0/16 table 200
  10.7.0.0/16 nexthop via 10.230.137.9 dev eth0 weight 2 nexthop via 10.230.137.8 dev eth0 weight 1
  10.8.0.0/16 dev eth0 scope link
  10.9.0.0/16 via 172.16.0.1 dev eth0 onlink hoplimit 3 initcwnd 10 features ecn advmss lock 1200
  default via 10.230.137.9 table 1000
  2001:db8:1::/48 via fe80::1 dev eth0
  2001:db8:2::/48 dev eth0 metric 77
  prohibit 2001:db8:3::/48
 }
 virtual_rules {
  from 10.1.0.0/16 table 100
  to 10.2.0.0/16 table 1000
  from 10.3.0.0/16 to 10.4.0.0/16 iif eth0 tos 16 fwmark 5 table 100 preference 500
  not from 10.5.0.0/16 prohibit
  from 2001:db8::/32 table 100
  fwmark 7/15 table 100
  iif eth1 blackhole
  from 10.6.0.0/16 goto 32766 preference 15000
 }";

fn like_keepalived() {
    if !has_keepalived() {
        return;
    }
    let lab = Lab::new();
    for name in ["a", "b"] {
        second_interface(&lab, name);
    }
    let top = "static_ipaddress {\n 10.99.0.1/32 dev eth1\n}\nstatic_routes {\n 10.77.0.0/16 via 10.230.137.9 dev eth0\n}\n\
               static_rules {\n from 10.77.0.0/16 table 77\n}";
    let before = picture(&lab, "a");
    let a = ours(&lab, "a", &file(&lab, "a", 60, 255, top, EVERYTHING));
    let b = lab.keepalived_with("b", file(&lab, "b", 61, 255, top, EVERYTHING).as_ref());
    wait("both are master", ELECTION, || {
        let all = |name| {
            let text = lab.ip(name, "rule show");
            text.contains("goto") && lab.has(name)
        };
        all("a") && all("b")
    });
    // Duplicate address detection and timers of the kernel have no part in it: all is set by one message each.
    let (mine, theirs) = (picture(&lab, "a"), picture(&lab, "b"));
    let differences: Vec<_> = mine
        .iter()
        .filter(|line| !theirs.contains(line))
        .map(|line| format!("ours {line}"))
        .chain(
            theirs
                .iter()
                .filter(|line| !mine.contains(line))
                .map(|line| format!("keepalived's {line}")),
        )
        .collect();
    assert_eq!(differences, Vec::<String>::new());
    assert!(mine.len() > 25, "{mine:#?}");
    assert_eq!(a.stop(), Some(0));
    assert_eq!(picture(&lab, "a"), before);
    b.stop();
}

/// Captures ARP and more on the client's side until it is dropped; the lines begin with seconds.
fn capture(lab: &Lab, more: &str) -> Node {
    let mut command = Command::new("ip");
    command
        .args(["netns", "exec", &lab.space("c")])
        .args(["tcpdump", "-l", "-n", "-tt", "-i", "eth0"])
        .arg(format!("arp or {more}"));
    let node = Node::start(command);
    // It runs when it sees the client ask for somebody who is not there.
    wait("the capture runs", SOON, || {
        let space = lab.space("c");
        let ask = format!("netns exec {space} ping -c 1 -W 0.05 10.230.137.250");
        let _ = Command::new("ip").args(ask.split(' ')).output();
        node.count("who-has 10.230.137.250") > 0
    });
    node
}

fn has_tcpdump() -> bool {
    let found = Command::new("tcpdump").arg("--version").output().is_ok();
    if !found {
        println!("SKIPPED in part: tcpdump is not installed");
    }
    found
}

fn seconds(line: &str) -> f64 {
    line.split(' ')
        .next()
        .and_then(|text| text.parse().ok())
        .expect("a time")
}

fn paced() {
    if !has_tcpdump() {
        return;
    }
    let lab = Lab::new();
    let heard = capture(&lab, "ip proto 112");
    let addresses: String = (100..120)
        .map(|last| format!("10.230.137.{last}\n"))
        .collect();
    let path = file(
        &lab,
        "a",
        60,
        255,
        "global_defs {\n vrrp_garp_interval 0.02\n}",
        &format!("garp_master_delay 0\n virtual_ipaddress {{\n{addresses}}}"),
    );
    let a = ours(&lab, "a", &path);
    let announced = || heard.lines_with("(ff:ff:ff:ff:ff:ff) tell 10.230.137.1");
    wait("20 addresses five times", Duration::from_secs(6), || {
        announced().len() >= 100
    });
    let times: Vec<_> = announced().iter().map(|line| seconds(line)).collect();
    let mut gaps: Vec<_> = times.windows(2).map(|two| two[1] - two[0]).collect();
    gaps.sort_by(f64::total_cmp);
    // A process that is held up just before it sends is nearer to the next message than it meant to be.
    assert!(gaps[3] > 0.015, "announcements within {:?} s", &gaps[..4]);
    wait("three advertisements", Duration::from_secs(4), || {
        heard.lines_with("VRRPv2").len() >= 4
    });
    let adverts: Vec<_> = heard
        .lines_with("VRRPv2")
        .iter()
        .map(|line| seconds(line))
        .collect();
    let longest = adverts
        .windows(2)
        .map(|two| two[1] - two[0])
        .fold(0.0, f64::max);
    println!("  20 addresses: longest gap between advertisements {longest:.4} s");
    assert!(
        longest < 1.15,
        "an advertisement {longest} s after the last"
    );
    assert_eq!(announced().len(), 100);
    assert_eq!(a.stop(), Some(0));
}

fn neighbours() {
    let lab = Lab::new();
    let more = format!(
        "virtual_ipaddress {{\n {VIP}\n }}\n virtual_ipaddress_excluded {{\n 2001:db8::1/64\n }}"
    );
    lab.ip("c", "addr add 2001:db8::9/64 dev eth0 nodad");
    let b = ours(&lab, "b", &file(&lab, "b", 60, 99, "", &more));
    wait("b is master", ELECTION, || lab.has("b"));
    let ping = || {
        let space = lab.space("c");
        let line = format!("ip netns exec {space} ping -6 -c 1 -W 1 2001:db8::1");
        let words: Vec<_> = line.split(' ').collect();
        let done = Command::new(words[0]).args(&words[1..]).output();
        done.is_ok_and(|output| output.status.success())
    };
    // An address that is tentative answers after a second; ours answers at once.
    wait("2001:db8::1 answers", Duration::from_millis(900), ping);
    let goes_to = |name: &str| {
        lab.ip("c", "-6 neigh show 2001:db8::1")
            .contains(&lab.hardware(name))
    };
    assert!(goes_to("b"));
    let a = ours(&lab, "a", &file(&lab, "a", 60, 255, "", &more));
    // Without a packet of the client's: the advertisement overrides its entry.
    wait("the client goes to a", ELECTION, || goes_to("a"));
    assert!(ping());
    wait("b is backup", SOON, || {
        !lab.ip("b", "-6 addr show dev eth0")
            .contains("2001:db8::1/")
    });
    a.forget();
    lab.ip("a", "addr del 2001:db8::1/64 dev eth0");
    a.hears("put back: 2001:db8::1", SOON);
    b.forget();
    assert_eq!(a.stop(), Some(0));
    assert!(!lab.ip("a", "-6 addr").contains("2001:db8::1/"));
    b.hears("BACKUP -> MASTER", SKEW);
    wait("the client goes to b again", SOON, || goes_to("b"));
    assert_eq!(b.stop(), Some(0));
}

const ROUTED: &str = "virtual_ipaddress {\n 10.230.137.100\n }\n virtual_routes {\n 10.1.0.0/16 via 10.230.137.9\n \
                      10.2.0.0/16 dev eth0 no_track\n }\n virtual_rules {\n from 10.1.0.0/16 table 100 preference 500\n }";

fn restored_routes() {
    let lab = Lab::new();
    let a = ours(&lab, "a", &file(&lab, "a", 60, 255, "", ROUTED));
    wait("a is master", ELECTION, || {
        lab.ip("a", "rule show").contains("500:")
    });
    lab.ip("a", "route del 10.2.0.0/16");
    lab.ip("a", "route del 10.1.0.0/16");
    a.hears("put back: route 10.1.0.0/16 via 10.230.137.9", SOON);
    a.forget();
    lab.ip("a", "rule del preference 500");
    a.hears("put back: rule from 10.1.0.0/16", SOON);
    let routes = lab.ip("a", "route show proto keepalived");
    assert!(routes.contains("10.1.0.0/16 via"), "{routes}");
    assert!(!routes.contains("10.2.0.0/16"), "not tracked: {routes}");
    assert_eq!(a.stop(), Some(0));
}

fn reclaimed_routes() {
    let lab = Lab::new();
    let path = file(&lab, "a", 60, 100, "", ROUTED);
    let mut a = ours(&lab, "a", &path);
    wait("a is master", ELECTION, || {
        lab.ip("a", "rule show").contains("500:")
    });
    a.signal("KILL");
    let a = ours(&lab, "a", &path);
    a.hears("route 10.1.0.0/16 via 10.230.137.9 removed", SOON);
    a.hears("rule from 10.1.0.0/16", SOON);
    a.hears("10.230.137.100/32 removed", SOON);
    assert_eq!(lab.ip("a", "route show proto keepalived"), "");
    assert!(!lab.ip("a", "rule show").contains("500:"));
    assert_eq!(a.stop(), Some(0));
}

fn statics() {
    let lab = Lab::new();
    let top = "global_defs {\n default_interface eth0\n}\nstatic_ipaddress {\n 10.99.0.1/32\n}\n\
               static_routes {\n 10.77.0.0/16 via 10.230.137.9 dev eth0\n}\nstatic_rules {\n from 10.77.0.0/16 table 77\n}";
    // A backup: they do not depend on who is master.
    let path = file(
        &lab,
        "a",
        60,
        50,
        top,
        "virtual_ipaddress {\n 10.230.137.100\n }",
    );
    let a = ours(&lab, "a", &path);
    let there = || {
        lab.ip("a", "addr show dev eth0").contains("10.99.0.1/32")
            && lab.ip("a", "route show").contains("10.77.0.0/16")
            && lab
                .ip("a", "rule show")
                .contains("16384:\tfrom 10.77.0.0/16")
    };
    wait("they are there", SOON, there);
    assert!(!lab.has("a"));
    lab.ip("a", "addr del 10.99.0.1/32 dev eth0");
    a.hears("10.99.0.1/32 on eth0 put back", SOON);
    lab.ip("a", "route del 10.77.0.0/16");
    a.hears(
        "route 10.77.0.0/16 via 10.230.137.9 dev eth0 put back",
        SOON,
    );
    wait("they are there again", SOON, there);
    assert_eq!(a.stop(), Some(0));
    assert!(!lab.ip("a", "addr show").contains("10.99.0.1"));
    assert!(!lab.ip("a", "route show").contains("10.77.0.0/16"));
    assert!(!lab.ip("a", "rule show").contains("10.77.0.0/16"));
}

/// What `ip` tells of an interface, without numbers and neighbours that differ between nodes.
fn interface(lab: &Lab, name: &str, device: &str) -> Vec<String> {
    let text = lab.ip(name, &format!("-d addr show dev {device}"));
    let mut lines: Vec<_> = text
        .lines()
        .skip(1)
        .map(|line| line.trim().to_owned())
        .filter(|line| !line.contains("inet6 fe80"))
        .collect();
    let space = lab.space(name);
    for setting in [
        "arp_ignore",
        "accept_local",
        "rp_filter",
        "promote_secondaries",
    ] {
        let path = format!("/proc/sys/net/ipv4/conf/{device}/{setting}");
        let value = run(&format!("ip netns exec {space} cat {path}"));
        lines.push(format!("{setting} {}", value.trim()));
    }
    lines
}

fn virtual_mac() {
    let lab = Lab::new();
    let able = Command::new("ip")
        .args(["-n", &lab.space("c")])
        .args(["link", "add", "link", "eth0", "mv0", "type", "macvlan"])
        .output();
    if !able.is_ok_and(|output| output.status.success()) {
        println!("SKIPPED: no macvlan here");
        return;
    }
    lab.ip("c", "link del mv0");
    let vrid = 60;
    let text = "use_vmac\n virtual_ipaddress {\n 10.230.137.100\n 10.230.137.101/24\n }";
    let b = ours(&lab, "b", &file(&lab, "b", vrid, 99, "", text));
    wait("b is master", ELECTION, || lab.has("b"));
    let arps = capture(&lab, "ip6 proto 112");
    let ping = |from: &str| {
        let space = lab.space(from);
        let line = format!("netns exec {space} ping -c 1 -W 1 -I {VIP} 10.230.137.9");
        let done = Command::new("ip").args(line.split(' ')).output();
        done.is_ok_and(|output| output.status.success())
    };
    let entry = || lab.ip("c", &format!("neigh show {VIP}"));
    lab.ip("c", "neigh flush all");
    let space = lab.space("c");
    run(&format!("ip netns exec {space} ping -c 1 -W 1 {VIP}"));
    assert!(entry().contains("00:00:5e:00:01:3c"), "{}", entry());
    // The kernel's own requests do not tell that the virtual address is at the physical MAC (RFC 5798 8.1.2).
    lab.ip("b", "neigh flush all");
    assert!(ping("b"));
    wait("b asked for the client", SOON, || {
        !arps.lines_with("who-has 10.230.137.9 tell").is_empty()
    });
    assert_eq!(
        arps.lines_with(&format!("who-has 10.230.137.9 tell {VIP}")),
        Vec::<String>::new()
    );
    if has_keepalived() {
        let a = lab.keepalived_with("a", file(&lab, "a", vrid, 255, "", text).as_ref());
        wait("keepalived is master", ELECTION, || {
            lab.has("a") && !lab.has("b")
        });
        assert!(
            entry().contains("00:00:5e:00:01:3c"),
            "the same for the client"
        );
        let theirs = interface(&lab, "a", "vrrp.60");
        a.stop();
        wait("b is master again", ELECTION, || lab.has("b"));
        assert_eq!(interface(&lab, "b", "vrrp.60"), theirs);
    }
    // Somebody removes the whole interface.
    lab.ip("b", "link del vrrp.60");
    wait("it is there again", SOON, || lab.has("b"));
    assert_eq!(b.stop(), Some(0));
    assert!(!lab.ip("b", "link show").contains("vrrp.60"));
    for setting in ["arp_ignore", "arp_filter", "arp_announce"] {
        let space = lab.space("b");
        let path = format!("/proc/sys/net/ipv4/conf/eth0/{setting}");
        let value = run(&format!("ip netns exec {space} cat {path}"));
        assert_eq!(value.trim(), "0", "{setting}");
    }
}

fn virtual_mac6() {
    let lab = Lab::new();
    let text = "use_vmac\n virtual_ipaddress {\n fe80::60\n 2001:db8::60/64\n }";
    let own = |name: &str| {
        let text = lab.ip(name, "-6 addr show dev eth0 scope link");
        text.split_whitespace()
            .find(|word| word.starts_with("fe80"))
            .and_then(|word| word.split('/').next())
            .map(str::to_owned)
    };
    wait("b has a link-local address", ELECTION, || {
        let text = lab.ip("b", "-6 addr show dev eth0 scope link");
        own("b").is_some() && !text.contains("tentative")
    });
    let b = ours(&lab, "b", &file(&lab, "b", 60, 99, "", text));
    wait("b is master", ELECTION, || {
        lab.ip("b", "-6 addr show").contains("2001:db8::60/64")
    });
    let link = lab.ip("b", "addr show dev vrrp.60");
    assert!(link.contains("00:00:5e:00:02:3c"), "{link}");
    assert!(link.contains(&own("b").expect("an address")), "{link}");
    if has_tcpdump() {
        let heard = capture(&lab, "ip6 proto 112");
        wait("an advertisement", SOON, || {
            !heard.lines_with(&own("b").expect("an address")).is_empty()
        });
    }
    assert_eq!(b.stop(), Some(0));
}

fn flapping() {
    let lab = Lab::new();
    let more = format!("virtual_ipaddress {{\n {VIP}\n }}");
    let top = "interface_up_down_delays {\n eth0 0.4 0\n}";
    let a = ours(&lab, "a", &file(&lab, "a", 60, 255, top, &more));
    wait("a is master", ELECTION, || lab.has("a"));
    let switch = lab.space("sw");
    // A loss shorter than the delay that is configured for it is none.
    run(&format!("ip -n {switch} link set va down"));
    run(&format!("ip -n {switch} link set va up"));
    for _ in 0..4 {
        a.forget();
        // The command itself takes a while on a busy machine.
        let start = std::time::Instant::now();
        run(&format!("ip -n {switch} link set va down"));
        a.hears("-> FAULT", SOON);
        let took = start.elapsed();
        assert!(took > Duration::from_millis(300), "{took:?}");
        run(&format!("ip -n {switch} link set va up"));
        wait("the link is up", SOON, || {
            !lab.ip("a", "link show eth0").contains("NO-CARRIER")
        });
        if a.count("flapping is damped") == 0 {
            wait("the news is in", ELECTION, || {
                a.count("flapping is damped") + a.count("FAULT -> ") > 0
            });
        }
    }
    assert_eq!(a.count("flapping is damped"), 1);
    assert_eq!(a.count("FAULT -> "), 0, "held until it is calm");
    assert!(!lab.has("a"));
    assert_eq!(a.stop(), Some(0));
}

fn late_interface() {
    let lab = Lab::new();
    let more = format!(
        "virtual_ipaddress {{\n {VIP}\n 10.230.140.1/24 dev eth1\n }}\n virtual_routes {{\n 10.2.0.0/16 dev eth1\n }}"
    );
    let a = ours(&lab, "a", &file(&lab, "a", 60, 255, "", &more));
    a.hears("interface eth1 does not exist", ELECTION);
    wait("what can be there is there", SOON, || lab.has("a"));
    second_interface(&lab, "a");
    a.hears("10.230.140.1 on eth1 added", SOON);
    a.hears("route 10.2.0.0/16 dev eth1 added", SOON);
    a.forget();
    lab.ip("a", &format!("addr del {VIP}/32 dev eth0"));
    a.hears("put back: 10.230.137.100 on eth0: removed by ", SOON);
    assert_eq!(a.stop(), Some(0));
}

fn extra_interfaces() {
    if !has_tcpdump() {
        return;
    }
    let lab = Lab::new();
    second_interface(&lab, "a");
    let mut command = Command::new("ip");
    command
        .args(["netns", "exec", &lab.space("a")])
        .args(["tcpdump", "-l", "-n", "-tt", "-i", "eth1p", "arp"]);
    let heard = Node::start(command);
    let more = format!(
        "garp_master_delay 0\n garp_master_repeat 1\n garp_extra_if all 1\n \
         virtual_ipaddress {{\n {VIP}\n 10.230.140.1/24 dev eth1\n }}"
    );
    let a = ours(&lab, "a", &file(&lab, "a", 60, 255, "", &more));
    wait("two more announcements", ELECTION, || {
        heard.count("tell 10.230.140.1") >= 3
    });
    let times: Vec<_> = heard
        .lines_with("tell 10.230.140.1")
        .iter()
        .map(|line| seconds(line))
        .collect();
    let gap = times[2] - times[1];
    assert!((0.95..1.3).contains(&gap), "every second: {gap}");
    assert_eq!(a.stop(), Some(0));
}
