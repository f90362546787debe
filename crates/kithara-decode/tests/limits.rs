//! Sizes and counts a file claims are checked before anything is sized by them.

mod support;

use kithara_decode::{DecodeError, InnerDecoder};
use support::{drain, open};

/// A WAVE file of 16-bit silence with these claims in its header.
fn wav(rate: u32, channels: u16, bits: u16, data: u32) -> Vec<u8> {
    let mut bytes = b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0\x01\0".to_vec();
    bytes.extend(channels.to_le_bytes());
    bytes.extend(rate.to_le_bytes());
    bytes.extend([0; 6]);
    bytes.extend(bits.to_le_bytes());
    bytes.extend(b"data");
    bytes.extend(data.to_le_bytes());
    bytes.resize(bytes.len() + 64 * 32, 0);
    bytes
}

fn refused(result: &Result<Box<dyn InnerDecoder>, DecodeError>) -> bool {
    matches!(
        result,
        Err(DecodeError::Unsupported { .. }
            | DecodeError::TooLarge { .. }
            | DecodeError::Corrupt { .. })
    )
}

#[test]
fn rates_and_channels_outside_the_limits_are_refused() {
    for (rate, channels, accepted) in [
        (8_000, 2, true),
        (7_999, 2, false),
        (768_000, 2, true),
        (768_001, 2, false),
        (0, 2, false),
        (1 << 31, 2, false),
        (44_100, 0, false),
        (44_100, 32, true),
        (44_100, 33, false),
        (44_100, 255, false),
        (44_100, u16::MAX, false),
    ] {
        let opened = open(wav(rate, channels, 16, 1024), "claims.wav");
        assert_eq!(
            !refused(&opened),
            accepted,
            "{rate} Hz, {channels} channels"
        );
    }
    assert!(refused(&open(wav(44_100, 2, 0, 1024), "no bits")));
    assert!(refused(&open(wav(44_100, 2, 33, 1024), "odd bits")));
}

#[test]
fn a_data_chunk_of_two_gigabytes_costs_what_is_there() {
    let mut decoder = open(wav(44_100, 2, 16, 0x7fff_0000), "huge.wav").expect("opens");
    let (samples, end) = drain(decoder.as_mut(), "huge.wav");
    assert_eq!(samples.len(), 64 * 32 / 2);
    assert!(
        matches!(
            end,
            Err(DecodeError::Truncated {
                expected: Some(_),
                ..
            })
        ),
        "{end:?}"
    );
}

#[test]
fn a_packet_table_of_more_packets_than_bytes_is_refused() {
    let mut caf = b"caff\0\x01\0\0desc\0\0\0\0\0\0\0\x20".to_vec();
    caf.extend(44_100f64.to_be_bytes());
    caf.extend(b"alac\0\0\0\0\0\0\0\0\0\0\x10\0\0\0\0\x02\0\0\0\x10");
    caf.extend(b"kuki\0\0\0\0\0\0\0\x18");
    caf.extend([0; 24]);
    caf.extend(b"pakt\0\0\0\0\0\0\0\x18");
    caf.extend(u64::MAX.to_be_bytes());
    caf.extend([0; 16]);
    caf.extend(b"data\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\0");
    assert!(refused(&open(caf, "table.caf")));
}

#[test]
fn a_rate_that_is_not_a_number_is_refused() {
    for rate in [f64::NAN, f64::INFINITY, -44_100.0, 0.0, 1e300] {
        let mut caf = b"caff\0\x01\0\0desc\0\0\0\0\0\0\0\x20".to_vec();
        caf.extend(rate.to_be_bytes());
        caf.extend(b"lpcm\0\0\0\0\0\0\0\x04\0\0\0\x01\0\0\0\x02\0\0\0\x10");
        caf.extend(b"data\0\0\0\0\0\0\0\x14\0\0\0\0");
        caf.extend([0; 16]);
        assert!(refused(&open(caf, "rate.caf")), "{rate}");
    }
}

#[test]
fn a_rate_of_aiff_that_is_not_a_number_is_refused() {
    let aiff = |exponent: u16, mantissa: u64| {
        let mut bytes = b"FORM\0\0\0\x3eAIFFCOMM\0\0\0\x12\0\x02\0\0\0\x04\0\x10".to_vec();
        bytes.extend(exponent.to_be_bytes());
        bytes.extend(mantissa.to_be_bytes());
        bytes.extend(b"SSND\0\0\0\x18\0\0\0\0\0\0\0\0");
        bytes.extend([0; 16]);
        open(bytes, "rate.aiff")
    };
    const ONE: u64 = 1 << 63;
    for (exponent, mantissa, what) in [
        (0x7fff, ONE | ONE >> 1, "not a number"),
        (0x7fff, ONE, "infinite"),
        (0xffff, ONE, "infinite and negative"),
        (0, 1, "denormal"),
        (0, ONE - 1, "denormal"),
        (0, 0, "zero"),
        (0x7ffe, u64::MAX, "huge"),
        (0x401e, ONE, "2^31"),
        (0x401f, ONE, "2^32"),
        (0xc00e, 0xac44 << 48, "negative"),
        (0x3fff, ONE, "one"),
    ] {
        let opened = aiff(exponent, mantissa);
        assert!(
            matches!(opened, Err(DecodeError::Unsupported { .. })),
            "{what}"
        );
    }
    let mut sound = aiff(0x400e, 0xac44 << 48).expect("44,100");
    assert_eq!(sound.spec().sample_rate.get(), 44_100);
    assert_eq!(drain(sound.as_mut(), "rate.aiff").0.len(), 8);
}

#[test]
fn a_rf64_file_takes_its_length_from_the_ds64_chunk() {
    let mut bytes = b"RF64\xff\xff\xff\xffWAVEds64\x1c\0\0\0".to_vec();
    bytes.extend([0; 8]);
    bytes.extend(400u64.to_le_bytes());
    bytes.extend([0; 12]);
    bytes.extend(
        b"fmt \x10\0\0\0\x01\0\x02\0\x44\xac\0\0\x10\xb1\x02\0\x04\0\x10\0data\xff\xff\xff\xff",
    );
    bytes.extend([0; 400]);
    bytes.extend(b"LIST\x04\0\0\0INFO");
    let mut decoder = open(bytes, "wide.wav").expect("opens");
    let (samples, end) = drain(decoder.as_mut(), "wide.wav");
    end.expect("ends");
    assert_eq!(samples.len(), 200);
}
