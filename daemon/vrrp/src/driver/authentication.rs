//! How instances authenticate: the numbers of `auth_hmac`, what is told about them, and what `show vrrp` says.

use std::net::IpAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use config::keepalived::{AntiReplay, AuthHmac, Authentication, HmacMode};
use protocol::{EventKind, EventSeverity};

use super::Driver;
use super::unit::REPORT_SPACING;
use crate::core::Moment;
use crate::packet::hmac::{Outgoing, Senders, Wall};
use crate::packet::{Form, Heard, Refused};

/// The time of day. Sequence numbers of `auth_hmac` alone are made of it; a step of it moves no timer.
pub(super) fn wall() -> Wall {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO)
}

/// The numbers of one instance, and what was told about them.
#[derive(Default)]
pub(super) struct Proofs {
    outgoing: Outgoing,
    senders: Senders,
    /// Advertisements without a trailer that counted (`mode permissive`).
    unproved: u64,
    unproved_told: Option<Moment>,
    skew_told: Option<Moment>,
}

impl Proofs {
    /// The number of the next advertisement.
    pub(super) fn take(&mut self, auth: &AuthHmac, wall: Wall) -> u64 {
        self.outgoing.take(wall, auth)
    }

    /// Whether what was heard is new. Call it for what is valid in every other respect.
    pub(super) fn accept(
        &mut self,
        auth: &AuthHmac,
        heard: &Heard,
        wall: Wall,
    ) -> Result<(), Refused> {
        match heard.stamp {
            Some(stamp) => {
                self.senders.accept(heard.from, stamp, wall, auth)?;
            }
            None => self.unproved += 1,
        }
        Ok(())
    }

    /// Those who were heard, with their last numbers.
    pub(super) fn heard(&self) -> impl Iterator<Item = (IpAddr, u64)> {
        self.senders.numbers()
    }

    /// What a process before this one has heard: no less counts as new.
    pub(super) fn recall(&mut self, senders: &[(IpAddr, u64)]) {
        self.senders.recall(senders);
    }

    /// What an operator is to know of what was just heard, at most once a minute of each kind.
    fn warning(
        &mut self,
        now: Moment,
        auth: &AuthHmac,
        from: IpAddr,
        proved: bool,
    ) -> Option<(&'static str, String)> {
        let is_due = |told: &Option<Moment>| told.is_none_or(|at| at + REPORT_SPACING <= now);
        if !proved {
            if !is_due(&self.unproved_told) {
                return None;
            }
            self.unproved_told = Some(now);
            let reason = format!(
                "from {from}: no trailer of auth_hmac; it counts because of 'mode permissive' ({} until now)",
                self.unproved
            );
            return Some(("an advertisement is believed without a proof", reason));
        }
        let skew = self.senders.iter().next().map_or(0.0, |last| last.skew_s);
        let is_near = skew.abs() <= auth.time_window.as_secs_f64() / 2.0;
        if auth.anti_replay == AntiReplay::Monotonic || is_near || !is_due(&self.skew_told) {
            return None;
        }
        self.skew_told = Some(now);
        let reason = format!(
            "the clock of {from} is {:.2} s {} ours, more than half of the time_window of {} s: beyond it \
             nothing of it is believed",
            skew.abs(),
            if skew < 0.0 { "behind" } else { "ahead of" },
            auth.time_window.as_secs_f64()
        );
        Some(("clocks differ", reason))
    }

    /// What `show vrrp` says: never a key.
    pub(super) fn describe(&self, form: &Form) -> String {
        let Some(auth) = &form.hmac else {
            return match form.authentication {
                None => "none".to_owned(),
                Some(Authentication::Pass(_)) => {
                    "a password in plain text (auth_type PASS)".to_owned()
                }
                Some(Authentication::Ah(_)) => "auth_type AH".to_owned(),
            };
        };
        let ids: Vec<_> = auth.keys.iter().map(|key| key.id.to_string()).collect();
        let freshness = match auth.anti_replay {
            AntiReplay::Time => format!("time within {} s", auth.time_window.as_secs_f64()),
            AntiReplay::Monotonic => "monotonic".to_owned(),
        };
        let mode = match auth.mode {
            HmacMode::Enforce => "enforce",
            HmacMode::Permissive => "permissive",
        };
        let mut text = format!(
            "auth_hmac with key {} of {}, {freshness}, {mode}",
            auth.active_key,
            ids.join(" ")
        );
        for sender in self.senders.iter() {
            text.push_str(&format!(
                "; proved by {}, clock {:+.2} s",
                sender.address, sender.skew_s
            ));
        }
        if self.unproved > 0 {
            text.push_str(&format!("; {} believed without a proof", self.unproved));
        }
        text
    }
}

impl Driver {
    /// Tells of what was believed and is not as it should be.
    pub(super) fn tell_proof(&mut self, at: usize, heard: &Heard) {
        let now = self.now();
        if self.units[at].config.auth_hmac.is_none() {
            return;
        }
        self.remember(now);
        let unit = &mut self.units[at];
        let Some(auth) = &unit.config.auth_hmac else {
            return;
        };
        let proved = heard.stamp.is_some();
        let proofs = unit.voice.proofs.get_or_insert_default();
        if let Some((change, reason)) = proofs.warning(now, auth, heard.from, proved) {
            let name = unit.name().to_owned();
            let (severity, kind) = (EventSeverity::Warning, EventKind::Other);
            self.event(severity, kind, &name, change, &reason);
        }
    }
}

#[cfg(test)]
mod tests {
    use config::keepalived::{HmacKey, Secret};

    use super::*;

    const NOW: Wall = Duration::from_secs(1_800_000_000);
    const FROM: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 9));

    fn auth(mode: HmacMode) -> AuthHmac {
        AuthHmac {
            keys: vec![HmacKey {
                id: 7,
                secret: Secret::new(b"a key that nobody sees, 32 long.".to_vec()),
            }],
            active_key: 7,
            anti_replay: AntiReplay::Time,
            time_window: Duration::from_secs(5),
            mode,
        }
    }

    fn heard(stamp: Option<u64>) -> Heard {
        Heard {
            from: FROM,
            priority: 100,
            interval: Duration::from_secs(1),
            sequence: None,
            stamp,
            other_checksum: None,
        }
    }

    #[test]
    fn a_clock_that_is_off_by_more_than_half_the_window_is_told_once_a_minute() {
        let auth = auth(HmacMode::Enforce);
        let (mut sender, mut proofs) = (Proofs::default(), Proofs::default());
        let mut hear = |skew_ms: u64, now_s: u64| {
            let wall = NOW + Duration::from_secs(now_s);
            let stamp = sender.take(&auth, wall + Duration::from_millis(skew_ms));
            let heard = heard(Some(stamp));
            proofs.accept(&auth, &heard, wall).expect("fresh");
            proofs.warning(Moment::from_secs(now_s), &auth, FROM, true)
        };
        assert_eq!(hear(2400, 0), None);
        let (change, reason) = hear(2600, 1).expect("a warning");
        assert_eq!(change, "clocks differ");
        assert!(reason.starts_with(
            "the clock of 10.0.0.9 is 2.60 s ahead of ours, more than half of the time_window of 5 s"
        ));
        assert_eq!(hear(2600, 60), None);
        assert!(hear(2600, 61).is_some());
    }

    #[test]
    fn what_is_believed_without_a_proof_is_counted_and_told() {
        let auth = auth(HmacMode::Permissive);
        let mut proofs = Proofs::default();
        for _ in 0..3 {
            proofs.accept(&auth, &heard(None), NOW).expect("permissive");
        }
        let told = proofs.warning(Moment::ZERO, &auth, FROM, false);
        assert!(told.is_some_and(|(_, reason)| reason.contains("(3 until now)")));
        assert_eq!(proofs.warning(Moment::ZERO, &auth, FROM, false), None);
    }
}
