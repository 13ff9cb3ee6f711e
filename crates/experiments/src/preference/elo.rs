//! Ratings that follow contests as they come.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::statistics::StatisticsError;

/// Elo ratings (Elo 1978, The Rating of Chessplayers): after each contest the winner takes k·(1 − e) points from the loser, e being
/// the share of wins 1/(1 + 10^((r_loser − r_winner)/400)) that was expected. Who was never seen stands at 1000.
///
/// The same contests in another order give other ratings, and the last few dozen decide most of them. For models, which do not
/// change while they are compared, [`super::bradley_terry`] uses every contest alike and gives an interval.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "StoredElo")]
pub struct Elo {
    k: f64,
    ratings: BTreeMap<String, f64>,
}

#[derive(Deserialize)]
struct StoredElo {
    k: f64,
    ratings: BTreeMap<String, f64>,
}

impl TryFrom<StoredElo> for Elo {
    type Error = StatisticsError;

    fn try_from(stored: StoredElo) -> Result<Self, StatisticsError> {
        let mut elo = Self::new(stored.k)?;
        if stored.ratings.values().any(|rating| !rating.is_finite()) {
            return Err(StatisticsError::NotFinite("a rating"));
        }
        elo.ratings = stored.ratings;
        Ok(elo)
    }
}

impl Elo {
    /// What everyone starts with.
    pub const START: f64 = 1000.0;

    /// With `k` points at stake: 32 follows quickly, 4 is steady.
    ///
    /// # Errors
    /// [`StatisticsError::OutOfRange`] unless it is above 0 and at most 1000.
    pub fn new(k: f64) -> Result<Self, StatisticsError> {
        if k > 0.0 && k <= 1000.0 {
            Ok(Self {
                k,
                ratings: BTreeMap::new(),
            })
        } else {
            Err(StatisticsError::OutOfRange {
                what: "the points at stake",
                value: k,
                range: "above 0 and at most 1000",
            })
        }
    }

    fn play(&mut self, a: &str, b: &str, score: f64) -> Result<(), StatisticsError> {
        if a == b {
            return Err(StatisticsError::NoSupport(format!("'{a}' cannot meet itself")));
        }
        let (rating_a, rating_b) = (self.rating(a), self.rating(b));
        let expected = 1.0 / (1.0 + 10_f64.powf((rating_b - rating_a) / 400.0));
        let moved = self.k * (score - expected);
        self.ratings.insert(a.to_owned(), rating_a + moved);
        self.ratings.insert(b.to_owned(), rating_b - moved);
        Ok(())
    }

    /// `winner` was preferred to `loser`.
    ///
    /// # Errors
    /// [`StatisticsError::NoSupport`] if both are the same.
    pub fn won(&mut self, winner: &str, loser: &str) -> Result<(), StatisticsError> {
        self.play(winner, loser, 1.0)
    }

    /// Neither was preferred: half a win for each.
    ///
    /// # Errors
    /// As [`Elo::won`].
    pub fn tied(&mut self, a: &str, b: &str) -> Result<(), StatisticsError> {
        self.play(a, b, 0.5)
    }

    /// The rating of a name.
    pub fn rating(&self, name: &str) -> f64 {
        self.ratings.get(name).copied().unwrap_or(Self::START)
    }
}
