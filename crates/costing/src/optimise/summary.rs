//! Every figure of this module for one report, gathered.

use integration_core::ModelId;

use super::{
    Comparison, Forecast, ForecastOptions, Spike, SpikeRule, Suggestion, TaskNeed, Waste, cache_savings,
    forecast, savings, spikes, suggestions, waste,
};
use crate::book::PriceBook;
use crate::report::{Period, ReportQuery};
use crate::rollup::{PicoSum, RollupRow};
use crate::time::UtcTime;

const DAY: i64 = 86_400;
/// How far back a forecast looks, in days.
const FORECAST_DAYS: i64 = 56;

/// What the figures are worked out by.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct OptimisationQuery {
    /// The time by which the month is that of the forecast.
    pub now: UtcTime,
    /// The prices of what could have been asked instead.
    pub book: PriceBook,
    /// The model that all traffic is supposed to have gone to; `None` for no such comparison.
    pub baseline: Option<ModelId>,
    /// What each task needs. Nothing is suggested for a task that is not here.
    pub needs: Vec<TaskNeed>,
    /// How the month's end is foreseen.
    pub forecast: ForecastOptions,
    /// When an hour stands out.
    pub spike: SpikeRule,
}

impl OptimisationQuery {
    /// At these prices; without a baseline and without suggestions.
    pub fn new(now: UtcTime, book: PriceBook) -> Self {
        Self {
            now,
            book,
            baseline: None,
            needs: Vec::new(),
            forecast: ForecastOptions::default(),
            spike: SpikeRule::default(),
        }
    }

    /// Compares with this model.
    #[must_use]
    pub fn with_baseline(mut self, model: Option<ModelId>) -> Self {
        self.baseline = model;
        self
    }

    /// Suggests what is good enough for these tasks.
    #[must_use]
    pub fn with_needs(mut self, needs: impl IntoIterator<Item = TaskNeed>) -> Self {
        self.needs = needs.into_iter().collect();
        self
    }

    /// From when on sums are needed for the figures of a period: hours that stand out are held against those before them, and a
    /// forecast against past weeks.
    pub fn reads_from(&self, period: &Period) -> UtcTime {
        let window = self.spike.window_hours.max(0).saturating_mul(3_600);
        let for_spikes = period.from().unix().saturating_sub(window);
        let from = if period.contains(self.now) {
            for_spikes.min(self.now.unix() - FORECAST_DAYS * DAY)
        } else {
            for_spikes
        };
        // On a whole hour, as the period's own bounds are.
        UtcTime::from_unix((from - from.rem_euclid(3_600)).max(0))
    }
}

/// The figures of the real calls of a report, or of its simulated ones.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Findings {
    /// The baseline, and what was spent beside what it would have cost.
    pub savings: Option<(ModelId, Comparison)>,
    /// What reading from caches saved.
    pub cache_savings: PicoSum,
    /// What was paid for attempts that gave the caller nothing.
    pub waste: Waste,
    /// Cheaper models, the largest saving first.
    pub suggestions: Vec<Suggestion>,
    /// The month's end; `None` where the period does not contain the present.
    pub forecast: Option<Forecast>,
    /// Hours that stand out, in order of time.
    pub spikes: Vec<Spike>,
}

/// What could have been spent instead, beside a report of what was spent. Simulated calls are apart here as well: their figures
/// are those of the same traffic had it been paid for.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Optimisation {
    /// Of the calls that cost money, if there were any.
    pub real: Option<Findings>,
    /// Of the simulated ones, if there were any.
    pub simulated: Option<Findings>,
}

impl Optimisation {
    /// Works the figures out for the period and the filters of a report. Rows from
    /// [`reads_from`](OptimisationQuery::reads_from) on are needed; others do no harm.
    pub fn new<'a>(
        rows: impl IntoIterator<Item = &'a RollupRow>,
        query: &ReportQuery,
        by: &OptimisationQuery,
    ) -> Self {
        let mut kinds = [Vec::new(), Vec::new()];
        for row in rows {
            if row.key.tag.as_deref() == query.filters.tag() && query.filters.hold(&row.key) {
                let mut row = row.clone();
                let kind = usize::from(row.key.simulated);
                // Each kind is by itself from here on, and one tag is all of it.
                (row.key.simulated, row.key.tag) = (false, None);
                kinds[kind].push(row);
            }
        }
        let [real, simulated] = kinds.map(|rows| Findings::of(&rows, &query.period, by));
        Self { real, simulated }
    }
}

impl Findings {
    fn of(rows: &[RollupRow], period: &Period, by: &OptimisationQuery) -> Option<Self> {
        super::real(rows, period).next()?;
        let compared = by
            .baseline
            .as_ref()
            .map(|model| (model.clone(), savings(rows, period, &by.book, model)));
        Some(Self {
            savings: compared.filter(|(_, comparison)| comparison.compared > 0),
            cache_savings: cache_savings(rows, period),
            waste: waste(rows, period),
            suggestions: suggestions(rows, period, &by.book, &by.needs),
            forecast: period
                .contains(by.now)
                .then(|| forecast(rows, by.now, &by.forecast)),
            spikes: spikes(rows, period, &by.spike),
        })
    }
}
