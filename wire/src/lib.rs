//! Kafka's wire protocol. (Head to be completed by the crate's author.)

pub mod ids;
pub mod batch;
