//! FindCoordinator's refusals, until there are groups and transactions.
//!
//! A group's coordinator is "not available yet": clients that assign partitions themselves look for it
//! all the same and carry on without. A transaction's is refused for good, for such a producer would otherwise
//! try again until it times out.

use thalweg_wire::messages::find_coordinator_request::FindCoordinatorRequestView;
use thalweg_wire::messages::find_coordinator_response::{Coordinator, FindCoordinatorResponse};

use crate::error::ErrorCode;

/// Keys of groups.
const KEY_GROUP: i8 = 0;
/// Keys of transactional ids.
const KEY_TRANSACTION: i8 = 1;

/// The first version that asks for several keys at once.
const BATCHED_VERSION: i16 = 4;

/// Answers a FindCoordinator request of that version.
#[must_use]
pub fn refuse(
    request: &FindCoordinatorRequestView<'_>,
    version: i16,
) -> FindCoordinatorResponse<'static> {
    let (code, message) = match request.key_type {
        KEY_GROUP => (
            ErrorCode::CoordinatorNotAvailable,
            "There are no consumer groups yet.",
        ),
        KEY_TRANSACTION => (
            ErrorCode::UnsupportedVersion,
            "There are no transactions yet.",
        ),
        _ => (
            ErrorCode::InvalidRequest,
            "There is no coordinator of this type.",
        ),
    };
    if version < BATCHED_VERSION {
        return FindCoordinatorResponse {
            error_code: code as i16,
            error_message: Some(message.into()),
            node_id: -1,
            port: -1,
            ..FindCoordinatorResponse::default()
        };
    }
    let coordinators = request.coordinator_keys.iter().map(|key| Coordinator {
        key: key.to_owned().into(),
        node_id: -1,
        host: "".into(),
        port: -1,
        error_code: code as i16,
        error_message: Some(message.into()),
    });
    FindCoordinatorResponse {
        coordinators: coordinators.collect(),
        ..FindCoordinatorResponse::default()
    }
}
