//! Opening a shard after recovery: its journal goes on, its logs are loaded.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;

use thalweg_wire::ids::{Offset, PartitionId, TimestampMs};

use super::lifecycle::{LOG_DIR, is_deleted_name, partition_dir};
use super::{Event, Handles, PartitionSpec, Slot, State, Store, StoreConfig};
use crate::disk::Disk;
use crate::error::StoreError;
use crate::files::checkpoint::{CLEANER, decode};
use crate::journal::replay::Wanted;
use crate::journal::wait::concurrently;
use crate::journal::writer::Journal;
use crate::log::{Found, LogSpec};
use crate::recover::drain::{found_of, load, tail_of};
use crate::recover::journaled::{Image, Journaled};
use crate::recover::scan::{Extent, refusal, scan};

/// Logs loaded at once: small reads that a device answers in parallel.
const LOADS_IN_FLIGHT: usize = 16;

impl<D: Disk> Store<D> {
    /// Opens a shard's journal and its partitions' logs, after [`Recovery`](crate::recover::Recovery)
    /// has finished. Partitions of other shards in `specs` are skipped.
    pub async fn open(
        disk: D,
        config: StoreConfig,
        specs: &[PartitionSpec],
        now: TimestampMs,
    ) -> Result<Rc<Self>, StoreError> {
        let manifest = crate::recover::current(&disk).await?;
        let wanted = Wanted {
            journal: manifest.journal,
            shard: config.shard,
            first: manifest.first,
            mutation: config.mutation,
        };
        let scanned = scan(&disk, &wanted, Extent::Judged).await?;
        let mut image = Image::default();
        image
            .apply(&scanned.replayed.rounds, config.mutation)
            .map_err(|error| refusal(&scanned.dir, error))?;
        let start = scanned.start(&wanted);
        drop(scanned);
        let mut state = State {
            now,
            ..State::default()
        };
        let cleaned = cleaned_to(&disk, specs).await?;
        for mut slot in load_all(&disk, config, specs, now, &image.partitions).await? {
            if let Some(offset) = cleaned.get(&slot.log.id()) {
                slot.log.restore_cleaned_to(*offset);
            }
            state.insert(slot);
        }
        if config.shard.0 == 0 {
            for entry in disk.list(Path::new(LOG_DIR)).await? {
                if entry.is_dir && is_deleted_name(&entry.name) {
                    state.trash.push_back(partition_dir(&entry.name));
                }
            }
        }
        let journal = Journal::open(disk.clone(), config, start).await?;
        Ok(Rc::new(Self {
            handles: Handles::new(disk.clone()),
            disk,
            config,
            journal,
            state: RefCell::new(state),
            hook: RefCell::new(None),
            moves: Event::default(),
            moved: Event::default(),
        }))
    }
}

/// What `cleaner-offset-checkpoint` says; nothing if there is none, or none that can be read.
async fn cleaned_to<D: Disk>(
    disk: &D,
    specs: &[PartitionSpec],
) -> Result<BTreeMap<PartitionId, Offset>, StoreError> {
    let path = Path::new(LOG_DIR).join(CLEANER);
    let bytes = match disk.read_file(&path).await {
        Err(error) if error.is_missing() => return Ok(BTreeMap::new()),
        read => read?,
    };
    let lines = decode(&bytes).unwrap_or_default();
    let lines = lines
        .into_iter()
        .map(|line| (format!("{}-{}", line.topic, line.partition), line.offset));
    let by_name: BTreeMap<String, Offset> = lines.collect();
    let found = specs
        .iter()
        .filter_map(|spec| Some((spec.id, *by_name.get(&spec.dir_name)?)));
    Ok(found.collect())
}

async fn load_all<D: Disk>(
    disk: &D,
    config: StoreConfig,
    specs: &[PartitionSpec],
    now: TimestampMs,
    journaled: &BTreeMap<PartitionId, Journaled>,
) -> Result<Vec<Slot>, StoreError> {
    let ours = specs.iter().filter(|spec| spec.shard == config.shard);
    let loads = ours.map(|spec| async move {
        let known = journaled.get(&spec.id);
        let found = known.map_or_else(Found::default, |one| {
            found_of(one, tail_of(one).unwrap_or_default())
        });
        let log_spec = LogSpec {
            id: spec.id,
            dir: partition_dir(&spec.dir_name),
            config: spec.config,
            now,
        };
        let loaded = load(disk, log_spec, found).await?;
        for image in loaded.repairs {
            disk.replace_file(&image.path, &image.bytes).await?;
        }
        for stray in loaded.strays {
            match disk.remove(&stray).await {
                Err(error) if !error.is_missing() => return Err(error.into()),
                _ => {}
            }
        }
        Ok::<Slot, StoreError>(match known {
            Some(one) => Slot::journaled_from(loaded.log, one.first_round),
            None => Slot::new(loaded.log),
        })
    });
    concurrently(LOADS_IN_FLIGHT, loads)
        .await
        .into_iter()
        .collect()
}
