//! The spans that a program's own subscriber sees: one for each resource, and with `perf` those of each block.
#![cfg(feature = "file")]
#![allow(clippy::unwrap_used)] // A promise that cannot be checked is a failed test.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use kithara::{Resource, ResourceConfig};
use kithara_tests::fixtures::fixture;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// How often a span of each name began.
#[derive(Clone, Default)]
struct Counter(Arc<Mutex<BTreeMap<&'static str, usize>>>);

impl Counter {
    fn of(&self, name: &str) -> usize {
        self.0.lock().unwrap().get(name).copied().unwrap_or(0)
    }
}

impl Subscriber for Counter {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_span() && metadata.target().starts_with("kithara")
    }
    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let name = span.metadata().name();
        *self.0.lock().unwrap().entry(name).or_default() += 1;
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, _: &Event<'_>) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[test]
fn a_resource_has_a_span_and_each_block_has_two_if_wanted() {
    const OPENED: usize = 3;
    let counter = Counter::default();
    // Of the process: the work is done by threads of the library.
    tracing::subscriber::set_global_default(counter.clone()).unwrap();
    let media = fixture("flac-16.flac");
    for _ in 0..OPENED {
        let config = ResourceConfig::from_src(media.path());
        let mut resource = Resource::blocking(config).unwrap();
        while resource.read(&mut [0.0; 4096]).unwrap() > 0 {}
    }
    assert_eq!(counter.of("resource"), OPENED, "{:?}", counter.0);
    let (decode, deliver) = (counter.of("decode"), counter.of("deliver"));
    if !cfg!(feature = "perf") {
        assert_eq!((decode, deliver), (0, 0), "only with the feature");
        return;
    }
    // One of each for each block, and one of decoding that finds the end.
    println!("{decode} times decoded, {deliver} times delivered");
    assert!(deliver > OPENED, "a block is a few thousand frames");
    assert!(decode >= deliver.min(2 * OPENED), "{:?}", counter.0);
}
