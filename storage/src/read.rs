//! Reading: from an offset to pieces of memory and files.

pub(crate) mod plan;
