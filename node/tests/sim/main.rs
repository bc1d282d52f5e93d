//! Whole nodes on the seeded disk: frames in, response bytes out, crash, recover, check.
//!
//! Everything between frame and acknowledgement is the real code; the disk tears, drops and reorders
//! what was not flushed, the executor polls in an order drawn from the seed, time is virtual. Every
//! panic names the seed. Deliberately absent: sockets (tests/connections.rs), several nodes.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by it")]

mod client;
mod crash;
mod hidden;
mod world;
