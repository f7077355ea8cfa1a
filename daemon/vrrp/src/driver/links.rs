//! When the change of a link counts: delays that are configured, and damping of links that flap.
//!
//! A link that is lost again and again would move the addresses as often. After [`FLAPS`] losses within
//! [`FLAP_WINDOW`] it counts as up only when it was up for [`FLAP_CALM`]; an event says so.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use config::keepalived::KeepalivedConfig;
use protocol::{EventKind, EventSeverity};

use super::Driver;
use crate::core::Moment;
use crate::network::View;

/// So many losses of a link make it one that flaps.
const FLAPS: usize = 4;
/// The time within which they are counted.
const FLAP_WINDOW: Duration = Duration::from_secs(60);
/// How long a link that flaps must be up until it counts as up.
const FLAP_CALM: Duration = Duration::from_secs(10);

/// What is known of a link.
#[derive(Default)]
struct Link {
    counts_up: bool,
    /// Since when it is otherwise than it counts.
    differs_since: Option<Moment>,
    /// Its last losses, at most [`FLAPS`].
    losses: VecDeque<Moment>,
    told: bool,
}

impl Link {
    fn lost(&mut self, now: Moment) {
        self.counts_up = false;
        if self.losses.len() == FLAPS {
            self.losses.pop_front();
        }
        self.losses.push_back(now);
    }

    fn flaps(&self, now: Moment) -> bool {
        self.losses.len() == FLAPS
            && self
                .losses
                .front()
                .is_some_and(|first| now < *first + FLAP_WINDOW + FLAP_CALM)
    }
}

/// All links that instances use.
#[derive(Default)]
pub(super) struct Links {
    known: HashMap<String, Link>,
    /// `interface_up_down_delays`: down, up.
    delays: HashMap<String, (Duration, Duration)>,
}

/// What settling came to.
#[derive(Default, Debug, PartialEq)]
pub(super) struct Settled {
    /// When to look again.
    pub(super) again_at: Option<Moment>,
    /// Links that are damped from now on.
    pub(super) damped: Vec<String>,
}

impl Links {
    /// Takes the delays of a configuration.
    pub(super) fn configure(&mut self, config: &KeepalivedConfig) {
        self.delays.clear();
        for delay in &config.interface_delays {
            // A peer would be master before we are in FAULT (keepalived.conf(5)): two intervals at most.
            let users = config
                .instances
                .iter()
                .filter(|instance| instance.interface == delay.name);
            let most = users.map(|instance| instance.advert_int * 2).min();
            let down = most.map_or(delay.down, |most| delay.down.min(most));
            self.delays.insert(delay.name.clone(), (down, delay.up));
        }
    }

    /// Makes the links in a fresh view count as they do; `used` tells whose links matter.
    pub(super) fn settle(
        &mut self,
        now: Moment,
        view: &mut View,
        used: impl Fn(&str) -> bool,
    ) -> Settled {
        let mut settled = Settled::default();
        for (name, link) in &mut self.known {
            // An interface that vanishes is lost at once.
            if link.counts_up && !view.contains_key(name) {
                link.lost(now);
            }
            if !view.contains_key(name) {
                link.differs_since = None;
            }
        }
        for (name, interface) in view.iter_mut().filter(|(name, _)| used(name)) {
            let up = interface.up && interface.running;
            let first = !self.known.contains_key(name);
            let link = self.known.entry(name.clone()).or_default();
            if first {
                link.counts_up = up;
            }
            if link.counts_up == up {
                link.differs_since = None;
                continue;
            }
            let (down_delay, up_delay) = self.delays.get(name).copied().unwrap_or_default();
            let since = *link.differs_since.get_or_insert(now);
            let delay = match up {
                false => down_delay,
                true if link.flaps(now) => up_delay.max(FLAP_CALM),
                true => up_delay,
            };
            if now >= since + delay {
                link.differs_since = None;
                if up {
                    link.counts_up = true;
                    link.told = false;
                } else {
                    link.lost(now);
                }
                continue;
            }
            let again = since + delay;
            settled.again_at = Some(settled.again_at.map_or(again, |at| at.min(again)));
            if !up {
                // It still counts as it was.
                interface.up = true;
                interface.running = true;
                continue;
            }
            interface.held = Some(if link.flaps(now) {
                if !link.told {
                    link.told = true;
                    settled.damped.push(name.clone());
                }
                format!(
                    "it flaps: it counts as up after {} s without a loss",
                    delay.as_secs()
                )
            } else {
                format!("it is up, and counts as up after {} s", delay.as_secs_f64())
            });
        }
        settled
    }
}

impl Driver {
    /// Lets the links of a fresh view count as they do.
    pub(super) fn settle_links(&mut self) {
        let now = self.now();
        let (units, groups) = (&self.units, &self.groups);
        let used = |name: &str| {
            let of_groups = groups.iter().map(|group| &group.config.tracks);
            let of_units = units.iter().map(|unit| &unit.config.tracks);
            let mut tracked = of_units.chain(of_groups).flat_map(|one| &one.interfaces);
            units.iter().any(|unit| unit.config.interface == name)
                || tracked.any(|one| one.item.text == name)
        };
        let settled = self.links.settle(now, &mut self.network.view, used);
        if let Some(again) = settled.again_at {
            self.refresh_at = Some(self.refresh_at.map_or(again, |at| at.min(again)));
        }
        for name in settled.damped {
            let reason = format!(
                "its link was lost {FLAPS} times within {} s: until it stays up for {} s the instances that need it are in FAULT, \
                 so that the addresses do not move with it each time",
                FLAP_WINDOW.as_secs(),
                FLAP_CALM.as_secs()
            );
            self.event(
                EventSeverity::Warning,
                EventKind::VrrpTracking,
                &name,
                "flapping is damped",
                &reason,
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Interface;

    fn view(up: bool) -> View {
        let interface = Interface {
            index: 2,
            up: true,
            running: up,
            hardware: None,
            below: None,
            vrf: None,
            table: None,
            is_ipvlan: false,
            forwards_ipv6: false,
            ipv4: None,
            held: None,
            addresses: Vec::new(),
        };
        View::from([("eth0".to_owned(), interface)])
    }

    /// Whether the link counts as up, and when to look again.
    fn settle(links: &mut Links, at_ms: u64, up: bool) -> (bool, Settled) {
        let mut view = view(up);
        let settled = links.settle(Duration::from_millis(at_ms), &mut view, |_| true);
        let found = &view["eth0"];
        (found.up && found.running && found.held.is_none(), settled)
    }

    #[test]
    fn a_link_that_flaps_counts_as_up_when_it_is_calm() {
        let mut links = Links::default();
        assert!(settle(&mut links, 0, true).0);
        for round in 0..3 {
            assert!(!settle(&mut links, 1_000 + round * 1_000, false).0);
            assert!(settle(&mut links, 1_500 + round * 1_000, true).0);
        }
        assert!(!settle(&mut links, 4_000, false).0);
        let (up, settled) = settle(&mut links, 4_500, true);
        assert!(!up);
        assert_eq!(settled.damped, ["eth0"]);
        assert_eq!(settled.again_at, Some(Duration::from_millis(14_500)));
        // Lost once more meanwhile: it begins anew, and is not told again.
        assert!(!settle(&mut links, 6_000, false).0);
        let (up, settled) = settle(&mut links, 6_500, true);
        assert!(!up);
        assert_eq!(settled.damped, Vec::<String>::new());
        assert!(!settle(&mut links, 16_000, true).0);
        assert!(settle(&mut links, 16_500, true).0);
    }

    #[test]
    fn a_loss_shorter_than_its_delay_is_none() {
        let mut links = Links::default();
        let delays = (Duration::from_millis(500), Duration::from_secs(2));
        links.delays.insert("eth0".to_owned(), delays);
        assert!(settle(&mut links, 0, true).0);
        let (up, settled) = settle(&mut links, 1_000, false);
        assert!(up);
        assert_eq!(settled.again_at, Some(Duration::from_millis(1_500)));
        assert!(settle(&mut links, 1_400, true).0);
        assert!(settle(&mut links, 2_000, false).0);
        assert!(!settle(&mut links, 2_500, false).0);
        assert!(!settle(&mut links, 3_000, true).0);
        assert!(settle(&mut links, 5_000, true).0);
    }
}
