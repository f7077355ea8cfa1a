//! What a client that asks every 5 ms misses while an operator moves the addresses.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::lab::{Lab, VIP, stays, wait};
use crate::{A, B, ELECTION, MASTER_DOWN, SOON};

/// Questions of a client, until it has asked so many.
const QUESTIONS: u32 = 500;
/// What a client may miss here, where the machine is busy with other tests; on a quiet one it is none.
const MOST_MISSED: u32 = 10;

/// A client that asks the virtual address every 5 ms.
struct Asking(Child);

impl Asking {
    fn start(lab: &Lab) -> Self {
        let child = Command::new("ip")
            .args([
                "netns",
                "exec",
                &lab.space("c"),
                "ping",
                "-n",
                "-i",
                "0.005",
                "-W",
                "1",
            ])
            .args(["-c", &QUESTIONS.to_string(), VIP])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("ping");
        Self(child)
    }

    /// Waits for its end; how many answers were missing.
    fn missed(self) -> u32 {
        let output = self.0.wait_with_output().expect("its output");
        let text = String::from_utf8_lossy(&output.stdout);
        let figure = |before: &str| -> u32 {
            let at = text.find(before).expect(&text);
            let start = text[..at]
                .trim_end()
                .rfind([' ', '\n'])
                .map_or(0, |start| start + 1);
            text[start..at].trim().parse().expect(&text)
        };
        figure(" packets transmitted") - figure(" received")
    }
}

fn check(lab: &Lab, what: &str, change: impl FnOnce()) {
    let asking = Asking::start(lab);
    // Some questions of before.
    wait("the client has an answer", SOON, || {
        lab.client_goes_to("a") || lab.client_goes_to("b")
    });
    std::thread::sleep(Duration::from_millis(200));
    change();
    let missed = asking.missed();
    println!("  {what}: {missed} of {QUESTIONS} answers missing");
    assert!(missed <= MOST_MISSED, "{what}: {missed} answers missing");
}

/// A failover to one of ours and back.
pub(crate) fn between_ours() {
    let lab = Lab::new();
    let (mut a, _b) = (lab.ours("a", A), lab.ours("b", B));
    wait("a is master", ELECTION, || lab.has("a") && !lab.has("b"));
    check(&lab, "failover to one of ours", || {
        a.tell("failover");
        a.hears("DONE Ok(\"R1: 10.230.137.2 (priority 99) took over", SOON);
    });
    wait("b is master alone", SOON, || lab.has("b") && !lab.has("a"));
    wait("the client knows", SOON, || lab.client_goes_to("b"));
    check(&lab, "failback", || {
        a.tell("failback");
        a.hears("DONE Ok(\"R1: taken from 10.230.137.2", SOON);
    });
    wait("a is master alone", SOON, || lab.has("a") && !lab.has("b"));
}

/// A failover to keepalived.
pub(crate) fn to_keepalived() {
    let lab = Lab::new();
    let mut a = lab.ours("a", A);
    let _b = lab.keepalived("b", "BACKUP", 99, "");
    wait("a is master", ELECTION, || lab.has("a") && !lab.has("b"));
    check(&lab, "failover to keepalived", || {
        a.tell("failover");
        a.hears("DONE Ok(\"R1: 10.230.137.2 (priority 99) took over", SOON);
    });
    wait("keepalived is master alone", SOON, || {
        lab.has("b") && !lab.has("a")
    });
}

pub(crate) fn told() {
    let lab = Lab::new();
    let (mut a, mut b) = (lab.ours("a", A), lab.ours("b", B));
    wait("a is master", ELECTION, || lab.has("a") && !lab.has("b"));
    b.tell("failover");
    b.hears("DONE Err(Unsafe(\"R1: this node is not master", SOON);
    a.tell("failover");
    let took = a.hears("DONE Ok(\"R1: 10.230.137.2 (priority 99) took over", SOON);
    println!("  failover: {took:?}");
    stays("the addresses are with b", MASTER_DOWN * 2, || {
        lab.has("b") && !lab.has("a")
    });
    a.forget();
    a.tell("failback");
    a.hears("DONE Ok(\"R1: taken from 10.230.137.2", SOON);
    wait("a is master again", SOON, || lab.has("a") && !lab.has("b"));
}

pub(crate) fn alone() {
    let lab = Lab::new();
    let mut a = lab.ours("a", A);
    wait("a is master", ELECTION, || lab.has("a"));
    a.forget();
    a.tell("failover");
    wait(
        "the outcome, and the address never leaves",
        MASTER_DOWN,
        || {
            assert!(lab.has("a"));
            a.count("DONE Err(Unsafe(\"R1: nobody took over") > 0
        },
    );
    assert_eq!(a.count("MASTER -> "), 0, "it is master all the time");
}
