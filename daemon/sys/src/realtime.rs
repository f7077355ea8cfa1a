//! Real-time priority and locked memory, for a process whose timers others rely on.

use std::io;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Longest that a real-time process may compute without sleeping, in microseconds; then the kernel ends it.
const RUNAWAY_LIMIT_US: u64 = 1_000_000;
/// Below the kernel's own threads and other real-time work.
const PRIORITY: i32 = 1;

/// Asks for round-robin real-time scheduling. An error says that it is not allowed here.
pub fn schedule() -> io::Result<()> {
    // A fault of ours must not freeze the machine: the limit comes first.
    let (_, hard) = getrlimit(Resource::RLIMIT_RTTIME)?;
    setrlimit(Resource::RLIMIT_RTTIME, RUNAWAY_LIMIT_US.min(hard), hard)?;
    let parameters = libc::sched_param {
        sched_priority: PRIORITY,
    };
    // SAFETY: the pointer is valid through the call; 0 means the calling thread.
    let outcome = unsafe {
        libc::sched_setscheduler(
            0,
            libc::SCHED_RR | libc::SCHED_RESET_ON_FORK,
            &raw const parameters,
        )
    };
    if outcome < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// Lets memory go again that [`lock_memory`] keeps.
pub fn unlock_memory() {
    // SAFETY: changes no memory, only its residence.
    unsafe { libc::munlockall() };
}

/// Keeps the process in memory: all of it for good if that is unlimited, else what is there now.
pub fn lock_memory() -> io::Result<()> {
    let (soft, _) = getrlimit(Resource::RLIMIT_MEMLOCK)?;
    let unlimited = soft == libc::RLIM_INFINITY
        || caps::has_cap(
            None,
            caps::CapSet::Effective,
            caps::Capability::CAP_IPC_LOCK,
        )
        .unwrap_or(false);
    // With a limit, locking the future would make a later allocation fail.
    let flags = if unlimited {
        libc::MCL_CURRENT | libc::MCL_FUTURE | libc::MCL_ONFAULT
    } else {
        libc::MCL_CURRENT
    };
    // SAFETY: changes no memory, only its residence.
    if unsafe { libc::mlockall(flags) } < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}
