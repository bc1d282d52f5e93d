//! Leader epochs of a partition and where each began. Pure.
