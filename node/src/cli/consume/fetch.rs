//! One round of fetching: a request to each leader, records out of the answers.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use thalweg_wire::api::ApiKey;
use thalweg_wire::messages::fetch_request::{FetchPartition, FetchRequest, FetchTopic};
use thalweg_wire::messages::fetch_response::{FetchResponseView, PartitionDataView};

use super::super::client::Client;
use super::super::failure::Failure;
use super::super::offsets::Isolation;
use super::super::records::{Aborted, Fetched, fetched};
use super::super::routing::{Cluster, TopicPartition};

/// To the last version that names topics.
const FETCH: (i16, i16) = (4, 12);
/// Bytes of a partition, and of an answer, that are asked for at a time.
const PARTITION_BYTES: i32 = 1 << 20;
const ANSWER_BYTES: i32 = 16 << 20;

/// What a partition's leader said.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) partition: TopicPartition,
    pub(crate) code: i16,
    pub(crate) fetched: Fetched,
    pub(crate) bytes: usize,
}

/// Fetches once from where each partition is. Waits that long at most if there is nothing.
pub(crate) fn round(
    cluster: &mut Cluster,
    places: &BTreeMap<TopicPartition, i64>,
    isolation: Isolation,
    wait: Duration,
) -> Result<Vec<Part>, Failure> {
    cluster.learn_leaders(places.keys())?;
    let by_leader = cluster.by_leader(places.keys());
    let leaders = u32::try_from(by_leader.len()).unwrap_or(u32::MAX).max(1);
    let wait_ms = i32::try_from((wait / leaders).as_millis()).unwrap_or(i32::MAX);
    let mut parts = Vec::new();
    for (leader, partitions) in by_leader {
        let Some(leader) = leader else {
            parts.extend(partitions.into_iter().map(|partition| Part {
                code: cluster.leaderless(partition),
                partition: partition.clone(),
                fetched: Fetched::default(),
                bytes: 0,
            }));
            continue;
        };
        let mut request = request_of(&partitions, places, isolation);
        request.max_wait_ms = wait_ms;
        let client = cluster.node(leader)?;
        parts.extend(ask(client, &request, places)?);
    }
    Ok(parts)
}

fn request_of<'a>(
    partitions: &[&'a TopicPartition],
    places: &BTreeMap<TopicPartition, i64>,
    isolation: Isolation,
) -> FetchRequest<'a> {
    let mut topics: BTreeMap<&str, Vec<FetchPartition>> = BTreeMap::new();
    for partition in partitions {
        topics
            .entry(&partition.topic)
            .or_default()
            .push(FetchPartition {
                partition: partition.partition,
                fetch_offset: places.get(*partition).copied().unwrap_or(0),
                partition_max_bytes: PARTITION_BYTES,
                ..FetchPartition::default()
            });
    }
    FetchRequest {
        min_bytes: 1,
        max_bytes: ANSWER_BYTES,
        isolation_level: isolation.level(),
        topics: topics
            .into_iter()
            .map(|(name, partitions)| FetchTopic {
                topic: Cow::Borrowed(name),
                partitions,
                ..FetchTopic::default()
            })
            .collect(),
        ..FetchRequest::default()
    }
}

fn ask(
    client: &mut Client,
    request: &FetchRequest<'_>,
    places: &BTreeMap<TopicPartition, i64>,
) -> Result<Vec<Part>, Failure> {
    let version = client.version(ApiKey::Fetch, FETCH)?;
    let longer = Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0));
    let reply = client.ask_patiently(request, version, longer)?;
    let answer: FetchResponseView<'_> = reply.view()?;
    if answer.error_code != 0 {
        let subject = client.address();
        return Err(Failure::refused(
            "fetching from",
            subject,
            answer.error_code,
            None,
        ));
    }
    let mut parts = Vec::new();
    for topic in answer.responses.iter() {
        for data in topic.partitions.iter() {
            let partition = TopicPartition::new(topic.topic, data.partition_index);
            let from = places.get(&partition).copied().unwrap_or(0);
            parts.push(part_of(partition, from, &data)?);
        }
    }
    Ok(parts)
}

fn part_of(
    partition: TopicPartition,
    from: i64,
    data: &PartitionDataView<'_>,
) -> Result<Part, Failure> {
    let bytes = data.records.unwrap_or_default();
    let listed = data.aborted_transactions.map_or_else(Vec::new, |listed| {
        let pairs = listed.iter();
        pairs
            .map(|txn| (txn.producer_id, txn.first_offset))
            .collect()
    });
    let place = (partition.topic.as_str(), partition.partition);
    let fetched = fetched(bytes, place, from, Aborted::new(listed)).map_err(|error| {
        Failure::input(
            format!("{partition} from offset {from} on cannot be read: {error}"),
            "the records were damaged on their way, or on the broker's disk",
            "look at the partition with `thalweg log dump` on the broker",
        )
    })?;
    Ok(Part {
        code: data.error_code,
        bytes: bytes.len(),
        partition,
        fetched,
    })
}
