//! `thalweg topic list` and `describe`.

use std::collections::BTreeMap;

use thalweg_wire::ids::Uuid;
use thalweg_wire::messages::metadata_response::{
    MetadataResponsePartitionView, MetadataResponseTopicView, MetadataResponseView,
};

use super::super::configs::{self, Kind, Resource};
use super::super::failure::Failure;
use super::super::outcome::Outcome;
use super::super::output::Format;
use super::super::routing::{Cluster, ask_metadata};
use super::report::{self, Described, Listed, PartitionState};

#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub(super) struct ListArgs {
    /// Leave out the cluster's own topics
    #[arg(long)]
    exclude_internal: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub(super) struct DescribeArgs {
    /// Topics; all if none is named
    names: Vec<String>,
    /// Only partitions with copies that are not in sync
    #[arg(long)]
    under_replicated: bool,
    /// Only partitions without a leader
    #[arg(long, conflicts_with = "under_replicated")]
    unavailable: bool,
}

impl ListArgs {
    pub(super) fn outcome(
        &self,
        cluster: &mut Cluster,
        format: Format,
    ) -> Result<Outcome, Failure> {
        let reply = ask_metadata(cluster.any(), None, false)?;
        let answer: MetadataResponseView<'_> = reply.view()?;
        let mut topics: Vec<Listed> = answer
            .topics
            .iter()
            .map(listed)
            .filter(|topic| !(self.exclude_internal && topic.internal))
            .collect();
        topics.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Outcome::done(report::show(topics, format, report::listed)))
    }
}

impl DescribeArgs {
    pub(super) fn outcome(
        &self,
        cluster: &mut Cluster,
        format: Format,
    ) -> Result<Outcome, Failure> {
        let asked = (!self.names.is_empty()).then_some(self.names.as_slice());
        let reply = ask_metadata(cluster.any(), asked, false)?;
        let answer: MetadataResponseView<'_> = reply.view()?;
        let (mut topics, mut failures) = (Vec::new(), Vec::new());
        for topic in answer.topics.iter() {
            let name = topic.name.unwrap_or_default();
            match topic.error_code {
                0 => topics.push(described(topic)),
                code => failures.push(Failure::refused("describing topic", name, code, None)),
            }
        }
        let done = topics.len();
        if self.under_replicated || self.unavailable {
            for topic in &mut topics {
                topic.partitions.retain(|partition| match self.unavailable {
                    true => partition.leader.is_none(),
                    false => partition.in_sync.len() < partition.replicas.len(),
                });
            }
            topics.retain(|topic| !topic.partitions.is_empty());
        }
        topics.sort_by(|a, b| a.name.cmp(&b.name));
        add_configs(cluster, &mut topics)?;
        let text = report::show(topics, format, report::described);
        Ok(Outcome::of(text, done, failures))
    }
}

fn add_configs(cluster: &mut Cluster, topics: &mut [Described]) -> Result<(), Failure> {
    let resources: Vec<Resource> = topics
        .iter()
        .map(|topic| Resource {
            kind: Kind::Topic,
            name: topic.name.clone(),
        })
        .collect();
    let mut described = configs::describe_many(cluster, &resources)?;
    for topic in topics {
        let entries = described.remove(&topic.name).unwrap_or_default();
        topic.configs = entries
            .into_iter()
            .filter(|entry| entry.is_own(Kind::Topic))
            .map(|entry| (entry.name, entry.value))
            .collect();
    }
    Ok(())
}

pub(super) fn id_text(id: Uuid) -> Option<String> {
    (!id.is_zero()).then(|| id.to_string())
}

fn copies(topic: &MetadataResponseTopicView<'_>) -> usize {
    let partitions = topic.partitions.iter();
    partitions
        .map(|partition| partition.replica_nodes.len())
        .max()
        .unwrap_or(0)
}

fn listed(topic: MetadataResponseTopicView<'_>) -> Listed {
    Listed {
        name: topic.name.unwrap_or_default().to_owned(),
        id: id_text(topic.topic_id),
        internal: topic.is_internal,
        partitions: topic.partitions.len(),
        replication_factor: copies(&topic),
    }
}

fn described(topic: MetadataResponseTopicView<'_>) -> Described {
    let mut partitions: Vec<PartitionState> =
        topic.partitions.iter().map(partition_state).collect();
    partitions.sort_by_key(|partition| partition.partition);
    Described {
        name: topic.name.unwrap_or_default().to_owned(),
        id: id_text(topic.topic_id),
        internal: topic.is_internal,
        partition_count: partitions.len(),
        replication_factor: copies(&topic),
        configs: BTreeMap::new(),
        partitions,
    }
}

fn partition_state(partition: MetadataResponsePartitionView<'_>) -> PartitionState {
    let known = |value: i32| Some(value).filter(|value| *value >= 0);
    PartitionState {
        partition: partition.partition_index,
        leader: known(partition.leader_id),
        leader_epoch: known(partition.leader_epoch),
        replicas: partition.replica_nodes.iter().collect(),
        in_sync: partition.isr_nodes.iter().collect(),
        offline: partition.offline_replicas.iter().collect(),
    }
}
