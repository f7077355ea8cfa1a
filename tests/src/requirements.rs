//! What a test needs of the machine. A test without it says `SKIPPED: needs …` and passes; where `CI` is set, it fails.

use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Something a machine may lack.
#[derive(Debug, Clone, Copy)]
pub enum Requirement {
    /// Root, or a user namespace in which one is root: for networks.
    Root,
    /// The right to become other users (real root, or a namespace with many users mapped): for `user haproxy`.
    Users,
    /// A program on the path.
    Program(&'static str),
    /// One of our own programs, built.
    Ours(&'static str),
    /// `tandemd`, built with this optional feature.
    Feature(&'static str),
}

impl From<&'static str> for Requirement {
    fn from(name: &'static str) -> Requirement {
        match name {
            "root" => Requirement::Root,
            "users" => Requirement::Users,
            "tandemd+dbus" => Requirement::Feature("dbus"),
            "tandemd" | "tandem" | "tandem-origin" => Requirement::Ours(name),
            _ => Requirement::Program(name),
        }
    }
}

impl Requirement {
    /// What is missing, or nothing.
    pub fn missing(self) -> Option<String> {
        match self {
            Requirement::Root if nix::unistd::geteuid().is_root() => None,
            Requirement::Root => Some("root (or `unshare -Urnm`)".into()),
            Requirement::Users if users_are_mapped() => None,
            Requirement::Users => Some("the right to switch users (root)".into()),
            Requirement::Program(name) if find_program(name).is_some() => None,
            Requirement::Program(name) => Some(format!("the program {name}")),
            Requirement::Ours(name) if our_program(name).is_some() => None,
            Requirement::Ours(name) => Some(format!("{name} (cargo build)")),
            Requirement::Feature(name) if has_feature(name) => None,
            Requirement::Feature(name) => Some(format!(
                "tandemd with the feature {name} (cargo build --features tandemd/{name})"
            )),
        }
    }
}

/// Whether users other than root exist here: a namespace with one mapped user knows root alone.
pub fn users_are_mapped() -> bool {
    let Ok(map) = std::fs::read_to_string("/proc/self/uid_map") else {
        return false;
    };
    let mapped: u64 = map
        .lines()
        .filter_map(|line| line.split_whitespace().nth(2)?.parse::<u64>().ok())
        .sum();
    nix::unistd::geteuid().is_root() && mapped > 1000
}

/// A program on the path or in the administrators' folders.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default();
    path.split(':')
        .chain(["/usr/local/sbin", "/usr/sbin", "/sbin"])
        .map(|folder| PathBuf::from(folder).join(name))
        .find(|file| file.is_file())
}

/// One of the workspace's programs: named by `TANDEMD_BIN` and the like (`tandem-hold`: `TANDEM_HOLD_BIN`), in the folder
/// `TANDEM_BIN_DIR`, or built beside the running one.
pub fn our_program(name: &str) -> Option<PathBuf> {
    let variable = format!("{}_BIN", name.to_uppercase().replace('-', "_"));
    if let Some(path) = std::env::var_os(variable) {
        return Some(PathBuf::from(path));
    }
    let given = std::env::var_os("TANDEM_BIN_DIR").map(|folder| PathBuf::from(folder).join(name));
    if let Some(path) = given.filter(|path| path.is_file()) {
        return Some(path);
    }
    let running = std::env::current_exe().ok()?;
    running
        .ancestors()
        .skip(1)
        .take(3)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

/// Whether the built `tandemd` says that it has an optional feature.
fn has_feature(name: &str) -> bool {
    let told = our_program("tandemd").and_then(|path| Command::new(path).arg("-vv").output().ok());
    let wanted = format!("+{}", name.to_uppercase());
    told.is_some_and(|told| {
        let text = String::from_utf8_lossy(&told.stdout);
        let mut lines = text.lines();
        let list = lines.find_map(|line| line.strip_prefix("Tandem features :"));
        list.is_some_and(|list| list.split_whitespace().any(|word| word == wanted))
    })
}

/// Runs the named test again as root of a new user namespace, where that is allowed; says whether it passed.
fn again_as_root(test: &str) -> Option<bool> {
    let program = std::env::current_exe().ok()?;
    let enter = ["--user", "--map-root-user", "--net", "--mount"];
    let allowed = Command::new("unshare")
        .args(enter)
        .arg("true")
        .stderr(Stdio::null())
        .status()
        .ok()?;
    if !allowed.success() {
        return None;
    }
    let mut again = Command::new("unshare");
    again
        .args(enter)
        .arg(program)
        .args([test, "--exact", "--nocapture"]);
    Some(again.status().ok()?.success())
}

/// Whether the calling test may go on; used by [`crate::require!`].
///
/// # Panics
/// Where `CI` is set and something is missing, and where the test failed in the user namespace it was run in.
pub fn met(requirements: &[Requirement]) -> bool {
    let not_root = Requirement::Root.missing().is_some();
    if not_root
        && requirements
            .iter()
            .any(|one| matches!(one, Requirement::Root))
    {
        let test = std::thread::current().name().unwrap_or_default().to_owned();
        if let Some(passed) = again_as_root(&test) {
            assert!(
                passed,
                "{test} failed in a user namespace; its own output is above"
            );
            return false;
        }
    }
    let missing: Vec<String> = requirements
        .iter()
        .filter_map(|one| one.missing())
        .collect();
    if missing.is_empty() {
        return true;
    }
    let text = format!("SKIPPED: needs {}", missing.join(", "));
    assert!(
        std::env::var_os("CI").is_none(),
        "{text} (a failure because CI is set)"
    );
    println!("{text}");
    false
}

/// Leaves the test, saying why, unless the machine has what it needs:
/// `require!("root", "users", "keepalived", "tandemd");`.
#[macro_export]
macro_rules! require {
    ($($what:expr),+ $(,)?) => {
        if !$crate::requirements::met(&[$($crate::Requirement::from($what)),+]) {
            return Ok(());
        }
    };
}
