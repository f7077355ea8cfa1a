//! Addresses, routes, rules and announcements of keepalived's language.

use std::time::Duration;

use tandem_config::keepalived::*;
use tandem_config::{DiagnosticKind as Kind, Input, Loaded, Severity, load};

fn read(text: &str) -> Loaded {
    load(&[Input::text("k.conf", text)], &|_| None)
}

/// An instance with more lines in it, without complaints.
fn instance(more: &str) -> VrrpInstance {
    let loaded = read(&body(more));
    assert_eq!(loaded.diagnostics.render(&loaded.sources), "", "{more}");
    loaded
        .keepalived
        .expect("a configuration")
        .instances
        .remove(0)
}

fn body(more: &str) -> String {
    format!(
        "vrrp_instance A {{\ninterface eth0\nvirtual_router_id 60\nvirtual_ipaddress {{\n10.0.0.1\n}}\n{more}\n}}\n"
    )
}

/// What a line is complained about with.
fn complaint(more: &str) -> (Severity, Kind, String) {
    let loaded = read(&body(more));
    let found = loaded.diagnostics.0.first().expect("a complaint");
    (found.severity, found.kind, found.message.clone())
}

#[test]
fn addresses_have_keepalived_s_defaults() {
    let found = instance(
        "virtual_ipaddress_excluded {\n2001:db8::1\n2001:db8::2/64 -nodad\n2001:db8::3/128 preferred_lft forever\n\
         10.0.0.2/24 brd - no_track\n10.0.0.3/24 peer 10.0.0.4\n}",
    );
    let all = &found.excluded_addresses;
    assert_eq!((all[0].prefix_length, all[0].preferred_lft), (128, 0));
    assert_eq!(all[0].flags, 2, "no duplicate address detection");
    assert_eq!((all[1].flags, all[1].preferred_lft), (0, FOREVER));
    assert_eq!(all[2].preferred_lft, FOREVER);
    assert_eq!(all[3].broadcast, Some([10, 0, 0, 0].into()));
    assert!(all[3].no_track);
    assert_eq!(all[4].peer, Some([10, 0, 0, 4].into()));
}

#[test]
fn a_route_has_the_words_of_ip_route() {
    let found = instance(
        "virtual_routes {\nsrc 10.0.0.1 to 10.1.0.0/16 via 10.0.0.9 dev eth0 table 100 metric 7 mtu lock 1400 rtt 100\n\
         blackhole 10.2.0.0/16\ndefault nexthop via 10.0.0.8 weight 2 nexthop via 10.0.0.9 dev eth1 onlink\n}",
    );
    let routes = &found.addressing.routes;
    let first = &routes[0];
    assert_eq!(first.destination, Some(([10, 1, 0, 0].into(), 16)));
    assert_eq!((first.table, first.metric), (100, Some(7)));
    assert_eq!(first.source, Some([10, 0, 0, 1].into()));
    assert_eq!(first.next_hops[0].device.as_deref(), Some("eth0"));
    let metrics: Vec<_> = first
        .metrics
        .iter()
        .map(|one| (one.kind, one.value, one.locked))
        .collect();
    assert_eq!(metrics, [(2, 1400, true), (4, 800, false)]);
    assert_eq!(first.protocol, KEEPALIVED_PROTOCOL);
    assert_eq!(routes[1].kind, RouteKind::Blackhole);
    assert!(routes[1].next_hops.is_empty());
    let weights: Vec<_> = routes[2]
        .next_hops
        .iter()
        .map(|hop| (hop.weight, hop.onlink))
        .collect();
    assert_eq!(
        (routes[2].destination, weights),
        (None, vec![(2, false), (1, true)])
    );
}

#[test]
fn the_last_word_of_vrf_and_table_counts() {
    let found = instance(
        "virtual_routes {\n10.1.0.0/16 dev eth0 table 20 vrf red\n10.2.0.0/16 dev eth0 vrf red table 20\n}",
    );
    let routes = found.addressing.routes.iter();
    let told: Vec<_> = routes
        .map(|route| (route.extras.vrf.as_deref(), route.table))
        .collect();
    assert_eq!(told, [(Some("red"), 20), (None, 20)]);
}

#[test]
fn use_vmac_beside_use_ipvlan_says_where_the_addresses_are() {
    let lines = "use_ipvlan 10.0.0.7/24\nuse_vmac";
    let (severity, kind, message) = complaint(lines);
    assert_eq!((severity, kind), (Severity::Warning, Kind::Pointless));
    assert!(message.contains("on the ipvlan"), "{message}");
    let loaded = read(&body(lines)).keepalived.expect("a configuration");
    let addressing = &loaded.instances[0].addressing;
    assert!(addressing.vmac.is_none());
    assert!(
        addressing
            .ipvlan
            .as_ref()
            .is_some_and(|ipvlan| ipvlan.holds_addresses)
    );
    let found = instance("use_ipvlan 10.0.0.7/24");
    let ipvlan = found.addressing.ipvlan.as_ref();
    assert!(ipvlan.is_some_and(|ipvlan| !ipvlan.holds_addresses));
}

#[test]
fn announcements_are_counted_as_keepalived_counts_them() {
    let (severity, _, message) = complaint("garp_master_repeat 0");
    assert!(
        severity == Severity::Warning && message.contains("0 counts as 1"),
        "{message}"
    );
    let (severity, _, message) = complaint("garp_master_delay 1.9");
    assert!(
        severity == Severity::Warning && message.contains("1.9 counts as 1"),
        "{message}"
    );
    // The defaults after a lower priority are the global ones.
    let found = instance("garp_master_repeat 2\ngarp_master_delay 1");
    let addressing = &found.addressing;
    assert_eq!(
        (
            addressing.lower_prio_repeat,
            addressing.lower_prio_delay.as_secs()
        ),
        (5, 5)
    );
}

#[test]
fn a_line_of_a_route_that_cannot_be_is_left_out_as_keepalived_does() {
    for (line, kind, expected) in [
        ("10.1.0.0/16 vai 10.0.0.9", Kind::UnknownWord, "'vai'"),
        ("10.1.0.0/16 nhid 5", Kind::UnknownWord, "'nhid'"),
        ("10.1.0.0/16 encap seg6 x", Kind::UnknownWord, "'seg6'"),
        (
            "10.1.0.0/16 dev eth0 realms x",
            Kind::InvalidValue,
            "realms",
        ),
        (
            "10.1.0.0/16 dev eth0 pref high",
            Kind::InvalidValue,
            "'pref' is for routes of IPv6",
        ),
        (
            "10.1.0.0/16 dev eth0 expires 5",
            Kind::InvalidValue,
            "'expires' is for",
        ),
        (
            "10.1.0.0/16 dev eth0 from 10.2.0.0/16",
            Kind::InvalidValue,
            "'from' is for",
        ),
        (
            "10.1.0.0/16 src 2001:db8::1",
            Kind::InvalidValue,
            "different families",
        ),
    ] {
        let text = format!("virtual_routes {{\n{line}\n}}");
        let (severity, found, message) = complaint(&text);
        assert_eq!((severity, found), (Severity::Warning, kind), "{message}");
        assert!(message.contains(expected), "{message}");
        assert!(
            message.ends_with("the route is ignored, as keepalived ignores it"),
            "{message}"
        );
        let loaded = read(&body(&text));
        let instances = loaded.keepalived.expect("a configuration").instances;
        assert!(instances[0].addressing.routes.is_empty(), "{line}");
    }
    let (_, kind, _) = complaint("virtual_routes {\n10.1.0.0/16 dev eth0 as to 100\n}");
    assert_eq!(kind, Kind::Pointless, "the route stays");
}

#[test]
fn rare_words_of_routes_are_read() {
    let loaded = read(&body(
        "virtual_routes {\n10.1.0.0/16 dev eth0 realms 3/0x14 congctl lock cubic ttl-propagate disabled\n\
         2001:db8::/32 dev eth0 expires 9 pref low from 2001:db9::/32\n\
         10.2.0.0/16 nexthop via 10.0.0.9 encap mpls 5/6 realms 4 nexthop via 10.0.0.8\n\
         multicast 224.5.0.0/16 dev eth0 encap ip6 id 7 dst 2001:db8::1 hoplimit 3\n}\n\
         virtual_rules {\nfrom 10.1.0.0/16 realms 1/2 table 5 preference 9\n}",
    ));
    assert_eq!(loaded.diagnostics.render(&loaded.sources), "");
    let config = loaded.keepalived.expect("a configuration");
    let addressing = &config.instances[0].addressing;
    let routes = &addressing.routes;
    let extras = &routes[0].extras;
    assert_eq!(routes[0].next_hops[0].realms, Some(0x0003_0014));
    assert_eq!(extras.congestion_control, Some(("cubic".to_owned(), true)));
    assert_eq!(extras.ttl_propagate, Some(false));
    let extras = &routes[1].extras;
    assert_eq!((extras.expires, extras.preference), (Some(9), Some(3)));
    assert_eq!(extras.from.map(|(_, length)| length), Some(32));
    let hop = &routes[2].next_hops[0];
    assert_eq!(
        (hop.realms, &hop.encap),
        (Some(4), &Some(Encap::Mpls(vec![5, 6])))
    );
    assert_eq!(routes[2].next_hops[1].encap, None);
    assert_eq!(routes[3].kind, RouteKind::Multicast);
    let Some(Encap::Ip(tunnel)) = &routes[3].next_hops[0].encap else {
        panic!("{:?}", routes[3]);
    };
    assert_eq!(
        (tunnel.ipv6, tunnel.id, tunnel.ttl),
        (true, Some(7), Some(3))
    );
    assert_eq!(addressing.rules[0].realms, Some(0x0001_0002));
}

#[test]
fn rules_without_a_preference_count_down_in_their_family() {
    let loaded = read(&format!(
        "static_rules {{\nfrom 10.9.0.0/16 table 9\n}}\n{}",
        body(
            "virtual_rules {\nfrom 10.1.0.0/16 table 1\nto 10.2.0.0/16 fwmark 7/15 prohibit preference 5\nfrom 2001:db8::/32 table 1\n}"
        )
    ));
    let config = loaded.keepalived.expect("a configuration");
    assert_eq!(config.statics.rules[0].preference, Some(16_384));
    let rules = &config.instances[0].addressing.rules;
    let preferences: Vec<_> = rules.iter().map(|rule| rule.preference).collect();
    assert_eq!(preferences, [Some(16_383), Some(5), Some(16_384)]);
    assert_eq!(
        (rules[1].fwmark, rules[1].action),
        (Some((7, Some(15))), RuleAction::Prohibit)
    );
    assert!(rules[2].ipv6);
}

#[test]
fn announcements_have_the_global_settings_by_default() {
    let loaded = read(&format!(
        "global_defs {{\nvrrp_garp_interval 0.001\nvrrp_gna_interval 0.000001\nvrrp_garp_lower_prio_repeat 2\nvrrp_min_garp\n\
         vrrp_garp_extra_if all 100\n}}\ngarp_group {{\ninterfaces {{\neth0\neth1\n}}\ngarp_interval 0.5\n}}\n{}",
        body("garp_lower_prio_delay 9")
    ));
    assert_eq!(loaded.diagnostics.render(&loaded.sources), "");
    let config = loaded.keepalived.expect("a configuration");
    let announcing = &config.global.announcing;
    assert_eq!(announcing.garp_interval, Duration::from_millis(1));
    assert_eq!(announcing.gna_interval, Duration::from_micros(1));
    assert_eq!(config.garp_groups[0].interfaces, ["eth0", "eth1"]);
    let found = &config.instances[0];
    assert_eq!(
        (found.garp_master_repeat, found.garp_master_delay),
        (1, Duration::ZERO)
    );
    assert_eq!(found.addressing.lower_prio_repeat, 2);
    assert_eq!(found.addressing.lower_prio_delay, Duration::from_secs(9));
    let extra = found.addressing.extra_interfaces.expect("configured");
    assert_eq!((extra.all, extra.every), (true, Duration::from_secs(100)));
}

#[test]
fn a_virtual_mac_has_the_number_of_its_router() {
    let name = |more: &str| {
        let vmac = instance(more).addressing.vmac.clone().expect("use_vmac");
        (vmac.name, vmac.hardware, vmac.transmit_base)
    };
    assert_eq!(
        name("use_vmac"),
        ("vrrp.60".to_owned(), [0, 0, 0x5e, 0, 1, 60], false)
    );
    assert_eq!(
        name("use_vmac vm 02:00:5e:11:22\nvmac_xmit_base"),
        ("vm".to_owned(), [2, 0, 0x5e, 0x11, 0x22, 60], true)
    );
    let (severity, _, message) = complaint("use_vmac a-name-that-is-too-long");
    assert_eq!(severity, Severity::Error);
    assert!(message.contains("up to 15 bytes"), "{message}");
}

#[test]
fn who_does_not_own_the_addresses_may_have_packets_to_them_dropped() {
    let accepts = |more: &str| {
        let config = read(&body(more)).keepalived.expect("a configuration");
        config.instances[0].addressing.accept
    };
    assert!(accepts("accept") && accepts("no_accept\naccept"));
    assert!(!accepts("no_accept") && !accepts("accept\nno_accept"));
    assert!(accepts("no_accept\npriority 255"));
    // Each as keepalived 2.2.7 did it.
    for (strict, expected) in [
        ("strict_mode", false),
        ("strict_mode\naccept", false),
        ("strict_mode\nversion 3", false),
        ("strict_mode\nversion 3\naccept", true),
        ("strict_mode\nversion 3\nno_accept", false),
    ] {
        assert_eq!(accepts(strict), expected, "{strict}");
    }
    let (severity, _, message) = complaint("strict_mode\npriority 100");
    assert_eq!(severity, Severity::Warning);
    assert!(
        message.contains("nothing on this node answers there"),
        "{message}"
    );
}

#[test]
fn addresses_may_have_virtual_macs_of_their_own() {
    let macs = |top: &str, lines: &str| -> Vec<String> {
        let text = format!(
            "{top}\nvrrp_instance A {{\ninterface eth0\nvirtual_router_id 50\n{lines}\n}}\n"
        );
        let loaded = read(&text);
        assert_eq!(loaded.diagnostics.render(&loaded.sources), "", "{text}");
        let config = loaded.keepalived.expect("a configuration");
        let all = config.instances[0].vmacs();
        all.map(|(vmac, below, ipv6)| {
            assert_eq!(vmac.hardware, [0, 0, 0x5e, 0, if ipv6 { 2 } else { 1 }, 50]);
            format!("{}@{below}", vmac.name)
        })
        .collect()
    };
    // Both as keepalived 2.2.7 made them.
    let single = "virtual_ipaddress {\n10.0.0.1 use_vmac\n10.0.0.2 dev eth1 use_vmac\n10.0.0.3 dev eth1\n}\n\
                  virtual_ipaddress_excluded {\n2001:db8::1/64\n2001:db8::2/64 dev eth1 use_vmac\n}";
    assert_eq!(
        macs("", single),
        ["vrrp.50@eth0", "vrrp1.50@eth1", "vrrp6.50@eth1"]
    );
    let all = "use_vmac\nuse_vmac_addr\nvirtual_ipaddress {\n10.0.0.1\n10.0.0.2 dev eth1\n}\n\
               virtual_ipaddress_excluded {\n2001:db8::1/64\n2001:db8::2/64 dev eth1\n2001:db8::3/64 dev eth1\n}";
    assert_eq!(
        macs("", all),
        [
            "vrrp.50@eth0",
            "vrrp1.50@eth1",
            "vrrp6.50@eth0",
            "vrrp2.50@eth1",
            "vrrp2.50@eth1"
        ]
    );
    let prefix = "global_defs {\nvmac_addr_prefix vm\n}";
    assert_eq!(macs(prefix, single)[0], "vm.50@eth0");
    assert_eq!(
        macs("", "virtual_ipaddress {\n10.0.0.1 dev eth1\n}"),
        [""; 0]
    );
}

#[test]
fn static_entries_may_be_tracked_by_instances() {
    let text = "track_group G {\ngroup {\nA\n}\n}\nstatic_ipaddress {\n10.9.0.1/32 dev eth1 track_group G\n}\n\
                static_routes {\n10.1.0.0/16 dev eth1 track_group G\n}\nstatic_rules {\n\
                from 10.1.0.0/16 table 5 preference 9 track_group G\n}\n";
    let loaded = read(&format!("{text}{}", body("")));
    assert_eq!(loaded.diagnostics.render(&loaded.sources), "");
    let statics = loaded.keepalived.expect("a configuration").statics;
    assert_eq!(statics.track_groups[0].members, [0]);
    let named = |word: &Option<tandem_config::Word>| word.as_ref().map(|word| word.text.clone());
    assert_eq!(
        named(&statics.addresses[0].track_group).as_deref(),
        Some("G")
    );
    assert_eq!(named(&statics.routes[0].track_group).as_deref(), Some("G"));
    assert_eq!(named(&statics.rules[0].track_group).as_deref(), Some("G"));
    let warned = |text: &str, expected: &str| {
        let loaded = read(text);
        let found: Vec<_> = loaded.diagnostics.0.iter().collect();
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].severity, Severity::Warning);
        assert!(found[0].message.contains(expected), "{found:?}");
    };
    let other = format!(
        "static_ipaddress {{\n10.9.0.1/32 dev eth1 track_group H\n}}\n{}",
        body("")
    );
    warned(&other, "no track_group 'H'");
    let group = format!("track_group G {{\ngroup {{\nB\n}}\n}}\n{}", body(""));
    warned(&group, "no vrrp_instance 'B'");
    let routes = "virtual_routes {\n10.1.0.0/16 dev eth0 track_group G\n}";
    warned(&body(routes), "'track_group' does nothing here");
}
