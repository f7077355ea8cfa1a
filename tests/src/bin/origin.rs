//! `tandem-origin [ADDRESS:PORT [BODY_BYTES]]`: a minimal, fast web server that gives every request the same answer.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:0".into());
    let body_bytes = arguments.next().map_or(Ok(64), |text| text.parse());
    let (Ok(address), Ok(body_bytes)) = (address.parse(), body_bytes) else {
        eprintln!("usage: tandem-origin [ADDRESS:PORT [BODY_BYTES]]");
        return ExitCode::from(2);
    };
    match tandem_tests::origin::serve_fixed(address, body_bytes) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tandem-origin: {error}");
            ExitCode::FAILURE
        }
    }
}
