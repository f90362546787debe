//! Files fetched into a real store by the real driver: before anybody listens, and by many at once.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use kithara_file::{Amount, File, FileConfig, FileEvent, FileSrc, Prefetched, prefetch};
use kithara_storage::{CallKind, SimDisk};
use kithara_stream::assets::{AssetStore, AssetStoreBuilder, StoreOptions};
use kithara_stream::net::{
    Body, Bytes, Etag, Net, NetError, RedactedUrl, Request, Response, ResponseHead, Url,
};
use kithara_stream::{EventSink, Stream, StreamError};
use std::io::Read;

const MIB: u64 = 1 << 20;

fn url() -> Url {
    let url = "http://fake.test/a.mp3?token=secret";
    url.parse().expect("a URL")
}

/// Serves one file of known bytes, and counts what it is asked for.
#[derive(Debug)]
struct FakeNet {
    len: u64,
    asked: Mutex<Vec<Range<u64>>>,
    gone: AtomicBool,
}

impl FakeNet {
    fn new(len: u64) -> Arc<Self> {
        Arc::new(Self {
            len,
            asked: Mutex::default(),
            gone: AtomicBool::new(false),
        })
    }

    fn bytes(range: Range<u64>) -> Vec<u8> {
        range.map(|at| (at % 251) as u8).collect()
    }

    fn asked(&self) -> u64 {
        let asked = self.asked.lock().expect("nobody panics");
        asked.iter().map(|range| range.end - range.start).sum()
    }
}

#[async_trait]
impl Net for FakeNet {
    async fn fetch(&self, request: Request) -> Result<Response, NetError> {
        if self.gone.load(Ordering::SeqCst) {
            return Err(NetError::Broken {
                url: RedactedUrl::new(&request.url),
                source: "the fake link is down".into(),
            });
        }
        let range = request.range.expect("the plan asks for ranges");
        let (start, end) = (range.start, range.end.unwrap_or(self.len).min(self.len));
        self.asked.lock().expect("nobody panics").push(start..end);
        let mut head = ResponseHead::partial(&request.url, start, end, Some(self.len));
        head.validators.etag = Etag::parse("\"v1\"");
        let chunks: Vec<_> = Self::bytes(start..end)
            .chunks(16 * 1024)
            .map(|chunk| Ok(Bytes::copy_from_slice(chunk)))
            .collect();
        let body = Body::from_stream(futures_util::stream::iter(chunks));
        Ok(Response { head, body })
    }
}

fn config(net: &Arc<FakeNet>, store: Option<&AssetStore>) -> FileConfig {
    let net: Arc<dyn Net> = Arc::<FakeNet>::clone(net);
    FileConfig::new(FileSrc::Remote(url(), net)).with_store(store.cloned())
}

fn memory() -> AssetStore {
    let store = AssetStoreBuilder::new(StoreOptions::in_memory(64 * MIB)).build();
    store.expect("there is memory")
}

#[test]
fn what_was_prefetched_plays_without_the_network() {
    let (store, net) = (memory(), FakeNet::new(3 * MIB));
    let done = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&done);
    let events = EventSink::default().inspect(move |event: &FileEvent| {
        told.lock().expect("nobody panics").push(event.clone());
    });
    let config_with = config(&net, Some(&store)).with_events(events);
    let fetched = prefetch(config_with, Amount::All).unwrap().wait().unwrap();
    let all = Prefetched {
        stored: 3 * MIB,
        len: Some(3 * MIB),
    };
    assert_eq!(fetched, all);
    assert_eq!(net.asked(), 3 * MIB);
    let done = done.lock().expect("nobody panics");
    assert!(
        done.iter()
            .any(|event| matches!(event, FileEvent::DownloadProgress { .. }))
    );
    assert!(
        done.iter()
            .any(|event| matches!(event, FileEvent::PrefetchDone { .. }))
    );

    net.gone.store(true, Ordering::SeqCst);
    let mut stream = Stream::<File>::open(config(&net, Some(&store))).unwrap();
    let mut read = Vec::new();
    stream.read_to_end(&mut read).unwrap();
    assert!(read == FakeNet::bytes(0..3 * MIB));
    // There is nothing left to fetch.
    let again = prefetch(config(&net, Some(&store)), Amount::All).unwrap();
    assert_eq!(pollster::block_on(again.done()).unwrap(), all);
    assert_eq!(net.asked(), 3 * MIB);
}

#[test]
fn the_head_of_a_file_is_enough_to_begin_with_and_the_rest_is_fetched_later() {
    let (store, net) = (memory(), FakeNet::new(8 * MIB));
    let head = prefetch(config(&net, Some(&store)), Amount::Head(MIB)).unwrap();
    let fetched = head.wait().unwrap();
    assert!((MIB..2 * MIB).contains(&fetched.stored), "{fetched:?}");
    let mut stream = Stream::<File>::open(config(&net, Some(&store))).unwrap();
    let mut read = Vec::new();
    stream.read_to_end(&mut read).unwrap();
    assert!(read == FakeNet::bytes(0..8 * MIB));
    assert_eq!(net.asked(), 8 * MIB, "each byte once");
}

#[test]
fn without_a_cache_there_is_nothing_to_prefetch_into() {
    let net = FakeNet::new(MIB);
    let error = prefetch(config(&net, None), Amount::All).unwrap_err();
    assert!(
        matches!(&error, StreamError::NotKept { reason: None, .. }),
        "{error:?}"
    );
    assert!(!error.to_string().contains("secret"));
    assert_eq!(net.asked(), 0);
}

#[test]
fn a_file_on_this_machine_is_there_already() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.wav");
    std::fs::write(&path, b"twelve bytes").unwrap();
    let fetched = prefetch(FileConfig::new(FileSrc::Local(path)), Amount::Head(1));
    let all = Prefetched {
        stored: 12,
        len: Some(12),
    };
    assert_eq!(fetched.unwrap().wait().unwrap(), all);
    let missing = FileConfig::new(FileSrc::Local(dir.path().join("b.wav")));
    let error = prefetch(missing, Amount::All).unwrap_err();
    assert!(matches!(error, StreamError::Io { .. }), "{error:?}");
    let folder = FileConfig::new(FileSrc::Local(dir.path().to_owned()));
    let error = prefetch(folder, Amount::All).unwrap_err();
    assert!(matches!(error, StreamError::NotAFile { .. }), "{error:?}");
}

#[test]
fn a_prefetch_that_is_dropped_or_cancelled_ends() {
    let (store, net) = (memory(), FakeNet::new(64 * MIB));
    drop(prefetch(config(&net, Some(&store)), Amount::All).unwrap());
    let cancel = tokio_util::sync::CancellationToken::new();
    let config = config(&net, Some(&store)).with_cancel(cancel.clone());
    cancel.cancel();
    let error = prefetch(config, Amount::All).unwrap().wait().unwrap_err();
    assert!(matches!(error, StreamError::Cancelled), "{error:?}");
}

#[test]
fn a_disk_slower_than_the_network_costs_a_prefetch_time_and_no_byte_twice() {
    let disk = SimDisk::new();
    disk.on_call(|call| {
        if matches!(call.kind, CallKind::Write) {
            // What is slow here is the thing being tested.
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    });
    let mut options = StoreOptions::at(PathBuf::from("/cache"));
    options.min_free = 0;
    let builder = AssetStoreBuilder::new(options).with_disk(Arc::new(disk));
    let (store, net) = (builder.build().expect("it works"), FakeNet::new(16 * MIB));
    let all = prefetch(config(&net, Some(&store)), Amount::All).unwrap();
    assert_eq!(all.wait().unwrap().stored, 16 * MIB);
    assert_eq!(net.asked(), 16 * MIB, "nothing had to be fetched again");
}

#[test]
fn a_hundred_opens_of_one_url_are_one_download() {
    let (store, net) = (memory(), FakeNet::new(2 * MIB));
    let readers: Vec<_> = (0..100)
        .map(|_| {
            let config = config(&net, Some(&store));
            std::thread::spawn(move || {
                let mut read = Vec::new();
                let mut stream = Stream::<File>::open(config).unwrap();
                stream.read_to_end(&mut read).unwrap();
                read
            })
        })
        .collect();
    let expected = FakeNet::bytes(0..2 * MIB);
    for reader in readers {
        assert!(reader.join().unwrap() == expected);
    }
    assert_eq!(net.asked(), 2 * MIB);
}

#[test]
fn a_file_that_changed_is_fetched_anew_by_the_next_open_and_never_mixed() {
    let (store, old) = (memory(), FakeNet::new(2 * MIB));
    let head = prefetch(config(&old, Some(&store)), Amount::Head(MIB));
    head.unwrap().wait().unwrap();
    let new = FakeNet::new(2 * MIB + 1);
    let mut stream = Stream::<File>::open(config(&new, Some(&store))).unwrap();
    let error = stream.read_to_end(&mut Vec::new()).unwrap_err();
    let error = StreamError::from_io(&error).expect("a stream error is inside");
    assert!(
        matches!(error, StreamError::ContentChanged { .. }),
        "{error:?}"
    );
    // While the old one is still open.
    let mut again = Stream::<File>::open(config(&new, Some(&store))).unwrap();
    let mut read = Vec::new();
    again.read_to_end(&mut read).unwrap();
    assert!(read == FakeNet::bytes(0..2 * MIB + 1));
}
