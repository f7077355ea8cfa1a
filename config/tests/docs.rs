//! `docs/configuration.md` lists the words of the parsers' tables. `TANDEM_WRITE_DOCS=1` writes them anew.

use std::path::Path;

use tandem_config::{haproxy, keepalived};

const BEGIN: &str = "<!-- words: begin -->\n";
const END: &str = "<!-- words: end -->";

fn list(out: &mut String, title: &str, words: &[impl AsRef<str>]) {
    if words.is_empty() {
        return;
    }
    let words: Vec<String> = words
        .iter()
        .map(|word| format!("`{}`", word.as_ref()))
        .collect();
    out.push_str(&format!("- {title}: {}\n", words.join(" ")));
}

fn words() -> String {
    let mut out = String::new();
    for lists in haproxy::keyword_lists() {
        out.push_str(&format!("\n### HAProxy: {}\n\n", lists.title));
        list(&mut out, "done", &lists.read);
        list(&mut out, "accepted without effect", &lists.accepted);
        list(&mut out, "not supported yet", &lists.not_yet);
    }
    out.push_str("\n### HAProxy: sections\n\n");
    list(
        &mut out,
        "done",
        &[
            "backend", "defaults", "frontend", "global", "listen", "userlist",
        ],
    );
    list(
        &mut out,
        "not supported yet",
        haproxy::sections_not_supported_yet(),
    );
    for lists in keepalived::keyword_lists() {
        out.push_str(&format!("\n### keepalived: {}\n\n", lists.title));
        list(&mut out, "done", &lists.read);
        list(&mut out, "ignored with a warning", &lists.ignored);
        list(&mut out, "refused: not supported yet", &lists.refused);
    }
    out.push('\n');
    out
}

#[test]
fn the_manual_lists_the_words_of_the_tables() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/configuration.md");
    let text = std::fs::read_to_string(&path).expect("the manual");
    let (head, rest) = text.split_once(BEGIN).expect("where the lists begin");
    let (found, tail) = rest.split_once(END).expect("where the lists end");
    let expected = words();
    if std::env::var_os("TANDEM_WRITE_DOCS").is_some() {
        std::fs::write(&path, format!("{head}{BEGIN}{expected}{END}{tail}")).expect("written");
        return;
    }
    assert!(
        found == expected,
        "run this test with TANDEM_WRITE_DOCS=1 and commit docs/configuration.md"
    );
}

#[test]
fn the_tables_are_sorted() {
    let sorted = |title: &str, words: Vec<String>| {
        let mut expected = words.clone();
        expected.sort();
        expected.dedup();
        assert_eq!(words, expected, "{title}");
    };
    for lists in haproxy::keyword_lists() {
        sorted(&lists.title, lists.read);
        sorted(&lists.title, lists.accepted);
        sorted(&lists.title, lists.not_yet);
    }
    for lists in keepalived::keyword_lists() {
        for words in [lists.read, lists.ignored, lists.refused] {
            sorted(&lists.title, words.into_iter().map(str::to_owned).collect());
        }
    }
}
