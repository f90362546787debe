//! Promises of the client, kept against servers that lie, stall, break and redirect.

#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

#[path = "../support/mod.rs"]
mod support;

mod connections;
mod content;
mod credentials;
mod crowd;
mod frames;
mod http2;
mod proxy;
mod ranges;
mod redirects;
mod refresh;
mod resume;
mod timing;
mod tls;
