//! A list of patterns and values as it was written and as operators change it, and the matchers that look into it.
//!
//! Management manual, `add map`, `prepare map` and so on: a list has versions; only the entries of the current one
//! match. Changes are made by one at a time; a lookup meets them between two entries, never within one.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use arc_swap::ArcSwap;
use config::Span;

use super::index::Index;
use super::parse::Parsed;
use super::{MAX_PATTERN_FILE_BYTES, Method};
use crate::sample::Value;

/// A pattern with its value.
#[derive(Debug)]
pub struct Entry {
    /// Its place in the list: what comes later has a greater one. Also the number that operators see.
    pub(super) order: u64,
    /// The pattern as it was written.
    pub key: Box<str>,
    value: ArcSwap<String>,
}

/// References look like addresses, as HAProxy's do; they say nothing about memory.
const FIRST_REFERENCE: u64 = 0x7f00_0000_0000;
const REFERENCE_STEP: u64 = 0x40;

impl Entry {
    pub(super) fn new(order: u64, key: &str, value: &str) -> Self {
        Self {
            order,
            key: key.into(),
            value: ArcSwap::from_pointee(value.to_owned()),
        }
    }

    /// Its value; empty in a list of patterns alone.
    pub fn value(&self) -> Arc<String> {
        self.value.load_full()
    }

    /// The number that operators name it by (`0x…`).
    pub fn reference(&self) -> u64 {
        FIRST_REFERENCE + self.order * REFERENCE_STEP
    }
}

/// Type of a map's values (`map_str_int`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Output {
    Text,
    Int,
    Address,
}

impl Output {
    /// A value of this type; the error is HAProxy's.
    pub fn read(self, text: &str) -> Result<Value<'static>, String> {
        let wrong = || format!("unable to parse '{text}'");
        match self {
            Self::Text => Ok(Value::owned(text.as_bytes().to_vec())),
            Self::Int => text.parse().map(Value::Int).map_err(|_| wrong()),
            Self::Address => text.parse().map(Value::Address).map_err(|_| wrong()),
        }
    }

    /// As `get map` names the type of a value.
    pub fn word(self, text: &str) -> &'static str {
        match (self, text.parse::<IpAddr>()) {
            (Self::Text, _) => "str",
            (Self::Int, _) => "sint",
            (Self::Address, Ok(IpAddr::V6(_))) => "ipv6",
            (Self::Address, _) => "ipv4",
        }
    }
}

/// Where a list's entries come from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// `-f FILE`, `map(FILE)`.
    File(String),
    /// The patterns of an ACL's line, with its criterion.
    Line(String),
}

/// See the file's head.
pub struct List {
    /// File or line.
    pub source: Source,
    /// Two columns: patterns and values.
    pub is_map: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    next_order: u64,
    entries: BTreeMap<u64, Stored>,
    by_key: HashMap<Box<str>, Vec<u64>>,
    current: u32,
    next: u32,
    matchers: Vec<Arc<Matcher>>,
    uses: Vec<Use>,
    id: Option<u32>,
}

#[derive(Clone)]
struct Stored {
    entry: Arc<Entry>,
    version: u32,
}

/// A place in the configuration that looks into a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Use {
    /// An ACL, else a map.
    pub by_acl: bool,
    /// Where.
    pub span: Span,
}

/// A list seen by one method.
pub struct Matcher {
    /// The method.
    pub method: Method,
    /// `-i`.
    pub ignore_case: bool,
    /// Type of the values that it yields; an ACL yields none.
    pub output: Option<Output>,
    index: RwLock<Index>,
}

impl std::fmt::Debug for Matcher {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Matcher({})", self.method.word())
    }
}

impl Matcher {
    /// Whether a sample meets an entry.
    pub fn matches(&self, value: &Value<'_>) -> bool {
        self.read().find(value).is_some()
    }

    /// The entry that a sample meets.
    pub fn find(&self, value: &Value<'_>) -> Option<Arc<Entry>> {
        self.read().find(value).cloned()
    }

    /// The value for a sample, as the map's type says; groups are resolved in one of `map_regm`.
    pub fn look_up(&self, value: &Value<'_>) -> Option<Value<'static>> {
        if self.method == Method::Regm {
            let text = value.as_bytes();
            let index = self.read();
            let (regex, entry) = index.find_regex(&text)?;
            let groups = regex.captures(&text)?;
            let mut out = Vec::new();
            crate::sample::converters::expand(&groups, entry.value().as_bytes(), &mut out);
            return Some(Value::owned(out));
        }
        let entry = self.find(value)?;
        self.output
            .unwrap_or(Output::Text)
            .read(&entry.value())
            .ok()
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, Index> {
        self.index.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Checks a pattern and its value.
    fn check(&self, key: &str, value: &str) -> Result<Parsed, String> {
        let parsed = Parsed::read(self.method, key, self.ignore_case)?;
        if let Some(output) = self.output {
            output.read(value).map_err(|error| error + ".")?;
        }
        Ok(parsed)
    }

    /// Builds what is due, without keeping lookups waiting. Only who holds the list's lock may call it.
    fn settle(&self, always: bool) {
        let settled = {
            let index = self.read();
            if !always && !index.wants_settling() {
                return;
            }
            index.settled()
        };
        if let Some(settled) = settled {
            *self.write() = settled;
        }
    }
}

/// What `show map` says of a list.
#[derive(Clone, Debug)]
pub struct Summary {
    /// Its number.
    pub id: u32,
    /// Version that matches now, and the one prepared last.
    pub current: u32,
    /// See above.
    pub next: u32,
    /// Entries of all versions, counted once for each matcher as HAProxy does.
    pub entries: usize,
    /// Who looks into it.
    pub uses: Vec<Use>,
}

/// Which entries an operator means.
#[derive(Clone, Copy, Debug)]
pub enum Chosen<'k> {
    /// All with this pattern.
    Key(&'k str),
    /// One, by its number.
    Reference(u64),
}

impl List {
    pub(super) fn new(source: Source, is_map: bool) -> Self {
        Self {
            source,
            is_map,
            state: Mutex::default(),
        }
    }

    /// Reads a file: an entry a line. A map's line is a pattern, blanks, and a value.
    pub(super) fn load(&self, path: &str) -> Result<(), String> {
        let cannot =
            |error: std::io::Error| format!("failed to open pattern file <{path}>: {error}");
        let size = std::fs::metadata(path).map_err(cannot)?.len();
        if size > MAX_PATTERN_FILE_BYTES {
            return Err(format!(
                "pattern file <{path}> is larger than {MAX_PATTERN_FILE_BYTES} bytes"
            ));
        }
        let bytes = std::fs::read(path).map_err(cannot)?;
        let text = String::from_utf8_lossy(&bytes);
        let mut state = self.lock();
        for line in text.lines() {
            if line.starts_with('#') {
                continue;
            }
            let line = line.trim_start_matches([' ', '\t']);
            if line.is_empty() {
                continue;
            }
            let (key, value) = match self.is_map {
                true => split_entry(line),
                false => (line, ""),
            };
            state.store(key, value.trim_end_matches([' ', '\t']), 0);
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The list seen by a method: one matcher for all that see it alike. The error names the entry that the method
    /// cannot take.
    pub fn matcher(
        &self,
        method: Method,
        ignore_case: bool,
        output: Option<Output>,
        seen: Use,
    ) -> Result<Arc<Matcher>, String> {
        let mut state = self.lock();
        state.uses.push(seen);
        let same = state.matchers.iter().find(|matcher| {
            (matcher.method, matcher.ignore_case, matcher.output) == (method, ignore_case, output)
        });
        if let Some(matcher) = same {
            return Ok(Arc::clone(matcher));
        }
        let matcher = Matcher {
            method,
            ignore_case,
            output,
            index: RwLock::new(Index::new(method, ignore_case)),
        };
        for stored in state.entries.values() {
            let parsed = matcher
                .check(&stored.entry.key, &stored.entry.value())
                .map_err(|error| error.trim_end_matches('.').to_owned())?;
            matcher.write().insert(parsed, &stored.entry);
        }
        matcher.settle(true);
        let matcher = Arc::new(matcher);
        state.matchers.push(Arc::clone(&matcher));
        Ok(matcher)
    }

    /// All matchers.
    pub fn matchers(&self) -> Vec<Arc<Matcher>> {
        self.lock().matchers.clone()
    }

    /// What `show map` says of it.
    pub fn summary(&self) -> Summary {
        let state = self.lock();
        Summary {
            id: state.id.unwrap_or_default(),
            current: state.current,
            next: state.next,
            entries: state.entries.len() * state.matchers.len(),
            uses: state.uses.clone(),
        }
    }

    pub(super) fn id(&self) -> Option<u32> {
        self.lock().id
    }

    pub(super) fn set_id(&self, id: u32) {
        self.lock().id = Some(id);
    }

    pub(super) fn sort_uses(&self) {
        self.lock().uses.sort_by_key(|seen| seen.span.line);
    }

    /// Where the configuration names it first.
    pub(super) fn first_use(&self) -> Option<Span> {
        self.lock().uses.first().map(|seen| seen.span)
    }

    /// Entries of a version in order, the current one if none is named.
    pub fn entries(&self, version: Option<u32>) -> Vec<Arc<Entry>> {
        let state = self.lock();
        let version = version.unwrap_or(state.current);
        let of_version = state.entries.values();
        of_version
            .filter(|stored| stored.version == version)
            .map(|stored| Arc::clone(&stored.entry))
            .collect()
    }

    /// Adds an entry, to the current version if none is named. The error is HAProxy's.
    pub fn add(&self, key: &str, value: &str, version: Option<u32>) -> Result<(), String> {
        self.add_locked(&mut self.lock(), key, value, version)
    }

    fn add_locked(
        &self,
        state: &mut State,
        key: &str,
        value: &str,
        version: Option<u32>,
    ) -> Result<(), String> {
        let matchers = state.matchers.clone();
        let parsed = matchers
            .iter()
            .map(|matcher| matcher.check(key, value))
            .collect::<Result<Vec<_>, _>>()?;
        let version = version.unwrap_or(state.current);
        let entry = state.store(key, value, version);
        if version == state.current {
            for (matcher, parsed) in matchers.iter().zip(parsed) {
                matcher.write().insert(parsed, &entry);
                matcher.settle(false);
            }
        }
        Ok(())
    }

    /// As [`List::add`], unless the pattern is there (`http-request add-acl`).
    pub fn add_once(&self, key: &str) -> Result<(), String> {
        let mut state = self.lock();
        if state.current_entries(Chosen::Key(key)).is_empty() {
            return self.add_locked(&mut state, key, "", None);
        }
        Ok(())
    }

    /// Changes the values of entries; how many there were. The error is HAProxy's.
    pub fn set(&self, chosen: Chosen<'_>, value: &str) -> Result<usize, String> {
        Self::set_locked(&self.lock(), chosen, value)
    }

    fn set_locked(state: &State, chosen: Chosen<'_>, value: &str) -> Result<usize, String> {
        for matcher in &state.matchers {
            if let Some(output) = matcher.output {
                output.read(value).map_err(|error| error + ".")?;
            }
        }
        let found = state.current_entries(chosen);
        if found.is_empty() {
            return Ok(0);
        }
        let value = Arc::new(value.to_owned());
        for order in &found {
            if let Some(stored) = state.entries.get(order) {
                stored.entry.value.store(Arc::clone(&value));
            }
        }
        Ok(found.len())
    }

    /// Changes the value for a pattern, or adds both (`http-request set-map`).
    pub fn set_or_add(&self, key: &str, value: &str) -> Result<(), String> {
        let mut state = self.lock();
        match Self::set_locked(&state, Chosen::Key(key), value)? {
            0 => self.add_locked(&mut state, key, value, None),
            _ => Ok(()),
        }
    }

    /// Removes entries; how many there were.
    pub fn remove(&self, chosen: Chosen<'_>) -> usize {
        let mut state = self.lock();
        let found = state.current_entries(chosen);
        for order in &found {
            let Some(stored) = state.take(*order) else {
                continue;
            };
            for matcher in &state.matchers {
                matcher.write().remove(&stored.entry);
            }
        }
        for matcher in &state.matchers {
            matcher.settle(false);
        }
        found.len()
    }

    /// Removes all entries of a version, the current one if none is named.
    pub fn clear(&self, version: Option<u32>) {
        let mut state = self.lock();
        let version = version.unwrap_or(state.current);
        state.drop_where(|of| of == version);
        if version == state.current {
            state.rebuild();
        }
    }

    /// Reserves a version.
    pub fn prepare(&self) -> u32 {
        let mut state = self.lock();
        state.next = state.next.wrapping_add(1);
        state.next
    }

    /// Makes a prepared version the current one and forgets those before it; whether it was one.
    pub fn commit(&self, version: u32) -> bool {
        let mut state = self.lock();
        // Versions wrap: what counts is how far from the current one they are.
        let current = state.current;
        let reserved = state.next.wrapping_sub(current);
        let distance = version.wrapping_sub(current);
        if distance == 0 || distance > reserved {
            return false;
        }
        let next = state.next;
        state.drop_where(|of| next.wrapping_sub(of) > next.wrapping_sub(version));
        state.current = version;
        state.rebuild();
        true
    }
}

impl State {
    fn store(&mut self, key: &str, value: &str, version: u32) -> Arc<Entry> {
        let order = self.next_order;
        self.next_order += 1;
        let entry = Arc::new(Entry::new(order, key, value));
        let stored = Stored {
            entry: Arc::clone(&entry),
            version,
        };
        self.entries.insert(order, stored);
        match self.by_key.get_mut(key) {
            Some(orders) => orders.push(order),
            None => {
                self.by_key.insert(key.into(), vec![order]);
            }
        }
        entry
    }

    fn take(&mut self, order: u64) -> Option<Stored> {
        let stored = self.entries.remove(&order)?;
        if let Some(orders) = self.by_key.get_mut(&stored.entry.key) {
            orders.retain(|other| *other != order);
            if orders.is_empty() {
                self.by_key.remove(&stored.entry.key);
            }
        }
        Some(stored)
    }

    fn current_entries(&self, chosen: Chosen<'_>) -> Vec<u64> {
        let is_current = |order: &u64| {
            self.entries
                .get(order)
                .is_some_and(|stored| stored.version == self.current)
        };
        let mut orders = match chosen {
            Chosen::Key(key) => self.by_key.get(key).cloned().unwrap_or_default(),
            Chosen::Reference(reference) => reference
                .checked_sub(FIRST_REFERENCE)
                .filter(|offset| offset.is_multiple_of(REFERENCE_STEP))
                .map(|offset| vec![offset / REFERENCE_STEP])
                .unwrap_or_default(),
        };
        orders.retain(is_current);
        orders
    }

    fn drop_where(&mut self, of_version: impl Fn(u32) -> bool) {
        self.entries.retain(|_, stored| !of_version(stored.version));
        let mut by_key: HashMap<Box<str>, Vec<u64>> = HashMap::with_capacity(self.entries.len());
        for (order, stored) in &self.entries {
            by_key
                .entry(stored.entry.key.clone())
                .or_default()
                .push(*order);
        }
        self.by_key = by_key;
    }

    /// Indices of the current version, built apart and swapped in.
    fn rebuild(&self) {
        for matcher in &self.matchers {
            let mut index = Index::new(matcher.method, matcher.ignore_case);
            let current = self.entries.values();
            for stored in current.filter(|stored| stored.version == self.current) {
                // It was read when it was added; what a matcher of another type cannot read is left out.
                if let Ok(parsed) = matcher.check(&stored.entry.key, &stored.entry.value()) {
                    index.insert(parsed, &stored.entry);
                }
            }
            let index = index.settled().unwrap_or(index);
            *matcher.write() = index;
        }
    }
}

/// A pattern and what follows it after blanks.
pub fn split_entry(line: &str) -> (&str, &str) {
    match line.split_once([' ', '\t']) {
        Some((key, rest)) => (key, rest.trim_start_matches([' ', '\t'])),
        None => (line, ""),
    }
}
