//! Where decoding stands.

/// Where in the decoded timeline the next frame lies.
#[derive(Debug)]
pub(crate) struct Timeline {
    /// The position of the next decoded frame.
    pub(crate) next: u64,
    /// Frames before this one are decoded and dropped.
    pub(crate) from: u64,
    /// Frames of silence still to be given before anything else.
    pub(crate) silence: u64,
    /// Where the container would put the next packet, by the one before it; `None` after a jump.
    pub(crate) container: Option<u64>,
    /// Frames of the last good packet.
    pub(crate) last_frames: u64,
    /// The position is certain.
    pub(crate) exact: bool,
    /// The decoder has given what it kept back.
    pub(crate) drained: bool,
    pub(crate) ended: bool,
}

impl Timeline {
    /// Before anything was decoded, `from` being the first frame that is wanted.
    pub(crate) fn at(next: u64, from: u64) -> Self {
        Self {
            next,
            from,
            silence: 0,
            container: None,
            last_frames: 0,
            exact: true,
            drained: false,
            ended: false,
        }
    }
}
