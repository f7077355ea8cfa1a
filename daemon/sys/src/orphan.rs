//! Programs that must not outlive who started them.

use std::os::unix::process::CommandExt;
use std::process::Command;

/// The program will be sent SIGTERM when the thread that starts it ends, however that ends. Not if it is set-user-ID:
/// the kernel forgets the wish then.
pub fn ends_with_parent(command: &mut Command) {
    // SAFETY: between fork and exec only prctl is called, which is async-signal-safe and takes integers here.
    unsafe {
        command.pre_exec(|| {
            nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGTERM)?;
            Ok(())
        });
    }
}
