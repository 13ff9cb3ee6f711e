//! What could have been spent instead: savings, waste, cheaper models, a forecast, and hours that stand out.
//!
//! Everything is made from the hourly sums that reports are made from. Amounts that were spent are exact. What is supposed (other
//! prices for the same traffic) is calculated exactly under assumptions that are stated with it; what is estimated (a forecast) is
//! a float and never an amount of record.

mod forecast;
mod savings;
mod spikes;
mod suggest;
mod summary;
mod waste;

pub(crate) use forecast::about;
pub use forecast::{Backtest, Forecast, ForecastMethod, ForecastOptions, forecast};
pub use savings::{Comparison, SAVINGS_ASSUMPTIONS, cache_savings, savings};
pub use spikes::{Spike, SpikeRule, spikes};
pub use suggest::{Suggestion, TaskNeed, suggestions};
pub use summary::{Findings, Optimisation, OptimisationQuery};
pub use waste::{Waste, WasteSum, waste};

use crate::report::Period;
use crate::rollup::RollupRow;

/// The rows of real calls over all tags, in a period.
fn real<'a>(rows: &'a [RollupRow], period: &Period) -> impl Iterator<Item = &'a RollupRow> {
    let period = *period;
    rows.iter().filter(move |row| {
        !row.key.simulated && row.key.tag.is_none() && period.contains(row.key.hour.into())
    })
}
