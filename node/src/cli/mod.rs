//! The command line: `thalweg` alone is `thalweg serve`.
//!
//! Exit codes: 0 done; 1 failed; 2 usage; 3 configuration invalid; 4 machine unfit; 5 cluster not
//! reached; 6 partly done; 130 interrupted. Errors are three lines: what failed, the likely cause,
//! the fix.

mod config;
mod format;
mod serve;
mod settings;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// A storage node for event streams that speaks Apache Kafka's protocol.
#[derive(Parser)]
#[command(name = "thalweg", version)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Start the node (also what `thalweg` alone does).
    Serve(serve::Serve),
    /// Prepare an empty data directory.
    Format(format::Format),
    /// Look at settings without starting.
    #[command(subcommand)]
    Config(config::Config),
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0
    Done,
    /// 1
    Failed,
    /// 3
    Config,
    /// 4
    Machine,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Config => 3,
            Exit::Machine => 4,
        })
    }
}

/// Runs the command that the process was started with.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let exit = match arguments
        .command
        .unwrap_or(Command::Serve(serve::Serve::default()))
    {
        Command::Serve(serve) => serve.run(),
        Command::Format(format) => format.run(),
        Command::Config(config) => config.run(),
    };
    exit.into()
}

/// Prints what failed, why and what to do.
fn complain(what: &str, cause: &str, fix: &str) {
    eprintln!("error: {what}\n  cause: {cause}\n  fix:   {fix}");
}
