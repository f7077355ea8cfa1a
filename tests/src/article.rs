//! The five configurations of the article that the project comes from, as its readers would write them.

/// `haproxy.cfg`: two web servers by name, round robin.
pub const HAPROXY: &str = include_str!("article/haproxy.cfg");
/// `keepalived.conf` of the first node.
pub const KEEPALIVED: &str = include_str!("article/keepalived.conf");
/// Persistence by source address, in TCP mode; needs the defaults section.
const L4_PERSISTENCE: &str = include_str!("article/l4-persistence.cfg");
/// Persistence by cookie; needs the defaults section.
const L7_COOKIE: &str = include_str!("article/l7-cookie.cfg");
/// TLS offload, redirect, routing by path and by host; needs the defaults section.
const SSL_PATH_HOST: &str = include_str!("article/ssl-path-host.cfg");

/// The priority of the second node.
pub const BACKUP_PRIORITY: u8 = 99;
/// The advertisement interval of the files, in seconds.
pub const ADVERT_INT_SECONDS: u64 = 1;

/// `keepalived.conf` of the second node: another state and priority, and nothing else.
pub fn keepalived_backup() -> String {
    KEEPALIVED
        .replace("state MASTER", "state BACKUP")
        .replace("priority 100", &format!("priority {BACKUP_PRIORITY}"))
}

/// The defaults section of `haproxy.cfg`.
fn defaults() -> &'static str {
    let from = HAPROXY.find("defaults").unwrap_or(0);
    let to = HAPROXY.find("frontend").unwrap_or(HAPROXY.len());
    &HAPROXY[from..to]
}

/// The global section of `haproxy.cfg` with a stats socket.
pub fn global() -> &'static str {
    &HAPROXY[..HAPROXY.find("defaults").unwrap_or(0)]
}

/// Persistence by source address, complete.
pub fn l4_persistence() -> String {
    format!("{}{}{L4_PERSISTENCE}", global(), defaults())
}

/// Persistence by cookie, complete.
pub fn l7_cookie() -> String {
    format!("{}{}{L7_COOKIE}", global(), defaults())
}

/// TLS, redirect and routing, complete. The file brings its own global section, which merges with the first.
pub fn ssl_path_host() -> String {
    format!("{}{SSL_PATH_HOST}", defaults())
}

/// A configuration from its later sections: the article's global and defaults before `rest`.
pub fn with_defaults(rest: &str) -> String {
    format!("{}{}{rest}", global(), defaults())
}
