//! What is said about an instance's words on the wire, as keepalived 2.2.7 takes them.

use std::net::IpAddr;
use std::time::Duration;

use tandem_config::keepalived::*;
use tandem_config::{Input, Loaded, load_as};

const VIP: &str = "virtual_ipaddress { 10.0.0.9 }";

fn read(global: &str, lines: &str) -> Loaded {
    let text = format!(
        "global_defs {{\n{global}\n}}\nvrrp_instance A {{\ninterface eth0\nvirtual_router_id 5\n{lines}\n}}\n"
    );
    load_as(&[Input::text("k.conf", text)], &|_| None, "node1")
}

/// The instance; its complaints are warnings, and each expected text is in one of them, in order.
fn check(lines: &str, complaints: &[&str]) -> VrrpInstance {
    check_with("", lines, complaints)
}

fn check_with(global: &str, lines: &str, complaints: &[&str]) -> VrrpInstance {
    let loaded = read(global, lines);
    let shown = loaded.diagnostics.render(&loaded.sources);
    assert!(!loaded.diagnostics.has_errors(), "{shown}");
    let found: Vec<_> = loaded.diagnostics.0.iter().collect();
    assert_eq!(found.len(), complaints.len(), "{lines}\n{shown}");
    for (one, expected) in found.iter().zip(complaints) {
        assert!(one.message.contains(expected), "{expected}\n{shown}");
    }
    let config = loaded.keepalived.expect("a configuration");
    config.instances.into_iter().next().expect("an instance")
}

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

#[test]
fn the_version_is_the_instance_s_the_global_one_or_what_ipv6_needs() {
    assert_eq!(check(VIP, &[]).version, Version::V2);
    assert_eq!(
        check(&format!("version 3\n{VIP}"), &[]).version,
        Version::V3
    );
    let global = "vrrp_version 3";
    assert_eq!(check_with(global, VIP, &[]).version, Version::V3);
    let own = format!("version 2\n{VIP}");
    assert_eq!(check_with(global, &own, &[]).version, Version::V2);
    let ipv6 = check("virtual_ipaddress { fe80::1 }", &[]);
    assert_eq!((ipv6.version, ipv6.is_ipv6()), (Version::V3, true));
    let lines = "version 2\nvirtual_ipaddress { fe80::1 }";
    assert_eq!(check(lines, &["version 3 is used"]).version, Version::V3);
}

#[test]
fn the_interval_is_what_the_version_can_say() {
    let check = |version, written, complaints: &[&str]| {
        let lines = format!("version {version}\nadvert_int {written}\n{VIP}");
        check(&lines, complaints).advert_int.as_millis()
    };
    assert_eq!(check(3, "0.01", &[]), 10);
    assert_eq!(check(3, "0.92", &[]), 920);
    assert_eq!(check(3, "0.012", &["of 0.01 s is used"]), 10);
    assert_eq!(check(3, "45", &["of 40.95 s is used"]), 40_950);
    assert_eq!(check(2, "0.5", &["of 1 s is used"]), 1000);
    assert_eq!(check(2, "255", &[]), 255_000);
    assert_eq!(
        check(3, "0.005", &["is ignored, as keepalived ignores it"]),
        1000
    );
    assert!(
        read("", &format!("advert_int\n{VIP}"))
            .diagnostics
            .has_errors()
    );
}

#[test]
fn an_instance_has_one_family() {
    let mixed = check(
        "virtual_ipaddress {\nfe80::1\n10.1.1.1\n}\nunicast_src_ip 10.0.0.1\nunicast_peer {\n10.0.0.2\nfe80::2\n}",
        &[
            "the virtual address 10.1.1.1 is ignored",
            "the source address 10.0.0.1 is ignored",
            "the unicast_peer 10.0.0.2 is ignored",
        ],
    );
    assert_eq!(mixed.virtual_addresses.len(), 1);
    assert_eq!(mixed.unicast_peers, [address("fe80::2")]);
    assert_eq!(mixed.source_address, None);
    check(
        &format!("native_ipv6\n{VIP}"),
        &["'native_ipv6' does nothing"],
    );
}

#[test]
fn version_3_and_strict_mode_want_an_address() {
    for lines in ["version 3", "strict_mode"] {
        let loaded = read("", lines);
        assert!(!loaded.diagnostics.has_errors());
        assert!(loaded.diagnostics.0[0].message.contains("is ignored"));
        assert!(
            loaded
                .keepalived
                .is_some_and(|config| config.instances.is_empty())
        );
    }
    check("", &["has no virtual address"]);
}

#[test]
fn authentication_belongs_to_version_2() {
    let block = |kind: &str, rest: &str| {
        format!("authentication {{\nauth_type {kind}\nauth_pass passwd\n}}\n{VIP}\n{rest}")
    };
    let octets = *b"passwd\0\0";
    assert_eq!(
        check(&block("PASS", ""), &[]).authentication,
        Some(Authentication::Pass(octets))
    );
    assert_eq!(
        check(&block("AH", ""), &[]).authentication,
        Some(Authentication::Ah(octets))
    );
    for (rest, why) in [
        ("version 3", "version 3 has no authentication"),
        ("strict_mode\nno_accept", "strict_mode does not allow it"),
    ] {
        assert_eq!(check(&block("AH", rest), &[why]).authentication, None);
    }
    let without = format!("authentication {{\nauth_type AH\n}}\n{VIP}");
    assert_eq!(
        check(&without, &["without an 'auth_pass'"]).authentication,
        None
    );
}

#[test]
fn peers_may_have_limits_of_their_ttl() {
    let instance = check(
        &format!(
            "{VIP}\nunicast_ttl 64\nunicast_peer {{\n10.0.0.2 min_ttl 3 max_ttl 64\n10.0.0.3\n10.0.0.4 max_ttl 9\n}}"
        ),
        &[],
    );
    assert_eq!(instance.unicast_peers.len(), 3);
    assert_eq!(instance.unicast_ttl, 64);
    let limits: Vec<_> = instance
        .peer_ttls
        .iter()
        .map(|one| (one.peer, one.min, one.max))
        .collect();
    assert_eq!(
        limits,
        [(address("10.0.0.2"), 3, 64), (address("10.0.0.4"), 0, 9)]
    );
    check(
        &format!("{VIP}\nunicast_peer {{\n10.0.0.2 min_ttl 7 max_ttl 5\n10.0.0.3 min_ttl 300\n}}"),
        &["'min_ttl' is ignored", "min_ttl 7 > max_ttl 5"],
    );
    assert_eq!(
        check(
            &format!("{VIP}\nunicast_ttl 0\nunicast_peer {{\n10.0.0.2\n}}"),
            &["1 is used"]
        )
        .unicast_ttl,
        1
    );
}

#[test]
fn unicast_without_peers_is_multicast_or_a_fault() {
    let lines = format!("unicast_src_ip 10.0.0.1\n{VIP}");
    let multicast = check(&lines, &["without a 'unicast_peer'"]);
    assert!(!multicast.unicast_fault_no_peer);
    let fault = check(&format!("unicast_fault_no_peer\n{lines}"), &[]);
    assert!(fault.unicast_fault_no_peer);
    let with = format!("unicast_fault_no_peer\n{VIP}\nunicast_peer {{\n10.0.0.2\n}}");
    assert!(!check(&with, &[]).unicast_fault_no_peer);
}

#[test]
fn groups_are_multicast_addresses_of_the_family() {
    let instance = check(&format!("mcast_dst_ip 224.0.0.19\n{VIP}"), &[]);
    assert_eq!(instance.group, Some(address("224.0.0.19")));
    for (lines, why) in [
        (
            format!("mcast_dst_ip 10.0.0.1\n{VIP}"),
            "not a multicast address",
        ),
        (format!("mcast_dst_ip ff02::13\n{VIP}"), "is ignored"),
        (
            "mcast_dst_ip ff05::13\nvirtual_ipaddress { fe80::1 }".to_owned(),
            "link-local",
        ),
    ] {
        assert_eq!(check(&lines, &[why]).group, None);
    }
    check(
        &format!("mcast_dst_ip 224.0.0.19\nunicast_peer {{\n10.0.0.2\n}}\n{VIP}"),
        &["does nothing with 'unicast_peer'"],
    );
    let global = read("vrrp_mcast_group6 ff02::99\nvrrp_skip_check_adv_addr", VIP);
    let config = global.keepalived.expect("a configuration");
    assert_eq!(
        IpAddr::from(config.global.vrrp_mcast_group6),
        address("ff02::99")
    );
    assert!(config.instances[0].skip_check_adv_addr);
}

#[test]
fn a_master_without_a_priority_is_the_owner() {
    let owner = check(&format!("state MASTER\n{VIP}"), &["255 is used"]);
    assert_eq!(owner.priority, 255);
    assert_eq!(
        check(&format!("state MASTER\npriority 90\n{VIP}"), &[]).priority,
        90
    );
    assert_eq!(check(VIP, &[]).priority, 100);
}

#[test]
fn strict_mode_corrects_what_the_rfcs_do_not_allow() {
    let lines = |more: &str| format!("strict_mode\nno_accept\n{VIP}\n{more}");
    let state = |more: &str, complaints: &[&str]| check(&lines(more), complaints).state;
    let follows = "the state follows the priority";
    assert_eq!(
        state("state MASTER\npriority 100", &[follows]),
        InitialState::Backup
    );
    assert_eq!(
        state("state BACKUP\npriority 255", &[follows]),
        InitialState::Master
    );
    assert_eq!(
        state("state MASTER\npriority 255", &[]),
        InitialState::Master
    );
    let delayed = check(
        &lines("preempt_delay 5"),
        &["does nothing with 'strict_mode'"],
    );
    assert_eq!(delayed.preempt_delay, Duration::ZERO);
    let global = check_with("vrrp_strict", &format!("no_accept\n{VIP}"), &[]);
    assert!(global.strict);
    assert!(!check_with("vrrp_strict", &format!("strict_mode off\n{VIP}"), &[]).strict);
    check(
        "strict_mode\nno_accept\nvirtual_ipaddress { 2001:db8::1 }",
        &["the first virtual address must be link-local"],
    );
    check("virtual_ipaddress { 2001:db8::1 }", &[]);
}

#[test]
fn checksums_are_as_asked() {
    let checksum = |line: &str| {
        check(
            &format!("version 3\n{line}\n{VIP}\nunicast_peer {{\n10.0.0.2\n}}"),
            &[],
        )
        .checksum
    };
    assert_eq!(checksum(""), Checksum::WithPseudoHeader);
    assert_eq!(checksum("v3_checksum_as_v2"), Checksum::WithoutPseudoHeader);
    assert_eq!(checksum("old_unicast_checksum"), Checksum::OldUnicast);
    assert_eq!(
        checksum("old_unicast_checksum never"),
        Checksum::NeverOldUnicast
    );
}
