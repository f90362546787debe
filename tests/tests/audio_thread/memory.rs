//! Counted by an allocator.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use kithara::{ReadState, Resource, SeekMode};
use kithara_tests::allocations::touches;
use kithara_tests::fixtures::long_wav;

use crate::deeds::{self, deed};

fn touch_no_memory(names: &[String]) {
    for name in names {
        let mut deed = deed(name);
        // A new thread: what it would be given at its first lock or its first wait, it has to ask for here.
        let (result, touched) = thread::spawn(move || touches(&mut deed)).join().unwrap();
        assert_eq!(result, Ok(()), "{name}");
        assert_eq!(touched, 0, "{name}: allocations and frees");
    }
}

#[test]
fn the_watch_notices_an_allocation() {
    let ((), touched) = touches(|| drop(std::hint::black_box(Box::new(5))));
    assert_eq!(touched, 2);
}

#[test]
fn a_million_reads_in_every_state_touch_no_memory() {
    touch_no_memory(&deeds::named("reads"));
}

#[test]
fn commands_and_the_drop_in_every_state_touch_no_memory() {
    touch_no_memory(&deeds::named("commands"));
}

#[test]
fn fades_touch_no_memory() {
    touch_no_memory(&["fades Playing".to_owned()]);
}

#[test]
fn a_source_in_a_mixer_touches_no_memory() {
    touch_no_memory(&deeds::named("source"));
}

struct Bomb;

impl Wake for Bomb {
    fn wake(self: Arc<Self>) {
        panic!("the caller's own waker panics");
    }
}

/// A resource whose decode thread died of a caller's waker.
fn dead() -> Resource {
    let mut resource = deeds::local(&long_wav(30));
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
