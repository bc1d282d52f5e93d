//! Quotas, elections and reassignments: requests and what they make of the cluster.

mod cluster;

use cluster::{Cluster, topic};
use thalweg_coordinator::controller::{elect, reassign};
use thalweg_coordinator::error::ErrorCode;
use thalweg_coordinator::quotas::{Entity, alter, describe};
use thalweg_wire::bytes::Message;
use thalweg_wire::ids::NodeId;
use thalweg_wire::messages::alter_client_quotas_request as quotas;
use thalweg_wire::messages::alter_partition_reassignments_request as moves;
use thalweg_wire::messages::describe_client_quotas_request as filters;
use thalweg_wire::messages::elect_leaders_request as elections;
use thalweg_wire::messages::list_partition_reassignments_request as lists;
use thalweg_wire::messages::partition_change_record::PartitionChangeRecord;

const RATE: &str = "producer_byte_rate";

type Parts<'a> = &'a [(&'a str, Option<&'a str>)];

/// Error codes in order; what is taken is committed.
fn set(cluster: &mut Cluster, rows: &[(Parts<'_>, &str, Option<f64>)]) -> Vec<i16> {
    let entry = |(parts, key, value): &(Parts<'_>, &str, Option<f64>)| quotas::EntryData {
        entity: parts
            .iter()
            .map(|(kind, name)| quotas::EntityData {
                entity_type: (*kind).to_owned().into(),
                entity_name: name.map(|name| name.to_owned().into()),
            })
            .collect(),
        ops: vec![quotas::OpData {
            key: (*key).to_owned().into(),
            value: value.unwrap_or(0.0),
            remove: value.is_none(),
        }],
    };
    let request = quotas::AlterClientQuotasRequest {
        entries: rows.iter().map(entry).collect(),
        validate_only: false,
    };
    let bytes = request.to_bytes(1).expect("encodes");
    let view = quotas::AlterClientQuotasRequestView::decode(&bytes, 1).expect("decodes");
    let outcome = alter::alter(&cluster.image(), &view);
    cluster.commit(&outcome.records);
    let entries = outcome.response.entries.iter();
    entries.map(|entry| entry.error_code).collect()
}

/// Error code, and how many entities pass.
fn matching(cluster: &Cluster, parts: &[(&str, i8, Option<&str>)], strict: bool) -> (i16, usize) {
    let component = |(kind, way, name): &(&str, i8, Option<&str>)| filters::ComponentData {
        entity_type: (*kind).to_owned().into(),
        match_type: *way,
        match_: name.map(|name| name.to_owned().into()),
    };
    let request = filters::DescribeClientQuotasRequest {
        components: parts.iter().map(component).collect(),
        strict,
    };
    let bytes = request.to_bytes(1).expect("encodes");
    let view = filters::DescribeClientQuotasRequestView::decode(&bytes, 1).expect("decodes");
    let answer = describe::describe(&cluster.image(), &view);
    (
        answer.error_code,
        answer.entries.map_or(0, |list| list.len()),
    )
}

#[test]
fn quotas_are_kept_and_read_back_by_filters() {
    let mut cluster = Cluster::new();
    let user: Parts<'_> = &[("user", Some("a"))];
    let both: Parts<'_> = &[("user", Some("a")), ("client-id", None)];
    let rows = [(user, RATE, Some(5.0)), (both, RATE, Some(6.0))];
    assert_eq!(set(&mut cluster, &rows), [0, 0]);
    let before = cluster.image().offset;
    assert_eq!(set(&mut cluster, &rows), [0, 0]);
    assert_eq!(
        cluster.image().offset,
        before,
        "what is so already is no record"
    );
    for (parts, strict, count) in [
        (&[][..], false, 2),
        (&[("user", 0, Some("a"))], false, 2),
        (&[("user", 0, Some("a"))], true, 1),
        (&[("user", 2, None), ("client-id", 1, None)], true, 1),
        (&[("user", 1, None)], false, 0),
        (&[("ip", 2, None)], false, 0),
    ] {
        assert_eq!(matching(&cluster, parts, strict), (0, count), "{parts:?}");
    }
    assert_eq!(set(&mut cluster, &[(user, RATE, None)]), [0]);
    assert_eq!(set(&mut cluster, &[(both, RATE, None)]), [0]);
    assert!(cluster.image().quotas.is_empty());
}

#[test]
fn wrong_quotas_and_filters_are_refused() {
    let mut cluster = Cluster::new();
    let invalid = ErrorCode::InvalidRequest.code();
    let user: Parts<'_> = &[("user", Some("a"))];
    let address: Parts<'_> = &[("ip", Some("10.0.0.1"))];
    for (parts, key, value) in [
        (&[][..], RATE, 1.0),
        (&[("group", Some("a"))], RATE, 1.0),
        (&[("user", Some(""))], RATE, 1.0),
        (&[("user", Some("a")), ("ip", None)], RATE, 1.0),
        (
            &[("ip", Some("no address"))],
            "connection_creation_rate",
            1.0,
        ),
        (address, RATE, 1.0),
        (address, "connection_creation_rate", 3e9),
        (address, "connection_creation_rate", 1.5),
        (user, "connection_creation_rate", 1.0),
        (user, RATE, 0.0),
        (user, RATE, -1.0),
        (user, RATE, 1.5),
        (user, RATE, 1e19),
    ] {
        let row = (parts, key, Some(value));
        assert_eq!(set(&mut cluster, &[row]), [invalid], "{row:?}");
    }
    assert!(cluster.image().quotas.is_empty());
    assert_eq!(
        set(&mut cluster, &[(user, "request_percentage", Some(1.5))]),
        [0]
    );
    let twice = [(user, RATE, Some(1.0)), (user, RATE, Some(2.0))];
    assert_eq!(set(&mut cluster, &twice), [invalid]);
    for parts in [
        &[("", 0, Some("a"))][..],
        &[("user", 0, None)],
        &[("user", 1, Some("a"))],
        &[("user", 2, Some("a"))],
        &[("user", 9, None)],
        &[("user", 2, None), ("user", 2, None)],
        &[("user", 2, None), ("ip", 2, None)],
    ] {
        assert_eq!(matching(&cluster, parts, false).0, invalid, "{parts:?}");
    }
    let unsupported = ErrorCode::UnsupportedVersion.code();
    assert_eq!(
        matching(&cluster, &[("group", 2, None)], false).0,
        unsupported
    );
    assert!(
        cluster
            .image()
            .quotas
            .contains_key(&Entity::from([("user".to_owned(), Some("a".to_owned()))]))
    );
}

/// The code of the whole and those of the partitions.
fn elect(cluster: &mut Cluster, way: i8, named: Option<(&str, i32)>) -> (i16, Vec<i16>) {
    let request = elections::ElectLeadersRequest {
        election_type: way,
        topic_partitions: named.map(|(topic, index)| {
            vec![elections::TopicPartitions {
                topic: topic.to_owned().into(),
                partitions: vec![index],
            }]
        }),
        ..elections::ElectLeadersRequest::default()
    };
    let bytes = request.to_bytes(2).expect("encodes");
    let view = elections::ElectLeadersRequestView::decode(&bytes, 2).expect("decodes");
    let outcome = elect::elect(&cluster.image(), &view);
    cluster.commit(&outcome.records);
    let topics = outcome.response.replica_election_results.iter();
    let parts = topics.flat_map(|topic| topic.partition_result.iter());
    let codes = parts.map(|part| part.error_code).collect();
    (outcome.response.error_code, codes)
}

/// Makes the first partition of `t` what the record says.
fn becomes(cluster: &mut Cluster, change: PartitionChangeRecord) {
    let id = cluster.image().topics.named("t").expect("made").id;
    let record = PartitionChangeRecord {
        topic_id: id,
        partition_id: 0,
        ..change
    };
    let proposed = thalweg_coordinator::metadata::record::Proposed::new(record, 2);
    cluster.commit(&[proposed]);
}

#[test]
fn leaders_are_elected_where_there_is_none() {
    let mut cluster = Cluster::new();
    cluster.create(vec![topic("t", 1, 1)]);
    let settled = ErrorCode::ElectionNotNeeded.code();
    let unknown = ErrorCode::UnknownTopicOrPartition.code();
    for way in [0, 1] {
        assert_eq!(elect(&mut cluster, way, Some(("t", 0))), (0, vec![settled]));
        assert_eq!(elect(&mut cluster, way, Some(("t", 1))), (0, vec![unknown]));
        assert_eq!(elect(&mut cluster, way, Some(("u", 0))), (0, vec![unknown]));
        assert_eq!(elect(&mut cluster, way, None), (0, vec![]));
    }
    let invalid = ErrorCode::InvalidRequest.code();
    assert_eq!(
        elect(&mut cluster, 9, Some(("t", 0))),
        (invalid, vec![invalid])
    );
    // Nobody leads, nobody is in sync: only an unclean election helps.
    let nobody = PartitionChangeRecord {
        leader: -1,
        isr: Some(Vec::new()),
        ..PartitionChangeRecord::default()
    };
    becomes(&mut cluster, nobody);
    let not_there = ErrorCode::PreferredLeaderNotAvailable.code();
    assert_eq!(elect(&mut cluster, 0, None), (0, vec![not_there]));
    assert_eq!(elect(&mut cluster, 1, None), (0, vec![0]));
    let image = cluster.image();
    let partition = image.partitions().next().expect("one").2;
    assert_eq!(
        (partition.leader, partition.leader_recovery_state),
        (NodeId(1), 1)
    );
    assert_eq!(partition.isr, [NodeId(1)]);
}

fn reassign(cluster: &mut Cluster, name: &str, index: i32, to: Option<&[i32]>) -> i16 {
    let request = moves::AlterPartitionReassignmentsRequest {
        topics: vec![moves::ReassignableTopic {
            name: name.to_owned().into(),
            partitions: vec![moves::ReassignablePartition {
                partition_index: index,
                replicas: to.map(<[i32]>::to_vec),
            }],
        }],
        ..moves::AlterPartitionReassignmentsRequest::default()
    };
    let bytes = request.to_bytes(1).expect("encodes");
    let view = moves::AlterPartitionReassignmentsRequestView::decode(&bytes, 1).expect("decodes");
    let outcome = reassign::alter(&cluster.image(), &view);
    cluster.commit(&outcome.records);
    outcome.response.responses[0].partitions[0].error_code
}

fn open(cluster: &Cluster) -> usize {
    let request = lists::ListPartitionReassignmentsRequest::default();
    let bytes = request.to_bytes(0).expect("encodes");
    let view = lists::ListPartitionReassignmentsRequestView::decode(&bytes, 0).expect("decodes");
    reassign::list(&cluster.image(), &view).topics.len()
}

#[test]
fn replicas_stay_or_go_at_once() {
    let mut cluster = Cluster::new();
    cluster.create(vec![topic("t", 1, 1)]);
    let unknown = ErrorCode::UnknownTopicOrPartition.code();
    let invalid = ErrorCode::InvalidReplicaAssignment.code();
    let nothing = ErrorCode::NoReassignmentInProgress.code();
    assert_eq!(reassign(&mut cluster, "t", 0, Some(&[1])), 0);
    assert_eq!(reassign(&mut cluster, "t", 0, None), nothing);
    assert_eq!(reassign(&mut cluster, "t", 5, None), unknown);
    assert_eq!(reassign(&mut cluster, "u", 0, Some(&[1])), unknown);
    for wrong in [&[][..], &[2], &[1, 1], &[-1]] {
        assert_eq!(
            reassign(&mut cluster, "t", 0, Some(wrong)),
            invalid,
            "{wrong:?}"
        );
    }
    // What another cluster left: it had a second replica, and was about to take it away.
    let half = PartitionChangeRecord {
        replicas: Some(vec![1, 2]),
        removing_replicas: Some(vec![2]),
        ..PartitionChangeRecord::default()
    };
    becomes(&mut cluster, half);
    assert_eq!(open(&cluster), 1);
    assert_eq!(reassign(&mut cluster, "t", 0, Some(&[1])), 0);
    assert_eq!(open(&cluster), 0);
    let image = cluster.image();
    let partition = image.partitions().next().expect("one").2;
    assert_eq!(
        (&partition.replicas[..], partition.leader),
        (&[NodeId(1)][..], NodeId(1))
    );
}
