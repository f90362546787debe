//! Memory that is refused costs the title that asked for it a typed error, and never the process: every large allocation
//! of a decode thread is refused once, for every kind of file.

#![allow(clippy::unwrap_used)] // A promise that cannot be checked is a failed test.

#[path = "support/child.rs"]
mod child;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use kithara::audio::{Audio, AudioConfig, AudioError};
use kithara::bufpool::{PcmPool, PoolLimits};
use kithara::decode::DecodeError;
use kithara::stream::{LocalSource, StreamError};
use kithara::{MediaInfo, PcmReader, SeekMode};
use kithara_tests::fixtures::{Fixture, fixture, playable};

/// What is larger has its size from the file.
const LARGE: usize = 64 * 1024;
/// The same for Vorbis, whose codec builds its tables in a way that cannot fail.
const LARGE_BESIDE_VORBIS: usize = 256 * 1024;

/// What is to become of the large allocations of a thread.
#[derive(Clone, Copy)]
struct Plan {
    /// Smaller ones are always granted.
    large: usize,
    /// So many are granted, then one is refused.
    granted: u32,
    /// A block of this size was just given back: asked for again, it is there.
    given_back: usize,
}

thread_local! {
    static PLAN: Cell<Option<Plan>> = const { Cell::new(None) };
}

/// Refusals of all threads.
static REFUSED: AtomicU32 = AtomicU32::new(0);

struct Refusing;

fn is_refused(size: usize) -> bool {
    let Ok(Some(mut plan)) = PLAN.try_with(Cell::get) else {
        return false;
    };
    if size <= plan.large {
        return false;
    }
    if std::mem::take(&mut plan.given_back) == size {
        PLAN.set(Some(plan));
        return false;
    }
    let refused = plan.granted == 0;
    plan.granted = plan.granted.saturating_sub(1);
    PLAN.set((!refused).then_some(plan));
    REFUSED.fetch_add(u32::from(refused), Ordering::SeqCst);
    refused
}

fn give_back(size: usize) {
    if let Ok(Some(mut plan)) = PLAN.try_with(Cell::get)
        && size > plan.large
    {
        plan.given_back = size;
        PLAN.set(Some(plan));
    }
}

#[allow(unsafe_code)]
// SAFETY: what is not refused is passed on to the system's allocator unchanged, and a refusal is a null pointer, as the
// contract has it. The cell is initialised without an allocation and has no destructor.
unsafe impl GlobalAlloc for Refusing {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if is_refused(layout.size()) {
            return std::ptr::null_mut();
        }
        // SAFETY: the caller's obligations are the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        give_back(layout.size());
        // SAFETY: the caller's obligations are the same.
        unsafe { System.dealloc(ptr, layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if size > layout.size() && is_refused(size) {
            return std::ptr::null_mut();
        }
        // SAFETY: the caller's obligations are the same.
        unsafe { System.realloc(ptr, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Refusing = Refusing;

/// From now on this thread is granted so many large allocations before it is refused one.
fn refuse_after(granted: u32, large: usize) {
    PLAN.set(Some(Plan {
        large,
        granted,
        given_back: 0,
    }));
}

/// Idle buffers of the process's pool would hide what a block takes.
fn pool() -> PcmPool {
    PcmPool::new(PoolLimits {
        buffers_per_shard: 0,
        bytes_per_buffer: 0,
        idle_bytes: 0,
    })
}

/// Everything until the end or the first error, then a seek to the front and everything again.
fn play(
    fixture: &Fixture,
    granted: Option<u32>,
    out: &mut [Vec<f32>; 2],
) -> Result<(), AudioError> {
    let info = MediaInfo {
        name: fixture.file.clone(),
        ..MediaInfo::default()
    };
    let path = fixture.path();
    let large = match fixture.codec.as_str() {
        "Vorbis" => LARGE_BESIDE_VORBIS,
        _ => LARGE,
    };
    let open = move || {
        // Called on the decode thread.
        if let Some(granted) = granted {
            refuse_after(granted, large);
        }
        Ok::<Box<dyn kithara::stream::Source>, StreamError>(Box::new(LocalSource::new(path, info)))
    };
    let config = AudioConfig::new().with_pool(pool());
    let mut audio = Audio::open(open, config).wait()?;
    let mut buf = vec![0.0; 1024 * usize::from(audio.spec().channels.get())];
    for all in out {
        loop {
            let read = audio.read(&mut buf)?;
            if read == 0 {
                break;
            }
            all.extend_from_slice(&buf[..read]);
        }
        audio.control().seek(Duration::ZERO, SeekMode::Exact)?;
    }
    Ok(())
}

fn is_about_memory(error: &AudioError) -> bool {
    match error {
        AudioError::Decode(DecodeError::OutOfMemory { .. }) => true,
        AudioError::Worker { what } => what.starts_with("no memory"),
        _ => false,
    }
}

/// Refuses each large allocation once; how many there were. `None` for a codec that is not supported at all.
fn refuse_each(fixture: &Fixture) -> Option<u32> {
    let file = &fixture.file;
    let mut whole = [Vec::new(), Vec::new()];
    match play(fixture, None, &mut whole) {
        Ok(()) => {}
        Err(AudioError::Decode(DecodeError::Unsupported { .. })) => return None,
        Err(error) => panic!("{file}: {error:?}"),
    }
    for granted in 0..1000 {
        // The last thing that is said if the process ends.
        println!("{file}: {granted} granted");
        let before = REFUSED.load(Ordering::SeqCst);
        let mut heard = [Vec::new(), Vec::new()];
        let outcome = play(fixture, Some(granted), &mut heard);
        let refused = REFUSED.load(Ordering::SeqCst) > before;
        match outcome {
            Ok(()) => assert!(heard == whole, "{file}: wrong samples after {granted}"),
            Err(error) => {
                assert!(refused && is_about_memory(&error), "{file}: {error:?}");
                for (heard, whole) in heard.iter().zip(&whole) {
                    assert!(
                        whole.starts_with(heard),
                        "{file}: wrong samples before {granted}"
                    );
                }
            }
        }
        if !refused {
            return Some(granted);
        }
    }
    panic!("{file}: it never ends");
}

#[test]
fn every_large_allocation_of_a_decode_thread_may_be_refused() {
    const TEST: &str = "every_large_allocation_of_a_decode_thread_may_be_refused";
    // In a process of its own, so that its end is told.
    if child::role().is_none() {
        return print!("{}", child::Other::start(TEST, "refuse").passes());
    }
    let (mut files, mut refusals) = (0, 0);
    // Packets of PCM in Matroska are as large as their writer likes, and the codec takes room for the largest by itself.
    for fixture in playable().filter(|fixture| fixture.file != "mkv-pcm.mkv") {
        let Some(count) = refuse_each(fixture) else {
            continue;
        };
        assert!(count >= 2, "{}: two lanes at least", fixture.file);
        files += 1;
        refusals += count;
    }
    println!("{refusals} refusals in {files} files");
    assert!(files > 40, "the files were played");
}

#[test]
fn a_block_that_finds_no_memory_is_an_error_and_the_next_reads_on() {
    let fixture = fixture("wav-51.wav");
    let config = AudioConfig::new().with_pool(pool());
    let path = fixture.path();
    let source = LocalSource::new(path, MediaInfo::default());
    let mut audio = Audio::open(move || Ok(Box::new(source)), config)
        .wait()
        .unwrap();
    refuse_after(0, LARGE);
    let error = audio.blocks().next().unwrap().unwrap_err();
    assert!(is_about_memory(&error), "{error:?}");
    // Nothing was taken out of the ring for it.
    let first = audio.blocks().next().unwrap().unwrap();
    assert_eq!(first.frame, 0);
    assert!(first.frames() > 0);
}

#[test]
fn the_allocator_refuses() {
    let roomy = Arc::new(LARGE + 1);
    refuse_after(1, LARGE);
    let ask = || Vec::<u8>::new().try_reserve_exact(*roomy).is_ok();
    // One is granted and given back, which grants it again; then another size is not.
    assert!(ask() && ask());
    assert!(Vec::<u8>::new().try_reserve_exact(*roomy + 1).is_err());
    assert!(Vec::<u8>::new().try_reserve_exact(*roomy + 2).is_ok());
    assert!(PLAN.get().is_none(), "once only");
}
