//! The primitives under the gate: the ordinary ones, or loom's when its model checker runs.

#[cfg(not(loom))]
mod imp {
    use std::task::Waker;

    pub(crate) use atomic_waker::AtomicWaker;
    pub(crate) use parking_lot::{Mutex, MutexGuard};
    pub(crate) use std::sync::Arc;
    pub(crate) use std::sync::atomic::{AtomicBool, Ordering};
    pub(crate) use std::thread::park;
    use std::thread::{self, Thread};

    struct Unparker(Thread);

    impl std::task::Wake for Unparker {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }

        fn wake_by_ref(self: &Arc<Self>) {
            self.0.unpark();
        }
    }

    fn new_waker() -> Waker {
        Waker::from(Arc::new(Unparker(thread::current())))
    }

    thread_local! {
        // One per thread, kept for its life: a wait allocates nothing, and whoever raises an interrupt (perhaps an audio
        // thread) never drops the last reference and so frees nothing.
        static WAKER: Waker = new_waker();
    }

    /// A waker that unparks the calling thread.
    pub(crate) fn thread_waker() -> Waker {
        WAKER.try_with(Waker::clone).unwrap_or_else(|_| new_waker())
    }
}

#[cfg(loom)]
mod imp {
    use std::task::Waker;

    pub(crate) use loom::sync::atomic::{AtomicBool, Ordering};
    pub(crate) use loom::sync::{Arc, MutexGuard};
    pub(crate) use loom::thread::park;
    use loom::thread::{self, Thread};

    #[derive(Debug, Default)]
    pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(loom::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            self.0
                .lock()
                .expect("no thread panics while it holds the lock")
        }
    }

    #[derive(Debug, Default)]
    pub(crate) struct AtomicWaker(loom::future::AtomicWaker);

    impl AtomicWaker {
        pub(crate) fn register(&self, waker: &Waker) {
            self.0.register_by_ref(waker);
        }

        pub(crate) fn wake(&self) {
            self.0.wake();
        }
    }

    struct Unparker(Thread);

    impl std::task::Wake for Unparker {
        fn wake(self: std::sync::Arc<Self>) {
            self.0.unpark();
        }
    }

    /// A waker that unparks the calling thread.
    pub(crate) fn thread_waker() -> Waker {
        Waker::from(std::sync::Arc::new(Unparker(thread::current())))
    }
}

pub(crate) use imp::*;
