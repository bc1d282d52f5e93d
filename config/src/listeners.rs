//! `listeners` and its five sisters of a server.properties to our `[listen]` section. Pure.
//!
//! Kafka names its listeners freely and says by other keys what each is for: the names in
//! `controller.listener.names` are for the quorum, `inter.broker.listener.name` is for brokers (and for clients
//! too, when it is the only one left), the rest is for clients.

use std::collections::BTreeMap;

use crate::merge::{Entry, Key, Values};
use crate::report::{Origin, Report};
use crate::units::{Address, FromText};

/// Writes `listen.*` from Kafka's listener keys, where those were set.
pub(crate) fn translate(values: &mut Values, report: &mut Report) {
    let protocols = protocols(values, report);
    let controllers = words(values, "controller.listener.names");
    let internal = word(values, "inter.broker.listener.name").map(|(name, _)| name);
    if let Some((text, origin)) = word(values, "listeners") {
        let list = parse(&text, ("listeners", &origin), &protocols, report);
        let places = assign(&list, &controllers, internal.as_deref());
        if places.clients.len() > 1 {
            let message = format!(
                "{} listeners for clients, there is one",
                places.clients.len()
            );
            let fix = "keep one that is neither inter-broker nor controller".to_owned();
            report.error(&origin, "listeners", message, fix);
        }
        let client = places.clients.first().or(places.internal.as_ref());
        put(values, "listen.kafka", client, &origin, report);
        let internal = places.internal.as_ref().filter(|at| client != Some(*at));
        put_or_none(values, "listen.internal", internal, (&origin, report));
        put_or_none(
            values,
            "listen.controller",
            places.controller.as_ref(),
            (&origin, report),
        );
    }
    if let Some((text, origin)) = word(values, "advertised.listeners") {
        let list = parse(&text, ("advertised.listeners", &origin), &protocols, report);
        let places = assign(&list, &controllers, internal.as_deref());
        let client = places.clients.first().or(places.internal.as_ref());
        put(values, "listen.advertise", client, &origin, report);
    }
}

fn word(values: &Values, name: &'static str) -> Option<(String, Origin)> {
    let value = values.get(&Key::Kafka(name))?;
    Some((value.text.clone(), value.origin.clone()))
}

fn words(values: &Values, name: &'static str) -> Vec<String> {
    let text = word(values, name).map(|(text, _)| text).unwrap_or_default();
    text.split(',')
        .map(|name| name.trim().to_uppercase())
        .collect()
}

/// Protocols by listener name. Anything but PLAINTEXT is refused: it would be served in clear text.
fn protocols(values: &Values, report: &mut Report) -> BTreeMap<String, String> {
    let mut protocols: BTreeMap<String, String> =
        ["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
            .iter()
            .map(|name| ((*name).to_owned(), (*name).to_owned()))
            .collect();
    let Some((text, origin)) = word(values, "listener.security.protocol.map") else {
        return protocols;
    };
    for pair in text
        .split(',')
        .map(str::trim)
        .filter(|pair| !pair.is_empty())
    {
        match pair.split_once(':') {
            Some((name, protocol)) => {
                protocols.insert(name.trim().to_uppercase(), protocol.trim().to_uppercase());
            }
            None => {
                let message = format!("{pair:?} is no pair");
                let fix = "write NAME:PLAINTEXT".to_owned();
                report.error(&origin, "listener.security.protocol.map", message, fix);
            }
        }
    }
    protocols
}

struct Named {
    name: String,
    address: Address,
}

fn parse(
    text: &str,
    (key, origin): (&str, &Origin),
    protocols: &BTreeMap<String, String>,
    report: &mut Report,
) -> Vec<Named> {
    let mut list = Vec::new();
    for entry in text
        .split(',')
        .map(str::trim)
        .filter(|entry| !entry.is_empty())
    {
        let parsed = entry.split_once("://").and_then(|(name, address)| {
            let address = Address::from_text(address).ok()?;
            Some(Named {
                name: name.to_uppercase(),
                address,
            })
        });
        let Some(named) = parsed else {
            let fix = "write NAME://HOST:PORT".to_owned();
            report.error(origin, key, format!("cannot read {entry:?}"), fix);
            continue;
        };
        match protocols.get(&named.name).map(String::as_str) {
            Some("PLAINTEXT") => list.push(named),
            Some(protocol) => {
                let message = format!("{entry} asks for {protocol}, there is only PLAINTEXT yet");
                report.error(
                    origin,
                    key,
                    message,
                    "map it to PLAINTEXT, or remove it".to_owned(),
                );
            }
            None => {
                let fix = format!(
                    "add {}:PLAINTEXT to listener.security.protocol.map",
                    named.name
                );
                report.error(
                    origin,
                    key,
                    format!("{entry} has no security protocol"),
                    fix,
                );
            }
        }
    }
    list
}

#[derive(Default)]
struct Places {
    clients: Vec<Address>,
    internal: Option<Address>,
    controller: Option<Address>,
}

fn assign(list: &[Named], controllers: &[String], internal: Option<&str>) -> Places {
    let mut places = Places::default();
    for named in list {
        let address = named.address.clone();
        if controllers.contains(&named.name) {
            places.controller.get_or_insert(address);
        } else if internal.is_some_and(|name| name.eq_ignore_ascii_case(&named.name)) {
            places.internal = Some(address);
        } else {
            places.clients.push(address);
        }
    }
    places
}

fn put(
    values: &mut Values,
    key: &'static str,
    address: Option<&Address>,
    origin: &Origin,
    report: &mut Report,
) {
    if let Some(address) = address {
        let text = address.to_string();
        values.put(
            Entry {
                key: Key::Own(key),
                text,
                origin: origin.clone(),
            },
            report,
        );
    }
}

fn put_or_none(
    values: &mut Values,
    key: &'static str,
    address: Option<&Address>,
    (origin, report): (&Origin, &mut Report),
) {
    let text = address.map_or_else(|| "none".to_owned(), Address::to_string);
    values.put(
        Entry {
            key: Key::Own(key),
            text,
            origin: origin.clone(),
        },
        report,
    );
}
