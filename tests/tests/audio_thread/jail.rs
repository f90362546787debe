//! A thread that may make no system call but those it is allowed.

use std::os::unix::process::ExitStatusExt;
use std::thread;

use crate::child;
use crate::deeds::{self, Deed, deed};

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
pub enum May {
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
pub fn enter(may: May) {
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

pub fn print(text: &str) {
    #[allow(unsafe_code)]
    // SAFETY: the pointer and the length are those of a string.
    unsafe {
        libc::write(1, text.as_ptr().cast(), text.len());
    }
}

/// Ends the process, because a jailed thread cannot end without system calls.
pub fn exit(outcome: Result<(), &'static str>) -> ! {
    let code = match outcome {
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
}

fn imprison(may: May, mut deed: Deed) {
    let prisoner = thread::spawn(move || {
        enter(may);
        exit(deed());
    });
    let _ = prisoner.join();
}

/// As the parent, starts a child for each name; as the child, serves.
fn served(test: &str, may: May, names: &[String]) {
    if let Some(name) = child::role() {
        return imprison(may, deed(&name));
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
            "lock" => (May::Nothing, wait_for_a_lock),
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
    for role in ["getpid", "yield", "memory", "lock"] {
        let (status, text) = child::Other::start(TEST, role).finish();
        assert_eq!(status.signal(), Some(libc::SIGSYS), "{role}: {text}");
    }
    // Nobody sleeps there, so nobody has to be woken.
    child::Other::start(TEST, "wake").passes();
}

/// Nobody ever lets go of it.
fn wait_for_a_lock() {
    static LOCK: std::sync::Mutex<()> = std::sync::Mutex::new(());
    std::mem::forget(LOCK.lock());
    drop(LOCK.lock());
}

#[test]
fn a_million_reads_in_every_state_make_no_system_call() {
    served(
        "jail::a_million_reads_in_every_state_make_no_system_call",
        May::Nothing,
        &deeds::named("reads"),
    );
}

#[test]
fn commands_and_the_drop_in_every_state_make_at_most_a_wake_call() {
    served(
        "jail::commands_and_the_drop_in_every_state_make_at_most_a_wake_call",
        May::Wake,
        &deeds::named("commands"),
    );
}

#[test]
fn fades_make_at_most_a_wake_call() {
    served(
        "jail::fades_make_at_most_a_wake_call",
        May::Wake,
        &["fades Playing".to_owned()],
    );
}

#[test]
fn a_source_in_a_mixer_makes_at_most_a_wake_call() {
    served(
        "jail::a_source_in_a_mixer_makes_at_most_a_wake_call",
        May::Wake,
        &deeds::named("source"),
    );
}
