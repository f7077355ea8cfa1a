//! Packets that must not count, sent from a third node: as a process of its own, in that node's namespace.

use std::future::poll_fn;
use std::net::{IpAddr, Ipv4Addr};
use std::process::ExitCode;
use std::time::Duration;

use config::keepalived::{Authentication, Version};
use sys::batch::Batch;
use sys::packet::{Travel, VrrpSocket};
use tandem_vrrp::packet::{Form, PseudoHeader, TTL, encode};

use crate::lab::{VIP, run as shell};

const SOURCE: Ipv4Addr = Ipv4Addr::new(10, 230, 137, 9);
const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);
/// Packets of the burst.
pub(crate) const BURST: usize = 100_000;
/// Between two packets of a slow forger's round.
const SLOW: Duration = Duration::from_millis(50);

/// Sends what the first argument says: `slow` (six seconds long), `burst`, `once VRID…` and so on.
pub(crate) fn run(arguments: &[String]) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let index = shell("ip -o link show eth0")
            .split(':')
            .next()
            .expect("a number")
            .parse()
            .expect("a number");
        let socket = |travel| VrrpSocket::open("eth0", index, travel).expect("a raw socket");
        match arguments.first().map(String::as_str) {
            Some("ipv6") => ipv6(&socket(Travel::Ipv6)),
            Some("replay") => replay(&socket(Travel::Ipv4), &socket(Travel::Ipv4Ah)).await,
            Some("lower") => lower(&socket(Travel::Ipv4)).await,
            Some("once") => once(&socket(Travel::Ipv4), &arguments[1..]),
            Some("burst") => burst(&socket(Travel::Ipv4)).await,
            _ => slow(&socket(Travel::Ipv4)).await,
        }
    });
    ExitCode::SUCCESS
}

fn right() -> Form {
    Form {
        version: Version::V2,
        vrid: 50,
        interval: Duration::from_secs(1),
        authentication: Some(Authentication::Pass(*b"passwd\0\0")),
        hmac: None,
        addresses: vec![VIP.parse().expect("an address")],
        pseudo_header: PseudoHeader::Included,
    }
}

fn send(socket: &VrrpSocket, ttl: u8, packet: &[u8]) -> bool {
    socket
        .send(SOURCE.into(), GROUP.into(), ttl, packet)
        .is_ok()
}

fn say(form: &Form, priority: u8) -> Vec<u8> {
    encode(form, priority, SOURCE.into(), GROUP.into())
}

/// Three kinds of wrong packets, 60 times a second for six seconds: five a second of them silence keepalived.
async fn slow(socket: &VrrpSocket) {
    let mut damaged = say(&right(), 200);
    damaged[6] ^= 0x55;
    let stranger = Form {
        authentication: Some(Authentication::Pass(*b"letmein\0")),
        ..right()
    };
    let hasty = Form {
        interval: Duration::from_secs(3),
        ..right()
    };
    let packets = [say(&stranger, 200), damaged, say(&hasty, 0)];
    let mut tick = tokio::time::interval(SLOW);
    for _ in 0..120 {
        tick.tick().await;
        for packet in &packets {
            assert!(send(socket, TTL, packet));
        }
    }
}

/// Every field wrong in turn, with priorities 255 and 0, as fast as the link takes them.
async fn burst(socket: &VrrpSocket) {
    let mut packets: Vec<(u8, Vec<u8>)> = Vec::new();
    for priority in [255, 0] {
        let mut wrong = |change: &dyn Fn(&mut Form)| {
            let mut form = right();
            change(&mut form);
            packets.push((TTL, say(&form, priority)));
        };
        wrong(&|form| form.version = Version::V3);
        wrong(&|form| form.authentication = None);
        wrong(&|form| form.authentication = Some(Authentication::Pass(*b"letmein\0")));
        wrong(&|form| form.interval = Duration::from_secs(9));
        wrong(&|form| form.addresses.push(IpAddr::V4(SOURCE)));
        wrong(&|form| form.addresses = vec![IpAddr::V4(SOURCE)]);
        let valid = say(&right(), priority);
        packets.push((254, valid.clone()));
        for bit in [0x01, 0x80] {
            let mut damaged = valid.clone();
            damaged[7] ^= bit;
            packets.push((TTL, damaged));
        }
        for length in 0..valid.len() {
            packets.push((TTL, valid[..length].to_vec()));
        }
    }
    let mut sent = 0;
    for (ttl, packet) in packets.iter().cycle() {
        // A full queue of the link is no end.
        if send(socket, *ttl, packet) {
            sent += 1;
        } else {
            tokio::task::yield_now().await;
        }
        if sent == BURST {
            return;
        }
    }
}

/// Says a lower priority in version 3, five times a second for a second.
async fn lower(socket: &VrrpSocket) {
    let form = Form {
        version: Version::V3,
        interval: Duration::from_millis(100),
        authentication: None,
        ..right()
    };
    let mut tick = tokio::time::interval(Duration::from_millis(200));
    for _ in 0..5 {
        tick.tick().await;
        assert!(send(socket, TTL, &say(&form, 50)));
    }
}

/// Says a lower priority once for each virtual router; its address ends as its number.
fn once(socket: &VrrpSocket, vrids: &[String]) {
    for vrid in vrids {
        let vrid = vrid.parse().expect("a number");
        let form = Form {
            version: Version::V3,
            vrid,
            interval: Duration::from_millis(100),
            authentication: None,
            addresses: vec![IpAddr::V4(Ipv4Addr::new(10, 230, 137, vrid))],
            ..right()
        };
        assert!(send(socket, TTL, &say(&form, 50)));
    }
}

/// Records whole datagrams of a master, then sends them again, with its source address, for eight seconds.
async fn replay(ears: &VrrpSocket, mouth: &VrrpSocket) {
    const RECORDED: usize = 4;
    const ROUNDS: usize = 160;
    ears.join(GROUP.into()).expect("a group");
    let mut recorded = Vec::new();
    let mut batch = Batch::default();
    while recorded.len() < RECORDED {
        let arrived = poll_fn(|context| ears.poll_receive(context, &mut batch)).await;
        for at in 0..arrived.expect("datagrams") {
            let datagram = batch.datagram(at).map(|(_, bytes)| bytes.to_vec());
            recorded.extend(datagram);
        }
    }
    println!("RECORDED");
    let mut tick = tokio::time::interval(SLOW);
    for _ in 0..ROUNDS {
        tick.tick().await;
        for datagram in &recorded {
            let source = Ipv4Addr::new(datagram[12], datagram[13], datagram[14], datagram[15]);
            let sent = mouth.send(source.into(), GROUP.into(), TTL, datagram);
            assert!(sent.is_ok(), "{sent:?}");
        }
    }
}

/// The right form of IPv6, changed in turn; the group, and a source that is link-local.
fn ipv6(socket: &VrrpSocket) {
    let address = |text: &str| -> IpAddr { text.parse().expect("an address") };
    let (own, group) = (address("fe80::9"), address("ff02::12"));
    let right = Form {
        version: Version::V3,
        authentication: None,
        addresses: vec![address("fe80::100"), address("2001:db8::100")],
        ..right()
    };
    let send = |source: IpAddr, hop_limit, bytes: &[u8]| {
        let sent = socket.send(source, group, hop_limit, bytes);
        assert!(sent.is_ok(), "{sent:?}");
    };
    let say = |form: &Form, source| encode(form, 255, source, group);
    let valid = say(&right, own);
    for _ in 0..5 {
        send(own, 254, &valid);
        send(own, TTL, &valid[..valid.len() - 1]);
        let mut damaged = valid.clone();
        damaged[7] ^= 1;
        send(own, TTL, &damaged);
        let routed = address("2001:db8::9");
        send(routed, TTL, &say(&right, routed));
        let fewer = Form {
            addresses: vec![address("fe80::100")],
            ..right.clone()
        };
        send(own, TTL, &say(&fewer, own));
        send(own, TTL, &valid[..1]);
    }
}
