//! Appending: what a producer may append, and what the log writes into a batch. Pure.

pub(crate) mod assign;
pub(crate) mod check;
