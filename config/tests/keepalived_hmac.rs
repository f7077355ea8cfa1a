//! What is read of `auth_hmac` and `timer_expired_backup`, and what is never shown.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use tandem_config::keepalived::proof::{Side, prove_pair};
use tandem_config::keepalived::*;
use tandem_config::{Input, Loaded, Severity, load_as};

const VIP: &str = "virtual_ipaddress {\n10.0.0.9\n}";
const HEX: &str = "hex:000102030405060708090a0b0c0d0e0f101112131415161718191A1B1C1D1E1F";
/// The warning that is always there.
const PROVEN: &str = "not against keepalived 2.4";

fn read(lines: &str) -> Loaded {
    let text =
        format!("vrrp_instance A {{\ninterface eth0\nvirtual_router_id 5\n{lines}\n{VIP}\n}}\n");
    load_as(&[Input::text("k.conf", text)], &|_| None, "node1")
}

fn instance(loaded: &Loaded) -> &VrrpInstance {
    let config = loaded.keepalived.as_ref().expect("a configuration");
    config.instances.first().expect("an instance")
}

/// The keys; each complaint is a warning with the expected text, in order, after the one that is always there.
#[track_caller]
fn check(block: &str, complaints: &[&str]) -> AuthHmac {
    check_in("", block, complaints)
}

#[track_caller]
fn check_in(lines: &str, block: &str, complaints: &[&str]) -> AuthHmac {
    let loaded = read(&format!("{lines}\nauth_hmac {{\n{block}\n}}"));
    let shown = loaded.diagnostics.render(&loaded.sources);
    assert!(!loaded.diagnostics.has_errors(), "{shown}");
    let mut found: Vec<_> = loaded.diagnostics.0.iter().collect();
    let before = found.len();
    found.retain(|one| !one.message.contains(PROVEN));
    assert_eq!(before, found.len() + 1, "{shown}");
    assert_eq!(found.len(), complaints.len(), "{shown}");
    for (one, expected) in found.iter().zip(complaints) {
        assert!(one.message.contains(expected), "{expected}\n{shown}");
    }
    *instance(&loaded).auth_hmac.clone().expect("keys")
}

/// What is refused, and why; the text that is shown.
#[track_caller]
fn refused(block: &str, why: &str) -> String {
    let loaded = read(&format!("auth_hmac {{\n{block}\n}}"));
    let shown = loaded.diagnostics.render(&loaded.sources);
    let found = loaded.diagnostics.0.iter();
    let mut errors = found.filter(|one| one.severity == Severity::Error);
    assert!(
        errors.any(|one| one.message.contains(why)),
        "{why}\n{shown}"
    );
    shown
}

#[test]
fn keys_are_hexadecimal_or_characters() {
    let found = check(&format!("key 1 {HEX}"), &[]);
    let octets: Vec<u8> = (0..32).collect();
    assert_eq!(found.key(1).map(Secret::octets), Some(octets.as_slice()));
    assert_eq!(found.active_key, 1);
    assert_eq!(found.anti_replay, AntiReplay::Time);
    assert_eq!(found.mode, HmacMode::Enforce);
    assert_eq!(found.time_window, Duration::from_secs(5));
    let found = check(
        "key 9 'with blanks, of thirty-two ones.'\nkey 3 sixteen-octets-k\nactive_key 9\nanti_replay monotonic\ntime_window 2.5",
        &["key 3 has 16 octets"],
    );
    assert_eq!(
        found.key(9).map(Secret::octets),
        Some(b"with blanks, of thirty-two ones.".as_slice())
    );
    assert_eq!((found.keys[0].id, found.active_key), (3, 9));
    assert_eq!(found.anti_replay, AntiReplay::Monotonic);
    assert_eq!(found.time_window, Duration::from_millis(2500));
    // A block on one line.
    let one = read(&format!(
        "auth_hmac {{ key 7 {HEX} active_key 7 mode enforce }}"
    ));
    assert!(!one.diagnostics.has_errors());
    assert_eq!(
        instance(&one)
            .auth_hmac
            .as_ref()
            .map(|found| found.active_key),
        Some(7)
    );
}

#[test]
fn the_window_is_three_intervals_and_five_seconds_at_least() {
    let key = format!("key 1 {HEX}");
    let window = |lines: &str| check_in(lines, &key, &[]).time_window.as_secs();
    assert_eq!(window("advert_int 1"), 5);
    assert_eq!(window("advert_int 10"), 30);
    let permissive = format!("{key}\nmode permissive");
    assert_eq!(
        check(&permissive, &["without a proof"]).mode,
        HmacMode::Permissive
    );
    let strict = check_in(
        "strict_mode\nno_accept\npriority 100",
        &permissive,
        &["strict_mode wants 'mode enforce'"],
    );
    assert_eq!(strict.mode, HmacMode::Enforce);
}

#[test]
fn the_old_authentication_gives_way() {
    let lines = "authentication {\nauth_type PASS\nauth_pass secret\n}";
    let block = format!("key 1 {HEX}");
    check_in(lines, &block, &["does nothing beside 'auth_hmac'"]);
    let loaded = read(&format!("{lines}\nauth_hmac {{\n{block}\n}}"));
    assert_eq!(instance(&loaded).authentication, None);
}

#[test]
fn what_is_wrong_is_told_without_the_key() {
    for (block, why) in [
        ("", "no key that can be used"),
        (
            "key 0 verysecretverysecret",
            "'key' expects a number from 1 to 255",
        ),
        ("key verysecretverysecret", "and then the key"),
        ("key 1", "key 1 has no value"),
        (
            "key 1 verysecret",
            "key 1 has 10 octets: it must have 16 to 64",
        ),
        ("key 1 hex:verysecret12", "no hexadecimal digits"),
        ("key 1 hex:123", "an odd number of hexadecimal digits"),
        (
            "key 1 'verysecretverysecre\u{e9}'",
            "characters beyond ASCII",
        ),
        ("key 1 file:relative", "is no absolute path"),
        ("key 1 file:/no/such/file", "/no/such/file: No such file"),
        (
            "key 1 verysecretverysecret\nkey 1 verysecretverysecret",
            "key 1 is there already",
        ),
        (
            "key 1 verysecretverysecret\nactive_key 2",
            "names no key of this block",
        ),
        (
            "key 1 verysecretverysecret\nmode secretly",
            "expects 'enforce' or 'permissive'",
        ),
        (
            "key 1 verysecretverysecret\ntime_window 301",
            "seconds from 1 to 300",
        ),
        (
            "key 1 verysecretverysecret\nanti_replay never",
            "'time' or 'monotonic'",
        ),
    ] {
        let shown = refused(block, why);
        assert!(!shown.contains("verysecret"), "{shown}");
    }
}

#[test]
fn the_text_that_is_shown_has_no_keys() {
    let loaded = read(&format!(
        "auth_hmac {{\nkey 1 {HEX}\nkey 2 'verysecret but long'\nkey 3 \"verysecret but long\" key 4 short\nkeys 5 foo\n}}"
    ));
    let text: String = loaded
        .sources
        .files
        .iter()
        .map(|file| file.text.as_str())
        .collect();
    for secret in ["hex:", "0001", "verysecret", "short"] {
        assert!(!text.contains(secret), "{text}");
    }
    assert!(text.contains("key 1 ****"), "{text}");
    let shown = format!("{:?}", loaded.keepalived);
    assert!(shown.contains("Secret(32 octets)"), "{shown}");
    for secret in ["verysecret", "118, 101, 114, 121", "0, 1, 2, 3, 4"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

#[test]
fn a_key_file_holds_what_could_stand_in_its_place() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("key");
    let block = format!("key 1 file:{}", file.display());
    let mode = |mode| {
        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(&file, permissions).expect("it is ours");
    };
    std::fs::write(&file, format!("{HEX}\n")).expect("a file");
    mode(0o600);
    let octets: Vec<u8> = (0..32).collect();
    assert_eq!(
        check(&block, &[]).key(1).map(Secret::octets),
        Some(octets.as_slice())
    );
    std::fs::write(&file, "an ASCII key of thirty-two octet\r\n").expect("a file");
    mode(0o640);
    let found = check(&block, &["can be read by others (mode 0640)"]);
    assert_eq!(
        found.key(1).map(Secret::octets),
        Some(b"an ASCII key of thirty-two octet".as_slice())
    );
    // Who may write there puts another file in its place.
    let folder_mode = |mode| {
        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(folder.path(), permissions).expect("its mode");
    };
    mode(0o620);
    folder_mode(0o770);
    check(
        &block,
        &[
            "can be changed by others (mode 0620)",
            "can be written by others (mode 0770): they can put another key in the place of key 1",
        ],
    );
    mode(0o600);
    folder_mode(0o1777);
    check(&block, &[]);
    folder_mode(0o700);
    std::fs::write(&file, "x".repeat(5000)).expect("a file");
    refused(&block, "more than 4096 bytes");
    refused(
        &format!("key 1 file:{}", folder.path().display()),
        "no regular file",
    );
}

#[test]
fn addresses_without_room_are_not_advertised() {
    let addresses: Vec<_> = (1..=92).map(|last| format!("fe80::{last:x}")).collect();
    let text = |block: &str| {
        format!(
            "vrrp_instance A {{\ninterface tndm-none\nvirtual_router_id 5\nvirtual_ipaddress {{\n{}\n}}\n{block}\n}}\n",
            addresses.join("\n")
        )
    };
    let load = |block: &str| {
        let loaded = load_as(&[Input::text("k.conf", text(block))], &|_| None, "node1");
        let found = instance(&loaded);
        (
            found.virtual_addresses.len(),
            found.excluded_addresses.len(),
        )
    };
    assert_eq!(load(""), (92, 0));
    let block = format!("auth_hmac {{\nkey 1 {HEX}\n}}");
    assert_eq!(load(&block), (89, 3));
    // An interface that is there has a size of its own.
    if let Ok(mtu) = std::fs::read_to_string("/proc/sys/net/ipv6/conf/lo/mtu") {
        let most = (mtu.trim().parse::<usize>().expect("a number") - 76) / 16;
        assert_eq!(
            load(&format!("{block}\ninterface lo")),
            (most.min(92), 92 - most.min(92))
        );
    }
}

/// What a pair's proof says of keys, errors first told so.
fn pair(own: &str, peer: &str) -> Vec<String> {
    let (own, peer) = (read(own), read(peer));
    fn side<'a>(label: &'a str, loaded: &'a Loaded) -> Side<'a> {
        Side {
            label,
            config: loaded.keepalived.as_ref().expect("a configuration"),
            sources: &loaded.sources,
            host: None,
            program: Default::default(),
        }
    }
    let proof = prove_pair(side("lb1", &own), side("lb2", &peer));
    let shown = proof.own.render(&own.sources);
    assert!(
        !shown.contains("hex:") && !shown.contains("another key"),
        "{shown}"
    );
    let found = proof
        .own
        .0
        .iter()
        .filter(|one| one.message.contains("auth"));
    found
        .map(|one| format!("{:?}: {}", one.severity, one.message))
        .collect()
}

#[test]
fn a_pair_is_proved_by_its_keys() {
    let priority = |number: u8, block: &str| format!("priority {number}\n{block}");
    let block = |lines: &str| format!("auth_hmac {{\n{lines}\n}}");
    let (one, two) = (
        format!("key 1 {HEX}"),
        "key 2 'another key, thirty-two octets.'",
    );
    let both = format!("{one}\n{two}");
    let pair = |own: &str, peer: &str| pair(&priority(100, own), &priority(90, peer));
    let same = block(&one);
    assert_eq!(pair(&same, &same), [""; 0]);
    // In the middle of a rotation.
    let active = |id: u8| block(&format!("{both}\nactive_key {id}"));
    assert_eq!(pair(&active(1), &active(2)), [""; 0]);
    assert_eq!(pair(&block(&one), &active(1)), [""; 0]);
    assert_eq!(
        pair(&block(&one), &active(2)),
        [
            "Error: auth_hmac: lb2 speaks with key 2, and lb1 has no key 2: it is not believed there, and both are master at once"
        ]
    );
    let other = block("key 1 'another key, thirty-two octets.'");
    let found = pair(&same, &other);
    assert_eq!(found.len(), 2);
    assert!(
        found[0].starts_with(
            "Error: auth_hmac: lb1 speaks with key 1, and key 1 is another one on lb2"
        )
    );
    assert_eq!(
        pair(&same, ""),
        [
            "Error: auth_hmac on lb1 and not on lb2: each refuses the other's advertisements, and both are master at once"
        ]
    );
    let password = "authentication {\nauth_type PASS\nauth_pass secret\n}";
    assert_eq!(pair(password, &same).len(), 1);
    let permissive = block(&format!("{one}\nmode permissive\nanti_replay monotonic"));
    let found = pair(&same, &permissive);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found.iter().all(|one| one.starts_with("Warning")));
}

#[test]
fn a_master_that_stood_still_may_become_backup() {
    let check = |lines: &str, complaints: &[&str]| {
        let loaded = read(lines);
        let found = &loaded.diagnostics.0;
        assert_eq!(found.len(), complaints.len(), "{found:?}");
        for (one, expected) in found.iter().zip(complaints) {
            assert!(one.message.contains(expected), "{expected}: {found:?}");
        }
        assert!(!loaded.diagnostics.has_errors());
        instance(&loaded).timer_expired_backup
    };
    assert_eq!(check("nopreempt", &[]), None);
    assert_eq!(check("nopreempt\ntimer_expired_backup", &[]), Some(254));
    assert_eq!(check("nopreempt\ntimer_expired_backup 150", &[]), Some(150));
    assert_eq!(
        check("nopreempt\ntimer_expired_backup 0", &["254 is used"]),
        Some(254)
    );
    assert_eq!(
        check(
            "timer_expired_backup",
            &["does nothing without 'nopreempt'"]
        ),
        None
    );
    assert_eq!(
        check("nopreempt\nthread_timer_expired 9", &["another name of"]),
        Some(9)
    );
}
