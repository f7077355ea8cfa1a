//! A datagram for a virtual router of either version, family and authentication: valid or refused by a reason, and
//! never valid with a piece missing. The first byte chooses the router, and whether `auth_hmac` proves it; half of the
//! payloads get a right trailer, so that what is behind the proof is reached.
#![no_main]

use std::net::IpAddr;
use std::time::Duration;

use config::keepalived::{
    AntiReplay, AuthHmac, Authentication, HmacKey, HmacMode, Secret, Version,
};
use libfuzzer_sys::fuzz_target;
use vrrp::packet::hmac::seal;
use vrrp::packet::{Datagram, Form, PseudoHeader, Reach, UnicastPeer};

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn form(version: Version, authentication: Option<Authentication>, addresses: &[&str]) -> Form {
    Form {
        version,
        vrid: 50,
        interval: Duration::from_secs(1),
        authentication,
        hmac: None,
        addresses: addresses.iter().map(|text| address(text)).collect(),
        pseudo_header: PseudoHeader::Included,
    }
}

fuzz_target!(|input: &[u8]| {
    let Some((choice, bytes)) = input.split_first() else {
        return;
    };
    let ipv4 = &["10.9.0.100", "10.9.0.101"];
    let key = *b"passwd\0\0";
    let (form, ipv6) = match choice % 8 {
        0 => (form(Version::V2, None, ipv4), false),
        1 => (
            form(Version::V2, Some(Authentication::Pass(key)), ipv4),
            false,
        ),
        2 => (
            form(Version::V2, Some(Authentication::Ah(key)), ipv4),
            false,
        ),
        3 => (form(Version::V3, None, ipv4), false),
        _ => (form(Version::V3, None, &["fe80::64", "2001:db8::64"]), true),
    };
    let (source, own, group) = if ipv6 {
        ("fe80::5462:2bff:fe27:6688", "fe80::2", "ff02::12")
    } else {
        ("10.9.0.1", "10.9.0.2", "224.0.0.18")
    };
    let auth = AuthHmac {
        keys: vec![HmacKey {
            id: 1,
            secret: Secret::new(vec![7; 32]),
        }],
        active_key: 1,
        anti_replay: AntiReplay::Time,
        time_window: Duration::from_secs(5),
        mode: if choice & 0x08 == 0 {
            HmacMode::Enforce
        } else {
            HmacMode::Permissive
        },
    };
    let mut form = form;
    form.hmac = (choice & 0x10 != 0).then(|| Box::new(auth.clone()));
    let reach = if choice & 0x80 == 0 {
        Reach::Multicast(address(group))
    } else {
        Reach::Unicast(vec![UnicastPeer {
            address: address(source),
            min_ttl: 1,
            max_ttl: 255,
        }])
    };
    let read = if ipv6 {
        Ok(Datagram::ipv6(address(source), address(group), 255, bytes))
    } else {
        Datagram::read(bytes)
    };
    let datagram = match read {
        Ok(datagram) => datagram,
        Err(refused) => {
            assert!(!refused.to_string().is_empty() && !refused.reason().is_empty());
            return;
        }
    };
    let mut sealed = datagram.payload.to_vec();
    let mut datagram = datagram;
    if choice & 0x20 != 0 {
        seal(
            &mut sealed,
            &auth,
            (form.version, form.vrid),
            datagram.source,
            1,
        );
        datagram.payload = &sealed;
    }
    let trusted = (choice & 0x40 != 0).then(|| address(source));
    let check = |datagram: &Datagram<'_>| datagram.check(&form, &reach, address(own), trusted);
    match check(&datagram) {
        Ok(heard) => {
            assert_eq!(heard.from, datagram.source);
            assert!(!heard.interval.is_zero());
            let mut cut = datagram;
            cut.payload = &cut.payload[..cut.payload.len() - 1];
            assert!(check(&cut).is_err());
        }
        Err(refused) => assert!(!refused.to_string().is_empty() && !refused.reason().is_empty()),
    }
});
