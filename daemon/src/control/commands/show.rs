//! What the showing commands make of a snapshot.

use protocol::render::{self, Info, StatFilter};
use protocol::{Refusal, Snapshot};

use super::super::{keepalived_json, views, vrrp_view};
use super::changes::server;
use super::{Answer, INFO, error, json};
use crate::version;

pub(super) fn get_weight(words: &[&str], snapshot: &Snapshot) -> Answer {
    match server(words.first(), snapshot) {
        Ok((_, server)) => Answer::Message(
            INFO,
            format!("{} (initial {})", server.user_weight, server.initial_weight),
        ),
        Err(answer) => answer,
    }
}

pub(super) fn show_env(words: &[&str], _: &Snapshot) -> Answer {
    let wanted = words.first();
    let lines: Vec<String> = std::env::vars_os()
        .map(|(name, value)| {
            (
                name.to_string_lossy().into_owned(),
                value.to_string_lossy().into_owned(),
            )
        })
        .filter(|(name, _)| wanted.is_none_or(|wanted| name == wanted))
        .map(|(name, value)| format!("{name}={value}\n"))
        .collect();
    match (wanted, lines.is_empty()) {
        (Some(_), true) => error("Variable not found"),
        _ => Answer::Lines(lines.concat()),
    }
}

pub(super) fn show_info(words: &[&str], snapshot: &Snapshot) -> Answer {
    let version = version::compatible_version();
    let info = Info {
        snapshot,
        version: &version,
        release_date: version::RELEASE_DATE,
    };
    let described = words.contains(&"desc");
    Answer::Lines(match () {
        () if words.contains(&"json") => render::info_json(&info),
        () if words.contains(&"typed") => render::info_typed(&info, described),
        () => render::info_text(&info, described),
    })
}

pub(super) fn show_stat(words: &[&str], snapshot: &Snapshot) -> Answer {
    let mut filter = StatFilter {
        up: words.contains(&"up"),
        no_maint: words.contains(&"no-maint"),
        ..StatFilter::default()
    };
    if let [proxy, types, server, ..] = words
        && let (Ok(types), Ok(server)) = (types.parse(), server.parse())
    {
        (filter.types, filter.server_id) = (types, server);
        match proxy.parse() {
            Ok(number) => filter.proxy_id = number,
            Err(_) if views::proxies(snapshot).any(|known| known.name == **proxy) => {
                filter.proxy = Some(proxy)
            }
            Err(_) => return error("No such proxy."),
        }
    }
    let described = words.contains(&"desc");
    Answer::Lines(match () {
        () if words.contains(&"json") => render::stat_json(snapshot, filter),
        () if words.contains(&"typed") => render::stat_typed(snapshot, filter, described),
        () if described => render::stat_described(),
        () => render::stat_csv(snapshot, filter),
    })
}

/// The proxies of one backend's name, or all.
pub(super) fn chosen<'a>(
    words: &[&str],
    snapshot: &'a Snapshot,
) -> Result<Vec<&'a protocol::snapshot::ProxySnapshot>, Answer> {
    let Some(name) = words.first() else {
        return Ok(views::proxies(snapshot).collect());
    };
    let found =
        views::proxies(snapshot).find(|proxy| proxy.name == **name && proxy.backend.is_some());
    found
        .map(|proxy| vec![proxy])
        .ok_or_else(|| error("Can't find backend."))
}

pub(super) fn servers_state(words: &[&str], snapshot: &Snapshot) -> Answer {
    match chosen(words, snapshot) {
        Ok(proxies) => Answer::Lines(views::servers_state(proxies.into_iter())),
        Err(answer) => answer,
    }
}

pub(super) fn servers_connections(words: &[&str], snapshot: &Snapshot) -> Answer {
    match chosen(words, snapshot) {
        Ok(proxies) => Answer::Lines(views::servers_connections(proxies.into_iter())),
        Err(answer) => answer,
    }
}

pub(super) fn show_resolvers(words: &[&str], snapshot: &Snapshot) -> Answer {
    let sections = snapshot.worker.iter().flat_map(|worker| &worker.resolvers);
    let chosen: Vec<_> = sections
        .filter(|section| words.first().is_none_or(|wanted| section.name == *wanted))
        .collect();
    if chosen.is_empty() && !words.is_empty() {
        return error("Can't find that resolvers section");
    }
    Answer::Lines(views::resolvers(&chosen))
}

/// The answer where nothing can be told of VRRP.
fn without_vrrp(snapshot: &Snapshot) -> Option<Answer> {
    if !snapshot.vrrp_configured {
        return Some(error("VRRP is not configured."));
    }
    let missing = Refusal::NotRunning("The vrrp process".to_owned());
    (!snapshot.vrrp_running).then(|| missing.into())
}

pub(super) fn show_bfd(words: &[&str], snapshot: &Snapshot) -> Answer {
    if let Some(answer) = without_vrrp(snapshot) {
        return answer;
    }
    let wanted = words.iter().find(|word| **word != "json");
    let chosen: Vec<_> = snapshot
        .bfd
        .iter()
        .filter(|session| wanted.is_none_or(|wanted| session.name == *wanted))
        .collect();
    match wanted {
        Some(wanted) if chosen.is_empty() => error(format!("No such BFD session: {wanted}.")),
        _ if words.contains(&"json") => json(&serde_json::json!(chosen)),
        _ => Answer::Lines(vrrp_view::bfd(&chosen, &snapshot.vrrp, snapshot.at_ms)),
    }
}

pub(super) fn show_vrrp(words: &[&str], snapshot: &Snapshot) -> Answer {
    if let Some(answer) = without_vrrp(snapshot) {
        return answer;
    }
    let wanted = words.iter().find(|word| **word != "json");
    let chosen: Vec<_> = snapshot
        .vrrp
        .iter()
        .filter(|instance| wanted.is_none_or(|wanted| instance.name == *wanted))
        .cloned()
        .collect();
    match wanted {
        Some(wanted) if chosen.is_empty() => Refusal::NoSuchInstance((*wanted).to_owned()).into(),
        _ if words.contains(&"json") => json(&keepalived_json::dump(&chosen)),
        _ => {
            let mut text = vrrp_view::vrrp(&chosen, snapshot.at_ms);
            if wanted.is_none() && !snapshot.bfd.is_empty() {
                let sessions: Vec<_> = snapshot.bfd.iter().collect();
                text.push('\n');
                text.push_str(&vrrp_view::bfd(&sessions, &snapshot.vrrp, snapshot.at_ms));
            }
            Answer::Lines(text)
        }
    }
}
