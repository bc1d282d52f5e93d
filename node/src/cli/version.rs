//! `thalweg version`: which program this is, how it was built, and what the kernel beneath it is.
//!
//! Deliberately absent: the commit it was built from, since a build takes nothing from outside its sources.

use serde::Serialize;
use thalweg_storage::disk::ring::Ring;

use super::Exit;
use super::outcome::{Outcome, finish, show};
use super::output::Format;

/// The shape, for the help of the command.
const SHAPES: &str = "\
JSON shape:
  {\"version\", \"build\": \"debug\"|\"release\", \"target\", \"kernel\", \"io_uring\"}
`kernel` is null where /proc is not there; `io_uring` is works, or why it does not.";

/// Say which program this is, and what the kernel beneath it is
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
#[command(after_long_help = SHAPES)]
pub(super) struct Version {
    /// How results are printed
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Serialize)]
struct Known {
    version: &'static str,
    build: &'static str,
    target: String,
    kernel: Option<String>,
    io_uring: String,
}

impl Version {
    pub(super) fn run(&self) -> Exit {
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease");
        let known = Known {
            version: env!("CARGO_PKG_VERSION"),
            build: match cfg!(debug_assertions) {
                true => "debug",
                false => "release",
            },
            target: format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS),
            kernel: release.ok().map(|release| release.trim().to_owned()),
            io_uring: match Ring::new() {
                Ok(_) => "works".to_owned(),
                Err(error) => error.to_string(),
            },
        };
        let text = show(&known, self.format, |known, _| {
            format!(
                "thalweg {} ({} build, {})\nkernel {}, io_uring {}\n",
                known.version,
                known.build,
                known.target,
                known.kernel.as_deref().unwrap_or("unknown"),
                known.io_uring
            )
        });
        finish(Ok(Outcome::done(text)))
    }
}
