//! What tests of the workspace share: a scripted fault server, the media fixtures, a watched allocator.
//!
//! It is **not** a general web server and not a mock of any type of the library: it speaks real HTTP/1.1 over a real
//! loopback socket, byte for byte as a script says, politely or not.
//!
//! ```text
//!   test ── serve(path, Script) ──►  FaultServer (own thread, own runtime)
//!     │                                   ▲   │ bytes, faults, gates
//!     └── code under test ── HTTP ────────┘   └─► log: requests, connections, bytes sent
//! ```
//!
//! Start reading at [`server::FaultServer`], then [`server::Script`]; media is in [`fixtures`], an allocator that counts in
//! [`allocations`].
//!
//! ```
//! use kithara_tests::{fixtures::fixture, server::{FaultServer, Script}};
//!
//! let server = FaultServer::start();
//! let bytes = fixture("mp3-cbr.mp3").bytes();
//! server.serve("/a.mp3", Script::file(bytes).media_type("audio/mpeg").cut_after(4096));
//! assert!(server.url("/a.mp3").starts_with("http://127.0.0.1:"));
//! assert!(server.requests().is_empty());
//! ```

#![cfg_attr(rtsan, feature(sanitize))]

pub mod allocations;
pub mod fixtures;
pub mod server;
