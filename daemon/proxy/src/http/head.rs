//! A message head that is parsed once, edited in place, and written once.
//!
//! All text lives in one buffer; fields point into it. An edit appends its text to the buffer and moves
//! the pointers, so that a head with few edits costs no allocation once the buffer has grown.

use std::ops::Range;

/// A piece of a head's buffer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Text {
    start: u32,
    end: u32,
}

impl Text {
    fn of(range: Range<usize>) -> Self {
        Self {
            start: range.start as u32,
            end: range.end as u32,
        }
    }

    /// The piece as a range of the head's buffer.
    pub fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// A header field.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Name as written.
    pub name: Text,
    /// Value without surrounding blanks.
    pub value: Text,
}

/// The head of a request or an answer. Reusable: [`Head::clear`] keeps the memory.
#[derive(Clone, Debug, Default)]
pub struct Head {
    bytes: Vec<u8>,
    /// Request: method. Answer: reason phrase.
    first: Text,
    /// Request: target as sent on the wire. Answer: unused.
    target: Text,
    status: u16,
    minor_version: u8,
    /// Bytes of scheme and authority in front of the target's path, which came apart from it by HTTP/2; 0 by HTTP/1.
    prefix: u32,
    fields: Vec<Field>,
}

impl Head {
    /// Forgets the message and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.fields.clear();
        self.first = Text::default();
        self.target = Text::default();
        self.status = 0;
        self.prefix = 0;
    }

    /// Starts a request.
    pub fn start_request(&mut self, method: &[u8], target: &[u8], minor_version: u8) {
        self.clear();
        self.first = self.append(method);
        self.target = self.append(target);
        self.minor_version = minor_version;
    }

    /// Starts a request that came by HTTP/2: its target is `scheme://authority/path` for rules and logs, and the path alone
    /// for a server of HTTP/1. Without an authority it is the path.
    pub fn start_http2_request(
        &mut self,
        method: &[u8],
        scheme: &[u8],
        authority: &[u8],
        path: &[u8],
    ) {
        self.clear();
        self.first = self.append(method);
        let start = self.bytes.len() as u32;
        if !authority.is_empty() {
            for part in [scheme, b"://", authority] {
                self.bytes.extend_from_slice(part);
            }
        }
        self.prefix = self.bytes.len() as u32 - start;
        // RFC 9112 3.2.4: the asterisk is no path; with an authority it is what is not there.
        if self.prefix == 0 || path != b"*" {
            self.bytes.extend_from_slice(path);
        }
        self.target = Text {
            start,
            end: self.bytes.len() as u32,
        };
        self.minor_version = 1;
    }

    /// The target as a server of HTTP/1 gets it: what came by HTTP/2 in origin form (RFC 9112 3.2.1), anything else as it is.
    pub fn wire_target(&self) -> &[u8] {
        match &self.target()[self.prefix as usize..] {
            b"" if self.prefix > 0 => b"*",
            target => target,
        }
    }

    /// All text, for whoever wants to share it; ranges of [`Text`] point into it.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Starts an answer.
    pub fn start_response(&mut self, status: u16, reason: &[u8], minor_version: u8) {
        self.clear();
        self.status = status;
        self.first = self.append(reason);
        self.minor_version = minor_version;
    }

    /// Starts a request from its raw bytes: one copy; the ranges point into `raw`. Fields follow by [`Head::push_range`].
    pub fn load_request(
        &mut self,
        raw: &[u8],
        method: Range<usize>,
        target: Range<usize>,
        minor_version: u8,
    ) {
        self.clear();
        self.bytes.extend_from_slice(raw);
        self.first = Text::of(method);
        self.target = Text::of(target);
        self.minor_version = minor_version;
    }

    /// Starts an answer from its raw bytes, as [`Head::load_request`] does for a request.
    pub fn load_response(
        &mut self,
        raw: &[u8],
        status: u16,
        reason: Range<usize>,
        minor_version: u8,
    ) {
        self.clear();
        self.bytes.extend_from_slice(raw);
        self.status = status;
        self.first = Text::of(reason);
        self.minor_version = minor_version;
    }

    /// Appends a field that lies in the loaded bytes. Ranges must lie within them.
    pub fn push_range(&mut self, name: Range<usize>, value: Range<usize>) {
        self.fields.push(Field {
            name: Text::of(name),
            value: Text::of(value),
        });
    }

    fn append(&mut self, text: &[u8]) -> Text {
        let start = self.bytes.len() as u32;
        self.bytes.extend_from_slice(text);
        Text {
            start,
            end: self.bytes.len() as u32,
        }
    }

    /// The bytes of a piece.
    pub fn text(&self, text: Text) -> &[u8] {
        &self.bytes[text.range()]
    }

    /// A request's method.
    pub fn method(&self) -> &[u8] {
        self.text(self.first)
    }

    /// A request's target as the client wrote it: `/path?query`, or absolute.
    pub fn target(&self) -> &[u8] {
        self.text(self.target)
    }

    /// The target's path, without scheme, authority and query.
    pub fn path(&self) -> &[u8] {
        let target = self.target();
        let path = match memchr::memmem::find(target, b"://") {
            Some(at) if !target.starts_with(b"/") => {
                let rest = &target[at + 3..];
                memchr::memchr(b'/', rest).map_or(&b"/"[..], |slash| &rest[slash..])
            }
            _ => target,
        };
        let end = memchr::memchr2(b'?', b'#', path).unwrap_or(path.len());
        &path[..end]
    }

    /// The target's query without its question mark; empty if there is none.
    pub fn query(&self) -> &[u8] {
        let target = self.target();
        let Some(at) = memchr::memchr(b'?', target) else {
            return b"";
        };
        let query = &target[at + 1..];
        &query[..memchr::memchr(b'#', query).unwrap_or(query.len())]
    }

    /// An answer's status.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// An answer's reason phrase.
    pub fn reason(&self) -> &[u8] {
        self.text(self.first)
    }

    /// 0 for HTTP/1.0, 1 for HTTP/1.1 and for what came by HTTP/2.
    pub fn minor_version(&self) -> u8 {
        self.minor_version
    }

    /// The fields in order.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// Names and values in order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.fields
            .iter()
            .map(|field| (self.text(field.name), self.text(field.value)))
    }

    /// The first field of a name, compared without case.
    pub fn header(&self, name: &[u8]) -> Option<&[u8]> {
        self.iter()
            .find(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// All values of a name, compared without case, in order.
    pub fn headers<'a>(&'a self, name: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        self.iter()
            .filter(move |(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// Appends a field.
    pub fn add(&mut self, name: &[u8], value: &[u8]) {
        let name = self.append(name);
        let value = self.append(value);
        self.fields.push(Field { name, value });
    }

    /// Removes all fields of a name; says how many there were.
    pub fn remove(&mut self, name: &[u8]) -> usize {
        let before = self.fields.len();
        let bytes = &self.bytes;
        self.fields
            .retain(|field| !bytes[field.name.range()].eq_ignore_ascii_case(name));
        before - self.fields.len()
    }

    /// Removes the fields for which `keep` is false.
    pub fn retain(&mut self, mut keep: impl FnMut(&[u8], &[u8]) -> bool) {
        let bytes = &self.bytes;
        self.fields
            .retain(|field| keep(&bytes[field.name.range()], &bytes[field.value.range()]));
    }

    /// Removes all fields of a name and appends one.
    pub fn set(&mut self, name: &[u8], value: &[u8]) {
        self.remove(name);
        self.add(name, value);
    }

    /// Replaces the value of one field.
    pub fn set_value(&mut self, index: usize, value: &[u8]) {
        let value = self.append(value);
        if let Some(field) = self.fields.get_mut(index) {
            field.value = value;
        }
    }

    /// Replaces a request's method.
    pub fn set_method(&mut self, method: &[u8]) {
        self.first = self.append(method);
    }

    /// Replaces a request's target.
    pub fn set_target(&mut self, target: &[u8]) {
        // A target that stays within the same scheme and authority keeps its form.
        let prefix = self.prefix as usize;
        let keeps = prefix > 0
            && target.len() > prefix
            && target[..prefix] == self.target()[..prefix]
            && target[prefix] == b'/';
        if !keeps {
            self.prefix = 0;
        }
        self.target = self.append(target);
    }

    /// Replaces an answer's status and reason.
    pub fn set_status(&mut self, status: u16, reason: &[u8]) {
        self.status = status;
        self.first = self.append(reason);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_leave_the_other_fields_alone() {
        let mut head = Head::default();
        head.start_request(b"GET", b"http://a.b/c/d?x=1#f", 1);
        head.add(b"Host", b"a.b");
        head.add(b"X-A", b"1");
        head.add(b"x-a", b"2");
        assert_eq!((head.path(), head.query()), (&b"/c/d"[..], &b"x=1"[..]));
        head.set(b"X-a", b"3");
        head.set_target(b"/e");
        assert_eq!(
            head.iter().collect::<Vec<_>>(),
            [(&b"Host"[..], &b"a.b"[..]), (b"X-a", b"3")]
        );
        assert_eq!(
            (head.path(), head.query(), head.header(b"host")),
            (&b"/e"[..], &b""[..], Some(&b"a.b"[..]))
        );
    }
}
