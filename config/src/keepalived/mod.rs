//! keepalived's configuration language.
//!
//! Files become lines (`reader`: includes, conditions, variables), lines become a tree of statements and
//! blocks (`tree`), and the rows of tables read the blocks (`parser`, `instance`, `script`).

pub mod model;
pub mod proof;

mod addresses;
mod addressing;
mod advertisement;
mod bfd;
mod commands;
mod dbus;
mod encap;
mod hmac;
mod include;
mod instance;
mod ipvlan;
mod lapse;
mod life;
mod names;
mod notify;
mod parser;
mod places;
mod rare;
mod reader;
mod routes;
mod rules;
mod script;
mod sequence;
mod shared;
mod sync_group;
mod track;
mod track_groups;
mod tracks;
mod tree;
mod values;
mod vmacs;
mod watched;
mod words;

pub use addressing::{
    Addressing, Announcing, ExtraInterfaces, GarpGroup, InterfaceDelay, Statics, Vmac,
};
pub use commands::{ConfiguredCommand, Purpose, commands};
pub use dbus::Dbus;
pub use encap::{Encap, IpTunnel};
pub use hmac::{AntiReplay, AuthHmac, HmacKey, HmacMode, Secret};
pub use ipvlan::{Ipvlan, IpvlanMode};
pub use life::{FilterTable, Life, LifeScript, Scheduling};
pub use model::*;
pub use names::{KEEPALIVED_PROTOCOL, MAIN_TABLE};
pub use parser::{KeywordLists, keyword_lists};
pub(crate) use parser::{parse, top_level_words};
pub use places::Places;
pub use rare::Usual;
pub use routes::{NextHop, Route, RouteExtras, RouteKind, RouteMetric};
pub use rules::{Rule, RuleAction};
pub use track_groups::StaticTrackGroup;
