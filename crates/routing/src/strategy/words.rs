//! Strategies by the words that command lines, requests and configurations use.

use std::sync::Arc;

use super::{
    BestQuality, Cascade, Cheapest, Headroom, LeastBusy, LowestLatency, RoundRobin, Sticky, Strategy,
    Thompson, Throughput, Weighted, WeightedUtility,
};

/// The names of all strategies of this crate.
pub const STRATEGIES: [&str; 12] = [
    "cheapest",
    "best-quality",
    "weighted-utility",
    "lowest-latency",
    "throughput",
    "least-busy",
    "headroom",
    "weighted",
    "round-robin",
    "sticky",
    "cascade",
    "thompson",
];

/// A word that is no strategy. The message says what there is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnknownStrategy {
    /// No strategy has this name.
    #[error("'{0}' is not a strategy; there are {names}", names = STRATEGIES.join(", "))]
    Name(String),
    /// The strategy has no such parameter, or it may not have this value.
    #[error("'{parameter}' is not a parameter of the strategy '{name}'; {may}")]
    Parameter {
        /// Which strategy.
        name: &'static str,
        /// As it was written.
        parameter: String,
        /// What it may be.
        may: &'static str,
    },
}

/// The strategy of a word: a name, or a name with parameters such as `weighted-utility:cost=1,quality=2,latency=0`. What is left
/// out has its default.
///
/// # Errors
/// [`UnknownStrategy`] names what is not known, and what there is.
pub fn strategy(word: &str) -> Result<Arc<dyn Strategy>, UnknownStrategy> {
    let (name, parameters) = word.split_once(':').unwrap_or((word, ""));
    let plain: Arc<dyn Strategy> = match name {
        "weighted-utility" => {
            let default = WeightedUtility::default();
            let [cost, quality, latency] = read(
                "weighted-utility",
                parameters,
                [
                    ("cost", default.cost),
                    ("quality", default.quality),
                    ("latency", default.latency),
                ],
                "cost, quality and latency are weights from 0 up, one of them above 0",
                |[cost, quality, latency]| WeightedUtility::new(cost, quality, latency).is_some(),
            )?;
            return Ok(Arc::new(WeightedUtility {
                cost,
                quality,
                latency,
            }));
        }
        "sticky" => {
            let [tolerance] = read(
                "sticky",
                parameters,
                [("tolerance", Sticky::default().tolerance)],
                "tolerance is a share from 0 up",
                |[tolerance]| Sticky::new(tolerance).is_some(),
            )?;
            return Ok(Arc::new(Sticky { tolerance }));
        }
        "thompson" => {
            let [points_per_usd] = read(
                "thompson",
                parameters,
                [("points-per-usd", Thompson::default().points_per_usd)],
                "points-per-usd is a number from 0 up",
                |[points]| Thompson::new(points).is_some(),
            )?;
            return Ok(Arc::new(Thompson { points_per_usd }));
        }
        "cheapest" => Arc::new(Cheapest),
        "best-quality" => Arc::new(BestQuality),
        "lowest-latency" => Arc::new(LowestLatency),
        "throughput" => Arc::new(Throughput),
        "least-busy" => Arc::new(LeastBusy),
        "headroom" => Arc::new(Headroom),
        "weighted" => Arc::new(Weighted),
        "round-robin" => Arc::new(RoundRobin),
        "cascade" => Arc::new(Cascade),
        _ => return Err(UnknownStrategy::Name(word.to_owned())),
    };
    if word.contains(':') {
        return Err(UnknownStrategy::Name(word.to_owned()));
    }
    Ok(plain)
}

/// Reads `name=value,…` over defaults.
fn read<const N: usize>(
    name: &'static str,
    text: &str,
    defaults: [(&str, f64); N],
    may: &'static str,
    fine: impl Fn([f64; N]) -> bool,
) -> Result<[f64; N], UnknownStrategy> {
    let refused = |parameter: &str| UnknownStrategy::Parameter {
        name,
        parameter: parameter.to_owned(),
        may,
    };
    let mut values = defaults.map(|(_, value)| value);
    for parameter in text.split(',').filter(|parameter| !parameter.is_empty()) {
        let found = parameter.split_once('=').and_then(|(key, value)| {
            let place = defaults.iter().position(|(known, _)| *known == key)?;
            Some((place, value.parse::<f64>().ok()?))
        });
        match found.and_then(|(place, value)| Some((values.get_mut(place)?, value))) {
            Some((slot, value)) => *slot = value,
            None => return Err(refused(parameter)),
        }
    }
    if fine(values) {
        Ok(values)
    } else {
        Err(refused(text))
    }
}
