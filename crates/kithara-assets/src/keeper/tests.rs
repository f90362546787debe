//! A keeper that does nothing of its own accord.

use kithara_storage::{CallKind, Disk, MemDisk, SimDisk};

use super::*;
use crate::builder::Kind;
use crate::{AssetStore, AssetStoreBuilder, Facts, Keep, StoreOptions};

/// A store whose keeper does nothing of its own accord.
fn parts() -> (AssetStore, Keeper, kanal::Receiver<Command>) {
    parts_on(Arc::new(MemDisk::new()))
}

fn parts_on(disk: Arc<dyn Disk>) -> (AssetStore, Keeper, kanal::Receiver<Command>) {
    let mut options = StoreOptions::at("/cache");
    options.min_free = 0;
    let place = (disk, "/cache".into(), Kind::Given);
    let builder = AssetStoreBuilder::new(options);
    builder.parts(Some(place)).unwrap()
}

fn tell(keeper: &mut Keeper, told: &kanal::Receiver<Command>) {
    while let Ok(Some(command)) = told.try_recv() {
        keeper.handle(command);
    }
}

#[test]
fn a_title_that_cannot_be_removed_is_used_as_before() {
    let (store, mut keeper, told) = parts();
    let keys: Vec<_> = (0..50)
        .map(|number| store.named("a", &format!("{number}")))
        .collect();
    keys.iter().for_each(|key| drop(store.open(key)));
    let entry = store.open(&keys[25]);
    entry.identify(Facts::default(), Keep::Yes).unwrap();
    entry.write(0, &[1; 100]).unwrap();
    drop(entry);
    tell(&mut keeper, &told);
    assert!(!keeper.registry.begin_removal(keys[0].asset));
    for key in &keys {
        let entry = store.open(key);
        entry.identify(Facts::default(), Keep::Yes).unwrap();
        entry.write(0, &[1; 100]).unwrap();
    }
    tell(&mut keeper, &told);
    while keeper.step() {}
    for key in &keys {
        assert_eq!(store.open(key).snapshot().coverage.total(), 100);
    }
}

#[test]
fn a_disk_that_panics_while_a_title_is_removed_leaves_nothing_behind() {
    for kind in [CallKind::Write, CallKind::RemoveFile] {
        let sim = SimDisk::new();
        let (store, mut keeper, told) = parts_on(Arc::new(sim.clone()));
        let key = store.named("a", "a");
        let write = || {
            let entry = store.open(&key);
            entry.identify(Facts::default(), Keep::Yes).unwrap();
            entry.write(0, &[1; 100]).unwrap();
        };
        write();
        sim.on_call(move |call| {
            assert!(call.kind != kind, "the disk panics");
            Ok(())
        });
        tell(&mut keeper, &told);
        let (reply, _answer) = kanal::bounded(1);
        contained(|| keeper.handle(Command::Remove(key.asset, reply)));
        while keeper.step() {}
        assert!(store.inner.registry.bodies().is_empty(), "{kind:?}");
        // From now on it is a title like any other.
        sim.on_call(|_| Ok(()));
        write();
        tell(&mut keeper, &told);
        while keeper.step() {}
        assert_eq!(store.open(&key).snapshot().coverage.total(), 100);
    }
}

#[test]
fn what_was_let_go_of_just_now_can_be_removed() {
    let (store, mut keeper, told) = parts();
    let titles = ["a", "b", "c"].map(|name| store.named(name, name));
    for title in &titles {
        let entry = store.open(title);
        entry.identify(Facts::default(), Keep::Yes).unwrap();
        entry.write(0, &[1; 200_000]).unwrap();
        entry.complete(200_000).unwrap();
    }
    // All of it is told, and nothing done yet.
    tell(&mut keeper, &told);
    let (reply, answer) = kanal::bounded(1);
    keeper.handle(Command::Remove(titles[0].asset, reply));
    assert!(answer.recv().unwrap().unwrap());
    assert!(!keeper.waiting.is_empty(), "the others have time");
    let (reply, answer) = kanal::bounded(1);
    keeper.handle(Command::Clear(reply));
    assert_eq!(answer.recv().unwrap().removed, 2);
}
