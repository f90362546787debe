//! What AAC packets hold that nothing signals: spectral band replication, parametric stereo, a channel layout.

use std::collections::VecDeque;

use super::config::{AacConfig, Sbr};
use super::doubled::{self, Doubled};
#[cfg(not(feature = "he-aac"))]
use super::tail;
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
        marked += u32::from(!tail::replications(packet).is_empty());
    }
    // One may agree by chance, several in a row do not.
    let sbr = config.core_rate <= USUAL_RATE && marked >= 2 && marked * 4 >= all * 3;
    Ok(sbr.then(|| config.with_found(true, None)))
}
