//! `tandem-hold`: the first process of a lab's host (process 1 of its process namespace).
//!
//! It runs the set-up script it is given, says `ready`, reaps whatever is left to it, and ends when its standard input does:
//! that is, when the program that made the lab is gone, however it went. The kernel then ends everything else in the
//! namespace. `tandem-hold SCRIPT [FOLDER]`: FOLDER is removed at the end.

use std::io::{Read, Write};
use std::process::{Command, ExitCode};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::wait::waitpid;

/// How long to rest when there is no child to wait for.
const REST: Duration = Duration::from_millis(20);

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let Some(script) = arguments.next() else {
        eprintln!("tandem-hold: wanted a set-up script as first argument");
        return ExitCode::from(2);
    };
    let folder = arguments.next();
    match Command::new("sh").arg("-e").arg("-c").arg(&script).status() {
        Ok(status) if status.success() => {}
        Ok(status) => {
            eprintln!("tandem-hold: the set-up ended with {status}");
            return ExitCode::FAILURE;
        }
        Err(error) => {
            eprintln!("tandem-hold: sh: {error}");
            return ExitCode::FAILURE;
        }
    }
    // Orphans come to process 1; without a reaper a dead daemon would go on answering `killall -0`.
    std::thread::spawn(|| {
        loop {
            if let Err(Errno::ECHILD) = waitpid(None, None) {
                std::thread::sleep(REST);
            }
        }
    });
    println!("ready");
    let _ = std::io::stdout().flush();
    let mut lifeline = std::io::stdin().lock();
    let mut byte = [0_u8; 64];
    while matches!(lifeline.read(&mut byte), Ok(count) if count > 0) {}
    if let Some(folder) = folder {
        let _ = std::fs::remove_dir_all(folder);
    }
    ExitCode::SUCCESS
}
