//! The table of open descriptors.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// Most descriptors that room is made for ahead of time: the kernel then holds 8 bytes for each.
pub const MOST_ROOM: u64 = 65_536;

/// Has the kernel make its table large enough for this many descriptors, at most [`MOST_ROOM`]. It doubles a full table, and in
/// a process with threads it lets all its cores come to rest first: the `accept` or `socket` that comes then takes 5 to 15 ms, and
/// whatever else is to be done waits. To be called before threads start.
pub fn make_room(descriptors: u64) -> io::Result<()> {
    let last = descriptors.min(MOST_ROOM).saturating_sub(1);
    let last = RawFd::try_from(last).map_err(io::Error::other)?;
    let any = File::open("/dev/null")?;
    // SAFETY: fcntl copies an open descriptor to the first free number from `last` on, and changes nothing else.
    let copy = unsafe { libc::fcntl(any.as_raw_fd(), libc::F_DUPFD_CLOEXEC, last) };
    if copy < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the copy was just made, and nobody else owns it.
    drop(unsafe { OwnedFd::from_raw_fd(copy) });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_made_within_the_limit() {
        let limit = crate::privileges::descriptor_limit();
        let wanted = limit.min(2_000);
        make_room(wanted).expect("room");
        let status = std::fs::read_to_string("/proc/self/status").expect("status");
        let size: u64 = status
            .lines()
            .find_map(|line| line.strip_prefix("FDSize:"))
            .and_then(|size| size.trim().parse().ok())
            .expect("the table's size");
        assert!(size >= wanted, "{size} for {wanted}");
    }
}
