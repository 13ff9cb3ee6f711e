//! Ratings from all contests at once.

use super::Contests;
use crate::statistics::distributions::normal_quantile;
use crate::statistics::{Cholesky, Interval, Level, StatisticsError};

/// Points of rating for a unit of strength, so that ten to one is a difference of 400.
const SCALE: f64 = 400.0 / std::f64::consts::LN_10;

/// One's rating.
#[derive(Debug, Clone, PartialEq)]
pub struct Rating {
    /// Whose.
    pub name: String,
    /// 1000 + 400/ln 10 · θ, θ being the logarithm of strength; on average 1000. 400 points above another is ten wins to one.
    pub rating: f64,
    /// Its standard error, in the same points, against the average of all.
    pub se: f64,
    /// Where it lies. For whether one is better than another see [`Ratings::difference`]: that two intervals overlap says little.
    pub interval: Interval,
}

/// The ratings of all, in the order of [`Contests::names`].
#[derive(Debug, Clone, PartialEq)]
pub struct Ratings {
    contests: Contests,
    theta: Vec<f64>,
    covariance: Vec<Vec<f64>>,
    /// The normal quantile of the level.
    reach: f64,
}

impl Ratings {
    fn rating_of(&self, at: usize) -> Rating {
        let rating = 1000.0 + SCALE * self.theta.get(at).copied().unwrap_or(0.0);
        let se = SCALE * entry(&self.covariance, at, at).max(0.0).sqrt();
        Rating {
            name: self.contests.names().get(at).cloned().unwrap_or_default(),
            rating,
            se,
            interval: Interval::new(rating - self.reach * se, rating + self.reach * se),
        }
    }

    /// Everyone's.
    pub fn all(&self) -> Vec<Rating> {
        (0..self.theta.len()).map(|at| self.rating_of(at)).collect()
    }

    /// By how many points `a` is rated above `b`, and where that lies.
    ///
    /// # Errors
    /// [`StatisticsError::NoSupport`] if a name is unknown.
    pub fn difference(&self, a: &str, b: &str) -> Result<(f64, Interval), StatisticsError> {
        let (at, bt) = (self.contests.place(a)?, self.contests.place(b)?);
        let theta = |at: usize| self.theta.get(at).copied().unwrap_or(0.0);
        let points = SCALE * (theta(at) - theta(bt));
        let variance = entry(&self.covariance, at, at) + entry(&self.covariance, bt, bt)
            - 2.0 * entry(&self.covariance, at, bt);
        let half = self.reach * SCALE * variance.max(0.0).sqrt();
        Ok((points, Interval::new(points - half, points + half)))
    }

    /// How probable it is that `a` is preferred to `b`: 1/(1 + e^(θ_b − θ_a)).
    ///
    /// # Errors
    /// [`StatisticsError::NoSupport`] if a name is unknown.
    pub fn preferred(&self, a: &str, b: &str) -> Result<f64, StatisticsError> {
        let (points, _) = self.difference(a, b)?;
        Ok(1.0 / (1.0 + (-points / SCALE).exp()))
    }
}

/// The model of Bradley & Terry 1952 (Biometrika 39:324): a is preferred to b with probability 1/(1 + e^(θ_b − θ_a)), ties being half a
/// win for each. The likeliest θ by Newton's method, with sum 0; errors from the pseudo-inverse of the information, intervals at
/// `level` by the normal distribution, which wants a dozen contests of everyone or more.
///
/// There is a likeliest θ only if no group won all its contests with the rest (Ford 1957, American Mathematical Monthly 64:28). Where
/// one did, `ridge` helps: −ridge/2·Σθ² is added to the logarithm of the likelihood, which pulls everyone towards the average, as
/// a normal prior of variance 1/ridge would. 0 is none; 0.1 is little. With it an interval is one of that prior's posterior.
///
/// # Errors
/// [`StatisticsError::NoSupport`], naming the groups, if there is no likeliest θ and no ridge; [`StatisticsError::OutOfRange`] if the
/// ridge is negative or not finite.
pub fn bradley_terry(contests: &Contests, ridge: f64, level: Level) -> Result<Ratings, StatisticsError> {
    if !(ridge >= 0.0 && ridge.is_finite()) {
        return Err(StatisticsError::OutOfRange {
            what: "the ridge",
            value: ridge,
            range: "0 or more",
        });
    }
    let groups = contests.groups();
    if ridge == 0.0 && groups.len() > 1 {
        return Err(apart(contests, &groups));
    }
    let n = contests.names().len();
    let mut theta = vec![0.0; n];
    let mut likelihood = log_likelihood(contests, &theta, ridge);
    for _ in 0..200 {
        let (gradient, information) = derivatives(contests, &theta, ridge);
        let step = factor(information)?.solve(&gradient);
        let (mut part, mut better) = (1.0, false);
        // The likelihood is concave, so some part of the step raises it, unless rounding is all that is left.
        while part > 1e-9 {
            let next: Vec<f64> = theta.iter().zip(&step).map(|(at, by)| at + part * by).collect();
            let reached = log_likelihood(contests, &next, ridge);
            if reached >= likelihood {
                (theta, likelihood, better) = (next, reached, true);
                break;
            }
            part /= 2.0;
        }
        let largest = step.iter().fold(0.0_f64, |most, by| most.max(by.abs()));
        if !better || largest < 1e-11 {
            break;
        }
    }
    let middle = theta.iter().sum::<f64>() / n as f64;
    for at in &mut theta {
        *at -= middle;
    }
    let (gradient, information) = derivatives(contests, &theta, ridge);
    let games = (0..n).map(|row| total(contests, row)).sum::<f64>();
    let settled = gradient.iter().all(|off| off.abs() <= 1e-7 * (1.0 + games));
    if !settled {
        return Err(StatisticsError::NoSupport(
            "the contests are too uneven for ratings to be found".to_owned(),
        ));
    }
    let inverse = factor(information)?;
    // What was added to make the average known is taken out again.
    let mean = 1.0 / n as f64;
    let taken = mean / (1.0 + ridge);
    let covariance = (0..n).map(|column| {
        let unit: Vec<f64> = (0..n).map(|row| f64::from(u8::from(row == column))).collect();
        inverse.solve(&unit).iter().map(|value| value - taken).collect()
    });
    Ok(Ratings {
        contests: contests.clone(),
        theta,
        covariance: covariance.collect(),
        reach: normal_quantile(1.0 - level.alpha() / 2.0)?,
    })
}

fn apart(contests: &Contests, groups: &[Vec<usize>]) -> StatisticsError {
    let name = |at: &usize| contests.names().get(*at).map_or("", String::as_str);
    let mut listed: Vec<String> = groups
        .iter()
        .take(6)
        .map(|group| {
            let names: Vec<&str> = group.iter().take(6).map(name).collect();
            let more = if group.len() > 6 { ", …" } else { "" };
            format!("[{}{more}]", names.join(", "))
        })
        .collect();
    if groups.len() > 6 {
        listed.push(format!("and {} more", groups.len() - 6));
    }
    StatisticsError::NoSupport(format!(
        "between these groups no contest was won, or all by one side, so no rating compares them: {}; let them meet more \
         often, or ask for a ridge",
        listed.join(" ")
    ))
}

fn entry(matrix: &[Vec<f64>], row: usize, column: usize) -> f64 {
    matrix
        .get(row)
        .and_then(|row| row.get(column))
        .copied()
        .unwrap_or(0.0)
}

/// Contests of one with all others.
fn total(contests: &Contests, row: usize) -> f64 {
    (0..contests.names().len())
        .map(|column| contests.points(row, column) + contests.points(column, row))
        .sum()
}

fn log_likelihood(contests: &Contests, theta: &[f64], ridge: f64) -> f64 {
    let mut sum = 0.0;
    for (a, theta_a) in theta.iter().enumerate() {
        sum -= ridge / 2.0 * theta_a * theta_a;
        for (b, theta_b) in theta.iter().enumerate() {
            let points = contests.points(a, b);
            if points > 0.0 {
                // −ln(1 + eˣ), with x the loser's lead, so that it does not overflow.
                let lead = theta_b - theta_a;
                sum -= points * (lead.max(0.0) + (-lead.abs()).exp().ln_1p());
            }
        }
    }
    sum
}

/// The slope of the logarithm of the likelihood, and its curvature with the sign turned.
fn derivatives(contests: &Contests, theta: &[f64], ridge: f64) -> (Vec<f64>, Vec<Vec<f64>>) {
    let n = theta.len();
    let mut gradient: Vec<f64> = theta.iter().map(|at| -ridge * at).collect();
    let mut information = vec![vec![0.0; n]; n];
    for (a, ((slope, row), theta_a)) in gradient.iter_mut().zip(&mut information).zip(theta).enumerate() {
        let mut own = ridge;
        for (b, (slot, theta_b)) in row.iter_mut().zip(theta).enumerate() {
            let (won, lost) = (contests.points(a, b), contests.points(b, a));
            if a != b && won + lost > 0.0 {
                let p = 1.0 / (1.0 + (theta_b - theta_a).exp());
                *slope += won - (won + lost) * p;
                let weight = (won + lost) * p * (1.0 - p);
                *slot = -weight;
                own += weight;
            }
        }
        if let Some(slot) = row.get_mut(a) {
            *slot = own;
        }
    }
    (gradient, information)
}

/// The information says nothing of the average of all; 1/n everywhere settles that at 0.
fn grounded(mut information: Vec<Vec<f64>>) -> Vec<Vec<f64>> {
    let mean = 1.0 / information.len() as f64;
    for value in information.iter_mut().flatten() {
        *value += mean;
    }
    information
}

/// The factor of the information with a known average.
fn factor(information: Vec<Vec<f64>>) -> Result<Cholesky, StatisticsError> {
    Cholesky::of(&grounded(information)).ok_or_else(|| {
        StatisticsError::NoSupport("the contests say too little of some to rate them".to_owned())
    })
}
