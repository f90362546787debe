//! What a protocol keeps beside the bytes of a title, to find its way among them without the network.

use bytes::Bytes;
use kithara_assets::{AssetStore, EntryState, Facts, Keep, ResourceKey};
use kithara_storage::ResourceExt;

/// No note is longer.
const MOST: u64 = 8 << 20;

/// A note, if all of it was kept. Blocks on the disk.
pub(crate) fn read(store: &AssetStore, key: &ResourceKey) -> Option<Bytes> {
    let entry = store.open(key);
    if entry.state() != EntryState::Ready {
        return None;
    }
    let resource = entry.resource();
    let len = resource.committed_len().filter(|len| *len <= MOST)?;
    let mut note = vec![0; usize::try_from(len).ok()?];
    let mut read = 0;
    while read < note.len() {
        match resource.read_at(read as u64, &mut note[read..]) {
            Ok(0) | Err(_) => return None,
            Ok(more) => read += more,
        }
    }
    Some(note.into())
}

/// Keeps a note in place of the one before. Blocks on the disk. What can't be kept is not: that shows in the next
/// [`read`].
pub(crate) fn write(store: &AssetStore, key: &ResourceKey, note: &Bytes) {
    let len = note.len() as u64;
    if len > MOST || len == 0 || read(store, key).as_ref() == Some(note) {
        return;
    }
    let entry = store.open(key);
    if entry.snapshot().coverage.total() > 0 {
        entry.discard();
    }
    let facts = Facts {
        total: Some(len),
        ..Facts::default()
    };
    let kept = entry.identify(facts, Keep::Yes).is_ok()
        && entry.claim(0..len) == (0..len)
        && entry.write(0, note).is_ok()
        && entry.complete(len).is_ok();
    if !kept {
        tracing::debug!(target: "kithara_stream", "a note is not kept");
    }
}
