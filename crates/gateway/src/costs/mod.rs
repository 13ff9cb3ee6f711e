//! Cost reports: read from the ledger's hourly sums, made by `costing`, asked for on the command line and over HTTP.

mod query;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use std::sync::Arc;

use costing::optimise::{Optimisation, OptimisationQuery, TaskNeed};
use costing::reconcile::Reconciled;
use costing::report::{
    CostPage, Focus, FocusAccount, Grouping, Reconciliation, Report, ReportContext, ReportFormat, ReportQuery,
};
use costing::{LedgerError, PriceBook, RollupFilter, RollupRow, UtcTime};
use integration_core::ModelId;
use routing::{RouteRequest, Snapshot, Task};

pub use self::query::{Baseline, CostFormat, CostQuery};
use crate::app::{App, Store};
use crate::config::Settings;
use crate::upstream::Mode;

/// The program, as reports name it.
const PROGRAM: &str = concat!("waypost ", env!("CARGO_PKG_VERSION"));

/// Lines of a table on the first page.
const PAGE_LINES: usize = 15;

/// What reports are made with beside the ledger.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CostSources<'a> {
    /// The prices of what could have been asked instead.
    pub prices: &'a PriceBook,
    /// The models that could have been.
    pub snapshot: Arc<Snapshot>,
    /// The task by which the best model is the best.
    pub task: Task,
    /// The quality below which no model is good enough.
    pub min_quality: f64,
    /// When the report is made.
    pub now: UtcTime,
}

impl<'a> CostSources<'a> {
    /// With the settings' task and threshold.
    pub fn new(prices: &'a PriceBook, snapshot: Arc<Snapshot>, settings: &Settings, now: UtcTime) -> Self {
        Self {
            prices,
            snapshot,
            task: settings.task,
            min_quality: settings.min_quality,
            now,
        }
    }

    /// Those of a running gateway.
    pub fn of(app: &'a App, now: UtcTime) -> Self {
        Self::new(
            &app.prices,
            Arc::clone(app.router.view().snapshot()),
            &app.settings,
            now,
        )
    }

    /// Which models can be asked for a task at all, with their quality.
    fn qualities(&self, task: Task) -> Vec<(ModelId, f64)> {
        let plan = self.snapshot.plan(&RouteRequest::new(task, self.now));
        plan.candidates
            .into_iter()
            .map(|candidate| (candidate.target.model, candidate.quality))
            .collect()
    }

    fn optimisation(&self, baseline: &Baseline) -> OptimisationQuery {
        let needs =
            Task::ALL.map(|task| TaskNeed::new(task.as_str(), self.min_quality, self.qualities(task)));
        let baseline = match baseline {
            Baseline::None => None,
            Baseline::Model(model) => Some(model.clone()),
            Baseline::Best => self
                .qualities(self.task)
                .into_iter()
                .max_by(|a, b| a.1.total_cmp(&b.1).then_with(|| b.0.cmp(&a.0)))
                .map(|(model, _)| model),
        };
        OptimisationQuery::new(self.now, self.prices.clone())
            .with_baseline(baseline)
            .with_needs(needs)
    }
}

/// A report as text.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CostText {
    /// The text.
    pub body: String,
    /// What it is called in the header of an HTTP answer.
    pub media_type: &'static str,
    /// A name for a file to save it in; `None` for what is to be looked at.
    pub file_name: Option<String>,
    /// What the text cannot say itself.
    pub note: Option<String>,
}

/// Makes a report: the same for the command line and for HTTP. What the query's `only_key` rules out is not read.
///
/// # Errors
/// The ledger's own trouble.
pub async fn report(
    store: &dyn Store,
    query: &CostQuery,
    sources: CostSources<'_>,
) -> Result<CostText, LedgerError> {
    Ok(gather(store, query, sources.clone()).await?.write(query, sources))
}

/// What of the ledger a report is made from.
#[derive(Debug, Clone)]
pub(crate) struct Gathered {
    rows: Vec<RollupRow>,
    reconciled: Option<Reconciled>,
}

/// Reads what a report is made from: hourly sums, never single attempts.
///
/// # Errors
/// The ledger's own trouble.
pub(crate) async fn gather(
    store: &dyn Store,
    query: &CostQuery,
    sources: CostSources<'_>,
) -> Result<Gathered, LedgerError> {
    let to = instant(query.period.to());
    let from = if query.format.has_optimisation() {
        OptimisationQuery::new(sources.now, sources.prices.clone()).reads_from(&query.period)
    } else {
        query.period.from()
    };
    let from = instant(from);
    let tag = query
        .filters
        .iter()
        .find(|(grouping, _)| *grouping == Grouping::Tag)
        .and_then(|(_, value)| value);
    let mut filter = RollupFilter::default();
    filter.key.clone_from(&query.only_key);
    filter.tag = tag.map(str::to_owned);
    filter.both = query.grouping == Grouping::Tag && tag.is_none();
    let rows = store.rollups(from, to, &filter).await?;
    let reconciled = reconciled(store, query).await?;
    Ok(Gathered { rows, reconciled })
}

/// The same instant for the ledger. Periods begin with 1970.
fn instant(time: UtcTime) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(u64::try_from(time.unix()).unwrap_or_default())
}

/// What came of asking the provider; `None` where nothing was asked, and in a report about some calls only, since that was not
/// kept by anything but time.
async fn reconciled(store: &dyn Store, query: &CostQuery) -> Result<Option<Reconciled>, LedgerError> {
    if query.only_key.is_some() || query.filters.iter().next().is_some() {
        return Ok(None);
    }
    let (from, to) = (instant(query.period.from()), instant(query.period.to()));
    let found = store.reconciled(from, to, false).await?;
    Ok(Some(found).filter(|found| found.found > 0 || found.open > 0 || found.gave_up > 0))
}

impl Gathered {
    /// A report by one grouping.
    pub(crate) fn report(&self, query: &CostQuery, grouping: Grouping, now: UtcTime) -> Report {
        let mut context = ReportContext::new(now, PROGRAM);
        if let Some(found) = self.reconciled {
            context = context.with_reconciliation(Reconciliation::new(
                found.delta,
                found.found,
                found.open.saturating_add(found.gave_up),
            ));
        }
        Report::new(&self.rows, self.query(query, grouping), context)
    }

    fn query(&self, query: &CostQuery, grouping: Grouping) -> ReportQuery {
        let asked = ReportQuery::new(query.period, grouping).with_filters(query.filters.clone());
        match query.top {
            Some(lines) => asked.with_top(lines),
            None => asked,
        }
    }

    fn optimisation(&self, query: &CostQuery, sources: CostSources<'_>) -> Optimisation {
        let asked = self.query(query, query.grouping);
        Optimisation::new(&self.rows, &asked, &sources.optimisation(&query.baseline))
    }

    /// The report as text. This calculates and does not wait.
    pub(crate) fn write(&self, query: &CostQuery, sources: CostSources<'_>) -> CostText {
        let (body, note) = match query.format {
            CostFormat::Focus(version) => {
                let account = FocusAccount::new("waypost", "Waypost");
                let focus = Focus::new(version, account, query.period).with_filters(query.filters.clone());
                let mut body = String::new();
                // A `String` takes everything.
                let totals = focus.write(&self.rows, &mut body).unwrap_or_default();
                let simulated = self.rows.iter().filter(|row| row.key.simulated).count();
                let notes: Vec<String> = [
                    (
                        totals.left_out,
                        "of which no cost is known are left out, as FOCUS has no word for that",
                    ),
                    (
                        simulated as u64,
                        "of simulated calls are left out, as nothing was charged for them",
                    ),
                ]
                .into_iter()
                .filter(|(rows, _)| *rows > 0)
                .map(|(rows, why)| format!("{rows} hourly sums {why}"))
                .collect();
                let note = (!notes.is_empty()).then(|| notes.join("; "));
                (body, note)
            }
            CostFormat::Report(format) => {
                let mut report = self.report(query, query.grouping, sources.now);
                if query.format.has_optimisation() {
                    report = report.with_optimisation(self.optimisation(query, sources));
                }
                (report.to_text(format), None)
            }
        };
        CostText {
            body,
            media_type: query.format.media_type(),
            file_name: query.format.file_name(query),
            note,
        }
    }

    /// The first page: what this month has cost, by model, day and key, and what it could have; with a link to each of these experiments.
    pub(crate) fn page<'e>(
        &self,
        query: &CostQuery,
        sources: CostSources<'_>,
        mode: Mode,
        experiments: impl Iterator<Item = &'e str>,
    ) -> CostText {
        let mut query = query.clone();
        query.top = Some(PAGE_LINES);
        let mut reports: Vec<Report> = [Grouping::Model, Grouping::Day, Grouping::Key]
            .into_iter()
            .map(|grouping| {
                if grouping.is_time() {
                    query.top = None;
                }
                let report = self.report(&query, grouping, sources.now);
                query.top = Some(PAGE_LINES);
                report
            })
            .collect();
        if let Some(first) = reports.first_mut() {
            first.optimisation = Some(self.optimisation(&query, sources));
        }
        let mut page = CostPage::new("Waypost: costs of this month", &reports);
        if mode == Mode::Simulated {
            page = page.with_notice(
                "This gateway is simulated: its answers come from a simulator, at real prices, and nothing is paid.",
            );
        }
        for grouping in Grouping::ALL {
            page = page.with_link(
                format!("by {grouping}"),
                format!("/v1/reports/costs?by={grouping}&format=html"),
            );
        }
        for key in experiments {
            // A key is made of letters, digits and marks that an address takes as they are.
            page = page.with_link(
                format!("experiment {key}"),
                format!("/v1/experiments/{key}?format=html"),
            );
        }
        CostText {
            body: page.to_text(),
            media_type: ReportFormat::Html.media_type(),
            file_name: None,
            note: None,
        }
    }
}
