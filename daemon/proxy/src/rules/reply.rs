//! Answers that rules give: `deny`, `return`, `tarpit`, `auth`.

use bytes::Bytes;

use super::{Answer, AnswerKind, CompiledRules, Page};
use crate::http::Head;
use crate::log::LogFormat;
use crate::sample::View;
use crate::txn::Termination;

/// What a reply's body is.
pub(super) enum Content {
    /// The proxy's page for the status.
    ErrorPage,
    /// No body.
    Empty,
    /// A fixed text.
    Fixed(Bytes),
    /// A text with variables.
    Format(LogFormat),
    /// A whole answer from a file.
    Page(Box<Page>),
}

/// A compiled reply.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) content: Content,
    pub(super) content_type: Option<String>,
    pub(super) headers: Vec<(Vec<u8>, LogFormat)>,
}

impl Reply {
    /// The proxy's page for a status.
    pub(super) fn page(status: u16) -> Self {
        Self {
            status,
            content: Content::ErrorPage,
            content_type: None,
            headers: Vec::new(),
        }
    }

    /// The answer.
    pub(super) fn answer(
        &self,
        rules: &CompiledRules,
        view: &View<'_>,
        kind: AnswerKind,
        termination: Termination,
    ) -> Answer {
        let body = match &self.content {
            Content::ErrorPage => {
                let mut answer = rules.page_answer(self.status, kind, termination);
                self.add_headers(view, &mut answer.head);
                return answer;
            }
            Content::Page(page) => {
                return Answer {
                    head: page.head.clone(),
                    body: page.body.clone(),
                    termination,
                    kind,
                    close: page.close,
                };
            }
            Content::Empty => Bytes::new(),
            Content::Fixed(body) => body.clone(),
            Content::Format(format) => {
                let mut body = Vec::new();
                format.render_text(view, &mut body);
                body.into()
            }
        };
        let mut head = Head::default();
        head.start_response(self.status, reason(self.status).as_bytes(), 1);
        self.add_headers(view, &mut head);
        head.add(b"content-length", body.len().to_string().as_bytes());
        if let Some(kind) = self.content_type.as_ref().filter(|_| !body.is_empty()) {
            head.add(b"content-type", kind.as_bytes());
        }
        Answer {
            head,
            body,
            termination,
            kind,
            close: false,
        }
    }

    fn add_headers(&self, view: &View<'_>, head: &mut Head) {
        let mut value = Vec::new();
        for (name, format) in &self.headers {
            value.clear();
            format.render_text(view, &mut value);
            head.add(name, &value);
        }
    }
}

/// The reason phrase of a status (RFC 9110 15, with HAProxy's words).
pub(crate) fn reason(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        101 => "Switching Protocols",
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        203 => "Non-Authoritative Information",
        204 => "No Content",
        205 => "Reset Content",
        206 => "Partial Content",
        300 => "Multiple Choices",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        305 => "Use Proxy",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Payload Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        418 => "I'm a teapot",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        425 => "Too Early",
        426 => "Upgrade Required",
        428 => "Precondition Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        451 => "Unavailable For Legal Reasons",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "Other",
    }
}
