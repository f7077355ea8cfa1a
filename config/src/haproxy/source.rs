//! `source` of a backend and of a server: from where servers are connected to.

use std::net::{IpAddr, SocketAddr};

use super::address::{plain_address, source_address};
use super::args::{Args, Context};
use super::model::{SourceConfig, TransparentSource};
use super::proxy::Draft;
use crate::diagnostic::DiagnosticKind;

/// `source …` of a backend: for all its servers that have none of their own.
pub(super) fn of_backend(
    draft: &mut Draft,
    args: &mut Args<'_>,
    cx: &mut Context<'_>,
) -> Option<()> {
    let found = source(args, cx)?;
    for server in &mut draft.config.servers {
        server.source.get_or_insert_with(|| found.clone());
    }
    draft.server_options.source = Some(found);
    args.end(cx)
}

/// `ADDRESS[:PORT[-PORT]] [interface NAME] [usesrc WHAT]`.
pub(super) fn source(args: &mut Args<'_>, cx: &mut Context<'_>) -> Option<SourceConfig> {
    let word = args.value(cx, "an address")?;
    let (address, ports) = source_address(word, cx)?;
    let mut found = SourceConfig {
        address: Some(address).filter(|address| *address != IpAddr::from([0, 0, 0, 0])),
        ports,
        ..SourceConfig::default()
    };
    loop {
        if args.take("interface") {
            let name = args.value(cx, "an interface's name")?;
            // IFNAMSIZ is 16 with its NUL.
            if name.text.len() > 15 {
                let message = format!("'{}' is no interface's name", name.text);
                cx.error(DiagnosticKind::InvalidValue, name.span, message);
                return None;
            }
            found.interface = Some(name.text.clone());
        } else if args.take("usesrc") {
            let what = args.value(cx, "'client', 'clientip' or an address")?;
            found.transparent = Some(match what.text.as_str() {
                "client" => TransparentSource::Client,
                "clientip" => TransparentSource::ClientIp,
                text if text.starts_with("hdr_ip(") => {
                    let Some((name, occurrence)) = header(text) else {
                        let message = format!("'usesrc {text}' is not 'hdr_ip(NAME[,OCCURRENCE])'");
                        cx.error(DiagnosticKind::InvalidValue, what.span, message);
                        return None;
                    };
                    // Manual, `source`: "Passing a zero here disables the feature."
                    if occurrence == 0 {
                        continue;
                    }
                    TransparentSource::Header(name, occurrence)
                }
                _ => {
                    let (address, port) = plain_address(what, "usesrc", cx)?;
                    TransparentSource::Address(SocketAddr::new(address, port))
                }
            });
        } else {
            return Some(found);
        }
    }
}

/// Name and occurrence of `hdr_ip(NAME[,OCCURRENCE])`.
fn header(text: &str) -> Option<(String, i32)> {
    let inner = text.strip_prefix("hdr_ip(")?.strip_suffix(')')?;
    let (name, occurrence) = inner.split_once(',').unwrap_or((inner, "-1"));
    let name = name.trim();
    let occurrence = occurrence.trim().parse().ok()?;
    (!name.is_empty()).then(|| (name.to_ascii_lowercase(), occurrence))
}
