//! DescribeLogDirs: the one log directory of this node, and what each partition takes of it.
//!
//! Sizes count the records that were accepted, wherever they lie at the moment: bytes that are
//! still in the journal only are part of their partition, so that sizes do not jump when they move.

use std::rc::Rc;

use thalweg_coordinator::metadata::image::{Image, Topic};
use thalweg_storage::disk::Disk;
use thalweg_wire::ids::{PartitionId, PartitionIndex};
use thalweg_wire::messages::describe_log_dirs_request::DescribeLogDirsRequestView;
use thalweg_wire::messages::describe_log_dirs_response::{
    DescribeLogDirsPartition, DescribeLogDirsResponse, DescribeLogDirsResult, DescribeLogDirsTopic,
};

use crate::outgoing::Answer;
use crate::request::{Refusal, Request};
use crate::runtime::effects::partitions_here;
use crate::shard::core::ShardCore;
use crate::shard::mailbox::{Query, QueryAnswer};

/// Answers the request.
pub async fn handle<D: Disk>(
    core: &Rc<ShardCore<D>>,
    request: &Request,
) -> Result<Answer, Refusal> {
    let asked: DescribeLogDirsRequestView<'_> = request.view()?;
    let image = core.image();
    let wanted = wanted(core, &image, &asked);
    let mut topics = Vec::with_capacity(wanted.len());
    for (topic, ids) in wanted {
        let questions = ids.iter().map(|id| (*id, Query::View)).collect();
        let answers = core.query(questions).await;
        let partitions = ids
            .iter()
            .zip(answers)
            .filter_map(|(id, answer)| match answer {
                Ok(QueryAnswer::View(view)) => Some(DescribeLogDirsPartition {
                    partition_index: id.index.0,
                    partition_size: i64::try_from(view.bytes).unwrap_or(i64::MAX),
                    ..DescribeLogDirsPartition::default()
                }),
                _ => None,
            });
        topics.push(DescribeLogDirsTopic {
            name: topic.into(),
            partitions: partitions.collect(),
        });
    }
    topics.retain(|topic| !topic.partitions.is_empty());
    let dir = core.node.log_dir();
    let space = core.host.disk_space(&dir);
    let count = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    request.respond(&DescribeLogDirsResponse {
        results: vec![DescribeLogDirsResult {
            log_dir: dir.display().to_string().into(),
            topics,
            total_bytes: space.map_or(-1, |(total, _)| count(total)),
            usable_bytes: space.map_or(-1, |(_, usable)| count(usable)),
            ..DescribeLogDirsResult::default()
        }],
        ..DescribeLogDirsResponse::default()
    })
}

/// The partitions asked for that have a replica here; all of them for a null list.
fn wanted<D: Disk>(
    core: &ShardCore<D>,
    image: &Image,
    asked: &DescribeLogDirsRequestView<'_>,
) -> Vec<(String, Vec<PartitionId>)> {
    let here = |topic: &Topic, index: Option<PartitionIndex>| {
        partitions_here(topic, core.node.id)
            .filter(|id| index.is_none_or(|index| id.index == index))
            .collect::<Vec<_>>()
    };
    let Some(list) = asked.topics else {
        let all = image.topics.iter();
        return all
            .map(|topic| (topic.name.to_string(), here(topic, None)))
            .collect();
    };
    let named = list.iter().filter_map(|entry| {
        let topic = image.topics.named(entry.topic)?;
        let ids = entry
            .partitions
            .iter()
            .flat_map(|index| here(topic, Some(PartitionIndex(index))));
        Some((entry.topic.to_owned(), ids.collect()))
    });
    named.collect()
}
