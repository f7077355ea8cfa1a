//! What a virtual machine boots from: files in a cpio archive (newc), which the kernel unpacks into its first file system.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

const FOLDER: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const LINK: u32 = 0o120_777;

/// An archive that is being written.
#[derive(Default)]
pub(crate) struct Archive {
    bytes: Vec<u8>,
    names: BTreeSet<String>,
}

impl Archive {
    /// One with the folders of a merged `/usr`.
    pub(crate) fn new() -> Self {
        let mut archive = Self::default();
        for name in ["dev", "etc", "proc", "run", "sys", "tmp"] {
            archive.folder(name);
        }
        for name in ["bin", "lib", "lib64", "sbin"] {
            archive.folder(&format!("usr/{name}"));
            archive.link(name, &format!("usr/{name}"));
        }
        archive
    }

    /// The whole of it.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, &[]);
        self.bytes
    }

    /// Adds a file that may be run; `name` has no slash before it.
    pub(crate) fn file(&mut self, name: &str, content: &[u8]) {
        if let Some((folder, _)) = name.rsplit_once('/') {
            self.folder(folder);
        }
        if self.names.insert(name.to_owned()) {
            self.entry(name, PROGRAM, content);
        }
    }

    /// Adds a symbolic link.
    pub(crate) fn link(&mut self, name: &str, target: &str) {
        if self.names.insert(name.to_owned()) {
            self.entry(name, LINK, target.as_bytes());
        }
    }

    /// Adds a program of this system with the libraries that it loads; false if it is not installed.
    pub(crate) fn program(&mut self, name: &str) -> bool {
        let folders = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];
        let mut paths = folders.iter().map(|folder| Path::new(folder).join(name));
        let Some(path) = paths.find(|path| path.is_file()) else {
            return false;
        };
        self.copy(&path);
        self.libraries(&path);
        true
    }

    /// Adds the libraries that a program loads.
    pub(crate) fn libraries(&mut self, program: &Path) {
        // It prints `name => path (address)`, and of the loader `path (address)`.
        let told = Command::new("ldd").arg(program).output();
        let text = told.map_or_else(
            |_| String::new(),
            |told| String::from_utf8_lossy(&told.stdout).into_owned(),
        );
        for word in text.split_whitespace().filter(|word| word.starts_with('/')) {
            self.copy(Path::new(word));
        }
    }

    fn copy(&mut self, path: &Path) {
        let content =
            std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let name = path.strip_prefix("/").unwrap_or(path);
        let merged = match name.starts_with("usr") {
            true => name.to_path_buf(),
            false => PathBuf::from("usr").join(name),
        };
        self.file(&merged.to_string_lossy(), &content);
    }

    fn folder(&mut self, name: &str) {
        if let Some((above, _)) = name.rsplit_once('/') {
            self.folder(above);
        }
        if self.names.insert(name.to_owned()) {
            self.entry(name, FOLDER, &[]);
        }
    }

    /// A header of numbers with eight hexadecimal digits, the name and the content, each up to a multiple of four bytes.
    fn entry(&mut self, name: &str, mode: u32, content: &[u8]) {
        let number = |value: usize| format!("{value:08x}");
        let header = [
            self.names.len(), // inode
            mode as usize,
            0, // user
            0, // group
            1, // links
            0, // time
            content.len(),
            0, // device
            0,
            0, // device of a special file
            0,
            name.len() + 1,
            0, // no checksum
        ];
        self.bytes.extend(b"070701");
        self.bytes.extend(header.map(number).concat().bytes());
        self.bytes.extend(name.bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}
