//! What happens to a field that is set and that the version lacks: dropped when the schema calls it
//! ignorable, refused otherwise, so that no request loses its meaning silently.

use thalweg_wire::bytes::{EncodeError, Message, View, Writer};
use thalweg_wire::messages::api_versions_request::{ApiVersionsRequest, ApiVersionsRequestView};
use thalweg_wire::messages::describe_topic_partitions_response::{
    Cursor, DescribeTopicPartitionsResponse, DescribeTopicPartitionsResponseView,
};
use thalweg_wire::messages::fetch_request::FetchRequest;
use thalweg_wire::messages::fetch_response::{EpochEndOffset, PartitionData};
use thalweg_wire::messages::metadata_request::{MetadataRequest, MetadataRequestTopic};
use thalweg_wire::messages::produce_request::ProduceRequest;
use thalweg_wire::messages::register_broker_record::RegisterBrokerRecord;

#[test]
fn ignorable_fields_are_dropped() {
    let request = ApiVersionsRequest {
        client_software_name: "x".into(),
        client_software_version: "1".into(),
    };
    assert_eq!(request.to_bytes(0), Ok(vec![]));
    let old = ApiVersionsRequestView::decode(&[], 0).unwrap();
    assert_eq!(old.client_software_name, "");
}

#[test]
fn other_fields_are_refused() {
    let request = MetadataRequest {
        allow_auto_topic_creation: false,
        ..MetadataRequest::default()
    };
    assert_eq!(
        request.to_bytes(3),
        Err(EncodeError::FieldLost {
            field: "MetadataRequest.AllowAutoTopicCreation",
            version: 3
        })
    );
    assert!(request.to_bytes(4).is_ok());
}

#[test]
fn null_needs_a_version_with_null() {
    let all = MetadataRequest {
        topics: None,
        ..MetadataRequest::default()
    };
    assert_eq!(all.to_bytes(1).unwrap()[..4], [0xff; 4]);
    assert_eq!(
        all.to_bytes(0),
        Err(EncodeError::NullNotAllowed {
            field: "MetadataRequest.Topics",
            version: 0
        })
    );
    let by_id = MetadataRequest {
        topics: Some(vec![MetadataRequestTopic {
            name: None,
            ..MetadataRequestTopic::default()
        }]),
        ..MetadataRequest::default()
    };
    assert!(by_id.to_bytes(9).is_err());
    assert!(by_id.to_bytes(12).is_ok());
}

#[test]
fn defaults_are_kafkas() {
    let fetch = FetchRequest::default();
    assert_eq!(
        (fetch.replica_id, fetch.max_bytes, fetch.session_epoch),
        (-1, i32::MAX, -1)
    );
    assert_eq!(ProduceRequest::default().transactional_id, None);
    assert!(RegisterBrokerRecord::default().fenced);
    let partition = PartitionData::default();
    assert_eq!(partition.last_stable_offset, -1);
    assert_eq!(partition.aborted_transactions, Some(vec![]));
    assert_eq!(
        partition.diverging_epoch,
        EpochEndOffset {
            epoch: -1,
            end_offset: -1
        }
    );
}

#[test]
fn nullable_structures_have_a_byte_before_them() {
    let without = DescribeTopicPartitionsResponse::default();
    assert_eq!(without.to_bytes(0), Ok(vec![0, 0, 0, 0, 1, 0xff, 0]));
    let with = DescribeTopicPartitionsResponse {
        next_cursor: Some(Cursor {
            topic_name: "t".into(),
            partition_index: 5,
        }),
        ..without
    };
    let bytes = with.to_bytes(0).unwrap();
    assert_eq!(bytes, [0, 0, 0, 0, 1, 1, 2, b't', 0, 0, 0, 5, 0, 0]);
    let view = DescribeTopicPartitionsResponseView::decode(&bytes, 0).unwrap();
    assert_eq!(view.next_cursor.unwrap().partition_index, 5);
}

#[test]
fn text_beyond_its_prefix_is_refused() {
    for version in [8, 9] {
        let long = ProduceRequest {
            transactional_id: Some("x".repeat(0x8000).into()),
            ..ProduceRequest::default()
        };
        let refused = long.encode(version, &mut Writer::new());
        assert_eq!(refused, Err(EncodeError::TooLong { length: 0x8000 }));
    }
}

#[test]
fn a_view_can_be_read_before_other_bytes() {
    let mut bytes = DescribeTopicPartitionsResponse::default()
        .to_bytes(0)
        .unwrap();
    bytes.push(42);
    let mut r = thalweg_wire::bytes::Reader::new(&bytes);
    DescribeTopicPartitionsResponseView::decode_prefix(&mut r, 0).unwrap();
    assert_eq!(r.rest(), [42]);
}
