//! ACLs and conditions: `acl NAME CRITERION [flags] values`, `if a !b or { path_beg /x }`.
//!
//! HAProxy's manual, "7.1. ACL basics" and "7.2. Using ACLs to form conditions". Names are resolved when
//! the configuration is compiled; a condition that runs only looks at samples.

use std::collections::HashMap;
use std::sync::Arc;

use config::haproxy::AclLine;
use config::{Diagnostic, DiagnosticKind, Diagnostics, Span, Word};

use crate::pattern::{Matcher, Method, Operator, Use, dotted, with_operator};
use crate::sample::{self, Expression, Kind, Scope, Value, View};

/// A criterion with its patterns.
#[derive(Debug)]
struct Test {
    expression: Expression,
    method: Method,
    /// Its files, and the patterns of its own line.
    matchers: Vec<Arc<Matcher>>,
    /// A boolean without patterns is its own answer.
    bare: bool,
}

impl Test {
    fn holds_for(&self, value: &Value<'_>) -> bool {
        match self.method {
            Method::Found => true,
            Method::Bool if self.bare => value.as_bool().unwrap_or(false),
            _ => self.matchers.iter().any(|matcher| matcher.matches(value)),
        }
    }
}

/// A named ACL: it holds when one of its lines does.
#[derive(Debug)]
pub struct Acl {
    tests: Vec<Test>,
}

impl Acl {
    /// Whether it holds.
    pub fn holds(&self, view: &View<'_>) -> bool {
        self.tests.iter().any(|test| {
            let mut found = false;
            test.expression.each(view, &mut |value: Value<'_>| {
                found = test.holds_for(&value);
                found
            });
            found
        })
    }

    /// Whether it holds, as far as a stream's first bytes tell: `None` while more of them may make it hold.
    fn look(&self, view: &View<'_>) -> Option<bool> {
        let Some(peeked) = view.txn.peeked.as_deref() else {
            return Some(self.holds(view));
        };
        let mut is_open = false;
        for test in &self.tests {
            peeked.begin();
            let mut found = false;
            test.expression.each(view, &mut |value: Value<'_>| {
                found = test.holds_for(&value);
                found
            });
            let may_change =
                peeked.is_undecided() || peeked.awaits_head() && test.expression.reads_request();
            match found {
                true => return Some(true),
                false => is_open |= may_change,
            }
        }
        (!is_open).then_some(false)
    }
}

/// The ACLs of a proxy by name.
#[derive(Default)]
pub struct Acls(HashMap<String, Arc<Acl>>);

/// ACLs that are always there, sorted (manual 7.4).
#[rustfmt::skip]
const PREDEFINED: &[(&str, &[&str])] = &[
    ("FALSE", &["always_false"]),
    ("HTTP", &["req.proto_http"]),
    ("HTTP_1.0", &["req.ver", "1.0"]),
    ("HTTP_1.1", &["req.ver", "1.1"]),
    ("HTTP_2.0", &["req.ver", "2.0"]),
    ("HTTP_CONTENT", &["req.hdr_val(content-length)", "gt", "0"]),
    ("HTTP_URL_ABS", &["url_reg", "^[^/:]*://"]),
    ("HTTP_URL_SLASH", &["url_beg", "/"]),
    ("HTTP_URL_STAR", &["url", "*"]),
    ("LOCALHOST", &["src", "127.0.0.1/8", "::1"]),
    ("METH_CONNECT", &["method", "CONNECT"]),
    ("METH_DELETE", &["method", "DELETE"]),
    ("METH_GET", &["method", "GET", "HEAD"]),
    ("METH_HEAD", &["method", "HEAD"]),
    ("METH_OPTIONS", &["method", "OPTIONS"]),
    ("METH_POST", &["method", "POST"]),
    ("METH_PUT", &["method", "PUT"]),
    ("METH_TRACE", &["method", "TRACE"]),
    ("RDP_COOKIE", &["req.rdp_cookie_cnt", "gt", "0"]),
    ("REQ_CONTENT", &["req.len", "gt", "0"]),
    ("TRUE", &["always_true"]),
    ("WAIT_END", &["wait_end"]),
];

/// Criteria that carry a match suffix (`path_beg`), by the fetch that they stand on, sorted.
const SUFFIXED: &[&str] = &[
    "base",
    "cook",
    "hdr",
    "path",
    "scook",
    "shdr",
    "ssl_fc_sni",
    "url",
    "url_param",
    "urlp",
];

impl Acls {
    /// Compiles the lines of a proxy; what is wrong goes to `diagnostics`.
    pub fn compile(lines: &[AclLine], scope: &Scope<'_>, diagnostics: &mut Diagnostics) -> Self {
        let mut found: HashMap<String, Acl> = HashMap::new();
        for line in lines {
            let entry = found
                .entry(line.name.text.clone())
                .or_insert_with(|| Acl { tests: Vec::new() });
            match compile_test(&line.words, line.name.span, scope) {
                Ok(test) => entry.tests.push(test),
                Err(diagnostic) => diagnostics.push(diagnostic),
            }
        }
        Self(
            found
                .into_iter()
                .map(|(name, acl)| (name, Arc::new(acl)))
                .collect(),
        )
    }

    fn find(&self, word: &Word, scope: &Scope<'_>) -> Result<Arc<Acl>, Diagnostic> {
        if let Some(acl) = self.0.get(&word.text) {
            return Ok(Arc::clone(acl));
        }
        if let Ok(at) = PREDEFINED.binary_search_by_key(&word.text.as_str(), |row| row.0) {
            let words: Vec<Word> = PREDEFINED[at]
                .1
                .iter()
                .map(|text| Word::new(*text, word.span))
                .collect();
            let test = compile_test(&words, word.span, scope)?;
            return Ok(Arc::new(Acl { tests: vec![test] }));
        }
        Err(sample::suggest(
            Diagnostic::error(
                DiagnosticKind::UnknownName,
                word.span,
                format!("no such ACL: '{}'", word.text),
            ),
            &word.text,
            self.0
                .keys()
                .map(String::as_str)
                .chain(PREDEFINED.iter().map(|row| row.0)),
        ))
    }
}

/// A condition: terms joined by "and" make a group, groups are joined by "or".
#[derive(Debug)]
pub struct Condition {
    /// `unless`.
    negated: bool,
    groups: Vec<Vec<Term>>,
}

#[derive(Debug)]
struct Term {
    negated: bool,
    acl: Arc<Acl>,
}

impl Condition {
    /// Compiles `if …` or `unless …`; no words mean "always".
    pub fn compile(
        words: &[Word],
        acls: &Acls,
        scope: &Scope<'_>,
    ) -> Result<Option<Self>, Diagnostic> {
        let Some((keyword, rest)) = words.split_first() else {
            return Ok(None);
        };
        let negated = match keyword.text.as_str() {
            "if" => false,
            "unless" => true,
            other => {
                return Err(Diagnostic::error(
                    DiagnosticKind::Syntax,
                    keyword.span,
                    format!("expected 'if' or 'unless', found '{other}'"),
                ));
            }
        };
        Self::compile_terms(rest, keyword.span, negated, acls, scope).map(Some)
    }

    fn compile_terms(
        words: &[Word],
        span: Span,
        negated: bool,
        acls: &Acls,
        scope: &Scope<'_>,
    ) -> Result<Self, Diagnostic> {
        let syntax = |span, message: &str| Diagnostic::error(DiagnosticKind::Syntax, span, message);
        let mut groups = vec![Vec::new()];
        let mut negate_next = false;
        let mut last = span;
        let mut at = 0;
        while let Some(word) = words.get(at) {
            at += 1;
            last = word.span;
            let mut text = word.text.as_str();
            if text == "or" || text == "||" {
                if groups.last().is_none_or(Vec::is_empty) || negate_next {
                    return Err(syntax(word.span, "an ACL is missing before 'or'"));
                }
                groups.push(Vec::new());
                continue;
            }
            while let Some(after) = text.strip_prefix('!') {
                negate_next = !negate_next;
                text = after;
            }
            if text.is_empty() {
                continue;
            }
            let acl = if text == "{" {
                let end = words[at..]
                    .iter()
                    .position(|word| word.text == "}")
                    .ok_or_else(|| {
                        syntax(
                            word.span,
                            "missing '}' after '{'; blanks around both are needed",
                        )
                    })?;
                let test = compile_test(&words[at..at + end], word.span, scope)?;
                at += end + 1;
                Arc::new(Acl { tests: vec![test] })
            } else {
                acls.find(&Word::new(text, word.span), scope)?
            };
            if let Some(group) = groups.last_mut() {
                group.push(Term {
                    negated: std::mem::take(&mut negate_next),
                    acl,
                });
            }
        }
        if groups.last().is_none_or(Vec::is_empty) || negate_next {
            return Err(syntax(
                last,
                "an ACL is missing at the end of the condition",
            ));
        }
        Ok(Self { negated, groups })
    }

    /// Whether a test looks at the request's head, or at a stream's first bytes.
    pub fn reads_content(&self) -> bool {
        let mut terms = self.groups.iter().flatten();
        terms.any(|term| {
            let mut expressions = term.acl.tests.iter().map(|test| &test.expression);
            expressions.any(|found| found.reads_request() || found.reads_stream())
        })
    }

    /// Whether it holds, as far as a stream's first bytes tell: `None` while more of them may decide otherwise.
    pub fn look(&self, view: &View<'_>) -> Option<bool> {
        let mut found = Some(false);
        for group in &self.groups {
            let mut all = Some(true);
            for term in group {
                match term.acl.look(view).map(|holds| holds != term.negated) {
                    Some(true) => {}
                    Some(false) => {
                        all = Some(false);
                        break;
                    }
                    None => all = None,
                }
            }
            match all {
                Some(true) => return Some(!self.negated),
                Some(false) => {}
                None => found = None,
            }
        }
        found.map(|found| found != self.negated)
    }

    /// Whether it holds.
    pub fn holds(&self, view: &View<'_>) -> bool {
        let found = self.groups.iter().any(|group| {
            group
                .iter()
                .all(|term| term.acl.holds(view) != term.negated)
        });
        found != self.negated
    }
}

/// Whether an optional condition holds.
pub fn holds(condition: Option<&Condition>, view: &View<'_>) -> bool {
    condition.is_none_or(|condition| condition.holds(view))
}

fn compile_test(words: &[Word], span: Span, scope: &Scope<'_>) -> Result<Test, Diagnostic> {
    let Some((criterion, rest)) = words.split_first() else {
        return Err(Diagnostic::error(
            DiagnosticKind::Syntax,
            span,
            "an ACL needs a criterion",
        ));
    };
    let (expression, suffix) = compile_criterion(criterion, scope)?;
    let mut method = suffix.unwrap_or(match expression.kind() {
        Kind::Bool => Method::Bool,
        Kind::Int => Method::Int,
        Kind::Address => Method::Ip,
        Kind::Text | Kind::Any if expression.has_binary_patterns() => Method::Bin,
        Kind::Text | Kind::Any => Method::Str,
    });
    let mut is_dotted = expression.has_dotted_patterns();
    let invalid = |word: &Word, message: String| {
        Diagnostic::error(DiagnosticKind::InvalidValue, word.span, message)
    };
    let mut ignore_case = false;
    let mut is_map = false;
    let mut id = None;
    // Flags hold for what follows them.
    let mut files = Vec::new();
    let mut at = 0;
    while let Some(word) = rest.get(at) {
        let argument = || {
            rest.get(at + 1)
                .ok_or_else(|| invalid(word, format!("'{}' needs an argument", word.text)))
        };
        match word.text.as_str() {
            "-i" => ignore_case = true,
            "-n" => {}
            "-M" => is_map = true,
            "-m" => {
                if !files.is_empty() {
                    return Err(invalid(
                        word,
                        "'-m' must only be specified before patterns and files".to_owned(),
                    ));
                }
                let name = argument()?;
                is_dotted = false;
                method = Method::parse(&name.text).ok_or_else(|| {
                    Diagnostic::error(
                        DiagnosticKind::UnknownWord,
                        name.span,
                        format!("unknown match method '{}'", name.text),
                    )
                })?;
                at += 1;
            }
            "-f" => {
                files.push((argument()?, ignore_case, is_map));
                at += 1;
            }
            "-u" => {
                let number = argument()?;
                id = Some(number.text.parse().map_err(|_| {
                    invalid(
                        number,
                        format!(
                            "the argument of -u must be an integer, found '{}'",
                            number.text
                        ),
                    )
                })?);
                at += 1;
            }
            "--" => {
                at += 1;
                break;
            }
            _ => break,
        }
        at += 1;
    }
    let registry = scope.names.patterns();
    let mut matchers = Vec::new();
    for (file, ignore_case, is_map) in &files {
        let seen = Use {
            by_acl: !is_map,
            span: file.span,
        };
        let matcher = registry
            .file(&file.text, *is_map)
            .and_then(|list| {
                list.matcher(method, *ignore_case, None, seen)
                    .map_err(|message| format!("{message} of file '{}'", file.text))
            })
            .map_err(|message| Diagnostic::error(DiagnosticKind::File, file.span, message))?;
        matchers.push(matcher);
    }
    let words = &rest[at..];
    if let (Method::Found, Some(word)) = (method, words.first()) {
        return Err(invalid(word, "'-m found' takes no pattern".to_owned()));
    }
    let end = criterion
        .text
        .find(['(', ','])
        .unwrap_or(criterion.text.len());
    let list = registry
        .line(&criterion.text[..end], id)
        .map_err(|message| Diagnostic::error(DiagnosticKind::InvalidValue, span, message))?;
    let seen = Use { by_acl: true, span };
    matchers.push(
        list.matcher(method, ignore_case, None, seen)
            .map_err(|message| invalid(criterion, message))?,
    );
    let mut operator = Operator::default();
    for word in words {
        let text = match method {
            Method::Int if is_dotted => {
                dotted(&word.text).and_then(|word| with_operator(&word, &mut operator))
            }
            Method::Int | Method::Len => with_operator(&word.text, &mut operator),
            _ => Ok(Some(word.text.clone())),
        };
        let added = match text {
            Ok(Some(text)) => list.add(&text, "", None),
            Ok(None) => Ok(()),
            Err(message) => Err(message),
        };
        added.map_err(|message| invalid(word, message))?;
    }
    Ok(Test {
        expression,
        method,
        bare: words.is_empty() && files.is_empty(),
        matchers,
    })
}

/// A criterion is a sample expression, or one of the old names that carry a match suffix.
fn compile_criterion(
    criterion: &Word,
    scope: &Scope<'_>,
) -> Result<(Expression, Option<Method>), Diagnostic> {
    let end = criterion
        .text
        .find(['(', ','])
        .unwrap_or(criterion.text.len());
    let (name, rest) = criterion.text.split_at(end);
    if !sample::is_fetch(name)
        && let Some((base, suffix)) = name.rsplit_once('_')
        && SUFFIXED.binary_search(&base).is_ok()
        && let Some(method) =
            Method::parse(suffix).filter(|method| method.is_text() || *method == Method::Len)
    {
        let word = Word::new(format!("{base}{rest}"), criterion.span);
        return Ok((Expression::compile(&word, scope)?, Some(method)));
    }
    match Expression::compile(criterion, scope) {
        Ok(expression) => Ok((expression, None)),
        Err(error) if error.kind == DiagnosticKind::UnknownWord && error.help.is_none() => {
            Err(suggest_suffixed(error, name))
        }
        Err(error) => Err(error),
    }
}

/// A criterion that nobody knows may be a misspelt `path_beg`.
fn suggest_suffixed(error: Diagnostic, name: &str) -> Diagnostic {
    const SUFFIXES: &[&str] = &["beg", "dir", "dom", "end", "len", "reg", "sub"];
    let names: Vec<String> = SUFFIXED
        .iter()
        .flat_map(|base| {
            SUFFIXES
                .iter()
                .map(move |suffix| format!("{base}_{suffix}"))
        })
        .collect();
    sample::suggest(error, name, names.iter().map(String::as_str))
}
