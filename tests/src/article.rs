//! The five configurations of the article that the project comes from: our own files in `examples/` with the same settings, and,
//! where they lie beside the project, the article's own, unchanged.

use std::path::Path;
use std::sync::LazyLock;

/// The priority of the second node.
pub const BACKUP_PRIORITY: u8 = 99;
/// The advertisement interval of the files, in seconds.
pub const ADVERT_INT_SECONDS: u64 = 1;

/// A file of `examples/` without comments and alignment, so that tests can replace its lines.
fn plain(text: &str) -> String {
    text.lines()
        .map(|line| line.split('#').next().unwrap_or_default())
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .filter(|line| !line.is_empty())
        .map(|line| line + "\n")
        .collect()
}

/// `haproxy.cfg`: two web servers by name, round robin.
pub fn haproxy() -> &'static str {
    static TEXT: LazyLock<String> =
        LazyLock::new(|| plain(include_str!("../../examples/haproxy.cfg")));
    &TEXT
}

/// `keepalived.conf` of the first node.
pub fn keepalived() -> &'static str {
    static TEXT: LazyLock<String> =
        LazyLock::new(|| plain(include_str!("../../examples/keepalived.conf")));
    &TEXT
}

/// `keepalived.conf` of the second node: another state and priority, and nothing else.
pub fn keepalived_backup() -> String {
    on_the_second_node(keepalived())
}

/// A `keepalived.conf` of the first node as the second one has it.
pub fn on_the_second_node(text: &str) -> String {
    text.replace("state MASTER", "state BACKUP")
        .replace("priority 100", &format!("priority {BACKUP_PRIORITY}"))
}

/// A file of the article itself, to the byte; `None` where it does not lie beside the project.
pub fn original(name: &str) -> Option<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/article");
    std::fs::read_to_string(folder.join(name)).ok()
}

/// The defaults section of a whole file.
pub fn defaults_of(text: &str) -> &str {
    let from = text.find("defaults").unwrap_or(0);
    let to = text.find("frontend").unwrap_or(text.len());
    &text[from..to]
}

/// The global section of `haproxy.cfg`.
pub fn global() -> &'static str {
    &haproxy()[..haproxy().find("defaults").unwrap_or(0)]
}

/// Persistence by source address, in TCP mode.
pub fn l4_persistence() -> String {
    let rest = plain(include_str!("../../examples/l4-persistence.cfg"));
    format!("{}{rest}", global())
}

/// Persistence by cookie.
pub fn l7_cookie() -> String {
    let rest = plain(include_str!("../../examples/l7-cookie.cfg"));
    format!("{}{rest}", global())
}

/// TLS offload, redirect, routing by path and by host.
pub fn ssl_path_host() -> String {
    plain(include_str!("../../examples/ssl-path-host.cfg"))
}

/// A configuration from its later sections: the global and defaults sections before `rest`.
pub fn with_defaults(rest: &str) -> String {
    format!("{}{}{rest}", global(), defaults_of(haproxy()))
}
