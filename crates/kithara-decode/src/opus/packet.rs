//! How many frames a packet brings, by its first two bytes (RFC 6716 §3.1, §3.2).

use super::PACKET_FRAMES;

/// The frames of a packet at 48 kHz; `None` for one that cannot be.
pub(crate) fn frames(packet: &[u8]) -> Option<u32> {
    let toc = *packet.first()?;
    let configuration = usize::from(toc >> 3);
    // SILK, hybrid, CELT.
    let each = match configuration {
        0..12 => [480, 960, 1920, 2880][configuration & 3],
        12..16 => [480, 960][configuration & 1],
        _ => [120, 240, 480, 960][configuration & 3],
    };
    let count = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => u32::from(packet.get(1)? & 63),
    };
    Some(each * count).filter(|frames| (1..=PACKET_FRAMES).contains(frames))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_told_by_the_first_bytes() {
        let toc = |configuration: u8, code: u8| configuration << 3 | code;
        for (packet, expected) in [
            (&[][..], None),
            // One frame of SILK: 10, 20, 40, 60 ms.
            (&[toc(0, 0)], Some(480)),
            (&[toc(1, 0)], Some(960)),
            (&[toc(10, 0)], Some(1920)),
            (&[toc(11, 0)], Some(2880)),
            // Hybrid: 10, 20 ms.
            (&[toc(12, 0)], Some(480)),
            (&[toc(15, 0)], Some(960)),
            // CELT: 2.5, 5, 10, 20 ms.
            (&[toc(16, 0)], Some(120)),
            (&[toc(31, 0)], Some(960)),
            // Two frames, alike or not.
            (&[toc(11, 1)], Some(5760)),
            (&[toc(16, 2)], Some(240)),
            // As many as the second byte says, 120 ms at most.
            (&[toc(16, 3)], None),
            (&[toc(16, 3), 0], None),
            (&[toc(16, 3), 0x80 | 48], Some(5760)),
            (&[toc(16, 3), 49], None),
            (&[toc(11, 3), 3], None),
            (&[toc(15, 3), 6], Some(5760)),
        ] {
            assert_eq!(frames(packet), expected, "{packet:02x?}");
        }
    }
}
