//! Integrals over panels, with 16 points of Gauss and Legendre in each (exact for polynomials up to degree 31).

use std::sync::LazyLock;

/// Points in a panel.
pub(super) const POINTS: usize = 16;

/// The right half of the points and their weights on −1 to 1.
const HALF: [(f64, f64); POINTS / 2] = [
    (0.095_012_509_837_637_44, 0.189_450_610_455_068_64),
    (0.281_603_550_779_258_9, 0.182_603_415_044_923_64),
    (0.458_016_777_657_227_4, 0.169_156_519_395_002_65),
    (0.617_876_244_402_643_8, 0.149_595_988_816_576_7),
    (0.755_404_408_355_003, 0.124_628_971_255_534_07),
    (0.865_631_202_387_831_8, 0.095_158_511_682_492_6),
    (0.944_575_023_073_232_6, 0.062_253_523_938_647_456),
    (0.989_400_934_991_649_9, 0.027_152_459_411_754_176),
];

/// A panel from −1 to 1.
pub(super) struct Panel {
    /// The points, from left to right.
    pub(super) points: [f64; POINTS],
    /// The integral over the panel is the sum of these times the values at the points.
    pub(super) weights: [f64; POINTS],
    /// The integral from −1 up to point `k` is the sum of `up_to[k]` times the values at the points: that of the polynomial
    /// through them.
    pub(super) up_to: [[f64; POINTS]; POINTS],
}

/// The one panel there is; others are stretched.
pub(super) static PANEL: LazyLock<Panel> = LazyLock::new(|| {
    let mut points = [0.0; POINTS];
    let mut weights = [0.0; POINTS];
    let left = HALF.iter().rev().map(|(point, weight)| (-point, *weight));
    let nodes = left.chain(HALF);
    for ((slot, weight_slot), (point, weight)) in points.iter_mut().zip(&mut weights).zip(nodes) {
        (*slot, *weight_slot) = (point, weight);
    }
    // The polynomial through values v is Σₙ (2n+1)/2 · Pₙ(x) · Σₘ wₘ Pₙ(xₘ) vₘ, and ∫₋₁ˣ Pₙ = (Pₙ₊₁(x) − Pₙ₋₁(x))/(2n+1).
    let mut up_to = [[0.0; POINTS]; POINTS];
    for (row, x) in up_to.iter_mut().zip(points) {
        let upper = legendre(x);
        for ((slot, point), weight) in row.iter_mut().zip(points).zip(weights) {
            let inner = legendre(point);
            let sum: f64 = upper
                .windows(3)
                .zip(&inner[1..POINTS])
                .map(|(around, p)| p * (around[2] - around[0]))
                .sum();
            *slot = weight / 2.0 * (x + 1.0 + sum);
        }
    }
    Panel {
        points,
        weights,
        up_to,
    }
});

/// P₀ to P₁₆ at `x`.
fn legendre(x: f64) -> [f64; POINTS + 1] {
    let mut all = [1.0; POINTS + 1];
    let (mut before, mut last) = (1.0, x);
    for (n, slot) in all.iter_mut().enumerate().skip(1) {
        *slot = last;
        let n = n as f64;
        (before, last) = (last, ((2.0 * n + 1.0) * x * last - n * before) / (n + 1.0));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn polynomials_are_exact() {
        for power in 0..POINTS as i32 {
            let value = |x: f64| (power + 1) as f64 * x.powi(power);
            let integral = |x: f64| x.powi(power + 1) - (-1.0_f64).powi(power + 1);
            let whole: f64 = PANEL
                .points
                .iter()
                .zip(PANEL.weights)
                .map(|(x, weight)| weight * value(*x))
                .sum();
            assert!((whole - integral(1.0)).abs() < 1e-13, "{power}");
            for (row, x) in PANEL.up_to.iter().zip(PANEL.points) {
                let part: f64 = row.iter().zip(PANEL.points).map(|(w, at)| w * value(at)).sum();
                assert!((part - integral(x)).abs() < 1e-13, "{power} to {x}");
            }
        }
    }
}
