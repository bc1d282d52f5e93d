//! The load generator as a program of its own, for machines without a node. `thalweg bench` is the
//! same thing as a sub-command.

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    thalweg_bench::main(&arguments)
}
