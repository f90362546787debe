//! Two averages and a rule: which variant of a ladder to play next.
//!
//! Throughput samples, failures and the buffer level go in; a decision with its reason comes out.
//!
//! ```text
//!   samples ──▶ fast average ─┐
//!           └─▶ slow average ─┴─ lower ──▶ ┌────────────┐
//!   buffer, now, mode ───────────────────▶ │  the rule  │──▶ variant, reason
//!   failures ──▶ left alone for a minute ▶ └────────────┘
//!                                                ▲
//!                     ladder: lowest ... highest ┘
//! ```
//!
//! - **Up** when the throughput is 1.5 times what the better one takes, 10 s are buffered, and the last switch was 30 s ago.
//! - **Down** when the throughput is less than 0.8 times what this one takes, or 1.1 times with 5 s or less buffered. At once.
//! - **Away** from a variant that failed, and back when it has had a minute.
//! - **Now** from a segment that comes so slowly that a lower one is there sooner; one segment at most is fetched twice.
//!
//! Between 1.1 and 1.5 nothing happens, so a steady link makes no switches but the first ones.
//!
//! It is **not** what measures, fetches or switches; it has no clock, and knows nothing of HLS. Start reading at
//! [`AbrController`].

mod abandon;
mod controller;
mod decision;
mod estimator;
mod ladder;
mod options;
mod variant;

pub use abandon::SegmentWatch;
pub use controller::AbrController;
pub use decision::{AbrDecision, AbrReason};
pub use estimator::{Estimator, SampleSource, ThroughputEstimator, ThroughputSample};
pub use options::{AbrMode, AbrOptions};
pub use variant::{Variant, VariantInfo};
