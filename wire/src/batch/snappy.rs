//! Snappy as Kafka's clients write it: blocks framed by the Java library, or one bare block.
//!
//! The frame (`\x82SNAPPY\0`, two versions, then blocks with a 4-byte length each) comes from
//! snappy-java and is written by the Java client and most others; librdkafka writes one bare
//! block. Frames may follow each other. A block is inflated whole: what it claims to hold is
//! compared with what its bytes can hold before memory is taken.

use std::fmt;

/// How a framed stream starts; its version and the least compatible version follow.
const FRAME_MAGIC: [u8; 8] = *b"\x82SNAPPY\0";
/// The only version there is. Readers take any that is not below it, as snappy-java does.
const FRAME_VERSION: i32 = 1;
/// Input bytes of one block; snappy-java's size, and small enough for any reader's buffer.
const BLOCK_BYTES: usize = 32 * 1024;
/// A copy of 64 bytes costs at least 3 in the densest form the format has.
const EXPANSION_MAX: usize = 22;
/// Room for the few bytes where the rule above is too tight.
const EXPANSION_SLACK: usize = 64;

/// Why bytes are not snappy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SnappyError {
    /// The frame ends early, or a block's length cannot be.
    Frame,
    /// A block claims to hold more than its bytes can.
    Claim(usize),
    /// A block is broken.
    Block(snap::Error),
}

impl fmt::Display for SnappyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Frame => write!(f, "the frame's lengths do not fit its bytes"),
            Self::Claim(bytes) => write!(f, "a block claims to hold {bytes} bytes and cannot"),
            Self::Block(cause) => cause.fmt(f),
        }
    }
}

impl std::error::Error for SnappyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Block(cause) => Some(cause),
            Self::Frame | Self::Claim(_) => None,
        }
    }
}

/// The blocks of a payload.
#[derive(Clone, Debug)]
pub(super) struct Blocks<'a> {
    rest: &'a [u8],
    framed: bool,
}

impl<'a> Blocks<'a> {
    pub(super) fn new(payload: &'a [u8]) -> Self {
        Self {
            rest: payload,
            framed: payload.starts_with(&FRAME_MAGIC),
        }
    }

    /// Inflates the next block to the start of `out`, which grows to hold it but not over `cap`.
    /// `Ok(None)` is the end; a size over the cap is told and not inflated.
    pub(super) fn next(
        &mut self,
        out: &mut Vec<u8>,
        cap: usize,
    ) -> Result<Option<Block>, SnappyError> {
        let Some(block) = self.cut()? else {
            return Ok(None);
        };
        let bytes = snap::raw::decompress_len(block).map_err(SnappyError::Block)?;
        if bytes > block.len().saturating_mul(EXPANSION_MAX) + EXPANSION_SLACK {
            return Err(SnappyError::Claim(bytes));
        }
        if bytes > cap {
            return Ok(Some(Block::OverCap));
        }
        if out.len() < bytes {
            out.resize(bytes, 0);
        }
        let target = out.get_mut(..bytes).ok_or(SnappyError::Frame)?;
        snap::raw::Decoder::new()
            .decompress(block, target)
            .map_err(SnappyError::Block)?;
        Ok(Some(Block::Bytes(bytes)))
    }

    fn cut(&mut self) -> Result<Option<&'a [u8]>, SnappyError> {
        if !self.framed {
            let block = std::mem::take(&mut self.rest);
            return Ok(Some(block).filter(|block| !block.is_empty()));
        }
        while let Some(rest) = self.rest.strip_prefix(&FRAME_MAGIC) {
            let (version, rest) = rest.split_first_chunk().ok_or(SnappyError::Frame)?;
            let (_compatible, rest) = rest.split_at_checked(4).ok_or(SnappyError::Frame)?;
            if i32::from_be_bytes(*version) < FRAME_VERSION {
                return Err(SnappyError::Frame);
            }
            self.rest = rest;
        }
        if self.rest.is_empty() {
            return Ok(None);
        }
        let (length, rest) = self.rest.split_first_chunk().ok_or(SnappyError::Frame)?;
        let length = usize::try_from(u32::from_be_bytes(*length)).or(Err(SnappyError::Frame))?;
        let (block, rest) = rest.split_at_checked(length).ok_or(SnappyError::Frame)?;
        self.rest = rest;
        Ok(Some(block))
    }
}

/// What [`Blocks::next`] found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Block {
    /// So many bytes were inflated.
    Bytes(usize),
    /// The block is larger than the cap allows.
    OverCap,
}

/// Compresses as the Java client does.
pub(super) fn compress(bytes: &[u8]) -> Result<Vec<u8>, SnappyError> {
    let mut out = FRAME_MAGIC.to_vec();
    out.extend_from_slice(&FRAME_VERSION.to_be_bytes());
    out.extend_from_slice(&FRAME_VERSION.to_be_bytes());
    let mut encoder = snap::raw::Encoder::new();
    for chunk in bytes.chunks(BLOCK_BYTES) {
        let block = encoder.compress_vec(chunk).map_err(SnappyError::Block)?;
        let length = u32::try_from(block.len()).or(Err(SnappyError::Frame))?;
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(&block);
    }
    Ok(out)
}
