//! `docs/control-socket.md` lists the rows of the command table. `TANDEM_WRITE_DOCS=1` writes them anew.

use std::path::Path;

use super::{COMMANDS, is_shown, level_name};

const BEGIN: &str = "<!-- commands: begin -->\n";
const END: &str = "<!-- commands: end -->";

fn rows() -> String {
    let mut out = "\n| command | level | what it does |\n|---|---|---|\n".to_owned();
    for command in COMMANDS.iter().filter(|command| is_shown(command)) {
        let usage = [command.words, command.arguments]
            .join(" ")
            .trim_end()
            .replace('|', "\\|");
        out.push_str(&format!(
            "| `{usage}` | {} | {} |\n",
            level_name(command.level),
            command.help
        ));
    }
    let later: Vec<String> = COMMANDS
        .iter()
        .filter(|command| !is_shown(command))
        .map(|command| format!("`{}`", command.words))
        .collect();
    out.push_str(&format!(
        "\nKnown, but answered with `'…' is not supported yet.`: {}\n\n",
        later.join(" ")
    ));
    out
}

#[test]
fn the_manual_lists_the_commands_of_the_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/control-socket.md");
    let text = std::fs::read_to_string(&path).expect("the manual");
    let (head, rest) = text.split_once(BEGIN).expect("where the commands begin");
    let (found, tail) = rest.split_once(END).expect("where the commands end");
    let expected = rows();
    if std::env::var_os("TANDEM_WRITE_DOCS").is_some() {
        std::fs::write(&path, format!("{head}{BEGIN}{expected}{END}{tail}")).expect("written");
        return;
    }
    assert!(
        found == expected,
        "run this test with TANDEM_WRITE_DOCS=1 and commit docs/control-socket.md"
    );
}
