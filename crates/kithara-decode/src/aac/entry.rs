//! Packets at which spectral band replication can be begun as if all packets before had been decoded.

use super::bits::{BitWriter, Bits};
use super::tail::{Replication, replications};

/// What of the core replication belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Core {
    Channel,
    Pair,
}

/// Whether this packet is such an entry: it repeats the header, with which nothing is coded as a difference to the packet before
/// (ISO/IEC 14496-3 §4.6.18.3.5), and the envelopes of all channels begin and end with it, so that each time it is decoded moves
/// noise and sines on by one packet.
///
/// What looks like replication in a packet is, if the block cut off just before `is_core`.
pub(super) fn is_entry(block: &[u8], core: Core, is_core: impl FnMut(&[u8]) -> bool) -> bool {
    brings(block, is_core, |bits| {
        flag(bits, true)?;
        header(bits)?;
        (0..grids(bits, core)?).try_for_each(|_| plain_grid(bits).map(drop))
    })
}

/// Whether this packet brings the header, and its envelopes begin with it.
pub(super) fn is_begin(block: &[u8], core: Core, is_core: impl FnMut(&[u8]) -> bool) -> bool {
    brings(block, is_core, |bits| {
        flag(bits, true)?;
        header(bits)?;
        begin_with_it(bits, core)
    })
}

/// Whether replication can be begun with this packet if its header is known: the envelopes of all channels begin and end with
/// it, and the first of each is not coded as a difference to one before it.
pub(super) fn is_clean(block: &[u8], core: Core, is_core: impl FnMut(&[u8]) -> bool) -> bool {
    brings(block, is_core, |bits| {
        if bits.take(1)? == 1 {
            header(bits)?;
        }
        let mut envelopes = [0; 2];
        let grids = grids(bits, core)?;
        for count in &mut envelopes[..grids] {
            *count = plain_grid(bits)?;
        }
        if core == Core::Pair && grids == 1 {
            envelopes[1] = envelopes[0];
        }
        for count in envelopes.into_iter().filter(|count| *count > 0) {
            flag(bits, false)?;
            // The other envelopes; then one noise floor, or two.
            bits.take(count - 1 + count.min(2))?;
        }
        Some(())
    })
}

/// Whether there is replication in this packet, and its data pass.
fn brings(
    block: &[u8],
    mut is_core: impl FnMut(&[u8]) -> bool,
    pass: impl Fn(&mut Bits<'_>) -> Option<()>,
) -> bool {
    let mut found = replications(block);
    found.retain(|replication| {
        let mut bits = Bits::new(block);
        bits.skip(replication.body);
        pass(&mut bits).is_some()
    });
    found
        .iter()
        .any(|replication| is_core(&cut(block, *replication)))
}

/// The block up to a bit, and an end.
fn cut(block: &[u8], replication: Replication) -> Vec<u8> {
    let mut writer = BitWriter::copy(block, replication.element);
    writer.put(3, 7);
    writer.into_bytes()
}

/// Reads a header behind its flag (§4.4.2.8).
fn header(bits: &mut Bits<'_>) -> Option<()> {
    // Resolution, start, stop, crossover, reserved; then what it has more.
    bits.take(1 + 4 + 4 + 3 + 2)?;
    let (bands, limiter) = (bits.take(1)?, bits.take(1)?);
    bits.take(5 * bands as usize)?;
    bits.take(6 * limiter as usize).map(drop)
}

/// Reads on to the first grid; how many there are.
fn grids(bits: &mut Bits<'_>, core: Core) -> Option<usize> {
    let extra = bits.take(1)? as usize;
    match core {
        Core::Channel => {
            bits.take(4 * extra)?;
            Some(1)
        }
        Core::Pair => {
            bits.take(8 * extra)?;
            // Coupled channels have one grid.
            Some(2 - bits.take(1)? as usize)
        }
    }
}

/// All grids begin with the packet, as far as that can be told: only behind a plain one is it known where the next stands.
fn begin_with_it(bits: &mut Bits<'_>, core: Core) -> Option<()> {
    if grids(bits, core)? == 2 {
        plain_grid(bits)?;
    }
    // Class `FIXFIX` or `FIXVAR`.
    flag(bits, false)
}

/// Class `FIXFIX`, which is from begin to end of the packet: how many envelopes there are.
fn plain_grid(bits: &mut Bits<'_>) -> Option<usize> {
    flag(bits, false)?;
    flag(bits, false)?;
    let envelopes = 1 << bits.take(2)?;
    // Their resolution.
    bits.take(1)?;
    Some(envelopes)
}

fn flag(bits: &mut Bits<'_>, wanted: bool) -> Option<()> {
    (bits.take(1)? == u32::from(wanted)).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A block of eight bits of core and this replication, filled up.
    fn block(replication: &str) -> Vec<u8> {
        let bits = format!("10100101110{:04b}1101{replication:0<84}111", 11);
        let bits = format!("{bits:0<112}");
        let byte = |at: usize| u8::from_str_radix(&bits[8 * at..8 * at + 8], 2).expect("bits");
        (0..14).map(byte).collect()
    }

    #[test]
    fn an_entry_has_a_header_and_plain_grids_of_all_channels() {
        let header = "1".to_owned() + &"0".repeat(14);
        for (what, core, bits, enters) in [
            ("no header", Core::Channel, "0 0 00".to_owned(), false),
            (
                "a plain grid",
                Core::Channel,
                format!("{header}00 0 00"),
                true,
            ),
            (
                "a grid that ends later",
                Core::Channel,
                format!("{header}00 0 01"),
                false,
            ),
            (
                "a grid that begins later",
                Core::Channel,
                format!("{header}00 0 10"),
                false,
            ),
            (
                "more in the header",
                Core::Channel,
                format!("{header}11 11111 111111 0 00"),
                true,
            ),
            (
                "reserved bits",
                Core::Channel,
                format!("{header}00 1 1111 00"),
                true,
            ),
            (
                "a coupled pair",
                Core::Pair,
                format!("{header}00 0 1 00"),
                true,
            ),
            (
                "two plain grids",
                Core::Pair,
                format!("{header}00 0 0 00 000 00"),
                true,
            ),
            (
                "one plain grid",
                Core::Pair,
                format!("{header}00 0 0 00 000 10"),
                false,
            ),
        ] {
            let block = block(&bits.replace(' ', ""));
            let mut cut = Vec::new();
            let found = is_entry(&block, core, |core| {
                cut = core.to_vec();
                true
            });
            assert_eq!(found, enters, "{what}");
            assert!(
                !found || cut == [0b1010_0101, 0b1110_0000],
                "{what}: {cut:?}"
            );
            assert!(!is_entry(&block, core, |_| false), "{what}");
            let begins = enters || what.contains("ends later");
            assert_eq!(is_begin(&block, core, |_| true), begins, "{what}");
            let clean = enters || what == "no header";
            assert_eq!(is_clean(&block, core, |_| true), clean, "{what}");
        }
    }
}
