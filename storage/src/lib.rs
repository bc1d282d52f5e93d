//! One shard's journal and its partitions' logs on disk. (Head to be completed.)

pub mod disk;
pub mod journal;
pub mod log;
pub mod testing;
