//! `vrrp_sync_group`: instances that move together.

use super::model::{KeepalivedConfig, Notify, SyncGroup, Tracked};
use super::parser::Action::Do;
use super::parser::{Table, block, body, entries};
use super::places::Places;
use super::track::PendingTracks;
use super::tree::Statement;
use super::values::{Complaints, switch};
use crate::diagnostic::{Diagnostic, DiagnosticKind};
use crate::source::Word;
use crate::suggest::did_you_mean;

/// A group while its lines are read.
pub(super) struct Pending {
    members: Vec<Word>,
    tracks: PendingTracks,
    notify: Notify,
    smtp_alert: bool,
    tracking_weight: bool,
}

/// Keywords, sorted.
#[rustfmt::skip]
pub(super) const KEYWORDS: Table<Pending> = &[
    ("global_tracking", Do(global_tracking)),
    ("group", Do(|p, statement, _| p.members.extend(entries(statement).cloned()))),
    ("notify", Do(notify)),
    ("notify_backup", Do(notify)),
    ("notify_deleted", Do(notify)),
    ("notify_fault", Do(notify)),
    ("notify_master", Do(notify)),
    ("notify_priority_changes", Do(notify)),
    ("notify_stop", Do(notify)),
    ("smtp_alert", Do(|p, statement, complaints| { p.smtp_alert = switch(statement, complaints).unwrap_or(p.smtp_alert) })),
    ("sync_group_tracking_weight", Do(|p, _, _| p.tracking_weight = true)),
    ("track_backend", Do(|p, statement, complaints| p.tracks.backend(statement, complaints))),
    ("track_bfd", Do(|p, statement, complaints| p.tracks.bfd(statement, complaints))),
    ("track_file", Do(|p, statement, complaints| p.tracks.file(statement, complaints))),
    ("track_interface", Do(|p, statement, complaints| p.tracks.interface(statement, complaints))),
    ("track_process", Do(|p, statement, complaints| p.tracks.process(statement, complaints))),
    ("track_script", Do(|p, statement, complaints| p.tracks.script(statement, complaints))),
];

fn notify(pending: &mut Pending, statement: &Statement, complaints: &mut Complaints<'_>) {
    super::notify::read(&mut pending.notify, statement, complaints);
}

fn global_tracking(pending: &mut Pending, statement: &Statement, complaints: &mut Complaints<'_>) {
    pending.tracking_weight = true;
    let message = "'global_tracking' is deprecated: the weights of the members count, as with \
                   'sync_group_tracking_weight'";
    let diagnostic = Diagnostic::warning(DiagnosticKind::Pointless, statement.span(), message);
    complaints.help(
        diagnostic,
        "write track_script, track_interface and so on into the vrrp_sync_group",
    );
}

/// Reads a `vrrp_sync_group NAME { … }` when all instances are known; none if keepalived would drop it.
pub(super) fn sync_group(
    statement: &Statement,
    config: &mut KeepalivedConfig,
    complaints: &mut Complaints<'_>,
) -> Option<SyncGroup> {
    let Some(name) = statement.words.get(1).cloned() else {
        complaints.missing(statement, "a name");
        return None;
    };
    if config
        .sync_groups
        .iter()
        .any(|known| known.name.text == name.text)
    {
        let message = format!(
            "vrrp_sync_group '{}' is already defined; this one is ignored",
            name.text
        );
        complaints.warning(DiagnosticKind::Duplicate, name.span, message);
        return None;
    }
    let mut pending = Pending {
        members: Vec::new(),
        tracks: PendingTracks::default(),
        notify: Notify::default(),
        smtp_alert: config.global.notify.mails(),
        tracking_weight: false,
    };
    let lines = without_bare_members(&name, statement, config, complaints);
    block(
        &mut pending,
        &lines,
        KEYWORDS,
        "'vrrp_sync_group'",
        complaints,
    );
    let members = members(&name, &pending.members, config, complaints);
    if members.is_empty() {
        let message = format!(
            "vrrp_sync_group '{}' has no member and is dropped, as keepalived does",
            name.text
        );
        let diagnostic = Diagnostic::warning(DiagnosticKind::Pointless, name.span, message);
        complaints.help(
            diagnostic,
            "its members stand in a block: group { VI_1 VI_2 }",
        );
        return None;
    }
    if let [_] = members[..] {
        let message = format!(
            "vrrp_sync_group '{}' has one member: there is nothing to move together",
            name.text
        );
        complaints.warning(DiagnosticKind::Pointless, name.span, message);
    }
    let tracks = pending.tracks.finish(config, complaints);
    if !pending.tracking_weight {
        for member in &members {
            drop_weights(&name, *member, config, complaints);
        }
    }
    Some(SyncGroup {
        name,
        members,
        tracks: tracks.into(),
        notify: pending.notify,
        smtp_alert: pending.smtp_alert,
        tracking_weight: pending.tracking_weight,
        places: Places::of(body(statement)),
        span: statement.span(),
    })
}

/// `vrrp_sync_group G { VI_1 }`: keepalived does not know the word and drops the group; people write it all the same.
fn without_bare_members(
    name: &Word,
    statement: &Statement,
    config: &KeepalivedConfig,
    complaints: &mut Complaints<'_>,
) -> Vec<Statement> {
    let is_member = |line: &&Statement| {
        let is_instance = |one: &super::model::VrrpInstance| one.name.text == line.name();
        config.instances.iter().any(is_instance)
    };
    let (bare, lines): (Vec<_>, Vec<_>) = body(statement).iter().partition(is_member);
    for line in bare {
        let message = format!(
            "'{}' stands in vrrp_sync_group '{}' without a 'group' block around it and is ignored, as keepalived does",
            line.name(),
            name.text
        );
        let diagnostic = Diagnostic::warning(DiagnosticKind::Pointless, line.span(), message);
        complaints.help(diagnostic, format!("write group {{ {} }}", line.name()));
    }
    lines.into_iter().cloned().collect()
}

/// The members that exist and are in no other group, as indices.
fn members(
    group: &Word,
    written: &[Word],
    config: &KeepalivedConfig,
    complaints: &mut Complaints<'_>,
) -> Vec<usize> {
    let mut members = Vec::new();
    for word in written {
        let names = || config.instances.iter().map(|one| one.name.as_str());
        let Some(member) = names().position(|name| name == word.text) else {
            let message = format!(
                "vrrp_sync_group '{}': there is no vrrp_instance '{}'; it is ignored",
                group.text, word.text
            );
            let mut diagnostic =
                Diagnostic::warning(DiagnosticKind::UnknownName, word.span, message);
            diagnostic.help = did_you_mean(&word.text, names());
            complaints.0.push(diagnostic);
            continue;
        };
        let other = config
            .sync_groups
            .iter()
            .find(|other| other.members.contains(&member));
        if let Some(other) = other {
            let message = format!(
                "vrrp_instance '{}' is in vrrp_sync_group '{}' already and not taken into '{}'",
                word.text, other.name.text, group.text
            );
            complaints.warning(DiagnosticKind::Duplicate, word.span, message);
        } else if members.contains(&member) {
            let message = format!("vrrp_instance '{}' is named twice", word.text);
            complaints.warning(DiagnosticKind::Duplicate, word.span, message);
        } else {
            members.push(member);
        }
    }
    members.sort_unstable();
    members
}

/// Members with weights of their own would end with different priorities: what they track with a weight does not count.
fn drop_weights(
    group: &Word,
    member: usize,
    config: &mut KeepalivedConfig,
    complaints: &mut Complaints<'_>,
) {
    let Some(instance) = config.instances.get_mut(member) else {
        return;
    };
    let name = instance.name.clone();
    let mut say = |what: &str| {
        let message = format!(
            "{what} of '{}' has a weight and is ignored: it is in vrrp_sync_group '{}'",
            name.text, group.text
        );
        let diagnostic = Diagnostic::warning(DiagnosticKind::Pointless, name.span, message);
        complaints.help(
            diagnostic,
            "track it in the group, or write sync_group_tracking_weight there",
        );
    };
    fn unweighted<T>(tracked: &mut Vec<Tracked<T>>, mut drop: impl FnMut(&T)) {
        tracked.retain(|one| {
            if one.weight != 0 {
                drop(&one.item);
            }
            one.weight == 0
        });
    }
    let tracks = &mut instance.tracks;
    let (scripts, files) = (&config.scripts, &config.track_files);
    let (processes, bfds) = (&config.track_processes, &config.bfd_instances);
    unweighted(&mut tracks.scripts, |at| {
        say(&format!("script '{}'", scripts[*at].name.text));
    });
    unweighted(&mut tracks.files, |at| {
        say(&format!("file '{}'", files[*at].name.text));
    });
    unweighted(&mut tracks.processes, |at| {
        say(&format!("process '{}'", processes[*at].name.text));
    });
    unweighted(&mut tracks.bfds, |at| {
        say(&format!("bfd '{}'", bfds[*at].name.text));
    });
    unweighted(&mut tracks.interfaces, |name| {
        say(&format!("interface '{}'", name.text));
    });
    unweighted(&mut tracks.backends, |name| {
        say(&format!("backend '{}'", name.text));
    });
}
