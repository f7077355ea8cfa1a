//! Other rules while the state stays: timers are moved, not started anew.

use std::sync::Arc;

use config::keepalived::Version;

use super::{Instance, Moment, Rules, Wait};

impl Instance {
    /// Takes other rules; the state stays. The next [`Instance::judge`] brings the effective priority.
    ///
    /// No advertisement comes later than it would have come. A backup waits for its master as long as the new rules say,
    /// but a shorter wait begins now: the master kept to the old ones until here.
    pub fn follow(&mut self, now: Moment, rules: impl Into<Arc<Rules>>) {
        let down_before = self.master_down_interval();
        let old = std::mem::replace(&mut self.rules, rules.into());
        if self.master.is_none() || self.rules.version == Version::V2 {
            self.master_interval = self.rules.advert_interval;
        }
        if let Some(at) = self.advert_at {
            let last = at.saturating_sub(old.advert_interval);
            self.advert_at = Some(at.min((last + self.rules.advert_interval).max(now)));
        }
        if self.rules.advert_interval != old.advert_interval {
            // Nobody can have lost patience by an interval that was not told yet.
            self.advertised_at = now;
        }
        let down_after = self.master_down_interval();
        if let (Some(at), true) = (self.master_down_at, down_after != down_before)
            && let Wait::Nobody { since } | Wait::Silence { since, .. } = self.wait
        {
            let shorter = at.min(now + down_after);
            self.master_down_at = Some(shorter.max(since + down_after));
        }
        if self.rules.nopreempt || self.rules.preempt_delay != old.preempt_delay {
            self.preempt_at = None;
        }
        if self.is_active() && self.rules.announce_refresh != old.announce_refresh {
            let refreshes = !self.rules.announce_refresh.is_zero();
            self.refresh_at = refreshes.then_some(now + self.rules.announce_refresh);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};
    use std::time::Duration;

    use super::*;
    use crate::core::Action;
    use crate::core::tests::{active, backup, ms, rules};

    const OTHER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 9));

    fn with_interval(interval: Duration) -> Rules {
        Rules {
            advert_interval: interval,
            ..rules(100)
        }
    }

    #[test]
    fn a_master_advertises_no_later_than_its_timer_says() {
        // It became master at 3610 ms.
        for (interval, next) in [(ms(5000), 4610), (ms(1000), 4610), (ms(500), 4110)] {
            let mut instance = active();
            instance.follow(ms(3700), with_interval(interval));
            assert_eq!(instance.advert_at, Some(ms(next)));
            assert!(instance.is_active());
            let actions = instance.elapsed(ms(next));
            assert!(actions.contains(&Action::Advertise(100)));
            assert_eq!(instance.advert_at, Some(ms(next) + interval));
        }
        let mut instance = active();
        instance.follow(ms(4200), with_interval(ms(100)));
        assert_eq!(
            instance.advert_at,
            Some(ms(4200)),
            "what is overdue goes at once"
        );
    }

    #[test]
    fn twenty_reloads_do_not_move_the_next_advertisement() {
        let mut instance = active();
        for at in 0..20 {
            instance.follow(ms(3620 + at * 40), rules(100));
        }
        assert_eq!(instance.advert_at, Some(ms(4610)));
    }

    #[test]
    fn a_backup_waits_as_the_new_rules_say_and_never_less_from_now_on() {
        let skew = ms(1000) * 156 / 256;
        let heard = |at| {
            let mut instance = backup(rules(100));
            instance.heard(ms(at), OTHER, 200, ms(1000));
            assert_eq!(instance.master_down_at, Some(ms(at + 3000) + skew));
            instance
        };
        let mut instance = heard(1000);
        instance.follow(ms(1500), with_interval(ms(2000)));
        assert_eq!(instance.master_down_at, Some(ms(7000) + skew), "longer");
        let mut instance = heard(1000);
        instance.follow(ms(1900), with_interval(ms(500)));
        assert_eq!(
            instance.master_down_at,
            Some(ms(3400) + skew),
            "shorter, from now"
        );
        let mut instance = heard(1000);
        instance.follow(ms(4500), with_interval(ms(500)));
        assert_eq!(
            instance.master_down_at,
            Some(ms(4000) + skew),
            "never later than before"
        );
        let mut instance = heard(1000);
        instance.follow(ms(1900), rules(100));
        assert_eq!(instance.master_down_at, Some(ms(4000) + skew), "the same");
    }

    #[test]
    fn preemption_that_is_switched_off_does_not_happen() {
        let mut instance = backup(Rules {
            preempt_delay: ms(60_000),
            ..rules(100)
        });
        instance.heard(ms(1000), OTHER, 50, ms(1000));
        assert!(instance.preempt_at.is_some());
        instance.follow(
            ms(1100),
            Rules {
                nopreempt: true,
                ..rules(100)
            },
        );
        assert_eq!(instance.preempt_at, None);
    }
}
