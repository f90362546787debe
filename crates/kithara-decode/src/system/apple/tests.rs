use std::sync::Arc;

use super::mock::{ALIVE, BAD, FATAL, NO_RATE, sample};
use super::*;
use crate::aac::AacConfig;

fn params(codec: AudioCodec, config: &[u8]) -> CodecParams {
    CodecParams {
        codec,
        coding: None,
        spec: PcmSpec {
            sample_rate: 44_100.try_into().expect("a rate"),
            channels: 2.try_into().expect("channels"),
        },
        config: Arc::from(config),
        packet_frames: 4096,
    }
}

fn packet(data: &[u8]) -> EncodedPacket<'_> {
    EncodedPacket {
        data,
        frames: 0,
        position: None,
    }
}

fn samples(decoder: &mut dyn PacketDecoder, data: &[u8]) -> Vec<f32> {
    let decoded = decoder.decode(packet(data)).expect("frames");
    let mut pcm = Vec::new();
    crate::interleave::append(&decoded, 0, &mut pcm);
    pcm
}

fn expected(data: &[u8], cookie: &[u8], resets: u32) -> Vec<f32> {
    data.iter()
        .flat_map(|byte| [sample(*byte, cookie, resets); 2])
        .collect()
}

#[test]
fn packets_go_in_one_by_one_and_their_frames_come_out() {
    let alac = params(AudioCodec::Alac, &[1, 2, 3]);
    assert!(AudioToolbox.supports(&alac));
    let mut decoder = AudioToolbox.open(&alac).expect("a converter");
    assert_eq!(decoder.spec(), alac.spec);
    for data in [&[1, 2, 3][..], &[9], &[200, 100, 50, 25]] {
        assert_eq!(
            samples(decoder.as_mut(), data),
            expected(data, &[1, 2, 3], 0)
        );
    }
    decoder.reset();
    assert_eq!(
        samples(decoder.as_mut(), &[7]),
        expected(&[7], &[1, 2, 3], 1)
    );
    assert_eq!(ALIVE.get(), 1);
    drop(decoder);
    assert_eq!(ALIVE.get(), 0, "the converter went with its decoder");
}

#[test]
fn aac_is_configured_by_a_descriptor_that_holds_its_configuration() {
    for config in [&[0x12, 0x10][..], &[0xeb, 0x8a, 0x08, 0x00]] {
        let aac = params(AudioCodec::AacHe, config);
        let cookie = magic_cookie(&aac).expect("a cookie");
        assert_eq!(AacConfig::find(&cookie), Some(config));
        let body = usize::from(cookie[1]);
        assert_eq!(body, cookie.len() - 2, "the outer length is that of all");
        let mut decoder = AudioToolbox.open(&aac).expect("a converter");
        assert_eq!(samples(decoder.as_mut(), &[5]), expected(&[5], &cookie, 0));
    }
    let long = params(AudioCodec::AacLc, &[0; 91]);
    assert!(AudioToolbox.open(&long).is_err());
    assert_eq!(ALIVE.get(), 0);
}

#[test]
fn what_goes_wrong_is_told_by_its_code() {
    let mut odd = params(AudioCodec::Mp3, &[]);
    odd.spec.sample_rate = (NO_RATE as u32).try_into().expect("a rate");
    let refusal = AudioToolbox.open(&odd).err().expect("a refusal");
    assert_eq!(refusal.to_string(), "AudioConverterNew: 'fmt?'");
    let mut decoder = AudioToolbox
        .open(&params(AudioCodec::Mp3, &[]))
        .expect("a converter");
    let damaged = decoder.decode(packet(&[BAD, 1])).expect_err("bad data");
    assert_eq!(damaged, PacketError::Damaged("bad data".into()));
    let failed = decoder.decode(packet(&[FATAL])).expect_err("a failure");
    let what = "AudioConverterFillComplexBuffer: -50";
    assert_eq!(failed, PacketError::Failed(what.into()));
    assert_eq!(samples(decoder.as_mut(), &[3]), expected(&[3], &[], 0));
}

#[test]
fn only_what_the_system_decodes_is_supported() {
    for codec in [
        AudioCodec::Flac,
        AudioCodec::Opus,
        AudioCodec::Vorbis,
        AudioCodec::Pcm,
    ] {
        assert!(!AudioToolbox.supports(&params(codec, &[])), "{codec}");
    }
    for codec in [
        AudioCodec::AacLc,
        AudioCodec::AacHe,
        AudioCodec::AacHeV2,
        AudioCodec::Mp3,
    ] {
        assert!(AudioToolbox.supports(&params(codec, &[])), "{codec}");
    }
}
