//! What commands print: formats, and tables with columns as wide as their widest cell.
//!
//! A command makes its whole output as one text and prints it once, so that a reader that goes away
//! (`| head`) is met in one place and is no failure.

use std::io::{self, Write};

/// How results are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// A table for people
    #[default]
    Text,
    /// A table with every column
    Wide,
    /// One JSON document with a stable shape (in the help of each command)
    Json,
}

/// Prints a command's whole output.
pub fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let printed = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    match printed {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        printed => printed,
    }
}

/// Writes what comes piece by piece; a reader that went away is told from a failure.
pub(crate) fn write_on(out: &mut impl Write, bytes: &[u8]) -> io::Result<bool> {
    match out.write_all(bytes) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        written => written.map(|()| true),
    }
}

/// How a column's cells are set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// Rows under a head.
#[derive(Debug)]
pub struct Table {
    head: Vec<(&'static str, Align)>,
    rows: Vec<Vec<String>>,
    indent: usize,
}

impl Table {
    /// An empty table.
    #[must_use]
    pub fn new(head: &[(&'static str, Align)]) -> Self {
        Self {
            head: head.to_vec(),
            rows: Vec::new(),
            indent: 0,
        }
    }

    /// The same table, so many blanks to the right.
    #[must_use]
    pub fn indented(mut self, indent: usize) -> Self {
        self.indent = indent;
        self
    }

    /// Appends a row; it has a cell for each column.
    pub fn row(&mut self, cells: Vec<String>) {
        debug_assert_eq!(cells.len(), self.head.len(), "a cell for each column");
        self.rows.push(cells);
    }

    /// The text, each line ended.
    #[must_use]
    pub fn text(&self) -> String {
        let widths: Vec<usize> = (0..self.head.len()).map(|at| self.width(at)).collect();
        let head: Vec<&str> = self.head.iter().map(|(name, _)| *name).collect();
        let mut text = self.line(&head, &widths);
        for row in &self.rows {
            let cells: Vec<&str> = row.iter().map(String::as_str).collect();
            text.push_str(&self.line(&cells, &widths));
        }
        text
    }

    fn width(&self, column: usize) -> usize {
        let head = self.head.get(column).map_or("", |(name, _)| *name);
        let cells = self.rows.iter().filter_map(|row| row.get(column));
        let widest = cells.map(|cell| cell.chars().count()).max();
        head.len().max(widest.unwrap_or(0))
    }

    fn line(&self, cells: &[&str], widths: &[usize]) -> String {
        let mut line = " ".repeat(self.indent);
        for (at, ((cell, width), (_, align))) in
            cells.iter().zip(widths).zip(&self.head).enumerate()
        {
            if at > 0 {
                line.push_str("  ");
            }
            match align {
                Align::Left => line.push_str(&format!("{cell:<width$}")),
                Align::Right => line.push_str(&format!("{cell:>width$}")),
            }
        }
        let mut line = line.trim_end().to_owned();
        line.push('\n');
        line
    }
}

/// "None" in a cell.
pub(crate) fn dash() -> String {
    "-".to_owned()
}

/// A cell of what may be absent.
pub(crate) fn cell<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(dash, |value| value.to_string())
}

/// Yes or no.
pub(crate) fn yes(value: bool) -> String {
    if value { "yes" } else { "no" }.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_they_must_be() {
        let mut table = Table::new(&[("NAME", Align::Left), ("N", Align::Right)]).indented(2);
        table.row(vec!["a".to_owned(), "100".to_owned()]);
        table.row(vec!["longer".to_owned(), "1".to_owned()]);
        assert_eq!(
            table.text(),
            "  NAME      N\n  a       100\n  longer    1\n"
        );
    }
}
