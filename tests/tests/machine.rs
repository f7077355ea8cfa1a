//! The booted system of the systemd scenario works by itself.

use std::path::Path;

use tandem_tests::machine::Machine;
use tandem_tests::{Outcome, ensure, require};

#[test]
fn a_real_systemd_boots_and_obeys() -> Outcome {
    require!("root", "users", "systemd-nspawn");
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
    let machine = Machine::boot(repository, repository)?;
    ensure!(
        machine
            .exec("cat", &["/opt/repository/Cargo.toml"])?
            .contains("tandem-tests"),
        "the repository is not seen"
    );
    machine.exec(
        "systemd-run",
        &["--unit=probe", "--service-type=exec", "sleep", "1000"],
    )?;
    ensure!(
        machine.property("probe", "ActiveState")? == "active",
        "a unit does not start"
    );
    machine.shell("touch /etc/mark-of-the-test")?;
    ensure!(
        !Path::new("/etc/mark-of-the-test").exists(),
        "what the machine writes is seen outside"
    );
    Ok(())
}
