//! `thalweg completion` and `thalweg man`: the command line described for shells and for man.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::{Command, CommandFactory};
use clap_complete::Shell;

use super::failure::Failure;
use super::outcome::{Outcome, finish};
use super::{Arguments, Exit};

const NAME: &str = "thalweg";

/// Print a completion script for a shell.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub(crate) struct Completion {
    /// Which shell; `source <(thalweg completion bash)` tries it out
    shell: Shell,
}

/// Print the manual page, or write all pages.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub(crate) struct Man {
    /// The command whose page it is: `thalweg man topic create`
    #[arg(conflicts_with = "directory")]
    command: Vec<String>,
    /// Write the pages of all commands into this directory
    #[arg(long, value_name = "DIR")]
    directory: Option<PathBuf>,
}

impl Completion {
    pub(crate) fn run(&self) -> Exit {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Arguments::command(), NAME, &mut script);
        finish(Ok(Outcome::done(
            String::from_utf8_lossy(&script).into_owned(),
        )))
    }
}

impl Man {
    pub(crate) fn run(&self) -> Exit {
        finish(self.outcome())
    }

    fn outcome(&self) -> Result<Outcome, Failure> {
        let mut root = Arguments::command();
        root.build();
        if let Some(directory) = &self.directory {
            let pages =
                write_all(&root, directory).map_err(|error| Failure::file(directory, &error))?;
            let text = format!("{pages} pages in {}\n", directory.display());
            return Ok(Outcome::done(text));
        }
        let mut command = &root;
        for word in &self.command {
            command = command.find_subcommand(word).ok_or_else(|| {
                Failure::input(
                    format!("there is no command `{}`", self.command.join(" ")),
                    "the page of a command is asked for by its words",
                    "`thalweg --help` names the commands",
                )
            })?;
        }
        let page = page_of(command).map_err(|error| Failure::printing(&error))?;
        Ok(Outcome::done(String::from_utf8_lossy(&page).into_owned()))
    }
}

fn page_of(command: &Command) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone()).render(&mut page)?;
    Ok(page)
}

fn write_all(command: &Command, directory: &Path) -> io::Result<usize> {
    fs::create_dir_all(directory)?;
    let name = command.get_display_name().unwrap_or(command.get_name());
    fs::write(directory.join(format!("{name}.1")), page_of(command)?)?;
    let mut pages = 1;
    for command in command
        .get_subcommands()
        .filter(|command| command.get_name() != "help")
    {
        pages += write_all(command, directory)?;
    }
    Ok(pages)
}
