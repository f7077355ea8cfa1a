//! The packet as bytes: its layout, and every field wrong in turn.

use super::super::packet::*;

fn packet() -> ControlPacket {
    ControlPacket {
        diagnostic: Diagnostic::DetectionTimeExpired,
        state: SessionState::Init,
        poll: true,
        is_final: false,
        control_plane_independent: false,
        demand: false,
        detect_multiplier: 5,
        my_discriminator: 0x0102_0304,
        your_discriminator: 0x0506_0708,
        desired_min_tx_us: 1_000_000,
        required_min_rx_us: 10_000,
        required_min_echo_rx_us: 0,
    }
}

#[test]
fn a_packet_is_laid_out_as_the_rfc_draws_it() {
    let expected = [
        0x21, 0xa0, 5, 24, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0x0f, 0x42, 0x40, 0, 0, 0x27, 0x10, 0, 0, 0,
        0,
    ];
    assert_eq!(packet().write(), expected);
    assert_eq!(ControlPacket::read(&expected), Ok(packet()));
    // What follows the packet in its datagram is not looked at.
    let longer = [&expected[..], &[0xff; 9]].concat();
    assert_eq!(ControlPacket::read(&longer), Ok(packet()));
}

#[test]
fn every_value_of_the_first_two_bytes_is_kept() {
    for diagnostic in 0..=31 {
        let mut bytes = packet().write();
        bytes[0] = 0x20 | diagnostic;
        let read = ControlPacket::read(&bytes).expect("valid");
        assert_eq!(read.diagnostic.number(), diagnostic);
        assert!(!read.diagnostic.to_string().is_empty());
        assert_eq!(read.write(), bytes);
    }
    for state in 0..4 {
        for flags in [0, 0x20, 0x10, 0x08, 0x02, 0x2a, 0x1a] {
            let mut bytes = packet().write();
            bytes[1] = state << 6 | flags;
            let read = ControlPacket::read(&bytes).expect("valid");
            assert_eq!(read.write(), bytes);
        }
    }
}

#[test]
fn every_field_wrong_in_turn_is_refused_by_its_name() {
    let check = |change: &dyn Fn(&mut [u8; PACKET_BYTES]), expected: Refused, name: &str| {
        let mut bytes = packet().write();
        change(&mut bytes);
        let refused = ControlPacket::read(&bytes).expect_err(name);
        assert_eq!((refused, refused.reason()), (expected, name));
        assert!(!refused.to_string().is_empty());
    };
    for version in [0, 2, 3, 4, 5, 6, 7] {
        let wrong = |bytes: &mut [u8; PACKET_BYTES]| bytes[0] = version << 5;
        check(&wrong, Refused::Version(version), "version");
    }
    for length in 0..24 {
        let expected = Refused::Length {
            found: length,
            least: 24,
        };
        check(&|bytes| bytes[3] = length, expected, "length");
    }
    let cut = Refused::Truncated { found: 24 };
    check(&|bytes| bytes[3] = 25, cut, "truncated");
    check(&|bytes| bytes[2] = 0, Refused::Multiplier, "multiplier");
    check(&|bytes| bytes[1] |= 1, Refused::Multipoint, "multipoint");
    let none = Refused::MyDiscriminator;
    check(&|bytes| bytes[4..8].fill(0), none, "my-discriminator");
    let unknown = Refused::NoYourDiscriminator(SessionState::Init);
    let name = "no-your-discriminator";
    check(&|bytes| bytes[8..12].fill(0), unknown, name);
    let unknown = Refused::NoYourDiscriminator(SessionState::Up);
    let up = |bytes: &mut [u8; PACKET_BYTES]| {
        bytes[1] = 0xc0;
        bytes[8..12].fill(0);
    };
    check(&up, unknown, name);
    let both = Refused::PollAndFinal;
    check(&|bytes| bytes[1] |= 0x30, both, "poll-and-final");
    // With the A bit there must be an authentication section.
    let short = Refused::Length {
        found: 24,
        least: 26,
    };
    check(&|bytes| bytes[1] |= 4, short, "length");
}

#[test]
fn an_authenticated_packet_is_refused() {
    // Simple password, key 1, "x".
    let mut bytes = [&packet().write()[..], &[1, 4, 1, b'x']].concat();
    bytes[1] |= 4;
    bytes[3] = 28;
    assert_eq!(ControlPacket::read(&bytes), Err(Refused::Authentication));
    assert_eq!(Refused::Authentication.reason(), "authentication");
}

#[test]
fn down_and_admin_down_need_not_know_us() {
    for state in [SessionState::Down, SessionState::AdminDown] {
        let packet = ControlPacket {
            state,
            your_discriminator: 0,
            ..packet()
        };
        assert_eq!(ControlPacket::read(&packet.write()), Ok(packet));
    }
}

#[test]
fn truncated_at_every_byte_it_is_refused() {
    let bytes = packet().write();
    for found in 0..PACKET_BYTES {
        let refused = ControlPacket::read(&bytes[..found]);
        assert_eq!(refused, Err(Refused::Truncated { found }));
    }
}
