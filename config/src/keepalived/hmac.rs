//! `auth_hmac`: keys, and what an instance makes of advertisements that they do not prove.
//!
//! A key's octets never stand in a message, a dump or an error: [`Secret`] shows its length alone, and the shown lines
//! of the text have them masked ([`mask`]).

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::model::VirtualAddress;
use super::parser::body;
use super::tree::Statement;
use super::values::{Complaints, parse_seconds};
use crate::diagnostic::{Diagnostic, DiagnosticKind};
use crate::source::{SourceMap, Span, Word};

/// Octets of a key.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// The octets, for the computation alone.
    pub fn octets(&self) -> &[u8] {
        &self.0
    }

    /// A key of these octets.
    pub fn new(octets: Vec<u8>) -> Self {
        Self(octets)
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Secret({} octets)", self.0.len())
    }
}

/// A key with the number that advertisements name it by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HmacKey {
    /// 1 to 255.
    pub id: u8,
    /// Its octets.
    pub secret: Secret,
}

/// `anti_replay`: which sequence numbers are new.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum AntiReplay {
    /// Near the time of day, and above the sender's last one.
    #[default]
    Time,
    /// Above the sender's last one: needs no clocks that agree.
    Monotonic,
}

/// `mode`: what becomes of advertisements without a trailer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum HmacMode {
    /// They are refused.
    #[default]
    Enforce,
    /// They count, and are counted: for the time in which not all nodes have keys.
    Permissive,
}

/// `auth_hmac { … }`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthHmac {
    /// All keys that are believed, by their numbers.
    pub keys: Vec<HmacKey>,
    /// `active_key`: what we send is proved by this one.
    pub active_key: u8,
    /// `anti_replay`.
    pub anti_replay: AntiReplay,
    /// `time_window`; three intervals by default, and 5 s at least.
    pub time_window: Duration,
    /// `mode`.
    pub mode: HmacMode,
}

impl AuthHmac {
    /// The key with this number.
    pub fn key(&self, id: u8) -> Option<&Secret> {
        let found = self.keys.iter().find(|key| key.id == id);
        found.map(|key| &key.secret)
    }
}

/// Octets that the trailer takes from an advertisement's room.
const TRAILER_OCTETS: usize = 28;
/// Octets of a key: keepalived's manual says from 16 on, its release notes from 32 on.
const MIN_OCTETS: usize = 16;
const GOOD_OCTETS: usize = 32;
const MAX_OCTETS: usize = 64;
/// Largest key file read, in bytes: the longest key in hexadecimal and much room.
const MAX_FILE_BYTES: u64 = 4096;
/// Bounds of `time_window` in seconds.
const MIN_WINDOW: Duration = Duration::from_secs(1);
const MAX_WINDOW_SECONDS: u32 = 300;
/// The least default of it.
const DEFAULT_WINDOW: Duration = Duration::from_secs(5);

/// The words of a block while it is read.
#[derive(Clone, Debug, Default)]
pub(super) struct Pending {
    span: Option<Span>,
    keys: Vec<HmacKey>,
    active_key: Option<(u8, Span)>,
    anti_replay: AntiReplay,
    time_window: Option<Duration>,
    permissive: Option<Span>,
}

const WORDS: [&str; 5] = ["active_key", "anti_replay", "key", "mode", "time_window"];

/// `auth_hmac { … }`. A second block adds to the first.
pub(super) fn auth_hmac(
    pending: &mut Option<Pending>,
    statement: &Statement,
    complaints: &mut Complaints<'_>,
) {
    let pending = pending.get_or_insert_default();
    pending.span.get_or_insert(statement.span());
    for line in body(statement) {
        // A block on one line has all its words in one statement.
        let mut words = line.words.iter();
        while let Some(keyword) = words.next() {
            if !WORDS.contains(&keyword.text.as_str()) {
                complaints.unknown(line, "'auth_hmac'", WORDS);
                break;
            }
            let Some(value) = words.next() else {
                let message = format!("'{}' expects a value", keyword.text);
                complaints.error(DiagnosticKind::InvalidValue, keyword.span, message);
                break;
            };
            match keyword.text.as_str() {
                "key" => key(pending, keyword, value, words.next(), complaints),
                "active_key" => match id(&value.text) {
                    Some(id) => pending.active_key = Some((id, value.span)),
                    None => wrong(keyword, value, "a key's number from 1 to 255", complaints),
                },
                "anti_replay" => match value.text.as_str() {
                    "time" => pending.anti_replay = AntiReplay::Time,
                    "monotonic" => pending.anti_replay = AntiReplay::Monotonic,
                    _ => wrong(keyword, value, "'time' or 'monotonic'", complaints),
                },
                "mode" => match value.text.as_str() {
                    "enforce" => pending.permissive = None,
                    "permissive" => pending.permissive = Some(value.span),
                    _ => wrong(keyword, value, "'enforce' or 'permissive'", complaints),
                },
                _ => match parse_seconds(&value.text, MAX_WINDOW_SECONDS) {
                    Some(window) if window >= MIN_WINDOW => pending.time_window = Some(window),
                    _ => wrong(keyword, value, "seconds from 1 to 300", complaints),
                },
            }
        }
    }
}

fn wrong(keyword: &Word, value: &Word, wanted: &str, complaints: &mut Complaints<'_>) {
    let message = format!(
        "'{}' expects {wanted}, found '{}'",
        keyword.text, value.text
    );
    complaints.error(DiagnosticKind::InvalidValue, value.span, message);
}

fn id(text: &str) -> Option<u8> {
    text.parse().ok().filter(|id| *id > 0)
}

/// `key ID VALUE`. Complaints never show the value.
fn key(
    pending: &mut Pending,
    keyword: &Word,
    number: &Word,
    value: Option<&Word>,
    complaints: &mut Complaints<'_>,
) {
    let Some(id) = id(&number.text) else {
        // What stands there may be the key itself.
        let message = "'key' expects a number from 1 to 255 and then the key";
        return complaints.error(DiagnosticKind::InvalidValue, keyword.span, message);
    };
    let Some(value) = value else {
        let message = format!("key {id} has no value: 'hex:…', 'file:…' or characters");
        return complaints.error(DiagnosticKind::InvalidValue, keyword.span, message);
    };
    let read = match value.text.strip_prefix("file:") {
        Some(path) => from_file(id, path, value.span, complaints),
        None => octets(&value.text),
    };
    let octets = match read {
        Ok(octets) => octets,
        Err(why) => {
            let message = format!("key {id} cannot be used: {why}");
            return complaints.error(DiagnosticKind::InvalidValue, keyword.span, message);
        }
    };
    let length = octets.len();
    if !(MIN_OCTETS..=MAX_OCTETS).contains(&length) {
        let message =
            format!("key {id} has {length} octets: it must have {MIN_OCTETS} to {MAX_OCTETS}");
        return complaints.error(DiagnosticKind::InvalidValue, keyword.span, message);
    }
    if length < GOOD_OCTETS {
        let message = format!(
            "key {id} has {length} octets: keepalived 2.4 may want {GOOD_OCTETS}, and they are harder to guess"
        );
        complaints.warning(DiagnosticKind::InvalidValue, keyword.span, message);
    }
    if pending.keys.iter().any(|known| known.id == id) {
        let message = format!("key {id} is there already");
        return complaints.error(DiagnosticKind::Duplicate, keyword.span, message);
    }
    pending.keys.push(HmacKey {
        id,
        secret: Secret(octets),
    });
}

/// `hex:` and digits, or characters as they are.
fn octets(text: &str) -> Result<Vec<u8>, String> {
    let Some(digits) = text.strip_prefix("hex:") else {
        let plain = text.bytes().all(|byte| (0x20..0x7f).contains(&byte));
        return match plain {
            true => Ok(text.as_bytes().to_vec()),
            false => Err("it has characters beyond ASCII".to_owned()),
        };
    };
    if !digits.len().is_multiple_of(2) {
        return Err("it has an odd number of hexadecimal digits".to_owned());
    }
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let pairs = digits.as_bytes().chunks_exact(2);
    pairs
        .map(|pair| Some((digit(pair[0])? << 4 | digit(pair[1])?) as u8))
        .collect::<Option<_>>()
        .ok_or_else(|| "it has characters that are no hexadecimal digits".to_owned())
}

/// A key's file holds what could stand in its place.
fn from_file(
    id: u8,
    path: &str,
    span: Span,
    complaints: &mut Complaints<'_>,
) -> Result<Vec<u8>, String> {
    /// Read or written by the group or by others.
    const OPEN_TO_OTHERS: u32 = 0o066;
    let file = Path::new(path);
    if !file.is_absolute() {
        return Err(format!("'file:{path}' is no absolute path"));
    }
    let about = std::fs::metadata(file).map_err(|why| format!("{path}: {why}"))?;
    if !about.is_file() {
        return Err(format!("{path} is no regular file"));
    }
    if about.len() > MAX_FILE_BYTES {
        return Err(format!("{path} has more than {MAX_FILE_BYTES} bytes"));
    }
    if about.mode() & OPEN_TO_OTHERS != 0 {
        let what = match about.mode() & 0o044 {
            0 => "changed",
            _ => "read",
        };
        let message = format!(
            "{path}, with key {id}, can be {what} by others (mode {:04o})",
            about.mode() & 0o7777
        );
        let diagnostic = Diagnostic::warning(DiagnosticKind::File, span, message);
        complaints.help(diagnostic, format!("chmod 0600 {path}"));
    }
    open_folder(id, file, span, complaints);
    let bytes = std::fs::read(file).map_err(|why| format!("{path}: {why}"))?;
    let text = std::str::from_utf8(&bytes).map_err(|_| format!("{path} is no text"))?;
    octets(text.trim_end_matches(['\n', '\r']))
}

/// Warns of the nearest folder above a key's file in which others can put another file in its place.
fn open_folder(id: u8, file: &Path, span: Span, complaints: &mut Complaints<'_>) {
    const WRITTEN_BY_OTHERS: u32 = 0o022;
    /// In such a folder, `/tmp` for instance, each replaces only what is its own.
    const STICKY: u32 = 0o1000;
    // Links lead elsewhere: what counts is where the file is.
    let real = std::fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    let open = real.ancestors().skip(1).find_map(|folder| {
        let mode = std::fs::metadata(folder).ok()?.mode();
        let is_open = mode & WRITTEN_BY_OTHERS != 0 && mode & STICKY == 0;
        is_open.then_some((folder, mode & 0o7777))
    });
    if let Some((folder, mode)) = open {
        let folder = folder.display();
        let message = format!(
            "{folder} can be written by others (mode {mode:04o}): they can put another key in the place of key {id}"
        );
        let diagnostic = Diagnostic::warning(DiagnosticKind::File, span, message);
        complaints.help(diagnostic, format!("chmod go-w {folder}"));
    }
}

/// What the block comes to; none if it cannot be used, which was complained about.
pub(super) fn finish(
    pending: Option<&Pending>,
    advert_int: Duration,
    strict: bool,
    complaints: &mut Complaints<'_>,
) -> Option<AuthHmac> {
    let pending = pending?;
    let span = pending.span.unwrap_or_default();
    let Some(first) = pending.keys.first() else {
        let message = "'auth_hmac' has no key that can be used";
        complaints.error(DiagnosticKind::InvalidValue, span, message);
        return None;
    };
    let active_key = match pending.active_key {
        Some((id, _)) if pending.keys.iter().any(|key| key.id == id) => id,
        Some((id, span)) => {
            let message = format!("'active_key {id}' names no key of this block");
            complaints.error(DiagnosticKind::UnknownName, span, message);
            return None;
        }
        None => {
            if pending.keys.len() > 1 {
                let message = format!(
                    "'auth_hmac' has several keys and no 'active_key': key {}, the first, is used",
                    first.id
                );
                complaints.warning(DiagnosticKind::InvalidValue, span, message);
            }
            first.id
        }
    };
    let mode = match pending.permissive {
        Some(span) if strict => {
            let message = "strict_mode wants 'mode enforce', which is used";
            complaints.warning(DiagnosticKind::InvalidValue, span, message);
            HmacMode::Enforce
        }
        Some(span) => {
            let message = "'mode permissive' believes advertisements without a proof: for the time of a change alone";
            complaints.warning(DiagnosticKind::Pointless, span, message);
            HmacMode::Permissive
        }
        None => HmacMode::Enforce,
    };
    let message = "'auth_hmac' is proven between nodes that run Tandem, and not against keepalived 2.4: its layout on the \
                   wire may be another";
    let diagnostic = Diagnostic::warning(DiagnosticKind::NotSupportedYet, span, message);
    complaints.help(
        diagnostic,
        "a pair that mixes the two leaves it out until both nodes run Tandem",
    );
    let mut keys = pending.keys.clone();
    keys.sort_by_key(|key| key.id);
    Some(AuthHmac {
        keys,
        active_key,
        anti_replay: pending.anti_replay,
        time_window: pending
            .time_window
            .unwrap_or((advert_int * 3).max(DEFAULT_WINDOW)),
        mode,
    })
}

/// Bytes of an IPv6 packet on an interface (RFC 8200, section 5: 1280 at least). Ethernet's while there is no such interface: over IPv4
/// all 255 addresses fit.
fn mtu(interface: &str) -> usize {
    const ETHERNET: usize = 1_500;
    const LEAST: usize = 1_280;
    // The network namespace's own, which /sys need not show.
    let path = format!("/proc/sys/net/ipv6/conf/{interface}/mtu");
    let is_name = !matches!(interface, "" | "." | "..") && !interface.contains('/');
    let text = is_name
        .then(|| std::fs::read_to_string(path).ok())
        .flatten();
    let mtu = text.and_then(|text| text.trim().parse().ok());
    mtu.unwrap_or(ETHERNET).max(LEAST)
}

/// Advertised addresses that leave no room for the trailer in one packet are set up and not advertised, as keepalived
/// does it.
pub(super) fn make_room(
    interface: &str,
    advertised: &mut Vec<VirtualAddress>,
    excluded: &mut Vec<VirtualAddress>,
    complaints: &mut Complaints<'_>,
) {
    const IPV6_HEADER: usize = 40;
    const VRRP_HEADER: usize = 8;
    const ADDRESS: usize = 16;
    /// In the smallest packet that IPv6 knows.
    const LEAST_ROOM: usize = (1_280 - IPV6_HEADER - VRRP_HEADER - TRAILER_OCTETS) / ADDRESS;
    let Some(first) = advertised.first().filter(|entry| entry.address.is_ipv6()) else {
        return;
    };
    if advertised.len() <= LEAST_ROOM {
        return;
    }
    let mtu = mtu(interface);
    let most = (mtu - IPV6_HEADER - VRRP_HEADER - TRAILER_OCTETS) / ADDRESS;
    if advertised.len() > most {
        let message = format!(
            "'auth_hmac' leaves room for {most} addresses in an advertisement of {mtu} bytes: the {} after them are set up \
             without being advertised",
            advertised.len() - most
        );
        complaints.warning(DiagnosticKind::InvalidValue, first.span, message);
        let rest = advertised.split_off(most);
        excluded.splice(0..0, rest);
    }
}

/// Masks the keys in the texts that complaints show.
pub(super) fn mask(statements: &[Statement], sources: &mut SourceMap) {
    for statement in statements {
        let words = &statement.words;
        for at in (1..words.len()).filter(|at| words[at - 1].text == "key") {
            // Without its number the key may stand in the number's place.
            let is_number = words[at].text.parse::<u32>().is_ok();
            if let Some(word) = words.get(at + usize::from(is_number)) {
                cover(word.span, sources);
            }
        }
        mask(statement.block.as_deref().unwrap_or_default(), sources);
    }
}

/// Puts asterisks in the place of a word.
fn cover(span: Span, sources: &mut SourceMap) {
    let Some(file) = sources.files.get_mut(usize::from(span.file.0)) else {
        return;
    };
    let (line, column) = (span.line as usize, span.column as usize);
    let covered = |index: usize, text: &str| -> String {
        if index + 1 != line {
            return text.to_owned();
        }
        let end = column + span.length as usize;
        let masked = text.chars().enumerate().map(|(at, character)| {
            let inside = (column..end).contains(&(at + 1));
            match inside && !matches!(character, '\n' | '\r') {
                true => '*',
                false => character,
            }
        });
        masked.collect()
    };
    let lines = file.text.split_inclusive('\n').enumerate();
    file.text = lines.map(|(index, text)| covered(index, text)).collect();
}
