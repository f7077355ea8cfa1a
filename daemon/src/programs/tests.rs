//! Files in a temporary folder, and paths of several owners as values.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;

const ROOT: u32 = 0;
const STRANGER: u32 = 4_000_000_000;

/// A folder that everybody may enter, with an executable script in it.
struct Ground(tempfile::TempDir);

impl Ground {
    fn new() -> Self {
        let ground = Self(tempfile::tempdir().expect("a folder"));
        ground.mode("", 0o755);
        ground
    }

    fn path(&self, name: &str) -> PathBuf {
        // A trailing slash would follow a link.
        match name {
            "" => self.0.path().to_owned(),
            name => self.0.path().join(name),
        }
    }

    fn mode(&self, name: &str, mode: u32) {
        fs::set_permissions(self.path(name), Permissions::from_mode(mode)).expect("its mode");
    }

    fn folder(&self, name: &str, mode: u32) {
        fs::create_dir(self.path(name)).expect("a folder");
        self.mode(name, mode);
    }

    fn script(&self, name: &str, mode: u32) {
        fs::write(self.path(name), "#!/bin/sh\nexit 0\n").expect("a script");
        self.mode(name, mode);
    }

    /// What is said of a program here, `@` standing for the folder.
    fn verdict(&self, name: &str, uid: u32, security: Security) -> String {
        let path = self.path(name);
        let rights = Rights::of(Some((uid, uid)));
        match examine(&path.to_string_lossy(), &rights, security) {
            Ok(()) => "runs".to_owned(),
            Err(refusal) => refusal
                .to_string()
                .replace(&*self.path("").to_string_lossy(), "@"),
        }
    }
}

fn entry_of(path: &str, kind: Kind, uid: u32, gid: u32, mode: u32) -> Entry {
    Entry {
        path: PathBuf::from(path),
        kind,
        uid,
        gid,
        mode,
    }
}

/// `/safe/chk` of root, behind a folder and with a file as given: owner, group and mode.
fn check(folder: (u32, u32, u32), file: (u32, u32, u32), uid: u32, expected: Result<(), Changer>) {
    let program = Program {
        path: PathBuf::from("/safe/chk"),
        link_owner: None,
        entries: vec![
            entry_of("/", Kind::Folder, ROOT, ROOT, 0o755),
            entry_of("/safe", Kind::Folder, folder.0, folder.1, folder.2),
            entry_of("/safe/chk", Kind::File, file.0, file.1, file.2),
        ],
    };
    let rights = Rights::of(Some((uid, uid)));
    let found = match judge(&program, &rights, Security::On) {
        Ok(()) => Ok(()),
        Err(Refusal::Changeable(_, changer)) => Err(changer),
        Err(other) => panic!("{other}"),
    };
    assert_eq!(found, expected, "{folder:?} {file:?} {uid}");
    assert_eq!(judge(&program, &rights, Security::Off), Ok(()));
}

#[test]
fn with_security_nobody_but_root_may_be_able_to_change_a_part_of_the_path() {
    let (good, file) = ((ROOT, ROOT, 0o755), (ROOT, ROOT, 0o755));
    check(good, file, ROOT, Ok(()));
    check((ROOT, 50, 0o775), file, ROOT, Err(Changer::Group));
    check((ROOT, ROOT, 0o757), file, ROOT, Err(Changer::Others));
    check((65534, ROOT, 0o755), file, ROOT, Err(Changer::Owner));
    check(good, (ROOT, 50, 0o775), ROOT, Err(Changer::Group));
    check(good, (ROOT, ROOT, 0o757), ROOT, Err(Changer::Others));
    check(good, (65534, ROOT, 0o555), ROOT, Err(Changer::Owner));
    // Root's group is root; another group that may not write changes nothing.
    check((ROOT, ROOT, 0o775), file, ROOT, Ok(()));
    check(good, (ROOT, 50, 0o755), ROOT, Ok(()));
    // A sticky folder protects the files of root in it, not from its own owner; a sticky file is not protected.
    check((ROOT, ROOT, 0o1777), file, ROOT, Ok(()));
    check((ROOT, 50, 0o1775), file, ROOT, Ok(()));
    check((65534, ROOT, 0o1755), file, ROOT, Err(Changer::Owner));
    check(good, (ROOT, ROOT, 0o1757), ROOT, Err(Changer::Others));
    // What does not run as root is not asked.
    check((65534, 50, 0o777), (65534, 50, 0o777), 33, Ok(()));
}

#[test]
fn what_is_no_program_is_refused_with_its_reason() {
    let ground = Ground::new();
    ground.script("ok", 0o755);
    ground.script("plain", 0o644);
    ground.script("own", 0o700);
    ground.folder("folder", 0o755);
    ground.folder("locked", 0o700);
    ground.script("locked/ok", 0o755);
    symlink(ground.path("ok"), ground.path("link")).expect("a link");
    symlink("/no/such/file", ground.path("dangling")).expect("a link");
    let off = |name: &str, uid| ground.verdict(name, uid, Security::Off);
    assert_eq!(off("ok", ROOT), "runs");
    assert_eq!(off("link", ROOT), "runs");
    assert_eq!(off("missing", ROOT), "@/missing does not exist");
    assert_eq!(off("ok/below", ROOT), "@/ok/below does not exist");
    assert_eq!(
        off("dangling", ROOT),
        "@/dangling is a link to '/no/such/file', which does not exist"
    );
    assert_eq!(off("folder", ROOT), "@/folder is a directory");
    let refused = off("plain", ROOT);
    let expected = "@/plain is not executable for user 'root' (mode 0644, user '";
    assert!(refused.starts_with(expected), "{refused}");
    // Root may do what no other user may.
    assert_eq!(off("ok", STRANGER), "runs");
    assert_eq!(off("own", ROOT), "runs");
    assert_eq!(off("locked/ok", ROOT), "runs");
    let refused = off("own", STRANGER);
    let expected = format!("@/own is not executable for user {STRANGER} (mode 0700, ");
    assert!(refused.starts_with(&expected), "{refused}");
    let refused = off("locked/ok", STRANGER);
    let expected = format!("user {STRANGER} may not enter '@/locked' (mode 0700, ");
    assert!(refused.starts_with(&expected), "{refused}");
    let device = examine("/dev/null", &Rights::of(Some((0, 0))), Security::Off);
    assert_eq!(
        device,
        Err(Refusal::NoFile(PathBuf::from("/dev/null"), Kind::Other))
    );
}

/// The same tree was put before keepalived 2.2.7, which runs and disables the same scripts.
#[test]
fn security_names_the_component_that_others_can_change() {
    if !nix::unistd::geteuid().is_root() {
        println!("skipped: only root can make files of root");
        return;
    }
    let ground = Ground::new();
    let nobody = Some(Uid::from_raw(65534));
    let daemon = Some(Gid::from_raw(1));
    for (folder, mode) in [("group", 0o775), ("all", 0o777), ("sticky", 0o1777)] {
        ground.folder(folder, mode);
        ground.script(&format!("{folder}/chk"), 0o755);
    }
    nix::unistd::chown(&ground.path("group"), None, daemon).expect("a group");
    symlink(ground.path("group/chk"), ground.path("link")).expect("a link");
    symlink(ground.path("group"), ground.path("short")).expect("a link");
    ground.script("ok", 0o755);
    symlink(ground.path("ok"), ground.path("foreign")).expect("a link");
    std::os::unix::fs::lchown(ground.path("foreign"), nobody.map(Uid::as_raw), None)
        .expect("a link of nobody");
    let on = |name: &str| ground.verdict(name, ROOT, Security::On);
    let name = match Group::from_gid(Gid::from_raw(1)) {
        Ok(Some(group)) => format!("group '{}'", group.name),
        _ => "group 1".to_owned(),
    };
    let group = format!("enable_script_security: '@/group' is writable by {name} (mode 0775)");
    assert_eq!(on("group/chk"), group);
    assert_eq!(on("link"), group);
    assert_eq!(on("short/chk"), group);
    assert_eq!(
        on("all/chk"),
        "enable_script_security: '@/all' is writable by everybody (mode 0777)"
    );
    assert_eq!(on("sticky/chk"), "runs");
    assert_eq!(on("ok"), "runs");
    let foreign = on("foreign");
    assert!(
        foreign.starts_with("enable_script_security: the link '@/foreign' belongs to user "),
        "{foreign}"
    );
    for name in ["group/chk", "all/chk", "foreign"] {
        assert_eq!(ground.verdict(name, ROOT, Security::Off), "runs");
    }
    assert_eq!(ground.verdict("all/chk", STRANGER, Security::On), "runs");
}

#[test]
fn an_account_is_the_scripts_own_or_the_global_one_and_must_exist() {
    let named = |user: &str, group: Option<&str>| (user.to_owned(), group.map(str::to_owned));
    let root = named("root", None);
    assert_eq!(account(Some(&root), None), Ok(Some((0, 0))));
    assert_eq!(account(None, Some(&root)), Ok(Some((0, 0))));
    let unknown = named("no-such-user", None);
    assert_eq!(
        account(Some(&unknown), Some(&root)),
        Err(Refusal::NoAccount(
            "there is no user 'no-such-user'".to_owned()
        ))
    );
    let unknown = named("root", Some("no-such-group"));
    assert_eq!(
        account(None, Some(&unknown)),
        Err(Refusal::NoAccount(
            "there is no group 'no-such-group'".to_owned()
        ))
    );
}

#[test]
fn a_name_without_a_slash_is_searched_in_path() {
    let root = Rights::of(Some((0, 0)));
    assert_eq!(examine("sh", &root, Security::Off), Ok(()));
    assert_eq!(
        examine("no-such-program", &root, Security::Off),
        Err(Refusal::NotInPath("no-such-program".to_owned()))
    );
}
