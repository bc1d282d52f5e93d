//! Where partitions begin and end, and which offset belongs to a time: ListOffsets, asked of each
//! leader, again while leaders move.

use std::borrow::Cow;
use std::collections::BTreeMap;

use thalweg_wire::api::ApiKey;
use thalweg_wire::error_code::ErrorCode;
use thalweg_wire::messages::list_offsets_request::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic,
};
use thalweg_wire::messages::list_offsets_response::ListOffsetsResponseView;

use super::failure::Failure;
use super::routing::{Cluster, TopicPartition, is_retriable};

const LIST_OFFSETS: (i16, i16) = (2, 9);
/// The end of the log.
pub(crate) const LATEST: i64 = -1;
/// The first offset that is still there.
pub(crate) const EARLIEST: i64 = -2;

/// What is known about a time in a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// None: no record is as young.
    pub(crate) offset: Option<i64>,
    pub(crate) timestamp: Option<i64>,
}

/// By partition: an offset, or Kafka's error code.
pub(crate) type Answers = BTreeMap<TopicPartition, Result<Found, i16>>;

/// Whether consumers see what no transaction has committed yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Isolation {
    /// All records
    #[default]
    ReadUncommitted,
    /// Only records of committed transactions, or of none
    ReadCommitted,
}

impl Isolation {
    pub(crate) fn level(self) -> i8 {
        match self {
            Self::ReadUncommitted => 0,
            Self::ReadCommitted => 1,
        }
    }
}

/// The offset of a time, [`LATEST`] or [`EARLIEST`] in each partition.
pub(crate) fn list_offsets(
    cluster: &mut Cluster,
    asked: &BTreeMap<TopicPartition, i64>,
    isolation: Isolation,
) -> Result<Answers, Failure> {
    let mut left = asked.clone();
    let mut answers = Answers::new();
    let patience = cluster.patience();
    loop {
        let mut again = BTreeMap::new();
        for (partition, answer) in ask_leaders(cluster, &left, isolation)? {
            let code = answer.err().unwrap_or(0);
            // Whether a topic exists was asked before; here it only may have been deleted.
            let gone = code == ErrorCode::UnknownTopicOrPartition.code();
            if is_retriable(code) && !gone {
                cluster.forget_leader(&partition);
                if let Some(time) = left.get(&partition) {
                    again.insert(partition.clone(), *time);
                }
            }
            answers.insert(partition, answer);
        }
        left = again;
        if left.is_empty() || !patience.again() {
            return Ok(answers);
        }
    }
}

/// The same for one place in all partitions; a failure of one fails all.
pub(crate) fn place_of_all(
    cluster: &mut Cluster,
    partitions: impl Iterator<Item = TopicPartition>,
    time: i64,
    isolation: Isolation,
) -> Result<BTreeMap<TopicPartition, Found>, Failure> {
    let asked = partitions.map(|partition| (partition, time)).collect();
    let answers = list_offsets(cluster, &asked, isolation)?;
    answers
        .into_iter()
        .map(|(partition, answer)| match answer {
            Ok(found) => Ok((partition, found)),
            Err(code) => {
                let doing = "asking for offsets of";
                Err(Failure::refused(doing, &partition.to_string(), code, None))
            }
        })
        .collect()
}

fn ask_leaders(
    cluster: &mut Cluster,
    asked: &BTreeMap<TopicPartition, i64>,
    isolation: Isolation,
) -> Result<Answers, Failure> {
    cluster.learn_leaders(asked.keys())?;
    let mut answers = Answers::new();
    for (leader, partitions) in cluster.by_leader(asked.keys()) {
        let Some(leader) = leader else {
            let codes = partitions
                .iter()
                .map(|partition| ((*partition).clone(), Err(cluster.leaderless(partition))));
            answers.extend(codes);
            continue;
        };
        let request = request_of(&partitions, asked, isolation);
        let client = cluster.node(leader)?;
        let version = client.version(ApiKey::ListOffsets, LIST_OFFSETS)?;
        let reply = client.ask(&request, version)?;
        let answer: ListOffsetsResponseView<'_> = reply.view()?;
        for topic in answer.topics.iter() {
            for part in topic.partitions.iter() {
                let known = |value: i64| Some(value).filter(|value| *value >= 0);
                let found = Found {
                    offset: known(part.offset),
                    timestamp: known(part.timestamp),
                };
                let answer = match part.error_code {
                    0 => Ok(found),
                    code => Err(code),
                };
                answers.insert(
                    TopicPartition::new(topic.name, part.partition_index),
                    answer,
                );
            }
        }
    }
    Ok(answers)
}

fn request_of<'a>(
    partitions: &[&'a TopicPartition],
    times: &BTreeMap<TopicPartition, i64>,
    isolation: Isolation,
) -> ListOffsetsRequest<'a> {
    let mut topics: BTreeMap<&str, Vec<ListOffsetsPartition>> = BTreeMap::new();
    for partition in partitions {
        topics
            .entry(&partition.topic)
            .or_default()
            .push(ListOffsetsPartition {
                partition_index: partition.partition,
                current_leader_epoch: -1,
                timestamp: times.get(*partition).copied().unwrap_or(LATEST),
            });
    }
    ListOffsetsRequest {
        replica_id: -1,
        isolation_level: isolation.level(),
        topics: topics
            .into_iter()
            .map(|(name, partitions)| ListOffsetsTopic {
                name: Cow::Borrowed(name),
                partitions,
            })
            .collect(),
        ..ListOffsetsRequest::default()
    }
}
