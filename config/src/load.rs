//! From what `-f` names to the two models: which files, in which language, in which order.

use std::path::{Path, PathBuf};

use crate::diagnostic::{Diagnostic, DiagnosticKind, Diagnostics, Severity};
use crate::haproxy::{self, HaproxyConfig};
use crate::keepalived::{self, KeepalivedConfig};
use crate::source::{FileId, SourceMap};

/// One thing to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A file, or a directory: its `*.cfg` and `*.conf` in lexical order.
    Path(PathBuf),
    /// Text under a name.
    Text {
        /// What complaints call it.
        name: String,
        /// The text.
        text: String,
    },
}

impl Input {
    /// A file or a directory.
    pub fn path(path: impl Into<PathBuf>) -> Self {
        Self::Path(path.into())
    }

    /// Text under a name.
    pub fn text(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self::Text {
            name: name.into(),
            text: text.into(),
        }
    }
}

/// What was read.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// All texts; the diagnostics point into them.
    pub sources: SourceMap,
    /// The proxy's configuration, if a file holds one.
    pub haproxy: Option<HaproxyConfig>,
    /// VRRP's configuration, if a file holds one.
    pub keepalived: Option<KeepalivedConfig>,
    /// Everything there is to complain about. With an error among them the models are not to be run.
    pub diagnostics: Diagnostics,
}

/// Largest file in bytes.
pub const MAX_FILE_BYTES: u64 = 64 * 1024 * 1024;

/// Reads files and directories, or text. `env` gives the value of an environment variable.
///
/// Files of one language are read in order as if they were one. It never fails: what is wrong is in
/// [`Loaded::diagnostics`].
///
/// ```
/// use tandem_config::{Input, load};
/// let text = "defaults\n timeout client 1m\nfrontend web\n bind :80\n";
/// let loaded = load(&[Input::text("haproxy.cfg", text)], &|name| std::env::var(name).ok());
/// assert!(!loaded.diagnostics.has_errors());
/// assert_eq!(loaded.haproxy.map(|config| config.proxies.len()), Some(1));
/// ```
pub fn load(inputs: &[Input], env: &dyn Fn(&str) -> Option<String>) -> Loaded {
    load_as(inputs, env, &host_name())
}

/// The same with keepalived's configuration id (`@id` lines), which is the host name by default.
pub fn load_as(inputs: &[Input], env: &dyn Fn(&str) -> Option<String>, config_id: &str) -> Loaded {
    let mut loaded = Loaded::default();
    let (mut haproxy_files, mut keepalived_files) = (Vec::new(), Vec::new());
    for input in inputs {
        for file in read_input(input, &mut loaded) {
            let source = &loaded.sources.files[usize::from(file.0)];
            match language(&source.name, &source.text) {
                Language::Haproxy => haproxy_files.push(file),
                Language::Keepalived => keepalived_files.push(file),
            }
        }
    }
    if !haproxy_files.is_empty() {
        let (config, diagnostics) = haproxy::parse(&loaded.sources, &haproxy_files, env);
        let files = loaded.sources.files.iter();
        loaded.haproxy = Some(HaproxyConfig {
            files: files.map(|file| file.name.clone()).collect(),
            ..config
        });
        loaded.diagnostics.0.extend(diagnostics.0);
    }
    if !keepalived_files.is_empty() {
        let (config, diagnostics) =
            keepalived::parse(&mut loaded.sources, &keepalived_files, env, config_id);
        loaded.keepalived = Some(config);
        loaded.diagnostics.0.extend(diagnostics.0);
    }
    loaded
}

fn host_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map(|name| name.trim().to_owned())
        .unwrap_or_default()
}

fn read_input(input: &Input, loaded: &mut Loaded) -> Vec<FileId> {
    match input {
        Input::Text { name, text } => vec![loaded.sources.add(name, text)],
        Input::Path(path) if path.is_dir() => match directory(path) {
            Ok(files) => files
                .iter()
                .filter_map(|file| read_file(file, loaded))
                .collect(),
            Err(why) => {
                file_error(
                    loaded,
                    format!("cannot read directory '{}': {why}", path.display()),
                );
                Vec::new()
            }
        },
        Input::Path(path) => read_file(path, loaded).into_iter().collect(),
    }
}

/// The configuration files of a directory in lexical order; hidden ones are left out.
fn directory(path: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path)? {
        let file = entry?.path();
        let hidden = file
            .file_name()
            .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        let wanted = file
            .extension()
            .is_some_and(|extension| extension == "cfg" || extension == "conf");
        if wanted && !hidden && file.is_file() {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

fn read_file(path: &Path, loaded: &mut Loaded) -> Option<FileId> {
    match read_text(path) {
        Ok(text) => Some(loaded.sources.add(path.to_string_lossy(), text)),
        Err(why) => {
            file_error(loaded, format!("cannot read '{}': {why}", path.display()));
            None
        }
    }
}

/// A file's text; bytes that are no UTF-8 (comments in an old encoding) are replaced.
pub(crate) fn read_text(path: &Path) -> Result<String, String> {
    let length = std::fs::metadata(path)
        .map_err(|why| why.to_string())?
        .len();
    if length > MAX_FILE_BYTES {
        return Err(format!("it has {length} bytes, more than {MAX_FILE_BYTES}"));
    }
    let bytes = std::fs::read(path).map_err(|why| why.to_string())?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn file_error(loaded: &mut Loaded, message: String) {
    let kind = DiagnosticKind::File;
    loaded.diagnostics.push(Diagnostic {
        severity: Severity::Error,
        kind,
        message,
        span: None,
        help: None,
    });
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Language {
    Haproxy,
    Keepalived,
}

/// The language of a text: HAProxy's begins a section, keepalived's opens a block.
fn language(name: &str, text: &str) -> Language {
    for line in text.lines() {
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', '!']) {
            continue;
        }
        let first = line.split([' ', '\t', '{', '#']).next().unwrap_or("");
        if haproxy::section_names().any(|section| section == first) || line.starts_with('.') {
            return Language::Haproxy;
        }
        if keepalived::top_level_words().any(|word| word == first)
            || line.starts_with(['$', '@', '~'])
            || line.ends_with('{')
        {
            return Language::Keepalived;
        }
    }
    if name.ends_with(".conf") {
        Language::Keepalived
    } else {
        Language::Haproxy
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_language_is_told_from_the_text() {
        assert_eq!(
            language("x", "# a comment\n\nglobal\n  daemon\n"),
            Language::Haproxy
        );
        assert_eq!(language("x", "  listen web\n"), Language::Haproxy);
        assert_eq!(language("x", ".if 1\nglobal\n.endif"), Language::Haproxy);
        assert_eq!(
            language("x", "! Configuration File for keepalived\nglobal_defs {\n"),
            Language::Keepalived
        );
        assert_eq!(language("x", "vrrp_instance R1{\n"), Language::Keepalived);
        assert_eq!(language("x", "vvrp_script chk {\n"), Language::Keepalived);
        assert_eq!(language("x", "$IF=eth0\n"), Language::Keepalived);
        assert_eq!(
            language("x", "include conf.d/*.conf\n"),
            Language::Keepalived
        );
        assert_eq!(language("x.conf", ""), Language::Keepalived);
        assert_eq!(language("x.cfg", ""), Language::Haproxy);
    }

    #[test]
    fn a_missing_file_is_said_once() {
        let loaded = load(&[Input::path("/nonexistent/x.cfg")], &|_| None);
        assert_eq!(loaded.diagnostics.0.len(), 1);
        assert_eq!(loaded.diagnostics.0[0].kind, DiagnosticKind::File);
        assert!(loaded.haproxy.is_none() && loaded.keepalived.is_none());
    }
}
