//! What tests and simulations run on: a seeded generator, a seeded single-threaded
//! executor, and directories on a real file system.
//!
//! Part of the library proper because the node's simulation of whole nodes needs it too; nothing
//! that serves uses it.

pub mod executor;
pub mod prng;
pub mod temp_dir;

pub use executor::{Executor, Handle, Task};
pub use prng::Prng;
pub use temp_dir::TempDir;
