//! HLS (RFC 8216): playlists and the plan that turns a playhead into the next segment to fetch.
//!
//! It is going to be pure like `kithara-file`: playlists and facts in, wishes out, no socket, disk or clock. It speaks of
//! time and segment numbers, never of byte offsets in a title. Nothing of it exists yet; opening a playlist is refused
//! by name.
