//! thalweg-perf: see README.md. (Head to be written by the crate's author.)
