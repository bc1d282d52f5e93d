//! Record batches, format v2: the unit that producers send, logs store and consumers read.
//!
//! ```text
//! produce: bytes -> check (one batch, sound) -> assign (offset, epoch, time, in place) -> log
//! read:    log bytes -> split -> BatchRef -> records (lazy walk), inflate first if compressed
//! own:     build (data, control, metadata batches) -> log
//! cleaner: BatchRef -> inflate -> rewrite (fewer records) -> log
//! topic's codec: BatchRef -> inflate -> recompress -> log
//! ```
//! Invariants: nothing here allocates by a number that was read from the batch before that number
//! was compared with the bytes at hand or with a cap; nothing here panics on any bytes.
//! Deliberately absent: formats v0 and v1 (refused, as produce versions below 3 are), conversion
//! between formats, and all state: sequences and offsets are the log's business.

pub mod header;
mod varint;
pub mod records;
pub mod inflate;
mod lz4;
mod snappy;
mod error;
pub mod check;
pub mod assign;
pub mod build;
pub mod rewrite;
pub mod recompress;

pub use assign::{Stamp, assign};
pub use build::{
    BatchBuilder, BatchSpec, ControlRecord, ControlType, Record, control_batch, marker_batch,
    metadata_batch,
};
pub use check::{
    BatchSummary, CheckLimits, CompressedCheck, FirstLook, Origin, TimestampLimits, check_produce,
    check_shape, first_look,
};
pub use error::{BatchError, RECORD_ERRORS_MAX, RecordError, RecordFault};
pub use header::{
    Attributes, BATCH_HEADER_BYTES, BatchHeader, BatchRef, Batches, Codec, LOG_OVERHEAD,
    SplitError, split,
};
pub use inflate::{Compression, InflateError, Scratch, compress, compress_at, inflate};
pub use lz4::Lz4Error;
pub use recompress::{RecompressLimits, recompress};
pub use records::{Header, RecordRef, Records};
pub use snappy::SnappyError;
pub use varint::Malformed;
