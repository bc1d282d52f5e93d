//! `thalweg topic alter` and `add-partitions`.

use std::borrow::Cow;

use thalweg_wire::api::ApiKey;
use thalweg_wire::messages::create_partitions_request::{
    CreatePartitionsRequest, CreatePartitionsTopic,
};
use thalweg_wire::messages::create_partitions_response::CreatePartitionsResponseView;

use super::super::configs::{self, Change, Kind, Resource};
use super::super::failure::Failure;
use super::super::outcome::Outcome;
use super::super::output::Format;
use super::super::routing::Cluster;
use super::key_value;
use super::report::{self, Altered};

const CREATE_PARTITIONS: (i16, i16) = (0, 3);

#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
#[command(group = clap::ArgGroup::new("change").required(true).multiple(true))]
pub(super) struct AlterArgs {
    /// The topic
    name: String,
    /// How many partitions it shall have; never fewer than it has
    #[arg(short, long, value_name = "N", group = "change", value_parser = clap::value_parser!(i32).range(1..))]
    partitions: Option<i32>,
    /// A topic config, as in Kafka (retention.ms=7d); may be repeated
    #[arg(long, value_name = "KEY=VALUE", group = "change", value_parser = key_value)]
    set: Vec<(String, String)>,
    /// A topic config that shall have the cluster's default again; may be repeated
    #[arg(long, value_name = "KEY", group = "change")]
    unset: Vec<String>,
    /// Let the cluster check everything, but change nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub(super) struct AddArgs {
    /// The topic
    name: String,
    /// How many more
    #[arg(value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
    count: i32,
    /// Let the cluster check everything, but change nothing
    #[arg(long)]
    dry_run: bool,
}

impl AlterArgs {
    pub(super) fn outcome(
        &self,
        cluster: &mut Cluster,
        format: Format,
    ) -> Result<Outcome, Failure> {
        let set = self.set.iter().map(|(key, value)| Change::set(key, value));
        let unset = self.unset.iter().map(|key| Change::unset(key));
        let changes: Vec<Change> = set.chain(unset).collect();
        if !changes.is_empty() {
            let resource = Resource {
                kind: Kind::Topic,
                name: self.name.clone(),
            };
            configs::alter(cluster, &resource, &changes, self.dry_run)?;
        }
        if let Some(count) = self.partitions {
            grow(cluster, &self.name, count, self.dry_run)?;
        }
        let altered = Altered {
            name: self.name.clone(),
            result: result(self.dry_run),
            partitions: self.partitions,
            set: self.set.iter().cloned().collect(),
            unset: self.unset.clone(),
        };
        Ok(Outcome::done(report::show(
            vec![altered],
            format,
            report::altered,
        )))
    }
}

impl AddArgs {
    pub(super) fn outcome(
        &self,
        cluster: &mut Cluster,
        format: Format,
    ) -> Result<Outcome, Failure> {
        let has = i32::try_from(cluster.partitions(&self.name)?.len()).unwrap_or(i32::MAX);
        let count = has.saturating_add(self.count);
        grow(cluster, &self.name, count, self.dry_run)?;
        let altered = Altered {
            name: self.name.clone(),
            result: result(self.dry_run),
            partitions: Some(count),
            set: Default::default(),
            unset: Vec::new(),
        };
        Ok(Outcome::done(report::show(
            vec![altered],
            format,
            report::altered,
        )))
    }
}

fn result(dry_run: bool) -> &'static str {
    if dry_run { "checked" } else { "altered" }
}

fn grow(cluster: &mut Cluster, name: &str, count: i32, dry_run: bool) -> Result<(), Failure> {
    let request = CreatePartitionsRequest {
        topics: vec![CreatePartitionsTopic {
            name: Cow::Borrowed(name),
            count,
            assignments: None,
        }],
        timeout_ms: cluster.timeout_ms(),
        validate_only: dry_run,
    };
    let client = cluster.any();
    let version = client.version(ApiKey::CreatePartitions, CREATE_PARTITIONS)?;
    let reply = client.ask(&request, version)?;
    let answer: CreatePartitionsResponseView<'_> = reply.view()?;
    match answer.results.iter().next() {
        Some(topic) if topic.error_code == 0 => Ok(()),
        Some(topic) => Err(Failure::refused(
            "adding partitions to topic",
            name,
            topic.error_code,
            topic.error_message,
        )),
        None => Err(Failure::protocol(
            client.address(),
            "no topic in the answer",
        )),
    }
}
