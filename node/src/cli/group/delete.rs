//! `thalweg group delete` and `delete-offsets`.

use std::borrow::Cow;
use std::collections::BTreeSet;

use thalweg_wire::api::ApiKey;
use thalweg_wire::error_code::ErrorCode;
use thalweg_wire::messages::delete_groups_request::DeleteGroupsRequest;
use thalweg_wire::messages::delete_groups_response::DeleteGroupsResponseView;
use thalweg_wire::messages::offset_delete_request::{
    OffsetDeleteRequest, OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use thalweg_wire::messages::offset_delete_response::OffsetDeleteResponseView;

use super::super::client::Reply;
use super::super::committed;
use super::super::failure::Failure;
use super::super::outcome::{Outcome, show};
use super::super::output::Format;
use super::super::routing::{Call, Cluster, TopicPartition};
use super::report::{self, Deleted, DeletedOffset, DeletedOffsets, Deletions};
use super::{Scope, state};

const DELETE_GROUPS: (i16, i16) = (0, 2);
const OFFSET_DELETE: (i16, i16) = (0, 0);

#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub(super) struct DeleteArgs {
    /// Groups
    #[arg(required = true)]
    groups: Vec<String>,
    /// Accept that a group is not there
    #[arg(long)]
    if_exists: bool,
    /// Only say what would be deleted
    #[arg(long)]
    dry_run: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub(super) struct DeleteOffsetsArgs {
    /// The group
    group: String,
    /// A topic, or some partitions of it (orders:0,1); may be repeated
    #[arg(short, long, value_name = "TOPIC", required = true, value_parser = Scope::parse)]
    topic: Vec<Scope>,
    /// Only say what would be deleted
    #[arg(long)]
    dry_run: bool,
}

impl DeleteArgs {
    pub(super) fn outcome(
        &self,
        cluster: &mut Cluster,
        format: Format,
    ) -> Result<Outcome, Failure> {
        let names: BTreeSet<&str> = self.groups.iter().map(String::as_str).collect();
        let (mut groups, mut failures) = (Vec::new(), Vec::new());
        for name in names {
            let code = match self.dry_run {
                true => would(cluster, name)?,
                false => delete(cluster, name)?,
            };
            let absent = code == ErrorCode::GroupIdNotFound.code() && self.if_exists;
            let result = match code {
                0 if self.dry_run => "checked",
                0 => "deleted",
                _ if absent => "absent",
                _ => "failed",
            };
            if result == "failed" {
                failures.push(Failure::refused("deleting group", name, code, None));
            }
            let error = ErrorCode::from_code(code).filter(|_| result == "failed");
            groups.push(Deleted {
                group: name.to_owned(),
                result,
                error: error.map(ErrorCode::name),
            });
        }
        let done = groups.len() - failures.len();
        let text = show(&Deletions { groups }, format, |all, _| {
            report::deleted(&all.groups)
        });
        Ok(Outcome::of(text, done, failures))
    }
}

fn would(cluster: &mut Cluster, group: &str) -> Result<i16, Failure> {
    let code = match state::look(cluster, group)? {
        None => ErrorCode::GroupIdNotFound,
        Some(state) if !state.is_idle() => ErrorCode::NonEmptyGroup,
        Some(_) => ErrorCode::None,
    };
    Ok(code.code())
}

fn delete(cluster: &mut Cluster, group: &str) -> Result<i16, Failure> {
    let call = Call::new(ApiKey::DeleteGroups, DELETE_GROUPS);
    let request = |_version| DeleteGroupsRequest {
        groups_names: vec![Cow::Borrowed(group)],
    };
    let code_of = |reply: &Reply| {
        let answer: DeleteGroupsResponseView<'_> = reply.view()?;
        let first = answer.results.iter().next();
        Ok(first.map_or(-1, |result| result.error_code))
    };
    let reply = cluster.ask_coordinator(group, &call, request, code_of)?;
    code_of(&reply)
}

impl DeleteOffsetsArgs {
    pub(super) fn outcome(
        &self,
        cluster: &mut Cluster,
        format: Format,
    ) -> Result<Outcome, Failure> {
        let mut partitions = Vec::new();
        for scope in &self.topic {
            partitions.extend(scope.resolve(cluster)?);
        }
        state::need(cluster, &self.group)?;
        let committed = committed::fetch(cluster, &self.group)?;
        // Without partitions named, those without an offset are not worth a word.
        let named = self.topic.iter().any(|scope| !scope.partitions.is_empty());
        partitions.retain(|partition| named || committed.contains_key(partition));
        let codes = match self.dry_run || partitions.is_empty() {
            true => Vec::new(),
            false => self.delete(cluster, &partitions)?,
        };
        let (mut rows, mut failures) = (Vec::new(), Vec::new());
        for partition in partitions {
            let found = codes.iter().find(|(of, _)| *of == partition);
            let code = found.map_or(0, |(_, code)| *code);
            if code != 0 {
                let subject = format!("{} of {partition}", self.group);
                failures.push(Failure::refused(
                    "deleting offsets of",
                    &subject,
                    code,
                    None,
                ));
            }
            rows.push(DeletedOffset {
                was: committed.get(&partition).map(|place| place.offset),
                topic: partition.topic,
                partition: partition.partition,
                result: match (code, self.dry_run) {
                    (0, true) => "checked",
                    (0, false) => "deleted",
                    _ => "failed",
                },
                error: ErrorCode::from_code(code)
                    .filter(|code| !code.is_none())
                    .map(ErrorCode::name),
            });
        }
        let done = rows.len() - failures.len();
        let deleted = DeletedOffsets {
            group: self.group.clone(),
            partitions: rows,
        };
        let text = show(&deleted, format, |all, _| report::deleted_offsets(all));
        Ok(Outcome::of(text, done, failures))
    }

    fn delete(
        &self,
        cluster: &mut Cluster,
        partitions: &[TopicPartition],
    ) -> Result<Vec<(TopicPartition, i16)>, Failure> {
        let topics: BTreeSet<&str> = partitions.iter().map(|part| part.topic.as_str()).collect();
        let indexes = |topic: &str| {
            let ours = partitions.iter().filter(|part| part.topic == topic);
            ours.map(|part| OffsetDeleteRequestPartition {
                partition_index: part.partition,
            })
            .collect()
        };
        let request = |_version| OffsetDeleteRequest {
            group_id: Cow::Borrowed(self.group.as_str()),
            topics: topics
                .iter()
                .map(|name| OffsetDeleteRequestTopic {
                    name: Cow::Borrowed(*name),
                    partitions: indexes(name),
                })
                .collect(),
        };
        let code_of = |reply: &Reply| {
            let answer: OffsetDeleteResponseView<'_> = reply.view()?;
            Ok(answer.error_code)
        };
        let call = Call::new(ApiKey::OffsetDelete, OFFSET_DELETE);
        let reply = cluster.ask_coordinator(&self.group, &call, request, code_of)?;
        let answer: OffsetDeleteResponseView<'_> = reply.view()?;
        if answer.error_code != 0 {
            let doing = "deleting offsets of group";
            return Err(Failure::refused(
                doing,
                &self.group,
                answer.error_code,
                None,
            ));
        }
        let codes = answer.topics.iter().flat_map(|topic| {
            let parts = topic.partitions.iter();
            parts.map(move |part| {
                let partition = TopicPartition::new(topic.name, part.partition_index);
                (partition, part.error_code)
            })
        });
        Ok(codes.collect())
    }
}
