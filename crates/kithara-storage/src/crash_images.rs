//! Every state in which a power cut could leave a disk.
//!
//! What was written but not synced may be there, or not, or in part, each for itself and in any order: a later change may
//! have made it and an earlier one not. Bytes are safe once their file was synced, names once their directory was. A
//! sync of a file that failed made nothing of it safe, and no later one does: systems forget that bytes are unwritten. One
//! of a directory may be repeated: names are the file system's own, and one that cannot write those writes nothing more.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::ops::RangeInclusive;
use std::sync::Arc;

use crate::sim_disk::SimDisk;
use crate::tree::{Entry, Id, Tree};

/// A directory and a name in it.
pub(crate) type Name = (Id, OsString);

/// One change of the disk, or one request to make changes safe.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Link(Name, Entry),
    Unlink(Name, Entry),
    Rename(Name, Name, Entry),
    Write(Id, u64, Arc<[u8]>),
    SetLen(Id, u64),
    Sync(Id),
    FailedSync(Id),
    SyncDirectory(Id),
}

/// How much of one change made it to the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    All,
    Nothing,
    FirstHalf,
    LastHalf,
    /// The file has grown, but its new blocks were never written.
    Zeros,
}

/// What a power cut left.
#[derive(Debug)]
pub struct CrashImage {
    /// The disk as it is found afterwards. It records anew, so that the power can be cut again while the first cut is
    /// being recovered from.
    pub disk: SimDisk,
    /// How many operations had been asked for when the power failed: what was reported to be safe before, must be.
    pub moment: usize,
    story: Vec<(Op, Fate)>,
}

impl CrashImage {
    /// What happened, line by line, for the message of a test that fails.
    pub fn story(&self) -> String {
        let mut text = String::new();
        for (op, fate) in &self.story {
            let line = match op {
                Op::Write(file, offset, bytes) => {
                    writeln!(
                        text,
                        "{fate:?}: file {file}: {} bytes at {offset}",
                        bytes.len()
                    )
                }
                op => writeln!(text, "{fate:?}: {op:?}"),
            };
            line.expect("writing to a string does not fail");
        }
        text
    }
}

impl Op {
    fn fates(&self) -> &'static [Fate] {
        match self {
            Self::Write(..) => &[
                Fate::All,
                Fate::Nothing,
                Fate::FirstHalf,
                Fate::LastHalf,
                Fate::Zeros,
            ],
            Self::Sync(_) | Self::FailedSync(_) | Self::SyncDirectory(_) => &[Fate::All],
            _ => &[Fate::All, Fate::Nothing],
        }
    }

    fn apply(&self, fate: Fate, tree: &mut Tree) {
        match (self, fate) {
            (_, Fate::Nothing) => {}
            (Self::Link((directory, name), entry), _) => tree.link(*directory, name, *entry),
            (Self::Unlink((directory, name), entry), _) => tree.unlink(*directory, name, *entry),
            (Self::Rename((from, old), (to, new), entry), _) => {
                tree.link(*to, new, *entry);
                tree.unlink(*from, old, *entry);
            }
            (Self::Write(file, offset, bytes), fate) => {
                let half = bytes.len() / 2;
                match fate {
                    Fate::FirstHalf => tree.write(*file, *offset, &bytes[..half]),
                    Fate::LastHalf => tree.write(*file, *offset + half as u64, &bytes[half..]),
                    Fate::Zeros => tree.write(*file, *offset, &vec![0; bytes.len()]),
                    Fate::All | Fate::Nothing => tree.write(*file, *offset, bytes),
                }
            }
            (Self::SetLen(file, len), _) => tree.set_len(*file, *len),
            (Self::Sync(_) | Self::FailedSync(_) | Self::SyncDirectory(_), _) => {}
        }
    }

    /// Whether `later` operations have made this one safe.
    fn is_safe(&self, later: &[Op]) -> bool {
        match self {
            Self::Write(file, ..) | Self::SetLen(file, _) => {
                let told = later.iter().find(|op| {
                    matches!(op, Self::Sync(synced) | Self::FailedSync(synced) if synced == file)
                });
                matches!(told, Some(Self::Sync(_)))
            }
            Self::Link((in_, _), _) | Self::Unlink((in_, _), _) | Self::Rename(_, (in_, _), _) => {
                later
                    .iter()
                    .any(|op| matches!(op, Self::SyncDirectory(synced) if synced == in_))
            }
            Self::Sync(_) | Self::FailedSync(_) | Self::SyncDirectory(_) => true,
        }
    }
}

/// What was there before, and what was done since.
pub(crate) struct Recording {
    pub(crate) base: Tree,
    pub(crate) ops: Vec<Op>,
    /// The first number that nothing has had.
    pub(crate) first_free: Id,
}

impl Recording {
    /// Shows `visit` what a power cut could leave at each of `moments`; at most `limit` images for each, all of them if
    /// there are no more, and of those the ones whose number in its moment is `wanted`. Returns how many it were.
    pub(crate) fn each_image(
        &self,
        moments: &RangeInclusive<usize>,
        limit: usize,
        wanted: &mut dyn FnMut(usize) -> bool,
        visit: &mut dyn FnMut(&CrashImage),
    ) -> usize {
        let mut count = 0;
        for moment in *moments.start()..=(*moments.end()).min(self.ops.len()) {
            let done = &self.ops[..moment];
            let choices = choices(&self.fates(moment, *moments.start()), limit);
            for (number, choice) in choices.into_iter().enumerate() {
                if !wanted(number) {
                    continue;
                }
                let story: Vec<(Op, Fate)> = done.iter().cloned().zip(choice).collect();
                visit(&CrashImage {
                    disk: SimDisk::found(self.build(&story)),
                    moment,
                    story,
                });
                count += 1;
            }
        }
        count
    }

    /// What may have become of each operation before `moment`.
    fn fates(&self, moment: usize, first_moment: usize) -> Vec<&'static [Fate]> {
        let done = &self.ops[..moment];
        let fates = done.iter().enumerate().map(|(at, op)| {
            let fates = op.fates();
            // Without its last change, a moment shows what the one before has shown.
            let without_it_was_shown = at + 1 == moment && moment > first_moment;
            match (op.is_safe(&done[at + 1..]), without_it_was_shown) {
                (true, _) => &fates[..1],
                (false, true) => without_nothing(fates),
                (false, false) => fates,
            }
        });
        fates.collect()
    }

    fn build(&self, story: &[(Op, Fate)]) -> Tree {
        let mut tree = self.base.clone();
        tree.reserve(self.first_free);
        // A file or directory exists before its name does, and whether or not the name made it.
        for (op, _) in story {
            if let Op::Link(_, entry) = op {
                tree.make(*entry);
            }
        }
        for (op, fate) in story {
            op.apply(*fate, &mut tree);
        }
        tree.after_crash()
    }
}

fn without_nothing(fates: &'static [Fate]) -> &'static [Fate] {
    const TORN: &[Fate] = &[Fate::All, Fate::FirstHalf, Fate::LastHalf, Fate::Zeros];
    if fates.len() > 2 { TORN } else { &fates[..1] }
}

/// One fate for each operation, in all combinations, or the most telling `limit` of them.
fn choices(fates: &[&'static [Fate]], limit: usize) -> Vec<Vec<Fate>> {
    let all = fates
        .iter()
        .try_fold(1_usize, |product, fates| product.checked_mul(fates.len()))
        .filter(|product| *product <= limit);
    let number_to_choice = |mut number: usize| -> Vec<Fate> {
        let digits = fates.iter().map(|fates| {
            let fate = fates[number % fates.len()];
            number /= fates.len();
            fate
        });
        digits.collect()
    };
    if let Some(all) = all {
        return (0..all).map(number_to_choice).collect();
    }
    // Everything, nothing, and each operation alone in each of its fates while the others are all there, or all not.
    let base = |at: usize| -> Vec<Fate> {
        let fate_of = |fates: &&'static [Fate]| fates[at.min(fates.len() - 1)];
        fates.iter().map(fate_of).collect()
    };
    let mut chosen = vec![base(0), base(1)];
    for others in 0..2 {
        for (at, fates) in fates.iter().enumerate() {
            for fate in *fates {
                let mut choice = base(others);
                if choice[at] != *fate {
                    choice[at] = *fate;
                    chosen.push(choice);
                }
            }
        }
    }
    // The rest by a generator (SplitMix64) that gives the same every time.
    let mut seed = fates.len() as u64;
    let mut random = || {
        seed = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (seed ^ (seed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) as usize
    };
    while chosen.len() < limit {
        chosen.push(
            fates
                .iter()
                .map(|fates| fates[random() % fates.len()])
                .collect(),
        );
    }
    chosen.truncate(limit);
    chosen
}
