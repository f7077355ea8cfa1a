//! Names and numbers that the program tells about itself.

/// Our own version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The HAProxy whose configuration language and commands we speak; tools compare it (`^\d+\.\d+`).
pub use config::haproxy::COMPATIBLE_VERSION as HAPROXY_VERSION;
/// The features that HAProxy 2.6 lists, in its order; those of [`config::haproxy::FEATURES`] are here too.
const FEATURE_NAMES: &[&str] = &[
    "EPOLL",
    "KQUEUE",
    "NETFILTER",
    "PCRE",
    "PCRE_JIT",
    "PCRE2",
    "PCRE2_JIT",
    "POLL",
    "THREAD",
    "BACKTRACE",
    "STATIC_PCRE",
    "STATIC_PCRE2",
    "TPROXY",
    "LINUX_TPROXY",
    "LINUX_SPLICE",
    "LIBCRYPT",
    "CRYPT_H",
    "ENGINE",
    "GETADDRINFO",
    "OPENSSL",
    "LUA",
    "ACCEPT4",
    "CLOSEFROM",
    "ZLIB",
    "SLZ",
    "CPU_AFFINITY",
    "TFO",
    "NS",
    "DL",
    "RT",
    "DEVICEATLAS",
    "51DEGREES",
    "WURFL",
    "SYSTEMD",
    "OBSOLETE_LINKER",
    "PRCTL",
    "PROCCTL",
    "THREAD_DUMP",
    "EVPORTS",
    "OT",
    "QUIC",
    "PROMEX",
    "MEMORY_PROFILING",
];
/// `Release_date` of `show info`.
pub const RELEASE_DATE: &str = "2026/11/23";

/// `Version` of `show info` and `show version`: the spoken HAProxy first, for tools compare it, then ourselves.
pub fn compatible_version() -> String {
    format!("{HAPROXY_VERSION}-tandem{VERSION}")
}

/// Text of `-v`, and with `details` of `-vv`.
pub fn text(details: bool) -> String {
    let mut text = format!(
        "Tandem version {VERSION} {RELEASE_DATE}\nHAProxy version {} {RELEASE_DATE} (compatible)\n",
        compatible_version()
    );
    if details {
        text.push_str("Build options :\n  TARGET  = linux-glibc\n");
        let features: Vec<String> = FEATURE_NAMES
            .iter()
            .map(|name| match config::haproxy::FEATURES.contains(name) {
                true => format!("+{name}"),
                false => format!("-{name}"),
            })
            .collect();
        text.push_str(&format!("\nFeature list : {}\n", features.join(" ")));
        // Ours are told apart: HAProxy has no such names.
        let sign = if cfg!(feature = "dbus") { '+' } else { '-' };
        text.push_str(&format!("Tandem features : {sign}DBUS\n"));
        text.push_str(
            "\
             \nDefault settings :\n  bufsize = 16384, maxrewrite = 1024, maxpollevents = 1024\n\
             \nAvailable polling systems :\n      epoll : pref=300,  test result OK\nTotal: 1 (1 usable), will use epoll.\n\
             \nAvailable multiplexer protocols :\n         h1 : mode=HTTP  side=FE|BE  mux=H1\n  <default> : mode=TCP   side=FE|BE  mux=PASS\n\
             \nAvailable services : none\n\nAvailable filters : none\n",
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_listed_features_are_those_that_conditions_know() {
        let text = text(true);
        let list = text
            .lines()
            .find_map(|line| line.strip_prefix("Feature list : "))
            .expect("the list");
        let mut count = 0;
        for word in list.split(' ') {
            let (sign, name) = word.split_at(1);
            let known = config::haproxy::evaluate_condition(&format!("feature({name})"));
            assert_eq!(known.ok(), Some(sign == "+"), "{word}");
            count += usize::from(sign == "+");
        }
        assert_eq!(count, config::haproxy::FEATURES.len());
        assert!(text.starts_with("Tandem version "));
        assert!(
            text.lines()
                .nth(1)
                .is_some_and(|line| line.starts_with("HAProxy version 2."))
        );
    }
}
