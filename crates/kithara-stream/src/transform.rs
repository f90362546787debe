//! What bytes become on their way into a resource: decryption, or whatever the caller has put in its place.

use std::fmt;

/// Turns what a server sends into what is stored and read, piece by piece, from any place.
///
/// There is one path: what is stored is what is read. All offsets are those of the stored bytes, unless something else is said.
pub trait Transform: Send + Sync + fmt::Debug {
    /// Which byte of the server's to begin with, to have the stored bytes from `stored` on.
    fn source_start(&self, stored: u64) -> u64;

    /// Begins to transform what the server sends from [`source_start(stored)`](Self::source_start) on; what comes out begins
    /// with the byte `stored`.
    fn begin(&self, stored: u64) -> Box<dyn Transforming>;
}

/// A transformation under way.
pub trait Transforming: Send {
    /// Takes the next piece, and appends what it makes known.
    ///
    /// # Errors
    /// Why it is not what can be transformed; in a few words, without the bytes.
    fn update(&mut self, piece: &[u8], stored: &mut Vec<u8>) -> Result<(), String>;

    /// The server has sent everything: appends the rest.
    ///
    /// # Errors
    /// Why that cannot have been everything, or cannot be transformed.
    fn finish(&mut self, stored: &mut Vec<u8>) -> Result<(), String>;
}
