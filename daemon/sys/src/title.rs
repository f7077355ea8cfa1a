//! The name of a process in `ps -o comm` and `top`.

/// Longest name in bytes (prctl(2), PR_SET_NAME).
pub const MAX_NAME_BYTES: usize = 15;

/// Names this process; without it, a re-executed program is called `exe`.
pub fn set_name(name: &str) {
    let cut: String = name
        .chars()
        .filter(|character| character.is_ascii_graphic())
        .take(MAX_NAME_BYTES)
        .collect();
    if let Ok(name) = std::ffi::CString::new(cut) {
        // A process without a name of its own works as well.
        let _ = nix::sys::prctl::set_name(&name);
    }
}
