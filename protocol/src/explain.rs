//! Who is master and why, in words: the same for the text commands, the scripted commands and the dashboard.

use std::net::IpAddr;

use crate::vrrp::{
    BFD_EXPIRED, BFD_OWN_TROUBLE, BfdSnapshot, InstanceSnapshot, PeerSeen, VrrpState,
};

impl InstanceSnapshot {
    /// Why the state was entered: which packet, timer, tracked item or operator. Empty before the first change.
    pub fn why(&self) -> &str {
        self.transitions
            .last()
            .map_or("", |transition| transition.reason.as_str())
    }

    /// The other master while two are seen.
    pub fn rival(&self) -> Option<&PeerSeen> {
        if !self.conflict {
            return None;
        }
        self.peers.iter().find(|peer| peer.priority > 0)
    }

    /// While two masters are seen: which, who has to yield, and what this node does about it.
    pub fn conflict_text(&self) -> Option<String> {
        if !self.conflict {
            return None;
        }
        let Some(rival) = self.rival() else {
            return Some("another master is heard too".to_owned());
        };
        let who = format!(
            "{} (priority {}) is master too, heard {}",
            rival.address,
            rival.priority,
            ago(rival.age_ms)
        );
        Some(if self.outranks(rival) {
            format!(
                "{who}. It has to yield: this node has priority {}{}. It is answered, and the addresses are announced \
                 again. If it does not yield, it does not hear this node, or refuses what it hears",
                self.effective_priority,
                if rival.priority == self.effective_priority {
                    " and the higher address"
                } else {
                    ""
                }
            )
        } else {
            format!("{who}. This node has to yield")
        })
    }

    /// Whether this node wins against the other router.
    fn outranks(&self, rival: &PeerSeen) -> bool {
        let address = |text: &str| text.parse::<IpAddr>().ok();
        match self.effective_priority.cmp(&rival.priority) {
            std::cmp::Ordering::Equal => address(&self.source) > address(&rival.address),
            order => order.is_gt(),
        }
    }

    /// When each other router was last heard and what it said, a line each; what silence means, where there is some.
    ///
    /// A backup says nothing (RFC 3768 6.4.2, RFC 9568 6.4.2): its master cannot know whether it lives. Only a failover asks it.
    pub fn peers_text(&self) -> Vec<String> {
        let is_master = self.state == VrrpState::Master;
        if self.peers.is_empty() {
            return vec![match is_master {
                true => "never heard: a backup is silent, and only 'vrrp failover' finds out whether one is there",
                false => "never heard",
            }
            .to_owned()];
        }
        // RFC 9568 6.1: three intervals and the skew time.
        let silent_ms = 4 * self.master_interval_ms.unwrap_or(self.advert_interval_ms);
        let line = |peer: &PeerSeen| {
            let said = match peer.priority {
                0 => "it resigned".to_owned(),
                priority => format!("priority {priority}"),
            };
            let silence = match (peer.age_ms > silent_ms, is_master) {
                (false, _) => "",
                (true, true) => {
                    "; a backup is silent, and only 'vrrp failover' finds out whether it is well"
                }
                (true, false) => "; silent since",
            };
            let heard = ago(peer.age_ms);
            format!("{} last heard {heard} ({said}){silence}", peer.address)
        };
        self.peers.iter().map(line).collect()
    }
}

impl BfdSnapshot {
    /// State, reason, whose fault that is, times, what the neighbour last said, and the counters, in one line.
    pub fn text(&self, now_ms: u64) -> String {
        let since = ago(now_ms.saturating_sub(self.since_ms));
        let mut text = format!("{}: {} ({since})", self.name, self.detail);
        if let Some(means) = self.means() {
            text.push_str(&format!("; {means}"));
        }
        text.push_str(&format!("; {}", self.intervals()));
        if self.heard_ms.is_some() {
            text.push_str(&format!("; it last said {}", self.said()));
        }
        text.push_str(&format!("; {}", self.counted()));
        text
    }

    /// Where to look while it is not Up: on which side, and in which direction, nothing arrives.
    pub fn means(&self) -> Option<&'static str> {
        if self.state == "Up" {
            return None;
        }
        let it_missed_us = self.remote_diagnostic == BFD_EXPIRED;
        Some(match (self.heard_ms, self.remote_state.as_str()) {
            _ if self.detail.contains(BFD_OWN_TROUBLE) => "the fault is on this node",
            (None, _) => {
                "the neighbor never spoke: no BFD there, another address there, or UDP port 3784 is blocked on the way here"
            }
            // Its word may be old: what it said before is no longer known.
            (Some(_), "") => "its packets stopped: the neighbor is dead, or they do not get here",
            (Some(_), "AdminDown") => "it was taken down on purpose over there",
            (Some(_), "Down") if it_missed_us => {
                "its packets get here, ours do not get there, or too late"
            }
            (Some(_), "Up") => "its packets get here; it has not noticed yet that this end is down",
            (Some(_), _) => {
                "its packets get here; ours did not get there yet, or are refused there"
            }
        })
    }

    /// All that there is to say of pauses.
    fn intervals(&self) -> String {
        format!(
            "speaks every {}, is spoken to every {}, detection time {} ({} packets)",
            milliseconds(self.transmit_interval_us),
            milliseconds(self.receive_interval_us),
            milliseconds(self.detection_time_us),
            self.remote_multiplier,
        )
    }

    /// The neighbour's last word, and when that was.
    fn said(&self) -> String {
        let state = match self.remote_state.as_str() {
            "" => "something",
            state => state,
        };
        match self.heard_ms {
            None => "nothing yet".to_owned(),
            Some(age_ms) => format!("{state} ({}) {}", self.remote_diagnostic, ago(age_ms)),
        }
    }

    /// Changes, packets, and what was refused by reason.
    fn counted(&self) -> String {
        let mut text = format!(
            "up {} times, down {} times; {} sent, {} heard",
            self.ups, self.downs, self.sent, self.received
        );
        for (reason, count) in &self.refused {
            text.push_str(&format!(", {count} refused ({reason})"));
        }
        text
    }

    /// The instances that track it, themselves or by their sync groups.
    pub fn trackers<'a>(&self, instances: &'a [InstanceSnapshot]) -> Vec<&'a str> {
        let tracks =
            |instance: &&InstanceSnapshot| instance.bfd.iter().any(|one| one.name == self.name);
        let trackers = instances.iter().filter(tracks);
        trackers.map(|instance| instance.name.as_str()).collect()
    }

    /// What there is to say of it beside its state, a word and what is told each.
    pub fn told(&self) -> Vec<(&'static str, String)> {
        let mut neighbor = match self.interface.as_str() {
            "" => self.neighbor.clone(),
            interface => format!("{}%{interface}", self.neighbor),
        };
        if !self.source.is_empty() {
            neighbor.push_str(&format!(", spoken to from {}", self.source));
        }
        let remote = match self.remote_discriminator {
            0 => "not known there".to_owned(),
            number => format!("{number:#010x} there"),
        };
        neighbor.push_str(&format!(
            "; discriminator {:#010x} here, {remote}",
            self.discriminator
        ));
        let mut told = vec![("why", self.detail.clone())];
        told.extend(self.means().map(|means| ("means", means.to_owned())));
        told.extend([
            ("neighbor", neighbor),
            ("intervals", self.intervals()),
            ("it said", self.said()),
            ("we say", format!("{} ({})", self.state, self.diagnostic)),
            ("counted", self.counted()),
        ]);
        told
    }
}

/// `50 ms`, `3.312 ms`.
fn milliseconds(microseconds: u64) -> String {
    match microseconds % 1_000 {
        0 => format!("{} ms", microseconds / 1_000),
        rest => format!("{}.{rest:03} ms", microseconds / 1_000),
    }
}

/// `300 ms ago`, `12 s ago`, `3 h ago`.
pub fn ago(age_ms: u64) -> String {
    const SECOND: u64 = 1_000;
    const MINUTE: u64 = 60 * SECOND;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    if age_ms < 10 * SECOND {
        format!("{age_ms} ms ago")
    } else if age_ms < 2 * MINUTE {
        format!("{} s ago", age_ms / SECOND)
    } else if age_ms < 2 * HOUR {
        format!("{} min ago", age_ms / MINUTE)
    } else if age_ms < 2 * DAY {
        format!("{} h ago", age_ms / HOUR)
    } else {
        format!("{} days ago", age_ms / DAY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vrrp::{Transition, VrrpCounters};

    fn master(rival: u8) -> InstanceSnapshot {
        InstanceSnapshot {
            name: "R1".to_owned(),
            interface: "eth0".to_owned(),
            vrid: 50,
            state: VrrpState::Master,
            since_ms: 0,
            base_priority: 100,
            effective_priority: 100,
            shares: Vec::new(),
            advert_interval_ms: 1000,
            master_interval_ms: None,
            nopreempt: false,
            preempt_delay_ms: 0,
            addresses: vec!["10.0.0.100/24".to_owned()],
            addresses_present: true,
            authentication: "none".to_owned(),
            source: "10.0.0.10".to_owned(),
            master: None,
            peers: vec![PeerSeen {
                address: "10.0.0.9".to_owned(),
                priority: rival,
                age_ms: 300,
                adverts: 7,
            }],
            held: false,
            conflict: true,
            transitions: vec![Transition {
                at_ms: 0,
                from: VrrpState::Backup,
                to: VrrpState::Master,
                reason: "no advertisement from anybody for 3.61 s".to_owned(),
            }],
            bfd: Vec::new(),
            counters: VrrpCounters::default(),
            decided: String::new(),
        }
    }

    #[test]
    fn the_loser_of_two_masters_is_named() {
        let text = |rival| master(rival).conflict_text().unwrap_or_default();
        assert!(
            text(90).starts_with(
                "10.0.0.9 (priority 90) is master too, heard 300 ms ago. It has to yield"
            ),
            "{}",
            text(90)
        );
        // Addresses are compared as numbers: 10 is higher than 9.
        assert!(
            text(100)
                .contains("It has to yield: this node has priority 100 and the higher address")
        );
        assert!(text(101).contains("This node has to yield"));
        let quiet = InstanceSnapshot {
            conflict: false,
            ..master(90)
        };
        assert_eq!(quiet.conflict_text(), None);
    }

    #[test]
    fn what_the_others_said_is_told_and_what_silence_means() {
        assert_eq!(
            master(0).peers_text(),
            ["10.0.0.9 last heard 300 ms ago (it resigned)"]
        );
        let alone = InstanceSnapshot {
            peers: Vec::new(),
            ..master(0)
        };
        assert_eq!(
            alone.peers_text(),
            [
                "never heard: a backup is silent, and only 'vrrp failover' finds out whether one is there"
            ]
        );
        let old = |state, age_ms| {
            let mut one = master(90);
            one.state = state;
            one.peers[0].age_ms = age_ms;
            one.peers_text()
        };
        let (backup, silent) = (VrrpState::Backup, VrrpState::Master);
        assert_eq!(
            old(backup, 4_000),
            ["10.0.0.9 last heard 4000 ms ago (priority 90)"]
        );
        assert_eq!(
            old(backup, 4_001),
            ["10.0.0.9 last heard 4001 ms ago (priority 90); silent since"]
        );
        assert_eq!(
            old(silent, 61_000),
            [
                "10.0.0.9 last heard 61 s ago (priority 90); a backup is silent, and only 'vrrp failover' finds out \
                 whether it is well"
            ]
        );
        assert_eq!(alone.why(), "no advertisement from anybody for 3.61 s");
    }

    fn session(state: &str, remote_state: &str, remote_diagnostic: &str) -> BfdSnapshot {
        BfdSnapshot {
            name: "gw".to_owned(),
            neighbor: "10.0.0.254".to_owned(),
            interface: String::new(),
            source: String::new(),
            state: state.to_owned(),
            up: state == "Up",
            since_ms: 1_000,
            detail: format!("{state}: as it is"),
            diagnostic: "no diagnostic".to_owned(),
            remote_state: remote_state.to_owned(),
            remote_diagnostic: remote_diagnostic.to_owned(),
            heard_ms: Some(12_000),
            discriminator: 1,
            remote_discriminator: 2,
            transmit_interval_us: 50_000,
            receive_interval_us: 3_312,
            multiplier: 5,
            remote_multiplier: 5,
            detection_time_us: 16_560,
            sent: 12,
            received: 11,
            ups: 1,
            downs: 1,
            refused: Vec::new(),
        }
    }

    #[test]
    fn a_session_tells_on_which_side_to_look() {
        let check = |session: &BfdSnapshot, expected: &str| {
            let means = session.means().unwrap_or("nothing");
            assert!(means.contains(expected), "{means}");
        };
        let quiet = "no diagnostic";
        check(&session("Up", "Up", quiet), "nothing");
        check(&session("Down", "", "path down"), "its packets stopped");
        check(
            &session("Down", "Down", BFD_EXPIRED),
            "ours do not get there",
        );
        check(
            &session("Down", "AdminDown", quiet),
            "on purpose over there",
        );
        check(
            &session("Init", "Down", quiet),
            "ours did not get there yet",
        );
        check(&session("Down", "Up", quiet), "it has not noticed yet");
        let mut one = session("Down", "", "");
        one.heard_ms = None;
        check(&one, "never spoke");
        one.detail = format!("Down: nothing{BFD_OWN_TROUBLE}cannot speak from 10.0.0.1");
        check(&one, "on this node");
    }

    #[test]
    fn one_line_of_a_session_says_times_as_the_many_do() {
        let session = session("Down", "Down", BFD_EXPIRED);
        let line = session.text(61_000);
        for (word, told) in session.told() {
            let only_there = ["neighbor", "we say"].contains(&word);
            assert!(only_there || line.contains(&told), "{told}: {line}");
        }
        assert!(line.contains(
            "(60 s ago); its packets get here, ours do not get there, or too late; speaks every 50 ms, is spoken to every \
             3.312 ms, detection time 16.560 ms (5 packets); it last said Down (control detection time expired) 12 s ago; up 1"
        ), "{line}");
    }

    #[test]
    fn times_have_the_unit_that_reads_best() {
        let check = |age_ms, expected: &str| assert_eq!(ago(age_ms), expected);
        check(9_999, "9999 ms ago");
        check(10_000, "10 s ago");
        check(120_000, "2 min ago");
        check(7_200_000, "2 h ago");
        check(172_800_000, "2 days ago");
    }
}
