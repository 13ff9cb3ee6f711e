//! The usual distributions, over `statrs`. Tails are taken as tails: `1 - cdf` loses them.

use statrs::distribution::{
    Beta, Binomial, ChiSquared, Continuous, ContinuousCDF, Discrete, DiscreteCDF, FisherSnedecor, Normal,
    StudentsT,
};

use super::StatisticsError;

fn out_of_range(what: &'static str, value: f64, range: &'static str) -> StatisticsError {
    StatisticsError::OutOfRange { what, value, range }
}

/// P(Z ≤ z) of the standard normal.
pub fn normal_cdf(z: f64) -> f64 {
    Normal::standard().cdf(z)
}

/// P(Z > z) of the standard normal.
pub fn normal_sf(z: f64) -> f64 {
    Normal::standard().sf(z)
}

/// The z that the standard normal stays below with probability `p`; infinite at 0 and 1.
///
/// # Errors
/// If `p` is no probability.
pub fn normal_quantile(p: f64) -> Result<f64, StatisticsError> {
    if (0.0..=1.0).contains(&p) {
        Ok(Normal::standard().inverse_cdf(p))
    } else {
        Err(out_of_range("a probability", p, "from 0 to 1"))
    }
}

/// Degrees of freedom from which on Student's t is taken by Hill's expansion: the incomplete beta function loses digits there.
const MANY_DEGREES: f64 = 500.0;

/// P(T > t) of Student's t.
///
/// # Errors
/// If there are no degrees of freedom.
pub fn t_sf(t: f64, df: f64) -> Result<f64, StatisticsError> {
    let student = student(df)?;
    Ok(if df.is_infinite() {
        normal_sf(t)
    } else if df >= MANY_DEGREES {
        normal_sf(hill(t, df))
    } else {
        student.sf(t)
    })
}

/// The z of the standard normal with the tail of `t` (Hill 1970, Communications of the ACM 13:617, algorithm 395).
fn hill(t: f64, df: f64) -> f64 {
    let a = df - 0.5;
    let b = 48.0 * a * a;
    let y = a * (t * t / df).ln_1p();
    let correction = (((-0.4 * y - 3.3) * y - 24.0) * y - 85.5) / (0.8 * y * y + 100.0 + b);
    (((correction + y + 3.0) / b + 1.0) * y.sqrt()).copysign(t)
}

/// The t that Student's t stays below with probability `p`.
///
/// # Errors
/// If `p` is no probability, or there are no degrees of freedom.
pub fn t_quantile(p: f64, df: f64) -> Result<f64, StatisticsError> {
    let student = student(df)?;
    if !(p > 0.0 && p < 1.0) {
        return Err(out_of_range("a probability", p, "between 0 and 1"));
    }
    let tail = p.min(1.0 - p);
    let mut t = normal_quantile(tail)?.abs();
    if tail < 0.5 && df.is_finite() {
        // Newton on the logarithm of the tail, which is convex enough from the normal's quantile on. The library's own inverse
        // is off in the fifth digit with a million degrees of freedom.
        for _ in 0..200 {
            let sf = t_sf(t, df)?;
            let step = (sf / tail).ln() * sf / student.pdf(t);
            t += step;
            if step.abs() <= 1e-14 * t.abs() || !step.is_finite() {
                break;
            }
        }
    }
    Ok(if p < 0.5 { -t } else { t })
}

/// P(T > t) of the noncentral t with `df` degrees of freedom and noncentrality `shift`: the power of a t test.
///
/// The mean of P(Z > t·s − shift) over s = √(χ²/df), by the trapezoid rule in ln s, where the density is smooth and falls off
/// fast on both sides.
///
/// # Errors
/// If there are no degrees of freedom, or a figure is not finite.
pub fn noncentral_t_sf(t: f64, df: f64, shift: f64) -> Result<f64, StatisticsError> {
    if !(df.is_finite() && df > 0.0) {
        return Err(out_of_range("the degrees of freedom", df, "above 0"));
    }
    if !t.is_finite() || !shift.is_finite() {
        return Err(StatisticsError::NotFinite("a t statistic"));
    }
    const STEPS: u32 = 1_000;
    let reach = (40.0 / df).sqrt();
    let (low, high) = (-40.0 / df - reach, reach);
    let (mut weights, mut sum) = (0.0, 0.0);
    for step in 0..=STEPS {
        let u = low + (high - low) * f64::from(step) / f64::from(STEPS);
        let weight = (df * (u - (2.0 * u).exp_m1() / 2.0)).exp();
        weights += weight;
        sum += weight * normal_sf(t * u.exp() - shift);
    }
    Ok(sum / weights)
}

fn student(df: f64) -> Result<StudentsT, StatisticsError> {
    StudentsT::new(0.0, 1.0, df).map_err(|_| out_of_range("the degrees of freedom", df, "above 0"))
}

/// P(X > x) of the χ² distribution.
///
/// # Errors
/// If there are no degrees of freedom.
pub fn chi_squared_sf(x: f64, df: f64) -> Result<f64, StatisticsError> {
    let chi = ChiSquared::new(df).map_err(|_| out_of_range("the degrees of freedom", df, "above 0"))?;
    Ok(chi.sf(x))
}

/// P(X > x) of the F distribution.
///
/// # Errors
/// If there are no degrees of freedom.
pub fn f_sf(x: f64, df1: f64, df2: f64) -> Result<f64, StatisticsError> {
    let f = FisherSnedecor::new(df1, df2)
        .map_err(|_| out_of_range("the degrees of freedom", df1.min(df2), "above 0"))?;
    Ok(f.sf(x))
}

/// The beta distribution.
///
/// # Errors
/// If a shape is not above 0.
pub fn beta(a: f64, b: f64) -> Result<Beta, StatisticsError> {
    Beta::new(a, b).map_err(|_| out_of_range("a shape of the beta distribution", a.min(b), "above 0"))
}

/// P(X ≤ k) of the binomial.
///
/// # Errors
/// If `p` is no probability.
pub fn binomial_cdf(k: u64, n: u64, p: f64) -> Result<f64, StatisticsError> {
    let binomial = Binomial::new(p, n).map_err(|_| out_of_range("a probability", p, "from 0 to 1"))?;
    Ok(binomial.cdf(k))
}

/// P(X = k) of the binomial.
///
/// # Errors
/// If `p` is no probability.
pub fn binomial_pmf(k: u64, n: u64, p: f64) -> Result<f64, StatisticsError> {
    let binomial = Binomial::new(p, n).map_err(|_| out_of_range("a probability", p, "from 0 to 1"))?;
    Ok(binomial.pmf(k))
}

/// ln Γ(x).
///
/// # Errors
/// Unless `x` is above 0.
pub fn ln_gamma(x: f64) -> Result<f64, StatisticsError> {
    if x > 0.0 && x.is_finite() {
        Ok(statrs::function::gamma::ln_gamma(x))
    } else {
        Err(out_of_range("the argument of the gamma function", x, "above 0"))
    }
}

/// P(X ≤ x) of the beta distribution with shapes `a` and `b`, `x` given together with `1 − x` so that neither end loses digits.
/// For shapes of any size: the continued fraction (DLMF 8.17.22, by Lentz's method) needs about √(a + b) steps, and gets them.
/// `statrs` stops after 140, which is too early from shapes of some ten thousands.
///
/// # Errors
/// If a shape is not above 0, or `x` and `1 − x` are not from 0 to 1.
pub fn beta_cdf(a: f64, b: f64, x: f64, one_minus_x: f64) -> Result<f64, StatisticsError> {
    for shape in [a, b] {
        if !(shape > 0.0 && shape.is_finite()) {
            return Err(out_of_range("a shape of the beta distribution", shape, "above 0"));
        }
    }
    for part in [x, one_minus_x] {
        if !(0.0..=1.0).contains(&part) {
            return Err(out_of_range("a probability", part, "from 0 to 1"));
        }
    }
    if x * (a + b + 2.0) <= a + 1.0 {
        Ok(incomplete_beta(a, b, x, one_minus_x))
    } else {
        Ok(1.0 - incomplete_beta(b, a, one_minus_x, x))
    }
}

/// The regularised incomplete beta function for x below the mean or little above, `y` being 1 − x.
fn incomplete_beta(a: f64, b: f64, x: f64, y: f64) -> f64 {
    use statrs::function::gamma::ln_gamma;
    if x == 0.0 {
        return 0.0;
    }
    let front = (a * x.ln() + b * y.ln() + ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b)).exp() / a;
    let away_from_zero = |v: f64| if v.abs() < 1e-300 { 1e-300 } else { v };
    let mut c = 1.0;
    let mut d = 1.0 / away_from_zero(1.0 - (a + b) * x / (a + 1.0));
    let mut fraction = d;
    let most = 200.0 + 10.0 * (a + b).sqrt();
    let mut m = 1.0;
    while m < most {
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        d = 1.0 / away_from_zero(1.0 + even * d);
        c = away_from_zero(1.0 + even / c);
        fraction *= d * c;
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        d = 1.0 / away_from_zero(1.0 + odd * d);
        c = away_from_zero(1.0 + odd / c);
        let step = d * c;
        fraction *= step;
        if (step - 1.0).abs() < 1e-15 {
            break;
        }
        m += 1.0;
    }
    (front * fraction).clamp(0.0, 1.0)
}
