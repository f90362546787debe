//! The cache: resources of titles on disk, shared between readers and processes, whole or clearly partial after a crash.
//!
//! It is going to stand between `kithara-stream` and `kithara-storage`. Until then each remote resource lives in an
//! anonymous temporary file that goes with it. It is **not** going to know HTTP or codecs. Nothing of it exists yet.
