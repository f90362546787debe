//! How many frames a packet of Vorbis brings, without decoding it (Vorbis I §4.2.4, §4.3).

/// Bits of a mode: one for the size of its blocks, 16 for the window, 16 for the transform, 8 for the mapping.
const MODE_BITS: usize = 41;
/// Modes are counted in six bits.
const MAX_MODES: usize = 64;

/// The sizes of blocks, and which of the two each mode has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BlockSizes {
    short: u32,
    long: u32,
    /// Whether the blocks of a mode are long.
    modes: Vec<bool>,
}

impl BlockSizes {
    /// From the identification header and the setup header.
    ///
    /// The modes stand at the end of the setup header, behind codebooks of any length. They are read from the end: before the
    /// framing bit, as many as their count says that stands before them.
    pub(crate) fn parse(ident: &[u8], setup: &[u8]) -> Option<Self> {
        let sizes = *ident.get(28)?;
        let (short, long) = (1 << (sizes & 15), 1 << (sizes >> 4));
        let last = setup.iter().rposition(|byte| *byte != 0)?;
        let framing = last * 8 + 7 - setup[last].leading_zeros() as usize;
        let start = |count: usize| framing.checked_sub(count * MODE_BITS);
        let is_mode = |at: usize| bits(setup, at + 1, 32) == 0 && bits(setup, at + 33, 8) < 64;
        let mut found = None;
        for count in 1..=MAX_MODES {
            let Some(first) = start(count).filter(|first| *first >= 6 && is_mode(*first)) else {
                break;
            };
            if bits(setup, first - 6, 6) as usize == count - 1 {
                found = Some((first, count));
            }
        }
        let (first, count) = found?;
        let modes = (0..count).map(|mode| bits(setup, first + mode * MODE_BITS, 1) == 1);
        Some(Self {
            short,
            long,
            modes: modes.collect(),
        })
    }

    /// The size of the block in a packet; `None` if it is none of audio.
    pub(crate) fn of(&self, packet: &[u8]) -> Option<u32> {
        let width = self.modes.len().next_power_of_two().trailing_zeros() as usize;
        if *packet.first()? & 1 != 0 {
            return None;
        }
        let mode = bits(packet, 1, width) as usize;
        let long = *self.modes.get(mode)?;
        Some(if long { self.long } else { self.short })
    }

    /// The frames that a block brings behind another: a quarter of each.
    pub(crate) fn frames(before: u32, block: u32) -> u32 {
        before / 4 + block / 4
    }
}

/// Bits from the lowest of the first byte on; those behind the end are 0.
fn bits(bytes: &[u8], at: usize, count: usize) -> u64 {
    (0..count).fold(0, |value, bit| {
        let place = at + bit;
        let byte = bytes.get(place / 8).copied().unwrap_or(0);
        value | u64::from(byte >> (place % 8) & 1) << bit
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A setup header whose modes have blocks of these sizes.
    fn setup(modes: &[bool]) -> Vec<u8> {
        let mut out = vec![true; 91];
        let mut put = |value: usize, count: usize| {
            out.extend((0..count).map(|bit| value >> bit & 1 == 1));
        };
        put(modes.len() - 1, 6);
        for (mapping, long) in modes.iter().enumerate() {
            put(usize::from(*long), 1);
            put(0, 32);
            put(mapping, 8);
        }
        put(1, 1);
        let bytes = out.chunks(8).map(|bits| {
            let bits = bits.iter().enumerate();
            bits.fold(0, |byte, (place, bit)| byte | u8::from(*bit) << place)
        });
        bytes.collect()
    }

    fn ident() -> Vec<u8> {
        let mut ident = vec![0; 30];
        // Blocks of 256 and 2048.
        ident[28] = 0xb8;
        ident
    }

    #[test]
    fn modes_are_found_whatever_stands_before_them() {
        for modes in [
            &[false][..],
            &[true],
            &[false, true],
            &[true, false, false],
            &[false, true, true, false, true],
        ] {
            let sizes = BlockSizes::parse(&ident(), &setup(modes)).expect("modes");
            assert_eq!(sizes.modes, modes);
            let mut behind = setup(modes);
            behind.extend([0; 3]);
            assert_eq!(BlockSizes::parse(&ident(), &behind), Some(sizes));
        }
    }

    #[test]
    fn a_packet_says_how_long_it_is() {
        let sizes = BlockSizes::parse(&ident(), &setup(&[false, true, false])).expect("modes");
        // Two bits of mode behind the bit that says audio.
        for (packet, size) in [
            (&[0b000][..], Some(256)),
            (&[0b010], Some(2048)),
            (&[0b100], Some(256)),
            (&[0b110], None),
            (&[0b001], None),
            (&[], None),
        ] {
            assert_eq!(sizes.of(packet), size, "{packet:?}");
        }
        assert_eq!(BlockSizes::frames(256, 2048), 576);
    }

    #[test]
    fn what_is_no_setup_has_no_modes() {
        for setup in [&[][..], &[0; 40], &[0xff; 40], b"\x05vorbis"] {
            assert_eq!(BlockSizes::parse(&ident(), setup), None, "{setup:?}");
        }
        assert_eq!(BlockSizes::parse(&[], &setup(&[true])), None);
    }
}
