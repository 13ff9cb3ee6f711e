//! Who won how often against whom.

use serde::{Deserialize, Serialize};

use crate::statistics::StatisticsError;

/// Contests between pairs of a fixed set of names. Their order is not kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "StoredContests")]
pub struct Contests {
    names: Vec<String>,
    /// Of row against column, in halves of a point: two for a win, one for a tie.
    halves: Vec<Vec<u64>>,
}

#[derive(Deserialize)]
struct StoredContests {
    names: Vec<String>,
    halves: Vec<Vec<u64>>,
}

impl TryFrom<StoredContests> for Contests {
    type Error = StatisticsError;

    fn try_from(stored: StoredContests) -> Result<Self, StatisticsError> {
        let mut contests = Self::new(stored.names)?;
        let n = contests.names.len();
        let square = stored.halves.len() == n && stored.halves.iter().all(|row| row.len() == n);
        let alone = (0..n).all(|at| stored.halves.get(at).and_then(|row| row.get(at)) == Some(&0));
        if !(square && alone) {
            return Err(StatisticsError::NoSupport(
                "the stored contests are not a square of points with nothing on its diagonal".to_owned(),
            ));
        }
        contests.halves = stored.halves;
        Ok(contests)
    }
}

impl Contests {
    /// The most names: fitting them takes time that grows with the cube.
    pub const MOST: usize = 500;

    /// None yet, among these names.
    ///
    /// # Errors
    /// [`StatisticsError`] with fewer than two names or more than [`Contests::MOST`], or if one is there twice.
    pub fn new<N: Into<String>>(names: impl IntoIterator<Item = N>) -> Result<Self, StatisticsError> {
        let names: Vec<String> = names.into_iter().map(Into::into).collect();
        if names.len() < 2 {
            return Err(StatisticsError::TooFew {
                what: "a contest",
                n: names.len() as u64,
                needed: 2,
            });
        }
        if names.len() > Self::MOST {
            return Err(StatisticsError::OutOfRange {
                what: "the number of names",
                value: names.len() as f64,
                range: "at most 500",
            });
        }
        for (at, name) in names.iter().enumerate() {
            if names.iter().take(at).any(|before| before == name) {
                return Err(StatisticsError::NoSupport(format!("'{name}' is there twice")));
            }
        }
        let halves = vec![vec![0; names.len()]; names.len()];
        Ok(Self { names, halves })
    }

    fn add(&mut self, a: &str, b: &str, halves_a: u64, halves_b: u64) -> Result<(), StatisticsError> {
        let (at_a, at_b) = (self.place(a)?, self.place(b)?);
        if at_a == at_b {
            return Err(StatisticsError::NoSupport(format!("'{a}' cannot meet itself")));
        }
        for (row, column, more) in [(at_a, at_b, halves_a), (at_b, at_a, halves_b)] {
            if let Some(slot) = self.halves.get_mut(row).and_then(|row| row.get_mut(column)) {
                *slot = slot.saturating_add(more);
            }
        }
        Ok(())
    }

    /// `winner` was preferred to `loser`.
    ///
    /// # Errors
    /// [`StatisticsError::NoSupport`] if a name is unknown, or both are the same.
    pub fn won(&mut self, winner: &str, loser: &str) -> Result<(), StatisticsError> {
        self.add(winner, loser, 2, 0)
    }

    /// Neither was preferred: half a win for each.
    ///
    /// # Errors
    /// As [`Contests::won`].
    pub fn tied(&mut self, a: &str, b: &str) -> Result<(), StatisticsError> {
        self.add(a, b, 1, 1)
    }

    /// Adds what another node has seen among the same names.
    ///
    /// # Errors
    /// [`StatisticsError::NoSupport`] if the names or their order differ; nothing is added then.
    pub fn merge(&mut self, other: &Self) -> Result<(), StatisticsError> {
        if self.names != other.names {
            return Err(StatisticsError::NoSupport(
                "contests among different names cannot be merged".to_owned(),
            ));
        }
        for (mine, theirs) in self
            .halves
            .iter_mut()
            .flatten()
            .zip(other.halves.iter().flatten())
        {
            *mine = mine.saturating_add(*theirs);
        }
        Ok(())
    }

    /// The names, in the order given.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    pub(super) fn place(&self, name: &str) -> Result<usize, StatisticsError> {
        let place = self.names.iter().position(|known| known == name);
        place.ok_or_else(|| StatisticsError::NoSupport(format!("nobody is called '{name}'")))
    }

    /// Points of one against another: wins, and half of the ties.
    pub(super) fn points(&self, row: usize, column: usize) -> f64 {
        let halves = self.halves.get(row).and_then(|row| row.get(column));
        halves.copied().unwrap_or(0) as f64 / 2.0
    }

    /// The groups within which everyone has beaten everyone, if by a chain of contests: the strongly connected components of the
    /// graph of wins. One group is what ratings need.
    pub(super) fn groups(&self) -> Vec<Vec<usize>> {
        let n = self.names.len();
        let reached = |from: usize, forward: bool| {
            let mut seen = vec![false; n];
            let mut left = vec![from];
            while let Some(at) = left.pop() {
                let Some(slot) = seen.get_mut(at).filter(|seen| !**seen) else {
                    continue;
                };
                *slot = true;
                left.extend((0..n).filter(|to| {
                    let points = if forward {
                        self.points(at, *to)
                    } else {
                        self.points(*to, at)
                    };
                    points > 0.0
                }));
            }
            seen
        };
        let mut groups: Vec<Vec<usize>> = Vec::new();
        for start in 0..n {
            if groups.iter().flatten().any(|member| *member == start) {
                continue;
            }
            let both = reached(start, true).into_iter().zip(reached(start, false));
            let group = both.enumerate().filter(|(_, both)| *both == (true, true));
            groups.push(group.map(|(at, _)| at).collect());
        }
        groups
    }
}
