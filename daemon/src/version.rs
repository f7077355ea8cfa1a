//! Names and numbers that the program tells about itself.

/// Our own version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The HAProxy whose configuration language and commands we speak; tools compare it (`^\d+\.\d+`).
pub use config::haproxy::COMPATIBLE_VERSION as HAPROXY_VERSION;
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
        text.push_str(
            "Build options :\n  TARGET  = linux-glibc\n\
             \nFeature list : +EPOLL -KQUEUE +NETFILTER -PCRE +POLL +THREAD +BACKTRACE -STATIC_PCRE +TPROXY +LINUX_TPROXY \
             +LINUX_SPLICE -LIBCRYPT +CRYPT_H -ENGINE +GETADDRINFO +OPENSSL -LUA +ACCEPT4 -CLOSEFROM -ZLIB -SLZ +CPU_AFFINITY \
             +TFO +NS +DL +RT -DEVICEATLAS -51DEGREES -WURFL +SYSTEMD -OBSOLETE_LINKER +PRCTL -PROCCTL -THREAD_DUMP -EVPORTS \
             -OT -QUIC -PROMEX -MEMORY_PROFILING\n\
             \nDefault settings :\n  bufsize = 16384, maxrewrite = 1024, maxpollevents = 1024\n\
             \nAvailable polling systems :\n      epoll : pref=300,  test result OK\nTotal: 1 (1 usable), will use epoll.\n\
             \nAvailable multiplexer protocols :\n         h1 : mode=HTTP  side=FE|BE  mux=H1\n  <default> : mode=TCP   side=FE|BE  mux=PASS\n\
             \nAvailable services : none\n\nAvailable filters : none\n",
        );
    }
    text
}
