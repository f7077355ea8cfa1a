//! How sessions come up, go down and end.

use super::*;

#[test]
fn two_sessions_come_up_and_agree_on_their_intervals() {
    for seed in 1..50 {
        let mut pair = Pair::seeded(config(B), config(A), seed);
        pair.run(3_000 * MS);
        assert!(pair.is_up(), "{seed}: {:?}", pair.states());
        for side in [0, 1] {
            let session = &pair.session(side).session;
            assert_eq!(session.transmit_interval(), 50 * MS);
            assert_eq!(session.detection_time(), 200 * MS);
            assert!(session.reason().contains("both hear each other"));
            assert_eq!(pair.session(side).counters.ups, 1);
            // The poll sequences have ended.
            let (_, last) = pair.sent[side].last().expect("it speaks");
            assert_eq!((last.poll, last.is_final), (false, false));
            assert!(pair.sent[side].iter().any(|(_, packet)| packet.poll));
            assert!(pair.sent[side].iter().any(|(_, packet)| packet.is_final));
        }
        let numbers = [0, 1].map(|side| pair.session(side).session.discriminator());
        assert!(numbers[0] != numbers[1] && !numbers.contains(&0));
    }
}

#[test]
fn a_passive_session_waits_until_it_is_spoken_to() {
    let (mut a, mut b) = (config(B), config(A));
    (a.passive, b.passive) = (true, true);
    let mut pair = Pair::new(a.clone(), b);
    pair.run(Duration::from_secs(10));
    assert!(pair.sent[0].is_empty() && pair.sent[1].is_empty());
    pair.configure(1, config(A));
    pair.run(Duration::from_secs(3));
    assert!(pair.is_up());
    // It falls silent again when nobody is there.
    pair.wire.cut_ba = true;
    pair.run(Duration::from_secs(3));
    pair.forget();
    pair.run(Duration::from_secs(10));
    assert!(pair.sent[0].is_empty(), "{:?}", pair.sent[0]);
}

#[test]
fn a_session_that_ends_says_admin_down_and_its_neighbor_does_not_wait() {
    let mut pair = Pair::new(config(B), config(A));
    pair.run(3_000 * MS);
    pair.forget();
    let began = pair.now;
    let deeds = pair.tables[0].stop(began, "the daemon stops");
    pair.perform(0, deeds);
    assert_eq!(pair.states_of_b(), SessionState::Down);
    assert_eq!(
        pair.reason(1),
        "10.0.0.1 said AdminDown (administratively down)"
    );
    pair.run(1_000 * MS);
    assert_eq!(pair.sent[0].len(), 1, "it was heard: {:?}", pair.sent[0]);
    assert!(pair.session(1).session.is_well(), "no failure");
    assert!(pair.tables[0].is_empty());
    // It says so three times if nobody answers.
    let mut pair = Pair::new(config(B), config(A));
    pair.run(3_000 * MS);
    (pair.wire.cut_ab, pair.wire.cut_ba) = (true, true);
    pair.forget();
    let deeds = pair.tables[0].stop(pair.now, "the daemon stops");
    pair.perform(0, deeds);
    pair.run(1_000 * MS);
    assert_eq!(pair.sent[0].len(), 3, "{:?}", pair.sent[0]);
    assert!(pair.tables[0].is_empty());
    assert!(
        !pair.session(1).session.is_well(),
        "and silence is a failure"
    );
    // Deleted by a reload, it says so too.
    let mut pair = Pair::new(config(B), config(A));
    pair.run(3_000 * MS);
    let deeds = pair.tables[0].configure(pair.now, &[], || 1);
    pair.perform(0, deeds);
    assert_eq!(pair.states_of_b(), SessionState::Down);
    assert_eq!(pair.tables[0].entries().count(), 0);
}

#[test]
fn a_neighbor_that_begins_anew_is_met_again() {
    let mut pair = Pair::new(config(B), config(A));
    pair.run(3_000 * MS);
    pair.forget();
    // B is another incarnation: it knows no discriminator of ours.
    pair.tables[1] = Table::default();
    pair.configure(1, config(A));
    pair.run(Duration::from_secs(5));
    assert!(pair.is_up());
    let (_, state, reason) = &pair.changes[0][0];
    assert_eq!(*state, SessionState::Down);
    assert_eq!(reason, "10.0.0.2 said Down (no diagnostic)");
}

/// Every state with every state heard (RFC 5880 section 6.8.6).
#[test]
fn the_state_machine_is_that_of_the_rfc() {
    use SessionState::*;
    let check = |own: SessionState, heard: SessionState, expected: SessionState| {
        let mut pair = Pair::new(config(B), config(A));
        pair.wire.cut_ab = true;
        pair.wire.cut_ba = true;
        let mut packet = pair.session(1).session.packet();
        packet.your_discriminator = pair.session(0).session.discriminator();
        let way: &[SessionState] = match own {
            Down => &[],
            Init => &[Down],
            Up => &[Down, Up],
            AdminDown => unreachable!("it has no peer any more"),
        };
        for state in way.iter().chain([&heard]) {
            packet.state = *state;
            pair.deliver(0, &packet.write());
        }
        let found = pair.states()[0];
        assert_eq!(found, expected, "{own} hears {heard}");
    };
    for (own, heard, expected) in [
        (Down, AdminDown, Down),
        (Down, Down, Init),
        (Down, Init, Up),
        (Down, Up, Down),
        (Init, AdminDown, Down),
        (Init, Down, Init),
        (Init, Init, Up),
        (Init, Up, Up),
        (Up, AdminDown, Down),
        (Up, Down, Down),
        (Up, Init, Up),
        (Up, Up, Up),
    ] {
        check(own, heard, expected);
    }
}
