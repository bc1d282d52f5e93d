//! `thalweg bench`: the load generator as a sub-command. Its options are crate `bench`'s own, since
//! the same generator is also a program of its own; here they are only passed on.

use std::process::ExitCode;

/// The words behind `thalweg bench`.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
#[command(disable_help_flag = true)]
pub struct BenchArgs {
    /// A load and its options, or compare, report, sink; `thalweg bench --help` names them
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "WORKLOAD"
    )]
    words: Vec<String>,
}

impl BenchArgs {
    /// Runs the load; exit code 0 done, 1 failed, 2 usage, 6 done with errors answered.
    #[must_use]
    pub fn run(&self) -> ExitCode {
        thalweg_bench::main(&self.words)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    enum Line {
        Bench(BenchArgs),
    }

    #[test]
    fn words_are_passed_on_as_they_are() {
        for line in ["produce --rate max -b h:1", "--help", ""] {
            let words: Vec<&str> = line.split_whitespace().collect();
            let all = ["thalweg", "bench"].iter().chain(&words);
            let Line::Bench(bench) = Line::try_parse_from(all).unwrap();
            assert_eq!(bench.words, words);
        }
    }
}
