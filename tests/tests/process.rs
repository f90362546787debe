//! What happens to a whole process: it is stopped and continued, it ends, it forks, whatever its resources are doing.

#![cfg(unix)]
#![allow(clippy::unwrap_used)] // A promise that cannot be checked is a failed test.

#[path = "support/child.rs"]
mod child;
#[path = "support/network.rs"]
mod network;

use std::cell::RefCell;
use std::future::Future;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::mpsc;
use std::task::{Context, Waker};
use std::thread;
use std::time::Duration;

use kithara::net::{HttpClient, NetExt};
use kithara::{ReadState, Resource, ResourceConfig, SeekMode};
use kithara_tests::fixtures::{fixture, formula_sample, long_wav};
use kithara_tests::server::{FaultServer, Gate, Outcome, Script};
use parking_lot::Mutex;

use child::Other;

/// The server's side of a title waits here.
const HELD_AT: u64 = 1_000_000;
const SECONDS: u32 = 20;
const FRAMES: u64 = 44_100 * SECONDS as u64;

/// Of every clock of a process that is stopped. Longer than a busy machine holds up a thread, so that it does not run out
/// before the stop.
const LIMIT: Duration = Duration::from_secs(3);

/// Plays what the server holds of [`long_wav`] to the end and checks every sample.
fn play_exactly(resource: &mut Resource) {
    let mut buf = [0.0; 4096];
    let mut frame = 0;
    loop {
        let read = resource.read(&mut buf).unwrap();
        if read == 0 {
            break;
        }
        for pair in buf[..read].chunks(2) {
            for (channel, sample) in (0..).zip(pair) {
                let expected = f32::from(formula_sample(frame, channel)) / 32768.0;
                assert_eq!(*sample, expected, "frame {frame}");
            }
            frame += 1;
        }
    }
    assert_eq!(frame, FRAMES);
}

fn signal(child: &Other, signal: libc::c_int) {
    let id = libc::pid_t::try_from(child.id()).unwrap();
    #[allow(unsafe_code)]
    // SAFETY: it takes integers. The child was not waited for, so the id is still its own.
    let sent = unsafe { libc::kill(id, signal) };
    assert_eq!(sent, 0, "{}", std::io::Error::last_os_error());
}

/// Returns once the kernel says that the child stands still.
fn await_stop(child: &Other) {
    let id = libc::pid_t::try_from(child.id()).unwrap();
    let mut status = 0;
    #[allow(unsafe_code)]
    // SAFETY: the pointer is to a live integer. A child that ended instead fails the test here.
    let found = unsafe { libc::waitpid(id, &raw mut status, libc::WUNTRACED) };
    assert!(found == id && libc::WIFSTOPPED(status), "{status:#x}");
}

#[test]
fn a_process_that_was_stopped_for_longer_than_every_clock_plays_on() {
    const TEST: &str = "a_process_that_was_stopped_for_longer_than_every_clock_plays_on";
    if let Some(url) = child::role() {
        let client = HttpClient::new(network::impatient(LIMIT)).unwrap();
        let config = ResourceConfig::new(&url)
            .unwrap()
            .without_store()
            .with_client(Arc::new(client.with_retry(network::quick())));
        return play_exactly(&mut Resource::blocking(config).unwrap());
    }
    let server = FaultServer::start();
    let bytes = long_wav(SECONDS).bytes;
    let file = || Script::file(bytes.clone());
    // What the connection has been through when the process goes on: nothing, a reset, an end, a death nobody told of.
    let gates = [Gate::new(), Gate::new(), Gate::new(), Gate::new()];
    let held = |gate| file().hold_at(HELD_AT, gate);
    let cases = [
        ("/on.wav", held(&gates[0])),
        ("/reset.wav", held(&gates[1]).reset_at(HELD_AT + 100_000)),
        ("/cut.wav", held(&gates[2]).cut_at(HELD_AT + 100_000)),
        ("/dead.wav", held(&gates[3])),
    ];
    let mut children = Vec::new();
    for ((path, first), gate) in cases.into_iter().zip(&gates) {
        server.serve_sequence(path, until_held(&first, file()));
        let child = Other::start(TEST, &server.url(path));
        gate.wait_held();
        signal(&child, libc::SIGSTOP);
        await_stop(&child);
        children.push(child);
    }
    for gate in &gates[..3] {
        gate.open();
    }
    // Not to be safe: the time that passes while the process stands still is what is tested.
    thread::sleep(LIMIT * 2);
    for child in children {
        signal(&child, libc::SIGCONT);
        child.passes();
    }
}

/// `first` for the request that comes to [`HELD_AT`] and those before it, then `later`.
fn until_held(first: &Script, later: Script) -> Vec<Script> {
    const REQUESTS: usize = 3;
    let mut scripts = vec![first.clone(); REQUESTS];
    scripts.push(later);
    scripts
}

/// Passes connections on to a server, and can end all of them at once, as a router does that forgets.
struct Relay {
    addr: SocketAddr,
    streams: Arc<Mutex<Vec<TcpStream>>>,
}

impl Relay {
    fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let addr = listener.local_addr().unwrap();
        let streams = Arc::<Mutex<Vec<TcpStream>>>::default();
        let kept = Arc::clone(&streams);
        // It ends with the process.
        thread::spawn(move || {
            for near in listener.incoming() {
                let near = near.unwrap();
                let far = TcpStream::connect(server).unwrap();
                // Before the first byte can come through.
                let both = [&near, &far].map(|stream| stream.try_clone().unwrap());
                kept.lock().extend(both);
                for (mut from, mut to) in [(&near, &far), (&far, &near)]
                    .map(|(from, to)| (from.try_clone().unwrap(), to.try_clone().unwrap()))
                {
                    thread::spawn(move || {
                        // Whatever ends one direction ends the other as well.
                        let _ = std::io::copy(&mut from, &mut to);
                        let _ = to.shutdown(Shutdown::Both);
                    });
                }
            }
        });
        Self { addr, streams }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    /// Ends every connection there is; returns how many there were.
    fn end_all(&self) -> usize {
        let streams = std::mem::take(&mut *self.streams.lock());
        for stream in &streams {
            // It may have ended.
            let _ = stream.shutdown(Shutdown::Both);
        }
        streams.len() / 2
    }
}

#[test]
fn a_process_whose_connections_all_ended_while_it_stood_still_plays_on() {
    const TEST: &str = "a_process_whose_connections_all_ended_while_it_stood_still_plays_on";
    if let Some(role) = child::role() {
        let mut words = role.split(' ');
        let mut word = || words.next().unwrap();
        let (url, go, look_ahead) = (word(), word(), word().parse().unwrap());
        let options = network::impatient(LIMIT);
        let config = network::config_with(url, options).with_look_ahead_bytes(look_ahead);
        let mut resource = Resource::blocking(config).unwrap();
        // This one is answered after the stop.
        drop(opened(go));
        return play_exactly(&mut resource);
    }
    let server = FaultServer::start();
    let relay = Relay::to(server.addr());
    let (held, go) = (Gate::new(), Gate::new());
    let file = || Script::file(long_wav(SECONDS).bytes);
    server.serve("/go.wav", file().hold_head(&go));
    // In the middle of a transfer, and with nothing on its way because enough is there.
    let busy = file().hold_at(HELD_AT, &held);
    server.serve_sequence("/busy.wav", until_held(&busy, file()));
    server.serve("/idle.wav", file());
    let cases = [
        ("/busy.wav", 4 * network::MIB),
        ("/idle.wav", network::LOOK_AHEAD),
    ];
    let children = cases.map(|(path, look_ahead)| {
        let role = format!("{} {} {look_ahead}", relay.url(path), server.url("/go.wav"));
        let child = Other::start(TEST, &role);
        match path {
            "/busy.wav" => held.wait_held(),
            _ => server.wait_until("the child has enough", |requests| {
                let mut ours = requests.iter().filter(|request| request.path == path);
                let last = ours.next_back();
                last.is_some_and(|last| {
                    last.outcome == Outcome::Complete
                        && last
                            .range
                            .is_some_and(|(start, _)| start >= network::LOOK_AHEAD)
                })
            }),
        }
        signal(&child, libc::SIGSTOP);
        await_stop(&child);
        child
    });
    assert!(relay.end_all() >= 2, "each child had a connection");
    // Those to the gate are left.
    server.wait_open_connections(2);
    // Not to be safe: the time that passes while the process stands still is what is tested.
    thread::sleep(LIMIT * 2);
    go.open();
    for child in children {
        signal(&child, libc::SIGCONT);
        child.passes();
    }
    assert!(relay.end_all() >= 2, "each child connected again");
}

/// What a child leaves open when it ends, by name.
const LEFT: &[&str] = &[
    "playing",
    "trying",
    "paused",
    "blocked",
    "opening",
    "polled",
    "ended",
    "failed",
    "dropped",
    "static",
    "thread local",
    "at exit",
    "exit while reading",
];

static LEFT_BEHIND: Mutex<Option<Resource>> = Mutex::new(None);

thread_local! {
    static OF_THE_THREAD: RefCell<Option<Resource>> = const { RefCell::new(None) };
}

/// The URLs of a title that is served whole, one that stops in its middle, one that never begins, one that breaks off.
#[derive(Clone)]
struct Urls {
    whole: String,
    held: String,
    unanswered: String,
    broken: String,
}

impl Urls {
    fn at(base: &str) -> Self {
        let [whole, held, unanswered, broken] =
            ["whole", "held", "unanswered", "broken"].map(|name| format!("{base}{name}.wav"));
        Self {
            whole,
            held,
            unanswered,
            broken,
        }
    }
}

/// A title whose clocks run out for nobody: what waits for its server waits until the process ends.
fn waiting(url: &str) -> ResourceConfig {
    network::config_with(url, network::patient())
}

fn opened(url: &str) -> Resource {
    Resource::blocking(waiting(url)).unwrap()
}

/// Runs `work` on a thread that nobody joins, and waits until it says that it is in the middle of it.
fn in_the_middle(work: impl FnOnce(&dyn Fn()) + Send + 'static) {
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        work(&move || {
            // Only the first word is heard.
            let _ = tell.send(());
        });
    });
    told.recv().unwrap();
}

fn read_on(resource: &mut Resource, told: &dyn Fn()) -> kithara::Error {
    let mut buf = [0.0; 1024];
    loop {
        match resource.read(&mut buf) {
            Ok(0) => drop(resource.seek(Duration::ZERO, SeekMode::Fast)),
            Ok(_) => told(),
            Err(error) => return error,
        }
    }
}

extern "C" fn at_exit() {
    if let Some(mut resource) = LEFT_BEHIND.lock().take() {
        resource.try_read(&mut [0.0; 64]);
        drop(resource.seek(Duration::ZERO, SeekMode::Fast));
    }
}

/// Leaves resources open; the caller returns from here to the end of the process.
fn leave(what: &str, urls: Urls) {
    match what {
        "playing" => in_the_middle(move |told| {
            read_on(&mut opened(&urls.whole), told);
        }),
        "trying" => in_the_middle(move |told| {
            let mut resource = opened(&urls.whole);
            loop {
                resource.try_read(&mut [0.0; 64]);
                told();
            }
        }),
        "paused" => {
            let resource = opened(&urls.whole);
            resource.pause();
            std::mem::forget(resource);
        }
        "blocked" => in_the_middle(move |told| {
            read_on(&mut opened(&urls.held), told);
        }),
        "opening" => in_the_middle(move |told| {
            told();
            drop(Resource::blocking(waiting(&urls.unanswered)));
        }),
        "polled" => {
            let config = waiting(&urls.unanswered);
            let mut opening: Pin<Box<dyn Future<Output = _>>> = Box::pin(Resource::new(config));
            let mut context = Context::from_waker(Waker::noop());
            assert!(opening.as_mut().poll(&mut context).is_pending());
            std::mem::forget(opening);
        }
        "ended" => {
            let mut resource =
                Resource::blocking(ResourceConfig::from_src(fixture("wav-s16.wav").path()))
                    .unwrap();
            while resource.try_read(&mut [0.0; 512]).state != ReadState::Ended {}
            std::mem::forget(resource);
        }
        "failed" => {
            let mut resource = opened(&urls.broken);
            read_on(&mut resource, &|| {});
            std::mem::forget(resource);
        }
        "dropped" => drop(opened(&urls.held)),
        "static" => *LEFT_BEHIND.lock() = Some(opened(&urls.whole)),
        "thread local" => OF_THE_THREAD.set(Some(opened(&urls.held))),
        "at exit" => {
            *LEFT_BEHIND.lock() = Some(opened(&urls.held));
            #[allow(unsafe_code)]
            // SAFETY: the function lives as long as the program, and unwinds nowhere.
            let registered = unsafe { libc::atexit(at_exit) };
            assert_eq!(registered, 0);
        }
        "exit while reading" => {
            let held = urls.held.clone();
            in_the_middle(move |told| {
                read_on(&mut opened(&held), told);
            });
            let reader = thread::spawn(move || {
                opened(&urls.whole).read(&mut [0.0; 64]).unwrap();
                std::process::exit(0);
            });
            drop(reader.join());
        }
        other => panic!("nothing is left {other}"),
    }
}

/// The server never lets go of what it holds, and no clock of the children's runs out: had the end of a process to wait for a
/// thread of the library's, it would never come.
#[test]
fn a_process_ends_whatever_its_resources_are_doing() {
    const TEST: &str = "a_process_ends_whatever_its_resources_are_doing";
    if let Some(role) = child::role() {
        let (base, what) = role.split_once(' ').unwrap();
        if what == "all" {
            // The last one ends the process itself.
            for what in LEFT {
                if !matches!(*what, "static" | "exit while reading") {
                    leave(what, Urls::at(base));
                }
            }
            return;
        }
        return leave(what, Urls::at(base));
    }
    let server = FaultServer::start();
    let gate = Gate::new();
    let file = || Script::file(long_wav(SECONDS).bytes);
    server.serve("/whole.wav", file());
    server.serve("/held.wav", file().hold_at(HELD_AT, &gate));
    server.serve("/unanswered.wav", file().hold_head(&gate));
    // Every second request, because more than one child plays it.
    let broken = [file().cut_after(HELD_AT), Script::of_status(404)];
    let broken = broken.into_iter().cycle().take(4 * LEFT.len());
    server.serve_sequence("/broken.wav", broken);
    for what in LEFT.iter().chain(&["all"]) {
        let child = Other::start(TEST, &format!("{} {what}", server.url("/")));
        let (status, text) = child.finish();
        assert!(status.success(), "{what}: {status}: {text}");
    }
    // And nothing of them is left.
    server.wait_open_connections(0);
}

#[test]
fn a_fork_holds_neither_side_up() {
    const TEST: &str = "a_fork_holds_neither_side_up";
    if let Some(url) = child::role() {
        let mut resource = opened(&url);
        resource.read(&mut [0.0; 64]).unwrap();
        let second = opened(&url);
        let mut slot = Some(second);
        #[allow(unsafe_code)]
        // SAFETY: the forked process does only what an audio thread may: no lock, no allocation, no free.
        let forked = unsafe { libc::fork() };
        if forked == 0 {
            if let Some(mut second) = slot.take() {
                second.try_read(&mut [0.0; 64]);
                let control = second.control();
                drop(control.seek(Duration::ZERO, SeekMode::Fast));
                drop(second);
                std::mem::forget(control);
            }
            #[allow(unsafe_code)]
            // SAFETY: it ends the process at once.
            unsafe {
                libc::_exit(7)
            }
        }
        assert!(forked > 0);
        let mut status = 0;
        #[allow(unsafe_code)]
        // SAFETY: the pointer is to a live integer.
        let found = unsafe { libc::waitpid(forked, &raw mut status, 0) };
        assert!(found == forked && libc::WIFEXITED(status), "{status:#x}");
        assert_eq!(libc::WEXITSTATUS(status), 7);
        resource.seek(Duration::ZERO, SeekMode::Exact).unwrap();
        play_exactly(&mut resource);
        return play_exactly(&mut slot.take().unwrap());
    }
    let server = FaultServer::start();
    server.serve("/a.wav", Script::file(long_wav(SECONDS).bytes));
    Other::start(TEST, &server.url("/a.wav")).passes();
}
