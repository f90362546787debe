//! A title, an origin that serves it, and the store that keeps it.

#![allow(dead_code)] // Each test uses some of it.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use kithara_net::{
    Body, Bytes, Etag, Net, NetError, RedactedUrl, Request, Response, ResponseHead, Url,
};
use kithara_stream::ResourceId;
use kithara_stream::assets::{AssetStore, AssetStoreBuilder, Facts, Keep, StoreOptions};
use parking_lot::Mutex;
use tokio::sync::watch;

pub const LEN: u64 = 300_000;
pub const RESOURCE: ResourceId = ResourceId(0);

pub fn url() -> Url {
    Url::parse("http://fake.test/a?token=secret").expect("a URL")
}

pub fn byte_at(content: u8, offset: u64) -> u8 {
    content.wrapping_add((offset % 251) as u8)
}

/// Serves one content; counts what it is asked for, and can hold its bodies back.
pub struct FakeNet {
    pub content: u8,
    pub asked: Mutex<Vec<Range<u64>>>,
    pub open: watch::Sender<bool>,
    pub gone: AtomicBool,
    /// Serves everything, whatever is asked for.
    pub whole: AtomicBool,
    /// Whether it ends, as if that were all, before the first byte.
    pub empty: AtomicBool,
}

impl FakeNet {
    pub fn new(content: u8) -> Arc<Self> {
        Arc::new(Self {
            content,
            asked: Mutex::default(),
            open: watch::Sender::new(true),
            gone: AtomicBool::new(false),
            whole: AtomicBool::new(false),
            empty: AtomicBool::new(false),
        })
    }

    pub fn asked(&self) -> Vec<Range<u64>> {
        self.asked.lock().clone()
    }
}

#[async_trait]
impl Net for FakeNet {
    async fn fetch(&self, request: Request) -> Result<Response, NetError> {
        let range = request.range.expect("the plan asks for ranges");
        let (start, end) = (range.start, range.end.unwrap_or(LEN).min(LEN));
        self.asked.lock().push(start..end);
        if self.gone.load(Ordering::SeqCst) {
            return Err(NetError::Broken {
                url: RedactedUrl::new(&request.url),
                source: "the fake link is down".into(),
            });
        }
        let mut head = ResponseHead::partial(&request.url, start, end, Some(LEN));
        let (mut start, mut end) = (start, end);
        if self.whole.load(Ordering::SeqCst) {
            head = ResponseHead::whole(&request.url, LEN);
            (start, end) = (0, LEN);
        }
        if self.empty.load(Ordering::SeqCst) {
            head = ResponseHead::whole(&request.url, LEN);
            (head.total, head.end) = (None, None);
            (start, end) = (0, 0);
        }
        head.validators.etag = Etag::parse(&format!("\"{}\"", self.content));
        let bytes: Vec<u8> = (start..end).map(|at| byte_at(self.content, at)).collect();
        let mut open = self.open.subscribe();
        let body = Body::from_stream(futures_util::stream::once(async move {
            let _ = open.wait_for(|open| *open).await;
            Ok(Bytes::from(bytes))
        }));
        Ok(Response { head, body })
    }
}

pub fn store(dir: &Path) -> AssetStore {
    let mut options = StoreOptions::at(dir);
    options.min_free = 0;
    let store = AssetStoreBuilder::new(options).require_disk(true).build();
    store.expect("the folder can be used")
}

pub fn content(content: u8) -> Vec<u8> {
    (0..LEN).map(|at| byte_at(content, at)).collect()
}

/// Leaves `stored` of a content in the store.
pub fn leave(store: &AssetStore, number: u8, stored: Range<u64>) {
    let entry = store.open(&store.key(&url(), &url()));
    let facts = Facts {
        total: Some(LEN),
        etag: Some(format!("\"{number}\"")),
        ..Facts::default()
    };
    entry.identify(facts, Keep::Yes).expect("nothing is known");
    let bytes = &content(number)[stored.start as usize..stored.end as usize];
    entry.write(stored.start, bytes).expect("there is room");
    drop(entry);
    store.settle();
}

/// Changes one byte of the file under `dir` in which these bytes lie.
pub fn flip(dir: &Path, bytes: &[u8]) {
    let mut folders = vec![dir.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for found in std::fs::read_dir(folder).expect("a folder") {
            let path = found.expect("a name").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let mut all = std::fs::read(&path).expect("a file");
            let place = all.get(70_000..70_000 + bytes.len());
            if place == Some(bytes) {
                all[70_000] ^= 1;
                return std::fs::write(path, all).expect("it is ours");
            }
        }
    }
    panic!("the bytes are not on the disk");
}
