//! White box: the developer driver `cargo x` and the side-by-side runs against Apache Kafka.
//!
//! The driver is the one door to all checks: `.ci/run` calls it and nothing else. It runs other
//! programs (cargo, Java, pip, kcat) and judges what they leave behind; it holds no logic of the node.

pub mod hot;
pub mod x;
