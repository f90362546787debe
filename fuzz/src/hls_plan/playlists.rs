//! Playlists of arbitrary streams.

use std::fmt::Write as _;

use crate::script::Script;

/// A key and what begins like media, encrypted under it with a vector of zeros.
pub(super) const KEY: [u8; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
#[rustfmt::skip]
pub(super) const ENCRYPTED: [u8; 80] = [
    0x9a, 0x34, 0xb5, 0x31, 0x41, 0x1e, 0xc4, 0x3d, 0xc1, 0xf8, 0xae, 0xf2, 0xce, 0xb8, 0xae, 0xcc,
    0xdd, 0x27, 0x9a, 0xf7, 0x3d, 0x1a, 0xc8, 0x44, 0xcb, 0xea, 0x66, 0xad, 0xc1, 0x14, 0x61, 0x33,
    0xab, 0x25, 0x90, 0x71, 0xd0, 0x5a, 0xc7, 0x1e, 0x9d, 0x82, 0x8d, 0x56, 0x5d, 0x2b, 0x54, 0x05,
    0x35, 0xd3, 0x89, 0xa1, 0x8d, 0xac, 0xae, 0xa0, 0x95, 0xd0, 0x98, 0xee, 0x8f, 0x9f, 0x22, 0x9b,
    0x02, 0xba, 0x8e, 0x6f, 0x6a, 0x2d, 0x33, 0xa5, 0xcd, 0xb9, 0x8f, 0x6b, 0xc7, 0xd1, 0xe2, 0x21,
];

/// What a stream consists of.
pub(super) struct Stream {
    pub(super) variants: usize,
    /// Seconds of a segment.
    pub(super) target: u64,
    pub(super) kinds: Vec<Kind>,
    /// Segments in the window, if it moves, and when it stops moving, in seconds.
    pub(super) live: Option<(u64, u64)>,
    /// Bytes of a segment of the lowest variant.
    pub(super) bytes: u64,
}

/// What is particular about a segment.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Kind {
    init: u8,
    range: bool,
    encrypted: bool,
    discontinuity: bool,
    gap: bool,
    /// It is the same bytes as the one before.
    again: bool,
}

impl Stream {
    pub(super) fn new(script: &mut Script<'_>) -> Self {
        let variants = 1 + script.choice(3);
        let target = 1 + script.choice(8) as u64;
        let count = 1 + script.choice(14);
        let live = (script.byte() % 3 == 1).then(|| {
            let window = 1 + script.choice(6) as u64;
            (window, 5 + u64::from(script.byte()) / 2)
        });
        let bytes = 1 + script.number(60_000);
        let kinds = (0..count).map(|_| Kind::new(script)).collect();
        Self {
            variants,
            target,
            kinds,
            live,
            bytes,
        }
    }

    /// The multivariant playlist.
    pub(super) fn entry(&self) -> String {
        let mut text = "#EXTM3U\n".to_owned();
        for variant in 0..self.variants {
            let rate = self.bytes * 8 * (variant as u64 + 1) / self.target + 1;
            let _ = writeln!(
                text,
                "#EXT-X-STREAM-INF:BANDWIDTH={rate},CODECS=\"mp4a.40.2\"\nv{variant}.m3u8"
            );
        }
        text
    }

    /// The media playlist of a variant, so many seconds after the beginning.
    pub(super) fn list(&self, variant: usize, now: u64) -> String {
        let mut text = format!("#EXTM3U\n#EXT-X-TARGETDURATION:{}\n", self.target);
        let (first, end, over) = match self.live {
            None => (0, self.kinds.len() as u64, true),
            Some((window, stops)) => {
                let end = now.min(stops) / self.target + window / 2;
                (
                    end.saturating_sub(window),
                    end,
                    now >= stops && stops.is_multiple_of(2),
                )
            }
        };
        let _ = writeln!(text, "#EXT-X-MEDIA-SEQUENCE:{first}");
        let (mut init, mut encrypted) = (0, false);
        for number in first..end {
            let kind = self.kinds[number as usize % self.kinds.len()];
            if kind.init != init {
                init = kind.init;
                let range = if kind.range {
                    ",BYTERANGE=\"70@0\""
                } else {
                    ""
                };
                let _ = writeln!(text, "#EXT-X-MAP:URI=\"v{variant}-init{init}\"{range}");
            }
            if kind.encrypted != encrypted {
                encrypted = kind.encrypted;
                let key = match encrypted {
                    true => format!("AES-128,URI=\"key{}\",IV=0x0", number % 3),
                    false => "NONE".to_owned(),
                };
                let _ = writeln!(text, "#EXT-X-KEY:METHOD={key}");
            }
            if kind.discontinuity {
                text += "#EXT-X-DISCONTINUITY\n";
            }
            if kind.gap {
                text += "#EXT-X-GAP\n";
            }
            if kind.range {
                let (len, at) = (self.bytes.div_ceil(2), number % 2 * (self.bytes / 2));
                let _ = writeln!(text, "#EXT-X-BYTERANGE:{len}@{at}");
            }
            let name = number - u64::from(kind.again && number > first);
            let sort = if encrypted { "e" } else { "s" };
            let _ = writeln!(text, "#EXTINF:{},\nv{variant}-{sort}{name}", self.target);
        }
        if over {
            text += "#EXT-X-ENDLIST\n";
        }
        text
    }
}

impl Kind {
    fn new(script: &mut Script<'_>) -> Self {
        let (bits, rare) = (script.byte(), script.byte());
        Self {
            init: bits & 3,
            range: bits & 4 != 0,
            encrypted: bits & 0x18 == 0x18,
            again: bits & 0x60 == 0x60,
            discontinuity: rare & 7 == 7,
            gap: rare & 0x38 == 0x38,
        }
    }
}
