//! A sample's value and its casts, as HAProxy's manual, "7.3. Fetching samples", has them.

use std::borrow::Cow;
use std::net::IpAddr;

/// What a fetch or a converter yields.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Value<'a> {
    Bool(bool),
    Int(i64),
    Address(IpAddr),
    Text(Cow<'a, [u8]>),
}

/// A value's type, known when the configuration is compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Kind {
    Bool,
    Int,
    Address,
    Text,
    /// Whatever came in (converters only), or what a variable holds.
    Any,
}

impl<'a> Value<'a> {
    /// A text that is borrowed.
    pub fn text(text: &'a [u8]) -> Self {
        Self::Text(Cow::Borrowed(text))
    }

    /// A text of its own.
    pub fn owned(text: Vec<u8>) -> Self {
        Self::Text(Cow::Owned(text))
    }

    /// As a boolean: an integer is true unless 0.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            Self::Int(value) => Some(*value != 0),
            Self::Address(_) => None,
            Self::Text(_) => self.as_int().map(|value| value != 0),
        }
    }

    /// As an integer: a text is read up to its first character that is no digit.
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Self::Bool(value) => Some(i64::from(*value)),
            Self::Int(value) => Some(*value),
            Self::Address(IpAddr::V4(address)) => Some(i64::from(u32::from(*address))),
            Self::Address(IpAddr::V6(_)) => None,
            Self::Text(text) => leading_integer(text),
        }
    }

    /// As an address.
    pub fn as_address(&self) -> Option<IpAddr> {
        match self {
            Self::Address(address) => Some(*address),
            Self::Int(value) => u32::try_from(*value)
                .ok()
                .map(|value| IpAddr::V4(value.into())),
            Self::Bool(_) => None,
            Self::Text(text) => std::str::from_utf8(text).ok()?.trim().parse().ok(),
        }
    }

    /// As a text.
    pub fn as_bytes(&self) -> Cow<'_, [u8]> {
        match self {
            Self::Text(text) => Cow::Borrowed(text),
            other => {
                let mut text = Vec::new();
                other.write(&mut text);
                Cow::Owned(text)
            }
        }
    }

    /// Appends the text form.
    pub fn write(&self, text: &mut Vec<u8>) {
        match self {
            Self::Bool(value) => text.push(b'0' + u8::from(*value)),
            Self::Int(value) => {
                text.extend_from_slice(itoa::Buffer::new().format(*value).as_bytes());
            }
            Self::Address(address) => text.extend_from_slice(address.to_string().as_bytes()),
            Self::Text(value) => text.extend_from_slice(value),
        }
    }

    /// The text form, keeping what is borrowed.
    pub fn into_bytes(self) -> Cow<'a, [u8]> {
        match self {
            Self::Text(text) => text,
            other => {
                let mut text = Vec::new();
                other.write(&mut text);
                Cow::Owned(text)
            }
        }
    }
}

fn leading_integer(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text.first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    if !digits.first()?.is_ascii_digit() {
        return None;
    }
    let mut value: i64 = 0;
    for digit in digits.iter().take_while(|byte| byte.is_ascii_digit()) {
        value = value
            .saturating_mul(10)
            .saturating_add(i64::from(digit - b'0'));
    }
    Some(if negative { -value } else { value })
}
