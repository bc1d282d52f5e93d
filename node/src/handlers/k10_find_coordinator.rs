//! FindCoordinator: there are no groups and no transactions yet, and the client is told so.

use thalweg_coordinator::answer::coordinator::refuse;
use thalweg_wire::messages::find_coordinator_request::FindCoordinatorRequestView;

use crate::outgoing::Answer;
use crate::request::{Refusal, Request};

/// Answers the request.
pub fn handle(request: &Request) -> Result<Answer, Refusal> {
    let asked: FindCoordinatorRequestView<'_> = request.view()?;
    request.respond(&refuse(&asked, request.version))
}
