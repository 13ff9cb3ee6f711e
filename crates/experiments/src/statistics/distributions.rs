//! The usual distributions, over `statrs`. Tails are taken as tails: `1 - cdf` loses them.

use statrs::distribution::{
    Beta, Binomial, ChiSquared, ContinuousCDF, DiscreteCDF, FisherSnedecor, Normal, StudentsT,
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

/// P(T > t) of Student's t.
///
/// # Errors
/// If there are no degrees of freedom.
pub fn t_sf(t: f64, df: f64) -> Result<f64, StatisticsError> {
    Ok(student(df)?.sf(t))
}

/// The t that Student's t stays below with probability `p`.
///
/// # Errors
/// If `p` is no probability, or there are no degrees of freedom.
pub fn t_quantile(p: f64, df: f64) -> Result<f64, StatisticsError> {
    if p > 0.0 && p < 1.0 {
        Ok(student(df)?.inverse_cdf(p))
    } else {
        Err(out_of_range("a probability", p, "between 0 and 1"))
    }
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
