//! Proofs about whole texts.

use std::time::Duration;

use super::*;
use crate::keepalived::{KeepalivedConfig, Version};
use crate::{Diagnostics, Input, Loaded, load_as};

fn read(name: &str, text: &str) -> Loaded {
    let loaded = load_as(&[Input::text(name, text)], &|_| None, "node");
    assert!(
        !loaded.diagnostics.has_errors(),
        "{}",
        loaded.diagnostics.render(&loaded.sources)
    );
    loaded
}

fn keepalived(loaded: &Loaded) -> &KeepalivedConfig {
    loaded.keepalived.as_ref().expect("keepalived's language")
}

/// `line: message` of each complaint.
fn told(found: &Diagnostics) -> Vec<String> {
    let line = |one: &crate::Diagnostic| one.span.map_or(0, |span| span.line);
    found
        .0
        .iter()
        .map(|one| format!("{}: {}", line(one), one.message))
        .collect()
}

/// An instance whose lines begin at line 6.
fn text(lines: &str) -> String {
    format!(
        "vrrp_script chk {{\nscript \"/bin/check\"\ninterval 2\nfall 3\n}}\nvrrp_instance VI {{\ninterface eth0\n\
         virtual_router_id 51\nvirtual_ipaddress {{\n10.0.0.100/24\n}}\n{lines}\n}}\n"
    )
}

#[track_caller]
fn alone(lines: &str, expected: &[&str]) {
    let loaded = read("k.conf", &text(lines));
    let found = told(&prove(keepalived(&loaded), None));
    assert_eq!(found.len(), expected.len(), "{lines}: {found:#?}");
    for (one, expected) in found.iter().zip(expected) {
        assert!(one.contains(expected), "{lines}: {one}");
    }
}

#[test]
fn one_nodes_text_proves_what_it_cannot_do() {
    alone("priority 100", &[]);
    alone("priority 100\ntrack_script {\nchk weight -20\n}", &[]);
    alone(
        "priority 254\ntrack_script {\nchk weight 5\n}",
        &["14: weight +5 of script chk can never change the priority: it stays 254"],
    );
    alone(
        "priority 1\ntrack_script {\nchk weight -5\n}",
        &["14: weight -5 of script chk can never change the priority: it stays 1"],
    );
    // Another item makes room for it.
    alone(
        "priority 254\ntrack_script {\nchk weight 5\n}\ntrack_interface {\neth1 weight -20\n}",
        &[],
    );
    alone(
        "priority 255\nnopreempt\nstate BACKUP\ntrack_script {\nchk weight 5\n}",
        &[
            "13: 'nopreempt' does nothing with 'priority 255'",
            "16: weight +5 of script chk does nothing with 'priority 255'",
        ],
    );
    alone(
        "state BACKUP\nnopreempt\ntrack_script {\nchk weight -20\n}",
        &["15: weight -20 of script chk moves no address"],
    );
    alone(
        "state BACKUP\nnopreempt\ntrack_script {\nchk weight 0\n}",
        &[],
    );
    alone(
        "unicast_src_ip 10.0.0.1",
        &["12: 'unicast_src_ip' without 'unicast_peer'"],
    );
    alone(
        "unicast_src_ip 10.0.0.1\nunicast_peer {\n10.0.0.1\n10.0.0.100\n10.0.0.2\n}",
        &[
            "14: 10.0.0.1 is this node's own address",
            "15: 10.0.0.100 is a virtual address",
        ],
    );
}

#[test]
fn an_address_of_two_instances_is_told_with_both_lines() {
    let second = text("").replace("VI {", "VJ {").replace("51", "52");
    let loaded = read(
        "k.conf",
        &(text("") + &second.replace("script chk", "script other")),
    );
    assert_eq!(
        told(&prove(keepalived(&loaded), None)),
        [
            "23: address 10.0.0.100 belongs to 'VI' already (line 10): whichever of the two leaves MASTER removes it \
             from the other"
        ]
    );
}

#[test]
fn facts_about_the_host_are_compared() {
    let host = Host {
        interfaces: vec![HostInterface {
            name: "eth0".to_owned(),
            networks: vec!["10.0.0.1/24".parse().expect("a network")],
        }],
    };
    let check = |lines: &str, expected: &[&str]| {
        let loaded = read("k.conf", &text(lines));
        assert_eq!(told(&prove(keepalived(&loaded), Some(&host))), expected);
    };
    check("", &[]);
    check(
        "track_interface {\neth7\n}",
        &["13: interface eth7 does not exist on this host"],
    );
    check(
        "virtual_ipaddress_excluded {\n10.0.0.7\n192.168.9.1\n192.168.9.2/24\n}",
        &[
            "14: 192.168.9.1 is in no network of eth0 (10.0.0.0/24): its neighbours do not look for it there",
        ],
    );
}

struct Two {
    own: Loaded,
    peer: Loaded,
}

impl Two {
    fn new(own: &str, peer: &str) -> Self {
        Self {
            own: read("a.conf", &text(own)),
            peer: read("b.conf", &text(peer)),
        }
    }

    fn prove(&self) -> PairProof {
        prove_pair(
            Side {
                label: "lb1",
                config: keepalived(&self.own),
                sources: &self.own.sources,
                host: None,
                program: Default::default(),
            },
            Side {
                label: "lb2",
                config: keepalived(&self.peer),
                sources: &self.peer.sources,
                host: None,
                program: Default::default(),
            },
        )
    }
}

#[track_caller]
fn apart(own: &str, peer: &str, expected: &str) {
    let proof = Two::new(own, peer).prove();
    let found = told(&proof.own);
    assert!(
        !proof.works() && found.iter().any(|one| one.contains(expected)),
        "{found:#?}"
    );
    assert_eq!(proof.scenarios[0].holder, Holder::Both);
}

#[test]
fn a_pair_that_does_not_hear_each_other_is_refused() {
    apart(
        "advert_int 1",
        "advert_int 2",
        "12: advert_int 1 s here and 2 s on lb2",
    );
    apart(
        "authentication {\nauth_type PASS\nauth_pass abc\n}",
        "authentication {\nauth_type PASS\nauth_pass abd\n}",
        "12: the passwords differ",
    );
    apart(
        "authentication {\nauth_type PASS\nauth_pass abc\n}",
        "priority 100",
        "12: authentication: a password here, none on lb2",
    );
    apart(
        "unicast_src_ip 10.0.0.1\nunicast_peer {\n10.0.0.2\n}",
        "priority 100",
        "13: unicast here and multicast on lb2",
    );
    apart(
        "unicast_src_ip 10.0.0.1\nunicast_peer {\n10.0.0.2\n}",
        "unicast_src_ip 10.0.0.3\nunicast_peer {\n10.0.0.1\n}",
        "lb2 speaks from 10.0.0.3, which is no unicast_peer of lb1 (10.0.0.2)",
    );
    apart(
        "priority 255",
        "priority 255",
        "12: priority 255 here and on lb2",
    );
}

#[test]
fn versions_do_not_mix() {
    let mut two = Two::new("", "");
    let config = two.peer.keepalived.as_mut().expect("keepalived's language");
    config.instances[0].version = Version::V3;
    let proof = two.prove();
    assert!(!proof.works());
    assert!(told(&proof.own)[0].contains("version 2 here and 3 on lb2"));
}

#[test]
fn differing_ids_and_addresses_are_found_between_partners() {
    let two = |peer: String| {
        Two {
            own: read("a.conf", &text("")),
            peer: read("b.conf", &peer),
        }
        .prove()
    };
    let proof = two(text("").replace("51", "52"));
    assert!(!proof.works());
    assert!(told(&proof.own)[0].contains("8: virtual_router_id 51 here and 52 on lb2"));
    let proof = two(text("").replace("10.0.0.100/24", "10.0.0.100/24\n10.0.0.101/24"));
    assert!(
        told(&proof.own)[0]
            .contains("9: the lists of virtual addresses differ: 10.0.0.101 of lb2 is not here")
    );
    assert!(
        proof.own.0[0].help.as_deref() == Some("the other side is b.conf:9"),
        "{:?}",
        proof.own.0[0].help
    );
    let stranger = text("")
        .replace("VI {", "XY {")
        .replace("51", "9")
        .replace("100/24", "7/24");
    let proof = two(stranger);
    assert!(!proof.works(), "no instance has a partner");
}

/// The rows as `failure: own peer -> master within back`.
fn rows(scenario: &Scenario) -> Vec<String> {
    let shown = |one: &table::Shown| match one {
        table::Shown::Priority(priority) => priority.to_string(),
        table::Shown::Fault => "FAULT".to_owned(),
        table::Shown::Gone => "gone".to_owned(),
    };
    let text = |row: &Row| {
        format!(
            "{}: {} {} -> {} {} {}",
            row.failure,
            shown(&row.nodes[0]),
            shown(&row.nodes[1]),
            match row.holder {
                Holder::Node(node) => scenario.labels[node].as_str(),
                Holder::Both => "BOTH",
                Holder::Nobody => "NOBODY",
            },
            row.within
                .map_or("-".to_owned(), |time| time.as_millis().to_string()),
            match row.back {
                Return::NothingMoved => "-".to_owned(),
                Return::Stays => "stays".to_owned(),
                Return::Within(time) => time.as_millis().to_string(),
            }
        )
    };
    scenario.rows.iter().map(text).collect()
}

#[test]
fn the_table_tells_every_single_failure() {
    let proof = Two::new(
        "priority 101\ntrack_script {\nchk weight -20\n}",
        "priority 100\ntrack_script {\nchk weight -20\n}",
    )
    .prove();
    assert!(proof.works());
    assert_eq!(told(&proof.own), Vec::<String>::new());
    assert_eq!(proof.scenarios.len(), 1);
    assert_eq!(
        rows(&proof.scenarios[0]),
        [
            // 3 s + 156/256 s; back: 3 s + 155/256 s.
            "lb1 dies: gone 100 -> lb2 3609 3605",
            "lb1 loses its link: FAULT 100 -> lb2 3609 3605",
            // Noticed within 3 runs of 2 s and the time of one.
            "script chk fails on lb1: 81 100 -> lb2 11609 11605",
            "lb2 dies: 101 gone -> lb1 - -",
            "lb2 loses its link: 101 FAULT -> lb1 - -",
            "script chk fails on lb2: 101 80 -> lb1 - -",
            "script chk fails on both: 81 80 -> lb1 - -",
            "the path between them: 101 100 -> BOTH 3609 1000",
        ]
    );
}

#[test]
fn a_fault_is_handed_over_within_the_skew_time_and_both_failing_leave_nobody() {
    let mut two = Two::new(
        "priority 150\nstate BACKUP\nnopreempt\ntrack_script {\nchk\n}",
        "priority 100\nstate BACKUP\nnopreempt\ntrack_script {\nchk\n}",
    );
    for loaded in [&mut two.own, &mut two.peer] {
        let config = loaded.keepalived.as_mut().expect("keepalived's language");
        config.instances[0].version = Version::V3;
        config.instances[0].advert_int = Duration::from_millis(100);
    }
    let proof = two.prove();
    assert!(proof.works());
    // With nopreempt either may be master for long.
    assert_eq!(proof.scenarios.len(), 2);
    let first = rows(&proof.scenarios[0]);
    assert!(
        first.contains(&"lb1 dies: gone 100 -> lb2 360 stays".to_owned()),
        "{first:#?}"
    );
    assert!(
        first.contains(&"script chk fails on lb1: FAULT 100 -> lb2 8060 stays".to_owned()),
        "{first:#?}"
    );
    assert!(
        first
            .iter()
            .any(|row| row.starts_with("script chk fails on both: FAULT FAULT -> NOBODY"))
    );
    let second = rows(&proof.scenarios[1]);
    assert!(
        second.contains(&"lb2 dies: 150 gone -> lb1 341 stays".to_owned()),
        "{second:#?}"
    );
}

#[test]
fn weights_that_decide_nothing_are_proved_with_the_peer() {
    let proof = Two::new(
        "priority 150\ntrack_script {\nchk weight -2\n}",
        "priority 100\ntrack_script {\nchk weight -2\n}",
    )
    .prove();
    assert!(proof.works());
    assert_eq!(
        told(&proof.own),
        [
            "14: weight -2 of script chk can never change who is master: the priority is 148 to 150 here, always above \
          the 98 to 100 of lb2"
        ]
    );
    assert_eq!(told(&proof.peer).len(), 1);
    assert!(
        rows(&proof.scenarios[0])
            .contains(&"script chk fails on lb1: 148 100 -> lb1 - -".to_owned())
    );
}

#[test]
fn ties_mixtures_and_lonely_items_are_told() {
    let proof = Two::new(
        "unicast_src_ip 10.0.0.1\nunicast_peer {\n10.0.0.2\n}\nstate BACKUP\nnopreempt\ntrack_script {\nchk\n}",
        "unicast_src_ip 10.0.0.2\nunicast_peer {\n10.0.0.1\n}",
    )
    .prove();
    assert!(proof.works());
    let found = told(&proof.own);
    assert!(found[0].contains("priority 100 here and on lb2: when both begin to speak at once, the higher address wins: that is lb2"), "{found:#?}");
    assert!(
        found[1].contains("'nopreempt' holds on lb1 alone"),
        "{found:#?}"
    );
    assert!(
        found[2].contains("script chk is tracked here and not on lb2"),
        "{found:#?}"
    );
}

#[test]
fn the_table_fits_80_columns() {
    let proof = Two::new("priority 150\ntrack_script {\nchk\n}", "priority 100").prove();
    let text = render(&proof.scenarios);
    assert!(
        text.lines().all(|line| line.chars().count() <= 80),
        "{text}"
    );
    assert!(
        text.contains("All is well: lb1 150, lb2 100: lb1 is master"),
        "{text}"
    );
    assert!(
        text.contains("VI: vrid 51, version 2, every 1 s, 10.0.0.100/24"),
        "{text}"
    );
    assert_eq!(proof.scenarios[0].interval, Duration::from_secs(1));
}

/// A session and an instance that tracks it.
#[track_caller]
fn session(session: &str, instance: &str, expected: &[&str]) {
    let text = format!(
        "bfd_instance gw {{\nneighbor_ip 10.0.0.254\n{session}\n}}\nvrrp_instance VI {{\ninterface eth0\nvirtual_router_id 51\n\
         virtual_ipaddress {{\n10.0.0.100/24\n}}\n{instance}\n}}\n"
    );
    let loaded = read("k.conf", &text);
    let found = told(&prove(keepalived(&loaded), None));
    assert_eq!(found.len(), expected.len(), "{text}: {found:#?}");
    for (one, expected) in found.iter().zip(expected) {
        assert!(one.contains(expected), "{text}: {one}");
    }
}

#[test]
fn sessions_are_proved() {
    session("", "track_bfd {\ngw\n}", &[]);
    session("", "track_bfd {\ngw weight -20\n}", &[]);
    session(
        "",
        "",
        &["1: bfd_instance 'gw' is tracked by nobody: it runs for its neighbor alone"],
    );
    session("checker", "", &[]);
    session(
        "source_ip 10.0.0.254",
        "track_bfd {\ngw\n}",
        &["1: bfd_instance 'gw' is its own neighbor"],
    );
    session(
        "neighbor_ip fe80::1",
        "track_bfd {\ngw\n}",
        &["1: bfd_instance 'gw': the link-local neighbor fe80::1 is reached through"],
    );
    session(
        "neighbor_ip fe80::1\nsource_ip fe80::2",
        "track_bfd {\ngw\n}",
        &[],
    );
    session(
        "",
        "priority 254\ntrack_bfd {\ngw weight 5\n}",
        &["13: weight +5 of bfd gw can never change the priority: it stays 254"],
    );
    session(
        "weight -5",
        "priority 1\ntrack_bfd {\ngw\n}",
        &["13: weight -5 of bfd gw can never change the priority: it stays 1"],
    );
    session(
        "",
        "unicast_peer {\n10.0.0.254\n}\ntrack_bfd {\ngw\n}",
        &[
            "15: 'VI' tracks bfd gw without a weight, and its neighbor 10.0.0.254 is the instance's own peer",
        ],
    );
}

#[test]
fn a_source_address_of_a_session_has_to_be_here() {
    let text = "bfd_instance gw {\nneighbor_ip 10.0.0.254\nsource_ip 10.0.0.7\n}\nvrrp_instance VI {\ninterface eth0\n\
                virtual_router_id 51\nvirtual_ipaddress {\n10.0.0.100/24\n}\ntrack_bfd {\ngw\n}\n}\n";
    let loaded = read("k.conf", text);
    let mut host = Host::default();
    host.add_address("eth0", "10.0.0.1".parse().expect("an address"), 24);
    let found = told(&prove(keepalived(&loaded), Some(&host)));
    let expected = "1: bfd_instance 'gw': source_ip 10.0.0.7 is not on this host: the session stays Down until it is";
    assert_eq!(found, [expected]);
    host.add_address("eth0", "10.0.0.7".parse().expect("an address"), 24);
    assert_eq!(told(&prove(keepalived(&loaded), Some(&host))), [""; 0]);
}

#[test]
fn other_members_of_a_group_and_files_have_rows() {
    let text = |priority: u8| {
        let instance = |name: &str, dev: &str, id: u8, track: &str| {
            format!(
                "vrrp_instance {name} {{\ninterface {dev}\nvirtual_router_id {id}\npriority {priority}\n\
                 virtual_ipaddress {{\n10.0.{id}.100/24\n}}\n{track}\n}}\n"
            )
        };
        format!(
            "track_file off {{\nfile /run/off\nweight 0\n}}\ntrack_file sum {{\nfile /run/sum\n}}\n{}{}\
             vrrp_sync_group G {{\ngroup {{\nONE\nTWO\n}}\n}}\n",
            instance("ONE", "eth0", 1, "track_file {\noff\nsum\n}"),
            instance("TWO", "eth1", 2, "track_interface {\neth2\n}")
        )
    };
    let proof = Two {
        own: read("own", &text(150)),
        peer: read("peer", &text(100)),
    }
    .prove();
    let [one, two] = &proof.scenarios[..] else {
        panic!("{:#?}", proof.scenarios);
    };
    let failures = |scenario: &Scenario| {
        let rows = scenario.rows.iter();
        let rows = rows.filter(|row| row.failure.ends_with("fails on lb1"));
        rows.map(|row| row.failure.clone()).collect::<Vec<_>>()
    };
    assert_eq!(
        failures(one),
        [
            "file off fails on lb1",
            "interface eth1 (TWO) fails on lb1",
            "interface eth2 (TWO) fails on lb1"
        ]
    );
    assert_eq!(
        failures(two),
        [
            "interface eth2 fails on lb1",
            "interface eth0 (ONE) fails on lb1",
            "file off (ONE) fails on lb1"
        ]
    );
}

/// The rows of both nodes' tables, a line each, for these blocks around two instances.
fn of_two(blocks: &str, first: &str, second: &str, program: Program) -> Vec<String> {
    let node = |priority: u8| {
        let instance = |name: &str, id: u8, lines: &str| {
            format!(
                "vrrp_instance {name} {{\nversion 3\ninterface eth0\nvirtual_router_id {id}\npriority {priority}\n\
                 virtual_ipaddress {{\n10.0.0.{id}\n}}\n{lines}\n}}\n"
            )
        };
        format!(
            "vrrp_script chk {{\nscript \"/bin/check\"\ninterval 2\n}}\n\
             vrrp_script haproxy {{\nscript \"killall -0 haproxy\"\ninterval 2\n}}\n\
             track_file load {{\nfile /run/load\nweight 2\n}}\n{}{}{blocks}",
            instance("V1", 51, first),
            instance("V2", 52, second)
        )
    };
    let loaded = [read("a", &node(150)), read("b", &node(100))];
    let side = |at: usize, program| Side {
        label: ["a", "b"][at],
        config: keepalived(&loaded[at]),
        sources: &loaded[at].sources,
        host: None,
        program,
    };
    let proof = prove_pair(side(0, Program::Tandem), side(1, program));
    let of = |scenario: &Scenario| {
        let name = scenario.name.clone();
        let rows = scenario.rows.iter();
        rows.map(move |row| format!("{name}: {}: {:?} {:?}", row.failure, row.nodes, row.holder))
            .collect::<Vec<_>>()
    };
    proof.scenarios.iter().flat_map(of).collect()
}

#[track_caller]
fn has_rows(rows: &[String], expected: &[&str]) {
    for one in expected {
        assert!(rows.iter().any(|row| row == one), "{one}: {rows:#?}");
    }
}

#[test]
fn a_members_weight_moves_its_group_only_with_all_members() {
    let group = "vrrp_sync_group G {\ngroup {\nV1\nV2\n}\nsync_group_tracking_weight\n}\n";
    let weight = "track_script {\nchk weight -60\n}";
    let one = of_two(group, "", weight, Program::Tandem);
    has_rows(
        &one,
        &[
            "V1: script chk (V2) fails on a: [Priority(150), Priority(100)] Node(0)",
            "V2: script chk fails on a: [Priority(90), Priority(100)] Node(0)",
            "V2: script chk fails on b: [Priority(150), Priority(40)] Node(0)",
        ],
    );
    let both = of_two(group, weight, weight, Program::Tandem);
    has_rows(
        &both,
        &[
            "V1: script chk fails on a: [Priority(90), Priority(100)] Node(1)",
            "V2: script chk fails on a: [Priority(90), Priority(100)] Node(1)",
        ],
    );
    // Reversed, its failure adds, and nothing moves.
    let reverse = of_two(
        "",
        "track_script {\nchk weight -60 reverse\n}",
        "",
        Program::Tandem,
    );
    has_rows(
        &reverse,
        &["V1: script chk fails on a: [Priority(210), Priority(100)] Node(0)"],
    );
}

#[test]
fn a_file_with_a_weight_has_the_numbers_that_matter() {
    let found = of_two("", "track_file {\nload\n}", "", Program::Tandem);
    has_rows(
        &found,
        &[
            "V1: file load -26 or less on a: [Priority(98), Priority(100)] Node(1)",
            "V1: file load -127 or less on a: [Fault, Priority(100)] Node(1)",
            "V1: file load 26 or more on b: [Priority(150), Priority(152)] Node(1)",
            "V1: file load -127 or less on b: [Priority(150), Fault] Node(0)",
        ],
    );
    let reverse = "track_file {\nload weight 1 reverse\n}";
    has_rows(
        &of_two("", reverse, "", Program::Tandem),
        &[
            "V1: file load 51 or more on a: [Priority(99), Priority(100)] Node(1)",
            "V1: file load 254 or more on a: [Fault, Priority(100)] Node(1)",
        ],
    );
}

#[test]
fn a_peer_that_runs_keepalived_runs_the_script_and_knows_no_backend() {
    let lines = "track_script {\nhaproxy weight -2\n}\ntrack_backend web";
    let ours = of_two("", lines, "", Program::Tandem);
    has_rows(
        &ours,
        &[
            "V1: the proxy fails on b: [Priority(150), Fault] Node(0)",
            "V1: backend web fails on b: [Priority(150), Fault] Node(0)",
        ],
    );
    let theirs = of_two("", lines, "", Program::Keepalived);
    has_rows(
        &theirs,
        &["V1: the proxy fails on b: [Priority(150), Priority(98)] Node(0)"],
    );
    assert!(
        !theirs
            .iter()
            .any(|row| row.contains("backend web fails on b")),
        "{theirs:#?}"
    );
}
