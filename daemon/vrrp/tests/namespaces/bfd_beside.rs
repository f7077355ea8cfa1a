//! What a BFD session says, field by field beside what keepalived says in the same situation: each tells its story to a
//! keepalived.

use std::time::Duration;

use tandem_vrrp::bfd::packet::{Diagnostic, SessionState};

use crate::bfd::{Kind, MARGIN, RISE, instance, lab, start};
use crate::bfd_wire::{Seen, Tap, forms, median_pause};
use crate::has_keepalived;
use crate::lab::{Lab, Node, stays};

/// Scenarios of this file.
pub(crate) const SCENARIOS: [(&str, fn()); 2] = [
    ("bfd_passive_is_silent_as_keepalived_is", passive),
    ("bfd_says_what_keepalived_says", said),
];

const A: &str = "10.230.137.1";
const C: &str = "10.230.137.9";
/// At most 70 ms between two packets of ours, as the neighbour asks, and at least three quarters of that.
const PAUSE: std::ops::Range<Duration> = Duration::from_micros(52_500)..Duration::from_millis(90);
/// Twenty times our 90 ms.
const DETECTION: Duration = Duration::from_millis(1_800);
/// For a session that waits for an idle interval to pass.
const IDLE: Duration = Duration::from_secs(6);

/// What was said in each situation.
struct Story {
    alone: Vec<Seen>,
    /// By the neighbour, while both were Up.
    neighbor: Vec<String>,
    up: Vec<Seen>,
    /// From the neighbour's last packet to the first that says Down.
    detection: Duration,
    lost: Seen,
    risen: Vec<Seen>,
    /// Of a neighbour that begins anew before it is missed.
    restarted: Vec<Seen>,
    stopped: Vec<Seen>,
    /// By the neighbour at the end.
    bereaved: Diagnostic,
}

fn said() {
    if !has_keepalived() {
        return;
    }
    let (ours, theirs) = std::thread::scope(|scope| {
        let theirs = scope.spawn(|| tell(Kind::Keepalived));
        (tell(Kind::Ours), theirs.join().expect("no panic"))
    });
    assert_eq!(forms(&ours.alone), forms(&theirs.alone));
    assert_eq!(
        forms(&ours.alone),
        ["Down diag 0 [] x12 unknown tx 1500000 rx 90000 echo 0 of 24 bytes, ttl 255, to 3784"]
    );
    assert_eq!(forms(&ours.up), forms(&theirs.up));
    assert_eq!(
        forms(&ours.up),
        ["Up diag 0 [] x12 known tx 40000 rx 90000 echo 0 of 24 bytes, ttl 255, to 3784"]
    );
    assert_eq!(ours.neighbor, theirs.neighbor);
    assert_eq!(ours.lost.form(), theirs.lost.form());
    assert_eq!(
        ours.lost.form(),
        "Down diag 1 [] x12 unknown tx 1500000 rx 90000 echo 0 of 24 bytes, ttl 255, to 3784"
    );
    let down = "Down diag 3 [] x12 known tx 1500000 rx 90000 echo 0 of 24 bytes, ttl 255, to 3784";
    for (story, kind) in [(&ours, Kind::Ours), (&theirs, Kind::Keepalived)] {
        let pause = median_pause(&story.up);
        assert!(PAUSE.contains(&pause), "{kind:?}: {pause:?}");
        println!(
            "  {kind:?}: a pause of {pause:?}, {:?} until Down",
            story.detection
        );
        assert!(story.detection >= DETECTION, "{:?}", story.detection);
        assert!(
            story.detection < DETECTION + MARGIN,
            "{:?}",
            story.detection
        );
        // RFC 5880 section 6.5: each poll is answered. Both ask when they come up.
        for is_it in [
            |one: &Seen| one.packet.is_final,
            |one: &Seen| one.packet.poll,
        ] {
            let all = story.risen.iter().chain(&story.restarted);
            assert!(all.clone().any(is_it), "{kind:?}: {:?}", story.risen);
        }
        // Its restart is noticed: Down, because it says so, to its new discriminator.
        let plain = |one: &Seen| {
            let mut one = one.clone();
            (one.packet.poll, one.packet.is_final) = (false, false);
            one.form()
        };
        let restarted: Vec<_> = story.restarted.iter().map(plain).collect();
        assert!(restarted.iter().any(|form| form == down), "{restarted:?}");
        let ends = |seen: &[Seen]| seen.last().expect("some").packet.your_discriminator;
        assert_ne!(ends(&story.risen), ends(&story.restarted), "{kind:?}");
        assert!(story.up.iter().all(|one| one.ports[0] >= 49152), "{kind:?}");
    }
    // The one number is kept: RFC 5880 section 6.3 allows both.
    let numbers = |seen: &[Seen]| seen.first().map(|one| one.packet.my_discriminator);
    assert_eq!(numbers(&ours.alone), numbers(&ours.restarted));
    assert!(ours.alone.iter().all(|one| one.tos == 0xc0));
    // keepalived falls silent, and is missed by its timer; ours says why.
    assert_eq!(theirs.stopped.len(), 0);
    assert_eq!(theirs.bereaved, Diagnostic::DetectionTimeExpired);
    assert_eq!(
        forms(&ours.stopped),
        ["AdminDown diag 7 [] x12 known tx 1500000 rx 90000 echo 0 of 24 bytes, ttl 255, to 3784"]
    );
    assert_eq!(ours.bereaved, Diagnostic::NeighborSignaledDown);
}

fn neighbor(lab: &Lab) -> Node {
    let text = format!(
        "bfd_instance node {{\n neighbor_ip {A}\n source_ip {C}\n min_rx 70\n min_tx 50\n multiplier 20\n}}\n"
    ) + &instance("N", 60, 100, 199, "");
    start(lab, "c", Kind::Keepalived, &text)
}

/// Different numbers on both sides.
fn node(more: &str) -> String {
    format!(
        "bfd_instance gw {{\n neighbor_ip {C}\n source_ip {A}\n min_rx 90\n min_tx 40\n idle_tx 1500\n multiplier 12\n {more}\n}}\n"
    ) + &instance("R1", 50, 100, 100, "track_bfd {\n gw\n }")
}

fn is_down(one: &Seen) -> bool {
    one.packet.state == SessionState::Down
}

fn tell(kind: Kind) -> Story {
    let lab = lab();
    let tap = Tap::start(&lab, "c", "eth0");
    let a = start(&lab, "a", kind, &node(""));
    let three = |tap: &Tap| tap.of(A).len() >= 3;
    crate::lab::wait("three packets alone", IDLE + RISE, || three(&tap));
    let alone = tap.of(A);
    tap.forget();
    let mut c = neighbor(&lab);
    tap.up(A, RISE);
    tap.up(C, RISE);
    // Polls that are under way end.
    std::thread::sleep(Duration::from_millis(500));
    let risen = tap.of(A);
    tap.forget();
    std::thread::sleep(Duration::from_secs(1));
    let up = tap.of(A);
    let said = forms(&tap.of(C));
    c.signal("KILL");
    let lost = tap.awaits("the loss is told", A, DETECTION + MARGIN, is_down);
    let last = tap.of(C).last().expect("it spoke").at;
    let detection = lost.at.saturating_sub(last);
    tap.forget();
    let mut c = neighbor(&lab);
    tap.up(A, RISE);
    tap.up(C, RISE);
    std::thread::sleep(Duration::from_millis(500));
    let risen = [risen, tap.of(A)].concat();
    c.signal("KILL");
    tap.forget();
    let _c = neighbor(&lab);
    tap.awaits("the restart is noticed", A, RISE, is_down);
    let anew = tap.awaits("the new one speaks", C, RISE, is_down);
    let number = anew.packet.my_discriminator;
    tap.awaits("it is Up with the new one", A, RISE, |one| {
        one.packet.state == SessionState::Up && one.packet.your_discriminator == number
    });
    tap.awaits("so is the new one", C, RISE, |one| {
        one.packet.state == SessionState::Up && !one.packet.poll
    });
    let restarted = tap.of(A);
    tap.forget();
    assert_eq!(a.stop(), Some(0));
    let bereaved = tap.awaits("the neighbor says Down", C, DETECTION + MARGIN, is_down);
    let mut stopped = tap.of(A);
    // What was on its way.
    stopped.retain(|one| one.packet.state != SessionState::Up);
    Story {
        alone,
        neighbor: said,
        up,
        detection,
        lost,
        risen,
        restarted,
        stopped,
        bereaved: bereaved.packet.diagnostic,
    }
}

/// RFC 5880 section 6.1: the passive one waits to be spoken to.
fn passive() {
    if !has_keepalived() {
        return;
    }
    let check = |kind| {
        let lab = lab();
        let tap = Tap::start(&lab, "c", "eth0");
        let _a = start(&lab, "a", kind, &node("passive"));
        stays("it is silent", Duration::from_secs(4), || {
            tap.of(A).is_empty()
        });
        let _c = neighbor(&lab);
        tap.up(A, RISE);
        let seen = tap.seen();
        assert_eq!(seen[0].source.to_string(), C, "{kind:?}");
    };
    std::thread::scope(|scope| {
        scope.spawn(|| check(Kind::Keepalived));
        check(Kind::Ours);
    });
}
