//! The functions of AudioToolbox, for machines that have none: a "codec" whose every byte is a frame.

#![allow(clippy::undocumented_unsafe_blocks)] // It plays the other side of the contract that its callers document.

use std::cell::Cell;
use std::ffi::c_void;
use std::ptr;

use super::sys::{
    AudioBuffer, AudioBufferList, ConverterRef, Description, InputProc, PacketDescription,
};

/// A first byte that the mock calls bad data, and one at which it fails for good.
pub(super) const BAD: u8 = 0xff;
pub(super) const FATAL: u8 = 0xfe;
/// A rate it has no converter for.
pub(super) const NO_RATE: f64 = 11_025.0;

/// What a converter was told.
#[derive(Debug)]
struct MockConverter {
    output: Description,
    cookie: Vec<u8>,
    priming: Option<u32>,
    resets: u32,
}

thread_local! {
    /// Converters that are alive.
    pub(super) static ALIVE: Cell<i32> = const { Cell::new(0) };
}

fn converter<'a>(converter: ConverterRef) -> &'a mut MockConverter {
    unsafe { &mut *converter.cast::<MockConverter>() }
}

/// What the decoder sounds like after it was told this cookie, and this often to forget.
pub(super) fn sample(byte: u8, cookie: &[u8], resets: u32) -> f32 {
    let told: u32 = cookie.iter().map(|byte| u32::from(*byte)).sum();
    f32::from(byte) / 256.0 + told as f32 + resets as f32 * 1000.0
}

#[unsafe(no_mangle)]
unsafe extern "C" fn AudioConverterNew(
    input: *const Description,
    output: *const Description,
    converter: *mut ConverterRef,
) -> i32 {
    let (input, output) = unsafe { (*input, *output) };
    assert_eq!(output.bytes_per_frame, 4 * output.channels_per_frame);
    assert_eq!(output.format_flags & 9, 9, "packed floats");
    assert_eq!(input.channels_per_frame, output.channels_per_frame);
    if input.sample_rate == NO_RATE {
        return i32::from_be_bytes(*b"fmt?");
    }
    let made = Box::new(MockConverter {
        output,
        cookie: Vec::new(),
        priming: None,
        resets: 0,
    });
    ALIVE.set(ALIVE.get() + 1);
    unsafe { *converter = Box::into_raw(made).cast() };
    0
}

#[unsafe(no_mangle)]
unsafe extern "C" fn AudioConverterDispose(converter: ConverterRef) -> i32 {
    ALIVE.set(ALIVE.get() - 1);
    drop(unsafe { Box::from_raw(converter.cast::<MockConverter>()) });
    0
}

#[unsafe(no_mangle)]
unsafe extern "C" fn AudioConverterReset(of: ConverterRef) -> i32 {
    converter(of).resets += 1;
    0
}

#[unsafe(no_mangle)]
unsafe extern "C" fn AudioConverterSetProperty(
    of: ConverterRef,
    property: u32,
    size: u32,
    data: *const c_void,
) -> i32 {
    let value = unsafe { std::slice::from_raw_parts(data.cast::<u8>(), size as usize) };
    match &property.to_be_bytes() {
        b"dmgc" => converter(of).cookie = value.to_vec(),
        b"prmm" => converter(of).priming = value.try_into().ok().map(u32::from_ne_bytes),
        _ => return i32::from_be_bytes(*b"prop"),
    }
    0
}

#[unsafe(no_mangle)]
unsafe extern "C" fn AudioConverterFillComplexBuffer(
    of: ConverterRef,
    input: InputProc,
    user: *mut c_void,
    packets: *mut u32,
    list: *mut AudioBufferList,
    _descriptions: *mut PacketDescription,
) -> i32 {
    let (own, room) = (converter(of), unsafe { *packets });
    assert_eq!(own.priming, Some(2), "nothing is to be dropped");
    let out = unsafe { &mut (*list).buffers[0] };
    let channels = own.output.channels_per_frame;
    assert_eq!(
        out.bytes,
        room * channels * 4,
        "room for as many frames as are asked for"
    );
    let samples = unsafe {
        std::slice::from_raw_parts_mut(out.data.cast::<f32>(), (room * channels) as usize)
    };
    let mut written = 0;
    // As the real one does: it asks until it has no more room, or is told that there is no more.
    loop {
        let mut count = 1;
        let mut description = ptr::null_mut::<PacketDescription>();
        let mut handed = AudioBufferList {
            count: 1,
            buffers: [AudioBuffer {
                channels: 0,
                bytes: 0,
                data: ptr::null_mut(),
            }],
        };
        let status = unsafe { input(of, &mut count, &mut handed, &mut description, user) };
        if status != 0 || count == 0 {
            unsafe { *packets = written / channels };
            out.bytes = written * 4;
            return status;
        }
        let described = unsafe { *description };
        let buffer = handed.buffers[0];
        assert_eq!((described.start_offset, described.bytes), (0, buffer.bytes));
        let data =
            unsafe { std::slice::from_raw_parts(buffer.data.cast::<u8>(), buffer.bytes as usize) };
        match data.first() {
            Some(&BAD) => return i32::from_be_bytes(*b"bada"),
            Some(&FATAL) => return -50,
            _ => {}
        }
        for byte in data {
            for _ in 0..channels {
                samples[written as usize] = sample(*byte, &own.cookie, own.resets);
                written += 1;
            }
        }
    }
}
