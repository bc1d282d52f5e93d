//! Ranges of segments on both disks: every tier, what is verified, what is refused.

use super::verify::tests::batch;
use super::*;
use crate::disk::tests::on_real_disk;
use crate::disk::{BLOCK_BYTES, MemoryDisk, OpenMode, Slice};
use crate::testing::executor::block_on;

const PATH: &str = "00000000000000000000.log";

/// A segment of about `bytes` bytes; returns where its batches begin and its end.
async fn segment<D: Disk>(disk: &D, name: &str, bytes: usize) -> (Vec<u64>, Vec<u8>) {
    let (mut image, mut starts) = (Vec::new(), Vec::new());
    while image.len() < bytes {
        starts.push(image.len() as u64);
        let seed = u8::try_from(starts.len() % 256).unwrap();
        image.extend(batch(70_000 + starts.len(), seed));
    }
    starts.push(image.len() as u64);
    write(disk, name, &image, OpenMode::Create).await;
    (starts, image)
}

async fn write<D: Disk>(disk: &D, name: &str, image: &[u8], mode: OpenMode) {
    let file = disk.open(Path::new(name), mode).await.unwrap();
    let mut padded = image.to_vec();
    padded.resize(image.len().next_multiple_of(BLOCK_BYTES), 0);
    file.write_at(0, vec![Slice::from_vec(padded)], true)
        .await
        .unwrap();
}

fn range(name: &str, from: u64, to: u64) -> FileRange {
    let bytes = usize::try_from(to - from).unwrap();
    FileRange {
        path: Path::new(name).into(),
        position: from,
        bytes,
        rest: Vec::new(),
    }
}

fn bytes_of(bound: &Bound) -> Vec<u8> {
    match bound {
        Bound::Memory(parts) => parts.iter().flat_map(|part| part.to_vec()).collect(),
        Bound::File {
            descriptor,
            position,
            bytes,
        } => {
            let mut read = vec![0; *bytes];
            let count = rustix::io::pread(descriptor, &mut read[..], *position).unwrap();
            assert_eq!(count, *bytes);
            read
        }
    }
}

fn at(position: u64) -> usize {
    usize::try_from(position).unwrap()
}

#[test]
fn a_lone_reader_of_old_data_reads_each_byte_once() {
    for seed in 0..5 {
        block_on(seed, async move {
            let disk = MemoryDisk::new(seed);
            let (starts, image) = segment(&disk, PATH, 5 << 20).await;
            let reader = SegmentReader::new(disk.clone(), 4);
            for pair in starts.windows(2) {
                let bound = reader
                    .bind(ReaderId(1), &range(PATH, pair[0], pair[1]))
                    .await
                    .unwrap();
                assert!(bytes_of(&bound) == image[at(pair[0])..at(pair[1])]);
            }
            let read = disk.counters();
            assert!(read.read_bytes <= image.len() as u64 + 4096, "{read:?}");
            assert_eq!(reader.counters().direct_bytes, image.len() as u64);
        });
    }
}

#[test]
fn two_readers_wait_for_one_read() {
    use crate::testing::Executor;
    let disk = MemoryDisk::new(1);
    let mut executor = Executor::new(1);
    let (starts, image) = executor.block_on(segment(&disk, PATH, 500_000));
    let reader = Rc::new(SegmentReader::new(disk.clone(), 4));
    let whole = range(PATH, 0, starts[starts.len() - 1]);
    let readers: Vec<_> = (0..5)
        .map(|number| {
            let (reader, whole) = (Rc::clone(&reader), whole.clone());
            executor.spawn(async move { reader.bind(ReaderId(number), &whole).await.unwrap() })
        })
        .collect();
    for task in readers {
        assert!(bytes_of(&executor.block_on(task)) == image);
    }
    assert_eq!(disk.counters().reads, 1);
}

#[test]
fn rot_is_refused_with_its_place() {
    block_on(2, async {
        let disk = MemoryDisk::new(2);
        let (starts, _) = segment(&disk, PATH, 300_000).await;
        disk.rot(Path::new(PATH), at(starts[2]) + 1000, 1);
        let reader = SegmentReader::new(disk, 4);
        reader
            .bind(ReaderId(1), &range(PATH, 0, starts[2]))
            .await
            .unwrap();
        let bad = reader
            .bind(ReaderId(1), &range(PATH, starts[1], starts[3]))
            .await;
        match bad {
            Err(BindError::Corrupt { position, .. }) => assert_eq!(position, starts[2]),
            other => panic!("{other:?}"),
        }
        assert_eq!(reader.counters().corrupt, 1);
    });
}

#[test]
fn a_block_read_before_it_was_filled_is_read_again() {
    block_on(3, async {
        let disk = MemoryDisk::new(3);
        let (starts, image) = segment(&disk, PATH, 400_000).await;
        // The first move wrote less than what is there at the end.
        let cut = at(starts[3]) - at(starts[3]) % BLOCK_BYTES;
        let file = disk.open(Path::new(PATH), OpenMode::Write).await.unwrap();
        file.truncate(cut as u64).await.unwrap();
        file.allocate(1 << 20).await.unwrap();
        let reader = SegmentReader::new(disk.clone(), 4);
        reader
            .bind(ReaderId(1), &range(PATH, 0, starts[2]))
            .await
            .unwrap();
        write(&disk, PATH, &image, OpenMode::Write).await;
        let bound = reader
            .bind(ReaderId(1), &range(PATH, starts[2], starts[5]))
            .await
            .unwrap();
        assert!(bytes_of(&bound) == image[at(starts[2])..at(starts[5])]);
    });
}

#[test]
fn a_range_beyond_the_file_is_an_error() {
    block_on(4, async {
        let disk = MemoryDisk::new(4);
        let (starts, _) = segment(&disk, PATH, 100_000).await;
        let reader = SegmentReader::new(disk, 4);
        let end = starts[starts.len() - 1];
        let beyond = reader
            .bind(ReaderId(1), &range(PATH, 0, end + (1 << 20)))
            .await;
        assert!(matches!(beyond, Err(BindError::Disk(_))), "{beyond:?}");
    });
}

#[test]
fn open_segments_have_a_limit() {
    block_on(5, async {
        let disk = MemoryDisk::new(5);
        let reader = SegmentReader::new(disk.clone(), 3);
        for number in 0..10 {
            let name = format!("{number}.log");
            let (starts, _) = segment(&disk, &name, 1000).await;
            reader
                .bind(ReaderId(1), &range(&name, 0, starts[1]))
                .await
                .unwrap();
        }
        assert_eq!(reader.open.len(), 3);
        reader.forget(Path::new("9.log"));
        assert_eq!(reader.open.len(), 2);
    });
}

#[test]
fn tiers_follow_the_page_cache() {
    on_real_disk("tiers", |disk| async move {
        let (starts, image) = segment(&disk, PATH, 3 << 20).await;
        let whole = range(PATH, 0, starts[starts.len() - 1]);
        let reader = SegmentReader::new(disk, 4);
        let lone = reader.bind(ReaderId(1), &whole).await.unwrap();
        assert!(matches!(lone, Bound::Memory(_)), "cold, one reader: direct");
        assert_eq!(reader.counters().direct_bytes, image.len() as u64);
        let second = reader.bind(ReaderId(2), &whole).await.unwrap();
        assert!(
            matches!(second, Bound::Memory(_)),
            "cold, a second reader: fill"
        );
        assert_eq!(reader.counters().fill_bytes, image.len() as u64);
        let third = reader.bind(ReaderId(3), &whole).await.unwrap();
        assert!(matches!(third, Bound::File { .. }), "resident: sendfile");
        for bound in [lone, second, third] {
            assert!(bytes_of(&bound) == image);
        }
        let counters = reader.counters();
        assert_eq!(
            (counters.send_file_bytes, counters.verified_bytes),
            (image.len() as u64, 0)
        );
    });
}

#[test]
fn resident_ranges_are_verified_once() {
    on_real_disk("verified", |disk| async move {
        let (starts, mut image) = segment(&disk, PATH, 1 << 20).await;
        let end = starts[starts.len() - 1];
        let file = disk.open(Path::new(PATH), OpenMode::Read).await.unwrap();
        let warm = || async {
            for at in (0..end).step_by(1 << 18) {
                file.read_cached(at, 1 << 18).await.unwrap();
            }
        };
        warm().await;
        let reader = SegmentReader::new(disk.clone(), 4);
        for _ in 0..3 {
            let bound = reader
                .bind(ReaderId(1), &range(PATH, 0, end))
                .await
                .unwrap();
            assert!(matches!(bound, Bound::File { .. }) && bytes_of(&bound) == image);
        }
        assert_eq!(reader.counters().verified_bytes, end);
        // Rot below us, pages gone and read again: a new reader must notice.
        image[at(starts[4]) + 500] ^= 1;
        write(&disk, PATH, &image, OpenMode::Write).await;
        warm().await;
        let fresh = SegmentReader::new(disk.clone(), 4);
        let bound = fresh.bind(ReaderId(1), &range(PATH, 0, end)).await;
        assert!(matches!(bound, Err(BindError::Corrupt { position, .. }) if position == starts[4]));
    });
}

#[test]
fn a_range_with_holes_is_mended_and_verified_again() {
    on_real_disk("mended", |disk| async move {
        let (starts, mut image) = segment(&disk, PATH, 2 << 20).await;
        let end = starts[starts.len() - 1];
        let file = disk.open(Path::new(PATH), OpenMode::Read).await.unwrap();
        // All of it in the page cache, but for some parts.
        let warm_without = |missing: Vec<Range<u64>>| {
            let file = file.clone();
            async move {
                for at in (0..end).step_by(1 << 16) {
                    if !missing.iter().any(|hole| hole.contains(&at)) {
                        file.read_cached(at, 1 << 16).await.unwrap();
                    }
                }
            }
        };
        let reader = SegmentReader::new(disk.clone(), 4);
        let whole = range(PATH, 0, end);
        let (one, two) = (
            1 << 19..(1 << 19) + (1 << 16),
            3 << 19..(3 << 19) + (1 << 17),
        );
        warm_without(vec![one, two]).await;
        let mended = reader.bind(ReaderId(1), &whole).await.unwrap();
        assert!(matches!(mended, Bound::File { .. }) && bytes_of(&mended) == image);
        let counters = reader.counters();
        assert_eq!((counters.mended, counters.direct_bytes), (1, 0));
        assert_eq!(counters.fill_bytes, 3 << 16);
        // A direct write lets all pages go; most of them missing: read directly.
        write(&disk, PATH, &image, OpenMode::Write).await;
        let most = 0..3 << 19;
        warm_without(vec![most]).await;
        let cold = reader.bind(ReaderId(1), &whole).await.unwrap();
        assert!(matches!(cold, Bound::Memory(_)) && bytes_of(&cold) == image);
        // What comes back from the device is not trusted because it once was good.
        warm_without(vec![]).await;
        let good = reader.bind(ReaderId(1), &whole).await.unwrap();
        assert!(matches!(good, Bound::File { .. }));
        image[at(starts[4]) + 500] ^= 1;
        write(&disk, PATH, &image, OpenMode::Write).await;
        let hole = starts[4]..starts[5];
        warm_without(vec![hole]).await;
        let bad = reader.bind(ReaderId(1), &whole).await;
        assert!(matches!(bad, Err(BindError::Corrupt { position, .. }) if position == starts[4]));
    });
}
