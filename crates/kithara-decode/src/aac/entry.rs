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
/// What looks like replication in it is, if the block cut off just before `is_core`.
pub(super) fn is_entry(block: &[u8], core: Core, mut is_core: impl FnMut(&[u8]) -> bool) -> bool {
    let mut found = replications(block);
    found.retain(|replication| enters(block, *replication, core).is_some());
    found
        .iter()
        .any(|replication| is_core(&cut(block, replication.element)))
}

/// The block up to a bit, and an end.
fn cut(block: &[u8], at: usize) -> Vec<u8> {
    let mut writer = BitWriter::copy(block, at);
    writer.put(3, 7);
    writer.into_bytes()
}

/// Reads replication data up to the grids (§4.4.2.8); `None` if they are not what an entry needs.
fn enters(block: &[u8], replication: Replication, core: Core) -> Option<()> {
    let mut bits = Bits::new(block);
    bits.skip(replication.body);
    flag(&mut bits, true)?;
    // The header: resolution, start, stop, crossover, reserved; then what it has more.
    bits.take(1 + 4 + 4 + 3 + 2)?;
    let (bands, limiter) = (bits.take(1)?, bits.take(1)?);
    bits.take(5 * bands as usize)?;
    bits.take(6 * limiter as usize)?;
    let extra = bits.take(1)?;
    match core {
        Core::Channel => {
            bits.take(4 * extra as usize)?;
            is_plain_grid(&mut bits)
        }
        Core::Pair => {
            bits.take(8 * extra as usize)?;
            let coupled = bits.take(1)? == 1;
            is_plain_grid(&mut bits)?;
            if coupled {
                return Some(());
            }
            is_plain_grid(&mut bits)
        }
    }
}

/// Class `FIXFIX`, which is from begin to end of the packet; its envelopes and their resolution follow.
fn is_plain_grid(bits: &mut Bits<'_>) -> Option<()> {
    flag(bits, false)?;
    flag(bits, false)?;
    bits.take(3).map(drop)
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
            ("no header", Core::Channel, "0".to_owned(), false),
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
        }
    }
}
