//! A master that advertises at another interval than ours: in version 3 a backup follows it (RFC 9568 6.1), and says so.

use std::net::IpAddr;
use std::time::Duration;

use config::keepalived::Version;
use protocol::EventSeverity;

use super::{Action, Instance, State};

impl Instance {
    /// The interval of our master, where it is not our own.
    pub fn other_interval(&self) -> Option<Duration> {
        self.other_interval
            .filter(|_| self.state == State::Backup && self.master.is_some())
    }

    /// Tells, once for each change, that our master's interval is not ours.
    pub(super) fn compare_interval(
        &mut self,
        from: IpAddr,
        interval: Duration,
        actions: &mut Vec<Action>,
    ) {
        let is_master = self.state == State::Backup && self.master == Some(from);
        if self.rules.version != Version::V3 || !is_master {
            return;
        }
        let own = self.rules.advert_interval;
        // Hundredths of a second are what a packet says.
        let hundredths = |time: Duration| time.as_millis() / 10;
        let differs = hundredths(interval) != hundredths(own);
        let other = differs.then_some(interval);
        if std::mem::replace(&mut self.other_interval, other) == other {
            return;
        }
        let (change, reason) = match differs {
            true => (
                "the master's interval is not ours",
                format!(
                    "{from} advertises every {interval:?}, advert_int here is {own:?}: its silence is counted by its own \
                     interval; as master this node would keep to the other one"
                ),
            ),
            false => (
                "the master's interval is ours",
                format!("{from} advertises every {interval:?}"),
            ),
        };
        actions.push(Action::Tell {
            severity: EventSeverity::Notice,
            change: change.to_owned(),
            reason,
        });
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::core::Rules;
    use crate::core::tests::{backup, ms, rules};

    const MASTER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 9));
    const THIRD: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 3));

    /// What is told of advertisements with these intervals, a second apart.
    fn told(version: Version, intervals: &[u64]) -> (Instance, Vec<String>) {
        let mut instance = backup(Rules {
            version,
            ..rules(100)
        });
        let mut told = Vec::new();
        for (at, interval) in intervals.iter().enumerate() {
            let now = ms(1000 * at as u64);
            for action in instance.heard(now, MASTER, 150, ms(*interval)) {
                if let Action::Tell { change, .. } = action {
                    told.push(change);
                }
            }
        }
        (instance, told)
    }

    #[test]
    fn another_interval_is_told_once_for_each_change() {
        let (instance, words) = told(Version::V3, &[1000, 2000, 2000, 500, 500, 1000, 1000]);
        let differs = "the master's interval is not ours";
        assert_eq!(words, [differs, differs, "the master's interval is ours"]);
        assert_eq!(instance.other_interval(), None);
        let (instance, _) = told(Version::V3, &[2000]);
        assert_eq!(instance.other_interval(), Some(ms(2000)));
        assert_eq!(instance.master_interval(), ms(2000));
    }

    #[test]
    fn in_version_2_nothing_is_learnt_and_nothing_told() {
        let (instance, words) = told(Version::V2, &[2000]);
        assert!(words.is_empty(), "{words:?}");
        assert_eq!(instance.other_interval(), None);
    }

    #[test]
    fn a_priority_0_of_somebody_else_tells_nothing() {
        let (mut instance, _) = told(Version::V3, &[1000]);
        assert_eq!(instance.heard(ms(5000), THIRD, 0, ms(7000)), []);
    }
}
