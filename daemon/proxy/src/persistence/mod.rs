//! Persistence of a backend: which server a request's cookie names, and the cookie in the answer (rules: see `rules`).
//!
//! HAProxy's manual, `cookie`; the letters are those of "8.5. Session state at disconnection".

mod dynamic;
mod rules;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use config::haproxy::{CookieConfig, CookieMode, ProxyConfig};

use crate::http::Head;
use crate::state::{Backend, Server, ServerId, Usability};
use crate::txn::Transaction;

use dynamic::DynamicCookies;
pub use rules::{Persist, ServerRules, server_rules};

/// A backend's cookie, compiled.
#[derive(Clone, Debug)]
pub struct CookiePersistence {
    config: CookieConfig,
    name: Vec<u8>,
    /// Who holds a server keeps its index from being given away.
    servers: HashMap<Vec<u8>, Arc<Server>>,
    dynamic: DynamicCookies,
    /// What follows the value: path, domain and so on.
    tail: String,
}

/// The cookie persistence of a backend, if it has one.
pub fn persistence(proxy: &ProxyConfig, backend: &Arc<Backend>) -> Option<CookiePersistence> {
    let config = proxy.cookie.clone()?;
    let servers = backend
        .servers
        .now()
        .iter()
        .filter_map(|server| {
            let cookie = server.config.cookie.as_ref()?;
            Some((cookie.clone().into_bytes(), Arc::clone(server)))
        })
        .collect();
    let mut tail = String::from("; path=/");
    // The manual allows several domains; they share one attribute, as HAProxy writes them.
    if !config.domains.is_empty() {
        tail.push_str("; domain=");
        tail.push_str(&config.domains.join("; domain="));
    }
    if config.httponly {
        tail.push_str("; HttpOnly");
    }
    if config.secure {
        tail.push_str("; Secure");
    }
    for attribute in &config.attributes {
        tail.push_str("; ");
        tail.push_str(attribute);
    }
    backend.dynamic_cookies.store(config.dynamic, Relaxed);
    let key = proxy.dynamic_cookie_key.clone().map(Arc::new);
    backend.dynamic_cookie_key.store(key);
    Some(CookiePersistence {
        dynamic: DynamicCookies::new(backend),
        name: config.name.clone().into_bytes(),
        config,
        servers,
        tail,
    })
}

/// Longest distance into the future that a cookie's date may have, against clocks that differ.
const CLOCK_TOLERANCE: u64 = 86_400;

impl CookiePersistence {
    /// The server that the request's cookie names. Edits the `Cookie` header (`indirect`, `prefix`) and sets the
    /// third letter. Whether the server can be used is settled by [`CookiePersistence::settle`].
    pub fn request(&self, txn: &mut Transaction) -> Option<ServerId> {
        txn.cookie_letters[0] = b'N';
        txn.persistence = crate::txn::PersistenceState::default();
        let (mut wanted, mut found) = (None, false);
        for index in 0..txn.request.fields().len() {
            let field = txn.request.fields()[index];
            if !txn.request.text(field.name).eq_ignore_ascii_case(b"cookie") {
                continue;
            }
            let line = txn.request.text(field.value).to_vec();
            if !line
                .windows(self.name.len())
                .any(|window| window == self.name.as_slice())
            {
                continue;
            }
            let edited = self.read_line(&line, txn, &mut wanted, &mut found);
            if edited != line {
                txn.request.set_value(index, &edited);
            }
        }
        // A cookie that is only read leaves no letters.
        if self.config.mode == CookieMode::Passive {
            txn.cookie_letters[0] = 0;
        }
        if found {
            txn.request
                .retain(|name, value| !(value.is_empty() && name.eq_ignore_ascii_case(b"cookie")));
        }
        wanted
    }

    /// Reads one `Cookie` line and returns it as the server shall see it.
    fn read_line(
        &self,
        line: &[u8],
        txn: &mut Transaction,
        wanted: &mut Option<ServerId>,
        found: &mut bool,
    ) -> Vec<u8> {
        let mut kept: Vec<Vec<u8>> = Vec::new();
        for pair in line.split(|byte| *byte == b';') {
            let at = memchr::memchr(b'=', pair);
            let name = pair[..at.unwrap_or(pair.len())].trim_ascii();
            let Some(at) = at.filter(|_| name == self.name.as_slice()) else {
                kept.push(pair.to_vec());
                continue;
            };
            let value = pair[at + 1..].trim_ascii();
            let (key, rest) = self.split_value(value);
            if !*found {
                *found = true;
                *wanted = self.judge(key, value, txn);
            }
            match self.config.mode {
                CookieMode::Prefix => match rest {
                    Some(rest) => {
                        let mut pair = pair[..=at].to_vec();
                        pair.extend_from_slice(rest);
                        kept.push(pair);
                    }
                    None => kept.push(pair.to_vec()),
                },
                CookieMode::Insert if self.config.indirect => {}
                _ => kept.push(pair.to_vec()),
            }
        }
        kept.join(&b';').trim_ascii().to_vec()
    }

    /// The server's part of a value, and in prefix mode the application's.
    fn split_value<'v>(&self, value: &'v [u8]) -> (&'v [u8], Option<&'v [u8]>) {
        if self.config.mode == CookieMode::Prefix {
            return match memchr::memchr(b'~', value) {
                Some(at) => (&value[..at], Some(&value[at + 1..])),
                None => (value, None),
            };
        }
        let end = memchr::memchr(b'|', value).unwrap_or(value.len());
        (&value[..end], None)
    }

    fn judge(&self, key: &[u8], value: &[u8], txn: &mut Transaction) -> Option<ServerId> {
        let now = protocol::event::now_ms() / 1000;
        let mut dates = value.split(|byte| *byte == b'|').skip(1).map(decode_date);
        txn.persistence.last_date = dates.next().flatten().unwrap_or(0);
        txn.persistence.first_date = dates.next().flatten().unwrap_or(0);
        if is_over(self.config.maxidle, txn.persistence.last_date, now) {
            txn.cookie_letters[0] = b'E';
            txn.persistence = crate::txn::PersistenceState::default();
            return None;
        }
        if is_over(self.config.maxlife, txn.persistence.first_date, now) {
            txn.cookie_letters[0] = b'O';
            txn.persistence = crate::txn::PersistenceState::default();
            return None;
        }
        let own = self.servers.get(key).map(|server| server.id);
        let server = own.or_else(|| self.dynamic.find(key));
        txn.cookie_letters[0] = if server.is_some() { b'V' } else { b'I' };
        server
    }

    /// The cookie does not decide: a rule named the server, or `ignore-persist` holds.
    pub fn set_aside(&self, txn: &mut Transaction, ignored: bool) {
        txn.persistence.ignored = ignored;
        if !matches!(txn.cookie_letters[0], 0 | b'N') {
            txn.cookie_letters[0] = b'U';
        }
    }

    /// Tells which server was used in the end; called before the answer is edited, and again after a redispatch.
    pub fn settle(&self, txn: &mut Transaction, wanted: Option<ServerId>, chosen: &Server) {
        txn.persistence.direct = wanted == Some(chosen.id);
        if matches!(txn.cookie_letters[0], b'V' | b'D') {
            // Also one that is down and was tried all the same (`force-persist`) is told as down.
            let is_valid = txn.persistence.direct && chosen.usability() != Usability::Down;
            txn.cookie_letters[0] = if is_valid { b'V' } else { b'D' };
        }
    }

    /// Edits the answer's cookies and sets the fourth letter.
    pub fn response(&self, txn: &mut Transaction, server: &Server) {
        txn.cookie_letters[1] = b'N';
        let made = match &server.config.cookie {
            None => self.dynamic.of(server),
            Some(_) => None,
        };
        let own = server.config.cookie.as_deref().map(str::as_bytes);
        let key = own.or(made.as_deref());
        self.rewrite(txn, key);
        if self.config.mode == CookieMode::Passive && txn.cookie_letters[1] == b'N' {
            txn.cookie_letters[1] = 0;
        }
        if self.config.mode != CookieMode::Insert || txn.persistence.ignored {
            return;
        }
        if self.config.postonly && txn.request.method() != b"POST" {
            return;
        }
        if txn.cookie_letters[1] == b'P' || !self.is_insertion_due(txn, key.is_some()) {
            return;
        }
        let Some(key) = key else {
            // A server without a cookie: the client forgets the one that it may have (HAProxy says so whether or not it sent one).
            let text = format!(
                "{}=; Expires=Thu, 01-Jan-1970 00:00:01 GMT{}",
                self.config.name, self.tail
            );
            txn.response.add(b"set-cookie", text.as_bytes());
            txn.cookie_letters[1] = b'I';
            return;
        };
        let mut text = self.name.clone();
        text.push(b'=');
        text.extend_from_slice(key);
        self.append_dates(txn, &mut text);
        text.extend_from_slice(self.tail.as_bytes());
        txn.response.add(b"set-cookie", &text);
        txn.cookie_letters[1] = if txn.persistence.direct { b'U' } else { b'I' };
        self.forbid_caching(txn);
    }

    /// Cookies of our name that the server sets.
    fn rewrite(&self, txn: &mut Transaction, key: Option<&[u8]>) {
        let mut removed = Vec::new();
        for index in 0..txn.response.fields().len() {
            let field = txn.response.fields()[index];
            if !txn
                .response
                .text(field.name)
                .eq_ignore_ascii_case(b"set-cookie")
            {
                continue;
            }
            let line = txn.response.text(field.value).to_vec();
            let end = memchr::memchr(b';', &line).unwrap_or(line.len());
            let Some(at) = memchr::memchr(b'=', &line[..end]) else {
                continue;
            };
            if line[..at].trim_ascii() != self.name.as_slice() {
                continue;
            }
            txn.cookie_letters[1] = b'P';
            match (self.config.mode, key) {
                (CookieMode::Rewrite, Some(key)) => {
                    let text = [&line[..=at], key, &line[end..]].concat();
                    txn.response.set_value(index, &text);
                    txn.cookie_letters[1] = b'R';
                }
                (CookieMode::Prefix, Some(key)) => {
                    let text = [&line[..=at], key, b"~", &line[at + 1..]].concat();
                    txn.response.set_value(index, &text);
                    txn.cookie_letters[1] = b'R';
                }
                (CookieMode::Insert, _) if !self.config.preserve => {
                    removed.push(line);
                    txn.cookie_letters[1] = b'D';
                }
                _ => {}
            }
        }
        if txn.cookie_letters[1] == b'R' {
            self.forbid_caching(txn);
        }
        if !removed.is_empty() {
            txn.response.retain(|name, value| {
                !(name.eq_ignore_ascii_case(b"set-cookie")
                    && removed.iter().any(|line| line.as_slice() == value))
            });
        }
    }

    /// Whether the client needs a cookie: it came by another way, or the dates in its cookie are to be renewed.
    fn is_insertion_due(&self, txn: &Transaction, has_key: bool) -> bool {
        let state = txn.persistence;
        if !state.direct || !has_key {
            return true;
        }
        let now = protocol::event::now_ms() / 1000;
        let renew_last = (self.config.maxidle.is_some() || state.last_date != 0)
            && (state.last_date == 0 || state.last_date < now || self.config.maxidle.is_none());
        let renew_first = (self.config.maxlife.is_some()) != (state.first_date != 0);
        renew_last || renew_first
    }

    fn append_dates(&self, txn: &Transaction, text: &mut Vec<u8>) {
        if self.config.maxidle.is_none() && self.config.maxlife.is_none() {
            return;
        }
        let now = protocol::event::now_ms() / 1000;
        text.push(b'|');
        encode_date(now, text);
        if self.config.maxlife.is_some() {
            text.push(b'|');
            let first = txn.persistence.first_date;
            encode_date(
                if txn.persistence.direct && first != 0 {
                    first
                } else {
                    now
                },
                text,
            );
        }
    }

    /// `nocache`: an answer that a cache could keep must not carry one client's cookie to others.
    fn forbid_caching(&self, txn: &mut Transaction) {
        if self.config.nocache && is_cacheable(&txn.request, &txn.response) {
            txn.response.add(b"cache-control", b"private");
        }
    }
}

fn is_over(limit: Option<Duration>, date: u64, now: u64) -> bool {
    limit.is_some_and(|limit| {
        date != 0 && (date + limit.as_secs() < now || date > now + CLOCK_TOLERANCE)
    })
}

/// Whether a shared cache may keep the answer (RFC 9111 3, RFC 9110 15.1): its status allows it, nothing forbids it,
/// and it says how long it is fresh or how it can be validated. What is marked `public` is left as its author wrote it.
fn is_cacheable(request: &Head, response: &Head) -> bool {
    if !matches!(request.method(), b"GET" | b"HEAD") {
        return false;
    }
    if !matches!(
        response.status(),
        200 | 203 | 204 | 206 | 300 | 301 | 404 | 405 | 410 | 414 | 501
    ) {
        return false;
    }
    if response
        .headers(b"pragma")
        .any(|value| value.eq_ignore_ascii_case(b"no-cache"))
    {
        return false;
    }
    let mut is_fresh = [&b"etag"[..], b"last-modified", b"expires"]
        .iter()
        .any(|name| response.header(name).is_some());
    for directive in response
        .headers(b"cache-control")
        .flat_map(|line| line.split(|byte| *byte == b','))
    {
        match directive.trim_ascii().to_ascii_lowercase().as_slice() {
            b"no-cache" | b"no-store" | b"private" | b"public" | b"max-age=0" | b"s-maxage=0" => {
                return false;
            }
            other => {
                is_fresh |= other.starts_with(b"max-age=") || other.starts_with(b"s-maxage=");
            }
        }
    }
    is_fresh
}

const DATE_ALPHABET: &[u8; 64] =
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Five characters of six bits: seconds in units of four, rounded up.
fn encode_date(seconds: u64, text: &mut Vec<u8>) {
    let bits = seconds.div_ceil(4);
    for shift in [24, 18, 12, 6, 0] {
        text.push(DATE_ALPHABET[((bits >> shift) & 63) as usize]);
    }
}

fn decode_date(text: &[u8]) -> Option<u64> {
    if text.len() != 5 {
        return None;
    }
    let mut bits = 0;
    for byte in text {
        bits = bits << 6 | DATE_ALPHABET.iter().position(|found| found == byte)? as u64;
    }
    Some(bits * 4)
}
