//! What the records of Kafka's own topics say: the metadata log, group offsets, transactions, share
//! groups, and markers. Pure: bytes in, JSON out.
//!
//! A record that cannot be decoded is told as such and shown as its bytes; it stops nothing.

use serde_json::{Map, Value};
use thalweg_wire::batch::ControlType;
use thalweg_wire::bytes::{DecodeError, Reader};
use thalweg_wire::messages as m;
use thalweg_wire::messages::coordinator::{decode_key, decode_value, record_type};
use thalweg_wire::messages::metadata::decode_record;

use super::super::encoding;
use super::super::records::Record;
use super::debug_json::json_of;

/// Whose records they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Decoder {
    /// `__cluster_metadata` and its snapshots
    Metadata,
    /// `__consumer_offsets`
    Offsets,
    /// `__transaction_state`
    Transactions,
    /// `__share_group_state`
    ShareState,
    /// A topic of applications
    Plain,
}

impl Decoder {
    /// By the name of the directory or topic.
    pub(super) fn of_topic(topic: &str) -> Self {
        match topic {
            "__cluster_metadata" => Self::Metadata,
            "__consumer_offsets" => Self::Offsets,
            "__transaction_state" => Self::Transactions,
            "__share_group_state" => Self::ShareState,
            _ => Self::Plain,
        }
    }

    /// What a record says; none for records of applications.
    pub(super) fn decode(self, record: &Record) -> Option<Value> {
        let key = record.key.as_deref();
        let value = record.value.as_deref();
        let decoded = match self {
            Self::Plain => return None,
            Self::Metadata => metadata(value?),
            Self::Offsets => offsets(key?, value),
            Self::Transactions => transactions(key?, value),
            Self::ShareState => share_state(key?, value),
        };
        Some(decoded.unwrap_or_else(|why| serde_json::json!({ "undecodable": why })))
    }
}

fn named(kind: &str, version: Option<i16>, key: Option<Value>, value: Value) -> Value {
    let mut object = Map::new();
    object.insert("type".to_owned(), kind.into());
    if let Some(version) = version {
        object.insert("version".to_owned(), version.into());
    }
    if let Some(key) = key {
        object.insert("key".to_owned(), key);
    }
    object.insert("value".to_owned(), value);
    Value::Object(object)
}

fn metadata(value: &[u8]) -> Result<Value, String> {
    let (record, version) = decode_record(value).map_err(|error| error.to_string())?;
    let debug = format!("{record:?}");
    let kind = debug.split('(').next().unwrap_or_default();
    let value = match json_of(&debug) {
        // A structure without fields is written as its name.
        Value::String(_) => Value::Object(Map::new()),
        value => value,
    };
    Ok(named(kind, Some(version), None, value))
}

/// One arm for each type of record: its number, its name, and the modules and types of key and value.
macro_rules! decoders {
    ($function:ident; $($number:literal $name:literal $key_module:ident $key:ident $value_module:ident $value:ident;)*) => {
        fn $function(key: &[u8], value: Option<&[u8]>) -> Result<Value, String> {
            let words = |error: DecodeError| error.to_string();
            let (kind, _) = record_type(key).map_err(words)?;
            match kind {
                $($number => {
                    let key = decode_key::<m::$key_module::$key>(key).map_err(words)?;
                    let key = json_of(&format!("{:?}", key.to_owned()));
                    let Some(value) = value else {
                        return Ok(named($name, None, Some(key), Value::Null));
                    };
                    let (value, version) =
                        decode_value::<m::$value_module::$value>(value).map_err(words)?;
                    let value = blobs_as_base64(json_of(&format!("{:?}", value.to_owned())));
                    Ok(named($name, Some(version), Some(key), value))
                })*
                other => Err(format!("record type {other} is unknown")),
            }
        }
    };
}

decoders! {
    offsets;
    0 "LegacyOffsetCommit" legacy_offset_commit_key LegacyOffsetCommitKeyView legacy_offset_commit_value LegacyOffsetCommitValueView;
    1 "OffsetCommit" offset_commit_key OffsetCommitKeyView offset_commit_value OffsetCommitValueView;
    2 "GroupMetadata" group_metadata_key GroupMetadataKeyView group_metadata_value GroupMetadataValueView;
    3 "ConsumerGroupMetadata" consumer_group_metadata_key ConsumerGroupMetadataKeyView consumer_group_metadata_value ConsumerGroupMetadataValueView;
    4 "ConsumerGroupPartitionMetadata" consumer_group_partition_metadata_key ConsumerGroupPartitionMetadataKeyView consumer_group_partition_metadata_value ConsumerGroupPartitionMetadataValueView;
    5 "ConsumerGroupMemberMetadata" consumer_group_member_metadata_key ConsumerGroupMemberMetadataKeyView consumer_group_member_metadata_value ConsumerGroupMemberMetadataValueView;
    6 "ConsumerGroupTargetAssignmentMetadata" consumer_group_target_assignment_metadata_key ConsumerGroupTargetAssignmentMetadataKeyView consumer_group_target_assignment_metadata_value ConsumerGroupTargetAssignmentMetadataValueView;
    7 "ConsumerGroupTargetAssignmentMember" consumer_group_target_assignment_member_key ConsumerGroupTargetAssignmentMemberKeyView consumer_group_target_assignment_member_value ConsumerGroupTargetAssignmentMemberValueView;
    8 "ConsumerGroupCurrentMemberAssignment" consumer_group_current_member_assignment_key ConsumerGroupCurrentMemberAssignmentKeyView consumer_group_current_member_assignment_value ConsumerGroupCurrentMemberAssignmentValueView;
    10 "ShareGroupMemberMetadata" share_group_member_metadata_key ShareGroupMemberMetadataKeyView share_group_member_metadata_value ShareGroupMemberMetadataValueView;
    11 "ShareGroupMetadata" share_group_metadata_key ShareGroupMetadataKeyView share_group_metadata_value ShareGroupMetadataValueView;
    12 "ShareGroupTargetAssignmentMetadata" share_group_target_assignment_metadata_key ShareGroupTargetAssignmentMetadataKeyView share_group_target_assignment_metadata_value ShareGroupTargetAssignmentMetadataValueView;
    13 "ShareGroupTargetAssignmentMember" share_group_target_assignment_member_key ShareGroupTargetAssignmentMemberKeyView share_group_target_assignment_member_value ShareGroupTargetAssignmentMemberValueView;
    14 "ShareGroupCurrentMemberAssignment" share_group_current_member_assignment_key ShareGroupCurrentMemberAssignmentKeyView share_group_current_member_assignment_value ShareGroupCurrentMemberAssignmentValueView;
    15 "ShareGroupStatePartitionMetadata" share_group_state_partition_metadata_key ShareGroupStatePartitionMetadataKeyView share_group_state_partition_metadata_value ShareGroupStatePartitionMetadataValueView;
    16 "ConsumerGroupRegularExpression" consumer_group_regular_expression_key ConsumerGroupRegularExpressionKeyView consumer_group_regular_expression_value ConsumerGroupRegularExpressionValueView;
    17 "StreamsGroupMetadata" streams_group_metadata_key StreamsGroupMetadataKeyView streams_group_metadata_value StreamsGroupMetadataValueView;
    19 "StreamsGroupMemberMetadata" streams_group_member_metadata_key StreamsGroupMemberMetadataKeyView streams_group_member_metadata_value StreamsGroupMemberMetadataValueView;
    20 "StreamsGroupTargetAssignmentMetadata" streams_group_target_assignment_metadata_key StreamsGroupTargetAssignmentMetadataKeyView streams_group_target_assignment_metadata_value StreamsGroupTargetAssignmentMetadataValueView;
    21 "StreamsGroupTargetAssignmentMember" streams_group_target_assignment_member_key StreamsGroupTargetAssignmentMemberKeyView streams_group_target_assignment_member_value StreamsGroupTargetAssignmentMemberValueView;
    22 "StreamsGroupCurrentMemberAssignment" streams_group_current_member_assignment_key StreamsGroupCurrentMemberAssignmentKeyView streams_group_current_member_assignment_value StreamsGroupCurrentMemberAssignmentValueView;
    23 "StreamsGroupTopology" streams_group_topology_key StreamsGroupTopologyKeyView streams_group_topology_value StreamsGroupTopologyValueView;
}

decoders! {
    transactions;
    0 "TransactionLog" transaction_log_key TransactionLogKeyView transaction_log_value TransactionLogValueView;
}

decoders! {
    share_state;
    0 "ShareSnapshot" share_snapshot_key ShareSnapshotKeyView share_snapshot_value ShareSnapshotValueView;
    1 "ShareUpdate" share_update_key ShareUpdateKeyView share_update_value ShareUpdateValueView;
}

/// Fields that hold what clients encoded, and would be long lists of numbers otherwise.
const BLOBS: &[&str] = &["subscription", "assignment", "user_data", "metadata"];

fn blobs_as_base64(value: Value) -> Value {
    match value {
        Value::Array(items) => items.into_iter().map(blobs_as_base64).collect(),
        Value::Object(fields) => {
            let fields = fields
                .into_iter()
                .map(|(name, value)| match bytes_of(&value) {
                    Some(bytes) if BLOBS.contains(&name.as_str()) => {
                        (format!("{name}_base64"), encoding::base64(&bytes).into())
                    }
                    _ => (name, blobs_as_base64(value)),
                });
            Value::Object(fields.collect())
        }
        other => other,
    }
}

fn bytes_of(value: &Value) -> Option<Vec<u8>> {
    let byte = |value: &Value| u8::try_from(value.as_u64()?).ok();
    value.as_array()?.iter().map(byte).collect()
}

/// What a record of a control batch says.
pub(super) fn control(record: &Record) -> Value {
    let key = record.key.as_deref().unwrap_or_default();
    let value = record.value.as_deref().unwrap_or_default();
    match marker(ControlType::of_key(key), value) {
        Ok(json) => json,
        Err(error) => serde_json::json!({ "undecodable": error.to_string() }),
    }
}

fn marker(kind: Option<ControlType>, value: &[u8]) -> Result<Value, DecodeError> {
    // Markers have their version in front; the quorum's records too, but within the message.
    let mut r = Reader::new(value);
    let version = r.i16()?;
    let body = r.rest();
    let (kind, debug) = match kind {
        None => return Ok(named("Unknown", None, None, encoding::base64(value).into())),
        Some(kind @ (ControlType::Abort | ControlType::Commit)) => {
            let view = m::end_txn_marker::EndTxnMarkerView::decode(body, version)?;
            (kind, format!("{:?}", view.to_owned()))
        }
        Some(kind @ ControlType::LeaderChange) => {
            let view = m::leader_change_message::LeaderChangeMessageView::decode(value, version)?;
            (kind, format!("{:?}", view.to_owned()))
        }
        Some(kind @ ControlType::SnapshotHeader) => {
            let view = m::snapshot_header_record::SnapshotHeaderRecordView::decode(value, version)?;
            (kind, format!("{:?}", view.to_owned()))
        }
        Some(kind @ ControlType::SnapshotFooter) => {
            let view = m::snapshot_footer_record::SnapshotFooterRecordView::decode(value, version)?;
            (kind, format!("{:?}", view.to_owned()))
        }
        Some(kind @ ControlType::KRaftVersion) => {
            let view = m::k_raft_version_record::KRaftVersionRecordView::decode(value, version)?;
            (kind, format!("{:?}", view.to_owned()))
        }
        Some(kind @ ControlType::KRaftVoters) => {
            let view = m::voters_record::VotersRecordView::decode(value, version)?;
            (kind, format!("{:?}", view.to_owned()))
        }
    };
    Ok(named(&format!("{kind:?}"), None, None, json_of(&debug)))
}

#[cfg(test)]
mod tests {
    use thalweg_wire::messages::coordinator::{encode_key, encode_value};
    use thalweg_wire::messages::group_metadata_key::GroupMetadataKey;
    use thalweg_wire::messages::group_metadata_value::{GroupMetadataValue, MemberMetadata};
    use thalweg_wire::messages::metadata::{MetadataRecord, encode_record};
    use thalweg_wire::messages::topic_record::TopicRecord;

    use super::*;

    fn record(key: Option<Vec<u8>>, value: Option<Vec<u8>>) -> Record {
        Record {
            topic: String::new(),
            partition: 0,
            offset: 0,
            timestamp: 0,
            append_time: false,
            key,
            value,
            headers: Vec::new(),
        }
    }

    #[test]
    fn metadata_and_groups_are_decoded() {
        let topic = MetadataRecord::from(TopicRecord {
            name: "orders".into(),
            ..TopicRecord::default()
        });
        let bytes = encode_record(&topic, 0).unwrap();
        let json = Decoder::Metadata
            .decode(&record(None, Some(bytes)))
            .unwrap();
        assert_eq!(
            (&json["type"], &json["version"]),
            (&"Topic".into(), &0.into())
        );
        assert_eq!(json["value"]["name"], "orders");

        let key = encode_key(&GroupMetadataKey { group: "g".into() }).unwrap();
        let group = GroupMetadataValue {
            protocol_type: "consumer".into(),
            members: vec![MemberMetadata {
                member_id: "m".into(),
                assignment: b"foo".into(),
                ..MemberMetadata::default()
            }],
            ..GroupMetadataValue::default()
        };
        let value = encode_value(&group, 3).unwrap();
        let json = Decoder::Offsets
            .decode(&record(Some(key.clone()), Some(value)))
            .unwrap();
        assert_eq!(json["key"]["group"], "g");
        assert_eq!(
            json["value"]["members"][0]["assignment_base64"], "Zm9v",
            "{json}"
        );
        let gone = Decoder::Offsets.decode(&record(Some(key), None)).unwrap();
        assert_eq!(gone["value"], Value::Null);
    }

    #[test]
    fn what_cannot_be_decoded_is_said() {
        let odd = record(Some(vec![0, 99]), Some(vec![1]));
        for decoder in [Decoder::Metadata, Decoder::Offsets, Decoder::Transactions] {
            let json = decoder.decode(&odd).unwrap();
            assert!(json["undecodable"].is_string(), "{json}");
        }
        assert!(control(&odd)["undecodable"].is_string());
        assert_eq!(Decoder::Plain.decode(&odd), None);
    }
}
