//! Questions that a log answers in steps, because a segment must be read in between.
//!
//! A log does no I/O. A method that may need bytes of a segment returns [`Step::Need`]; the
//! caller ends its borrow, reads what [`Need`] asks for and calls `resume` with it, until the
//! answer is [`Step::Done`]. A log may change in between: each step checks its own facts again.

use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use thalweg_wire::ids::Offset;

/// An answer, or what must be read first.
#[derive(Debug)]
pub enum Step<T, Q> {
    /// The answer.
    Done(T),
    /// Read this, then resume the question with it.
    Need(Need, Q),
}

/// What to read from the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Need {
    /// Bytes of one of a segment's files: block-aligned, at most `IO_BYTES_MAX`; of the log below
    /// the moved position. A shorter answer is accepted at the end of the file, and nothing for
    /// one that is missing.
    Bytes {
        /// The file: `.log`, or `.timeindex` or `.snapshot` to read a part of.
        path: Arc<Path>,
        /// The segment's base offset.
        segment: Offset,
        /// First byte, a multiple of the block.
        position: u64,
        /// Count, a multiple of the block.
        bytes: usize,
    },
    /// The whole `.index` and `.timeindex` of a sealed segment; a missing file reads as empty.
    Indexes {
        /// The segment's base offset.
        segment: Offset,
        /// Path of the `.index` file.
        index: PathBuf,
        /// Path of the `.timeindex` file.
        time_index: PathBuf,
    },
}

/// What was read.
#[derive(Debug)]
pub enum Fed<'a> {
    /// The answer to [`Need::Bytes`].
    Bytes(&'a [u8]),
    /// The answer to [`Need::Indexes`].
    Indexes {
        /// Content of `.index`.
        index: Vec<u8>,
        /// Content of `.timeindex`.
        time_index: Vec<u8>,
    },
}
