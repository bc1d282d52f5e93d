//! The log cleaner: of each key only the newest record needs to stay (`cleanup.policy=compact`).
//!
//! ```text
//! plan     which logs are dirty enough, and how far they may be cleaned      (pure)
//! keys     the newest offset of each key in the dirty part                    (pure)
//! txns     which transactions were aborted, whose markers may go              (pure)
//! filter   what stays of one batch                                            (pure)
//! source   the batches of sealed segments, read directly, checksums checked
//! target   the file of a cleaned segment, and its indexes
//! run      a log from begin to end, and the swap
//! ```
//! The rules are Kafka's (its `Cleaner` and KIP-534): offsets stay, a tombstone stays for
//! `delete.retention.ms` after it was first cleaned, the last batch of a producer stays as an empty one,
//! records of aborted transactions go, and a marker goes after its transaction's last record went.
//!
//! Invariants:
//! - Only sealed segments below the last stable offset are read, and only once their files hold all of
//!   them durably and the journal says so: no entry of the journal is ever laid over a cleaned file.
//! - A cleaned file has a name of its own, which says what it replaces ([`CleanedName`]); the rename to
//!   it is the only step that counts. A start, and a clean stop, remove what it replaces and give it
//!   Kafka's name.
//! - A file that was replaced stays for `file.delete.delay.ms`: readers that were told of it go on.
//! - A batch that fails its checksum ends the cleaning of its log; it is never copied.
//!
//! Deliberately absent: threads (a shard cleans its own logs, one at a time, in the background class),
//! `log.cleaner.io.max.bytes.per.second`.
//!
//! [`CleanedName`]: crate::segment::name::CleanedName

pub(crate) mod filter;
pub(crate) mod keys;
pub(crate) mod names;
pub(crate) mod plan;
mod run;
pub(crate) mod source;
mod target;
mod txns;

pub use plan::Cleaning;
