//! The system's allocator, watched: what a thread allocates and frees is counted on that thread.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    /// `Some` on a thread that is being watched: how often it allocated or freed.
    static TOUCHED: Cell<Option<u64>> = const { Cell::new(None) };
}

/// The system's allocator, counting on threads that are inside [`touches`]. A test makes it its `#[global_allocator]`.
#[derive(Debug)]
pub struct Watching;

fn touch() {
    // Not during the destruction of a thread's locals.
    let _ = TOUCHED.try_with(|touched| touched.set(touched.get().map(|count| count + 1)));
}

#[allow(unsafe_code)]
// SAFETY: every call is passed on to the system's allocator unchanged; counting neither allocates nor unwinds.
unsafe impl GlobalAlloc for Watching {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
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
    let result = part();
    let touched = TOUCHED.get().unwrap_or(0);
    drop(watch);
    (result, touched)
}
