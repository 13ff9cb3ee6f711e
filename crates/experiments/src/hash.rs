//! Which bucket a unit is in.
//!
//! The bytes hashed are documented in the README under "The hash": they are a promise, because a change moves everyone.

use xxhash_rust::xxh3::{Xxh3Default, xxh3_64};

/// How many buckets there are: one for each basis point.
pub const BUCKETS: u16 = 10_000;

/// The version of the hash. It is raised if the bytes or the function ever change, because that moves everyone.
pub const HASH_VERSION: u16 = 1;

/// Up to here the bytes are laid side by side on the stack and hashed in one go, which is several times faster than
/// feeding them piece by piece.
const ON_STACK: usize = 240;

/// What a bucket is asked for. Each purpose hashes its own word, so that the answers are independent even under one salt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    Arm,
    Coverage,
    Layer,
}

impl Purpose {
    const fn word(self) -> &'static [u8] {
        match self {
            Self::Arm => b"\0arm\0",
            Self::Coverage => b"\0coverage\0",
            Self::Layer => b"\0layer\0",
        }
    }
}

/// The bucket of a unit, 0 to 9,999.
pub(crate) fn bucket(salt: &str, purpose: Purpose, unit: &str) -> u16 {
    // Below 10,000, so it fits; the bias of the remainder of 64 bits is under one in 10^15.
    (hash(salt, purpose, unit) % u64::from(BUCKETS)) as u16
}

fn hash(salt: &str, purpose: Purpose, unit: &str) -> u64 {
    let pieces = [salt.as_bytes(), purpose.word(), unit.as_bytes()];
    let mut buffer = [0u8; ON_STACK];
    let mut rest = buffer.as_mut_slice();
    for piece in pieces {
        let Some((place, after)) = rest.split_at_mut_checked(piece.len()) else {
            return hash_in_pieces(pieces);
        };
        place.copy_from_slice(piece);
        rest = after;
    }
    let used = ON_STACK - rest.len();
    xxh3_64(buffer.get(..used).unwrap_or_default())
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
            for (purpose, word) in [(Purpose::Arm, "arm"), (Purpose::Coverage, "coverage"), (Purpose::Layer, "layer")] {
                let bytes = format!("{salt}\0{word}\0{unit}").into_bytes();
                prop_assert_eq!(hash(&salt, purpose, &unit), xxh3_64(&bytes));
                prop_assert!(bucket(&salt, purpose, &unit) < BUCKETS);
            }
        }
    }
}
