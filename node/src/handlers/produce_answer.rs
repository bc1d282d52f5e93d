//! What a Produce request is told of one partition. Pure.

use thalweg_wire::batch::BatchError;
use thalweg_wire::ids::{NodeId, Offset};
use thalweg_wire::messages::produce_response::{
    BatchIndexAndErrorMessage, LeaderIdAndEpoch, PartitionProduceResponse,
};

use crate::shard::mailbox::{AppendedPart, Fault};

/// Why one partition's batch was refused before it was appended.
pub(super) struct Refused {
    pub(super) fault: Fault,
    pub(super) records: Vec<(i32, String)>,
    pub(super) leader: Option<(NodeId, i32)>,
}

impl From<Fault> for Refused {
    fn from(fault: Fault) -> Self {
        Self {
            fault,
            records: Vec::new(),
            leader: None,
        }
    }
}

impl From<BatchError> for Refused {
    fn from(error: BatchError) -> Self {
        let words = |record: &thalweg_wire::batch::RecordError| (record.index, record.to_string());
        Self {
            records: error.record_errors().iter().map(words).collect(),
            fault: Fault::from(error),
            leader: None,
        }
    }
}

/// Of one partition; who leads it is told where the version has room for it.
pub(super) fn partition_response(
    index: i32,
    result: Result<AppendedPart, Refused>,
    tells_leader: bool,
) -> PartitionProduceResponse<'static> {
    match result {
        Ok(appended) => PartitionProduceResponse {
            index,
            base_offset: appended.base_offset.0,
            log_append_time_ms: appended.log_append_time.map_or(-1, |time| time.0),
            log_start_offset: appended.log_start.0,
            ..PartitionProduceResponse::default()
        },
        Err(refused) => PartitionProduceResponse {
            index,
            error_code: refused.fault.code.code(),
            base_offset: Offset::NONE.0,
            record_errors: refused
                .records
                .into_iter()
                .map(|(batch_index, words)| BatchIndexAndErrorMessage {
                    batch_index,
                    batch_index_error_message: Some(words.into()),
                })
                .collect(),
            error_message: Some(refused.fault.message.into()),
            current_leader: match refused.leader.filter(|_| tells_leader) {
                Some((node, epoch)) => LeaderIdAndEpoch {
                    leader_id: node.0,
                    leader_epoch: epoch,
                },
                None => LeaderIdAndEpoch::default(),
            },
            ..PartitionProduceResponse::default()
        },
    }
}
