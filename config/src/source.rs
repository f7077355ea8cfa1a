//! Where text came from: files, places in them, and words that know their place.

use serde::{Deserialize, Serialize};

/// A file of a [`SourceMap`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FileId(pub u16);

/// A place in a file. Lines and columns count from 1; columns and lengths count characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// The file.
    pub file: FileId,
    /// Line, from 1; 0 where a thing has no place (a default).
    pub line: u32,
    /// Column of the first character, from 1.
    pub column: u32,
    /// Length in characters, within the line.
    pub length: u32,
}

/// One word of a configuration line, after quoting, escapes and variables are resolved.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Word {
    /// The text that the word stands for.
    pub text: String,
    /// Where it was written.
    pub span: Span,
}

impl Word {
    /// A word with a place.
    pub fn new(text: impl Into<String>, span: Span) -> Self {
        Self {
            text: text.into(),
            span,
        }
    }

    /// The word's text.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// A file's name and text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceFile {
    /// Path as the operator named it.
    pub name: String,
    /// Its whole text.
    pub text: String,
}

/// All files of a configuration; [`Span`]s point into it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceMap {
    /// Files in the order in which they were read.
    pub files: Vec<SourceFile>,
}

impl SourceMap {
    /// Adds a file and returns its id. At most 65,535 files.
    pub fn add(&mut self, name: impl Into<String>, text: impl Into<String>) -> FileId {
        let id = FileId(u16::try_from(self.files.len()).unwrap_or(u16::MAX));
        self.files.push(SourceFile {
            name: name.into(),
            text: text.into(),
        });
        id
    }

    /// The name of a file, or `?` for a place without one.
    pub fn name(&self, file: FileId) -> &str {
        self.files
            .get(usize::from(file.0))
            .map_or("?", |file| file.name.as_str())
    }

    /// The text of a line, without its end; empty if there is no such line.
    pub fn line(&self, file: FileId, line: u32) -> &str {
        let wanted = (line as usize).saturating_sub(1);
        self.files
            .get(usize::from(file.0))
            .and_then(|file| file.text.lines().nth(wanted))
            .unwrap_or("")
    }
}
