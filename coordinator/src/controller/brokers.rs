//! This node enters its cluster, and leaves it in order.
//!
//! Each start is a new incarnation: a new quorum epoch, new registrations, and for every partition
//! this node leads a change record that sets the leader again, which raises its leader epoch. So clients
//! and followers can tell a log that lost its tail from one that did not. Deliberately absent: heartbeats:
//! a lone node is alive as long as it runs.

use std::borrow::Cow;

use thalweg_wire::bytes::EncodeError;
use thalweg_wire::ids::{NodeId, TimestampMs, Uuid};
use thalweg_wire::messages::abort_transaction_record::AbortTransactionRecord;
use thalweg_wire::messages::broker_registration_change_record::BrokerRegistrationChangeRecord;
use thalweg_wire::messages::partition_change_record::PartitionChangeRecord;
use thalweg_wire::messages::register_broker_record::{
    BrokerEndpoint, BrokerFeature, RegisterBrokerRecord,
};
use thalweg_wire::messages::register_controller_record::{
    ControllerEndpoint, ControllerFeature, RegisterControllerRecord,
};

use super::features::{FEATURES, METADATA_VERSION, next_epoch};
use crate::format;
use crate::metadata::image::{Endpoint, Image, LEADER_NONE, Partition, raw};
use crate::metadata::log::LogReader;
use crate::metadata::record::{PROPOSAL_RECORDS_MAX, Place, Proposed, encode_batch};

/// What a node says of itself when it starts.
#[derive(Clone, Debug)]
pub struct Start {
    /// Its id.
    pub node: NodeId,
    /// Its log directory's id.
    pub directory: Uuid,
    /// Random, new at each start.
    pub broker_incarnation: Uuid,
    /// Random, new at each start.
    pub controller_incarnation: Uuid,
    /// Where clients and brokers reach it.
    pub broker_endpoints: Vec<Endpoint>,
    /// Where the quorum reaches it.
    pub controller_endpoints: Vec<Endpoint>,
    /// Its rack.
    pub rack: Option<String>,
    /// The time of writing.
    pub now: TimestampMs,
}

/// The batches that a lone node appends to the metadata log when it starts, in order, after everything that
/// `reader` has seen. They count once they are durable and applied through the same reader.
///
/// # Errors
/// A record that cannot be written, which a well-formed `start` never leads to.
pub fn start(reader: &LogReader, start: &Start) -> Result<Vec<Vec<u8>>, EncodeError> {
    let image = reader.image();
    let epoch = next_epoch(reader.quorum());
    let place = Place {
        base_offset: reader.next_offset(),
        epoch,
        timestamp: start.now,
    };
    let mut log = Batches {
        place,
        batches: Vec::new(),
    };
    let voter = (reader.next_offset().0 == 0).then_some(start);
    let (count, batch) = format::leader_change_batch(start.node, voter, place)?;
    log.batches.push(batch);
    log.place = log.place.after(count);
    if reader.in_transaction() {
        let reason = Some("the node stopped in the middle of it".into());
        log.push(&[Proposed::new(AbortTransactionRecord { reason }, 0)])?;
    }
    if image.feature(METADATA_VERSION) == 0 {
        log.push(&format::bootstrap_transaction())?;
    }
    log.push(&[register_controller(start)])?;
    // A broker's epoch is the offset of its registration.
    let broker_epoch = log.place.base_offset.0;
    log.push(&[register_broker(start, broker_epoch)])?;
    let mut records = vec![fence(start.node, broker_epoch, false)];
    for (id, _, partition) in image.partitions() {
        if let Some(mut record) = lead(partition, start) {
            (record.topic_id, record.partition_id) = (id.topic, id.index.0);
            records.push(Proposed::new(record, 2));
        }
    }
    for chunk in records.chunks(PROPOSAL_RECORDS_MAX) {
        log.push(chunk)?;
    }
    Ok(log.batches)
}

struct Batches {
    place: Place,
    batches: Vec<Vec<u8>>,
}

impl Batches {
    fn push(&mut self, records: &[Proposed]) -> Result<(), EncodeError> {
        self.batches.push(encode_batch(records, self.place)?);
        self.place = self.place.after(records.len());
        Ok(())
    }
}

fn register_controller(start: &Start) -> Proposed {
    let features = FEATURES.iter().map(|feature| ControllerFeature {
        name: feature.name.into(),
        min_supported_version: feature.supported.0,
        max_supported_version: feature.supported.1,
    });
    let end_points = start
        .controller_endpoints
        .iter()
        .map(|endpoint| ControllerEndpoint {
            name: endpoint.name.clone().into(),
            host: endpoint.host.clone().into(),
            port: endpoint.port,
            security_protocol: endpoint.security_protocol,
        });
    let record = RegisterControllerRecord {
        controller_id: start.node.0,
        incarnation_id: start.controller_incarnation,
        zk_migration_ready: false,
        end_points: end_points.collect(),
        features: features.collect(),
    };
    Proposed::new(record, 0)
}

fn register_broker(start: &Start, broker_epoch: i64) -> Proposed {
    let features = FEATURES.iter().map(|feature| BrokerFeature {
        name: feature.name.into(),
        min_supported_version: feature.supported.0,
        max_supported_version: feature.supported.1,
    });
    let end_points = start
        .broker_endpoints
        .iter()
        .map(|endpoint| BrokerEndpoint {
            name: endpoint.name.clone().into(),
            host: endpoint.host.clone().into(),
            port: endpoint.port,
            security_protocol: endpoint.security_protocol,
        });
    let record = RegisterBrokerRecord {
        broker_id: start.node.0,
        incarnation_id: start.broker_incarnation,
        broker_epoch,
        end_points: end_points.collect(),
        features: features.collect(),
        rack: start.rack.clone().map(Cow::Owned),
        fenced: true,
        log_dirs: vec![start.directory],
        ..RegisterBrokerRecord::default()
    };
    Proposed::new(record, 4)
}

fn fence(node: NodeId, broker_epoch: i64, fenced: bool) -> Proposed {
    let record = BrokerRegistrationChangeRecord {
        broker_id: node.0,
        broker_epoch,
        fenced: if fenced { 1 } else { -1 },
        ..BrokerRegistrationChangeRecord::default()
    };
    Proposed::new(record, 0)
}

/// What makes this node the leader of a partition again: nothing if another leads or none of it is ours.
fn lead(partition: &Partition, start: &Start) -> Option<PartitionChangeRecord> {
    let at = partition
        .replicas
        .iter()
        .position(|node| *node == start.node)?;
    let leaderless = partition.leader == LEADER_NONE;
    if partition.leader != start.node && !leaderless {
        return None;
    }
    let mut record = PartitionChangeRecord {
        leader: start.node.0,
        ..PartitionChangeRecord::default()
    };
    if leaderless {
        let clean = partition.isr.contains(&start.node) || partition.eligible.contains(&start.node);
        let lone = partition.replicas.len() == 1;
        if !clean && !lone {
            return None;
        }
        if partition.isr != [start.node] {
            record.isr = Some(raw(&[start.node]));
        }
        record.eligible_leader_replicas = (!partition.eligible.is_empty()).then(Vec::new);
        record.last_known_elr = (!partition.last_known_eligible.is_empty()).then(Vec::new);
    }
    if partition.directories.get(at) != Some(&start.directory) {
        let mut directories = partition.directories.clone();
        directories.resize(partition.replicas.len(), Uuid::ZERO);
        if let Some(slot) = directories.get_mut(at) {
            *slot = start.directory;
        }
        record.directories = Some(directories);
    }
    Some(record)
}

/// The records of an orderly stop, as Kafka's controlled shutdown writes them: a Kafka that starts on
/// the directory finds a fenced broker and need not wait for its session to end.
#[must_use]
pub fn stop(image: &Image, node: NodeId) -> Vec<Proposed> {
    let Some(broker) = image.brokers.get(&node).filter(|broker| !broker.fenced) else {
        return Vec::new();
    };
    let shutdown = BrokerRegistrationChangeRecord {
        broker_id: node.0,
        broker_epoch: broker.epoch,
        in_controlled_shutdown: 1,
        ..BrokerRegistrationChangeRecord::default()
    };
    let mut records = vec![Proposed::new(shutdown, 1)];
    let led = image
        .partitions()
        .filter(|(_, _, partition)| partition.leader == node);
    for (id, _, _) in led.filter(|(_, _, partition)| partition.isr == [node]) {
        let record = PartitionChangeRecord {
            topic_id: id.topic,
            partition_id: id.index.0,
            leader: LEADER_NONE.0,
            isr: Some(Vec::new()),
            eligible_leader_replicas: Some(raw(&[node])),
            last_known_elr: Some(raw(&[node])),
            ..PartitionChangeRecord::default()
        };
        records.push(Proposed::new(record, 2));
    }
    records.push(fence(node, broker.epoch, true));
    records
}
