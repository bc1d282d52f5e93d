//! `thalweg config`: look at settings without starting.

use clap::Subcommand;

use super::Exit;
use super::settings::From;

/// Look at settings
#[derive(Subcommand)]
pub(super) enum Config {
    /// Read all sources and report every problem
    Check(From),
}

impl Config {
    #[expect(clippy::print_stdout, reason = "the command's output")]
    pub(super) fn run(self) -> Exit {
        match self {
            Self::Check(from) => match from.load(&[]) {
                Ok(_) => {
                    println!("the settings are valid");
                    Exit::Done
                }
                Err(exit) => exit,
            },
        }
    }
}
