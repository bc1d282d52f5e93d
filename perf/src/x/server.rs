//! A server under test: Thalweg or a real Apache Kafka, started, stopped and killed the same way.
//!
//! Both are one node with id 1, keep their data in a folder of their own and listen on loopback.
//! Fixed ports: the metadata log holds the controller's address, and a copy of the data is served
//! by the other kind of server later.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use super::packages;
use super::probe;
use super::process::{Daemon, Program};
use super::{Context, Failure, Outcome};

/// A cold Java machine on a busy computer takes a while.
const READY_LIMIT: Duration = Duration::from_secs(60);
const STOP_LIMIT: Duration = Duration::from_secs(60);

/// Which server is tested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Thalweg,
    Kafka,
}

/// Which build of the node serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Build {
    Release,
    Dev,
}

/// Where a server lives and what it is told.
#[derive(Debug, Clone)]
pub struct Setup {
    pub kind: Kind,
    pub dir: PathBuf,
    pub port: u16,
    /// The program for Thalweg, the folder of jars for Apache Kafka.
    pub program: PathBuf,
    /// Further command-line words for Thalweg, further properties for Apache Kafka.
    pub extra: Vec<String>,
    /// Options for Apache Kafka's Java machine; without any, those of its own start script.
    pub java: Vec<String>,
}

/// One server and its process, if it runs.
#[derive(Debug)]
pub struct Server {
    setup: Setup,
    daemon: Option<Daemon>,
}

impl Setup {
    /// An empty folder below the driver's cache.
    pub fn fresh(kind: Kind, name: &str, port: u16, program: &Path) -> Outcome<Self> {
        let dir = packages::cache().join("run").join(name);
        if dir.exists() {
            fs::remove_dir_all(&dir).context(|| format!("emptying {}", dir.display()))?;
        }
        fs::create_dir_all(&dir).context(|| format!("creating {}", dir.display()))?;
        Ok(Self {
            kind,
            dir,
            port,
            program: program.to_owned(),
            extra: Vec::new(),
            java: Vec::new(),
        })
    }

    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Thalweg's metrics and health.
    #[must_use]
    pub fn admin(&self) -> String {
        format!("127.0.0.1:{}", self.port + 2)
    }

    /// The folder in Apache Kafka's own layout.
    #[must_use]
    pub fn log_dir(&self) -> PathBuf {
        match self.kind {
            Kind::Thalweg => self.dir.join("data/log"),
            Kind::Kafka => self.dir.join("data"),
        }
    }

    #[must_use]
    pub fn output(&self) -> PathBuf {
        self.dir.join("server.out")
    }

    fn thalweg(&self) -> Program {
        let (controller, admin) = (self.port + 1, self.port + 2);
        Program::new(&self.program)
            .arg("serve")
            .arg("--data")
            .arg(self.dir.join("data"))
            .args(["--listen", &self.address()])
            .args([
                "--set",
                &format!("listen.controller=127.0.0.1:{controller}"),
            ])
            .args(["--set", &format!("listen.admin=127.0.0.1:{admin}")])
            .args(["--set", "listen.internal=none"])
            .args(&self.extra)
    }

    fn kafka(&self) -> Outcome<Program> {
        let properties = self.dir.join("server.properties");
        fs::write(&properties, self.properties()).context(|| "writing server.properties")?;
        if !self.log_dir().join("meta.properties").exists() {
            let id = java(&self.program, "kafka.tools.StorageTool")
                .arg("random-uuid")
                .run()?;
            java(&self.program, "kafka.tools.StorageTool")
                .args(["format", "--standalone", "-t", id.stdout.trim(), "-c"])
                .arg(&properties)
                .run()?;
        }
        Ok(broker(&self.program, &self.java).arg(properties))
    }

    fn properties(&self) -> String {
        let (port, controller, data) = (self.port, self.port + 1, self.log_dir());
        format!(
            "process.roles=broker,controller\n\
             node.id=1\n\
             controller.quorum.bootstrap.servers=127.0.0.1:{controller}\n\
             listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n\
             advertised.listeners=PLAINTEXT://127.0.0.1:{port}\n\
             controller.listener.names=CONTROLLER\n\
             inter.broker.listener.name=PLAINTEXT\n\
             listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT\n\
             log.dirs={}\n\
             offsets.topic.replication.factor=1\n\
             transaction.state.log.replication.factor=1\n\
             transaction.state.log.min.isr=1\n\
             {}\n",
            data.display(),
            self.extra.join("\n"),
        )
    }
}

impl Server {
    #[must_use]
    pub fn new(setup: Setup) -> Self {
        Self {
            setup,
            daemon: None,
        }
    }

    #[must_use]
    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    #[must_use]
    pub fn address(&self) -> String {
        self.setup.address()
    }

    #[must_use]
    pub fn process(&self) -> Option<u32> {
        self.daemon.as_ref().map(Daemon::id)
    }

    /// Starts it and waits until it answers; the time that took.
    pub fn start(&mut self) -> Outcome<Duration> {
        let program = match self.setup.kind {
            Kind::Thalweg => self.setup.thalweg(),
            Kind::Kafka => self.setup.kafka()?,
        };
        if probe::answers(&self.address()) {
            return Err(Failure::new(format!(
                "something else serves on {}",
                self.address()
            )));
        }
        let started = Instant::now();
        let mut daemon = program.spawn(&self.setup.output())?;
        while !probe::answers(&self.address()) {
            if let Some(status) = daemon.ended() {
                return Err(Failure::new(format!(
                    "the server ended with {status}\n{}",
                    self.words()
                )));
            }
            if started.elapsed() > READY_LIMIT {
                let seconds = READY_LIMIT.as_secs();
                return Err(Failure::new(format!(
                    "not ready in {seconds} s\n{}",
                    self.words()
                )));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        self.daemon = Some(daemon);
        Ok(started.elapsed())
    }

    /// SIGTERM; the server is expected to end by itself.
    pub fn stop(&mut self) -> Outcome<ExitStatus> {
        let daemon = self.daemon.take().context(|| "the server does not run")?;
        daemon.stop(STOP_LIMIT)
    }

    /// SIGKILL.
    pub fn kill(&mut self) -> Outcome<()> {
        let daemon = self.daemon.take().context(|| "the server does not run")?;
        daemon.kill()
    }

    /// True while the process lives.
    pub fn lives(&mut self) -> bool {
        self.daemon
            .as_mut()
            .is_some_and(|daemon| daemon.ended().is_none())
    }

    /// The last lines that the server printed.
    #[must_use]
    pub fn words(&self) -> String {
        let text = fs::read_to_string(self.setup.output()).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines
            .get(lines.len().saturating_sub(20)..)
            .unwrap_or(&[])
            .join("\n")
    }
}

/// A Java program of Apache Kafka, tuned to start fast.
#[must_use]
pub fn java(jars: &Path, class: &str) -> Program {
    let path = format!("{}/*", jars.display());
    Program::new("java").args([
        "-Xmx1g",
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        "-cp",
        &path,
        class,
    ])
}

/// Heap and collector as Apache Kafka's own start script sets them.
const BROKER_JAVA: &[&str] = &[
    "-Xmx1g",
    "-Xms1g",
    "-XX:+UseG1GC",
    "-XX:MaxGCPauseMillis=20",
    "-XX:InitiatingHeapOccupancyPercent=35",
    "-XX:+ExplicitGCInvokesConcurrent",
];

fn broker(jars: &Path, options: &[String]) -> Program {
    let path = format!("{}/*", jars.display());
    let program = Program::new("java").arg("-server");
    let program = match options {
        [] => program.args(BROKER_JAVA),
        own => program.args(own),
    };
    program.args(["-Djava.awt.headless=true", "-cp", &path, "kafka.Kafka"])
}

/// Builds the node and tells where its program is.
pub fn thalweg(build: Build) -> Outcome<PathBuf> {
    self::build(build, "thalweg-node", "thalweg")
}

/// Builds the load generator and tells where its program is.
pub fn generator(build: Build) -> Outcome<PathBuf> {
    self::build(build, "thalweg-bench", "thalweg-bench")
}

/// Builds the hot functions' program and tells where it is.
pub fn hot() -> Outcome<PathBuf> {
    self::build(Build::Release, "thalweg-perf", "hot")
}

fn build(build: Build, package: &str, program: &str) -> Outcome<PathBuf> {
    let mut words = vec!["build", "--quiet", "--package", package, "--bin", program];
    if build == Build::Release {
        words.push("--release");
    }
    eprintln!("$ cargo {}", words.join(" "));
    Program::new("cargo")
        .args(words)
        .in_dir(&packages::root())
        .echo()
        .run()?;
    Ok(built(build, program))
}

/// Where cargo puts a program of ours.
fn built(build: Build, name: &str) -> PathBuf {
    let profile = if build == Build::Release {
        "release"
    } else {
        "debug"
    };
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| packages::root().join("target"), PathBuf::from);
    target.join(profile).join(name)
}
