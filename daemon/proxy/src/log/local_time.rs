//! The local time zone. Read once, before the chroot takes `/etc/localtime` away.

/// Seconds to add to UTC at a moment.
pub fn offset_seconds(_at: i64) -> i64 {
    0
}
