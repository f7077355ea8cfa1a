//! Who is told: commands, lines of FIFOs, order and numbers; beside keepalived where it says the same.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::lab::{Lab, Node, run, wait};
use crate::{ELECTION, MASTER_DOWN, SOON, has_keepalived};

/// The scenarios of this file.
pub(crate) const SCENARIOS: [(&str, fn()); 2] = [
    (
        "a_notification_that_hangs_holds_up_its_own_instance_alone",
        hangs,
    ),
    ("commands_and_lines_are_those_of_keepalived", beside),
];

/// Writes a program that notes its arguments; `more` runs before.
fn noting(lab: &Lab, notes: &Path, more: &str) -> PathBuf {
    let program = lab.folder.join("note.sh");
    let text = format!("#!/bin/sh\n{more}\necho \"$*\" >> {}\n", notes.display());
    std::fs::write(&program, text).expect("a file");
    run(&format!("chmod 755 {}", program.display()));
    program
}

fn configuration(lab: &Lab, note: &Path, vrid: u8) -> PathBuf {
    let (note, folder) = (note.display(), lab.folder.display());
    let file = lab.folder.join(format!("notify-{vrid}.conf"));
    let text = format!(
        "global_defs {{\n script_user root\n vrrp_notify_fifo {folder}/fifo-{vrid}\n}}\n\
         vrrp_instance VI_1 {{\n interface eth0\n virtual_router_id {vrid}\n priority 100\n advert_int 1\n\
          virtual_ipaddress {{ 10.230.137.1{vrid} }}\n\
          notify_master \"{note} own-master 'two words'\" root\n notify_backup \"{note} own-backup\" root root\n\
          notify_fault \"{note} own-fault\"\n notify_stop \"{note} own-stop\"\n notify \"{note} any\"\n}}\n\
         vrrp_instance VI_2 {{\n interface eth0\n virtual_router_id {}\n priority 120\n advert_int 1\n\
          virtual_ipaddress {{ 10.230.137.2{vrid} }}\n\
          notify \"{note} any\"\n notify_fault \"{note} own-fault\"\n notify_deleted \"{note} own-deleted\"\n}}\n\
         vrrp_instance VI_3 {{\n interface eth0\n virtual_router_id {}\n priority 90\n advert_int 1\n\
          virtual_ipaddress {{ 10.230.137.3{vrid} }}\n\
          notify \"{note} any\"\n notify_fault \"{note} own-fault\"\n}}\n",
        vrid + 1,
        vrid + 2
    );
    std::fs::write(&file, text).expect("a file");
    file
}

/// Takes the second and third instance out of the file.
fn shorten(file: &Path) {
    let text = std::fs::read_to_string(file).expect("it is there");
    let first = text
        .split("vrrp_instance VI_2")
        .next()
        .expect("a first part");
    std::fs::write(file, first).expect("a file");
}

/// What was noted about one instance, in order; commands of different instances may overlap.
fn about(lines: &[String], instance: &str) -> Vec<String> {
    let wanted = |line: &&String| line.contains(instance);
    lines.iter().filter(wanted).cloned().collect()
}

fn lines_of(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn cut_and_mend(lab: &Lab, name: &str, is_fault: impl Fn() -> bool, is_master: impl Fn() -> bool) {
    lab.ip("sw", &format!("link set v{name} down"));
    wait("FAULT is told", MASTER_DOWN, is_fault);
    lab.ip("sw", &format!("link set v{name} up"));
    wait("MASTER is told again", ELECTION, is_master);
}

/// The lines of ours, and of keepalived's FIFO, through the same changes; then the same of the commands.
fn beside() {
    if !has_keepalived() {
        return;
    }
    let lab = Lab::new();
    // Ours on node a.
    let notes = lab.folder.join("notes-a");
    let note = noting(&lab, &notes, "");
    let file = configuration(&lab, &note, 10);
    let mut ours = lab.ours("a", &format!("file={}", file.display()));
    let count = |text: &str| ours.count(&format!("LINE {text}"));
    wait("ours is master", ELECTION, || {
        count("INSTANCE \"VI_3\" MASTER 90") == 1
    });
    cut_and_mend(
        &lab,
        "a",
        || count("INSTANCE \"VI_1\" FAULT 100") == 1 && count("INSTANCE \"VI_3\" FAULT 90") == 1,
        || count("INSTANCE \"VI_3\" MASTER 90") == 2 && count("INSTANCE \"VI_1\" MASTER 100") == 2,
    );
    shorten(&file);
    ours.tell("set");
    ours.hears("LINE INSTANCE \"VI_3\" FAULT 90", SOON);
    ours.hears("LINE INSTANCE \"VI_2\" DELETED 120", SOON);
    ours.signal("TERM");
    ours.hears("LINE INSTANCE \"VI_1\" STOP 100", SOON);
    let our_lines: Vec<String> = ours.said("LINE ");
    assert_eq!(ours.end(), Some(0));
    let our_notes = lines_of(&notes);
    // keepalived on node b.
    let notes = lab.folder.join("notes-b");
    let note = noting(&lab, &notes, "");
    let file = configuration(&lab, &note, 20);
    let fifo = lab.folder.join("fifo-20");
    let mut theirs = lab.keepalived_with("b", &file);
    wait("its FIFO is there", SOON, || fifo.exists());
    // It makes the FIFO anew at a reload, and removes it at its end.
    let mut reader = std::process::Command::new("sh");
    let line = format!(
        "while [ -p {0} ] || [ -d {1} ]; do cat {0}; sleep 0.01; done",
        fifo.display(),
        lab.folder.display()
    );
    reader.args(["-c", &line]);
    let reader = Node::start(reader);
    wait("keepalived is master", ELECTION, || {
        reader.count("\"VI_3\" MASTER 90") == 1
    });
    cut_and_mend(
        &lab,
        "b",
        || reader.count("\"VI_1\" FAULT 100") == 1 && reader.count("\"VI_3\" FAULT 90") == 1,
        || reader.count("\"VI_3\" MASTER 90") == 2 && reader.count("\"VI_1\" MASTER 100") == 2,
    );
    shorten(&file);
    theirs.signal("HUP");
    reader.hears("INSTANCE \"VI_2\" DELETED 120", ELECTION);
    wait("the last one is told", SOON, || {
        lines_of(&notes)
            .iter()
            .any(|line| line.contains("VI_3 FAULT") && reader.count("\"VI_3\" FAULT 90") == 2)
    });
    theirs.signal("TERM");
    wait("STOP is told", ELECTION, || {
        let lines = lines_of(&notes);
        let told = |text: &str| lines.iter().any(|line| line.contains(text));
        told("own-stop") && told("VI_1 STOP")
    });
    wait("STOP is written", SOON, || reader.count("STOP") == 1);
    let their_lines = reader.said("");
    drop(theirs);
    for instance in ["VI_1", "VI_2", "VI_3"] {
        assert_eq!(
            about(&our_lines, instance),
            about(&their_lines, instance),
            "lines of {instance}"
        );
    }
    // Its order of the two commands of one change is not fixed, so they are compared as sets; ours is the manual's.
    let mut sorted = [our_notes.clone(), lines_of(&notes)];
    sorted.iter_mut().for_each(|notes| notes.sort());
    assert_eq!(sorted[0], sorted[1], "arguments of the commands");
    let own: Vec<String> = about(&our_notes, "VI_1")
        .iter()
        .map(|line| line.split(' ').nth(3).unwrap_or_default().to_lowercase())
        .collect();
    let of_first: Vec<&String> = our_notes
        .iter()
        .filter(|line| {
            line.contains("VI_1") || line.contains("own-master") || line.contains("own-stop")
        })
        .collect();
    assert_eq!(
        own,
        ["backup", "master", "fault", "backup", "master", "stop"]
    );
    let place = |text: &str| of_first.iter().position(|line| line.contains(text));
    assert!(
        place("own-master") < place("any INSTANCE VI_1 MASTER"),
        "{of_first:?}"
    );
    assert!(
        place("own-stop") < place("any INSTANCE VI_1 STOP"),
        "{of_first:?}"
    );
}

/// The first command of an instance waits for a file; its next ones wait, those of the other do not.
fn hangs() {
    let lab = Lab::new();
    let (notes, gate) = (lab.folder.join("notes"), lab.folder.join("gate"));
    let more = format!(
        "echo \"number $TANDEM_NOTIFY_NUMBER $*: $TANDEM_NOTIFY_REASON\" >> {}\n\
         case \"$*\" in *VI_1*) while [ ! -e {} ]; do sleep 0.02; done;; esac",
        notes.display(),
        gate.display()
    );
    let note = noting(&lab, &notes, &more);
    let file = configuration(&lab, &note, 10);
    let text = std::fs::read_to_string(&file).expect("it is there");
    let text: Vec<&str> = text
        .lines()
        .filter(|line| !line.contains(" own-"))
        .collect();
    std::fs::write(&file, text.join("\n")).expect("a file");
    let a = lab.ours("a", &format!("file={}", file.display()));
    wait("the others are told of MASTER", ELECTION, || {
        let lines = lines_of(&notes);
        lines.contains(&"any INSTANCE VI_2 MASTER 120".to_owned())
            && lines.contains(&"any INSTANCE VI_3 MASTER 90".to_owned())
    });
    a.hears("LINE INSTANCE \"VI_1\" MASTER 100", SOON);
    let lines = lines_of(&notes);
    assert!(
        !lines.iter().any(|line| line.contains("VI_1 MASTER")),
        "the second waits for the first: {lines:?}"
    );
    std::fs::write(&gate, "").expect("a file");
    wait("its own follow", Duration::from_secs(5), || {
        lines_of(&notes).contains(&"any INSTANCE VI_1 MASTER 100".to_owned())
    });
    let mut numbers: Vec<u32> = lines_of(&notes)
        .iter()
        .filter_map(|line| {
            line.strip_prefix("number ")?
                .split(' ')
                .next()?
                .parse()
                .ok()
        })
        .collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6], "each change has its number");
    assert!(
        lines_of(&notes)
            .iter()
            .any(|line| line.contains("VI_2 MASTER 120: no advertisement from anybody for")),
        "the reason is told"
    );
    assert_eq!(a.stop(), Some(0));
}
