//! The driver's one error: what was tried, and the cause below it.
//!
//! The driver has a single reaction to every error (stop and tell), so it needs no kinds.

use std::error::Error;
use std::fmt;

/// What was tried and why it did not work.
#[derive(Debug)]
pub struct Failure {
    what: String,
    cause: Option<Box<dyn Error + Send + Sync>>,
}

pub type Outcome<T> = Result<T, Failure>;

impl Failure {
    #[must_use]
    pub fn new(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            cause: None,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        match &self.cause {
            Some(cause) => write!(f, "\n  because {cause}"),
            None => Ok(()),
        }
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause
            .as_deref()
            .map(|cause| cause as &(dyn Error + 'static))
    }
}

/// Says what was being tried when a lower error came up.
pub trait Context<T> {
    fn context<S: Into<String>>(self, what: impl FnOnce() -> S) -> Outcome<T>;
}

impl<T, E: Error + Send + Sync + 'static> Context<T> for Result<T, E> {
    fn context<S: Into<String>>(self, what: impl FnOnce() -> S) -> Outcome<T> {
        self.map_err(|cause| Failure {
            what: what().into(),
            cause: Some(Box::new(cause)),
        })
    }
}

impl<T> Context<T> for Option<T> {
    fn context<S: Into<String>>(self, what: impl FnOnce() -> S) -> Outcome<T> {
        self.ok_or_else(|| Failure::new(what()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_tells_its_cause() {
        let inner: Outcome<()> = Err(Failure::new("the disk said no"));
        let outer = inner.context(|| "writing the file").unwrap_err();
        assert_eq!(
            outer.to_string(),
            "writing the file\n  because the disk said no"
        );
        assert!(outer.source().is_some());
    }
}
