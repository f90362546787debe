//! A panic in what the caller supplies, a hook, a resolver, a client, a listener, a waker, ends the resource it was
//! supplied for with a typed error, and disturbs no other.

#![allow(clippy::unwrap_used)] // A promise that cannot be checked is a failed test.

#[path = "support/fuse.rs"]
mod fuse;
#[path = "support/network.rs"]
mod network;

use std::io;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;
use kithara::audio::{Audio, AudioConfig, AudioError};
use kithara::file::{File, FileConfig, FileSrc};
use kithara::net::{
    Body, HeaderHook, Headers, HookRequest, Net, NetError, NetOptions, Refreshed, Request,
    Resolver, Response,
};
use kithara::stream::{EventSink, LocalSource, MediaInfo, StreamType};
use kithara::{ErrorKind, PcmReader, Resource, ResourceConfig, SeekMode};
use kithara_tests::fixtures::{fixture, long_wav};
use kithara_tests::server::{FaultServer, Script};

use fuse::{Fuse, within};

/// How a title ended, and that everything before was exact.
fn outcome(
    opened: Result<impl PcmReader, AudioError>,
    expected: &[f32],
    what: &str,
) -> Result<(), AudioError> {
    let mut audio = opened?;
    let mut pcm = Vec::new();
    let mut buf = [0.0; 4096];
    let ended = loop {
        match audio.read(&mut buf) {
            Ok(0) => break Ok(()),
            Ok(read) => pcm.extend_from_slice(&buf[..read]),
            Err(error) => {
                let again = audio.read(&mut buf).unwrap_err();
                assert_eq!(again.to_string(), error.to_string(), "{what}: it stays");
                break Err(error);
            }
        }
    };
    let until = if ended.is_ok() {
        expected.len()
    } else {
        pcm.len()
    };
    network::assert_same(&pcm, &expected[..until], what);
    ended
}

/// What a panic made of a title.
fn assert_contained(ended: Result<(), AudioError>, fuse: &Fuse, what: &str) {
    match ended {
        Err(error) => {
            let error = kithara::Error::from(error);
            assert_eq!(error.kind(), ErrorKind::Worker, "{what}: {error:?}");
            assert!(fuse.has_blown(), "{what}: {error:?}");
        }
        Ok(()) => panic!("{what}: it played to its end"),
    }
}

struct Hook(Arc<Fuse>);

#[async_trait]
impl HeaderHook for Hook {
    fn headers(&self, request: &HookRequest) -> Headers {
        // Titles that share the client are not its business.
        if request.url.path() == "/a.wav" {
            self.0.burn();
        }
        Headers::new()
    }
}

struct Refresh(Arc<Fuse>);

#[async_trait]
impl HeaderHook for Refresh {
    async fn refresh(&self, _: &HookRequest, _: u16) -> Option<Refreshed> {
        self.0.burn();
        None
    }
}

struct Names(Arc<Fuse>);

#[async_trait]
impl Resolver for Names {
    async fn resolve(&self, _: &str) -> io::Result<Vec<IpAddr>> {
        self.0.burn();
        Ok(vec![IpAddr::from([127, 0, 0, 1])])
    }
}

/// A client of the caller's that panics when it is asked, or in the middle of a body.
struct Client {
    inner: Arc<dyn Net>,
    asked: Arc<Fuse>,
    read: Arc<Fuse>,
}

#[async_trait]
impl Net for Client {
    async fn fetch(&self, request: Request) -> Result<Response, NetError> {
        self.asked.burn();
        let Response { head, body } = self.inner.fetch(request).await?;
        let read = Arc::clone(&self.read);
        let pieces = futures_util::stream::unfold(body, |mut body| async move {
            let piece = body.chunk().await.transpose()?;
            Some((piece, body))
        });
        let body = Body::from_stream(pieces.inspect(move |_| read.burn()));
        Ok(Response { head, body })
    }
}

fn remote(url: &str, client: &Arc<dyn Net>) -> Result<Resource, AudioError> {
    let config = ResourceConfig::new(url).unwrap().without_store();
    let opened = Resource::blocking(config.with_client(Arc::clone(client)));
    opened.map_err(|error| {
        assert_eq!(error.kind(), ErrorKind::Worker, "{error:?}");
        let what = error.to_string().into();
        AudioError::Worker { what }
    })
}

fn client_with(change: impl FnOnce(&mut NetOptions)) -> Arc<dyn Net> {
    let mut options = NetOptions::default();
    change(&mut options);
    network::client(options, network::quick())
}

/// A title that plays while others come to harm, on the same server and through the same client where there is one.
struct Witness {
    resource: Resource,
    expected: Vec<f32>,
}

impl Witness {
    fn of(server: &FaultServer, client: &Arc<dyn Net>, expected: &[f32]) -> Self {
        let mut resource = remote(&server.url("/witness.wav"), client).unwrap();
        let mut first = [0.0; 64];
        assert_eq!(resource.read(&mut first).unwrap(), 64);
        Self {
            resource,
            expected: expected[64..].to_vec(),
        }
    }

    /// It plays to its end, and a new one opens and plays.
    fn goes_unharmed(self, what: &str) {
        let Self { resource, expected } = self;
        within(what, move || {
            outcome(Ok(resource), &expected, "the witness")
        })
        .unwrap();
        let late = Resource::blocking(ResourceConfig::from_src(fixture("wav-s16.wav").path()));
        assert!(late.unwrap().read(&mut [0.0; 64]).unwrap() > 0, "{what}");
    }
}

#[test]
fn a_panic_on_the_way_to_the_bytes_ends_that_resource_only() {
    let media = long_wav(8);
    let expected = network::local(&media.bytes, "wav");
    let server = FaultServer::start();
    server.serve("/a.wav", Script::file(media.bytes.clone()));
    server.serve("/witness.wav", Script::file(media.bytes));
    server.serve("/locked.wav", Script::of_status(401));
    let by_name = server.url("/a.wav").replace("127.0.0.1", "title.test");
    let plain = client_with(|_| {});
    for at in 0..3 {
        let fuse = Fuse::new(at);
        let never = Fuse::new(usize::MAX);
        let asked = |asked: &Arc<Fuse>, read: &Arc<Fuse>| -> Arc<dyn Net> {
            Arc::new(Client {
                inner: Arc::clone(&plain),
                asked: Arc::clone(asked),
                read: Arc::clone(read),
            })
        };
        let hook = |hook: Arc<dyn HeaderHook>| client_with(|options| options.hook = Some(hook));
        let mut cases = vec![
            (
                "headers",
                hook(Arc::new(Hook(Arc::clone(&fuse)))),
                server.url("/a.wav"),
            ),
            ("fetch", asked(&fuse, &never), server.url("/a.wav")),
            ("body", asked(&never, &fuse), server.url("/a.wav")),
        ];
        if at == 0 {
            let refresh = hook(Arc::new(Refresh(Arc::clone(&fuse))));
            cases.push(("refresh", refresh, server.url("/locked.wav")));
            let names: Arc<dyn Resolver> = Arc::new(Names(Arc::clone(&fuse)));
            let resolve = client_with(|options| options.resolver = Some(names));
            cases.push(("resolve", resolve, by_name.clone()));
        }
        for (what, client, url) in cases {
            let what = format!("{what} {at}");
            fuse.mend();
            // A hook and a resolver are asked about one title; a client is the title's own.
            let shared = if what.starts_with("fetch") || what.starts_with("body") {
                &plain
            } else {
                &client
            };
            let witness = Witness::of(&server, shared, &expected);
            let expected = expected.clone();
            let (name, title) = (what.clone(), Arc::clone(&client));
            let ended = within(&what, move || {
                outcome(remote(&url, &title), &expected, &name)
            });
            assert_contained(ended, &fuse, &what);
            witness.goes_unharmed(&what);
        }
    }
}

/// A sink whose listener panics.
fn sink<E: Clone + Send + 'static>(fuse: &Arc<Fuse>) -> EventSink<E> {
    let fuse = Arc::clone(fuse);
    let (sink, _) = kithara::stream::events(16);
    sink.inspect(move |_| fuse.burn())
}

#[test]
fn a_listener_that_panics_ends_its_own_title_only() {
    let media = long_wav(8);
    let expected = network::local(&media.bytes, "wav");
    let server = FaultServer::start();
    server.serve("/witness.wav", Script::file(media.bytes.clone()));
    let first = Script::file(media.bytes.clone()).cut_after(400_000);
    server.serve_sequence("/a.wav", [first, Script::file(media.bytes)]);
    let client = client_with(|_| {});
    let (mut audio, mut file) = (0, 0);
    for at in 0..12 {
        let witness = Witness::of(&server, &client, &expected);

        let fuse = Fuse::new(at);
        let path = fixture("wav-s16.wav").path();
        let config = AudioConfig::new().with_events(sink(&fuse));
        let open = move || -> Result<_, _> {
            Ok(Box::new(LocalSource::new(path, MediaInfo::default())) as Box<_>)
        };
        let opening = Audio::open(open, config);
        let pcm = network::local(&fixture("wav-s16.wav").bytes(), "wav");
        let what = format!("audio event {at}");
        let name = what.clone();
        let ended = within(&what, move || outcome(opening.wait(), &pcm, &name));
        // The last events come when everything was read.
        if fuse.has_blown() && ended.is_err() {
            assert_contained(ended, &fuse, &what);
            audio += 1;
        }

        let fuse = Fuse::new(at);
        let parsed = match kithara::ResourceSrc::parse(&server.url("/a.wav")).unwrap() {
            kithara::ResourceSrc::Url(url) => url,
            other => panic!("{other} is a URL"),
        };
        let config =
            FileConfig::new(FileSrc::Remote(parsed, Arc::clone(&client))).with_events(sink(&fuse));
        let open = move || -> Result<_, _> { Ok(Box::new(File::open(config)?) as Box<_>) };
        let opening = Audio::open(open, AudioConfig::new());
        let what = format!("file event {at}");
        let (name, pcm) = (what.clone(), expected.clone());
        let ended = within(&what, move || outcome(opening.wait(), &pcm, &name));
        if ended.is_err() {
            assert_contained(ended, &fuse, &what);
            file += 1;
        }

        witness.goes_unharmed(&format!("event {at}"));
    }
    assert!(
        audio >= 2 && file >= 2,
        "{audio} and {file} events were reached"
    );
}

#[test]
fn a_waker_that_panics_ends_its_own_title_only() {
    let media = long_wav(8);
    let expected = network::local(&media.bytes, "wav");
    let server = FaultServer::start();
    server.serve("/witness.wav", Script::file(media.bytes.clone()));
    server.serve("/a.wav", Script::file(media.bytes).throttle(2_000_000));
    let client = client_with(|_| {});

    let witness = Witness::of(&server, &client, &expected);
    let fuse = Fuse::new(0);
    let config = ResourceConfig::new(server.url("/a.wav"))
        .unwrap()
        .without_store();
    let opening = Resource::new(config.with_client(Arc::clone(&client)));
    let result = within("the open", {
        let fuse = Arc::clone(&fuse);
        move || until_ready(opening, &fuse)
    });
    // Whether the open got through depends on who was woken first; a resource that came out of it is a sound one.
    if let Ok(resource) = result {
        let expected = expected.clone();
        let ended = within("after the open", move || {
            outcome(Ok(resource), &expected, "opened")
        });
        assert!(matches!(ended, Ok(()) | Err(AudioError::Worker { .. })));
    }
    witness.goes_unharmed("a waker of an open");

    let witness = Witness::of(&server, &client, &expected);
    let fuse = Fuse::new(0);
    let mut resource = remote(&server.url("/a.wav"), &client).unwrap();
    let ended = within("the read", {
        let fuse = Arc::clone(&fuse);
        move || {
            let mut buf = vec![0.0; 1 << 20];
            loop {
                match until_ready(resource.read_async(&mut buf), &fuse) {
                    Ok(0) => break Ok(()),
                    Ok(_) => drop(resource.seek(Duration::ZERO, SeekMode::Exact)),
                    Err(error) => break Err(error.kind()),
                }
            }
        }
    });
    assert_eq!(ended, Err(ErrorKind::Worker));
    assert!(fuse.has_blown());
    witness.goes_unharmed("a waker of a read");
}

/// Polls over and over, with a waker that panics at its first use.
fn until_ready<T>(future: impl Future<Output = T>, fuse: &Arc<Fuse>) -> T {
    let waker = Waker::from(Arc::clone(fuse));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(result) = future.as_mut().poll(&mut context) {
            return result;
        }
        thread::yield_now();
    }
}

#[test]
fn a_fuse_blows_once() {
    let fuse = Fuse::new(1);
    fuse.burn();
    assert!(!fuse.has_blown());
    let blown = std::panic::catch_unwind(|| fuse.burn());
    assert!(blown.is_err() && fuse.has_blown());
    fuse.burn();
}
