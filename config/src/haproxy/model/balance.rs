//! How a backend chooses a server: `balance`, `hash-type` and `cookie`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::source::Word;

/// `balance`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Balance {
    /// `roundrobin`: dynamic weights.
    RoundRobin,
    /// `static-rr`: weights fixed at start.
    StaticRr,
    /// `leastconn`.
    LeastConn,
    /// `first`.
    First,
    /// `source`: hash of the client's address.
    Source,
    /// `uri [whole] [len N] [depth N] [path-only]`.
    Uri {
        /// Include the query.
        whole: bool,
        /// At most so many characters; 0 means all.
        length: u32,
        /// At most so many directories; 0 means all.
        depth: u32,
        /// Begin at the path, whatever authority stands before it.
        path_only: bool,
    },
    /// `url_param NAME [check_post]`; without the parameter: round robin.
    UrlParam {
        /// The parameter.
        name: String,
        /// Also look into the body of a POST.
        check_post: bool,
    },
    /// `hdr(NAME) [use_domain_only]`; without the header: round robin.
    Header {
        /// The header, in lower case.
        name: String,
        /// Hash the domain's second level only.
        use_domain_only: bool,
    },
    /// `hash EXPRESSION`; without a value: round robin.
    Hash {
        /// The sample expression.
        expression: Word,
    },
    /// `rdp-cookie [(NAME)]`; without the cookie: round robin.
    RdpCookie {
        /// The cookie, `mstshash` by default.
        name: String,
    },
    /// `random [(DRAWS)]`.
    Random {
        /// Draws; the least loaded wins. 2 by default.
        draws: u32,
    },
}

/// `hash-type`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum HashMethod {
    /// `map-based`, the default.
    #[default]
    MapBased,
    /// `consistent`.
    Consistent,
}

/// The function of `hash-type`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum HashFunction {
    #[default]
    Sdbm,
    Djb2,
    Wt6,
    Crc32,
    /// The key itself, read as a number.
    None,
}

/// `cookie NAME …` in a backend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CookieConfig {
    /// The cookie's name.
    pub name: String,
    /// How it is handled.
    pub mode: CookieMode,
    /// `indirect`.
    pub indirect: bool,
    /// `nocache`.
    pub nocache: bool,
    /// `postonly`.
    pub postonly: bool,
    /// `preserve`.
    pub preserve: bool,
    /// `httponly`.
    pub httponly: bool,
    /// `secure`.
    pub secure: bool,
    /// `domain`, repeated.
    pub domains: Vec<String>,
    /// `maxidle`.
    pub maxidle: Option<Duration>,
    /// `maxlife`.
    pub maxlife: Option<Duration>,
    /// `attr`, repeated.
    pub attributes: Vec<String>,
    /// `dynamic`: servers without a cookie of their own get one made of their addresses and `dynamic-cookie-key`.
    pub dynamic: bool,
}

/// `rewrite`, `insert` or `prefix`; without one of them the cookie is only read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum CookieMode {
    Passive,
    Rewrite,
    Insert,
    Prefix,
}
