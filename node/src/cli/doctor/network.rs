//! Ports and names.

use std::net::{TcpListener, ToSocketAddrs};

use thalweg_config::Settings;
use thalweg_config::units::{Address, Auto};

use super::check::{Check, Severity};

const GROUP: &str = "network";

pub(super) fn checks(settings: &Settings) -> Vec<Check> {
    let mut checks = vec![port(&settings.listen.kafka)];
    if let Auto::Set(address) = &settings.listen.advertise {
        checks.push(advertised(address));
    }
    if let Some(admin) = settings.listen.admin.address() {
        let mut check = port(admin);
        check.name = "admin-port";
        check.about = "the address of metrics and health";
        checks.push(check);
    }
    checks
}

fn port(address: &Address) -> Check {
    let host = match address.host.as_str() {
        "" => "0.0.0.0",
        host => host,
    };
    let (current, passed) = match TcpListener::bind((host, address.port)) {
        Ok(_) => ("free".to_owned(), true),
        Err(error) => (format!("{address}: {error}"), false),
    };
    Check::new(GROUP, "port", "the address that clients connect to")
        .severity(Severity::Fatal)
        .found("free", current, Some(passed))
        .why(
            "a node that cannot listen does not start; a node or a Kafka that runs already has it",
            "stop the other process, or choose another address with --listen HOST:PORT",
        )
}

fn advertised(address: &Address) -> Check {
    let found = (address.host.as_str(), address.port).to_socket_addrs();
    let (current, passed) = match found.map(|mut all| all.next()) {
        Ok(Some(resolved)) => (format!("{address} is {resolved}"), true),
        Ok(None) => (format!("{address} has no address"), false),
        Err(error) => (format!("{address}: {error}"), false),
    };
    Check::new(GROUP, "advertised", "the address that clients are told")
        .severity(Severity::Warning)
        .found("a name that resolves", current, Some(passed))
        .why(
            "clients connect once, and then to the address they are told",
            "set listen.advertise to a name that clients can resolve and dial",
        )
}
