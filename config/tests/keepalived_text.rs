//! What keepalived's language means, and what is complained about where.

use std::time::Duration;

use tandem_config::keepalived::*;
use tandem_config::{DiagnosticKind as Kind, Input, Loaded, Severity, load, load_as};

fn read(text: &str) -> Loaded {
    load_as(
        &[Input::text("k.conf", text)],
        &|_| None,
        "node1.example.com",
    )
}

fn good(text: &str) -> KeepalivedConfig {
    let loaded = read(text);
    assert!(
        !loaded.diagnostics.has_errors(),
        "{}",
        loaded.diagnostics.render(&loaded.sources)
    );
    loaded.keepalived.expect("a configuration")
}

/// An instance with some more lines.
fn instance(lines: &str) -> VrrpInstance {
    let text = format!("vrrp_instance A {{\ninterface eth0\nvirtual_router_id 5\n{lines}\n}}\n");
    good(&text)
        .instances
        .into_iter()
        .next()
        .expect("an instance")
}

/// The complaints about an instance's lines (the first is line 4) as `line kind`, warnings marked.
fn check_instance(lines: &str, expected: &[&str]) {
    let loaded = read(&format!(
        "vrrp_instance A {{\ninterface eth0\nvirtual_router_id 5\n{lines}\nvirtual_ipaddress {{ 10.0.0.9 }}\n}}\n"
    ));
    let found: Vec<String> = loaded
        .diagnostics
        .0
        .iter()
        .map(|one| {
            let mark = if one.severity == Severity::Error {
                ""
            } else {
                "~"
            };
            format!("{mark}{} {:?}", one.span.unwrap_or_default().line, one.kind)
        })
        .collect();
    assert_eq!(found, expected, "{lines}");
}

/// keepalived ends with such a file: an instance cannot be without its number, and no other one is made up for it.
#[test]
fn an_instance_whose_virtual_router_id_cannot_be_is_refused() {
    for id in ["0", "256", "500", "abc"] {
        let loaded = read(&format!(
            "vrrp_instance A {{\ninterface eth0\nvirtual_router_id {id}\nvirtual_ipaddress {{ 10.0.0.9 }}\n}}\n"
        ));
        let text = loaded.diagnostics.render(&loaded.sources);
        assert!(loaded.diagnostics.has_errors(), "{id}: {text}");
        assert!(text.contains("has no 'virtual_router_id'"), "{id}: {text}");
    }
}

#[test]
fn braces_stand_where_people_put_them() {
    for text in [
        "vrrp_instance R1{\ninterface e\nvirtual_router_id 1\nvirtual_ipaddress{\n10.0.0.1\n}\n}\n",
        "vrrp_instance R1\n{\ninterface e\nvirtual_router_id 1\nvirtual_ipaddress\n\n{\n10.0.0.1\n}\n}\n",
        "vrrp_instance R1 {\ninterface e\nvirtual_router_id 1\nvirtual_ipaddress { 10.0.0.1 }\n}",
        "vrrp_instance R1 { # c\r\n\tinterface e ! c\r\n virtual_router_id 1\r\n virtual_ipaddress {\r\n10.0.0.1\r\n}\r\n}",
    ] {
        let config = good(text);
        assert_eq!(config.instances[0].name.as_str(), "R1", "{text}");
        assert_eq!(config.instances[0].interface, "e", "{text}");
        assert_eq!(config.instances[0].virtual_addresses.len(), 1, "{text}");
    }
}

#[test]
fn braces_that_do_not_match_are_seen() {
    let kinds = |text: &str| -> Vec<(Severity, Kind)> {
        read(text)
            .diagnostics
            .0
            .iter()
            .map(|one| (one.severity, one.kind))
            .collect()
    };
    assert_eq!(
        kinds("global_defs {\nrouter_id a\n"),
        [(Severity::Error, Kind::Syntax)]
    );
    assert_eq!(
        kinds("global_defs {\n}\n}\n"),
        [(Severity::Warning, Kind::Syntax)]
    );
    assert_eq!(
        kinds("global_defs {\nrouter_id \"a\n}\n"),
        [(Severity::Error, Kind::Syntax)]
    );
}

#[test]
fn addresses_are_read() {
    let found = instance(
        "virtual_ipaddress {\n10.0.0.1/24 brd + dev eth1 label eth1:v scope link\n10.0.0.2\n}\nvirtual_ipaddress_excluded { 10.0.0.3/16 }",
    );
    let first = &found.virtual_addresses[0];
    assert_eq!((first.prefix_length, first.scope), (24, 253));
    assert_eq!(
        first.broadcast,
        Some("10.0.0.255".parse().expect("an address"))
    );
    assert_eq!(
        (first.device.as_deref(), first.label.as_deref()),
        (Some("eth1"), Some("eth1:v"))
    );
    assert_eq!(found.virtual_addresses[1].prefix_length, 32);
    assert_eq!(found.excluded_addresses[0].prefix_length, 16);
}

#[test]
fn scripts_may_stand_after_their_users() {
    let config = good(
        "vrrp_instance A {\ninterface e\nvirtual_router_id 1\nvirtual_ipaddress { 10.0.0.1 }\ntrack_script {\nlater weight 7\nlater2\n}\n}\nvrrp_script later {\nscript \"/bin/a 'b c' d\"\n}\nvrrp_script later2 {\nscript /bin/x y\nweight 0\ntimeout 3\ninit_fail\nuser nobody nogroup\n}\n",
    );
    assert_eq!(
        config.instances[0].tracks.scripts,
        [
            Tracked {
                item: 0,
                weight: 7,
                reverse: false
            },
            Tracked {
                item: 1,
                weight: 0,
                reverse: false
            }
        ]
    );
    assert_eq!(
        config.scripts[0].kind,
        ScriptKind::Run(vec!["/bin/a".into(), "b c".into(), "d".into()])
    );
    let second = &config.scripts[1];
    assert_eq!(
        second.kind,
        ScriptKind::Run(vec!["/bin/x".into(), "y".into()])
    );
    assert_eq!(
        (second.timeout, second.init_fail),
        (Duration::from_secs(3), true)
    );
    assert_eq!(second.user, Some(("nobody".into(), Some("nogroup".into()))));
}

#[test]
fn global_settings_are_defaults_of_the_instances() {
    let config = good(
        "vrrp_instance A {\ninterface e\nvirtual_router_id 1\nvirtual_ipaddress { 10.0.0.1 }\ngarp_master_repeat 2\n}\nglobal_defs {\nvrrp_garp_master_delay 1\nvrrp_garp_master_repeat 9\nsmtp_alert\nsmtp_server mail.example.com 2525\nrouter_id \"a b\"\n}\n",
    );
    let instance = &config.instances[0];
    assert_eq!(
        (instance.garp_master_delay, instance.garp_master_repeat),
        (Duration::from_secs(1), 2)
    );
    assert!(instance.smtp_alert);
    assert_eq!(
        config.global.smtp_server,
        Some(("mail.example.com".into(), 2525))
    );
    assert_eq!(config.global.router_id.as_deref(), Some("a b"));
}

#[test]
fn variables_and_conditions_choose_the_text() {
    let config = good(
        "$IF=eth7\n@node1 $PRIO=150\n@node2 $PRIO=50\n$NET=10.1.${LAST}\n$LAST=2\nvrrp_instance A {\ninterface $IF\n@^node1 interface wrong\nvirtual_router_id 1\npriority $PRIO\nvirtual_ipaddress {\n${NET}.100/24\n@node2 10.9.9.9\n}\nnotify_master \"/bin/x $UNSET\"\n}\n",
    );
    let instance = &config.instances[0];
    assert_eq!(
        (instance.interface.as_str(), instance.priority),
        ("eth7", 150)
    );
    assert_eq!(instance.virtual_addresses.len(), 1);
    assert_eq!(
        instance.virtual_addresses[0].address.to_string(),
        "10.1.2.100"
    );
    assert_eq!(
        instance
            .notify
            .master
            .as_ref()
            .map(|command| &command.argv[..]),
        Some(&["/bin/x".to_owned(), "$UNSET".to_owned()][..])
    );
}

#[test]
fn a_definition_of_several_lines_makes_blocks() {
    let config = good(
        "$INSTANCE= \\\nvrrp_instance V_${NUM} { \\\n interface eth${NUM} \\\n virtual_router_id 1${NUM} \\\n virtual_ipaddress { \\\n 10.0.${NUM}.1 \\\n } \\\n}\n$NUM=0\n$INSTANCE\n$NUM=1\n$INSTANCE\n",
    );
    let names: Vec<&str> = config
        .instances
        .iter()
        .map(|one| one.name.as_str())
        .collect();
    assert_eq!(names, ["V_0", "V_1"]);
    assert_eq!(config.instances[1].virtual_router_id, 11);
}

#[test]
fn includes_are_relative_to_the_including_file() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(folder.path().join("conf.d")).expect("created");
    let write =
        |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("written");
    write(
        "k.conf",
        "include conf.d/*.conf\nvrrp_instance A {\ninclude conf.d/common.inc\nvirtual_ipaddress { 10.0.0.1 }\n}\n",
    );
    write("conf.d/common.inc", "interface eth0\nvirtual_router_id 1\n");
    write("conf.d/a.conf", "vrrp_script s {\ninclude inner.inc\n}\n");
    write("conf.d/inner.inc", "script /bin/true");
    let loaded = load(&[Input::path(folder.path().join("k.conf"))], &|_| None);
    assert_eq!(loaded.diagnostics.render(&loaded.sources), "");
    let config = loaded.keepalived.expect("a configuration");
    assert_eq!((config.scripts.len(), config.instances.len()), (1, 1));
    write("loop.conf", "include loop.conf\nglobal_defs {\n}\n");
    let looped = load(&[Input::path(folder.path().join("loop.conf"))], &|_| None);
    assert!(looped.diagnostics.has_errors());
    let missing = load(
        &[Input::text(
            "m.conf",
            "include /nonexistent/x\nglobal_defs {\n}\n",
        )],
        &|_| None,
    );
    assert_eq!(missing.diagnostics.0[0].kind, Kind::File);
}

#[test]
fn behaviour_that_users_rely_on_is_told() {
    check_instance(
        "authentication {\nauth_type PASS\nauth_pass 123456789\n}",
        &["~6 InvalidValue"],
    );
    check_instance("state MASTER\nnopreempt\npriority 100", &["~5 Pointless"]);
    check_instance(
        "state BACKUP\nnopreempt\npreempt_delay 5",
        &["~6 Pointless"],
    );
    check_instance("advert_int 1.5", &["~4 InvalidValue"]);
    check_instance("priority 300", &["~4 InvalidValue"]);
    check_instance("state MASTERR", &["~4 InvalidValue"]);
    check_instance("nat_mask 255.255.255.0", &["~4 UnknownWord"]);
    check_instance("track_script { nope }", &["~4 UnknownName"]);
    check_instance("track_file { nope }", &["~4 UnknownName"]);
    check_instance("track_process { nope }", &["~4 UnknownName"]);
    check_instance("track_bfd { nope }", &["~4 UnknownName"]);
    check_instance("use_ipvlan", &["~4 InvalidValue"]);
    check_instance("use_ipvlan 10.0.0.51/24 private", &[]);
    check_instance(
        "use_ipvlan a_name_of_sixteen 10.0.0.51",
        &["4 InvalidValue"],
    );
    check_instance("use_ipvlan one two 10.0.0.51", &["~4 InvalidValue"]);
    check_instance("use_ipvlan fe80::1 10.0.0.51", &["~4 InvalidValue"]);
    check_instance(
        "use_ipvlan 10.0.0.51\nuse_vmac\nvmac_xmit_base",
        &["~5 Pointless", "~6 Pointless"],
    );
    check_instance("vrf red", &["~4 Pointless"]);
    check_instance("use_vmac", &[]);
    check_instance("no_accept", &[]);
    check_instance("lvs_sync_daemon_interface eth1", &["~4 NotSupportedYet"]);
    check_instance("virtual_router_id 0", &["~4 InvalidValue"]);
    assert_eq!(instance("priority 300").priority, 100);
    assert_eq!(
        instance("advert_int 1.5").advert_int,
        Duration::from_secs(2)
    );
    assert_eq!(
        instance("advert_int 0.2").advert_int,
        Duration::from_secs(1)
    );
    let long = instance("authentication {\nauth_type PASS\nauth_pass 123456789\n}");
    assert_eq!(
        long.authentication,
        Some(Authentication::Pass(*b"12345678"))
    );
    assert!(instance("state BACKUP\nnopreempt").nopreempt);
    assert!(!instance("state MASTER\nnopreempt").nopreempt);
}

#[test]
fn what_would_do_another_thing_than_meant_is_refused() {
    for text in [
        "virtual_server 10.0.0.1 80 {\n}\n",
        "local_address_group G {\n}\n",
    ] {
        let kinds: Vec<_> = read(text)
            .diagnostics
            .0
            .iter()
            .map(|one| (one.severity, one.kind))
            .collect();
        assert_eq!(kinds, [(Severity::Error, Kind::NotSupportedYet)], "{text}");
    }
    for text in [
        "global_defs {\nenable_snmp_vrrp\n}\n",
        "global_defs {\nsnmp_socket udp:localhost:705\n}\n",
    ] {
        let kinds: Vec<_> = read(text)
            .diagnostics
            .0
            .iter()
            .map(|one| (one.severity, one.kind))
            .collect();
        assert_eq!(
            kinds,
            [(Severity::Warning, Kind::NotSupportedYet)],
            "{text}"
        );
    }
}

#[test]
fn names_on_dbus_are_taken_or_said_to_be_left_out() {
    let dbus = |text: &str| {
        let loaded = read(&format!("global_defs {{\n{text}\n}}\n"));
        let warnings = loaded.diagnostics.0.len();
        (
            loaded.keepalived.expect("a configuration").global.dbus,
            warnings,
        )
    };
    let (off, 0) = dbus("router_id A") else {
        panic!("a warning");
    };
    assert!(!off.enabled);
    let (named, 0) =
        dbus("enable_dbus\ndbus_service_name org.example.Two\ndbus_no_interface_name no_nic")
    else {
        panic!("a warning");
    };
    assert!(named.enabled);
    assert_eq!(
        (
            named.service_name.as_str(),
            named.no_interface_name.as_str()
        ),
        ("org.example.Two", "no_nic")
    );
    // keepalived would run on without the bus; here the usual name is used, and it is said.
    let (wrong, 1) = dbus("enable_dbus\ndbus_service_name two") else {
        panic!("no warning");
    };
    assert_eq!(wrong.service_name, "org.keepalived.Vrrp1");
}

#[test]
fn two_instances_cannot_share_a_number_on_an_interface() {
    let one = |name: &str, peers: &str| {
        format!(
            "vrrp_instance {name} {{\ninterface e\nvirtual_router_id 1\nvirtual_ipaddress {{ 10.0.0.1 }}\n{peers}\n}}\n"
        )
    };
    let loaded = read(&(one("A", "") + &one("B", "")));
    assert_eq!(loaded.diagnostics.0[0].kind, Kind::Duplicate);
    good(&(one("A", "unicast_peer { 10.0.0.8 }") + &one("B", "unicast_peer { 10.0.0.9 }")));
}

#[test]
fn a_shell_pipe_in_a_script_is_told() {
    let loaded = read("vrrp_script s {\nscript \"ps ax | grep haproxy\"\n}\n");
    assert_eq!(loaded.diagnostics.0[0].kind, Kind::Pointless);
    assert!(!loaded.diagnostics.has_errors());
}

/// The unknown words of a text, as the complaints about them name them.
fn unknown_words(text: &str) -> Vec<String> {
    let loaded = load(&[Input::text("k.conf", text)], &|_| None);
    let quoted = |message: &str| message.split('\'').nth(1).map(str::to_owned);
    loaded
        .diagnostics
        .0
        .iter()
        .filter(|one| one.kind == Kind::UnknownWord)
        .filter_map(|one| quoted(&one.message))
        .collect()
}

#[test]
fn sequences_lists_and_definitions_read_as_keepalived_reads_them() {
    // What keepalived 2.2.7 -t calls unknown keywords, in its order.
    let check = |text: &str, expected: &str| {
        let expected: Vec<&str> = expected.split_whitespace().collect();
        assert_eq!(unknown_words(text), expected, "{text}");
    };
    check(
        "~SEQ(X, 1, 2, 7) k${X}e\n~SEQ(Y, 3)y${Y}",
        "k1e k3e k5e k7e y1 y2 y3",
    );
    check("$N=3\n~SEQ(X,1,${N}) k${X}", "k1 k2 k3");
    check("~SEQ(A,1,2) ~SEQ(B,1,${A}) m${A}${B}", "m11 m21 m22");
    check("$S=~SEQ(Q,1,2) q${Q}\n$S", "q1 q2");
    check("$X=9\n~SEQ(X,5,6) m${X}\nl${X}", "m5 m6 l6");
    check("~SEQ(N,1,2) $Z=${N}\nk${Z}", "k2");
    check("~LST({P, Q}, {10,1},{20,4}) l${P}.${Q}", "l10.1 l20.4");
    check(
        "~LST({T,   U},  {10,1},{20,4})  ~SEQ(V,1,2,3) tu${V}.${T}.${U}",
        "tu1.10.1 tu3.10.1 tu1.20.4 tu3.20.4",
    );
    check(
        "~SEQ(N,1,2) @no_such_node k${N}\n~SEQ(M,1,2) @^no_such_node z${M}",
        "z1 z2",
    );
    check("@^no_such_node ~SEQ(N,1,2) z${N}", "z1 z2");
    check(
        "$M= \\\naa${N} \\\nbb${N}\n~SEQ(N,1,2) $M",
        "aa1 bb1 aa2 bb2",
    );
    check("$M= aa \\\nbb\n$M", "aa bb");
    check("$M= \\\n $K=5 \\\n aa${K}\n$M", "aa5");
    check("a${_RANDOM 5 5}b", "a5b");
    check("~FOO(X)", "~FOO(X)");
}

#[test]
fn a_random_number_is_within_its_bounds() {
    for word in unknown_words(&"k${_RANDOM 7 9}\n".repeat(64)) {
        assert!(["k7", "k8", "k9"].contains(&word.as_str()), "{word}");
    }
    for word in unknown_words(&"k${_RANDOM}\n".repeat(64)) {
        assert!(
            word[1..]
                .parse::<u32>()
                .is_ok_and(|number| number <= 32_767),
            "{word}"
        );
    }
}

#[test]
fn a_seed_makes_random_numbers_the_same_in_each_run() {
    let name = |top: &str| {
        let text =
            format!("global_defs {{\n{top}\nrouter_id r${{_RANDOM}}-${{_RANDOM 0 9999}}\n}}\n");
        good(&text).global.router_id.expect("a name")
    };
    assert_eq!(name("random_seed 7"), name("random_seed 7"));
    assert_ne!(name("random_seed 7"), name("random_seed 8"));
    let wrong = read("global_defs {\nrandom_seed x\n}\n").diagnostics;
    assert_eq!((wrong.0.len(), wrong.has_errors()), (1, false));
}

#[test]
fn a_sequence_that_cannot_be_is_a_warning_and_its_line_is_left_out() {
    let text = "vrrp_instance A {\ninterface eth0\nvirtual_router_id 1\nvirtual_ipaddress {\n~SEQ(X,5,-2,10) 10.0.0.${X}\n10.0.0.1\n}\n}\n";
    let loaded = load(&[Input::text("k.conf", text)], &|_| None);
    assert!(!loaded.diagnostics.has_errors());
    assert_eq!(
        loaded.diagnostics.0[0].message,
        "this line is ignored: steps of -2 do not lead from 5 to 10"
    );
    let config = loaded.keepalived.expect("a configuration");
    assert_eq!(config.instances[0].virtual_addresses.len(), 1);
}

#[test]
fn includes_take_braces_variables_and_conditions_and_say_what_is_missing() {
    let folder = tempfile::tempdir().expect("a folder");
    let write =
        |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("written");
    write("a.conf", "in_a");
    write("b.conf", "in_b");
    let read = |text: &str| {
        write("k.conf", text);
        load(&[Input::path(folder.path().join("k.conf"))], &|_| None)
    };
    let words = |text: &str| -> Vec<String> {
        read(text)
            .diagnostics
            .0
            .iter()
            .map(|one| one.message.split('\'').nth(1).unwrap_or("").to_owned())
            .collect()
    };
    assert_eq!(
        words("global_defs {\n}\ninclude {b,a}.conf\n"),
        ["in_b", "in_a"]
    );
    assert_eq!(words("$F=a\ninclude ${F}.conf\n"), ["in_a"]);
    assert_eq!(
        words("@^no_such_node include a.conf\n@no_such_node include b.conf\n"),
        ["in_a"]
    );
    // keepalived runs without such a file, and so do we, loudly; the stricter words refuse it.
    let severity = |text: &str| -> Vec<bool> {
        read(&format!("global_defs {{\n}}\n{text}"))
            .diagnostics
            .0
            .iter()
            .map(|one| one.severity == Severity::Error)
            .collect()
    };
    assert_eq!(severity("include none.conf\n"), [false]);
    assert_eq!(severity("includer none.conf\n"), [false]);
    assert_eq!(severity("includem none.conf\n"), [true]);
    assert_eq!(severity("includea none.conf\n"), [true]);
    assert_eq!(severity("include none*.conf\n"), []);
    assert_eq!(severity("includew none*.conf\n"), [true]);
    assert_eq!(severity("includeb {none,nobody}.conf\n"), [true, true]);
    assert_eq!(
        severity("global_defs {\ninclude_check\n}\ninclude none.conf\n"),
        [true]
    );
}

/// Two instances, with more lines for the first, and a group.
fn grouped(first: &str, group: &str) -> Loaded {
    let one = |name: &str, number: u8, lines: &str| {
        format!(
            "vrrp_instance {name} {{\ninterface eth{number}\nvirtual_router_id {number}\n\
             virtual_ipaddress {{ 10.0.0.{number} }}\n{lines}\n}}\n"
        )
    };
    read(&format!(
        "vrrp_sync_group G {{\n{group}\n}}\nvrrp_script chk {{\nscript /bin/true\nweight 5 reverse\n}}\n\
         track_file f {{\nfile /tmp/f\ninit_file 7 overwrite\n}}\n{}{}",
        one("A", 1, first),
        one("B", 2, ""),
    ))
}

fn told(loaded: &Loaded) -> Vec<(Severity, Kind)> {
    let all = loaded.diagnostics.0.iter();
    all.map(|one| (one.severity, one.kind)).collect()
}

#[test]
fn a_sync_group_has_members_and_what_it_tracks() {
    for members in ["group {\nB\nA\n}", "group { A B }"] {
        let more = "track_script { chk }\ntrack_file { f weight -3 noreverse }\nsmtp_alert";
        let loaded = grouped("", &format!("{members}\n{more}"));
        assert_eq!(told(&loaded), []);
        let config = loaded.keepalived.expect("a configuration");
        let group = &config.sync_groups[0];
        assert_eq!(group.members, [0, 1]);
        let tracked = |weight, reverse| Tracked {
            item: 0,
            weight,
            reverse,
        };
        assert_eq!(group.tracks.scripts, [tracked(5, true)]);
        assert_eq!(group.tracks.files, [tracked(-3, false)]);
        assert!(group.smtp_alert);
        let init = InitFile {
            value: 7,
            overwrite: true,
        };
        assert_eq!(config.track_files[0].init, Some(init));
    }
}

#[test]
fn members_of_a_group_have_no_weights_of_their_own() {
    let tracks = "track_script { chk }\ntrack_file {\nf weight 0\n}";
    let loaded = grouped(tracks, "group { A B }");
    assert_eq!(told(&loaded), [(Severity::Warning, Kind::Pointless)]);
    let config = loaded.keepalived.expect("a configuration");
    assert_eq!(config.instances[0].tracks.scripts, []);
    assert_eq!(config.instances[0].tracks.files.len(), 1);
    let loaded = grouped(tracks, "group { A B }\nsync_group_tracking_weight");
    assert_eq!(told(&loaded), []);
    let config = loaded.keepalived.expect("a configuration");
    assert_eq!(config.instances[0].tracks.scripts.len(), 1);
}

#[test]
fn a_group_that_keepalived_drops_is_told() {
    let check = |group: &str, expected: &[Kind], members: Option<usize>| {
        let loaded = grouped("", group);
        let found: Vec<_> = told(&loaded)
            .iter()
            .map(|(severity, kind)| {
                assert_eq!(*severity, Severity::Warning, "keepalived runs: {group}");
                *kind
            })
            .collect();
        assert_eq!(found, expected, "{group}");
        let groups = loaded.keepalived.expect("a configuration").sync_groups;
        assert_eq!(groups.first().map(|group| group.members.len()), members);
    };
    check("A", &[Kind::Pointless, Kind::Pointless], None);
    check(
        "group { A C }",
        &[Kind::UnknownName, Kind::Pointless],
        Some(1),
    );
    check("group { A A B }", &[Kind::Duplicate], Some(2));
    check("group {\n}", &[Kind::Pointless], None);
    check("group { A B }\nnonsense", &[Kind::UnknownWord], Some(2));
    check(
        "group { A B }\nglobal_tracking",
        &[Kind::Pointless],
        Some(2),
    );
}

#[test]
fn processes_are_named_or_by_their_command_line() {
    let process = |lines: &str| {
        let config = good(&format!("vrrp_track_process p {{\n{lines}\n}}\n"));
        config.track_processes[0].clone()
    };
    let named = process("process nginx\nquorum 2\nquorum_max 3\ndelay 0.5\nfork_delay 2");
    assert!(!named.process.full_command);
    assert_eq!(
        (named.weight, named.quorum, named.quorum_max),
        (0, 2, Some(3))
    );
    assert_eq!(
        (named.fork_delay, named.terminate_delay),
        (Duration::from_secs(2), Duration::from_millis(500))
    );
    let command = process("process \"/tmp/a b\" p1 \"p 2\"\nparam_match initial\nweight 9 reverse");
    assert_eq!(command.process.command, "/tmp/a b");
    assert_eq!(command.process.parameters, ["p1", "p 2"]);
    assert!(command.process.full_command && command.reverse);
    assert_eq!(command.process.parameter_match, ParameterMatch::Initial);
    let none = process("process evil\nquorum_max 0");
    assert_eq!((none.quorum, none.quorum_max), (0, Some(0)));
}

#[test]
fn backends_are_tracked_on_a_line_or_in_a_block() {
    let found = instance(
        "track_backend web\ntrack_backend api weight 20\ntrack_backend {\nimg weight -5 reverse\n}",
    );
    let names: Vec<_> = found
        .tracks
        .backends
        .iter()
        .map(|one| (one.item.as_str(), one.weight, one.reverse))
        .collect();
    assert_eq!(
        names,
        [("web", 0, false), ("api", 20, false), ("img", -5, true)]
    );
}

#[test]
fn election_options_have_global_defaults() {
    let config = good(
        "global_defs {\nvrrp_down_timer_adverts 5\nvrrp_lower_prio_no_advert\nvrrp_higher_prio_send_advert off\n}\n\
         vrrp_instance A {\ninterface e\nvirtual_router_id 1\nvirtual_ipaddress { 10.0.0.1 }\n}\n\
         vrrp_instance B {\ninterface e\nvirtual_router_id 2\nvirtual_ipaddress { 10.0.0.2 }\n\
         down_timer_adverts 2\nlower_prio_no_advert false\nhigher_prio_send_advert\n}\n",
    );
    let options = |one: &VrrpInstance| {
        (
            one.down_timer_adverts,
            one.lower_prio_no_advert,
            one.higher_prio_send_advert,
        )
    };
    assert_eq!(options(&config.instances[0]), (5, true, false));
    assert_eq!(options(&config.instances[1]), (2, false, true));
    let usual = instance("virtual_ipaddress { 10.0.0.1 }");
    assert_eq!(options(&usual), (3, false, true));
}
