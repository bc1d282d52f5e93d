//! What lies in a partition's directory.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use thalweg_wire::ids::Offset;

use crate::clean::names::settle;
use crate::disk::{Disk, DiskResult};
use crate::files;
use crate::segment::name::{self, CleanedName, Kind};

/// Files of a partition's directory, by base offset.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub(super) logs: BTreeMap<Offset, u64>,
    others: BTreeMap<(Offset, u8), u64>,
    pub(super) snapshots: Vec<Offset>,
    pub(super) strays: Vec<PathBuf>,
    pub(super) has_epochs: bool,
    /// Cleaned segments wait for their names.
    has_cleaned: bool,
}

impl Listing {
    /// What lies there once cleaned segments have their names.
    pub(super) async fn settled<D: Disk>(disk: &D, dir: &Path) -> DiskResult<Self> {
        let listing = Self::read(disk, dir).await?;
        if !listing.has_cleaned {
            return Ok(listing);
        }
        settle(disk, dir).await?;
        Self::read(disk, dir).await
    }

    async fn read<D: Disk>(disk: &D, dir: &Path) -> DiskResult<Self> {
        let mut listing = Self::default();
        for entry in disk.list(dir).await? {
            match name::parse(&entry.name) {
                Some((base, Kind::Log)) => {
                    listing.logs.insert(base, entry.bytes);
                }
                Some((base, Kind::Snapshot)) => listing.snapshots.push(base),
                Some((base, kind)) => {
                    listing.others.insert((base, kind as u8), entry.bytes);
                }
                None if entry.name == files::epochs::NAME => listing.has_epochs = true,
                // Left over by Kafka in the middle of a deletion or a compaction.
                None if is_leftover(&entry.name) => listing.strays.push(dir.join(entry.name)),
                None if CleanedName::parse(&entry.name).is_some() => listing.has_cleaned = true,
                None => {}
            }
        }
        Ok(listing)
    }

    /// Bytes of a file, if it is there.
    pub(super) fn bytes(&self, base: Offset, kind: Kind) -> Option<u64> {
        self.others.get(&(base, kind as u8)).copied()
    }
}

fn is_leftover(name: &str) -> bool {
    [".deleted", ".cleaned", ".swap", ".tmp"]
        .iter()
        .any(|suffix| name.ends_with(suffix))
}
