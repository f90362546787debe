//! Titles that the caller has named: URLs of one name share one copy.

#![allow(clippy::unwrap_used)] // A promise that cannot be checked is a failed test.

#[path = "support/cache.rs"]
mod cache;
#[path = "support/network.rs"]
mod network;

use kithara::Resource;
use kithara::file::Amount;
use kithara_tests::server::FaultServer;

use cache::*;
use network::*;

#[test]
fn urls_of_one_name_share_one_copy_and_the_name_pins_and_removes_it() {
    let (bytes, expected) = long(2);
    let server = FaultServer::start();
    for path in ["/one/a.wav", "/two/b.wav"] {
        server.serve(path, wav(&bytes).etag("\"the same\""));
    }
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::at(dir.path());
    let tap = Tap::default();
    let named = |url: &str| cache.tapped(url, &tap).with_cache_name("album 4, track 2");
    let (one, two) = (server.url("/one/a.wav"), server.url("/two/b.wav"));
    // A rule for URLs takes this one for another title each time.
    let ticket = |number: u32| format!("{one}?ticket={number}");

    Listener::open(named(&ticket(1))).plays_exactly(&expected, "the first");
    let asked = tap.log().len();
    assert!(asked > 0);
    Listener::open(named(&ticket(2))).plays_exactly(&expected, "another ticket");
    Listener::open(named(&two)).plays_exactly(&expected, "another place");
    let fetched = Resource::prefetch_blocking(named(&ticket(3)), Amount::All).unwrap();
    assert_eq!(fetched.len, Some(bytes.len() as u64));
    assert_eq!(tap.log().len(), asked, "{:?}", tap.log());
    cache.store.settle();
    assert_eq!(cache.store.usage().assets, 1);

    // The name is the one of this title, and of no URL.
    let asset = cache.store.named_asset("album 4, track 2");
    assert!(cache.stored(&two).is_empty());
    cache.store.pin_asset(asset).unwrap();
    assert!(cache.store.info(asset).unwrap().pinned);
    assert_eq!(cache.store.clear().pinned, 1);
    cache.store.unpin_asset(asset).unwrap();
    assert!(cache.store.remove_asset(asset).unwrap());
    assert_eq!(cache.store.usage().assets, 0);
    cache.end();
    // It is hashed, and found nowhere.
    for (path, content) in files(dir.path()) {
        let holds = |text: &[u8]| text.windows(5).any(|window| window == b"album");
        assert!(!holds(&content) && !holds(path.as_os_str().as_encoded_bytes()));
    }
}
