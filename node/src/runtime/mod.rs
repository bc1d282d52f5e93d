//! Start, stop, clocks, cores: what is around the shards.

pub mod clock;
pub mod logs;
pub mod place;
