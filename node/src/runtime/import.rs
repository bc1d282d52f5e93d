//! `serve --import`: a copy of Apache Kafka's log directory becomes the log of an empty data
//! directory.
//!
//! Copied, not linked: Kafka's directory stays as it is, to go back to. The copy is made beside its
//! place, flushed, and renamed last, so that one that was cut is no data directory; the next attempt
//! removes it. What can be told from files alone is refused here, before anything is copied; what the
//! metadata log tells (voters, other directories, tiered topics) by [`check_served`], on every start,
//! also of a directory that was put in place by hand. Deliberately absent: several log directories,
//! and a directory that was not stopped cleanly, whose logs only Kafka's own recovery may judge.

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use thalweg_coordinator::format::{FormatError, META_PROPERTIES_FILE, METADATA_DIRECTORY};
use thalweg_coordinator::format::{MetaProperties, parse_snapshot_name};
use thalweg_coordinator::metadata::image::Image;
use thalweg_coordinator::metadata::log::Quorum;
use thalweg_storage::files::meta::CLEAN_SHUTDOWN;
use thalweg_wire::ids::{NodeId, Uuid};

use super::start::LOG_DIR;

/// Where the copy is made, within the data directory.
const UNFINISHED: &str = "log.importing";
/// Kafka's directory ids below this one mean "any", "lost" and the like, and name no directory.
const RESERVED_DIRECTORIES: u128 = 100;

/// Why a directory is not taken over.
#[derive(Debug)]
pub enum ImportError {
    /// A file can't be read, or the copy not be written.
    Io(PathBuf, io::Error),
    /// `meta.properties` does not say what it should.
    Format(FormatError),
    /// It is not a directory that can be served; in words.
    Refused {
        /// What is wrong.
        reason: String,
        /// What to do.
        fix: &'static str,
    },
}

impl fmt::Display for ImportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(path, error) => write!(f, "{}: {error}", path.display()),
            Self::Format(error) => error.fmt(f),
            Self::Refused { reason, .. } => f.write_str(reason),
        }
    }
}

impl std::error::Error for ImportError {}

impl From<FormatError> for ImportError {
    fn from(error: FormatError) -> Self {
        Self::Format(error)
    }
}

fn refused<T>(reason: String, fix: &'static str) -> Result<T, ImportError> {
    Err(ImportError::Refused { reason, fix })
}

/// Whose directory has to be taken over.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// This node.
    pub node: NodeId,
    /// The cluster, if one was configured.
    pub cluster: Option<&'a str>,
}

/// Copies Kafka's log directory `from` into the data directory. Call it under the directory's lock.
///
/// # Errors
/// The first thing that keeps it from being served; nothing is left behind but for an unfinished copy.
pub fn import(from: &Path, data: &Path, expected: Expected<'_>) -> Result<(), ImportError> {
    check(from, expected)?;
    let target = data.join(LOG_DIR);
    if target.exists() || data.join("journal").exists() {
        let reason = format!("{} holds a log already", data.display());
        return refused(
            reason,
            "name an empty directory with --data, or start without --import",
        );
    }
    let copy = data.join(UNFINISHED);
    match fs::remove_dir_all(&copy) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(ImportError::Io(copy, error));
        }
        _ => {}
    }
    copy_dir(from, &copy)?;
    fs::rename(&copy, &target).map_err(|error| ImportError::Io(target, error))?;
    sync(data)
}

/// What files alone tell.
fn check(from: &Path, expected: Expected<'_>) -> Result<(), ImportError> {
    let path = from.join(META_PROPERTIES_FILE);
    let text = match fs::read_to_string(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let reason = format!("{} holds no {META_PROPERTIES_FILE}", from.display());
            return refused(reason, "name the directory that Kafka's log.dirs names");
        }
        read => read.map_err(|error| ImportError::Io(path, error))?,
    };
    let meta = MetaProperties::parse(&text)?;
    if meta.node != expected.node {
        let reason = format!(
            "its node id is {}, configured is {}",
            meta.node, expected.node
        );
        return refused(
            reason,
            "set node.id to the directory's, it is in all partitions' records",
        );
    }
    if let Some(cluster) = expected.cluster.filter(|id| *id != meta.cluster_id) {
        let reason = format!(
            "its cluster id is {}, configured is {cluster}",
            meta.cluster_id
        );
        return refused(reason, "set cluster.id to the directory's, or leave it out");
    }
    if !from.join(METADATA_DIRECTORY).is_dir() {
        let reason = format!("{} holds no {METADATA_DIRECTORY}", from.display());
        return refused(
            reason,
            "import a node with process.roles=broker,controller whose metadata.log.dir is this directory",
        );
    }
    if !from.join(CLEAN_SHUTDOWN).exists() {
        let reason = format!("{} was not stopped cleanly, or is in use", from.display());
        return refused(
            reason,
            "start Apache Kafka on it once more and stop it with SIGTERM",
        );
    }
    Ok(())
}

fn copy_dir(from: &Path, to: &Path) -> Result<(), ImportError> {
    let failed = |path: &Path| {
        let path = path.to_path_buf();
        move |error| ImportError::Io(path, error)
    };
    fs::create_dir_all(to).map_err(failed(to))?;
    for entry in fs::read_dir(from).map_err(failed(from))? {
        let entry = entry.map_err(failed(from))?;
        let (path, name) = (entry.path(), entry.file_name());
        let kind = entry.file_type().map_err(failed(&path))?;
        // Kafka's lock, and what it has deleted already.
        let is_left = name == ".lock" || name.to_string_lossy().ends_with(".deleted");
        if is_left || (kind.is_dir() && name.to_string_lossy().ends_with("-delete")) {
            continue;
        }
        let copy = to.join(&name);
        if kind.is_dir() {
            copy_dir(&path, &copy)?;
        } else if kind.is_file() {
            fs::copy(&path, &copy).map_err(failed(&path))?;
            sync(&copy)?;
        } else {
            let reason = format!("{} is neither a file nor a directory", path.display());
            return refused(reason, "replace links by what they point to");
        }
    }
    sync(to)
}

fn sync(path: &Path) -> Result<(), ImportError> {
    let synced = File::open(path).and_then(|file| file.sync_all());
    synced.map_err(|error| ImportError::Io(path.to_path_buf(), error))
}

/// Whether this node can serve what the metadata log says: it has all of it, in this directory.
///
/// # Errors
/// What it lacks.
pub fn check_served(
    image: &Image,
    quorum: &Quorum,
    node: NodeId,
    directory: Uuid,
) -> Result<(), ImportError> {
    if let Some(other) = quorum.voters.iter().find(|voter| voter.id != node) {
        let reason = format!(
            "the metadata quorum has {} voters, node {} among them",
            quorum.voters.len(),
            other.id
        );
        return refused(
            reason,
            "only a cluster of one is served: remove the other voters in Kafka first",
        );
    }
    for topic in image.topics.iter() {
        let name = &topic.name;
        for (index, partition) in &topic.partitions {
            if !partition.replicas.contains(&node) {
                let reason = format!("partition {name}-{index} has no replica on node {node}");
                return refused(reason, "move all partitions to this node in Kafka first");
            }
            let at = partition
                .replicas
                .iter()
                .position(|replica| *replica == node);
            let assigned = at.and_then(|at| partition.directories.get(at));
            let is_elsewhere =
                |id: &&Uuid| u128::from_be_bytes(id.0) >= RESERVED_DIRECTORIES && **id != directory;
            if let Some(other) = assigned.filter(is_elsewhere) {
                let reason =
                    format!("partition {name}-{index} lies in another log directory, {other}");
                return refused(
                    reason,
                    "move all partitions to one log directory in Kafka first",
                );
            }
        }
        let resource = thalweg_coordinator::metadata::image::Resource::topic(name);
        let tiered = image.config(&resource, "remote.storage.enable");
        if tiered.is_some_and(|value| value.trim().eq_ignore_ascii_case("true")) {
            let reason = format!("topic {name} has records in tiered storage");
            return refused(
                reason,
                "bring them back in Kafka and set remote.storage.enable=false",
            );
        }
    }
    Ok(())
}

/// The snapshot to begin with, where the metadata log does not begin at offset 0: the newest one
/// that the log goes on from. `ends` says whether a batch begins at an offset, or the log ends there.
#[must_use]
pub fn newest_snapshot<'a>(
    names: impl Iterator<Item = &'a str>,
    ends: impl Fn(thalweg_wire::ids::Offset) -> bool,
) -> Option<(&'a str, thalweg_wire::ids::Offset, thalweg_wire::ids::Epoch)> {
    let known = names.filter_map(|name| {
        let (end, epoch) = parse_snapshot_name(name)?;
        Some((name, end, epoch))
    });
    known
        .filter(|(_, end, _)| end.0 > 0 && ends(*end))
        .max_by_key(|(_, end, epoch)| (*end, *epoch))
}

#[cfg(test)]
mod tests {
    use super::*;
    use thalweg_wire::ids::Offset;

    fn refusal(from: &Path, data: &Path, node: i32, cluster: Option<&str>) -> String {
        let node = NodeId(node);
        let expected = Expected { node, cluster };
        match import(from, data, expected) {
            Ok(()) => "taken".to_owned(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn what_files_tell_is_refused_before_anything_is_copied() {
        let temp = thalweg_storage::testing::TempDir::new("import");
        let (from, data) = (temp.path().join("kafka"), temp.path().join("data"));
        fs::create_dir_all(&from).unwrap();
        fs::create_dir_all(&data).unwrap();
        let has = |words: &str, node, cluster: Option<&str>| {
            let said = refusal(&from, &data, node, cluster);
            assert!(said.contains(words), "{said}");
            assert!(!data.join(LOG_DIR).exists());
        };
        has("holds no meta.properties", 1, None);
        let text = "version=1\nnode.id=1\ncluster.id=c\ndirectory.id=AAAAAAAAAAAAAAAAAAABAA\n";
        fs::write(from.join(META_PROPERTIES_FILE), text).unwrap();
        has("node id is 1, configured is 2", 2, None);
        has("cluster id is c, configured is d", 1, Some("d"));
        has("holds no __cluster_metadata-0", 1, Some("c"));
        fs::create_dir(from.join(METADATA_DIRECTORY)).unwrap();
        has("was not stopped cleanly", 1, None);
        fs::write(from.join(CLEAN_SHUTDOWN), "{}").unwrap();
        fs::write(from.join(".lock"), "").unwrap();
        fs::create_dir(from.join("t-0.0123-delete")).unwrap();
        assert_eq!(refusal(&from, &data, 1, None), "taken");
        let copied = data.join(LOG_DIR);
        assert!(copied.join(METADATA_DIRECTORY).is_dir() && copied.join(CLEAN_SHUTDOWN).exists());
        assert!(!copied.join(".lock").exists() && !copied.join("t-0.0123-delete").exists());
        assert!(from.join(CLEAN_SHUTDOWN).exists());
        assert!(refusal(&from, &data, 1, None).contains("holds a log already"));
    }

    #[test]
    fn the_newest_snapshot_that_the_log_goes_on_from_is_taken() {
        let names = [
            "00000000000000000000-0000000000.checkpoint",
            "00000000000000000020-0000000001.checkpoint",
            "00000000000000000030-0000000002.checkpoint",
            "00000000000000000040-0000000002.checkpoint.part",
            "quorum-state",
        ];
        let taken = |upto| newest_snapshot(names.into_iter(), |end| end <= Offset(upto));
        assert_eq!(taken(100).map(|one| one.1), Some(Offset(30)));
        assert_eq!(taken(29).map(|one| one.1), Some(Offset(20)));
        assert_eq!(taken(10), None);
    }
}
