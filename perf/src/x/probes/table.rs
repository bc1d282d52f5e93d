//! A table as Markdown.

use std::fmt::Write;

/// Rows of words under a title.
pub(super) struct Table {
    title: &'static str,
    columns: &'static [&'static str],
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(super) const fn new(title: &'static str, columns: &'static [&'static str]) -> Self {
        Self {
            title,
            columns,
            rows: Vec::new(),
        }
    }

    pub(super) fn row(&mut self, name: impl Into<String>, values: impl IntoIterator<Item = f64>) {
        let values = values.into_iter().map(|value| match value {
            value if value >= 100.0 => thalweg_bench::report::in_thousands(value),
            value => format!("{value:.2}"),
        });
        let row = std::iter::once(name.into()).chain(values);
        self.rows.push(row.collect());
    }

    pub(super) fn markdown(&self) -> String {
        let mut text = format!("## {}\n\n", self.title);
        // Writing to a string cannot fail.
        let _ = writeln!(text, "| {} |", self.columns.join(" | "));
        let _ = writeln!(text, "|{}", "---|".repeat(self.columns.len()));
        for row in &self.rows {
            let _ = writeln!(text, "| {} |", row.join(" | "));
        }
        text.push('\n');
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_markdown() {
        let mut table = Table::new("T", &["what", "us"]);
        table.row("a", [1234.5]);
        assert_eq!(
            table.markdown(),
            "## T\n\n| what | us |\n|---|---|\n| a | 1,234 |\n\n"
        );
    }
}
