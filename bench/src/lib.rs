//! A load generator for any Kafka-compatible server: black box, over the wire.
//!
//! ```text
//! settings -> load (pace -> produce | consume | e2e) -> client -> socket
//!                          |
//!                          v
//!                       report (text, JSON)
//! ```
//!
//! Open loop: at a rate, latency counts from the time a record was *meant* to be sent, so a stalled
//! server cannot hide behind a stalled generator; how late the generator itself was is told apart.
//! At `--rate max` there is no such time and latency counts from the moment of sending; reports say
//! which it was. Consumers verify checksums, offsets and, end to end, each record's sequence.
//!
//! Plain threads with blocking sockets, two for a producer and one for a consumer. Deliberately
//! absent: consumer groups, transactions, retries (an error is counted, never smoothed over),
//! and any knowledge of the server's insides: its durability is what the caller says it is.

pub mod settings;
pub mod load;
pub mod client;
pub mod report;
pub mod error;

use std::process::ExitCode;

pub use error::BenchError;
pub use report::Report;
pub use settings::{Format, Settings};

/// The sub-command `thalweg bench`: its arguments in, report on standard output, exit code.
///
/// 0 done, 1 failed, 2 usage, 6 done with errors answered by the server.
#[must_use]
pub fn main(arguments: &[String]) -> ExitCode {
    if arguments
        .iter()
        .any(|word| word == "--help" || word == "-h")
        || arguments.is_empty()
    {
        eprint!("{}", settings::HELP);
        return ExitCode::SUCCESS;
    }
    let settings = match Settings::parse(arguments) {
        Ok(settings) => settings,
        Err(error) => {
            eprintln!("{error}\n\n{}", settings::HELP);
            return ExitCode::from(2);
        }
    };
    match load::run(&settings) {
        Ok(report) => print(&report, settings.format),
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stdout, reason = "the report is the command's output")]
fn print(report: &Report, format: Format) -> ExitCode {
    match format {
        Format::Text => print!("{}", report.text()),
        Format::Json => println!("{}", report.json()),
    }
    if report.errors == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(6)
    }
}
