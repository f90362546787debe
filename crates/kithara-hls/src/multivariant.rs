//! A multivariant playlist, and what of it there is to listen to.

use kithara_abr::VariantInfo;

use crate::codecs::{Sort, entries};
use crate::data::SessionData;
use crate::drop_reason::{DropReason, Dropped};
use crate::error::PlaylistError;
use crate::media::Start;
use crate::note::{Notes, PlaylistNote};
use crate::rendition::{AudioPreference, AudioRendition};
use crate::text::{Reference, front};
use crate::variables::Variables;

/// One variant as the playlist lists it (EXT-X-STREAM-INF).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListedVariant {
    /// The line of its tag, from 1 on.
    pub line: u32,
    /// Its media playlist.
    pub reference: Reference,
    /// The most bits per second that it takes, where that is said.
    pub bandwidth: Option<u64>,
    /// Bits per second on average, where that is said.
    pub average_bandwidth: Option<u64>,
    /// Its codecs (RFC 6381), where they are said.
    pub codecs: Option<String>,
    /// The group of its audio renditions.
    pub audio_group: Option<String>,
    /// What some servers call it.
    pub name: Option<String>,
    /// Whether it is said to have pictures.
    pub has_resolution: bool,
}

/// Variants and renditions, and what is said about all of them.
#[derive(Clone, Debug, Default)]
pub struct MultivariantPlaylist {
    pub(crate) variants: Vec<ListedVariant>,
    pub(crate) renditions: Vec<AudioRendition>,
    pub(crate) dropped: Vec<Dropped>,
    pub(crate) session_data: Vec<SessionData>,
    pub(crate) start: Option<Start>,
    pub(crate) independent_segments: bool,
    pub(crate) variables: Variables,
    pub(crate) notes: Notes,
}

/// Something to listen to: a media playlist, and what is known before it is loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Choice {
    /// The media playlist: of a variant, or of its rendition.
    pub reference: Reference,
    /// The most bits per second that it takes, where that is said. With a rendition this counts what belongs to it, too.
    pub bandwidth: Option<u64>,
    /// The codecs of its sound, as announced.
    pub codecs: Option<String>,
    /// What the server calls it.
    pub name: Option<String>,
    /// The place of its rendition in [`MultivariantPlaylist::renditions`].
    pub rendition: Option<usize>,
}

/// What there is to listen to, in the playlist's order, and what was left out.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Choices {
    /// Never empty, each reference once.
    pub variants: Vec<Choice>,
    /// What was left out, and why.
    pub dropped: Vec<Dropped>,
}

impl MultivariantPlaylist {
    /// What there is to listen to, for a listener with these wishes.
    ///
    /// Left out are variants without sound, without a usable bandwidth or reference, with renditions that are missing or in a
    /// codec that can't be decoded; and those that carry pictures along, if others carry the sound alone.
    ///
    /// # Errors
    /// [`PlaylistError::NoVariants`], with the reasons, if nothing is left.
    pub fn choose(&self, preference: &AudioPreference) -> Result<Choices, PlaylistError> {
        let mut dropped = self.dropped.clone();
        // Whether it is sound alone, and the line.
        let mut kept: Vec<(Choice, bool, u32)> = Vec::new();
        for variant in &self.variants {
            match self.judge(variant, preference) {
                Err(reason) => dropped.push(Dropped::new(variant.line, reason)),
                Ok((choice, alone)) => keep(&mut kept, (choice, alone, variant.line)),
            }
        }
        let any_alone = kept.iter().any(|(_, alone, _)| *alone);
        let mut variants = Vec::new();
        for (choice, alone, line) in kept {
            if any_alone && !alone {
                dropped.push(Dropped::new(line, DropReason::CarriesVideo));
            } else {
                variants.push(choice);
            }
        }
        if variants.is_empty() {
            return Err(PlaylistError::NoVariants { dropped });
        }
        Ok(Choices { variants, dropped })
    }

    /// All variants that have a reference and a bandwidth that can be, in the playlist's order.
    #[must_use]
    pub fn variants(&self) -> &[ListedVariant] {
        &self.variants
    }

    /// All audio renditions, in the playlist's order.
    #[must_use]
    pub fn renditions(&self) -> &[AudioRendition] {
        &self.renditions
    }

    /// What is said about the session.
    #[must_use]
    pub fn session_data(&self) -> &[SessionData] {
        &self.session_data
    }

    /// Where to begin, for all media playlists that don't say so themselves.
    #[must_use]
    pub fn start(&self) -> Option<Start> {
        self.start
    }

    /// Whether every segment of every variant can be decoded without those before it.
    #[must_use]
    pub fn has_independent_segments(&self) -> bool {
        self.independent_segments
    }

    /// What media playlists can import: the parent of their [`ParseContext`](crate::ParseContext).
    #[must_use]
    pub fn variables(&self) -> &Variables {
        &self.variables
    }

    /// What is odd about it, at most 64 things.
    #[must_use]
    pub fn notes(&self) -> &[PlaylistNote] {
        self.notes.kept()
    }

    /// One variant: what of it is to be loaded, and whether that is sound alone.
    fn judge(
        &self,
        variant: &ListedVariant,
        preference: &AudioPreference,
    ) -> Result<(Choice, bool), DropReason> {
        let codecs = variant.codecs.as_deref().unwrap_or_default();
        let of = |wanted: fn(Sort) -> bool| entries(codecs).filter(move |(_, sort)| wanted(*sort));
        let mut sound = of(|sort| !matches!(sort, Sort::Video | Sort::Text));
        let has_sound = sound.next().is_some();
        let has_video = of(|sort| sort == Sort::Video).next().is_some()
            || (codecs.is_empty() && variant.has_resolution);
        let rendition = self.rendition(variant, preference)?;
        if rendition.is_none() && !codecs.is_empty() && !has_sound {
            return Err(DropReason::VideoOnly);
        }
        let playable = of(|sort| matches!(sort, Sort::Audio | Sort::Unknown)).next();
        if let (Some((codec, _)), None) = (of(|sort| sort == Sort::OtherAudio).next(), playable) {
            return Err(DropReason::Codec(front(codec)));
        }
        let elsewhere = rendition.and_then(|index| self.renditions.get(index));
        let elsewhere = elsewhere.and_then(|rendition| rendition.reference.clone());
        let alone = elsewhere.is_some() || !has_video;
        let named = rendition.and_then(|index| self.renditions.get(index));
        let named = named.map(|rendition| rendition.name.clone());
        let sound: Vec<_> = of(|sort| !matches!(sort, Sort::Video | Sort::Text))
            .map(|(codec, _)| codec)
            .collect();
        let choice = Choice {
            reference: elsewhere.unwrap_or_else(|| variant.reference.clone()),
            bandwidth: variant.bandwidth.or(variant.average_bandwidth),
            codecs: (!sound.is_empty()).then(|| sound.join(",")),
            name: variant.name.clone().or(named),
            rendition,
        };
        Ok((choice, alone))
    }

    /// The rendition for a listener, if the variant has any.
    fn rendition(
        &self,
        variant: &ListedVariant,
        preference: &AudioPreference,
    ) -> Result<Option<usize>, DropReason> {
        let Some(group) = &variant.audio_group else {
            return Ok(None);
        };
        let of_group = self.renditions.iter().filter(|one| one.group == *group);
        let best = preference.best(of_group).ok_or(DropReason::GroupMissing)?;
        let place = self
            .renditions
            .iter()
            .position(|one| std::ptr::eq(one, best));
        Ok(place)
    }
}

impl Choices {
    /// What the rule that chooses between them sees: the place in [`variants`](Self::variants), and the bandwidth.
    #[must_use]
    pub fn ladder(&self) -> Vec<kithara_abr::Variant> {
        let variant = |(variant_index, choice): (usize, &Choice)| kithara_abr::Variant {
            variant_index,
            bandwidth_bps: choice.bandwidth.unwrap_or(0),
        };
        self.variants.iter().enumerate().map(variant).collect()
    }

    /// What a listener who chooses by hand sees.
    #[must_use]
    pub fn infos(&self) -> Vec<VariantInfo> {
        let info = |(index, choice): (usize, &Choice)| {
            let mut info = VariantInfo::new(index);
            info.bandwidth_bps = choice.bandwidth;
            info.name.clone_from(&choice.name);
            info.codecs.clone_from(&choice.codecs);
            info
        };
        self.variants.iter().enumerate().map(info).collect()
    }
}

/// Variants that lead to the same audio are one: the bandwidth of the least one is nearest to that of the audio.
fn keep(kept: &mut Vec<(Choice, bool, u32)>, new: (Choice, bool, u32)) {
    let same = kept
        .iter_mut()
        .find(|(known, ..)| known.reference == new.0.reference);
    match same {
        None => kept.push(new),
        Some(known)
            if new
                .0
                .bandwidth
                .is_some_and(|bps| known.0.bandwidth.is_none_or(|known| bps < known)) =>
        {
            *known = new;
        }
        Some(_) => {}
    }
}
