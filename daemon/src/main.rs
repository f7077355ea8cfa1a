//! `tandemd`: HAProxy's and keepalived's work in one daemon.
//!
//! Started by a person or systemd it is the supervisor; it starts itself again with `--role=` as the other
//! processes.

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<std::ffi::OsString> = std::env::args_os().skip(1).collect();
    if let Some(role) = arguments
        .first()
        .and_then(|first| first.to_str())
        .and_then(|first| first.strip_prefix("--role="))
    {
        return tandem_daemon::roles::run(role);
    }
    tandem_daemon::start::run(arguments)
}
