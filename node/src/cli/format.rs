//! `thalweg format`: prepare an empty data directory, as the first start would.

use clap::Args;
use thalweg_storage::disk::probe::Probe;

use super::serve::tell;
use super::settings::From;
use super::{Exit, complain};
use crate::runtime::boot::{self, BootError};

/// Prepare an empty data directory
#[derive(Args)]
pub(super) struct Format {
    #[command(flatten)]
    from: From,
    /// The cluster's id, 22 characters, or `auto`
    #[arg(long, value_name = "ID")]
    cluster_id: Option<String>,
    /// This node's id
    #[arg(long, value_name = "N")]
    node_id: Option<i32>,
    /// A directory that is formatted already is no error
    #[arg(long)]
    ignore_formatted: bool,
}

impl Format {
    pub(super) fn run(self) -> Exit {
        let flags = [
            ("--cluster-id", "cluster.id", self.cluster_id.clone()),
            (
                "--node-id",
                "node.id",
                self.node_id.map(|id| id.to_string()),
            ),
        ];
        let loaded = match self.from.load(&flags) {
            Ok(loaded) => loaded,
            Err(exit) => return exit,
        };
        let data = boot::data_dir(&loaded);
        let formatted = boot::lock(&data).and_then(|_lock| {
            let probe =
                Probe::run(&data).map_err(|error| BootError::Data(data.clone(), error.into()))?;
            boot::identity(&loaded, &data, probe)
        });
        match formatted {
            Ok((meta, true)) => {
                say(&format!(
                    "formatted {} for cluster {} node {}",
                    data.display(),
                    meta.cluster_id,
                    meta.node
                ));
                Exit::Done
            }
            Ok((_, false)) if self.ignore_formatted => Exit::Done,
            Ok((meta, false)) => {
                complain(
                    &format!("{} is formatted already", data.display()),
                    &format!(
                        "it belongs to cluster {} node {}",
                        meta.cluster_id, meta.node
                    ),
                    "use another directory, or --ignore-formatted",
                );
                Exit::Failed
            }
            Err(error) => tell(&error),
        }
    }
}

#[expect(clippy::print_stdout, reason = "the command's output")]
fn say(line: &str) {
    println!("{line}");
}
