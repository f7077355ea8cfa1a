//! `vrrp failover`: the addresses are answered for at every moment, here or there.

use super::*;

/// The outcome among the actions, if it is there.
fn outcome(actions: &[Action]) -> Option<Result<&str, &str>> {
    actions.iter().find_map(|action| match action {
        Action::FailoverEnded(outcome) => Some(outcome.as_deref().map_err(String::as_str)),
        _ => None,
    })
}

fn untimed(actions: Vec<(Moment, Action)>) -> Vec<Action> {
    actions.into_iter().map(|(_, action)| action).collect()
}

#[test]
fn the_addresses_stay_until_the_successor_has_spoken_and_had_time_to_take_them() {
    let mut instance = active();
    let actions = instance.failover(ms(5000), false).expect("master");
    assert_eq!(
        actions,
        [Action::Advertise(0)],
        "resigns and keeps the addresses"
    );
    assert!(instance.is_active());
    assert_eq!(
        pass(&mut instance, ms(5609)),
        [],
        "no word and no announcement of a master meanwhile"
    );
    assert_eq!(instance.heard(ms(5610), LOW, 99, SECOND), []);
    assert_eq!(pass(&mut instance, ms(5709)), []);
    let actions = instance.elapsed(ms(5710));
    assert_eq!(
        deeds(&actions),
        [Action::RemoveAddresses, Action::Advertise(0)]
    );
    assert_eq!(
        outcome(&actions),
        Some(Ok("10.0.0.1 (priority 99) took over after 610 ms"))
    );
    for second in 6..100 {
        instance.heard(ms(second * 1000), LOW, 99, SECOND);
        assert_eq!(pass(&mut instance, ms(second * 1000 + 999)), []);
    }
    assert!(instance.is_held());
}

#[test]
fn a_failover_that_nobody_takes_up_has_moved_nothing() {
    let mut instance = active();
    instance.failover(ms(5000), false).expect("master");
    let actions = untimed(pass(&mut instance, ms(6200)));
    assert!(instance.is_active() && !instance.is_held());
    assert_eq!(deeds(&actions), [Action::Advertise(100)]);
    let why = outcome(&actions).expect("an outcome").expect_err("refused");
    assert!(why.contains("No other router was ever heard"), "{why}");
    assert_eq!(instance.deadline(), Some(ms(7200)), "master as before");
}

#[test]
fn the_refusal_tells_who_was_heard_last() {
    let mut instance = active();
    instance.heard(ms(4000), LOW, 0, SECOND);
    instance.failover(ms(7000), false).expect("master");
    let actions = untimed(pass(&mut instance, ms(8200)));
    let why = outcome(&actions).expect("an outcome").expect_err("refused");
    assert!(
        why.contains("10.0.0.1 was heard last, 4 s ago with priority 0"),
        "{why}"
    );
}

#[test]
fn a_forced_failover_gives_the_addresses_away_although_nobody_takes_them() {
    let mut instance = active();
    instance.failover(ms(5000), true).expect("master");
    let actions = untimed(pass(&mut instance, ms(6200)));
    assert_eq!(
        deeds(&actions),
        [Action::RemoveAddresses, Action::Advertise(0)]
    );
    assert!(matches!(outcome(&actions), Some(Ok(_))));
    assert!(instance.is_held());
    // It ends when nobody is there.
    assert_eq!(pass(&mut instance, ms(9800)), []);
    assert!(!pass(&mut instance, ms(9900)).is_empty());
    assert!(instance.is_active() && !instance.is_held());
}

#[test]
fn a_successor_whose_priority_is_reduced_is_told_to_yield_unless_forced() {
    let check = |force: bool| {
        let mut instance = backup(rules(100));
        instance.heard(ms(500), LOW, 99, SECOND);
        instance.elapsed(ms(3610));
        assert!(instance.is_active());
        instance.failover(ms(10_000), force).expect("master");
        let actions = instance.heard(ms(10_600), LOW, 79, SECOND);
        (instance, actions)
    };
    let (mut instance, actions) = check(false);
    assert_eq!(deeds(&actions), [Action::Advertise(100)]);
    let why = outcome(&actions).expect("an outcome").expect_err("refused");
    assert!(
        why.contains("took over with priority 79, it had 99 before"),
        "{why}"
    );
    let later = pass(&mut instance, ms(10_700));
    assert_eq!(
        later,
        [(ms(10_630), Action::Announce(Burst::LowerPriority))]
    );
    assert!(instance.is_active() && !instance.is_held());
    let (mut instance, actions) = check(true);
    assert_eq!(actions, []);
    assert!(matches!(
        outcome(&instance.elapsed(ms(10_700))),
        Some(Ok(_))
    ));
}

#[test]
fn a_successor_that_gives_up_at_once_is_none() {
    let mut instance = active();
    instance.failover(ms(5000), false).expect("master");
    instance.heard(ms(5610), LOW, 99, SECOND);
    instance.heard(ms(5620), LOW, 0, SECOND);
    // It has announced the addresses: its neighbours are told where they are.
    assert_eq!(
        pass(&mut instance, ms(6199)),
        [(ms(5650), Action::Announce(Burst::LowerPriority))]
    );
    let actions = untimed(pass(&mut instance, ms(6200)));
    assert_eq!(deeds(&actions), [Action::Advertise(100)]);
    assert!(instance.is_active());
}

#[test]
fn a_second_failover_waits_for_the_first() {
    let mut instance = active();
    instance.failover(ms(5000), false).expect("master");
    let refusal = instance.failover(ms(5100), true).expect_err("under way");
    assert!(refusal.contains("under way"), "{refusal}");
}

#[test]
fn a_fault_ends_a_failover_at_once() {
    let mut instance = active();
    instance.failover(ms(5000), false).expect("master");
    let standing = Standing::Fault("interface eth0: it has no carrier".to_owned());
    let actions = instance.judge(ms(5100), &standing, 100, "interface eth0");
    assert_eq!(
        deeds(&actions),
        [Action::Advertise(0), Action::RemoveAddresses]
    );
    assert!(matches!(outcome(&actions), Some(Err(_))));
    assert_eq!(instance.deadline(), None);
}

#[test]
fn in_version_3_a_failover_is_waited_for_as_long_as_the_interval_calls_for() {
    let mut instance = backup(rules3(100));
    instance.elapsed(ms(400));
    instance.failover(ms(1000), false).expect("master");
    assert_eq!(pass(&mut instance, ms(1299)), []);
    assert!(!pass(&mut instance, ms(1300)).is_empty());
    assert!(instance.is_active());
}

#[test]
fn a_pair_is_never_without_an_answer_while_it_moves() {
    let mut old = active();
    let mut new = backup(rules(99));
    let mut at = 5000;
    let mut queue: Vec<(bool, u8)> = Vec::new();
    let mut holders = (true, false);
    let mut done = false;
    let mut start = old.failover(ms(at), false).expect("master");
    while at < 8000 {
        for (is_new, actions) in [
            (false, std::mem::take(&mut start)),
            (false, old.elapsed(ms(at))),
            (true, new.elapsed(ms(at))),
        ] {
            for action in actions {
                match action {
                    Action::Advertise(priority) => queue.push((is_new, priority)),
                    Action::AddAddresses if is_new => holders.1 = true,
                    Action::RemoveAddresses if !is_new => holders.0 = false,
                    Action::AddAddresses | Action::RemoveAddresses => panic!("{action:?} at {at}"),
                    Action::FailoverEnded(outcome) => done = outcome.is_ok(),
                    _ => {}
                }
            }
        }
        for (from_new, priority) in std::mem::take(&mut queue) {
            let (to, from) = if from_new {
                (&mut old, LOW)
            } else {
                (&mut new, HIGH)
            };
            for action in to.heard(ms(at), from, priority, SECOND) {
                if let Action::Advertise(priority) = action {
                    queue.push((!from_new, priority));
                }
            }
        }
        assert!(holders.0 || holders.1, "nobody answers at {at}");
        at += 1;
    }
    assert!(done);
    assert_eq!(holders, (false, true));
    assert!(old.is_held() && new.is_active());
}
