//! The typed model of an `haproxy.cfg`, as HAProxy's configuration manual defines its words.
//!
//! Every proxy here has its `defaults` already applied. Conditions, rules and expressions stay
//! [`Word`]s: the daemon compiles them with its own vocabulary.

mod balance;
mod bind;
mod check;
mod global;
mod log;
mod proxy;
mod resolvers;
mod rules;
mod server;
mod tls;

use serde::{Deserialize, Serialize};

use crate::source::Word;

pub use balance::*;
pub use bind::*;
pub use check::*;
pub use global::*;
pub use log::*;
pub use proxy::*;
pub use resolvers::*;
pub use rules::*;
pub use server::*;
pub use tls::*;

/// A whole HAProxy configuration.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HaproxyConfig {
    /// All `global` sections together.
    pub global: Global,
    /// `frontend`, `backend` and `listen` sections in order of appearance.
    pub proxies: Vec<ProxyConfig>,
    /// `userlist` sections.
    pub userlists: Vec<UserList>,
    /// `resolvers` sections.
    pub resolvers: Vec<ResolversConfig>,
    /// Names of the files that spans point into, by their number.
    pub files: Vec<String>,
}

impl HaproxyConfig {
    /// The server that `track WORD` in a proxy names: `SERVER` or `BACKEND/SERVER`.
    pub fn tracked<'a>(
        &'a self,
        proxy: &'a ProxyConfig,
        word: &Word,
    ) -> Option<(&'a ProxyConfig, &'a ServerConfig)> {
        let (proxy, name) = match word.text.split_once('/') {
            None => (proxy, word.text.as_str()),
            Some((backend, name)) => {
                let mut backends = self.proxies.iter().filter(|proxy| proxy.kind.is_backend());
                (backends.find(|proxy| proxy.name.text == backend)?, name)
            }
        };
        let server = proxy
            .servers
            .iter()
            .find(|server| server.name.text == name)?;
        Some((proxy, server))
    }
}

/// `userlist NAME`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserList {
    /// Its name.
    pub name: Word,
    /// Users: name, password as written, whether it is in the clear (`insecure-password`), groups.
    pub users: Vec<(String, String, bool, Vec<String>)>,
}
