//! Reads configuration files and says what is wrong with them: `cargo run --example check -- FILE…`.

fn main() -> std::process::ExitCode {
    let mut show = false;
    let inputs: Vec<_> = std::env::args()
        .skip(1)
        .filter(|argument| {
            show |= argument == "--model";
            argument != "--model"
        })
        .map(tandem_config::Input::path)
        .collect();
    let loaded = tandem_config::load(&inputs, &|name| std::env::var(name).ok());
    eprint!(
        "{}",
        loaded
            .diagnostics
            .render_from(&loaded.sources, tandem_config::Severity::Notice)
    );
    if show {
        println!("{:#?}\n{:#?}", loaded.haproxy, loaded.keepalived);
    }
    u8::from(loaded.diagnostics.has_errors()).into()
}
