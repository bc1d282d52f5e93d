//! The few calls around a load: create a topic and wait for its leaders, end offsets, a producer id.

use std::borrow::Cow;
use std::thread;
use std::time::{Duration, Instant};

use thalweg_wire::messages::{
    create_topics_request as create, create_topics_response, init_producer_id_request as init,
    init_producer_id_response, list_offsets_request as list, list_offsets_response,
    metadata_request as metadata, metadata_response,
};

use super::{Receiver, Sender, connect};
use crate::{BenchError, Settings};

const TOPIC_ALREADY_EXISTS: i16 = 36;
/// Unknown topic or partition, leader not available, not the leader, coordinator loading, not
/// available, elsewhere.
const RETRIABLE_CODES: [i16; 6] = [3, 5, 6, 14, 15, 16];
const LEADER_WAIT_MAX: Duration = Duration::from_secs(60);

/// Creates the topic if it is not there and waits until each partition has a leader.
pub fn create_topic(settings: &Settings) -> Result<(), BenchError> {
    let (mut sender, mut receiver) = connect(&settings.brokers)?;
    let configs = settings
        .topic_configs
        .iter()
        .map(|(name, value)| create::CreatableTopicConfig {
            name: Cow::Borrowed(name),
            value: Some(Cow::Borrowed(value)),
        });
    let request = create::CreateTopicsRequest {
        topics: vec![create::CreatableTopic {
            name: Cow::Borrowed(&settings.topic),
            num_partitions: settings.partitions,
            replication_factor: -1,
            configs: configs.collect(),
            ..Default::default()
        }],
        timeout_ms: 60_000,
        ..Default::default()
    };
    sender.send(&request, 7)?;
    let answer: create_topics_response::CreateTopicsResponseView<'_> = receiver.view(7)?;
    let refused = answer.topics.iter().map(|topic| topic.error_code);
    if let Some(code) = refused
        .into_iter()
        .find(|code| ![0, TOPIC_ALREADY_EXISTS].contains(code))
    {
        return Err(BenchError::Refused {
            what: "creating the topic",
            code,
        });
    }
    wait_for_leaders(settings, &mut sender, &mut receiver)
}

fn wait_for_leaders(
    settings: &Settings,
    sender: &mut Sender,
    receiver: &mut Receiver,
) -> Result<(), BenchError> {
    let request = metadata::MetadataRequest {
        topics: Some(vec![metadata::MetadataRequestTopic {
            name: Some(Cow::Borrowed(&settings.topic)),
            ..Default::default()
        }]),
        allow_auto_topic_creation: false,
        ..Default::default()
    };
    let started = Instant::now();
    loop {
        sender.send(&request, 9)?;
        let answer: metadata_response::MetadataResponseView<'_> = receiver.view(9)?;
        let led = answer
            .topics
            .iter()
            .flat_map(|topic| topic.partitions.iter())
            .filter(|partition| partition.error_code == 0 && partition.leader_id >= 0)
            .count();
        if led >= usize::try_from(settings.partitions).unwrap_or(0) {
            return Ok(());
        }
        if started.elapsed() > LEADER_WAIT_MAX {
            return Err(BenchError::Wrong(format!(
                "only {led} partitions have a leader"
            )));
        }
        thread::sleep(Duration::from_millis(50));
    }
}

/// Where each partition ends now, in order of partitions. Asks again, as every client does, while
/// a server that has just created the topic finds its leaders.
pub fn end_offsets(settings: &Settings) -> Result<Vec<i64>, BenchError> {
    let started = Instant::now();
    loop {
        match ask_end_offsets(settings) {
            Err(BenchError::Refused { code, .. })
                if RETRIABLE_CODES.contains(&code) && started.elapsed() < LEADER_WAIT_MAX =>
            {
                thread::sleep(Duration::from_millis(50));
            }
            answer => return answer,
        }
    }
}

fn ask_end_offsets(settings: &Settings) -> Result<Vec<i64>, BenchError> {
    let (mut sender, mut receiver) = connect(&settings.brokers)?;
    let latest = |partition_index| list::ListOffsetsPartition {
        partition_index,
        current_leader_epoch: -1,
        timestamp: -1,
    };
    let request = list::ListOffsetsRequest {
        replica_id: -1,
        topics: vec![list::ListOffsetsTopic {
            name: Cow::Borrowed(&settings.topic),
            partitions: (0..settings.partitions).map(latest).collect(),
        }],
        ..Default::default()
    };
    sender.send(&request, 7)?;
    let answer: list_offsets_response::ListOffsetsResponseView<'_> = receiver.view(7)?;
    let mut ends = Vec::new();
    for partition in answer
        .topics
        .iter()
        .flat_map(|topic| topic.partitions.iter())
    {
        if partition.error_code != 0 {
            let code = partition.error_code;
            return Err(BenchError::Refused {
                what: "asking for end offsets",
                code,
            });
        }
        ends.push((partition.partition_index, partition.offset));
    }
    ends.sort_unstable();
    Ok(ends.into_iter().map(|(_, offset)| offset).collect())
}

/// An id and epoch for an idempotent producer.
pub fn producer_id(sender: &mut Sender, receiver: &mut Receiver) -> Result<(i64, i16), BenchError> {
    let request = init::InitProducerIdRequest {
        transactional_id: None,
        transaction_timeout_ms: 60_000,
        producer_id: -1,
        producer_epoch: -1,
        ..Default::default()
    };
    let started = Instant::now();
    loop {
        sender.send(&request, 4)?;
        let answer: init_producer_id_response::InitProducerIdResponseView = receiver.view(4)?;
        match answer.error_code {
            0 => return Ok((answer.producer_id, answer.producer_epoch)),
            code if RETRIABLE_CODES.contains(&code) && started.elapsed() < LEADER_WAIT_MAX => {
                thread::sleep(Duration::from_millis(50));
            }
            code => {
                let what = "asking for a producer id";
                return Err(BenchError::Refused { what, code });
            }
        }
    }
}
