//! From the journal's window to the segments, so that journal files can be written again.
//!
//! [`plan`] decides what happens to each partition that the oldest journal file holds; [`runner`]
//! writes, passes the barrier, journals the result, and frees the file: in that order, always.

pub(crate) mod indexes;
pub(crate) mod plan;
pub(crate) mod runner;
