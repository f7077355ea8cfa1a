//! Text in the language of haproxy: whatever it says, it is read or complained about with a place.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    // Files that the text names are not this target's matter.
    if text.contains("include") || text.contains("/dev") || text.contains("/proc") {
        return;
    }
    let input = [config::Input::text("fuzz.cfg", text)];
    let loaded = config::load_as(&input, &|_| None, "fuzz");
    let _ = loaded.diagnostics.render(&loaded.sources);
});
