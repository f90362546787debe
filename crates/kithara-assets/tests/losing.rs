//! Bytes that turn out to be lost while they are brought again.

#![allow(clippy::unwrap_used)] // A promise that cannot be checked is a failed test.

mod support;

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use kithara_assets::{AssetStoreBuilder, Entry, Keep, StoreEvent, StoreOptions};
use kithara_storage::{CallKind, ResourceExt, SimDisk, StorageError, WaitOutcome};
use support::{EXTENT, bytes, facts, key};

#[test]
fn what_comes_anew_between_a_loss_and_its_telling_is_not_waited_for_for_ever() {
    let disk = SimDisk::new();
    let failing = Arc::new(AtomicBool::new(false));
    let fails = Arc::clone(&failing);
    disk.on_call(move |call| {
        let fail = matches!(call.kind, CallKind::Read) && fails.load(Ordering::SeqCst);
        if fail {
            Err(io::ErrorKind::Other.into())
        } else {
            Ok(())
        }
    });
    // Told on the reader's thread, after the store has noticed the loss and before his gate has.
    let bringer: Arc<Mutex<Option<Entry>>> = Arc::default();
    let brings = Arc::clone(&bringer);
    let len = 3 * EXTENT;
    let told = move |event: StoreEvent| {
        if let (StoreEvent::Damaged { .. }, Some(entry)) = (event, &*brings.lock().unwrap()) {
            entry.write(0, &bytes(1, 0..EXTENT)).unwrap();
            entry.complete(len).unwrap();
        }
    };
    let mut options = StoreOptions::at("/cache");
    options.min_free = 0;
    let store = AssetStoreBuilder::new(options)
        .with_disk(Arc::new(disk))
        .with_events(Arc::new(told))
        .build()
        .unwrap();
    let key = key(&store, "a");
    let entry = store.open(&key);
    entry.identify(facts(1, len), Keep::Yes).unwrap();
    entry.write(0, &bytes(1, 0..len)).unwrap();
    entry.complete(len).unwrap();
    store.settle();
    *bringer.lock().unwrap() = Some(store.open(&key));

    let resource = entry.resource();
    failing.store(true, Ordering::SeqCst);
    let mut buf = [0; 16];
    let lost = resource.read_at(0, &mut buf).unwrap_err();
    assert!(matches!(lost, StorageError::Lost { .. }), "{lost:?}");
    failing.store(false, Ordering::SeqCst);
    let mut cx = Context::from_waker(Waker::noop());
    let there = resource.poll_range(&mut cx, 0..16);
    assert!(
        matches!(there, Poll::Ready(Ok(WaitOutcome::Ready))),
        "{there:?}"
    );
    assert_eq!(resource.committed_len(), Some(len), "all of it is there");
    assert_eq!(resource.read_at(0, &mut buf).unwrap(), 16);
    assert_eq!(buf[..], bytes(1, 0..16));
}
