//! What AAC packets hold that nothing signals: spectral band replication, parametric stereo, a channel layout.

use std::collections::VecDeque;

use super::config::{AacConfig, Sbr};
use super::doubled::{self, Doubled};
use crate::demux::{Demux, OwnedPacket, Track};
use crate::fault::{Fault, Result};

/// Packets looked at where the core has a rate at which replication is usual.
const PACKETS: usize = 4;
/// The highest such rate. Above it, what the first packet holds counts.
const USUAL_RATE: u32 = 24_000;
/// Above this core rate there is no rate for the output.
const HIGHEST_RATE: u32 = 48_000;

/// Looks into the first packets of AAC where its configuration leaves open what comes out of the decoder, and writes down
/// in the track what is found. What was read is kept in `ahead`.
pub(crate) fn reveal(
    track: &mut Track,
    mut demux: Box<dyn Demux>,
    ahead: &mut VecDeque<OwnedPacket>,
) -> Result<Box<dyn Demux>> {
    let bytes = track.params.extra_data.clone().unwrap_or_default();
    let Some(config) = AacConfig::parse(&bytes).filter(is_open) else {
        return Ok(demux);
    };
    let packets = if config.core_rate <= USUAL_RATE {
        PACKETS
    } else {
        1
    };
    read_ahead(demux.as_mut(), packets, ahead)?;
    let packets = ahead.iter().map(|packet| packet.data.as_slice());
    let Some(found) = look(config, &bytes, packets)? else {
        return Ok(demux);
    };
    track.codec = found.codec();
    track.params = found.params(&found.written(&bytes))?;
    if doubled::is_doubled(&found) {
        doubled::double(track);
        for packet in ahead {
            packet.double();
        }
        demux = Box::new(Doubled::new(demux));
    }
    Ok(demux)
}

/// Whether only packets tell the layout of the output.
fn is_open(config: &AacConfig) -> bool {
    let may_hide = config.sbr == Sbr::Unknown && config.core_rate <= HIGHEST_RATE;
    may_hide || config.channels.is_none()
}

fn read_ahead(
    demux: &mut dyn Demux,
    packets: usize,
    ahead: &mut VecDeque<OwnedPacket>,
) -> Result<()> {
    for _ in 0..packets {
        match demux.next_packet() {
            Ok(Some(packet)) => ahead.push_back(OwnedPacket::copy(&packet)?),
            // Told when it is asked for.
            Ok(None) | Err(Fault::Truncated(_)) => break,
            Err(fault) => return Err(fault),
        }
    }
    Ok(())
}

/// The configuration with what the packets hold; `None` if that is nothing new.
#[cfg(feature = "he-aac")]
fn look<'a>(
    config: AacConfig,
    bytes: &[u8],
    packets: impl Iterator<Item = &'a [u8]>,
) -> Result<Option<AacConfig>> {
    let found = super::decoder::look(config, bytes, packets)?;
    let channels = found.channels.filter(|channels| *channels > 0);
    if channels.or(config.channels).is_none() {
        return Err(Fault::unsupported(
            "AAC whose first packets tell no channels",
        ));
    }
    if !found.sbr && config.channels.is_some() {
        return Ok(None);
    }
    let mut revealed = config.with_found(found.sbr, channels);
    revealed.ps = found.sbr && found.differs && config.channels == Some(1);
    Ok(Some(revealed))
}

/// The configuration with what the packets seem to hold, which no decoder of this build decodes.
#[cfg(not(feature = "he-aac"))]
fn look<'a>(
    config: AacConfig,
    _bytes: &[u8],
    packets: impl Iterator<Item = &'a [u8]>,
) -> Result<Option<AacConfig>> {
    let (mut all, mut marked) = (0, 0);
    for packet in packets {
        all += 1;
        marked += u32::from(tail::ends_in_sbr(packet));
    }
    // One may agree by chance, several in a row do not.
    let sbr = config.core_rate <= USUAL_RATE && marked >= 2 && marked * 4 >= all * 3;
    Ok(sbr.then(|| config.with_found(true, None)))
}

/// Telling replication without decoding.
#[cfg(any(test, not(feature = "he-aac")))]
mod tail {
    use crate::aac::bits::Bits;

    /// Whether a raw data block ends in a fill element with spectral band replication (§4.4.2.7, `EXT_SBR_DATA`).
    ///
    /// Elements can only be told apart from the front by decoding them; but a block ends in `ID_END` and zeros up to a
    /// whole byte, and fill elements come last, so they can be tried from behind. One block may agree by chance, several
    /// in a row do not.
    pub(super) fn ends_in_sbr(block: &[u8]) -> bool {
        let Some(last) = block.iter().rposition(|byte| *byte != 0) else {
            return false;
        };
        let end = (last + 1) * 8 - block[last].trailing_zeros() as usize;
        let Some(end) = end.checked_sub(3) else {
            return false;
        };
        let bits = Bits::new(block);
        bits.peek_at(end, 3) == Some(7) && fill_before(bits, end, 4)
    }

    /// Whether a fill element with the extension ends at this bit, perhaps with `depth` others behind it.
    fn fill_before(bits: Bits<'_>, end: usize, depth: u32) -> bool {
        let short = (1..15).map(|count| (count, 7));
        let long = (15..=269).map(|count| (count, 15));
        short.chain(long).any(|(count, head)| {
            let Some(start) = end.checked_sub(count * 8 + head) else {
                return false;
            };
            let matches = bits.peek_at(start, 3) == Some(6)
                && if head == 7 {
                    bits.peek_at(start + 3, 4) == Some(count as u32)
                } else {
                    bits.peek_at(start + 3, 4) == Some(15)
                        && bits.peek_at(start + 7, 8) == Some(count as u32 - 14)
                };
            matches
                && match bits.peek_at(start + head, 4) {
                    Some(0xd | 0xe) => true,
                    // Plain filling may come behind.
                    Some(0) => depth > 0 && fill_before(bits, start, depth - 1),
                    _ => false,
                }
        })
    }

    #[cfg(test)]
    mod tests {
        use super::ends_in_sbr;

        #[test]
        fn replication_is_found_at_the_end_of_a_block_and_nowhere_else() {
            // Filler, then a fill element of one byte with the extension, then the end, then zeros.
            let block = |payload: u8| {
                let bits = format!("{:08b}110{:04b}{payload:08b}111", 0b1010_0101, 1);
                let padded = format!("{bits:0<32}");
                u32::from_str_radix(&padded, 2).expect("bits").to_be_bytes()
            };
            assert!(ends_in_sbr(&block(0xd5)));
            assert!(ends_in_sbr(&block(0xe5)));
            assert!(!ends_in_sbr(&block(0x05)));
            assert!(!ends_in_sbr(&[]));
            assert!(!ends_in_sbr(&[0, 0, 0]));
        }
    }
}
