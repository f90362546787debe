//! Two averages and a rule: which variant of a ladder to play next.
//!
//! This crate is going to hold the pure part of adaptive bit rate: throughput samples and the buffer level go in, a
//! decision with its reason comes out. It is **not** what measures, fetches or switches, and it has no clock. Nothing of
//! it exists yet: it comes with HLS.
