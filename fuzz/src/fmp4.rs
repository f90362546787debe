//! Arbitrary boxes.

/// The smallest `ftyp` box.
const BRAND: &[u8] = b"\0\0\0\x14ftypisom\0\0\x02\0iso6";

/// Two bytes of flags, then boxes; a brand is put before them if they have none.
pub fn run(data: &[u8]) {
    let [claim, flags, boxes @ ..] = data else {
        return;
    };
    let branded = boxes.get(4..8) == Some(b"ftyp".as_slice());
    let mut file = if branded { Vec::new() } else { BRAND.to_vec() };
    file.extend_from_slice(boxes);
    crate::decode::open(*claim, *flags, file);
}
