//! From the command line to a running supervisor: checks, conditions, versions, the background.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, ExitCode, Stdio};

use sys::nursery::{Nursery, Side};

use crate::arguments::{self, Arguments};
use crate::configuration::{self, Configuration};
use crate::logging::{self, LogTarget};
use crate::{handover, proofs, roles, supervisor, version};

/// Descriptors that a daemon with thousands of connections wants.
const WANTED_DESCRIPTORS: u64 = 1 << 20;

/// What a child of the nursery is to be.
struct Ordered {
    role: String,
    birth: OwnedFd,
}

/// Runs the program with the words after its name.
pub fn run(words: Vec<OsString>) -> ExitCode {
    // A child begins here, with the stack as empty as it can be.
    begin(words).unwrap_or_else(|child| roles::run_with(&child.role, child.birth))
}

#[inline(never)]
fn begin(words: Vec<OsString>) -> Result<ExitCode, Ordered> {
    let arguments = match arguments::parse(words.iter().cloned()) {
        Ok(arguments) => arguments,
        Err(reason) => {
            return Ok(refuse(&format!("{reason}; --help shows what is accepted")));
        }
    };
    if arguments.help {
        print!("{}", arguments::USAGE);
        return Ok(ExitCode::SUCCESS);
    }
    if arguments.version > 0 {
        print!("{}", version::text(arguments.version > 1));
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(condition) = &arguments.condition {
        return Ok(evaluate(condition));
    }
    if let Some(directory) = &arguments.directory
        && let Err(error) = std::env::set_current_dir(directory)
    {
        return Ok(refuse(&format!(
            "cannot change to {}: {error}",
            directory.display()
        )));
    }
    if arguments.background.is_some() {
        // Fails only for a process group leader, which a spawned process is not.
        let _ = nix::unistd::setsid();
    }
    // Before anything else is done here: see `sys::nursery`.
    let nursery = match runs_on(&arguments).then(open_nursery) {
        Some(Ok(Side::Child { role, birth })) => return Err(Ordered { role, birth }),
        Some(Ok(Side::Caller(nursery))) => Some(Ok(nursery)),
        Some(Err(error)) => Some(Err(error)),
        None => None,
    };
    let configuration = match load(&arguments) {
        Ok(configuration) => configuration,
        Err(code) => return Ok(code),
    };
    if let Some(namespace) = configuration.net_namespace()
        && let Err(error) = sys::namespace::enter_network(namespace)
    {
        // Otherwise the addresses would be put where they do not belong.
        return Ok(refuse(&format!("net_namespace {namespace}: {error}")));
    }
    if arguments.cleanup {
        return Ok(cleanup(&configuration));
    }
    if arguments.background.is_none()
        && let Some(code) = handover::reload_instead(&arguments, &configuration)
    {
        return Ok(code);
    }
    if arguments.background.is_none() && configuration.wants_background(&arguments) {
        // The process in the background has its own.
        drop(nursery);
        return Ok(leave_behind(&words));
    }
    Ok(serve(arguments, configuration, nursery))
}

/// Whether this process is to become a supervisor, as far as the command line tells.
fn runs_on(arguments: &Arguments) -> bool {
    let leaves = arguments.daemon && !arguments.foreground && arguments.background.is_none();
    !(arguments.check || arguments.cleanup || leaves)
}

fn open_nursery() -> std::io::Result<Side> {
    // In the background nobody holds the terminal.
    sys::nursery::open(LogTarget::from_environment() == LogTarget::Syslog)
}

fn refuse(reason: &str) -> ExitCode {
    eprintln!("tandemd: {reason}");
    ExitCode::FAILURE
}

fn evaluate(condition: &str) -> ExitCode {
    match config::haproxy::evaluate_condition(condition) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(diagnostic) => {
            eprintln!(
                "tandemd: cannot evaluate '{condition}': {}",
                diagnostic.message
            );
            ExitCode::from(2)
        }
    }
}

/// Loads the configuration and prints what is to be said about it; ends here for `-c` and for errors.
fn load(arguments: &Arguments) -> Result<Configuration, ExitCode> {
    let loaded = configuration::load(arguments).map_err(|reason| refuse(&reason))?;
    let refused = loaded.diagnostics.has_errors()
        || (arguments.zero_warning && loaded.diagnostics.has_warnings());
    // The process in the background has had its configuration judged before it was left there.
    let text = if arguments.background.is_some() && !refused {
        String::new()
    } else {
        loaded.text()
    };
    if !text.is_empty() && (refused || !arguments.quiet) {
        eprint!("{text}");
    }
    if refused {
        eprintln!("tandemd: the configuration is refused");
        return Err(ExitCode::FAILURE);
    }
    if loaded.configuration.haproxy.is_none() && loaded.configuration.keepalived.is_none() {
        return Err(refuse("the configuration is empty"));
    }
    if arguments.check {
        proofs::pair(arguments, &loaded.configuration)?;
        if arguments.verbose {
            println!("Configuration file is valid");
        }
        return Err(ExitCode::SUCCESS);
    }
    Ok(loaded.configuration)
}

/// `ExecStopPost`: removes the addresses that a crash left behind, unless a daemon runs that owns them.
fn cleanup(configuration: &Configuration) -> ExitCode {
    let Some(keepalived) = &configuration.keepalived else {
        return ExitCode::SUCCESS;
    };
    if let Some(pid) = supervisor::other_supervisor() {
        eprintln!("tandemd: nothing cleaned up: tandemd runs as process {pid}");
        return ExitCode::SUCCESS;
    }
    logging::start(LogTarget::from_environment(), false);
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return refuse(&format!("no runtime: {error}")),
    };
    match runtime.block_on(vrrp::remove_addresses(keepalived)) {
        Ok(removed) => {
            for address in removed {
                println!("removed {address}");
            }
            ExitCode::SUCCESS
        }
        Err(reason) => refuse(&format!("cleanup: {reason}")),
    }
}

/// `-D`: starts this program again in a session of its own and waits until it is ready or has failed.
fn leave_behind(words: &[OsString]) -> ExitCode {
    let (mut ours, theirs) = match UnixStream::pair() {
        Ok(pair) => pair,
        Err(error) => return refuse(&format!("cannot go to the background: {error}")),
    };
    let theirs = OwnedFd::from(theirs);
    let mut command: Command = sys::spawn::again("tandemd", &theirs);
    let place = sys::spawn::BIRTH_DESCRIPTOR.to_string();
    command
        .args(words)
        .arg("--background")
        .arg(place)
        .stdin(Stdio::null());
    command.env(logging::TARGET_VARIABLE, LogTarget::Syslog.as_str());
    if let Err(error) = command.spawn() {
        return refuse(&format!("cannot go to the background: {error}"));
    }
    drop(theirs);
    let mut answer = [0];
    match ours.read(&mut answer) {
        Ok(1) => ExitCode::SUCCESS,
        // It has said on stderr why.
        _ => ExitCode::FAILURE,
    }
}

fn serve(
    arguments: Arguments,
    configuration: Configuration,
    nursery: Option<std::io::Result<Nursery>>,
) -> ExitCode {
    let target = LogTarget::from_environment();
    logging::start(target, arguments.debug);
    sys::title::set_name("tandemd");
    let parent = match arguments.background.map(sys::spawn::inherited).transpose() {
        Ok(parent) => parent.map(UnixStream::from),
        Err(error) => return refuse(&format!("--background is for tandemd itself: {error}")),
    };
    if let Err(error) = sys::privileges::raise_descriptor_limit(WANTED_DESCRIPTORS) {
        tracing::warn!("descriptor limit stays as it is: {error}");
    }
    let nursery = nursery.transpose().unwrap_or_else(|error| {
        tracing::info!("there is no nursery, children are executed anew: {error}");
        None
    });
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return refuse(&format!("no runtime: {error}")),
    };
    runtime.block_on(supervisor::run(
        arguments,
        configuration,
        target,
        parent.map(Parent),
        nursery,
    ))
}

/// The process that waits in the foreground until this one is ready.
pub struct Parent(UnixStream);

impl Parent {
    /// Lets it go, and lets go of its terminal.
    pub fn release(mut self) {
        // Its terminal may be gone already.
        let _ = self.0.write_all(b"R");
        if let Err(error) = sys::spawn::detach_standard_streams() {
            tracing::warn!("standard streams stay open: {error}");
        }
    }
}
