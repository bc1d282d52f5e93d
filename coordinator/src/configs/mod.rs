//! Configs: the keys of Kafka 4.3 with their meaning, what a value may be, and where one comes from.

pub mod keys;
pub mod value;
pub mod check;
pub mod effective;
pub mod broker;
pub mod groups;
pub mod describe;
