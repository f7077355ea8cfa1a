//! Virtual routers on links that many a kernel lacks (VLANs, bonds, ipvlan, VRF), beside Debian's keepalived: all inside one
//! virtual machine with Debian's kernel, where nodes are network namespaces as elsewhere.
//!
//! `cargo test -p tandem-vrrp --test kernel -- [NAME…]` boots it and runs the scenarios whose names contain one of the words;
//! with `inside` before the names they run on the kernel of this machine, in namespaces, as root.

mod above;
#[allow(dead_code)]
#[path = "../../examples/vrrp_alone.rs"]
mod alone;
mod archive;
#[allow(dead_code)]
#[path = "../namespaces/lab.rs"]
mod lab;
mod links;
mod machine;
mod way;

use std::process::ExitCode;
use std::time::{Duration, Instant};

/// An election at the start, with preemption of who was first.
const ELECTION: Duration = Duration::from_secs(10);
const SOON: Duration = Duration::from_secs(2);
/// Scenarios that run at once: the virtual machine has two processors, and they mostly wait.
const AT_ONCE: usize = 5;

fn main() -> ExitCode {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let inside = match arguments.first().map(String::as_str) {
        Some("node") => return alone::node(arguments[1..].to_vec()),
        Some("inside") => {
            arguments.remove(0);
            true
        }
        _ => false,
    };
    let words: Vec<_> = arguments
        .iter()
        .filter(|word| !word.starts_with('-'))
        .collect();
    let is_wanted = |(name, _): &&(&str, fn())| {
        words.is_empty() || words.iter().any(|word| name.contains(*word))
    };
    let scenarios: Vec<_> = above::SCENARIOS
        .iter()
        .chain(&links::SCENARIOS)
        .filter(is_wanted)
        .copied()
        .collect();
    if scenarios.is_empty() {
        return ExitCode::SUCCESS;
    }
    if inside {
        let failed = lab::perform(&scenarios, AT_ONCE).len();
        return ExitCode::from(u8::try_from(failed).unwrap_or(u8::MAX));
    }
    match machine::Parts::find() {
        Ok(parts) => {
            let began = Instant::now();
            let passed = parts.run(&arguments);
            println!(
                "the virtual machine was there for {:.1} s",
                began.elapsed().as_secs_f64()
            );
            ExitCode::from(u8::from(!passed))
        }
        Err(missing) => {
            println!("SKIPPED: needs {missing}");
            // Where everything has to run, nothing may be left out.
            ExitCode::from(u8::from(std::env::var_os("CI").is_some()))
        }
    }
}
