//! Consumers: each a connection that fetches its share of the partitions from their start.
//!
//! Every batch's checksum and every offset is verified: the speed of wrong answers is worth
//! nothing. One fetch is under way at a time, as with Kafka's own client.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::thread;

use thalweg_wire::batch::header::{BatchRef, split};
use thalweg_wire::messages::{fetch_request as request, fetch_response};

use super::{Clock, Tally, joined};
use crate::client::{self, Receiver, Sender};
use crate::{BenchError, Settings};

/// Topic by name, flexible; every server since Kafka 2.7 has it.
const VERSION: i16 = 12;
const WAIT_MS: i32 = 500;
/// Kafka's default for fetch.max.bytes.
const ANSWER_BYTES_MAX: i32 = 50 << 20;

/// Positions of one consumer and the requests that follow from them.
#[derive(Debug)]
pub(super) struct Fetcher {
    topic: String,
    fetch_bytes: i32,
    /// Next offset of each partition.
    pub(super) positions: BTreeMap<i32, i64>,
    sender: Sender,
    receiver: Receiver,
}

impl Fetcher {
    pub(super) fn new(
        settings: &Settings,
        positions: BTreeMap<i32, i64>,
    ) -> Result<Self, BenchError> {
        let (sender, receiver) = client::connect(&settings.brokers)?;
        let (topic, fetch_bytes) = (settings.topic.clone(), settings.fetch_bytes);
        Ok(Self {
            topic,
            fetch_bytes,
            positions,
            sender,
            receiver,
        })
    }

    /// One fetch; each verified batch goes to `take`. The number of bytes that came.
    pub(super) fn fetch(
        &mut self,
        mut take: impl FnMut(i32, &BatchRef<'_>) -> Result<(), BenchError>,
    ) -> Result<u64, BenchError> {
        self.sender.send(&self.request(), VERSION)?;
        let answer: fetch_response::FetchResponseView<'_> = self.receiver.view(VERSION)?;
        if answer.error_code != 0 {
            return Err(BenchError::Refused {
                what: "fetching",
                code: answer.error_code,
            });
        }
        let mut bytes = 0;
        for data in answer
            .responses
            .iter()
            .flat_map(|topic| topic.partitions.iter())
        {
            if data.error_code != 0 {
                return Err(BenchError::Refused {
                    what: "fetching",
                    code: data.error_code,
                });
            }
            let Some(position) = self.positions.get_mut(&data.partition_index) else {
                let what = format!("partition {} was not asked for", data.partition_index);
                return Err(BenchError::Protocol(what));
            };
            let records = data.records.unwrap_or_default();
            bytes += records.len() as u64;
            // A batch that was cut at the end is fetched again.
            for batch in split(records).map_while(Result::ok) {
                verify(&batch, data.partition_index, *position)?;
                *position = batch.header().next_offset().0;
                take(data.partition_index, &batch)?;
            }
        }
        Ok(bytes)
    }

    fn request(&self) -> request::FetchRequest<'static> {
        let partitions = self
            .positions
            .iter()
            .map(|(partition, offset)| request::FetchPartition {
                partition: *partition,
                current_leader_epoch: -1,
                fetch_offset: *offset,
                last_fetched_epoch: -1,
                log_start_offset: -1,
                partition_max_bytes: self.fetch_bytes,
                ..Default::default()
            });
        request::FetchRequest {
            replica_id: -1,
            max_wait_ms: WAIT_MS,
            min_bytes: 1,
            max_bytes: ANSWER_BYTES_MAX,
            session_epoch: -1,
            topics: vec![request::FetchTopic {
                topic: Cow::Owned(self.topic.clone()),
                partitions: partitions.collect(),
                ..Default::default()
            }],
            ..Default::default()
        }
    }
}

/// The batch that holds the position asked for, whole.
fn verify(batch: &BatchRef<'_>, partition: i32, position: i64) -> Result<(), BenchError> {
    let header = batch.header();
    if !batch.crc_matches() {
        return Err(BenchError::Wrong(format!(
            "bad checksum at {partition}:{position}"
        )));
    }
    if header.base_offset().0 > position || header.next_offset().0 <= position {
        let what = format!(
            "{partition}: asked for {position}, got {:?}",
            header.base_offset()
        );
        return Err(BenchError::Wrong(what));
    }
    Ok(())
}

/// Partitions of consumer `index`.
pub(super) fn share(settings: &Settings, index: usize, offsets: &[i64]) -> BTreeMap<i32, i64> {
    offsets
        .iter()
        .enumerate()
        .filter(|(partition, _)| partition % settings.consumers == index)
        .map(|(partition, offset)| (partition as i32, *offset))
        .collect()
}

pub(super) fn run(settings: &Settings) -> Result<Tally, BenchError> {
    let ends = client::end_offsets(settings)?;
    let clock = Clock::start();
    let mut consumers = Vec::new();
    for index in 0..settings.consumers {
        let ends = share(settings, index, &ends);
        let positions = ends.keys().map(|partition| (*partition, 0)).collect();
        let fetcher = Fetcher::new(settings, positions)?;
        let wanted = settings
            .records
            .map(|records| records / settings.consumers as u64);
        consumers.push(thread::spawn(move || {
            consume(fetcher, &ends, wanted, clock)
        }));
    }
    let mut total = Tally::default();
    for consumer in consumers {
        total.add(&joined(consumer)?);
    }
    Ok(total)
}

fn consume(
    mut fetcher: Fetcher,
    ends: &BTreeMap<i32, i64>,
    wanted: Option<u64>,
    clock: Clock,
) -> Result<Tally, BenchError> {
    let mut tally = Tally::default();
    let behind = |positions: &BTreeMap<i32, i64>| {
        positions
            .iter()
            .any(|(partition, at)| ends.get(partition).is_some_and(|end| at < end))
    };
    while behind(&fetcher.positions) && wanted.is_none_or(|wanted| tally.records < wanted) {
        let (asked, mut records, mut batches) = (clock.now_ns(), 0, 0);
        let bytes = fetcher.fetch(|_, batch| {
            records += u64::try_from(batch.header().record_count()).unwrap_or(0);
            batches += 1;
            Ok(())
        })?;
        let now = clock.now_ns();
        tally.requests += 1;
        tally.batches += batches;
        tally.records += records;
        tally.bytes += bytes;
        tally.latencies.record(now - asked);
        tally.tick((now / 1_000_000_000) as usize, records, now - asked);
    }
    tally.seconds = clock.now_ns() as f64 / 1e9;
    Ok(tally)
}
