//! What a CODECS attribute says (RFC 6381), as far as it decides what is offered.

/// What one entry of the list is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sort {
    /// Sound that this library may be able to decode: the bytes decide.
    Audio,
    /// Sound that it certainly can't.
    OtherAudio,
    Video,
    Text,
    Unknown,
}

/// The entries of a list.
pub(crate) fn entries(codecs: &str) -> impl Iterator<Item = (&str, Sort)> {
    let entries = codecs.split(',').map(str::trim);
    entries
        .filter(|entry| !entry.is_empty())
        .map(|entry| (entry, sort(entry)))
}

fn sort(entry: &str) -> Sort {
    let lower = entry.to_ascii_lowercase();
    let (name, profile) = lower.split_once('.').unwrap_or((&lower, ""));
    match name {
        // ISO/IEC 14496-1 object types: AC-3, E-AC-3, DTS; 40.42 is xHE-AAC.
        "mp4a" => match profile {
            "a5" | "a6" | "a9" | "aa" | "ab" | "ac" | "40.42" => Sort::OtherAudio,
            _ => Sort::Audio,
        },
        "flac" | "alac" | "opus" | "mp3" | "vorbis" => Sort::Audio,
        "ac-3" | "ec-3" | "ac-4" | "dtsc" | "dtse" | "dtsh" | "dtsl" | "dtsx" | "mha1" | "mhm1"
        | "mhm2" | "iamf" => Sort::OtherAudio,
        "avc1" | "avc2" | "avc3" | "avc4" | "hvc1" | "hev1" | "dvh1" | "dvhe" | "dva1" | "dvav"
        | "vvc1" | "vvi1" | "av01" | "vp8" | "vp08" | "vp9" | "vp09" | "mp4v" | "s263" | "mjpg"
        | "jpeg" => Sort::Video,
        "stpp" | "wvtt" | "tx3g" | "c608" | "c708" => Sort::Text,
        _ => Sort::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_told_apart() {
        use Sort::{Audio, OtherAudio, Text, Unknown, Video};
        for (codecs, expected) in [
            ("", &[][..]),
            (" , ", &[]),
            ("mp4a.40.2", &[Audio]),
            ("avc1.42c00d, MP4A.40.5", &[Video, Audio]),
            ("fLaC", &[Audio]),
            ("Opus,alac", &[Audio, Audio]),
            ("ec-3,mp4a.a6,mp4a.40.42", &[OtherAudio; 3]),
            ("stpp.ttml.im1t", &[Text]),
            ("mp4a", &[Audio]),
            ("xyz\u{e9}.1", &[Unknown]),
        ] {
            let sorts: Vec<_> = entries(codecs).map(|(_, sort)| sort).collect();
            assert_eq!(sorts, expected, "{codecs}");
        }
    }
}
