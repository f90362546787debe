//! The containers, one file each.

pub(crate) mod adts;
pub(crate) mod aiff;
mod blocks;
pub(crate) mod caf;
mod ebml;
pub(crate) mod flac;
pub(crate) mod flac_frame;
pub(crate) mod frames;
pub(crate) mod iso;
pub(crate) mod mkv;
mod mkv_track;
pub(crate) mod mpeg;
pub(crate) mod mpeg_header;
pub(crate) mod ogg;
mod ogg_extent;
mod ogg_page;
mod packets;
pub(crate) mod tags;
pub(crate) mod wav;
