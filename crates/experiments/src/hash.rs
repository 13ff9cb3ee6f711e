//! Which bucket a unit is in.
//!
//! The bytes hashed are documented in the README under "The hash": they are a promise, because a change moves everyone.

use xxhash_rust::xxh3::{Xxh3Default, xxh3_64};

/// How many buckets there are: one for each basis point.
pub const BUCKETS: u16 = 10_000;

/// The version of the hash. It is raised if the bytes or the function ever change, because that moves everyone.
pub const HASH_VERSION: u16 = 1;

/// Up to here the bytes are laid side by side on the stack and hashed in one go, which is several times faster than
/// feeding them piece by piece. Most are short, and the room for those is cleared in a few instructions.
const SHORT: usize = 64;
const ON_STACK: usize = 240;

/// What a bucket is asked for. Each purpose hashes its own word, so that the answers are independent even under one salt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    Arm,
    Coverage,
    Layer,
    Holdout,
    Mirror,
}

impl Purpose {
    const fn word(self) -> &'static [u8] {
        match self {
            Self::Arm => b"\0arm\0",
            Self::Coverage => b"\0coverage\0",
            Self::Layer => b"\0layer\0",
            Self::Holdout => b"\0holdout\0",
            Self::Mirror => b"\0mirror\0",
        }
    }
}

/// The bucket of a unit, 0 to 9,999.
#[inline]
pub(crate) fn bucket(salt: &str, purpose: Purpose, unit: &str) -> u16 {
    in_buckets(hash(salt, purpose, unit))
}

#[inline]
const fn in_buckets(hash: u64) -> u16 {
    // Below 10,000, so it fits; the bias of the remainder of 64 bits is under one in 10^15.
    (hash % BUCKETS as u64) as u16
}

#[inline]
fn hash(salt: &str, purpose: Purpose, unit: &str) -> u64 {
    let pieces = [salt.as_bytes(), purpose.word(), unit.as_bytes()];
    hash_on_stack::<SHORT>(pieces)
        .or_else(|| hash_on_stack::<ON_STACK>(pieces))
        .unwrap_or_else(|| hash_in_pieces(pieces))
}

/// `None` if there is not enough room for the pieces.
#[inline]
fn hash_on_stack<const ROOM: usize>(pieces: [&[u8]; 3]) -> Option<u64> {
    let mut buffer = [0u8; ROOM];
    let mut rest = buffer.as_mut_slice();
    for piece in pieces {
        let (place, after) = rest.split_at_mut_checked(piece.len())?;
        place.copy_from_slice(piece);
        rest = after;
    }
    let used = ROOM - rest.len();
    buffer.get(..used).map(xxh3_64)
}

/// What comes before the unit's bytes, laid out once for all draws of one salt and purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Prefix {
    bytes: [u8; SHORT],
    /// `None` if a salt is so long that no unit would fit behind it.
    used: Option<u8>,
}

impl Prefix {
    pub(crate) fn new(salt: &str, purpose: Purpose) -> Self {
        let mut bytes = [0; SHORT];
        let written = [salt.as_bytes(), purpose.word()].concat();
        let place = bytes.get_mut(..written.len());
        Self {
            used: place.and_then(|place| {
                place.copy_from_slice(&written);
                u8::try_from(written.len()).ok()
            }),
            bytes,
        }
    }

    /// [`bucket`] of the salt and purpose this was made of; `None` if the unit does not fit behind them.
    #[inline]
    pub(crate) fn bucket(&self, unit: &str) -> Option<u16> {
        let mut bytes = self.bytes;
        let start = usize::from(self.used?);
        let end = start.checked_add(unit.len())?;
        bytes.get_mut(start..end)?.copy_from_slice(unit.as_bytes());
        bytes.get(..end).map(|bytes| in_buckets(xxh3_64(bytes)))
    }
}

fn hash_in_pieces(pieces: [&[u8]; 3]) -> u64 {
    let mut hasher = Xxh3Default::new();
    for piece in pieces {
        hasher.update(piece);
    }
    hasher.digest()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_function_is_the_published_one() {
        assert_eq!(xxh3_64(b""), 0x2d06_8005_38d3_94c2);
        assert_eq!(xxh3_64(b"a"), 0xe6c6_32b6_1e96_4e1f);
        assert_eq!(xxh3_64(b"abc"), 0x78af_5f94_892f_3950);
    }

    #[test]
    fn the_length_at_which_the_way_changes_does_not_show() {
        for length in ON_STACK - 20..ON_STACK + 20 {
            let unit = "u".repeat(length);
            let whole = [b"salt".as_slice(), b"\0arm\0", unit.as_bytes()].concat();
            assert_eq!(hash("salt", Purpose::Arm, &unit), xxh3_64(&whole), "{length}");
        }
    }

    proptest! {
        #[test]
        fn the_hash_is_that_of_the_documented_bytes(salt in "[^\0]{0,300}", unit in ".{0,300}") {
            let words = [
                (Purpose::Arm, "arm"),
                (Purpose::Coverage, "coverage"),
                (Purpose::Layer, "layer"),
                (Purpose::Holdout, "holdout"),
                (Purpose::Mirror, "mirror"),
            ];
            for (purpose, word) in words {
                let bytes = format!("{salt}\0{word}\0{unit}").into_bytes();
                prop_assert_eq!(hash(&salt, purpose, &unit), xxh3_64(&bytes));
                prop_assert!(bucket(&salt, purpose, &unit) < BUCKETS);
                let laid_out = Prefix::new(&salt, purpose).bucket(&unit);
                prop_assert!(laid_out.is_none_or(|laid_out| laid_out == bucket(&salt, purpose, &unit)));
                prop_assert_eq!(laid_out.is_some(), salt.len() + purpose.word().len() + unit.len() <= SHORT);
            }
        }
    }

    const IDS: u32 = 1_000_000;

    /// Ids of the shapes people use; sequential ones are what weak hashes fail on.
    fn id(i: u32) -> String {
        match i % 4 {
            0 => format!("{i}"),
            1 => format!("user-{i:08}"),
            2 => format!("{:016x}", u64::from(i).wrapping_mul(0x9e37_79b9_7f4a_7c15)),
            _ => format!("tenant/{}/conversation/{i}", i % 97),
        }
    }

    /// What chance passes about once in 30,000 (z = 4; Wilson and Hilferty 1931). The ids are fixed: no flaky test.
    fn chi_square_bound(df: f64) -> f64 {
        df * (1.0 - 2.0 / (9.0 * df) + 4.0 * (2.0 / (9.0 * df)).sqrt()).powi(3)
    }

    fn balance(buckets: impl Iterator<Item = u16>) -> f64 {
        let mut counts = vec![0u32; usize::from(BUCKETS)];
        let mut n = 0.0;
        for bucket in buckets {
            counts[usize::from(bucket)] += 1;
            n += 1.0;
        }
        let expected = n / f64::from(BUCKETS);
        counts
            .iter()
            .map(|count| (f64::from(*count) - expected).powi(2) / expected)
            .sum()
    }

    /// Pearson's statistic of the joint table of two draws in tenths against the product of its margins: 81 degrees of freedom.
    fn dependence(pairs: impl Iterator<Item = (u16, u16)>) -> f64 {
        let mut table = [[0.0f64; 10]; 10];
        for (a, b) in pairs {
            table[usize::from(a / 1_000)][usize::from(b / 1_000)] += 1.0;
        }
        let rows = table.map(|row| row.iter().sum::<f64>());
        let n: f64 = rows.iter().sum();
        (0..10)
            .flat_map(|j| {
                let column: f64 = table.iter().map(|row| row[j]).sum();
                let table = &table;
                rows.iter().enumerate().map(move |(i, row)| {
                    let expected = row * column / n;
                    (table[i][j] - expected).powi(2) / expected
                })
            })
            .sum()
    }

    #[test]
    fn a_million_ids_are_spread_evenly_and_each_draw_is_independent_of_every_other() {
        let one_salt = [
            Purpose::Arm,
            Purpose::Coverage,
            Purpose::Layer,
            Purpose::Holdout,
            Purpose::Mirror,
        ]
        .map(|purpose| ("experiment-1", purpose));
        let other_salts = ["experiment-2", "experiment-11", "2", ""].map(|salt| (salt, Purpose::Arm));
        let draws: Vec<_> = one_salt.into_iter().chain(other_salts).collect();
        let ids: Vec<_> = (0..IDS).map(id).collect();
        let buckets: Vec<Vec<u16>> = draws
            .iter()
            .map(|(salt, purpose)| ids.iter().map(|id| bucket(salt, *purpose, id)).collect())
            .collect();
        for (i, first) in buckets.iter().enumerate() {
            let statistic = balance(first.iter().copied());
            assert!(
                statistic < chi_square_bound(9_999.0),
                "{:?}: {statistic}",
                draws[i]
            );
            for (j, second) in buckets.iter().enumerate().take(i) {
                let statistic = dependence(first.iter().copied().zip(second.iter().copied()));
                assert!(
                    statistic < chi_square_bound(81.0),
                    "{:?} and {:?}: {statistic}",
                    draws[i],
                    draws[j]
                );
            }
        }
    }

    /// FNV-1a over the id and then the seed, modulo 1,000: the first hash of GrowthBook, whose experiments were correlated.
    fn id_before_seed_fnv(seed: &str, id: &str) -> u16 {
        let hash = id
            .bytes()
            .chain(seed.bytes())
            .fold(0x811c_9dc5_u32, |hash, byte| {
                (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
            });
        u16::try_from(hash % 1_000 * 10).unwrap()
    }

    #[test]
    fn the_test_sees_the_correlation_of_a_hash_that_has_it() {
        let statistic = dependence((0..100_000).map(id).map(|id| {
            (
                id_before_seed_fnv("experiment-1", &id),
                id_before_seed_fnv("experiment-2", &id),
            )
        }));
        assert!(statistic > 10.0 * chi_square_bound(81.0), "{statistic}");
    }
}
