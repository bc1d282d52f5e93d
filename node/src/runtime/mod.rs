//! Start, stop, clocks, cores: what is around the shards.

pub mod clock;
pub mod effects;
pub mod logs;
pub mod start;
pub mod place;
