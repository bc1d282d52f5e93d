//! The command line: `thalweg` alone is `thalweg serve`.
//!
//! Exit codes: 0 done; 1 failed; 2 usage; 3 configuration invalid; 4 machine unfit; 5 cluster not
//! reached; 6 partly done; 130 interrupted. Errors are three lines: what failed, the likely cause,
//! the fix.

mod serve;
mod format;
mod config;
mod topic;
mod produce;
mod consume;
mod group;
mod quota;
mod txn;
mod cluster;
mod log;
mod doctor;
mod shell;
mod version;
mod explain;
pub mod bench;
mod settings;
mod acted_on;
mod configs;
mod offsets;
mod committed;
mod records;
mod template;
mod encoding;
mod progress;
mod routing;
pub mod client;
mod time;
mod outcome;
pub mod output;
pub mod failure;
mod advice;

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
    /// Look at settings without starting, and at configs of a running cluster.
    #[command(subcommand)]
    Config(config::Config),
    /// Create, list, describe, alter, trim and delete topics.
    Topic(topic::TopicArgs),
    /// Write records to a topic.
    Produce(produce::ProduceArgs),
    /// Read records of topics.
    Consume(consume::ConsumeArgs),
    /// List, describe, reset and delete consumer groups.
    Group(group::GroupArgs),
    /// Show, set and take away client quotas.
    Quota(quota::QuotaArgs),
    /// Look at transactions, and end those that hang.
    Txn(txn::TxnArgs),
    /// Say how a cluster is; list brokers, features, calls.
    Cluster(cluster::ClusterArgs),
    /// Look at segments, indexes and journals on disk; needs no server.
    Log(log::LogArgs),
    /// Check whether this machine is fit for a node.
    Doctor(doctor::Doctor),
    /// Print a completion script for a shell.
    Completion(shell::Completion),
    /// Say which program this is, and what the kernel beneath it is
    Version(version::Version),
    /// Explain an error code: this program's (T0501), or Kafka's by name or number
    Explain(explain::Explain),
    /// Print the manual page of a command, or write all pages.
    Man(shell::Man),
    /// Load a Kafka-compatible server and measure.
    Bench(bench::BenchArgs),
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
    /// 5
    Unreachable,
    /// 6
    Partly,
    /// 130
    Interrupted,
}

impl Exit {
    /// What the parts of a command come to: `done` of `asked` went well.
    #[must_use]
    pub fn of(done: usize, asked: usize) -> Self {
        match done {
            _ if done == asked => Self::Done,
            0 => Self::Failed,
            _ => Self::Partly,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Config => 3,
            Exit::Machine => 4,
            Exit::Unreachable => 5,
            Exit::Partly => 6,
            Exit::Interrupted => 130,
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
        Command::Topic(topic) => topic.run(),
        Command::Produce(produce) => produce.run(),
        Command::Consume(consume) => consume.run(),
        Command::Group(group) => group.run(),
        Command::Quota(quota) => quota.run(),
        Command::Txn(txn) => txn.run(),
        Command::Cluster(cluster) => cluster.run(),
        Command::Log(log) => log.run(),
        Command::Doctor(doctor) => doctor.run(),
        Command::Completion(completion) => completion.run(),
        Command::Man(man) => man.run(),
        Command::Version(version) => version.run(),
        Command::Explain(explain) => explain.run(),
        Command::Bench(bench) => return bench.run(),
    };
    exit.into()
}

/// Prints what failed, why and what to do.
fn complain(what: &str, cause: &str, fix: &str) {
    eprintln!("error: {what}\n  cause: {cause}\n  fix:   {fix}");
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn every_command_is_well_formed() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn parts_come_to_an_exit_code() {
        for (done, asked, exit) in [
            (0, 0, Exit::Done),
            (2, 2, Exit::Done),
            (0, 2, Exit::Failed),
            (1, 2, Exit::Partly),
        ] {
            assert_eq!(Exit::of(done, asked), exit, "{done} of {asked}");
        }
    }
}
