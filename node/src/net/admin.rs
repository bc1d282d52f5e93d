//! The admin port's sockets: one request, one answer, closed.

use std::cell::RefCell;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;

use thalweg_storage::disk::Disk;
use thalweg_storage::disk::ring::Ring;
use thalweg_wire::ids::ShardId;
use thalweg_wire::outgoing::Outgoing;

use super::listener::{Bound, accept_all};
use super::send_file::{Holding, Socket};
use crate::admin::health;
use crate::admin::http::{HEAD_BYTES_MAX, Parsed, Route, parse, response};
use crate::metrics::text;
use crate::sending::Sending;
use crate::shard::core::ShardCore;
use crate::shard::host::Queue;
use crate::shard::mailbox::{Message, Reply};
use crate::shard::wait::{Budget, race};

/// Admin connections at once; one more is closed.
const CONNECTIONS_MAX: usize = 16;
/// A request and its answer take this long at most.
const TIME_MAX: Duration = Duration::from_secs(5);

/// Serves the admin port for ever.
pub async fn serve<D: Disk>(bound: Bound, core: Rc<ShardCore<D>>, ring: Ring) {
    let connections = Budget::new(CONNECTIONS_MAX);
    let place = move |socket: OwnedFd, _, _| {
        let permit = connections.try_take(1)?;
        let (core, ring) = (Rc::clone(&core), ring.clone());
        let timer = core.host.sleep(TIME_MAX);
        let host = Rc::clone(&core.host);
        let task = async move {
            race(answer(core, socket, ring), timer).await;
            drop(permit);
        };
        host.spawn(Queue::Network, Box::pin(task));
        None
    };
    accept_all(bound, Rc::new(place)).await;
}

async fn answer<D: Disk>(core: Rc<ShardCore<D>>, socket: OwnedFd, ring: Ring) {
    let Ok(socket) = Socket::adopt(socket, ring) else {
        return;
    };
    let scratch = RefCell::new(vec![0; HEAD_BYTES_MAX]);
    let mut head = Vec::new();
    let parsed = loop {
        match parse(&head) {
            Parsed::Partial => {}
            parsed => break parsed,
        }
        let received = socket
            .receive(&scratch, |bytes| head.extend_from_slice(bytes))
            .await;
        if !matches!(received, Ok(1..)) {
            return;
        }
    };
    let (status, body) = match parsed {
        Parsed::Route(route) => run(&core, route).await,
        Parsed::Refused(status) => (status, String::new()),
        Parsed::Partial => return,
    };
    let mut answer = Sending::new(vec![Outgoing::whole(response(status, &body))]);
    let holding = Holding {
        lending: &core.lending,
        shed: &|| {},
    };
    // Whoever asked may be gone; there is nobody else to tell.
    let _gone = socket.send(&mut answer, &holding).await;
    socket.shut_down();
}

async fn run<D: Disk>(core: &Rc<ShardCore<D>>, route: Route) -> (u16, String) {
    let mut snapshots = Vec::new();
    let mut states = Vec::new();
    let mut stages = Vec::new();
    for shard in 0..core.host.shards() {
        if let Ok(Reply::Metrics(scrape)) = core.ask(ShardId(shard), Message::Scrape).await {
            snapshots.push((shard, scrape.snapshot));
            stages.push((shard, scrape.stages));
            states.push((shard, scrape.health));
        }
    }
    match route {
        Route::Metrics => {
            let text = text::render(&snapshots) + &text::render_stages(&stages);
            (200, text)
        }
        // The port is opened when the node serves.
        Route::Health | Route::Ready => health::verdict(&states),
    }
}
