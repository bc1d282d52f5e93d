//! What a produce request's batch costs before it reaches a log: the check of everything in it, by
//! size of record and codec; and the walk that a consumer does.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use thalweg_wire::batch::{
    BatchBuilder, BatchRef, BatchSpec, CheckLimits, Codec, CompressedCheck, Origin, Record,
    Records, Scratch, check_produce,
};

const LIMITS: CheckLimits = CheckLimits {
    origin: Origin::Client,
    batch_bytes_max: 2 << 20,
    inflated_bytes_max: 16 << 20,
    keys_required: false,
    zstd_allowed: true,
    compressed: CompressedCheck::Full,
    timestamps: None,
};

fn batch(records: usize, value_bytes: usize, codec: Codec) -> Vec<u8> {
    let mut builder = BatchBuilder::new(BatchSpec {
        codec,
        ..BatchSpec::default()
    });
    for record in 0..records {
        // Text-like: a codec finds something to do.
        let byte = |index: usize| b'a' + ((index * 31 + record * 7) % 16) as u8;
        let value: Vec<u8> = (0..value_bytes).map(byte).collect();
        builder.push(&Record {
            value: Some(&value),
            ..Record::default()
        });
    }
    builder.finish().expect("the codec takes it")
}

fn validation(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("check_produce");
    for (records, value_bytes, codec) in [
        (1, 1024, Codec::None),
        (16, 1024, Codec::None),
        (1024, 1024, Codec::None),
        (160, 100, Codec::None),
        (16, 1024, Codec::Gzip),
        (16, 1024, Codec::Snappy),
        (16, 1024, Codec::Lz4),
        (16, 1024, Codec::Zstd),
    ] {
        let bytes = batch(records, value_bytes, codec);
        let mut scratch = Scratch::default();
        group.throughput(Throughput::Bytes((records * value_bytes) as u64));
        let name = format!("{records} records of {value_bytes} B, {codec:?}");
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let checked = check_produce(black_box(&bytes), &LIMITS, &mut scratch);
                black_box(checked.is_ok())
            });
        });
    }
}

fn walk(criterion: &mut Criterion) {
    let bytes = batch(160, 100, Codec::None);
    let batch = BatchRef::first(&bytes).expect("a whole batch");
    criterion.bench_function("crc of 16 KiB", |bencher| {
        bencher.iter(|| black_box(black_box(&batch).crc_matches()));
    });
    criterion.bench_function("walk 160 records", |bencher| {
        let count = batch.header().record_count();
        bencher.iter(|| black_box(Records::new(black_box(batch.payload()), count).count()));
    });
}

criterion_group!(benches, validation, walk);
criterion_main!(benches);
