//! A directory for one test, below the build's own (a real file system, unlike many a `/tmp`),
//! removed when the test passes and kept when it panics.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

static MADE: AtomicU32 = AtomicU32::new(0);

/// See the module's head.
#[derive(Debug)]
pub struct TempDir {
    path: PathBuf,
}

impl TempDir {
    /// A new, empty directory whose name contains `name`. Panics if it cannot be made: tests only.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let executable = std::env::current_exe().expect("a test knows where it runs");
        let target = executable.ancestors().find(|path| path.ends_with("target"));
        let parent = target.map_or_else(std::env::temp_dir, |target| target.join("tmp"));
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let path = parent.join(format!("{name}-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a directory for the test");
        Self { path }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        if !std::thread::panicking() && std::fs::remove_dir_all(&self.path).is_err() {
            tracing::warn!(path = %self.path.display(), "a test's directory stays behind");
        }
    }
}
