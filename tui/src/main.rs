//! The program `tandem`: reads its command line and runs the dashboard or one command.

use std::process::ExitCode;

use clap::Parser as _;
use tandem_client::{cli, commands};

fn main() -> ExitCode {
    let arguments = cli::Arguments::parse();
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("tandem: cannot start: {error}");
            return ExitCode::from(1);
        }
    };
    let code = runtime.block_on(commands::run(arguments));
    // A dashboard's terminal reader may still block in its own thread; nothing waits for it.
    runtime.shutdown_background();
    ExitCode::from(code)
}
