//! What is not for a session, and what of it is left alone.

use super::*;

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
            ..Table::default()
        };
        let mut packet = packet;
        change(&mut packet);
        let bytes = packet.write();
        let datagram = Datagram {
            source: address(from),
            destination: address(A),
            ttl,
            interface: 1,
            bytes: &bytes,
        };
        let before = format!("{:?}", table.entries[0].session);
        let refused = table
            .heard(pair.now, &datagram, &mut Vec::new())
            .expect_err("refused");
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
    check(&|_| {}, "10.0.0.9", 255, source, true);
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
            interface: 1,
            bytes: &bytes,
        };
        let outcome = pair.tables[0].heard(pair.now, &datagram, &mut Vec::new());
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
        interface: 1,
        bytes: &bytes,
    };
    assert!(
        table
            .heard(Moment::ZERO, &datagram("10.0.0.7"), &mut Vec::new())
            .is_err()
    );
    assert!(
        table
            .heard(Moment::ZERO, &datagram(A), &mut Vec::new())
            .is_ok()
    );
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
            interface: 1,
            bytes: &bytes,
        };
        match pair.tables[0].heard(pair.now, &datagram, &mut Vec::new()) {
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

#[test]
fn a_link_local_neighbor_counts_on_its_interface_alone() {
    let on = |name: &str, interface: &str| BfdInstance {
        name: Word::new(name, config::Span::default()),
        interface: Some(interface.to_owned()),
        ..config("fe80::2")
    };
    let mut table = Table::default();
    let both = [on("one", "eth1"), on("two", "eth2")];
    table.configure(Moment::ZERO, &both, numbers(1));
    let mut packet = table.entries[0].session.packet();
    packet.my_discriminator = 77;
    let heard = |table: &mut Table, packet: &ControlPacket, interface: u32| {
        let bytes = packet.write();
        let datagram = Datagram {
            source: address("fe80::2"),
            destination: address("fe80::1"),
            ttl: 64,
            interface,
            bytes: &bytes,
        };
        table.heard(Moment::ZERO, &datagram, &mut Vec::new())
    };
    let refused = |name: &str, found: u32, wanted: u32| {
        Err(RefusedPacket {
            name: Some(name.into()),
            refused: Refused::Interface { found, wanted },
        })
    };
    // It is not known yet where they are.
    assert_eq!(heard(&mut table, &packet, 2), refused("one", 2, 0));
    table.set_interface("one", 1);
    table.set_interface("two", 2);
    assert_eq!(heard(&mut table, &packet, 3), refused("one", 3, 1));
    assert_eq!(heard(&mut table, &packet, 2), Ok(()));
    let states = |table: &Table| [0, 1].map(|at| table.entries[at].session.state());
    assert_eq!(states(&table), [SessionState::Down, SessionState::Init]);
    // Who knows the discriminator of the other one is not on its interface: it counts where it came from.
    packet.your_discriminator = table.entries[0].session.discriminator();
    assert_eq!(heard(&mut table, &packet, 2), refused("two", 2, 1));
    assert_eq!(states(&table), [SessionState::Down, SessionState::Init]);
    let counted = |at: usize| table.entries[at].counters.refused.get("interface").copied();
    assert_eq!([counted(0), counted(1)], [Some(2), Some(1)]);
}
