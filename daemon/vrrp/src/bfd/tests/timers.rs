//! When packets are sent, how intervals are agreed, and when a silence counts.

use super::*;

#[test]
fn nobody_speaks_more_than_once_a_second_before_it_is_up() {
    let mut pair = Pair::new(config(B), config(A));
    pair.wire = Wire {
        cut_ab: true,
        cut_ba: true,
        loss: 0,
    };
    pair.run(Duration::from_secs(60));
    for sent in &pair.sent {
        assert!((60..=81).contains(&sent.len()), "{}", sent.len());
        for (_, packet) in sent {
            assert_eq!(packet.state, SessionState::Down);
            assert_eq!(packet.desired_min_tx_us, 1_000_000);
            assert_eq!((packet.poll, packet.your_discriminator), (false, 0));
        }
    }
    // A configuration that wants more speaks no more often: RFC 5880 section 6.8.3.
    let mut hasty = config(B);
    hasty.idle_tx = 10 * MS;
    let mut pair = Pair::new(hasty, config(A));
    pair.wire.cut_ab = true;
    pair.wire.cut_ba = true;
    pair.run(Duration::from_secs(10));
    assert!(pair.sent[0].len() <= 14, "{}", pair.sent[0].len());
}

#[test]
fn the_pauses_are_jittered_as_the_rfc_says() {
    for (multiplier, least, most) in [(4, 37_500, 50_000), (1, 37_500, 45_000)] {
        let (mut a, mut b) = (config(B), config(A));
        (a.multiplier, b.multiplier) = (multiplier, multiplier);
        let mut pair = Pair::new(a, b);
        pair.run(3_000 * MS);
        assert!(pair.is_up());
        pair.forget();
        pair.run(Duration::from_secs(20));
        let times: Vec<u128> = pair.sent[0].iter().map(|(at, _)| at.as_micros()).collect();
        let pauses: Vec<u128> = times.windows(2).map(|two| two[1] - two[0]).collect();
        assert!(pauses.len() > 300);
        let (shortest, longest) = (pauses.iter().min().unwrap(), pauses.iter().max().unwrap());
        assert!(
            *shortest >= least && *longest <= most,
            "{shortest} {longest}"
        );
        // And they differ: two of them are not likely to be the same.
        assert!(longest - shortest > (most - least) / 2);
    }
}

#[test]
fn a_silent_neighbor_is_noticed_after_the_detection_time() {
    let mut pair = Pair::new(config(B), config(A));
    pair.run(3_000 * MS);
    pair.forget();
    let cut_at = pair.now;
    pair.wire.cut_ba = true;
    pair.run(300 * MS);
    let (at, state, reason) = &pair.changes[0][0];
    assert_eq!(*state, SessionState::Down);
    let took = *at - cut_at;
    assert!(took <= 200 * MS && took >= 150 * MS, "{took:?}");
    assert_eq!(
        reason,
        "nothing heard from 10.0.0.2 for 200 ms (detection time 200 ms); it last said Up (no diagnostic)"
    );
    assert_eq!(
        pair.session(0).session.diagnostic(),
        Diagnostic::DetectionTimeExpired
    );
    // B hears it from A at once, although its own ears are well.
    let (told_at, state, reason) = &pair.changes[1][0];
    assert_eq!((*told_at, *state), (*at, SessionState::Down));
    assert_eq!(
        reason,
        "10.0.0.2 said Down (control detection time expired)"
            .replace(".2", ".1")
            .as_str()
    );
    assert_eq!(
        pair.session(1).session.diagnostic(),
        Diagnostic::NeighborSignaledDown
    );
    assert_eq!(
        (
            pair.session(0).counters.downs,
            pair.session(1).counters.downs
        ),
        (1, 1)
    );
    // A does not come up while it hears nothing, and B goes no further than Init.
    pair.run(Duration::from_secs(5));
    assert_eq!(pair.states()[0], SessionState::Down);
    assert_ne!(pair.states()[1], SessionState::Up);
    pair.wire.cut_ba = false;
    pair.run(Duration::from_secs(3));
    assert!(pair.is_up());
    assert_eq!(pair.session(0).session.diagnostic(), Diagnostic::None);
}

#[test]
fn a_lossy_wire_brings_no_session_down_that_may_miss_packets() {
    for seed in 1..20 {
        let (mut a, mut b) = (config(B), config(A));
        (a.multiplier, b.multiplier) = (20, 20);
        let mut pair = Pair::seeded(a, b, seed);
        pair.wire.loss = 3;
        pair.run(Duration::from_secs(20));
        assert!(pair.is_up(), "{seed}");
        pair.forget();
        pair.run(Duration::from_secs(60));
        assert!(
            pair.is_up() && pair.changes[0].is_empty(),
            "{seed}: {:?}",
            pair.changes
        );
    }
}

#[test]
fn other_intervals_are_agreed_by_a_poll_sequence_while_the_session_stays_up() {
    let mut pair = Pair::new(config(B), config(A));
    pair.run(3_000 * MS);
    pair.forget();
    // Slower both ways: our pause must not grow before the neighbour knows.
    let mut slow = config(B);
    (slow.min_rx, slow.min_tx, slow.multiplier) = (300 * MS, 400 * MS, 3);
    pair.wire.cut_ba = true;
    pair.configure(0, slow.clone());
    let session = &pair.session(0).session;
    assert_eq!(
        session.transmit_interval(),
        50 * MS,
        "not before the answer"
    );
    assert_eq!(
        session.detection_time(),
        1_200 * MS,
        "a longer patience at once"
    );
    assert!(pair.sent[0].iter().all(|(_, packet)| packet.poll));
    pair.wire.cut_ba = false;
    pair.run(100 * MS);
    assert_eq!(pair.session(0).session.transmit_interval(), 400 * MS);
    assert_eq!(pair.session(1).session.transmit_interval(), 300 * MS);
    assert_eq!(pair.session(1).session.detection_time(), 1_200 * MS);
    pair.run(Duration::from_secs(10));
    // And faster again: our patience must not shrink before the neighbour knows.
    pair.wire.cut_ba = true;
    pair.configure(0, config(B));
    let session = &pair.session(0).session;
    assert_eq!(session.transmit_interval(), 50 * MS, "at once");
    assert_eq!(
        session.detection_time(),
        1_200 * MS,
        "not before the answer"
    );
    pair.wire.cut_ba = false;
    pair.run(500 * MS);
    assert_eq!(pair.session(0).session.detection_time(), 200 * MS);
    pair.run(Duration::from_secs(10));
    assert!(pair.is_up());
    assert_eq!(pair.changes, [vec![], vec![]], "nothing was to be told");
    // Nothing new: nothing is polled.
    pair.forget();
    pair.configure(0, config(B));
    pair.run(Duration::from_secs(1));
    assert!(pair.sent[0].iter().all(|(_, packet)| !packet.poll));
}

#[test]
fn a_poll_is_answered_at_once_and_demand_and_silence_are_obeyed() {
    let (mut pair, packet) = up();
    pair.wire.cut_ab = true;
    pair.wire.cut_ba = true;
    let poll = ControlPacket {
        poll: true,
        ..packet
    };
    pair.deliver(0, &poll.write());
    let answers: Vec<_> = pair.sent[0]
        .iter()
        .map(|(_, one)| (one.poll, one.is_final))
        .collect();
    assert_eq!(answers, [(false, true)]);
    // RFC 5880 section 6.8.7: who wants nothing is sent nothing; who asks for silence has it while both are Up.
    for quiet in [
        ControlPacket {
            required_min_rx_us: 0,
            ..packet
        },
        ControlPacket {
            demand: true,
            ..packet
        },
    ] {
        let (mut pair, packet) = up();
        let quiet = ControlPacket {
            your_discriminator: packet.your_discriminator,
            my_discriminator: packet.my_discriminator,
            ..quiet
        };
        pair.wire.cut_ab = true;
        pair.wire.cut_ba = true;
        pair.deliver(0, &quiet.write());
        pair.forget();
        pair.run(190 * MS);
        assert!(pair.sent[0].is_empty(), "{:?}", pair.sent[0]);
        pair.deliver(0, &packet.write());
        pair.run(60 * MS);
        assert!(!pair.sent[0].is_empty(), "and speaks again afterwards");
    }
    // A neighbour that can hear less often is sent less often.
    let (mut pair, packet) = up();
    let slow = ControlPacket {
        required_min_rx_us: 180_000,
        ..packet
    };
    pair.deliver(0, &slow.write());
    assert_eq!(pair.session(0).session.transmit_interval(), 180 * MS);
}

#[test]
fn a_wakened_process_hears_first_and_makes_nothing_good() {
    let (mut pair, packet) = up();
    pair.wire.cut_ab = true;
    pair.wire.cut_ba = true;
    pair.now += Duration::from_secs(5);
    assert!(pair.tables[0].must_hear_first(pair.now));
    pair.deliver(0, &packet.write());
    assert!(!pair.tables[0].must_hear_first(pair.now));
    let mut deeds = Vec::new();
    pair.tables[0].elapsed(pair.now, &mut deeds);
    assert_eq!(deeds.len(), 1, "one packet, not a hundred: {deeds:?}");
    assert_eq!(pair.states()[0], SessionState::Up);
}

#[test]
fn who_looks_late_hears_for_one_more_interval_and_only_once() {
    let (mut pair, _) = up();
    pair.wire.cut_ba = true;
    // On time: exactly the detection time, whatever was spared before.
    pair.run(210 * MS);
    assert_eq!(pair.states()[0], SessionState::Down);
    // Late by more than a quarter of the interval.
    let (mut pair, packet) = up();
    pair.wire.cut_ba = true;
    let late = pair.now + 300 * MS;
    pair.now = late;
    let mut deeds = Vec::new();
    pair.tables[0].elapsed(late, &mut deeds);
    assert_eq!(pair.states()[0], SessionState::Up);
    assert!(pair.tables[0].deadline().is_some_and(|at| at > late));
    pair.run(49 * MS);
    assert_eq!(pair.states()[0], SessionState::Up);
    // The neighbour is heard in time: as if nothing had been, and it is spared again.
    pair.deliver(0, &packet.write());
    pair.run(190 * MS);
    assert_eq!(pair.states()[0], SessionState::Up);
    let late = pair.now + 300 * MS;
    pair.now = late;
    pair.tables[0].elapsed(late, &mut Vec::new());
    assert_eq!(pair.states()[0], SessionState::Up);
    // It is not heard: down after one interval, however late that is looked at.
    pair.now = late + 300 * MS;
    pair.tables[0].elapsed(pair.now, &mut Vec::new());
    assert_eq!(pair.states()[0], SessionState::Down);
}
