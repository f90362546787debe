//! Opening, dropping, closing, cancelling: at any moment, from any thread, in any runtime, many at once.

#![allow(clippy::unwrap_used)] // A promise that cannot be checked is a failed test.

#[path = "support/process.rs"]
mod process;

use std::future::Future;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::thread;
use std::time::Duration;

use kithara::audio::{Audio, AudioConfig, AudioEvent};
use kithara::file::{File, FileConfig, FileSrc};
use kithara::net::{HttpClient, Net, NetExt, NetOptions, RetryPolicy};
use kithara::stream::StreamType;
use kithara::{
    AssetStoreBuilder, CancellationToken, ErrorKind, PcmReader, ReadState, RecvError, Resource,
    ResourceConfig, ResourceEvent, SeekMode, StoreOptions,
};
use kithara_tests::fixtures::{fixture, formula_sample, long_mp3, long_wav};
use kithara_tests::server::{FaultServer, Gate, Script};
use parking_lot::{Mutex, MutexGuard};

use process::*;

/// Threads, descriptors and memory are counted for the whole process, so the tests of this file run one at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock()
}

fn local(file: &str) -> ResourceConfig {
    ResourceConfig::from_src(fixture(file).path())
}

fn client() -> Arc<dyn Net> {
    let client = HttpClient::new(NetOptions::default()).unwrap();
    Arc::new(client.with_retry(RetryPolicy::default()))
}

fn remote(client: &Arc<dyn Net>, url: &str) -> ResourceConfig {
    ResourceConfig::new(url)
        .unwrap()
        .without_store()
        .with_client(Arc::clone(client))
}

fn drain(resource: &mut Resource) -> Result<u64, kithara::Error> {
    let mut frames = 0;
    for block in resource.blocks() {
        frames += block?.frames() as u64;
    }
    Ok(frames)
}

#[cfg(target_os = "linux")]
#[test]
fn ten_thousand_opens_leave_nothing_behind() {
    let _alone = alone();
    let resident = || -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status
            .lines()
            .find(|line| line.starts_with("VmRSS:"))
            .unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    let server = FaultServer::start();
    server.serve("/a.mp3", Script::file(fixture("mp3-mono.mp3").bytes()));
    let (client, url) = (client(), server.url("/a.mp3"));
    // More titles than it may keep: they are fetched, kept, found again, and thrown out for each other.
    let dir = tempfile::tempdir().unwrap();
    let mut options = StoreOptions::at(dir.path());
    (options.max_assets, options.min_free) = (4, 0);
    let store = AssetStoreBuilder::new(options)
        .require_disk(true)
        .build()
        .unwrap();
    let cycle = |n: usize| {
        let config = match n % 8 {
            0 => {
                let title = format!("{url}?title={}", n / 8 % 7);
                ResourceConfig::new(title)
                    .unwrap()
                    .with_store(store.clone())
                    .with_client(Arc::clone(&client))
            }
            4 => remote(&client, &url),
            _ => local("wav-s16.wav"),
        };
        let mut resource = Resource::blocking(config).unwrap();
        let mut block = [0.0; 512];
        for _ in 0..n % 3 {
            resource.read(&mut block).unwrap();
        }
        if n.is_multiple_of(5) {
            resource
                .seek(Duration::from_millis(100), SeekMode::Fast)
                .unwrap();
        }
    };
    // What is kept is written by then, and every file that stays open is open.
    let settled = || {
        eventually("the decode threads end", || decode_threads() == 0);
        store.settle();
    };
    // But those that block, which end by themselves.
    let lasting = || {
        let mut threads = library_threads();
        threads.remove("kithara-io-bloc");
        threads
    };
    (0..500).for_each(cycle);
    settled();
    let (threads, files, memory) = (lasting(), descriptors().len(), resident());
    (0..10_000).for_each(cycle);
    settled();
    assert_eq!(lasting(), threads);
    eventually("no descriptor is left", || descriptors().len() <= files + 2);
    let grown = resident().saturating_sub(memory);
    assert!(
        grown < 8 * 1024,
        "{grown} KiB more after ten thousand opens"
    );
    // Nothing is still in use by anybody: all of it may go.
    assert!(!store.list().is_empty(), "something was kept");
    eventually("no title is held any more", || {
        store.clear();
        store.list().is_empty()
    });
    let keepers = || library_threads().get("kithara-cache").copied();
    let before = keepers().unwrap();
    drop(store);
    eventually("its keeper ends", || keepers().unwrap_or(0) < before);
}

#[test]
fn an_open_dropped_at_any_poll_ends_all_it_started() {
    let _alone = alone();
    let server = FaultServer::start();
    let gate = Gate::new();
    let bytes = fixture("mp3-cbr.mp3").bytes();
    server.serve("/held.mp3", Script::file(bytes.clone()).hold_head(&gate));
    server.serve("/half.mp3", Script::file(bytes).hold_at(2_000, &gate));
    let client = client();
    for path in ["/held.mp3", "/half.mp3"] {
        for polls in 0..20 {
            let mut opening = pin!(Resource::new(remote(&client, &server.url(path))));
            let mut context = Context::from_waker(Waker::noop());
            for _ in 0..polls {
                assert!(opening.as_mut().poll(&mut context).is_pending());
                thread::yield_now();
            }
        }
    }
    server.wait_open_connections(0);
    #[cfg(target_os = "linux")]
    eventually("the decode threads end", || decode_threads() == 0);
}

#[test]
fn a_cancelled_open_says_so() {
    let _alone = alone();
    let server = FaultServer::start();
    let gate = Gate::new();
    server.serve(
        "/a.mp3",
        Script::file(fixture("mp3-cbr.mp3").bytes()).hold_head(&gate),
    );
    let token = CancellationToken::new();
    let config = remote(&client(), &server.url("/a.mp3")).with_cancel(token.clone());
    let opener = thread::spawn(move || Resource::blocking(config).map(|_| ()));
    gate.wait_held();
    token.cancel();
    assert_eq!(
        opener.join().unwrap().unwrap_err().kind(),
        ErrorKind::Cancelled
    );
    server.wait_open_connections(0);
    let late = local("wav-s16.wav").with_cancel(token);
    assert_eq!(
        Resource::blocking(late).unwrap_err().kind(),
        ErrorKind::Cancelled
    );
}

#[test]
fn a_blocked_read_ends_when_the_resource_is_closed_or_cancelled() {
    let _alone = alone();
    let server = FaultServer::start();
    let client = client();
    for (kind, cancel) in [(ErrorKind::Closed, false), (ErrorKind::Cancelled, true)] {
        let gate = Gate::new();
        let script = Script::file(long_mp3(1).bytes).hold_at(100_000, &gate);
        server.serve("/a.mp3", script);
        let token = CancellationToken::new();
        let config = remote(&client, &server.url("/a.mp3")).with_cancel(token.clone());
        let mut resource = Resource::blocking(config).unwrap();
        let control = resource.control();
        let reader = thread::spawn(move || {
            let mut block = [0.0; 4096];
            let error = loop {
                if let Err(error) = resource.read(&mut block) {
                    break error;
                }
            };
            (error.kind(), resource.read(&mut block).unwrap_err().kind())
        });
        gate.wait_held();
        // Six seconds come before the gate.
        eventually("the reader runs dry", || {
            let heard = control.position() >= Duration::from_secs(5);
            heard && control.state() == ReadState::Buffering
        });
        if cancel {
            token.cancel();
        } else {
            control.close();
        }
        assert_eq!(
            reader.join().unwrap(),
            (kind, kind),
            "and the same ever after"
        );
        assert_eq!(
            control
                .seek(Duration::ZERO, SeekMode::Fast)
                .unwrap_err()
                .kind(),
            ErrorKind::Closed
        );
    }
}

#[test]
fn a_blocking_read_inside_a_current_thread_runtime_does_not_deadlock() {
    let _alone = alone();
    let server = FaultServer::start();
    server.serve(
        "/a.mp3",
        Script::file(fixture("mp3-cbr.mp3").bytes()).throttle(400_000),
    );
    let config = remote(&client(), &server.url("/a.mp3"));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let frames = runtime.block_on(async {
        let mut resource = Resource::new(config).await.unwrap();
        drain(&mut resource).unwrap()
    });
    assert_eq!(frames, fixture("mp3-cbr.mp3").source_frames);
}

/// Threads of the library's own that are to end there must not be waited for in a way a runtime forbids.
#[test]
fn all_of_it_may_be_let_go_inside_a_runtime() {
    let _alone = alone();
    let server = FaultServer::start();
    let gate = Gate::new();
    let bytes = fixture("mp3-cbr.mp3").bytes();
    server.serve("/held.mp3", Script::file(bytes).hold_at(10_000, &gate));
    let dir = tempfile::tempdir().unwrap();
    let mut options = StoreOptions::at(dir.path());
    options.min_free = 0;
    let runtimes = [
        tokio::runtime::Builder::new_current_thread(),
        tokio::runtime::Builder::new_multi_thread(),
    ];
    for mut runtime in runtimes {
        runtime.build().unwrap().block_on(async {
            let client = client();
            let store = AssetStoreBuilder::new(options.clone()).build().unwrap();
            let config = remote(&client, &server.url("/held.mp3")).with_store(store.clone());
            let resource = Resource::new(config).await.unwrap();
            drop((resource, store, client));
        });
        server.wait_open_connections(0);
    }
    #[cfg(target_os = "linux")]
    eventually("the decode threads end", || decode_threads() == 0);
}

#[test]
fn controls_answer_while_a_read_waits_for_a_server_that_holds() {
    let _alone = alone();
    let server = FaultServer::start();
    let gate = Gate::new();
    let media = long_wav(8);
    server.serve("/a.wav", Script::file(media.bytes).hold_at(500_000, &gate));
    let client = client();
    let mut resource = Resource::blocking(remote(&client, &server.url("/a.wav"))).unwrap();
    let control = resource.control();
    let reader = thread::spawn(move || drain(&mut resource).unwrap());
    gate.wait_held();
    // What comes before the gate is heard: 2.83 seconds, but for a packet that is not whole.
    eventually("the reader runs dry", || {
        let heard = control.position() >= Duration::from_millis(2_750);
        heard && control.state() == ReadState::Buffering
    });
    // Each from a thread of its own, so that one that hangs is named.
    type Call = fn(&kithara::Control);
    let calls: [(&str, Call); 9] = [
        ("state", |control| {
            assert_ne!(control.state(), ReadState::Failed);
        }),
        ("position", |control| {
            assert!(control.position() > Duration::from_secs(2));
        }),
        ("duration", |control| assert!(control.duration().is_some())),
        ("stats", |control| assert!(control.stats().requests > 0)),
        ("pause", |control| control.pause()),
        ("is_paused", |control| assert!(control.is_paused())),
        ("resume", |control| control.resume()),
        ("seek, far", |control| {
            control
                .seek(Duration::from_secs(7), SeekMode::Exact)
                .unwrap();
        }),
        ("seek, back", |control| {
            control.seek(Duration::ZERO, SeekMode::Exact).unwrap();
        }),
    ];
    for (name, call) in calls {
        let (control, (done, answered)) = (control.clone(), std::sync::mpsc::channel());
        let caller = thread::spawn(move || {
            call(&control);
            // Whoever asked may have given up.
            let _ = done.send(());
        });
        let answer = answered.recv_timeout(Duration::from_secs(60));
        assert!(answer.is_ok(), "{name} waits for the server");
        caller.join().unwrap();
        assert!(!gate.is_open(), "{name}");
    }
    gate.open();
    assert!(reader.join().unwrap() >= media.frames, "from the front");
}

#[test]
fn a_resource_outlives_the_runtime_that_opened_it() {
    let _alone = alone();
    let server = FaultServer::start();
    let gate = Gate::new();
    server.serve(
        "/a.mp3",
        Script::file(fixture("mp3-cbr.mp3").bytes()).hold_at(10_000, &gate),
    );
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .build()
        .unwrap();
    let config = remote(&client(), &server.url("/a.mp3"));
    let mut resource = runtime.block_on(Resource::new(config)).unwrap();
    runtime.shutdown_background();
    gate.open();
    assert_eq!(
        drain(&mut resource).unwrap(),
        fixture("mp3-cbr.mp3").source_frames
    );
}

#[test]
fn it_opens_and_reads_on_an_executor_that_knows_nothing() {
    let _alone = alone();
    let server = FaultServer::start();
    server.serve(
        "/a.mp3",
        Script::file(fixture("mp3-cbr.mp3").bytes()).throttle(1_000_000),
    );
    let config = remote(&client(), &server.url("/a.mp3"));
    let mut frames = 0;
    busy(async {
        let mut resource = Resource::new(config).await.unwrap();
        let mut block = [0.0; 1000];
        loop {
            match resource.read_async(&mut block).await.unwrap() {
                0 => break,
                samples => frames += samples as u64 / 2,
            }
        }
    });
    assert_eq!(frames, fixture("mp3-cbr.mp3").source_frames);
}

/// The simplest executor there is.
fn busy(future: impl Future<Output = ()>) {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    while future.as_mut().poll(&mut context).is_pending() {
        thread::yield_now();
    }
}

#[test]
fn several_at_once_are_not_disturbed_by_one_that_fails() {
    let _alone = alone();
    let server = FaultServer::start();
    let (mp3, wav) = (long_mp3(1), long_wav(20));
    server.serve("/a.mp3", Script::file(mp3.bytes.clone()));
    server.serve("/a.wav", Script::file(wav.bytes.clone()));
    server.serve("/broken.mp3", Script::of_status(404));
    let client = client();
    for count in [2, 4, 8] {
        let threads: Vec<_> = (0..count)
            .map(|n| {
                let (config, frames) = match n % 4 {
                    0 => (remote(&client, &server.url("/a.mp3")), Some(mp3.frames)),
                    1 => (remote(&client, &server.url("/broken.mp3")), None),
                    2 => (remote(&client, &server.url("/a.wav")), Some(wav.frames)),
                    _ => (
                        local("flac-16.flac"),
                        Some(fixture("flac-16.flac").source_frames),
                    ),
                };
                thread::spawn(move || match (Resource::blocking(config), frames) {
                    (Ok(mut resource), Some(frames)) => {
                        assert_eq!(drain(&mut resource).unwrap(), frames);
                    }
                    (Err(error), None) => assert_eq!(error.kind(), ErrorKind::Http(404)),
                    (opened, frames) => panic!("{opened:?} for {frames:?}"),
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        #[cfg(target_os = "linux")]
        assert_eq!(
            library_threads().get("kithara-io"),
            Some(&1),
            "one I/O thread for all"
        );
    }
}

#[test]
fn dropping_from_another_thread_while_it_is_played_ends_everything() {
    let _alone = alone();
    for n in 0..200_u32 {
        let mut resource = Resource::blocking(local("flac-16.flac")).unwrap();
        let player = thread::spawn(move || {
            let mut block = [0.0; 256];
            for _ in 0..n % 40 {
                resource.try_read(&mut block);
            }
            resource
        });
        drop(player.join().unwrap());
    }
    #[cfg(target_os = "linux")]
    eventually("the decode threads end", || decode_threads() == 0);
}

#[test]
fn an_event_listener_that_never_listens_holds_nothing_up() {
    const SEEKS: u64 = 500;
    let _alone = alone();
    let config = local("mp3-cbr.mp3");
    let (_deaf, mut late, mut eager) = (config.events(), config.events(), config.events());
    let mut resource = Resource::blocking(config).unwrap();
    let landed = |event: &ResourceEvent| match event {
        ResourceEvent::Audio(AudioEvent::SeekDone { id, .. }) => Some(*id),
        _ => None,
    };
    let mut told = 0;
    let mut last = None;
    for n in 0..SEEKS {
        let to = Duration::from_millis(n);
        let seek = resource.seek(to, SeekMode::Fast).unwrap();
        resource.read(&mut [0.0; 64]).unwrap();
        last = Some(seek);
        // This one listens, and hears of each.
        while landed(&eager.recv_blocking().unwrap()) != last {
            told += 1;
        }
        told += 1;
    }
    drop(resource);
    while eager.recv_blocking().is_ok() {
        told += 1;
    }
    // The oldest were dropped, and how many is told; those that are left are the newest, to the last.
    let Err(RecvError::Lagged(missed)) = late.recv_blocking() else {
        panic!("{told} events were kept for somebody who does not listen");
    };
    let kept: Vec<_> = std::iter::from_fn(|| late.recv_blocking().ok()).collect();
    assert!(missed > 0 && told >= SEEKS);
    assert_eq!(missed + kept.len() as u64, told, "every one is counted");
    assert_eq!(kept.iter().filter_map(landed).next_back(), last);
}

/// For its mode, or because it can only be written: that refuses root as well.
#[cfg(target_os = "linux")]
#[test]
fn a_file_that_may_not_be_read_says_so() {
    use std::io::ErrorKind::PermissionDenied;
    let error = Resource::blocking(ResourceConfig::from_src(PathBuf::from(
        "/proc/sys/vm/drop_caches",
    )))
    .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io(PermissionDenied), "{error:?}");
    assert!(error.to_string().contains("drop_caches"), "{error}");
}

#[test]
fn the_end_is_told_again_and_again_and_a_seek_starts_over() {
    let _alone = alone();
    let mut resource = Resource::blocking(local("wav-s16.wav")).unwrap();
    let frames = fixture("wav-s16.wav").source_frames;
    assert_eq!(drain(&mut resource).unwrap(), frames);
    for _ in 0..100 {
        assert_eq!(resource.read(&mut [0.0; 64]).unwrap(), 0);
        assert_eq!(resource.try_read(&mut [0.0; 64]).state, ReadState::Ended);
    }
    resource.seek(Duration::ZERO, SeekMode::Fast).unwrap();
    assert_eq!(drain(&mut resource).unwrap(), frames);
    resource.seek(Duration::MAX, SeekMode::Exact).unwrap();
    assert_eq!(resource.read(&mut [0.0; 64]).unwrap(), 0);
}

#[test]
fn a_remote_file_is_sought_across_the_wrap_of_the_counter_of_seeks() {
    let _alone = alone();
    let media = long_wav(20);
    let server = FaultServer::start();
    server.serve("/a.wav", Script::file(media.bytes));
    let src = FileSrc::Remote(server.url("/a.wav").parse().unwrap(), client());
    let config = AudioConfig::new().with_last_seek_id(u64::MAX - 10);
    // What a resource is, but for the counter.
    let opening = Audio::open(
        move || Ok(Box::new(File::open(FileConfig::new(src))?)),
        config,
    );
    let mut audio = opening.wait().unwrap();
    let (spec, control) = (audio.spec(), audio.control());
    let mut buf = [0.0; 512];
    for round in 0..30 {
        // There and back: what is stored, and what is not yet.
        let frame = round * 7919 % 20 * 44_000;
        let id = control.seek(spec.time(frame), SeekMode::Exact).unwrap();
        let expected = (u64::MAX - 10).wrapping_add(round + 1);
        assert_eq!(id.to_string(), expected.to_string());
        assert_eq!(control.position().as_micros(), spec.time(frame).as_micros());
        let read = audio.read(&mut buf).unwrap();
        for (at, sample) in buf[..read].iter().enumerate() {
            let (frame, channel) = (frame + at as u64 / 2, (at % 2) as u16);
            let expected = f32::from(formula_sample(frame, channel)) / 32768.0;
            assert_eq!(*sample, expected, "round {round}, frame {frame}");
        }
    }
}
