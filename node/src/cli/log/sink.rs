//! Where lines go: as text or as JSON, to a reader that may leave early.

use std::io::{self, BufWriter, StdoutLock, Write};

use serde_json::Value;

use super::super::output::{Format, write_on};

/// See the module's head.
#[derive(Debug)]
pub(super) struct Sink {
    out: BufWriter<StdoutLock<'static>>,
    json: bool,
    closed: bool,
}

impl Sink {
    pub(super) fn new(format: Format) -> Self {
        Self {
            out: BufWriter::new(io::stdout().lock()),
            json: format == Format::Json,
            closed: false,
        }
    }

    /// Nobody reads any more.
    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Writes one thing, in the form asked for.
    pub(super) fn put(
        &mut self,
        text: impl FnOnce() -> String,
        json: impl FnOnce() -> Value,
    ) -> io::Result<()> {
        if self.closed {
            return Ok(());
        }
        let mut line = match self.json {
            true => json().to_string(),
            false => text(),
        };
        if !line.ends_with('\n') {
            line.push('\n');
        }
        self.closed = !write_on(&mut self.out, line.as_bytes())?;
        Ok(())
    }

    /// The last words.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        match self.out.flush() {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            flushed => flushed,
        }
    }
}
