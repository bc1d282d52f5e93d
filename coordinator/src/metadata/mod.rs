//! The metadata log and what it says: bytes -> records -> image; and records -> bytes for proposals.

pub mod image;
pub mod record;
pub mod replay;
pub mod log;
pub mod placement;
