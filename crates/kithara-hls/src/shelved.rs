//! Playlists as they are kept beside a title: what is played and for how long, with names of the store in place of URLs.
//!
//! It is the same format, so that the same reader reads it; but nothing in it tells where anything came from.

use std::fmt::Write as _;
use std::ops::Range;
use std::time::Duration;

use crate::media::MediaPlaylist;
use crate::multivariant::Choice;

/// What a reference to a part of the store begins with.
pub(crate) const SCHEME: &str = "kithara-part";

/// A media playlist that has ended. `name` is what the store calls the part at a reference; without one for every segment there
/// is nothing to keep.
pub(crate) fn media(
    playlist: &MediaPlaylist,
    name: impl Fn(&str, Option<&Range<u64>>) -> Option<String>,
) -> Option<String> {
    let mut text = format!(
        "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-PLAYLIST-TYPE:VOD\n#EXT-X-TARGETDURATION:{}\n\
         #EXT-X-MEDIA-SEQUENCE:{}\n#EXT-X-DISCONTINUITY-SEQUENCE:{}\n",
        playlist.target_duration().as_secs(),
        playlist.first_sequence(),
        playlist.discontinuity_sequence(),
    );
    if let Some(start) = playlist.start() {
        let sign = if start.from_end { "-" } else { "" };
        let precise = if start.precise { ",PRECISE=YES" } else { "" };
        let offset = seconds(start.offset);
        let _ = writeln!(text, "#EXT-X-START:TIME-OFFSET={sign}{offset}{precise}");
    }
    let mut map = None;
    for segment in playlist.segments() {
        if let Some(init) = &segment.init
            && map != Some(init.index)
        {
            map = Some(init.index);
            let name = name(init.reference.as_str(), init.range.as_ref())?;
            let _ = writeln!(text, "#EXT-X-MAP:URI=\"{SCHEME}:{name}\"");
        }
        if segment.discontinuity {
            text += "#EXT-X-DISCONTINUITY\n";
        }
        if segment.gap {
            text += "#EXT-X-GAP\n";
        }
        let name = name(segment.reference, segment.range.as_ref())?;
        let length = seconds(segment.duration);
        let _ = writeln!(text, "#EXTINF:{length},\n{SCHEME}:{name}");
    }
    Some(text + "#EXT-X-ENDLIST\n")
}

/// What there is to choose from. `name` is what the store calls the media playlist at a reference.
pub(crate) fn multivariant(
    choices: &[Choice],
    name: impl Fn(&str) -> Option<String>,
) -> Option<String> {
    let mut text = "#EXTM3U\n".to_owned();
    for choice in choices {
        let bandwidth = choice.bandwidth.unwrap_or(0);
        let _ = write!(text, "#EXT-X-STREAM-INF:BANDWIDTH={bandwidth}");
        for (attribute, value) in [("CODECS", &choice.codecs), ("NAME", &choice.name)] {
            let plain = |value: &&String| !value.contains(['"', '\n', '\r', '{']);
            if let Some(value) = value.as_ref().filter(plain) {
                let _ = write!(text, ",{attribute}=\"{value}\"");
            }
        }
        let name = name(choice.reference.as_str())?;
        let _ = writeln!(text, "\n{SCHEME}:{name}");
    }
    Some(text)
}

fn seconds(time: Duration) -> String {
    format!("{}.{:06}", time.as_secs(), time.subsec_micros())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AudioPreference, ParseContext, Playlist};

    const MEDIA: &str = "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:7\n#EXT-X-MEDIA-SEQUENCE:41\n\
        #EXT-X-START:TIME-OFFSET=-12.5,PRECISE=YES\n\
        #EXT-X-MAP:URI=\"https://canary.test/init?token=canary\",BYTERANGE=\"800@0\"\n\
        #EXT-X-KEY:METHOD=AES-128,URI=\"https://canary.test/key\",IV=0x1\n\
        #EXTINF:6.006001,\nhttps://canary.test/a?token=canary\n#EXTINF:5,\n#EXT-X-BYTERANGE:100@800\nb\n\
        #EXT-X-DISCONTINUITY\n#EXT-X-MAP:URI=\"other\"\n#EXTINF:4,\nc\n#EXT-X-GAP\n#EXTINF:3,\nd\n#EXT-X-ENDLIST\n";

    fn parse(text: &str) -> Playlist {
        Playlist::parse(text.as_bytes(), &ParseContext::default()).expect("a playlist")
    }

    #[test]
    fn what_is_kept_plays_the_same_and_tells_nothing_of_where_it_came_from() {
        let text = MEDIA.replace("0x1", "0x00000000000000000000000000000001");
        let Playlist::Media(before) = parse(&text) else {
            panic!("it has segments")
        };
        let name = |reference: &str, range: Option<&Range<u64>>| {
            Some(format!(
                "{:x}",
                reference.len() as u64 + range.map_or(0, |range| range.start)
            ))
        };
        let kept = media(&before, name).expect("names for all");
        assert!(!kept.contains("canary") && !kept.contains("KEY"), "{kept}");
        let Playlist::Media(after) = parse(&kept) else {
            panic!("it has segments")
        };
        assert!(after.is_ended());
        assert_eq!(after.start(), before.start());
        assert_eq!(after.target_duration(), before.target_duration());
        for (old, new) in before.segments().zip(after.segments()) {
            assert_eq!(
                (old.sequence, old.start, old.duration),
                (new.sequence, new.start, new.duration)
            );
            assert_eq!((old.discontinuity, old.gap), (new.discontinuity, new.gap));
            assert_eq!(old.discontinuity_sequence, new.discontinuity_sequence);
            assert_eq!(
                old.init.map(|init| init.index),
                new.init.map(|init| init.index)
            );
        }
        assert_eq!(media(&after, |_, _| None), None);
    }

    #[test]
    fn the_choice_that_is_kept_is_the_same_choice() {
        let text = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=64000,CODECS=\"mp4a.40.2\",NAME=\"low\"\nhttps://canary.test/a?canary\n\
            #EXT-X-STREAM-INF:BANDWIDTH=900000,CODECS=\"fLaC\"\nb\n";
        let choices = |text: &str| match parse(text) {
            Playlist::Multivariant(list) => {
                list.choose(&AudioPreference::default()).expect("choices")
            }
            Playlist::Media(_) => panic!("it has variants"),
        };
        let before = choices(text);
        let kept = multivariant(&before.variants, |reference| {
            Some(format!("{:x}", reference.len()))
        });
        let kept = kept.expect("names for all");
        assert!(!kept.contains("canary"), "{kept}");
        assert_eq!(choices(&kept).infos(), before.infos());
    }
}
