//! What a process may still ask of the kernel once it has opened what it needs: Landlock (landlock(7)) takes all files away,
//! seccomp (seccomp(2)) all system calls but those of a proxy at work.
//!
//! Two filters stand behind each other; the harder verdict counts. Calls that only an attacker makes kill the process. All
//! others that are not listed fail with ENOSYS, as on a kernel that does not know them: libraries then take an older way, and a
//! call that was forgotten here makes one thing fail and not a site. The kernel's log names each refused call ("type=1326",
//! with the number after "syscall="), but those that libraries only try (a filter of their own).

use std::collections::BTreeMap;
use std::io;

use landlock::{
    ABI, Access, AccessFs, CompatLevel, Compatible, LandlockStatus, Ruleset, RulesetAttr,
    RulesetStatus, Scope,
};
use libc::c_long;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

/// What was applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Confinement {
    /// The version of Landlock that holds; none where the kernel has none.
    pub landlock: Option<i32>,
    /// System calls that are left; none where the kernel has no seccomp.
    pub system_calls: Option<usize>,
}

/// Calls that a proxy never makes, and an attacker would begin with.
const DEADLY: &[c_long] = &[
    libc::SYS_acct,
    libc::SYS_add_key,
    libc::SYS_bpf,
    libc::SYS_chroot,
    libc::SYS_clock_settime,
    libc::SYS_delete_module,
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_finit_module,
    libc::SYS_init_module,
    libc::SYS_kexec_load,
    libc::SYS_keyctl,
    libc::SYS_mount,
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fsmount,
    libc::SYS_perf_event_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pivot_root,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_ptrace,
    libc::SYS_reboot,
    libc::SYS_request_key,
    libc::SYS_setns,
    libc::SYS_settimeofday,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_umount2,
    libc::SYS_unshare,
    libc::SYS_userfaultfd,
];

/// Calls that libraries try, and do without: their refusal is nothing to tell of.
const TRIED: &[c_long] = &[libc::SYS_clone3, libc::SYS_statx];

/// Calls of a proxy at work, whatever their arguments: sockets, pipes, timers, memory, threads, its own limits.
const ALLOWED: &[c_long] = &[
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_bind,
    libc::SYS_brk,
    libc::SYS_clock_getres,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_close,
    libc::SYS_close_range,
    libc::SYS_connect,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    libc::SYS_eventfd2,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_fcntl,
    libc::SYS_fstat,
    libc::SYS_futex,
    libc::SYS_getcpu,
    libc::SYS_getegid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getpeername,
    libc::SYS_getpid,
    libc::SYS_getrandom,
    libc::SYS_getrusage,
    libc::SYS_getsockname,
    libc::SYS_getsockopt,
    libc::SYS_gettid,
    libc::SYS_gettimeofday,
    libc::SYS_getuid,
    libc::SYS_listen,
    libc::SYS_lseek,
    libc::SYS_madvise,
    libc::SYS_membarrier,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_nanosleep,
    libc::SYS_pipe2,
    libc::SYS_ppoll,
    libc::SYS_pread64,
    libc::SYS_preadv,
    libc::SYS_prlimit64,
    libc::SYS_pwrite64,
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_recvfrom,
    libc::SYS_recvmmsg,
    libc::SYS_recvmsg,
    libc::SYS_restart_syscall,
    libc::SYS_rseq,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_yield,
    libc::SYS_sendfile,
    libc::SYS_sendmmsg,
    libc::SYS_sendmsg,
    libc::SYS_sendto,
    libc::SYS_set_robust_list,
    libc::SYS_setsockopt,
    libc::SYS_shutdown,
    libc::SYS_sigaltstack,
    libc::SYS_socketpair,
    libc::SYS_splice,
    libc::SYS_sysinfo,
    libc::SYS_tee,
    libc::SYS_tgkill,
    libc::SYS_timerfd_create,
    libc::SYS_timerfd_settime,
    libc::SYS_uname,
    libc::SYS_vmsplice,
    libc::SYS_write,
    libc::SYS_writev,
];

/// The same by older numbers.
#[cfg(target_arch = "x86_64")]
const ALLOWED_HERE: &[c_long] = &[
    libc::SYS_dup2,
    libc::SYS_epoll_wait,
    libc::SYS_getrlimit,
    libc::SYS_pipe,
    libc::SYS_poll,
    libc::SYS_time,
];
#[cfg(not(target_arch = "x86_64"))]
const ALLOWED_HERE: &[c_long] = &[];

/// A condition on the low half of an argument: its bits under the mask have this value.
fn argument(number: u8, mask: u64, value: u64) -> Result<SeccompRule, seccompiler::BackendError> {
    SeccompRule::new(vec![SeccompCondition::new(
        number,
        SeccompCmpArgLen::Dword,
        SeccompCmpOp::MaskedEq(mask),
        value,
    )?])
}

/// Calls that are allowed with some arguments only.
fn conditional() -> Result<Vec<(c_long, Vec<SeccompRule>)>, seccompiler::BackendError> {
    let all = u64::from(u32::MAX);
    let any_of = |number: u8, values: &[u64]| -> Result<Vec<_>, seccompiler::BackendError> {
        values
            .iter()
            .map(|value| argument(number, all, *value))
            .collect()
    };
    let domains = [libc::AF_INET, libc::AF_INET6, libc::AF_UNIX].map(|domain| domain as u64);
    let requests = [libc::FIONBIO, libc::FIONREAD, libc::TIOCOUTQ, libc::TCGETS];
    let names = [libc::PR_SET_NAME, libc::PR_SET_VMA].map(|option| option as u64);
    let no_code = || argument(2, libc::PROT_EXEC as u64, 0);
    // clone3 hides its flags behind a pointer; the C library takes clone where it is not there.
    let thread = libc::CLONE_THREAD as u64;
    // What an open descriptor is, as the C library asks it; file names are Landlock's to refuse.
    let of_descriptor = libc::AT_EMPTY_PATH as u64;
    Ok(vec![
        (
            libc::SYS_newfstatat,
            vec![argument(3, of_descriptor, of_descriptor)?],
        ),
        (libc::SYS_clone, vec![argument(0, thread, thread)?]),
        (libc::SYS_ioctl, any_of(1, &requests)?),
        (libc::SYS_mmap, vec![no_code()?]),
        (libc::SYS_mprotect, vec![no_code()?]),
        (libc::SYS_prctl, any_of(0, &names)?),
        (libc::SYS_socket, any_of(0, &domains)?),
    ])
}

fn program(
    rules: BTreeMap<i64, Vec<SeccompRule>>,
    others: SeccompAction,
    listed: SeccompAction,
) -> Result<BpfProgram, seccompiler::BackendError> {
    let here = TargetArch::try_from(std::env::consts::ARCH)?;
    SeccompFilter::new(rules, others, listed, here)?.try_into()
}

fn seccomp(only_deadly: bool) -> io::Result<usize> {
    let made = || -> Result<_, seccompiler::BackendError> {
        let any = |calls: &[c_long]| -> BTreeMap<i64, Vec<SeccompRule>> {
            calls.iter().map(|call| (*call, Vec::new())).collect()
        };
        let deadly = any(DEADLY);
        let deadly = program(deadly, SeccompAction::Allow, SeccompAction::KillProcess)?;
        let mut allowed = any(ALLOWED);
        allowed.extend(ALLOWED_HERE.iter().map(|call| (*call, Vec::new())));
        allowed.extend(conditional()?);
        // Whom the other filter kills, this one need not refuse.
        let count = allowed.len();
        // Nor those that a third filter refuses without having it logged.
        allowed.extend(any(TRIED));
        let unknown = || SeccompAction::Errno(libc::ENOSYS as u32);
        Ok((
            deadly,
            program(allowed, unknown(), SeccompAction::Allow)?,
            program(any(TRIED), SeccompAction::Allow, unknown())?,
            count,
        ))
    };
    let (deadly, allowed, tried, count) = made().map_err(io::Error::other)?;
    no_new_privileges()?;
    install(&deadly, LOGGED)?;
    if !only_deadly {
        install(&tried, 0)?;
        install(&allowed, LOGGED)?;
    }
    Ok(count)
}

/// Verdicts other than "allow" stand in the kernel's log (seccomp(2), SECCOMP_FILTER_FLAG_LOG; Linux 4.14).
const LOGGED: libc::c_ulong = libc::SECCOMP_FILTER_FLAG_LOG;

/// Who is filtered may gain no rights by starting programs: the kernel wants it (seccomp(2)).
fn no_new_privileges() -> io::Result<()> {
    // SAFETY: prctl takes integers here.
    match unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// `seccompiler` installs filters without a way to have verdicts logged.
fn install(filter: &BpfProgram, flags: libc::c_ulong) -> io::Result<()> {
    let program = libc::sock_fprog {
        len: u16::try_from(filter.len()).map_err(io::Error::other)?,
        // The kernel only reads; both types are the kernel's struct of two bytes, two single bytes and a word.
        filter: filter.as_ptr().cast::<libc::sock_filter>().cast_mut(),
    };
    // SAFETY: the program points to `len` instructions that live as long as the call, which copies them.
    let outcome = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            flags,
            &raw const program,
        )
    };
    match outcome {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn landlock() -> Result<Option<i32>, landlock::RulesetError> {
    let status = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(ABI::V7))?
        .scope(Scope::Signal)?
        .create()?
        .restrict_self()?;
    Ok(match (status.ruleset, status.landlock) {
        (RulesetStatus::NotEnforced, _) => None,
        (_, LandlockStatus::Available { effective_abi, .. }) => Some(effective_abi as i32),
        _ => None,
    })
}

/// Takes all files and nearly all system calls from the calling thread and those that it starts. Call it while one thread
/// runs. What the kernel cannot do is left out and told by the result; an error is one of the filter itself.
pub fn to_sockets() -> io::Result<Confinement> {
    let landlock = landlock().map_err(io::Error::other)?;
    let system_calls = match has_seccomp() {
        true => Some(seccomp(false)?),
        false => None,
    };
    Ok(Confinement {
        landlock,
        system_calls,
    })
}

/// Kills the calling thread's process at the calls that only an attacker makes.
pub fn against_attackers() -> io::Result<bool> {
    match has_seccomp() {
        true => seccomp(true).map(|_| true),
        false => Ok(false),
    }
}

/// Whether the kernel filters system calls (seccomp(2), SECCOMP_GET_ACTION_AVAIL).
fn has_seccomp() -> bool {
    const GET_ACTION_AVAIL: c_long = 2;
    let action: u32 = libc::SECCOMP_RET_KILL_PROCESS;
    // SAFETY: the kernel reads one u32 from a pointer that is valid for the call.
    unsafe { libc::syscall(libc::SYS_seccomp, GET_ACTION_AVAIL, 0, &raw const action) == 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;
    use std::process::Command;

    /// Set for the copy of this test program that is confined.
    const VARIABLE: &str = "TANDEM_TEST_CONFINED";

    /// What the copy does once it is confined; the outcome is its exit status.
    fn act(what: &str) -> i32 {
        match to_sockets() {
            Ok(Confinement {
                system_calls: Some(_),
                ..
            }) => {}
            _ => return 40,
        }
        let can = match what {
            "open" => std::fs::File::open("/etc/passwd").is_ok(),
            "start" => Command::new("/bin/true").status().is_ok(),
            "map code" => {
                // SAFETY: an anonymous mapping that nobody uses.
                let place = unsafe {
                    libc::mmap(
                        std::ptr::null_mut(),
                        4_096,
                        libc::PROT_READ | libc::PROT_EXEC,
                        libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                        -1,
                        0,
                    )
                };
                place != libc::MAP_FAILED
            }
            "packet socket" => {
                // SAFETY: socket takes integers.
                unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW, 0) >= 0 }
            }
            "thread" => std::thread::spawn(|| 1).join().is_ok(),
            "serve" => std::net::TcpListener::bind("127.0.0.1:0").is_ok_and(|listener| {
                listener
                    .local_addr()
                    .and_then(std::net::TcpStream::connect)
                    .is_ok()
                    && listener.accept().is_ok()
            }),
            "exec" => {
                let program = c"/bin/true";
                let words = [program.as_ptr(), std::ptr::null()];
                let none = [std::ptr::null()];
                // SAFETY: all pointers are of strings and lists that end with zero.
                unsafe { libc::execve(program.as_ptr(), words.as_ptr(), none.as_ptr()) };
                false
            }
            _ => return 41,
        };
        i32::from(can)
    }

    #[test]
    fn a_confined_process_serves_and_does_nothing_else() {
        if let Ok(what) = std::env::var(VARIABLE) {
            // SAFETY: exit_group ends this copy without anything of the test harness.
            unsafe { libc::_exit(act(&what)) };
        }
        if !has_seccomp() {
            return;
        }
        let own = std::env::current_exe().expect("the test program");
        let check = |what: &str, code: Option<i32>, signal: Option<i32>| {
            let status = Command::new(&own)
                .args(["confine::tests::a_confined_process", "--test-threads=1"])
                .env(VARIABLE, what)
                .output()
                .expect("the test program starts")
                .status;
            assert_eq!((status.code(), status.signal()), (code, signal), "{what}");
        };
        for can in ["thread", "serve"] {
            check(can, Some(1), None);
        }
        for cannot in ["open", "start", "map code", "packet socket"] {
            check(cannot, Some(0), None);
        }
        check("exec", None, Some(libc::SIGSYS));
    }
}
