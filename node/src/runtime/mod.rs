//! Start, stop, clocks, cores: what is around the shards.

pub mod boot;
pub mod clock;
pub mod effects;
pub mod lap;
pub mod logs;
pub mod import;
pub mod nudge;
pub mod start;
pub mod facts;
pub mod place;
mod porter;
pub mod quiet;
pub mod seat;
pub mod signals;
pub mod watchdog;
