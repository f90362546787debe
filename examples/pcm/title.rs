//! What the title says of itself, for people.

use kithara::TrackMetadata;

/// A line for each thing that is known; empty if nothing is.
pub fn lines(metadata: &TrackMetadata) -> String {
    let number = |number: Option<u32>, total: Option<u32>| match (number, total) {
        (Some(number), Some(total)) => Some(format!("{number} of {total}")),
        (number, _) => number.map(|number| number.to_string()),
    };
    let gain = |gain: Option<f32>| gain.map(|gain| format!("{gain:+.2} dB"));
    let gains = &metadata.replay_gain;
    let fields = [
        ("title", metadata.title.clone()),
        ("artist", metadata.artist.clone()),
        ("album", metadata.album.clone()),
        ("album artist", metadata.album_artist.clone()),
        ("composer", metadata.composer.clone()),
        ("track", number(metadata.track, metadata.track_total)),
        ("disc", number(metadata.disc, metadata.disc_total)),
        ("date", metadata.date.clone()),
        ("genre", metadata.genre.clone()),
        ("comment", metadata.comment.clone()),
        ("track gain", gain(gains.track_gain)),
        ("album gain", gain(gains.album_gain)),
    ];
    let pictures = metadata.pictures.iter().map(|picture| {
        let away = if picture.bytes().is_none() {
            ", not read"
        } else {
            ""
        };
        let (kind, media_type) = (picture.kind(), picture.media_type());
        format!(
            "picture: {kind:?}, {media_type}, {} bytes{away}\n",
            picture.byte_len()
        )
    });
    let fields = fields.into_iter();
    let known = fields.filter_map(|(name, value)| Some(format!("{name}: {}\n", shown(&value?))));
    known.chain(pictures).collect()
}

/// Without what a terminal would obey: files may say anything.
fn shown(text: &str) -> String {
    text.replace(char::is_control, " ")
}
