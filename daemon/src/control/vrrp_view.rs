//! `show vrrp`: who is master and why, to be read at 3 a.m. in a terminal of 80 columns.

use protocol::explain::ago;
use protocol::vrrp::{BfdSnapshot, Effect, InstanceSnapshot, Share};

use super::views::timestamp;

/// Columns of a terminal.
const WIDTH: usize = 80;
/// Where the text behind a word begins.
const INDENT: usize = 14;

/// The instances, those with two masters first told so.
pub fn vrrp(instances: &[InstanceSnapshot], now_ms: u64) -> String {
    let mut text = String::new();
    for instance in instances {
        if !text.is_empty() {
            text.push('\n');
        }
        one(instance, now_ms, &mut text);
    }
    text
}

/// BFD sessions, and who tracks them.
pub fn bfd(sessions: &[&BfdSnapshot], instances: &[InstanceSnapshot], now_ms: u64) -> String {
    let mut text = String::new();
    for session in sessions {
        if !text.is_empty() {
            text.push('\n');
        }
        let head = format!(
            "bfd {}: {} since {} ({})",
            session.name,
            session.state,
            timestamp(session.since_ms),
            ago(now_ms.saturating_sub(session.since_ms)),
        );
        entry(&mut text, "", &head);
        for (word, told) in session.told() {
            entry(&mut text, word, &told);
        }
        let told = match session.trackers(instances).as_slice() {
            [] => "nobody".to_owned(),
            names => names.join(", "),
        };
        entry(&mut text, "tracked by", &told);
    }
    text
}

fn one(instance: &InstanceSnapshot, now_ms: u64, text: &mut String) {
    let mut say = |word: &str, told: &str| entry(text, word, told);
    say(
        "",
        &format!(
            "{}: {} since {} ({})",
            instance.name,
            instance.state,
            timestamp(instance.since_ms),
            ago(now_ms.saturating_sub(instance.since_ms)),
        ),
    );
    if let Some(conflict) = instance.conflict_text() {
        say("TWO MASTERS", &conflict);
    }
    if !instance.why().is_empty() {
        say("why", instance.why());
    }
    if !instance.decided.is_empty() {
        say("group", &instance.decided);
    }
    let mut priority = format!(
        "{} = {} configured",
        instance.effective_priority, instance.base_priority
    );
    for share in &instance.shares {
        match share.effect {
            Effect::Priority(0) => {}
            Effect::Priority(change) => priority.push_str(&format!(" {change:+} {}", share.item)),
            Effect::Fault => priority.push_str(&format!(", FAULT by {}", share.item)),
        }
    }
    say("priority", &priority);
    for share in &instance.shares {
        say(if share.healthy { "well" } else { "FAILS" }, &item(share));
    }
    say(
        "addresses",
        &format!(
            "{} ({})",
            instance.addresses.join(", "),
            if instance.addresses_present {
                "on this node"
            } else {
                "not on this node"
            }
        ),
    );
    say(
        "router",
        &format!(
            "vrid {} on {}, every {} ms{}{}, speaks from {}",
            instance.vrid,
            instance.interface,
            instance.advert_interval_ms,
            match instance.master_interval_ms {
                Some(interval) => format!(" (the master every {interval} ms)"),
                None => String::new(),
            },
            if instance.nopreempt {
                ", nopreempt"
            } else {
                ""
            },
            match instance.source.as_str() {
                "" => "-",
                source => source,
            },
        ),
    );
    say("proof", &instance.authentication);
    if let Some(master) = &instance.master {
        say(
            "master",
            &format!(
                "{} priority {}, heard {}",
                master.address,
                master.priority,
                ago(master.age_ms)
            ),
        );
    }
    for peer in instance.peers_text() {
        say("peer", &peer);
    }
    if instance.held {
        say(
            "held",
            "an operator gave the addresses away here; 'vrrp failback' ends it",
        );
    }
    let counters = &instance.counters;
    let mut packets = format!(
        "{} sent, {} heard",
        counters.adverts_sent, counters.adverts_received
    );
    for (reason, count) in &counters.refused {
        packets.push_str(&format!(", {count} refused ({reason})"));
    }
    say("adverts", &packets);
    for session in &instance.bfd {
        // The rest is told below, and by 'show bfd'.
        let since = ago(now_ms.saturating_sub(session.since_ms));
        say(
            "bfd",
            &format!("{}: {} ({since})", session.name, session.detail),
        );
    }
    // The latest first; the last of all is told above.
    for transition in instance.transitions.iter().rev().skip(1) {
        say(
            "before",
            &format!(
                "{} {} -> {}: {}",
                timestamp(transition.at_ms),
                transition.from,
                transition.to,
                transition.reason
            ),
        );
    }
}

fn item(share: &Share) -> String {
    let effect = match share.effect {
        Effect::Priority(0) => String::new(),
        Effect::Priority(change) => format!(" {change:+}"),
        Effect::Fault => " means FAULT".to_owned(),
    };
    match share.detail.as_str() {
        "" => format!("{}{effect}", share.item),
        detail => format!("{}{effect}: {detail}", share.item),
    }
}

/// A word and what is told, wrapped below itself.
fn entry(out: &mut String, word: &str, told: &str) {
    if word.is_empty() {
        out.push_str(told);
        out.push('\n');
        return;
    }
    let mut line = format!("  {word:<width$} ", width = INDENT - 3);
    let mut empty = true;
    for part in told.split_whitespace() {
        let used = line.chars().count();
        if !empty && used + 1 + part.chars().count() > WIDTH {
            out.push_str(line.trim_end());
            out.push('\n');
            line = " ".repeat(INDENT);
            empty = true;
        }
        if !empty {
            line.push(' ');
        }
        line.push_str(part);
        empty = false;
    }
    out.push_str(line.trim_end());
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::vrrp::{PeerSeen, Transition, VrrpCounters, VrrpState};

    #[test]
    fn an_instance_is_told_within_80_columns() {
        let instance = InstanceSnapshot {
            name: "R1".to_owned(),
            interface: "eth0".to_owned(),
            vrid: 50,
            state: VrrpState::Master,
            since_ms: 3_000,
            base_priority: 100,
            effective_priority: 98,
            shares: vec![Share {
                item: "script chk_gateway".to_owned(),
                healthy: false,
                effect: Effect::Priority(-2),
                detail: "exit status 1, 3 of 3 failures".to_owned(),
            }],
            advert_interval_ms: 1000,
            master_interval_ms: None,
            nopreempt: false,
            preempt_delay_ms: 0,
            addresses: vec!["10.0.0.100/24".to_owned()],
            addresses_present: true,
            authentication: "none".to_owned(),
            source: "10.0.0.1".to_owned(),
            master: None,
            peers: vec![PeerSeen {
                address: "10.0.0.2".to_owned(),
                priority: 90,
                age_ms: 300,
                adverts: 7,
            }],
            held: false,
            conflict: true,
            transitions: vec![
                Transition {
                    at_ms: 500,
                    from: VrrpState::Init,
                    to: VrrpState::Backup,
                    reason: "started".to_owned(),
                },
                Transition {
                    at_ms: 3_000,
                    from: VrrpState::Backup,
                    to: VrrpState::Master,
                    reason: "no advertisement from 10.0.0.2 for 3.61 s".to_owned(),
                },
            ],
            bfd: vec![BfdSnapshot {
                name: "gw".to_owned(),
                neighbor: "10.0.0.254".to_owned(),
                interface: String::new(),
                source: "10.0.0.1".to_owned(),
                state: "Up".to_owned(),
                up: true,
                since_ms: 1_000,
                detail: "Up: 10.0.0.254 said Init: both hear each other".to_owned(),
                diagnostic: "no diagnostic".to_owned(),
                remote_state: "Up".to_owned(),
                remote_diagnostic: "control detection time expired".to_owned(),
                heard_ms: Some(7),
                discriminator: 0x57db_f2ed,
                remote_discriminator: 0xb410_0c4c,
                transmit_interval_us: 50_000,
                receive_interval_us: 50_000,
                multiplier: 5,
                remote_multiplier: 5,
                detection_time_us: 250_000,
                sent: 12,
                received: 11,
                ups: 1,
                downs: 0,
                refused: vec![("ttl".to_owned(), 3)],
            }],
            counters: VrrpCounters {
                refused: vec![("authentication".to_owned(), 4)],
                ..VrrpCounters::default()
            },
            decided:
                "the links of sync group G elect different nodes: R1 decides, where 10.0.0.2 has \
                      priority 90 (ours 98)"
                    .to_owned(),
        };
        let session = instance.bfd[0].clone();
        let expected = "\
bfd gw: Up since 1970-01-01T00:00:01.000Z (60 s ago)
  why         Up: 10.0.0.254 said Init: both hear each other
  neighbor    10.0.0.254, spoken to from 10.0.0.1; discriminator 0x57dbf2ed
              here, 0xb4100c4c there
  intervals   speaks every 50 ms, is spoken to every 50 ms, detection time 250
              ms (5 packets)
  it said     Up (control detection time expired) 7 ms ago
  we say      Up (no diagnostic)
  counted     up 1 times, down 0 times; 12 sent, 11 heard, 3 refused (ttl)
  tracked by  R1
";
        let instances = [instance.clone()];
        assert_eq!(bfd(&[&session], &instances, 61_000), expected);
        let alone = BfdSnapshot {
            name: "other".to_owned(),
            ..session
        };
        assert!(bfd(&[&alone], &instances, 61_000).ends_with("tracked by  nobody\n"));
        let text = vrrp(std::slice::from_ref(&instance), 61_000);
        assert!(
            text.lines().all(|line| line.chars().count() <= WIDTH),
            "{text}"
        );
        let expected = "\
R1: MASTER since 1970-01-01T00:00:03.000Z (58 s ago)
  TWO MASTERS 10.0.0.2 (priority 90) is master too, heard 300 ms ago. It has to
              yield: this node has priority 98. It is answered, and the
              addresses are announced again. If it does not yield, it does not
              hear this node, or refuses what it hears
  why         no advertisement from 10.0.0.2 for 3.61 s
  group       the links of sync group G elect different nodes: R1 decides, where
              10.0.0.2 has priority 90 (ours 98)
  priority    98 = 100 configured -2 script chk_gateway
  FAILS       script chk_gateway -2: exit status 1, 3 of 3 failures
  addresses   10.0.0.100/24 (on this node)
  router      vrid 50 on eth0, every 1000 ms, speaks from 10.0.0.1
  proof       none
  peer        10.0.0.2 last heard 300 ms ago (priority 90)
  adverts     0 sent, 0 heard, 4 refused (authentication)
  bfd         gw: Up: 10.0.0.254 said Init: both hear each other (60 s ago)
  before      1970-01-01T00:00:00.500Z INIT -> BACKUP: started
";
        assert_eq!(text, expected);
        let agreed = InstanceSnapshot {
            decided: String::new(),
            ..instance
        };
        assert!(!vrrp(&[agreed], 61_000).contains("  group "));
    }
}
