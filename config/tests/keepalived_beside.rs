//! Definitions, conditions, sequences and lists read as the installed keepalived reads them: a word that is no keyword is
//! named by both, after all substitution.

use std::process::Command;

use tandem_config::{DiagnosticKind, Input, load};

/// One text each; `k…` is no keyword of anybody.
const TEXTS: [&str; 22] = [
    "~SEQ(X, 1, 2, 7) k${X}e",
    "~SEQ(Y, 3) k${Y}",
    "~SEQ(Y, -3) k${Y}",
    "~SEQ(W,5,3) k$W",
    "~SEQ(W,5,-2,0) k${W}",
    "~SEQ(W,5,-2,10) k${W}\nkept",
    "~SEQ(X,0) k${X}",
    "~SEQ(Z,0x10,0x12) k${Z}",
    "~SEQx(Z, 0x9, 1, 0x0b) k${Z}",
    "~SEQx(X,-2,1) k${X}\nkept",
    "  ~SEQ (X,1,2)k${X}",
    "~SEQ(X,1,2,3,4) k${X}\n~SEQ(X) k${X}\n~SEQ() k\n~SEQ(X,1,2 k${X}\nkept",
    "$N=3\n~SEQ(X,1,${N}) k${X}",
    "~SEQ(A,1,2) ~SEQ(B,1,${A}) k${A}${B}",
    "$S=~SEQ(Q,1,2) k${Q}\n$S",
    "$X=9\n~SEQ(X,5,6) k${X}\nl${X}",
    "~SEQ(N,1,2) $Z=${N}\nk${Z}",
    "~LST(R, 1, 2,3) k${R}",
    "~SEQ(N,1,2) @no_such_node k${N}\n@^no_such_node ~SEQ(M,1,2) l${M}",
    "$M= \\\naa${N} \\\nbb${N}\n~SEQ(N,1,2) $M",
    "$A=10.${B}\n$B=0\nk${A}.1\n$B=7\nk${A}.1",
    "$E=\nk${E}x\n$G=a b\nk${G}\nk$_INSTANCE_NOT",
];

fn ours(text: &str) -> Vec<String> {
    let loaded = load(&[Input::text("k.conf", text)], &|_| None);
    let complaints = loaded.diagnostics.0.iter();
    complaints
        .filter(|one| one.kind == DiagnosticKind::UnknownWord)
        .filter_map(|one| one.message.split('\'').nth(1).map(str::to_owned))
        .collect()
}

/// None if keepalived is not installed.
fn theirs(text: &str) -> Option<Vec<String>> {
    let folder = tempfile::tempdir().ok()?;
    let path = folder.path().join("k.conf");
    // It reads no line without its end.
    std::fs::write(&path, format!("{text}\n")).ok()?;
    let output = Command::new("keepalived")
        .args(["-t", "-l", "-n", "-f"])
        .arg(&path)
        .output()
        .ok()?;
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    // It reads the file once for each of its processes; the first time it does not name the file.
    let words = said
        .lines()
        .filter(|line| line.starts_with("(Line ") && line.contains("Unknown keyword"))
        .filter_map(|line| line.split('\'').nth(1).map(str::to_owned));
    Some(words.collect())
}

#[test]
fn what_lines_become_is_what_keepalived_makes_of_them() {
    for text in TEXTS {
        let Some(expected) = theirs(text) else {
            println!("SKIPPED: keepalived is not installed");
            return;
        };
        assert!(!expected.is_empty(), "keepalived names nothing: {text}");
        assert_eq!(ours(text), expected, "{text}");
    }
}
