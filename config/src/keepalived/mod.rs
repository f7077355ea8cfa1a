//! keepalived's configuration language.

pub mod model;

pub use model::*;
pub(crate) fn parse(
    _: &mut crate::SourceMap,
    _: &[crate::FileId],
    _: &dyn Fn(&str) -> Option<String>,
    _: &str,
) -> (KeepalivedConfig, crate::Diagnostics) {
    Default::default()
}
pub(crate) fn top_level_words() -> impl Iterator<Item = &'static str> {
    ["vrrp_instance"].into_iter()
}
