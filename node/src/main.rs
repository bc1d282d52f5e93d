//! The `thalweg` binary; everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    thalweg_node::cli::main()
}
