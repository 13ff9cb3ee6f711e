//! Random numbers from a seed.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Seeded random numbers: the same seed, the same numbers, in every release.
#[derive(Debug, Clone)]
pub struct Dice(ChaCha8Rng);

impl Dice {
    /// The numbers of a seed.
    pub fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// A number from the open interval 0 to 1.
    pub fn unit(&mut self) -> f64 {
        // 53 bits, and half a step up, so that neither end is reached.
        ((self.0.next_u64() >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
    }

    /// Whether something of probability `p` happens; never at 0 or less, always at 1 or more.
    pub fn happens(&mut self, p: f64) -> bool {
        self.unit() < p
    }

    /// A number below `count`; 0 if `count` is 0. The bias of the division is below one in 2^32.
    pub fn below(&mut self, count: usize) -> usize {
        let wide = u128::from(self.0.next_u64()) * count as u128;
        (wide >> 64) as usize
    }

    /// A number from the normal distribution with mean 0 and deviation 1 (Box & Muller 1958).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * self.unit().ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }

    /// A number from the gamma distribution of this shape and scale 1 (Marsaglia & Tsang 2000, ACM TOMS 26:363, squeezed by
    /// rejection). NaN unless the shape is 1 or more and finite, the only ones needed here.
    pub(super) fn gamma(&mut self, shape: f64) -> f64 {
        if !(shape >= 1.0 && shape.is_finite()) {
            return f64::NAN;
        }
        let d = shape - 1.0 / 3.0;
        let c = 1.0 / (9.0 * d).sqrt();
        loop {
            let x = self.normal();
            let v = (1.0 + c * x).powi(3);
            if v > 0.0 && self.unit().ln() < 0.5 * x * x + d - d * v + d * v.ln() {
                return d * v;
            }
        }
    }

    /// A number from the beta distribution of these shapes, as X/(X+Y) of two gamma numbers.
    pub(super) fn beta(&mut self, a: f64, b: f64) -> f64 {
        let x = self.gamma(a);
        x / (x + self.gamma(b))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ChaCha with 8 rounds over a key from PCG32, written again from their descriptions.
    #[test]
    fn known_numbers() {
        for (seed, first, second) in [
            (1, 0.402_485_663_664_848_1, 0.080_383_708_929_782_03),
            (7, 0.157_796_097_020_619_42, 0.167_989_362_772_101_36),
            (42, 0.681_896_192_306_671_5, 0.950_275_407_672_484),
        ] {
            let mut dice = Dice::new(seed);
            assert_eq!((dice.unit(), dice.unit()), (first, second), "seed {seed}");
        }
    }
}
