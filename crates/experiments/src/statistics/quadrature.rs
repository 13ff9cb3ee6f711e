//! Integrals by Gauss and Legendre's rule.

/// Nodes and weights for integrals from −1 to 1: exact for polynomials up to degree `2·count − 1`. The roots of the Legendre
/// polynomial, found by Newton's method from Tricomi's approximation (Abramowitz and Stegun 25.4.29).
pub fn gauss_legendre(count: usize) -> Vec<(f64, f64)> {
    let n = count as f64;
    (0..count)
        .map(|i| {
            let mut x = -((i as f64 + 0.75) / (n + 0.5) * std::f64::consts::PI).cos();
            let mut slope = 1.0;
            // Converges quadratically: five steps do, and a hundred never end a good start.
            for _ in 0..100 {
                let (value, derivative) = legendre(count, x);
                slope = derivative;
                let step = value / derivative;
                x -= step;
                if step.abs() < 1e-15 {
                    break;
                }
            }
            (x, 2.0 / ((1.0 - x * x) * slope * slope))
        })
        .collect()
}

/// The Legendre polynomial of a degree, and its derivative, at x inside (−1, 1).
fn legendre(degree: usize, x: f64) -> (f64, f64) {
    let (mut before, mut value) = (0.0, 1.0);
    for k in 1..=degree {
        let k = k as f64;
        let next = ((2.0 * k - 1.0) * x * value - (k - 1.0) * before) / k;
        before = value;
        value = next;
    }
    (value, degree as f64 * (x * value - before) / (x * x - 1.0))
}

#[cfg(test)]
mod tests {
    use super::gauss_legendre;

    #[test]
    fn polynomials_are_integrated_exactly() {
        for count in [1, 2, 5, 64, 400] {
            let rule = gauss_legendre(count);
            for power in 0..(2 * count).min(40) {
                let sum: f64 = rule.iter().map(|(x, w)| w * x.powi(power as i32)).sum();
                let exact = if power % 2 == 0 {
                    2.0 / (power as f64 + 1.0)
                } else {
                    0.0
                };
                assert!((sum - exact).abs() < 1e-13, "{count} {power} {sum}");
            }
        }
    }
}
