//! From bytes to one of the two kinds of playlist.

use crate::error::PlaylistError;
use crate::limits::PlaylistLimits;
use crate::lines::lines;
use crate::media::MediaPlaylist;
use crate::media_reader::MediaReader;
use crate::multivariant::MultivariantPlaylist;
use crate::multivariant_reader::MultivariantReader;
use crate::survey::{Kind, Survey};
use crate::variables::Variables;

/// What is known about a playlist besides its bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct ParseContext<'a> {
    /// How large it may be.
    pub limits: PlaylistLimits,
    /// The query of the URL that the playlist came from, for variables that stand there. It is a secret.
    pub query: Option<&'a str>,
    /// The variables of the multivariant playlist that led here. With them, another multivariant playlist is refused.
    pub parent: Option<&'a Variables>,
}

/// A playlist of either kind. What it is follows from its tags, not from its name or media type.
#[derive(Clone, Debug)]
pub enum Playlist {
    /// Variants to choose from.
    Multivariant(MultivariantPlaylist),
    /// Segments to play.
    Media(MediaPlaylist),
}

impl Playlist {
    /// Reads a playlist: any that players play, strict only where a wrong guess would be heard or would cost something.
    ///
    /// Takes time in proportion to the length of `bytes`, and memory within the limits. Does not block. Standards: RFC 8216 and
    /// its second edition (draft-pantos-hls-rfc8216bis), up to version 12.
    ///
    /// # Errors
    /// Every [`PlaylistError`]; [`NoVariants`](PlaylistError::NoVariants) and [`Nested`](PlaylistError::Nested) for
    /// multivariant playlists only.
    ///
    /// ```
    /// use kithara_hls::{ParseContext, Playlist};
    ///
    /// let text = b"#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXTINF:5.5,\na.aac\n#EXTINF:6,\nb.aac\n#EXT-X-ENDLIST\n";
    /// let Playlist::Media(playlist) = Playlist::parse(text, &ParseContext::default())? else {
    ///     panic!("it has segments");
    /// };
    /// assert_eq!(playlist.len(), 2);
    /// assert_eq!(playlist.duration().as_millis(), 11_500);
    /// # Ok::<(), kithara_hls::PlaylistError>(())
    /// ```
    pub fn parse(bytes: &[u8], context: &ParseContext<'_>) -> Result<Self, PlaylistError> {
        let context = ParseContext {
            limits: context.limits.capped(),
            ..*context
        };
        let lines = lines(bytes, context.limits)?;
        let survey = Survey::of(lines.clone())?;
        match survey.kind() {
            None => Err(PlaylistError::NotAPlaylist {
                what: "a playlist of nothing",
            }),
            Some(Kind::Multivariant) if context.parent.is_some() => Err(PlaylistError::Nested),
            Some(Kind::Multivariant) => {
                let read = MultivariantReader::read(lines, &context)?;
                Ok(Self::Multivariant(read))
            }
            Some(Kind::Media) => {
                let read = MediaReader::read(lines, &survey, &context)?;
                Ok(Self::Media(read))
            }
        }
    }
}

impl MediaPlaylist {
    /// Reads a playlist that has to be a media playlist: what a variant leads to, or one that is loaded again.
    ///
    /// # Errors
    /// Those of [`Playlist::parse`], and [`PlaylistError::Nested`] for a multivariant one.
    pub fn parse(bytes: &[u8], context: &ParseContext<'_>) -> Result<Self, PlaylistError> {
        let none = Variables::default();
        let context = ParseContext {
            parent: context.parent.or(Some(&none)),
            ..*context
        };
        match Playlist::parse(bytes, &context)? {
            Playlist::Media(playlist) => Ok(playlist),
            Playlist::Multivariant(_) => Err(PlaylistError::Nested),
        }
    }
}
