//! Limits of the process and of the system.

use rustix::process::{Resource, getrlimit};
use thalweg_config::Settings;
use thalweg_config::units::{Auto, show_bytes};

use super::check::{Check, Severity, number};
use crate::runtime::place::{self, Wanted, machine, place};

const GROUP: &str = "limits";
/// Two files a segment that is in use, and a socket a connection.
const OPEN_FILES_GOOD: u64 = 65_536;
/// Connections that arrive at once.
const BACKLOG_GOOD: u64 = 1_024;
const RING_DEPTH: usize = 256;

pub(super) fn checks(settings: &Settings) -> Vec<Check> {
    vec![memlock(settings), open_files(), backlog(), threads()]
}

fn limit(value: Option<u64>) -> String {
    value.map_or("unlimited".to_owned(), |value| value.to_string())
}

fn memlock(settings: &Settings) -> Check {
    let machine = machine();
    let wanted = Wanted {
        shards: match settings.shards.count {
            Auto::Set(count) => count,
            Auto::Auto => 0,
        },
        ring_depth: RING_DEPTH,
    };
    let unlimited = place::Machine {
        memlock_bytes: None,
        ..machine.clone()
    };
    let need = place(&unlimited, wanted).memlock_need;
    let least = place(&machine, wanted).memlock_need;
    let have = machine.memlock_bytes;
    let severity = match have {
        Some(have) if have < least => Severity::Fatal,
        _ => Severity::Warning,
    };
    let have_text = have.map_or("unlimited".to_owned(), show_bytes);
    Check::new(GROUP, "memlock", "memory that may be locked")
        .severity(severity)
        .found(
            show_bytes(need),
            have_text,
            Some(have.is_none_or(|have| have >= need)),
        )
        .why(
            "rings and their buffers are locked memory; with less the rings get smaller, and below the least a node does not start",
            "ulimit -l unlimited; LimitMEMLOCK=infinity in a systemd unit; --ulimit memlock=-1 for docker",
        )
        .command("printf '* - memlock unlimited\\n' > /etc/security/limits.d/thalweg.conf")
}

fn open_files() -> Check {
    // The node raises its soft limit to the hard one by itself.
    let hard = getrlimit(Resource::Nofile).maximum;
    Check::new(GROUP, "open-files", "files and sockets that may be open")
        .severity(Severity::Warning)
        .found(
            OPEN_FILES_GOOD.to_string(),
            limit(hard),
            Some(hard.is_none_or(|hard| hard >= OPEN_FILES_GOOD)),
        )
        .why(
            "each connection takes one, each segment in use two",
            "ulimit -Hn 1048576; LimitNOFILE=1048576 in a systemd unit; --ulimit nofile=1048576 for docker",
        )
        .command("printf '* - nofile 1048576\\n' > /etc/security/limits.d/thalweg-files.conf")
}

fn backlog() -> Check {
    let found = number("/proc/sys/net/core/somaxconn");
    Check::new(GROUP, "backlog", "connections that may wait to be accepted")
        .severity(Severity::Warning)
        .found(
            BACKLOG_GOOD.to_string(),
            limit(found),
            found.map(|found| found >= BACKLOG_GOOD),
        )
        .why(
            "when many clients connect at once, those beyond it wait a second or more",
            "sysctl -w net.core.somaxconn=4096",
        )
        .command("sysctl -w net.core.somaxconn=4096")
}

fn threads() -> Check {
    let found = getrlimit(Resource::Nproc).current;
    Check::new(GROUP, "threads", "threads this user may have")
        .severity(Severity::Warning)
        .found(
            "1024",
            limit(found),
            Some(found.is_none_or(|found| found >= 1024)),
        )
        .why(
            "a node has a few threads a core, all of a user count together",
            "ulimit -u 4096; TasksMax=infinity in a systemd unit",
        )
}
