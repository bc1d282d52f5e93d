//! What a command comes to: a text for standard output, failures for standard error, an exit code.
//!
//! Failures of parts are told each in three lines; the exit code says whether anything was done.

use serde::Serialize;

use super::Exit;
use super::client::Broker;
use super::failure::Failure;
use super::output::{self, Format};

/// Options of every command that asks a cluster.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub(crate) struct Asking {
    #[command(flatten)]
    pub(crate) broker: Broker,
    /// How results are printed
    #[arg(long, value_enum, default_value_t, global = true)]
    pub(crate) format: Format,
}

/// What a command has to tell.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) text: String,
    pub(crate) exit: Exit,
    pub(crate) failures: Vec<Failure>,
}

impl Outcome {
    /// Everything went well.
    pub(crate) fn done(text: String) -> Self {
        Self {
            text,
            exit: Exit::Done,
            failures: Vec::new(),
        }
    }

    /// `done` parts went well, the others are told of.
    pub(crate) fn of(text: String, done: usize, failures: Vec<Failure>) -> Self {
        Self {
            exit: Exit::of(done, done + failures.len()),
            text,
            failures,
        }
    }
}

/// Prints what there is to tell.
pub(crate) fn finish(result: Result<Outcome, Failure>) -> Exit {
    let outcome = result.unwrap_or_else(|failure| Outcome {
        text: String::new(),
        exit: failure.exit,
        failures: vec![failure],
    });
    for failure in &outcome.failures {
        eprintln!("{failure}");
    }
    match output::print(&outcome.text) {
        Ok(()) => outcome.exit,
        Err(error) => {
            eprintln!("{}", Failure::printing(&error));
            Exit::Failed
        }
    }
}

/// A JSON document as it is printed.
pub(crate) fn json<T: Serialize>(value: &T) -> String {
    // Plain structs with text keys: this can't fail.
    serde_json::to_string_pretty(value).unwrap_or_default() + "\n"
}

/// A report as JSON, or as what `text` makes of it.
pub(crate) fn show<T: Serialize>(
    report: &T,
    format: Format,
    text: impl FnOnce(&T, bool) -> String,
) -> String {
    match format {
        Format::Text => text(report, false),
        Format::Wide => text(report, true),
        Format::Json => json(report),
    }
}
