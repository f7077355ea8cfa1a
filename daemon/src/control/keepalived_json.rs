//! `show vrrp json`: the shape of keepalived's JSON dump, with all that is known here beside it under `tandem`.

use protocol::vrrp::{InstanceSnapshot, VrrpState};
use serde_json::{Value, json};

/// keepalived's number of a state.
fn number(state: VrrpState) -> u8 {
    match state {
        VrrpState::Init => 0,
        VrrpState::Backup => 1,
        VrrpState::Master => 2,
        VrrpState::Fault => 3,
    }
}

/// Seconds, whole ones without a fraction.
fn seconds(milliseconds: u64) -> Value {
    if milliseconds.is_multiple_of(1_000) {
        json!(milliseconds / 1_000)
    } else {
        json!(milliseconds as f64 / 1e3)
    }
}

/// The dump: one object for each instance.
pub(super) fn dump(instances: &[InstanceSnapshot]) -> Value {
    instances.iter().map(instance).collect()
}

fn instance(instance: &InstanceSnapshot) -> Value {
    let counters = &instance.counters;
    let refused = |reason: &str| {
        let mut all = counters.refused.iter();
        all.find(|(name, _)| name == reason)
            .map_or(0, |(_, count)| *count)
    };
    let unproved: u64 = [
        "authentication",
        "invalid-hmac",
        "missing-trailer",
        "replay",
        "stale",
        "unknown-key",
    ]
    .into_iter()
    .map(refused)
    .sum();
    let is_master = instance.state == VrrpState::Master;
    let master = instance.master.as_ref().map_or(0, |master| master.priority);
    let vips: Vec<String> = instance
        .addresses
        .iter()
        .map(|address| {
            let set = if instance.addresses_present {
                " set"
            } else {
                ""
            };
            format!("{address} dev {}{set}", instance.interface)
        })
        .collect();
    json!({
        "data": {
            "iname": instance.name,
            "ifp_ifname": instance.interface,
            "master_priority": master,
            "last_transition": instance.since_ms as f64 / 1e3,
            "vrid": instance.vrid,
            "base_priority": instance.base_priority,
            "effective_priority": instance.effective_priority,
            "vipset": instance.addresses_present,
            "adver_int": seconds(instance.advert_interval_ms),
            "nopreempt": instance.nopreempt,
            "preempt_delay": seconds(instance.preempt_delay_ms),
            "state": number(instance.state),
            "wantstate": number(instance.state),
            "vips": vips,
        },
        "stats": {
            "advert_rcvd": counters.adverts_received,
            "advert_sent": counters.adverts_sent,
            "become_master": counters.became_master,
            "release_master": counters.became_master.saturating_sub(u64::from(is_master)),
            "packet_len_err": refused("length"),
            "advert_interval_err": refused("interval"),
            "ip_ttl_err": refused("ttl"),
            "invalid_type_rcvd": refused("type"),
            "addr_list_err": refused("address-list") + refused("address-count"),
            "invalid_authtype": 0,
            "authtype_mismatch": 0,
            "auth_failure": unproved,
            "pri_zero_rcvd": counters.resignations_received,
            "pri_zero_sent": counters.resignations_sent,
        },
        "tandem": instance,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::vrrp::VrrpCounters;

    #[test]
    fn an_instance_has_keepalived_s_shape() {
        let dumped = dump(&[InstanceSnapshot {
            name: "VI_1".to_owned(),
            interface: "eth0".to_owned(),
            vrid: 50,
            state: VrrpState::Master,
            since_ms: 1_500,
            base_priority: 100,
            effective_priority: 95,
            shares: Vec::new(),
            advert_interval_ms: 1_000,
            master_interval_ms: None,
            nopreempt: false,
            preempt_delay_ms: 0,
            addresses: vec!["10.0.0.1/24".to_owned()],
            addresses_present: true,
            authentication: "none".to_owned(),
            source: "10.0.0.2".to_owned(),
            master: None,
            peers: Vec::new(),
            held: false,
            conflict: false,
            transitions: Vec::new(),
            bfd: Vec::new(),
            counters: VrrpCounters {
                became_master: 3,
                refused: vec![("ttl".to_owned(), 7)],
                ..VrrpCounters::default()
            },
            decided: "VI_2 decides".to_owned(),
        }]);
        let (data, stats) = (&dumped[0]["data"], &dumped[0]["stats"]);
        assert_eq!(data["iname"], "VI_1");
        assert_eq!((&data["state"], &data["adver_int"]), (&json!(2), &json!(1)));
        assert_eq!(data["vips"], json!(["10.0.0.1/24 dev eth0 set"]));
        assert_eq!(
            (&stats["release_master"], &stats["ip_ttl_err"]),
            (&json!(2), &json!(7))
        );
        assert_eq!(dumped[0]["tandem"]["source"], "10.0.0.2");
        assert_eq!(dumped[0]["tandem"]["decided"], "VI_2 decides");
    }
}
