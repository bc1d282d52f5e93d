//! WriteTxnMarkers: transactions end in these partitions, as another coordinator or an administrator says.
//!
//! Our own coordinator does not come this way. Kafka's tool does, to end a transaction that hangs.

use std::collections::BTreeMap;
use std::rc::Rc;

use thalweg_coordinator::groups::step::Marker;
use thalweg_storage::disk::Disk;
use thalweg_wire::error_code::ErrorCode;
use thalweg_wire::ids::{PartitionId, PartitionIndex, ProducerEpoch, ProducerId};
use thalweg_wire::messages::write_txn_markers_request::WriteTxnMarkersRequestView;
use thalweg_wire::messages::write_txn_markers_response::{
    WritableTxnMarkerPartitionResult, WritableTxnMarkerResult, WritableTxnMarkerTopicResult,
    WriteTxnMarkersResponse,
};

use crate::outgoing::Answer;
use crate::request::{Refusal, Request};
use crate::shard::core::ShardCore;
use crate::transactions::markers::write_all;

/// The transaction version from which on the marker's epoch was raised for it.
const RAISES_EPOCH: i8 = 2;

/// Answers the request.
pub async fn handle<D: Disk>(
    core: &Rc<ShardCore<D>>,
    request: &Request,
) -> Result<Answer, Refusal> {
    let asked: WriteTxnMarkersRequestView<'_> = request.view()?;
    let mut response = WriteTxnMarkersResponse::default();
    let mut wanted = Vec::new();
    let mut places: BTreeMap<usize, (usize, usize, usize)> = BTreeMap::new();
    let image = core.image();
    for (m, one) in asked.markers.iter().enumerate() {
        let marker = Marker {
            producer: ProducerId(one.producer_id),
            epoch: ProducerEpoch(one.producer_epoch),
            coordinator_epoch: one.coordinator_epoch,
            commit: one.transaction_result,
            raises_epoch: one.transaction_version >= RAISES_EPOCH,
        };
        let mut topics = Vec::new();
        for (t, topic) in one.topics.iter().enumerate() {
            let known = image.topics.named(topic.name);
            let mut partitions = Vec::new();
            for (p, index) in topic.partition_indexes.iter().enumerate() {
                let index = PartitionIndex(index);
                let known = known.filter(|topic| topic.partition(index).is_some());
                if let Some(topic) = known {
                    let topic = topic.id;
                    places.insert(wanted.len(), (m, t, p));
                    wanted.push((PartitionId { topic, index }, marker));
                }
                partitions.push(WritableTxnMarkerPartitionResult {
                    partition_index: index.0,
                    error_code: ErrorCode::UnknownTopicOrPartition.code(),
                });
            }
            topics.push(WritableTxnMarkerTopicResult {
                name: topic.name.to_owned().into(),
                partitions,
            });
        }
        response.markers.push(WritableTxnMarkerResult {
            producer_id: one.producer_id,
            topics,
        });
    }
    for (at, code) in write_all(core, wanted).await.into_iter().enumerate() {
        let Some((m, t, p)) = places.get(&at).copied() else {
            continue;
        };
        let marker = response.markers.get_mut(m);
        let topic = marker.and_then(|marker| marker.topics.get_mut(t));
        if let Some(row) = topic.and_then(|topic| topic.partitions.get_mut(p)) {
            row.error_code = code.code();
        }
    }
    request.respond(&response)
}
