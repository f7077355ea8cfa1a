//! `bfd_instance` and `track_bfd`, as keepalived 2.2.7 reads them.

use std::time::Duration;

use tandem_config::keepalived::{BfdInstance, KeepalivedConfig, Tracked};
use tandem_config::{DiagnosticKind as Kind, Input, Loaded, Severity, load_as};

fn read(text: &str) -> Loaded {
    load_as(&[Input::text("k.conf", text)], &|_| None, "node")
}

fn keepalived(text: &str) -> KeepalivedConfig {
    let loaded = read(text);
    assert!(
        !loaded.diagnostics.has_errors(),
        "{}",
        loaded.diagnostics.render(&loaded.sources)
    );
    loaded.keepalived.expect("keepalived's language")
}

/// Severity, kind and message of each complaint.
fn complaints(text: &str) -> Vec<(Severity, Kind, String)> {
    let all = read(text).diagnostics.0.into_iter();
    all.map(|one| (one.severity, one.kind, one.message))
        .collect()
}

fn session(lines: &str) -> BfdInstance {
    let text = format!(
        "bfd_instance b {{\nneighbor_ip 10.0.0.2\n{lines}\n}}\n{}",
        instance("b")
    );
    keepalived(&text).bfd_instances.swap_remove(0)
}

fn instance(tracked: &str) -> String {
    format!(
        "vrrp_instance VI {{\ninterface eth0\nvirtual_router_id 51\nvirtual_ipaddress {{\n10.0.0.100\n}}\ntrack_bfd {{\n{tracked}\n}}\n}}\n"
    )
}

#[test]
fn a_session_has_keepaliveds_defaults() {
    let plain = session("");
    assert_eq!(plain.neighbor.to_string(), "10.0.0.2");
    assert_eq!(plain.source, None);
    let (min_rx, min_tx, idle_tx) = (plain.min_rx, plain.min_tx, plain.idle_tx);
    let ten = Duration::from_millis(10);
    assert_eq!(
        (min_rx, min_tx, idle_tx),
        (ten, ten, Duration::from_secs(1))
    );
    assert_eq!((plain.multiplier, plain.ttl, plain.max_hops), (5, 255, 0));
    assert_eq!(
        (plain.weight, plain.reverse, plain.passive),
        (0, false, false)
    );
    assert!(plain.tells_vrrp);
    let six = keepalived(&format!(
        "bfd_instance b {{\nneighbour_ip fe80::2\n}}\n{}",
        instance("b")
    ));
    assert_eq!(six.bfd_instances[0].ttl, 64);
}

#[test]
fn every_word_of_a_session_is_read() {
    let full = session(
        "source_ip 10.0.0.1\nmin_rx 3.312\nmin_tx 50\nidle_tx 2000.5\nmultiplier 3\npassive\nhoplimit 64\nmax_hops 2\nweight -7 reverse\nvrrp\nchecker",
    );
    assert_eq!(full.source, Some("10.0.0.1".parse().expect("an address")));
    assert_eq!(full.min_rx, Duration::from_micros(3_312));
    assert_eq!(full.min_tx, Duration::from_millis(50));
    assert_eq!(full.idle_tx, Duration::from_micros(2_000_500));
    assert_eq!((full.multiplier, full.ttl, full.max_hops), (3, 64, 2));
    assert_eq!((full.weight, full.reverse, full.passive), (-7, true, true));
    assert!(full.tells_vrrp);
    assert_eq!(session("max_hops -1").max_hops, 255);
}

#[test]
fn a_number_beyond_its_range_is_ignored_with_a_warning() {
    for line in [
        "idle_tx 200",
        "idle_tx 5000000",
        "min_rx 0.5",
        "min_rx x",
        "min_tx 0",
        "multiplier 0",
        "multiplier 256",
        "ttl 0",
        "hoplimit 300",
        "max_hops 300",
    ] {
        let text = format!(
            "bfd_instance b {{\nneighbor_ip 10.0.0.2\n{line}\n}}\n{}",
            instance("b")
        );
        let found = complaints(&text);
        assert_eq!(found.len(), 1, "{line}: {found:?}");
        let (severity, kind, message) = &found[0];
        assert_eq!((*severity, *kind), (Severity::Warning, Kind::InvalidValue));
        assert!(
            message.contains("ignored, as keepalived ignores it"),
            "{message}"
        );
        let mut plain = session("");
        let mut read = session(line);
        (plain.span, read.span) = Default::default();
        assert_eq!(plain, read, "{line}");
    }
}

#[test]
fn a_tracked_session_takes_its_own_weight_or_that_of_the_session() {
    let check = |lines: &str, tracked: &str, weight: i32, reverse: bool| {
        let text = format!(
            "bfd_instance b {{\nneighbor_ip 10.0.0.2\n{lines}\n}}\n{}",
            instance(tracked)
        );
        let item = Tracked {
            item: 0,
            weight,
            reverse,
        };
        assert_eq!(keepalived(&text).instances[0].tracks.bfds, [item], "{text}");
    };
    check("", "b", 0, false);
    check("weight 10 reverse", "b", 10, true);
    check("weight 10 reverse", "b weight -3 noreverse", -3, false);
    check("", "b weight 0 reverse", 0, true);
    // Defined behind its user: keepalived does not find it there.
    let text = format!(
        "{}bfd_instance b {{\nneighbor_ip 10.0.0.2\n}}\n",
        instance("b")
    );
    assert_eq!(keepalived(&text).instances[0].tracks.bfds.len(), 1);
}

#[test]
fn what_cannot_be_is_refused_and_what_keepalived_leaves_out_is_left_out() {
    let one = |text: &str, severity: Severity, kind: Kind, message: &str| {
        let found = complaints(text);
        assert_eq!(found.len(), 1, "{text}: {found:?}");
        assert_eq!((found[0].0, found[0].1), (severity, kind), "{found:?}");
        assert!(found[0].2.contains(message), "{found:?}");
    };
    let b = "bfd_instance b {\nneighbor_ip 10.0.0.2\n}\n";
    one(
        &(b.to_owned() + &instance("c")),
        Severity::Warning,
        Kind::UnknownName,
        "track_bfd 'c' is ignored: no 'bfd_instance' has this name",
    );
    one(
        "bfd_instance b {\n}\n",
        Severity::Warning,
        Kind::InvalidValue,
        "bfd_instance 'b' is ignored: it has no 'neighbor_ip'",
    );
    one(
        "bfd_instance b {\nneighbor_ip 10.0.0.2\nsource_ip fe80::1\n}\n",
        Severity::Warning,
        Kind::InvalidValue,
        "source_ip and neighbor_ip are of different families",
    );
    one(
        &format!("{b}bfd_instance c {{\nneighbor_ip 10.0.0.2\n}}\n"),
        Severity::Warning,
        Kind::Duplicate,
        "bfd_instance 'c' has the neighbor 10.0.0.2 of 'b' (line 1): it is ignored",
    );
    let found = complaints(&format!(
        "bfd_instance b {{\nneighbor_ip 10.0.0.2\nchecker\n}}\n{}",
        instance("b")
    ));
    let kinds: Vec<_> = found.iter().map(|one| (one.0, one.1)).collect();
    let (warning, not_yet) = (Severity::Warning, Kind::NotSupportedYet);
    assert_eq!(
        kinds,
        [(warning, not_yet), (warning, Kind::Pointless)],
        "{found:?}"
    );
    assert!(found[0].2.contains("for checkers alone"), "{found:?}");
    assert!(found[1].2.contains("track_bfd 'b' is ignored"), "{found:?}");
}

#[test]
fn a_link_local_neighbor_may_have_its_interface() {
    let two = "bfd_instance b {\nneighbor_ip fe80::2%eth0\n}\nbfd_instance c {\nneighbor_ip fe80::2%eth1\n}\n";
    let found = keepalived(&(two.to_owned() + &instance("b\nc"))).bfd_instances;
    let interfaces: Vec<_> = found.iter().map(|one| one.interface.as_deref()).collect();
    assert_eq!(interfaces, [Some("eth0"), Some("eth1")]);
    assert!(found.iter().all(|one| one.is_link_local() && one.ttl == 64));
    // Not told apart from one that may be anywhere.
    for (first, second) in [
        ("fe80::2", "fe80::2%eth1"),
        ("fe80::2%eth0", "fe80::2"),
        ("fe80::2%eth0", "fe80::2%eth0"),
    ] {
        let text = format!(
            "bfd_instance b {{\nneighbor_ip {first}\n}}\nbfd_instance c {{\nneighbor_ip {second}\n}}\n{}",
            instance("b")
        );
        let kinds: Vec<_> = complaints(&text).iter().map(|one| one.1).collect();
        assert_eq!(kinds[0], Kind::Duplicate, "{text}");
    }
    for wrong in [
        "10.0.0.2%eth0",
        "2001:db8::2%eth0",
        "fe80::2%",
        "fe80::2%a/b",
        "fe80::2%sixteen-letters-",
        "%eth0",
    ] {
        let text = format!("bfd_instance b {{\nneighbor_ip {wrong}\n}}\n");
        let found = complaints(&text);
        assert!(found[0].2.contains("fe80::1%eth0"), "{wrong}: {found:?}");
        assert_eq!(
            read(&text).keepalived.map(|all| all.bfd_instances.len()),
            Some(0)
        );
    }
}
