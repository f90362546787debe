//! What may be called on an audio thread makes no system call there, allocates nothing and frees nothing: counted by an
//! allocator, and on Linux enforced by the kernel, which kills a process that breaks the promise.

#![allow(clippy::unwrap_used)] // A promise that cannot be checked is a failed test.

#[path = "support/child.rs"]
mod child;
#[path = "support/network.rs"]
mod network;

use std::future::Future;
use std::io::Write;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use kithara::{ReadState, Resource, ResourceConfig, RodioSource, SeekMode};
use kithara_tests::allocations::{Watching, touches};
use kithara_tests::fixtures::{Generated, formula_sample, long_wav};
use kithara_tests::server::{FaultServer, Gate, Script};
use rodio::Source;

const CALLS: u32 = 1_000_000;
/// Where the server holds back the rest of a file.
const HELD_AT: u64 = 400_000;

#[global_allocator]
static ALLOCATOR: Watching = Watching;

/// What an audio thread does. It is called once, and says what went wrong. What it owns is freed elsewhere, or never.
type Work = Box<dyn FnMut() -> Result<(), &'static str> + Send>;

/// A local file, which needs no name once it is open.
fn local(media: &Generated) -> Resource {
    let mut file = tempfile::Builder::new().suffix(".wav").tempfile().unwrap();
    file.write_all(&media.bytes).unwrap();
    Resource::blocking(ResourceConfig::from_src(file.path().to_owned())).unwrap()
}

/// A remote file of which the server sends `first`, and `later` for every other request.
fn remote(first: Script, later: Script) -> (Resource, FaultServer) {
    let server = FaultServer::start();
    server.serve_sequence("/a.wav", [first, later]);
    // However long a million calls take, no clock ends the state.
    let config = network::config_with(&server.url("/a.wav"), network::patient());
    let resource = Resource::blocking(config).unwrap();
    (resource, server)
}

/// A resource in a state, or soon to be in it, and what has to be kept for that.
fn resource_in(state: ReadState) -> (Resource, Option<(FaultServer, Gate)>) {
    let media = long_wav(30);
    let gate = Gate::new();
    let file = || Script::file(media.bytes.clone());
    match state {
        ReadState::Playing => (local(&media), None),
        ReadState::Paused => {
            let resource = local(&media);
            resource.pause();
            (resource, None)
        }
        ReadState::Ended => (local(&long_wav(1)), None),
        ReadState::Buffering => {
            let (resource, server) =
                remote(file().hold_at(HELD_AT, &gate), file().hold_head(&gate));
            (resource, Some((server, gate)))
        }
        ReadState::Seeking => {
            let (resource, server) =
                remote(file().hold_at(HELD_AT, &gate), file().hold_head(&gate));
            resource
                .seek(Duration::from_secs(25), SeekMode::Exact)
                .unwrap();
            (resource, Some((server, gate)))
        }
        ReadState::Failed => {
            let (resource, server) = remote(file().cut_after(HELD_AT), Script::of_status(404));
            (resource, Some((server, gate)))
        }
    }
}

const STATES: [ReadState; 6] = [
    ReadState::Playing,
    ReadState::Seeking,
    ReadState::Buffering,
    ReadState::Paused,
    ReadState::Ended,
    ReadState::Failed,
];

/// A million reads that find `state`; the reads on the way there are not counted.
fn reads(state: ReadState) -> Work {
    let (mut resource, kept) = resource_in(state);
    Box::new(move || {
        let _ = &kept;
        if state == ReadState::Playing {
            return play(&mut resource);
        }
        let mut buf = [0.0; 128];
        let mut found = 0;
        while found < CALLS {
            let now = resource.try_read(&mut buf).state;
            found += u32::from(now == state);
            if now != state && matches!(now, ReadState::Ended | ReadState::Failed) {
                return Err("the audio stopped");
            }
        }
        Ok(())
    })
}

/// A million reads of a frame each. They are faster than it is decoded, so many more find nothing in between.
fn play(resource: &mut Resource) -> Result<(), &'static str> {
    let mut buf = [0.0; 2];
    let mut frame = 0;
    while frame < u64::from(CALLS) {
        let outcome = resource.try_read(&mut buf);
        if outcome.frames == 1 {
            for (channel, sample) in (0..).zip(buf) {
                if sample != f32::from(formula_sample(frame, channel)) / 32768.0 {
                    return Err("a wrong sample");
                }
            }
            frame += 1;
        } else if outcome.state != ReadState::Buffering {
            return Err("the audio stopped");
        }
    }
    Ok(())
}

/// Every command of a control between reads, over and over, then the drop.
fn commands(state: ReadState) -> Work {
    let (resource, kept) = resource_in(state);
    let control = resource.control();
    let mut slot = Some(resource);
    Box::new(move || {
        let _ = &kept;
        let Some(mut resource) = slot.take() else {
            return Err("a second call");
        };
        let mut buf = [0.0; 128];
        for round in 0..1000 {
            let second = control.clone();
            let target = Duration::from_millis(round * 20);
            if second.seek(target, SeekMode::Exact).is_err() {
                return Err("a seek was refused");
            }
            if second.position() != target {
                return Err("a seek was not shown");
            }
            resource.try_read(&mut buf);
            control.pause();
            if resource.try_read(&mut buf).state != ReadState::Paused {
                return Err("a pause was not heeded");
            }
            control.stats();
            control.resume();
            // Now and then it lands.
            for _ in 0..round % 8 * 200 {
                resource.try_read(&mut buf);
            }
        }
        if state == ReadState::Failed {
            control.close();
        }
        drop(resource);
        match control.seek(Duration::ZERO, SeekMode::Fast) {
            Err(_) => Ok(()),
            Ok(_) => Err("a dropped resource was sought"),
        }
    })
}

/// A source of a mixer: played, sought, ended, dropped.
fn source() -> Work {
    let mut slot: Option<RodioSource> = Some(local(&long_wav(4)).into_source());
    Box::new(move || {
        let Some(mut source) = slot.take() else {
            return Err("a second call");
        };
        for _ in 0..CALLS {
            source.next();
        }
        if source.try_seek(Duration::from_millis(3_900)).is_err() {
            return Err("a seek was refused");
        }
        while source.next().is_some() {}
        drop(source);
        Ok(())
    })
}

/// By name, so that a child can be told.
fn work(name: &str) -> Work {
    let state = |name: &str| {
        let found = STATES.iter().find(|state| format!("{state:?}") == name);
        *found.unwrap_or_else(|| panic!("no state is called {name}"))
    };
    match name.split_once(' ') {
        Some(("reads", name)) => reads(state(name)),
        Some(("commands", name)) => commands(state(name)),
        _ => source(),
    }
}

fn touches_no_memory(name: &str) {
    let mut work = work(name);
    let (result, touched) = touches(&mut work);
    assert_eq!(result, Ok(()), "{name}");
    assert_eq!(touched, 0, "{name}: allocations and frees");
}

#[test]
fn the_watch_notices_an_allocation() {
    let ((), touched) = touches(|| drop(std::hint::black_box(Box::new(5))));
    assert_eq!(touched, 2);
}

#[test]
fn a_million_reads_in_every_state_touch_no_memory() {
    for state in STATES {
        touches_no_memory(&format!("reads {state:?}"));
    }
}

#[test]
fn commands_and_the_drop_in_every_state_touch_no_memory() {
    for state in STATES {
        touches_no_memory(&format!("commands {state:?}"));
    }
}

#[test]
fn a_source_in_a_mixer_touches_no_memory() {
    touches_no_memory("source");
}

struct Bomb;

impl Wake for Bomb {
    fn wake(self: Arc<Self>) {
        panic!("the caller's own waker panics");
    }
}

/// A resource whose decode thread died of a caller's waker.
fn dead() -> Resource {
    let mut resource = local(&long_wav(30));
    let waker = Waker::from(Arc::new(Bomb));
    let mut context = Context::from_waker(&waker);
    let mut buf = vec![0.0; 1 << 16];
    // Faster than it is decoded, so that some read has to wait and be woken.
    loop {
        let read = pin!(resource.read_async(&mut buf)).poll(&mut context);
        // A waker called from within a codec's read costs the codec only, and a seek starts anew.
        if matches!(read, Poll::Ready(Err(_)))
            && resource.seek(Duration::ZERO, SeekMode::Fast).is_err()
        {
            return resource;
        }
    }
}

#[test]
fn a_resource_whose_decode_thread_died_is_told_so_without_touching_memory() {
    let mut resource = dead();
    let control = resource.control();
    let ((), touched) = touches(|| {
        for _ in 0..1000 {
            assert!(control.seek(Duration::ZERO, SeekMode::Fast).is_err());
            control.pause();
            control.resume();
            let state = resource.try_read(&mut [0.0; 64]).state;
            assert_eq!(state, ReadState::Failed);
        }
        drop(resource);
    });
    assert_eq!(touched, 0);
}

/// A thread that may make no system call but those it is allowed.
#[cfg(target_os = "linux")]
mod jail {
    use std::os::unix::process::ExitStatusExt;
    use std::thread;

    use super::{STATES, Work, child, work};

    #[cfg(target_arch = "x86_64")]
    const ARCH: u32 = 0xc000_003e;
    #[cfg(target_arch = "aarch64")]
    const ARCH: u32 = 0xc000_00b7;

    /// Offsets in `struct seccomp_data`; of a 64-bit argument the lower half, little end first.
    const NUMBER: u32 = 0;
    const ARCHITECTURE: u32 = 4;
    const FIRST_ARGUMENT: u32 = 16;

    /// What a jailed thread may do besides ending the process and printing.
    #[derive(Clone, Copy)]
    enum May {
        Nothing,
        /// Wake another thread.
        Wake,
    }

    fn statement(code: u32, k: u32) -> libc::sock_filter {
        let code = u16::try_from(code).unwrap();
        let (jt, jf) = (0, 0);
        libc::sock_filter { code, jt, jf, k }
    }

    fn jump(how: u32, k: u32, jt: u8, jf: u8) -> libc::sock_filter {
        let code = u16::try_from(libc::BPF_JMP | how | libc::BPF_K).unwrap();
        libc::sock_filter { code, jt, jf, k }
    }

    fn load(offset: u32) -> libc::sock_filter {
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, offset)
    }

    fn number(call: libc::c_long) -> u32 {
        u32::try_from(call).unwrap()
    }

    /// The kernel runs it before each system call of the thread.
    fn program(may: May) -> [libc::sock_filter; 10] {
        let futex = match may {
            // Once more what is allowed anyway.
            May::Nothing => libc::SYS_exit_group,
            May::Wake => libc::SYS_futex,
        };
        [
            load(ARCHITECTURE),
            jump(libc::BPF_JEQ, ARCH, 0, 6), // else kill
            load(NUMBER),
            jump(libc::BPF_JEQ, number(libc::SYS_exit_group), 5, 0), // allow
            jump(libc::BPF_JEQ, number(futex), 4, 0),                // allow
            jump(libc::BPF_JEQ, number(libc::SYS_write), 0, 2),      // else kill
            load(FIRST_ARGUMENT),
            // Printing only: a write to an event descriptor is a wake.
            jump(libc::BPF_JGT, 2, 0, 1), // else allow
            statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_KILL_PROCESS),
            statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW),
        ]
    }

    /// From here on the kernel kills the process if this thread makes a system call it may not.
    fn enter(may: May) {
        let mut filter = program(may);
        let program = libc::sock_fprog {
            len: u16::try_from(filter.len()).unwrap(),
            filter: filter.as_mut_ptr(),
        };
        #[allow(unsafe_code)]
        // SAFETY: both calls take integers, and the second a pointer to a program that outlives it; the kernel copies
        // it. They change this thread only, and nothing in memory.
        let done = unsafe {
            libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
                && libc::prctl(
                    libc::PR_SET_SECCOMP,
                    libc::SECCOMP_MODE_FILTER,
                    &raw const program,
                ) == 0
        };
        assert!(done, "{}", std::io::Error::last_os_error());
    }

    fn print(text: &str) {
        #[allow(unsafe_code)]
        // SAFETY: the pointer and the length are those of a string.
        unsafe {
            libc::write(1, text.as_ptr().cast(), text.len());
        }
    }

    /// Does the work in a jail and ends the process there, because a thread cannot end without system calls.
    fn imprison(may: May, mut work: Work) {
        let prisoner = thread::spawn(move || {
            enter(may);
            let code = match work() {
                Ok(()) => {
                    print("served the whole sentence\n");
                    0
                }
                Err(what) => {
                    print(what);
                    1
                }
            };
            #[allow(unsafe_code)]
            // SAFETY: it ends the process at once and touches no memory.
            unsafe {
                libc::_exit(code)
            }
        });
        let _ = prisoner.join();
    }

    /// As the parent, starts a child for each name; as the child, serves.
    fn served(test: &str, may: May, names: &[String]) {
        if let Some(name) = child::role() {
            return imprison(may, work(&name));
        }
        for name in names {
            let (status, text) = child::Other::start(test, name).finish();
            assert!(
                status.success() && text.contains("the whole sentence"),
                "{name}: {status}: {text}"
            );
        }
    }

    #[test]
    fn the_jail_holds() {
        const TEST: &str = "jail::the_jail_holds";
        if let Some(role) = child::role() {
            let (may, call): (_, fn()) = match role.as_str() {
                "getpid" => (May::Wake, || {
                    std::hint::black_box(std::process::id());
                }),
                "yield" => (May::Wake, thread::yield_now),
                "memory" => (May::Wake, || drop(vec![1_u8; 64 << 20])),
                "wake" => (May::Nothing, || thread::current().unpark()),
                other => panic!("no role is called {other}"),
            };
            return imprison(
                may,
                Box::new(move || {
                    call();
                    Ok(())
                }),
            );
        }
        for role in ["getpid", "yield", "memory"] {
            let (status, text) = child::Other::start(TEST, role).finish();
            assert_eq!(status.signal(), Some(libc::SIGSYS), "{role}: {text}");
        }
        // Nobody sleeps there, so nobody has to be woken.
        child::Other::start(TEST, "wake").passes();
    }

    #[test]
    fn a_million_reads_in_every_state_make_no_system_call() {
        served(
            "jail::a_million_reads_in_every_state_make_no_system_call",
            May::Nothing,
            &STATES.map(|state| format!("reads {state:?}")),
        );
    }

    #[test]
    fn commands_and_the_drop_in_every_state_make_at_most_a_wake_call() {
        served(
            "jail::commands_and_the_drop_in_every_state_make_at_most_a_wake_call",
            May::Wake,
            &STATES.map(|state| format!("commands {state:?}")),
        );
    }

    #[test]
    fn a_source_in_a_mixer_makes_at_most_a_wake_call() {
        served(
            "jail::a_source_in_a_mixer_makes_at_most_a_wake_call",
            May::Wake,
            &["source".to_owned()],
        );
    }
}
