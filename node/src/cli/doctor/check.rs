//! One thing that is looked at, and how what is there is held against what is needed.

use std::fs;

use serde::Serialize;

/// How bad it is if a check fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Severity {
    /// A node does not start.
    Fatal,
    /// A node is slower, or less safe, than it could be.
    Warning,
    /// Good to know.
    Info,
}

impl Severity {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Fatal => "fatal",
            Self::Warning => "warning",
            Self::Info => "info",
        }
    }
}

/// See the module's head.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Check {
    pub(super) name: &'static str,
    pub(super) group: &'static str,
    pub(super) about: &'static str,
    pub(super) required: String,
    pub(super) current: String,
    pub(super) severity: Severity,
    /// None where nothing is required, or nothing can be known.
    pub(super) passed: Option<bool>,
    pub(super) why: &'static str,
    pub(super) fix: String,
    /// What root could run.
    #[serde(skip)]
    pub(super) command: Option<&'static str>,
}

impl Check {
    /// A check that nothing is known of yet.
    pub(super) fn new(group: &'static str, name: &'static str, about: &'static str) -> Self {
        Self {
            name,
            group,
            about,
            required: "-".to_owned(),
            current: "unknown".to_owned(),
            severity: Severity::Info,
            passed: None,
            why: "",
            fix: String::new(),
            command: None,
        }
    }

    pub(super) fn severity(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }

    pub(super) fn why(mut self, why: &'static str, fix: impl Into<String>) -> Self {
        self.why = why;
        self.fix = fix.into();
        self
    }

    pub(super) fn command(mut self, command: &'static str) -> Self {
        self.command = Some(command);
        self
    }

    /// What is needed, what there is, and whether that will do.
    pub(super) fn found(
        mut self,
        required: impl Into<String>,
        current: impl Into<String>,
        passed: Option<bool>,
    ) -> Self {
        self.required = required.into();
        self.current = current.into();
        self.passed = passed;
        self
    }

    pub(super) fn failed(&self) -> bool {
        self.passed == Some(false)
    }
}

/// The text of a file of the kernel, trimmed.
pub(super) fn read(path: &str) -> Option<String> {
    fs::read_to_string(path)
        .ok()
        .map(|text| text.trim().to_owned())
}

/// A number in such a file.
pub(super) fn number(path: &str) -> Option<u64> {
    read(path)?.parse().ok()
}

/// The choice in brackets: `always [madvise] never`.
pub(super) fn chosen(text: &str) -> Option<&str> {
    text.split_once('[')?
        .1
        .split_once(']')
        .map(|(word, _)| word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_choice_stands_in_brackets() {
        assert_eq!(chosen("always [madvise] never"), Some("madvise"));
        assert_eq!(chosen("none"), None);
    }
}
