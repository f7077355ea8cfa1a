//! Every program that a configuration has run, in one list: for the check whether they can run at all.

use super::model::{KeepalivedConfig, Notify, NotifyCommand, ScriptKind, VrrpScript};
use super::places::Places;
use crate::source::Span;

/// What hangs on a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Tracked: while it cannot run it counts as failed.
    Tracked,
    /// A `vrrp_script` that nothing tracks.
    Untracked,
    /// `notify*`, `pre_release` and the readers of FIFOs: a change of state happens without it too.
    Notified,
}

/// A program that the configuration has run.
#[derive(Clone, Debug)]
pub struct ConfiguredCommand<'a> {
    /// `vrrp_script 'chk'`, `notify_master of 'VI_1'`.
    pub label: String,
    /// Program and arguments, not empty.
    pub argv: &'a [String],
    /// Its own user and group; `script_user` where none is written.
    pub user: Option<&'a (String, Option<String>)>,
    /// What hangs on it.
    pub purpose: Purpose,
    /// Where the program is written.
    pub span: Span,
}

/// The programs of a configuration. What only asks whether the proxy is alive runs nothing and is left out.
pub fn commands(config: &KeepalivedConfig) -> Vec<ConfiguredCommand<'_>> {
    let mut all: Vec<_> = config
        .scripts
        .iter()
        .enumerate()
        .filter_map(|(at, script)| tracked(config, at, script))
        .collect();
    for instance in &config.instances {
        let (name, places) = (&instance.name, &instance.places);
        notified(&instance.notify, name.as_str(), places, name.span, &mut all);
    }
    for group in &config.sync_groups {
        let (name, places) = (&group.name, &group.places);
        notified(&group.notify, name.as_str(), places, name.span, &mut all);
    }
    let global = &config.global;
    let readers = [
        ("notify_fifo_script", &global.notify.fifo),
        ("vrrp_notify_fifo_script", &global.notify.vrrp_fifo),
    ];
    for (keyword, fifo) in readers {
        if let Some(command) = &fifo.script {
            let span = global.places.find(keyword).unwrap_or_default();
            all.push(one(keyword.to_owned(), command, span));
        }
    }
    let life = [
        ("startup_script", &global.life.startup),
        ("shutdown_script", &global.life.shutdown),
    ];
    for (keyword, script) in life {
        if let Some(command) = &script.command {
            let span = global.places.find(keyword).unwrap_or_default();
            all.push(one(keyword.to_owned(), command, span));
        }
    }
    all.retain(|command| !command.argv.is_empty());
    all
}

fn tracked<'a>(
    config: &'a KeepalivedConfig,
    at: usize,
    script: &'a VrrpScript,
) -> Option<ConfiguredCommand<'a>> {
    let ScriptKind::Run(argv) = &script.kind else {
        return None;
    };
    let instances = config.instances.iter().map(|one| &one.tracks);
    let groups = config.sync_groups.iter().map(|one| &one.tracks);
    let is_tracked = instances
        .chain(groups)
        .flat_map(|tracks| &tracks.scripts)
        .any(|entry| entry.item == at);
    Some(ConfiguredCommand {
        label: format!("vrrp_script '{}'", script.name.as_str()),
        argv,
        user: script.user.as_ref(),
        purpose: if is_tracked {
            Purpose::Tracked
        } else {
            Purpose::Untracked
        },
        span: script.places.find("script").unwrap_or(script.name.span),
    })
}

fn notified<'a>(
    notify: &'a Notify,
    name: &str,
    places: &Places,
    block: Span,
    all: &mut Vec<ConfiguredCommand<'a>>,
) {
    let before_release = notify.pre_release.as_ref().map(|one| &one.command);
    let commands = [
        ("notify", notify.any.as_ref()),
        ("notify_backup", notify.backup.as_ref()),
        ("notify_deleted", notify.deleted.as_ref()),
        ("notify_fault", notify.fault.as_ref()),
        ("notify_master", notify.master.as_ref()),
        (
            "notify_master_rx_lower_pri",
            notify.master_rx_lower_pri.as_ref(),
        ),
        ("notify_stop", notify.stop.as_ref()),
        ("pre_release", before_release),
    ];
    for (keyword, command) in commands {
        if let Some(command) = command {
            let span = places.find(keyword).unwrap_or(block);
            all.push(one(format!("{keyword} of '{name}'"), command, span));
        }
    }
}

fn one(label: String, command: &NotifyCommand, span: Span) -> ConfiguredCommand<'_> {
    ConfiguredCommand {
        label,
        argv: &command.argv,
        user: command.user.as_ref(),
        purpose: Purpose::Notified,
        span,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_program_is_listed_with_its_line_but_not_what_asks_for_the_proxy() {
        let text = "global_defs {\n notify_fifo /run/f\n notify_fifo_script /bin/reader\n}\n\
                    vrrp_script chk {\n interval 2\n script \"/bin/chk -q\"\n user nobody\n}\n\
                    vrrp_script idle {\n script /bin/idle\n}\n\
                    vrrp_script alive {\n script \"killall -0 haproxy\"\n}\n\
                    vrrp_instance A {\n interface eth0\n virtual_router_id 1\n\
                    virtual_ipaddress {\n 10.0.0.1\n }\n track_script {\n chk\n alive\n }\n\
                    notify_master /bin/m\n pre_release /bin/p\n}\n\
                    vrrp_sync_group G {\n group {\n A\n }\n notify \"/bin/g x\"\n}\n";
        let loaded = crate::load(&[crate::Input::text("keepalived.conf", text)], &|_| None);
        let config = loaded.keepalived.expect("a configuration");
        let found: Vec<_> = commands(&config)
            .into_iter()
            .map(|one| (one.label, one.argv[0].clone(), one.purpose, one.span.line))
            .collect();
        let row = |label: &str, program: &str, purpose, line| {
            (label.to_owned(), program.to_owned(), purpose, line)
        };
        assert_eq!(
            found,
            [
                row("vrrp_script 'chk'", "/bin/chk", Purpose::Tracked, 7),
                row("vrrp_script 'idle'", "/bin/idle", Purpose::Untracked, 11),
                row("notify_master of 'A'", "/bin/m", Purpose::Notified, 26),
                row("pre_release of 'A'", "/bin/p", Purpose::Notified, 27),
                row("notify of 'G'", "/bin/g", Purpose::Notified, 33),
                row("notify_fifo_script", "/bin/reader", Purpose::Notified, 3),
            ]
        );
    }
}
