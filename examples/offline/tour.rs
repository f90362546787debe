//! Everything once, on a server of our own that is then switched off.

use std::sync::Arc;

use kithara::assets::StoreEvent;
use kithara::net::Url;
use kithara::prelude::*;
use kithara_examples::Demo;

use crate::{AnyError, download, list, play};

/// Room for three copies of the demo and what the cache notes beside them, not for four.
const ROOM: u64 = 700_000;

pub fn run() -> Result<(), AnyError> {
    let folder = tempfile::tempdir()?;
    let mut options = StoreOptions::at(folder.path());
    options.max_bytes = ROOM;
    let store = AssetStoreBuilder::new(options)
        .with_events(Arc::new(|event| {
            if let StoreEvent::Evicted { bytes, assets } = event {
                println!("(no more room: {assets} title of {bytes} bytes removed)");
            }
        }))
        .require_disk(true)
        .build()?;
    let server = Demo::start()?;
    let url = |name: &str| server.url_of(name);

    println!("Two titles are downloaded, and the first is pinned:");
    download::all(&store, &[url("one.mp3"), url("two.mp3")])?;
    store.pin(&Url::parse(&url("one.mp3"))?)?;
    list(&store);

    println!(
        "Two more, for which there is no room: what was not used for longest goes, pinned titles stay."
    );
    download::all(&store, &[url("three.mp3")])?;
    download::all(&store, &[url("four.mp3")])?;
    store.settle();
    list(&store);

    let (first, last) = (url("one.mp3"), url("four.mp3"));
    let gone = url("two.mp3");
    server.stop();
    println!("The server is switched off. What is stored plays as before:");
    play(&store, &first)?;
    play(&store, &last)?;
    match play(&store, &gone) {
        Ok(()) => Err("the removed title should not play".into()),
        Err(error) => {
            println!("and what is not, says so: {error}");
            Ok(())
        }
    }
}
