//! Whether a program of the configuration may run: it is there, its user may execute it, and with
//! `enable_script_security` nobody but root can change what root would run.
//!
//! [`look_up`] asks the file system, [`judge`] decides from its answers; the supervisor does both before each run,
//! and `-c` does them for the whole configuration. The rules are what keepalived 2.2.7 was seen to do.

use std::fmt;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::unistd::{Gid, Group, Uid, User};

/// The user that keepalived takes when none is configured, if the system has it.
const DEFAULT_SCRIPT_USER: &str = "keepalived_script";
/// Where a name without a slash is searched if PATH is not set, as execvp(3) does.
const DEFAULT_PATH: &str = "/bin:/usr/bin";

/// A user's name, and a group's if it is not the user's own.
pub type Account = (String, Option<String>);

/// Whose rights a program runs with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rights {
    /// The user.
    pub uid: u32,
    /// Its groups.
    pub groups: Vec<u32>,
}

impl Rights {
    /// Of an account that a program runs as; `None` is this process itself.
    pub fn of(identity: Option<(u32, u32)>) -> Self {
        match identity {
            Some((uid, gid)) => Self {
                uid,
                groups: vec![gid],
            },
            None => {
                let mut groups = vec![nix::unistd::getegid().as_raw()];
                let further = nix::unistd::getgroups().unwrap_or_default();
                groups.extend(further.into_iter().map(Gid::as_raw));
                Self {
                    uid: nix::unistd::geteuid().as_raw(),
                    groups,
                }
            }
        }
    }

    fn is_root(&self) -> bool {
        self.uid == 0
    }

    /// Whether the mode lets this user execute a file, or go through a folder.
    fn may_execute(&self, entry: &Entry) -> bool {
        if self.is_root() {
            return entry.kind == Kind::Folder || entry.mode & 0o111 != 0;
        }
        let shift = if self.uid == entry.uid {
            6
        } else if self.groups.contains(&entry.gid) {
            3
        } else {
            0
        };
        (entry.mode >> shift) & 0o1 != 0
    }
}

/// `enable_script_security`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// It is not written.
    Off,
    /// What runs as root must be changeable by root alone.
    On,
}

impl From<bool> for Security {
    fn from(written: bool) -> Self {
        if written { Self::On } else { Self::Off }
    }
}

/// What stands at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A device, a socket, a FIFO.
    Other,
}

/// A component of a program's path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The path so far.
    pub path: PathBuf,
    /// What it is.
    pub kind: Kind,
    /// Its owner.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Its permissions, with the sticky bit.
    pub mode: u32,
}

/// A program as the file system has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// Its path as written, or as the search in PATH found it.
    pub path: PathBuf,
    /// The owner of the symbolic link, if it is one.
    pub link_owner: Option<u32>,
    /// The path with all links resolved: from `/` to the file.
    pub entries: Vec<Entry>,
}

/// Why a program does not run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Its user or group does not exist: which.
    NoAccount(String),
    /// There is no file of this name.
    Missing(PathBuf),
    /// A link that leads nowhere, and where it leads.
    Dangling(PathBuf, PathBuf),
    /// A name without a slash that no folder of PATH has.
    NotInPath(String),
    /// The file system does not tell: why.
    Hidden(PathBuf, String),
    /// It is no regular file.
    NoFile(PathBuf, Kind),
    /// The user with this number may not go through a folder.
    Unreachable(Entry, u32),
    /// The user with this number may not execute it.
    NotExecutable(Entry, u32),
    /// `enable_script_security`: others than root can change a component.
    Changeable(Entry, Changer),
    /// `enable_script_security`: the link belongs to the user with this number.
    ForeignLink(PathBuf, u32),
}

/// Who can change a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Changer {
    /// Its owner, whatever the mode: an owner may change that too.
    Owner,
    /// Its group.
    Group,
    /// Everybody.
    Others,
}

/// User and group of a program: its own, else `script_user`, else keepalived's default if the system has it. `None`
/// stays what the daemon is.
pub fn account(
    own: Option<&Account>,
    script_user: Option<&Account>,
) -> Result<Option<(u32, u32)>, Refusal> {
    let default = (DEFAULT_SCRIPT_USER.to_owned(), None);
    let (name, group) = match own.or(script_user) {
        Some(named) => named,
        None if sys::privileges::user_id(DEFAULT_SCRIPT_USER).is_ok() => &default,
        None => return Ok(None),
    };
    let unknown = |error: io::Error| Refusal::NoAccount(error.to_string());
    let uid = sys::privileges::user_id(name).map_err(unknown)?;
    let gid = match group {
        Some(group) => sys::privileges::group_id(group),
        None => sys::privileges::primary_group_of(name),
    };
    Ok(Some((uid, gid.map_err(unknown)?)))
}

/// Looks a program up and judges it.
pub fn examine(program: &str, rights: &Rights, security: Security) -> Result<(), Refusal> {
    judge(&look_up(program)?, rights, security)
}

/// What the file system says of a program. A name without a slash is searched in PATH.
pub fn look_up(program: &str) -> Result<Program, Refusal> {
    let path = if program.contains('/') {
        PathBuf::from(program)
    } else {
        search(program)?
    };
    let hidden =
        |path: &Path, error: &io::Error| Refusal::Hidden(path.to_owned(), error.to_string());
    let link = std::fs::symlink_metadata(&path).map_err(|error| match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => Refusal::Missing(path.clone()),
        _ => hidden(&path, &error),
    })?;
    let resolved = path.canonicalize().map_err(|error| match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => {
            Refusal::Dangling(path.clone(), std::fs::read_link(&path).unwrap_or_default())
        }
        _ => hidden(&path, &error),
    })?;
    let mut entries = resolved
        .ancestors()
        .map(|path| entry(path).map_err(|error| hidden(path, &error)))
        .collect::<Result<Vec<_>, _>>()?;
    entries.reverse();
    Ok(Program {
        path,
        link_owner: link.is_symlink().then(|| link.uid()),
        entries,
    })
}

fn entry(path: &Path) -> io::Result<Entry> {
    let data = std::fs::metadata(path)?;
    Ok(Entry {
        path: path.to_owned(),
        kind: match data.file_type() {
            found if found.is_file() => Kind::File,
            found if found.is_dir() => Kind::Folder,
            _ => Kind::Other,
        },
        uid: data.uid(),
        gid: data.gid(),
        mode: data.mode() & 0o7777,
    })
}

fn search(name: &str) -> Result<PathBuf, Refusal> {
    let folders = std::env::var_os("PATH").unwrap_or_else(|| DEFAULT_PATH.into());
    std::env::split_paths(&folders)
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
        .ok_or_else(|| Refusal::NotInPath(name.to_owned()))
}

/// Whether a program may run with these rights.
pub fn judge(program: &Program, rights: &Rights, security: Security) -> Result<(), Refusal> {
    let Some((file, folders)) = program.entries.split_last() else {
        return Err(Refusal::Missing(program.path.clone()));
    };
    if file.kind != Kind::File {
        return Err(Refusal::NoFile(program.path.clone(), file.kind));
    }
    if let Some(closed) = folders.iter().find(|folder| !rights.may_execute(folder)) {
        return Err(Refusal::Unreachable(closed.clone(), rights.uid));
    }
    if !rights.may_execute(file) {
        return Err(Refusal::NotExecutable(file.clone(), rights.uid));
    }
    if security == Security::Off || !rights.is_root() {
        return Ok(());
    }
    for entry in &program.entries {
        if let Some(changer) = changer(entry) {
            return Err(Refusal::Changeable(entry.clone(), changer));
        }
    }
    // The link itself is looked at, the folder in which it stands is not, as in keepalived.
    match program.link_owner {
        Some(owner) if owner != 0 => Err(Refusal::ForeignLink(program.path.clone(), owner)),
        _ => Ok(()),
    }
}

/// Who but root can change what stands at a path.
fn changer(entry: &Entry) -> Option<Changer> {
    const STICKY: u32 = 0o1000;
    if entry.uid != 0 {
        return Some(Changer::Owner);
    }
    // In a sticky folder others can add files, and cannot replace those of root. On a file the bit means nothing.
    if entry.kind == Kind::Folder && entry.mode & STICKY != 0 {
        return None;
    }
    if entry.mode & 0o002 != 0 {
        return Some(Changer::Others);
    }
    (entry.mode & 0o020 != 0 && entry.gid != 0).then_some(Changer::Group)
}

impl Refusal {
    /// What there is to do.
    pub fn help(&self) -> String {
        match self {
            Self::NoAccount(_) => "create the account, or name another one".to_owned(),
            Self::Missing(_) | Self::Dangling(..) => {
                "correct the path, or put the script there".to_owned()
            }
            Self::NotInPath(_) | Self::NoFile(..) => "write the whole path of a program".to_owned(),
            Self::Hidden(..) => "ask again as root".to_owned(),
            Self::Unreachable(entry, _) | Self::NotExecutable(entry, _) => format!(
                "chmod +x {}, or name another user behind the script",
                entry.path.display()
            ),
            Self::Changeable(entry, Changer::Owner) => format!(
                "chown root {}, or let the script run as another user than root",
                entry.path.display()
            ),
            Self::Changeable(entry, Changer::Group | Changer::Others) => format!(
                "chmod go-w {}, or let the script run as another user than root",
                entry.path.display()
            ),
            Self::ForeignLink(path, _) => format!(
                "chown -h root {}, or name the script itself",
                path.display()
            ),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SECURITY: &str = "enable_script_security";
        match self {
            Self::NoAccount(why) => f.write_str(why),
            Self::Missing(path) => write!(f, "{} does not exist", path.display()),
            Self::Dangling(path, to) => write!(
                f,
                "{} is a link to '{}', which does not exist",
                path.display(),
                to.display()
            ),
            Self::NotInPath(name) => write!(f, "PATH has no program '{name}'"),
            Self::Hidden(path, why) => write!(f, "{} cannot be looked at: {why}", path.display()),
            Self::NoFile(path, Kind::Folder) => write!(f, "{} is a directory", path.display()),
            Self::NoFile(path, _) => write!(f, "{} is no regular file", path.display()),
            Self::Unreachable(entry, uid) => write!(
                f,
                "{} may not enter '{}' ({})",
                user(*uid),
                entry.path.display(),
                rights_of(entry)
            ),
            Self::NotExecutable(entry, uid) => write!(
                f,
                "{} is not executable for {} ({})",
                entry.path.display(),
                user(*uid),
                rights_of(entry)
            ),
            Self::Changeable(entry, changer) => {
                let who = match changer {
                    Changer::Owner => format!("its owner, {}", user(entry.uid)),
                    Changer::Group => group(entry.gid),
                    Changer::Others => "everybody".to_owned(),
                };
                let path = entry.path.display();
                write!(
                    f,
                    "{SECURITY}: '{path}' is writable by {who} (mode {:04o})",
                    entry.mode
                )
            }
            Self::ForeignLink(path, owner) => write!(
                f,
                "{SECURITY}: the link '{}' belongs to {}",
                path.display(),
                user(*owner)
            ),
        }
    }
}

fn rights_of(entry: &Entry) -> String {
    format!(
        "mode {:04o}, {}, {}",
        entry.mode,
        user(entry.uid),
        group(entry.gid)
    )
}

fn user(uid: u32) -> String {
    match User::from_uid(Uid::from_raw(uid)) {
        Ok(Some(user)) => format!("user '{}'", user.name),
        _ => format!("user {uid}"),
    }
}

fn group(gid: u32) -> String {
    match Group::from_gid(Gid::from_raw(gid)) {
        Ok(Some(group)) => format!("group '{}'", group.name),
        _ => format!("group {gid}"),
    }
}

#[cfg(test)]
mod tests;
