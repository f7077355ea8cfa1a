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

fn look(deeds: Vec<Deed>) {
    for deed in deeds {
        if let Deed::Send { bytes, .. } = deed {
            ControlPacket::read(&bytes).expect("what we send is valid");
        }
    }
}

fuzz_target!(|input: &[u8]| {
    let config = BfdInstance {
        name: Word::new("peer", Span::default()),
        neighbor: address("10.0.0.2"),
        source: None,
        min_rx: Duration::from_millis(10),
        min_tx: Duration::from_millis(10),
        idle_tx: Duration::from_secs(1),
        multiplier: 5,
        passive: false,
        ttl: 255,
        max_hops: 0,
        weight: 0,
        reverse: false,
        tells_vrrp: true,
        span: Span::default(),
    };
    let mut now = Duration::from_secs(1);
    let mut table = Table::default();
    // The discriminator is 1: the fuzzer finds it.
    look(table.configure(now, &[config], || 1 << 32));
    let mut rest = input;
    while let Some((&[high, low, length], more)) = rest.split_first_chunk() {
        let (bytes, after) = more.split_at(usize::from(length).min(more.len()));
        rest = after;
        now += Duration::from_millis(u16::from_be_bytes([high, low]).into());
        look(table.elapsed(now));
        let datagram = Datagram {
            source: address("10.0.0.2"),
            destination: address("10.0.0.1"),
            ttl: 255,
            bytes,
        };
        match table.heard(now, &datagram) {
            Ok(deeds) => look(deeds),
            Err(refused) => {
                let refused = refused.refused;
                assert!(!refused.to_string().is_empty() && !refused.reason().is_empty());
            }
        }
        // What is due is done, and then something else is: nobody runs in circles.
        look(table.elapsed(now));
        look(table.elapsed(now));
        assert!(table.deadline().is_none_or(|at| at > now));
    }
});
