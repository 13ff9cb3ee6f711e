//! The standard normal distribution.

/// The value below which a standard normal variable lies with probability `p`: negative infinity at 0 and below, infinity at 1 and
/// above, no number for no number.
///
/// The rational approximations PPND16 of M. J. Wichura, Algorithm AS 241: The Percentage Points of the Normal Distribution, Applied
/// Statistics 37 (1988), 477–484. They are good to about 16 digits.
pub(super) fn quantile(p: f64) -> f64 {
    if p.is_nan() {
        return p;
    }
    if p <= 0.0 {
        return f64::NEG_INFINITY;
    }
    if p >= 1.0 {
        return f64::INFINITY;
    }
    let q = p - 0.5;
    if q.abs() <= 0.425 {
        let r = 0.180_625 - q * q;
        return q * polynomial(&A, r) / polynomial(&B, r);
    }
    let tail = if q < 0.0 { p } else { 1.0 - p };
    let r = (-tail.ln()).sqrt();
    let value = if r <= 5.0 {
        polynomial(&C, r - 1.6) / polynomial(&D, r - 1.6)
    } else {
        polynomial(&E, r - 5.0) / polynomial(&F, r - 5.0)
    };
    if q < 0.0 { -value } else { value }
}

/// The coefficients are from the constant term up.
fn polynomial(coefficients: &[f64; 8], x: f64) -> f64 {
    coefficients.iter().rev().fold(0.0, |sum, c| sum * x + c)
}

// As they were published, in more digits than a number holds.
#[expect(clippy::excessive_precision, reason = "the digits are those of the source")]
mod coefficients {
    pub(super) const A: [f64; 8] = [
        3.387_132_872_796_366_608_0,
        1.331_416_678_917_843_774_5e2,
        1.971_590_950_306_551_442_7e3,
        1.373_169_376_550_946_112_5e4,
        4.592_195_393_154_987_145_7e4,
        6.726_577_092_700_870_085_3e4,
        3.343_057_558_358_812_810_5e4,
        2.509_080_928_730_122_672_7e3,
    ];
    pub(super) const B: [f64; 8] = [
        1.0,
        4.231_333_070_160_091_125_2e1,
        6.871_870_074_920_579_083_0e2,
        5.394_196_021_424_751_107_7e3,
        2.121_379_430_158_659_586_7e4,
        3.930_789_580_009_271_061_0e4,
        2.872_908_573_572_194_267_4e4,
        5.226_495_278_852_854_561_0e3,
    ];
    pub(super) const C: [f64; 8] = [
        1.423_437_110_749_683_577_34,
        4.630_337_846_156_545_295_90,
        5.769_497_221_460_691_405_50,
        3.647_848_324_763_204_605_04,
        1.270_458_252_452_368_382_58,
        2.417_807_251_774_506_117_70e-1,
        2.272_384_498_926_918_458_33e-2,
        7.745_450_142_783_414_076_40e-4,
    ];
    pub(super) const D: [f64; 8] = [
        1.0,
        2.053_191_626_637_758_821_87,
        1.676_384_830_183_803_849_40,
        6.897_673_349_851_000_045_50e-1,
        1.481_039_764_274_800_745_90e-1,
        1.519_866_656_361_645_719_66e-2,
        5.475_938_084_995_344_946_00e-4,
        1.050_750_071_644_416_843_24e-9,
    ];
    pub(super) const E: [f64; 8] = [
        6.657_904_643_501_103_777_20,
        5.463_784_911_164_114_369_90,
        1.784_826_539_917_291_335_80,
        2.965_605_718_285_048_912_30e-1,
        2.653_218_952_657_612_309_30e-2,
        1.242_660_947_388_078_438_60e-3,
        2.711_555_568_743_487_578_15e-5,
        2.010_334_399_292_288_132_65e-7,
    ];
    pub(super) const F: [f64; 8] = [
        1.0,
        5.998_322_065_558_879_376_90e-1,
        1.369_298_809_227_358_053_10e-1,
        1.487_536_129_085_061_485_25e-2,
        7.868_691_311_456_132_591_00e-4,
        1.846_318_317_510_054_681_80e-5,
        1.421_511_758_316_445_888_70e-7,
        2.044_263_103_389_939_785_64e-15,
    ];
}
use coefficients::{A, B, C, D, E, F};

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Computed with 40 digits, as the inverse of the error function.
    const KNOWN: &[(f64, f64)] = &[
        (1e-300, -37.047_096_299_361_2),
        (1e-100, -21.273_453_560_965_326),
        (1e-20, -9.262_340_089_798_407),
        (1e-12, -7.034_483_825_301_132),
        (1e-9, -5.997_807_015_007_686_5),
        (1e-6, -4.753_424_308_822_899),
        (0.000_1, -3.719_016_485_455_680_4),
        (0.001, -3.090_232_306_167_813_6),
        (0.01, -2.326_347_874_040_841),
        (0.025, -1.959_963_984_540_054_3),
        (0.05, -1.644_853_626_951_472_6),
        (0.075, -1.439_531_470_938_456),
        (0.075_000_1, -1.439_530_764_501_729_7),
        (0.1, -1.281_551_565_544_600_4),
        (0.25, -0.674_489_750_196_081_7),
        (0.4, -0.253_347_103_135_799_7),
        (0.6, 0.253_347_103_135_799_7),
        (0.75, 0.674_489_750_196_081_7),
        (0.9, 1.281_551_565_544_600_6),
        (0.95, 1.644_853_626_951_472_2),
        (0.975, 1.959_963_984_540_053_8),
        (0.99, 2.326_347_874_040_840_8),
        (0.999, 3.090_232_306_167_813),
        (0.999_9, 3.719_016_485_455_708_4),
    ];

    #[test]
    fn known_values() {
        for &(p, z) in KNOWN {
            assert!((quantile(p) - z).abs() < 1e-9, "{p}: {} and not {z}", quantile(p));
        }
        assert_eq!(quantile(0.5), 0.0);
        assert_eq!((quantile(0.0), quantile(1.0)), (f64::NEG_INFINITY, f64::INFINITY));
        assert_eq!(
            (quantile(-1.0), quantile(2.0)),
            (f64::NEG_INFINITY, f64::INFINITY)
        );
        assert!(quantile(f64::NAN).is_nan());
    }

    proptest! {
        #[test]
        fn it_rises(a in 0.0..=1.0f64, b in 0.0..=1.0f64) {
            let (a, b) = if a <= b { (a, b) } else { (b, a) };
            prop_assert!(quantile(a) <= quantile(b));
        }

        #[test]
        fn it_is_symmetric(p in 1e-6..0.5f64) {
            prop_assert!((quantile(p) + quantile(1.0 - p)).abs() < 1e-9);
        }
    }
}
