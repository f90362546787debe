//! What comes out of the rule.

/// Which variant to fetch next, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AbrDecision {
    /// The [`variant_index`](crate::Variant::variant_index) of the variant to fetch next.
    pub target_variant_index: usize,
    /// Why this one.
    pub reason: AbrReason,
    /// Whether it is another than before. True for the first one.
    pub changed: bool,
}

/// Why a variant was chosen or kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AbrReason {
    /// It is the first one.
    Initial,
    /// The listener chose it.
    ManualOverride,
    /// The network carries a better one, and enough is buffered.
    UpSwitch,
    /// The network no longer carries what was played.
    DownSwitch,
    /// Kept: the last switch was too short a time ago to go up.
    MinInterval,
    /// Kept: nothing is known about the network.
    NoEstimate,
    /// Kept: too little is buffered to go up.
    BufferTooLowForUpSwitch,
    /// Kept: nothing else is better.
    AlreadyOptimal,
    /// What was played is above the cap.
    Capped,
    /// What was played has failed.
    Failed,
    /// A segment came so slowly that another variant's is there sooner: give it up.
    Abandoned,
    /// Kept: every variant has failed a short time ago. [`next_retry`](crate::AbrController::next_retry) says until when.
    NoneAvailable,
}
