//! Writes cut into what the kernel takes as one operation. Pure.

use std::io::{Error, ErrorKind};

use super::{IO_BYTES_MAX, Slice};

/// Most parts that the kernel takes in one gathered write.
const PARTS_MAX: usize = 1024;

/// Part of a write that is one operation.
pub(super) struct Piece {
    pub(super) position: u64,
    pub(super) parts: Vec<Slice>,
    pub(super) bytes: usize,
}

/// Cuts a write into pieces of at most [`IO_BYTES_MAX`] bytes and [`PARTS_MAX`] parts.
pub(super) fn pieces_of(position: u64, parts: Vec<Slice>) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::with_capacity(1);
    let mut position = position;
    for part in parts {
        let mut rest = part;
        while !rest.is_empty() {
            let room = |piece: &Piece| {
                if piece.parts.len() < PARTS_MAX {
                    IO_BYTES_MAX - piece.bytes
                } else {
                    0
                }
            };
            if pieces.last().is_none_or(|piece| room(piece) == 0) {
                pieces.push(Piece {
                    position,
                    parts: Vec::new(),
                    bytes: 0,
                });
            }
            let piece = pieces.last_mut().expect("pushed just now");
            let count = rest.len().min(room(piece));
            piece.parts.push(rest.sub(0..count));
            piece.bytes += count;
            position += count as u64;
            rest = rest.sub(count..rest.len());
        }
    }
    pieces
}

/// A write that ends early has failed.
pub(super) fn whole(bytes: usize, expected: usize) -> Result<(), Error> {
    if bytes == expected {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::WriteZero,
        format!("short write: {bytes} of {expected} bytes"),
    ))
}
