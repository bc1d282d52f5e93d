//! Every fault of the seeded disk, shown once.

use super::*;
use crate::disk::{BLOCK_BYTES, Slice};
use crate::testing::Executor;
use crate::testing::executor::block_on;

fn block(fill: u8) -> Vec<Slice> {
    vec![Slice::from_vec(vec![fill; BLOCK_BYTES])]
}

async fn fresh(disk: &MemoryDisk, path: &str) -> MemoryFile {
    let file = disk.open(Path::new(path), OpenMode::Create).await.unwrap();
    disk.sync_dir(Path::new("")).await.unwrap();
    file
}

#[test]
fn a_durable_write_survives_every_crash() {
    for seed in 0..100 {
        let disk = MemoryDisk::new(seed);
        let found = block_on(seed, async {
            let file = fresh(&disk, "a").await;
            file.write_at(0, block(1), false).await.unwrap();
            file.write_at(4096, block(2), true).await.unwrap();
            let disk = disk.crash(seed);
            assert!(
                file.length().await.is_err(),
                "handles from before a crash are dead"
            );
            disk.read_file(Path::new("a")).await.unwrap()
        });
        assert_eq!(found.len(), 2 * BLOCK_BYTES);
        assert!(
            found[BLOCK_BYTES..].iter().all(|byte| *byte == 2),
            "seed {seed}"
        );
    }
}

#[test]
fn a_barrier_covers_the_files_it_names() {
    let mut losses = 0;
    for seed in 0..100 {
        let disk = MemoryDisk::new(seed);
        block_on(seed, async {
            let (one, two) = (fresh(&disk, "one").await, fresh(&disk, "two").await);
            one.write_at(0, block(1), false).await.unwrap();
            two.write_at(0, block(2), false).await.unwrap();
            disk.barrier(&[one]).await.unwrap();
            let disk = disk.crash(seed);
            assert_eq!(
                disk.read_file(Path::new("one")).await.unwrap(),
                [1; BLOCK_BYTES]
            );
            let two = disk.read_file(Path::new("two")).await.unwrap();
            losses += usize::from(two != [2; BLOCK_BYTES]);
        });
    }
    assert!(losses > 20, "unnamed files are in doubt: {losses}");
}

#[test]
fn names_last_from_sync_dir_on() {
    let mut missing = 0;
    for seed in 0..100 {
        let disk = MemoryDisk::new(seed);
        block_on(seed, async {
            disk.create_dir(Path::new("log/t-0")).await.unwrap();
            disk.sync_dir(Path::new("log")).await.unwrap();
            disk.sync_dir(Path::new("")).await.unwrap();
            fresh(&disk, "old").await;
            disk.rename(Path::new("old"), Path::new("log/t-0/new"))
                .await
                .unwrap();
            let disk = disk.crash(seed);
            assert_eq!(disk.list(Path::new("log")).await.unwrap().len(), 1);
            let old = disk.open(Path::new("old"), OpenMode::Read).await.is_ok();
            let new = disk
                .open(Path::new("log/t-0/new"), OpenMode::Read)
                .await
                .is_ok();
            missing += usize::from(!new && old);
        });
    }
    assert!(missing > 10, "{missing}");
}

#[test]
fn replace_file_is_all_or_nothing() {
    let (mut kept, mut replaced) = (0, 0);
    for cut in 0..60 {
        let disk = MemoryDisk::new(cut);
        let path = Path::new("checkpoint");
        block_on(cut, disk.replace_file(path, b"old")).unwrap();
        disk.freeze_at(disk.operations() + cut % 6);
        let mut executor = Executor::new(cut);
        let _ = executor.run(disk.replace_file(path, b"newer"), 1000);
        let disk = disk.crash(cut);
        match &*block_on(cut, disk.read_file(path)).unwrap() {
            b"old" => kept += 1,
            b"newer" => replaced += 1,
            other => panic!("torn: {other:?}"),
        }
    }
    assert!(kept > 0 && replaced > 0);
}

#[test]
fn of_many_files_each_is_all_or_nothing() {
    let (mut kept, mut replaced) = (0, 0);
    for cut in 0..60 {
        let disk = MemoryDisk::new(cut);
        let all = |text: &[u8]| {
            let file = |name: &str| (name.into(), text.to_vec());
            ["a", "b", "c"].map(file).to_vec()
        };
        block_on(cut, disk.replace_files(all(b"old"))).unwrap();
        disk.freeze_at(disk.operations() + cut % 16);
        let mut executor = Executor::new(cut);
        let _ = executor.run(disk.replace_files(all(b"newer")), 1000);
        let disk = disk.crash(cut);
        for name in ["a", "b", "c"] {
            match &*block_on(cut, disk.read_file(Path::new(name))).unwrap() {
                b"old" => kept += 1,
                b"newer" => replaced += 1,
                other => panic!("torn: {other:?}"),
            }
        }
    }
    assert!(kept > 0 && replaced > 0);
}

#[test]
fn a_failed_flush_is_told_and_later_ones_succeed() {
    let disk = MemoryDisk::new(7);
    block_on(7, async {
        let file = fresh(&disk, "a").await;
        disk.fail_flushes(1);
        assert_eq!(
            file.write_at(0, block(1), true)
                .await
                .unwrap_err()
                .operation,
            "write"
        );
        file.sync().await.unwrap();
        disk.fail_writes(1);
        assert!(file.write_at(0, block(1), false).await.is_err());
        file.write_at(0, block(1), true).await.unwrap();
    });
}

#[test]
fn held_flushes_wait_for_their_release() {
    let disk = MemoryDisk::new(8);
    let mut executor = Executor::new(8);
    let file = executor.block_on(fresh(&disk, "a"));
    disk.hold_flushes();
    let written = {
        let file = file.clone();
        executor.spawn(async move { file.write_at(0, block(1), true).await })
    };
    executor.block_on(async { file.length().await.unwrap() });
    assert_eq!(executor.run(std::future::pending::<()>(), 1000), None);
    assert!(written.try_take().is_none());
    assert_eq!(disk.flushes_waiting(), 1);
    disk.release_flushes();
    executor.block_on(written).unwrap();
    assert_eq!(disk.counters().durable_writes, 1);
}

#[test]
fn a_full_disk_says_so_and_recovers() {
    let disk = MemoryDisk::new(9);
    block_on(9, async {
        let file = fresh(&disk, "a").await;
        disk.set_capacity(Some(8192));
        file.allocate(4096).await.unwrap();
        assert_eq!(disk.free_bytes().await.unwrap(), 4096);
        assert!(file.allocate(12_288).await.unwrap_err().is_full());
        assert!(
            file.write_at(8192, block(1), true)
                .await
                .unwrap_err()
                .is_full()
        );
        let other = fresh(&disk, "b").await;
        other.write_at(0, block(2), false).await.unwrap();
        disk.remove(Path::new("b")).await.unwrap();
        file.write_at(4096, block(1), true).await.unwrap();
    });
}

#[test]
fn a_dropped_write_lands_all_the_same() {
    let plan = FaultPlan {
        delay_polls_max: 50,
        ..FaultPlan::default()
    };
    let disk = MemoryDisk::with_faults(10, plan);
    let mut executor = Executor::new(10);
    let file = executor.block_on(fresh(&disk, "a"));
    disk.freeze_at(disk.operations());
    assert!(executor.run(file.write_at(0, block(3), false), 5).is_none());
    disk.freeze_at(u64::MAX);
    assert_eq!(executor.block_on(file.read_at(0, 4096)).unwrap()[0], 3);
}

#[test]
fn rot_is_for_good() {
    let disk = MemoryDisk::new(11);
    block_on(11, async {
        let file = fresh(&disk, "a").await;
        file.write_at(0, block(1), true).await.unwrap();
        disk.rot(Path::new("a"), 5, 0x80);
        assert_eq!(file.read_at(0, 4096).await.unwrap()[5], 0x81);
        assert_eq!(
            disk.crash(1).read_file(Path::new("a")).await.unwrap()[5],
            0x81
        );
    });
}
