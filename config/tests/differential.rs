//! HAProxy and we accept and refuse the same texts, and warn of the same ones.
//!
//! Skipped where HAProxy is not installed. Texts that we refuse with "not supported yet" are not here.

use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use tandem_config::{Input, load};

const TIMEOUTS: &str = " timeout client 1s\n timeout server 1s\n timeout connect 1s\n";
const LISTEN: &str = "listen l\n bind :80\n mode http\n";

fn text_of(case: &str) -> String {
    let (frame, body) = case.split_once(": ").expect("a frame and a text");
    let body = unescaped(body);
    match frame {
        "global" => format!("global\n{body}{LISTEN}{TIMEOUTS}"),
        "http" => format!("defaults\n{TIMEOUTS} mode http\n{body}"),
        "http frontend" => format!("defaults\n{TIMEOUTS} mode http\nfrontend f\n bind :80\n{body}"),
        "http listen" => format!("defaults\n{TIMEOUTS} mode http\nlisten l\n bind :80\n{body}"),
        "tcp" => format!("defaults\n{TIMEOUTS}{body}"),
        "tcp listen" => format!("defaults\n{TIMEOUTS}listen l\n bind :80\n{body}"),
        _ => body,
    }
}

fn unescaped(text: &str) -> String {
    let mut out = String::new();
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        out.push(match character {
            '\\' => match characters.next() {
                Some('n') => '\n',
                Some('r') => '\r',
                Some('t') => '\t',
                other => other.unwrap_or('\\'),
            },
            plain => plain,
        });
    }
    out
}

/// HAProxy is started for each case: a quarter of them is run, and all of them where this variable is set.
const RUN_ALL: &str = "TANDEM_DIFFERENTIAL_ALL";

#[test]
fn haproxy_and_we_accept_refuse_and_warn_alike() {
    if Command::new("haproxy").arg("-v").output().is_err() {
        eprintln!("skipped: haproxy is not installed");
        return;
    }
    let every = if std::env::var_os(RUN_ALL).is_some() {
        1
    } else {
        4
    };
    let lines = include_str!("differential.txt").lines();
    let cases: Vec<&str> = lines
        .filter(|line| !line.starts_with('#'))
        .step_by(every)
        .collect();
    let folder = tempfile::tempdir().expect("a folder");
    let (next, failures) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(case) = cases.get(index) else { break };
                    let path = folder.path().join(format!("{index}.cfg"));
                    let text = text_of(case);
                    std::fs::write(&path, &text).expect("written");
                    let theirs = Command::new("haproxy")
                        .arg("-c")
                        .arg("-f")
                        .arg(&path)
                        .output()
                        .expect("haproxy runs");
                    // 2 says that there is nothing to listen on.
                    let accepted = matches!(theirs.status.code(), Some(0 | 2));
                    let warned = String::from_utf8_lossy(&theirs.stderr).contains("[WARNING]");
                    let ours = load(&[Input::text("t.cfg", &text)], &|name| {
                        std::env::var(name).ok()
                    });
                    let agree = ours.diagnostics.has_errors() != accepted
                        && (!accepted || ours.diagnostics.has_warnings() == warned);
                    if !agree {
                        let theirs = String::from_utf8_lossy(&theirs.stderr).into_owned();
                        let ours = ours.diagnostics.render(&ours.sources);
                        failures
                            .lock()
                            .expect("no thread died")
                            .push(format!("{text}\n{theirs}\n{ours}"));
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().expect("no thread died");
    assert!(
        failures.is_empty(),
        "{} of {} differ:\n{}",
        failures.len(),
        cases.len(),
        failures.join("\n====\n")
    );
}
