//! The system's allocator, watched: what a thread allocates and frees is counted on that thread, and what all threads
//! allocate together.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

/// Allocations of all threads.
static ALL: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// `Some` on a thread that is being watched: how often it allocated or freed.
    static TOUCHED: Cell<Option<u64>> = const { Cell::new(None) };
}

/// The system's allocator, counting for [`allocations`] and, on threads that are inside it, for [`touches`]. A test makes it
/// its `#[global_allocator]`.
#[derive(Debug)]
pub struct Watching;

/// Allocations of the process so far, reallocations included; 0 unless [`Watching`] is the allocator.
pub fn allocations() -> u64 {
    ALL.load(Ordering::Relaxed)
}

fn touch() {
    // Not during the destruction of a thread's locals.
    let _ = TOUCHED.try_with(|touched| touched.set(touched.get().map(|count| count + 1)));
}

#[allow(unsafe_code)]
// SAFETY: every call is passed on to the system's allocator unchanged; counting neither allocates nor unwinds.
unsafe impl GlobalAlloc for Watching {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALL.fetch_add(1, Ordering::Relaxed);
        touch();
        // SAFETY: the caller's obligations are the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        touch();
        // SAFETY: the caller's obligations are the same.
        unsafe { System.dealloc(ptr, layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALL.fetch_add(1, Ordering::Relaxed);
        touch();
        // SAFETY: the caller's obligations are the same.
        unsafe { System.realloc(ptr, layout, size) }
    }
}

/// How often `part` allocates, frees or moves memory on this thread; 0 unless [`Watching`] is the allocator.
pub fn touches<T>(part: impl FnOnce() -> T) -> (T, u64) {
    // Whatever way it ends, the thread is not watched any further.
    struct Watch;
    impl Drop for Watch {
        fn drop(&mut self) {
            TOUCHED.set(None);
        }
    }
    let watch = Watch;
    TOUCHED.set(Some(0));
    let result = in_real_time(part);
    let touched = TOUCHED.get().unwrap_or(0);
    drop(watch);
    (result, touched)
}

/// Where the compiler's real-time sanitizer is built in (`.ci/realtime`), it ends the process if `part` allocates, frees,
/// waits for a lock or makes another call that it knows to take as long as it likes.
#[cfg_attr(rtsan, sanitize(realtime = "nonblocking"))]
fn in_real_time<T>(part: impl FnOnce() -> T) -> T {
    part()
}
