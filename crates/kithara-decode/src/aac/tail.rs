//! Finding replication in a packet without decoding it.
//!
//! Elements can only be told apart from the front by decoding them; but a block ends in `ID_END` and zeros up to a whole byte,
//! and fill elements come last, so they can be tried from behind. One may agree by chance, several packets in a row do not.

use super::bits::Bits;

/// Places looked at where elements may end. Filling behind replication may look like several things.
const MAX_ENDS: usize = 16;
/// `EXT_FILL` and `EXT_FILL_DATA`.
const FILLING: [u32; 2] = [0, 1];
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
    let mut ends: Vec<usize> = end.checked_sub(3).into_iter().collect();
    ends.retain(|end| bits.peek_at(*end, 3) == Some(7));
    let mut at = 0;
    while let Some(end) = ends.get(at).copied().filter(|_| at < MAX_ENDS) {
        for fill in fills(bits, end) {
            let body = fill.data + 4;
            let behind = match bits.peek_at(fill.data, 4) {
                _ if fill.data == end => None,
                Some(PLAIN) => Some(body),
                Some(SUMMED) => Some(body + 10),
                Some(kind) if FILLING.contains(&kind) => None,
                _ => continue,
            };
            match behind {
                Some(body) => found.push(Replication {
                    element: fill.element,
                    body,
                }),
                None => ends.push(fill.element),
            }
        }
        at += 1;
    }
    found
}

/// A fill element, in bits.
struct Fill {
    element: usize,
    /// Where its extension begins, of four bits of type and what that is.
    data: usize,
}

/// All that look like a fill element that ends at this bit.
fn fills(bits: Bits<'_>, end: usize) -> impl Iterator<Item = Fill> {
    let short = (0..15).map(|count| (count, 7));
    let long = (15..=269).map(|count| (count, 15));
    short.chain(long).filter_map(move |(count, head)| {
        let element = end.checked_sub(count * 8 + head)?;
        let counted = match head {
            7 => bits.peek_at(element + 3, 4)? == count as u32,
            _ => {
                bits.peek_at(element + 3, 4)? == 15
                    && bits.peek_at(element + 7, 8)? == count as u32 - 14
            }
        };
        let is_fill = counted && bits.peek_at(element, 3)? == 6;
        is_fill.then_some(Fill {
            element,
            data: element + head,
        })
    })
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
        // Filling behind it: none, and a byte of each kind.
        for filling in ["1100000", "110000100000000", "110000100011010"] {
            let bits = format!("1010010111000011101010{}{filling}111", 1);
            let bits = format!("{bits:0<48}");
            let bytes = u64::from_str_radix(&bits, 2).expect("bits").to_be_bytes();
            let found = replications(&bytes[2..]);
            assert!(found.contains(&at(8, 19)[0]), "{filling}: {found:?}");
        }
        assert_eq!(replications(&[]), []);
        assert_eq!(replications(&[0, 0, 0]), []);
    }
}
