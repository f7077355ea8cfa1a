//! A master whose daemon was replaced goes on as master: `--keep-addresses`.

use super::{Action, Instance, Moment};

impl Instance {
    /// The addresses are here from before, and no other router takes over before `until`. Call it before the first
    /// [`Instance::judge`].
    pub fn resume(&mut self, until: Moment) {
        self.kept_until = Some(until);
    }

    /// Goes on as master, or lets the kept addresses go.
    pub(super) fn resumes(&mut self, now: Moment, actions: &mut Vec<Action>) -> bool {
        let Some(until) = self.kept_until.take() else {
            return false;
        };
        if now < until && self.master.is_none() {
            self.enter_active(
                now,
                "the last daemon kept the addresses for this one",
                actions,
            );
            return true;
        }
        actions.push(Action::RemoveAddresses);
        false
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;
    use crate::core::tests::{ms, rules};
    use crate::core::tracking::Standing;

    fn judged(heard: Option<u64>, at: u64) -> (Instance, Vec<Action>) {
        let mut instance = Instance::new(rules(100));
        instance.resume(ms(3000));
        let other = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 9));
        if let Some(heard) = heard {
            instance.heard(ms(heard), other, 90, ms(1000));
        }
        let waiting = Standing::Waiting("the proxy is not ready yet".to_owned());
        assert_eq!(instance.judge(ms(0), &waiting, 100, "started"), []);
        let actions = instance.judge(ms(at), &Standing::Well, 100, "the proxy is alive");
        (instance, actions)
    }

    #[test]
    fn kept_addresses_make_a_master_at_once() {
        let (instance, actions) = judged(None, 500);
        assert!(instance.is_active());
        assert!(!actions.contains(&Action::RemoveAddresses));
    }

    #[test]
    fn who_comes_too_late_begins_anew() {
        for (heard, at) in [(None, 3000), (Some(400), 500)] {
            let (instance, actions) = judged(heard, at);
            assert!(!instance.is_active());
            assert_eq!(actions[0], Action::RemoveAddresses);
        }
    }

    #[test]
    fn a_fault_lets_kept_addresses_go() {
        let mut instance = Instance::new(rules(100));
        instance.resume(ms(3000));
        let fault = Standing::Fault("interface eth0: it has no carrier".to_owned());
        let actions = instance.judge(ms(10), &fault, 100, "started");
        assert_eq!(
            actions[..2],
            [Action::Advertise(0), Action::RemoveAddresses]
        );
    }
}
