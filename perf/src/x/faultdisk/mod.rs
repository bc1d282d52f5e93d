//! A disk of our own under a real file system: every write and flush is known, and may fail.
//!
//! ```text
//! node -> ext4 or xfs -> /dev/loopN -> a file -> FUSE -> this process: [`image`] and its log
//! ```
//!
//! The kernel hands each write of the file system to [`fuse`], which puts it into an image in
//! memory and, while recording, into a log together with the flushes. A power cut is then a place
//! in the log: what was flushed before it is there, of the rest any part ([`image::Cut`]).
//!
//! Root is needed, and a kernel with FUSE and loop devices; without them every use fails with
//! what is missing. Deliberately absent: latency, more than one disk a mount, discards (the loop
//! device is told that there are none).

pub mod fuse;
pub mod image;
pub mod mount;

pub use fuse::{Faults, Shared};
pub use image::{Cut, Event, Image};
pub use mount::{FaultDisk, FileSystem};
