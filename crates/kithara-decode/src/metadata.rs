//! What a title says of itself.

use std::fmt;
use std::sync::Arc;

use crate::ReplayGain;

/// What the container says about the title, as far as reading it cost nothing.
///
/// Everything is what the writer of the file put there: nothing is checked against anything. A text is at most 4 KiB of
/// UTF-8, without control characters around it; where a file gives several values of one field, they are joined by `"; "`.
/// What is not given is `None`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TrackMetadata {
    /// The title of the track.
    pub title: Option<String>,
    /// Who performs it.
    pub artist: Option<String>,
    /// The album it belongs to.
    pub album: Option<String>,
    /// Who performs the album.
    pub album_artist: Option<String>,
    /// Who wrote it.
    pub composer: Option<String>,
    /// Its number on the disc, from 1.
    pub track: Option<u32>,
    /// How many tracks the disc has.
    pub track_total: Option<u32>,
    /// The number of the disc in the album, from 1.
    pub disc: Option<u32>,
    /// How many discs the album has.
    pub disc_total: Option<u32>,
    /// Its genre; numbers of ID3 are given by name.
    pub genre: Option<String>,
    /// When it was released, as written: a year, or a date that mostly begins with one. See [`year`](Self::year).
    pub date: Option<String>,
    /// A free comment.
    pub comment: Option<String>,
    /// How loud it is.
    pub replay_gain: ReplayGain,
    /// Pictures in the order of the file, at most 16 and 8 MiB. See [`cover`](Self::cover).
    pub pictures: Vec<Picture>,
}

impl TrackMetadata {
    /// The year of [`date`](Self::date): the first four digits in it that stand by themselves.
    pub fn year(&self) -> Option<u16> {
        let mut groups = self.date.as_deref()?.split(|c: char| !c.is_ascii_digit());
        let year = groups.find(|group| group.len() == 4);
        // ISO 8601 without separators: 20030501.
        let packed = || self.date.as_deref()?.get(..8)?.get(..4);
        year.or_else(packed)?.parse().ok()
    }

    /// The picture to show: the first front cover, else the first that is no other thing, else the first; of each kind
    /// one whose bytes are at hand before one that was passed over.
    pub fn cover(&self) -> Option<&Picture> {
        let rank = |picture: &&Picture| (picture.kind, picture.bytes.is_none());
        self.pictures.iter().min_by_key(rank)
    }
}

/// What a picture shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum PictureKind {
    /// The front of the cover, or a picture of which nothing is said in a container that has covers only (MP4).
    Front,
    /// Anything else, or nobody says what.
    Other,
    /// The back of the cover.
    Back,
}

/// A picture that came with a title. Cloning it copies no bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Picture {
    kind: PictureKind,
    media_type: String,
    length: u64,
    bytes: Option<Arc<Vec<u8>>>,
}

impl Picture {
    /// A picture of these bytes. Its media type is told by them, if they are JPEG, PNG, GIF, WebP or BMP; else it is the one
    /// given.
    pub fn new(kind: PictureKind, media_type: &str, bytes: Vec<u8>) -> Self {
        Self {
            kind,
            media_type: recognised(&bytes).unwrap_or(media_type).to_owned(),
            length: bytes.len() as u64,
            bytes: Some(Arc::new(bytes)),
        }
    }

    /// A picture of so many bytes that was passed over.
    pub(crate) fn passed_over(kind: PictureKind, media_type: &str, length: u64) -> Self {
        Self {
            kind,
            media_type: media_type.to_owned(),
            length,
            bytes: None,
        }
    }

    /// What it shows.
    pub fn kind(&self) -> PictureKind {
        self.kind
    }

    /// Its media type, such as `image/jpeg`; `application/octet-stream` where nothing tells.
    pub fn media_type(&self) -> &str {
        &self.media_type
    }

    /// The encoded picture. `None` if it was passed over: it is large, and lies where fetching it would have held up the
    /// sound.
    pub fn bytes(&self) -> Option<&[u8]> {
        self.bytes.as_ref().map(|bytes| bytes.as_slice())
    }

    /// How many bytes it has, whether they are at hand or not.
    pub fn byte_len(&self) -> u64 {
        self.length
    }
}

impl fmt::Debug for Picture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Picture")
            .field("kind", &self.kind)
            .field("media_type", &self.media_type)
            .field("length", &self.length)
            .field("at_hand", &self.bytes.is_some())
            .finish()
    }
}

/// What the first bytes of a picture say it is.
fn recognised(bytes: &[u8]) -> Option<&'static str> {
    Some(match bytes {
        [0xff, 0xd8, 0xff, ..] => "image/jpeg",
        [0x89, b'P', b'N', b'G', ..] => "image/png",
        [b'G', b'I', b'F', b'8', ..] => "image/gif",
        [
            b'R',
            b'I',
            b'F',
            b'F',
            _,
            _,
            _,
            _,
            b'W',
            b'E',
            b'B',
            b'P',
            ..,
        ] => "image/webp",
        [b'B', b'M', ..] => "image/bmp",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_year_is_what_stands_by_itself_in_a_date() {
        for (date, year) in [
            ("2003", Some(2003)),
            ("2003-05-01", Some(2003)),
            ("2003-05-01T10:00:00Z", Some(2003)),
            ("01.05.2003", Some(2003)),
            ("20030501", Some(2003)),
            ("May 2003", Some(2003)),
            ("03", None),
            ("unknown", None),
            ("", None),
            ("é2", None),
        ] {
            let metadata = TrackMetadata {
                date: Some(date.to_owned()),
                ..TrackMetadata::default()
            };
            assert_eq!(metadata.year(), year, "{date:?}");
        }
        assert_eq!(TrackMetadata::default().year(), None);
    }

    #[test]
    fn the_front_cover_is_shown_and_rather_one_that_is_there() {
        let here = |kind| Picture::new(kind, "image/x", vec![0]);
        let away = |kind| Picture::passed_over(kind, "image/x", 9);
        use PictureKind::{Back, Front, Other};
        for (pictures, shown) in [
            (vec![], None),
            (vec![here(Back)], Some(0)),
            (vec![here(Back), here(Other), here(Front)], Some(2)),
            (vec![away(Front), here(Front)], Some(1)),
            (vec![away(Front), here(Other)], Some(0)),
            (vec![here(Other), here(Other)], Some(0)),
        ] {
            let metadata = TrackMetadata {
                pictures,
                ..TrackMetadata::default()
            };
            let cover = metadata.cover().map(std::ptr::from_ref);
            let wanted = shown.map(|at: usize| std::ptr::from_ref(&metadata.pictures[at]));
            assert_eq!(cover, wanted, "{:?}", metadata.pictures);
        }
    }

    #[test]
    fn bytes_say_better_than_words_what_a_picture_is() {
        for (bytes, media_type) in [
            (&b"\xff\xd8\xff\xe0"[..], "image/jpeg"),
            (b"\x89PNG\r\n", "image/png"),
            (b"GIF89a", "image/gif"),
            (b"RIFF\0\0\0\0WEBPVP8 ", "image/webp"),
            (b"BM\0\0", "image/bmp"),
            (b"<svg", "image/said"),
            (b"", "image/said"),
        ] {
            let picture = Picture::new(PictureKind::Front, "image/said", bytes.to_vec());
            assert_eq!(picture.media_type(), media_type);
            assert_eq!(picture.bytes(), Some(bytes));
            assert_eq!(picture.byte_len(), bytes.len() as u64);
        }
        let passed = Picture::passed_over(PictureKind::Front, "image/png", 1 << 30);
        assert_eq!((passed.bytes(), passed.byte_len()), (None, 1 << 30));
        assert!(format!("{passed:?}").len() < 200);
    }
}
