//! From lines to sections: conditional blocks, section headers, and which table a line's keyword is in.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;

use super::args::{Args, Context};
use super::condition::evaluate_condition_with;
use super::model::{HaproxyConfig, ProxyKind, ResolversConfig};
use super::proxy::{Draft, Section};
use super::{finish, global, lexer, proxy, resolvers, userlist};
use crate::diagnostic::{Diagnostic, DiagnosticKind, Diagnostics};
use crate::source::{FileId, SourceMap, Span, Word};

/// Reads the files in order as one configuration.
pub(crate) fn parse(
    sources: &SourceMap,
    files: &[FileId],
    environment: &dyn Fn(&str) -> Option<String>,
) -> (HaproxyConfig, Diagnostics) {
    let mut parser = Parser {
        cx: Context {
            diagnostics: Diagnostics::default(),
            variables: Variables {
                outer: environment,
                own: RefCell::new(BTreeMap::new()),
                forget_all: RefCell::new(false),
            },
            default_path: DefaultPath::Current,
            servers_unverified: false,
            file_name: String::new(),
        },
        config: HaproxyConfig::default(),
        section: Current::None,
        drafts: Vec::new(),
        defaults: Vec::new(),
    };
    for file in files {
        parser.file(sources, *file);
    }
    parser.close_section();
    let Parser {
        mut cx,
        mut config,
        drafts,
        ..
    } = parser;
    config.global.environment = cx.variables.set_values();
    config.global.servers_unverified = cx.servers_unverified;
    finish::finish(&mut config, drafts, &mut cx);
    (config, cx.diagnostics)
}

/// Environment variables as the text sees them: those set by `setenv` before those of the process.
pub(super) struct Variables<'a> {
    outer: &'a dyn Fn(&str) -> Option<String>,
    /// `None` stands for a variable that `unsetenv` took away.
    own: RefCell<BTreeMap<String, Option<String>>>,
    /// `resetenv` without names.
    forget_all: RefCell<bool>,
}

impl Variables<'static> {
    /// No variables at all.
    pub(super) fn none() -> Self {
        Self {
            outer: &|_| None,
            own: RefCell::default(),
            forget_all: RefCell::default(),
        }
    }
}

impl Variables<'_> {
    /// A variable's value.
    pub(super) fn value(&self, name: &str) -> Option<String> {
        match self.own.borrow().get(name) {
            Some(value) => value.clone(),
            None if *self.forget_all.borrow() => None,
            None => (self.outer)(name),
        }
    }

    /// `setenv`.
    pub(super) fn set(&self, name: &str, value: &str) {
        self.own
            .borrow_mut()
            .insert(name.to_owned(), Some(value.to_owned()));
    }

    /// `unsetenv`.
    pub(super) fn unset(&self, name: &str) {
        self.own.borrow_mut().insert(name.to_owned(), None);
    }

    /// `resetenv`: only these remain.
    pub(super) fn keep_only(&self, names: &[&str]) {
        let kept = names
            .iter()
            .map(|name| ((*name).to_owned(), self.value(name)))
            .collect();
        *self.own.borrow_mut() = kept;
        *self.forget_all.borrow_mut() = true;
    }

    fn set_values(&self) -> BTreeMap<String, String> {
        let own = self.own.borrow();
        own.iter()
            .filter_map(|(name, value)| Some((name.clone(), value.clone()?)))
            .collect()
    }
}

/// `default-path`: where relative paths begin.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum DefaultPath {
    /// The working directory.
    #[default]
    Current,
    /// The directory of the file being read.
    Config,
    /// The directory above that one.
    Parent,
    /// A directory of its own.
    Origin(String),
}

impl DefaultPath {
    /// A path as it is to be opened.
    pub(super) fn apply(&self, text: &str, file_name: &str) -> String {
        let directory = Path::new(file_name).parent().unwrap_or(Path::new(""));
        let base = match self {
            Self::Current => return text.to_owned(),
            Self::Config => directory.to_path_buf(),
            Self::Parent if directory.as_os_str().is_empty() => Path::new("..").to_path_buf(),
            Self::Parent => directory.join(".."),
            Self::Origin(origin) => Path::new(origin).to_path_buf(),
        };
        // `join` lets an absolute path stand for itself.
        base.join(text).to_string_lossy().into_owned()
    }
}

/// Where the next line belongs.
enum Current {
    None,
    Global,
    Proxy(Box<Draft>),
    UserList(userlist::Draft),
    Resolvers(ResolversConfig),
    /// A section that is not done, or whose header is wrong: its lines say nothing.
    Skipped,
}

/// Sections that HAProxy has and we do not, sorted.
const SECTIONS_NOT_YET: &[&str] = &[
    "acme",
    "cache",
    "crt-store",
    "fcgi-app",
    "http-errors",
    "log-forward",
    "log-profile",
    "mailers",
    "namespace_list",
    "peers",
    "program",
    "ring",
    "traces",
];

/// Sections that we have, sorted.
const SECTIONS: &[&str] = &[
    "backend",
    "defaults",
    "frontend",
    "global",
    "listen",
    "resolvers",
    "userlist",
];

/// All section keywords that HAProxy knows.
pub(crate) fn section_names() -> impl Iterator<Item = &'static str> {
    SECTIONS.iter().chain(SECTIONS_NOT_YET).copied()
}

/// The sections that are known but not done, for the documentation.
pub fn sections_not_supported_yet() -> &'static [&'static str] {
    SECTIONS_NOT_YET
}

/// How far an open `.if` is.
#[derive(Clone, Copy, PartialEq)]
enum Block {
    /// This part is read.
    Taken,
    /// This part is not read, a later one may be.
    Waiting,
    /// An earlier part was read.
    Done,
    /// The whole block is inside a part that is not read.
    Dead,
}

struct OpenIf {
    block: Block,
    else_seen: bool,
    span: Span,
}

struct Parser<'a> {
    cx: Context<'a>,
    config: HaproxyConfig,
    section: Current,
    drafts: Vec<Draft>,
    /// All `defaults` sections so far; the last one is the unnamed default of what follows.
    defaults: Vec<Draft>,
}

impl Parser<'_> {
    fn file(&mut self, sources: &SourceMap, file: FileId) {
        self.close_section();
        self.cx.file_name = sources.name(file).to_owned();
        let text = sources
            .files
            .get(usize::from(file.0))
            .map_or("", |file| file.text.as_str());
        let mut open: Vec<OpenIf> = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let number = u32::try_from(index + 1).unwrap_or(u32::MAX);
            let words = {
                let section = self.section_name();
                let file_name = self.cx.file_name.as_str();
                let variables = &self.cx.variables;
                lexer::words(file, number, line, &|name| match name {
                    ".FILE" => Some(file_name.to_owned()),
                    ".LINE" => Some(number.to_string()),
                    ".SECTION" => Some(section.clone()),
                    name => variables.value(name),
                })
            };
            let words = match words {
                Ok(words) => words,
                Err(diagnostic) => {
                    self.cx.diagnostics.push(diagnostic);
                    continue;
                }
            };
            let Some(first) = words.first().filter(|word| !word.text.is_empty()) else {
                continue;
            };
            if first.text.starts_with('.') {
                self.directive(&words, &mut open);
            } else if open.last().is_none_or(|open| open.block == Block::Taken) {
                self.line(&words);
            }
        }
        for open in open {
            self.cx.error(
                DiagnosticKind::Syntax,
                open.span,
                "this '.if' has no '.endif' in its file",
            );
        }
    }

    fn section_name(&self) -> String {
        match &self.section {
            Current::None | Current::Skipped => String::new(),
            Current::Global => "global".to_owned(),
            Current::Proxy(draft) if draft.config.name.text.is_empty() => "defaults".to_owned(),
            Current::Proxy(draft) => draft.config.name.text.clone(),
            Current::UserList(draft) => draft.list.name.text.clone(),
            Current::Resolvers(draft) => draft.name.text.clone(),
        }
    }

    /// `.if` and its like.
    fn directive(&mut self, words: &[Word], open: &mut Vec<OpenIf>) {
        const MAX_NESTED_IFS: usize = 64;
        const DIRECTIVES: [&str; 8] = [
            ".alert", ".diag", ".elif", ".else", ".endif", ".if", ".notice", ".warning",
        ];
        let word = &words[0];
        let reading = open.last().is_none_or(|open| open.block == Block::Taken);
        match word.text.as_str() {
            ".if" => {
                if open.len() >= MAX_NESTED_IFS {
                    let message = format!("'.if' nests deeper than {MAX_NESTED_IFS}");
                    self.cx.error(DiagnosticKind::Syntax, word.span, message);
                }
                let block = match reading {
                    false => Block::Dead,
                    true if self.condition(words) => Block::Taken,
                    true => Block::Waiting,
                };
                open.push(OpenIf {
                    block,
                    else_seen: false,
                    span: word.span,
                });
            }
            ".elif" | ".else" => {
                let is_else = word.text == ".else";
                let Some((before, else_seen)) =
                    open.last().map(|open| (open.block, open.else_seen))
                else {
                    let message = format!("'{}' without '.if'", word.text);
                    return self.cx.error(DiagnosticKind::Syntax, word.span, message);
                };
                if else_seen {
                    let message = format!("'{}' after '.else'", word.text);
                    return self.cx.error(DiagnosticKind::Syntax, word.span, message);
                }
                let block = match before {
                    Block::Taken | Block::Done => Block::Done,
                    Block::Dead => Block::Dead,
                    Block::Waiting if is_else || self.condition(words) => Block::Taken,
                    Block::Waiting => Block::Waiting,
                };
                if let Some(open) = open.last_mut() {
                    open.block = block;
                    open.else_seen = is_else;
                }
            }
            ".endif" => {
                if open.pop().is_none() {
                    self.cx
                        .error(DiagnosticKind::Syntax, word.span, "'.endif' without '.if'");
                }
            }
            ".alert" | ".warning" | ".notice" | ".diag" if !reading => {}
            ".alert" | ".warning" | ".notice" | ".diag" => {
                let message = words[1..]
                    .iter()
                    .map(|word| word.text.as_str())
                    .collect::<Vec<_>>()
                    .join(" ");
                match word.text.as_str() {
                    ".alert" => self
                        .cx
                        .error(DiagnosticKind::InvalidValue, word.span, message),
                    ".warning" => self
                        .cx
                        .warning(DiagnosticKind::InvalidValue, word.span, message),
                    ".notice" => self
                        .cx
                        .notice(DiagnosticKind::InvalidValue, word.span, message),
                    _ => {}
                }
            }
            _ if !reading => {}
            _ => self.cx.unknown(word, "as a directive", DIRECTIVES),
        }
    }

    fn condition(&mut self, words: &[Word]) -> bool {
        let text = words[1..]
            .iter()
            .map(|word| word.text.as_str())
            .collect::<Vec<_>>()
            .join(" ");
        let value = evaluate_condition_with(&text, &|name| self.cx.variables.value(name).is_some());
        value.unwrap_or_else(|mut diagnostic: Diagnostic| {
            diagnostic.span = Some(words.get(1).map_or(words[0].span, |word| word.span));
            self.cx.diagnostics.push(diagnostic);
            false
        })
    }

    fn line(&mut self, words: &[Word]) {
        if section_names().any(|name| name == words[0].text) {
            self.close_section();
            self.section = self.open_section(words);
            return;
        }
        match &mut self.section {
            Current::None => {
                let first = &words[0];
                let message = format!("unknown section '{}'", first.text);
                let mut diagnostic =
                    Diagnostic::error(DiagnosticKind::UnknownWord, first.span, message);
                diagnostic.help = crate::suggest::did_you_mean(&first.text, section_names());
                self.cx.diagnostics.push(diagnostic);
                self.section = Current::Skipped;
            }
            Current::Skipped => {}
            Current::Global => global::line(&mut self.config.global, words, &mut self.cx),
            Current::Proxy(draft) => proxy::line(draft, words, &mut self.cx),
            Current::UserList(list) => userlist::line(list, words, &mut self.cx),
            Current::Resolvers(draft) => resolvers::line(draft, words, &mut self.cx),
        }
    }

    fn close_section(&mut self) {
        match std::mem::replace(&mut self.section, Current::None) {
            Current::Proxy(draft) if draft.section == Section::Defaults => {
                self.defaults.push(*draft)
            }
            Current::Proxy(draft) => self.drafts.push(*draft),
            Current::UserList(draft) => self
                .config
                .userlists
                .push(userlist::finish(draft, &mut self.cx)),
            Current::Resolvers(draft) => self.config.resolvers.push(draft),
            Current::None | Current::Global | Current::Skipped => {}
        }
    }

    fn open_section(&mut self, words: &[Word]) -> Current {
        let Some(mut args) = Args::new(words) else {
            return Current::Skipped;
        };
        match words[0].text.as_str() {
            "global" => {
                let _ = args.end(&mut self.cx);
                Current::Global
            }
            "defaults" => self.open_defaults(args),
            "frontend" => self.open_proxy(Section::Frontend, args),
            "backend" => self.open_proxy(Section::Backend, args),
            "listen" => self.open_proxy(Section::Listen, args),
            "userlist" => match self.name(&mut args) {
                Some(name) => {
                    if self
                        .config
                        .userlists
                        .iter()
                        .any(|list| list.name.text == name.text)
                    {
                        let message = format!("userlist '{}' is already defined", name.text);
                        self.cx.error(DiagnosticKind::Duplicate, name.span, message);
                    }
                    let _ = args.end(&mut self.cx);
                    Current::UserList(userlist::Draft::new(name))
                }
                None => Current::Skipped,
            },
            "resolvers" => match self.name(&mut args) {
                Some(name) => {
                    let mut sections = self.config.resolvers.iter();
                    if sections.any(|section| section.name.text == name.text) {
                        let message = format!("resolvers '{}' is already defined", name.text);
                        self.cx.error(DiagnosticKind::Duplicate, name.span, message);
                    }
                    let _ = args.end(&mut self.cx);
                    Current::Resolvers(resolvers::empty(name))
                }
                None => Current::Skipped,
            },
            other => {
                let message = format!("section '{other}' is not supported yet");
                self.cx
                    .error(DiagnosticKind::NotSupportedYet, words[0].span, message);
                Current::Skipped
            }
        }
    }

    /// A section's name, of the characters that HAProxy permits.
    fn name(&mut self, args: &mut Args<'_>) -> Option<Word> {
        let word = args.value(&mut self.cx, "a name")?;
        if let Some(bad) = word
            .text
            .chars()
            .find(|c| !(c.is_ascii_alphanumeric() || "-_.:".contains(*c)))
        {
            let message = format!(
                "character '{bad}' is not permitted in '{}' name '{}'",
                args.name(),
                word.text
            );
            self.cx
                .error(DiagnosticKind::InvalidValue, word.span, message);
        }
        Some(word.clone())
    }

    /// The named `defaults` section that `from NAME` asks for, or the last one.
    fn origin(&mut self, args: &mut Args<'_>) -> Option<usize> {
        if !args.take("from") {
            return self.defaults.len().checked_sub(1);
        }
        let word = args.value(&mut self.cx, "the name of a 'defaults' section")?;
        let found = self
            .defaults
            .iter()
            .rposition(|defaults| defaults.config.name.text == word.text);
        if found.is_none() {
            let message = format!("no 'defaults' section is named '{}'", word.text);
            let mut diagnostic = Diagnostic::error(DiagnosticKind::UnknownName, word.span, message);
            let names = self
                .defaults
                .iter()
                .map(|defaults| defaults.config.name.text.as_str());
            diagnostic.help = crate::suggest::did_you_mean(&word.text, names);
            self.cx.diagnostics.push(diagnostic);
        }
        found
    }

    fn open_defaults(&mut self, mut args: Args<'_>) -> Current {
        let name = match args.peek() {
            None | Some("from") => Word::new("", args.span()),
            Some(_) => match self.name(&mut args) {
                Some(name) => name,
                None => return Current::Skipped,
            },
        };
        let mut draft = Draft::new(Section::Defaults, ProxyKind::Listen, name, args.span());
        // A `defaults` section begins with HAProxy's own defaults; only `from` takes another one's.
        if args.peek() == Some("from")
            && let Some(origin) = self.origin(&mut args)
        {
            draft.inherit(&self.defaults[origin]);
        }
        let _ = args.ignore_rest(&mut self.cx);
        Current::Proxy(Box::new(draft))
    }

    fn open_proxy(&mut self, section: Section, mut args: Args<'_>) -> Current {
        let Some(name) = self.name(&mut args) else {
            return Current::Skipped;
        };
        let kind = match section {
            Section::Frontend => ProxyKind::Frontend,
            Section::Backend => ProxyKind::Backend,
            Section::Listen | Section::Defaults => ProxyKind::Listen,
        };
        let clash = self.drafts.iter().find(|other| {
            let shared = (other.config.kind.is_frontend() && kind.is_frontend())
                || (other.config.kind.is_backend() && kind.is_backend());
            shared && other.config.name.text == name.text
        });
        if let Some(other) = clash {
            let message = format!(
                "'{}' has the same name as the one declared at line {}",
                name.text, other.config.span.line
            );
            self.cx.error(DiagnosticKind::Duplicate, name.span, message);
        }
        let mut draft = Draft::new(section, kind, name, args.span());
        draft.file_name.clone_from(&self.cx.file_name);
        // The address on the section's own line.
        let address = match args.peek() {
            Some(text) if text != "from" && kind.is_frontend() && !text.is_empty() => args.next(),
            _ => None,
        };
        if let Some(origin) = self.origin(&mut args) {
            draft.inherit(&self.defaults[origin]);
        }
        if let Some(address) = address {
            super::bind::bind_on_section_line(&mut draft, address, &mut self.cx);
        }
        let _ = args.end(&mut self.cx);
        Current::Proxy(Box::new(draft))
    }
}
