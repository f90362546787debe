//! The identification header (RFC 7845 §5.1).

use symphonia::core::codecs::audio::AudioCodecParameters;
use symphonia::core::codecs::audio::well_known::CODEC_ID_OPUS;

use super::{PACKET_FRAMES, RATE};
use crate::fault::{Fault, Result};
use crate::{codec, limits};

/// What stands for silence in a channel mapping.
const SILENT: u8 = 255;

/// An identification header of one or two channels in one stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) channels: u8,
    /// Decoded frames before the first of the source.
    pub(crate) pre_skip: u16,
    /// What the output is amplified by, in 256ths of a decibel.
    pub(crate) gain: i16,
    /// Channels of the stream.
    pub(crate) coded: u8,
    /// Which of them each channel of the output is; `None` is silence.
    pub(crate) mapping: [Option<u8>; 2],
}

impl Head {
    /// Reads a header. More than two channels, or several streams, are refused by name.
    pub(crate) fn parse(head: &[u8]) -> Result<Self> {
        let fields: [u8; 19] = head
            .get(..19)
            .and_then(|fields| fields.try_into().ok())
            .filter(|fields: &[u8; 19]| fields.starts_with(b"OpusHead"))
            .ok_or_else(|| Fault::corrupt("no Opus identification header"))?;
        // Versions below 16 are compatible with the first.
        if fields[8] > 15 {
            return Err(Fault::unsupported(format!("version {} of Opus", fields[8])));
        }
        let (channels, family) = (fields[9], fields[18]);
        let word = |at: usize| [fields[at], fields[at + 1]];
        let mut parsed = Self {
            channels,
            pre_skip: u16::from_le_bytes(word(10)),
            gain: i16::from_le_bytes(word(16)),
            coded: channels,
            mapping: [Some(0), (channels > 1).then_some(1)],
        };
        match (family, channels) {
            (_, 0) => return Err(Fault::corrupt("Opus without channels")),
            (0 | 1 | 255, 3..) => {
                return Err(Fault::unsupported(format!("Opus of {channels} channels")));
            }
            (0, _) => {}
            (1 | 255, _) => parsed.map(head.get(19..).unwrap_or_default())?,
            _ => {
                return Err(Fault::unsupported(format!(
                    "Opus of channel mapping family {family}"
                )));
            }
        }
        Ok(parsed)
    }

    /// Reads the mapping table (§5.1.1).
    fn map(&mut self, table: &[u8]) -> Result<()> {
        let [streams, coupled, mapping @ ..] = table else {
            return Err(Fault::corrupt("Opus without its channel mapping"));
        };
        if *streams != 1 {
            return Err(Fault::unsupported(format!("Opus of {streams} streams")));
        }
        self.coded = 1 + (*coupled).min(1);
        self.mapping = [None, None];
        for (channel, place) in (0..self.channels).zip(&mut self.mapping) {
            let coded = mapping.get(usize::from(channel)).copied();
            *place = match coded.ok_or_else(|| Fault::corrupt("a short channel mapping of Opus"))? {
                SILENT => None,
                coded if coded < self.coded => Some(coded),
                _ => return Err(Fault::corrupt("a channel of Opus that is not coded")),
            };
        }
        Ok(())
    }

    /// Whether the output has the channels of the stream, in their order.
    #[cfg(feature = "opus")]
    pub(super) fn is_plain(&self) -> bool {
        let own = (0..2).map(|channel| (channel < self.coded).then_some(channel));
        self.coded == self.channels && own.eq(self.mapping)
    }

    /// What the decoder must know.
    pub(crate) fn params(&self, head: &[u8]) -> Result<AudioCodecParameters> {
        if cfg!(not(feature = "opus")) {
            return Err(Fault::unsupported("Opus (without the feature `opus`)"));
        }
        let spec = limits::spec(RATE, self.channels.into())?;
        let mut params = AudioCodecParameters::new();
        params
            .for_codec(CODEC_ID_OPUS)
            .with_sample_rate(RATE)
            .with_channels(codec::channels(spec.channels.get()))
            .with_max_frames_per_packet(PACKET_FRAMES.into())
            .with_extra_data(codec::config(&[head])?);
        Ok(params)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(channels: u8, family: u8, table: &[u8]) -> Vec<u8> {
        let mut head = b"OpusHead\x01".to_vec();
        head.push(channels);
        head.extend(312u16.to_le_bytes());
        head.extend(44_100u32.to_le_bytes());
        head.extend((-256i16).to_le_bytes());
        head.push(family);
        head.extend(table);
        head
    }

    #[test]
    fn one_or_two_channels_of_one_stream_are_decoded_and_others_refused_by_name() {
        let parsed = |channels, family, table: &[u8]| {
            let head =
                Head::parse(&head(channels, family, table)).map_err(|fault| match fault {
                    Fault::Unsupported(what) | Fault::Corrupt(what) => what,
                    other => panic!("{other:?}"),
                })?;
            assert_eq!((head.pre_skip, head.gain), (312, -256));
            Ok((head.coded, head.mapping))
        };
        let refused = |what: &str| Err(what.to_owned());
        assert_eq!(parsed(1, 0, &[]), Ok((1, [Some(0), None])));
        assert_eq!(parsed(2, 0, &[]), Ok((2, [Some(0), Some(1)])));
        assert_eq!(parsed(2, 1, &[1, 1, 0, 1]), Ok((2, [Some(0), Some(1)])));
        assert_eq!(parsed(2, 255, &[1, 1, 1, 0]), Ok((2, [Some(1), Some(0)])));
        assert_eq!(parsed(2, 255, &[1, 0, 0, 0]), Ok((1, [Some(0), Some(0)])));
        assert_eq!(parsed(2, 255, &[1, 0, 255, 0]), Ok((1, [None, Some(0)])));
        assert_eq!(parsed(3, 0, &[]), refused("Opus of 3 channels"));
        assert_eq!(
            parsed(6, 1, &[4, 2, 0, 4, 1, 2, 3, 5]),
            refused("Opus of 6 channels")
        );
        assert_eq!(parsed(2, 255, &[2, 0, 0, 1]), refused("Opus of 2 streams"));
        let ambisonic = "Opus of channel mapping family 3";
        assert_eq!(parsed(2, 3, &[1, 1, 0, 1]), refused(ambisonic));
        assert_eq!(parsed(0, 0, &[]), refused("Opus without channels"));
        let short = "a short channel mapping of Opus";
        assert_eq!(parsed(2, 1, &[1, 1, 0]), refused(short));
        let uncoded = "a channel of Opus that is not coded";
        assert_eq!(parsed(2, 1, &[1, 0, 0, 1]), refused(uncoded));
        for length in 0..19 {
            assert!(Head::parse(&head(2, 0, &[])[..length]).is_err());
        }
    }
}
