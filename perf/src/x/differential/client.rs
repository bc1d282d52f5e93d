//! One server of the pair: its process, its connections, its names.
//!
//! A connection that the server closes is an answer like any other (`{"closed": true}`), and the
//! next request opens a new one.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};
use thalweg_wire::api::ApiKey;

use super::names::Names;
use super::schema::Schemas;
use super::step::Step;
use super::{decode, encode};
use crate::x::{Context, Outcome};

/// Longer than any wait that a request of ours asks for.
const PATIENCE: Duration = Duration::from_secs(40);
const ANSWER_BYTES_MAX: usize = 256 << 20;
/// Connections of a client: a member that waits in a rebalance blocks its own only.
pub(super) const LANES: usize = 3;
const CLIENT_ID: &str = "differential";

/// A client of one server.
#[derive(Debug)]
pub(super) struct Client {
    address: String,
    lanes: Vec<Option<TcpStream>>,
    pub(super) names: Names,
    correlation: i32,
}

impl Client {
    pub(super) fn new(port: u16) -> Self {
        Self {
            address: format!("127.0.0.1:{port}"),
            lanes: (0..LANES).map(|_| None).collect(),
            names: Names::new(port),
            correlation: 0,
        }
    }

    /// Sends a request and reads its answer.
    pub(super) fn ask(&mut self, schemas: &Schemas, step: &Step) -> Outcome<Value> {
        if !self.send(schemas, step)? {
            return Ok(json!({"closed": true}));
        }
        self.receive(schemas, step)
    }

    /// False if the server has closed the connection under it.
    pub(super) fn send(&mut self, schemas: &Schemas, step: &Step) -> Outcome<bool> {
        let frame = self.frame(schemas, step)?;
        let address = self.address.clone();
        let lane = self.lane(step)?;
        if lane.is_none() {
            let socket =
                TcpStream::connect(&address).context(|| format!("connecting to {address}"))?;
            let limit = socket.set_read_timeout(Some(PATIENCE));
            limit.context(|| "setting a time limit")?;
            let quick = socket.set_nodelay(true);
            quick.context(|| "switching Nagle off")?;
            *lane = Some(socket);
        }
        let sent = lane
            .as_mut()
            .is_some_and(|socket| socket.write_all(&frame).is_ok());
        if !sent {
            *lane = None;
        }
        Ok(sent)
    }

    fn lane(&mut self, step: &Step) -> Outcome<&mut Option<TcpStream>> {
        let lane = self.lanes.get_mut(step.lane);
        lane.context(|| format!("there is no connection {}", step.lane))
    }

    fn frame(&mut self, schemas: &Schemas, step: &Step) -> Outcome<Vec<u8>> {
        self.correlation += 1;
        let request = &schemas.api(step.api)?.request;
        let mut frame = Vec::new();
        frame.extend(step.api.code().to_be_bytes());
        frame.extend(step.version.to_be_bytes());
        frame.extend(self.correlation.to_be_bytes());
        frame.extend((CLIENT_ID.len() as i16).to_be_bytes());
        frame.extend(CLIENT_ID.as_bytes());
        if request.flexible.contains(step.version) {
            frame.push(0);
        }
        let mut body = encode::body(request, step.version, &step.body, &self.names)?;
        body.truncate(body.len().saturating_sub(step.cut));
        frame.extend(body);
        Ok([&(frame.len() as u32).to_be_bytes()[..], &frame].concat())
    }

    /// Reads the answer to a request that was sent.
    pub(super) fn receive(&mut self, schemas: &Schemas, step: &Step) -> Outcome<Value> {
        if step.is_unanswered() {
            return Ok(json!({"unanswered": true}));
        }
        let correlation = self.correlation;
        let lane = self.lane(step)?;
        let answer = lane.as_mut().map(read).transpose();
        let frame = match answer {
            Ok(Some(frame)) => frame,
            Ok(None) => return Ok(json!({"closed": true})),
            Err(problem) => {
                *lane = None;
                // Only a server that says nothing at all is told apart: a hang is never equal.
                return Ok(match problem.kind() {
                    std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut => {
                        json!({"silent": self.address})
                    }
                    _ => json!({"closed": true}),
                });
            }
        };
        let response = &schemas.api(step.api)?.response;
        let is_flexible =
            response.flexible.contains(step.version) && step.api != ApiKey::ApiVersions;
        let rest = frame
            .get(4 + usize::from(is_flexible)..)
            .unwrap_or_default();
        let version = match (step.api, rest) {
            // The answer to an unknown version of ApiVersions is one that everybody reads.
            (ApiKey::ApiVersions, [0, 35, ..]) => 0,
            _ => step.version,
        };
        let is_ours = step.detached || frame.get(..4) == Some(&correlation.to_be_bytes()[..]);
        let tree = decode::body(response, version, rest).filter(|_| is_ours);
        Ok(tree.unwrap_or_else(|| json!({"malformed": super::records::hex(&frame)})))
    }
}

fn read(socket: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut length = [0; 4];
    socket.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length) as usize;
    if length > ANSWER_BYTES_MAX {
        return Err(std::io::ErrorKind::InvalidData.into());
    }
    let mut frame = vec![0; length];
    socket.read_exact(&mut frame)?;
    Ok(frame)
}
