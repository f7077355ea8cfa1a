//! The statistics page's service (being built).
use config::Diagnostics;
use config::haproxy::HaproxyConfig;

use crate::app::Shared;
use crate::rules::{Answer, Context};
use crate::sample::Names;
use crate::txn::Transaction;

/// The compiled `stats …` of a proxy.
pub struct StatsService;

/// The statistics service of the proxy at `index`, if it has one.
pub fn service(
    _config: &HaproxyConfig,
    _index: usize,
    _names: &Names,
    _diagnostics: &mut Diagnostics,
) -> Option<StatsService> {
    None
}

impl StatsService {
    /// Whether the request is for it.
    pub fn matches(&self, _txn: &Transaction) -> bool {
        false
    }
    /// Whether the request's body is needed.
    pub fn needs_body(&self, _txn: &Transaction) -> bool {
        false
    }
    /// The answer.
    pub fn answer(&self, _shared: &Shared, _context: &mut Context<'_>, _body: &[u8]) -> Option<Answer> {
        None
    }
}
