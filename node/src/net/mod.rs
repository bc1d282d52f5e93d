//! Sockets: listening, frames, connections, sending.

pub mod admin;
pub mod connection;
pub mod door;
pub mod frames;
pub mod link;
pub mod listener;
mod pipeline;
pub mod registry;
pub mod send_file;
