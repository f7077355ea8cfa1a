//! One request with its answer while it is on its way; reused, for it owns the memory that a request needs.

use std::cell::RefCell;
use std::sync::Arc;

use super::leave::Watch;
use crate::app::{BackendRuntime, ServerRuntime};
use crate::http::Head;
use crate::http1::{BodyDecoder, BodyLength, RequestFacts};
use crate::net::Splice;
use crate::persistence::Persist;
use crate::rules::Answer;
use crate::server::{ServerConnection, Slot};
use crate::state::ServerId;
use crate::txn::Transaction;

/// Exchanges that a thread keeps for later.
const MAX_KEPT: usize = 512;
/// Output buffers larger than this are not kept.
const MAX_KEPT_OUTPUT: usize = 64 << 10;

/// Of a request that is not known yet.
const NO_FACTS: RequestFacts = RequestFacts {
    body: BodyLength::None,
    keep_alive: false,
    upgrade: false,
    is_head: false,
    is_connect: false,
    expects_continue: false,
};

thread_local! {
    // Boxes: an exchange is large, and tasks hold it by its address.
    #[allow(clippy::vec_box)]
    static KEPT: RefCell<Vec<Box<Exchange>>> = const { RefCell::new(Vec::new()) };
}

/// A request on its way.
pub struct Exchange {
    /// What rules, logs and balancing see.
    pub txn: Transaction,
    /// Framing and connection of the request.
    pub facts: RequestFacts,
    /// Trailer fields of the request that go on to the server: whoever reads a client's body (HTTP/1 or HTTP/2) puts them
    /// here, checked by [`crate::http1::is_trailer_allowed`]; whoever writes the end of the body to the server takes
    /// them from here. Only a framing that has trailers (chunks, HTTP/2) carries them.
    pub request_trailers: Head,
    /// Trailer fields of the answer that go on to the client; the same with the sides exchanged.
    pub response_trailers: Head,
    /// Whether the server gets no trailers (`option http-drop-request-trailers`).
    pub drops_request_trailers: bool,
    /// Whether the client gets no trailers (`option http-drop-response-trailers`).
    pub drops_response_trailers: bool,
    /// The request's body as far as it was read.
    pub request_body: BodyDecoder,
    /// Whether some of the request's body is gone from our hands: then it cannot be sent again.
    pub body_consumed: bool,
    /// Whether the body is kept in the transaction while it is sent, for `retry-on`.
    pub keeps_body: bool,
    /// The server that the last try has left, which is not to be tried next.
    pub avoid: Option<ServerId>,
    /// The backend.
    pub back: Option<Arc<BackendRuntime>>,
    /// Whether the backend was entered in the counters.
    pub counted_backend: bool,
    /// The server that persistence asks for.
    pub wanted: Option<ServerId>,
    /// What `force-persist` and `ignore-persist` say.
    pub persist: Persist,
    /// Our place at the server.
    pub slot: Option<Slot>,
    /// The server's data path.
    pub runtime: Option<Arc<ServerRuntime>>,
    /// The server's connection.
    pub server: Option<ServerConnection>,
    /// Whether a kept connection may be used (not after one was found dead).
    pub may_reuse: bool,
    /// Towards the server: head and body in its framing.
    pub up: Vec<u8>,
    /// Whether the request to a server of HTTP/2 opens a tunnel, which has no end of its own.
    pub opens_tunnel: bool,
    /// Whether the body goes to the server in chunks.
    pub chunks_up: bool,
    /// How much of it was sent.
    pub up_written: usize,
    /// Data of a large body on its way to the server without being copied.
    pub up_splice: Splice,
    /// Reads of the body that filled their buffer.
    pub full_reads: u32,
    /// Whether the request was not sent at the first try.
    pub upload_waited: bool,
    /// Whether the server refuses more of the request.
    pub up_broken: bool,
    /// Towards the client.
    pub down: Vec<u8>,
    /// How much of it was sent.
    pub down_written: usize,
    /// An answer of our own.
    pub answer: Option<Box<Answer>>,
    /// Whether the client got (a part of) an answer.
    pub answered: bool,
    /// Whether the client's connection goes on after it.
    pub keep_client: bool,
    /// Whether a request was received completely (its head).
    pub received: bool,
    /// Whether this ended without anything to tell of.
    pub is_null: bool,
    /// Whether it stood in a queue.
    pub waited: bool,
    /// Whether the client is still there while it is waited for something else.
    pub watch: Watch,
}

impl Exchange {
    fn new() -> Self {
        Self {
            txn: Transaction::default(),
            facts: NO_FACTS,
            request_trailers: Head::default(),
            response_trailers: Head::default(),
            drops_request_trailers: false,
            drops_response_trailers: false,
            request_body: BodyDecoder::new(BodyLength::None),
            body_consumed: false,
            keeps_body: false,
            avoid: None,
            back: None,
            counted_backend: false,
            wanted: None,
            persist: Persist::Usual,
            slot: None,
            runtime: None,
            server: None,
            may_reuse: true,
            up: Vec::new(),
            opens_tunnel: false,
            chunks_up: false,
            up_written: 0,
            up_splice: Splice::default(),
            full_reads: 0,
            upload_waited: false,
            up_broken: false,
            down: Vec::new(),
            down_written: 0,
            answer: None,
            answered: false,
            keep_client: false,
            received: false,
            is_null: false,
            waited: false,
            watch: Watch::default(),
        }
    }

    /// A fresh one, from this thread's kept ones if possible.
    pub fn take() -> Box<Self> {
        KEPT.with_borrow_mut(Vec::pop)
            .unwrap_or_else(|| Box::new(Self::new()))
    }

    /// Gives it back after use.
    pub fn give_back(mut self: Box<Self>) {
        self.reset();
        KEPT.with_borrow_mut(|kept| {
            if kept.len() < MAX_KEPT {
                kept.push(self);
            }
        });
    }

    /// Takes the trailers away that are not to be passed on.
    pub fn settle_trailers(&mut self) {
        if self.drops_request_trailers {
            self.request_trailers.clear();
        }
        if self.drops_response_trailers {
            self.response_trailers.clear();
        }
    }

    /// Makes it fresh where it stands: it is large, and a new one moved over it costs more than all that it does. Every field is
    /// named, so that none is forgotten.
    fn reset(&mut self) {
        let Self {
            txn,
            facts,
            request_trailers,
            response_trailers,
            drops_request_trailers,
            drops_response_trailers,
            request_body,
            body_consumed,
            keeps_body,
            avoid,
            back,
            counted_backend,
            wanted,
            persist,
            slot,
            runtime,
            server,
            may_reuse,
            up,
            opens_tunnel,
            chunks_up,
            up_written,
            up_splice,
            full_reads,
            upload_waited,
            up_broken,
            down,
            down_written,
            answer,
            answered,
            keep_client,
            received,
            is_null,
            waited,
            watch,
        } = self;
        txn.clear();
        *facts = NO_FACTS;
        *request_trailers = Head::default();
        *response_trailers = Head::default();
        (*drops_request_trailers, *drops_response_trailers) = (false, false);
        *request_body = BodyDecoder::new(BodyLength::None);
        (*body_consumed, *keeps_body) = (false, false);
        *avoid = None;
        *back = None;
        *counted_backend = false;
        *wanted = None;
        *persist = Persist::Usual;
        *slot = None;
        *runtime = None;
        *server = None;
        *may_reuse = true;
        (*opens_tunnel, *chunks_up, *up_written) = (false, false, 0);
        *up_splice = Splice::default();
        *full_reads = 0;
        (*upload_waited, *up_broken) = (false, false);
        *down_written = 0;
        for output in [up, down] {
            output.clear();
            if output.capacity() > MAX_KEPT_OUTPUT {
                *output = Vec::new();
            }
        }
        *answer = None;
        (*answered, *keep_client, *received) = (false, false, false);
        (*is_null, *waited) = (false, false);
        *watch = Watch::default();
    }

    /// Whether the whole request was taken from the client.
    pub fn request_done(&self) -> bool {
        self.request_body.is_done() && self.up_splice.held() == 0
    }
}
