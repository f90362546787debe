//! Arbitrary MPEG audio.

/// Two bytes of flags, then frames; a header with the second flag's bits is put before them if they have none.
pub fn run(data: &[u8]) {
    let [claim, flags, frames @ ..] = data else {
        return;
    };
    let framed =
        matches!(frames, [0xff, second, ..] if second & 0xe0 == 0xe0) || frames.starts_with(b"ID3");
    // MPEG-1 layer III, 128 kb/s, 44.1 kHz, with some of its bits free.
    let header = [0xff, 0xfb ^ (claim & 0x1e), 0x90 ^ (flags & 0x0f), 0x00];
    let mut file = if framed { Vec::new() } else { header.to_vec() };
    file.extend_from_slice(frames);
    crate::decode::open(*claim, *flags, file);
}
