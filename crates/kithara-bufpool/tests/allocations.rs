//! Once warm, no handle allocates: counted by the allocator itself, thread by thread.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Barrier;

use kithara_bufpool::{PcmBuf, PoolLimits, SharedPool, pcm_pool};
use parking_lot::{Condvar, Mutex};

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

/// The system's allocator, counting what the calling thread asks of it.
struct Counting;

fn count() {
    ALLOCATIONS.with(|allocations| allocations.set(allocations.get() + 1));
}

// SAFETY: every call goes to the system's allocator unchanged, which keeps the contract. Counting touches only a cell of
// the calling thread that needs no initialisation and no destructor, and so never allocates itself.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of `alloc`, and this is the same call.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of `alloc_zeroed`, and this is the same call.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: `memory` came from `System` with this layout, because nothing else allocates here.
        unsafe { System.realloc(memory, layout, size) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: `memory` came from `System` with this layout, because nothing else allocates here.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// How often the calling thread allocates while it runs `work`.
fn allocations(work: impl FnOnce()) -> usize {
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}

const LEN: usize = 1024;
const LIMITS: PoolLimits = PoolLimits {
    buffers_per_shard: 64,
    bytes_per_buffer: 1 << 20,
    idle_bytes: 1 << 24,
};

type Floats = SharedPool<8, Vec<f32>>;

/// Each kind of handle once, two at a time.
fn every_handle(pool: &Floats) {
    let mut borrowed = pool.get();
    borrowed.resize(LEN, 0.5);
    let owned = pool.get_owned_with(|buf| buf.extend_from_slice(&borrowed));
    drop((borrowed, owned));
    let mut slice = pool.get_slice(LEN);
    let mut sent = pool.get_slice_owned(LEN);
    sent.fill_from(slice.unfilled_mut());
    slice.advance(LEN / 2);
    let recycled = slice.into_buffer().into_inner();
    drop(pool.attach(recycled));
    pool.recycle(sent.into_buffer().into_inner());
}

#[test]
fn the_counter_counts() {
    assert_eq!(
        allocations(|| drop(std::hint::black_box(Vec::<u8>::with_capacity(9)))),
        1
    );
}

#[test]
fn a_warm_pool_allocates_nothing() {
    let pool = Floats::new(LIMITS);
    every_handle(&pool);
    let counted = allocations(|| (0..1000).for_each(|_| every_handle(&pool)));
    assert_eq!(counted, 0);
}

#[test]
fn a_warm_pool_allocates_nothing_on_several_threads() {
    const THREADS: usize = 4;
    let pool = Floats::new(LIMITS);
    // Waiting here also makes the lock's own per-thread state, which it makes when a thread first has to wait.
    let waiting = Mutex::new(0);
    let go = Condvar::new();
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..THREADS)
            .map(|_| {
                scope.spawn(|| {
                    // As many buffers as all threads will ever hold at once: each has its two before any returns one.
                    let own = [
                        pool.attach(Vec::with_capacity(LEN)),
                        pool.attach(Vec::with_capacity(LEN)),
                    ];
                    let mut arrived = waiting.lock();
                    *arrived += 1;
                    go.wait_while(&mut arrived, |arrived| *arrived <= THREADS);
                    drop(arrived);
                    drop(own);
                    allocations(|| (0..1000).for_each(|_| every_handle(&pool)))
                })
            })
            .collect();
        loop {
            let mut arrived = waiting.lock();
            if *arrived == THREADS {
                *arrived += 1;
                go.notify_all();
                break;
            }
            drop(arrived);
            std::thread::yield_now();
        }
        for worker in workers {
            assert_eq!(worker.join().unwrap(), 0);
        }
    });
}

#[test]
fn buffers_that_travel_to_another_thread_come_back_without_allocating() {
    let pool = pcm_pool();
    let slot: Mutex<Option<PcmBuf>> = Mutex::new(None);
    let turn = Barrier::new(2);
    const ROUNDS: usize = 200;
    let made = |round: usize| pool.get_owned_with(|buf| buf.resize(LEN, round as f32));
    std::thread::scope(|scope| {
        let consumer = scope.spawn(|| {
            let round = |round: usize| {
                turn.wait();
                let buf = slot.lock().take().unwrap();
                assert_eq!(buf[LEN - 1], round as f32);
                drop(buf);
                turn.wait();
            };
            round(0);
            allocations(|| (1..ROUNDS).for_each(round))
        });
        let round = |round: usize| {
            *slot.lock() = Some(made(round));
            turn.wait();
            turn.wait();
        };
        round(0);
        assert_eq!(allocations(|| (1..ROUNDS).for_each(round)), 0);
        assert_eq!(consumer.join().unwrap(), 0);
    });
}
