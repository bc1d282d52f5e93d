//! `thalweg group describe`: a group with its members, what it has committed, and how far that is
//! behind the end.

use std::collections::BTreeSet;
use std::time::Duration;

use super::super::client::duration;
use super::super::committed;
use super::super::failure::Failure;
use super::super::offsets::{Isolation, LATEST, list_offsets};
use super::super::outcome::{Outcome, show};
use super::super::output::Format;
use super::super::routing::{Cluster, TopicPartition};
use super::report::{self, Described, Descriptions, Place};
use super::state;

#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub(super) struct DescribeArgs {
    /// Groups
    #[arg(required = true)]
    groups: Vec<String>,
    /// Show it again after so long, until interrupted
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(super) watch: Option<Duration>,
}

impl DescribeArgs {
    pub(super) fn outcome(
        &self,
        cluster: &mut Cluster,
        format: Format,
    ) -> Result<Outcome, Failure> {
        let (mut groups, mut failures) = (Vec::new(), Vec::new());
        let names: BTreeSet<&str> = self.groups.iter().map(String::as_str).collect();
        for name in names {
            match describe(cluster, name) {
                Ok(described) => groups.push(described),
                Err(failure) => failures.push(failure),
            }
        }
        let done = groups.len();
        let text = show(&Descriptions { groups }, format, |all, wide| {
            report::described(&all.groups, wide)
        });
        Ok(Outcome::of(text, done, failures))
    }
}

fn describe(cluster: &mut Cluster, group: &str) -> Result<Described, Failure> {
    let state = state::need(cluster, group)?;
    let committed = committed::fetch(cluster, group)?;
    let owners = state.owners();
    let partitions: BTreeSet<&TopicPartition> = committed.keys().chain(owners.keys()).collect();
    let asked = partitions.iter().map(|part| ((*part).clone(), LATEST));
    let ends = list_offsets(cluster, &asked.collect(), Isolation::ReadUncommitted)?;
    let mut places = Vec::new();
    for partition in partitions {
        let end = ends.get(partition).and_then(|answer| answer.ok());
        let end = end.and_then(|found| found.offset);
        let place = committed.get(partition);
        let offset = place.map(|place| place.offset);
        let owner = owners.get(partition);
        places.push(Place {
            topic: partition.topic.clone(),
            partition: partition.partition,
            committed: offset,
            end,
            // A log that was cut, or whose topic was made again, may end before the offset.
            lag: end.zip(offset).map(|(end, offset)| (end - offset).max(0)),
            metadata: place.map(|place| place.metadata.clone()),
            member: owner.map(|owner| owner.member.clone()),
            client: owner.map(|owner| owner.client.clone()),
            host: owner.map(|owner| owner.host.clone()),
        });
    }
    let lag = places.iter().filter_map(|place| place.lag).sum();
    Ok(Described {
        group: group.to_owned(),
        state: state.state,
        kind: state.kind,
        protocol_type: state.protocol_type,
        assignor: state.assignor,
        coordinator: cluster.coordinator(group)?,
        lag,
        members: state.members,
        offsets: places,
    })
}
