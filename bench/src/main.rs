//! `tandem-bench`: tandemd beside haproxy and nginx, in alternation, on one core.
//!
//! This file reads the command line. What is measured stands in `rows`, what the contenders are told in
//! `setup`, how they are started in `contender`, how a row is walked in `run`, one window of it in `measure`, and
//! what is said about it in `report`. `origin`, `handshake` and `hold` are programs of their own, started from the
//! same binary.

mod congestion;
mod contender;
mod handshake;
mod hold;
mod lists;
mod load;
mod measure;
mod origin;
mod process;
mod report;
mod rows;
mod run;
mod setup;
mod show_stat;
mod sink;
mod statistics;
mod table;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use contender::{Contender, Kind};
use run::Plan;

const HELP: &str = "\
tandem-bench: what work costs tandemd, haproxy and nginx, in alternation, on one core

usage: tandem-bench [OPTIONS]

  --tandemd PATH           the tandemd to measure (default: beside this program)
  --haproxy PATH           one more haproxy, beside the reference; repeatable. The reference is Debian's, or
                           what HAPROXY=PATH in the environment names
  --contender NAME=KIND:PATH
                           one more contender; KIND is tandemd, haproxy or nginx; repeatable
  --without A,B            contenders to leave out, by name
  --rows A,B*              rows to measure (default: all; --list names them; * stands for any ending)
  --list                   name the rows with bars and units, and end
  --rounds N               rounds of a row (default 5)
  --window SECONDS         measured window (default 2)
  --warm-up SECONDS        warm-up of each contender before a row (default 1)
  --quick                  3 rounds with windows of 1 second
  --proxy-core N           core of the contenders (default 0)
  --load-core N            core of load generator, origin and log sink (default 1)
  --json FILE              write everything that was measured to FILE
  --congestion NAME        TCP's congestion control, in a network namespace of the run's own (root; default: the system's)
  --keep                   keep the temporary folder with configurations and output
  --check                  exit with 1 if a bar is missed, or could not be measured
  --help                   this text

Not for direct use: tandem-bench origin, tandem-bench handshake ADDRESS SECONDS CERTIFICATE full|resumed,
tandem-bench hold ADDRESS COUNT CERTIFICATE|- h1|h2
";

/// What the command line asks for.
struct Options {
    tandemd: Option<PathBuf>,
    more: Vec<Contender>,
    without: Vec<String>,
    plan: Plan,
    json: Option<PathBuf>,
    congestion: Option<String>,
    check: bool,
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let outcome = match arguments.next().as_deref() {
        Some("origin") => origin::serve_until_killed(),
        Some("handshake") => handshake::command(arguments.collect()),
        Some("hold") => hold::command(arguments.collect()),
        Some("--list") => {
            rows::print_list();
            Ok(())
        }
        _ => match options() {
            Ok(None) => {
                print!("{HELP}");
                Ok(())
            }
            Ok(Some(options)) => return measure(options),
            Err(error) => {
                eprintln!("tandem-bench: {error}; see --help");
                return ExitCode::from(2);
            }
        },
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tandem-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(options: Options) -> ExitCode {
    if let Some(name) = &options.congestion
        && let Err(error) = congestion::use_in_own_namespace(name)
    {
        eprintln!("tandem-bench: {error}");
        return ExitCode::FAILURE;
    }
    let own = std::env::current_exe().ok();
    let tandemd = options
        .tandemd
        .or_else(|| Some(own?.with_file_name("tandemd")));
    let haproxy = std::env::var_os("HAPROXY")
        .filter(|path| !path.is_empty())
        .map_or_else(|| PathBuf::from("/usr/sbin/haproxy"), PathBuf::from);
    let mut contenders = vec![
        Contender::new("haproxy", Kind::Haproxy, haproxy),
        Contender::new("nginx", Kind::Nginx, "/usr/sbin/nginx"),
    ];
    if let Some(path) = tandemd {
        contenders.insert(0, Contender::new("tandemd", Kind::Tandemd, path));
    }
    contenders.extend(options.more);
    contenders.retain(|contender| !options.without.contains(&contender.name));

    match run::run(&options.plan, contenders) {
        Ok(results) => {
            print!("{}", report::text(&results));
            if let Some(file) = &options.json
                && let Err(error) = std::fs::write(file, report::json(&results))
            {
                eprintln!("tandem-bench: {}: {error}", file.display());
                return ExitCode::FAILURE;
            }
            if options.check && !report::bars_hold(&results) {
                return ExitCode::FAILURE;
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("tandem-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The command line; `None` asks for the help text.
fn options() -> Result<Option<Options>, String> {
    use lexopt::{Arg::Long, ValueExt};

    let mut options = Options {
        tandemd: None,
        more: Vec::new(),
        without: Vec::new(),
        plan: Plan::default(),
        json: None,
        congestion: None,
        check: false,
    };
    let plan = &mut options.plan;
    let mut parser = lexopt::Parser::from_env();
    let fail = |error: lexopt::Error| error.to_string();
    while let Some(argument) = parser.next().map_err(fail)? {
        let name = match argument {
            Long(name) => name.to_owned(),
            lexopt::Arg::Short('h') => "help".to_owned(),
            other => return Err(other.unexpected().to_string()),
        };
        let mut text = || {
            parser
                .value()
                .and_then(|value| value.string())
                .map_err(fail)
        };
        match name.as_str() {
            "tandemd" => options.tandemd = Some(text()?.into()),
            "haproxy" => {
                let path = PathBuf::from(text()?);
                options.more.push(Contender::named_by_version(path)?);
            }
            "contender" => options.more.push(Contender::parse(&text()?)?),
            "without" => options.without.extend(list(&text()?)),
            "rows" => plan.rows = rows::select(&list(&text()?))?,
            "rounds" => plan.rounds = number(&text()?, 1..=100)? as usize,
            "window" => plan.window = seconds(&text()?)?,
            "warm-up" => plan.warm_up = seconds(&text()?)?,
            "quick" => {
                plan.rounds = 3;
                plan.window = Duration::from_secs(1);
            }
            "proxy-core" => plan.proxy_core = number(&text()?, 0..=1023)? as usize,
            "load-core" => plan.load_core = number(&text()?, 0..=1023)? as usize,
            "json" => options.json = Some(text()?.into()),
            "congestion" => options.congestion = Some(text()?),
            "keep" => plan.keep = true,
            "check" => options.check = true,
            "help" => return Ok(None),
            _ => return Err(format!("unknown option '--{name}'")),
        }
    }
    Ok(Some(options))
}

fn list(text: &str) -> Vec<String> {
    text.split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(String::from)
        .collect()
}

fn number(text: &str, range: std::ops::RangeInclusive<u64>) -> Result<u64, String> {
    match text.parse() {
        Ok(value) if range.contains(&value) => Ok(value),
        _ => Err(format!(
            "'{text}': wanted a number from {} to {}",
            range.start(),
            range.end()
        )),
    }
}

/// Whole seconds: wrk knows no shorter ones.
fn seconds(text: &str) -> Result<Duration, String> {
    number(text, 1..=600).map(Duration::from_secs)
}
