//! What a store tells when it is asked.

use crate::AssetId;

/// One stored title. The store knows no URLs: compare [`id`](Self::id) with [`AssetStore::asset`](crate::AssetStore::asset).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AssetInfo {
    /// Which title.
    pub id: AssetId,
    /// What it takes on disk, in bytes.
    pub bytes: u64,
    /// Something is stored, and nothing of it is half there.
    pub complete: bool,
    /// The user pinned it: it is never removed to make room.
    pub pinned: bool,
    /// Somebody in this process has it open.
    pub open: bool,
    /// The store's logical clock at its last use: greater means later.
    pub used: u64,
    /// When it was last compared with its origin, in seconds since 1970.
    pub validated_at: Option<u64>,
}

/// How full a store is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Usage {
    /// What all titles take, in bytes.
    pub bytes: u64,
    /// How many titles there are.
    pub assets: usize,
    /// What the pinned ones among them take, in bytes.
    pub pinned_bytes: u64,
    /// How many bytes there may be.
    pub max_bytes: u64,
    /// How many titles there may be.
    pub max_assets: usize,
}

/// What clearing a store came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cleared {
    /// How many titles were removed.
    pub removed: usize,
    /// How many stay because somebody, here or in another process, has them open.
    pub in_use: usize,
    /// How many stay because they are pinned.
    pub pinned: usize,
}
