//! BFD packets that must not count, beside a session with keepalived that is Up.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use tandem_vrrp::bfd::packet::{ControlPacket, Diagnostic, PACKET_BYTES, SessionState};

use crate::bfd::{Kind, RISE, instance, lab, router, session, start};
use crate::bfd_wire::Tap;
use crate::lab::{Lab, wait};
use crate::{ELECTION, SOON, forget, has_keepalived};

/// Scenarios of this file.
pub(crate) const SCENARIOS: [(&str, fn()); 1] = [(
    "bfd_packets_with_a_wrong_field_change_nothing_and_are_counted",
    wrong,
)];

const A: &str = "10.230.137.1";
const C: &str = "10.230.137.9";
/// Nobody's neighbour.
const STRANGER: &str = "10.230.137.77";
/// How often all of them are sent.
const ROUNDS: u64 = 20;

/// What is sent: the reason that it is refused for, its sender, its TTL, its bytes.
type Wrong = (&'static str, &'static str, u32, Vec<u8>);

/// A packet that says Down, of a neighbour that knows the discriminator: it would end the session.
fn right(discriminator: u32) -> ControlPacket {
    ControlPacket {
        diagnostic: Diagnostic::PathDown,
        state: SessionState::Down,
        poll: false,
        is_final: false,
        control_plane_independent: false,
        demand: false,
        detect_multiplier: 8,
        my_discriminator: 0x1122_3344,
        your_discriminator: discriminator,
        desired_min_tx_us: 1_000_000,
        required_min_rx_us: 50_000,
        required_min_echo_rx_us: 0,
    }
}

/// RFC 5880 section 6.8.6, each field in turn; RFC 5881 section 5, the TTL; and every length.
fn all(discriminator: u32) -> Vec<Wrong> {
    let right = right(discriminator);
    let bytes = right.write();
    let mut all: Vec<Wrong> = Vec::new();
    let patched = |at: usize, value: u8| {
        let mut bytes = bytes.to_vec();
        bytes[at] = value;
        bytes
    };
    let mut of = |reason, bytes| all.push((reason, C, 255, bytes));
    for version in [0, 2, 7] {
        of("version", patched(0, version << 5 | 5));
    }
    for length in [0, 4, PACKET_BYTES as u8 - 1] {
        of("length", patched(3, length));
    }
    for length in [PACKET_BYTES as u8 + 1, 255] {
        of("truncated", patched(3, length));
    }
    for length in 0..PACKET_BYTES {
        of("truncated", bytes[..length].to_vec());
    }
    of("multiplier", patched(2, 0));
    of("multipoint", patched(1, bytes[1] | 0x01));
    let changed = |change: &dyn Fn(&mut ControlPacket)| {
        let mut packet = right;
        change(&mut packet);
        packet.write().to_vec()
    };
    of(
        "my-discriminator",
        changed(&|packet| packet.my_discriminator = 0),
    );
    for state in [SessionState::Init, SessionState::Up] {
        let begins = changed(&|packet| {
            packet.your_discriminator = 0;
            packet.state = state;
        });
        of("no-your-discriminator", begins);
    }
    for flip in [1, 0x8000_0000, u32::MAX] {
        let other = changed(&|packet| packet.your_discriminator ^= flip);
        of("your-discriminator", other);
    }
    of(
        "poll-and-final",
        changed(&|packet| (packet.poll, packet.is_final) = (true, true)),
    );
    // The bit alone, and with a section: a simple password, "secret".
    of("length", patched(1, bytes[1] | 0x04));
    let mut authenticated = patched(1, bytes[1] | 0x04);
    authenticated[3] = PACKET_BYTES as u8 + 9;
    authenticated.extend([1, 9, 1]);
    authenticated.extend(b"secret");
    of("authentication", authenticated);
    for ttl in [254, 64, 1] {
        all.push(("ttl", C, ttl, bytes.to_vec()));
    }
    all.push(("source", STRANGER, 255, bytes.to_vec()));
    all
}

/// Sends them: the discriminator and how often; none of it is wrong if that is 0.
pub(crate) fn forge(words: &[String]) -> ExitCode {
    let [discriminator, rounds] = words else {
        return ExitCode::FAILURE;
    };
    let discriminator = discriminator.parse().expect("a number");
    let rounds: u64 = rounds.parse().expect("a number");
    let socket = |from: &str| {
        let from: IpAddr = from.parse().expect("an address");
        UdpSocket::bind((from, 0)).expect("a socket")
    };
    let sockets = BTreeMap::from([C, STRANGER].map(|from| (from, socket(from))));
    let to = (A.parse::<Ipv4Addr>().expect("an address"), 3784);
    let send = |from: &str, ttl, bytes: &[u8]| {
        let socket = &sockets[from];
        socket.set_ttl(ttl).expect("a TTL");
        socket.send_to(bytes, to).expect("it leaves");
    };
    let all = all(discriminator);
    for _ in 0..rounds {
        for (_, from, ttl, bytes) in &all {
            send(from, *ttl, bytes);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    if rounds == 0 {
        send(C, 255, &right(discriminator).write());
    }
    ExitCode::SUCCESS
}

fn sent(lab: &Lab, discriminator: u32, rounds: u64) {
    let own = std::env::current_exe().expect("this program");
    let forger = Command::new("ip")
        .args(["netns", "exec", &lab.space("c")])
        .arg(own)
        .args(["forge-bfd", &discriminator.to_string(), &rounds.to_string()])
        .status();
    assert!(forger.is_ok_and(|status| status.success()));
}

fn wrong() {
    let lab = lab();
    lab.ip("c", &format!("addr add {STRANGER}/24 dev eth0"));
    let text = session("gw", C, A, "") + &router(100, "track_bfd {\n gw\n }");
    let mut a = start(&lab, "a", Kind::Ours, &text);
    let kind = match has_keepalived() {
        true => Kind::Keepalived,
        false => Kind::Ours,
    };
    let neighbor = session("node", A, C, "") + &instance("N", 60, 100, 199, "");
    let _c = start(&lab, "c", kind, &neighbor);
    wait("a is master", RISE + ELECTION, || lab.has("a"));
    let tap = Tap::start(&lab, "a", "eth0");
    let discriminator = tap.up(A, RISE).packet.my_discriminator;
    forget(&mut a);
    tap.forget();
    let began = Instant::now();
    sent(&lab, discriminator, ROUNDS);
    let mut wanted: BTreeMap<&str, u64> = BTreeMap::new();
    for (reason, ..) in all(discriminator) {
        *wanted.entry(reason).or_default() += ROUNDS;
    }
    // It answers none of them, and says what it said before.
    for reason in wanted.keys() {
        a.tell("show");
        let counted = format!("(\"{reason}\", {})", wanted[reason]);
        a.hears(&counted, SOON);
    }
    a.tell("show");
    a.hears("downs: 0", SOON);
    assert_eq!(a.count("gw: Up -> ") + a.count("R1: "), 0, "{}", a.text());
    let said = tap.of(A);
    assert!(
        said.iter()
            .all(|one| one.packet.state == SessionState::Up && !one.packet.is_final),
        "{said:?}"
    );
    // Each reason is told once in a while alone: they are sent for a fraction of that.
    let told = a.count("packet refused");
    assert!(told > 0 && told <= wanted.len(), "{told}: {}", a.text());
    assert!(began.elapsed() < Duration::from_secs(8), "{began:?}");
    // The forger is able: RFC 5880 without authentication cannot tell this one.
    sent(&lab, discriminator, 0);
    a.hears("gw: Up -> Down: 10.230.137.9 said Down (path down)", SOON);
}
