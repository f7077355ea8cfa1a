//! Two tables of sessions with a wire between them, and single packets by hand.

use std::net::IpAddr;
use std::time::Duration;

use config::Word;
use config::keepalived::BfdInstance;

use super::packet::{ControlPacket, Diagnostic, Refused, SessionState};
use super::*;

const A: &str = "10.0.0.1";
const B: &str = "10.0.0.2";
const MS: Duration = Duration::from_millis(1);

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn config(neighbor: &str) -> BfdInstance {
    BfdInstance {
        name: Word::new("peer", config::Span::default()),
        neighbor: address(neighbor),
        source: None,
        min_rx: 50 * MS,
        min_tx: 50 * MS,
        idle_tx: 1_000 * MS,
        multiplier: 4,
        passive: false,
        ttl: 255,
        max_hops: 0,
        weight: 0,
        reverse: false,
        tells_vrrp: true,
        span: config::Span::default(),
    }
}

/// Numbers that are not random, but different.
fn numbers(mut seed: u64) -> impl FnMut() -> u64 {
    move || {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        seed
    }
}

/// What lies between two nodes.
#[derive(Clone, Copy, Default)]
struct Wire {
    /// What A says is lost.
    cut_ab: bool,
    /// What B says is lost.
    cut_ba: bool,
    /// One of so many packets is lost; 0 means none.
    loss: u64,
}

struct Pair {
    now: Moment,
    tables: [Table; 2],
    wire: Wire,
    /// When and whether each was seen to change its state, with the reason.
    changes: [Vec<(Moment, SessionState, String)>; 2],
    /// When each spoke, and what.
    sent: [Vec<(Moment, ControlPacket)>; 2],
    random: Box<dyn FnMut() -> u64>,
}

impl Pair {
    fn new(a: BfdInstance, b: BfdInstance) -> Self {
        Self::seeded(a, b, 7)
    }

    fn seeded(a: BfdInstance, b: BfdInstance, seed: u64) -> Self {
        let mut pair = Self {
            now: Duration::from_secs(100),
            tables: [Table::default(), Table::default()],
            wire: Wire::default(),
            changes: Default::default(),
            sent: Default::default(),
            random: Box::new(numbers(seed)),
        };
        pair.configure(0, a);
        pair.configure(1, b);
        pair
    }

    fn configure(&mut self, side: usize, config: BfdInstance) {
        let deeds = self.tables[side].configure(self.now, &[config], &mut self.random);
        self.perform(side, deeds);
    }

    fn session(&self, side: usize) -> &Entry {
        self.tables[side].entries().next().expect("a session")
    }

    fn states(&self) -> [SessionState; 2] {
        [0, 1].map(|side| self.session(side).session.state())
    }

    fn is_up(&self) -> bool {
        self.states() == [SessionState::Up; 2]
    }

    fn perform(&mut self, side: usize, deeds: Vec<Deed>) {
        for deed in deeds {
            match deed {
                Deed::Send { bytes, .. } => {
                    let packet = ControlPacket::read(&bytes).expect("ours is valid");
                    self.sent[side].push((self.now, packet));
                    let cut = [self.wire.cut_ab, self.wire.cut_ba][side];
                    let lost =
                        self.wire.loss != 0 && (self.random)().is_multiple_of(self.wire.loss);
                    if !cut && !lost {
                        self.deliver(1 - side, &bytes);
                    }
                }
                Deed::Tell { .. } => {
                    let mut entries = self.tables[side].entries();
                    if let Some(entry) = entries.next() {
                        let (state, reason) = (entry.session.state(), entry.session.reason());
                        self.changes[side].push((self.now, state, reason.to_owned()));
                    }
                }
                Deed::Close { .. } => {}
            }
        }
    }

    fn deliver(&mut self, side: usize, bytes: &[u8]) {
        let source = address([B, A][side]);
        let datagram = Datagram {
            source,
            destination: address([A, B][side]),
            ttl: 255,
            bytes,
        };
        if let Ok(deeds) = self.tables[side].heard(self.now, &datagram) {
            self.perform(side, deeds);
        }
    }

    /// Lets time pass.
    fn run(&mut self, time: Duration) {
        let until = self.now + time;
        loop {
            let next = self.tables.iter().filter_map(Table::deadline).min();
            let Some(next) = next.filter(|next| *next <= until) else {
                break;
            };
            self.now = self.now.max(next);
            for side in [0, 1] {
                let deeds = self.tables[side].elapsed(self.now);
                self.perform(side, deeds);
            }
        }
        self.now = until;
    }

    fn forget(&mut self) {
        self.sent = Default::default();
        self.changes = Default::default();
    }

    fn reason(&self, side: usize) -> &str {
        self.session(side).session.reason()
    }
}

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

impl Pair {
    fn states_of_b(&self) -> SessionState {
        self.session(1).session.state()
    }
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

/// A session that is Up, and a valid packet for it.
fn up() -> (Pair, ControlPacket) {
    let mut pair = Pair::new(config(B), config(A));
    pair.run(3_000 * MS);
    let packet = pair.session(1).session.packet();
    pair.forget();
    (pair, packet)
}

#[test]
fn what_is_not_for_a_session_changes_nothing_of_it() {
    let (pair, packet) = up();
    let check = |change: &dyn Fn(&mut ControlPacket),
                 from: &str,
                 ttl: u8,
                 expected: Refused,
                 counted: bool| {
        let mut table = Table {
            entries: pair.tables[0].entries.clone(),
        };
        let mut packet = packet;
        change(&mut packet);
        let bytes = packet.write();
        let datagram = Datagram {
            source: address(from),
            destination: address(A),
            ttl,
            bytes: &bytes,
        };
        let before = format!("{:?}", table.entries[0].session);
        let refused = table.heard(pair.now, &datagram).expect_err("refused");
        assert_eq!(refused.refused, expected);
        assert_eq!(refused.name.is_some(), counted);
        assert_eq!(format!("{:?}", table.entries[0].session), before);
        let count = table.entries[0].counters.refused.get(expected.reason());
        assert_eq!(count.copied(), counted.then_some(1));
    };
    let ours = packet.your_discriminator;
    let other = ours ^ 1;
    let unknown = Refused::YourDiscriminator(other);
    check(
        &|packet| packet.your_discriminator = other,
        B,
        255,
        unknown,
        true,
    );
    check(
        &|packet| packet.your_discriminator = other,
        "10.0.0.9",
        255,
        unknown,
        false,
    );
    let stranger = Refused::Stranger(address("10.0.0.9"));
    let begin = |packet: &mut ControlPacket| {
        packet.your_discriminator = 0;
        packet.state = SessionState::Down;
    };
    check(&begin, "10.0.0.9", 255, stranger, false);
    let source = Refused::Source {
        found: address("10.0.0.9"),
        wanted: address(B),
    };
    check(&|_| {}, "10.0.0.9", 255, source, false);
    let ttl = Refused::Ttl {
        found: 254,
        least: 255,
    };
    check(&|_| {}, B, 254, ttl, true);
    check(
        &|packet| packet.my_discriminator = 0,
        B,
        255,
        Refused::MyDiscriminator,
        true,
    );
    check(
        &|packet| packet.detect_multiplier = 0,
        B,
        255,
        Refused::Multiplier,
        true,
    );
    let unknown = Refused::NoYourDiscriminator(SessionState::Up);
    check(
        &|packet| packet.your_discriminator = 0,
        B,
        255,
        unknown,
        true,
    );
    let both = |packet: &mut ControlPacket| (packet.poll, packet.is_final) = (true, true);
    check(&both, B, 255, Refused::PollAndFinal, true);
}

#[test]
fn max_hops_is_counted_from_the_own_ttl() {
    // Each as two keepalived 2.2.7 take each other.
    let check = |ttl: u8, max_hops: u8, found: u8, heard: bool| {
        let mut a = config(B);
        (a.ttl, a.max_hops) = (ttl, max_hops);
        let mut pair = Pair::new(a, config(A));
        pair.tables[0].entries[0].counters = Counters::default();
        let bytes = pair.session(1).session.packet().write();
        let datagram = Datagram {
            source: address(B),
            destination: address(A),
            ttl: found,
            bytes: &bytes,
        };
        let outcome = pair.tables[0].heard(pair.now, &datagram);
        assert_eq!(outcome.is_ok(), heard, "{ttl} {max_hops} {found}");
    };
    check(255, 0, 255, true);
    check(255, 0, 64, false);
    check(64, 0, 64, true);
    check(64, 0, 255, true);
    check(64, 10, 60, true);
    check(64, 10, 53, false);
    check(255, 10, 247, true);
    check(255, 255, 3, true);
    check(64, 255, 3, true);
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
    let deeds = pair.tables[0].elapsed(pair.now);
    assert_eq!(deeds.len(), 1, "one packet, not a hundred: {deeds:?}");
    assert_eq!(pair.states()[0], SessionState::Up);
}

#[test]
fn sessions_of_two_addresses_of_ours_are_told_apart() {
    let mut one = config(B);
    one.source = Some(address(A));
    let mut table = Table::default();
    table.configure(Moment::ZERO, &[one], numbers(1));
    let mut other = Table::default();
    other.configure(Moment::ZERO, &[config(A)], numbers(2));
    let bytes = other.entries[0].session.packet().write();
    let datagram = |destination: &str| Datagram {
        source: address(B),
        destination: address(destination),
        ttl: 255,
        bytes: &bytes,
    };
    assert!(table.heard(Moment::ZERO, &datagram("10.0.0.7")).is_err());
    assert!(table.heard(Moment::ZERO, &datagram(A)).is_ok());
}

#[test]
fn a_hundred_thousand_damaged_packets_change_nothing_unless_they_are_valid() {
    let (mut pair, packet) = up();
    let mut random = numbers(99);
    let ours = pair.session(0).session.discriminator();
    let whole = pair.tables[0].entries.clone();
    let mut refused = 0;
    for _ in 0..100_000 {
        let mut bytes = packet.write().to_vec();
        for _ in 0..=(random() >> 62) {
            let at = (random() >> 33) as usize % bytes.len();
            bytes[at] ^= (random() >> 56) as u8;
        }
        bytes.truncate((random() >> 33) as usize % 40);
        let datagram = Datagram {
            source: address([B, "10.0.0.9"][usize::from(random() >> 60 == 0)]),
            destination: address(A),
            ttl: 255,
            bytes: &bytes,
        };
        match pair.tables[0].heard(pair.now, &datagram) {
            // Only who knows our discriminator, or begins anew, is heard.
            Ok(_) => {
                let heard = ControlPacket::read(&bytes).expect("it was valid");
                let begins = heard.your_discriminator == 0;
                assert!(heard.your_discriminator == ours || begins);
                pair.tables[0].entries = whole.clone();
            }
            Err(_) => {
                refused += 1;
                assert!(pair.session(0).session == whole[0].session);
            }
        }
    }
    assert!(refused > 50_000, "{refused}");
}
