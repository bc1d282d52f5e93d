//! What clients of one life do: produce, fetch, list offsets, delete records, make and delete topics,
//! while the disk holds, fills up or fails flushes.
//!
//! Lasting topics are never deleted, so requests that name a topic go to them; churning ones are
//! deleted and made again under the same name, and are asked for by id. Every answer goes to the
//! checker together with what had been shown when its request was sent.
//! Deliberately absent: crashes (`life.rs`).

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use thalweg_storage::disk::Disk;
use thalweg_wire::error_code::ErrorCode;
use thalweg_wire::ids::Uuid;
use thalweg_wire::messages::create_topics_request::{
    CreatableTopic, CreatableTopicConfig, CreateTopicsRequest,
};
use thalweg_wire::messages::create_topics_response::CreateTopicsResponseView;
use thalweg_wire::messages::delete_records_request::{
    DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic,
};
use thalweg_wire::messages::delete_records_response::DeleteRecordsResponseView;
use thalweg_wire::messages::delete_topics_request::{DeleteTopicState, DeleteTopicsRequest};
use thalweg_wire::messages::delete_topics_response::DeleteTopicsResponseView;
use thalweg_wire::messages::fetch_request::{FetchPartition, FetchRequest, FetchTopic};
use thalweg_wire::messages::fetch_response::FetchResponseView;
use thalweg_wire::messages::list_offsets_request::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic,
};
use thalweg_wire::messages::list_offsets_response::ListOffsetsResponseView;
use thalweg_wire::messages::metadata_request::MetadataRequest;
use thalweg_wire::messages::metadata_response::MetadataResponseView;

use crate::checker::{Checker, Fetched, Key, Life};
use crate::client::{Client, Lost};
use crate::world::{Node, dawdle};

/// Topics that are never deleted.
pub(crate) const LASTING: [&str; 2] = ["lasting-a", "lasting-b"];
/// Topics that come and go.
pub(crate) const CHURNING: [&str; 2] = ["churning-a", "churning-b"];
/// The first version of Fetch that names topics by id.
const FETCH_BY_ID: i16 = 13;
/// ListOffsets' names for times.
const LATEST: i64 = -1;
const EARLIEST: i64 = -2;

/// Where the clients of one life sit.
pub(crate) struct Desk {
    pub(crate) node: Node,
    pub(crate) checker: Rc<RefCell<Checker>>,
    /// The disk fills up or failed a flush: refusals are allowed.
    pub(crate) faults: Rc<Cell<bool>>,
    /// A flush was failed on purpose: the node serves no more writes in this life.
    pub(crate) poisoned: Cell<bool>,
}

/// What a fetch asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Want {
    pub(crate) key: Key,
    pub(crate) offset: i64,
    pub(crate) bytes: i32,
    pub(crate) bytes_min: i32,
    pub(crate) wait_ms: i32,
}

/// What a fetch showed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shown {
    pub(crate) offsets: Vec<i64>,
    pub(crate) next: i64,
    pub(crate) high_watermark: i64,
}

impl Desk {
    pub(crate) fn roll(&self, bound: usize) -> usize {
        self.node.dice.borrow_mut().below(bound)
    }

    pub(crate) fn chance(&self, probability: f64) -> bool {
        self.node.dice.borrow_mut().chance(probability)
    }

    /// Any version from `first` to `last`.
    pub(crate) fn version(&self, first: i16, last: i16) -> i16 {
        let count = usize::try_from(last - first + 1).unwrap();
        first + i16::try_from(self.roll(count)).unwrap()
    }

    pub(crate) async fn dawdle(&self, turns_max: usize) {
        dawdle(&self.node.handle, &self.node.dice, turns_max).await;
    }

    pub(crate) fn fail(&self, text: String) {
        self.checker.borrow_mut().fail(text);
    }

    pub(crate) fn name_of(&self, topic: Uuid) -> String {
        let checker = self.checker.borrow();
        let topic = checker.topics.get(&topic);
        topic.map(|topic| topic.name.clone()).unwrap_or_default()
    }

    pub(crate) fn is_lasting(&self, topic: Uuid) -> bool {
        LASTING.contains(&self.name_of(topic).as_str())
    }

    /// Some partition of a topic that is there.
    pub(crate) fn any_partition(&self) -> Option<Key> {
        let all = self.all_partitions();
        (!all.is_empty()).then(|| all[self.roll(all.len())])
    }

    /// All partitions of topics that are there.
    pub(crate) fn all_partitions(&self) -> Vec<Key> {
        let checker = self.checker.borrow();
        let there = checker
            .topics
            .iter()
            .filter(|(_, topic)| topic.life == Life::There);
        there
            .flat_map(|(id, topic)| (0..).zip(&topic.partitions).map(|(index, _)| (*id, index)))
            .collect()
    }

    fn lasting_partition(&self) -> Option<Key> {
        let all = self.all_partitions();
        let mut lasting: Vec<Key> = all
            .into_iter()
            .filter(|key| self.is_lasting(key.0))
            .collect();
        (!lasting.is_empty()).then(|| lasting.swap_remove(self.roll(lasting.len())))
    }

    /// What had been shown of a partition, and which log start was answered.
    fn known(&self, key: Key) -> (i64, i64) {
        let checker = self.checker.borrow();
        let partition = checker.partition(key);
        partition.map_or((0, 0), |partition| (partition.shown, partition.start))
    }

    /// Asks which topics there are, and tells the checker.
    pub(crate) async fn find_topics(&self, client: &Client) -> Result<(), Lost> {
        let version = self.version(10, 13);
        let request = MetadataRequest {
            topics: None,
            ..MetadataRequest::default()
        };
        let body = client.call(&request, version).await?;
        let view = MetadataResponseView::decode(&body, version).expect("a sound answer");
        let found: Vec<(String, Uuid, Vec<i32>)> = view
            .topics
            .iter()
            // Made by the node itself; what it holds is looked at by those who committed it.
            .filter(|topic| !topic.is_internal)
            .map(|topic| {
                let mut epochs: Vec<(i32, i32)> = topic
                    .partitions
                    .iter()
                    .map(|partition| (partition.partition_index, partition.leader_epoch))
                    .collect();
                epochs.sort_unstable();
                let epochs = epochs.into_iter().map(|(_, epoch)| epoch).collect();
                (
                    topic.name.unwrap_or_default().to_owned(),
                    topic.topic_id,
                    epochs,
                )
            })
            .collect();
        self.checker.borrow_mut().found(&found);
        Ok(())
    }

    /// Makes a topic whose name is free.
    pub(crate) async fn create(&self, client: &Client, name: &str) -> Result<(), Lost> {
        {
            let mut checker = self.checker.borrow_mut();
            let mut topics = checker.topics.values();
            let taken = topics.any(|topic| topic.name == name && topic.life != Life::Gone);
            if taken || !checker.making.insert(name.to_owned()) {
                return Ok(());
            }
        }
        let config = |name: &'static str, value: &str| CreatableTopicConfig {
            name: name.into(),
            value: Some(value.to_owned().into()),
        };
        let mut configs = vec![config(
            "index.interval.bytes",
            ["1", "500", "4096"][self.roll(3)],
        )];
        if self.chance(0.6) {
            // Segments are rolled by time, since Kafka allows none smaller than 1 MiB.
            configs.push(config("segment.ms", ["1", "3", "20"][self.roll(3)]));
        }
        let request = CreateTopicsRequest {
            topics: vec![CreatableTopic {
                name: name.to_owned().into(),
                num_partitions: i32::try_from(1 + self.roll(3)).unwrap(),
                replication_factor: 1,
                configs,
                ..CreatableTopic::default()
            }],
            timeout_ms: 1_000,
            validate_only: false,
        };
        let body = client.call(&request, 7).await?;
        let view = CreateTopicsResponseView::decode(&body, 7).expect("a sound answer");
        for topic in view.topics.iter() {
            if topic.error_code == 0 {
                let partitions = usize::try_from(topic.num_partitions).unwrap();
                self.checker
                    .borrow_mut()
                    .made(name, topic.topic_id, partitions);
            } else if !self.faults.get() {
                self.fail(format!("topic {name} was not made: {}", topic.error_code));
            }
        }
        Ok(())
    }

    /// Deletes a churning topic.
    pub(crate) async fn delete(&self, client: &Client, name: &str) -> Result<(), Lost> {
        let Some(id) = self.checker.borrow().named(name) else {
            return Ok(());
        };
        self.checker.borrow_mut().set_life(id, Life::Dying);
        let request = DeleteTopicsRequest {
            topics: vec![DeleteTopicState {
                name: None,
                topic_id: id,
            }],
            topic_names: Vec::new(),
            timeout_ms: 1_000,
        };
        let body = client.call(&request, 6).await?;
        let view = DeleteTopicsResponseView::decode(&body, 6).expect("a sound answer");
        for topic in view.responses.iter() {
            if topic.error_code == 0 {
                self.checker.borrow_mut().set_life(id, Life::Gone);
            } else if !self.faults.get() {
                self.fail(format!(
                    "topic {name} was not deleted: {}",
                    topic.error_code
                ));
            }
        }
        if self.checker.borrow().life(id) == Life::Gone && self.chance(0.5) {
            let want = Want {
                key: (id, 0),
                offset: 0,
                bytes: 1,
                bytes_min: 0,
                wait_ms: 0,
            };
            let shown = self.fetch(client, want).await?;
            if shown.is_ok() {
                self.fail(format!(
                    "topic {name} {id} is fetched from after its deletion"
                ));
            }
        }
        Ok(())
    }

    /// Fetches; the code of an error that was allowed.
    pub(crate) async fn fetch(
        &self,
        client: &Client,
        want: Want,
    ) -> Result<Result<Shown, ErrorCode>, Lost> {
        let (shown_before, start_before) = self.known(want.key);
        let first = if self.is_lasting(want.key.0) {
            4
        } else {
            FETCH_BY_ID
        };
        let version = self.version(first, 17);
        let request = fetch_request(want, self.name_of(want.key.0));
        let body = match client.call(&request, version).await {
            Err(Lost::Unreadable(reason)) => {
                self.unreadable(want, &reason);
                return Ok(Err(ErrorCode::KafkaStorageError));
            }
            answer => answer?,
        };
        let view = FetchResponseView::decode(&body, version).expect("a sound answer");
        let row = view
            .responses
            .iter()
            .flat_map(|topic| topic.partitions.iter())
            .next();
        let Some(row) = row else {
            self.fail(format!("{want:?}: an empty answer, {}", view.error_code));
            return Ok(Err(ErrorCode::UnknownServerError));
        };
        let code = ErrorCode::from_code(row.error_code).expect("a known code");
        if code != ErrorCode::None {
            self.refused(want, code);
            return Ok(Err(code));
        }
        let mut checker = self.checker.borrow_mut();
        let (offsets, next) = checker.fetched(&Fetched {
            key: want.key,
            offset: want.offset,
            shown_before,
            high_watermark: row.high_watermark,
            records: row.records.unwrap_or_default(),
        });
        if version >= 5 {
            checker.start(want.key, start_before, row.log_start_offset, false);
        }
        Ok(Ok(Shown {
            offsets,
            next,
            high_watermark: row.high_watermark,
        }))
    }

    /// An answer broke off: only what was deleted meanwhile may be gone.
    fn unreadable(&self, want: Want, reason: &str) {
        let asked = self.asked(want.key);
        let there = self.checker.borrow().life(want.key.0) == Life::There;
        if there && want.offset >= asked {
            self.fail(format!("{want:?}: {reason}"));
        }
    }

    fn asked(&self, key: Key) -> i64 {
        let checker = self.checker.borrow();
        checker
            .partition(key)
            .map_or(0, |partition| partition.asked)
    }

    /// A fetch was refused: is there a reason for it?
    fn refused(&self, want: Want, code: ErrorCode) {
        let allowed = match code {
            ErrorCode::OffsetOutOfRange => want.offset < self.asked(want.key),
            ErrorCode::UnknownTopicId | ErrorCode::UnknownTopicOrPartition => {
                self.checker.borrow().life(want.key.0) != Life::There
            }
            _ => false,
        };
        if !allowed {
            self.fail(format!("{want:?}: refused with {code:?}"));
        }
    }

    /// One fetch of a consumer anywhere in a log, or at its end.
    async fn consume(&self, client: &Client) -> Result<(), Lost> {
        let Some(key) = self.any_partition() else {
            return Ok(());
        };
        let (shown, start) = self.known(key);
        let span = usize::try_from((shown - start).max(0)).unwrap();
        let offset = if self.chance(0.4) {
            shown
        } else {
            start + i64::try_from(self.roll(span + 1)).unwrap()
        };
        let want = Want {
            key,
            offset,
            bytes: [1, 400, 5_000, 1 << 20][self.roll(4)],
            bytes_min: i32::try_from(self.roll(2)).unwrap(),
            wait_ms: [0, 0, 1, 20][self.roll(4)],
        };
        self.fetch(client, want).await.map(drop)
    }

    /// Asks for an offset by name.
    pub(crate) async fn list(
        &self,
        client: &Client,
        key: Key,
        time: i64,
    ) -> Result<Option<i64>, Lost> {
        let version = self.version(if time < EARLIEST { 7 } else { 1 }, 11);
        let request = ListOffsetsRequest {
            replica_id: -1,
            isolation_level: 0,
            topics: vec![ListOffsetsTopic {
                name: self.name_of(key.0).into(),
                partitions: vec![ListOffsetsPartition {
                    partition_index: key.1,
                    current_leader_epoch: -1,
                    timestamp: time,
                }],
            }],
            timeout_ms: 1_000,
        };
        let body = client.call(&request, version).await?;
        let view = ListOffsetsResponseView::decode(&body, version).expect("a sound answer");
        let row = view
            .topics
            .iter()
            .flat_map(|topic| topic.partitions.iter())
            .next();
        let row = row.expect("one answer");
        if row.error_code != 0 {
            self.fail(format!(
                "{key:?}: ListOffsets refused with {}",
                row.error_code
            ));
            return Ok(None);
        }
        Ok(Some(row.offset))
    }

    async fn list_any(&self, client: &Client) -> Result<(), Lost> {
        let Some(key) = self.lasting_partition() else {
            return Ok(());
        };
        let (shown, start) = self.known(key);
        let latest = self.chance(0.7);
        let time = if latest { LATEST } else { EARLIEST };
        if let Some(offset) = self.list(client, key, time).await? {
            let mut checker = self.checker.borrow_mut();
            if latest {
                checker.end(key, shown, offset);
            } else {
                checker.start(key, start, offset, false);
            }
        }
        Ok(())
    }

    async fn delete_records(&self, client: &Client) -> Result<(), Lost> {
        let Some(key) = self.lasting_partition() else {
            return Ok(());
        };
        let (shown, start) = self.known(key);
        let span = usize::try_from((shown - start).max(0)).unwrap();
        let offset = start + i64::try_from(self.roll(span / 2 + 1)).unwrap();
        self.checker.borrow_mut().ask_start(key, offset);
        let request = DeleteRecordsRequest {
            topics: vec![DeleteRecordsTopic {
                name: self.name_of(key.0).into(),
                partitions: vec![DeleteRecordsPartition {
                    partition_index: key.1,
                    offset,
                }],
            }],
            timeout_ms: 1_000,
        };
        let version = self.version(0, 2);
        let body = client.call(&request, version).await?;
        let view = DeleteRecordsResponseView::decode(&body, version).expect("a sound answer");
        for row in view.topics.iter().flat_map(|topic| topic.partitions.iter()) {
            if row.error_code == 0 {
                let mut checker = self.checker.borrow_mut();
                checker.start(key, offset.max(start), row.low_watermark, true);
            } else if !self.faults.get() {
                self.fail(format!(
                    "{key:?}: DeleteRecords refused with {}",
                    row.error_code
                ));
            }
        }
        Ok(())
    }

    /// One thing that a client which is no producer may do.
    pub(crate) async fn errand(&self, client: &Client) -> Result<(), Lost> {
        match self.roll(20) {
            0 => {
                self.delete(client, CHURNING[self.roll(CHURNING.len())])
                    .await
            }
            1 | 2 => {
                self.create(client, CHURNING[self.roll(CHURNING.len())])
                    .await
            }
            3 => self.delete_records(client).await,
            4..=6 => self.list_any(client).await,
            _ => self.consume(client).await,
        }
    }

    /// Reads every partition from its log start to its end and compares it with the ledger.
    pub(crate) async fn audit(&self, client: &Client) -> Result<(), Lost> {
        for key in self.all_partitions() {
            let start = self.asked(key).max(self.known(key).1);
            let mut offset = start;
            let mut read = BTreeSet::new();
            loop {
                let want = Want {
                    key,
                    offset,
                    bytes: 1 << 20,
                    bytes_min: 1,
                    wait_ms: 0,
                };
                let Ok(shown) = self.fetch(client, want).await? else {
                    break;
                };
                read.extend(shown.offsets);
                if shown.next <= offset {
                    self.checker.borrow_mut().complete(key, &read, start);
                    if shown.next < shown.high_watermark {
                        self.fail(format!(
                            "{key:?}: nothing at {offset} below the high watermark"
                        ));
                    }
                    break;
                }
                offset = shown.next;
            }
        }
        self.checker.borrow_mut().in_order();
        Ok(())
    }

    /// One fault of the disk, for a while or for the rest of this life.
    pub(crate) async fn trouble(&self) {
        let disk = &self.node.disk;
        let pause = Duration::from_millis(1 + self.roll(8) as u64);
        match self.roll(8) {
            0 => {
                self.faults.set(true);
                self.poisoned.set(true);
                disk.fail_flushes(1);
            }
            1 | 2 => {
                self.faults.set(true);
                let limit = 1_u64 << 50;
                let used = limit - disk.free_bytes().await.unwrap_or(limit);
                disk.set_capacity(Some(used + 4_096 * self.roll(20) as u64));
                self.node.handle.sleep(pause).await;
                disk.set_capacity(None);
            }
            _ => {
                disk.hold_flushes();
                self.node.handle.sleep(pause).await;
                disk.release_flushes();
            }
        }
    }
}

fn fetch_request(want: Want, name: String) -> FetchRequest<'static> {
    FetchRequest {
        replica_id: -1,
        max_wait_ms: want.wait_ms,
        min_bytes: want.bytes_min,
        max_bytes: i32::MAX,
        session_id: 0,
        session_epoch: -1,
        topics: vec![FetchTopic {
            topic: name.into(),
            topic_id: want.key.0,
            partitions: vec![FetchPartition {
                partition: want.key.1,
                current_leader_epoch: -1,
                fetch_offset: want.offset,
                last_fetched_epoch: -1,
                log_start_offset: -1,
                partition_max_bytes: want.bytes,
                ..FetchPartition::default()
            }],
        }],
        ..FetchRequest::default()
    }
}
