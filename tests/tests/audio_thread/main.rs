//! What may be called on an audio thread makes no system call there, takes no lock, allocates nothing and frees nothing:
//! the same deeds ([`deeds`]) under three guards. An allocator counts (`memory`); on Linux the kernel kills a process
//! that makes a call (`jail`); and every other thread is stopped wherever it is (`alone`). Where the compiler's real-time
//! sanitizer is built in (`.ci/realtime`), it watches what the allocator counts.

#![allow(clippy::unwrap_used)] // A promise that cannot be checked is a failed test.

#[path = "../support/child.rs"]
mod child;
#[path = "../support/network.rs"]
mod network;

#[cfg(target_os = "linux")]
mod alone;
mod deeds;
#[cfg(target_os = "linux")]
mod jail;
mod memory;
#[cfg(rtsan)]
mod sanitizer;

use kithara_tests::allocations::Watching;

#[global_allocator]
static ALLOCATOR: Watching = Watching;
