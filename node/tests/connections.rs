//! Connections over loopback, with a service that echoes: order, limits, endings.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by it")]

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::rc::Rc;
use std::sync::mpsc::channel;
use std::time::Duration;

use glommio::{LocalExecutorBuilder, Placement};
use thalweg_node::metrics::Metrics;
use thalweg_node::net::connection::{Limits, Link, Net, Service, Share};
use thalweg_node::net::door::{Bounds, Door};
use thalweg_node::net::listener::{self, Accepted};
use thalweg_node::net::registry::Registry;
use thalweg_node::outgoing::{Answer, Lending, Outgoing};
use thalweg_node::request::{Frame, Listener};
use thalweg_node::runtime::nudge;
use thalweg_node::shard::host::Host;
use thalweg_node::shard::pulse::Pulse;
use thalweg_node::shard::shard::GlommioHost;
use thalweg_node::shard::wait::LocalFuture;
use thalweg_storage::disk::ring::Ring;
use thalweg_wire::header::ResponseHead;
use thalweg_wire::ids::ShardId;
use thalweg_wire::messages::api_versions_response::ApiVersionsResponse;

/// Longest wait for anything that must come.
const PATIENCE: Duration = Duration::from_secs(120);

const LIMITS: Limits = Limits {
    frame_bytes_max: 1 << 20,
    send_buffer_bytes: Some(64 << 10),
    pipeline_requests_max: 4,
    pipeline_bytes_max: 8 << 20,
    shard_request_bytes_max: 16 << 20,
    shard_partial_bytes_max: 2 << 20,
    shard_answer_bytes_max: 5 << 20,
};

/// Answers with the frame's second word as correlation id; byte 7 odd: later; byte 0 = 1: closes, 2: at
/// length.
struct Echo {
    host: Rc<dyn Host>,
    at_once: Rc<Cell<usize>>,
    at_once_max: Rc<Cell<usize>>,
}

impl Service for Echo {
    fn lending(&self) -> Lending {
        Lending::new(1 << 20, 1 << 20)
    }

    fn pulse(&self) -> Pulse {
        let host = Rc::clone(&self.host);
        Pulse::new(Box::new(move |duration| host.sleep(duration)))
    }

    fn call(&self, frame: Frame, _: &Rc<Link>, _: Share) -> LocalFuture<Answer> {
        let id = i32::from_be_bytes(frame[4..8].try_into().unwrap());
        let head = ResponseHead {
            api_key: 18,
            version: 0,
            correlation_id: id,
        };
        let wait = (id % 2 == 1).then(|| self.host.sleep(Duration::from_millis(20)));
        let (at_once, max) = (Rc::clone(&self.at_once), Rc::clone(&self.at_once_max));
        Box::pin(async move {
            at_once.set(at_once.get() + 1);
            max.set(max.get().max(at_once.get()));
            if let Some(wait) = wait {
                wait.await;
            }
            at_once.set(at_once.get() - 1);
            if frame[0] == 1 {
                return Answer::Close("asked to".to_owned());
            }
            if frame[0] == 2 {
                let mut bytes = (1_u32 << 20).to_be_bytes().to_vec();
                bytes.extend(id.to_be_bytes());
                bytes.resize(4 + (1 << 20), 0);
                return Answer::Respond(Outgoing::whole(bytes));
            }
            let body = ApiVersionsResponse::default();
            Answer::Respond(Outgoing::plain(head, &body).unwrap())
        })
    }
}

/// Runs `client` on a thread against an echoing node; answers the most requests worked on at once.
fn with_node(client: impl FnOnce(SocketAddr) + Send + 'static) -> usize {
    let builder = LocalExecutorBuilder::new(Placement::Unbound)
        .ring_depth(64)
        .io_memory(1 << 20)
        .preempt_timer(Duration::from_millis(1));
    let (tell, told) = channel();
    let main = move || async move {
        let host = GlommioHost::new(ShardId(0), 1);
        let max = Rc::new(Cell::new(0));
        let service = Rc::new(Echo {
            host: host.clone(),
            at_once: Rc::default(),
            at_once_max: Rc::clone(&max),
        });
        // Whoever waits for room in a socket is told by the ring.
        let ring = Ring::new().unwrap();
        let driven = ring.clone();
        let driving = glommio::spawn_local(async move { driven.drive().await.unwrap() }).detach();
        let net = Net::new(
            LIMITS,
            host.clone(),
            service,
            Rc::new(Metrics::default()),
            ring.clone(),
        );
        let registry = Registry::new(net);
        let door = RefCell::new(Door::new(1));
        let bounds = Bounds {
            of_node: 100,
            of_shard: 100,
            of_address: 100,
            of_addresses: BTreeMap::new(),
            a_second: u32::MAX,
        };
        let bound = listener::bind(Listener::Kafka, ([127, 0, 0, 1], 0).into(), 0).unwrap();
        let address = bound.address;
        let adopting = registry.clone();
        let accepting = listener::accept_all(
            bound,
            Rc::new(move |socket, peer: SocketAddr, listener| {
                let place = door.borrow_mut().admit(peer.ip(), &bounds).unwrap();
                adopting.adopt(Accepted {
                    socket,
                    listener,
                    place,
                });
                None
            }),
        );
        glommio::spawn_local(accepting).detach();
        let client = std::thread::spawn(move || client(address));
        while !client.is_finished() {
            glommio::timer::sleep(Duration::from_millis(5)).await;
        }
        client.join().unwrap();
        registry.stop_reading();
        registry.emptied().await;
        ring.stop().await;
        driving.await;
        tell.send(max.get()).unwrap();
    };
    nudge::prepare().unwrap();
    let thread = nudge::executor("node".to_owned(), builder, main).unwrap();
    nudge::nudge(vec![thread]).unwrap();
    told.recv_timeout(PATIENCE).unwrap()
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn request(id: i32, bytes: usize) -> Vec<u8> {
    let mut frame = u32::try_from(bytes).unwrap().to_be_bytes().to_vec();
    frame.extend([0; 4]);
    frame.extend(id.to_be_bytes());
    frame.resize(4 + bytes, 7);
    frame
}

fn response(stream: &mut TcpStream) -> Option<i32> {
    let mut size = [0; 4];
    stream.read_exact(&mut size).ok()?;
    let mut body = vec![0; u32::from_be_bytes(size) as usize];
    stream.read_exact(&mut body).ok()?;
    Some(i32::from_be_bytes(body[..4].try_into().unwrap()))
}

#[test]
fn answers_keep_the_order_of_requests_and_overlap() {
    let at_once = with_node(|address| {
        let mut stream = connect(address);
        for id in 0..40 {
            stream
                .write_all(&request(id, 8 + id as usize * 977))
                .unwrap();
        }
        for id in 0..40 {
            assert_eq!(response(&mut stream), Some(id));
        }
    });
    assert!(
        (2..=LIMITS.pipeline_requests_max).contains(&at_once),
        "{at_once}"
    );
}

#[test]
fn bad_sizes_and_refusals_close_only_their_connection() {
    with_node(|address| {
        let mut honest = connect(address);
        for bad in [-1, 3, (1 << 20) + 1, i32::MAX] {
            let mut stream = connect(address);
            stream.write_all(&request(8, 100)).unwrap();
            stream.write_all(&bad.to_be_bytes()).unwrap();
            // What came whole before is still answered.
            assert_eq!(response(&mut stream), Some(8));
            assert_eq!(response(&mut stream), None);
        }
        let mut stream = connect(address);
        let mut closing = request(3, 100);
        closing[4] = 1;
        stream.write_all(&request(2, 8)).unwrap();
        stream.write_all(&closing).unwrap();
        stream.write_all(&request(4, 8)).unwrap();
        assert_eq!(response(&mut stream), Some(2));
        assert_eq!(response(&mut stream), None);
        honest.write_all(&request(6, 1 << 20)).unwrap();
        assert_eq!(response(&mut honest), Some(6));
    });
}

#[test]
fn unfinished_frames_have_a_limit_for_all_connections_together() {
    with_node(|address| {
        let mut held: Vec<TcpStream> = Vec::new();
        let mut refused = 0;
        for _ in 0..4 {
            let mut stream = connect(address);
            let frame = request(2, 1 << 20);
            if stream.write_all(&frame[..900_000]).is_err() {
                refused += 1;
            }
            held.push(stream);
        }
        for stream in &mut held {
            stream
                .set_read_timeout(Some(Duration::from_millis(300)))
                .unwrap();
            let mut byte = [0];
            let closed = match stream.read(&mut byte) {
                Ok(0) => true,
                Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
                Ok(_) => false,
            };
            refused += usize::from(closed);
        }
        assert!((1..=3).contains(&refused), "{refused} of 4 were refused");
    });
}

/// Peers that read nothing keep what their pipelines may keep, and the shard's limit closes the one
/// that keeps most: the others are served.
#[test]
fn answers_that_wait_have_a_limit_for_all_connections_together() {
    with_node(|address| {
        let ask = |stream: &mut TcpStream, count: usize| {
            let mut long = request(2, 8);
            long[4] = 2;
            for _ in 0..count {
                if stream.write_all(&long).is_err() {
                    return;
                }
            }
        };
        let mut deaf: Vec<TcpStream> = Vec::new();
        // What the kernel takes in for a peer is at most some megabytes; the rest waits.
        for _ in 0..3 {
            let mut stream = TcpStream::connect(address).unwrap();
            ask(&mut stream, 40);
            deaf.push(stream);
        }
        let mut closed = 0;
        for stream in &mut deaf {
            let mut read = 0;
            stream
                .set_read_timeout(Some(Duration::from_secs(20)))
                .unwrap();
            let mut buffer = vec![0; 1 << 20];
            let all = 40 * (4 + (1 << 20));
            while read < all {
                match stream.read(&mut buffer) {
                    Ok(bytes @ 1..) => read += bytes,
                    Err(error) if error.kind() != std::io::ErrorKind::ConnectionReset => {
                        panic!("neither answered nor closed: {error}")
                    }
                    Ok(_) | Err(_) => {
                        closed += 1;
                        break;
                    }
                }
            }
        }
        assert!((1..=2).contains(&closed), "{closed} of 3 were closed");
        let mut honest = TcpStream::connect(address).unwrap();
        ask(&mut honest, 1);
        assert_eq!(response(&mut honest), Some(2));
    });
}
