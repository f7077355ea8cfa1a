//! Which rights a process holds: chroot, user and group, capabilities, limits.
//!
//! Each role calls [`restrict`] once, after it opened what needs root and before it reads a byte from
//! the network. As an ordinary user (in a user namespace for instance) the steps that the kernel refuses
//! to everybody but root are left out, because there is nothing to give up.

use std::io;
use std::path::Path;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::{Gid, Group, Uid, User};

pub use caps::Capability;

/// A user with its groups, as numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// User id; `None` stays as it is.
    pub uid: Option<u32>,
    /// Group id; `None` stays as it is.
    pub gid: Option<u32>,
}

/// Rights that a role is left with.
#[derive(Clone, Debug)]
pub struct Restriction<'a> {
    /// New root directory.
    pub chroot: Option<&'a Path>,
    /// New user and group.
    pub identity: Identity,
    /// Capabilities that stay permitted and effective; all others go, also from the bounding set.
    pub keep: &'a [Capability],
}

/// The user id of an account's name.
pub fn user_id(name: &str) -> io::Result<u32> {
    match User::from_name(name)? {
        Some(user) => Ok(user.uid.as_raw()),
        None => Err(io::Error::new(
            io::ErrorKind::NotFound,
            format!("there is no user '{name}'"),
        )),
    }
}

/// The primary group of an account's name.
pub fn primary_group_of(name: &str) -> io::Result<u32> {
    match User::from_name(name)? {
        Some(user) => Ok(user.gid.as_raw()),
        None => Err(io::Error::new(
            io::ErrorKind::NotFound,
            format!("there is no user '{name}'"),
        )),
    }
}

/// The group id of a group's name.
pub fn group_id(name: &str) -> io::Result<u32> {
    match Group::from_name(name)? {
        Some(group) => Ok(group.gid.as_raw()),
        None => Err(io::Error::new(
            io::ErrorKind::NotFound,
            format!("there is no group '{name}'"),
        )),
    }
}

/// Whether this process runs as root.
pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// Whether this process has a capability in effect.
pub fn has(capability: Capability) -> bool {
    caps::has_cap(None, caps::CapSet::Effective, capability).unwrap_or(false)
}

/// Whether a user id exists in this user namespace: one that maps root alone knows no other.
pub fn is_mapped_user(uid: u32) -> bool {
    is_mapped("/proc/self/uid_map", uid)
}

/// Whether a group id exists in this user namespace.
pub fn is_mapped_group(gid: u32) -> bool {
    is_mapped("/proc/self/gid_map", gid)
}

/// Lines of user_namespaces(7): first id inside, first id outside, count.
fn is_mapped(map: &str, id: u32) -> bool {
    let Ok(text) = std::fs::read_to_string(map) else {
        return true;
    };
    text.lines().any(|line| {
        let numbers: Vec<u64> = line
            .split_whitespace()
            .filter_map(|word| word.parse().ok())
            .collect();
        matches!(numbers[..], [first, _, count] if (first..first + count).contains(&u64::from(id)))
    })
}

/// Gives up all rights but the named ones. Call it while one thread runs: user and group change for all
/// threads, capabilities for the calling thread and those it starts.
pub fn restrict(restriction: &Restriction<'_>) -> io::Result<()> {
    let root = is_root();
    if let Some(path) = restriction.chroot {
        nix::unistd::chroot(path)?;
        std::env::set_current_dir("/")?;
    }
    let keep: caps::CapsHashSet = restriction.keep.iter().copied().collect();
    if root {
        // The bounding set needs CAP_SETPCAP, so it goes first.
        if let Ok(bounding) = caps::read(None, caps::CapSet::Bounding) {
            for capability in bounding.difference(&keep) {
                // A container may have taken CAP_SETPCAP away; then the set below still holds.
                let _ = caps::drop(None, caps::CapSet::Bounding, *capability);
            }
        }
        if let Some(gid) = restriction.identity.gid {
            // A user namespace with setgroups denied refuses this, and has no groups to lose.
            let _ = nix::unistd::setgroups(&[Gid::from_raw(gid)]);
            nix::unistd::setresgid(Gid::from_raw(gid), Gid::from_raw(gid), Gid::from_raw(gid))?;
        }
        if let Some(uid) = restriction.identity.uid {
            if !keep.is_empty() {
                nix::sys::prctl::set_keepcaps(true)?;
            }
            nix::unistd::setresuid(Uid::from_raw(uid), Uid::from_raw(uid), Uid::from_raw(uid))?;
        }
    }
    let permitted = caps::read(None, caps::CapSet::Permitted).map_err(other)?;
    let rest: caps::CapsHashSet = permitted.intersection(&keep).copied().collect();
    caps::set(None, caps::CapSet::Effective, &rest).map_err(other)?;
    caps::set(None, caps::CapSet::Permitted, &rest).map_err(other)?;
    caps::set(None, caps::CapSet::Inheritable, &caps::CapsHashSet::new()).map_err(other)?;
    nix::sys::prctl::set_no_new_privs()?;
    Ok(())
}

fn other(error: caps::errors::CapsError) -> io::Error {
    io::Error::other(error.to_string())
}

/// Raises the limit of open descriptors towards `wanted` and returns what it is now.
pub fn raise_descriptor_limit(wanted: u64) -> io::Result<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft >= wanted {
        return Ok(soft);
    }
    if hard < wanted && setrlimit(Resource::RLIMIT_NOFILE, wanted, wanted).is_ok() {
        return Ok(wanted);
    }
    let reachable = wanted.min(hard);
    setrlimit(Resource::RLIMIT_NOFILE, reachable, hard)?;
    Ok(reachable)
}

/// Lowers the limit of open descriptors to `wanted` and returns what it is now; a lower one stays.
pub fn lower_descriptor_limit(wanted: u64) -> io::Result<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft > wanted {
        setrlimit(Resource::RLIMIT_NOFILE, wanted, hard)?;
    }
    Ok(soft.min(wanted))
}

/// The limit of open descriptors; 0 where it cannot be told.
pub fn descriptor_limit() -> u64 {
    getrlimit(Resource::RLIMIT_NOFILE).map_or(0, |(soft, _)| soft)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_known_in_every_namespace() {
        assert!(is_mapped_user(nix::unistd::geteuid().as_raw()));
        assert!(is_mapped_group(nix::unistd::getegid().as_raw()));
        assert!(is_mapped("/no/such/map", 1));
    }

    #[test]
    fn accounts_are_found_by_name_and_missing_ones_are_named() {
        assert_eq!(user_id("root").expect("root"), 0);
        assert_eq!(group_id("root").expect("root"), 0);
        let missing = user_id("no-such-user-here").expect_err("missing");
        assert!(
            missing.to_string().contains("no-such-user-here"),
            "{missing}"
        );
    }
}
