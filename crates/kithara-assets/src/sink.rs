//! Transforming bytes on their way into the store.

use std::error::Error;

use crate::{AssetError, Entry};

/// Changes bytes on their way into the store: what is stored is what is read. Decryption is one; a user's own may be
/// another.
///
/// It is fed the bytes in order, in chunks of any size.
pub trait ChunkTransform: Send {
    /// Takes the next bytes and appends what they become to `out`, which may be nothing yet.
    ///
    /// # Errors
    /// Whatever is wrong with the bytes: it reaches the caller as [`AssetError::Transform`].
    fn transform(
        &mut self,
        chunk: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Box<dyn Error + Send + Sync>>;

    /// Appends what is still held back: all bytes have been seen.
    ///
    /// # Errors
    /// If they can't have been all.
    fn finish(&mut self, _out: &mut Vec<u8>) -> Result<(), Box<dyn Error + Send + Sync>> {
        Ok(())
    }
}

/// Writes bytes into an [`Entry`] through a [`ChunkTransform`], in order, from one offset on.
pub struct EntrySink<'a> {
    entry: &'a Entry,
    offset: u64,
    transform: Box<dyn ChunkTransform>,
    out: Vec<u8>,
}

impl<'a> EntrySink<'a> {
    pub(crate) fn new(entry: &'a Entry, offset: u64, transform: Box<dyn ChunkTransform>) -> Self {
        Self {
            entry,
            offset,
            transform,
            out: Vec::new(),
        }
    }

    /// Transforms and stores the next bytes. Doesn't wait for the disk.
    ///
    /// # Errors
    /// [`AssetError::Transform`], or [`AssetError::Bytes`] as [`Entry::write`].
    pub fn write(&mut self, chunk: &[u8]) -> Result<(), AssetError> {
        self.transform
            .transform(chunk, &mut self.out)
            .map_err(AssetError::Transform)?;
        self.store()
    }

    /// Stores what the transform held back; the offset behind the last byte stored.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn finish(mut self) -> Result<u64, AssetError> {
        self.transform
            .finish(&mut self.out)
            .map_err(AssetError::Transform)?;
        self.store()?;
        Ok(self.offset)
    }

    /// The offset at which the next transformed byte goes.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    fn store(&mut self) -> Result<(), AssetError> {
        self.entry.write(self.offset, &self.out)?;
        self.offset += self.out.len() as u64;
        self.out.clear();
        Ok(())
    }
}
