//! One file per API, numbered by its key: decode, ask shard or coordinator, build the answer.
//!
//! A handler is `async fn handle(core, request) -> Result<Answer, Refusal>`; it borrows the request
//! for its view and answers with `request.respond(..)`. Errors that Kafka has a code for are part
//! of the answer; a [`Refusal`](crate::request::Refusal) closes the connection.

pub mod k00_produce;
pub mod k01_fetch;
mod fetch_answer;
pub mod k18_api_versions;
