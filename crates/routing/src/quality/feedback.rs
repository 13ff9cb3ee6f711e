//! What callers think of answers, added up.

/// The scores of one model for one task: how many, their mean and how far they lie apart. Scores are from 0, of no use, to 1,
/// perfect.
///
/// Sums that were taken apart can be put together again ([`merge`](Self::merge)), and are then those of all scores; by the method
/// of Welford and Chan, which loses no digits where scores lie close together.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct FeedbackSums {
    n: u64,
    mean: f64,
    m2: f64,
}

/// How much is known of the spread of scores before there are any: as much as this many scores tell.
const SPREAD_WEIGHT: f64 = 4.0;

/// The variance that is supposed of scores before there are any: the largest that scores from 0 to 1 can have, that of a thumb up or
/// down.
const SPREAD: f64 = 0.25;

/// The least variance that is believed of scores, however equal they were. A tenth of the scale: people do not agree better.
const LEAST_SPREAD: f64 = 0.01;

impl FeedbackSums {
    /// No scores.
    pub const EMPTY: Self = Self {
        n: 0,
        mean: 0.0,
        m2: 0.0,
    };

    /// Sums that were kept elsewhere: how many scores, their mean, and the sum of their squared distances from it. `None` if no
    /// scores could have them.
    pub fn from_parts(n: u64, mean: f64, m2: f64) -> Option<Self> {
        if n == 0 {
            return (mean == 0.0 && m2 == 0.0).then_some(Self::EMPTY);
        }
        // The sum of squares is largest where all scores are 0 or 1; a little more may come of rounding.
        let most = n as f64 * mean * (1.0 - mean);
        let is_of_scores = (0.0..=1.0).contains(&mean) && m2 >= 0.0 && m2 <= most + 1e-9 * n as f64;
        is_of_scores.then_some(Self { n, mean, m2 })
    }

    /// Adds a score. `false`, and nothing added, unless it is from 0 to 1.
    #[must_use]
    pub fn add(&mut self, score: f64) -> bool {
        if !(0.0..=1.0).contains(&score) {
            return false;
        }
        self.n += 1;
        let off = score - self.mean;
        self.mean += off / self.n as f64;
        self.m2 += off * (score - self.mean);
        true
    }

    /// Adds the scores of other sums.
    pub fn merge(&mut self, other: &Self) {
        if other.n == 0 {
            return;
        }
        let (own, others) = (self.n as f64, other.n as f64);
        let all = own + others;
        let off = other.mean - self.mean;
        self.n += other.n;
        self.mean += off * (others / all);
        self.m2 += other.m2 + off * off * (own * others / all);
    }

    /// How many scores.
    pub const fn count(&self) -> u64 {
        self.n
    }

    /// Their mean; `None` of none.
    pub fn mean(&self) -> Option<f64> {
        (self.n > 0).then_some(self.mean)
    }

    /// The sum of their squared distances from the mean.
    pub const fn m2(&self) -> f64 {
        self.m2
    }

    /// The variance by which the model's scores are taken to scatter: what they show, mixed with what is supposed before there are
    /// any, and never below a floor. So neither one score nor a thousand equal ones give certainty.
    pub fn variance(&self) -> f64 {
        let seen = self.n.saturating_sub(1) as f64;
        let mixed = (self.m2 + SPREAD_WEIGHT * SPREAD) / (seen + SPREAD_WEIGHT);
        mixed.max(LEAST_SPREAD)
    }

    /// The mean in quality points, and its variance: how far it may lie off the mean of endlessly many scores.
    pub(super) fn points(&self) -> Option<(f64, f64)> {
        let variance = self.variance() / self.n as f64;
        let per_point = super::posterior::SCORE_PER_POINT;
        self.mean()
            .map(|mean| (mean / per_point, variance / (per_point * per_point)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_score_is_not_added() {
        let mut sums = FeedbackSums::EMPTY;
        for score in [f64::NAN, -0.001, 1.001, f64::INFINITY] {
            assert!(!sums.add(score));
        }
        assert_eq!(sums, FeedbackSums::default());
        assert_eq!(sums.mean(), None);
        assert!(sums.add(0.0) && sums.add(1.0));
        assert_eq!((sums.count(), sums.mean(), sums.m2()), (2, Some(0.5), 0.5));
    }

    #[test]
    fn equal_scores_are_not_certain() {
        let mut sums = FeedbackSums::EMPTY;
        assert!(sums.add(1.0));
        assert_eq!(sums.variance(), SPREAD);
        for _ in 0..100_000 {
            assert!(sums.add(1.0));
        }
        assert_eq!(sums.variance(), LEAST_SPREAD);
    }

    #[test]
    fn parts_are_of_scores() {
        assert!(FeedbackSums::from_parts(2, 0.5, 0.5).is_some());
        assert_eq!(FeedbackSums::from_parts(0, 0.0, 0.0), Some(FeedbackSums::EMPTY));
        for (n, mean, m2) in [
            (0, 0.5, 0.0),
            (1, 1.5, 0.0),
            (1, f64::NAN, 0.0),
            (2, 0.5, 0.6),
            (2, 0.5, -0.1),
            (2, 0.5, f64::NAN),
        ] {
            assert_eq!(FeedbackSums::from_parts(n, mean, m2), None, "{n} {mean} {m2}");
        }
    }
}
