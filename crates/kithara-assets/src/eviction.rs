//! Which titles go when there is no room: a pure decision.

use crate::AssetId;

/// What the policy knows of one title.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub(crate) id: AssetId,
    /// What it takes on disk, in bytes.
    pub(crate) bytes: u64,
    /// The store's logical clock at its last use.
    pub(crate) used: u64,
    /// Never goes: somebody holds it, or the user pinned it.
    pub(crate) held: bool,
}

/// How much there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Budget {
    pub(crate) bytes: u64,
    pub(crate) assets: usize,
}

/// The titles to remove, the longest unused first, so that `more` bytes and `titles` new titles have room: no more than
/// necessary, and none if that can't be achieved by removing.
pub(crate) fn victims(
    all: &[Candidate],
    budget: Budget,
    more: u64,
    titles: usize,
) -> Option<Vec<AssetId>> {
    let mut bytes = all
        .iter()
        .fold(more, |sum, one| sum.saturating_add(one.bytes));
    let mut assets = all.len() + titles;
    let fits = |bytes, assets| bytes <= budget.bytes && assets <= budget.assets;
    let mut free: Vec<&Candidate> = all.iter().filter(|one| !one.held).collect();
    // The id decides between equals so that the answer never depends on the order of the question.
    free.sort_by_key(|one| (one.used, one.id));
    let mut chosen = Vec::new();
    for one in free {
        if fits(bytes, assets) {
            break;
        }
        // Where bytes are short, an empty title is no help.
        if assets <= budget.assets && one.bytes == 0 {
            continue;
        }
        bytes = bytes.saturating_sub(one.bytes);
        assets -= 1;
        chosen.push(one.id);
    }
    fits(bytes, assets).then_some(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u8) -> AssetId {
        AssetId([number; 32])
    }

    fn one(number: u8, bytes: u64, used: u64) -> Candidate {
        Candidate {
            id: id(number),
            bytes,
            used,
            held: false,
        }
    }

    fn held(number: u8, bytes: u64, used: u64) -> Candidate {
        Candidate {
            held: true,
            ..one(number, bytes, used)
        }
    }

    #[test]
    fn the_longest_unused_go_first_and_no_more_than_needed() {
        let three = [one(1, 40, 30), one(2, 40, 10), one(3, 20, 20)];
        #[allow(clippy::type_complexity)]
        let cases: [(&[Candidate], u64, usize, u64, usize, Option<&[u8]>); 11] = [
            (&three, 100, 9, 0, 0, Some(&[])),
            (&three, 100, 9, 1, 0, Some(&[2])),
            (&three, 100, 9, 40, 0, Some(&[2])),
            (&three, 100, 9, 41, 0, Some(&[2, 3])),
            (&three, 100, 9, 100, 0, Some(&[2, 3, 1])),
            (&three, 100, 9, 101, 0, None),
            (&three, 100, 3, 0, 1, Some(&[2])),
            (&three, 1, 9, 0, 0, Some(&[2, 3, 1])),
            (&[held(1, 90, 0), one(2, 10, 9)], 100, 9, 10, 0, Some(&[2])),
            (&[held(1, 90, 0), one(2, 10, 9)], 100, 9, 11, 0, None),
            (&[one(1, 0, 0), one(2, 10, 9)], 10, 9, 10, 0, Some(&[2])),
        ];
        for (all, bytes, assets, more, titles, expected) in cases {
            let budget = Budget { bytes, assets };
            let expected =
                expected.map(|ids| ids.iter().map(|number| id(*number)).collect::<Vec<_>>());
            assert_eq!(
                victims(all, budget, more, titles),
                expected,
                "{bytes} {assets} {more} {titles}"
            );
        }
    }

    #[test]
    fn what_is_held_never_goes_and_the_budget_holds_whatever_is_asked() {
        let mut seed = 7_u64;
        let mut below = |limit: u64| {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % limit
        };
        for _ in 0..20_000 {
            let all: Vec<Candidate> = (0..below(12) as u8)
                .map(|number| Candidate {
                    held: below(3) == 0,
                    ..one(number, below(50), below(6))
                })
                .collect();
            let budget = Budget {
                bytes: below(300),
                assets: below(12) as usize,
            };
            let (more, titles) = (below(60), below(2) as usize);
            let kept_bytes = |gone: &[AssetId]| -> u64 {
                all.iter()
                    .filter(|one| !gone.contains(&one.id))
                    .map(|one| one.bytes)
                    .sum()
            };
            match victims(&all, budget, more, titles) {
                Some(gone) => {
                    assert!(kept_bytes(&gone) + more <= budget.bytes);
                    assert!(all.len() - gone.len() + titles <= budget.assets);
                    let of = |id: &AssetId| all.iter().find(|one| one.id == *id).unwrap();
                    assert!(gone.iter().all(|id| !of(id).held));
                    assert!(gone.is_sorted_by_key(|id| of(id).used));
                    // Without its last victim it would not have been enough.
                    if let Some((_, fewer)) = gone.split_last() {
                        assert!(
                            kept_bytes(fewer) + more > budget.bytes
                                || all.len() - fewer.len() + titles > budget.assets
                        );
                    }
                }
                None => {
                    let held: Vec<_> = all.iter().filter(|one| one.held).collect();
                    let bytes: u64 = held.iter().map(|one| one.bytes).sum();
                    assert!(
                        bytes + more > budget.bytes || held.len() + titles > budget.assets,
                        "it gave up although removing all would have been enough"
                    );
                }
            }
        }
    }
}
