//! The seeded disk's name space: directories whose changes are durable one directory at a time.
//!
//! A rename within a directory is one atomic change; across two it is one change in each, so that
//! a crash may leave both names or neither, as POSIX allows. A crash keeps any subset of the
//! changes that no `sync_dir` covered.

use std::collections::BTreeMap;
use std::io::{Error, ErrorKind};
use std::path::{Component, Path};

use crate::testing::Prng;

/// What a name stands for: an index into the directories here or into the disk's files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Node {
    Dir(usize),
    File(usize),
}

type Change = Vec<(String, Option<Node>)>;

#[derive(Default)]
struct Dir {
    current: BTreeMap<String, Node>,
    durable: BTreeMap<String, Node>,
    pending: Vec<Change>,
}

impl Dir {
    fn change(&mut self, change: Change) {
        apply(&mut self.current, &change);
        self.pending.push(change);
    }
}

fn apply(names: &mut BTreeMap<String, Node>, change: &Change) {
    for (name, node) in change {
        match node {
            Some(node) => names.insert(name.clone(), *node),
            None => names.remove(name),
        };
    }
}

/// All directories; the first is the root.
pub(super) struct Names {
    dirs: Vec<Dir>,
}

impl Names {
    pub(super) fn new() -> Self {
        Self {
            dirs: vec![Dir::default()],
        }
    }

    pub(super) fn lookup(&self, path: &Path) -> Result<Node, Error> {
        let mut node = Node::Dir(0);
        for part in path.components() {
            let Component::Normal(name) = part else {
                continue;
            };
            let Node::Dir(dir) = node else {
                return Err(ErrorKind::NotADirectory.into());
            };
            let name = name.to_string_lossy();
            node = *self.dirs[dir]
                .current
                .get(&*name)
                .ok_or(ErrorKind::NotFound)?;
        }
        Ok(node)
    }

    pub(super) fn list(&self, path: &Path) -> Result<Vec<(String, Node)>, Error> {
        let dir = self.dir(path)?;
        Ok(self.dirs[dir]
            .current
            .iter()
            .map(|(name, node)| (name.clone(), *node))
            .collect())
    }

    pub(super) fn create_file(&mut self, path: &Path, file: usize) -> Result<(), Error> {
        let (dir, name) = self.parent(path)?;
        if self.dirs[dir].current.contains_key(&name) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        self.dirs[dir].change(vec![(name, Some(Node::File(file)))]);
        Ok(())
    }

    pub(super) fn create_dirs(&mut self, path: &Path) -> Result<(), Error> {
        let mut dir = 0;
        for part in path.components() {
            let Component::Normal(name) = part else {
                continue;
            };
            let name = name.to_string_lossy().into_owned();
            dir = match self.dirs[dir].current.get(&name) {
                Some(Node::Dir(next)) => *next,
                Some(Node::File(_)) => return Err(ErrorKind::NotADirectory.into()),
                None => {
                    let next = self.dirs.len();
                    self.dirs.push(Dir::default());
                    self.dirs[dir].change(vec![(name, Some(Node::Dir(next)))]);
                    next
                }
            };
        }
        Ok(())
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> Result<(), Error> {
        let node = self.lookup(from)?;
        let (from_dir, from_name) = self.parent(from)?;
        let (to_dir, to_name) = self.parent(to)?;
        match (node, self.dirs[to_dir].current.get(&to_name)) {
            (_, None) | (Node::File(_), Some(Node::File(_))) => {}
            (Node::Dir(_), Some(Node::Dir(taken))) if self.dirs[*taken].current.is_empty() => {}
            (Node::Dir(_), Some(Node::Dir(_))) => return Err(ErrorKind::DirectoryNotEmpty.into()),
            (Node::File(_), Some(_)) => return Err(ErrorKind::IsADirectory.into()),
            (Node::Dir(_), Some(_)) => return Err(ErrorKind::NotADirectory.into()),
        }
        let (away, here) = ((from_name, None), (to_name, Some(node)));
        if from_dir == to_dir {
            self.dirs[from_dir].change(vec![away, here]);
        } else {
            self.dirs[to_dir].change(vec![here]);
            self.dirs[from_dir].change(vec![away]);
        }
        Ok(())
    }

    pub(super) fn remove(&mut self, path: &Path) -> Result<(), Error> {
        if let Node::Dir(dir) = self.lookup(path)?
            && !self.dirs[dir].current.is_empty()
        {
            return Err(ErrorKind::DirectoryNotEmpty.into());
        }
        let (dir, name) = self.parent(path)?;
        self.dirs[dir].change(vec![(name, None)]);
        Ok(())
    }

    /// How many changes of a directory a `sync_dir` submitted now covers.
    pub(super) fn pending(&self, path: &Path) -> Result<(usize, usize), Error> {
        let dir = self.dir(path)?;
        Ok((dir, self.dirs[dir].pending.len()))
    }

    /// The `sync_dir` that covered the first `count` changes of `dir` has succeeded.
    pub(super) fn flush(&mut self, dir: usize, count: usize) {
        let dir = &mut self.dirs[dir];
        let count = count.min(dir.pending.len());
        for change in dir.pending.drain(..count) {
            apply(&mut dir.durable, &change);
        }
    }

    pub(super) fn crash(&mut self, prng: &mut Prng) {
        for dir in &mut self.dirs {
            let probability = [0.0, 0.5, 1.0][prng.below(3)];
            for change in std::mem::take(&mut dir.pending) {
                if prng.chance(probability) {
                    apply(&mut dir.durable, &change);
                }
            }
            dir.current = dir.durable.clone();
        }
    }

    /// Indexes of all files that have a name.
    pub(super) fn files(&self) -> impl Iterator<Item = usize> {
        self.dirs
            .iter()
            .flat_map(|dir| dir.current.values())
            .filter_map(|node| match node {
                Node::File(file) => Some(*file),
                Node::Dir(_) => None,
            })
    }

    fn dir(&self, path: &Path) -> Result<usize, Error> {
        match self.lookup(path)? {
            Node::Dir(dir) => Ok(dir),
            Node::File(_) => Err(ErrorKind::NotADirectory.into()),
        }
    }

    fn parent(&self, path: &Path) -> Result<(usize, String), Error> {
        let name = path
            .file_name()
            .ok_or(ErrorKind::InvalidInput)?
            .to_string_lossy()
            .into_owned();
        Ok((self.dir(path.parent().unwrap_or(Path::new("")))?, name))
    }
}
