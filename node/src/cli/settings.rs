//! The sources of settings, as the command line names them.

use std::path::{Path, PathBuf};

use clap::Args;
use thalweg_config::{Loaded, Sources, Text, limits, load};

use super::{Exit, acted_on, complain};

/// Where settings come from; common to all commands that need them.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct From {
    /// Settings file (TOML)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A Kafka server.properties
    #[arg(long, value_name = "FILE")]
    properties: Option<PathBuf>,
    /// One setting; may be repeated, wins over files and environment
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Data directory [default: data]
    #[arg(long, value_name = "DIR")]
    data: Option<String>,
}

impl From {
    /// Reads and merges everything; problems are printed.
    pub(super) fn load(&self, flags: &[(&str, &str, Option<String>)]) -> Result<Loaded, Exit> {
        let file = self.config.as_deref().map(Source::read).transpose()?;
        let properties = self.properties.as_deref().map(Source::read).transpose()?;
        let env: Vec<(String, String)> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let data = ("--data", "node.data", self.data.clone());
        let given = flags.iter().cloned().chain([data]);
        let flags: Vec<(&str, &str, String)> = given
            .filter_map(|(flag, key, value)| Some((flag, key, value?)))
            .collect();
        let sources = Sources {
            file: file.as_ref().map(Source::text),
            env: &env,
            properties: properties.as_ref().map(Source::text),
            set: &self.set,
            flags: &flags,
        };
        let checked = load(&sources).and_then(|loaded| acted_on::check(&loaded).map(|()| loaded));
        match checked {
            Ok(loaded) => {
                eprint!("{}", loaded.warnings);
                Ok(loaded)
            }
            Err(report) => {
                eprint!("{report}");
                Err(Exit::Config)
            }
        }
    }
}

/// A file that carries settings, read whole.
pub(super) struct Source {
    path: String,
    text: String,
}

impl Source {
    /// Reads it; a problem is printed.
    pub(super) fn read(path: &Path) -> Result<Self, Exit> {
        let name = path.display().to_string();
        let text = std::fs::metadata(path).and_then(|meta| {
            if meta.len() > limits::CONFIG_BYTES_MAX {
                return Err(std::io::ErrorKind::FileTooLarge.into());
            }
            std::fs::read_to_string(path)
        });
        match text {
            Ok(text) => Ok(Self { path: name, text }),
            Err(error) => {
                complain(
                    &format!("can't read {name}"),
                    &error.to_string(),
                    "name a readable text file of at most 1 MiB",
                );
                Err(Exit::Config)
            }
        }
    }

    pub(super) fn text(&self) -> Text<'_> {
        Text {
            path: &self.path,
            text: &self.text,
        }
    }
}
