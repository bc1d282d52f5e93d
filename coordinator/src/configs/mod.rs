//! Configs: the topic keys of Kafka 4.3 with their meaning, and where an effective value comes from.

pub mod keys;
pub mod check;
pub mod effective;
pub mod describe;
