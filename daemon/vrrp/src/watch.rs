//! Looks at tracked files and counts tracked processes, for the supervisor, which may read them all.
//!
//! It polls, every [`INTERVAL`]: the kernel's process events, which keepalived uses, do not reach into network
//! namespaces, and a file's content is compared whatever way it was changed (also on network file systems).

use std::io::Read;
use std::path::Path;
use std::time::Duration;

use config::keepalived::{InitFile, KeepalivedConfig, ParameterMatch, ProcessMatch, TrackFile};
use protocol::process::Observation;

/// Pause between two looks at the files.
pub const INTERVAL: Duration = Duration::from_millis(100);
/// Looks at the files for each count of processes, which costs more.
const LOOKS_PER_COUNT: u64 = 2;
/// Most that is read of a file: a number and some blanks.
const MAX_FILE_BYTES: u64 = 128;
/// Most that is read of a command line.
const MAX_COMMAND_BYTES: u64 = 64 * 1024;
/// The kernel cuts the name of a process at so many bytes.
const NAME_BYTES: usize = 15;

/// What a look at a file gives.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Content {
    value: i64,
    detail: String,
}

struct WatchedFile {
    file: TrackFile,
    told: Option<Content>,
    /// It was empty at the last look: who writes it may have got no further.
    was_empty: bool,
}

struct WatchedProcess {
    name: String,
    process: ProcessMatch,
    told: Option<u32>,
}

/// Files and processes that instances and sync groups of a configuration track.
pub struct Watcher {
    files: Vec<WatchedFile>,
    processes: Vec<WatchedProcess>,
    looks: u64,
}

impl Watcher {
    /// Watches what is tracked; what is only defined is left alone, as keepalived does.
    pub fn new(config: &KeepalivedConfig) -> Self {
        let instances = config.instances.iter().map(|instance| &instance.tracks);
        let groups = config.sync_groups.iter().map(|group| &group.tracks);
        let all: Vec<_> = instances.chain(groups).collect();
        let is_tracked_file = |at: usize| {
            let mut files = all.iter().flat_map(|tracks| &tracks.files);
            files.any(|tracked| tracked.item == at)
        };
        let is_tracked_process = |at: usize| {
            let mut processes = all.iter().flat_map(|tracks| &tracks.processes);
            processes.any(|tracked| tracked.item == at)
        };
        let files = config.track_files.iter().enumerate();
        let processes = config.track_processes.iter().enumerate();
        Self {
            files: files
                .filter(|(at, _)| is_tracked_file(*at))
                .map(|(_, file)| WatchedFile {
                    file: file.clone(),
                    told: None,
                    was_empty: false,
                })
                .collect(),
            processes: processes
                .filter(|(at, _)| is_tracked_process(*at))
                .map(|(_, process)| WatchedProcess {
                    name: process.name.text.clone(),
                    process: process.process.clone(),
                    told: None,
                })
                .collect(),
            looks: 0,
        }
    }

    /// Whether there is nothing to watch.
    pub fn is_idle(&self) -> bool {
        self.files.is_empty() && self.processes.is_empty()
    }

    /// `init_file`: writes files that do not exist, and at the daemon's start those to be overwritten. Says what failed.
    pub fn write_initial_values(&self, at_start: bool) -> Vec<String> {
        let write = |file: &TrackFile, init: InitFile| {
            if Path::new(&file.file).exists() && !(init.overwrite && at_start) {
                return None;
            }
            let error = std::fs::write(&file.file, format!("{}\n", init.value)).err()?;
            let name = file.name.as_str();
            Some(format!(
                "track_file {name}: init_file cannot write {}: {error}",
                file.file
            ))
        };
        let files = self.files.iter().map(|watched| &watched.file);
        files.filter_map(|file| write(file, file.init?)).collect()
    }

    /// What changed since the last look; everything at the first.
    pub fn look(&mut self) -> Vec<Observation> {
        let mut changes: Vec<_> = self
            .files
            .iter_mut()
            .filter_map(WatchedFile::look)
            .collect();
        if !self.processes.is_empty() && self.looks.is_multiple_of(LOOKS_PER_COUNT) {
            let counts = count_processes(&self.processes);
            for (process, count) in self.processes.iter_mut().zip(counts) {
                if process.told.replace(count) != Some(count) {
                    changes.push(Observation::Processes {
                        name: process.name.clone(),
                        count,
                    });
                }
            }
        }
        self.looks += 1;
        changes
    }
}

impl WatchedFile {
    fn look(&mut self) -> Option<Observation> {
        let path = Path::new(&self.file.file);
        let text = read(path, MAX_FILE_BYTES);
        let is_empty = matches!(&text, Ok(bytes) if bytes.is_empty());
        // `echo 5 > file` empties it first.
        if is_empty && !std::mem::replace(&mut self.was_empty, true) && self.told.is_some() {
            return None;
        }
        self.was_empty = is_empty;
        let content = match text {
            Ok(bytes) => match number(&String::from_utf8_lossy(&bytes)) {
                Ok(value) => Content {
                    value,
                    detail: format!("holds {value}"),
                },
                // As keepalived: what cannot be is not taken.
                Err(OutOfRange) => Content {
                    value: self.told.as_ref().map_or(0, |told| told.value),
                    detail: "holds a number out of range, which is ignored".to_owned(),
                },
            },
            Err(error) => Content {
                value: 0,
                detail: format!("cannot be read ({error}) and counts as 0"),
            },
        };
        if self.told.as_ref() == Some(&content) {
            return None;
        }
        self.told = Some(content.clone());
        Some(Observation::File {
            name: self.file.name.text.clone(),
            value: content.value,
            detail: content.detail,
        })
    }
}

/// Reads the begin of a regular file.
fn read(path: &Path, most: u64) -> std::io::Result<Vec<u8>> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(std::io::Error::other("not a regular file"));
    }
    let mut bytes = Vec::new();
    std::fs::File::open(path)?
        .take(most)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[derive(Debug, PartialEq, Eq)]
struct OutOfRange;

/// The number at the begin of a text, as C's strtol with base 0 reads it, and as keepalived bounds it: 0 if there is none.
fn number(text: &str) -> Result<i64, OutOfRange> {
    let text = text.trim_start();
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let hexadecimal = digits
        .strip_prefix("0x")
        .or_else(|| digits.strip_prefix("0X"))
        .filter(|rest| rest.starts_with(|digit: char| digit.is_ascii_hexdigit()));
    let (base, digits) = match hexadecimal {
        Some(rest) => (16, rest),
        None if digits.starts_with('0') => (8, digits),
        None => (10, digits),
    };
    let mut value: i64 = 0;
    for digit in digits.chars().map_while(|digit| digit.to_digit(base)) {
        value = value
            .saturating_mul(i64::from(base))
            .saturating_add(i64::from(digit));
    }
    let value = if negative { -value } else { value };
    match i32::try_from(value) {
        Ok(_) => Ok(value),
        Err(_) => Err(OutOfRange),
    }
}

/// How many processes run that each of these means.
fn count_processes(wanted: &[WatchedProcess]) -> Vec<u32> {
    let mut counts = vec![0; wanted.len()];
    let needs_command = wanted.iter().any(|one| one.process.full_command);
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return counts;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let is_process = name.as_encoded_bytes().iter().all(u8::is_ascii_digit);
        if !is_process {
            continue;
        }
        // A process may end at any moment: then it is none.
        let Some(name) = process_name(&entry.path()) else {
            continue;
        };
        let command = match needs_command {
            true => read(&entry.path().join("cmdline"), MAX_COMMAND_BYTES).unwrap_or_default(),
            false => Vec::new(),
        };
        for (one, count) in wanted.iter().zip(&mut counts) {
            *count += u32::from(matches(&one.process, &name, &command));
        }
    }
    counts
}

/// The name of a process that runs; none of a zombie.
fn process_name(folder: &Path) -> Option<Vec<u8>> {
    let stat = std::fs::read(folder.join("stat")).ok()?;
    // `12 (name) S …`, where the name may hold anything.
    let begin = stat.iter().position(|byte| *byte == b'(')? + 1;
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    let is_dead = matches!(stat.get(end + 2), Some(b'Z' | b'X') | None);
    let name = stat.get(begin..end)?;
    (!is_dead).then(|| name.to_vec())
}

/// Whether a process is meant. `command` is its command line, each word ended by a zero byte.
fn matches(wanted: &ProcessMatch, name: &[u8], command: &[u8]) -> bool {
    if !wanted.full_command {
        let wanted = wanted.command.as_bytes();
        return name == &wanted[..wanted.len().min(NAME_BYTES)];
    }
    let command = command.strip_suffix(b"\0").unwrap_or(command);
    let mut words = command.split(|byte| *byte == 0);
    if words.next() != Some(wanted.command.as_bytes()) {
        return false;
    }
    let words: Vec<_> = words.collect();
    let parameters: Vec<_> = wanted.parameters.iter().map(String::as_bytes).collect();
    match wanted.parameter_match {
        ParameterMatch::Exact => words == parameters,
        ParameterMatch::Partial => words.starts_with(&parameters),
        ParameterMatch::Initial => match parameters.split_last() {
            None => words.is_empty(),
            Some((last, others)) => {
                words.len() == parameters.len()
                    && words.starts_with(others)
                    && words[others.len()].starts_with(last)
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_keepalived_reads_them() {
        let check = |text: &str, expected| assert_eq!(number(text), expected, "{text:?}");
        check("5\n", Ok(5));
        check("-5", Ok(-5));
        check(" 7 8\n", Ok(7));
        check("7x", Ok(7));
        check("3.5", Ok(3));
        check("0x10", Ok(16));
        check("010", Ok(8));
        check("0", Ok(0));
        check("abc", Ok(0));
        check("", Ok(0));
        check("-", Ok(0));
        check("99999999999999", Err(OutOfRange));
        check("-99999999999999999999999999", Err(OutOfRange));
    }

    #[test]
    fn processes_are_told_apart() {
        let check = |command: &str, parameters: &[&str], how, line: &str, expected| {
            let wanted = ProcessMatch {
                command: command.to_owned(),
                parameters: parameters.iter().map(|&word| word.to_owned()).collect(),
                full_command: true,
                parameter_match: how,
            };
            let found = matches(&wanted, b"name", line.replace(' ', "\0").as_bytes());
            assert_eq!(found, expected, "{command} {parameters:?} {how:?}: {line}");
        };
        use ParameterMatch::{Exact, Initial, Partial};
        check("/bin/a", &[], Exact, "/bin/a ", true);
        check("/bin/a", &[], Exact, "/bin/a x ", false);
        check("/bin/a", &[], Partial, "/bin/a x ", true);
        check("a", &[], Partial, "/bin/a x ", false);
        check("/bin/a", &["x"], Exact, "/bin/a x ", true);
        check("/bin/a", &["x"], Partial, "/bin/a x y ", true);
        check("/bin/a", &["x"], Initial, "/bin/a xyz ", true);
        check("/bin/a", &["x"], Initial, "/bin/a xyz z ", false);
        check("/bin/a", &["x", "y"], Initial, "/bin/a x yes ", true);
        check("/bin/a", &["x", "y"], Initial, "/bin/a xx yes ", false);
        let named = ProcessMatch {
            command: "a-rather-long-name".to_owned(),
            parameters: Vec::new(),
            full_command: false,
            parameter_match: Exact,
        };
        assert!(matches(&named, b"a-rather-long-n", b""));
    }

    #[test]
    fn a_file_that_is_being_written_is_read_when_it_is() {
        let folder = std::env::temp_dir().join(format!("tandem-watch-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let path = folder.join("value");
        let mut watched = WatchedFile {
            file: TrackFile {
                name: config::Word::new("f", config::Span::default()),
                file: path.display().to_string(),
                weight: 1,
                reverse: false,
                init: None,
            },
            told: None,
            was_empty: false,
        };
        let mut look = || match watched.look() {
            Some(Observation::File { value, .. }) => Some(value),
            _ => None,
        };
        let write = |text: &str| std::fs::write(&path, text).expect("a file");
        assert_eq!(look(), Some(0), "it does not exist");
        write("5\n");
        assert_eq!((look(), look()), (Some(5), None));
        write("");
        assert_eq!(look(), None, "emptied, and then written");
        write("6\n");
        assert_eq!(look(), Some(6));
        write("");
        assert_eq!((look(), look()), (None, Some(0)), "emptied for good");
        std::fs::remove_dir_all(&folder).expect("it was there");
    }
}
