//! `thalweg serve`: start the node and say so.

use std::path::PathBuf;

use clap::Args;
use thalweg_config::units::{Durability, LogFormat, LogLevel};
use thalweg_config::{Loaded, Settings};

use super::settings::From;
use super::{Exit, complain};
use crate::runtime::boot::{self, Banner, BootError};
use crate::runtime::import::ImportError;
use crate::runtime::start::StartError;

/// Start the node
#[derive(Args, Default)]
pub(super) struct Serve {
    #[command(flatten)]
    from: From,
    /// Where clients connect [default: 127.0.0.1:9092]
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<String>,
    /// Number of shards [default: one a core]
    #[arg(long, value_name = "N")]
    shards: Option<u16>,
    /// What an acknowledgement means [default: flush]
    #[arg(long, value_name = "flush|write")]
    durability: Option<String>,
    /// Check the settings and the machine, then end
    #[arg(long)]
    check: bool,
    /// Begin with a copy of Apache Kafka's log directory; --data must be empty
    #[arg(long, value_name = "KAFKA_LOG_DIR", conflicts_with_all = ["check", "dev"])]
    import: Option<PathBuf>,
    /// Development mode: data in a temporary directory unless --data
    #[arg(long)]
    dev: bool,
}

impl Serve {
    pub(super) fn run(self) -> Exit {
        let dev_data = || {
            let dir = std::env::temp_dir().join(format!("thalweg-dev-{}", std::process::id()));
            dir.display().to_string()
        };
        let flags = [
            ("--dev", "node.dev", self.dev.then(|| "true".to_owned())),
            ("--dev", "node.data", self.dev.then(dev_data)),
            ("--listen", "listen.kafka", self.listen.clone()),
            (
                "--shards",
                "shards.count",
                self.shards.map(|n| n.to_string()),
            ),
            (
                "--durability",
                "storage.durability",
                self.durability.clone(),
            ),
        ];
        let loaded = match self.from.load(&flags) {
            Ok(loaded) => loaded,
            Err(exit) => return exit,
        };
        if self.check {
            say("the settings are valid");
            return Exit::Done;
        }
        start_logs(&loaded.settings);
        let import = self.import.as_deref();
        match boot::run(&loaded, import, |banner| greet(&loaded, banner)) {
            Ok(()) => Exit::Done,
            Err(error) => tell(&error),
        }
    }
}

fn start_logs(settings: &Settings) {
    let level = match settings.log.level {
        LogLevel::Error => tracing::Level::ERROR,
        LogLevel::Warn => tracing::Level::WARN,
        LogLevel::Info => tracing::Level::INFO,
        LogLevel::Debug => tracing::Level::DEBUG,
        LogLevel::Trace => tracing::Level::TRACE,
    };
    // glommio speaks through the same door, and says little that an operator could use.
    let filter = tracing_subscriber::EnvFilter::new(format!("{level},glommio=warn"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false);
    match settings.log.format {
        LogFormat::Text => builder.with_ansi(false).init(),
        LogFormat::Json => builder.json().init(),
    }
}

#[expect(clippy::print_stdout, reason = "the banner is this command's output")]
fn say(line: &str) {
    println!("{line}");
}

fn greet(loaded: &Loaded, banner: &Banner) {
    let node = &banner.node;
    let report = &banner.report;
    say(&format!(
        "thalweg {} cluster {} node {}",
        env!("CARGO_PKG_VERSION"),
        node.cluster_id,
        node.id
    ));
    for (endpoint, address) in node.endpoints.iter().zip(&node.addresses) {
        say(&format!(
            "  listening on {address}, advertised as {}:{}",
            endpoint.host, endpoint.port
        ));
    }
    if let Some(admin) = banner.admin {
        say(&format!("  metrics and health on http://{admin}/metrics"));
    }
    let cores = match banner.placement.pinned.as_slice() {
        [] => "not pinned".to_owned(),
        cores => format!("pinned to cores {cores:?}"),
    };
    say(&format!("  {} shards, {cores}", banner.placement.shards));
    let have = banner
        .memlock
        .map_or("unlimited".to_owned(), |bytes| format!("{bytes} bytes"));
    say(&format!(
        "  locked memory: need {} bytes, have {have}",
        banner.placement.memlock_need
    ));
    say(match loaded.settings.storage.durability {
        Durability::Flush => "  durability flush: acknowledged means flushed to the device",
        Durability::Write => {
            "  durability write: acknowledged means written; a power cut can lose it"
        }
    });
    say(&format!(
        "  data in {}, {}",
        boot::data_dir(loaded).display(),
        if report.fresh {
            "new".to_owned()
        } else if report.clean {
            "stopped cleanly before".to_owned()
        } else {
            format!(
                "recovered {} rounds of {} bytes",
                report.rounds, report.journal_bytes
            )
        }
    ));
    say(&format!(
        "  try: kcat -b {}:{} -L",
        first_host(banner),
        first_port(banner)
    ));
    say("ready");
}

fn first_host(banner: &Banner) -> &str {
    banner
        .node
        .endpoints
        .first()
        .map_or("127.0.0.1", |endpoint| &endpoint.host)
}

fn first_port(banner: &Banner) -> u16 {
    banner
        .node
        .endpoints
        .first()
        .map_or(9092, |endpoint| endpoint.port)
}

/// Three lines about a node that did not start, and the exit code.
pub(super) fn tell(error: &BootError) -> Exit {
    let (cause, fix, exit) = match error {
        BootError::Data(_, StartError::Import(ImportError::Refused { fix, .. })) => (
            "the directory of Apache Kafka can't be served as it is",
            *fix,
            Exit::Failed,
        ),
        BootError::InUse(_) => (
            "a node on the same directory is running",
            "stop it, or start with --data DIR on another directory",
            Exit::Failed,
        ),
        BootError::Listen(..) => (
            "another process listens there, or the address is not this machine's",
            "start with --listen HOST:PORT on a free address",
            Exit::Failed,
        ),
        BootError::Data(..) => (
            "the directory can't be used as it is",
            "check its owner and its file system, or start with --data DIR on another directory",
            Exit::Failed,
        ),
        BootError::Machine(_) => (
            "a limit or a security profile forbids what the node needs",
            "raise the limit (ulimit -l, ulimit -n), or allow io_uring",
            Exit::Machine,
        ),
        BootError::Shard(_) => (
            "the storage refused; the first line says what",
            "read the log lines above; nothing was changed that recovery can't repeat",
            Exit::Failed,
        ),
    };
    complain(&error.to_string(), cause, fix);
    exit
}
