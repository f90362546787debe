//! The functions of AudioToolbox that are used, as `AudioConverter.h` and `CoreAudioBaseTypes.h` declare them.

use std::ffi::c_void;

/// `AudioConverterRef`.
pub(super) type ConverterRef = *mut c_void;

/// `AudioStreamBasicDescription`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Description {
    pub(super) sample_rate: f64,
    pub(super) format_id: u32,
    pub(super) format_flags: u32,
    pub(super) bytes_per_packet: u32,
    pub(super) frames_per_packet: u32,
    pub(super) bytes_per_frame: u32,
    pub(super) channels_per_frame: u32,
    pub(super) bits_per_channel: u32,
    pub(super) reserved: u32,
}

/// `AudioBuffer`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(super) struct AudioBuffer {
    pub(super) channels: u32,
    pub(super) bytes: u32,
    pub(super) data: *mut c_void,
}

/// `AudioBufferList` of one buffer.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(super) struct AudioBufferList {
    pub(super) count: u32,
    pub(super) buffers: [AudioBuffer; 1],
}

/// `AudioStreamPacketDescription`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(super) struct PacketDescription {
    pub(super) start_offset: i64,
    pub(super) variable_frames: u32,
    pub(super) bytes: u32,
}

/// `AudioConverterComplexInputDataProc`.
pub(super) type InputProc = unsafe extern "C" fn(
    ConverterRef,
    *mut u32,
    *mut AudioBufferList,
    *mut *mut PacketDescription,
    *mut c_void,
) -> i32;

#[cfg_attr(
    target_vendor = "apple",
    link(name = "AudioToolbox", kind = "framework")
)]
unsafe extern "C" {
    #[link_name = "AudioConverterNew"]
    pub(super) fn converter_new(
        input: *const Description,
        output: *const Description,
        converter: *mut ConverterRef,
    ) -> i32;

    #[link_name = "AudioConverterDispose"]
    pub(super) fn converter_dispose(converter: ConverterRef) -> i32;

    #[link_name = "AudioConverterReset"]
    pub(super) fn converter_reset(converter: ConverterRef) -> i32;

    #[link_name = "AudioConverterSetProperty"]
    pub(super) fn converter_set_property(
        converter: ConverterRef,
        property: u32,
        size: u32,
        data: *const c_void,
    ) -> i32;

    #[link_name = "AudioConverterFillComplexBuffer"]
    pub(super) fn converter_fill(
        converter: ConverterRef,
        input: InputProc,
        user: *mut c_void,
        packets: *mut u32,
        list: *mut AudioBufferList,
        descriptions: *mut PacketDescription,
    ) -> i32;
}

const _: () = assert!(size_of::<Description>() == 40 && size_of::<PacketDescription>() == 16);
