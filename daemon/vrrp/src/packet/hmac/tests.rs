//! Facts about trailers: what is believed, and what is not.

use config::keepalived::{HmacKey, Secret};

use super::*;
use crate::packet::{Datagram, Form, Heard, PseudoHeader, Reach, encode};

const NOW: Wall = Duration::from_millis(1_800_000_000_250);

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn key(id: u8, octet: u8) -> HmacKey {
    HmacKey {
        id,
        secret: Secret::new(vec![octet; 32]),
    }
}

fn auth() -> AuthHmac {
    AuthHmac {
        keys: vec![key(1, 0x11), key(2, 0x22)],
        active_key: 1,
        anti_replay: AntiReplay::Time,
        time_window: Duration::from_secs(5),
        mode: HmacMode::Enforce,
    }
}

/// A virtual router of a version and family, with where its advertisements come from and go to.
struct Router {
    form: Form,
    source: IpAddr,
    group: IpAddr,
    own: IpAddr,
}

fn routers() -> [Router; 3] {
    let router = |version, addresses: &[&str], source, group, own| Router {
        form: Form {
            version,
            vrid: 50,
            interval: Duration::from_secs(1),
            authentication: None,
            hmac: Some(Box::new(auth())),
            addresses: addresses.iter().map(|text| address(text)).collect(),
            pseudo_header: PseudoHeader::Included,
        },
        source: address(source),
        group: address(group),
        own: address(own),
    };
    let ipv4 = ["10.9.0.100", "10.9.0.101"];
    [
        router(Version::V2, &ipv4, "10.9.0.1", "224.0.0.18", "10.9.0.2"),
        router(Version::V3, &ipv4, "10.9.0.1", "224.0.0.18", "10.9.0.2"),
        router(Version::V3, &["fe80::64"], "fe80::1", "ff02::12", "fe80::2"),
    ]
}

impl Router {
    fn says(&self, sequence: u64) -> Vec<u8> {
        let mut bytes = encode(&self.form, 100, self.source, self.group);
        let auth = self.form.hmac.clone().expect("it has keys");
        let router = (self.form.version, self.form.vrid);
        seal(&mut bytes, &auth, router, self.source, sequence);
        bytes
    }

    fn hears(&self, bytes: &[u8]) -> Result<Heard, Refused> {
        self.hears_from(bytes, self.source)
    }

    fn hears_from(&self, bytes: &[u8], source: IpAddr) -> Result<Heard, Refused> {
        let datagram = Datagram {
            source,
            destination: self.group,
            ttl: 255,
            payload: bytes,
            authentication_header: None,
        };
        datagram.check(&self.form, &Reach::Multicast(self.group), self.own, None)
    }
}

#[test]
fn what_one_says_the_other_believes() {
    for router in routers() {
        let heard = router.hears(&router.says(77)).expect("it is proved");
        assert_eq!((heard.priority, heard.stamp), (100, Some(77)));
    }
}

#[test]
fn a_change_of_any_bit_is_refused() {
    for router in routers() {
        let good = router.says(77);
        for bit in 0..good.len() * 8 {
            let mut bytes = good.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(router.hears(&bytes).is_err(), "bit {bit}");
        }
        for length in 0..good.len() {
            assert!(router.hears(&good[..length]).is_err(), "{length} bytes");
        }
        let longer = [good.as_slice(), &[0]].concat();
        assert!(matches!(router.hears(&longer), Err(Refused::Length { .. })));
    }
}

#[test]
fn a_digest_belongs_to_its_router_family_version_and_source() {
    let [two, three, six] = routers();
    // Another source.
    for router in [&two, &three] {
        let refused = router.hears_from(&router.says(1), address("10.9.0.3"));
        assert!(
            // The checksum of version 3 covers the source too, but the digest comes first.
            matches!(refused, Err(Refused::InvalidHmac(1))),
            "{refused:?}"
        );
    }
    let refused = six.hears_from(&six.says(1), address("fe80::3"));
    assert_eq!(refused, Err(Refused::InvalidHmac(1)));
    // Another virtual router with the same keys.
    let mut other = routers();
    for (router, other) in [two, three, six].iter().zip(&mut other) {
        other.form.vrid = 51;
        assert_eq!(
            other.hears(&router.says(1)),
            Err(Refused::InvalidHmac(1)),
            "{:?}",
            router.form.version
        );
    }
    // Its trailer behind the advertisement of another version or family.
    let spliced = |from: &Router, to: &Router| {
        let donor = from.says(1);
        let mut bytes = encode(&to.form, 200, to.source, to.group);
        bytes.extend(&donor[donor.len() - TRAILER_BYTES..]);
        to.hears(&bytes)
    };
    let all = routers();
    for from in &all {
        for to in &all {
            assert_eq!(spliced(from, to), Err(Refused::InvalidHmac(1)));
        }
    }
}

#[test]
fn keys_are_found_by_their_numbers() {
    let [router, ..] = routers();
    let mut rotated = routers();
    let rotated = &mut rotated[0];
    // Both know both keys: it does not matter which one is used.
    rotated.form.hmac.as_mut().expect("keys").active_key = 2;
    assert!(router.hears(&rotated.says(1)).is_ok());
    assert!(rotated.hears(&router.says(1)).is_ok());
    // The first is gone.
    rotated.form.hmac.as_mut().expect("keys").keys.remove(0);
    assert_eq!(rotated.hears(&router.says(1)), Err(Refused::UnknownKey(1)));
    assert!(router.hears(&rotated.says(1)).is_ok());
    // Another key of the same number.
    rotated.form.hmac.as_mut().expect("keys").keys[0] = key(2, 0x33);
    assert_eq!(
        rotated.hears(&{
            let mut other = routers();
            other[0].form.hmac.as_mut().expect("keys").active_key = 2;
            other[0].says(1)
        }),
        Err(Refused::InvalidHmac(2))
    );
}

#[test]
fn without_a_trailer_the_mode_decides_and_without_keys_a_trailer_is_refused() {
    for mut router in routers() {
        let plain = encode(&router.form, 100, router.source, router.group);
        let sealed = router.says(1);
        assert_eq!(router.hears(&plain), Err(Refused::NoTrailer));
        router.form.hmac.as_mut().expect("keys").mode = HmacMode::Permissive;
        let heard = router.hears(&plain).expect("permissive");
        assert_eq!(heard.stamp, None);
        let mut wrong = sealed.clone();
        wrong[5] ^= 1;
        assert!(router.hears(&wrong).is_err(), "a wrong proof is no proof");
        router.form.hmac = None;
        assert!(router.hears(&plain).is_ok());
        assert_eq!(router.hears(&sealed), Err(Refused::UnwantedTrailer));
    }
}

fn after(wall: Wall, ms: i64) -> Wall {
    let step = Duration::from_millis(ms.unsigned_abs());
    if ms < 0 { wall - step } else { wall + step }
}

#[test]
fn what_was_sent_before_is_refused_in_any_order() {
    let (from, auth) = (address("10.9.0.1"), auth());
    for anti_replay in [AntiReplay::Time, AntiReplay::Monotonic] {
        let auth = AuthHmac {
            anti_replay,
            ..auth.clone()
        };
        let mut senders = Senders::default();
        let (first, second) = (stamp(NOW), stamp(after(NOW, 10)));
        assert!(senders.accept(from, first, NOW, &auth).is_ok());
        assert_eq!(
            senders.accept(from, first, NOW, &auth),
            Err(Refused::Repeated)
        );
        assert!(senders.accept(from, second, NOW, &auth).is_ok());
        assert_eq!(
            senders.accept(from, first, NOW, &auth),
            Err(Refused::Repeated),
            "an older one that comes later"
        );
        // Each sender has numbers of its own.
        let other = address("10.9.0.3");
        assert!(senders.accept(other, first, NOW, &auth).is_ok());
    }
}

#[test]
fn the_window_is_open_to_its_edges() {
    let (from, auth) = (address("10.9.0.1"), auth());
    let hears = |ms| {
        let mut senders = Senders::default();
        let sequence = stamp(after(NOW, ms));
        senders
            .accept(from, sequence, NOW, &auth)
            .map(|sender| sender.skew_s)
    };
    for ms in [-5000, -2500, 0, 2500, 5000] {
        let skew = hears(ms).expect("within the window");
        assert!((skew - ms as f64 / 1e3).abs() < 1e-6, "{skew}");
    }
    for ms in [-5001, 5001, -86_400_000, 86_400_000] {
        let Err(Refused::Stale { ahead_ms, .. }) = hears(ms) else {
            panic!("{ms} ms are not within 5 s");
        };
        assert!((ahead_ms - ms).abs() <= 1, "{ahead_ms}");
    }
    let refused = hears(-8_000).expect_err("stale");
    assert_eq!(
        refused.to_string(),
        "its time is 8.000 s behind ours, and time_window is 5 s: sent before, or a clock is wrong"
    );
}

#[test]
fn numbers_go_on_where_the_seconds_wrap() {
    // RFC 1982, in February 2106.
    let wrap = Duration::from_secs(1 << 32);
    let (from, auth) = (address("10.9.0.1"), auth());
    let mut senders = Senders::default();
    let mut outgoing = Outgoing::default();
    let mut last = None;
    for ms in [-1500, -500, -1, 0, 1, 500, 1500] {
        let now = after(wrap, ms);
        let sequence = outgoing.take(now, &auth);
        assert!(senders.accept(from, sequence, now, &auth).is_ok(), "{ms}");
        if let Some(last) = last {
            assert!(ahead(sequence, last) > 0);
            assert_eq!(
                senders.accept(from, last, now, &auth),
                Err(Refused::Repeated)
            );
        }
        last = Some(sequence);
    }
    assert!(stamp(after(wrap, 1)) < stamp(after(wrap, -1)), "it wrapped");
}

#[test]
fn numbers_grow_while_a_clock_stands_or_is_set_back_a_little() {
    let auth = auth();
    let mut outgoing = Outgoing::default();
    let mut last = outgoing.take(NOW, &auth);
    for ms in [0, 0, 0, -100, -4900, -4900] {
        let next = outgoing.take(after(NOW, ms), &auth);
        assert_eq!(next, last + 1);
        last = next;
    }
    assert_eq!(
        outgoing.take(after(NOW, 1), &auth),
        stamp(after(NOW, 1)),
        "the time itself as soon as it is ahead"
    );
}

#[test]
fn clocks_that_are_set_back_by_an_hour_part_nobody() {
    let (from, auth) = (address("10.9.0.1"), auth());
    let (mut senders, mut outgoing) = (Senders::default(), Outgoing::default());
    let mut says = |now: Wall, hears: Wall| {
        let sequence = outgoing.take(now, &auth);
        senders
            .accept(from, sequence, hears, &auth)
            .map(|_| sequence)
    };
    let old = says(NOW, NOW).expect("fresh");
    let back = after(NOW, -3_600_000);
    // The sender's is set right first, then ours.
    assert!(matches!(says(back, NOW), Err(Refused::Stale { .. })));
    let again = says(after(back, 1000), after(back, 1000)).expect("both are right");
    assert!(ahead(again, old) < 0);
    says(after(back, 2000), after(back, 2000)).expect("and go on");
    assert_eq!(
        senders.accept(from, again, after(back, 2000), &auth),
        Err(Refused::Repeated)
    );
}

#[test]
fn monotonic_numbers_need_no_clocks_that_agree_and_never_fall() {
    let (from, time) = (address("10.9.0.1"), auth());
    let auth = AuthHmac {
        anti_replay: AntiReplay::Monotonic,
        ..time
    };
    let (mut senders, mut outgoing) = (Senders::default(), Outgoing::default());
    for (sends, hears) in [(0, 90_000_000), (1000, 0), (-90_000_000, 0), (2000, 5)] {
        let sequence = outgoing.take(after(NOW, sends), &auth);
        let heard = senders.accept(from, sequence, after(NOW, hears), &auth);
        assert!(heard.is_ok(), "{heard:?}");
    }
}

#[test]
fn senders_are_bounded_and_the_longest_silent_is_forgotten() {
    let auth = auth();
    let mut senders = Senders::default();
    let sender = |number: u8| IpAddr::from([10, 9, 1, number]);
    let all = MAX_SENDERS as u8 + 1;
    for number in 0..all {
        let heard = senders.accept(sender(number), stamp(NOW), NOW, &auth);
        assert!(heard.is_ok());
    }
    assert_eq!(senders.iter().count(), MAX_SENDERS);
    assert!(senders.iter().all(|known| known.address != sender(0)));
    assert_eq!(
        senders.iter().next().map(|known| known.address),
        Some(sender(all - 1))
    );
}

#[test]
fn keys_are_not_shown() {
    let shown = format!("{:?}", routers()[0].form);
    assert!(shown.contains("Secret(32 octets)"), "{shown}");
    assert!(!shown.contains("17, 17"), "{shown}");
}

#[test]
fn a_receiver_that_restarts_believes_nothing_twice() {
    let auth = auth();
    let from = address("10.9.0.1");
    let late = Duration::from_millis(300);
    let mut sender = Outgoing::default();
    let mut first = Senders::default();
    let recorded: Vec<u64> = (0..3).map(|_| sender.take(NOW, &auth)).collect();
    for number in &recorded {
        first.accept(from, *number, NOW, &auth).expect("new");
    }
    // Without a memory each of them counts once more.
    let mut forgetful = Senders::default();
    assert!(
        forgetful
            .accept(from, recorded[2], NOW + late, &auth)
            .is_ok()
    );
    let numbers: Vec<_> = first.numbers().collect();
    assert_eq!(numbers, [(from, recorded[2])]);
    let mut second = Senders::default();
    second.recall(&numbers);
    // Nobody was heard yet, and what is known is not lost by another restart.
    assert_eq!(second.iter().count(), 0);
    assert_eq!(second.numbers().collect::<Vec<_>>(), numbers);
    for number in &recorded {
        let refused = second.accept(from, *number, NOW + late, &auth);
        assert_eq!(refused.map(|_| ()), Err(Refused::Repeated));
    }
    let next = sender.take(NOW + late, &auth);
    assert!(second.accept(from, next, NOW + late, &auth).is_ok());
    // Another one with the same key was not heard before.
    let other = address("10.9.0.3");
    assert!(second.accept(other, recorded[0], NOW + late, &auth).is_ok());
    assert_eq!(
        second.numbers().collect::<Vec<_>>(),
        [(other, recorded[0]), (from, next)]
    );
}
