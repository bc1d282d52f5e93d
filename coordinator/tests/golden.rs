//! Our first records against those that Apache Kafka 4.3.0 left behind: `kafka-storage format --standalone`,
//! a first start, a topic, a topic deleted, a clean stop, a start, kill -9, a start.
//!
//! `golden/bootstrap.checkpoint`, `first.checkpoint` and `metadata.log` are Kafka's bytes.

mod cluster;

use cluster::{Cluster, start_of};
use thalweg_coordinator::controller::brokers;
use thalweg_coordinator::format::{self, MetaProperties, QuorumState};
use thalweg_coordinator::metadata::image::Resource;
use thalweg_coordinator::metadata::log::LogReader;
use thalweg_wire::batch::{Records, split};
use thalweg_wire::ids::{Epoch, NodeId, Offset, PartitionIndex, TimestampMs, Uuid};
use thalweg_wire::messages::metadata::{MetadataRecord, decode_record};

const BOOTSTRAP: &[u8] = include_bytes!("golden/bootstrap.checkpoint");
const FIRST: &[u8] = include_bytes!("golden/first.checkpoint");
const LOG: &[u8] = include_bytes!("golden/metadata.log");

/// Kafka's directory id in the golden files.
fn directory() -> Uuid {
    Uuid::parse("RPLM9yiOTS2N3_R8g5bBkg").expect("22 characters")
}

/// Every record as text: control records as key and value bytes.
fn lines(bytes: &[u8]) -> Vec<String> {
    let mut lines = Vec::new();
    for batch in split(bytes) {
        let batch = batch.expect("a batch");
        let header = batch.header();
        assert!(batch.crc_matches());
        for record in Records::new(batch.payload(), header.record_count()) {
            let record = record.expect("a record");
            let value = record.value.unwrap_or(&[]);
            if header.attributes().is_control() {
                lines.push(format!("control {:?} {value:?}", record.key.unwrap_or(&[])));
                continue;
            }
            let (record, version) = decode_record(value).expect("a metadata record");
            if !matches!(record, MetadataRecord::NoOp(_)) {
                lines.push(format!("v{version} {record:?}"));
            }
        }
    }
    lines
}

/// Drops what a build says of the features it has, which we have fewer of.
fn without_features(lines: Vec<String>) -> Vec<String> {
    let theirs = ["share.version", "streams.version"];
    let kept = lines.into_iter().filter(|line| {
        !(line.contains("FeatureLevel") && theirs.iter().any(|name| line.contains(name)))
    });
    let cut = kept.map(|line| match line.find("features: [") {
        Some(at) => {
            let end = line[at..].find(']').map_or(line.len(), |end| at + end);
            format!("{}{}", &line[..at], &line[end..])
        }
        None => line,
    });
    cut.collect()
}

#[test]
fn the_first_snapshot_has_kafkas_records_and_length() {
    let mut start = start_of(1, directory());
    // Kafka reads its clock once for the header's field and once for each batch.
    start.now = TimestampMs(1_795_434_936_721);
    assert_eq!(
        lines(&format::first_snapshot(&start).unwrap()),
        lines(FIRST)
    );
    assert_eq!(format::first_snapshot(&start).unwrap().len(), FIRST.len());
}

#[test]
fn the_bootstrap_file_is_kafkas_but_for_features_we_lack() {
    let ours = format::bootstrap_checkpoint(TimestampMs(0)).unwrap();
    assert_eq!(lines(&ours), without_features(lines(BOOTSTRAP)));
}

#[test]
fn the_first_start_writes_what_kafkas_does() {
    let ours = brokers::start(&LogReader::new(), &start_of(1, directory()))
        .unwrap()
        .concat();
    let ours = without_features(lines(&ours));
    let mut kafkas = without_features(lines(LOG));
    // Kafka tells its cordoned directories, which are none, in a record of its own.
    let cordoned = kafkas
        .iter()
        .position(|line| line.contains("cordoned_log_dirs: Some([])"));
    kafkas.remove(cordoned.unwrap());
    // Incarnations are random, and the features we lack move the offset that is the broker's epoch.
    let blur = |line: &String| {
        let line = match line.find("incarnation_id: ") {
            Some(at) => format!("{}{}", &line[..at + 16], &line[at + 38..]),
            None => line.clone(),
        };
        line.replace("AQEBAQEBAQEBAQEBAQEBAQ", "")
            .replace("epoch: 13", "epoch: 11")
            .replace("AgICAgICAgICAgICAgICAg", "")
    };
    let ours: Vec<String> = ours.iter().map(blur).collect();
    let kafkas: Vec<String> = kafkas.iter().take(ours.len()).map(blur).collect();
    assert_eq!(ours.join("\n"), kafkas.join("\n"));
}

#[test]
fn kafkas_own_log_replays() {
    let mut reader = LogReader::new();
    reader.apply(LOG).unwrap();
    let image = reader.image();
    assert_eq!(reader.quorum().epoch, Epoch(3));
    assert_eq!(reader.quorum().kraft_version, 1);
    assert_eq!(reader.quorum().voters[0].directory, directory());
    assert_eq!(image.feature("metadata.version"), 30);
    assert_eq!(image.feature("transaction.version"), 2);
    let topic = image.topics.named("t1").unwrap();
    assert_eq!(topic.id, Uuid::parse("E4Z8_Hy-T4Gjqm9MIbDWOw").unwrap());
    assert!(image.topics.named("a.b").is_none(), "it was deleted");
    let partition = topic.partition(PartitionIndex(1)).unwrap();
    // Led, stopped, led, lost by kill -9, led again, stopped.
    assert_eq!(
        (partition.leader, partition.leader_epoch),
        (NodeId(-1), Epoch(5))
    );
    assert!(partition.isr.is_empty());
    assert_eq!(partition.eligible, [NodeId(1)]);
    assert_eq!(
        image.config(&Resource::topic("t1"), "retention.ms"),
        Some("1000")
    );
    assert_eq!(
        image.config(&Resource::broker_default(), "min.insync.replicas"),
        Some("1")
    );
    let broker = &image.brokers[&NodeId(1)];
    assert!(broker.fenced && broker.in_controlled_shutdown);
    assert_eq!(broker.endpoint("PLAINTEXT").unwrap().port, 29092);
}

#[test]
fn a_kafka_directory_goes_on_under_us() {
    let mut reader = LogReader::new();
    reader.apply(LOG).unwrap();
    let before = reader.image();
    let batches = brokers::start(&reader, &start_of(1, directory())).unwrap();
    let all = batches.concat();
    assert!(
        !lines(&all).iter().any(|line| line.contains("Bootstrap")),
        "it is no new cluster"
    );
    reader.apply(&all).unwrap();
    let topic = |image: &thalweg_coordinator::metadata::image::Image| {
        image.topics.named("t1").unwrap().partitions[&PartitionIndex(0)].leader_epoch
    };
    assert_eq!(topic(&reader.image()), Epoch(topic(&before).0 + 1));
    assert_eq!(reader.quorum().epoch, Epoch(4));
}

#[test]
fn a_snapshot_and_the_log_behind_it() {
    let mut reader = LogReader::new();
    reader
        .load_snapshot(BOOTSTRAP, Offset(5), Epoch(2))
        .unwrap();
    assert_eq!(reader.next_offset(), Offset(5));
    assert_eq!(reader.image().feature("metadata.version"), 30);
    assert_eq!(
        (reader.image().offset, reader.image().epoch),
        (Offset(4), Epoch(2))
    );
}

#[test]
fn each_start_raises_epochs_and_the_incarnation() {
    let mut cluster = Cluster::new();
    cluster.create(vec![cluster::topic("t", 3, 1)]);
    let first = cluster.image();
    cluster.start();
    let second = cluster.image();
    assert_eq!(cluster.reader.quorum().epoch, Epoch(2));
    for ((_, _, old), (_, _, new)) in first.partitions().zip(second.partitions()) {
        assert_eq!((old.leader_epoch, new.leader_epoch), (Epoch(0), Epoch(1)));
        assert_eq!(new.leader, NodeId(1));
    }
    assert!(second.brokers[&NodeId(1)].epoch > first.brokers[&NodeId(1)].epoch);
}

#[test]
fn an_orderly_stop_fences_and_the_next_start_leads_again() {
    let mut cluster = Cluster::new();
    cluster.create(vec![cluster::topic("t", 1, 1)]);
    let records = brokers::stop(&cluster.image(), NodeId(1));
    cluster.commit(&records);
    let stopped = cluster.image();
    let (_, _, partition) = stopped.partitions().next().unwrap();
    assert_eq!((partition.leader, partition.isr.len()), (NodeId(-1), 0));
    assert_eq!(partition.eligible, [NodeId(1)]);
    assert!(stopped.brokers[&NodeId(1)].fenced);
    cluster.start();
    let image = cluster.image();
    let (_, _, partition) = image.partitions().next().unwrap();
    assert_eq!(
        (partition.leader, partition.isr.as_slice()),
        (NodeId(1), &[NodeId(1)][..])
    );
    assert!(partition.eligible.is_empty() && partition.last_known_eligible.is_empty());
}

#[test]
fn meta_properties_and_quorum_state() {
    let kafkas = "#\n#Mon Nov 23 11:55:36 UTC 2026\nnode.id=1\ndirectory.id=RPLM9yiOTS2N3_R8g5bBkg\n\
                  version=1\ncluster.id=MkU3OEVBNTcwNTJENDM2Qk\n";
    let meta = MetaProperties::parse(kafkas).unwrap();
    assert_eq!((meta.node, meta.directory), (NodeId(1), directory()));
    assert_eq!(MetaProperties::parse(&meta.text()), Ok(meta));
    assert!(MetaProperties::parse("version=1\nnode.id=1\n").is_err());
    assert!(MetaProperties::parse(&kafkas.replace("version=1", "version=2")).is_err());
    let kafkas = "{\"leaderId\":1,\"leaderEpoch\":1,\"votedId\":-1,\"votedDirectoryId\":\
                  \"AAAAAAAAAAAAAAAAAAAAAA\",\"data_version\":1}";
    assert_eq!(QuorumState::led_by(NodeId(1), Epoch(1)).text(), kafkas);
    assert_eq!(
        QuorumState::parse(kafkas),
        Ok(QuorumState::led_by(NodeId(1), Epoch(1)))
    );
    assert!(QuorumState::parse("{}").is_err());
    let name = format::snapshot_name(Offset(0), Epoch(0));
    assert_eq!(name, format::FIRST_SNAPSHOT_FILE);
    assert_eq!(
        format::parse_snapshot_name(&name),
        Some((Offset(0), Epoch(0)))
    );
    assert_eq!(format::parse_snapshot_name("0-0.checkpoint"), None);
}
