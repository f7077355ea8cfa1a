//! Structures that are built at once from many patterns: intervals, an automaton of texts, a set of expressions.
//!
//! [`Search`] holds one of them with what came since it was built and what went; lookups see all three.

use std::collections::HashSet;
use std::sync::Arc;

use aho_corasick::{AhoCorasick, AhoCorasickBuilder, MatchKind};
use regex_syntax::hir::literal::{ExtractKind, Extractor, Seq};

use super::Method;
use super::list::Entry;
use super::parse::{Parsed, is_delimiter};

/// So many patterns are looked at one by one before a structure is built of them, and at most this share of a large one.
const PENDING_MIN: usize = 16;
const PENDING_SHARE: usize = 64;

type Patterned = (Parsed, Arc<Entry>);

/// A structure over patterns that is built at once.
pub(super) trait Structure: Default {
    /// What it is asked with.
    type Sample: ?Sized;
    /// Whether it visits places in order.
    const ORDERED: bool;
    /// Of patterns in their order.
    fn build(method: Method, patterns: &[Patterned]) -> Self;
    /// Visits the places of all patterns that match until the visitor returns true.
    fn each(
        &self,
        method: Method,
        patterns: &[Patterned],
        sample: &Self::Sample,
        visit: &mut dyn FnMut(usize) -> bool,
    );
    /// Whether a single pattern matches.
    fn is_match(method: Method, pattern: &Parsed, sample: &Self::Sample) -> bool;
}

/// See the file's head.
#[derive(Default)]
pub(super) struct Search<S> {
    structure: S,
    built: Vec<Patterned>,
    pending: Vec<Patterned>,
    /// Numbers of entries among `built` that are gone.
    gone: HashSet<u64>,
}

impl<S: Structure> Search<S> {
    pub(super) fn insert(&mut self, parsed: Parsed, entry: &Arc<Entry>) {
        self.pending.push((parsed, Arc::clone(entry)));
    }

    pub(super) fn remove(&mut self, order: u64) {
        let before = self.pending.len();
        self.pending.retain(|(_, entry)| entry.order != order);
        if self.pending.len() == before {
            self.gone.insert(order);
        }
    }

    /// Whether it should be built anew.
    pub(super) fn is_full(&self) -> bool {
        let most = PENDING_MIN.max(self.built.len() / PENDING_SHARE);
        self.pending.len() > most || self.gone.len() > most
    }

    /// All entries in a new structure.
    pub(super) fn settled(&self, method: Method) -> Self {
        let kept = self
            .built
            .iter()
            .filter(|(_, entry)| !self.gone.contains(&entry.order));
        let built: Vec<Patterned> = kept.chain(&self.pending).cloned().collect();
        Self {
            structure: S::build(method, &built),
            built,
            pending: Vec::new(),
            gone: HashSet::new(),
        }
    }

    /// The first entry in order that matches, with its pattern.
    pub(super) fn find(&self, method: Method, sample: &S::Sample) -> Option<&Patterned> {
        let mut best: Option<usize> = None;
        if !self.built.is_empty() {
            self.structure.each(method, &self.built, sample, &mut |at| {
                let better = best.is_none_or(|best| at < best)
                    && (self.gone.is_empty() || !self.gone.contains(&self.built[at].1.order));
                if better {
                    best = Some(at);
                }
                best == Some(0) || (S::ORDERED && best.is_some())
            });
        }
        // What is pending came later.
        best.map(|at| &self.built[at]).or_else(|| {
            self.pending
                .iter()
                .find(|(pattern, _)| S::is_match(method, pattern, sample))
        })
    }
}

/// Ranges by their lower end, with the greatest upper end of each half, quarter and so on.
#[derive(Default)]
pub(super) struct Intervals {
    /// Lower end, upper end, place; by lower end.
    ranges: Vec<(i64, i64, usize)>,
    /// Greatest upper end of the subtree whose middle this is.
    highest: Vec<i64>,
}

impl Intervals {
    fn fill(&mut self, from: usize, to: usize) -> i64 {
        if from >= to {
            return i64::MIN;
        }
        let middle = from + (to - from) / 2;
        let highest = self.ranges[middle]
            .1
            .max(self.fill(from, middle))
            .max(self.fill(middle + 1, to));
        self.highest[middle] = highest;
        highest
    }

    fn visit(
        &self,
        from: usize,
        to: usize,
        number: i64,
        visit: &mut dyn FnMut(usize) -> bool,
    ) -> bool {
        if from >= to {
            return false;
        }
        let middle = from + (to - from) / 2;
        if self.highest[middle] < number {
            return false;
        }
        if self.visit(from, middle, number, visit) {
            return true;
        }
        let (low, high, place) = self.ranges[middle];
        if low > number {
            return false;
        }
        (high >= number && visit(place)) || self.visit(middle + 1, to, number, visit)
    }
}

impl Structure for Intervals {
    type Sample = i64;
    const ORDERED: bool = false;

    fn build(_: Method, patterns: &[Patterned]) -> Self {
        let mut ranges: Vec<(i64, i64, usize)> = patterns
            .iter()
            .enumerate()
            .filter_map(|(at, (pattern, _))| match pattern {
                Parsed::Range(low, high) => Some((*low, *high, at)),
                _ => None,
            })
            .collect();
        ranges.sort_unstable();
        let mut intervals = Self {
            highest: vec![i64::MIN; ranges.len()],
            ranges,
        };
        intervals.fill(0, intervals.ranges.len());
        intervals
    }

    fn each(&self, _: Method, _: &[Patterned], sample: &i64, visit: &mut dyn FnMut(usize) -> bool) {
        self.visit(0, self.ranges.len(), *sample, visit);
    }

    fn is_match(_: Method, pattern: &Parsed, sample: &i64) -> bool {
        matches!(pattern, Parsed::Range(low, high) if (low..=high).contains(&sample))
    }
}

/// All texts of `sub`, `dir` and `dom` in one automaton.
#[derive(Default)]
pub(super) struct Automaton {
    texts: Option<AhoCorasick>,
    /// If there are too many texts for an automaton, they are looked at one by one.
    one_by_one: bool,
}

impl Structure for Automaton {
    type Sample = [u8];
    const ORDERED: bool = false;

    fn build(_: Method, patterns: &[Patterned]) -> Self {
        let texts = patterns.iter().map(|(pattern, _)| match pattern {
            Parsed::Text(text) => &text[..],
            _ => &[],
        });
        let texts = AhoCorasickBuilder::new()
            .match_kind(MatchKind::Standard)
            .build(texts);
        Self {
            one_by_one: texts.is_err(),
            texts: texts.ok(),
        }
    }

    fn each(
        &self,
        method: Method,
        patterns: &[Patterned],
        sample: &[u8],
        visit: &mut dyn FnMut(usize) -> bool,
    ) {
        if self.one_by_one {
            for (at, (pattern, _)) in patterns.iter().enumerate() {
                if Self::is_match(method, pattern, sample) && visit(at) {
                    return;
                }
            }
        }
        let Some(texts) = &self.texts else { return };
        for found in texts.find_overlapping_iter(sample) {
            let is_whole = method == Method::Sub
                || is_between_delimiters(method, sample, found.start(), found.end());
            if is_whole && visit(found.pattern().as_usize()) {
                return;
            }
        }
    }

    fn is_match(method: Method, pattern: &Parsed, sample: &[u8]) -> bool {
        let Parsed::Text(text) = pattern else {
            return false;
        };
        if method == Method::Sub {
            return memchr::memmem::find(sample, text).is_some();
        }
        memchr::memmem::find_iter(sample, text)
            .any(|at| is_between_delimiters(method, sample, at, at + text.len()))
    }
}

fn is_between_delimiters(method: Method, sample: &[u8], start: usize, end: usize) -> bool {
    start < end
        && (start == 0 || is_delimiter(method, sample[start - 1]))
        && (end == sample.len() || is_delimiter(method, sample[end]))
}

/// Expressions behind an automaton of texts of which a match must contain one: only those whose text occurs are tried.
#[derive(Default)]
pub(super) struct Regexes {
    literals: Option<AhoCorasick>,
    /// Places of the expressions that a literal belongs to.
    of_literal: Vec<Vec<u32>>,
    /// Expressions without such texts: they are always tried.
    others: Vec<u32>,
}

impl Structure for Regexes {
    type Sample = [u8];
    const ORDERED: bool = true;

    fn build(_: Method, patterns: &[Patterned]) -> Self {
        let mut by_literal: std::collections::HashMap<Vec<u8>, Vec<u32>> =
            std::collections::HashMap::new();
        let mut others = Vec::new();
        for (at, (pattern, _)) in patterns.iter().enumerate() {
            let place = u32::try_from(at).unwrap_or(u32::MAX);
            match pattern {
                Parsed::Regex {
                    literals: Some(literals),
                    ..
                } => {
                    for literal in literals {
                        by_literal
                            .entry(literal.to_ascii_lowercase())
                            .or_default()
                            .push(place);
                    }
                }
                _ => others.push(place),
            }
        }
        let (texts, of_literal): (Vec<Vec<u8>>, Vec<Vec<u32>>) = by_literal.into_iter().unzip();
        // Whatever an expression says of case: a literal in another case makes one candidate more.
        let automaton = AhoCorasickBuilder::new()
            .match_kind(MatchKind::Standard)
            .ascii_case_insensitive(true)
            .build(&texts);
        match automaton {
            Ok(automaton) => Self {
                literals: Some(automaton),
                of_literal,
                others,
            },
            Err(_) => Self {
                literals: None,
                of_literal: Vec::new(),
                others: (0..u32::try_from(patterns.len()).unwrap_or(u32::MAX)).collect(),
            },
        }
    }

    fn each(
        &self,
        method: Method,
        patterns: &[Patterned],
        sample: &[u8],
        visit: &mut dyn FnMut(usize) -> bool,
    ) {
        let mut candidates = Vec::new();
        if let Some(literals) = &self.literals {
            for found in literals.find_overlapping_iter(sample) {
                candidates.extend_from_slice(&self.of_literal[found.pattern().as_usize()]);
            }
        }
        candidates.extend_from_slice(&self.others);
        candidates.sort_unstable();
        candidates.dedup();
        // In order: the first that matches is the best that there is, unless it is gone.
        for at in candidates {
            let at = at as usize;
            if Self::is_match(method, &patterns[at].0, sample) && visit(at) {
                return;
            }
        }
    }

    fn is_match(_: Method, pattern: &Parsed, sample: &[u8]) -> bool {
        matches!(pattern, Parsed::Regex { regex, .. } if regex.is_match(sample))
    }
}

/// Shorter texts occur everywhere.
const LITERAL_MIN_BYTES: usize = 3;
/// More than so many texts for one expression help nobody.
const LITERALS_MAX: usize = 16;

/// Texts of which every match contains one, case aside: at its beginning or at its end, whichever are longer.
pub(super) fn literals(word: &str) -> Option<Vec<Vec<u8>>> {
    let tree = regex_syntax::ParserBuilder::new()
        .unicode(false)
        .utf8(false)
        .build()
        .parse(word)
        .ok()?;
    let of = |kind: ExtractKind| {
        let mut extractor = Extractor::new();
        extractor.kind(kind).limit_total(LITERALS_MAX);
        useful(&extractor.extract(&tree))
    };
    let shortest = |texts: &Vec<Vec<u8>>| texts.iter().map(Vec::len).min().unwrap_or(0);
    match (of(ExtractKind::Prefix), of(ExtractKind::Suffix)) {
        (Some(before), Some(after)) if shortest(&after) > shortest(&before) => Some(after),
        (Some(before), _) => Some(before),
        (None, after) => after,
    }
}

fn useful(texts: &Seq) -> Option<Vec<Vec<u8>>> {
    let texts = texts.literals()?;
    let long = !texts.is_empty()
        && texts
            .iter()
            .all(|text| text.as_bytes().len() >= LITERAL_MIN_BYTES);
    long.then(|| texts.iter().map(|text| text.as_bytes().to_vec()).collect())
}
