//! `redirect location|prefix|scheme`, with the `Location` and the head that HAProxy makes.

use bytes::Bytes;

use super::{Answer, AnswerKind, local, reply};
use crate::http::Head;
use crate::log::LogFormat;
use crate::sample::View;
use crate::txn::Stage;

/// What the location is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Base {
    Location,
    Prefix,
    Scheme,
}

/// A compiled redirect.
pub(super) struct Redirect {
    pub(super) base: Base,
    pub(super) text: LogFormat,
    pub(super) code: u16,
    pub(super) drop_query: bool,
    pub(super) append_slash: bool,
    pub(super) ignore_empty: bool,
    /// The whole `set-cookie` value.
    pub(super) cookie: Option<String>,
}

impl Redirect {
    /// The answer; `None` when the location is empty and that is to be ignored.
    pub(super) fn answer(&self, view: &View<'_>) -> Option<Answer> {
        let mut location = Vec::new();
        self.text.render_text(view, &mut location);
        if location.is_empty() && self.ignore_empty {
            return None;
        }
        let request = &view.txn.request;
        match self.base {
            Base::Location => {}
            Base::Prefix => {
                // A prefix of "/" stands for no prefix: the path brings its own slash.
                if location == b"/" {
                    location.clear();
                }
                self.append_target(request, &mut location);
            }
            Base::Scheme => {
                location.extend_from_slice(b"://");
                location.extend_from_slice(request.header(b"host").unwrap_or(b""));
                self.append_target(request, &mut location);
            }
        }
        let mut head = Head::default();
        head.start_response(self.code, reply::reason(self.code).as_bytes(), 1);
        head.add(b"content-length", b"0");
        head.add(b"location", &location);
        if matches!(self.code, 302 | 303 | 307) {
            head.add(b"cache-control", b"no-cache");
        }
        if let Some(cookie) = &self.cookie {
            head.add(b"set-cookie", cookie.as_bytes());
        }
        Some(Answer {
            head,
            body: Bytes::new(),
            termination: local(Stage::Request),
            kind: AnswerKind::Local,
            close: false,
        })
    }

    fn append_target(&self, request: &Head, location: &mut Vec<u8>) {
        location.extend_from_slice(request.path());
        if !self.drop_query {
            let target = request.target();
            if let Some(at) = memchr::memchr(b'?', target) {
                location.extend_from_slice(&target[at..]);
            }
        }
        if self.append_slash && location.last() != Some(&b'/') {
            location.push(b'/');
        }
    }
}
