//! An allocator that knows how much is in use, and ends the process before the machine suffers.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Live heap that an input may need.
pub const LIMIT: usize = 64 << 20;
/// Beyond this nothing is given any more, and the process aborts.
const CEILING: usize = 1 << 30;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

/// The most that was in use at once, in bytes.
pub fn peak() -> usize {
    PEAK.load(Ordering::Relaxed)
}

struct Counted;

#[global_allocator]
static HEAP: Counted = Counted;

/// Takes note of `size` more bytes; whether they may be had.
fn grow(size: usize) -> bool {
    let live = LIVE.fetch_add(size, Ordering::Relaxed) + size;
    PEAK.fetch_max(live, Ordering::Relaxed);
    if live > CEILING {
        LIVE.fetch_sub(size, Ordering::Relaxed);
    }
    live <= CEILING
}

// SAFETY: every call that is not refused goes to the system's allocator unchanged, which keeps the contract; a refusal
// is a null pointer, which the contract allows; counting touches atomics only.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if !grow(layout.size()) {
            return std::ptr::null_mut();
        }
        // SAFETY: the caller keeps the contract of `alloc`, and this is the same call.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if !grow(layout.size()) {
            return std::ptr::null_mut();
        }
        // SAFETY: the caller keeps the contract of `alloc_zeroed`, and this is the same call.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if !grow(size) {
            return std::ptr::null_mut();
        }
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: `memory` came from `System` with this layout, because nothing else allocates here.
        unsafe { System.realloc(memory, layout, size) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: `memory` came from `System` with this layout, because nothing else allocates here.
        unsafe { System.dealloc(memory, layout) }
    }
}
