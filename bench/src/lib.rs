//! A load generator for any Kafka-compatible server: black box, over the wire.
//!
//! ```text
//! settings -> load (workload -> producers, consumers on event loops) -> client -> socket
//!                          |
//!                          v
//!                       report (text, JSON, .hgrm, HTML) -> compare
//! sink: a server that only acknowledges, to measure the generator itself
//! ```
//!
//! Open loop: at a rate, latency counts from the time a record was *meant* to be sent, so a stalled
//! server cannot hide behind a stalled generator; how late the generator itself was is told apart.
//! At `--rate max` there is no such time and latency counts from the moment of sending; reports say
//! which it was. Consumers verify checksums, offsets and each record's sequence.
//!
//! Threads are event loops with non-blocking sockets, one for all producers and one for all
//! consumers unless told otherwise: against a sink one of them sends more than a core of any server
//! takes, and hundreds of clients cost no more threads than one.
//!
//! Deliberately absent: transactions, retries (an error is counted, never smoothed over; but for the
//! failover load, which is about them), commits of offsets, and any knowledge of the server's insides: its
//! durability is what the caller says it is.

pub mod settings;
pub mod load;
pub mod client;
pub mod report;
pub mod compare;
pub mod sink;
pub mod error;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

pub use error::BenchError;
pub use report::Report;
pub use settings::{Format, Settings};

use error::io;
use settings::parse::usage;
use sink::{Delay, Sink, SinkConfig};

/// Done, but the server answered with errors.
const PARTLY_DONE: u8 = 6;
const USAGE: u8 = 2;

/// The sub-command `thalweg bench`: its arguments in, report on standard output, exit code.
///
/// 0 done, 1 failed, 2 usage, 6 done with errors answered by the server.
#[must_use]
pub fn main(arguments: &[String]) -> ExitCode {
    let asks = |word: &String| word == "--help" || word == "-h";
    if arguments.iter().any(asks) || arguments.is_empty() {
        print(settings::HELP);
        return ExitCode::SUCCESS;
    }
    let done = match arguments.split_first() {
        Some((word, rest)) if word == "compare" => compare(rest),
        Some((word, rest)) if word == "report" => rewrite(rest),
        Some((word, rest)) if word == "sink" => serve(rest),
        _ => run(arguments),
    };
    match done {
        Ok(code) => code,
        Err(BenchError::Usage(what)) => {
            eprintln!("bench: {what}\n`thalweg bench --help` names all options");
            ExitCode::from(USAGE)
        }
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<ExitCode, BenchError> {
    let settings = Settings::parse(arguments)?;
    let report = load::run(&settings)?;
    let output = &settings.output;
    write(output.json.as_deref(), &report.json())?;
    write(output.hgrm.as_deref(), &report.hgrm())?;
    write(output.html.as_deref(), &report.html())?;
    match output.format {
        Format::Text => print(&report.text()),
        Format::Json => print(&format!("{}\n", report.json())),
    }
    Ok(match report.errors {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::from(PARTLY_DONE),
    })
}

/// `compare A.json B.json [--format json]`
fn compare(arguments: &[String]) -> Result<ExitCode, BenchError> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (a, b, json) = match words.as_slice() {
        [a, b] | [a, b, "--format", "text"] => (a, b, false),
        [a, b, "--format", "json"] => (a, b, true),
        _ => return usage("compare needs two files of reports".to_owned()),
    };
    let (a, b) = (compare::read(Path::new(a))?, compare::read(Path::new(b))?);
    let found = compare::compare(&a, &b)?;
    match json {
        true => print(&format!("{}\n", found.json())),
        false => print(&found.text()),
    }
    Ok(ExitCode::SUCCESS)
}

/// `report RUN.json [--html FILE] [--hgrm FILE]`
fn rewrite(arguments: &[String]) -> Result<ExitCode, BenchError> {
    let Some((file, options)) = arguments.split_first() else {
        return usage("report needs a file".to_owned());
    };
    let reports = compare::read(Path::new(file))?;
    let [report] = reports.as_slice() else {
        return usage(format!("{file} holds {} reports, not one", reports.len()));
    };
    for pair in options.chunks(2) {
        match pair {
            [option, path] if option == "--html" => write(Some(path.as_ref()), &report.html())?,
            [option, path] if option == "--hgrm" => write(Some(path.as_ref()), &report.hgrm())?,
            _ => return usage(format!("`{}` is no option of report", pair.join(" "))),
        }
    }
    print(&report.text());
    Ok(ExitCode::SUCCESS)
}

/// `sink [-b HOST:PORT] [--delay KIND]`: until the process is ended.
fn serve(arguments: &[String]) -> Result<ExitCode, BenchError> {
    let mut config = SinkConfig::new();
    for pair in arguments.chunks(2) {
        match pair {
            [option, value] if option == "-b" || option == "--brokers" => {
                value.clone_into(&mut config.listen);
            }
            [option, value] if option == "--delay" => config.delay = Delay::parse(value)?,
            _ => return usage(format!("`{}` is no option of sink", pair.join(" "))),
        }
    }
    config.clock.start();
    let sink = Sink::start(config)?;
    print(&format!("ready on {}\n", sink.address()));
    sink.serve();
    Ok(ExitCode::SUCCESS)
}

fn write(path: Option<&Path>, text: &str) -> Result<(), BenchError> {
    match path {
        Some(path) => fs::write(PathBuf::from(path), text).map_err(io("writing a report")),
        None => Ok(()),
    }
}

#[expect(clippy::print_stdout, reason = "the report is the command's output")]
fn print(text: &str) {
    print!("{text}");
}
