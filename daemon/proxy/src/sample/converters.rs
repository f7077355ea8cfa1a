//! Converters: one row each in a sorted table, the functions below.

use std::net::IpAddr;

use super::{Argument, ArgumentKind, ConverterRow, Kind, Value, View};

use ArgumentKind::{Int, Map, MapDefault, Regex, Text, Variable};

/// Finds a converter by its word.
pub(super) fn find(name: &str) -> Option<&'static ConverterRow> {
    TABLE
        .binary_search_by_key(&name, |row| row.name)
        .ok()
        .map(|at| &TABLE[at])
}

/// All words.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    TABLE.iter().map(|row| row.name)
}

macro_rules! row {
    ($name:literal, $arguments:expr, $required:literal, $kind:ident, $run:expr) => {
        ConverterRow {
            name: $name,
            arguments: &$arguments,
            required: $required,
            kind: Kind::$kind,
            run: $run,
        }
    };
}

#[rustfmt::skip]
static TABLE: &[ConverterRow] = &[
    row!("add", [Text], 1, Int, |a, v, x| calculate(a, v, x, i64::saturating_add)),
    row!("and", [Text], 1, Int, |a, v, x| calculate(a, v, x, |left, right| left & right)),
    row!("b64dec", [], 0, Text, |_, _, x| super::base64::decode(&x.as_bytes()).map(Value::owned)),
    row!("base64", [], 0, Text, |_, _, x| Some(Value::owned(super::base64::encode(&x.as_bytes()).into_bytes()))),
    row!("bool", [], 0, Bool, |_, _, x| Some(Value::Bool(x.as_int()? != 0))),
    row!("bytes", [Int, Int], 1, Text, bytes),
    row!("concat", [Text, Text, Text], 1, Text, concat),
    row!("cpl", [], 0, Int, |_, _, x| Some(Value::Int(!x.as_int()?))),
    row!("div", [Text], 1, Int, |a, v, x| calculate(a, v, x, |left, right| left.checked_div(right).unwrap_or(i64::MAX))),
    row!("even", [], 0, Bool, |_, _, x| Some(Value::Bool(x.as_int()? % 2 == 0))),
    row!("field", [Int, Text, Int], 2, Text, field),
    row!("hex", [], 0, Text, |_, _, x| Some(Value::owned(hex(&x)))),
    row!("hex2i", [], 0, Int, |_, _, x| i64::from_str_radix(std::str::from_utf8(&x.as_bytes()).ok()?, 16).ok().map(Value::Int)),
    row!("host_only", [], 0, Text, |_, _, x| Some(Value::owned(host_and_port(&x.as_bytes()).0.to_vec()))),
    row!("iif", [Text, Text], 2, Text, |a, _, x| Some(Value::text(a[usize::from(!x.as_bool()?)].as_text().as_bytes()))),
    row!("ipmask", [Text, Text], 1, Address, ipmask),
    row!("length", [], 0, Int, |_, _, x| Some(Value::Int(x.as_bytes().len() as i64))),
    row!("lower", [], 0, Text, |_, _, x| Some(Value::owned(x.as_bytes().to_ascii_lowercase()))),
    row!("ltrim", [Text], 1, Text, |a, _, x| { let text = x.as_bytes(); let at = text.iter().position(|byte| !a[0].as_text().as_bytes().contains(byte)).unwrap_or(text.len()); Some(Value::owned(text[at..].to_vec())) }),
    row!("map", [Map, MapDefault], 1, Text, map),
    row!("map_beg", [Map, MapDefault], 1, Text, map),
    row!("map_beg_int", [Map, MapDefault], 1, Int, map),
    row!("map_beg_ip", [Map, MapDefault], 1, Address, map),
    row!("map_dir", [Map, MapDefault], 1, Text, map),
    row!("map_dir_int", [Map, MapDefault], 1, Int, map),
    row!("map_dir_ip", [Map, MapDefault], 1, Address, map),
    row!("map_dom", [Map, MapDefault], 1, Text, map),
    row!("map_dom_int", [Map, MapDefault], 1, Int, map),
    row!("map_dom_ip", [Map, MapDefault], 1, Address, map),
    row!("map_end", [Map, MapDefault], 1, Text, map),
    row!("map_end_int", [Map, MapDefault], 1, Int, map),
    row!("map_end_ip", [Map, MapDefault], 1, Address, map),
    row!("map_int", [Map, MapDefault], 1, Text, map),
    row!("map_int_int", [Map, MapDefault], 1, Int, map),
    row!("map_int_ip", [Map, MapDefault], 1, Address, map),
    row!("map_ip", [Map, MapDefault], 1, Text, map),
    row!("map_ip_int", [Map, MapDefault], 1, Int, map),
    row!("map_ip_ip", [Map, MapDefault], 1, Address, map),
    row!("map_reg", [Map, MapDefault], 1, Text, map),
    row!("map_reg_int", [Map, MapDefault], 1, Int, map),
    row!("map_reg_ip", [Map, MapDefault], 1, Address, map),
    row!("map_regm", [Map, MapDefault], 1, Text, map),
    row!("map_str", [Map, MapDefault], 1, Text, map),
    row!("map_str_int", [Map, MapDefault], 1, Int, map),
    row!("map_str_ip", [Map, MapDefault], 1, Address, map),
    row!("map_sub", [Map, MapDefault], 1, Text, map),
    row!("map_sub_int", [Map, MapDefault], 1, Int, map),
    row!("map_sub_ip", [Map, MapDefault], 1, Address, map),
    row!("mod", [Text], 1, Int, |a, v, x| calculate(a, v, x, |left, right| left.checked_rem(right).unwrap_or(0))),
    row!("mul", [Text], 1, Int, |a, v, x| calculate(a, v, x, i64::saturating_mul)),
    row!("nbsrv", [], 0, Int, |_, v, x| { let name = x.as_bytes(); v.environment.backends.iter().find(|backend| backend.name.as_bytes() == &name[..]).map(|backend| Value::Int(backend.usable_servers() as i64)) }),
    row!("neg", [], 0, Int, |_, _, x| Some(Value::Int(x.as_int()?.saturating_neg()))),
    row!("not", [], 0, Bool, |_, _, x| Some(Value::Bool(x.as_int()? == 0))),
    row!("odd", [], 0, Bool, |_, _, x| Some(Value::Bool(x.as_int()? % 2 != 0))),
    row!("or", [Text], 1, Int, |a, v, x| calculate(a, v, x, |left, right| left | right)),
    row!("port_only", [], 0, Int, |_, _, x| Some(Value::Int(host_and_port(&x.as_bytes()).1))),
    row!("regsub", [Regex, Text, Text], 2, Text, regsub),
    row!("rtrim", [Text], 1, Text, |a, _, x| { let text = x.as_bytes(); let end = text.iter().rposition(|byte| !a[0].as_text().as_bytes().contains(byte)).map_or(0, |at| at + 1); Some(Value::owned(text[..end].to_vec())) }),
    row!("strcmp", [Variable], 1, Int, |a, v, x| Some(Value::Int(match x.as_bytes().as_ref().cmp(v.txn.variable(a[0].as_text())?) { std::cmp::Ordering::Less => -1, std::cmp::Ordering::Equal => 0, std::cmp::Ordering::Greater => 1 }))),
    row!("sub", [Text], 1, Int, |a, v, x| calculate(a, v, x, i64::saturating_sub)),
    row!("upper", [], 0, Text, |_, _, x| Some(Value::owned(x.as_bytes().to_ascii_uppercase()))),
    row!("url_dec", [Int], 0, Text, |a, _, x| Some(Value::owned(url_decode(&x.as_bytes(), a.first().is_some_and(|form| form.as_int() != 0))))),
    row!("url_enc", [Text], 0, Text, |_, _, x| Some(Value::owned(url_encode(&x.as_bytes())))),
    row!("word", [Int, Text, Int], 2, Text, word),
    row!("xor", [Text], 1, Int, |a, v, x| calculate(a, v, x, |left, right| left ^ right)),
];

/// `map(file[,default])` and all that are called `map_…`.
fn map<'a>(arguments: &'a [Argument], _: &View<'a>, value: Value<'a>) -> Option<Value<'a>> {
    let Argument::Map(matcher) = arguments.first()? else {
        return None;
    };
    if matcher.method == crate::pattern::Method::Ip {
        // What is no address cannot be looked up at all: then there is no default either.
        value.as_address()?;
    }
    matcher.look_up(&value).or_else(|| match arguments.get(1) {
        Some(Argument::Value(default)) => Some(default.clone()),
        _ => None,
    })
}

/// The argument is an integer or a variable's name.
fn calculate<'a>(
    arguments: &[Argument],
    view: &View<'a>,
    value: Value<'a>,
    operation: fn(i64, i64) -> i64,
) -> Option<Value<'a>> {
    let text = arguments[0].as_text();
    let right = match text.parse() {
        Ok(number) => number,
        Err(_) => Value::text(view.txn.variable(text)?).as_int()?,
    };
    Some(Value::Int(operation(value.as_int()?, right)))
}

fn bytes<'a>(arguments: &'a [Argument], _: &View<'a>, value: Value<'a>) -> Option<Value<'a>> {
    let text = value.as_bytes();
    let start = usize::try_from(arguments[0].as_int()).ok()?.min(text.len());
    let end = match arguments.get(1) {
        Some(length) => start
            .saturating_add(usize::try_from(length.as_int()).ok()?)
            .min(text.len()),
        None => text.len(),
    };
    Some(Value::owned(text[start..end].to_vec()))
}

/// `concat(start,variable,end)`.
fn concat<'a>(arguments: &'a [Argument], view: &View<'a>, value: Value<'a>) -> Option<Value<'a>> {
    let mut text = value.into_bytes().into_owned();
    for (index, argument) in arguments.iter().enumerate() {
        if index == 1 {
            text.extend_from_slice(view.txn.variable(argument.as_text()).unwrap_or(b""));
        } else {
            text.extend_from_slice(argument.as_text().as_bytes());
        }
    }
    Some(Value::owned(text))
}

/// `field(index,delimiters[,count])`: empty fields count; a negative index counts from the end.
fn field<'a>(arguments: &'a [Argument], view: &View<'a>, value: Value<'a>) -> Option<Value<'a>> {
    pieces(arguments, view, value, true)
}

/// `word(index,delimiters[,count])`: as `field`, without the empty ones.
fn word<'a>(arguments: &'a [Argument], view: &View<'a>, value: Value<'a>) -> Option<Value<'a>> {
    pieces(arguments, view, value, false)
}

fn pieces<'a>(
    arguments: &'a [Argument],
    _: &View<'a>,
    value: Value<'a>,
    with_empty: bool,
) -> Option<Value<'a>> {
    let text = value.as_bytes();
    let delimiters = arguments[1].as_text().as_bytes();
    let mut ranges = Vec::new();
    let mut start = 0;
    for at in 0..=text.len() {
        if at == text.len() || delimiters.contains(&text[at]) {
            if with_empty || at > start {
                ranges.push(start..at);
            }
            start = at + 1;
        }
    }
    let wanted = arguments[0].as_int();
    let from_end = wanted < 0;
    let index = usize::try_from(wanted.unsigned_abs())
        .ok()?
        .checked_sub(1)?;
    let count = match arguments.get(2) {
        Some(count) => match usize::try_from(count.as_int()).ok()? {
            0 => usize::MAX,
            count => count,
        },
        None => 1,
    };
    if index >= ranges.len() {
        return Some(Value::text(b""));
    }
    let (first, last) = if from_end {
        let last = ranges.len() - 1 - index;
        (last.saturating_sub(count - 1), last)
    } else {
        (index, index.saturating_add(count - 1).min(ranges.len() - 1))
    };
    Some(Value::owned(
        text[ranges[first].start..ranges[last].end].to_vec(),
    ))
}

fn hex(value: &Value<'_>) -> Vec<u8> {
    let mut text = Vec::new();
    match value {
        Value::Int(number) => text.extend_from_slice(format!("{number:X}").as_bytes()),
        other => {
            for byte in other.as_bytes().iter() {
                text.extend_from_slice(format!("{byte:02X}").as_bytes());
            }
        }
    }
    text
}

/// Host and port (0 if there is none) of a `Host` header's value.
fn host_and_port(text: &[u8]) -> (&[u8], i64) {
    if text.first() == Some(&b'[') {
        let end = memchr::memchr(b']', text).map_or(text.len(), |at| at + 1);
        let port = text[end..].strip_prefix(b":").unwrap_or(b"");
        return (&text[..end], Value::text(port).as_int().unwrap_or(0));
    }
    match memchr::memrchr(b':', text) {
        Some(at) => (
            &text[..at],
            Value::text(&text[at + 1..]).as_int().unwrap_or(0),
        ),
        None => (text, 0),
    }
}

fn ipmask<'a>(arguments: &'a [Argument], _: &View<'a>, value: Value<'a>) -> Option<Value<'a>> {
    let address = value.as_address()?;
    let text = match address {
        IpAddr::V4(_) => arguments[0].as_text(),
        IpAddr::V6(_) => arguments.get(1)?.as_text(),
    };
    let prefix = match text.parse::<u8>() {
        Ok(prefix) => prefix,
        Err(_) => match text.parse::<std::net::Ipv4Addr>() {
            Ok(mask) => u32::from(mask).leading_ones() as u8,
            Err(_) => return None,
        },
    };
    ipnet::IpNet::new(address, prefix)
        .ok()
        .map(|network| Value::Address(network.network()))
}

/// `regsub(regex,replacement[,flags])`; `\1` stands for a group, `g` replaces all.
fn regsub<'a>(arguments: &'a [Argument], _: &View<'a>, value: Value<'a>) -> Option<Value<'a>> {
    let Argument::Regex(regex) = &arguments[0] else {
        return None;
    };
    let all = arguments
        .get(2)
        .is_some_and(|flags| flags.as_text().contains('g'));
    let text = value.as_bytes();
    Some(Value::owned(replace(
        regex,
        &text,
        arguments[1].as_text().as_bytes(),
        if all { usize::MAX } else { 1 },
    )))
}

/// Replaces matches; in the replacement `\0` to `\9` stand for groups.
pub(crate) fn replace(
    regex: &regex::bytes::Regex,
    text: &[u8],
    replacement: &[u8],
    limit: usize,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut end = 0;
    for groups in regex.captures_iter(text).take(limit) {
        let Some(whole) = groups.get(0) else { break };
        out.extend_from_slice(&text[end..whole.start()]);
        expand(&groups, replacement, &mut out);
        end = whole.end();
    }
    out.extend_from_slice(&text[end..]);
    out
}

/// Writes a replacement with its back references resolved.
pub(crate) fn expand(groups: &regex::bytes::Captures<'_>, replacement: &[u8], out: &mut Vec<u8>) {
    let mut bytes = replacement.iter();
    while let Some(&byte) = bytes.next() {
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        match bytes.next() {
            Some(digit @ b'0'..=b'9') => {
                if let Some(group) = groups.get(usize::from(digit - b'0')) {
                    out.extend_from_slice(group.as_bytes());
                }
            }
            Some(other) => out.push(*other),
            None => out.push(b'\\'),
        }
    }
}

pub(crate) fn url_decode(text: &[u8], form: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    let mut in_query = form;
    while at < text.len() {
        match text[at] {
            b'%' => {
                let digits = text
                    .get(at + 1..at + 3)
                    .and_then(|digits| std::str::from_utf8(digits).ok())
                    .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
                    .and_then(|digits| u8::from_str_radix(digits, 16).ok());
                match digits {
                    Some(byte) => {
                        out.push(byte);
                        at += 3;
                        continue;
                    }
                    None => out.push(b'%'),
                }
            }
            b'+' if in_query => out.push(b' '),
            b'?' => {
                in_query = true;
                out.push(b'?');
            }
            byte => out.push(byte),
        }
        at += 1;
    }
    out
}

fn url_encode(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for &byte in text {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(byte);
        } else {
            out.extend_from_slice(format!("%{byte:02X}").as_bytes());
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted() {
        assert!(TABLE.is_sorted_by_key(|row| row.name));
    }
}
