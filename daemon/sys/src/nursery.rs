//! A small process that children are forked from, so that all of them share the pages that the loader has changed.
//!
//! A program that is executed anew has its relocated pages for itself: half a megabyte in each process. The nursery is forked
//! from the supervisor before that one has done anything, and forks whom it is asked to, with the supervisor as the parent.
//!
//! # Why fork is sound here
//! A forked process has one thread, whatever locks the others held. [`open`] therefore refuses to fork a process that has more
//! than one, and the nursery never starts a thread: when it forks, no lock is held and nothing is half done. Its children
//! may do all that a program may at its start.
//!
//! # What a child begins with
//! As if it were executed: no descriptor but the standard streams and the one it is born with, signals as the supervisor
//! had them at its start (nothing blocked, no handler of ours), a process group and a title of its own. Limits, file mode mask and
//! network namespace are those that the supervisor has when it asks. What random numbers a process draws once, a child draws
//! itself: the nursery makes no hash table.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;

use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg,
    sendmsg, setsockopt, socketpair, sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike};

use crate::spawn::BIRTH_DESCRIPTOR;
use crate::title;

/// Most bytes of an order: names, title and environment of a child.
pub const MAX_ORDER_BYTES: usize = 64 << 10;
/// How long an answer may take; a fork takes a millisecond.
const ANSWER_SECONDS: i64 = 2;
/// What it is called in `ps`.
const NAME: &str = "tandemd-nursery";
const TITLE: &str = "tandemd: nursery";
/// Longest title of a process, with the zero behind it.
const MAX_TITLE_BYTES: usize = 32;
const NETWORK: &str = "/proc/self/ns/net";
/// Its own channel: where a child has what it is born with.
const CHANNEL: RawFd = BIRTH_DESCRIPTOR;
const LIMITS: usize = 16;

/// Who returns from [`open`].
pub enum Side {
    /// The process that called it.
    Caller(Nursery),
    /// A child that was ordered, some time later.
    Child {
        /// What it is to be.
        role: String,
        /// The channel that it is born with.
        birth: OwnedFd,
    },
}

/// The caller's end. The nursery ends when it is dropped.
pub struct Nursery {
    channel: OwnedFd,
    pid: u32,
    network: Option<(u64, u64)>,
}

/// Forks the nursery; returns in the caller, and once in each child that is ordered later. With `quiet` what the children
/// print goes nowhere.
///
/// # Errors
/// This process has other threads already, or the system does not let it fork in this way.
pub fn open(quiet: bool) -> io::Result<Side> {
    if std::fs::read_dir("/proc/self/task")?.count() != 1 {
        return Err(io::Error::other("this process has several threads"));
    }
    let thread = thread_id_place()?;
    let (ours, theirs) = socketpair(
        AddressFamily::Unix,
        SockType::SeqPacket,
        None,
        SockFlag::SOCK_CLOEXEC,
    )?;
    let limit = TimeVal::seconds(ANSWER_SECONDS);
    setsockopt(&ours, sockopt::ReceiveTimeout, &limit)?;
    setsockopt(&ours, sockopt::SendTimeout, &limit)?;
    // SAFETY: this process has one thread, as was just counted: see the module's text.
    match unsafe { nix::unistd::fork() }? {
        nix::unistd::ForkResult::Parent { child } => Ok(Side::Caller(Nursery {
            channel: ours,
            pid: child.as_raw().unsigned_abs(),
            network: network(),
        })),
        nix::unistd::ForkResult::Child => {
            drop(ours);
            match settle(theirs, quiet).and_then(|(channel, rights)| {
                let own = Own {
                    channel,
                    rights,
                    title: TitlePlace::find(),
                    thread,
                };
                own.serve()
            }) {
                Ok(child) => Ok(child),
                Err(error) => {
                    eprintln!("{NAME}: {error}");
                    // SAFETY: it ends the process without running anything.
                    unsafe { libc::_exit(1) }
                }
            }
        }
    }
}

impl Nursery {
    /// Its process id: a child of the caller, who waits for its end.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Has it fork a child, and returns the child's process id. The child is the caller's, who waits for its end.
    ///
    /// # Errors
    /// The nursery is gone, does not answer, or was refused a fork. Whether there is a child is not known if no answer came:
    /// it ends for want of a setup once the caller closes the other end of `birth`.
    pub fn start(
        &self,
        role: &str,
        title: &str,
        environment: &[(String, String)],
        birth: &OwnedFd,
    ) -> io::Result<u32> {
        let mut order = own_mask()?.to_le_bytes().to_vec();
        for number in 0..LIMITS {
            let (soft, hard) = limit(number)?;
            order.extend(soft.to_le_bytes());
            order.extend(hard.to_le_bytes());
        }
        let variables = environment
            .iter()
            .flat_map(|(name, value)| [name.as_str(), value.as_str()]);
        for word in [role, title].into_iter().chain(variables) {
            order.extend(word.as_bytes());
            order.push(0);
        }
        if order.len() > MAX_ORDER_BYTES {
            return Err(io::Error::other("the environment is too long"));
        }
        let elsewhere = (network() != self.network).then(|| File::open(NETWORK));
        let elsewhere = elsewhere.transpose()?;
        let descriptors: Vec<RawFd> = std::iter::once(birth.as_raw_fd())
            .chain(elsewhere.as_ref().map(AsRawFd::as_raw_fd))
            .collect();
        sendmsg::<()>(
            self.channel.as_raw_fd(),
            &[IoSlice::new(&order)],
            &[ControlMessage::ScmRights(&descriptors)],
            MsgFlags::MSG_NOSIGNAL,
            None,
        )?;
        let mut answer = [0; 4];
        let read = loop {
            match nix::unistd::read(&self.channel, &mut answer) {
                Err(nix::errno::Errno::EINTR) => {}
                other => break other?,
            }
        };
        match i32::from_le_bytes(answer) {
            _ if read != answer.len() => Err(io::Error::other("it has ended")),
            refused if refused <= 0 => Err(io::Error::from_raw_os_error(-refused)),
            pid => Ok(pid.unsigned_abs()),
        }
    }
}

/// Which network namespace this process is in.
fn network() -> Option<(u64, u64)> {
    let file = std::fs::metadata(NETWORK).ok()?;
    Some((file.dev(), file.ino()))
}

/// The file mode mask, which can be read without being set.
fn own_mask() -> io::Result<u32> {
    let text = std::fs::read_to_string("/proc/self/status")?;
    let mask = text.lines().find_map(|line| line.strip_prefix("Umask:"));
    mask.and_then(|mask| u32::from_str_radix(mask.trim(), 8).ok())
        .ok_or_else(|| io::Error::other("no file mode mask"))
}

fn limit(number: usize) -> io::Result<(u64, u64)> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: it writes into what the pointer shows; numbers that do not exist are refused.
    if unsafe { libc::getrlimit(number as _, &raw mut limit) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok((limit.rlim_cur, limit.rlim_max))
}

/// Takes this limit over where it is another one here.
fn take_limit(number: usize, (soft, hard): (u64, u64)) {
    if limit(number).is_ok_and(|own| own == (soft, hard)) {
        return;
    }
    let limit = libc::rlimit {
        rlim_cur: soft,
        rlim_max: hard,
    };
    // SAFETY: a number that does not exist is refused. One that may not be raised stays: it is lower than wanted.
    unsafe { libc::setrlimit(number as _, &raw const limit) };
}

/// Where the C library keeps the thread's own number: a fork must have the kernel renew it, as the library's own fork does.
///
/// # Errors
/// The kernel does not tell, or something else is there: another C library.
fn thread_id_place() -> io::Result<*mut libc::pid_t> {
    const PR_GET_TID_ADDRESS: libc::c_int = 40;
    let mut place: *mut libc::pid_t = std::ptr::null_mut();
    // SAFETY: the kernel writes one pointer.
    if unsafe { libc::prctl(PR_GET_TID_ADDRESS, &raw mut place) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: what the kernel clears when the thread ends is mapped and holds a number, if it is anything.
    let known = !place.is_null() && unsafe { *place } == nix::unistd::gettid().as_raw();
    known
        .then_some(place)
        .ok_or_else(|| io::Error::other("this C library is not known"))
}

/// Forks with the caller's parent as the parent. The child's id, and 0 in the child.
fn fork_beside(thread: *mut libc::pid_t) -> io::Result<i32> {
    let flags =
        libc::CLONE_PARENT | libc::CLONE_CHILD_SETTID | libc::CLONE_CHILD_CLEARTID | libc::SIGCHLD;
    let none = 0_usize;
    // SAFETY: without CLONE_VM and a stack it is a fork, in the form of the C library's own: `thread` is where that has the
    // kernel write the thread's number. The order of the last two arguments is that of the processor.
    let pid = unsafe {
        if cfg!(target_arch = "x86_64") {
            libc::syscall(libc::SYS_clone, flags, none, none, thread, none)
        } else if cfg!(target_arch = "aarch64") {
            libc::syscall(libc::SYS_clone, flags, none, none, none, thread)
        } else {
            return Err(io::Error::from(io::ErrorKind::Unsupported));
        }
    };
    if pid < 0 {
        return Err(io::Error::last_os_error());
    }
    i32::try_from(pid).map_err(io::Error::other)
}

/// Becomes what the nursery stays: alone with its channel, and without rights in effect, which its children get back.
fn settle(channel: OwnedFd, quiet: bool) -> io::Result<(OwnedFd, Rights)> {
    // A terminal's Ctrl-C is for the supervisor.
    nix::unistd::setpgid(nix::unistd::Pid::from_raw(0), nix::unistd::Pid::from_raw(0))?;
    let null = File::options().read(true).write(true).open("/dev/null")?;
    let streams = if quiet { 0..=2 } else { 0..=0 };
    for stream in streams {
        // SAFETY: dup2 onto the standard streams changes no descriptor that a Rust object owns.
        if unsafe { libc::dup2(null.as_raw_fd(), stream) } < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    drop(null);
    let channel = alone_with(channel)?;
    title::set_name(NAME);
    let rights = Rights::own()?;
    rights.with_effective([0; 2]).take()?;
    Ok((channel, rights))
}

/// Puts a descriptor at [`CHANNEL`] and closes all others but the standard streams.
fn alone_with(descriptor: OwnedFd) -> io::Result<OwnedFd> {
    let descriptor = descriptor.into_raw_fd();
    if descriptor != CHANNEL {
        // SAFETY: what was open there belonged to the process that was forked from; nobody uses it in this one.
        if unsafe { libc::dup2(descriptor, CHANNEL) } < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    // SAFETY: as above: of the objects that own these descriptors none is used in this process.
    if unsafe { libc::syscall(libc::SYS_close_range, CHANNEL + 1, u32::MAX, 0) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: fcntl on any number is sound.
    unsafe { libc::fcntl(CHANNEL, libc::F_SETFD, libc::FD_CLOEXEC) };
    // SAFETY: it is open, and nobody else in this process uses it.
    Ok(unsafe { OwnedFd::from_raw_fd(CHANNEL) })
}

/// Capabilities as the kernel has them (capget(2), version 3): effective, permitted, inheritable, in two halves.
#[derive(Clone, Copy)]
struct Rights([[u32; 3]; 2]);

#[repr(C)]
struct RightsHead {
    version: u32,
    pid: i32,
}

const RIGHTS_HEAD: RightsHead = RightsHead {
    version: 0x2008_0522,
    pid: 0,
};

impl Rights {
    fn own() -> io::Result<Self> {
        let (mut head, mut sets) = (RIGHTS_HEAD, [[0; 3]; 2]);
        // SAFETY: the kernel writes the two halves of version 3.
        if unsafe { libc::syscall(libc::SYS_capget, &raw mut head, &raw mut sets) } < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Self(sets))
    }

    fn with_effective(mut self, effective: [u32; 2]) -> Self {
        for (half, effective) in self.0.iter_mut().zip(effective) {
            half[0] = effective;
        }
        self
    }

    fn take(&self) -> io::Result<()> {
        let (mut head, sets) = (RIGHTS_HEAD, self.0);
        // SAFETY: the kernel reads the two halves of version 3.
        if unsafe { libc::syscall(libc::SYS_capset, &raw mut head, &raw const sets) } < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }
}

/// The nursery itself.
struct Own {
    channel: OwnedFd,
    rights: Rights,
    title: Option<TitlePlace>,
    thread: *mut libc::pid_t,
}

impl Own {
    /// Forks whom it is asked to, until the caller is gone. Returns in the children alone.
    fn serve(self) -> io::Result<Side> {
        for variable in ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"] {
            // The children tell systemd nothing.
            // SAFETY: this process has one thread.
            unsafe { std::env::remove_var(variable) };
        }
        self.show(TITLE);
        let mut order = vec![0; MAX_ORDER_BYTES];
        loop {
            let Some((length, descriptors)) = self.next_order(&mut order)? else {
                // SAFETY: it ends the process without running anything.
                unsafe { libc::_exit(0) }
            };
            let answer = match fork_beside(self.thread) {
                Ok(0) => return self.born(&order[..length], descriptors),
                Ok(pid) => pid,
                Err(error) => -error.raw_os_error().unwrap_or(libc::EAGAIN),
            };
            drop(descriptors);
            match nix::unistd::write(&self.channel, &answer.to_le_bytes()) {
                // The caller is gone: the next reading says so.
                Ok(_) | Err(nix::errno::Errno::EPIPE) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn next_order(&self, order: &mut [u8]) -> io::Result<Option<(usize, Vec<OwnedFd>)>> {
        let mut space = nix::cmsg_space!([RawFd; 2]);
        let mut slices = [IoSliceMut::new(order)];
        let message = loop {
            let flags = MsgFlags::MSG_CMSG_CLOEXEC;
            let channel = self.channel.as_raw_fd();
            match recvmsg::<()>(channel, &mut slices, Some(&mut space), flags) {
                Err(nix::errno::Errno::EINTR) => {}
                other => break other?,
            }
        };
        let mut descriptors = Vec::new();
        for control in message.cmsgs()? {
            if let ControlMessageOwned::ScmRights(received) = control {
                for descriptor in received {
                    // SAFETY: the kernel has just made this descriptor for us, and nobody else owns it.
                    descriptors.push(unsafe { OwnedFd::from_raw_fd(descriptor) });
                }
            }
        }
        Ok((message.bytes > 0).then_some((message.bytes, descriptors)))
    }

    /// In the child: becomes what the order says.
    fn born(self, order: &[u8], descriptors: Vec<OwnedFd>) -> io::Result<Side> {
        let short = || io::Error::other("an order that cannot be read");
        self.rights.take()?;
        nix::unistd::setpgid(nix::unistd::Pid::from_raw(0), nix::unistd::Pid::from_raw(0))?;
        let mut descriptors = descriptors.into_iter();
        let birth = descriptors.next().ok_or_else(short)?;
        if let Some(network) = descriptors.next() {
            nix::sched::setns(network.as_fd(), nix::sched::CloneFlags::CLONE_NEWNET)?;
        }
        let (mask, rest) = order.split_first_chunk().ok_or_else(short)?;
        nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(
            u32::from_le_bytes(*mask),
        ));
        let (limits, rest) = rest
            .split_at_checked(LIMITS * 2 * size_of::<u64>())
            .ok_or_else(short)?;
        let (pairs, _) = limits.as_chunks::<8>();
        for (number, pair) in pairs.chunks_exact(2).enumerate() {
            let pair = (u64::from_le_bytes(pair[0]), u64::from_le_bytes(pair[1]));
            take_limit(number, pair);
        }
        let mut words = rest.split(|byte| *byte == 0);
        let (Some(role), Some(title)) = (words.next(), words.next()) else {
            return Err(short());
        };
        self.show(&String::from_utf8_lossy(title));
        while let (Some(name), Some(value)) = (words.next(), words.next()) {
            // SAFETY: this process has one thread.
            unsafe { std::env::set_var(OsStr::from_bytes(name), OsStr::from_bytes(value)) };
        }
        let role = String::from_utf8_lossy(role).into_owned();
        // The channel of the nursery is at the place that the birth descriptor gets.
        let Self { channel, .. } = self;
        let _ = channel.into_raw_fd();
        let birth = alone_with(birth)?;
        Ok(Side::Child { role, birth })
    }

    fn show(&self, title: &str) {
        if let Some(place) = &self.title {
            place.write(title);
        }
    }
}

/// Where the kernel finds a process's command line.
struct TitlePlace {
    begin: usize,
    end: usize,
    /// The end of what may be written to.
    limit: usize,
}

impl TitlePlace {
    /// Finds it. Where the command line is short, the variables that lie behind it move to the heap, and their place is
    /// taken: the kernel reads on there if the command line's last byte is not zero.
    fn find() -> Option<Self> {
        let text = std::fs::read_to_string("/proc/self/stat").ok()?;
        // proc_pid_stat(5): arg_start is field 48, and the name in field 2 may hold anything.
        let mut fields = text.rsplit_once(')')?.1.split_whitespace().skip(48 - 3);
        let mut next = || fields.next()?.parse::<usize>().ok();
        let (begin, end, after, limit) = (next()?, next()?, next()?, next()?);
        if begin == 0 || end <= begin {
            return None;
        }
        if end - begin >= MAX_TITLE_BYTES || after != end || limit < end {
            let limit = end;
            return Some(Self { begin, end, limit });
        }
        let variables: Vec<(OsString, OsString)> = std::env::vars_os().collect();
        for (name, value) in variables {
            if !name.as_bytes().contains(&b'=') {
                // SAFETY: this process has one thread.
                unsafe { std::env::set_var(name, value) };
            }
        }
        Some(Self { begin, end, limit })
    }

    /// Writes a title there, cut to what has room.
    fn write(&self, title: &str) {
        let room = (self.limit - self.begin).min(MAX_TITLE_BYTES.max(self.end - self.begin));
        let length = title.len().min(room - 1).min(MAX_TITLE_BYTES - 1);
        let place = std::ptr::with_exposed_provenance_mut::<u8>(self.begin);
        // SAFETY: the kernel says that the command line's bytes, and behind them the variables', are there, on the stack's
        // writable bottom. Whoever still reads an argument there finds zeros behind what is written, and its end.
        unsafe {
            std::ptr::write_bytes(place, 0, room);
            std::ptr::copy_nonoverlapping(title.as_ptr(), place, length);
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_process_with_threads_has_no_nursery() {
        // The harness has one thread for itself and one for the test.
        let held = std::thread::spawn(|| super::open(false).map(drop));
        let error = held.join().expect("no panic").expect_err("two threads");
        assert_eq!(error.to_string(), "this process has several threads");
    }
}
