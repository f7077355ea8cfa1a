//! Which processes a `vrrp_track_process` means, and how many make an instance well or a fault: keepalived.conf(5)'s words that
//! say it plainly. What `full_command` and `param_match` without parameters mean is not told here.

use std::time::{Duration, Instant};

use tandem_tests::process::Process;
use tandem_tests::wait::wait_for;
use tandem_tests::{Lab, Node, NodeFiles, NodeKind, Outcome, ensure, require};

const LIMIT: Duration = Duration::from_secs(10);
const WATCH: Duration = Duration::from_millis(500);
const FOLDER: &str = "/etc/keepalived";
/// At most 15 bytes: the kernel cuts the rest of a name.
const PROGRAM: &str = "tndm-counted";
/// With which words the program, called by its name, runs at each step.
const STEPS: [&[&str]; 5] = [
    &[],
    &["600"],
    &["600", "600"],
    &["600", "600", "600 1"],
    &["600 1"],
];
/// A block's lines, and whether an instance that tracks it is well at each step. Without a weight a wrong number is a fault.
const CASES: [(&str, &str); 11] = [
    ("process $NAME", "-++++"),
    ("process $NAME 600", "-+++-"),
    ("process $PATH", "-----"),
    ("process $NAME 600\nparam_match partial", "-++++"),
    ("process $NAME 60\nparam_match partial", "-----"),
    ("process $NAME 600 1", "---++"),
    ("process $NAME 600 1\nfull_command", "---++"),
    ("process $NAME\nquorum 2", "--++-"),
    ("process $NAME\nquorum_max 1", "-+--+"),
    ("process $NAME\nquorum_max 0", "+----"),
    ("process $NAME\nquorum 2\nquorum_max 2", "--+--"),
];

/// A block and an instance with an address of its own for each case, and one that has patience.
fn configuration() -> String {
    let path = format!("{FOLDER}/{PROGRAM}");
    let patient = "process $NAME\nterminate_delay 2";
    let all = CASES.iter().map(|(lines, _)| *lines).chain([patient]);
    let mut text = String::new();
    for (number, lines) in all.enumerate() {
        let lines = lines.replace("$PATH", &path).replace("$NAME", PROGRAM);
        let last = number + 1;
        text += &format!(
            "vrrp_track_process p{number} {{\n{lines}\n}}\n\
             vrrp_instance R{number} {{\nversion 3\ninterface eth0\nvirtual_router_id {last}\nadvert_int 0.1\n\
             virtual_ipaddress {{\n10.230.140.{last}\n}}\ntrack_process {{\np{number}\n}}\n}}\n"
        );
    }
    text
}

#[test]
fn processes_are_counted_as_the_manual_says() -> Outcome {
    require!("root", "users", "tandemd");
    let lab = Lab::start()?;
    let host = lab.host("a");
    host.exec("mkdir", &["-p", FOLDER])?;
    host.exec("cp", &["/bin/sleep", &format!("{FOLDER}/{PROGRAM}")])?;
    let files = NodeFiles {
        keepalived: Some(configuration()),
        ..NodeFiles::default()
    };
    let _node = Node::start(&lab, "a", NodeKind::Tandem, files)?;
    let seen = || -> Outcome<String> {
        let found = host.addresses()?;
        let is_there = |number: usize| {
            let address = format!("10.230.140.{}", number + 1);
            found.iter().any(|one| one.to_string() == address)
        };
        let sign = |number| if is_there(number) { '+' } else { '-' };
        Ok((0..CASES.len() + 1).map(sign).collect())
    };
    for (step, running) in STEPS.iter().enumerate() {
        let run = |words: &&str| {
            let line = format!("PATH={FOLDER}:$PATH; exec {PROGRAM} {words}");
            host.spawn("sh", &["-c", &line])
        };
        let processes = running.iter().map(run).collect::<Outcome<Vec<Process>>>()?;
        let mut expected: String = CASES
            .iter()
            .filter_map(|(_, steps)| steps.chars().nth(step))
            .collect();
        expected.push(if running.is_empty() { '-' } else { '+' });
        wait_for(&format!("{expected} at step {step}"), LIMIT, || {
            let found = seen().map_err(|error| error.to_string())?;
            match found == expected {
                true => Ok(()),
                false => Err(found),
            }
        })?;
        let began = Instant::now();
        while began.elapsed() < WATCH {
            let found = seen()?;
            ensure!(found == expected, "step {step}: {found}, not {expected}");
            std::thread::sleep(Duration::from_millis(10));
        }
        if step != 1 {
            continue;
        }
        // With a delay an end counts later.
        drop(processes);
        let ended = Instant::now();
        wait_for("one without a delay to lose its address", LIMIT, || {
            let found = seen().map_err(|error| error.to_string())?;
            found.starts_with('-').then_some(()).ok_or(found)
        })?;
        wait_for("one with a delay to lose its address", LIMIT, || {
            let found = seen().map_err(|error| error.to_string())?;
            found.ends_with('-').then_some(()).ok_or(found)
        })?;
        let waited = ended.elapsed();
        ensure!(
            waited >= Duration::from_millis(1_900),
            "terminate_delay 2 waited {waited:?}"
        );
    }
    Ok(())
}
