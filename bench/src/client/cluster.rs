//! Before a load: the topic, who leads its partitions, where they end, a producer id.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use thalweg_wire::messages::{
    create_topics_request as create, create_topics_response, init_producer_id_request as init,
    init_producer_id_response, list_offsets_request as list, list_offsets_response,
    metadata_request as metadata, metadata_response,
};

use super::Connection;
use crate::{BenchError, Settings};

const TOPIC_ALREADY_EXISTS: i16 = 36;
/// Unknown topic or partition, leader not available, not the leader, coordinator loading, not
/// available, elsewhere; and what a node says that is not yet ready.
const RETRIABLE_CODES: [i16; 6] = [3, 5, 6, 14, 15, 16];
const LEADER_NOT_AVAILABLE: i16 = 5;
/// For connecting to one of several brokers, and for each of its answers.
const CONNECT_MAX: Duration = Duration::from_secs(10);
const WAIT_MAX: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(50);

/// Asks for the earliest or the latest offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    Earliest = -2,
    Latest = -1,
}

/// A topic and who leads its partitions.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// As they were told, with commas.
    brokers: String,
    /// The first of them that answered.
    bootstrap: String,
    topic: String,
    /// By broker: its address and the partitions that it leads, in order.
    leaders: BTreeMap<String, Vec<i32>>,
}

impl Cluster {
    /// Creates the topic if it is not there, and waits until each partition has a leader.
    pub fn prepare(settings: &Settings) -> Result<Self, BenchError> {
        let (bootstrap, mut connection) = any_broker(&settings.brokers)?;
        create_topic(settings, &mut connection)?;
        let started = Instant::now();
        let wanted = usize::try_from(settings.partitions).unwrap_or(0);
        let leaders = loop {
            let leaders = find_leaders(&settings.topic, &mut connection)?;
            let led: usize = leaders.values().map(Vec::len).sum();
            if led >= wanted {
                break leaders;
            }
            if started.elapsed() > WAIT_MAX {
                let what = format!("only {led} of {wanted} partitions have a leader");
                return Err(BenchError::Protocol(what));
            }
            thread::sleep(PAUSE);
        };
        let mut cluster = Self {
            brokers: settings.brokers.clone(),
            bootstrap,
            topic: settings.topic.clone(),
            leaders,
        };
        // Partitions beyond those asked for are left alone.
        for partitions in cluster.leaders.values_mut() {
            partitions.retain(|partition| *partition < settings.partitions);
        }
        cluster
            .leaders
            .retain(|_, partitions| !partitions.is_empty());
        // A server may name a leader before that one serves.
        cluster.ends()?;
        Ok(cluster)
    }

    /// Each broker's address with the partitions it leads.
    pub fn leaders(&self) -> impl Iterator<Item = (&str, &[i32])> {
        self.leaders
            .iter()
            .map(|(address, partitions)| (address.as_str(), partitions.as_slice()))
    }

    #[must_use]
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// Who leads a partition now, as far as any broker knows.
    pub fn leader(&self, partition: i32) -> Result<String, BenchError> {
        let (_, mut connection) = any_broker(&self.brokers)?;
        let leaders = find_leaders(&self.topic, &mut connection)?;
        let leads = |(_, led): &(String, Vec<i32>)| led.contains(&partition);
        match leaders.into_iter().find(leads) {
            Some((address, _)) => Ok(address),
            None => Err(BenchError::Refused {
                what: "asking for a partition's leader",
                code: LEADER_NOT_AVAILABLE,
            }),
        }
    }

    /// Where each partition ends now.
    pub fn ends(&self) -> Result<BTreeMap<i32, i64>, BenchError> {
        self.offsets(Moment::Latest)
    }

    /// Where each partition starts now.
    pub fn starts(&self) -> Result<BTreeMap<i32, i64>, BenchError> {
        self.offsets(Moment::Earliest)
    }

    /// Asks again, as every client does, while a server that has just created the topic finds its
    /// leaders.
    fn offsets(&self, moment: Moment) -> Result<BTreeMap<i32, i64>, BenchError> {
        let started = Instant::now();
        let mut found = BTreeMap::new();
        for (address, partitions) in self.leaders() {
            loop {
                match ask_offsets(address, &self.topic, partitions, moment) {
                    Err(BenchError::Refused { code, .. })
                        if RETRIABLE_CODES.contains(&code) && started.elapsed() < WAIT_MAX =>
                    {
                        thread::sleep(PAUSE);
                    }
                    answer => {
                        found.extend(answer?);
                        break;
                    }
                }
            }
        }
        Ok(found)
    }
}

/// Of a list, the first one that answers: the others are found through it.
fn any_broker(brokers: &str) -> Result<(String, Connection), BenchError> {
    let mut failure = None;
    for broker in brokers.split(',').map(str::trim) {
        match Connection::open_within(broker, CONNECT_MAX) {
            Ok(connection) => return Ok((broker.to_owned(), connection)),
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    Err(failure.unwrap_or_else(|| BenchError::Usage("no broker was named".to_owned())))
}

fn create_topic(settings: &Settings, connection: &mut Connection) -> Result<(), BenchError> {
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
            replication_factor: settings.replication,
            configs: configs.collect(),
            ..Default::default()
        }],
        timeout_ms: 60_000,
        ..Default::default()
    };
    let started = Instant::now();
    loop {
        let answer: create_topics_response::CreateTopicsResponseView<'_> =
            connection.call(&request, 7)?;
        let code = answer.topics.iter().map(|topic| topic.error_code).next();
        match code {
            Some(0 | TOPIC_ALREADY_EXISTS) => return Ok(()),
            Some(code) if !RETRIABLE_CODES.contains(&code) || started.elapsed() > WAIT_MAX => {
                let what = "creating the topic";
                return Err(BenchError::Refused { what, code });
            }
            None => return Err(BenchError::Protocol("no topic in the answer".to_owned())),
            Some(_) => thread::sleep(PAUSE),
        }
    }
}

fn find_leaders(
    topic: &str,
    connection: &mut Connection,
) -> Result<BTreeMap<String, Vec<i32>>, BenchError> {
    let request = metadata::MetadataRequest {
        topics: Some(vec![metadata::MetadataRequestTopic {
            name: Some(Cow::Borrowed(topic)),
            ..Default::default()
        }]),
        allow_auto_topic_creation: false,
        ..Default::default()
    };
    let answer: metadata_response::MetadataResponseView<'_> = connection.call(&request, 9)?;
    let address = |node| {
        let broker = answer
            .brokers
            .iter()
            .find(|broker| broker.node_id == node)?;
        Some(format!("{}:{}", broker.host, broker.port))
    };
    let mut leaders: BTreeMap<String, Vec<i32>> = BTreeMap::new();
    for partition in answer
        .topics
        .iter()
        .flat_map(|topic| topic.partitions.iter())
        .filter(|partition| partition.error_code == 0)
    {
        if let Some(address) = address(partition.leader_id) {
            leaders
                .entry(address)
                .or_default()
                .push(partition.partition_index);
        }
    }
    leaders
        .values_mut()
        .for_each(|partitions| partitions.sort_unstable());
    Ok(leaders)
}

fn ask_offsets(
    address: &str,
    topic: &str,
    partitions: &[i32],
    moment: Moment,
) -> Result<BTreeMap<i32, i64>, BenchError> {
    let asked = partitions
        .iter()
        .map(|partition_index| list::ListOffsetsPartition {
            partition_index: *partition_index,
            current_leader_epoch: -1,
            timestamp: moment as i64,
        });
    let request = list::ListOffsetsRequest {
        replica_id: -1,
        topics: vec![list::ListOffsetsTopic {
            name: Cow::Borrowed(topic),
            partitions: asked.collect(),
        }],
        ..Default::default()
    };
    let mut connection = Connection::open(address)?;
    let answer: list_offsets_response::ListOffsetsResponseView<'_> =
        connection.call(&request, 7)?;
    let mut found = BTreeMap::new();
    for partition in answer
        .topics
        .iter()
        .flat_map(|topic| topic.partitions.iter())
    {
        if partition.error_code != 0 {
            let (what, code) = ("asking for offsets", partition.error_code);
            return Err(BenchError::Refused { what, code });
        }
        found.insert(partition.partition_index, partition.offset);
    }
    Ok(found)
}

/// An id and epoch for an idempotent producer.
pub fn producer_id(connection: &mut Connection) -> Result<(i64, i16), BenchError> {
    let request = init::InitProducerIdRequest {
        transactional_id: None,
        transaction_timeout_ms: 60_000,
        producer_id: -1,
        producer_epoch: -1,
        ..Default::default()
    };
    let started = Instant::now();
    loop {
        let answer: init_producer_id_response::InitProducerIdResponseView =
            connection.call(&request, 4)?;
        match answer.error_code {
            0 => return Ok((answer.producer_id, answer.producer_epoch)),
            code if RETRIABLE_CODES.contains(&code) && started.elapsed() < WAIT_MAX => {
                thread::sleep(PAUSE);
            }
            code => {
                let what = "asking for a producer id";
                return Err(BenchError::Refused { what, code });
            }
        }
    }
}
