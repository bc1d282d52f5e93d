//! The binary behind `cargo x`: hands its arguments to the driver and turns the verdict into an
//! exit code. Nothing else lives here, so that every command can be used from tests too.

use std::process::ExitCode;

fn main() -> ExitCode {
    thalweg_perf::x::main(std::env::args().skip(1).collect())
}
