//! Which segments may go. Pure.
