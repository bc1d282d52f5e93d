//! The commands of `cargo x`, one file each.
//!
//! Every command prints what it runs, stops at the first failure with the cause, and closes with
//! one line of counts. A command that cannot do its job (a package that does not install, a server
//! that does not start) fails: nothing is ever skipped silently.

use std::process::ExitCode;

pub mod audited;
pub mod bench;
pub mod check;
pub mod differential;
pub mod failure;
pub mod faultdisk;
pub mod footprint;
pub mod generator;
pub mod groups;
pub mod instructions;
pub mod interop;
pub mod kill9;
mod median;
pub mod metrics;
pub mod oracle;
pub mod packages;
pub mod powercut;
pub mod probe;
pub mod probes;
pub mod process;
pub mod server;
pub mod sim;
pub mod talk;
pub mod trace;
pub mod transactions;
pub mod versus;

pub use failure::{Context, Failure, Outcome};

/// What a command has to say for itself when it went well.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    pub passed: u64,
    pub failed: u64,
    pub skipped: u64,
}

const HELP: &str = "cargo x COMMAND

  check   format, lints, all tests (tidy among them) and docs; writes nothing
  fix     format the code and apply the lints' own suggestions
  interop real clients and Apache Kafka's own tools against the node
            --kafka  the same script against Apache Kafka 4.3.0
            --dev    against the node's development build
            --differential  seeded raw requests to both at once, every answer compared;
                     --seed N, --steps N, --dev
            --only PART: java, admin, tools, kcat, groups, clients, ecosystem and others alone
            --record writes down what Kafka's tools print (with --kafka)
  oracle  Kafka's own classes as judges of messages and batches; reads the schemas again
  sim     whole nodes on the seeded disk: crashes at any of its operations
            --seed N one seed, --seeds N seeds 0 to N-1
            storage  the engine alone, with faults of the disk: thousands of seeds a minute
  kill9   kill -9 while four producers write, then audit every acknowledgement
            --transactions  the writers commit and abort, a reader of committed records goes on
            --rounds N, --seed N, --kafka, --dev
  powercut  power cuts replayed from a fault disk's log, on ext4 and xfs; needs root
            --images N, --seconds N of load, --seed N, --ext4, --xfs, --no-planted, --dev
  bench   a short slice of each load, every record verified; --kafka, --dev
  instructions  how many the hot functions take, against perf/instructions.toml; --record
  footprint  memory and CPU at rest, start times, sendfile's share, direct writers; for a quiet machine
            --catch-up  the rows about reading old data only, --dev
  probes  what the file system and the device do: flushes, depths, barriers, reads; for a quiet machine
            --dir DIR, --quick, --record: the tables go to perf/results
  generator  what the load generator itself can do, against a server that only acknowledges
  groups  rebalances, commits and reload of consumer groups, next to Apache Kafka; for a quiet machine
            --quick, --dev, --record: the figures go to perf/results
  transactions  copies of 100 records in transactions, next to Apache Kafka; for a quiet machine
            --quick, --dev, --record: the figures go to perf/results
  versus  Thalweg and Apache Kafka 4.3.0 side by side, results to perf/results and the README
            --quick: in 10 minutes; --only ROW, --list and more: --help
  profile ROW: a flame graph of the node under a row of versus, to perf/results/profiles
";

/// Runs one command; the exit code is 0 only when everything in it passed.
#[must_use]
pub fn main(arguments: Vec<String>) -> ExitCode {
    let mut words = arguments.iter().map(String::as_str);
    let command = words.next().unwrap_or("help");
    let rest: Vec<&str> = words.collect();
    let verdict = match command {
        "check" => check::check(&rest),
        "fix" => check::fix(&rest),
        "interop" => interop::interop(&rest),
        "oracle" => oracle::oracle(&rest),
        "sim" => sim::sim(&rest),
        "kill9" => kill9::kill9(&rest),
        "powercut" => powercut::powercut(&rest),
        "versus" => versus::versus(&rest),
        "profile" => versus::profile(&rest),
        "bench" => bench::bench(&rest),
        "footprint" => footprint::footprint(&rest),
        "probes" => probes::probes(&rest),
        "instructions" => instructions::instructions(&rest),
        "generator" => generator::generator(&rest),
        "groups" => groups::groups(&rest),
        "transactions" => transactions::transactions(&rest),
        "help" | "--help" | "-h" => return usage(ExitCode::SUCCESS),
        _ => return usage(ExitCode::from(2)),
    };
    match verdict {
        Ok(tally) => report(command, tally),
        Err(failure) => {
            eprintln!("cargo x {command}: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn usage(code: ExitCode) -> ExitCode {
    eprint!("{HELP}");
    code
}

#[expect(
    clippy::print_stdout,
    reason = "the closing line is the command's result"
)]
fn report(command: &str, tally: Tally) -> ExitCode {
    println!(
        "{command}: {} passed, {} failed, {} skipped",
        tally.passed, tally.failed, tally.skipped
    );
    if tally.failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
