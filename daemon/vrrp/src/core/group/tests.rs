//! Facts about sync groups, in virtual time.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use config::keepalived::Version;
use protocol::vrrp::VrrpState;

use super::super::{Action, Instance, Moment, Rules};
use super::{Entered, Followed, Group, failover};
use crate::core::tracking::Standing;

const LOW: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
const OWN: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 5));
const HIGH: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 9));
const SECOND: Duration = Duration::from_secs(1);

fn ms(milliseconds: u64) -> Moment {
    Moment::from_millis(milliseconds)
}

/// A node whose instances are one group.
struct Node {
    group: Group,
    members: Vec<Instance>,
}

impl Node {
    /// All members are backups at 0.
    fn new(priorities: &[u8]) -> Self {
        let rules = |base_priority| Rules {
            version: Version::V2,
            base_priority,
            advert_interval: SECOND,
            starts_active: true,
            nopreempt: false,
            preempt_delay: Duration::ZERO,
            timer_expired_backup: None,
            down_timer_adverts: 3,
            last_word: true,
            answers_lower: true,
            announce_again: ms(5000),
            announce_lower_again: Duration::ZERO,
            announce_refresh: Duration::ZERO,
        };
        let names = (1..=priorities.len()).map(|number| format!("VI_{number}"));
        let mut node = Self {
            group: Group::new("G", names.collect()),
            members: priorities
                .iter()
                .map(|priority| Instance::new(rules(*priority)))
                .collect(),
        };
        node.judge(ms(0), vec![Standing::Well; priorities.len()]);
        assert_eq!(node.group.shown(), VrrpState::Backup);
        node
    }

    fn judge(&mut self, now: Moment, own: Vec<Standing>) -> Followed {
        let mut actions = Vec::new();
        for (at, member) in self.members.iter_mut().enumerate() {
            member.set_source(OWN);
            let standing = self.group.standing(&own, at);
            let priority = member.rules.base_priority;
            actions.push((at, member.judge(now, &standing, priority, "started")));
        }
        let mut followed = self.settle(now);
        actions.append(&mut followed.actions);
        followed.actions = actions;
        followed
    }

    fn settle(&mut self, now: Moment) -> Followed {
        let mut members: Vec<_> = self.members.iter_mut().collect();
        self.group.settle(now, &mut members)
    }

    fn heard(&mut self, now: Moment, at: usize, from: IpAddr, priority: u8) -> Followed {
        self.members[at].heard(now, from, priority, SECOND);
        self.settle(now)
    }

    /// Runs the timers up to `until`.
    fn pass(&mut self, until: Moment) -> Vec<(Moment, Action)> {
        let mut all = Vec::new();
        loop {
            let due = self.members.iter().enumerate();
            let due = due.filter_map(|(at, member)| Some((member.deadline()?, at)));
            let Some((now, at)) = due.min().filter(|(now, _)| *now <= until) else {
                return all;
            };
            let mut members: Vec<_> = self.members.iter_mut().collect();
            let mut actions = self.group.hold_back(now, at, &mut members);
            actions.extend(self.members[at].elapsed(now));
            let followed = self.settle(now).actions;
            actions.extend(followed.into_iter().flat_map(|(_, actions)| actions));
            all.extend(actions.into_iter().map(|action| (now, action)));
        }
    }

    fn states(&self) -> Vec<VrrpState> {
        self.members.iter().map(Instance::shown).collect()
    }
}

/// Two members of priority 100 that took over from nobody.
fn masters() -> Node {
    let mut node = Node::new(&[100, 100]);
    node.pass(ms(3700));
    assert_eq!(node.states(), [VrrpState::Master; 2]);
    assert_eq!(node.group.shown(), VrrpState::Master);
    node
}

fn reasons(actions: &[Action]) -> Vec<&str> {
    let mut reasons = Vec::new();
    for action in actions {
        if let Action::Enter { reason, .. } = action {
            reasons.push(reason.as_str());
        }
    }
    reasons
}

#[test]
fn one_member_takes_the_others_along() {
    // The timer of the member with priority 200 is the first.
    let mut node = Node::new(&[100, 200]);
    let when = ms(3000) + SECOND * 56 / 256;
    node.pass(when);
    assert_eq!(node.states(), [VrrpState::Master; 2]);
    assert_eq!(
        node.members[0].reason,
        "sync group G: VI_2 (no advertisement from anybody for 3.22 s) became master"
    );
}

#[test]
fn a_member_that_yields_takes_the_others_along_with_priority_0() {
    let mut node = masters();
    let followed = node.heard(ms(6000), 1, HIGH, 150);
    assert_eq!(node.states(), [VrrpState::Backup; 2]);
    let [(0, actions)] = &followed.actions[..] else {
        panic!("{followed:?}");
    };
    assert_eq!(
        actions[..2],
        [Action::Advertise(0), Action::RemoveAddresses]
    );
    let because = "VI_2 (advertisement from 10.0.0.9 with higher priority 150 > 100)";
    assert_eq!(
        reasons(actions),
        [format!("sync group G: {because} is no longer master")]
    );
    assert_eq!(
        followed.entered,
        Some(Entered {
            from: VrrpState::Master,
            to: VrrpState::Backup,
            reason: because.to_owned(),
        })
    );
}

#[test]
fn a_fault_of_one_is_the_fault_of_all_and_ends_for_all() {
    let mut node = masters();
    let fault = Standing::Fault("interface eth2: it has no carrier".to_owned());
    let followed = node.judge(ms(6000), vec![Standing::Well, fault]);
    assert_eq!(node.states(), [VrrpState::Fault; 2]);
    for (_, actions) in &followed.actions {
        assert_eq!(
            actions[..2],
            [Action::Advertise(0), Action::RemoveAddresses]
        );
    }
    assert_eq!(
        reasons(&followed.actions[0].1),
        ["sync group G: VI_2: interface eth2: it has no carrier"]
    );
    assert_eq!(
        reasons(&followed.actions[1].1),
        ["interface eth2: it has no carrier"]
    );
    assert_eq!(
        followed.entered.map(|entered| entered.to),
        Some(VrrpState::Fault)
    );
    node.judge(ms(7000), vec![Standing::Well; 2]);
    assert_eq!(node.states(), [VrrpState::Backup; 2]);
}

#[test]
fn nobody_starts_before_all_may() {
    let mut node = Node::new(&[100, 100]);
    let waiting = Standing::Waiting("script chk: no result yet".to_owned());
    node.group
        .follow(vec!["VI_1".to_owned(), "VI_2".to_owned()]);
    for member in &mut node.members {
        member.stop("ended");
    }
    node.judge(ms(100), vec![Standing::Well, waiting]);
    assert_eq!(node.states(), [VrrpState::Init; 2]);
}

#[test]
fn a_member_that_hears_nobody_stays_with_one_that_hears_its_master() {
    let mut node = Node::new(&[100, 100]);
    let mut told = 0;
    for second in 0..60 {
        node.heard(SECOND * second, 0, HIGH, 150);
        let actions = node.pass(SECOND * second + ms(999));
        told += actions
            .iter()
            .filter(|(_, action)| matches!(action, Action::Tell { .. }))
            .count();
        assert_eq!(node.states(), [VrrpState::Backup; 2], "after {second} s");
    }
    assert_eq!(told, 1, "it is told once");
    // The master dies: the held back member goes first, two intervals after the last word.
    let taken = node.pass(SECOND * 70);
    let at = taken
        .iter()
        .find(|(_, action)| *action == Action::AddAddresses);
    assert_eq!(at.map(|(at, _)| *at), Some(SECOND * 61));
    assert_eq!(node.states(), [VrrpState::Master; 2]);
}

#[test]
fn a_dead_master_is_succeeded_at_the_time_of_the_first_member() {
    let mut node = Node::new(&[100, 100]);
    for second in 0..10 {
        node.heard(SECOND * second, 0, HIGH, 150);
        node.heard(SECOND * second + ms(900), 1, HIGH, 150);
    }
    let taken = node.pass(SECOND * 20);
    let at = taken
        .iter()
        .find(|(_, action)| *action == Action::AddAddresses);
    assert_eq!(
        at.map(|(at, _)| *at),
        Some(SECOND * 12 + SECOND * 156 / 256)
    );
}

#[test]
fn priorities_that_contradict_each_other_do_not_flap() {
    // The peer has 50 and 100 where this node has 100 and 50, and the peer was first.
    let mut node = Node::new(&[100, 50]);
    for second in 0..60 {
        node.heard(SECOND * second, 0, HIGH, 50);
        node.heard(SECOND * second, 1, HIGH, 100);
        node.pass(SECOND * second + ms(999));
        assert_eq!(node.states(), [VrrpState::Backup; 2], "after {second} s");
    }
}

#[test]
fn a_failover_holds_all_members_and_a_failback_returns_all() {
    let mut node = masters();
    let resigned = {
        let mut members: Vec<_> = node.members.iter_mut().collect();
        failover(ms(6000), false, &mut members).expect("all are master")
    };
    assert_eq!(resigned, [[Action::Advertise(0)], [Action::Advertise(0)]]);
    node.settle(ms(6000));
    assert_eq!(
        node.states(),
        [VrrpState::Master; 2],
        "until another speaks"
    );
    // The peer's group takes over on one network a little before the other.
    node.heard(ms(6600), 0, LOW, 50);
    node.pass(ms(6700));
    assert_eq!(node.states(), [VrrpState::Backup; 2]);
    assert!(node.members.iter().all(Instance::is_held));
    node.heard(ms(6800), 0, LOW, 50);
    node.heard(ms(6800), 1, LOW, 50);
    node.members[1].failback(ms(7000)).expect("it outranks");
    node.settle(ms(7000));
    assert_eq!(node.states(), [VrrpState::Master; 2]);
    assert!(!node.members.iter().any(Instance::is_held));
}

/// The simulation found it: on a slow link the master had not spoken yet when the other member's time was over.
#[test]
fn a_group_takes_over_only_after_all_have_listened_for_two_intervals() {
    let mut node = Node::new(&[100, 100]);
    node.members[1].stop("ended");
    Arc::make_mut(&mut node.members[1].rules).advert_interval = SECOND * 3;
    node.members[1].master_interval = SECOND * 3;
    node.judge(ms(0), vec![Standing::Well; 2]);
    let taken = node.pass(SECOND * 5);
    assert!(
        !taken
            .iter()
            .any(|(_, action)| *action == Action::AddAddresses)
    );
    node.pass(SECOND * 6);
    assert_eq!(node.states(), [VrrpState::Master; 2]);
}

/// The simulation found it: the master's link was down, so its last word reached the other member alone.
#[test]
fn a_member_whose_master_resigned_is_not_held_back_by_one_that_was_not_told() {
    let mut node = Node::new(&[100, 100]);
    for at in [0, 1] {
        node.heard(ms(1000), at, HIGH, 150);
    }
    node.heard(ms(1100), 0, HIGH, 0);
    let skew = SECOND * 156 / 256;
    let taken = node.pass(ms(1100) + skew);
    assert_eq!(node.states(), [VrrpState::Master; 2], "{taken:?}");
}

/// The simulation found it: one member stayed while the other one went on with its failover.
#[test]
fn a_failover_that_is_refused_on_one_link_ends_on_all() {
    let mut node = masters();
    node.heard(ms(5000), 1, LOW, 99);
    {
        let mut members: Vec<_> = node.members.iter_mut().collect();
        failover(ms(6000), false, &mut members).expect("all are master");
    }
    // It has less than its best priority on this link alone.
    let followed = node.heard(ms(6600), 1, LOW, 40);
    let [(0, actions)] = &followed.actions[..] else {
        panic!("{followed:?}");
    };
    assert_eq!(actions[0], Action::Advertise(100));
    let Some(Action::FailoverEnded(Err(why))) = actions.last() else {
        panic!("{actions:?}");
    };
    assert!(why.contains("the failover of VI_2 ended"), "{why}");
    assert!(!node.members.iter().any(Instance::is_handing_over));
    assert_eq!(node.states(), [VrrpState::Master; 2]);
}

#[test]
fn a_failover_of_a_group_that_is_not_master_is_refused() {
    let mut node = Node::new(&[100, 100]);
    let mut members: Vec<_> = node.members.iter_mut().collect();
    assert!(failover(ms(100), false, &mut members).is_err());
}

#[test]
fn a_new_member_of_a_master_group_takes_over_at_once() {
    let mut node = masters();
    node.members
        .push(Instance::new(node.members[0].rules.clone()));
    let names = ["VI_1", "VI_2", "VI_3"].map(str::to_owned);
    node.group.follow(names.to_vec());
    let followed = node.judge(ms(6000), vec![Standing::Well; 3]);
    assert_eq!(node.states(), [VrrpState::Master; 3]);
    assert_eq!(followed.entered, None, "the group is what it was");
}

/// Both nodes were masters of all and gave all up: who loses on the link of the lowest virtual router id lets the other
/// one come first, in whatever order its file has the instances.
#[test]
fn of_links_that_elect_different_nodes_the_lowest_virtual_router_id_decides() {
    let orders = [[(51, false), (52, false)], [(52, false), (51, false)]];
    for (first, second, loses) in [(HIGH, LOW, true), (LOW, HIGH, false)] {
        for (order, decider) in orders.iter().zip(["VI_1 decides", "VI_2 decides"]) {
            let waits = loses == (decider == "VI_1 decides");
            let mut node = masters();
            node.group = node.group.ranked(order.to_vec());
            for (at, from) in [(0, first), (1, second)] {
                node.heard(ms(3800), at, from, 100);
                node.heard(ms(3801), at, from, 0);
            }
            assert_eq!(node.states(), [VrrpState::Backup; 2]);
            // The skew time of priority 100 is 609 ms.
            let actions = node.pass(ms(4450));
            let told = actions.iter().any(|(_, action)| {
                matches!(action, Action::Tell { reason, .. } if reason.contains(decider))
            });
            assert_eq!(told, waits, "{actions:?}");
            let expected = match waits {
                true => VrrpState::Backup,
                false => VrrpState::Master,
            };
            assert_eq!(node.states(), [expected; 2]);
            let (from, than) = match waits {
                true => (HIGH, "a lower address"),
                false => (LOW, "a higher address"),
            };
            let why = format!(
                "the links of sync group G elect different nodes: {decider}, where {from} has priority 100 \
                 (ours 100, and {than})"
            );
            assert_eq!(node.group.decided(), why);
            // The other one did not come.
            node.pass(ms(6450));
            assert_eq!(node.states(), [VrrpState::Master; 2]);
            assert_eq!(node.group.decided(), if waits { "" } else { &why });
            node.heard(ms(6500), 0, HIGH, 150);
            assert_eq!(node.states(), [VrrpState::Backup; 2]);
            assert_eq!(node.group.decided(), "", "that is over");
        }
    }
}
