//! What a file means: the values that keepalived says it has read (`--dump-conf`) are those that we have.

use std::collections::BTreeMap;
use std::process::Command;

use config::keepalived::{Authentication, InitialState, KeepalivedConfig, VrrpInstance};

use crate::has_keepalived;
use crate::lab::Lab;

/// Scenarios of this file.
pub(crate) const SCENARIOS: [(&str, fn()); 1] = [(
    "files_mean_what_keepalived_says_it_has_read",
    like_keepalived,
)];

/// Conditions, definitions, sequences and the usual words, one file each.
const FILES: [&str; 5] = [
    "vrrp_instance A {\n interface eth0\n state MASTER\n virtual_router_id 5\n priority 150\n advert_int 2\n \
     authentication {\n auth_type PASS\n auth_pass 1234\n }\n virtual_ipaddress {\n 10.9.0.5/24\n 10.9.0.6/32 label eth0:1\n }\n \
     garp_master_delay 3\n garp_master_repeat 2\n garp_master_refresh 60\n garp_lower_prio_delay 7\n}",
    "global_defs {\n vrrp_version 3\n vrrp_garp_master_delay 9\n vrrp_garp_master_repeat 4\n vrrp_garp_master_refresh 30\n \
     vrrp_garp_master_refresh_repeat 3\n vrrp_down_timer_adverts 4\n vrrp_mcast_group4 224.0.0.19\n}\n\
     vrrp_instance A {\n interface eth0\n virtual_router_id 5\n advert_int 0.25\n nopreempt\n virtual_ipaddress {\n 10.9.0.5\n }\n}",
    "$PRIO=120\n$I= \\\nvrrp_instance V${N} { \\\n interface eth0 \\\n virtual_router_id ${N} \\\n \
     @main priority 130 \\\n @^main priority $PRIO \\\n virtual_ipaddress { \\\n 10.9.1.${N}/24 \\\n } \\\n}\n\
     ~SEQ(N, 10, 12) $I\n~LST(N, 20, 25) $I",
    "vrrp_instance A { interface eth0\n @main state MASTER\n @backup state BACKUP\n virtual_router_id 0x9\n virtual_router_id 9 # nine\n \
     priority 300\n advert_int abc\n ! a comment\n virtual_ipaddress {\n ~SEQ(A, 1, 2) ~SEQ(B, 7, 8) 10.${A}.0.${B}/16\n }\n}",
    "vrrp_instance \"A B\" {\n interface \"eth0\"\n virtual_router_id 7\n preempt_delay 4\n virtual_ipaddress {\n 2001:db8::5/64 2001:db8::7/64\n 2001:db8::6/64\n }\n \
     higher_prio_send_advert on\n lower_prio_no_advert on\n accept\n}\n\
     $V=10.9.7\nvrrp_instance C\n{\n interface eth0\n virtual_router_id 8\n virtual_ipaddress\n {\n ${V}.1/24\n ${V}.2/24\n }\n no_accept\n}",
];

/// What is compared of an instance, by the words of the dump.
type Values = BTreeMap<String, String>;

/// The instances of a dump.
fn theirs(text: &str) -> BTreeMap<String, Values> {
    let (mut all, mut now, mut list) = (BTreeMap::new(), None, None);
    for line in text.lines() {
        // The log's time stands before each line.
        let Some(line) = line
            .split_once("2026: ")
            .or_else(|| line.split_once(": "))
            .map(|two| two.1)
        else {
            continue;
        };
        // Lines of the log, of its other process too, stand between those of the dump.
        if line.starts_with("------<") {
            (now, list) = (None, None);
        } else if !line.starts_with(' ') {
        } else if let Some(name) = line.strip_prefix(" VRRP Instance = ") {
            now = Some(name.to_owned());
            all.insert(name.to_owned(), Values::new());
        } else if let Some(values) = now.as_ref().and_then(|name| all.get_mut(name)) {
            let words = line.trim();
            if line.starts_with("   Virtual IP (") {
                list = Some(0);
            } else if let (true, Some(at)) = (line.starts_with("     "), &mut list) {
                let address = words.split(' ').next().unwrap_or_default();
                values.insert(format!("address {at}"), address.to_owned());
                *at += 1;
            } else {
                list = None;
                if let Some((key, value)) = words.split_once(" = ") {
                    values.insert(key.to_owned(), value.to_owned());
                }
            }
        }
    }
    all
}

/// The same of ours.
fn ours(config: &KeepalivedConfig) -> BTreeMap<String, Values> {
    let all = config.instances.iter();
    all.map(|one| (one.name.text.clone(), values(one)))
        .collect()
}

fn values(one: &VrrpInstance) -> Values {
    let enabled = |on: bool| if on { "enabled" } else { "disabled" }.to_owned();
    let seconds = one.advert_int.as_secs_f64();
    let interval = match one.version.number() {
        2 => format!("{seconds} sec"),
        _ => format!("{} milli-sec", seconds * 1e3),
    };
    let mut found: Values = [
        ("VRRP Version", one.version.number().to_string()),
        ("Interface", one.interface.clone()),
        ("Virtual Router ID", one.virtual_router_id.to_string()),
        ("Priority", one.priority.to_string()),
        ("Advert interval", interval),
        ("Preempt", enabled(!one.nopreempt)),
        ("Accept", enabled(one.addressing.accept)),
        (
            "Gratuitous ARP delay",
            one.garp_master_delay.as_secs().to_string(),
        ),
        ("Gratuitous ARP repeat", one.garp_master_repeat.to_string()),
        (
            "Gratuitous ARP refresh",
            one.garp_master_refresh.as_secs().to_string(),
        ),
        (
            "Gratuitous ARP refresh repeat",
            one.garp_master_refresh_repeat.to_string(),
        ),
        ("Down timer adverts", one.down_timer_adverts.to_string()),
        (
            "Send advert after receive lower priority advert",
            (!one.lower_prio_no_advert).to_string(),
        ),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into();
    if one.state == InitialState::Master {
        found.insert("Wantstate".to_owned(), "MASTER".to_owned());
    }
    if !one.preempt_delay.is_zero() {
        let delay = format!("{} secs", one.preempt_delay.as_secs());
        found.insert("Preempt delay".to_owned(), delay);
    }
    if let Some(Authentication::Pass(password)) = &one.authentication {
        let end = password
            .iter()
            .position(|byte| *byte == 0)
            .unwrap_or(password.len());
        let password = String::from_utf8_lossy(&password[..end]).into_owned();
        found.insert("Password".to_owned(), password);
    }
    for (at, entry) in one.virtual_addresses.iter().enumerate() {
        let longest = if entry.address.is_ipv6() { 128 } else { 32 };
        let text = match entry.prefix_length == longest {
            true => entry.address.to_string(),
            false => format!("{}/{}", entry.address, entry.prefix_length),
        };
        found.insert(format!("address {at}"), text);
    }
    found
}

fn like_keepalived() {
    if !has_keepalived() {
        return;
    }
    let lab = Lab::new();
    let path = lab.folder.join("dumped.conf");
    for text in FILES {
        for id in ["main", "other"] {
            if id == "other" && !text.contains('@') {
                continue;
            }
            std::fs::write(&path, format!("{text}\n")).expect("a file");
            let own = |kind: &str| lab.folder.join(kind).display().to_string();
            // It ends with the time that it is given: the dump comes first.
            let done = Command::new("ip")
                .args(["netns", "exec", &lab.space("a"), "timeout", "0.3"])
                .args(["keepalived", "-n", "-l", "-P", "-d", "-i", id, "-f"])
                .arg(&path)
                .args(["-p", &own("d.pid"), "-r", &own("dv.pid")])
                .output()
                .expect("keepalived");
            let dump = String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned();
            let expected = theirs(&dump);
            assert!(!expected.is_empty(), "no dump: {dump}");
            let input = config::Input::path(&path);
            let loaded = config::load_as(&[input], &|_| None, id);
            let config = loaded.keepalived.expect("a configuration");
            let found = ours(&config);
            let names = |all: &BTreeMap<String, Values>| all.keys().cloned().collect::<Vec<_>>();
            assert_eq!(names(&found), names(&expected), "{id}: {text}");
            for (name, values) in &found {
                for (key, value) in values {
                    let theirs = expected[name].get(key);
                    assert_eq!(
                        Some(value),
                        theirs,
                        "{name}, {key}, as {id}: {text}\n{dump}"
                    );
                }
                let addresses =
                    |all: &Values| all.keys().filter(|key| key.starts_with("address ")).count();
                assert_eq!(
                    addresses(values),
                    addresses(&expected[name]),
                    "{name}: {dump}"
                );
            }
        }
    }
}
