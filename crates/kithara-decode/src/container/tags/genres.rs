//! The genres that ID3v1 numbers, up to 79 by the standard and from there on by Winamp.

/// Calls for each genre that a value names: by its text, by a number, or by numbers in brackets with a text behind them
/// (ID3v2.3 §4.2.1).
pub(super) fn named(value: &str, mut take: impl FnMut(&str)) {
    if let Some(genre) = value.parse().ok().and_then(by_number) {
        return take(genre);
    }
    let mut rest = value;
    while let Some((inside, behind)) = rest.strip_prefix('(').and_then(|rest| rest.split_once(')'))
    {
        let genre = match inside {
            "RX" => Some("Remix"),
            "CR" => Some("Cover"),
            _ => inside.parse().ok().and_then(by_number),
        };
        let Some(genre) = genre else {
            break;
        };
        // A text refines the number before it, and mostly repeats it.
        if behind.is_empty() || behind.starts_with('(') {
            take(genre);
        }
        rest = behind;
    }
    // Two opening brackets are one that is meant.
    let rest = rest
        .strip_prefix('(')
        .filter(|text| text.starts_with('('))
        .unwrap_or(rest);
    if !rest.trim().is_empty() {
        take(rest.trim());
    }
}

pub(super) fn by_number(number: u32) -> Option<&'static str> {
    GENRES.get(number as usize).copied()
}

#[rustfmt::skip]
const GENRES: [&str; 192] = [
    "Blues", "Classic Rock", "Country", "Dance", "Disco", "Funk", "Grunge", "Hip-Hop", "Jazz", "Metal", "New Age", "Oldies",
    "Other", "Pop", "R&B", "Rap", "Reggae", "Rock", "Techno", "Industrial", "Alternative", "Ska", "Death Metal", "Pranks",
    "Soundtrack", "Euro-Techno", "Ambient", "Trip-Hop", "Vocal", "Jazz+Funk", "Fusion", "Trance", "Classical",
    "Instrumental", "Acid", "House", "Game", "Sound Clip", "Gospel", "Noise", "Alternative Rock", "Bass", "Soul", "Punk",
    "Space", "Meditative", "Instrumental Pop", "Instrumental Rock", "Ethnic", "Gothic", "Darkwave", "Techno-Industrial",
    "Electronic", "Pop-Folk", "Eurodance", "Dream", "Southern Rock", "Comedy", "Cult", "Gangsta", "Top 40",
    "Christian Rap", "Pop/Funk", "Jungle", "Native American", "Cabaret", "New Wave", "Psychedelic", "Rave", "Showtunes",
    "Trailer", "Lo-Fi", "Tribal", "Acid Punk", "Acid Jazz", "Polka", "Retro", "Musical", "Rock & Roll", "Hard Rock",
    "Folk", "Folk-Rock", "National Folk", "Swing", "Fast Fusion", "Bebop", "Latin", "Revival", "Celtic", "Bluegrass",
    "Avantgarde", "Gothic Rock", "Progressive Rock", "Psychedelic Rock", "Symphonic Rock", "Slow Rock", "Big Band",
    "Chorus", "Easy Listening", "Acoustic", "Humour", "Speech", "Chanson", "Opera", "Chamber Music", "Sonata", "Symphony",
    "Booty Bass", "Primus", "Porn Groove", "Satire", "Slow Jam", "Club", "Tango", "Samba", "Folklore", "Ballad",
    "Power Ballad", "Rhythmic Soul", "Freestyle", "Duet", "Punk Rock", "Drum Solo", "A Cappella", "Euro-House",
    "Dance Hall", "Goa", "Drum & Bass", "Club-House", "Hardcore", "Terror", "Indie", "BritPop", "Afro-Punk",
    "Polsk Punk", "Beat", "Christian Gangsta Rap", "Heavy Metal", "Black Metal", "Crossover", "Contemporary Christian",
    "Christian Rock", "Merengue", "Salsa", "Thrash Metal", "Anime", "JPop", "Synthpop", "Abstract", "Art Rock", "Baroque",
    "Bhangra", "Big Beat", "Breakbeat", "Chillout", "Downtempo", "Dub", "EBM", "Eclectic", "Electro", "Electroclash",
    "Emo", "Experimental", "Garage", "Global", "IDM", "Illbient", "Industro-Goth", "Jam Band", "Krautrock", "Leftfield",
    "Lounge", "Math Rock", "New Romantic", "Nu-Breakz", "Post-Punk", "Post-Rock", "Psytrance", "Shoegaze", "Space Rock",
    "Trop Rock", "World Music", "Neoclassical", "Audiobook", "Audio Theatre", "Neue Deutsche Welle", "Podcast",
    "Indie Rock", "G-Funk", "Dubstep", "Garage Rock", "Psybient",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_told_by_its_name_and_a_text_as_it_is() {
        for (value, genres) in [
            ("17", &["Rock"][..]),
            ("(17)", &["Rock"]),
            ("(17)Rock", &["Rock"]),
            ("(4)Eurodisco", &["Eurodisco"]),
            ("(51)(39)", &["Techno-Industrial", "Noise"]),
            ("(RX)(CR)", &["Remix", "Cover"]),
            ("(191)", &["Psybient"]),
            ("((I think so)", &["(I think so)"]),
            ("Rock (live)", &["Rock (live)"]),
            ("(255)", &["(255)"]),
            ("(17", &["(17"]),
            ("(", &["("]),
            ("99999999999", &["99999999999"]),
            ("Zydeco", &["Zydeco"]),
        ] {
            let mut found = Vec::new();
            named(value, |genre| found.push(genre.to_owned()));
            assert_eq!(found, genres, "{value}");
        }
        assert_eq!(by_number(79), Some("Hard Rock"));
        assert_eq!(by_number(255), None);
    }
}
