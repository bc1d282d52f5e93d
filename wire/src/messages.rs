//! All messages of Apache Kafka 4.3.0, generated from `schema/` by the build: one module a schema,
//! each with owned types to encode and views to decode. Nothing here is written by hand per API.
//!
//! A view of a received message borrows it and has been checked as a whole. The owned form has
//! Kafka's defaults. Fields of tags that this schema does not know are skipped and not kept.

#![allow(
    clippy::all,
    clippy::too_many_lines,
    unused_variables,
    unused_mut,
    reason = "generated code is regular, not pretty: a structure without fields takes no version"
)]

pub mod coordinator;
pub mod metadata;

include!(concat!(env!("OUT_DIR"), "/messages.rs"));
