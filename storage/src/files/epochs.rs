//! `leader-epoch-checkpoint`: one line of epoch and first offset per epoch. Pure.

use thalweg_wire::ids::{Epoch, Offset};

use super::{FormatError, checkpoint_file, checkpoint_lines};
use crate::epochs::{EpochEntry, Epochs};

/// The file's name.
pub const NAME: &str = "leader-epoch-checkpoint";

/// The file's content.
#[must_use]
pub fn encode(epochs: &Epochs) -> Vec<u8> {
    let entries = epochs.entries().iter();
    checkpoint_file(entries.map(|entry| format!("{} {}", entry.epoch, entry.start)))
}

/// The epochs in a file.
pub fn decode(bytes: &[u8]) -> Result<Epochs, FormatError> {
    let bad = FormatError {
        file: NAME,
        fault: "a line is not epoch and offset",
    };
    let lines = checkpoint_lines(bytes, NAME)?;
    let entries = lines.into_iter().map(|line| parse(line).ok_or(bad));
    Ok(Epochs::from_entries(
        entries.collect::<Result<Vec<_>, _>>()?,
    ))
}

fn parse(line: &str) -> Option<EpochEntry> {
    let (epoch, start) = line.trim().split_once(' ')?;
    Some(EpochEntry {
        epoch: Epoch(epoch.parse().ok()?),
        start: Offset(start.parse().ok()?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_kafkas() {
        let text = b"0\n2\n0 0\n5 1200\n";
        let epochs = decode(text).unwrap();
        assert_eq!(epochs.latest(), Epoch(5));
        assert_eq!(encode(&epochs), text);
        assert!(decode(b"0\n1\n5\n").is_err());
        assert!(decode(b"0\n1\n5 x\n").is_err());
    }
}
