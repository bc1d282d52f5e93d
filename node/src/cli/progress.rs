//! One line on standard error that says how far long work is: only on a terminal, only after a
//! while, and gone when the work is done.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use super::cluster::round_bytes;

/// Short work says nothing.
const SILENT_FOR: Duration = Duration::from_millis(500);
const EVERY: Duration = Duration::from_millis(200);

#[derive(Debug)]
pub(crate) struct Progress {
    verb: &'static str,
    shown: bool,
    next: Option<Instant>,
}

impl Progress {
    /// `busy` keeps it silent, too: standard output is the same terminal.
    pub(crate) fn new(verb: &'static str, busy: bool) -> Self {
        let speaks = io::stderr().is_terminal() && !busy;
        Self {
            verb,
            shown: false,
            next: speaks.then(|| Instant::now() + SILENT_FOR),
        }
    }

    /// So much is done.
    pub(crate) fn tell(&mut self, records: u64, bytes: u64) {
        let now = Instant::now();
        if self.next.is_none_or(|next| now < next) {
            return;
        }
        self.next = Some(now + EVERY);
        self.shown = true;
        let line = format!(
            "\r{} {records} records, {}  ",
            self.verb,
            round_bytes(bytes)
        );
        // Nobody depends on this line.
        drop(io::stderr().write_all(line.as_bytes()));
    }

    /// Takes the line away.
    pub(crate) fn clear(&mut self) {
        if std::mem::take(&mut self.shown) {
            drop(io::stderr().write_all(b"\r\x1b[K"));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}
