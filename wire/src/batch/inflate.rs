//! Kafka's codecs, inflated step by step into one buffer and never past a cap.
//!
//! The check of a batch walks the steps as they come, so that a batch that inflates to far more
//! than it weighs costs one buffer, not its output. Memory: a step of gzip or zstd is
//! `STEP_BYTES`, of LZ4 its frame's block size (at most 4 MiB), of snappy one block (whole for
//! bare snappy, then at most 22 times the input); zstd keeps the window its frame asks for, at
//! most 128 MiB and only as far as output was made.

use std::fmt;
use std::io::{self, Read};

use super::header::Codec;
use super::lz4::{self, Lz4Error};
use super::snappy::{self, SnappyError};
use super::varint::{Malformed, Source};

/// Output of gzip and zstd made at a time: large against a call, small against a cache.
const STEP_BYTES: usize = 64 * 1024;
/// What batches are compressed with when no level is asked for.
const ZSTD_LEVEL: i32 = 3;
/// "The codec's own default", as Kafka writes it.
const GZIP_DEFAULT: i32 = -1;
/// The hardest that gzip tries.
const GZIP_MAX: u32 = 9;

/// Why a payload cannot be inflated.
#[derive(Debug)]
pub enum InflateError {
    /// The output passes the cap.
    OverCap(usize),
    /// Not gzip, or broken.
    Gzip(io::Error),
    /// Not snappy, or broken.
    Snappy(SnappyError),
    /// Not LZ4 as Kafka's clients read it, or broken.
    Lz4(Lz4Error),
    /// Not zstd, or broken.
    Zstd(io::Error),
}

impl fmt::Display for InflateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OverCap(cap) => write!(f, "inflates to more than {cap} bytes"),
            Self::Gzip(cause) => write!(f, "gzip: {cause}"),
            Self::Snappy(cause) => write!(f, "snappy: {cause}"),
            Self::Lz4(cause) => write!(f, "lz4: {cause}"),
            Self::Zstd(cause) => write!(f, "zstd: {cause}"),
        }
    }
}

impl std::error::Error for InflateError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::OverCap(_) => None,
            Self::Gzip(cause) | Self::Zstd(cause) => Some(cause),
            Self::Snappy(cause) => Some(cause),
            Self::Lz4(cause) => Some(cause),
        }
    }
}

/// Memory that one inflation leaves for the next.
#[derive(Default)]
pub struct Scratch {
    step: Vec<u8>,
    zstd: Option<zstd::zstd_safe::DCtx<'static>>,
}

impl fmt::Debug for Scratch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scratch")
            .field("step_bytes", &self.step.len())
            .finish_non_exhaustive()
    }
}

enum Decoder<'a> {
    Stored(&'a [u8]),
    Gzip(Box<flate2::bufread::MultiGzDecoder<&'a [u8]>>),
    Snappy(snappy::Blocks<'a>),
    Lz4(lz4::Blocks<'a>),
    Zstd(zstd::stream::read::Decoder<'a, &'a [u8]>),
}

/// A payload on its way through its codec.
pub(super) struct Inflater<'a> {
    decoder: Decoder<'a>,
    step: &'a mut Vec<u8>,
    cap: usize,
    left: usize,
}

impl<'a> Inflater<'a> {
    pub(super) fn new(
        codec: Codec,
        payload: &'a [u8],
        cap: usize,
        scratch: &'a mut Scratch,
    ) -> Result<Self, InflateError> {
        let Scratch { step, zstd } = scratch;
        let decoder = match codec {
            Codec::None => Decoder::Stored(payload),
            Codec::Gzip => Decoder::Gzip(Box::new(flate2::bufread::MultiGzDecoder::new(payload))),
            Codec::Snappy => Decoder::Snappy(snappy::Blocks::new(payload)),
            Codec::Lz4 => Decoder::Lz4(lz4::Blocks::new(payload).map_err(InflateError::Lz4)?),
            Codec::Zstd => {
                let context = zstd.get_or_insert_with(zstd::zstd_safe::DCtx::create);
                // A context that a broken frame was left in must not reach the next one.
                context
                    .reset(zstd::zstd_safe::ResetDirective::SessionOnly)
                    .map_err(|code| {
                        InflateError::Zstd(io::Error::other(zstd::zstd_safe::get_error_name(code)))
                    })?;
                Decoder::Zstd(zstd::stream::read::Decoder::with_context(payload, context))
            }
        };
        Ok(Self {
            decoder,
            step,
            cap,
            left: cap,
        })
    }

    /// Makes the next bytes of output, at the start of [`Self::step`]; 0 is the end.
    pub(super) fn advance(&mut self) -> Result<usize, InflateError> {
        let made = match &mut self.decoder {
            Decoder::Stored(rest) => {
                self.step.clear();
                self.step.extend_from_slice(std::mem::take(rest));
                self.step.len()
            }
            Decoder::Gzip(decoder) => read_step(decoder, self.step).map_err(InflateError::Gzip)?,
            Decoder::Zstd(decoder) => read_step(decoder, self.step).map_err(InflateError::Zstd)?,
            Decoder::Snappy(blocks) => loop {
                match blocks
                    .next(self.step, self.left)
                    .map_err(InflateError::Snappy)?
                {
                    Some(snappy::Block::Bytes(0)) => {}
                    Some(snappy::Block::Bytes(made)) => break made,
                    Some(snappy::Block::OverCap) => return Err(InflateError::OverCap(self.cap)),
                    None => break 0,
                }
            },
            Decoder::Lz4(blocks) => loop {
                match blocks.next(self.step).map_err(InflateError::Lz4)? {
                    Some(0) => {}
                    Some(made) => break made,
                    None => break 0,
                }
            },
        };
        match self.left.checked_sub(made) {
            Some(left) => self.left = left,
            None => return Err(InflateError::OverCap(self.cap)),
        }
        Ok(made)
    }

    /// The output of the last [`Self::advance`], and what older steps left behind it.
    pub(super) fn step(&self) -> &[u8] {
        self.step
    }
}

fn read_step(decoder: &mut impl Read, step: &mut Vec<u8>) -> io::Result<usize> {
    if step.len() < STEP_BYTES {
        step.resize(STEP_BYTES, 0);
    }
    decoder.read(step.get_mut(..STEP_BYTES).unwrap_or_default())
}

/// Why a walk over inflated bytes stopped.
#[derive(Debug)]
pub(super) enum StreamError {
    Malformed(Malformed),
    Inflate(InflateError),
}

impl From<Malformed> for StreamError {
    fn from(cause: Malformed) -> Self {
        Self::Malformed(cause)
    }
}

/// Records' bytes as they come out of a codec.
pub(super) struct StreamSource<'a> {
    inflater: Inflater<'a>,
    at: usize,
    end: usize,
    taken: u64,
}

impl<'a> StreamSource<'a> {
    pub(super) const fn new(inflater: Inflater<'a>) -> Self {
        Self {
            inflater,
            at: 0,
            end: 0,
            taken: 0,
        }
    }

    /// True if no byte is left; inflates until one is found.
    pub(super) fn is_at_end(&mut self) -> Result<bool, InflateError> {
        if self.at < self.end {
            return Ok(false);
        }
        self.at = 0;
        self.end = self.inflater.advance()?;
        Ok(self.end == 0)
    }

    fn refill(&mut self) -> Result<(), StreamError> {
        if self.is_at_end().map_err(StreamError::Inflate)? {
            return Err(Malformed::Ended.into());
        }
        Ok(())
    }
}

impl Source for StreamSource<'_> {
    type Error = StreamError;

    #[inline]
    fn byte(&mut self) -> Result<u8, StreamError> {
        if self.at >= self.end {
            self.refill()?;
        }
        let byte = self.inflater.step().get(self.at).copied();
        self.at += 1;
        self.taken += 1;
        byte.ok_or(StreamError::Malformed(Malformed::Ended))
    }

    fn skip(&mut self, count: usize) -> Result<(), StreamError> {
        let mut left = count;
        while left > self.end - self.at {
            left -= self.end - self.at;
            self.at = self.end;
            self.refill()?;
        }
        self.at += left;
        self.taken += count as u64;
        Ok(())
    }

    #[inline]
    fn taken(&self) -> u64 {
        self.taken
    }
}

/// Inflates a whole payload, for those who need keys and values. The check of a batch does not.
pub fn inflate(
    codec: Codec,
    payload: &[u8],
    cap: usize,
    scratch: &mut Scratch,
) -> Result<Vec<u8>, InflateError> {
    let mut inflater = Inflater::new(codec, payload, cap, scratch)?;
    let mut out = Vec::new();
    loop {
        let made = inflater.advance()?;
        if made == 0 {
            return Ok(out);
        }
        out.extend_from_slice(inflater.step().get(..made).unwrap_or_default());
    }
}

/// A codec and how hard it tries, in Kafka's numbers (`compression.gzip.level` and its like).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Compression {
    /// The codec.
    pub codec: Codec,
    /// gzip: 1 to 9, or -1 for its default. zstd: its own levels. Snappy has none, and of LZ4 there is one
    /// here, the fast one: Kafka's 1 to 17 all give it.
    pub level: i32,
}

impl Compression {
    /// The level that counts when none is asked for.
    #[must_use]
    pub const fn standard(codec: Codec) -> Self {
        let level = match codec {
            Codec::Gzip => GZIP_DEFAULT,
            Codec::Zstd => ZSTD_LEVEL,
            Codec::None | Codec::Snappy | Codec::Lz4 => 0,
        };
        Self { codec, level }
    }
}

/// Compresses a payload as the Java client would.
pub fn compress(codec: Codec, payload: &[u8]) -> Result<Vec<u8>, InflateError> {
    compress_at(Compression::standard(codec), payload)
}

/// Compresses a payload at a level.
pub fn compress_at(wanted: Compression, payload: &[u8]) -> Result<Vec<u8>, InflateError> {
    match wanted.codec {
        Codec::None => Ok(payload.to_vec()),
        Codec::Gzip => {
            let level = u32::try_from(wanted.level).map_or_else(
                |_| flate2::Compression::default(),
                |level| flate2::Compression::new(level.min(GZIP_MAX)),
            );
            let mut encoder = flate2::bufread::GzEncoder::new(payload, level);
            let mut out = Vec::new();
            encoder.read_to_end(&mut out).map_err(InflateError::Gzip)?;
            Ok(out)
        }
        Codec::Snappy => snappy::compress(payload).map_err(InflateError::Snappy),
        Codec::Lz4 => lz4::compress(payload).map_err(InflateError::Lz4),
        Codec::Zstd => zstd::stream::encode_all(payload, wanted.level).map_err(InflateError::Zstd),
    }
}
