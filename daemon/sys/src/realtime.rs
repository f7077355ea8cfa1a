//! Real-time priority and locked memory, for a process whose timers others rely on.

use std::io;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Longest that a real-time process may compute without sleeping, in microseconds; then the kernel ends it.
const RUNAWAY_LIMIT_US: u64 = 1_000_000;
/// Below the kernel's own threads and other real-time work.
const PRIORITY: i32 = 1;

/// Asks for round-robin real-time scheduling. An error says that it is not allowed here.
pub fn schedule() -> io::Result<()> {
    schedule_as(PRIORITY, RUNAWAY_LIMIT_US)
}

/// The same with a priority from 1 to 99, and a limit in microseconds of computing without sleep.
pub fn schedule_as(priority: i32, limit_us: u64) -> io::Result<()> {
    // A fault of ours must not freeze the machine: the limit comes first.
    let (_, hard) = getrlimit(Resource::RLIMIT_RTTIME)?;
    setrlimit(Resource::RLIMIT_RTTIME, limit_us.min(hard), hard)?;
    set_scheduler(libc::SCHED_RR, priority)
}

/// The kernel's usual scheduling again.
pub fn schedule_plainly() -> io::Result<()> {
    set_scheduler(libc::SCHED_OTHER, 0)
}

fn set_scheduler(policy: i32, priority: i32) -> io::Result<()> {
    let parameters = libc::sched_param {
        sched_priority: priority,
    };
    // SAFETY: the pointer is valid through the call; 0 means the calling thread.
    let outcome = unsafe {
        libc::sched_setscheduler(0, policy | libc::SCHED_RESET_ON_FORK, &raw const parameters)
    };
    if outcome < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// Sets the nice value of the calling thread, -20 to 19: it counts where scheduling is not real-time.
pub fn set_nice(nice: i8) -> io::Result<()> {
    // SAFETY: plain system call; 0 means the calling thread.
    if unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, i32::from(nice)) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Keeps the calling thread, and those that it starts, on these processors; an empty list means all of them.
pub fn set_processors(processors: &[u16]) -> io::Result<()> {
    let mut set = nix::sched::CpuSet::new();
    let all = 0..nix::sched::CpuSet::count();
    for processor in all.filter(|one| {
        processors.is_empty() || processors.iter().any(|named| usize::from(*named) == *one)
    }) {
        set.set(processor)?;
    }
    Ok(nix::sched::sched_setaffinity(
        nix::unistd::Pid::from_raw(0),
        &set,
    )?)
}

/// The limit of [`schedule`], in microseconds.
pub const USUAL_LIMIT_US: u64 = RUNAWAY_LIMIT_US;
/// The priority of [`schedule`].
pub const USUAL_PRIORITY: i32 = PRIORITY;

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
