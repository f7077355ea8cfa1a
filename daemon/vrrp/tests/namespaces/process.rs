//! Words of `global_defs` about the process itself: its scheduling, the packet filter's table, strangers' virtual routers.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::lab::{Lab, VIP, run, stays, wait};
use crate::{ELECTION, SOON, has_keepalived};

/// Scenarios of this file.
pub(crate) const SCENARIOS: [(&str, fn()); 3] = [
    (
        "a_process_is_scheduled_as_keepalived_schedules_its_own",
        scheduled,
    ),
    ("a_strangers_virtual_router_is_told", stranger),
    ("the_packet_filters_table_is_as_configured", table),
];

fn file(lab: &Lab, name: &str, global: &str, vrid: u8, more: &str) -> PathBuf {
    let path = lab.folder.join(format!("{name}.process.conf"));
    let text = format!(
        "global_defs {{\n {global}\n}}\nvrrp_instance R1 {{\n interface eth0\n virtual_router_id {vrid}\n version 3\n \
         advert_int 0.1\n priority 100\n virtual_ipaddress {{\n {VIP}\n }}\n {more}\n}}\n"
    );
    std::fs::write(&path, text).expect("a file");
    path
}

/// What the kernel says of a process: policy, real-time priority, processors, limit of real time.
fn scheduling(pid: u32) -> [String; 4] {
    let read = |name: &str| std::fs::read_to_string(format!("/proc/{pid}/{name}"));
    let (stat, status, limits) = (read("stat"), read("status"), read("limits"));
    let stat = stat.unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    // The fields of proc(5) from the third one on: 40 is rt_priority, 41 policy.
    let field = |at: usize| {
        after_name
            .split_whitespace()
            .nth(at - 3)
            .unwrap_or_default()
            .to_owned()
    };
    let line = |text: std::io::Result<String>, start: &str| {
        let text = text.unwrap_or_default();
        let found = text.lines().find_map(|line| line.strip_prefix(start));
        found.unwrap_or_default().trim().to_owned()
    };
    let limit = line(limits, "Max realtime timeout");
    let soft = limit
        .split_whitespace()
        .next()
        .unwrap_or_default()
        .to_owned();
    [
        field(41),
        field(40),
        line(status, "Cpus_allowed_list:"),
        soft,
    ]
}

fn scheduled() {
    let lab = Lab::new();
    let global = "vrrp_rt_priority 30\n vrrp_rlimit_rttime 200000\n vrrp_cpu_affinity 0\n vrrp_no_swap\n vrrp_priority -5";
    let seen = |pid: u32, expected: &[String; 4]| {
        let start = std::time::Instant::now();
        while scheduling(pid) != *expected {
            assert!(
                start.elapsed() < ELECTION,
                "{:?}, not {expected:?}",
                scheduling(pid)
            );
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    };
    // 2 is SCHED_RR.
    let expected = ["2", "30", "0", "200000"].map(str::to_owned);
    if has_keepalived() {
        let b = lab.keepalived_with("b", &file(&lab, "b", global, 51, ""));
        let children = || {
            let id = b.id();
            std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default()
        };
        wait("keepalived has a child", ELECTION, || {
            !children().trim().is_empty()
        });
        // It raises the limit by what it has used already.
        let child = children().trim().parse().expect("a process");
        wait("keepalived is scheduled", ELECTION, || {
            scheduling(child)[..3] == expected[..3]
        });
    }
    let path = file(&lab, "a", global, 50, "");
    let mut a = lab.ours("a", &format!("file={}", path.display()));
    a.hears("READY", SOON);
    seen(a.id(), &expected);
    // What is no longer written is as it is without.
    let all = std::fs::read_to_string("/sys/devices/system/cpu/online").expect("processors");
    file(&lab, "a", "", 50, "");
    a.tell("set");
    seen(
        a.id(),
        &["2", "1", all.trim(), "1000000"].map(str::to_owned),
    );
    // Who gives it less than others have does not mean to give it real time.
    file(&lab, "a", "vrrp_priority 5", 50, "");
    a.tell("set");
    seen(
        a.id(),
        &["0", "0", all.trim(), "1000000"].map(str::to_owned),
    );
}

fn stranger() {
    let lab = Lab::new();
    let local = "/proc/sys/net/ipv4/igmp_link_local_mcast_reports";
    let reports = || run(&format!("ip netns exec {} cat {local}", lab.space("a")));
    assert_eq!(reports().trim(), "1");
    let path = file(&lab, "a", "log_unknown_vrids\n disable_local_igmp", 50, "");
    let a = lab.ours("a", &format!("file={}", path.display()));
    let b = lab.ours(
        "b",
        &format!("file={}", file(&lab, "b", "", 51, "").display()),
    );
    b.hears("BACKUP -> MASTER", ELECTION);
    let told =
        "eth0: advertisement of virtual router 51, which is not configured here: from 10.230.137.2";
    a.hears(told, SOON);
    // As often as it speaks it is told once a minute.
    stays("once", Duration::from_millis(500), || a.count(told) == 1);
    assert_eq!(reports().trim(), "0");
}

fn table() {
    let lab = Lab::new();
    let rules = |name: &str| {
        let line = format!("netns exec {} nft list ruleset", lab.space(name));
        let done = Command::new("ip").args(line.split(' ')).output().ok()?;
        done.status
            .success()
            .then(|| String::from_utf8_lossy(&done.stdout).into_owned())
    };
    if rules("a").is_none() {
        println!("SKIPPED: no nftables here");
        return;
    }
    let path = file(
        &lab,
        "a",
        "nftables lb\n nftables_priority 7\n nftables_counters",
        50,
        "no_accept",
    );
    let mut a = lab.ours("a", &format!("file={}", path.display()));
    a.hears("BACKUP -> MASTER", ELECTION);
    let text = rules("a").unwrap_or_default();
    for expected in [
        "table inet lb",
        "hook input priority filter + 7",
        "hook output",
        "counter packets",
        VIP,
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    // Another table takes its place.
    file(&lab, "a", "nftables", 50, "no_accept");
    a.tell("set");
    wait("the table has its new name", SOON, || {
        let text = rules("a").unwrap_or_default();
        text.contains("table inet keepalived")
            && !text.contains("table inet lb")
            && !text.contains("counter")
    });
    assert_eq!(a.count("MASTER -> "), 0, "{}", a.text());
    assert_eq!(a.stop(), Some(0));
    assert_eq!(rules("a").as_deref(), Some(""));
}
