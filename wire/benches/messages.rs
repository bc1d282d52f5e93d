//! Decoding and encoding, API by API: requests as clients send them, answers as a node gives them.

use std::borrow::Cow;
use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use thalweg_wire::bytes::{Message, Records, View, Writer};
use thalweg_wire::messages::{
    api_versions_request as versions, fetch_request as fetch, fetch_response as fetched,
    list_offsets_request as list, metadata_request as metadata, metadata_response as described,
    produce_request as produce, produce_response as produced,
};

const TOPIC: &str = "a-topic-of-usual-length";

/// One message both ways: `V` reads what its owned form wrote.
fn both<'a, V: View<'a>>(
    criterion: &mut Criterion,
    (name, version): (&str, i16),
    message: &V::Owned,
    bytes: &'a [u8],
) {
    criterion.bench_function(&format!("decode {name} v{version}"), |bencher| {
        bencher.iter(|| black_box(V::decode(black_box(bytes), version).is_ok()));
    });
    let size = message.size(version).expect("the version exists");
    criterion.bench_function(&format!("encode {name} v{version}"), |bencher| {
        bencher.iter(|| {
            let mut out = Writer::with_capacity(size);
            black_box(message).encode(version, &mut out).expect("room");
            black_box(out.len())
        });
    });
}

fn bytes<M: Message>(message: &M, version: i16) -> Vec<u8> {
    message.to_bytes(version).expect("the version exists")
}

fn produce_request(partitions: i32) -> produce::ProduceRequest<'static> {
    let data = |index| produce::PartitionProduceData {
        index,
        records: Records::Bytes(Cow::Owned(vec![7; 1024])),
    };
    produce::ProduceRequest {
        acks: -1,
        timeout_ms: 30_000,
        topic_data: vec![produce::TopicProduceData {
            name: Cow::Borrowed(TOPIC),
            partition_data: (0..partitions).map(data).collect(),
            ..Default::default()
        }],
        ..Default::default()
    }
}

fn fetch_request(partitions: i32) -> fetch::FetchRequest<'static> {
    let data = |partition| fetch::FetchPartition {
        partition,
        fetch_offset: 1_000_000,
        partition_max_bytes: 1 << 20,
        ..Default::default()
    };
    fetch::FetchRequest {
        max_wait_ms: 500,
        min_bytes: 1,
        topics: vec![fetch::FetchTopic {
            topic: Cow::Borrowed(TOPIC),
            partitions: (0..partitions).map(data).collect(),
            ..Default::default()
        }],
        ..Default::default()
    }
}

fn fetch_response(partitions: i32) -> fetched::FetchResponse<'static> {
    let data = |partition_index| fetched::PartitionData {
        partition_index,
        high_watermark: 1_000_000,
        last_stable_offset: 1_000_000,
        log_start_offset: 0,
        records: Records::Bytes(Cow::Owned(vec![7; 64])),
        ..Default::default()
    };
    fetched::FetchResponse {
        responses: vec![fetched::FetchableTopicResponse {
            topic: Cow::Borrowed(TOPIC),
            partitions: (0..partitions).map(data).collect(),
            ..Default::default()
        }],
        ..Default::default()
    }
}

fn produce_response(partitions: i32) -> produced::ProduceResponse<'static> {
    let data = |index| produced::PartitionProduceResponse {
        index,
        base_offset: 1_000_000,
        ..Default::default()
    };
    produced::ProduceResponse {
        responses: vec![produced::TopicProduceResponse {
            name: Cow::Borrowed(TOPIC),
            partition_responses: (0..partitions).map(data).collect(),
            ..Default::default()
        }],
        ..Default::default()
    }
}

fn metadata_response(partitions: i32) -> described::MetadataResponse<'static> {
    let partition = |partition_index| described::MetadataResponsePartition {
        partition_index,
        leader_id: 1,
        replica_nodes: vec![1, 2, 3],
        isr_nodes: vec![1, 2, 3],
        ..Default::default()
    };
    described::MetadataResponse {
        topics: vec![described::MetadataResponseTopic {
            name: Some(Cow::Borrowed(TOPIC)),
            partitions: (0..partitions).map(partition).collect(),
            ..Default::default()
        }],
        ..Default::default()
    }
}

fn list_request(partitions: i32) -> list::ListOffsetsRequest<'static> {
    let partition = |partition_index| list::ListOffsetsPartition {
        partition_index,
        current_leader_epoch: -1,
        timestamp: -1,
    };
    list::ListOffsetsRequest {
        replica_id: -1,
        topics: vec![list::ListOffsetsTopic {
            name: Cow::Borrowed(TOPIC),
            partitions: (0..partitions).map(partition).collect(),
        }],
        ..Default::default()
    }
}

fn data_path(criterion: &mut Criterion) {
    for partitions in [1, 100] {
        let name = |message: &str| format!("{message}, {partitions} partitions");
        let message = produce_request(partitions);
        let wire = bytes(&message, 9);
        let title = name("ProduceRequest");
        both::<produce::ProduceRequestView<'_>>(criterion, (&title, 9), &message, &wire);

        let message = produce_response(partitions);
        let wire = bytes(&message, 9);
        let title = name("ProduceResponse");
        both::<produced::ProduceResponseView<'_>>(criterion, (&title, 9), &message, &wire);

        let message = fetch_request(partitions);
        let wire = bytes(&message, 12);
        let title = name("FetchRequest");
        both::<fetch::FetchRequestView<'_>>(criterion, (&title, 12), &message, &wire);

        let message = fetch_response(partitions);
        let wire = bytes(&message, 12);
        let title = name("FetchResponse");
        both::<fetched::FetchResponseView<'_>>(criterion, (&title, 12), &message, &wire);
    }
}

fn around_it(criterion: &mut Criterion) {
    let message = versions::ApiVersionsRequest {
        client_software_name: Cow::Borrowed("a-client"),
        client_software_version: Cow::Borrowed("4.3.0"),
    };
    let wire = bytes(&message, 4);
    let title = ("ApiVersionsRequest", 4);
    both::<versions::ApiVersionsRequestView<'_>>(criterion, title, &message, &wire);

    let message = metadata::MetadataRequest {
        topics: Some(vec![metadata::MetadataRequestTopic {
            name: Some(Cow::Borrowed(TOPIC)),
            ..Default::default()
        }]),
        ..Default::default()
    };
    let wire = bytes(&message, 12);
    let title = ("MetadataRequest", 12);
    both::<metadata::MetadataRequestView<'_>>(criterion, title, &message, &wire);

    let message = metadata_response(100);
    let wire = bytes(&message, 12);
    let title = ("MetadataResponse, 100 partitions", 12);
    both::<described::MetadataResponseView<'_>>(criterion, title, &message, &wire);

    let message = list_request(100);
    let wire = bytes(&message, 7);
    let title = ("ListOffsetsRequest, 100 partitions", 7);
    both::<list::ListOffsetsRequestView<'_>>(criterion, title, &message, &wire);
}

criterion_group!(benches, data_path, around_it);
criterion_main!(benches);
