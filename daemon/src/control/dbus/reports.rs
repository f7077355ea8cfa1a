//! The texts of `PrintData` and `PrintStats`: keepalived's lines, as far as the instances' snapshots tell them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use protocol::vrrp::InstanceSnapshot;
use serde_json::Value;

use super::super::keepalived_json;

/// keepalived's lines of the counters: with a field of the JSON dump, or a heading of what follows.
const STATISTICS: [(&str, Option<&str>); 18] = [
    ("  Advertisements:", None),
    ("    Received", Some("advert_rcvd")),
    ("    Sent", Some("advert_sent")),
    ("  Became master", Some("become_master")),
    ("  Released master", Some("release_master")),
    ("  Packet Errors:", None),
    ("    Length", Some("packet_len_err")),
    ("    TTL", Some("ip_ttl_err")),
    ("    Invalid Type", Some("invalid_type_rcvd")),
    ("    Advertisement Interval", Some("advert_interval_err")),
    ("    Address List", Some("addr_list_err")),
    ("  Authentication Errors:", None),
    ("    Invalid Type", Some("invalid_authtype")),
    ("    Type Mismatch", Some("authtype_mismatch")),
    ("    Failure", Some("auth_failure")),
    ("  Priority Zero:", None),
    ("    Received", Some("pri_zero_rcvd")),
    ("    Sent", Some("pri_zero_sent")),
];

/// What was counted until `PrintStatsClear`, by instance. The daemon's own counters only grow: others read them too.
#[derive(Default)]
pub(super) struct Cleared(BTreeMap<String, Value>);

impl Cleared {
    /// `keepalived.stats`.
    pub(super) fn statistics(&self, instances: &[InstanceSnapshot]) -> String {
        let mut text = String::new();
        for (instance, counted) in instances.iter().zip(counted(instances)) {
            let since = self.0.get(&instance.name);
            let _ = writeln!(text, "VRRP Instance: {}", instance.name);
            for (label, field) in STATISTICS {
                let Some(field) = field else {
                    let _ = writeln!(text, "{label}");
                    continue;
                };
                let now = counted[field].as_u64().unwrap_or(0);
                let cleared = since.and_then(|since| since[field].as_u64());
                // A vrrp process that was started anew counts from 0.
                let number = cleared.and_then(|cleared| now.checked_sub(cleared));
                let _ = writeln!(text, "{label}: {}", number.unwrap_or(now));
            }
        }
        text
    }

    /// Counts from here on.
    pub(super) fn clear(&mut self, instances: &[InstanceSnapshot]) {
        let names = instances.iter().map(|instance| instance.name.clone());
        self.0 = names.zip(counted(instances)).collect();
    }
}

fn counted(instances: &[InstanceSnapshot]) -> impl Iterator<Item = Value> {
    let dump = keepalived_json::dump(instances);
    let of = |place: usize| dump[place]["stats"].clone();
    (0..instances.len()).map(of).collect::<Vec<_>>().into_iter()
}

/// `keepalived.data`: its section of the instances.
pub(super) fn data(instances: &[InstanceSnapshot]) -> String {
    let mut text = "------< VRRP Topology >------\n".to_owned();
    for instance in instances {
        let preempt = match instance.nopreempt {
            true => "disabled",
            false => "enabled",
        };
        let lines = [
            ("State", instance.state.to_string()),
            (
                "Last transition",
                format!(
                    "{}.{:03}",
                    instance.since_ms / 1_000,
                    instance.since_ms % 1_000
                ),
            ),
            ("Interface", instance.interface.clone()),
            ("Using src_ip", instance.source.clone()),
            ("Virtual Router ID", instance.vrid.to_string()),
            ("Priority", instance.base_priority.to_string()),
            (
                "Effective priority",
                instance.effective_priority.to_string(),
            ),
            (
                "Advert interval",
                format!("{} milli-sec", instance.advert_interval_ms),
            ),
            ("Preempt", preempt.to_owned()),
        ];
        let _ = writeln!(text, " VRRP Instance = {}", instance.name);
        for (label, value) in lines {
            let _ = writeln!(text, "   {label} = {value}");
        }
        let _ = writeln!(text, "   Virtual IP ({}):", instance.addresses.len());
        let set = match instance.addresses_present {
            true => " set",
            false => "",
        };
        for address in &instance.addresses {
            let _ = writeln!(text, "     {address} dev {}{set}", instance.interface);
        }
        for share in &instance.shares {
            let _ = writeln!(text, "   Tracked: {}: {}", share.item, share.detail);
        }
    }
    text
}
