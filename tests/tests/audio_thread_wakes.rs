//! What may be called on an audio thread wakes another thread at most once a call. Counted by the kernel: it hands every
//! futex call of the thread to a signal handler, which counts it and makes it.

#![cfg(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
#![allow(clippy::unwrap_used)] // A promise that cannot be checked is a failed test.

#[path = "support/child.rs"]
mod child;
#[path = "support/network.rs"]
mod network;

use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use kithara::{ReadState, Resource, ResourceConfig, SeekMode};
use kithara_tests::fixtures::long_wav;
use kithara_tests::server::{FaultServer, Gate, Script};

/// Where the server holds back the rest of a file.
const HELD_AT: u64 = 400_000;

/// Far more than anything here takes; reached only by something that hangs.
const HANG: Duration = Duration::from_secs(60);

/// Futex calls of this process's one trapped thread.
static CALLS: AtomicU64 = AtomicU64::new(0);

/// Traps the futex calls of one thread.
mod trap {
    use std::sync::atomic::Ordering;

    use super::CALLS;

    /// The sixth argument of a call that the handler makes: the filter lets it pass. Waits read it as a set of bits, and
    /// any will do.
    const PASS: u32 = 0x6b69_7468;

    #[cfg(target_arch = "x86_64")]
    const ARCH: u32 = 0xc000_003e;
    #[cfg(target_arch = "aarch64")]
    const ARCH: u32 = 0xc000_00b7;

    /// Offsets in `struct seccomp_data`; of a 64-bit argument the lower half, little end first.
    const NUMBER: u32 = 0;
    const ARCHITECTURE: u32 = 4;
    const SIXTH_ARGUMENT: u32 = 56;

    /// The five arguments that count, and where the result goes.
    #[cfg(target_arch = "x86_64")]
    fn registers(context: &mut libc::ucontext_t) -> ([i64; 5], &mut i64) {
        let registers = &mut context.uc_mcontext.gregs;
        let named = [
            libc::REG_RDI,
            libc::REG_RSI,
            libc::REG_RDX,
            libc::REG_R10,
            libc::REG_R8,
        ];
        let arguments = named.map(|name| registers[name as usize]);
        (arguments, &mut registers[libc::REG_RAX as usize])
    }

    #[cfg(target_arch = "aarch64")]
    fn registers(context: &mut libc::ucontext_t) -> ([i64; 5], &mut u64) {
        let registers = &mut context.uc_mcontext.regs;
        let arguments = [0, 1, 2, 3, 4].map(|number| registers[number].cast_signed());
        (arguments, &mut registers[0])
    }

    extern "C" fn on_futex(
        _signal: libc::c_int,
        _info: *mut libc::siginfo_t,
        context: *mut libc::c_void,
    ) {
        CALLS.fetch_add(1, Ordering::SeqCst);
        #[allow(unsafe_code)]
        // SAFETY: the kernel passes a handler installed with SA_SIGINFO the context of the interrupted thread, which is
        // this one, and nobody else has a pointer to it. The call is the one the thread wanted to make.
        unsafe {
            let (arguments, result) = registers(&mut *context.cast::<libc::ucontext_t>());
            let [word, operation, value, timeout, second] = arguments;
            let before = *libc::__errno_location();
            let made = libc::syscall(
                libc::SYS_futex,
                word,
                operation,
                value,
                timeout,
                second,
                i64::from(PASS),
            );
            // As the kernel itself would have answered.
            let made = match made {
                -1 => -i64::from(*libc::__errno_location()),
                made => made,
            };
            *libc::__errno_location() = before;
            *result = made as _;
        }
    }

    fn statement(code: u32, k: u32) -> libc::sock_filter {
        let code = u16::try_from(code).unwrap();
        let (jt, jf) = (0, 0);
        libc::sock_filter { code, jt, jf, k }
    }

    fn unless(k: u32, jt: u8, jf: u8) -> libc::sock_filter {
        let code = u16::try_from(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K).unwrap();
        libc::sock_filter { code, jt, jf, k }
    }

    fn load(offset: u32) -> libc::sock_filter {
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, offset)
    }

    /// From here on every futex call of this thread is counted.
    pub(super) fn enter() {
        let mut filter = [
            load(ARCHITECTURE),
            unless(ARCH, 0, 4), // else allow
            load(NUMBER),
            unless(u32::try_from(libc::SYS_futex).unwrap(), 0, 2), // else allow
            load(SIXTH_ARGUMENT),
            unless(PASS, 0, 1), // else trap
            statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW),
            statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_TRAP),
        ];
        let program = libc::sock_fprog {
            len: u16::try_from(filter.len()).unwrap(),
            filter: filter.as_mut_ptr(),
        };
        #[allow(unsafe_code)]
        // SAFETY: the action is all zeroes but for a handler that lives as long as the program and calls only what a
        // handler may; the kernel copies the filter, which outlives the call.
        let done = unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = on_futex as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART;
            libc::sigaction(libc::SIGSYS, &raw const action, std::ptr::null_mut()) == 0
                && libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
                && libc::prctl(
                    libc::PR_SET_SECCOMP,
                    libc::SECCOMP_MODE_FILTER,
                    &raw const program,
                ) == 0
        };
        assert!(done, "{}", std::io::Error::last_os_error());
    }
}

/// How many futex calls `part` makes, on a thread that is trapped.
fn calls<T>(part: impl FnOnce() -> T) -> (T, u64) {
    let before = CALLS.load(Ordering::SeqCst);
    let result = part();
    (result, CALLS.load(Ordering::SeqCst) - before)
}

/// What was counted of one kind of call.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    none: u32,
    one: u32,
    more: u32,
}

impl Tally {
    fn count(&mut self, part: impl FnOnce()) {
        let ((), made) = calls(part);
        *match made {
            0 => &mut self.none,
            1 => &mut self.one,
            _ => &mut self.more,
        } += 1;
    }
}

/// Whether every decode thread of this process sleeps.
fn is_at_rest() -> bool {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    let states = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("stat")).ok());
    // Number, name in brackets, state (proc(5)).
    let asleep = |stat: &str| !stat.contains("(kithara-decode)") || stat.contains(") S ");
    states.into_iter().all(|stat| asleep(&stat))
}

/// Lets the decode thread come to rest, so that it has to be woken.
fn settle() {
    let begun = Instant::now();
    while !is_at_rest() {
        assert!(begun.elapsed() < HANG, "the decode thread never rests");
        thread::yield_now();
    }
}

/// Commands `control` over and over and returns what each kind of call cost.
fn command(resource: Resource, rounds: u64) -> [(&'static str, Tally); 5] {
    let control = resource.control();
    let mut slot = Some(resource);
    let mut tallies = [
        "a seek",
        "a pause",
        "a resume",
        "a look",
        "a drop or a close",
    ]
    .map(|what| (what, Tally::default()));
    let [seeks, pauses, resumes, looks, ends] = &mut tallies;
    let mut buf = [0.0; 256];
    for round in 0..rounds {
        let Some(resource) = &mut slot else { break };
        settle();
        let target = Duration::from_millis(round * 37 % 20_000);
        seeks
            .1
            .count(|| drop(control.seek(target, SeekMode::Exact)));
        for _ in 0..round % 8 * 20 {
            looks.1.count(|| {
                resource.try_read(&mut buf);
            });
        }
        pauses.1.count(|| control.pause());
        looks.1.count(|| {
            std::hint::black_box((control.position(), control.state(), control.stats()));
        });
        resumes.1.count(|| control.resume());
    }
    settle();
    ends.1.count(|| drop(slot.take()));
    ends.1.count(|| control.close());
    tallies
}

/// A title of which the server has everything or a part, in the state that this makes it come to.
fn resource_in(state: ReadState) -> (Resource, Option<(FaultServer, Gate)>) {
    let media = long_wav(30);
    if state == ReadState::Playing {
        let mut file = tempfile::Builder::new().suffix(".wav").tempfile().unwrap();
        file.write_all(&media.bytes).unwrap();
        let config = ResourceConfig::from_src(file.path().to_owned());
        return (Resource::blocking(config).unwrap(), None);
    }
    let (server, gate) = (FaultServer::start(), Gate::new());
    let file = || Script::file(media.bytes.clone());
    let first = match state {
        ReadState::Failed => file().cut_after(HELD_AT),
        _ => file().hold_at(HELD_AT, &gate),
    };
    let later = match state {
        ReadState::Failed => Script::of_status(404),
        _ => file().hold_head(&gate),
    };
    server.serve_sequence("/a.wav", [first, later]);
    let config = network::config_with(&server.url("/a.wav"), network::patient());
    (Resource::blocking(config).unwrap(), Some((server, gate)))
}

#[test]
fn a_command_wakes_at_most_once() {
    const TEST: &str = "a_command_wakes_at_most_once";
    // The handler and the counts are those of the whole process.
    if child::role().is_none() {
        return print!("{}", child::Other::start(TEST, "count").passes());
    }
    // Playing from a file; blocked on bytes that do not come; failed.
    for (state, rounds) in [
        (ReadState::Playing, 600),
        (ReadState::Buffering, 600),
        (ReadState::Failed, 200),
    ] {
        let (resource, kept) = resource_in(state);
        let (tell, told) = mpsc::channel();
        let trapped = thread::spawn(move || {
            trap::enter();
            tell.send(command(resource, rounds)).unwrap();
        });
        let tallies = told.recv().unwrap();
        trapped.join().unwrap();
        drop(kept);
        for (what, tally) in tallies {
            println!("{state:?}: {what}: {tally:?}");
            assert_eq!(tally.more, 0, "{state:?}: {what}: {tally:?}");
            if matches!(what, "a pause" | "a look") {
                assert_eq!(tally.one, 0, "{state:?}: {what}: {tally:?}");
            }
        }
        assert!(tallies[0].1.one > 0, "{state:?}: nobody had to be woken");
    }
}

#[test]
fn the_trap_counts() {
    const TEST: &str = "the_trap_counts";
    if child::role().is_none() {
        return print!("{}", child::Other::start(TEST, "count").passes());
    }
    // A thread that sleeps is woken by a call; one that is awake is told without.
    let awake = Arc::new(AtomicBool::new(false));
    let done = Arc::clone(&awake);
    let sleeper = thread::spawn(move || {
        while !done.load(Ordering::SeqCst) {
            thread::park();
        }
    });
    let trapped = thread::spawn(move || {
        trap::enter();
        let myself = thread::current();
        let ((), unheard) = calls(|| myself.unpark());
        // It may not sleep yet, or be on its way back to sleep.
        let (mut heard, begun) = (0, Instant::now());
        while heard == 0 {
            assert!(begun.elapsed() < HANG, "no call is counted");
            heard = calls(|| sleeper.thread().unpark()).1;
            thread::yield_now();
        }
        awake.store(true, Ordering::SeqCst);
        sleeper.thread().unpark();
        sleeper.join().unwrap();
        (unheard, heard)
    });
    assert_eq!(trapped.join().unwrap(), (0, 1));
}
