//! The decoder of HE-AAC and of more than two channels.

use std::borrow::Cow;

use rusty_aac::config::StreamConfig;
use rusty_aac::decode::Decoder;
use rusty_aac::{Error, config};

use super::config::AacConfig;
use super::entry::{self, Core};
use crate::backend::{Decoded, EncodedPacket, PacketDecoder, PacketError};
use crate::fault::{Fault, Result};
use crate::{PcmSpec, memory};

/// Packets after which noise and sines of replication stand where they stood: 512 of the one, 4 of the other, and each
/// packet passes 32 slots of as many as there are bands (ISO/IEC 14496-3 §4.6.18.7.6).
const CYCLE: u64 = 16;
/// Packets from an entry on after which nothing is left of what came before it: filter banks, smoothing, parametric stereo.
const SETTLE: u64 = 3;
/// Packets among which an entry is looked for. Encoders repeat the header about twice a second, and not each time with
/// envelopes that begin and end with their packet.
const SEARCH: u64 = 40;

/// What packets were found to hold.
pub(super) struct Found {
    pub(super) sbr: bool,
    pub(super) channels: Option<u16>,
    /// The two channels of what is one channel in its core are not the same.
    pub(super) differs: bool,
}

/// Looks into the first packets until they tell.
pub(super) fn look<'a>(
    config: AacConfig,
    bytes: &[u8],
    packets: impl Iterator<Item = &'a [u8]>,
) -> Result<Found> {
    let mut decoder = open(stream_config(bytes)?)?;
    let mut found = Found {
        sbr: false,
        channels: None,
        differs: false,
    };
    for packet in packets {
        if let Ok(block) = decoder.decode(packet, None) {
            found.channels = Some(block.channels);
            let mut pairs = block.samples.chunks_exact(2);
            found.differs |= block.channels == 2 && pairs.any(|pair| pair[0] != pair[1]);
        }
        found.sbr |= decoder.saw_sbr();
        if found.sbr && config.channels != Some(1) {
            break;
        }
    }
    Ok(found)
}

fn stream_config(bytes: &[u8]) -> Result<StreamConfig> {
    config::parse(bytes).map_err(fault)
}

fn open(config: StreamConfig) -> Result<Decoder> {
    Decoder::with_stream_config(config).map_err(fault)
}

fn fault(error: Error) -> Fault {
    match error {
        Error::Unsupported(what) => Fault::unsupported(what),
        other => Fault::corrupt(other.to_string()),
    }
}

/// `rusty_aac` as a packet decoder. Channels come in the order of WAVE, as ffmpeg gives them.
pub(crate) struct WideDecoder {
    inner: Decoder,
    /// To make another like it: there is no other way to reset it.
    config: StreamConfig,
    spec: PcmSpec,
    packet_frames: u64,
    /// Packets among which an entry is still looked for.
    search: u64,
    /// Since a seek no packet came whose number is known.
    unled: bool,
    /// The packet with which replication begins in a decode in one go, and its number, once it was met.
    begin: Option<(u64, Vec<u8>)>,
    /// Packets from the first on in which it did not, while it is looked for.
    without: Option<u64>,
    samples: Vec<f32>,
}

impl WideDecoder {
    /// Opens a decoder for this AudioSpecificConfig, in which everything is signalled.
    pub(crate) fn open(bytes: &[u8], spec: PcmSpec, packet_frames: u64) -> Result<Self> {
        let config = stream_config(bytes)?;
        Ok(Self {
            inner: open(config.clone())?,
            config,
            spec,
            packet_frames: packet_frames.max(1),
            search: 0,
            unled: false,
            begin: None,
            without: Some(0),
            samples: Vec::new(),
        })
    }

    /// Looks whether this packet is an entry, and if so goes on as if all before it had been decoded.
    fn find_entry(&mut self, packet: EncodedPacket<'_>) {
        let Some(index) = self.index(packet) else {
            return;
        };
        if index == 0 {
            self.search = 0;
            return;
        }
        let is_entry = self
            .core()
            .is_some_and(|core| entry::is_entry(packet.data, core, |block| self.is_core(block)));
        if is_entry {
            (self.search, self.unled) = (0, false);
            self.start();
            let begin = self.begin.as_ref().map_or(0, |(begin, _)| *begin);
            self.repeat(packet.data, index.saturating_sub(begin) % CYCLE);
        }
    }

    /// Behind a seek replication begins at once, and not only where the header is repeated: the packet that had it first is
    /// decoded once more, so often that noise and sines stand where they would.
    fn lead_in(&mut self, packet: EncodedPacket<'_>) {
        let index = self.index(packet);
        let is_first = self.search == SEARCH;
        let is_clean = |core| entry::is_clean(packet.data, core, |block| self.is_core(block));
        let is_place = match index {
            Some(0) => return self.unled = false,
            Some(_) => self.core().is_some_and(is_clean) || self.search == 1,
            None => false,
        };
        self.unled = !is_place;
        if !is_place && !is_first {
            return;
        }
        if let Some((begin, header)) = self.begin.take() {
            let passed = index.map_or(1, |index| index.saturating_sub(begin));
            self.start();
            self.repeat(&header, (passed.max(1) - 1) % CYCLE + 1);
            self.begin = Some((begin, header));
        }
    }

    /// Decodes a packet so often. What comes out belongs nowhere, but leaves noise and sines where as many others had left them.
    fn repeat(&mut self, packet: &[u8], times: u64) {
        for _ in 0..times {
            let _ = self.inner.decode(packet, None);
        }
    }

    /// Looks whether replication begins with this packet, if it has not in those before.
    fn find_begin(&mut self, packet: EncodedPacket<'_>, without: u64) {
        if self.index(packet) != Some(without) {
            return;
        }
        let begins = self
            .core()
            .is_some_and(|core| entry::is_begin(packet.data, core, |block| self.is_core(block)));
        if begins {
            self.begin = memory::copy(packet.data).ok().map(|data| (without, data));
        }
        self.without = (!begins && without < SEARCH).then_some(without + 1);
    }

    /// The number of a packet.
    fn index(&self, packet: EncodedPacket<'_>) -> Option<u64> {
        Some(packet.position? / self.packet_frames)
    }

    /// What replication belongs to, where it can be looked at.
    fn core(&self) -> Option<Core> {
        match self.config.channel_config {
            1 if self.config.sbr => Some(Core::Channel),
            2 if self.config.sbr => Some(Core::Pair),
            _ => None,
        }
    }

    /// Whether a block is whole, and has no replication in it.
    fn is_core(&self, block: &[u8]) -> bool {
        open(self.config.clone())
            .is_ok_and(|mut fresh| fresh.decode(block, None).is_ok() && !fresh.saw_sbr())
    }

    fn start(&mut self) {
        // It could be made once, so it can be made again.
        if let Ok(fresh) = open(self.config.clone()) {
            self.inner = fresh;
        }
    }
}

impl PacketDecoder for WideDecoder {
    fn spec(&self) -> PcmSpec {
        self.spec
    }

    fn decode(
        &mut self,
        packet: EncodedPacket<'_>,
    ) -> std::result::Result<Decoded<'_>, PacketError> {
        if self.unled {
            self.lead_in(packet);
        }
        if self.search > 0 {
            self.search -= 1;
            self.find_entry(packet);
        }
        if let Some(without) = self.without {
            self.find_begin(packet, without);
        }
        let block = match self.inner.decode(packet.data, None) {
            Ok(block) => block,
            Err(Error::Unsupported(what)) => {
                return Err(PacketError::Unsupported(Cow::Owned(what)));
            }
            Err(Error::InvalidData(what)) => return Err(PacketError::Damaged(Cow::Owned(what))),
            Err(_) => return Err(PacketError::Damaged(Cow::Borrowed("it holds no audio"))),
        };
        // Damaged packets make it find channels that are not there.
        let frames = (block.samples.len() / usize::from(block.channels.max(1))) as u64;
        if block.channels != self.spec.channels.get()
            || block.sample_rate != self.spec.sample_rate.get()
            || frames != self.packet_frames
        {
            self.start();
            return Err(PacketError::Damaged(Cow::Borrowed(
                "it changes the layout of the track",
            )));
        }
        self.samples = block.samples;
        Ok(Decoded::interleaved(self.spec, &self.samples))
    }

    fn reset(&mut self) {
        self.start();
        self.unled = self.config.sbr;
        self.search = if self.config.sbr { SEARCH } else { 0 };
    }

    fn pre_roll(&self, target: u64) -> u64 {
        if !self.config.sbr {
            return target;
        }
        (target / self.packet_frames).saturating_sub(SETTLE + SEARCH) * self.packet_frames
    }
}

#[cfg(test)]
mod tests {
    use super::super::bits::{BitWriter, Bits};
    use super::super::tail::replications;
    use super::*;
    use crate::limits;

    const FRAMES: u64 = 2048;

    fn packets() -> Vec<Vec<u8>> {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../tests/fixtures/seek-he.aac"
        );
        let bytes = std::fs::read(path).expect("a fixture");
        let (mut packets, mut rest) = (Vec::new(), &bytes[..]);
        while let Some(length) = Bits::new(rest).peek_at(30, 13) {
            let (frame, behind) = rest.split_at(length as usize);
            packets.push(frame[7..].to_vec());
            rest = behind;
        }
        packets
    }

    /// The packet without the header of its replication; zeros are behind that in its place.
    fn without_header(packet: &[u8]) -> Vec<u8> {
        let bits = Bits::new(packet);
        let bit = |at: usize| bits.peek_at(at, 1).expect("a bit");
        let mut found = replications(packet).into_iter();
        let Some(found) = found.find(|found| bit(found.body) == 1) else {
            return packet.to_vec();
        };
        let extra = 5 * bit(found.body + 15) + 6 * bit(found.body + 16);
        let header = 16 + extra as usize;
        let count = match bits.peek_at(found.element + 3, 4).expect("a count") {
            15 => 8 * (bits.peek_at(found.element + 7, 8).expect("a count") as usize + 14) + 15,
            count => 8 * count as usize + 7,
        };
        let end = found.element + count;
        let mut writer = BitWriter::copy(packet, found.body);
        writer.put(1, 0);
        (found.body + 1 + header..end).for_each(|at| writer.put(1, bit(at)));
        (0..header).for_each(|_| writer.put(1, 0));
        (end..8 * packet.len()).for_each(|at| writer.put(1, bit(at)));
        writer.into_bytes()
    }

    #[test]
    fn a_header_that_comes_only_once_serves_behind_every_seek() {
        let mut packets = packets();
        // Its encoder repeats it in each tenth.
        for packet in packets.iter_mut().skip(10).step_by(10) {
            *packet = without_header(packet);
        }
        // 22,050 Hz in the core, 44,100 Hz behind it.
        let config = [0x2b, 0x92, 0x08, 0x00];
        let spec = limits::spec(44_100, 2).expect("a layout");
        let mut decoder = WideDecoder::open(&config, spec, FRAMES).expect("a decoder");
        let decode = |decoder: &mut WideDecoder, number: usize| {
            let data = &packets[number];
            let packet = EncodedPacket {
                data,
                frames: 0,
                position: Some(number as u64 * FRAMES),
            };
            decoder.decode(packet).expect("decodes");
            decoder.samples.clone()
        };
        let all: Vec<_> = (0..packets.len())
            .map(|number| decode(&mut decoder, number))
            .collect();
        for (target, right) in all.iter().enumerate().skip(50) {
            decoder.reset();
            let from = decoder.pre_roll(target as u64 * FRAMES) / FRAMES;
            let mut got = Vec::new();
            for number in from as usize..=target {
                got = decode(&mut decoder, number);
            }
            let pairs = got.iter().zip(right);
            let apart = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(apart <= 1e-4, "{target} from {from}: {apart}");
        }
    }
}
