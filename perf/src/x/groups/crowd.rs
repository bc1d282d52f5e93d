//! Many raw members on one thread: requests out, answers in, whoever has one.
//!
//! Built on the load generator's connections. Only versions without tagged fields are spoken, so an
//! answer's head is its number alone.

use std::time::Duration;

use thalweg_bench::client::{Connection, Interest, Link, Poller, Request};
use thalweg_wire::bytes::Message;
use thalweg_wire::header::encode_request;

use crate::x::{Context, Outcome};

/// Connections, each with its place.
pub(super) struct Crowd {
    links: Vec<Link>,
    writing: Vec<bool>,
    poller: Poller,
    tokens: Vec<u64>,
}

impl Crowd {
    pub(super) fn connect(address: &str, count: usize) -> Outcome<Self> {
        let poller = Poller::new().context(|| "watching sockets")?;
        let mut links = Vec::with_capacity(count);
        for at in 0..count {
            let connection = Connection::open(address).context(|| format!("connection {at}"))?;
            let link =
                Link::new(connection.into_socket()).context(|| format!("connection {at}"))?;
            poller
                .add(link.socket(), interest(at, false))
                .context(|| "watching a socket")?;
            links.push(link);
        }
        Ok(Self {
            writing: vec![false; links.len()],
            links,
            poller,
            tokens: Vec::new(),
        })
    }

    /// Sends a request on one connection, or as much of it as the socket takes.
    pub(super) fn send<M: Message>(&mut self, at: usize, request: &M, version: i16) -> Outcome<()> {
        // The connection fills the number in.
        let frame = encode_request(request, version, 0, Some("thalweg-perf"))
            .context(|| format!("writing a {}", M::NAME))?;
        let link = self.links.get_mut(at).context(|| "no such connection")?;
        link.send(Request::plain(frame))
            .context(|| format!("sending a {}", M::NAME))?;
        self.watch(at)
    }

    /// What has been answered, in the order of each connection, after waiting for so long at most.
    pub(super) fn answers(&mut self, wait: Duration) -> Outcome<Vec<(usize, Vec<u8>)>> {
        let mut tokens = std::mem::take(&mut self.tokens);
        self.poller
            .wait(wait, &mut tokens)
            .context(|| "waiting for answers")?;
        let mut found = Vec::new();
        for token in &tokens {
            let at = usize::try_from(*token).context(|| "a token of nobody")?;
            let link = self.links.get_mut(at).context(|| "a token of nobody")?;
            link.flush().context(|| "sending")?;
            while link.fill().context(|| "receiving")? {
                while let Some(body) = link.answer(false).context(|| "receiving")? {
                    found.push((at, body.to_vec()));
                }
            }
            self.watch(at)?;
        }
        self.tokens = tokens;
        Ok(found)
    }

    fn watch(&mut self, at: usize) -> Outcome<()> {
        let (Some(link), Some(writing)) = (self.links.get(at), self.writing.get_mut(at)) else {
            return Ok(());
        };
        if *writing != link.wants_to_write() {
            *writing = link.wants_to_write();
            self.poller
                .change(link.socket(), interest(at, *writing))
                .context(|| "watching a socket")?;
        }
        Ok(())
    }
}

fn interest(at: usize, write: bool) -> Interest {
    Interest {
        token: at as u64,
        write,
    }
}
