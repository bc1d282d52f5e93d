//! What no setting shows alone: bounds, and settings that contradict each other. Pure.
//!
//! Each check adds its problem and goes on. Deliberately absent: anything that needs the machine (free
//! memory, ports in use): the node checks that when it starts.

use crate::limits;
use crate::merge::{Key, Values};
use crate::report::{Origin, Report};
use crate::settings::{Settings, own_key};
use crate::units::{Address, Auto, CoordinatorShard, Listen, show_bytes};

/// Adds every problem of the settings taken together.
pub(crate) fn validate(settings: &Settings, values: &Values, report: &mut Report) {
    let mut check = Check { values, report };
    node(settings, &mut check);
    listen(settings, &mut check);
    shards(settings, &mut check);
    storage(settings, &mut check);
    cluster(settings, &mut check);
}

struct Check<'a> {
    values: &'a Values,
    report: &'a mut Report,
}

impl Check<'_> {
    fn error(&mut self, name: &'static str, message: String, fix: &str) {
        let key = own_key(name).map(|key| Key::Own(key.name));
        let value = key.and_then(|key| self.values.get(&key));
        let origin = value.map_or(Origin::Default, |value| value.origin.clone());
        self.report.error(&origin, name, message, fix.to_owned());
    }

    fn bytes(&mut self, name: &'static str, bytes: u64, min: u64, max: u64) {
        if !(min..=max).contains(&bytes) || !bytes.is_multiple_of(limits::BLOCK_BYTES) {
            let (min, max) = (show_bytes(min), show_bytes(max));
            let fix = format!("write {min} to {max}, a multiple of 4KiB");
            self.error(
                name,
                format!("{} is out of bounds", show_bytes(bytes)),
                &fix,
            );
        }
    }
}

fn node(settings: &Settings, check: &mut Check<'_>) {
    if settings.node.id < 0 {
        check.error(
            "node.id",
            format!("{} is negative", settings.node.id),
            "write 0 or more",
        );
    }
    let dirs = settings.node.data.0.len();
    if dirs == 0 {
        check.error("node.data", "no directory given".to_owned(), "write one");
    }
    if dirs > limits::DATA_DIRS_MAX {
        let message = format!("{dirs} data directories, a node has one journal on one device");
        check.error(
            "node.data",
            message,
            "keep one; join the disks below it (LVM, RAID)",
        );
    }
}

fn listen(settings: &Settings, check: &mut Check<'_>) {
    let listen = &settings.listen;
    let all = [
        ("listen.kafka", Some(&listen.kafka)),
        ("listen.internal", listen.internal.address()),
        ("listen.controller", listen.controller.address()),
        ("listen.admin", listen.admin.address()),
    ];
    let open: Vec<(&'static str, &Address)> = all
        .into_iter()
        .filter_map(|(name, address)| Some((name, address?)))
        .collect();
    for (index, (name, address)) in open.iter().enumerate() {
        if !address.is_loopback() && !listen.insecure {
            let message =
                format!("{address} can be reached by others, and nobody is asked who they are");
            let fix =
                "set listen.insecure = true once the network protects it, or listen on 127.0.0.1";
            check.error(name, message, fix);
        }
        let taken = open
            .iter()
            .take(index)
            .find(|(_, other)| clashes(address, other));
        if let Some((other, _)) = taken {
            check.error(
                name,
                format!("{address} is {other}'s too"),
                "take another port",
            );
        }
    }
    if let Auto::Set(advertise) = &listen.advertise
        && (advertise.is_wildcard() || advertise.port == 0)
    {
        let message = format!("{advertise} is no address that a client could dial");
        check.error(
            "listen.advertise",
            message,
            "write a host name and port, or auto",
        );
    }
    if settings.cluster.voters.0.len() > 1 && listen.controller == Listen::None {
        let message = "none, but voters must reach each other".to_owned();
        check.error("listen.controller", message, "write HOST:PORT");
    }
}

fn clashes(left: &Address, right: &Address) -> bool {
    let everywhere = left.is_wildcard() || right.is_wildcard();
    left.port != 0 && left.port == right.port && (everywhere || left.host == right.host)
}

fn shards(settings: &Settings, check: &mut Check<'_>) {
    let shards = &settings.shards;
    let count = match shards.count {
        Auto::Auto => 1,
        Auto::Set(count) => count,
    };
    if count == 0 || count > limits::SHARDS_MAX {
        let fix = format!("write auto, or 1 to {}", limits::SHARDS_MAX);
        check.error("shards.count", format!("{count} is out of bounds"), &fix);
    }
    if shards.coordinator == Auto::Set(CoordinatorShard::Own) && shards.count == Auto::Set(1) {
        let message = "own, but there is one shard".to_owned();
        check.error("shards.coordinator", message, "write auto, or shared");
    }
    if let Auto::Set(memory) = shards.memory {
        let least = u64::from(count) * limits::SHARD_MEMORY_BYTES_MIN;
        check.bytes("shards.memory", memory.0, least, u64::MAX >> 1);
    }
    if !(limits::RING_ENTRIES_MIN..=limits::RING_ENTRIES_MAX).contains(&shards.ring_entries)
        || !shards.ring_entries.is_power_of_two()
    {
        let (min, max) = (limits::RING_ENTRIES_MIN, limits::RING_ENTRIES_MAX);
        let fix = format!("write a power of two from {min} to {max}");
        check.error(
            "shards.ring_entries",
            format!("{} is out of bounds", shards.ring_entries),
            &fix,
        );
    }
    if !(1..=limits::PREEMPT_MS_MAX).contains(&shards.preempt.0) {
        let message = format!("{}ms is out of bounds", shards.preempt.0);
        check.error("shards.preempt", message, "write 1ms to 1s");
    }
}

fn storage(settings: &Settings, check: &mut Check<'_>) {
    let storage = &settings.storage;
    let (min, max) = (
        limits::JOURNAL_FILE_BYTES_MIN,
        limits::JOURNAL_FILE_BYTES_MAX,
    );
    check.bytes("storage.journal_file", storage.journal_file.0, min, max);
    let (min, max) = (limits::PREALLOCATE_BYTES_MIN, limits::PREALLOCATE_BYTES_MAX);
    check.bytes(
        "storage.preallocate_step",
        storage.preallocate_step.0,
        min,
        max,
    );
    if let Auto::Set(journal) = storage.journal {
        let least = storage
            .journal_file
            .0
            .saturating_mul(limits::JOURNAL_FILES_MIN);
        let shards = match settings.shards.count {
            Auto::Auto => 1,
            Auto::Set(count) => u64::from(count),
        };
        let least = least.saturating_mul(shards.max(1));
        check.bytes(
            "storage.journal",
            journal.0,
            least,
            limits::JOURNAL_BYTES_MAX,
        );
    }
}

fn cluster(settings: &Settings, check: &mut Check<'_>) {
    let cluster = &settings.cluster;
    if let Auto::Set(id) = &cluster.id
        && (id.len() != 22
            || !id
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)))
    {
        let message = format!("{id:?} is no cluster id");
        check.error(
            "cluster.id",
            message,
            "write the 22 characters of kafka-storage random-uuid, or auto",
        );
    }
    if cluster.voters.0.len() > 1 {
        let message = format!(
            "{} voters, a node is its whole cluster yet",
            cluster.voters.0.len()
        );
        check.error("cluster.voters", message, "leave it empty");
    }
}
