//! Chance as an argument: every draw follows from a seed, a label and the data it is about.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// A stream of draws. Two dice made from the same seed, label and parts give the same draws on every machine; the sampling
/// is written out here, so that it does not change with a library's idea of a uniform range.
#[derive(Debug, Clone)]
pub(crate) struct Dice(ChaCha8Rng);

/// FNV-1a over 64 bits. Names what the draws are about; it protects nothing.
pub(crate) fn fingerprint(parts: &[&[u8]]) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    let mut eat = |byte: u8| hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    for part in parts {
        // The length first, so that ("ab", "c") and ("a", "bc") differ.
        (part.len() as u64).to_le_bytes().into_iter().for_each(&mut eat);
        part.iter().copied().for_each(&mut eat);
    }
    hash
}

impl Dice {
    pub(crate) fn new(seed: u64, label: &str, parts: &[&[u8]]) -> Self {
        let about = fingerprint(parts) ^ fingerprint(&[label.as_bytes()]).rotate_left(32);
        // The finaliser of SplitMix64 spreads neighbouring seeds over all bits.
        let mut mixed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15) ^ about;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Self(ChaCha8Rng::seed_from_u64(mixed ^ (mixed >> 31)))
    }

    /// A whole number from 0 up to, but without, `bound`; 0 for a bound of 0.
    pub(crate) fn below(&mut self, bound: u32) -> u32 {
        ((u64::from(self.0.next_u32()) * u64::from(bound)) >> 32) as u32
    }

    /// A whole number from `low` to `high`, both included; `low` if the range is empty.
    pub(crate) fn between(&mut self, low: u32, high: u32) -> u32 {
        low.saturating_add(self.below(high.saturating_sub(low).saturating_add(1)))
    }

    /// A number from 0 up to, but without, 1.
    pub(crate) fn unit(&mut self) -> f64 {
        f64::from(self.0.next_u32()) / 4_294_967_296.0
    }

    /// `true` with this probability.
    pub(crate) fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// One of them; the default where there are none.
    pub(crate) fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> Option<&'a T> {
        from.get(self.below(u32::try_from(from.len()).unwrap_or(u32::MAX)) as usize)
            .copied()
    }

    /// One of these words.
    pub(crate) fn word(&mut self, from: &[&'static str]) -> &'static str {
        self.pick(from).unwrap_or("")
    }

    /// That many letters and digits.
    pub(crate) fn alphanumeric(&mut self, length: usize) -> String {
        const LETTERS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
        (0..length)
            .map(|_| char::from(LETTERS[self.below(62) as usize]))
            .collect()
    }

    /// A draw around 1 with a long right tail: the logarithm is spread by `sigma` around 0. The normal draw is the sum of
    /// twelve uniform ones, which needs no transcendental function but the last.
    pub(crate) fn log_normal(&mut self, sigma: f64) -> f64 {
        let normal = (0..12).map(|_| self.unit()).sum::<f64>() - 6.0;
        (sigma * normal).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_and_data_give_the_same_draws_and_another_label_does_not() {
        let draws = |label: &str| {
            let mut dice = Dice::new(7, label, &[b"a", b"b"]);
            (0..8).map(|_| dice.below(1_000_000)).collect::<Vec<_>>()
        };
        assert_eq!(draws("x"), draws("x"));
        assert_ne!(draws("x"), draws("y"));
        assert_ne!(fingerprint(&[b"ab", b"c"]), fingerprint(&[b"a", b"bc"]));
    }

    #[test]
    fn draws_stay_in_their_range_and_reach_both_ends() {
        let mut dice = Dice::new(1, "range", &[]);
        let seen: std::collections::BTreeSet<u32> = (0..500).map(|_| dice.between(3, 6)).collect();
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), [3, 4, 5, 6]);
        assert_eq!(dice.below(0), 0);
        assert_eq!(dice.between(5, 2), 5);
        assert_eq!(dice.pick::<str>(&[]), None);
        assert!(!dice.chance(0.0));
        assert!(dice.chance(1.0));
        let share = (0..10_000).filter(|_| dice.chance(0.25)).count();
        assert!((2_200..2_800).contains(&share), "{share}");
        assert!((0..1000).all(|_| dice.log_normal(0.4) > 0.0));
    }
}
