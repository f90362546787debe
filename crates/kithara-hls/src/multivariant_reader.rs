//! Reads multivariant playlists (RFC 8216 §4.3.4).

use crate::attributes::Tag;
use crate::data::SessionData;
use crate::drop_reason::{DropReason, Dropped};
use crate::error::{Limit, PlaylistError};
use crate::limits::KEPT;
use crate::lines::{Content, Lines};
use crate::media_reader::start;
use crate::multivariant::{ListedVariant, MultivariantPlaylist};
use crate::note::Oddity;
use crate::playlist::ParseContext;
use crate::rendition::AudioRendition;
use crate::survey::{Kind, kind_of};
use crate::text::Reference;
use crate::value::integer;
use crate::variables::{Definitions, Variables};

/// A variant whose reference has not come yet.
#[derive(Debug)]
struct Pending {
    variant: ListedVariant,
    bandwidth_is_wrong: bool,
}

#[derive(Debug)]
pub(crate) struct MultivariantReader<'a> {
    context: &'a ParseContext<'a>,
    playlist: MultivariantPlaylist,
    variables: Definitions,
    pending: Option<Pending>,
    /// Variants and renditions of all sorts.
    count: usize,
}

impl<'a> MultivariantReader<'a> {
    pub(crate) fn read(
        lines: Lines<'_>,
        context: &'a ParseContext<'a>,
    ) -> Result<MultivariantPlaylist, PlaylistError> {
        let mut reader = Self {
            context,
            playlist: MultivariantPlaylist::default(),
            variables: Definitions::new(context.limits.bytes),
            pending: None,
            count: 0,
        };
        for line in lines {
            let line = line?;
            match line.content {
                Content::Reference(text) => reader.handle_reference(line.number, &text)?,
                Content::Tag(name, value) => reader.handle_tag(line.number, name, &value)?,
            }
        }
        reader.give_up_pending();
        reader.playlist.variables = reader.variables.into_variables();
        Ok(reader.playlist)
    }

    fn handle_tag(&mut self, line: u32, name: &str, value: &str) -> Result<(), PlaylistError> {
        match name {
            "EXT-X-STREAM-INF" => {
                self.give_up_pending();
                self.count(line)?;
                let variables = &self.variables;
                let tag = Tag::read(line, "EXT-X-STREAM-INF", value, variables)?;
                self.pending = Some(variant(&tag)?);
            }
            "EXT-X-I-FRAME-STREAM-INF" => {
                self.count(line)?;
                let dropped = Dropped::new(line, DropReason::IFramesOnly);
                self.playlist.dropped.push(dropped);
            }
            "EXT-X-MEDIA" => {
                self.count(line)?;
                let tag = Tag::read(line, "EXT-X-MEDIA", value, &self.variables)?;
                match rendition(&tag)? {
                    Some(rendition) => self.playlist.renditions.push(rendition),
                    None if tag.get("TYPE") == Some("AUDIO") => {
                        self.playlist.notes.add(line, Oddity::Rendition);
                    }
                    // Video, subtitles, captions.
                    None => {}
                }
            }
            "EXT-X-SESSION-DATA" => {
                let variables = &self.variables;
                let tag = Tag::read(line, "EXT-X-SESSION-DATA", value, variables)?;
                let data = SessionData::read(&tag)?;
                match data.filter(|_| self.playlist.session_data.len() < KEPT) {
                    Some(data) => self.playlist.session_data.push(data),
                    None => self.playlist.notes.add(line, Oddity::Data),
                }
            }
            "EXT-X-START" => {
                let tag = Tag::read(line, "EXT-X-START", value, &self.variables)?;
                self.playlist.start = start(&tag);
                if self.playlist.start.is_none() {
                    self.playlist.notes.add(line, Oddity::Start);
                }
            }
            "EXT-X-DEFINE" => {
                let query = self.context.query;
                let none = Variables::default();
                self.variables.define(line, value, &none, query)?;
            }
            "EXT-X-INDEPENDENT-SEGMENTS" => self.playlist.independent_segments = true,
            _ if kind_of(name) == Some(Kind::Media) => {
                self.playlist.notes.add(line, Oddity::OtherKind);
            }
            // Steering, session keys, versions, and what is not known.
            _ => {}
        }
        Ok(())
    }

    fn handle_reference(&mut self, line: u32, text: &str) -> Result<(), PlaylistError> {
        let reference = self.variables.replace(line, "URI", text)?;
        let Some(mut pending) = self.pending.take() else {
            self.playlist.notes.add(line, Oddity::StrayReference);
            return Ok(());
        };
        let reason = if reference.trim().is_empty() {
            DropReason::NoReference
        } else if pending.bandwidth_is_wrong {
            DropReason::Bandwidth
        } else {
            pending.variant.reference = Reference::new(&reference);
            self.playlist.variants.push(pending.variant);
            return Ok(());
        };
        let dropped = Dropped::new(pending.variant.line, reason);
        self.playlist.dropped.push(dropped);
        Ok(())
    }

    fn give_up_pending(&mut self) {
        if let Some(pending) = self.pending.take() {
            let dropped = Dropped::new(pending.variant.line, DropReason::NoReference);
            self.playlist.dropped.push(dropped);
        }
    }

    fn count(&mut self, line: u32) -> Result<(), PlaylistError> {
        let most = self.context.limits.variants;
        if self.count >= most {
            return Err(PlaylistError::TooLarge {
                limit: Limit::Variants,
                most: most as u64,
                line,
            });
        }
        self.count += 1;
        Ok(())
    }
}

fn variant(tag: &Tag<'_>) -> Result<Pending, PlaylistError> {
    let owned = |name| Ok(tag.text(name)?.map(Into::into));
    let (bandwidth, average) = (tag.get("BANDWIDTH"), tag.get("AVERAGE-BANDWIDTH"));
    let stated = bandwidth.map(bits);
    Ok(Pending {
        bandwidth_is_wrong: stated == Some(None),
        variant: ListedVariant {
            line: tag.line,
            reference: Reference::new(""),
            bandwidth: stated.flatten(),
            average_bandwidth: average.and_then(bits),
            codecs: owned("CODECS")?,
            audio_group: owned("AUDIO")?,
            name: owned("NAME")?,
            has_resolution: tag.get("RESOLUTION").is_some(),
        },
    })
}

/// Bits per second; a fraction of one is let go.
fn bits(text: &str) -> Option<u64> {
    let whole = text.split_once('.').map_or(text, |(whole, _)| whole);
    integer(whole).filter(|bits| *bits > 0)
}

fn rendition(tag: &Tag<'_>) -> Result<Option<AudioRendition>, PlaylistError> {
    let group = tag.text("GROUP-ID")?;
    let Some(group) = group.filter(|_| tag.get("TYPE") == Some("AUDIO")) else {
        return Ok(None);
    };
    let channels = tag.text("CHANNELS")?;
    let channels = channels.and_then(|text| text.split('/').next().and_then(integer));
    let characteristics = tag.text("CHARACTERISTICS")?.unwrap_or_default();
    let reference = tag.text("URI")?;
    Ok(Some(AudioRendition {
        group: group.into_owned(),
        name: tag.text("NAME")?.unwrap_or_default().into_owned(),
        language: tag.text("LANGUAGE")?.map(Into::into),
        default: tag.says_yes("DEFAULT"),
        autoselect: tag.says_yes("AUTOSELECT") || tag.says_yes("DEFAULT"),
        channels: channels.and_then(|count| u32::try_from(count).ok()),
        describes_video: characteristics.contains("describes-video"),
        reference: reference.map(|text| Reference::new(&text)),
    }))
}
