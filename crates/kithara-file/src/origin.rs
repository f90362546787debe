//! What the server has said about the file, and whether it still says the same.

use kithara_stream::net::{RangeSupport, ResponseHead, Validator, Validators};

/// The file as its server described it in the first response.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    pub(crate) total: Option<u64>,
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
            ranges: head.ranges == RangeSupport::Yes,
            media_type: head.media_type.clone(),
            end_proven: head.length_proof,
            validators: head.validators.clone(),
        }
    }

    /// The validator to send with further ranges: RFC 9110 §13.1.5 allows strong ones only.
    pub(crate) fn if_range(&self) -> Option<Validator> {
        self.validators.if_range()
    }

    /// Whether another version of the file could be told from this one.
    pub(crate) fn has_version(&self) -> bool {
        !self.validators.is_empty()
    }

    /// What differs between this file and the one a later response describes, if anything.
    pub(crate) fn change(&self, head: &ResponseHead) -> Option<String> {
        if let Some(what) = self.validators.conflict(&head.validators) {
            return Some(format!("its {what}"));
        }
        match (self.total, head.total) {
            (Some(old), Some(new)) if old != new => {
                Some(format!("its length, from {old} to {new} bytes"))
            }
            _ => None,
        }
    }
}
