//! One step of a sequence: a request for both servers.

use serde_json::Value;
use thalweg_wire::api::ApiKey;

/// A request, and how it is sent.
#[derive(Debug, Clone)]
pub(super) struct Step {
    pub(super) api: ApiKey,
    pub(super) version: i16,
    pub(super) body: Value,
    /// The connection.
    pub(super) lane: usize,
    /// Its answer is read after the next step's: a member that waits for another one.
    pub(super) detached: bool,
    /// Bytes that are missing at the end of the body.
    pub(super) cut: usize,
}

impl Step {
    pub(super) fn new(api: ApiKey, version: i16, body: Value) -> Self {
        Self {
            api,
            version,
            body,
            lane: 0,
            detached: false,
            cut: 0,
        }
    }

    /// Produce without acknowledgements has no answer.
    pub(super) fn is_unanswered(&self) -> bool {
        self.api == ApiKey::Produce && self.body["Acks"] == 0
    }

    /// Topics that the request may have created behind its answer, or whose state it changes.
    pub(super) fn changes_metadata(&self) -> bool {
        match self.api {
            ApiKey::CreateTopics
            | ApiKey::DeleteTopics
            | ApiKey::CreatePartitions
            | ApiKey::AlterConfigs
            | ApiKey::IncrementalAlterConfigs
            | ApiKey::UpdateFeatures => true,
            ApiKey::Metadata => self.body["AllowAutoTopicCreation"] != false,
            _ => false,
        }
    }
}
