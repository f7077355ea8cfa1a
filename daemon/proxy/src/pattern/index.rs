//! Entries of one list as one match method finds them.
//!
//! | method | stored as | a lookup costs |
//! |---|---|---|
//! | `str`, `bin` | hash table | one hash |
//! | `beg`, `end` | ordered tree (of reversed texts for `end`) | log n for each prefix that matches, and one |
//! | `ip` | a hash table for each length of prefix in use | a hash for each length |
//! | `int`, `len`, `bool` | interval tree | log n, and each range that matches |
//! | `sub`, `dir`, `dom` | one automaton of all texts | the sample's length, and each text that occurs |
//! | `reg` | one automaton of texts that every match contains | as above, and a match for each candidate |
//!
//! Where several entries match, HAProxy's choice is ours: the finest where it keeps a tree, else the first in order.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::ops::Bound;
use std::sync::Arc;

use regex::bytes::Regex;

use super::Method;
use super::list::Entry;
use super::parse::{Parsed, masked4, masked6};
use super::search::{Automaton, Intervals, Regexes, Search};
use crate::sample::Value;

/// Entries with the same pattern, in order.
#[derive(Clone, Debug)]
pub(super) struct Same {
    first: Arc<Entry>,
    others: Vec<Arc<Entry>>,
}

impl Same {
    fn new(entry: &Arc<Entry>) -> Self {
        Self {
            first: Arc::clone(entry),
            others: Vec::new(),
        }
    }

    /// Takes one out; whether none is left.
    fn remove(&mut self, order: u64) -> bool {
        self.others.retain(|other| other.order != order);
        if self.first.order != order {
            return false;
        }
        if self.others.is_empty() {
            return true;
        }
        self.first = self.others.remove(0);
        false
    }
}

trait Insert<K> {
    fn put(&mut self, key: K, entry: &Arc<Entry>);
    fn take(&mut self, key: &K, order: u64);
}

impl<K: std::hash::Hash + Eq> Insert<K> for HashMap<K, Same> {
    fn put(&mut self, key: K, entry: &Arc<Entry>) {
        self.entry(key)
            .and_modify(|same| same.others.push(Arc::clone(entry)))
            .or_insert_with(|| Same::new(entry));
    }
    fn take(&mut self, key: &K, order: u64) {
        if self.get_mut(key).is_some_and(|same| same.remove(order)) {
            self.remove(key);
        }
    }
}

impl<K: Ord> Insert<K> for BTreeMap<K, Same> {
    fn put(&mut self, key: K, entry: &Arc<Entry>) {
        self.entry(key)
            .and_modify(|same| same.others.push(Arc::clone(entry)))
            .or_insert_with(|| Same::new(entry));
    }
    fn take(&mut self, key: &K, order: u64) {
        if self.get_mut(key).is_some_and(|same| same.remove(order)) {
            self.remove(key);
        }
    }
}

#[derive(Default)]
struct Networks {
    /// By length of prefix, the longest first.
    v4: BTreeMap<std::cmp::Reverse<u8>, HashMap<u32, Same>>,
    v6: BTreeMap<std::cmp::Reverse<u8>, HashMap<u128, Same>>,
    /// Masks that are no prefixes: looked at in order, after the others.
    masked: Vec<(u32, u32, Arc<Entry>)>,
}

enum Kind {
    Exact(HashMap<Box<[u8]>, Same>),
    Prefixes(BTreeMap<Box<[u8]>, Same>),
    Networks(Networks),
    Ranges(Search<Intervals>),
    Texts(Search<Automaton>),
    Regexes(Search<Regexes>),
    /// Entries that are not compared (`-m found`).
    Nothing(Option<Arc<Entry>>),
}

/// See the file's head.
pub(super) struct Index {
    method: Method,
    ignore_case: bool,
    kind: Kind,
}

impl Index {
    pub(super) fn new(method: Method, ignore_case: bool) -> Self {
        let kind = match method {
            Method::Found => Kind::Nothing(None),
            Method::Str | Method::Bin => Kind::Exact(HashMap::new()),
            Method::Beg | Method::End => Kind::Prefixes(BTreeMap::new()),
            Method::Ip => Kind::Networks(Networks::default()),
            Method::Bool | Method::Int | Method::Len => Kind::Ranges(Search::default()),
            Method::Sub | Method::Dir | Method::Dom => Kind::Texts(Search::default()),
            Method::Reg | Method::Regm => Kind::Regexes(Search::default()),
        };
        Self {
            method,
            ignore_case,
            kind,
        }
    }

    pub(super) fn method(&self) -> Method {
        self.method
    }

    pub(super) fn ignores_case(&self) -> bool {
        self.ignore_case
    }

    /// Adds an entry behind all that are there.
    pub(super) fn insert(&mut self, parsed: Parsed, entry: &Arc<Entry>) {
        match (&mut self.kind, parsed) {
            (Kind::Exact(texts), Parsed::Text(text)) => texts.put(text, entry),
            (Kind::Prefixes(texts), Parsed::Text(text)) => texts.put(text, entry),
            (Kind::Networks(networks), Parsed::Network { address, length }) => {
                let length = std::cmp::Reverse(length);
                match address {
                    IpAddr::V4(address) => networks
                        .v4
                        .entry(length)
                        .or_default()
                        .put(address.into(), entry),
                    IpAddr::V6(address) => networks
                        .v6
                        .entry(length)
                        .or_default()
                        .put(address.into(), entry),
                }
            }
            (Kind::Networks(networks), Parsed::Masked { address, mask }) => {
                networks.masked.push((address, mask, Arc::clone(entry)));
            }
            (Kind::Ranges(search), parsed) => search.insert(parsed, entry),
            (Kind::Texts(search), parsed) => search.insert(parsed, entry),
            (Kind::Regexes(search), parsed) => search.insert(parsed, entry),
            (Kind::Nothing(first), _) => {
                first.get_or_insert_with(|| Arc::clone(entry));
            }
            // `Parsed::read` yields only what the method's index takes.
            (Kind::Exact(_) | Kind::Prefixes(_) | Kind::Networks(_), _) => {}
        }
    }

    /// Takes an entry out. Its pattern is read again, so that indices need not keep it.
    pub(super) fn remove(&mut self, entry: &Entry) {
        if let Kind::Ranges(search) = &mut self.kind {
            return search.remove(entry.order);
        }
        if let Kind::Texts(search) = &mut self.kind {
            return search.remove(entry.order);
        }
        if let Kind::Regexes(search) = &mut self.kind {
            return search.remove(entry.order);
        }
        let Ok(parsed) = Parsed::read(self.method, &entry.key, self.ignore_case) else {
            return;
        };
        match (&mut self.kind, parsed) {
            (Kind::Exact(texts), Parsed::Text(text)) => texts.take(&text, entry.order),
            (Kind::Prefixes(texts), Parsed::Text(text)) => texts.take(&text, entry.order),
            (Kind::Networks(networks), Parsed::Network { address, length }) => {
                let length = std::cmp::Reverse(length);
                match address {
                    IpAddr::V4(address) => {
                        if let Some(found) = networks.v4.get_mut(&length) {
                            found.take(&address.into(), entry.order);
                            if found.is_empty() {
                                networks.v4.remove(&length);
                            }
                        }
                    }
                    IpAddr::V6(address) => {
                        if let Some(found) = networks.v6.get_mut(&length) {
                            found.take(&address.into(), entry.order);
                            if found.is_empty() {
                                networks.v6.remove(&length);
                            }
                        }
                    }
                }
            }
            (Kind::Networks(networks), Parsed::Masked { .. }) => {
                networks
                    .masked
                    .retain(|(_, _, other)| other.order != entry.order);
            }
            _ => {}
        }
    }

    /// Whether [`Index::settled`] is due: search structures are built apart, so that lookups go on meanwhile.
    pub(super) fn wants_settling(&self) -> bool {
        match &self.kind {
            Kind::Ranges(search) => search.is_full(),
            Kind::Texts(search) => search.is_full(),
            Kind::Regexes(search) => search.is_full(),
            _ => false,
        }
    }

    /// A copy whose search structure holds all entries; `None` where nothing is to be built.
    pub(super) fn settled(&self) -> Option<Self> {
        let kind = match &self.kind {
            Kind::Ranges(search) => Kind::Ranges(search.settled(self.method)),
            Kind::Texts(search) => Kind::Texts(search.settled(self.method)),
            Kind::Regexes(search) => Kind::Regexes(search.settled(self.method)),
            _ => return None,
        };
        Some(Self {
            method: self.method,
            ignore_case: self.ignore_case,
            kind,
        })
    }

    /// The entry that a sample meets. A sample that cannot be seen as the method needs meets none.
    pub(super) fn find(&self, value: &Value<'_>) -> Option<&Arc<Entry>> {
        match &self.kind {
            Kind::Nothing(first) => first.as_ref(),
            Kind::Ranges(search) => {
                let number = match self.method {
                    Method::Bool => i64::from(value.as_bool()?),
                    Method::Len => i64::try_from(value.as_bytes().len()).ok()?,
                    _ => value.as_int()?,
                };
                search.find(self.method, &number).map(|(_, entry)| entry)
            }
            Kind::Networks(networks) => networks.find(value.as_address()?.to_canonical()),
            Kind::Regexes(_) => self.find_regex(&value.as_bytes()).map(|(_, entry)| entry),
            Kind::Exact(_) | Kind::Prefixes(_) | Kind::Texts(_) => {
                let text = value.as_bytes();
                if self.ignore_case && text.iter().any(u8::is_ascii_uppercase) {
                    self.find_text(&text.to_ascii_lowercase())
                } else {
                    self.find_text(&text)
                }
            }
        }
    }

    /// As [`Index::find`], with the expression that matched; `None` for other methods.
    pub(super) fn find_regex(&self, text: &[u8]) -> Option<(&Regex, &Arc<Entry>)> {
        let Kind::Regexes(search) = &self.kind else {
            return None;
        };
        match search.find(self.method, text)? {
            (Parsed::Regex { regex, .. }, entry) => Some((regex, entry)),
            _ => None,
        }
    }

    fn find_text(&self, text: &[u8]) -> Option<&Arc<Entry>> {
        match &self.kind {
            Kind::Exact(texts) => texts.get(text).map(|same| &same.first),
            Kind::Texts(search) => search.find(self.method, text).map(|(_, entry)| entry),
            Kind::Prefixes(texts) if self.method == Method::End => {
                let reversed: Vec<u8> = text.iter().rev().copied().collect();
                first_prefix(texts, &reversed)
            }
            Kind::Prefixes(texts) if self.ignore_case => first_prefix(texts, text),
            Kind::Prefixes(texts) => longest_prefix(texts, text).map(|(_, same)| &same.first),
            _ => None,
        }
    }
}

/// The longest key that `text` begins with.
///
/// The greatest key that is not above `text` begins as `text` does for some bytes. If that is all of it, it is the
/// answer; else no key longer than those bytes is a prefix, and the search goes on below them.
fn longest_prefix<'t>(
    texts: &'t BTreeMap<Box<[u8]>, Same>,
    text: &[u8],
) -> Option<(usize, &'t Same)> {
    let mut bound = text;
    loop {
        let range = (Bound::Unbounded, Bound::Included(bound));
        let (key, same) = texts.range::<[u8], _>(range).next_back()?;
        let common = key.iter().zip(bound).take_while(|(a, b)| a == b).count();
        if common == key.len() {
            return Some((common, same));
        }
        bound = &bound[..common];
    }
}

/// The first in order of all keys that `text` begins with.
fn first_prefix<'t>(texts: &'t BTreeMap<Box<[u8]>, Same>, text: &[u8]) -> Option<&'t Arc<Entry>> {
    let mut best: Option<&Arc<Entry>> = None;
    let mut bound = text;
    while let Some((length, same)) = longest_prefix(texts, bound) {
        if best.is_none_or(|best| same.first.order < best.order) {
            best = Some(&same.first);
        }
        match length.checked_sub(1) {
            Some(shorter) => bound = &bound[..shorter],
            None => break,
        }
    }
    best
}

impl Networks {
    fn find(&self, address: IpAddr) -> Option<&Arc<Entry>> {
        match address {
            IpAddr::V4(address) => {
                let number = u32::from(address);
                let by_prefix = self.v4.iter().find_map(|(length, networks)| {
                    networks.get(&u32::from(masked4(address, length.0)))
                });
                by_prefix.map(|same| &same.first).or_else(|| {
                    self.masked
                        .iter()
                        .find(|(network, mask, _)| number & mask == *network)
                        .map(|(_, _, entry)| entry)
                })
            }
            IpAddr::V6(address) => self
                .v6
                .iter()
                .find_map(|(length, networks)| {
                    networks.get(&u128::from(masked6(address, length.0)))
                })
                .map(|same| &same.first),
        }
    }
}
