//! Alternative audio (EXT-X-MEDIA), and which of it a listener gets.

use crate::text::Reference;

/// One audio rendition of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AudioRendition {
    /// The group that variants name.
    pub group: String,
    /// What a listener sees.
    pub name: String,
    /// Its language (RFC 5646).
    pub language: Option<String>,
    /// Whether it is for those who don't choose.
    pub default: bool,
    /// Whether it may be chosen for a listener by language.
    pub autoselect: bool,
    /// How many channels it has, where that is said.
    pub channels: Option<u32>,
    /// Whether it describes pictures for those who don't see them.
    pub describes_video: bool,
    /// Its media playlist; `None` if it is in the variants' own streams.
    pub reference: Option<Reference>,
}

/// What a listener would like to hear. The default is the server's default, with two channels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AudioPreference {
    /// The language, as `de` or `pt-BR`: first the same, then the same before the hyphen.
    pub language: Option<String>,
    /// The name of a rendition.
    pub name: Option<String>,
    /// The most channels.
    pub channels: Option<u32>,
}

/// What counts first stands first.
type Rank = (u8, bool, bool, i64, bool, bool, i64);

impl AudioPreference {
    /// The best of some renditions: by language, name, channels if asked for, the server's default, channels anyhow, and order.
    pub(crate) fn best<'a>(
        &self,
        renditions: impl Iterator<Item = &'a AudioRendition>,
    ) -> Option<&'a AudioRendition> {
        let mut best: Option<(Rank, &AudioRendition)> = None;
        for rendition in renditions {
            let rank = self.rank(rendition);
            if best.is_none_or(|(known, _)| rank > known) {
                best = Some((rank, rendition));
            }
        }
        best.map(|(_, rendition)| rendition)
    }

    fn rank(&self, rendition: &AudioRendition) -> Rank {
        let language = match (&self.language, &rendition.language) {
            (Some(wanted), Some(has)) if wanted.eq_ignore_ascii_case(has) => 2,
            (Some(wanted), Some(has)) if primary(wanted).eq_ignore_ascii_case(primary(has)) => 1,
            _ => 0,
        };
        let named = self
            .name
            .as_ref()
            .is_some_and(|wanted| *wanted == rendition.name);
        let fit = self.fit(rendition);
        (
            language,
            named,
            !rendition.describes_video,
            if self.channels.is_some() { fit } else { 0 },
            rendition.default,
            rendition.autoselect,
            fit,
        )
    }

    /// The more channels the better, up to what is wanted; beyond that the fewer.
    fn fit(&self, rendition: &AudioRendition) -> i64 {
        let wanted = i64::from(self.channels.unwrap_or(2));
        match rendition.channels.map(i64::from) {
            None => wanted.min(2),
            Some(channels) if channels <= wanted => channels,
            Some(channels) => -channels,
        }
    }
}

fn primary(language: &str) -> &str {
    language.split(['-', '_']).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `name language channels` with `*` for the default, `+` for autoselect, `d` for described video.
    fn rendition(text: &str) -> AudioRendition {
        let mut words = text.split(' ');
        let name = words.next().unwrap_or_default().to_owned();
        let mut next = || words.next().filter(|word| *word != "-");
        let language = next().map(str::to_owned);
        let channels = next().and_then(|word| word.parse().ok());
        let marks = next().unwrap_or_default();
        AudioRendition {
            group: "g".to_owned(),
            name,
            language,
            default: marks.contains('*'),
            autoselect: marks.contains('+'),
            channels,
            describes_video: marks.contains('d'),
            reference: None,
        }
    }

    #[test]
    fn the_listeners_wish_comes_before_the_servers() {
        let group = [
            "commentary en 2 -",
            "English en 2 +*",
            "English6 en 6 +",
            "Deutsch de 2 +",
            "Oesterreich de-AT 2 +",
            "Brasil pt-BR - +",
            "Described de 2 +d",
        ]
        .map(rendition);
        for (language, name, channels, expected) in [
            (None, None, None, "English"),
            (None, None, Some(6), "English6"),
            (None, None, Some(1), "Brasil"),
            (None, Some("commentary"), None, "commentary"),
            (Some("de"), None, None, "Deutsch"),
            (Some("DE-at"), None, None, "Oesterreich"),
            (Some("de-CH"), None, None, "Deutsch"),
            (Some("pt"), None, None, "Brasil"),
            (Some("de"), Some("Described"), None, "Described"),
            (Some("de"), Some("English"), None, "Deutsch"),
            (Some("fr"), None, None, "English"),
        ] {
            let preference = AudioPreference {
                language: language.map(str::to_owned),
                name: name.map(str::to_owned),
                channels,
            };
            let best = preference.best(group.iter()).map(|best| best.name.as_str());
            assert_eq!(best, Some(expected), "{preference:?}");
        }
        assert_eq!(AudioPreference::default().best([].iter()), None);
    }
}
