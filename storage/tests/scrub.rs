//! Rot in any file of a log: what is bad is found and never shown, what lies around it is, and a
//! wrong index is made anew.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use support::{
    Model, Node, Sent, Shop, batch, boot, bytes_of, context, each_seed, id, new_partition, small,
    summary,
};
use thalweg_storage::disk::{Disk, File, MemoryDisk, OpenMode};
use thalweg_storage::error::RequestError;
use thalweg_storage::log::{ReadError, TimestampQuery};
use thalweg_storage::scrub::{ScrubPass, Scrubbed};
use thalweg_storage::store::{Isolation, ReadRequest};
use thalweg_storage::testing::{Executor, Handle, Prng};
use thalweg_wire::batch::{BatchRef, split};
use thalweg_wire::ids::{Offset, PartitionId, TimestampMs};

const SEEDS: u64 = 40;
const NAME: &str = "t1-0";
const BATCHES: u64 = 400;

/// A stopped node's disk with one partition of several segments, and what it holds.
async fn stopped(seed: u64, handle: &Handle) -> (MemoryDisk, Model) {
    let disk = MemoryDisk::new(seed);
    let mut prng = Prng::new(seed);
    let node = boot(&disk, &BTreeMap::new(), 1, small(), handle)
        .await
        .unwrap();
    let store = node.store(partition());
    store
        .create_partition(new_partition(partition(), NAME))
        .await
        .unwrap();
    let mut model = Model::default();
    for number in 1..=BATCHES {
        let now = 1_000 + 10 * number as i64;
        let bytes = batch(number, 1 + prng.below(3), 8 + prng.below(600), now);
        let permit = store.admit(bytes.len(), &[partition()]).await.unwrap();
        let appended = store
            .append(partition(), &bytes, &summary(&bytes), &context(now))
            .unwrap();
        drop(permit);
        model.sent(appended.base_offset, appended.end, &bytes);
        store.durable(partition(), appended.end).await.unwrap();
    }
    store.stop_clean(TimestampMs(9_000)).await.unwrap();
    (disk.crash(seed), model)
}

fn partition() -> PartitionId {
    id(1, 0)
}

async fn start(disk: &MemoryDisk, handle: &Handle) -> Node {
    let names = BTreeMap::from([(partition(), NAME.to_owned())]);
    boot(disk, &names, 1, small(), handle).await.unwrap()
}

/// Sealed files of a kind, in order.
async fn files(disk: &MemoryDisk, ending: &str) -> Vec<(PathBuf, u64)> {
    let dir = Path::new("log").join(NAME);
    let mut found: Vec<_> = disk.list(&dir).await.unwrap();
    found.retain(|entry| entry.name.ends_with(ending) && entry.bytes > 0);
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found.pop();
    let found = found.into_iter();
    found
        .map(|entry| (dir.join(entry.name), entry.bytes))
        .collect()
}

async fn pass(store: &Shop) -> Scrubbed {
    let (mut pass, mut sum) = (ScrubPass::default(), Scrubbed::default());
    while let Some(one) = store.scrub_next(&mut pass, async |_| true).await.unwrap() {
        sum.bytes += one.bytes;
        sum.bad_ranges += one.bad_ranges;
        sum.reindexed |= one.reindexed;
    }
    sum
}

async fn read(
    store: &Shop,
    offset: i64,
) -> Result<thalweg_storage::store::ReadAnswer, RequestError<ReadError>> {
    let request = ReadRequest {
        offset: Offset(offset),
        bytes_max: 10_000,
        min_one: true,
        isolation: Isolation::HighWatermark,
    };
    store.read(partition(), request).await
}

/// Reads all that is shown, going on behind what is quarantined: the batches, and how many are not.
async fn shown(disk: &MemoryDisk, store: &Shop, model: &Model) -> (Vec<i64>, usize) {
    let (mut offset, mut bases, mut gaps) = (0, Vec::new(), 0);
    while offset < model.end() {
        let answer = match read(store, offset).await {
            Ok(answer) => answer,
            Err(RequestError::Log(ReadError::Quarantined { next, .. })) => {
                assert!(next.0 > offset);
                (offset, gaps) = (next.0, gaps + 1);
                continue;
            }
            Err(error) => panic!("at {offset}: {error:?}"),
        };
        let bytes = bytes_of(disk, answer.pieces).await;
        let before = offset;
        for batch in split(&bytes) {
            let Some(batch) = batch.ok().filter(BatchRef::crc_matches) else {
                // This way of reading does not verify; the node's does, and reports the file.
                let files = files(disk, ".log").await;
                let file = files
                    .iter()
                    .rev()
                    .find(|(path, _)| first_of(path) <= offset);
                let checked = store.suspect_file(partition(), &file.unwrap().0).await;
                assert_eq!(checked.unwrap().bad_ranges, 1);
                break;
            };
            let base = batch.header().base_offset().0;
            assert!(sent(model, base).is_some_and(|one| one.body == batch.bytes()[17..]));
            bases.push(base);
            offset = batch.header().next_offset().0;
        }
        assert!(
            offset > before || gaps < BATCHES as usize,
            "nothing at {offset}"
        );
    }
    (bases, gaps)
}

/// Which byte of its batch a byte of a segment is.
fn field(segment: &[u8], at: usize) -> usize {
    let mut begin = 0;
    for batch in split(segment).map_while(Result::ok) {
        let end = begin + batch.bytes().len();
        if at < end {
            break;
        }
        begin = end;
    }
    at - begin
}

fn sent(model: &Model, base: i64) -> Option<&Sent> {
    model.batches.iter().find(|one| one.base == base)
}

fn first_of(path: &Path) -> i64 {
    path.file_stem().unwrap().to_str().unwrap().parse().unwrap()
}

#[test]
fn a_sound_log_is_found_sound() {
    each_seed(3, |seed| {
        let mut executor = Executor::new(seed);
        let handle = executor.handle();
        executor.block_on(async {
            let (disk, model) = stopped(seed, &handle).await;
            let node = start(&disk, &handle).await;
            let store = Rc::clone(node.store(partition()));
            let found = pass(&store).await;
            assert!(
                found.bytes > 100_000 && found.bad_ranges == 0 && !found.reindexed,
                "{found:?}"
            );
            let (bases, gaps) = shown(&disk, &store, &model).await;
            assert_eq!((bases.len(), gaps), (model.batches.len(), 0));
            assert!(store.counters().scrubbed_bytes >= found.bytes);
        });
    });
}

/// A bit of a sealed segment turns: at most the batches around it are lost to readers, whether the
/// scrub finds it or a reader.
#[test]
fn a_turned_bit_costs_its_batch_and_no_other() {
    each_seed(SEEDS, |seed| {
        let mut executor = Executor::new(seed);
        let handle = executor.handle();
        executor.block_on(async {
            let (disk, model) = stopped(seed, &handle).await;
            let mut prng = Prng::new(seed ^ 77);
            let logs = files(&disk, ".log").await;
            let (path, bytes) = support::pick(&mut prng, &logs).clone();
            let is_scrubbed = prng.chance(0.5);
            let whole = disk.read_file(&path).await.unwrap();
            let at = loop {
                let at = prng.below(bytes as usize);
                match field(&whole, at) {
                    // A leader epoch is outside of the checksum, and whatever it says may be so.
                    12..16 => {}
                    // So is an offset, but the next batch tells the scrub.
                    0..8 if !is_scrubbed => {}
                    _ => break at,
                }
            };
            disk.rot(&path, at, 1 << prng.below(8));
            let node = start(&disk, &handle).await;
            let store = Rc::clone(node.store(partition()));
            if is_scrubbed {
                let found = pass(&store).await;
                assert!(!found.reindexed, "{found:?}");
                assert!(found.bad_ranges <= 1, "{found:?}");
            }
            let (bases, gaps) = shown(&disk, &store, &model).await;
            let lost = model.batches.len() - bases.len();
            // Where its length turned, up to the next entry of the index.
            let most = match field(&whole, at) {
                8..12 => 20,
                _ => 1,
            };
            assert!(
                gaps == 1 && (1..=most).contains(&lost),
                "{lost} lost, {gaps} gaps, at {at}"
            );
            assert_eq!(store.counters().quarantined_ranges, 1);
            assert!(pass(&store).await.bad_ranges == 0, "it is known");
            search(&store, &model).await;
            forgotten(&store, &model).await;
        });
    });
}

/// A search by time passes over it.
async fn search(store: &Shop, model: &Model) {
    for time in [1_010, 2_000, 3_000, 4_990] {
        let query = TimestampQuery::AtOrAfter(TimestampMs(time));
        let found = store
            .offset_for_timestamp(partition(), query, Isolation::HighWatermark)
            .await;
        let found = found.unwrap().unwrap();
        assert!(found.timestamp.0 >= time && found.offset.0 < model.end());
    }
}

/// When the records are deleted, so is their quarantine.
async fn forgotten(store: &Shop, model: &Model) {
    store
        .delete_records(partition(), Offset(model.end() - 1))
        .await
        .unwrap();
    store.maintain(TimestampMs(9_000)).await.unwrap();
    assert!(read(store, model.end() - 1).await.is_ok());
}

/// Whatever turns in an index, readers are shown every record in the end, and the scrub mends it.
#[test]
fn a_rotten_index_is_made_anew() {
    each_seed(SEEDS, |seed| {
        let mut executor = Executor::new(seed);
        let handle = executor.handle();
        executor.block_on(async {
            let (disk, model) = stopped(seed, &handle).await;
            let mut prng = Prng::new(seed ^ 78);
            let ending = *support::pick(&mut prng, &[".index", ".timeindex"]);
            let indexes = files(&disk, ending).await;
            let (path, bytes) = support::pick(&mut prng, &indexes).clone();
            let before = disk.read_file(&path).await.unwrap();
            disk.rot(&path, prng.below(bytes as usize), 1 << prng.below(8));
            let node = start(&disk, &handle).await;
            let store = Rc::clone(node.store(partition()));
            let found = pass(&store).await;
            assert_eq!(
                (found.bad_ranges, found.reindexed),
                (0, true),
                "{}",
                path.display()
            );
            assert_eq!(disk.read_file(&path).await.unwrap(), before);
            let (bases, gaps) = shown(&disk, &store, &model).await;
            assert_eq!((bases.len(), gaps), (model.batches.len(), 0));
            search(&store, &model).await;
            assert_eq!(
                pass(&store).await,
                Scrubbed {
                    reindexed: false,
                    ..found
                }
            );
        });
    });
}

/// A file that is shorter than it was: what is left of it is served, up to the batch that was cut.
#[test]
fn a_shortened_segment_is_served_up_to_the_cut() {
    each_seed(10, |seed| {
        let mut executor = Executor::new(seed);
        let handle = executor.handle();
        executor.block_on(async {
            let (disk, model) = stopped(seed, &handle).await;
            let mut prng = Prng::new(seed ^ 79);
            let logs = files(&disk, ".log").await;
            let (path, bytes) = support::pick(&mut prng, &logs).clone();
            let file = disk.open(&path, OpenMode::Write).await.unwrap();
            file.truncate(bytes - 1 - prng.below(5_000) as u64)
                .await
                .unwrap();
            file.sync().await.unwrap();
            let node = start(&disk, &handle).await;
            let store = Rc::clone(node.store(partition()));
            let found = pass(&store).await;
            assert!(found.bad_ranges <= 1, "{found:?}");
            let (bases, gaps) = shown(&disk, &store, &model).await;
            assert!(gaps <= 1 && bases.len() + 30 > model.batches.len());
            assert_eq!(pass(&store).await.bad_ranges, 0);
        });
    });
}

#[test]
fn who_paces_it_can_end_it() {
    let mut executor = Executor::new(1);
    let handle = executor.handle();
    executor.block_on(async {
        let (disk, _) = stopped(1, &handle).await;
        let node = start(&disk, &handle).await;
        let store = Rc::clone(node.store(partition()));
        let mut pass = ScrubPass::default();
        let mut segments = 0;
        while let Some(found) = store.scrub_next(&mut pass, async |_| false).await.unwrap() {
            assert_eq!(found.bad_ranges, 0);
            segments += 1;
        }
        assert!(segments > 2);
    });
}
