//! An open that is cancelled at any of its moments says so, and leaves nothing behind: no thread, no socket, no descriptor, no
//! file.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)] // A promise that cannot be checked is a failed test.

#[path = "support/cache.rs"]
mod cache;
#[path = "support/child.rs"]
mod child;
#[path = "support/network.rs"]
mod network;
#[path = "support/process.rs"]
mod process;

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use futures_util::StreamExt;
use kithara::net::{Body, Net, NetError, NetOptions, Request, Response};
use kithara::{CancellationToken, ErrorKind, Resource, ResourceConfig};
use kithara_storage::SimDisk;
use kithara_tests::fixtures::{Fixture, fixture};
use kithara_tests::server::{FaultServer, Script};

use cache::*;
use child::Other;
use network::*;
use process::*;

/// Counts moments, on whatever thread they come, and cancels an open at one of them.
struct Moments {
    at: u64,
    passed: AtomicU64,
    token: CancellationToken,
}

impl Moments {
    fn until(at: u64) -> Arc<Self> {
        Arc::new(Self {
            at,
            passed: AtomicU64::new(0),
            token: CancellationToken::new(),
        })
    }

    fn pass(&self) {
        if self.passed.fetch_add(1, Ordering::SeqCst) == self.at {
            self.token.cancel();
        }
    }

    /// A future each of whose polls is such a moment.
    async fn of<F: Future>(&self, future: F) -> F::Output {
        let mut future = pin!(future);
        poll_fn(|cx| {
            self.pass();
            future.as_mut().poll(cx)
        })
        .await
    }
}

/// A client whose every poll is a moment.
struct Counted {
    inner: Arc<dyn Net>,
    moments: Arc<Moments>,
}

#[async_trait]
impl Net for Counted {
    async fn fetch(&self, request: Request) -> Result<Response, NetError> {
        let Response { head, body } = self.moments.of(self.inner.fetch(request)).await?;
        let moments = Arc::clone(&self.moments);
        let pieces = futures_util::stream::unfold((body, moments), |(mut body, moments)| async {
            let piece = moments.of(body.chunk()).await.transpose()?;
            Some((piece, (body, moments)))
        });
        let body = Body::from_stream(pieces.boxed());
        Ok(Response { head, body })
    }
}

/// Where the bytes of the open go.
#[derive(Clone, Copy, Debug)]
enum Kept {
    Nowhere,
    InFolder,
    /// Each call of which is a moment too.
    OnDisk,
}

/// What a title that is cancelled at some moment was doing then.
#[derive(Debug)]
enum Ended {
    Opening(ErrorKind),
    Reading(ErrorKind),
    /// It never came to that moment.
    Not,
}

/// Opens the title and cancels that at moment `at`.
fn opens_until(at: u64, url: &str, kept: Kept, dir: &Path) -> Ended {
    let moments = Moments::until(at);
    let inner = client(NetOptions::default(), quick());
    let net = Arc::new(Counted {
        inner,
        moments: Arc::clone(&moments),
    });
    let cache = match kept {
        Kept::Nowhere => None,
        Kept::InFolder => Some(Cache::at(dir)),
        Kept::OnDisk => {
            let disk = SimDisk::new();
            let cache = Cache::on(disk.clone());
            let moments = Arc::clone(&moments);
            disk.on_call(move |_| {
                moments.pass();
                Ok(())
            });
            Some(cache)
        }
    };
    let config = ResourceConfig::new(url).unwrap();
    let config = match &cache {
        Some(cache) => config.with_store(cache.store.clone()),
        None => config.without_store(),
    };
    let config = config.with_client(net).with_cancel(moments.token.clone());
    let executor = tokio::runtime::Builder::new_current_thread().build();
    let opened = executor
        .unwrap()
        .block_on(moments.of(Resource::new(config)));
    let reached = moments.passed.load(Ordering::SeqCst) > at;
    if reached {
        eventually("it is cancelled", || moments.token.is_cancelled());
    }
    let ended = match opened {
        Err(error) => Ended::Opening(error.kind()),
        // It was there before it was cancelled.
        Ok(mut resource) if reached => {
            let mut read = || match resource.read(&mut [0.0; 4096]) {
                Ok(samples) => (samples == 0).then_some(Ended::Not),
                Err(error) => Some(Ended::Reading(error.kind())),
            };
            // Who cancels does not wait until the reader has heard of it.
            std::iter::repeat_with(&mut read).flatten().next().unwrap()
        }
        Ok(resource) => {
            drop(resource);
            Ended::Not
        }
    };
    if let Some(cache) = cache {
        cache.end();
    }
    ended
}

/// The threads that stay: those that block for a while longer end by themselves.
fn threads() -> BTreeMap<String, usize> {
    let mut threads = library_threads();
    threads.retain(|name, _| name != "kithara-io-bloc");
    threads
}

/// What the child does; its temporary files are its own.
fn cancel_at_each_moment(dir: &Path) {
    let temporary = std::env::temp_dir();
    let server = FaultServer::start();
    let titles = ["mp3-cbr.mp3", "m4a-alac-last.m4a"].map(fixture);
    let path = |title: &Fixture| format!("/{}", title.file);
    for title in &titles {
        let script = Script::file(title.bytes()).media_type(title.media_type());
        server.serve(&path(title), script.shorter_ranges(20_000));
    }
    for kept in [Kept::Nowhere, Kept::InFolder, Kept::OnDisk] {
        for title in &titles {
            let url = server.url(&path(title));
            let folder = |at: u64| dir.join(format!("{kept:?} {} {at}", title.file));
            // Threads that every open of a process shares are there then.
            opens_until(u64::MAX, &url, kept, &folder(u64::MAX));
            server.wait_open_connections(0);
            eventually("the decode threads end", || decode_threads() == 0);
            let (before, files) = (threads(), descriptors());
            let (mut at, mut opening) = (0, 0);
            loop {
                let what = format!("{kept:?}, {}, moment {at}", title.file);
                match opens_until(at, &url, kept, &folder(at)) {
                    Ended::Opening(ErrorKind::Cancelled) => opening += 1,
                    Ended::Reading(ErrorKind::Cancelled) => {}
                    Ended::Not => break,
                    other => panic!("{what}: {other:?}"),
                }
                server.wait_open_connections(0);
                eventually(&format!("{what}: threads"), || {
                    let more = |(name, count): (&String, &usize)| before.get(name) < Some(count);
                    !threads().iter().any(more)
                });
                eventually(&format!("{what}: descriptors"), || {
                    descriptors().len() <= files.len()
                });
                let left = std::fs::read_dir(&temporary).unwrap().count();
                assert_eq!(left, 0, "{what}: a temporary file");
                at += 1;
            }
            println!(
                "{kept:?}, {}: {opening} of {at} moments were of the open",
                title.file
            );
            assert!(opening > 2, "{opening} of {at} moments");
            if !matches!(kept, Kept::InFolder) {
                continue;
            }
            // What the folder has of it is good for the next open, and nothing lies about.
            let expected = local(&title.bytes(), title.extension());
            for at in (0..at).step_by(5) {
                let folder = folder(at);
                for (path, _) in files_of_titles(&folder) {
                    let name = path.extension().unwrap_or_default();
                    let known = ["", "part", "log", "index"].map(std::ffi::OsStr::new);
                    assert!(known.contains(&name), "{path:?}");
                }
                let cache = Cache::at(&folder);
                Listener::open(cache.config(&url)).plays_exactly(&expected, "after a cancel");
                cache.end();
                plays_unasked(&folder, &url, &expected);
            }
        }
    }
}

/// The files that hold bytes of titles.
fn files_of_titles(dir: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let names = resources(dir);
    files(dir)
        .into_iter()
        .filter(|(path, _)| names.contains(path))
        .collect()
}

#[test]
fn an_open_that_is_cancelled_at_any_moment_says_so_and_leaves_nothing() {
    const TEST: &str = "an_open_that_is_cancelled_at_any_moment_says_so_and_leaves_nothing";
    if let Some(dir) = child::role() {
        return cancel_at_each_moment(Path::new(&dir));
    }
    let (dir, temporary) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let role = dir.path().to_str().unwrap();
    print!(
        "{}",
        Other::start_with(TEST, role, &[("TMPDIR", temporary.path())]).passes()
    );
}
