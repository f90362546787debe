//! What all titles take: a cache of what the folder says.

use std::collections::HashMap;
use std::io;

use bincode::{Decode, Encode};
use kithara_storage::{Access, Disk, EXTENT, Listed, ListedKind};
use sha2::{Digest, Sha256};

use crate::AssetId;
use crate::layout::{Layout, Named};
use crate::note::Used;

/// How many bytes of a log speak of one extent.
const LOG_RECORD: u64 = 32;

/// The longest index that is read: more titles than anybody has.
const MAX_INDEX: u64 = 64 << 20;

const MAGIC: [u8; 8] = *b"kthrind1";

/// `magic | check` before the list.
const HEADER: usize = 40;

/// What one title takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Account {
    pub(crate) bytes: u64,
    pub(crate) used: u64,
    pub(crate) complete: bool,
    pub(crate) pinned: bool,
}

/// What all titles take.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ledger {
    accounts: HashMap<AssetId, Account>,
    bytes: u64,
    /// It comes from the folder itself, not from what was written down.
    pub(crate) scanned: bool,
    /// How many bytes were saved since it was read or scanned.
    pub(crate) grown: u64,
}

impl Ledger {
    /// What was written down when the last store here ended. Anything wrong with it is as if there were none.
    pub(crate) fn load(disk: &dyn Disk, layout: &Layout) -> Option<Self> {
        let file = disk.open(&layout.assets(), Access::Read).ok()?;
        let len = file.len().ok().filter(|len| *len <= MAX_INDEX)?;
        let mut bytes = vec![0; usize::try_from(len).ok()?];
        let mut got = 0;
        while got < bytes.len() {
            match file.read_at(got as u64, &mut bytes[got..]).ok()? {
                0 => return None,
                count => got += count,
            }
        }
        Self::from_bytes(&bytes)
    }

    /// Writes it down. Not synced and not renamed: after a crash its check tells.
    pub(crate) fn store(&self, disk: &dyn Disk, layout: &Layout) -> io::Result<()> {
        let file = disk.open(&layout.assets(), Access::Create)?;
        let bytes = self.to_bytes();
        file.write_at(0, &bytes)?;
        file.set_len(bytes.len() as u64)
    }

    /// Says on disk that what was written down no longer counts.
    pub(crate) fn spoil(disk: &dyn Disk, layout: &Layout) {
        // If it can't be removed, this store is about to find out more about its disk than that.
        let _ = disk.remove_file(&layout.assets());
    }

    /// What the folder itself says. Only directories with names like ours are looked into.
    pub(crate) fn scan(disk: &dyn Disk, layout: &Layout) -> io::Result<Self> {
        let mut ledger = Self {
            scanned: true,
            ..Self::default()
        };
        for shelf in directories(disk.list(&layout.root)?) {
            let Some(first) = Layout::parse_shelf(&shelf.name) else {
                continue;
            };
            let path = layout.root.join(&shelf.name);
            // A shelf that can't be read holds nothing that could be removed either.
            for asset in directories(disk.list(&path).unwrap_or_default()) {
                if let Some(id) = Layout::parse_asset(first, &asset.name) {
                    ledger.measure(disk, layout, id);
                }
            }
        }
        Ok(ledger)
    }

    /// Looks one title up in the folder.
    pub(crate) fn measure(&mut self, disk: &dyn Disk, layout: &Layout, id: AssetId) {
        match disk.list(&layout.asset(id)) {
            Ok(listed) => {
                let Some(mut account) = account(&listed) else {
                    return self.set(id, None);
                };
                account.used = match self.accounts.get(&id) {
                    Some(known) if known.used > 0 => known.used,
                    _ => Used::read(disk, &layout.asset(id).join(Layout::USED)).used,
                };
                self.set(id, Some(account));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.set(id, None),
            // It may be there or not: what was known stays.
            Err(_) => {}
        }
    }

    pub(crate) fn set(&mut self, id: AssetId, account: Option<Account>) {
        let before = match account {
            Some(account) => {
                self.bytes = self.bytes.saturating_add(account.bytes);
                self.accounts.insert(id, account)
            }
            None => self.accounts.remove(&id),
        };
        self.bytes -= before.map_or(0, |before| before.bytes);
    }

    /// A title has grown.
    pub(crate) fn add(&mut self, id: AssetId, bytes: u64) {
        self.accounts.entry(id).or_default().bytes += bytes;
        self.bytes = self.bytes.saturating_add(bytes);
        self.grown = self.grown.saturating_add(bytes);
    }

    pub(crate) fn touch(&mut self, id: AssetId, used: u64) {
        if let Some(account) = self.accounts.get_mut(&id) {
            account.used = used;
        }
    }

    pub(crate) fn get(&self, id: AssetId) -> Option<Account> {
        self.accounts.get(&id).copied()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (AssetId, Account)> + '_ {
        self.accounts.iter().map(|(id, account)| (*id, *account))
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn len(&self) -> usize {
        self.accounts.len()
    }

    /// All pinned titles but one.
    pub(crate) fn pinned_but(&self, id: AssetId) -> Vec<AssetId> {
        self.iter()
            .filter(|(other, account)| account.pinned && *other != id)
            .map(|(other, _)| other)
            .collect()
    }

    fn to_bytes(&self) -> Vec<u8> {
        let list: Vec<([u8; 32], Account)> =
            self.iter().map(|(id, account)| (id.0, account)).collect();
        let body = bincode::encode_to_vec(&list, bincode::config::standard())
            .expect("numbers can be encoded");
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&Sha256::digest(&body));
        bytes.extend_from_slice(&body);
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (header, body) = bytes.split_at_checked(HEADER)?;
        if header[..8] != MAGIC || header[8..] != Sha256::digest(body)[..] {
            return None;
        }
        // The check keeps accidents out; the limit bounds what a list made on purpose could allocate.
        let config = bincode::config::standard().with_limit::<{ 2 * MAX_INDEX as usize }>();
        let (list, read) =
            bincode::decode_from_slice::<Vec<([u8; 32], Account)>, _>(body, config).ok()?;
        if read != body.len() {
            return None;
        }
        let mut ledger = Self::default();
        for (id, account) in list {
            ledger.set(AssetId(id), Some(account));
        }
        Some(ledger)
    }
}

fn directories(listed: Vec<Listed>) -> impl Iterator<Item = Listed> {
    listed
        .into_iter()
        .filter(|one| one.kind == ListedKind::Directory)
}

/// What the names in a title's folder add up to; `None` if somebody else's are all that is left in it.
pub(crate) fn account(listed: &[Listed]) -> Option<Account> {
    let foreign = |one: &Listed| Layout::parse_file(&one.name) == Named::Foreign;
    if !listed.is_empty() && listed.iter().all(foreign) {
        return None;
    }
    let mut account = Account::default();
    let (mut whole, mut parts) = (0_usize, 0_usize);
    let files = || listed.iter().filter(|one| one.kind == ListedKind::File);
    for file in files() {
        match Layout::parse_file(&file.name) {
            Named::Whole => {
                whole += 1;
                account.bytes = account.bytes.saturating_add(file.len);
            }
            Named::Part => {
                parts += 1;
                // It may be full of holes: its log tells how much was written at most.
                let log = file.name.to_string_lossy().replace(".part", ".log");
                let written = files().find(|other| other.name == *log).map_or(0, |log| {
                    (log.len / LOG_RECORD).saturating_mul(EXTENT as u64)
                });
                account.bytes = account.bytes.saturating_add(file.len.min(written));
            }
            Named::Log | Named::Index => account.bytes = account.bytes.saturating_add(file.len),
            Named::Pin => account.pinned = true,
            Named::Ours | Named::Foreign => {}
        }
    }
    account.complete = whole > 0 && parts == 0;
    Some(account)
}

#[cfg(test)]
mod tests {
    use kithara_storage::MemDisk;

    use super::*;

    fn ledger() -> Ledger {
        let mut ledger = Ledger::default();
        for number in 0..100_u8 {
            let account = Account {
                bytes: u64::from(number) * 1000,
                used: u64::from(number),
                complete: number % 2 == 0,
                pinned: number % 7 == 0,
            };
            ledger.set(AssetId([number; 32]), Some(account));
        }
        ledger
    }

    #[test]
    fn an_index_reads_as_it_was_written_and_damaged_as_none() {
        let ledger = ledger();
        let bytes = ledger.to_bytes();
        assert_eq!(Ledger::from_bytes(&bytes), Some(ledger));
        for len in 0..bytes.len() {
            assert_eq!(Ledger::from_bytes(&bytes[..len]), None);
        }
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1;
            assert_eq!(Ledger::from_bytes(&flipped), None, "byte {at}");
        }
    }

    #[test]
    fn an_index_that_claims_more_than_there_is_allocates_nothing() {
        for count in [1_u64 << 40, u64::MAX, 3] {
            let mut body = vec![253];
            body.extend_from_slice(&count.to_le_bytes());
            body.extend_from_slice(&[0; 40]);
            let mut bytes = MAGIC.to_vec();
            bytes.extend_from_slice(&Sha256::digest(&body));
            bytes.extend_from_slice(&body);
            assert_eq!(Ledger::from_bytes(&bytes), None);
        }
        let (disk, layout) = (MemDisk::new(), Layout::new("/c".into()));
        disk.create_dir(&layout.root).unwrap();
        disk.create_dir(&layout.index()).unwrap();
        let file = disk.open(&layout.assets(), Access::Create).unwrap();
        file.set_len(1 << 40).unwrap();
        assert_eq!(Ledger::load(&disk, &layout), None);
    }

    #[test]
    fn foreign_files_are_counted_in_nothing() {
        let file = |name: &str, len| Listed {
            name: name.into(),
            kind: ListedKind::File,
            len,
        };
        let digest = "ab".repeat(16);
        let link = Listed {
            kind: ListedKind::Other,
            ..file(&"cd".repeat(16), 7)
        };
        let listed = [
            file(&digest, 10),
            file("notes.txt", 1000),
            file("lease", 0),
            file("pin", 0),
            link,
        ];
        let expected = Account {
            bytes: 10,
            used: 0,
            complete: true,
            pinned: true,
        };
        assert_eq!(account(&listed), Some(expected));
        let sparse = [
            file(&format!("{digest}.part"), 1 << 40),
            file(&format!("{digest}.log"), 48 + 2 * 32),
        ];
        let sparse = account(&sparse).unwrap();
        assert_eq!(sparse.bytes, 3 * EXTENT as u64 + 112);
        assert!(!sparse.complete);
        assert_eq!(account(&[file("notes.txt", 1)]), None);
        assert!(account(&[]).is_some() && account(&[file("lease", 0)]).is_some());
    }
}
