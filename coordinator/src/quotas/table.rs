//! Who has which limit: Kafka's order of precedence, most specific first.
//!
//! A request counts for the pair of user and client id, for the user alone or for the client id alone, whichever has
//! a limit first in this order: user and client, user and any client, user, any user and client, any user and any
//! client, any user, client, any client. All that share a default have a counter each. Each kind of quota is looked
//! up for itself.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;

use super::{CLIENT_ID, CONNECTION_RATE, Entity, IP, Kind, USER};
use crate::metadata::image::Image;

/// One part of an entity: not there, any, or this name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Part<'a> {
    Absent,
    Any,
    Named(Cow<'a, str>),
}

impl Part<'_> {
    fn of(entity: &Entity, kind: &str) -> Part<'static> {
        match entity.get(kind) {
            None => Part::Absent,
            Some(None) => Part::Any,
            Some(Some(name)) => Part::Named(Cow::Owned(name.clone())),
        }
    }
}

type Limits = BTreeMap<(Part<'static>, Part<'static>), f64>;

/// All limits of an image, for look-ups.
#[derive(Clone, Debug, Default)]
pub struct QuotaTable {
    of_clients: BTreeMap<Kind, Limits>,
    of_addresses: BTreeMap<IpAddr, f64>,
    of_any_address: Option<f64>,
}

/// Whose counter a request counts on, and what it may reach.
#[derive(Clone, Debug, PartialEq)]
pub struct Applies<'a> {
    /// The user, empty when the counter is a client id's alone.
    pub user: &'a str,
    /// The client id, empty when the counter is a user's alone.
    pub client: &'a str,
    /// A second.
    pub limit: f64,
}

impl QuotaTable {
    /// The limits of an image; none when nothing is set, so that nobody looks.
    #[must_use]
    pub fn of(image: &Image) -> Option<Self> {
        if image.quotas.is_empty() {
            return None;
        }
        let mut table = Self::default();
        for (entity, values) in image.quotas.iter() {
            for (key, value) in values.iter() {
                table.take(entity, key, *value);
            }
        }
        Some(table)
    }

    fn take(&mut self, entity: &Entity, key: &str, value: f64) {
        if let Some(name) = entity.get(IP) {
            match name.as_deref().map(str::parse) {
                _ if key != CONNECTION_RATE => {}
                None => self.of_any_address = Some(value),
                Some(Ok(address)) => {
                    self.of_addresses.insert(address, value);
                }
                // A host name that Apache Kafka took: there is nobody to look it up.
                Some(Err(_)) => {}
            }
            return;
        }
        if let Some(kind) = Kind::ALL.into_iter().find(|kind| kind.key() == key) {
            let pair = (Part::of(entity, USER), Part::of(entity, CLIENT_ID));
            self.of_clients.entry(kind).or_default().insert(pair, value);
        }
    }

    /// Whether any quota of that kind is set.
    #[must_use]
    pub fn has(&self, kind: Kind) -> bool {
        self.of_clients.contains_key(&kind)
    }

    /// The limit of this user and client id; none when they have no limit.
    #[must_use]
    pub fn applies<'a>(&self, kind: Kind, user: &'a str, client: &'a str) -> Option<Applies<'a>> {
        let limits: &BTreeMap<(Part<'_>, Part<'_>), f64> = self.of_clients.get(&kind)?;
        let has = |pair: &(Part<'_>, Part<'_>)| limits.contains_key(pair);
        let user_part = Part::Named(Cow::Borrowed(user));
        let client_part = Part::Named(Cow::Borrowed(client));
        let named = |a: &Part<'a>, b: &Part<'a>| has(&(a.clone(), b.clone()));
        let (user, client) = if named(&user_part, &client_part) || named(&user_part, &Part::Any) {
            (user, client)
        } else if named(&user_part, &Part::Absent) {
            (user, "")
        } else if named(&Part::Any, &client_part) || named(&Part::Any, &Part::Any) {
            (user, client)
        } else if named(&Part::Any, &Part::Absent) {
            (user, "")
        } else {
            ("", client)
        };
        let limit = self.limit(kind, user, client)?;
        Some(Applies {
            user,
            client,
            limit,
        })
    }

    /// The limit of a counter. A client without an id has the limit of its user, as in Kafka.
    #[must_use]
    pub fn limit(&self, kind: Kind, user: &str, client: &str) -> Option<f64> {
        let limits: &BTreeMap<(Part<'_>, Part<'_>), f64> = self.of_clients.get(&kind)?;
        let user_part = || Part::Named(Cow::Borrowed(user));
        let client_part = || Part::Named(Cow::Borrowed(client));
        let order = match (user.is_empty(), client.is_empty()) {
            (false, false) => vec![
                (user_part(), client_part()),
                (user_part(), Part::Any),
                (Part::Any, client_part()),
                (Part::Any, Part::Any),
            ],
            (false, true) => vec![(user_part(), Part::Absent), (Part::Any, Part::Absent)],
            (true, false) => vec![(Part::Absent, client_part()), (Part::Absent, Part::Any)],
            (true, true) => Vec::new(),
        };
        order.iter().find_map(|pair| limits.get(pair)).copied()
    }

    /// New connections a second that this address may make; none without a limit.
    #[must_use]
    pub fn connections(&self, address: IpAddr) -> Option<f64> {
        let own = self.of_addresses.get(&address.to_canonical()).copied();
        own.or(self.of_any_address)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    type Part = (&'static str, Option<&'static str>);

    fn table(rows: &[(&[Part], f64)]) -> QuotaTable {
        let mut image = Image::default();
        let quotas = Arc::make_mut(&mut image.quotas);
        for (entity, value) in rows {
            let named = entity.iter();
            let entity = named.map(|(kind, name)| ((*kind).to_owned(), name.map(str::to_owned)));
            let values = [("producer_byte_rate".to_owned(), *value)].into();
            quotas.insert(entity.collect(), Arc::new(values));
        }
        QuotaTable::of(&image).unwrap_or_default()
    }

    const USER_A: Part = (USER, Some("a"));
    const ANY_USER: Part = (USER, None);
    const CLIENT_C: Part = (CLIENT_ID, Some("c"));
    const ANY_CLIENT: Part = (CLIENT_ID, None);

    #[test]
    fn the_most_specific_limit_counts() {
        let order: [&[Part]; 8] = [
            &[USER_A, CLIENT_C],
            &[USER_A, ANY_CLIENT],
            &[USER_A],
            &[ANY_USER, CLIENT_C],
            &[ANY_USER, ANY_CLIENT],
            &[ANY_USER],
            &[CLIENT_C],
            &[ANY_CLIENT],
        ];
        let counters = [
            ("a", "c"),
            ("a", "c"),
            ("a", ""),
            ("a", "c"),
            ("a", "c"),
            ("a", ""),
            ("", "c"),
            ("", "c"),
        ];
        for (first, (user, client)) in counters.into_iter().enumerate() {
            let rows: Vec<_> = (first..order.len())
                .map(|at| (order[at], f64::from(u8::try_from(at + 1).unwrap())))
                .collect();
            let limit = f64::from(u8::try_from(first + 1).unwrap());
            let applies = Applies {
                user,
                client,
                limit,
            };
            let table = table(&rows);
            assert_eq!(table.applies(Kind::Produce, "a", "c"), Some(applies));
            assert_eq!(table.applies(Kind::Fetch, "a", "c"), None);
        }
    }

    #[test]
    fn a_client_without_an_id_is_its_users() {
        let table = table(&[(&[USER_A, ANY_CLIENT], 1.0), (&[ANY_USER], 2.0)]);
        assert_eq!(table.applies(Kind::Produce, "a", "").unwrap().limit, 2.0);
        assert_eq!(table.applies(Kind::Produce, "b", "c").unwrap().limit, 2.0);
        assert!(QuotaTable::of(&Image::default()).is_none());
    }
}
