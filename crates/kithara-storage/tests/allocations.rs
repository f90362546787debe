//! Bytes that are there already are waited for and read without allocating: counted by the allocator itself.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::task::{Context, Waker};

use kithara_storage::{Interrupt, ResourceExt, StorageResource};

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

/// The system's allocator, counting what the calling thread asks of it.
struct Counting;

// SAFETY: every call goes to the system's allocator unchanged, which keeps the contract. Counting touches only a cell of
// the calling thread that needs no initialisation and no destructor, and so never allocates itself.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller keeps the contract of `alloc`, and this is the same call.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: `memory` came from `System` with this layout, because nothing else allocates here.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

#[test]
fn waiting_for_and_reading_what_is_there_allocates_nothing() {
    for (mut writer, resource) in [
        StorageResource::memory(),
        StorageResource::temporary(None).unwrap(),
    ] {
        writer.write_at(0, &[7; 100_000]).unwrap();
        let interrupt = Interrupt::new();
        let mut buf = [0; 5000];
        let before = ALLOCATIONS.get();
        for start in 0..1000 {
            resource
                .wait_range(start..start + 5000, &interrupt)
                .unwrap();
            let polled =
                resource.poll_range(&mut Context::from_waker(Waker::noop()), start..start + 5000);
            assert!(polled.is_ready());
            assert_eq!(resource.read_at(start, &mut buf).unwrap(), 5000);
        }
        assert_eq!(ALLOCATIONS.get() - before, 0);
        drop(std::hint::black_box(Box::new(1)));
        assert_eq!(ALLOCATIONS.get() - before, 1, "the counter counts");
    }
}
