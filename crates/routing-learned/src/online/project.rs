//! Many sparse features made few dense ones.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::MOST_DIMENSIONS;
use super::error::OnlineError;

/// Projects sparse features to as many dimensions as `out` has: `out[k] = Σ ±value / √d`, the sign by bit k of
/// XXH3(index, `seed`). Inner products, and so lengths and angles, stay what they were on average over seeds; of two vectors of length 1
/// they waver by about 1/√d (Achlioptas 2003, JCSS 66:671). The same seed gives the same projection on every machine, in every release;
/// there is no matrix to be stored.
///
/// Features are (index, value); one index may come several times, and its values are added. Scale them to a length near 1, and keep
/// a place of the context free for a constant 1, beside `out`, if rewards are not 0 on average. Nothing is allocated.
///
/// # Errors
/// [`OnlineError`] unless `out` has 1 to 64 places and all values, and their sums, are finite; `out` holds nothing of use then.
pub fn project(features: &[(u32, f32)], seed: u64, out: &mut [f64]) -> Result<(), OnlineError> {
    if out.is_empty() || out.len() > MOST_DIMENSIONS {
        return Err(OnlineError::Count {
            what: "the number of dimensions",
            value: out.len(),
            range: "from 1 to 64",
        });
    }
    let scale = (out.len() as f64).sqrt().recip();
    out.fill(0.0);
    for (index, value) in features {
        if !value.is_finite() {
            return Err(OnlineError::NotFinite("a feature's value"));
        }
        let signs = xxh3_64_with_seed(&index.to_le_bytes(), seed);
        let value = f64::from(*value) * scale;
        for (place, slot) in out.iter_mut().enumerate() {
            *slot += if (signs >> place) & 1 == 1 { value } else { -value };
        }
    }
    // A sum of f32 cannot leave the range of f64.
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written again in Python with the package xxhash 4.1.0: `xxh3_64_intdigest(struct.pack('<I', index), seed)`.
    #[test]
    fn known_numbers() {
        let mut out = [0.0; 4];
        project(&[(0, 1.0), (7, 2.0), (4_000_000_000, -0.5)], 42, &mut out).unwrap();
        assert_eq!(out, [-0.75, -1.75, 1.75, -1.75]);
    }

    #[test]
    fn inner_products_stay_on_average() {
        let one: Vec<(u32, f32)> = (0..20).map(|at| (at * 31, 0.3)).collect();
        let other: Vec<(u32, f32)> = (10..30).map(|at| (at * 31, 0.2)).collect();
        // Ten indices in common.
        let truth = 10.0 * 0.3 * 0.2;
        let (mut sum, mut squares) = (0.0, 0.0);
        for seed in 0..2_000 {
            let (mut a, mut b) = ([0.0; 16], [0.0; 16]);
            project(&one, seed, &mut a).unwrap();
            project(&other, seed, &mut b).unwrap();
            let product: f64 = a.iter().zip(b).map(|(a, b)| a * b).sum();
            sum += product;
            squares += (product - truth).powi(2);
        }
        let (mean, deviation) = (sum / 2_000.0, (squares / 2_000.0_f64).sqrt());
        assert!(
            (mean - truth).abs() < 4.0 * deviation / 2_000.0_f64.sqrt(),
            "{mean}"
        );
        // √((|a|²|b|² + ⟨a,b⟩²)/d) is the most.
        assert!(
            deviation < ((1.8 * 0.8 + truth * truth) / 16.0_f64).sqrt() * 1.1,
            "{deviation}"
        );
    }

    #[test]
    fn what_cannot_be_projected_is_refused() {
        assert!(project(&[], 0, &mut []).is_err());
        assert!(project(&[], 0, &mut [0.0; 65]).is_err());
        assert!(project(&[(1, f32::NAN)], 0, &mut [0.0; 4]).is_err());
        let mut out = [1.0; 64];
        project(&[(1, f32::MAX); 100], 0, &mut out).unwrap();
        assert!(out.iter().all(|value| value.is_finite()));
        project(&[], 0, &mut out).unwrap();
        assert_eq!(out, [0.0; 64]);
    }
}
