//! How much of a tag is read: what comes by anyway.

use crate::fault::Result;
use crate::input::Input;
use crate::limits;

/// Of a large tag far away this much is read, and of one that is too large anywhere.
pub(super) const FRONT: u64 = 16 * 1024;
/// What is no longer than this arrives before what is behind it can be asked for.
const AT_HAND: u64 = 64 * 1024;

/// Whether a jump anywhere costs nothing.
pub(crate) fn is_near(input: &Input) -> bool {
    !input.is_remote() && input.is_seekable()
}

/// The longest tag that is read whole. Where there is no jumping far away, passing over it is reading it.
pub(crate) fn whole(is_remote: bool, is_seekable: bool) -> u64 {
    if is_remote && is_seekable {
        AT_HAND
    } else {
        limits::TAG_BYTES
    }
}

/// Reads the tag of so many bytes at the position, or its front, and moves behind it. Less where there is no memory for it, or
/// the bytes end.
pub(crate) fn take(input: &mut Input, length: u64) -> Result<Vec<u8>> {
    let at = input.pos();
    let most = if length <= whole(input.is_remote(), input.is_seekable()) {
        length
    } else {
        FRONT
    };
    let front = input.take_copy(most)?;
    input.seek(at.saturating_add(length));
    Ok(front)
}
