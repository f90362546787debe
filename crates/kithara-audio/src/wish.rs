//! The newest seek somebody wished for, handed to the decode thread without a lock.

use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::time::Duration;

use kithara_decode::SeekMode;

/// One seek.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wish {
    pub(crate) id: u64,
    pub(crate) target: Duration,
    pub(crate) mode: SeekMode,
}

/// How many wishes may be in the making at once, each by a thread of its own, before the newest might be written over.
const PLACES: usize = 64;

/// A board on which any thread pins wishes, and everybody sees the newest.
///
/// Whoever makes a wish waits for nobody, even if another thread was stopped in the middle of making or reading one: a
/// queue of the usual kind has such moments. A wish is written in a place of its own and announced once it is there.
///
/// The id of a wish is also the epoch of what is decoded after it: whoever compares [`newest`](Self::newest) with the
/// epoch of a frame knows whether the frame is stale, from the moment the wish is made.
#[derive(Debug)]
pub(crate) struct Wishes {
    /// The last id given out.
    given: AtomicU64,
    /// The newest wish that is in its place.
    newest: AtomicU64,
    places: [Place; PLACES],
}

/// Where every 64th wish is written. Its words are read and written one by one, so `state` tells whether they belong together.
#[derive(Debug)]
struct Place {
    /// Twice the id of the wish in it (the highest bit is lost), and one more while that is being written.
    state: AtomicU64,
    seconds: AtomicU64,
    /// And, above them, whether it is to be exact.
    nanos: AtomicU64,
}

const EXACT: u64 = 1 << 32;

impl Place {
    fn of(wish: Wish) -> Self {
        let place = Self {
            state: AtomicU64::new(whole(wish.id)),
            seconds: AtomicU64::new(0),
            nanos: AtomicU64::new(0),
        };
        place.fill(wish);
        place
    }

    /// Writes the wish; false if somebody else writes here, or has written a newer one.
    fn write(&self, wish: Wish) -> bool {
        let before = self.state.load(Ordering::Relaxed);
        let writing = whole(wish.id) | 1;
        if before & 1 == 1
            || !is_newer(whole(wish.id), before)
            || self
                .state
                .compare_exchange(before, writing, Ordering::Acquire, Ordering::Relaxed)
                .is_err()
        {
            return false;
        }
        // Whoever reads a word of what follows sees, after it, that the place is being written.
        fence(Ordering::Release);
        self.fill(wish);
        self.state.store(whole(wish.id), Ordering::Release);
        true
    }

    fn fill(&self, wish: Wish) {
        let exact = match wish.mode {
            SeekMode::Fast => 0,
            SeekMode::Exact => EXACT,
        };
        self.seconds.store(wish.target.as_secs(), Ordering::Relaxed);
        self.nanos.store(
            u64::from(wish.target.subsec_nanos()) | exact,
            Ordering::Relaxed,
        );
    }

    /// The wish `id`, if it is here.
    fn read(&self, id: u64) -> Option<Wish> {
        if self.state.load(Ordering::Acquire) != whole(id) {
            return None;
        }
        let seconds = self.seconds.load(Ordering::Relaxed);
        let nanos = self.nanos.load(Ordering::Relaxed);
        fence(Ordering::Acquire);
        if self.state.load(Ordering::Relaxed) != whole(id) {
            return None;
        }
        Some(Wish {
            id,
            target: Duration::new(seconds, nanos as u32),
            mode: match nanos & EXACT {
                0 => SeekMode::Fast,
                _ => SeekMode::Exact,
            },
        })
    }
}

/// The state of a place with this wish in it.
fn whole(id: u64) -> u64 {
    id << 1
}

impl Wishes {
    /// No wish yet; the epoch is `id`.
    pub(crate) fn starting_at(id: u64) -> Self {
        let (target, mode) = (Duration::ZERO, SeekMode::Fast);
        // As if the last 64 wishes had been made.
        let newest_at = |index: usize| {
            let back = id.wrapping_sub(index as u64) % PLACES as u64;
            id.wrapping_sub(back)
        };
        let place = |index| {
            let id = newest_at(index);
            Place::of(Wish { id, target, mode })
        };
        Self {
            given: AtomicU64::new(id),
            newest: AtomicU64::new(id),
            places: std::array::from_fn(place),
        }
    }

    /// Makes a wish; from now on everything decoded for an older one is stale.
    pub(crate) fn make(&self, target: Duration, mode: SeekMode) -> u64 {
        loop {
            let id = self.given.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
            if self.place(id).write(Wish { id, target, mode }) {
                self.announce(id);
                return id;
            }
            // Whoever sleeps in this place may stay there: the next one is another.
        }
    }

    /// The id of the newest wish.
    pub(crate) fn newest(&self) -> u64 {
        self.newest.load(Ordering::Acquire)
    }

    /// The newest wish; `None` if it is being written over: a newer one follows, and its maker wakes the decode thread after.
    pub(crate) fn wish(&self) -> Option<Wish> {
        loop {
            let id = self.newest();
            let wish = self.place(id).read(id);
            // Another may have been made meanwhile.
            if wish.is_some() || self.newest() == id {
                return wish;
            }
        }
    }

    /// Lets everybody know of a wish that is in its place, unless they know of a newer one.
    fn announce(&self, id: u64) {
        let mut known = self.newest.load(Ordering::Relaxed);
        while is_newer(id, known) {
            match self
                .newest
                .compare_exchange_weak(known, id, Ordering::SeqCst, Ordering::Relaxed)
            {
                Ok(_) => break,
                Err(now) => known = now,
            }
        }
        // Pairs with the fence in `Shared::is_unwanted`: an interrupt that is cleared there was raised for a wish that
        // is seen there.
        fence(Ordering::SeqCst);
    }

    fn place(&self, id: u64) -> &Place {
        &self.places[(id % PLACES as u64) as usize]
    }
}

/// Whether `a` was given out after `b`. Holds across the wrap of the counter.
fn is_newer(a: u64, b: u64) -> bool {
    a != b && a.wrapping_sub(b) < 1 << 63
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;
    use std::sync::{Arc, Barrier};
    use std::thread;

    use super::*;

    #[test]
    fn the_newest_wish_survives_the_wrap_of_the_counter() {
        let wishes = Wishes::starting_at(u64::MAX - 10);
        for step in 0..32 {
            let target = Duration::from_millis(step);
            let id = wishes.make(target, SeekMode::Exact);
            assert_eq!(id, (u64::MAX - 10).wrapping_add(step + 1));
            assert_eq!(wishes.newest(), id);
            let mode = SeekMode::Exact;
            assert_eq!(wishes.wish(), Some(Wish { id, target, mode }));
        }
    }

    #[test]
    fn a_maker_that_sleeps_in_the_middle_of_a_wish_holds_up_nobody() {
        let wishes = Wishes::starting_at(u64::MAX - 100);
        let asleep = wishes.given.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        let bed = &wishes.place(asleep).state;
        bed.store(whole(asleep) | 1, Ordering::Relaxed);
        for step in 0..1000 {
            let target = Duration::new(step, step as u32);
            let id = wishes.make(target, SeekMode::Fast);
            assert_eq!(wishes.newest(), id);
            let mode = SeekMode::Fast;
            assert_eq!(wishes.wish(), Some(Wish { id, target, mode }));
        }
        // It wakes up and finds itself overtaken.
        bed.store(whole(asleep), Ordering::Relaxed);
        let newest = wishes.newest();
        wishes.announce(asleep);
        assert_eq!(wishes.newest(), newest);
    }

    /// A wish of which every part tells the number.
    fn numbered(number: u64) -> (Duration, SeekMode) {
        let mode = match number % 2 {
            0 => SeekMode::Fast,
            _ => SeekMode::Exact,
        };
        (Duration::new(number, number as u32), mode)
    }

    #[test]
    fn the_newest_of_many_makers_is_seen_last_and_every_one_is_whole() {
        for start in [0, u64::MAX - 1000] {
            let wishes = Arc::new(Wishes::starting_at(start));
            let barrier = Arc::new(Barrier::new(5));
            let done = Arc::new(AtomicBool::new(false));
            let makers: Vec<_> = (0..4)
                .map(|maker| {
                    let (wishes, barrier) = (Arc::clone(&wishes), Arc::clone(&barrier));
                    thread::spawn(move || {
                        barrier.wait();
                        let mut last = start;
                        for step in 0..4000 {
                            let (target, mode) = numbered(step * 4 + maker);
                            let id = wishes.make(target, mode);
                            assert!(is_newer(id, last));
                            last = id;
                        }
                        last
                    })
                })
                .collect();
            let reader = {
                let (wishes, barrier, done) =
                    (Arc::clone(&wishes), Arc::clone(&barrier), Arc::clone(&done));
                thread::spawn(move || {
                    let mut last = start;
                    barrier.wait();
                    loop {
                        let finished = done.load(Ordering::Acquire);
                        if let Some(wish) = wishes.wish() {
                            let whole = numbered(wish.target.as_secs());
                            assert_eq!((wish.target, wish.mode), whole);
                            assert!(wish.id == last || is_newer(wish.id, last));
                            last = wish.id;
                        }
                        if finished {
                            return last;
                        }
                    }
                })
            };
            let newest = makers
                .into_iter()
                .map(|maker| maker.join().unwrap())
                .reduce(|a, b| if is_newer(a, b) { a } else { b })
                .unwrap();
            done.store(true, Ordering::Release);
            assert_eq!(reader.join().unwrap(), newest);
            assert_eq!(wishes.newest(), newest);
        }
    }
}
