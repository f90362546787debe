//! Where in the folder everything lies.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use crate::key::{hex, unhex};
use crate::{AssetId, ResourceKey};

/// The paths in one cache folder. Names are digests in hexadecimal, or fixed: short, in lower case, and good on every file
/// system.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pub(crate) root: PathBuf,
    /// It lies in the folder of a newer version.
    pub(crate) is_side: bool,
}

impl Layout {
    pub(crate) const MARKER: &'static str = "kithara.cache";
    pub(crate) const TAG: &'static str = "CACHEDIR.TAG";
    pub(crate) const INDEX: &'static str = "_index";
    pub(crate) const ASSETS: &'static str = "assets.bin";
    pub(crate) const CLOCK: &'static str = "clock.bin";
    pub(crate) const LEASE: &'static str = "lease";
    pub(crate) const FILL: &'static str = "fill";
    pub(crate) const USED: &'static str = "used";
    pub(crate) const PIN: &'static str = "pin";

    pub(crate) fn new(root: PathBuf) -> Self {
        Self {
            root,
            is_side: false,
        }
    }

    /// A folder for files of `version` in one of a newer version.
    pub(crate) fn beside_newer(root: &Path, version: u32) -> Self {
        Self {
            root: root.join(format!("v{version}")),
            is_side: true,
        }
    }

    pub(crate) fn index(&self) -> PathBuf {
        self.root.join(Self::INDEX)
    }

    pub(crate) fn clock(&self) -> PathBuf {
        self.index().join(Self::CLOCK)
    }

    pub(crate) fn assets(&self) -> PathBuf {
        self.index().join(Self::ASSETS)
    }

    /// The folder that a title shares with about one in 256.
    pub(crate) fn shelf(&self, asset: AssetId) -> PathBuf {
        self.root.join(hex(&asset.0[..1]))
    }

    pub(crate) fn asset(&self, asset: AssetId) -> PathBuf {
        self.shelf(asset).join(hex(&asset.0[1..]))
    }

    pub(crate) fn resource(&self, key: &ResourceKey) -> PathBuf {
        self.asset(key.asset).join(hex(&key.resource))
    }

    /// Whether a name in the root is a shelf, and for which first byte.
    pub(crate) fn parse_shelf(name: &OsStr) -> Option<[u8; 1]> {
        unhex(name.to_str()?)
    }

    /// The title whose folder has this name on this shelf.
    pub(crate) fn parse_asset(shelf: [u8; 1], name: &OsStr) -> Option<AssetId> {
        let rest: [u8; 31] = unhex(name.to_str()?)?;
        let mut id = [shelf[0]; 32];
        id[1..].copy_from_slice(&rest);
        Some(AssetId(id))
    }

    /// What a name in a title's folder is to us.
    pub(crate) fn parse_file(name: &OsStr) -> Named {
        let Some(name) = name.to_str() else {
            return Named::Foreign;
        };
        match name {
            Self::LEASE | Self::FILL | Self::USED => return Named::Ours,
            Self::PIN => return Named::Pin,
            _ => {}
        }
        let path = Path::new(name);
        let digest = path.file_stem().and_then(OsStr::to_str).unwrap_or_default();
        if unhex::<16>(digest).is_none() {
            return Named::Foreign;
        }
        match path.extension().and_then(OsStr::to_str) {
            None => Named::Whole,
            Some("part") => Named::Part,
            Some("log") => Named::Log,
            Some("index") => Named::Index,
            Some(_) => Named::Foreign,
        }
    }
}

/// What a name in a title's folder is to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Named {
    /// A committed resource.
    Whole,
    /// The bytes of a partial one.
    Part,
    /// Its log.
    Log,
    /// What was found out about where things lie in one, partial or not.
    Index,
    /// The user's pin.
    Pin,
    /// A lock or a note of ours.
    Ours,
    /// Nothing of ours: never touched, never counted.
    Foreign,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_names_are_taken_for_ours() {
        let asset = AssetId([0xab; 32]);
        let key = ResourceKey {
            asset,
            resource: [7; 16],
        };
        let layout = Layout::new(PathBuf::from("/cache"));
        let path = layout.resource(&key);
        let names: Vec<&OsStr> = path.iter().rev().take(3).collect();
        let shelf = Layout::parse_shelf(names[2]).unwrap();
        assert_eq!(Layout::parse_asset(shelf, names[1]), Some(asset));
        assert_eq!(Layout::parse_file(names[0]), Named::Whole);
        let digest = "07".repeat(16);
        let cases = [
            (format!("{digest}.part"), Named::Part),
            (format!("{digest}.log"), Named::Log),
            (format!("{digest}.index"), Named::Index),
            (format!("{digest}.txt"), Named::Foreign),
            (format!("{digest}.part.part"), Named::Foreign),
            (format!("{digest}."), Named::Foreign),
            (digest[1..].to_owned(), Named::Foreign),
            (digest.replace('7', "G"), Named::Foreign),
            ("AB".repeat(16), Named::Foreign),
            ("pin".to_owned(), Named::Pin),
            ("PIN".to_owned(), Named::Foreign),
            ("lease".to_owned(), Named::Ours),
            ("../lease".to_owned(), Named::Foreign),
            (String::new(), Named::Foreign),
        ];
        for (name, expected) in cases {
            assert_eq!(Layout::parse_file(OsStr::new(&name)), expected, "{name}");
        }
        for name in ["0", "000", "_index", "0G", "AB", "v1", ""] {
            assert_eq!(Layout::parse_shelf(OsStr::new(name)), None, "{name}");
        }
    }
}
