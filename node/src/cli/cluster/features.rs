//! `thalweg cluster features`, `api-versions`, `quorum` and `log-dirs`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use thalweg_wire::api::ApiKey;
use thalweg_wire::messages::api_versions_request::ApiVersionsRequest;
use thalweg_wire::messages::api_versions_response::ApiVersionsResponseView;
use thalweg_wire::messages::describe_log_dirs_request::DescribeLogDirsRequest;
use thalweg_wire::messages::describe_log_dirs_response::DescribeLogDirsResponseView;
use thalweg_wire::messages::describe_quorum_request::{
    DescribeQuorumRequest, PartitionData, TopicData,
};
use thalweg_wire::messages::describe_quorum_response::{
    DescribeQuorumResponseView, ReplicaStateView,
};

use super::super::failure::Failure;
use super::super::outcome::{Outcome, show};
use super::super::output::Format;
use super::super::routing::Cluster;
use super::report::{self, Api, Apis, Feature, Features, LogDir, LogDirs, Member, Quorum};

/// From the first version with features.
const API_VERSIONS: (i16, i16) = (3, 4);
const QUORUM: (i16, i16) = (0, 2);
const LOG_DIRS: (i16, i16) = (1, 4);
const METADATA_TOPIC: &str = "__cluster_metadata";

pub(super) fn features(cluster: &mut Cluster, format: Format) -> Result<Outcome, Failure> {
    let client = cluster.any();
    let version = client.version(ApiKey::ApiVersions, API_VERSIONS)?;
    let request = ApiVersionsRequest {
        client_software_name: "thalweg-cli".into(),
        client_software_version: env!("CARGO_PKG_VERSION").into(),
    };
    let reply = client.ask(&request, version)?;
    let answer: ApiVersionsResponseView<'_> = reply.view()?;
    let mut rows: BTreeMap<String, Feature> = BTreeMap::new();
    for feature in answer.supported_features.iter() {
        let row = rows.entry(feature.name.to_owned()).or_default();
        row.name = feature.name.to_owned();
        row.supported_min = Some(feature.min_version);
        row.supported_max = Some(feature.max_version);
    }
    for feature in answer.finalized_features.iter() {
        let row = rows.entry(feature.name.to_owned()).or_default();
        row.name = feature.name.to_owned();
        row.finalized = feature.max_version_level;
    }
    let features = Features {
        epoch: Some(answer.finalized_features_epoch).filter(|epoch| *epoch >= 0),
        features: rows.into_values().collect(),
    };
    Ok(Outcome::done(show(&features, format, report::features)))
}

pub(super) fn api_versions(cluster: &mut Cluster, format: Format) -> Result<Outcome, Failure> {
    let apis = cluster
        .any()
        .announced()
        .iter()
        .map(|(key, (min, max))| Api {
            key: *key,
            name: ApiKey::from_code(*key).map(ApiKey::name),
            min: *min,
            max: *max,
        })
        .collect();
    let text = show(&Apis { apis }, format, report::apis);
    Ok(Outcome::done(text))
}

pub(super) fn quorum(cluster: &mut Cluster, format: Format) -> Result<Outcome, Failure> {
    let client = cluster.any();
    let version = client.version(ApiKey::DescribeQuorum, QUORUM)?;
    let request = DescribeQuorumRequest {
        topics: vec![TopicData {
            topic_name: Cow::Borrowed(METADATA_TOPIC),
            partitions: vec![PartitionData::default()],
        }],
    };
    let reply = client.ask(&request, version)?;
    let answer: DescribeQuorumResponseView<'_> = reply.view()?;
    let topic = answer.topics.iter().next();
    let partition = topic.and_then(|topic| topic.partitions.iter().next());
    let codes = [
        answer.error_code,
        partition.map_or(0, |part| part.error_code),
    ];
    if let Some(code) = codes.into_iter().find(|code| *code != 0) {
        let message = answer.error_message;
        return Err(Failure::refused(
            "describing the quorum of",
            METADATA_TOPIC,
            code,
            message,
        ));
    }
    let Some(partition) = partition else {
        return Err(Failure::protocol(
            client.address(),
            "no quorum in the answer",
        ));
    };
    let member = |state: ReplicaStateView, voter: bool| Member {
        id: state.replica_id,
        directory: (!state.replica_directory_id.is_zero())
            .then(|| state.replica_directory_id.to_string()),
        voter,
        leader: state.replica_id == partition.leader_id,
        log_end: state.log_end_offset,
        caught_up_ms: Some(state.last_caught_up_timestamp).filter(|time| *time >= 0),
    };
    let voters = partition
        .current_voters
        .iter()
        .map(|state| member(state, true));
    let observers = partition.observers.iter().map(|state| member(state, false));
    let quorum = Quorum {
        leader: partition.leader_id,
        leader_epoch: partition.leader_epoch,
        high_watermark: partition.high_watermark,
        members: voters.chain(observers).collect(),
    };
    Ok(Outcome::done(show(&quorum, format, report::quorum)))
}

pub(super) fn log_dirs(cluster: &mut Cluster, format: Format) -> Result<Outcome, Failure> {
    let (mut dirs, mut failures) = (Vec::new(), Vec::new());
    for broker in cluster.node_ids()? {
        let client = cluster.node(broker)?;
        let version = client.version(ApiKey::DescribeLogDirs, LOG_DIRS)?;
        let reply = client.ask(&DescribeLogDirsRequest::default(), version)?;
        let answer: DescribeLogDirsResponseView<'_> = reply.view()?;
        for dir in answer.results.iter() {
            if dir.error_code != 0 {
                let doing = "looking at log directory";
                failures.push(Failure::refused(doing, dir.log_dir, dir.error_code, None));
                continue;
            }
            let parts = || dir.topics.iter().flat_map(|topic| topic.partitions.iter());
            dirs.push(LogDir {
                broker,
                directory: dir.log_dir.to_owned(),
                partitions: parts().count(),
                bytes: parts().map(|part| part.partition_size).sum(),
                total_bytes: Some(dir.total_bytes).filter(|bytes| *bytes >= 0),
                usable_bytes: Some(dir.usable_bytes).filter(|bytes| *bytes >= 0),
            });
        }
    }
    let done = dirs.len();
    let text = show(&LogDirs { log_dirs: dirs }, format, report::log_dirs);
    Ok(Outcome::of(text, done, failures))
}
