//! What tests and simulations run on: a seeded generator and a seeded single-threaded executor.
//!
//! Part of the library proper because the node's simulation of whole nodes needs it too; nothing
//! that serves uses it.

pub mod executor;
pub mod prng;

pub use executor::{Executor, Handle, Task};
pub use prng::Prng;
