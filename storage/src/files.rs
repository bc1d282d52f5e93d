//! The small files beside the segments, in Kafka's formats. Pure: bytes in, values out, and back.

use std::fmt;

pub mod checkpoint;
pub mod epochs;
pub mod meta;
pub mod producers;

/// Why a small file cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FormatError {
    /// What kind of file it should be.
    pub file: &'static str,
    /// What is wrong with it.
    pub fault: &'static str,
}

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file, self.fault)
    }
}

impl std::error::Error for FormatError {}

/// Lines of Kafka's checkpoint files: a version, a count, then that many lines.
fn checkpoint_lines<'a>(bytes: &'a [u8], file: &'static str) -> Result<Vec<&'a str>, FormatError> {
    let fail = |fault| FormatError { file, fault };
    let Ok(text) = std::str::from_utf8(bytes) else {
        return Err(fail("not text"));
    };
    let mut lines = text.lines();
    if lines.next() != Some("0") {
        return Err(fail("unknown version"));
    }
    let count: Option<usize> = lines.next().and_then(|line| line.trim().parse().ok());
    let count = count.ok_or(fail("no count"))?;
    let lines: Vec<_> = lines.filter(|line| !line.is_empty()).collect();
    if lines.len() != count {
        return Err(fail("not as many lines as counted"));
    }
    Ok(lines)
}

/// A checkpoint file of these lines.
fn checkpoint_file(lines: impl ExactSizeIterator<Item = String>) -> Vec<u8> {
    let mut text = format!("0\n{}\n", lines.len());
    for line in lines {
        text.push_str(&line);
        text.push('\n');
    }
    text.into_bytes()
}
