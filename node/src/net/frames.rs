//! Bytes as they arrive -> frames. Pure.
//!
//! A frame is a 4-byte size and that many bytes. Memory grows only with bytes received: the size
//! announced reserves at most [`RESERVE_BYTES_MAX`]. Sizes that are negative, shorter than the
//! shortest request head or above the limit are refused at the size, before any body byte.
//! Deliberately absent: sockets, request heads (see `wire::header`).

use std::collections::VecDeque;

use crate::request::Frame;

/// What a size prefix may reserve before its bytes have arrived: room for a producer's usual request
/// to several partitions, so that it isn't copied as it grows.
pub const RESERVE_BYTES_MAX: usize = 256 << 10;
/// From so many missing bytes on a frame is received without a copy.
const DIRECT_BYTES_MIN: usize = 16 << 10;
/// Shortest request: key, version, correlation id.
const FRAME_BYTES_MIN: usize = 8;

/// Why the bytes of a connection can't be cut into frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// The size is negative or too short for a request head.
    TooShort(i32),
    /// The size is above the limit.
    TooLong(i32),
}

impl std::fmt::Display for FrameError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TooShort(size) => write!(f, "a frame says that it is {size} bytes long"),
            Self::TooLong(size) => write!(f, "a frame of {size} bytes is above the limit"),
        }
    }
}

/// Cuts one connection's bytes into frames.
#[derive(Debug)]
pub struct Frames {
    frame_bytes_max: usize,
    head: Vec<u8>,
    body: Option<Body>,
    ready: VecDeque<Frame>,
}

#[derive(Debug)]
struct Body {
    bytes: Vec<u8>,
    size: usize,
}

impl Frames {
    /// Frames of at most `frame_bytes_max`.
    pub fn new(frame_bytes_max: usize) -> Self {
        Self {
            frame_bytes_max,
            head: Vec::new(),
            body: None,
            ready: VecDeque::new(),
        }
    }

    /// The next whole frame, if there is one.
    pub fn take(&mut self) -> Option<Frame> {
        self.ready.pop_front()
    }

    /// True if a whole frame waits to be taken.
    pub fn is_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Bytes held for a frame that is not whole yet.
    pub fn partial_bytes(&self) -> usize {
        self.head.len() + self.body.as_ref().map_or(0, |body| body.bytes.len())
    }

    /// Takes bytes as they came.
    pub fn feed(&mut self, mut bytes: &[u8]) -> Result<(), FrameError> {
        while !bytes.is_empty() {
            bytes = match self.body.take() {
                None => self.feed_head(bytes)?,
                Some(body) => self.feed_body(body, bytes),
            };
        }
        Ok(())
    }

    fn feed_head<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], FrameError> {
        let (taken, rest) = bytes.split_at(bytes.len().min(4 - self.head.len()));
        self.head.extend_from_slice(taken);
        if let Ok(prefix) = <[u8; 4]>::try_from(self.head.as_slice()) {
            self.head.clear();
            self.begin(i32::from_be_bytes(prefix))?;
        }
        Ok(rest)
    }

    fn begin(&mut self, announced: i32) -> Result<(), FrameError> {
        let size = usize::try_from(announced).unwrap_or(0);
        if size < FRAME_BYTES_MIN {
            return Err(FrameError::TooShort(announced));
        }
        if size > self.frame_bytes_max {
            return Err(FrameError::TooLong(announced));
        }
        self.body = Some(Body {
            bytes: Vec::with_capacity(size.min(RESERVE_BYTES_MAX)),
            size,
        });
        Ok(())
    }

    fn feed_body<'a>(&mut self, mut body: Body, bytes: &'a [u8]) -> &'a [u8] {
        let missing = body.size - body.bytes.len();
        let (taken, rest) = bytes.split_at(bytes.len().min(missing));
        body.bytes.extend_from_slice(taken);
        if body.bytes.len() == body.size {
            self.ready.push_back(Frame::new(body.bytes));
        } else {
            self.body = Some(body);
        }
        rest
    }

    /// Spare room of a large unfinished frame, so that the socket is read straight into it.
    /// Whatever is received beyond the frame's end is sorted out by [`Frames::received`].
    pub fn direct(&mut self) -> Option<&mut Vec<u8>> {
        let body = self.body.as_mut()?;
        let missing = body.size - body.bytes.len();
        if missing < DIRECT_BYTES_MIN {
            return None;
        }
        let step = body.bytes.len().max(RESERVE_BYTES_MAX);
        body.bytes.reserve_exact(missing.min(step));
        Some(&mut body.bytes)
    }

    /// After bytes were received into the buffer that [`Frames::direct`] lent.
    pub fn received(&mut self) -> Result<(), FrameError> {
        let Some(mut body) = self.body.take() else {
            return Ok(());
        };
        if body.bytes.len() < body.size {
            self.body = Some(body);
            return Ok(());
        }
        let beyond = body.bytes.split_off(body.size);
        self.ready.push_back(Frame::new(body.bytes));
        self.feed(&beyond)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(body: &[u8]) -> Vec<u8> {
        let mut bytes = u32::try_from(body.len()).unwrap().to_be_bytes().to_vec();
        bytes.extend_from_slice(body);
        bytes
    }

    #[test]
    fn frames_come_out_whole_however_they_arrive() {
        let mut stream = framed(&[1; 8]);
        stream.extend(framed(&[2; 300]));
        stream.extend(framed(&[3; 9]));
        for step in [1, 3, 7, 64, 1000] {
            let mut frames = Frames::new(1000);
            for chunk in stream.chunks(step) {
                frames.feed(chunk).unwrap();
            }
            let sizes: Vec<usize> = std::iter::from_fn(|| frames.take())
                .map(|frame| frame.len())
                .collect();
            assert_eq!(sizes, [8, 300, 9], "in steps of {step}");
            assert_eq!(frames.partial_bytes(), 0);
        }
    }

    #[test]
    fn bad_sizes_are_refused_at_the_size() {
        for (size, expected) in [
            (-1, FrameError::TooShort(-1)),
            (0, FrameError::TooShort(0)),
            (7, FrameError::TooShort(7)),
            (1001, FrameError::TooLong(1001)),
            (i32::MAX, FrameError::TooLong(i32::MAX)),
        ] {
            let mut frames = Frames::new(1000);
            assert_eq!(frames.feed(&size.to_be_bytes()), Err(expected));
        }
    }

    #[test]
    fn a_large_size_reserves_no_more_than_its_bytes_earn() {
        let mut frames = Frames::new(100 << 20);
        frames.feed(&(100_i32 << 20).to_be_bytes()).unwrap();
        let room = frames.direct().unwrap();
        assert!(room.capacity() <= 2 * RESERVE_BYTES_MAX);
    }

    #[test]
    fn bytes_beyond_a_directly_received_frame_begin_the_next() {
        let mut frames = Frames::new(1 << 20);
        frames.feed(&framed(&[7; 100_000])[..20]).unwrap();
        let room = frames.direct().unwrap();
        room.extend(vec![7; 99_984]);
        room.extend(framed(&[8; 10]));
        frames.received().unwrap();
        assert_eq!(frames.take().unwrap().len(), 100_000);
        assert_eq!(frames.take().unwrap().len(), 10);
        assert!(frames.take().is_none());
    }
}
