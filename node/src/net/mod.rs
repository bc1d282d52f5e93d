//! Sockets: listening, frames, connections, sending.

pub mod connection;
pub mod frames;
pub mod listener;
pub mod registry;
pub mod send_file;
