//! What runs before and after all other processes: `startup_script` and `shutdown_script`; and the mask of new files.

use config::keepalived::LifeScript;
use protocol::process::ScriptOutcome;
use tokio::sync::mpsc::Receiver;

use super::scripts::{Purpose, ScriptRunner};
use super::{Happening, Signal};
use crate::configuration::Configuration;

/// Before any other process starts: the mask, then the script, which the daemon waits for. A script that fails changes
/// nothing, as in keepalived.
pub(super) async fn begin(configuration: &Configuration, scripts: &ScriptRunner) {
    let Some(keepalived) = &configuration.keepalived else {
        return;
    };
    let life = &keepalived.global.life;
    if let Some(mask) = life.umask {
        nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(mask));
    }
    run("startup_script", &life.startup, scripts).await;
}

/// Waits for a signal that ends the daemon, while nothing else can happen yet; notes one that wants a reload.
pub(super) async fn told_to_end(queue: &mut Receiver<Happening>, reload: &mut bool) -> Signal {
    while let Some(happening) = queue.recv().await {
        match happening {
            Happening::Signal(Signal::Reload) => *reload = true,
            Happening::Signal(signal) => return signal,
            _ => {}
        }
    }
    // Nobody is left who could say so.
    std::future::pending().await
}

/// After all other processes have ended.
pub(super) async fn end(configuration: &Configuration, scripts: &ScriptRunner) {
    if let Some(keepalived) = &configuration.keepalived {
        run("shutdown_script", &keepalived.global.life.shutdown, scripts).await;
    }
}

async fn run(title: &str, script: &LifeScript, scripts: &ScriptRunner) {
    let Some(command) = &script.command else {
        return;
    };
    let (argv, user) = (command.argv.clone(), command.user.clone());
    let program = argv.first().cloned().unwrap_or_default();
    tracing::info!("{title} {program} runs");
    let outcome = scripts.run(argv, user, script.timeout, Purpose::Waited, Vec::new());
    match outcome.await {
        ScriptOutcome::Exited(0) => tracing::info!("{title} {program} is done"),
        ScriptOutcome::Exited(code) => tracing::warn!("{title} {program} ended with status {code}"),
        ScriptOutcome::Signaled(signal) => {
            tracing::warn!("{title} {program} was ended by signal {signal}");
        }
        ScriptOutcome::TimedOut => tracing::warn!(
            "{title} {program} was ended: it ran for longer than {} s ({title}_timeout)",
            script.timeout.as_secs()
        ),
        ScriptOutcome::Failed(reason) => {
            tracing::error!("{title} {program} does not run: {reason}")
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::{Duration, Instant};

    use super::*;
    use crate::programs::Security;

    fn configuration(lines: &str) -> Configuration {
        let text = format!("global_defs {{\nscript_user root\n{lines}\n}}\n");
        let loaded = config::load(&[config::Input::text("k.conf", text)], &|_| None);
        assert!(!loaded.diagnostics.has_errors(), "{lines}");
        Configuration {
            keepalived: loaded.keepalived,
            ..Configuration::default()
        }
    }

    fn runner() -> ScriptRunner {
        ScriptRunner::new(Some(("root".to_owned(), None)), Security::Off)
    }

    #[tokio::test]
    async fn each_script_runs_once_in_its_time_and_is_waited_for() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name).display().to_string();
        let configuration = configuration(&format!(
            "startup_script \"/bin/sh -c 'sleep 0.1; echo >> {}; exit 3'\"\nshutdown_script \"/usr/bin/touch {}\"",
            path("up"),
            path("down")
        ));
        begin(&configuration, &runner()).await;
        assert_eq!(std::fs::read_to_string(path("up")).expect("it ran"), "\n");
        assert!(!Path::new(&path("down")).exists());
        end(&configuration, &runner()).await;
        assert!(Path::new(&path("down")).exists());
        assert_eq!(std::fs::read_to_string(path("up")).expect("once"), "\n");
    }

    #[tokio::test]
    async fn a_script_that_does_not_end_or_cannot_run_holds_nothing_up() {
        let begun = Instant::now();
        let slow = configuration("startup_script \"/bin/sleep 60\"\nstartup_script_timeout 1");
        begin(&slow, &runner()).await;
        let missing = configuration("startup_script /no/such/script");
        begin(&missing, &runner()).await;
        let took = begun.elapsed();
        assert!(
            took >= Duration::from_secs(1) && took < Duration::from_secs(20),
            "{took:?}"
        );
    }
}
