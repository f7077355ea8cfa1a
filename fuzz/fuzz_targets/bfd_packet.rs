//! Datagrams for a BFD session, with time between them: each is valid or refused by a reason, and what is sent is valid.
//! Two bytes of time in milliseconds, a length, and the bytes, again and again.
#![no_main]

use std::net::IpAddr;
use std::time::Duration;

use config::keepalived::BfdInstance;
use config::{Span, Word};
use libfuzzer_sys::fuzz_target;
use vrrp::bfd::packet::ControlPacket;
use vrrp::bfd::{Datagram, Deed, Table};

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn look(deeds: &mut Vec<Deed>) {
    for deed in deeds.drain(..) {
        if let Deed::Send { bytes, .. } = deed {
            ControlPacket::read(&bytes).expect("what we send is valid");
        }
    }
}

fuzz_target!(|input: &[u8]| {
    let config = BfdInstance::new(Word::new("peer", Span::default()), address("10.0.0.2"));
    let mut now = Duration::from_secs(1);
    let mut table = Table::default();
    // The discriminator is 1: the fuzzer finds it.
    let mut deeds = table.configure(now, &[config], || 1 << 32);
    look(&mut deeds);
    let mut rest = input;
    while let Some((&[high, low, length], more)) = rest.split_first_chunk() {
        let (bytes, after) = more.split_at(usize::from(length).min(more.len()));
        rest = after;
        now += Duration::from_millis(u16::from_be_bytes([high, low]).into());
        table.elapsed(now, &mut deeds);
        look(&mut deeds);
        let datagram = Datagram {
            source: address("10.0.0.2"),
            destination: address("10.0.0.1"),
            ttl: 255,
            interface: 1,
            bytes,
        };
        if let Err(refused) = table.heard(now, &datagram, &mut deeds) {
            let refused = refused.refused;
            assert!(!refused.to_string().is_empty() && !refused.reason().is_empty());
        }
        look(&mut deeds);
        // What is due is done, and then something else is: nobody runs in circles.
        table.elapsed(now, &mut deeds);
        look(&mut deeds);
        table.elapsed(now, &mut deeds);
        look(&mut deeds);
        assert!(table.deadline().is_none_or(|at| at > now));
    }
});
