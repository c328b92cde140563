//! The numbers of each ring, over all segments of a log: what is missing, doubled or out of order.

use std::collections::BTreeMap;

use super::scan::{Place, RingId, Run};

/// Numbers that are missing, and between which records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missing {
    pub first: u64,
    pub last: u64,
    pub after: Option<Place>,
    pub before: Option<Place>,
}

/// Numbers that stand where they must not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Misplaced {
    pub first: u64,
    pub last: u64,
    pub at: Place,
    /// They stand elsewhere too; otherwise, they only stand too late.
    pub doubled: bool,
}

/// One ring's numbers.
#[derive(Debug, Default)]
pub struct Track {
    /// The number that comes next.
    pub next: u64,
    pub newest: Option<Place>,
    pub missing: Vec<Missing>,
    pub misplaced: Vec<Misplaced>,
}

impl Track {
    /// The next run in the order of the files.
    pub fn add(&mut self, run: &Run) {
        let Some(after) = run.last.checked_add(1) else {
            return;
        };
        if run.first < self.next {
            self.step_back(run);
        }
        if run.first > self.next {
            self.missing.push(Missing {
                first: self.next,
                last: run.first - 1,
                after: self.newest,
                before: Some(run.from),
            });
        }
        if after > self.next {
            self.next = after;
            self.newest = Some(run.to);
        }
    }

    /// What of a run lies before what was already seen: numbers that were missing stand here, too late; the others are
    /// doubled.
    fn step_back(&mut self, run: &Run) {
        let end = run.last.min(self.next - 1);
        let mut at = run.first;
        let mut left = Vec::with_capacity(self.missing.len());
        for gap in std::mem::take(&mut self.missing) {
            let (from, to) = (gap.first.max(run.first), gap.last.min(end));
            if from > to {
                left.push(gap);
                continue;
            }
            if at < from {
                self.misplace(at, from - 1, run.from, true);
            }
            self.misplace(from, to, run.from, false);
            at = to + 1;
            if gap.first < from {
                left.push(Missing {
                    last: from - 1,
                    ..gap
                });
            }
            if to < gap.last {
                left.push(Missing {
                    first: to + 1,
                    ..gap
                });
            }
        }
        self.missing = left;
        if at <= end {
            self.misplace(at, end, run.from, true);
        }
    }

    fn misplace(&mut self, first: u64, last: u64, at: Place, doubled: bool) {
        self.misplaced.push(Misplaced {
            first,
            last,
            at,
            doubled,
        });
    }
}

/// The numbers of all rings of a log.
#[derive(Debug, Default)]
pub struct Tracks {
    pub rings: BTreeMap<RingId, Track>,
}

impl Tracks {
    /// The runs of the next segment.
    pub fn add(&mut self, ring: RingId, runs: &[Run]) {
        let track = self.rings.entry(ring).or_default();
        for run in runs {
            track.add(run);
        }
    }
}

/// What of `first..=last` none of `ranges` covers.
pub fn uncovered(first: u64, last: u64, ranges: &[(u64, u64)]) -> Vec<(u64, u64)> {
    let mut left = vec![(first, last)];
    for &(from, to) in ranges {
        left = left
            .into_iter()
            .flat_map(|(a, b)| {
                if to < a || from > b {
                    return vec![(a, b)];
                }
                let mut parts = Vec::new();
                if a < from {
                    parts.push((a, from - 1));
                }
                if to < b {
                    parts.push((to + 1, b));
                }
                parts
            })
            .collect();
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::verify::scan::Scan;
    use proptest::prelude::*;

    fn judged(numbers: &[u64]) -> Track {
        let lines: Vec<String> = numbers
            .iter()
            .map(|n| format!("{{\"ts\":\"\",\"seq\":\"abcdefgh-{n:010x}\"}}\n"))
            .collect();
        let text = lines.concat();
        let scan = Scan::read(1, &mut text.as_bytes());
        let mut tracks = Tracks::default();
        for (ring, runs) in &scan.rings {
            tracks.add(*ring, runs);
        }
        tracks.rings.into_values().next().unwrap_or_default()
    }

    #[test]
    fn uncovered_is_what_no_range_covers() {
        assert_eq!(uncovered(0, 9, &[]), [(0, 9)]);
        assert_eq!(uncovered(0, 9, &[(3, 4), (8, 20)]), [(0, 2), (5, 7)]);
        assert!(uncovered(3, 4, &[(0, 9)]).is_empty());
    }

    proptest! {
        /// Against the obvious way, with a set of all numbers.
        #[test]
        fn exactly_the_missing_the_doubled_and_the_late_are_found(numbers in proptest::collection::vec(0..40u64, 1..60)) {
            let track = judged(&numbers);
            let mut seen = std::collections::BTreeSet::new();
            let (mut doubled, mut late) = (Vec::new(), Vec::new());
            let mut next = 0;
            for &n in &numbers {
                if !seen.insert(n) {
                    doubled.push(n);
                } else if n < next {
                    late.push(n);
                }
                next = next.max(n + 1);
            }
            let missing: Vec<u64> = (0..next).filter(|n| !seen.contains(n)).collect();
            let mut found: Vec<u64> = track.missing.iter().flat_map(|m| m.first..=m.last).collect();
            found.sort_unstable();
            prop_assert_eq!(found, missing);
            let of = |doubled: bool| -> Vec<u64> {
                let mut found: Vec<u64> = track.misplaced.iter().filter(|m| m.doubled == doubled)
                    .flat_map(|m| m.first..=m.last).collect();
                found.sort_unstable();
                found
            };
            doubled.sort_unstable();
            late.sort_unstable();
            prop_assert_eq!(of(true), doubled);
            prop_assert_eq!(of(false), late);
            prop_assert_eq!(track.next, next);
        }
    }
}
