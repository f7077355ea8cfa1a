//! Facts about the state machine, in virtual time.

use std::sync::Arc;

use super::*;

mod handover;

const OWN: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 5));
const LOW: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
const HIGH: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 9));
/// What the others advertise as their interval.
const SECOND: Duration = Duration::from_secs(1);

pub(super) fn ms(milliseconds: u64) -> Moment {
    Moment::from_millis(milliseconds)
}

pub(super) fn rules(base_priority: u8) -> Rules {
    Rules {
        version: Version::V2,
        base_priority,
        starts_active: true,
        advert_interval: ms(1000),
        nopreempt: false,
        preempt_delay: Duration::ZERO,
        timer_expired_backup: None,
        down_timer_adverts: 3,
        last_word: true,
        answers_lower: true,
        announce_again: ms(5000),
        announce_lower_again: ms(5000),
        announce_refresh: Duration::ZERO,
    }
}

fn judge(instance: &mut Instance, now: Moment, standing: Standing) -> Vec<Action> {
    let priority = instance.rules.base_priority;
    instance.judge(now, &standing, priority, "started")
}

/// An instance that has started at 0 and is Backup.
pub(super) fn backup(rules: Rules) -> Instance {
    let mut instance = Instance::new(rules);
    instance.set_source(OWN);
    judge(&mut instance, ms(0), Standing::Well);
    assert_eq!(instance.shown(), VrrpState::Backup);
    instance
}

/// An instance with priority 100 that took over from nobody at 3610 ms.
pub(super) fn active() -> Instance {
    let mut instance = backup(rules(100));
    instance.elapsed(ms(3610));
    assert!(instance.is_active());
    instance
}

fn reason(actions: &[Action]) -> &str {
    let entered = actions.iter().find_map(|action| match action {
        Action::Enter { reason, .. } => Some(reason.as_str()),
        _ => None,
    });
    entered.expect("a change of state")
}

/// What the driver would do for the network, without words.
fn deeds(actions: &[Action]) -> Vec<Action> {
    let is_deed = |action: &&Action| {
        matches!(
            action,
            Action::Advertise(_)
                | Action::AddAddresses
                | Action::RemoveAddresses
                | Action::Announce(_)
        )
    };
    actions.iter().filter(is_deed).cloned().collect()
}

/// Runs the timers up to `until`; all actions with their times.
fn pass(instance: &mut Instance, until: Moment) -> Vec<(Moment, Action)> {
    let mut all = Vec::new();
    while let Some(at) = instance.deadline().filter(|at| *at <= until) {
        all.extend(instance.elapsed(at).into_iter().map(|action| (at, action)));
    }
    all
}

#[test]
fn a_router_that_hears_nobody_takes_over_after_three_intervals_and_its_skew() {
    let mut instance = backup(rules(100));
    assert_eq!(
        instance.deadline(),
        Some(ms(3000) + Duration::from_secs(156) / 256)
    );
    let actions = instance.elapsed(ms(3610));
    let expected = [
        Action::Advertise(100),
        Action::AddAddresses,
        Action::Announce(Burst::Full),
    ];
    assert_eq!(deeds(&actions), expected);
    assert_eq!(reason(&actions), "no advertisement from anybody for 3.61 s");
}

#[test]
fn the_owner_takes_its_addresses_at_once() {
    let mut instance = Instance::new(rules(255));
    let actions = judge(&mut instance, ms(0), Standing::Well);
    assert_eq!(
        deeds(&actions)[..2],
        [Action::Advertise(255), Action::AddAddresses]
    );
}

#[test]
fn nothing_happens_before_all_is_known() {
    let mut instance = Instance::new(rules(100));
    assert_eq!(
        judge(
            &mut instance,
            ms(0),
            Standing::Waiting("the proxy".to_owned())
        ),
        []
    );
    assert_eq!(instance.heard(ms(1), LOW, 50, SECOND), []);
    assert_eq!(
        (instance.deadline(), instance.shown()),
        (None, VrrpState::Init)
    );
}

#[test]
fn a_higher_master_is_obeyed_as_long_as_it_speaks() {
    let mut instance = backup(rules(100));
    for second in 1..60 {
        assert_eq!(instance.heard(ms(second * 1000), LOW, 101, SECOND), []);
        assert_eq!(pass(&mut instance, ms(second * 1000 + 999)), []);
    }
    let silence = pass(&mut instance, ms(64_000));
    assert_eq!(silence[0].0, ms(62_000) + Duration::from_secs(156) / 256);
    let actions: Vec<_> = silence.into_iter().map(|(_, action)| action).collect();
    assert_eq!(
        reason(&actions),
        "no advertisement from 10.0.0.1 for 3.61 s"
    );
}

#[test]
fn a_resigning_master_is_succeeded_after_the_skew_time() {
    let mut instance = backup(rules(100));
    instance.heard(ms(1000), LOW, 101, SECOND);
    instance.heard(ms(1500), LOW, 0, SECOND);
    assert_eq!(
        instance.deadline(),
        Some(ms(1500) + Duration::from_secs(156) / 256)
    );
    let actions = instance.elapsed(ms(2110));
    assert_eq!(
        reason(&actions),
        "10.0.0.1 resigned (priority 0) and nobody else spoke for 0.61 s"
    );
}

#[test]
fn a_resignation_never_makes_the_wait_longer() {
    let mut instance = backup(rules(1));
    let before = instance.deadline();
    instance.heard(ms(3900), LOW, 0, SECOND);
    assert_eq!(instance.deadline(), before);
}

#[test]
fn a_lower_master_is_preempted_although_it_speaks() {
    let mut instance = backup(rules(100));
    for at in [500, 1500, 2500, 3500] {
        instance.heard(ms(at), LOW, 99, SECOND);
    }
    let actions = instance.elapsed(ms(3610));
    assert_eq!(
        reason(&actions),
        "the master 10.0.0.1 has lower priority 99 < 100"
    );
}

#[test]
fn nopreempt_obeys_a_lower_master_and_still_succeeds_a_silent_one() {
    let mut instance = backup(Rules {
        nopreempt: true,
        ..rules(100)
    });
    for at in [500, 1500, 2500, 3500] {
        instance.heard(ms(at), LOW, 99, SECOND);
        assert_eq!(pass(&mut instance, ms(at + 900)), []);
    }
    assert!(!pass(&mut instance, ms(7200)).is_empty());
}

#[test]
fn preempt_delay_counts_from_the_first_sight_of_a_lower_master() {
    let mut instance = backup(Rules {
        preempt_delay: ms(2000),
        ..rules(100)
    });
    for at in [500, 1500, 2400, 3400, 4400] {
        instance.heard(ms(at), LOW, 99, SECOND);
        assert!(!instance.is_active());
        pass(&mut instance, ms(at + 800));
    }
    // Obeyed last at 2400, before 500 + 2000.
    assert_eq!(
        instance.deadline(),
        Some(ms(5400) + Duration::from_secs(156) / 256)
    );
}

#[test]
fn preempt_delay_does_not_delay_succeeding_a_silent_master() {
    let mut instance = backup(Rules {
        preempt_delay: ms(600_000),
        ..rules(100)
    });
    assert!(!pass(&mut instance, ms(3700)).is_empty());
    let mut instance = backup(Rules {
        preempt_delay: ms(600_000),
        ..rules(100)
    });
    instance.heard(ms(1000), LOW, 99, SECOND);
    instance.heard(ms(1100), LOW, 0, SECOND);
    assert!(!pass(&mut instance, ms(1800)).is_empty());
}

#[test]
fn a_higher_master_in_between_starts_the_preempt_delay_anew() {
    let mut instance = backup(Rules {
        preempt_delay: ms(2000),
        ..rules(100)
    });
    instance.heard(ms(500), LOW, 99, SECOND);
    instance.heard(ms(1500), HIGH, 150, SECOND);
    instance.heard(ms(2600), LOW, 99, SECOND);
    // Obeyed again: the delay runs until 4600.
    assert_eq!(
        instance.deadline(),
        Some(ms(5600) + Duration::from_secs(156) / 256)
    );
}

#[test]
fn a_master_yields_to_a_higher_priority_and_speaks_once_more_after_its_addresses_are_gone() {
    let mut instance = active();
    let actions = instance.heard(ms(4000), LOW, 101, SECOND);
    assert_eq!(
        deeds(&actions),
        [Action::RemoveAddresses, Action::Advertise(100)]
    );
    assert_eq!(
        reason(&actions),
        "advertisement from 10.0.0.1 with higher priority 101 > 100"
    );
    assert_eq!(instance.shown(), VrrpState::Backup);
}

#[test]
fn between_equal_priorities_the_higher_address_wins() {
    assert_eq!(
        active().heard(ms(4000), HIGH, 100, SECOND)[0],
        Action::RemoveAddresses
    );
    assert_eq!(
        active().heard(ms(4000), LOW, 100, SECOND)[0],
        Action::Advertise(100)
    );
}

#[test]
fn a_master_answers_a_lower_one_at_once_and_announces_its_addresses_again() {
    let mut instance = active();
    let actions = instance.heard(ms(60_000), LOW, 99, SECOND);
    assert_eq!(deeds(&actions), [Action::Advertise(100)]);
    assert!(
        actions
            .iter()
            .any(|action| matches!(action, Action::Tell { .. }))
    );
    assert!(instance.in_conflict(ms(60_100)));
    let announced: Vec<_> = pass(&mut instance, ms(66_000))
        .into_iter()
        .filter(|(_, action)| {
            matches!(action, Action::Announce(Burst::Full | Burst::LowerPriority))
        })
        .map(|(at, _)| at)
        .collect();
    assert_eq!(announced, [ms(60_030), ms(65_000)]);
    assert!(!instance.in_conflict(ms(66_000)));
}

#[test]
fn the_last_word_of_a_master_that_yields_is_no_conflict() {
    let mut instance = active();
    let actions = instance.heard(ms(3612), LOW, 99, SECOND);
    assert_eq!(actions, [Action::Advertise(100)]);
    assert!(!instance.in_conflict(ms(3613)));
}

#[test]
fn a_flood_of_lower_advertisements_is_not_answered_by_a_flood() {
    let mut instance = active();
    let mut sent = 0;
    for at in 0..1000 {
        let now = ms(60_000 + at);
        let mut actions = instance.heard(now, LOW, 99, SECOND);
        actions.extend(instance.elapsed(now));
        sent += actions
            .iter()
            .filter(|action| matches!(action, Action::Advertise(_)))
            .count();
    }
    assert!(sent <= 11, "{sent} advertisements in a second");
}

/// The simulation found it: who lost on another link of its sync group said priority 0 just after it was answered, and a
/// third router took over after its skew time.
#[test]
fn a_resignation_is_answered_soon_even_if_another_answer_has_just_left() {
    let mut instance = active();
    let heard = instance.heard(ms(60_000), LOW, 99, SECOND);
    assert!(heard.contains(&Action::Advertise(100)));
    assert_eq!(instance.heard(ms(60_001), LOW, 0, SECOND), []);
    let is_word = |(_, action): &(Moment, Action)| matches!(action, Action::Advertise(_));
    let passed = pass(&mut instance, ms(60_150));
    let words: Vec<_> = passed.into_iter().filter(is_word).collect();
    assert_eq!(words, [(ms(60_100), Action::Advertise(100))]);
}

/// The simulation found it: the last word of who had given its addresses away set a third router on.
#[test]
fn a_resignation_of_who_is_not_the_master_changes_nothing() {
    let mut instance = backup(rules(100));
    instance.heard(ms(1000), HIGH, 150, SECOND);
    let due = instance.deadline();
    instance.heard(ms(1100), LOW, 0, SECOND);
    assert_eq!(instance.deadline(), due);
    instance.heard(ms(1200), HIGH, 0, SECOND);
    assert_eq!(
        instance.deadline(),
        Some(ms(1200) + Duration::from_secs(156) / 256)
    );
}

#[test]
fn a_flood_of_resignations_is_not_answered_by_a_flood() {
    let mut instance = active();
    let mut sent = 0;
    for at in 0..1000 {
        let now = ms(60_000 + at);
        let mut actions = instance.heard(now, LOW, 0, SECOND);
        actions.extend(instance.elapsed(now));
        let words = actions.iter();
        sent += words
            .filter(|action| matches!(action, Action::Advertise(_)))
            .count();
    }
    assert!(sent <= 11, "{sent} advertisements in a second");
}

/// The simulation found it: who yielded soon after it was answered was answered no more, and its clients were lost.
#[test]
fn the_last_word_of_who_yields_is_followed_by_an_announcement_even_if_it_was_just_answered() {
    let mut instance = active();
    let heard = instance.heard(ms(60_000), LOW, 99, SECOND);
    assert!(heard.contains(&Action::Advertise(100)));
    pass(&mut instance, ms(60_050));
    assert_eq!(instance.heard(ms(60_060), LOW, 99, SECOND), []);
    let announced: Vec<_> = pass(&mut instance, ms(60_200))
        .into_iter()
        .filter(|(_, action)| *action == Action::Announce(Burst::LowerPriority))
        .collect();
    assert_eq!(
        announced,
        [(ms(60_100), Action::Announce(Burst::LowerPriority))]
    );
}

#[test]
fn what_waits_is_heard_before_a_silence_counts() {
    let instance = backup(rules(100));
    assert!(!instance.must_hear_first(ms(3609)));
    assert!(instance.must_hear_first(ms(3610)));
    let master = active();
    assert!(!master.must_hear_first(ms(4700)), "a little late");
    assert!(master.must_hear_first(ms(4720)), "it did not run");
}

#[test]
fn a_master_advertises_every_interval_without_drift() {
    let mut instance = active();
    let mut sent = Vec::new();
    for at in 3610..10_000 {
        let actions = instance.elapsed(ms(at));
        sent.extend(actions.contains(&Action::Advertise(100)).then_some(at));
    }
    assert_eq!(sent, [4610, 5610, 6610, 7610, 8610, 9610]);
}

#[test]
fn a_fault_resigns_and_its_end_starts_a_normal_election() {
    let mut instance = active();
    let actions = judge(
        &mut instance,
        ms(5000),
        Standing::Fault("script chk: exit status 1".to_owned()),
    );
    assert_eq!(
        deeds(&actions),
        [Action::Advertise(0), Action::RemoveAddresses]
    );
    assert_eq!(
        (instance.shown(), instance.deadline()),
        (VrrpState::Fault, None)
    );
    judge(&mut instance, ms(9000), Standing::Well);
    assert_eq!(instance.shown(), VrrpState::Backup);
    assert_eq!(
        instance.deadline(),
        Some(ms(12_000) + Duration::from_secs(156) / 256)
    );
}

#[test]
fn a_fault_of_a_backup_says_nothing_on_the_wire() {
    let mut instance = backup(rules(100));
    let actions = judge(&mut instance, ms(5), Standing::Fault("x".to_owned()));
    assert_eq!(deeds(&actions), []);
}

#[test]
fn a_changed_priority_goes_into_the_next_advertisement() {
    let mut instance = active();
    assert_eq!(instance.judge(ms(4000), &Standing::Well, 98, "script"), []);
    assert_eq!(instance.elapsed(ms(4610)), [Action::Advertise(98)]);
}

#[test]
fn a_stop_resigns_and_removes_the_addresses() {
    let mut instance = active();
    let actions = instance.stop("SIGTERM");
    assert_eq!(
        deeds(&actions),
        [Action::Advertise(0), Action::RemoveAddresses]
    );
    assert_eq!(instance.deadline(), None);
}

#[test]
fn a_failover_is_refused_where_there_is_nothing_to_give() {
    let mut instance = backup(rules(100));
    instance.heard(ms(10), LOW, 150, SECOND);
    let refusal = instance.failover(ms(20), true).expect_err("a backup");
    assert!(refusal.contains("10.0.0.1 is"), "{refusal}");
}

#[test]
fn a_failback_takes_the_addresses_at_once_even_with_nopreempt() {
    let mut instance = backup(Rules {
        nopreempt: true,
        preempt_delay: ms(9000),
        ..rules(100)
    });
    instance.heard(ms(10), LOW, 99, SECOND);
    let (_, actions) = instance.failback(ms(20)).expect("higher");
    assert_eq!(deeds(&actions)[0], Action::Advertise(100));
    assert!(instance.is_active());
}

#[test]
fn a_failback_that_would_lose_is_refused() {
    let mut instance = backup(rules(100));
    instance.heard(ms(10), LOW, 101, SECOND);
    let refusal = instance.failback(ms(20)).expect_err("lower");
    assert!(
        refusal.contains("priority 101, this node has 100"),
        "{refusal}"
    );
    instance.heard(ms(30), HIGH, 100, SECOND);
    assert!(
        instance.failback(ms(40)).is_err(),
        "an equal priority with a higher address would win"
    );
}

#[test]
fn the_refresh_repeats_while_master() {
    let mut instance = backup(Rules {
        announce_refresh: ms(2000),
        announce_again: ms(500),
        ..rules(100)
    });
    let bursts: Vec<_> = pass(&mut instance, ms(8000))
        .into_iter()
        .filter_map(|(_, action)| match action {
            Action::Announce(burst) => Some(burst),
            _ => None,
        })
        .collect();
    assert_eq!(
        bursts,
        [Burst::Full, Burst::Full, Burst::Refresh, Burst::Refresh]
    );
}

/// Version 3 with an interval of 100 ms.
fn rules3(base_priority: u8) -> Rules {
    Rules {
        version: Version::V3,
        advert_interval: ms(100),
        ..rules(base_priority)
    }
}

#[test]
fn in_version_3_the_skew_is_a_share_of_the_interval() {
    let instance = backup(rules3(100));
    // RFC 5798 6.1: 3 * 100 ms + (256 - 100) * 100 ms / 256.
    assert_eq!(instance.deadline(), Some(ms(300) + ms(15_600) / 256));
}

#[test]
fn in_version_3_a_backup_counts_with_the_interval_of_its_master() {
    let mut instance = backup(rules3(100));
    instance.heard(ms(200), LOW, 150, ms(2000));
    let own_share = ms(2000 * 156) / 256;
    assert_eq!(instance.deadline(), Some(ms(200 + 6000) + own_share));
    // Also the wait after a resignation is a share of that interval.
    instance.heard(ms(300), LOW, 0, ms(2000));
    assert_eq!(instance.deadline(), Some(ms(300) + own_share));
    // As master our own interval counts again.
    let taken_over = ms(300) + own_share;
    instance.elapsed(taken_over);
    assert!(instance.is_active());
    assert_eq!(instance.deadline(), Some(taken_over + ms(100)));
    assert_eq!(instance.master_interval(), ms(100));
    // Yielding, we learn anew.
    instance.heard(ms(5000), HIGH, 150, ms(50));
    assert_eq!(instance.shown(), VrrpState::Backup);
    assert_eq!(
        instance.deadline(),
        Some(ms(5000) + ms(150) + ms(50 * 156) / 256)
    );
}

#[test]
fn the_interval_of_a_router_that_is_not_obeyed_is_not_learnt() {
    let mut instance = backup(rules3(100));
    let before = instance.deadline();
    instance.heard(ms(10), LOW, 99, ms(40_950));
    assert_eq!(instance.deadline(), before);
    let mut instance = backup(rules(100));
    instance.heard(ms(1000), LOW, 150, ms(40_000));
    assert_eq!(
        instance.master_interval(),
        SECOND,
        "version 2 has one interval"
    );
}

#[test]
fn two_routers_settle_on_one_master_whatever_their_order_and_losses() {
    // Every eighth advertisement is lost; in the end the higher one is master, and alone.
    for start in [0, 500, 1000, 4000, 9000] {
        let mut routers = [
            (LOW, backup(rules(99)), 0),
            (OWN, Instance::new(rules(100)), 0),
        ];
        routers[1].1.set_source(OWN);
        routers[0].1.set_source(LOW);
        let mut count = 0;
        for at in 0..40_000 {
            let now = ms(at);
            if at == start {
                judge(&mut routers[1].1, now, Standing::Well);
            }
            for one in 0..2 {
                let actions = routers[one].1.elapsed(now);
                let mut sent: Vec<_> = actions;
                let mut from = one;
                // Replies to replies end, or this would not.
                while !sent.is_empty() {
                    let address = routers[from].0;
                    let other = 1 - from;
                    let mut replies = Vec::new();
                    for action in sent {
                        if let Action::Advertise(priority) = action {
                            count += 1;
                            if count % 8 != 0 {
                                replies
                                    .extend(routers[other].1.heard(now, address, priority, SECOND));
                            }
                        }
                    }
                    sent = replies;
                    from = other;
                }
            }
        }
        assert_eq!(
            routers[1].1.shown(),
            VrrpState::Master,
            "start at {start} ms"
        );
        assert_eq!(
            routers[0].1.shown(),
            VrrpState::Backup,
            "start at {start} ms"
        );
    }
}

#[test]
fn down_timer_adverts_are_the_intervals_of_silence() {
    let patient = Rules {
        down_timer_adverts: 5,
        ..rules(100)
    };
    assert_eq!(
        backup(patient).deadline(),
        Some(ms(5000) + Duration::from_secs(156) / 256)
    );
}

#[test]
fn lower_prio_no_advert_leaves_a_lower_master_unanswered_but_not_a_resigning_one() {
    let mut instance = active();
    Arc::make_mut(&mut instance.rules).answers_lower = false;
    let next = instance.advert_at;
    assert!(
        !instance
            .heard(ms(5000), LOW, 50, ms(1000))
            .contains(&Action::Advertise(100))
    );
    assert_eq!(
        instance.advert_at, next,
        "its own advertisements go on as they were"
    );
    assert!(
        instance.yield_at.is_some(),
        "and the clients are told again who is master"
    );
    let answer = instance.heard(ms(5200), LOW, 0, ms(1000));
    assert_eq!(deeds(&answer), [Action::Advertise(100)]);
}

#[test]
fn without_higher_prio_send_advert_a_master_yields_in_silence() {
    let mut instance = active();
    Arc::make_mut(&mut instance.rules).last_word = false;
    let actions = instance.heard(ms(5000), HIGH, 200, ms(1000));
    assert_eq!(deeds(&actions), [Action::RemoveAddresses]);
}
