//! Which versions, cipher suites and curves are offered: OpenSSL's names become parts of rustls' provider. What rustls does
//! not do is named in a warning; if nothing is left, that is an error.

use std::sync::Arc;

use config::haproxy::TlsChoice;
use config::{Diagnostic, DiagnosticKind, Diagnostics, Span, Word};
use rustls::crypto::aws_lc_rs::{cipher_suite as suites, kx_group};
use rustls::crypto::{CryptoProvider, SupportedKxGroup, aws_lc_rs};
use rustls::{SupportedCipherSuite, SupportedProtocolVersion};

/// What a line offers.
pub(super) struct Offer {
    /// With the chosen suites and curves alone.
    pub(super) provider: Arc<CryptoProvider>,
    /// The versions that have suites.
    pub(super) versions: Vec<&'static SupportedProtocolVersion>,
}

/// A cipher suite of TLS 1.2 with what cipher lists say of it.
struct Suite {
    name: &'static str,
    /// Words that stand for this suite among others, beside [`COMMON`].
    classes: &'static [&'static str],
    bits: u16,
    suite: SupportedCipherSuite,
}

/// Words that stand for all of [`SUITES`].
const COMMON: [&str; 8] = [
    "ALL", "DEFAULT", "ECDHE", "ECDH", "EECDH", "HIGH", "TLSv1.2", "kECDHE",
];

/// In OpenSSL's order.
#[rustfmt::skip]
const SUITES: [Suite; 6] = [
    Suite { name: "ECDHE-ECDSA-AES256-GCM-SHA384", classes: &["AES", "AES256", "AESGCM", "ECDSA", "FIPS", "aECDSA"], bits: 256, suite: suites::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 },
    Suite { name: "ECDHE-RSA-AES256-GCM-SHA384", classes: &["AES", "AES256", "AESGCM", "FIPS", "aRSA"], bits: 256, suite: suites::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 },
    Suite { name: "ECDHE-ECDSA-CHACHA20-POLY1305", classes: &["CHACHA20", "ECDSA", "aECDSA"], bits: 256, suite: suites::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256 },
    Suite { name: "ECDHE-RSA-CHACHA20-POLY1305", classes: &["CHACHA20", "aRSA"], bits: 256, suite: suites::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256 },
    Suite { name: "ECDHE-ECDSA-AES128-GCM-SHA256", classes: &["AES", "AES128", "AESGCM", "ECDSA", "FIPS", "aECDSA"], bits: 128, suite: suites::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 },
    Suite { name: "ECDHE-RSA-AES128-GCM-SHA256", classes: &["AES", "AES128", "AESGCM", "FIPS", "aRSA"], bits: 128, suite: suites::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 },
];

/// Suites of TLS 1.3, in OpenSSL's order.
const SUITES13: [(&str, SupportedCipherSuite); 3] = [
    ("TLS_AES_256_GCM_SHA384", suites::TLS13_AES_256_GCM_SHA384),
    (
        "TLS_CHACHA20_POLY1305_SHA256",
        suites::TLS13_CHACHA20_POLY1305_SHA256,
    ),
    ("TLS_AES_128_GCM_SHA256", suites::TLS13_AES_128_GCM_SHA256),
];

/// Curves and other groups, some by several names.
const GROUPS: [(&str, &dyn SupportedKxGroup); 10] = [
    ("MLKEM1024", kx_group::MLKEM1024),
    ("MLKEM768", kx_group::MLKEM768),
    ("P-256", kx_group::SECP256R1),
    ("P-384", kx_group::SECP384R1),
    ("SecP256r1MLKEM768", kx_group::SECP256R1MLKEM768),
    ("X25519", kx_group::X25519),
    ("X25519MLKEM768", kx_group::X25519MLKEM768),
    ("prime256v1", kx_group::SECP256R1),
    ("secp256r1", kx_group::SECP256R1),
    ("secp384r1", kx_group::SECP384R1),
];

impl Suite {
    fn is(&self, word: &str) -> bool {
        self.name == word || COMMON.contains(&word) || self.classes.contains(&word)
    }
}

/// Makes the offer of a line that stands at `span`; `None` where nothing can be offered.
pub(super) fn offer(
    choice: &TlsChoice,
    span: Span,
    diagnostics: &mut Diagnostics,
) -> Option<Offer> {
    let mut provider = aws_lc_rs::default_provider();
    let mut versions = versions(choice, span, diagnostics)?;
    // Without a list the order is OpenSSL's too.
    let mut of_12: Vec<_> = SUITES.iter().map(|suite| suite.suite).collect();
    let mut of_13: Vec<_> = SUITES13.iter().map(|(_, suite)| *suite).collect();
    if let Some(word) = &choice.ciphers
        && versions.contains(&&rustls::version::TLS12)
    {
        let (chosen, missing) = cipher_list(&word.text);
        of_12 = chosen.into_iter().map(|suite| suite.suite).collect();
        tell("ciphers", word, &missing, of_12.is_empty(), diagnostics)?;
    }
    if let Some(word) = &choice.ciphersuites
        && versions.contains(&&rustls::version::TLS13)
    {
        let (chosen, missing) = named(&word.text, |name| {
            let found = SUITES13.iter().find(|(known, _)| *known == name);
            found.map(|(_, suite)| *suite)
        });
        of_13 = chosen;
        tell(
            "ciphersuites",
            word,
            &missing,
            of_13.is_empty(),
            diagnostics,
        )?;
    }
    if let Some(word) = &choice.curves {
        let (chosen, missing) = named(&word.text, |name| {
            let found = GROUPS
                .iter()
                .find(|(known, _)| known.eq_ignore_ascii_case(name));
            found.map(|(_, group)| *group)
        });
        provider.kx_groups = chosen;
        let is_empty = provider.kx_groups.is_empty();
        tell("curves", word, &missing, is_empty, diagnostics)?;
    }
    provider.cipher_suites = [of_13, of_12].concat();
    versions.retain(|version| {
        let mut suites = provider.cipher_suites.iter();
        suites.any(|suite| suite.version() == *version)
    });
    Some(Offer {
        provider: Arc::new(provider),
        versions,
    })
}

fn versions(
    choice: &TlsChoice,
    span: Span,
    diagnostics: &mut Diagnostics,
) -> Option<Vec<&'static SupportedProtocolVersion>> {
    let minimum = choice.min_version.as_deref().unwrap_or("TLSv1.2");
    let maximum = choice.max_version.as_deref().unwrap_or("TLSv1.3");
    let mut versions = Vec::new();
    if minimum != "TLSv1.3" && maximum >= "TLSv1.2" {
        versions.push(&rustls::version::TLS12);
    }
    if maximum >= "TLSv1.3" {
        versions.push(&rustls::version::TLS13);
    }
    if versions.is_empty() {
        let message = format!(
            "no TLS version from {minimum} to {maximum} is offered; TLSv1.2 and TLSv1.3 are"
        );
        diagnostics.push(Diagnostic::error(
            DiagnosticKind::InvalidValue,
            span,
            message,
        ));
        return None;
    }
    Some(versions)
}

/// Tells what is not offered; `None` if nothing is left.
fn tell(
    keyword: &str,
    word: &Word,
    missing: &[&str],
    is_empty: bool,
    diagnostics: &mut Diagnostics,
) -> Option<()> {
    let missing = missing.join(", ");
    if is_empty {
        let message = format!("nothing of '{keyword} {}' can be offered here", word.text);
        diagnostics.push(
            Diagnostic::error(DiagnosticKind::InvalidValue, word.span, message)
                .with_help(known(keyword)),
        );
        return None;
    }
    if !missing.is_empty() {
        let message = format!("'{keyword}' names what is not offered here: {missing}");
        diagnostics.push(
            Diagnostic::warning(DiagnosticKind::Pointless, word.span, message)
                .with_help(known(keyword)),
        );
    }
    Some(())
}

/// What there is, for the one who asked for something else.
fn known(keyword: &str) -> String {
    let names: Vec<&str> = match keyword {
        "ciphers" => SUITES.iter().map(|suite| suite.name).collect(),
        "ciphersuites" => SUITES13.iter().map(|(name, _)| *name).collect(),
        _ => GROUPS.iter().map(|(name, _)| *name).collect(),
    };
    format!("there are {}", names.join(", "))
}

/// What names with colons between stand for, each once; and the names that stand for nothing.
fn named<T>(text: &str, find: impl Fn(&str) -> Option<T>) -> (Vec<T>, Vec<&str>) {
    let (mut chosen, mut missing) = (Vec::new(), Vec::new());
    let mut names: Vec<&str> = Vec::new();
    for name in text.split(':').filter(|name| !name.is_empty()) {
        if names.contains(&name) {
            continue;
        }
        names.push(name);
        match find(name) {
            Some(found) => chosen.push(found),
            None => missing.push(name),
        }
    }
    (chosen, missing)
}

/// Reads a cipher list as openssl-ciphers(1) defines it: the suites in order, and the terms that ask for what there is not.
fn cipher_list(text: &str) -> (Vec<&'static Suite>, Vec<&str>) {
    let mut list: Vec<&'static Suite> = Vec::new();
    let mut dead: Vec<&str> = Vec::new();
    let mut missing = Vec::new();
    let terms = text
        .split([':', ',', ' ', ';'])
        .flat_map(|term| {
            // `DEFAULT@SECLEVEL=1` is two terms.
            let at = term.find('@').unwrap_or(term.len());
            [&term[..at], &term[at..]]
        })
        .filter(|term| !term.is_empty());
    for term in terms {
        if term == "@STRENGTH" {
            list.sort_by_key(|suite| std::cmp::Reverse(suite.bits));
            continue;
        }
        if term.starts_with('@') {
            // `@SECLEVEL`: all of ours satisfy the levels up to 3.
            continue;
        }
        let (operator, words) = match term.as_bytes() {
            [operator @ (b'!' | b'-' | b'+'), ..] => (*operator, &term[1..]),
            _ => (b' ', term),
        };
        let matches = |suite: &&'static Suite| match words {
            "SUITEB128" => suite.is("ECDSA") && suite.is("AESGCM"),
            "SUITEB128ONLY" => suite.is("ECDSA") && suite.is("AES128"),
            "SUITEB192" => suite.is("ECDSA") && suite.is("AES256"),
            _ => words.split('+').all(|word| suite.is(word)),
        };
        match operator {
            b'!' => {
                list.retain(|suite| !matches(suite));
                dead.extend(SUITES.iter().filter(matches).map(|suite| suite.name));
            }
            b'-' => list.retain(|suite| !matches(suite)),
            b'+' => {
                let (moved, stay): (Vec<_>, Vec<_>) = list.into_iter().partition(matches);
                list = [stay, moved].concat();
            }
            _ if !SUITES.iter().any(|suite| matches(&suite)) => missing.push(term),
            _ => {
                for suite in SUITES.iter().filter(matches) {
                    let is_there = list.iter().any(|one| one.name == suite.name);
                    if !is_there && !dead.contains(&suite.name) {
                        list.push(suite);
                    }
                }
            }
        }
    }
    (list, missing)
}

#[cfg(test)]
mod tests {
    use super::{GROUPS, cipher_list, named};

    /// What openssl(1) 3.0 lists for the same texts, as far as it is among the six suites.
    #[test]
    fn cipher_lists_mean_what_openssl_makes_of_them() {
        let short = |text: &str| {
            let (list, _) = cipher_list(text);
            let names = list.iter().map(|suite| {
                let auth = if suite.is("aECDSA") { 'E' } else { 'R' };
                let cipher = match suite {
                    _ if suite.is("AES256") => '2',
                    _ if suite.is("AES128") => '1',
                    _ => 'C',
                };
                format!("{auth}{cipher}")
            });
            names.collect::<Vec<_>>().join(" ")
        };
        for (text, expected) in [
            ("HIGH", "E2 R2 EC RC E1 R1"),
            ("DEFAULT", "E2 R2 EC RC E1 R1"),
            ("COMPLEMENTOFDEFAULT", ""),
            ("SHA256", ""),
            ("TLSv1.2", "E2 R2 EC RC E1 R1"),
            ("FIPS", "E2 R2 E1 R1"),
            ("RSA", ""),
            ("aRSA", "R2 RC R1"),
            ("EECDH+AESGCM:EDH+AESGCM", "E2 R2 E1 R1"),
            ("ECDHE+AES:!AES128", "E2 R2"),
            ("HIGH:!aNULL:!MD5", "E2 R2 EC RC E1 R1"),
            ("ALL:!ECDSA:@STRENGTH", "R2 RC R1"),
            ("AES128:AES256:+AES128", "E2 R2 E1 R1"),
            ("AESGCM:-AES128:AES128", "E2 R2 E1 R1"),
            ("!ECDSA:ECDSA:ALL", "R2 RC R1"),
            ("FOO", ""),
            ("FOO:AES", "E2 R2 E1 R1"),
            ("@SECLEVEL=2:ECDHE", "E2 R2 EC RC E1 R1"),
            ("ECDHE-RSA-AES128-GCM-SHA256:ALL", "R1 E2 R2 EC RC E1"),
            ("ECDHE+RSA", ""),
            ("aECDSA+CHACHA20", "EC"),
            (
                "EECDH+CHACHA20:EECDH+AES128:RSA+AES128:EECDH+AES256:RSA+AES256",
                "EC RC E1 R1 E2 R2",
            ),
            ("DEFAULT@SECLEVEL=1", "E2 R2 EC RC E1 R1"),
            ("CHACHA20 AESGCM", "EC RC E2 R2 E1 R1"),
            ("ALL,!AESGCM", "EC RC"),
            ("AES+GCM", ""),
            ("ecdhe", ""),
            ("SUITEB128", "E2 E1"),
            ("SUITEB192", "E2"),
            ("AES256+aRSA:!CHACHA20:ALL:-AES128", "R2 E2"),
        ] {
            assert_eq!(short(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_not_there_is_named() {
        let text = "ECDHE-RSA-AES128-GCM-SHA256:DHE-RSA-AES128-GCM-SHA256:!aNULL:FOO:DHE+AES";
        let (_, missing) = cipher_list(text);
        assert_eq!(missing, ["DHE-RSA-AES128-GCM-SHA256", "FOO", "DHE+AES"]);
        let find = |name: &str| {
            let found = GROUPS.iter().find(|(known, _)| *known == name);
            found.map(|(_, group)| group.name())
        };
        let (found, missing) = named("X25519:P-521:X25519:P-256", find);
        let expected = [rustls::NamedGroup::X25519, rustls::NamedGroup::secp256r1];
        assert_eq!((found, missing), (expected.to_vec(), vec!["P-521"]));
    }
}
