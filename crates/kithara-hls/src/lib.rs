//! HLS (RFC 8216 and its second edition): playlists, and what of them to fetch next.
//!
//! ```text
//!   bytes ──▶ lines ──▶ survey: which kind, how many, which target duration
//!                │
//!                ├──▶ MultivariantPlaylist ──wishes of a listener──▶ Choices, and why the rest was left out
//!                │            └── variables
//!                │                    ▼
//!                └──────────▶ MediaPlaylist: segments, 40 bytes and a reference each
//!                                 ├── keys, init sections: each once
//!                                 └── time ◀──▶ segment ◀──▶ media sequence number
//!                     reloads ──▶ Window: one timeline through all reloads, when to load next, where to join
//!                                    │
//!             kithara-abr ──────▶ HlsPlan: a line of segments in front of the reader ◀── kithara-drm
//!                                    │ wishes          ▲ facts
//!                                    ▼                 │
//!                                  kithara-stream: network, store, runs
//! ```
//!
//! References carry tokens, and show themselves in no print. It is **not** what fetches, stores or decodes: it has no socket, disk or
//! clock. It speaks of time and segment numbers, never of byte offsets in a title.
//!
//! Start reading at [`HlsPlan`] (`plan.rs`, then `plan/laying.rs`), or, for playlists alone, at [`Playlist::parse`], then
//! [`MediaPlaylist`], [`MultivariantPlaylist::choose`] and [`Window`].

mod attributes;
mod codecs;
mod config;
mod data;
mod date;
mod decryption;
mod drop_reason;
mod error;
mod event;
mod failure;
mod handle;
mod hls;
mod key_options;
mod limits;
mod lines;
mod media;
mod media_reader;
mod merge;
mod multivariant;
mod multivariant_reader;
mod note;
mod plan;
mod playlist;
mod protection;
mod reload;
mod rendition;
mod segments;
mod shelved;
mod survey;
mod text;
mod value;
mod variables;
mod window;

pub use config::{EncryptedCache, GapPolicy, HlsConfig, HlsPolicy};
pub use data::{DateRange, SessionData};
pub use date::ProgramTime;
pub use drop_reason::{DropReason, Dropped};
pub use error::{Limit, PlaylistError, Problem};
pub use event::{GapCause, HlsEvent, SegmentSource};
pub use failure::HlsError;
pub use handle::{HlsCommand, HlsHandle};
pub use hls::Hls;
pub use key_options::{Encrypted, KeyOptions, KeyRequest};
pub use kithara_abr as abr;
pub use kithara_drm as drm;
pub use limits::PlaylistLimits;
pub use lines::{is_playlist, is_playlist_media_type};
pub use media::{MediaPlaylist, PlaylistType, Segment, Start};
pub use multivariant::{Choice, Choices, ListedVariant, MultivariantPlaylist};
pub use note::{Oddity, PlaylistNote};
pub use plan::{HlsPlan, Holdings};
pub use playlist::{ParseContext, Playlist};
pub use protection::{Encryption, InitSection};
pub use reload::Freshness;
pub use rendition::{AudioPreference, AudioRendition};
pub use text::Reference;
pub use variables::Variables;
pub use window::{Merge, Window};
