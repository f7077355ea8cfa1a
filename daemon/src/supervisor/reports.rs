//! Files in the folder of the control socket: those that keepalived's clients ask for (`PrintData`, `PrintStats`), and what the
//! next vrrp process is to know.
//!
//! keepalived writes them into `/tmp`, where everybody may put links before it does; the folder here is the daemon's own.

use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use protocol::process::Report;

use super::{DEFAULT_SOCKET, Supervisor};

/// Largest file.
const MAX_REPORT_BYTES: usize = 8 << 20;
/// Like keepalived's: for root alone.
const MODE: u32 = 0o600;
/// What vrrp remembers.
const MEMORY: &str = "vrrp.memory";

impl Supervisor {
    /// Writes the file: where it is, or why not.
    pub(super) fn write_report(&self, report: Report, text: &str) -> Result<String, String> {
        let path = self.folder().join(report.file_name());
        match write(&path, text.as_bytes()) {
            Ok(()) => Ok(path.display().to_string()),
            Err(error) => Err(format!("cannot write {}: {error}", path.display())),
        }
    }

    fn folder(&self) -> &Path {
        let socket = self.arguments.socket.as_deref();
        let socket = socket.unwrap_or(Path::new(DEFAULT_SOCKET));
        socket.parent().unwrap_or(Path::new("/"))
    }

    /// Keeps what vrrp said, for its next start and for the daemon's.
    pub(super) fn remember(&mut self, memory: Vec<u8>) {
        let path = self.folder().join(MEMORY);
        let was_empty = self.memory.is_empty();
        if let Err(error) = write(&path, &memory)
            && was_empty
        {
            let path = path.display();
            tracing::warn!(
                "{path}: {error}: a restart of the daemon forgets which advertisements auth_hmac has proved"
            );
        }
        self.memory = memory;
    }

    /// What the daemon before has kept.
    pub(super) fn recall(&mut self) {
        let path = self.folder().join(MEMORY);
        let is_ours = |about: &std::fs::Metadata| {
            about.is_file()
                && about.uid() == nix::unistd::geteuid().as_raw()
                && about.len() <= MAX_REPORT_BYTES as u64
        };
        if std::fs::symlink_metadata(&path).is_ok_and(|about| is_ours(&about)) {
            self.memory = std::fs::read(&path).unwrap_or_default();
        }
    }
}

/// Readers find the old file or the new one, never a part. What lies there is replaced, not followed.
fn write(path: &Path, text: &[u8]) -> std::io::Result<()> {
    if text.len() > MAX_REPORT_BYTES {
        return Err(std::io::ErrorKind::FileTooLarge.into());
    }
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}", std::process::id()));
    let beside = PathBuf::from(beside);
    // Of a write that was interrupted.
    let _ = std::fs::remove_file(&beside);
    let mut options = std::fs::OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(MODE)
        .open(&beside)?;
    let written = file.write_all(text);
    let done = written.and_then(|()| std::fs::rename(&beside, path));
    if done.is_err() {
        let _ = std::fs::remove_file(&beside);
    }
    done
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_link_in_its_place_is_replaced_and_not_followed() {
        let folder = std::env::temp_dir().join(format!("tandem-report-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let (victim, path) = (folder.join("victim"), folder.join("keepalived.data"));
        std::fs::write(&victim, "whole").expect("a file");
        std::os::unix::fs::symlink(&victim, &path).expect("a link");
        for text in ["first", "second"] {
            write(&path, text.as_bytes()).expect("written");
            assert_eq!(std::fs::read_to_string(&path).expect("read"), text);
        }
        assert_eq!(std::fs::read_to_string(&victim).expect("read"), "whole");
        let mode = std::fs::metadata(&path)
            .expect("there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, MODE);
        assert_eq!(std::fs::read_dir(&folder).expect("a folder").count(), 2);
        assert!(write(&folder.join("no/file"), b"").is_err());
        std::fs::remove_dir_all(&folder).expect("removed");
    }
}
