//! A group part that could not be read at a start is read again until it can.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use thalweg_storage::disk::MemoryDisk;
use thalweg_storage::disk::memory::FaultPlan;
use thalweg_storage::store::StoreConfig;
use thalweg_storage::testing::{Executor, Handle, Prng};
use thalweg_wire::ids::{ShardId, TimestampMs};

use crate::checker::Checker;
use crate::client::Client;
use crate::workload::{Desk, LASTING};
use crate::world::{Birth, EPOCH_MS};

/// Longer than a device that answers again is left alone.
const LONG: Duration = Duration::from_secs(120);

fn birth(seed: u64, handle: Handle, disk: MemoryDisk) -> Birth {
    Birth {
        handle,
        disk,
        shards: u16::try_from(1 + seed % 3).unwrap(),
        store: StoreConfig {
            journal_file_bytes: 256 << 10,
            journal_bytes_max: 1 << 20,
            round_bytes_max: 32 << 10,
            ..StoreConfig::new(ShardId(0))
        },
        born: TimestampMs(EPOCH_MS),
        dice: Rc::new(RefCell::new(Prng::new(seed))),
    }
}

async fn desk(birth: Birth, checker: &Rc<RefCell<Checker>>) -> Desk {
    Desk {
        node: birth.start().await.unwrap(),
        checker: Rc::clone(checker),
        faults: Rc::default(),
        poisoned: Cell::new(false),
    }
}

/// Commits in every group, then a clean stop, which leaves all records in segments.
async fn before(birth: Birth, checker: &Rc<RefCell<Checker>>) {
    let desk = desk(birth, checker).await;
    let client = Client::connect(&desk.node);
    desk.create(&client, LASTING[0]).await.unwrap();
    desk.find_groups(&client).await.unwrap();
    desk.settle_groups(&client).await.unwrap();
    desk.node.stop().await.unwrap();
}

/// Whether reads that failed kept some group from being loaded.
async fn after(birth: Birth, checker: &Rc<RefCell<Checker>>) -> bool {
    let desk = desk(birth, checker).await;
    let failing = FaultPlan {
        read_error: 1.0,
        ..FaultPlan::default()
    };
    desk.node.disk.set_faults(failing);
    let client = Client::connect(&desk.node);
    desk.find_topics(&client).await.unwrap();
    desk.node.handle.sleep(Duration::from_secs(10)).await;
    let loading = !desk.are_loaded(&client).await.unwrap();
    desk.node.disk.set_faults(FaultPlan::default());
    desk.node.handle.sleep(LONG).await;
    assert!(desk.are_loaded(&client).await.unwrap());
    desk.audit_offsets(&client).await.unwrap();
    loading
}

#[test]
fn groups_that_could_not_be_read_are_read_again() {
    let mut failed = 0;
    for seed in 0..12 {
        let checker: Rc<RefCell<Checker>> = Rc::default();
        let disk = MemoryDisk::new(seed);
        let mut executor = Executor::new(seed);
        executor.block_on(before(
            birth(seed, executor.handle(), disk.clone()),
            &checker,
        ));
        drop(executor);
        let disk = disk.kill(seed);
        let mut executor = Executor::new(seed);
        let birth = birth(seed, executor.handle(), disk);
        failed += usize::from(executor.block_on(after(birth, &checker)));
        assert_eq!(checker.borrow().violation(), None);
    }
    assert!(failed > 0, "no load ran into the failing device");
}
