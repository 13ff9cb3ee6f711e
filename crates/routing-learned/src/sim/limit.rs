//! The rate limits of one model: two buckets that fill evenly, in whole numbers.

use std::time::Duration;

const MINUTE: u128 = 60_000_000_000;

/// A bucket of so many units, filled again within a minute.
#[derive(Debug, Clone)]
struct Bucket {
    per_minute: u128,
    /// What is in it, times the nanoseconds of a minute.
    level: u128,
    at: u64,
}

impl Bucket {
    fn new(per_minute: u32) -> Self {
        let per_minute = u128::from(per_minute);
        Self {
            per_minute,
            level: per_minute * MINUTE,
            at: 0,
        }
    }

    fn fill(&mut self, now: u64) {
        let filled = self.level + u128::from(now.saturating_sub(self.at)) * self.per_minute;
        self.level = filled.min(self.per_minute * MINUTE);
        self.at = now;
    }

    /// How long until there is enough; more than it holds never is, and is worth a minute's wait.
    fn wait(&self, units: u64) -> Option<Duration> {
        let missing = (u128::from(units) * MINUTE)
            .checked_sub(self.level)
            .filter(|missing| *missing > 0)?;
        let nanos = missing.div_ceil(self.per_minute).min(MINUTE);
        Some(Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
    }
}

/// What is left of a model's limits.
#[derive(Debug, Clone)]
pub(super) struct Limit {
    requests: Option<Bucket>,
    tokens: Option<Bucket>,
}

impl Limit {
    pub(super) fn new(requests_per_minute: Option<u32>, tokens_per_minute: Option<u32>) -> Self {
        Self {
            requests: requests_per_minute.map(Bucket::new),
            tokens: tokens_per_minute.map(Bucket::new),
        }
    }

    /// Takes a request of so many tokens, if there is room for it. `now` is in nanoseconds and never goes back.
    ///
    /// # Errors
    /// How long to wait until there is.
    pub(super) fn take(&mut self, tokens: u64, now: u64) -> Result<(), Duration> {
        let wants = [(1, &mut self.requests), (tokens, &mut self.tokens)];
        let mut wants: Vec<(u64, &mut Bucket)> = wants
            .into_iter()
            .filter_map(|(units, bucket)| Some((units, bucket.as_mut()?)))
            .collect();
        wants.iter_mut().for_each(|(_, bucket)| bucket.fill(now));
        if let Some(wait) = wants
            .iter()
            .filter_map(|(units, bucket)| bucket.wait(*units))
            .max()
        {
            return Err(wait);
        }
        for (units, bucket) in wants {
            bucket.level = bucket.level.saturating_sub(u128::from(units) * MINUTE);
        }
        Ok(())
    }

    /// What is left of the tighter one, 0 to 1; `None` without a limit.
    pub(super) fn left(&self) -> Option<f64> {
        [&self.requests, &self.tokens]
            .into_iter()
            .flatten()
            .map(|bucket| bucket.level as f64 / (bucket.per_minute * MINUTE) as f64)
            .reduce(f64::min)
    }
}
