//! What the server has said about the file, and whether it still says the same.

use kithara_stream::assets::Facts;
use kithara_stream::net::{Etag, RangeSupport, ResponseHead, Validator, Validators};

/// The file as its server described it in the first response.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    pub(crate) total: Option<u64>,
    /// The length is where some response ended, and nothing proves that it was not cut off there.
    pub(crate) end_unproven: bool,
    pub(crate) ranges: bool,
    pub(crate) media_type: Option<String>,
    /// Whether the framing of the body proves where it ends.
    pub(crate) end_proven: bool,
    validators: Validators,
}

impl Origin {
    pub(crate) fn new(head: &ResponseHead) -> Self {
        Self {
            total: head.total,
            end_unproven: false,
            ranges: head.ranges == RangeSupport::Yes,
            media_type: head.media_type.clone(),
            end_proven: head.length_proof,
            validators: head.validators.clone(),
        }
    }

    /// As it was described when its bytes were stored, until the server is heard. That it serves ranges is not known
    /// then, and taken for granted: the first response tells.
    pub(crate) fn stored(facts: &Facts, end: Option<u64>) -> Self {
        Self {
            total: end.or(facts.total),
            // Who proves an end says so in the facts.
            end_unproven: facts.total.is_none(),
            ranges: true,
            media_type: facts.media_type.clone(),
            end_proven: true,
            validators: Validators {
                etag: facts.etag.as_deref().and_then(Etag::parse),
                last_modified: facts.last_modified.clone(),
            },
        }
    }

    /// What there is to keep beside the bytes.
    pub(crate) fn facts(&self) -> Facts {
        Facts {
            total: self.told_total(),
            etag: self
                .validators
                .etag
                .as_ref()
                .map(|tag| tag.as_str().to_owned()),
            last_modified: self.validators.last_modified.clone(),
            media_type: self.media_type.clone(),
        }
    }

    /// The validator to send with further ranges: RFC 9110 §13.1.5 allows strong ones only.
    pub(crate) fn if_range(&self) -> Option<Validator> {
        self.validators.if_range()
    }

    /// The length, if something proves it.
    pub(crate) fn told_total(&self) -> Option<u64> {
        self.total.filter(|_| !self.end_unproven)
    }

    /// Whether anything at all could tell the file from another one, or from a stream that never is the same twice.
    pub(crate) fn can_be_told(&self) -> bool {
        self.told_total().is_some() || self.has_version()
    }

    /// Whether another version of the file could be told from this one.
    pub(crate) fn has_version(&self) -> bool {
        !self.validators.is_empty()
    }

    /// Takes what a later response adds; whether it told the length.
    pub(crate) fn learn(&mut self, head: &ResponseHead) -> bool {
        let length = self.told_total().is_none() && head.total.is_some();
        if length {
            self.total = head.total;
            self.end_unproven = false;
        }
        self.end_proven = head.length_proof;
        if self.validators.is_empty() {
            self.validators = head.validators.clone();
        }
        length
    }

    /// What differs between this file and the one a later response describes, if anything.
    pub(crate) fn change(&self, head: &ResponseHead) -> Option<String> {
        if let Some(what) = self.validators.conflict(&head.validators) {
            return Some(format!("its {what}"));
        }
        match (self.told_total(), head.total) {
            (Some(old), Some(new)) if old != new => {
                Some(format!("its length, from {old} to {new} bytes"))
            }
            _ => None,
        }
    }
}
