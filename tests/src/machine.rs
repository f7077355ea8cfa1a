//! A real systemd, booted by systemd-nspawn over the machine's own files; what it writes is forgotten.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use crate::failure::{Context, Failure, Outcome};
use crate::host::{Furnishing, Host};
use crate::process::{Process, children, title};
use crate::requirements::our_program;
use crate::wait::{wait_for, wait_until};

/// How long the boot may take.
const BOOT: Duration = Duration::from_secs(60);

/// A booted system; ends when dropped.
pub struct Machine {
    leader: i32,
    nspawn: Process,
    // Last: it ends what is left of the above.
    _host: Host,
    _folder: tempfile::TempDir,
}

impl Machine {
    /// Boots with this repository, for its installer, and with the programs under test.
    pub fn boot_to_install() -> Outcome<Machine> {
        let repository = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .unwrap_or(Path::new("/"));
        let daemon = our_program("tandemd").ok_or_else(|| Failure::new("tandemd is not built"))?;
        Machine::boot(repository, daemon.parent().unwrap_or(Path::new("/")))
    }

    /// Boots to basic.target, so that none of the machine's own services come up. `repository` is seen at `/opt/repository`
    /// and `programs` at `/opt/programs`, both read only.
    pub fn boot(repository: &Path, programs: &Path) -> Outcome<Machine> {
        let folder = tempfile::Builder::new()
            .prefix("tandem-machine-")
            .tempdir()?;
        let host = Host::start("machine", Furnishing::Shared, folder.path(), None)?;
        let root = folder.path().join("root");
        std::fs::create_dir(&root)?;
        let script = format!(
            "mount --bind / {root} && exec systemd-nspawn --quiet --directory={root} --volatile=overlay --register=no --keep-unit \
             --private-network --machine=tandem --bind-ro={}:/opt/repository --bind-ro={}:/opt/programs --console=read-only \
             --boot -- --unit=basic.target",
            repository.display(),
            programs.display(),
            root = root.display(),
        );
        let nspawn = host.spawn("sh", &["-c", &script])?;
        let mut leader = 0;
        wait_until("systemd in its container", BOOT, || {
            // nspawn starts helpers first; the one that has become systemd is it.
            let is_init = |pid: &i32| {
                title(*pid)
                    .split(' ')
                    .next()
                    .is_some_and(|path| path.ends_with("/systemd"))
            };
            leader = children(nspawn.pid())
                .into_iter()
                .find(is_init)
                .unwrap_or(0);
            leader != 0
        })?;
        let machine = Machine {
            leader,
            nspawn,
            _host: host,
            _folder: folder,
        };
        wait_for("the end of the boot", BOOT, || {
            let output = machine
                .output("systemctl", &["is-system-running"])
                .map_err(|error| error.to_string())?;
            let state = String::from_utf8_lossy(&[output.stdout, output.stderr].concat())
                .trim()
                .to_owned();
            // Something of the machine's own may have failed; that is not ours to mind.
            if ["running", "degraded"].contains(&state.as_str()) {
                Ok(())
            } else {
                Err(state)
            }
        })
        .map_err(|failure| Failure::new(format!("{failure}\n{}", machine.nspawn.log())))?;
        Ok(machine)
    }

    /// Runs a program in the system.
    pub fn output(&self, program: &str, arguments: &[&str]) -> Outcome<Output> {
        let mut command = Command::new("nsenter");
        command
            .args(["--target", &self.leader.to_string(), "--all", "--", program])
            .args(arguments);
        command
            .env(
                "PATH",
                "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            )
            .stdin(Stdio::null());
        command.output().context(program)
    }

    /// Runs a program that must succeed, and returns what it printed (errors included).
    pub fn exec(&self, program: &str, arguments: &[&str]) -> Outcome<String> {
        let output = self.output(program, arguments)?;
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        let words = arguments.join(" ");
        crate::ensure!(
            output.status.success(),
            "{program} {words}: {}: {}",
            output.status,
            said.trim()
        );
        Ok(said)
    }

    /// Runs a line of shell that must succeed.
    pub fn shell(&self, line: &str) -> Outcome<String> {
        self.exec("sh", &["-c", line])
    }

    /// One property of a unit.
    pub fn property(&self, unit: &str, name: &str) -> Outcome<String> {
        Ok(self
            .exec("systemctl", &["show", "--value", "--property", name, unit])?
            .trim()
            .to_owned())
    }
}
