//! Characters of HTTP's grammar.

/// A character of a method or a field's name (RFC 9110 5.6.2, `tchar`).
pub fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// A character that no field's value may hold (RFC 9110 5.5).
pub fn is_control(byte: u8) -> bool {
    (byte < 0x20 && byte != b'\t') || byte == 0x7f
}
