//! Finding replication in a packet without decoding it.
//!
//! Elements can only be told apart from the front by decoding them; but a block ends in `ID_END` and zeros up to a whole byte,
//! and fill elements come last, so they can be tried from behind. One may agree by chance, several packets in a row do not.

use super::bits::Bits;

/// Fill elements behind the one that is looked for.
const BEHIND: u32 = 1;
/// `EXT_SBR_DATA` and `EXT_SBR_DATA_CRC`.
const PLAIN: u32 = 0xd;
const SUMMED: u32 = 0xe;

/// Where replication may lie in a raw data block (ISO/IEC 14496-3 §4.4.2.7), in bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Replication {
    /// Where its fill element begins.
    pub(super) element: usize,
    /// Where its header flag stands, behind the sum if there is one.
    pub(super) body: usize,
}

/// All that looks like replication at the end of a block.
pub(super) fn replications(block: &[u8]) -> Vec<Replication> {
    let mut found = Vec::new();
    let Some(last) = block.iter().rposition(|byte| *byte != 0) else {
        return found;
    };
    let end = (last + 1) * 8 - block[last].trailing_zeros() as usize;
    let bits = Bits::new(block);
    if let Some(end) = end.checked_sub(3)
        && bits.peek_at(end, 3) == Some(7)
    {
        collect(bits, end, BEHIND, &mut found);
    }
    found
}

/// The fill elements with the extension that end at this bit, perhaps with `depth` others behind them.
fn collect(bits: Bits<'_>, end: usize, depth: u32, found: &mut Vec<Replication>) {
    let short = (1..15).map(|count| (count, 7));
    let long = (15..=269).map(|count| (count, 15));
    for (count, head) in short.chain(long) {
        let Some(start) = end.checked_sub(count * 8 + head) else {
            break;
        };
        let fill = bits.peek_at(start, 3) == Some(6);
        let counted = if head == 7 {
            bits.peek_at(start + 3, 4) == Some(count as u32)
        } else {
            bits.peek_at(start + 3, 4) == Some(15)
                && bits.peek_at(start + 7, 8) == Some(count as u32 - 14)
        };
        if !fill || !counted {
            continue;
        }
        let behind = start + head + 4;
        match bits.peek_at(start + head, 4) {
            Some(PLAIN) => found.push(Replication {
                element: start,
                body: behind,
            }),
            Some(SUMMED) => found.push(Replication {
                element: start,
                body: behind + 10,
            }),
            // Plain filling may come behind.
            Some(0) if depth > 0 => collect(bits, start, depth - 1, found),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replication_is_found_at_the_end_of_a_block_and_nowhere_else() {
        // Filler, then a fill element of one byte with the extension, then the end, then zeros.
        let block = |payload: u8| {
            let bits = format!("{:08b}110{:04b}{payload:08b}111", 0b1010_0101, 1);
            let padded = format!("{bits:0<32}");
            u32::from_str_radix(&padded, 2).expect("bits").to_be_bytes()
        };
        let at = |element, body| vec![Replication { element, body }];
        assert_eq!(replications(&block(0xd5)), at(8, 19));
        assert_eq!(replications(&block(0xe5)), at(8, 29));
        assert_eq!(replications(&block(0x05)), []);
        assert_eq!(replications(&[]), []);
        assert_eq!(replications(&[0, 0, 0]), []);
    }
}
