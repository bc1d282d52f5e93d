//! `thalweg config import`: a server.properties as this program's file, and what was left out and why.
//!
//! The file goes to standard output, the account of it to standard error; in JSON both are one document.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use thalweg_config::Text;
use thalweg_config::import::{Imported, Left, import};

use super::super::Exit;
use super::super::failure::Failure;
use super::super::outcome::{Outcome, finish, json};
use super::super::output::{Align, Format, Table, yes};
use super::super::settings::Source;

/// What problems of the file are reported by when it has no name yet.
const UNNAMED: &str = "thalweg.toml";

#[derive(Args, Clone, Debug)]
pub(in crate::cli) struct Import {
    /// A Kafka server.properties
    #[arg(value_name = "FILE")]
    properties: PathBuf,
    /// Write the file here, which must not be there yet
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// How results are printed
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Serialize)]
struct Report<'a> {
    toml: &'a str,
    taken: Vec<Taken<'a>>,
    left: Vec<LeftOut<'a>>,
    problems: Vec<Problem>,
}

#[derive(Serialize)]
struct Taken<'a> {
    line: usize,
    key: &'a str,
    to: &'a str,
}

#[derive(Serialize)]
struct LeftOut<'a> {
    line: usize,
    key: &'a str,
    why: &'a str,
    harmless: bool,
}

#[derive(Serialize)]
struct Problem {
    source: String,
    key: String,
    message: String,
    fix: String,
}

impl Import {
    pub(super) fn run(&self) -> Exit {
        let source = match Source::read(&self.properties) {
            Ok(source) => source,
            Err(exit) => return exit,
        };
        finish(self.outcome(&source.text()))
    }

    fn outcome(&self, source: &Text<'_>) -> Result<Outcome, Failure> {
        let name = self.output.as_ref().map(|path| path.display().to_string());
        let imported = import(*source, name.as_deref().unwrap_or(UNNAMED));
        if let Some(path) = &self.output {
            create(path, &imported.toml).map_err(|error| Failure::file(path, &error))?;
        }
        let text = match (self.format, &name) {
            (Format::Json, _) => json(&report(&imported)),
            (_, None) => imported.toml.clone(),
            (_, Some(name)) => format!("wrote {name}\n"),
        };
        if self.format != Format::Json {
            eprint!("{}{}", left_out(&imported.left), imported.problems);
        }
        let harmed = imported.left.iter().any(|left| !left.harmless);
        let exit = match imported.problems.has_errors() {
            true => Exit::Config,
            false if harmed => Exit::Partly,
            false => Exit::Done,
        };
        Ok(Outcome {
            text,
            exit,
            failures: Vec::new(),
        })
    }
}

/// Writes a file that is not there yet: what somebody wrote by hand is never lost.
fn create(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn left_out(left: &[Left]) -> String {
    if left.is_empty() {
        return String::new();
    }
    let mut table = Table::new(&[
        ("LINE", Align::Right),
        ("NOT TAKEN OVER", Align::Left),
        ("HARMLESS", Align::Left),
        ("WHY", Align::Left),
    ]);
    for left in left {
        table.row(vec![
            left.line.to_string(),
            left.key.clone(),
            yes(left.harmless),
            left.why.clone(),
        ]);
    }
    table.text()
}

fn report(imported: &Imported) -> Report<'_> {
    let taken = imported.taken.iter().map(|taken| Taken {
        line: taken.line,
        key: &taken.key,
        to: &taken.to,
    });
    let left = imported.left.iter().map(|left| LeftOut {
        line: left.line,
        key: &left.key,
        why: &left.why,
        harmless: left.harmless,
    });
    let problems = imported.problems.problems.iter().map(|problem| Problem {
        source: problem.origin.to_string(),
        key: problem.key.clone(),
        message: problem.message.clone(),
        fix: problem.fix.clone(),
    });
    Report {
        toml: &imported.toml,
        taken: taken.collect(),
        left: left.collect(),
        problems: problems.collect(),
    }
}
