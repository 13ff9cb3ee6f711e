//! Curves of quality over cost, and what is read off them.
//!
//! A policy with a dial is a set of points (mean cost, mean quality). Two of its points can be mixed by chance, so what it can reach is the upper
//! hull of its points, and spending more never has to be worse: the non-decreasing convex hull of RouterBench (arXiv 2403.12031). The
//! hull of the single models, which looks at no prompt, is the *zero router*; a router below it is worth nothing.
//!
//! Costs here are weights in pico-dollars, as floats: means over prompts, of which nothing is booked.

use serde::Serialize;

/// What a policy costs and gives, on average over prompts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Point {
    /// Mean cost of a request in pico-dollars.
    pub cost: f64,
    /// Mean score, from 0 to 1.
    pub quality: f64,
}

/// The upper hull of points: by rising cost and rising quality, each step less steep than the one before.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Hull {
    points: Vec<Point>,
}

impl Hull {
    /// The hull of points. What is not finite is left out.
    pub fn of(points: impl IntoIterator<Item = Point>) -> Self {
        let mut all: Vec<Point> = points
            .into_iter()
            .filter(|point| point.cost.is_finite() && point.quality.is_finite())
            .collect();
        all.sort_by(|a, b| a.cost.total_cmp(&b.cost).then(b.quality.total_cmp(&a.quality)));
        let mut points: Vec<Point> = Vec::new();
        for point in all {
            if points.last().is_some_and(|last| point.quality <= last.quality) {
                continue;
            }
            while let [.., before, last] = points.as_slice() {
                // The last one is on or below the line from the one before to the new one.
                let rise = (last.quality - before.quality) * (point.cost - before.cost);
                if rise > (point.quality - before.quality) * (last.cost - before.cost) {
                    break;
                }
                points.pop();
            }
            // Of the same cost the better one came first.
            points.push(point);
        }
        Self { points }
    }

    /// Its corners.
    pub fn points(&self) -> &[Point] {
        &self.points
    }

    /// The best mean quality at this mean cost; `None` below the cheapest point.
    pub fn quality_at(&self, cost: f64) -> Option<f64> {
        let first = self.points.first()?;
        if cost < first.cost {
            return None;
        }
        let after = self.points.partition_point(|point| point.cost <= cost);
        let below = self.points.get(after.checked_sub(1)?)?;
        let Some(above) = self.points.get(after) else {
            return Some(below.quality);
        };
        let share = (cost - below.cost) / (above.cost - below.cost);
        Some(below.quality + share * (above.quality - below.quality))
    }

    /// The least mean cost of this mean quality; `None` if it is never reached.
    pub fn cost_of(&self, quality: f64) -> Option<f64> {
        let at = self.points.partition_point(|point| point.quality < quality);
        let above = self.points.get(at)?;
        let Some(below) = at.checked_sub(1).and_then(|before| self.points.get(before)) else {
            return Some(above.cost);
        };
        let share = (quality - below.quality) / (above.quality - below.quality);
        Some(below.cost + share * (above.cost - below.cost))
    }

    /// The share of a mean cost that is saved at this mean quality; `None` if the quality is never reached, or if that cost is nothing.
    pub fn saving(&self, quality: f64, of_cost: f64) -> Option<f64> {
        let cost = self.cost_of(quality)?;
        (of_cost > 0.0).then(|| 1.0 - cost / of_cost)
    }

    /// AIQ of RouterBench: the mean quality over costs from `from` to `to`, each cost alike. Costs below the cheapest point count with its
    /// quality.
    pub fn mean_quality(&self, from: f64, to: f64) -> Option<f64> {
        self.mean_over(from, to, |cost| cost, |cost| cost)
    }

    /// As [`mean_quality`](Self::mean_quality), with the same weight for each doubling of the cost, so that the dear end does not decide alone.
    /// `None` if `from` is not above 0: it takes no end of doublings to come from nothing to something.
    pub fn mean_quality_by_doubling(&self, from: f64, to: f64) -> Option<f64> {
        if from <= 0.0 {
            return None;
        }
        self.mean_over(from, to, f64::ln, f64::exp)
    }

    /// Simpson's rule between corners, where the curve is smooth.
    fn mean_over(&self, from: f64, to: f64, scale: fn(f64) -> f64, back: fn(f64) -> f64) -> Option<f64> {
        let first = self.points.first()?;
        let at = |cost: f64| self.quality_at(cost).unwrap_or(first.quality);
        let (start, end) = (scale(from), scale(to));
        if start.partial_cmp(&end) != Some(std::cmp::Ordering::Less) {
            return Some(at(to));
        }
        let corners = self.points.iter().map(|point| scale(point.cost));
        let mut marks: Vec<f64> = corners.filter(|mark| *mark > start && *mark < end).collect();
        marks.insert(0, start);
        marks.push(end);
        let mut sum = 0.0;
        for pair in marks.windows(2) {
            let [a, b] = pair else { continue };
            let parts = 16;
            let step = (b - a) / f64::from(parts);
            for i in 0..parts {
                let left = a + f64::from(i) * step;
                let three = [left, left + step / 2.0, left + step].map(|mark| at(back(mark)));
                sum += step * (three[0] + 4.0 * three[1] + three[2]) / 6.0;
            }
        }
        Some(sum / (end - start))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hull(points: &[(f64, f64)]) -> Hull {
        Hull::of(points.iter().map(|(cost, quality)| Point {
            cost: *cost,
            quality: *quality,
        }))
    }

    #[test]
    fn what_is_below_a_mixture_is_no_corner() {
        let hull = hull(&[
            (1.0, 0.2),
            (2.0, 0.3),
            (3.0, 0.8),
            (4.0, 0.5),
            (5.0, 0.9),
            (3.0, 0.1),
        ]);
        let corners: Vec<_> = hull.points().iter().map(|point| point.cost).collect();
        assert_eq!(corners, [1.0, 3.0, 5.0]);
        assert_eq!(hull.quality_at(0.5), None);
        assert!((hull.quality_at(2.0).unwrap() - 0.5).abs() < 1e-12);
        assert_eq!(hull.quality_at(9.0), Some(0.9));
        assert!((hull.cost_of(0.5).unwrap() - 2.0).abs() < 1e-12);
        assert_eq!(hull.cost_of(0.1), Some(1.0));
        assert_eq!(hull.cost_of(0.95), None);
    }

    #[test]
    fn areas_by_hand() {
        let hull = hull(&[(1.0, 0.0), (3.0, 1.0)]);
        assert!((hull.mean_quality(1.0, 3.0).unwrap() - 0.5).abs() < 1e-12);
        assert!((hull.mean_quality(1.0, 5.0).unwrap() - 0.75).abs() < 1e-12);
        // Over e^0 to e^1 of (x - 1)/2: the mean is (e - 1 - 1)/2.
        let expected = (std::f64::consts::E - 2.0) / 2.0;
        let found = hull.mean_quality_by_doubling(1.0, std::f64::consts::E).unwrap();
        assert!((found - expected).abs() < 1e-6, "{found}");
        assert_eq!(Hull::default().mean_quality(1.0, 2.0), None);
    }

    #[test]
    fn a_curve_from_nothing_has_all_but_doublings() {
        let hull = hull(&[(0.0, 0.5), (4.0, 0.9)]);
        assert_eq!(hull.quality_at(0.0), Some(0.5));
        assert!((hull.mean_quality(0.0, 4.0).unwrap() - 0.7).abs() < 1e-12);
        assert_eq!(hull.mean_quality_by_doubling(0.0, 4.0), None);
        assert!((hull.saving(0.7, 4.0).unwrap() - 0.5).abs() < 1e-12);
        assert_eq!(hull.saving(0.95, 4.0), None);
        assert_eq!(hull.saving(0.4, 0.0), None, "of nothing nothing is saved");
        assert_eq!(hull.mean_quality(0.0, 0.0), Some(0.5), "all are free");
    }

    proptest::proptest! {
        /// Against all mixtures of two points, tried one by one.
        #[test]
        fn no_mixture_of_two_points_is_above_the_hull(
            points in proptest::collection::vec((0.0..10.0f64, 0.0..1.0f64), 1..12),
            cost in 0.0..10.0f64,
        ) {
            let hull = hull(&points);
            let mut best: Option<f64> = None;
            for (c1, q1) in &points {
                for (c2, q2) in &points {
                    let (low, high) = if c1 <= c2 { ((*c1, *q1), (*c2, *q2)) } else { ((*c2, *q2), (*c1, *q1)) };
                    if low.0 > cost { continue; }
                    let mixed = if high.0 <= cost { low.1.max(high.1) } else {
                        let share = (cost - low.0) / (high.0 - low.0);
                        (low.1 + share * (high.1 - low.1)).max(low.1)
                    };
                    best = Some(best.map_or(mixed, |best| best.max(mixed)));
                }
            }
            let found = hull.quality_at(cost);
            proptest::prop_assert_eq!(best.is_some(), found.is_some());
            if let (Some(best), Some(found)) = (best, found) {
                proptest::prop_assert!((best - found).abs() < 1e-9, "{} {}", best, found);
            }
        }
    }
}
