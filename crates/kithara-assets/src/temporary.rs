//! Entries that belong to no cache.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::{AssetError, AssetStore, AssetStoreBuilder, Entry, Location, Reason, StoreOptions};

/// The store of those who have none: it has no folder, and so is nothing but a keeper for temporary files.
static NOWHERE: OnceLock<AssetStore> = OnceLock::new();

impl Entry {
    /// A resource that is shared with nobody and kept by nobody: its bytes lie in a temporary file without a name, which
    /// goes with the entry, or in memory where there can be none.
    ///
    /// # Errors
    /// [`AssetError::Unusable`] if the thread that writes such files can't be started.
    pub fn temporary() -> Result<Self, AssetError> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let store = nowhere()?;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let key = store.named("temporary", &number.to_string());
        let body = store.inner.registry.arrive(key, &store.inner).body;
        body.look(|| body.forget(Reason::NoFolder));
        let seat = body.sit_down();
        Ok(Self::new(store.inner.clone(), key, seat))
    }
}

fn nowhere() -> Result<AssetStore, AssetError> {
    if let Some(store) = NOWHERE.get() {
        return Ok(store.clone());
    }
    let options = StoreOptions {
        location: Location::Disk(None),
        ..StoreOptions::default()
    };
    let store = AssetStoreBuilder::new(options).build_nowhere()?;
    // Who comes second has made a keeper for nothing; it ends with its store.
    Ok(NOWHERE.get_or_init(|| store).clone())
}

#[cfg(test)]
mod tests {
    use kithara_storage::ResourceExt;

    use super::*;

    #[test]
    fn a_temporary_resource_is_read_as_it_was_written_and_shared_with_nobody() {
        let (one, other) = (Entry::temporary().unwrap(), Entry::temporary().unwrap());
        check(&one, 251);
        assert!(other.snapshot().coverage.is_empty());
    }

    #[test]
    fn a_temporary_resource_whose_origin_has_changed_stays_one() {
        let entry = Entry::temporary().unwrap();
        entry.write(0, &[1; 100]).unwrap();
        entry.discard();
        check(&entry, 241);
    }

    #[track_caller]
    fn check(entry: &Entry, modulus: u32) {
        let bytes: Vec<u8> = (0..20 << 20_u32)
            .map(|at: u32| (at % modulus) as u8)
            .collect();
        for (number, chunk) in bytes.chunks(1 << 20).enumerate() {
            entry.write((number << 20) as u64, chunk).unwrap();
            // More than memory holds: each mebibyte must have reached the file before the next comes.
            nowhere().unwrap().settle();
        }
        entry.complete(bytes.len() as u64).unwrap();
        let (mut read, mut buf) = (Vec::new(), vec![0; 1 << 20]);
        while read.len() < bytes.len() {
            let count = entry
                .resource()
                .read_at(read.len() as u64, &mut buf)
                .unwrap();
            assert!(count > 0, "byte {} is lost", read.len());
            read.extend_from_slice(&buf[..count]);
        }
        assert!(read == bytes);
        assert_eq!(entry.snapshot().memory_only, None);
        assert_eq!(entry.snapshot().not_kept, Some(Reason::NoFolder));
    }
}
