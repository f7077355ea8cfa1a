//! `timer_expired_backup`: a master that did not run for so long that another may have followed it steps back.
//!
//! With `nopreempt` whoever is master stays it. A master whose process was not scheduled, or whose machine stood still,
//! would take the addresses back by its next advertisement from the router that rightly followed it.

use config::keepalived::Version;

use super::{Action, Duration, Instance, Moment, RESIGN, State, Wait};

impl Instance {
    /// How long a router of this priority waits for us.
    fn patience_of(&self, priority: u8) -> Duration {
        let interval = self.rules.advert_interval;
        let whole = match self.rules.version {
            Version::V2 => Duration::from_secs(1),
            Version::V3 => interval,
        };
        interval * self.rules.down_timer_adverts
            + whole * u32::from(256 - u16::from(priority)) / 256
    }

    /// Steps back if nothing was said for longer than the others wait. It comes before anything else is sent or heard.
    ///
    /// Its last word is priority 0, once the addresses are gone. While the process stood still the kernel went on answering
    /// for them: who followed announces them again when it hears that, and if nobody did, somebody comes after the skew
    /// time. Our own priority would make a follower yield that has a lower one.
    pub(super) fn lapse(&mut self, now: Moment, actions: &mut Vec<Action>) {
        let Some(highest) = self.rules.timer_expired_backup else {
            return;
        };
        if self.state != State::Active || !self.rules.nopreempt || self.handover.is_some() {
            return;
        }
        let silent = now.saturating_sub(self.advertised_at);
        let patience = self.patience_of(highest);
        if silent <= patience {
            return;
        }
        let reason = format!(
            "it did not run for {:.2} s, and a router with priority {highest} takes over after {:.2} s \
             (timer_expired_backup)",
            silent.as_secs_f64(),
            patience.as_secs_f64()
        );
        self.enter_backup(now, Wait::Nobody { since: now }, &reason, actions);
        actions.push(Action::Advertise(RESIGN));
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;
    use crate::core::Rules;
    use crate::core::tests::{backup, ms, rules};

    const OTHER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 9));

    fn master(highest: Option<u8>) -> Instance {
        let mut instance = backup(Rules {
            nopreempt: true,
            timer_expired_backup: highest,
            ..rules(100)
        });
        instance.elapsed(ms(3610));
        assert!(instance.is_active());
        instance
    }

    /// 3 s and 2/256 s: what priority 254 waits.
    const PATIENCE_254: Duration = Duration::from_nanos(3_007_812_500);

    #[test]
    fn a_master_that_lapsed_steps_back_and_claims_nothing() {
        let mut instance = master(Some(254));
        let late = ms(3610) + PATIENCE_254 + Duration::from_nanos(1);
        let actions = instance.elapsed(late);
        assert_eq!(actions[0], Action::RemoveAddresses);
        let [_, Action::Enter { reason, .. }, last] = &actions[..] else {
            panic!("{actions:?}");
        };
        // Found by simulation: clients that the kernel here had answered stayed here, as who followed was told nothing.
        assert_eq!(*last, Action::Advertise(RESIGN));
        assert_eq!(
            reason,
            "it did not run for 3.01 s, and a router with priority 254 takes over after 3.01 s (timer_expired_backup)"
        );
        // Nobody took over: it is master again by its own timer.
        assert_eq!(
            instance.deadline(),
            Some(late + ms(3000) + Duration::from_secs(156) / 256)
        );
    }

    #[test]
    fn up_to_the_patience_of_the_others_it_goes_on() {
        let mut instance = master(Some(254));
        let actions = instance.elapsed(ms(3610) + PATIENCE_254);
        assert_eq!(actions[0], Action::Advertise(100));
        // A lower priority waits longer: 3 s and 156/256 s.
        let mut instance = master(Some(100));
        assert_eq!(
            instance.elapsed(ms(3610 + 3500))[0],
            Action::Advertise(100),
            "nobody can have followed"
        );
        assert!(instance.elapsed(ms(7110 + 3610))[0] == Action::RemoveAddresses);
    }

    #[test]
    fn it_counts_from_the_last_advertisement_whatever_made_it_speak() {
        let mut instance = master(Some(254));
        // Answered at 4.5 s, a second before the timer would have been due.
        let actions = instance.heard(ms(4500), OTHER, 50, ms(1000));
        assert!(actions.contains(&Action::Advertise(100)));
        assert_eq!(
            instance.elapsed(ms(4500) + PATIENCE_254)[0],
            Action::Advertise(100)
        );
    }

    #[test]
    fn who_followed_it_is_obeyed_even_with_a_lower_priority() {
        let mut instance = master(Some(254));
        let late = ms(3610 + 10_000);
        let actions = instance.heard(late, OTHER, 50, ms(1000));
        assert_eq!(actions[0], Action::RemoveAddresses);
        let is_claim =
            |action: &Action| matches!(action, Action::Advertise(priority) if *priority != RESIGN);
        assert!(!actions.iter().any(is_claim));
        assert_eq!(instance.master().map(|peer| peer.address), Some(OTHER));
        assert!(!instance.is_active());
    }

    #[test]
    fn without_the_word_a_late_master_speaks() {
        let mut instance = master(None);
        assert_eq!(instance.elapsed(ms(60_000))[0], Action::Advertise(100));
    }
}
