//! Starting this program again in a role, with a descriptor at a fixed place.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

/// Where a child finds the channel that it is born with.
pub const BIRTH_DESCRIPTOR: RawFd = 3;

/// A command that runs this program again as `title`, with `birth` as descriptor 3. The caller keeps
/// `birth` open until the command was started.
pub fn again(title: &str, birth: &OwnedFd) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.arg0(title).stdin(Stdio::null());
    let descriptor = birth.as_raw_fd();
    // SAFETY: between fork and exec only dup2 and fcntl are called, which are async-signal-safe, on a
    // descriptor that the caller keeps open until the child has executed.
    unsafe {
        command.pre_exec(move || {
            let outcome = if descriptor == BIRTH_DESCRIPTOR {
                // dup2 onto itself would leave close-on-exec set.
                libc::fcntl(descriptor, libc::F_SETFD, 0)
            } else {
                libc::dup2(descriptor, BIRTH_DESCRIPTOR)
            };
            if outcome < 0 {
                Err(io::Error::last_os_error())
            } else {
                Ok(())
            }
        });
    }
    command
}

/// Takes the birth descriptor over. Call it once, in a process started by [`again`].
pub fn birth_descriptor() -> io::Result<OwnedFd> {
    inherited(BIRTH_DESCRIPTOR)
}

/// Takes over a descriptor that this process inherited (`fd@N`), close-on-exec from now on. Call it once for a number.
pub fn inherited(descriptor: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: fcntl on any number is sound; it fails if nothing is open there.
    if unsafe { libc::fcntl(descriptor, libc::F_SETFD, libc::FD_CLOEXEC) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is open (checked above), and nobody else in this process owns it, for it came over exec.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// Points stdin, stdout and stderr at `/dev/null`: a process in the background holds no terminal.
pub fn detach_standard_streams() -> io::Result<()> {
    let null = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/null")?;
    for stream in [libc::STDIN_FILENO, libc::STDOUT_FILENO, libc::STDERR_FILENO] {
        // SAFETY: dup2 onto the standard streams changes no descriptor that a Rust object owns.
        if unsafe { libc::dup2(null.as_raw_fd(), stream) } < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}
