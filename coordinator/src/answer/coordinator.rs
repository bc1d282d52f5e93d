//! FindCoordinator: the leader of the partition of `__consumer_offsets` or `__transaction_state` that a
//! group's id or a transactional id hashes to.
//!
//! While the topic is missing the answer is COORDINATOR_NOT_AVAILABLE, the caller has it made behind
//! the answer, and the client asks again.

use thalweg_wire::ids::NodeId;
use thalweg_wire::messages::find_coordinator_request::FindCoordinatorRequestView;
use thalweg_wire::messages::find_coordinator_response::{Coordinator, FindCoordinatorResponse};

use super::{Leader, Viewpoint};
use crate::error::ErrorCode;
use crate::groups::place::partition_of;
use crate::metadata::image::{Image, Topic};

/// Kafka's topic of group state.
pub const GROUP_TOPIC: &str = "__consumer_offsets";

/// Kafka's topic of transactions' state.
pub const TXN_TOPIC: &str = "__transaction_state";

/// Keys of groups.
const KEY_GROUP: i8 = 0;
/// Keys of transactional ids.
const KEY_TRANSACTION: i8 = 1;

/// The first version that asks for several keys at once.
const BATCHED_VERSION: i16 = 4;

/// What a FindCoordinator request leads to.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// The answer.
    pub response: FindCoordinatorResponse<'static>,
    /// The topic that holds what was asked for, if it does not exist yet.
    pub missing: Option<&'static str>,
}

/// Answers a FindCoordinator request of that version.
#[must_use]
pub fn find(
    image: &Image,
    viewpoint: &Viewpoint<'_>,
    request: &FindCoordinatorRequestView<'_>,
    version: i16,
) -> Found {
    let name = match request.key_type {
        KEY_TRANSACTION => TXN_TOPIC,
        _ => GROUP_TOPIC,
    };
    let topic = image.topics.named(name).map(AsRef::as_ref);
    let look = |key: &str| row(image, viewpoint, topic, request.key_type, key);
    let response = if version < BATCHED_VERSION {
        let row = look(request.key);
        FindCoordinatorResponse {
            error_code: row.error_code,
            error_message: row.error_message.or(Some("NONE".into())),
            node_id: row.node_id,
            host: row.host,
            port: row.port,
            ..FindCoordinatorResponse::default()
        }
    } else {
        FindCoordinatorResponse {
            coordinators: request.coordinator_keys.iter().map(look).collect(),
            ..FindCoordinatorResponse::default()
        }
    };
    let asks = version < BATCHED_VERSION || !request.coordinator_keys.is_empty();
    Found {
        response,
        missing: (is_known(request.key_type) && topic.is_none() && asks).then_some(name),
    }
}

const fn is_known(key_type: i8) -> bool {
    matches!(key_type, KEY_GROUP | KEY_TRANSACTION)
}

fn row(
    image: &Image,
    viewpoint: &Viewpoint<'_>,
    topic: Option<&Topic>,
    key_type: i8,
    key: &str,
) -> Coordinator<'static> {
    let found = match key_type {
        kind if is_known(kind) => at(image, viewpoint, topic, key).ok_or((
            ErrorCode::CoordinatorNotAvailable,
            "The coordinator is not available.",
        )),
        _ => Err((
            ErrorCode::InvalidRequest,
            "There is no coordinator of this type.",
        )),
    };
    let key = key.to_owned().into();
    match found {
        Ok((node, host, port)) => Coordinator {
            key,
            node_id: node.0,
            host: host.into(),
            port,
            error_code: 0,
            error_message: None,
        },
        Err((code, message)) => Coordinator {
            key,
            node_id: -1,
            host: "".into(),
            port: -1,
            error_code: code as i16,
            error_message: Some(message.into()),
        },
    }
}

/// Where the client reaches the leader of the group's partition.
fn at(
    image: &Image,
    viewpoint: &Viewpoint<'_>,
    topic: Option<&Topic>,
    key: &str,
) -> Option<(NodeId, String, i32)> {
    let topic = topic?;
    let count = u32::try_from(topic.partitions.len()).ok()?;
    let partition = topic.partition(partition_of(key, count))?;
    let Leader::At(node) = viewpoint.leader(image, partition) else {
        return None;
    };
    let reached = viewpoint.reach(image.brokers.get(&node)?)?;
    Some((node, reached.host.to_owned(), reached.port))
}
