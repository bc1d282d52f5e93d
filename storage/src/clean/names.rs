//! Cleaned segments get Kafka's names: at a start before the log is loaded, and at a clean stop.
//!
//! The order makes a crash at any point harmless, whichever of the names it leaves: what is replaced is
//! gone, durably, before anything is renamed, and a `.log` is renamed after its small files, durably.

use std::path::Path;

use crate::disk::{Disk, DiskResult};
use crate::segment::name::{self, CleanedName, Kind};

/// Ends the name of a file that is being written.
pub(crate) const UNFINISHED: &str = ".cleaned";

const SMALL: [Kind; 3] = [Kind::Index, Kind::TimeIndex, Kind::TxnIndex];

/// See the module's head. True if anything was changed.
pub(crate) async fn settle<D: Disk>(disk: &D, dir: &Path) -> DiskResult<bool> {
    let entries = match disk.list(dir).await {
        Err(error) if error.is_missing() => return Ok(false),
        entries => entries?,
    };
    let names: Vec<String> = entries.into_iter().map(|entry| entry.name).collect();
    let parsed = names.iter().filter_map(|name| CleanedName::parse(name));
    let cleaned: Vec<(CleanedName, Kind)> = parsed.collect();
    if cleaned.is_empty() {
        return Ok(false);
    }
    let winners = winners(&cleaned);
    let gone = names
        .iter()
        .filter(|name| is_replaced(name, &cleaned, &winners));
    for name in gone {
        remove(disk, &dir.join(name)).await?;
    }
    disk.sync_dir(dir).await?;
    for kinds in [&SMALL[..], &[Kind::Log]] {
        for winner in &winners {
            for kind in kinds {
                if cleaned.contains(&(*winner, *kind)) {
                    let to = name::file_name(winner.base, *kind);
                    disk.rename(&dir.join(winner.file_name(*kind)), &dir.join(to))
                        .await?;
                }
            }
        }
        disk.sync_dir(dir).await?;
    }
    Ok(true)
}

async fn remove<D: Disk>(disk: &D, path: &Path) -> DiskResult<()> {
    match disk.remove(path).await {
        Err(error) if error.is_missing() => Ok(()),
        removed => removed,
    }
}

/// The cleaned segments that count: of those that overlap the one of the highest generation.
fn winners(cleaned: &[(CleanedName, Kind)]) -> Vec<CleanedName> {
    let logs = cleaned.iter().filter(|(_, kind)| *kind == Kind::Log);
    let mut logs: Vec<CleanedName> = logs.map(|(name, _)| *name).collect();
    logs.sort_by_key(|name| std::cmp::Reverse(name.generation));
    let mut winners: Vec<CleanedName> = Vec::new();
    for name in logs {
        let overlaps = |one: &CleanedName| one.base < name.next && name.base < one.next;
        if !winners.iter().any(overlaps) {
            winners.push(name);
        }
    }
    winners
}

fn is_replaced(name: &str, cleaned: &[(CleanedName, Kind)], winners: &[CleanedName]) -> bool {
    if let Some((one, _)) = CleanedName::parse(name) {
        return !winners.contains(&one);
    }
    let Some((base, kind)) = name::parse(name) else {
        return false;
    };
    match winners.iter().find(|winner| winner.covers(base)) {
        None => false,
        Some(_) if kind == Kind::Log => true,
        Some(_) if kind == Kind::Snapshot => false,
        // A small file of the winner that an earlier try renamed has no counterpart any more.
        Some(winner) => winner.base != base || cleaned.contains(&(*winner, kind)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_generation_wins_and_what_it_replaces_goes() {
        let names = [
            "00000000000000000000-00000000000000000020-1.log",
            "00000000000000000000-00000000000000000020-1.index",
            "00000000000000000000-00000000000000000030-2.log",
            "00000000000000000000-00000000000000000030-2.timeindex",
            "00000000000000000030-00000000000000000040-1.log",
            "00000000000000000040-00000000000000000050-3.index",
        ];
        let cleaned: Vec<_> = names.iter().filter_map(|n| CleanedName::parse(n)).collect();
        let winners = winners(&cleaned);
        let kept: Vec<_> = winners.iter().map(|w| (w.base.0, w.generation)).collect();
        assert_eq!(kept, [(0, 2), (30, 1)]);
        let plain = |base: i64, kind| name::file_name(thalweg_wire::ids::Offset(base), kind);
        for (name, replaced) in [
            (names[0].to_owned(), true),
            (names[1].to_owned(), true),
            (names[2].to_owned(), false),
            (names[5].to_owned(), true),
            (plain(0, Kind::Log), true),
            (plain(0, Kind::TimeIndex), true),
            // Renamed already.
            (plain(0, Kind::Index), false),
            (plain(20, Kind::Index), true),
            (plain(30, Kind::Log), true),
            (plain(40, Kind::Log), false),
            (plain(20, Kind::Snapshot), false),
            ("partition.metadata".to_owned(), false),
        ] {
            assert_eq!(is_replaced(&name, &cleaned, &winners), replaced, "{name}");
        }
    }
}
