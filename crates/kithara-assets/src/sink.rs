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

#[cfg(test)]
mod tests {
    use kithara_storage::ResourceExt;

    use super::*;
    use crate::{AssetStoreBuilder, Facts, Keep, StoreOptions};

    /// Turns each pair of bytes round; a byte without its other half is held back.
    #[derive(Default)]
    struct Swap(Option<u8>);

    impl ChunkTransform for Swap {
        fn transform(
            &mut self,
            chunk: &[u8],
            out: &mut Vec<u8>,
        ) -> Result<(), Box<dyn Error + Send + Sync>> {
            for byte in chunk {
                match self.0.take() {
                    Some(first) => out.extend([*byte, first]),
                    None => self.0 = Some(*byte),
                }
            }
            Ok(())
        }

        fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), Box<dyn Error + Send + Sync>> {
            match self.0.take() {
                Some(b'!') => Err("half a pair".into()),
                held => {
                    out.extend(held);
                    Ok(())
                }
            }
        }
    }

    fn entry() -> (crate::AssetStore, Entry) {
        let store = AssetStoreBuilder::new(StoreOptions::in_memory(1 << 20));
        let store = store.build().unwrap();
        let entry = store.open(&store.named("title", "resource"));
        entry.identify(Facts::default(), Keep::Yes).unwrap();
        (store, entry)
    }

    #[test]
    fn what_is_read_and_kept_is_what_the_transform_made_whatever_the_chunks() {
        for size in 1..=7 {
            let (store, entry) = entry();
            let mut sink = entry.sink(0, Box::new(Swap::default()));
            for chunk in b"abcdefg".chunks(size) {
                sink.write(chunk).unwrap();
                let even = sink.offset() % 2 == 0;
                assert!(even, "half a pair is not stored");
            }
            assert_eq!(sink.finish().unwrap(), 7);
            entry.complete(7).unwrap();
            let read = |entry: &Entry| {
                let mut buf = [0; 7];
                entry.resource().read_at(0, &mut buf).unwrap();
                buf
            };
            assert_eq!(&read(&entry), b"badcfeg");
            drop(entry);
            store.settle();
            let again = store.open(&store.named("title", "resource"));
            assert_eq!(&read(&again), b"badcfeg");
        }
    }

    #[test]
    fn a_transform_that_fails_is_told_and_what_it_made_before_stays() {
        let (_store, entry) = entry();
        let mut sink = entry.sink(10, Box::new(Swap::default()));
        sink.write(b"ab!").unwrap();
        let error = sink.finish().unwrap_err();
        assert!(matches!(error, AssetError::Transform(_)), "{error:?}");
        assert_eq!(entry.snapshot().coverage.iter().next(), Some(10..12));
    }
}
