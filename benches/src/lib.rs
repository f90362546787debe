//! What the benches share: bounds, children, counters, and the decoder they compare with.
//!
//! Nothing here asserts a time. A bench prints [`Bounds`] line by line and fails at its end if one was broken. What
//! needs a process of its own (instructions, peak memory, a server that must not count) runs as a [`child`] of the same
//! program.
//!
//! Start reading at [`Bounds`], then at a bench: `traffic.rs` is the plainest.

pub mod callgrind;
pub mod child;
pub mod counting;
pub mod inputs;
pub mod plain;
pub mod process;

mod bounds;

pub use bounds::Bounds;

/// Whatever went wrong in a bench, for its last line.
pub type AnyError = Box<dyn std::error::Error + Send + Sync>;
