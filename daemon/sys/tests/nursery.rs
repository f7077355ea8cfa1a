//! The nursery in a process of its own: its children are clean, are the caller's, and get what was ordered.
//! Without the usual harness, whose threads forbid a nursery.

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;
use tandem_sys::nursery::{self, Nursery, Side};

fn main() {
    let held = std::fs::File::open("/dev/null").expect("a descriptor that no child may have");
    match nursery::open(false).expect("one thread") {
        Side::Caller(nursery) => caller(nursery),
        Side::Child { role, birth } => child(&role, birth),
    }
    drop(held);
}

/// Tells what it is, and ends.
fn child(role: &str, birth: OwnedFd) {
    let mut birth = UnixStream::from(birth);
    let open = std::fs::read_dir("/proc/self/fd").expect("descriptors");
    // The listing itself has one.
    let open = open.count() - 1;
    let title = std::fs::read("/proc/self/cmdline").expect("a command line");
    let title = String::from_utf8_lossy(&title).replace('\0', " ");
    let variable = std::env::var("TANDEM_TEST").unwrap_or_default();
    let group = nix::unistd::getpgrp() == nix::unistd::getpid();
    let limit = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE);
    let mask = nix::sys::stat::umask(nix::sys::stat::Mode::empty()).bits();
    let seed = std::collections::hash_map::RandomState::new();
    let drawn = std::hash::BuildHasher::hash_one(&seed, 1);
    let told = format!(
        "{role}|{}|{open}|{variable}|{group}|{}|{mask:o}|{drawn}",
        title.trim(),
        limit.expect("a limit").0
    );
    birth.write_all(told.as_bytes()).expect("the caller reads");
    std::process::exit(7);
}

fn order(nursery: &Nursery, role: &str) -> Vec<String> {
    let (mut ours, theirs) = UnixStream::pair().expect("a pair");
    let environment = [("TANDEM_TEST".to_owned(), "it is set".to_owned())];
    let theirs = OwnedFd::from(theirs);
    let pid = nursery
        .start(role, &format!("test: {role}"), &environment, &theirs)
        .expect("a child");
    drop(theirs);
    let mut told = String::new();
    ours.read_to_string(&mut told).expect("it tells");
    let pid = Pid::from_raw(i32::try_from(pid).expect("a process id"));
    let end = waitpid(pid, None).expect("it is our child");
    assert_eq!(end, WaitStatus::Exited(pid, 7));
    told.split('|').map(str::to_owned).collect()
}

fn caller(nursery: Nursery) {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let told = order(&nursery, "first");
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
    let mask = nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o27));
    let known = format!("{:o}", mask.bits());
    let wanted = ["first", "test: first", "4", "it is set", "true"];
    assert_eq!(told[..5], wanted);
    assert_eq!(told[5..7], [soft.to_string(), known]);

    // What the caller changes counts for those that come after; two draw different random numbers.
    setrlimit(Resource::RLIMIT_NOFILE, soft - 1, hard).expect("a lower limit");
    let again = order(&nursery, "second");
    assert_eq!(again[..2], ["second", "test: second"]);
    assert_eq!(again[5..7], [(soft - 1).to_string(), "27".to_owned()]);
    assert_ne!(told[7], again[7]);

    // It ends with its last door, or at once; nobody is started then.
    let pid = Pid::from_raw(i32::try_from(nursery.pid()).expect("a process id"));
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).expect("it runs");
    waitpid(pid, None).expect("it is our child");
    let (_ours, theirs) = UnixStream::pair().expect("a pair");
    let refused = nursery.start("third", "test: third", &[], &OwnedFd::from(theirs));
    assert!(refused.is_err(), "{refused:?}");
    drop(nursery);
    match nursery::open(true).expect("one thread") {
        Side::Caller(nursery) => {
            let pid = Pid::from_raw(i32::try_from(nursery.pid()).expect("a process id"));
            drop(nursery);
            assert_eq!(
                waitpid(pid, None).expect("it ends"),
                WaitStatus::Exited(pid, 0)
            );
        }
        Side::Child { role, .. } => panic!("nobody ordered {role}"),
    }
    println!("nursery: ok");
}
