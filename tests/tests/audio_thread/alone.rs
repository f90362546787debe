//! Every other thread of the process is stopped, wherever it is, over and over: what the audio thread calls returns all the
//! same. So it waits for nobody, neither at a lock nor in a loop, and neither for memory.

use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use kithara::{Control, ReadState, Resource};
use rodio::Source;

use crate::child;
use crate::deeds::{self, command, resource_named};
use crate::jail::{self, May};

const STOPS: u64 = 100;
/// Far more than a handful of calls takes, however busy the machine is.
const HANG: Duration = Duration::from_secs(30);

/// 1 while whoever gets the signal is to stop.
static STOP: AtomicU32 = AtomicU32::new(0);
/// How many threads stand still.
static STANDING: AtomicU64 = AtomicU64::new(0);
/// The audio thread.
static PRISONER: AtomicI32 = AtomicI32::new(0);
/// What it has done: rounds of all calls.
static ROUNDS: AtomicU64 = AtomicU64::new(0);
/// It is to drop what it has.
static LAST: AtomicBool = AtomicBool::new(false);

extern "C" fn stand_still(_signal: libc::c_int) {
    STANDING.fetch_add(1, Ordering::SeqCst);
    #[allow(unsafe_code)]
    // SAFETY: a wait for a word that lives as long as the program, and what the interrupted code saw in `errno`.
    unsafe {
        let before = *libc::__errno_location();
        while STOP.load(Ordering::SeqCst) == 1 {
            let word = STOP.as_ptr();
            let none = std::ptr::null::<libc::timespec>();
            libc::syscall(libc::SYS_futex, word, libc::FUTEX_WAIT, 1, none);
        }
        *libc::__errno_location() = before;
    }
    STANDING.fetch_sub(1, Ordering::SeqCst);
}

fn install_handler() {
    #[allow(unsafe_code)]
    // SAFETY: the action is all zeroes but for a handler that calls only what a handler may.
    let installed = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = stand_still as *const () as usize;
        action.sa_flags = libc::SA_RESTART;
        libc::sigaction(libc::SIGUSR1, &raw const action, std::ptr::null_mut()) == 0
    };
    assert!(installed, "{}", std::io::Error::last_os_error());
}

fn own_thread() -> i32 {
    #[allow(unsafe_code)]
    // SAFETY: it only answers.
    unsafe {
        libc::gettid()
    }
}

/// Sends a signal to a thread of this process; false if there is none of that number any more.
fn signal(thread: i32, signal: i32) -> bool {
    #[allow(unsafe_code)]
    // SAFETY: the signal has a handler, or is none.
    let sent = unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), thread, signal) };
    sent == 0
}

/// Everybody but this thread and the audio thread.
fn others() -> Vec<i32> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let numbers = tasks.filter_map(|task| task.ok()?.file_name().to_str()?.parse().ok());
    let kept = [own_thread(), PRISONER.load(Ordering::SeqCst)];
    numbers.filter(|number| !kept.contains(number)).collect()
}

/// Waits until `done`, without touching memory: whoever stands still may hold the allocator's lock.
fn wait(done: impl Fn() -> bool) -> bool {
    let begun = Instant::now();
    while !done() {
        if begun.elapsed() > HANG {
            return false;
        }
        thread::yield_now();
    }
    true
}

/// Stops all others, lets the audio thread do `what`, and lets them go on.
fn alone(what: impl FnOnce() -> bool) -> bool {
    let mut others = others();
    STOP.store(1, Ordering::SeqCst);
    others.retain(|thread| signal(*thread, libc::SIGUSR1));
    let stand = |threads: &[i32]| {
        let living = threads.iter().filter(|thread| signal(**thread, 0));
        STANDING.load(Ordering::SeqCst) >= living.count() as u64
    };
    let done = wait(|| stand(&others)) && what();
    STOP.store(0, Ordering::SeqCst);
    #[allow(unsafe_code)]
    // SAFETY: it wakes who waits for a word that lives as long as the program.
    unsafe {
        libc::syscall(libc::SYS_futex, STOP.as_ptr(), libc::FUTEX_WAKE, i32::MAX);
    }
    done && wait(|| STANDING.load(Ordering::SeqCst) == 0)
}

/// Stops everybody at moments that differ from time to time, while the audio thread goes round and round.
fn stop_others() -> Result<(), &'static str> {
    let rounds = || ROUNDS.load(Ordering::SeqCst);
    if !wait(|| rounds() > 0) {
        return Err("the audio thread does nothing");
    }
    for stop in 0..STOPS {
        for _ in 0..stop * 7919 % 20_011 {
            std::hint::spin_loop();
        }
        // The first of the rounds may have begun before.
        let one_more = || {
            let before = rounds();
            wait(|| rounds() > before + 1)
        };
        if !alone(one_more) {
            return Err("the audio thread waits for somebody who stands still");
        }
    }
    alone(|| {
        LAST.store(true, Ordering::SeqCst);
        // It ends the process.
        wait(|| false)
    });
    Err("the audio thread does not end")
}

/// Every call there is, over and over, and the drop.
fn go_round(mut resource: Resource, control: &Control, is_open: bool) -> Result<(), &'static str> {
    while !LAST.load(Ordering::SeqCst) {
        command(
            &mut resource,
            control,
            is_open,
            ROUNDS.load(Ordering::SeqCst),
        )?;
        let state = resource.try_read(&mut [0.0; 512]).state;
        if is_open && state == ReadState::Paused {
            return Err("it was resumed");
        }
        ROUNDS.fetch_add(1, Ordering::SeqCst);
    }
    let mut source = resource.into_source();
    source.next();
    if source.try_seek(Duration::ZERO).is_ok() != is_open {
        return Err("a seek of the source was refused, or not");
    }
    drop(source);
    control.close();
    Ok(())
}

fn serve(state: &str) {
    let is_open = state != "closed";
    let (resource, kept) = resource_named(state);
    let control = resource.control();
    install_handler();
    let prisoner = thread::spawn(move || {
        PRISONER.store(own_thread(), Ordering::SeqCst);
        jail::enter(May::Wake);
        jail::exit(go_round(resource, &control, is_open));
    });
    if !wait(|| PRISONER.load(Ordering::SeqCst) != 0) {
        panic!("the audio thread does not start");
    }
    let outcome = stop_others();
    drop(kept);
    drop(prisoner);
    panic!("{outcome:?}");
}

#[test]
fn nothing_on_the_audio_thread_waits_for_another_thread() {
    const TEST: &str = "alone::nothing_on_the_audio_thread_waits_for_another_thread";
    if let Some(state) = child::role() {
        return serve(&state);
    }
    for name in deeds::named("commands") {
        let (_, state) = name.split_once(' ').unwrap();
        let (status, text) = child::Other::start(TEST, state).finish();
        assert!(
            status.success() && text.contains("the whole sentence"),
            "{state}: {status}: {text}"
        );
    }
}
