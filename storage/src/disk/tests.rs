//! The same calls on both disks: what the engine relies on holds on the seeded disk and on the real
//! one, inside a glommio executor on a real file system.

use std::path::Path;

use super::probe::{Probe, WriteThrough};
use super::*;
use crate::testing::TempDir;
use crate::testing::executor::block_on;

/// Runs a test on the real disk, as a shard does.
pub(crate) fn on_real_disk<F: Future<Output = ()> + 'static>(
    name: &str,
    test: impl FnOnce(UringDisk) -> F + 'static,
) {
    let dir = TempDir::new(name);
    let probe = Probe::run(dir.path()).unwrap();
    let root = dir.path().to_path_buf();
    glommio::LocalExecutorBuilder::new(glommio::Placement::Unbound)
        .ring_depth(32)
        .io_memory(1 << 20)
        .make()
        .unwrap()
        .run(async move {
            let disk = UringDisk::open(&root, probe, &[]).unwrap();
            let driver = glommio::spawn_local(disk.ring().clone().drive()).detach();
            test(disk.clone()).await;
            disk.ring().stop().await;
            driver.await.expect("not cancelled").unwrap();
        });
}

macro_rules! on_both_disks {
    ($($name:ident),+ $(,)?) => {
        mod seeded {
            $(#[test]
            fn $name() {
                for seed in 0..10 {
                    block_on(seed, super::$name(super::MemoryDisk::new(seed)));
                }
            })+
            use super::block_on;
        }
        mod real {
            $(#[test]
            fn $name() {
                super::on_real_disk(stringify!($name), super::$name);
            })+
        }
    };
}

on_both_disks!(
    writes_are_read_back,
    large_gathered_writes_are_whole,
    reads_are_short_at_the_end,
    sizes_grow_and_shrink,
    names_come_and_go,
    create_is_exclusive,
    small_files_are_replaced,
    barriers_of_any_size,
    a_removed_file_stays_open,
    missing_names_say_so,
);

fn path(text: &str) -> &Path {
    Path::new(text)
}

fn pattern(bytes: usize, seed: u8) -> Slice {
    let byte = |at: usize| u8::try_from((at / 7) % 251).unwrap() ^ seed;
    Slice::from_vec((0..bytes).map(byte).collect())
}

async fn writes_are_read_back<D: Disk>(disk: D) {
    let file = disk.open(path("a"), OpenMode::Create).await.unwrap();
    let (one, two) = (pattern(4096, 1), pattern(8192, 2));
    for durable in [false, true] {
        file.write_at(4096, vec![one.clone(), two.clone()], durable)
            .await
            .unwrap();
    }
    let back = file.read_at(4096, 12_288).await.unwrap();
    assert_eq!((&back[..4096], &back[4096..]), (&*one, &*two));
    assert_eq!(file.read_at(0, 4096).await.unwrap()[..], [0; 4096]);
    file.sync().await.unwrap();
    let counters = disk.counters();
    assert_eq!(
        (counters.writes, counters.durable_writes, counters.flushes),
        (2, 1, 1)
    );
    assert_eq!((counters.reads, counters.write_bytes), (2, 24_576));
}

async fn large_gathered_writes_are_whole<D: Disk>(disk: D) {
    let file = disk.open(path("a"), OpenMode::Create).await.unwrap();
    // Over 1 MiB, over 1,024 parts, and one part across the border of two pieces.
    let mut parts: Vec<Slice> = (0..1100).map(|_| pattern(4096, 3)).collect();
    parts.insert(200, pattern(256 * 1024, 4));
    parts.insert(3, pattern(3 << 20, 5));
    let total: usize = parts.iter().map(|part| part.len()).sum();
    file.write_at(0, parts.clone(), true).await.unwrap();
    assert_eq!(file.length().await.unwrap(), total as u64);
    let mut at = 0;
    for part in parts {
        for piece in 0..part.len().div_ceil(IO_BYTES_MAX) {
            let range = piece * IO_BYTES_MAX..part.len().min((piece + 1) * IO_BYTES_MAX);
            let back = file.read_at(at, range.len()).await.unwrap();
            assert!(back[..] == part[range], "at {at}");
            at += back.len() as u64;
        }
    }
}

async fn reads_are_short_at_the_end<D: Disk>(disk: D) {
    let file = disk.open(path("a"), OpenMode::Create).await.unwrap();
    file.write_at(0, vec![pattern(8192, 1)], false)
        .await
        .unwrap();
    file.truncate(5000).await.unwrap();
    assert_eq!(file.read_at(0, IO_BYTES_MAX).await.unwrap().len(), 5000);
    assert_eq!(file.read_at(8192, 4096).await.unwrap().len(), 0);
}

async fn sizes_grow_and_shrink<D: Disk>(disk: D) {
    let file = disk.open(path("a"), OpenMode::Create).await.unwrap();
    file.write_at(0, vec![pattern(4096, 9)], false)
        .await
        .unwrap();
    file.allocate(1 << 20).await.unwrap();
    file.allocate(4096).await.unwrap();
    assert_eq!(file.length().await.unwrap(), 1 << 20);
    assert!(file.read_at(0, 4096).await.unwrap()[..] == pattern(4096, 9)[..]);
    assert_eq!(file.read_at(8192, 4096).await.unwrap()[..], [0; 4096]);
    file.truncate(100).await.unwrap();
    assert_eq!(file.length().await.unwrap(), 100);
    assert!(disk.free_bytes().await.unwrap() > 1 << 20);
}

async fn names_come_and_go<D: Disk>(disk: D) {
    disk.create_dir(path("log/t-0")).await.unwrap();
    disk.create_dir(path("log/t-0")).await.unwrap();
    let file = disk
        .open(path("log/t-0/b"), OpenMode::Create)
        .await
        .unwrap();
    file.write_at(0, vec![pattern(4096, 9)], false)
        .await
        .unwrap();
    disk.open(path("log/t-0/a"), OpenMode::Create)
        .await
        .unwrap();
    disk.sync_dir(path("log/t-0")).await.unwrap();
    disk.rename(path("log/t-0"), path("log/t-0.gone-delete"))
        .await
        .unwrap();
    disk.sync_dir(path("log")).await.unwrap();
    let dir = path("log/t-0.gone-delete");
    let names = disk.list(dir).await.unwrap();
    let named = |name: &str, bytes| Entry {
        name: name.to_owned(),
        is_dir: false,
        bytes,
    };
    assert_eq!(names, [named("a", 0), named("b", 4096)]);
    assert!(disk.remove(dir).await.is_err(), "not empty");
    for entry in names {
        disk.remove(&dir.join(entry.name)).await.unwrap();
    }
    disk.remove(dir).await.unwrap();
    assert_eq!(disk.list(path("log")).await.unwrap(), []);
}

async fn create_is_exclusive<D: Disk>(disk: D) {
    disk.open(path("a"), OpenMode::Create).await.unwrap();
    assert!(disk.open(path("a"), OpenMode::Create).await.is_err());
    let reader = disk.open(path("a"), OpenMode::Read).await.unwrap();
    assert!(
        reader
            .write_at(0, vec![pattern(4096, 1)], false)
            .await
            .is_err()
    );
    disk.open(path("a"), OpenMode::Write).await.unwrap();
}

async fn small_files_are_replaced<D: Disk>(disk: D) {
    disk.create_dir(path("log")).await.unwrap();
    let name = path("log/recovery-point-offset-checkpoint");
    for text in [&b"0\n0\n"[..], b"", b"0\n1\nt 0 5\n"] {
        disk.replace_file(name, text).await.unwrap();
        assert_eq!(disk.read_file(name).await.unwrap(), text);
    }
    assert_eq!(disk.list(path("log")).await.unwrap().len(), 1);
    for many in [0, 3, 40] {
        let file = |index: usize| (PathBuf::from(format!("log/{index}")), vec![many; index]);
        let files: Vec<_> = (0..usize::from(many)).map(file).collect();
        disk.replace_files(files.clone()).await.unwrap();
        for (name, bytes) in files {
            assert_eq!(disk.read_file(&name).await.unwrap(), bytes);
        }
    }
    assert_eq!(disk.list(path("log")).await.unwrap().len(), 41);
}

async fn barriers_of_any_size<D: Disk>(disk: D) {
    let mut files = Vec::new();
    for number in 0..12 {
        let file = disk
            .open(path(&format!("f{number}")), OpenMode::Create)
            .await
            .unwrap();
        file.write_at(0, vec![pattern(4096, number)], false)
            .await
            .unwrap();
        files.push(file);
    }
    disk.barrier(&files).await.unwrap();
    disk.barrier(&files[..3]).await.unwrap();
    disk.barrier(&[]).await.unwrap();
    assert!(disk.counters().flushes >= 3);
}

async fn a_removed_file_stays_open<D: Disk>(disk: D) {
    let file = disk.open(path("a"), OpenMode::Create).await.unwrap();
    file.write_at(0, vec![pattern(4096, 1)], false)
        .await
        .unwrap();
    disk.remove(path("a")).await.unwrap();
    assert!(file.read_at(0, 4096).await.unwrap()[..] == pattern(4096, 1)[..]);
}

async fn missing_names_say_so<D: Disk>(disk: D) {
    for mode in [OpenMode::Read, OpenMode::Write] {
        let error = disk.open(path("no/such"), mode).await.err().unwrap();
        assert!(error.is_missing(), "{error}");
    }
    assert!(disk.list(path("none")).await.unwrap_err().is_missing());
    assert!(disk.remove(path("none")).await.unwrap_err().is_missing());
    assert!(disk.read_file(path("none")).await.unwrap_err().is_missing());
    let error = disk.rename(path("none"), path("some")).await.unwrap_err();
    assert_eq!(error.path, path("none"));
}

#[test]
fn the_probe_leaves_nothing_behind() {
    let dir = TempDir::new("probe");
    let probe = Probe::run(dir.path()).unwrap();
    assert!(matches!(
        probe.write_through,
        WriteThrough::Flag | WriteThrough::LinkedSync
    ));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_directory_is_locked_once() {
    let dir = TempDir::new("lock");
    let root = dir.path().join("data");
    let lock = lock::DirLock::acquire(&root).unwrap();
    let error = lock::DirLock::acquire(&root).unwrap_err();
    assert_eq!(error.cause.kind(), std::io::ErrorKind::WouldBlock);
    drop(lock);
    lock::DirLock::acquire(&root).unwrap();
}

#[test]
fn both_kinds_of_durable_write_work() {
    for write_through in [WriteThrough::Flag, WriteThrough::LinkedSync] {
        let dir = TempDir::new("durable");
        let probe = Probe {
            write_through,
            ..Probe::run(dir.path()).unwrap()
        };
        let disk = UringDisk::open(dir.path(), probe, &[0]).unwrap();
        ring::block_on(disk.ring(), async {
            let file = disk.open(path("a"), OpenMode::Create).await.unwrap();
            file.write_at(0, vec![pattern(4096, 6), pattern(4096, 7)], true)
                .await
                .unwrap();
            assert_eq!(disk.counters().durable_writes, 1);
            assert!(file.read_at(4096, 4096).await.unwrap()[..] == pattern(4096, 7)[..]);
        });
    }
}

#[test]
fn residency_follows_reads_and_direct_writes() {
    on_real_disk("resident", |disk| async move {
        let file = disk.open(path("a"), OpenMode::Create).await.unwrap();
        file.write_at(0, vec![pattern(1 << 20, 1)], true)
            .await
            .unwrap();
        let buffered = file.buffered().await.unwrap().unwrap();
        let fd = || std::os::fd::AsFd::as_fd(&*buffered);
        assert!(
            !resident::is_resident(fd(), 0, 1 << 20).unwrap(),
            "direct writes cache nothing"
        );
        let mut bytes = vec![0; 1 << 20];
        rustix::io::pread(fd(), &mut bytes[..], 0).unwrap();
        assert!(bytes[..] == pattern(1 << 20, 1)[..]);
        assert!(resident::is_resident(fd(), 0, 1 << 20).unwrap());
        assert!(resident::is_resident(fd(), 5000, 100).unwrap());
        assert!(
            !resident::is_resident(fd(), 0, 2 << 20).unwrap(),
            "beyond the end"
        );
        file.write_at(65_536, vec![pattern(4096, 2)], true)
            .await
            .unwrap();
        assert!(
            !resident::is_resident(fd(), 0, 1 << 20).unwrap(),
            "a direct write drops its pages"
        );
        assert!(resident::is_resident(fd(), 0, 65_536).unwrap());
    });
}
