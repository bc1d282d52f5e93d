//! `thalweg cluster`: the state of a cluster in words, its brokers, features and calls.

mod features;
mod report;
mod status;

pub(crate) use report::round_bytes;

use super::Exit;
use super::failure::Failure;
use super::outcome::{Asking, Outcome, finish};
use super::routing::Cluster;

/// The state of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
#[command(after_long_help = report::SHAPES)]
pub(crate) struct ClusterArgs {
    #[command(subcommand)]
    command: ClusterCommand,
    #[command(flatten)]
    asking: Asking,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::Subcommand)]
enum ClusterCommand {
    /// Say how the cluster is
    Status,
    /// The same, with exit code 1 if any partition lacks its leader or copies
    Health,
    /// List the brokers
    Brokers,
    /// List features: what the brokers could do, and what is switched on
    Features,
    /// List the calls that a broker serves, with their versions
    ApiVersions,
    /// Show the members of the metadata quorum
    Quorum,
    /// Show how much the brokers' log directories hold
    LogDirs,
}

impl ClusterArgs {
    pub(crate) fn run(&self) -> Exit {
        finish(self.outcome())
    }

    fn outcome(&self) -> Result<Outcome, Failure> {
        let cluster = &mut Cluster::connect(&self.asking.broker)?;
        let format = self.asking.format;
        match self.command {
            ClusterCommand::Status => status::status(cluster, format),
            ClusterCommand::Health => status::health(cluster, format),
            ClusterCommand::Brokers => status::brokers(cluster, format),
            ClusterCommand::Features => features::features(cluster, format),
            ClusterCommand::ApiVersions => features::api_versions(cluster, format),
            ClusterCommand::Quorum => features::quorum(cluster, format),
            ClusterCommand::LogDirs => features::log_dirs(cluster, format),
        }
    }
}
