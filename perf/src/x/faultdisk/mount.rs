//! Mounts: the FUSE file, a loop device over it, and a file system on that.
//!
//! `mount`, `losetup` and `mkfs` of the machine do the work, so that nothing here needs system
//! calls of its own. All of it is undone when a [`FaultDisk`] is dropped.

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

use super::fuse::{self, Shared};
use super::image::Image;
use crate::x::process::Program;
use crate::x::{Context, Failure, Outcome};

/// Smallest that mkfs.xfs makes, and room enough for a load with retention.
pub const DISK_BYTES: u64 = 384 << 20;
/// A busy file system is asked again this often, 20 ms apart: a killed process may still be held
/// by what it had under way.
const UMOUNT_TRIES: u32 = 500;

/// What is put on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileSystem {
    Ext4,
    Xfs,
}

impl FileSystem {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
        }
    }

    fn make(self, device: &str) -> Outcome<()> {
        let program = match self {
            Self::Ext4 => Program::new("mkfs.ext4").args([
                "-q",
                "-F",
                "-J",
                "size=8",
                "-E",
                "nodiscard,lazy_itable_init=0,lazy_journal_init=0",
            ]),
            Self::Xfs => Program::new("mkfs.xfs").args(["-q", "-f", "-K"]),
        };
        program.arg(device).run().map(drop)
    }
}

/// A disk in this process with a loop device over it.
#[derive(Debug)]
pub struct FaultDisk {
    pub disk: Shared,
    /// Where the file system of the disk appears.
    pub root: PathBuf,
    file_system: FileSystem,
    fuse: PathBuf,
    device: String,
    mounted: bool,
    server: Option<JoinHandle<()>>,
}

impl FaultDisk {
    /// A disk of zeros with an empty file system; `dir` is for the places of the mounts.
    pub fn new(dir: &Path, file_system: FileSystem) -> Outcome<Self> {
        let (fuse, root) = (dir.join("fuse"), dir.join("root"));
        for place in [&fuse, &root] {
            fs::create_dir_all(place).context(|| format!("creating {}", place.display()))?;
        }
        let disk = Shared::default();
        disk.lock().image = Image::new(DISK_BYTES);
        let device = OpenOptions::new().read(true).write(true).open("/dev/fuse");
        let device = device.context(|| "opening /dev/fuse")?;
        mount_fuse(&device, &fuse)?;
        let served = disk.clone();
        let server = std::thread::spawn(move || fuse::serve(device, &served));
        let mut made = Self {
            disk,
            root,
            file_system,
            fuse,
            device: String::new(),
            mounted: false,
            server: Some(server),
        };
        let file = made.fuse.join("disk");
        let output = Program::new("losetup")
            .args(["--find", "--show"])
            .arg(file)
            .run()?;
        made.device = output.stdout.trim().to_owned();
        file_system.make(&made.device)?;
        Ok(made)
    }

    /// Mounts what the disk holds now; the file system replays its own journal.
    pub fn mount(&mut self) -> Outcome<()> {
        let options = match self.file_system {
            FileSystem::Ext4 => "noatime",
            // Two disks with the same origin may be mounted one after the other.
            FileSystem::Xfs => "noatime,nouuid",
        };
        Program::new("mount")
            .args(["-t", self.file_system.name(), "-o", options, &self.device])
            .arg(&self.root)
            .run()?;
        self.mounted = true;
        Ok(())
    }

    pub fn unmount(&mut self) -> Outcome<()> {
        if self.mounted {
            unmount(&self.root)?;
            self.mounted = false;
        }
        Ok(())
    }

    /// Puts another image under the loop device; nothing may be mounted.
    pub fn insert(&mut self, image: Image) -> Outcome<()> {
        if self.mounted {
            return Err(Failure::new("a disk in use is not changed"));
        }
        let mut state = self.disk.lock();
        state.records = false;
        state.image = image;
        Ok(())
    }
}

impl Drop for FaultDisk {
    fn drop(&mut self) {
        self.disk.lock().faults = super::Faults::default();
        let undone = [
            self.unmount(),
            match self.device.is_empty() {
                true => Ok(()),
                false => Program::new("losetup")
                    .args(["-d", &self.device])
                    .run()
                    .map(drop),
            },
            unmount(&self.fuse),
        ];
        for failure in undone.into_iter().filter_map(Result::err) {
            eprintln!("taking a fault disk down: {failure}");
        }
        if let Some(server) = self.server.take() {
            drop(server.join());
        }
    }
}

/// The descriptor goes to `mount` as its standard input: the kernel takes it by number.
fn mount_fuse(device: &File, place: &Path) -> Outcome<()> {
    let input = device.try_clone().context(|| "sharing /dev/fuse")?;
    let status = Command::new("mount")
        .args(["-i", "-t", "fuse", "-o"])
        .arg("fd=0,rootmode=40000,user_id=0,group_id=0")
        .arg("faultdisk")
        .arg(place)
        .stdin(Stdio::from(input))
        .status()
        .context(|| "starting mount")?;
    match status.success() {
        true => Ok(()),
        false => Err(Failure::new(
            "FUSE cannot be mounted: root and /dev/fuse are needed",
        )),
    }
}

fn unmount(place: &Path) -> Outcome<()> {
    let mut tries = 0;
    loop {
        let output = Program::new("umount").arg(place).finish()?;
        if output.status.success() {
            return Ok(());
        }
        tries += 1;
        if tries == UMOUNT_TRIES {
            return Err(Failure::new(format!("umount: {}", output.stderr.trim())));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
