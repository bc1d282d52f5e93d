//! A small blocking client for the command line: one connection, one request at a time.
//!
//! It asks ApiVersions first and then speaks the highest version of each call that both sides know.
//! Every wait has the command's time limit, every answer a size limit. Deliberately absent:
//! retries and other brokers (see `routing`), pipelining (see crate `bench` for load).

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use thalweg_wire::api::ApiKey;
use thalweg_wire::bytes::{Message, View};
use thalweg_wire::header::{ResponseHead, encode_request};
use thalweg_wire::messages::api_versions_request::ApiVersionsRequest;
use thalweg_wire::messages::api_versions_response::ApiVersionsResponseView;

use super::failure::Failure;

/// Larger than the metadata of a million partitions; a larger answer comes from no broker.
pub const ANSWER_BYTES_MAX: usize = 256 << 20;
/// What an answer's size prefix may reserve before its bytes have arrived.
const ANSWER_RESERVE_BYTES_MAX: usize = 1 << 20;
const CLIENT_ID: &str = "thalweg-cli";
/// ApiVersions 0 is understood by everything that speaks Kafka.
const FIRST_VERSION: i16 = 0;

/// Where a command's broker is, and how long it may take.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub struct Broker {
    /// Brokers to ask, separated by commas; the first that answers is used
    #[arg(
        short,
        long,
        env = "THALWEG_BROKERS",
        value_name = "HOST:PORT",
        default_value = "127.0.0.1:9092",
        global = true,
        hide_env_values = true
    )]
    pub brokers: String,
    /// Longest wait for connecting and for each answer (500ms, 30s, 2m)
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration, global = true)]
    pub timeout: Duration,
}

/// A duration above 0, with a unit.
pub fn duration(text: &str) -> Result<Duration, String> {
    use thalweg_config::units::{FromText, Millis};
    let Millis(millis) = Millis::from_text(text)?;
    match u64::try_from(millis) {
        Ok(millis @ 1..) => Ok(Duration::from_millis(millis)),
        _ => Err("a duration above 0, such as 30s".to_owned()),
    }
}

/// A connection to one broker.
#[derive(Debug)]
pub struct Client {
    address: String,
    socket: TcpStream,
    timeout: Duration,
    next_id: i32,
    versions: BTreeMap<i16, (i16, i16)>,
}

/// An answer that was received whole.
#[derive(Debug)]
pub struct Reply {
    address: String,
    head: ResponseHead,
    frame: Vec<u8>,
}

impl Reply {
    /// The answer as a checked view.
    pub fn view<'a, V: View<'a>>(&'a self) -> Result<V, Failure> {
        let malformed = |error| Failure::protocol(&self.address, error);
        let (_, body) = self.head.decode(&self.frame).map_err(malformed)?;
        V::decode(body, self.head.version).map_err(malformed)
    }
}

impl Client {
    /// Connects to the first broker that answers.
    pub fn connect(broker: &Broker) -> Result<Self, Failure> {
        let mut failure = None;
        for address in broker.brokers.split(',').map(str::trim) {
            match Self::connect_to(address, broker.timeout) {
                Ok(client) => return Ok(client),
                Err(error) => failure = Some(error),
            }
        }
        // Splitting text yields at least one part, so there was a failure.
        Err(failure.unwrap_or_else(|| Failure::protocol(&broker.brokers, "no address")))
    }

    /// Connects to this address.
    pub fn connect_to(address: &str, timeout: Duration) -> Result<Self, Failure> {
        let unreachable = |error: io::Error| Failure::unreachable(address, &error);
        let mut client = Self {
            address: address.to_owned(),
            socket: dial(address, timeout).map_err(unreachable)?,
            timeout,
            next_id: 0,
            versions: BTreeMap::new(),
        };
        let request = ApiVersionsRequest::default();
        let reply = client.ask(&request, FIRST_VERSION)?;
        let answer: ApiVersionsResponseView<'_> = reply.view()?;
        if answer.error_code != 0 {
            let what = format!("ApiVersions failed with error code {}", answer.error_code);
            return Err(Failure::protocol(address, what));
        }
        let rows = answer.api_keys.iter();
        client.versions = rows
            .map(|row| (row.api_key, (row.min_version, row.max_version)))
            .collect();
        Ok(client)
    }

    /// Who it talks to.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The versions of each call that the broker announced, by key.
    #[must_use]
    pub fn announced(&self) -> &BTreeMap<i16, (i16, i16)> {
        &self.versions
    }

    /// The highest version of a call that the broker and `versions` share.
    pub fn version(&self, api: ApiKey, versions: (i16, i16)) -> Result<i16, Failure> {
        let (min, max) = versions;
        let shared = self.versions.get(&api.code()).and_then(|(low, high)| {
            let highest = max.min(*high);
            (highest >= min.max(*low)).then_some(highest)
        });
        shared.ok_or_else(|| {
            let what = format!("{api} in any of the versions {min} to {max}");
            Failure::unserved(&self.address, what)
        })
    }

    /// Sends a request and waits for its answer.
    pub fn ask<M: Message>(&mut self, request: &M, version: i16) -> Result<Reply, Failure> {
        self.ask_patiently(request, version, Duration::ZERO)
    }

    /// The same for a call that the broker may answer late on purpose: `longer` than usual.
    pub fn ask_patiently<M: Message>(
        &mut self,
        request: &M,
        version: i16,
        longer: Duration,
    ) -> Result<Reply, Failure> {
        let head = ResponseHead {
            api_key: M::API_KEY.unwrap_or(-1),
            version,
            correlation_id: self.next_id,
        };
        self.next_id = self.next_id.wrapping_add(1);
        let bytes = encode_request(request, version, head.correlation_id, Some(CLIENT_ID))
            .map_err(|error| Failure::protocol(&self.address, error))?;
        let timeout = self.timeout + longer;
        let frame = match self.exchange(&bytes, timeout) {
            Ok(frame) => frame,
            Err(error) => return Err(self.lost(&error, timeout)),
        };
        let reply = Reply {
            address: self.address.clone(),
            head,
            frame,
        };
        match head.decode(&reply.frame) {
            Ok((id, _)) if id == head.correlation_id => Ok(reply),
            Ok((id, _)) => {
                let what = format!("an answer to request {id}, not {}", head.correlation_id);
                Err(Failure::protocol(&self.address, what))
            }
            Err(error) => Err(Failure::protocol(&self.address, error)),
        }
    }

    /// Sends a request that is not answered (produce with acks 0).
    pub fn tell<M: Message>(&mut self, request: &M, version: i16) -> Result<(), Failure> {
        let id = self.next_id;
        self.next_id = self.next_id.wrapping_add(1);
        let bytes = encode_request(request, version, id, Some(CLIENT_ID))
            .map_err(|error| Failure::protocol(&self.address, error))?;
        let sent = self
            .socket
            .set_write_timeout(Some(self.timeout))
            .and_then(|()| self.socket.write_all(&bytes));
        sent.map_err(|error| self.lost(&error, self.timeout))
    }

    fn lost(&self, error: &io::Error, timeout: Duration) -> Failure {
        match error.kind() {
            io::ErrorKind::InvalidData => Failure::protocol(&self.address, error),
            // What a socket's time limit is called depends on the system.
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                let words = format!("no answer within {timeout:?}");
                let error = io::Error::new(io::ErrorKind::TimedOut, words);
                Failure::unreachable(&self.address, &error)
            }
            _ => Failure::unreachable(&self.address, error),
        }
    }

    fn exchange(&mut self, request: &[u8], timeout: Duration) -> io::Result<Vec<u8>> {
        let deadline = Instant::now() + timeout;
        self.socket.set_write_timeout(Some(timeout))?;
        self.socket.write_all(request)?;
        let mut prefix = [0; 4];
        self.receive(&mut prefix, deadline)?;
        let size = usize::try_from(i32::from_be_bytes(prefix)).unwrap_or(usize::MAX);
        if !(4..=ANSWER_BYTES_MAX).contains(&size) {
            let words = format!("an answer that says it is {size} bytes long");
            return Err(io::Error::new(io::ErrorKind::InvalidData, words));
        }
        let mut frame = Vec::new();
        while frame.len() < size {
            let at = frame.len();
            frame.resize(size.min(at + ANSWER_RESERVE_BYTES_MAX), 0);
            self.receive(frame.get_mut(at..).unwrap_or_default(), deadline)?;
        }
        Ok(frame)
    }

    /// Fills the buffer, or fails at the deadline: a peer that drips bytes holds nobody up.
    fn receive(&mut self, mut buffer: &mut [u8], deadline: Instant) -> io::Result<()> {
        while !buffer.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            self.socket.set_read_timeout(Some(left))?;
            match self.socket.read(buffer) {
                Ok(0) => {
                    let words = "it closed the connection";
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, words));
                }
                Ok(bytes) => buffer = buffer.get_mut(bytes..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

fn dial(address: &str, timeout: Duration) -> io::Result<TcpStream> {
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for resolved in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&resolved, timeout) {
            Ok(socket) => {
                socket.set_nodelay(true)?;
                return Ok(socket);
            }
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::super::Exit;
    use super::*;

    /// Connects to a peer that answers the first request with these bytes and waits.
    fn against(answer: Vec<u8>) -> Failure {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let broker = Broker {
            brokers: listener.local_addr().unwrap().to_string(),
            timeout: Duration::from_millis(200),
        };
        let peer = thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            let mut request = [0; 100];
            let _ = socket.read(&mut request).unwrap();
            socket.write_all(&answer).unwrap();
            // Until the client hangs up.
            drop(socket.read(&mut request));
        });
        let failure = Client::connect(&broker).unwrap_err();
        peer.join().unwrap();
        failure
    }

    fn framed(body: &[u8]) -> Vec<u8> {
        let mut frame = u32::try_from(body.len()).unwrap().to_be_bytes().to_vec();
        frame.extend(body);
        frame
    }

    #[test]
    fn bad_peers_are_told_from_absent_ones() {
        let too_long = (ANSWER_BYTES_MAX as u32 + 1).to_be_bytes().to_vec();
        for (answer, exit, words) in [
            (too_long, Exit::Failed, "268435457 bytes long"),
            (framed(&[0, 0, 0]), Exit::Failed, "3 bytes long"),
            (framed(&[0, 0, 0, 9]), Exit::Failed, "request 9, not 0"),
            (framed(&[0, 0, 0, 0, 0]), Exit::Failed, "truncated"),
            (
                framed(&[0; 4])[..6].to_vec(),
                Exit::Unreachable,
                "no answer within 200ms",
            ),
            (b"HTTP/1.1 400".to_vec(), Exit::Failed, "bytes long"),
        ] {
            let failure = against(answer);
            assert_eq!(failure.exit, exit, "{failure}");
            assert!(failure.what.contains(words), "{failure}");
        }
    }

    #[test]
    fn nobody_there_is_exit_5() {
        let free = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let broker = Broker {
            brokers: free.to_string(),
            timeout: Duration::from_secs(1),
        };
        let failure = Client::connect(&broker).unwrap_err();
        assert_eq!(failure.exit, Exit::Unreachable);
        assert!(
            failure.cause.starts_with("nothing listens there"),
            "{failure}"
        );
    }

    #[test]
    fn durations_have_units() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        assert!(duration("0").is_err());
        assert!(duration("-1").is_err());
        assert!(duration("soon").is_err());
    }
}
