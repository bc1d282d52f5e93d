//! FindCoordinator: the leader of the partition of `__consumer_offsets` that a group's id hashes to.
//!
//! While the topic is missing the answer is COORDINATOR_NOT_AVAILABLE, the caller has it made behind
//! the answer, and the client asks again. A transaction's coordinator is refused for good until
//! there are transactions, for such a producer would otherwise try again until it times out.

use thalweg_wire::ids::NodeId;
use thalweg_wire::messages::find_coordinator_request::FindCoordinatorRequestView;
use thalweg_wire::messages::find_coordinator_response::{Coordinator, FindCoordinatorResponse};

use super::{Leader, Viewpoint};
use crate::error::ErrorCode;
use crate::groups::place::partition_of;
use crate::metadata::image::{Image, Topic};

/// Kafka's topic of group state.
pub const GROUP_TOPIC: &str = "__consumer_offsets";

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
    /// The topic that holds what was asked for does not exist yet.
    pub missing: bool,
}

/// Answers a FindCoordinator request of that version.
#[must_use]
pub fn find(
    image: &Image,
    viewpoint: &Viewpoint<'_>,
    request: &FindCoordinatorRequestView<'_>,
    version: i16,
) -> Found {
    let topic = image.topics.named(GROUP_TOPIC).map(AsRef::as_ref);
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
        missing: request.key_type == KEY_GROUP && topic.is_none() && asks,
    }
}

fn row(
    image: &Image,
    viewpoint: &Viewpoint<'_>,
    topic: Option<&Topic>,
    key_type: i8,
    key: &str,
) -> Coordinator<'static> {
    let found = match key_type {
        KEY_GROUP => at(image, viewpoint, topic, key).ok_or((
            ErrorCode::CoordinatorNotAvailable,
            "The coordinator is not available.",
        )),
        KEY_TRANSACTION => Err((
            ErrorCode::UnsupportedVersion,
            "There are no transactions yet.",
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
