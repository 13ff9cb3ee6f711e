//! Reports of what was spent: made from hourly sums, written as text, tables, data or a page.

mod amount;
pub(crate) mod calendar;
mod csv;
mod escape;
mod focus;
mod grouping;
mod html;
mod insights;
mod json;
mod markdown;
mod page;
mod svg;
mod table;
mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::{fmt, io};

pub use amount::Precision;
pub use calendar::{Period, PeriodError};
pub use focus::{Focus, FocusAccount, FocusTotals, FocusVersion};
pub use grouping::{FilterError, Filters, Grouping, UnknownGrouping};
pub use page::CostPage;

use crate::charge::CostStatus;
use crate::optimise::Optimisation;
use crate::rollup::{PicoSum, RollupRow};
use crate::rounding::Rounding;
use crate::time::UtcTime;

/// What a report is about.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReportQuery {
    /// The time.
    pub period: Period,
    /// What it has a line for each of.
    pub grouping: Grouping,
    /// What it leaves out.
    pub filters: Filters,
    /// At most so many lines; what is on no line of its own is on one together. `None` for all.
    pub top: Option<usize>,
}

impl ReportQuery {
    /// Everything of a period.
    pub fn new(period: Period, grouping: Grouping) -> Self {
        Self {
            period,
            grouping,
            filters: Filters::none(),
            top: None,
        }
    }

    /// Only what these let through.
    #[must_use]
    pub fn with_filters(mut self, filters: Filters) -> Self {
        self.filters = filters;
        self
    }

    /// At most so many lines, and one for the rest.
    #[must_use]
    pub const fn with_top(mut self, lines: usize) -> Self {
        self.top = Some(lines);
        self
    }
}

/// A price book that costs of the report were calculated by.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SnapshotNote {
    /// Its id.
    pub id: String,
    /// When its prices were read from the provider.
    pub fetched: Option<UtcTime>,
}

impl SnapshotNote {
    /// A price book by its id, and when its prices were read.
    pub fn new(id: impl Into<String>, fetched: Option<UtcTime>) -> Self {
        Self {
            id: id.into(),
            fetched,
        }
    }

    /// A price book by its id alone. The id of a catalogue says of which day it is (`openrouter-2026-08-22-…`).
    fn of_id(id: &str) -> Self {
        let day = id
            .match_indices('-')
            .find_map(|(at, _)| Period::time(id.get(at + 1..at + 11)?).ok());
        Self::new(id, day)
    }
}

/// How far the ledger is from what the provider says it took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reconciliation {
    /// The provider's sum less ours, of what was compared.
    pub delta: PicoSum,
    /// Attempts compared.
    pub compared: u64,
    /// Attempts that the provider was asked about and did not know, or not yet.
    pub unresolved: u64,
}

impl Reconciliation {
    /// The provider's sum less ours, over so many attempts; so many more could not be compared.
    pub const fn new(delta: PicoSum, compared: u64, unresolved: u64) -> Self {
        Self {
            delta,
            compared,
            unresolved,
        }
    }
}

/// What a report says of its own making. None of it changes a figure but the rounding, and that only for people.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReportContext {
    /// When it is made.
    pub generated: UtcTime,
    /// The program that makes it, with its version.
    pub app: String,
    /// The price books the costs were calculated by. A report adds those of its rows that are not among them, and leaves out those
    /// of none.
    pub snapshots: Vec<SnapshotNote>,
    /// The distance from the provider's own books; `None` if it was not measured.
    pub reconciliation: Option<Reconciliation>,
    /// Where a half goes.
    pub rounding: Rounding,
    /// How many decimal places people are shown.
    pub precision: Precision,
}

impl ReportContext {
    /// A report made at this time by this program.
    pub fn new(generated: UtcTime, app: impl Into<String>) -> Self {
        Self {
            generated,
            app: app.into(),
            snapshots: Vec::new(),
            reconciliation: None,
            rounding: Rounding::default(),
            precision: Precision::default(),
        }
    }

    /// With what is known of price books beside their ids.
    #[must_use]
    pub fn with_snapshots(mut self, snapshots: impl IntoIterator<Item = SnapshotNote>) -> Self {
        self.snapshots = snapshots.into_iter().collect();
        self
    }

    /// With the distance from the provider's books.
    #[must_use]
    pub const fn with_reconciliation(mut self, reconciliation: Reconciliation) -> Self {
        self.reconciliation = Some(reconciliation);
        self
    }

    /// With a rounding and decimal places for people.
    #[must_use]
    pub const fn with_rounding(mut self, rounding: Rounding, precision: Precision) -> Self {
        self.rounding = rounding;
        self.precision = precision;
        self
    }
}

/// What the attempts of one status come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct StatusSum {
    /// How many attempts.
    pub attempts: u64,
    /// Their charge, as far as it is known.
    pub charge: PicoSum,
}

/// Sums of attempts. Amounts are of those whose cost is known; [`unknown`](Self::unknown) says how many are not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Figures {
    /// Requests, counted by their first attempts.
    pub requests: u64,
    /// Attempts.
    pub attempts: u64,
    /// Tokens of the prompts.
    pub prompt_tokens: u64,
    /// Tokens of the completions.
    pub completion_tokens: u64,
    /// Tokens of the prompts that were read from a cache.
    pub cached_tokens: u64,
    /// Tokens of the prompts that were written to a cache.
    pub cache_write_tokens: u64,
    /// Tokens of the completions that were spent on reasoning.
    pub reasoning_tokens: u64,
    /// What the provider takes.
    pub cost: PicoSum,
    /// What is added to it.
    pub markup: PicoSum,
    /// Both together.
    pub charge: PicoSum,
    /// Attempts whose cost is not known.
    pub unknown: u64,
    statuses: [StatusSum; CostStatus::ALL.len()],
}

impl Figures {
    /// What the attempts of a status come to.
    pub const fn status(&self, status: CostStatus) -> StatusSum {
        self.statuses[status as usize]
    }

    /// Whether no amount is known though there was something to pay for. It is not zero then.
    pub const fn is_unknown(&self) -> bool {
        self.unknown > 0
            && self.unknown >= self.attempts
            && self.cost.get() == 0
            && self.markup.get() == 0
            && self.charge.get() == 0
    }

    fn add_row(&mut self, row: &RollupRow) {
        let sums = &row.sums;
        if row.key.first {
            self.requests = self.requests.saturating_add(sums.attempts);
        }
        let mut of_status = Self {
            attempts: sums.attempts,
            prompt_tokens: sums.prompt_tokens,
            completion_tokens: sums.completion_tokens,
            cached_tokens: sums.cached_tokens,
            cache_write_tokens: sums.cache_write_tokens,
            reasoning_tokens: sums.reasoning_tokens,
            cost: sums.cost,
            markup: sums.markup,
            charge: sums.charge,
            unknown: sums.unknown,
            ..Self::default()
        };
        of_status.statuses[row.key.status as usize] = StatusSum {
            attempts: sums.attempts,
            charge: sums.charge,
        };
        self.add(&of_status);
    }

    fn add(&mut self, other: &Self) {
        for (sum, more) in [
            (&mut self.requests, other.requests),
            (&mut self.attempts, other.attempts),
            (&mut self.prompt_tokens, other.prompt_tokens),
            (&mut self.completion_tokens, other.completion_tokens),
            (&mut self.cached_tokens, other.cached_tokens),
            (&mut self.cache_write_tokens, other.cache_write_tokens),
            (&mut self.reasoning_tokens, other.reasoning_tokens),
            (&mut self.unknown, other.unknown),
        ] {
            *sum = sum.saturating_add(more);
        }
        self.cost += other.cost;
        self.markup += other.markup;
        self.charge += other.charge;
        for (sum, more) in self.statuses.iter_mut().zip(&other.statuses) {
            sum.attempts = sum.attempts.saturating_add(more.attempts);
            sum.charge += more.charge;
        }
    }
}

/// What a line is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Group {
    /// This model, this key, this day.
    Named(String),
    /// What has no such thing, such as calls without a task.
    None,
    /// So many groups that have no line of their own.
    Others(usize),
}

/// One line of a report.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Line {
    /// What it is about.
    pub group: Group,
    /// What it comes to.
    pub figures: Figures,
}

/// Amounts that make the lines add up to the total.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Difference {
    /// Of the cost.
    pub cost: PicoSum,
    /// Of the markup.
    pub markup: PicoSum,
    /// Of the charge.
    pub charge: PicoSum,
}

/// The lines of real calls, or of simulated ones, and what they come to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Section {
    /// Whether the provider was a simulation. Then nothing was paid.
    pub simulated: bool,
    /// The lines: by time where they are times, otherwise by charge, the largest first.
    pub lines: Vec<Line>,
    /// What all attempts come to, each counted once.
    pub total: Figures,
    /// Total less lines. Only a report by tag has one: attempts with several tags are on several lines, those without on none.
    pub difference: Option<Difference>,
}

/// A cost report. It is written by [`Report::write`].
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Report {
    /// What it is about.
    pub query: ReportQuery,
    /// How it was made.
    pub context: ReportContext,
    /// How many hourly sums it was made from.
    pub rows: u64,
    /// The calls that cost money.
    pub real: Section,
    /// The simulated ones, if there were any. Never added to the others.
    pub simulated: Option<Section>,
    /// What could have been spent instead, if that was worked out: the second part of a report for people, and a key of JSON. CSV
    /// has none of it.
    pub optimisation: Option<Optimisation>,
}

impl Report {
    /// Makes a report of hourly sums. Rows outside the period or the filters are passed over, so that they need not be sorted out
    /// before; each is to be there once. A report by tag takes the rows by tag and those over all tags, any other the latter alone.
    ///
    /// What it takes depends on the number of rows, not on that of the attempts in them.
    pub fn new<'a>(
        rows: impl IntoIterator<Item = &'a RollupRow>,
        query: ReportQuery,
        mut context: ReportContext,
    ) -> Self {
        let tag = query.filters.tag();
        let by_tag = query.grouping == Grouping::Tag && tag.is_none();
        let mut sums = [Sums::default(), Sums::default()];
        let mut snapshots = BTreeSet::new();
        let mut read = 0_u64;
        for row in rows {
            let key = &row.key;
            let in_total = key.tag.as_deref() == tag;
            let in_lines = if by_tag { key.tag.is_some() } else { in_total };
            if !(in_total || in_lines) || !query.period.contains(key.hour.into()) || !query.filters.hold(key)
            {
                continue;
            }
            read += 1;
            if !snapshots.contains(key.price_snapshot.as_str()) {
                snapshots.insert(key.price_snapshot.as_str());
            }
            let sums = &mut sums[usize::from(key.simulated)];
            if in_total {
                sums.total.add_row(row);
            }
            if in_lines {
                let group = query.grouping.of(key);
                match sums.lines.get_mut(group.as_deref().unwrap_or_default()) {
                    Some(figures) if group.is_some() => figures.add_row(row),
                    _ => {
                        let figures = match group {
                            Some(name) => sums.lines.entry(name.into_owned()).or_default(),
                            None => sums.none.get_or_insert_default(),
                        };
                        figures.add_row(row);
                    }
                }
            }
        }
        let known = std::mem::take(&mut context.snapshots);
        let note = |id: &str| {
            let known = known.iter().find(|note| note.id == id).cloned();
            known.unwrap_or_else(|| SnapshotNote::of_id(id))
        };
        context.snapshots = snapshots.into_iter().map(note).collect();
        let [real, simulated] = sums;
        let any_simulated = simulated.total.attempts > 0 || !simulated.lines.is_empty();
        Self {
            rows: read,
            real: real.into_section(false, by_tag, &query),
            simulated: any_simulated.then(|| simulated.into_section(true, by_tag, &query)),
            query,
            context,
            optimisation: None,
        }
    }

    /// With what could have been spent instead.
    #[must_use]
    pub fn with_optimisation(mut self, optimisation: Optimisation) -> Self {
        self.optimisation = Some(optimisation);
        self
    }

    /// The real section, then the simulated one.
    pub fn sections(&self) -> impl Iterator<Item = &Section> {
        std::iter::once(&self.real).chain(&self.simulated)
    }

    /// Writes it.
    ///
    /// # Errors
    /// Whatever `out` says; nothing else can go wrong.
    pub fn write(&self, format: ReportFormat, out: &mut dyn fmt::Write) -> fmt::Result {
        match format {
            ReportFormat::Table => table::write(self, out),
            ReportFormat::Markdown => markdown::write(self, out),
            ReportFormat::Csv => csv::write(self, out),
            ReportFormat::Json => json::write(self, out),
            ReportFormat::Html => html::write(self, out),
        }
    }

    /// Writes it to a file, a socket, a terminal. What has been written when that fails stays written.
    ///
    /// # Errors
    /// What `out` says, unchanged: a full disk is a full disk.
    pub fn write_to(&self, format: ReportFormat, out: &mut dyn io::Write) -> io::Result<()> {
        Utf8::with(out, |out| self.write(format, out))
    }

    /// It as one text.
    pub fn to_text(&self, format: ReportFormat) -> String {
        let mut text = String::new();
        // A `String` takes everything.
        let _ = self.write(format, &mut text);
        text
    }
}

/// Text on its way to bytes, with the error that a formatter cannot pass on.
pub(crate) struct Utf8<'a> {
    out: &'a mut dyn io::Write,
    error: Option<io::Error>,
}

impl<'a> Utf8<'a> {
    pub(crate) fn with<T>(
        out: &'a mut dyn io::Write,
        write: impl FnOnce(&mut dyn fmt::Write) -> Result<T, fmt::Error>,
    ) -> io::Result<T> {
        let mut utf8 = Self { out, error: None };
        let done = write(&mut utf8);
        done.map_err(|fmt::Error| {
            utf8.error
                .unwrap_or_else(|| io::Error::other("the report could not be written"))
        })
    }
}

impl fmt::Write for Utf8<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.out.write_all(text.as_bytes()).map_err(|error| {
            self.error = Some(error);
            fmt::Error
        })
    }
}

#[derive(Default)]
struct Sums {
    total: Figures,
    lines: BTreeMap<String, Figures>,
    none: Option<Figures>,
}

impl Sums {
    fn into_section(self, simulated: bool, by_tag: bool, query: &ReportQuery) -> Section {
        let named = self
            .lines
            .into_iter()
            .map(|(name, figures)| (Group::Named(name), figures));
        let none = self.none.map(|figures| (Group::None, figures));
        let mut lines: Vec<Line> = named
            .chain(none)
            .map(|(group, figures)| Line { group, figures })
            .collect();
        if !query.grouping.is_time() {
            // Of the same charge, the one with more unknown attempts comes first; then they stay in order of name.
            lines.sort_by_key(|line| std::cmp::Reverse((line.figures.charge, line.figures.unknown)));
        }
        if let Some(top) = query.top
            && lines.len() > top.saturating_add(1)
        {
            let mut rest = Figures::default();
            let cut = lines.split_off(top);
            cut.iter().for_each(|line| rest.add(&line.figures));
            lines.push(Line {
                group: Group::Others(cut.len()),
                figures: rest,
            });
        }
        let difference = by_tag.then(|| {
            let mut sum = Figures::default();
            lines.iter().for_each(|line| sum.add(&line.figures));
            Difference {
                cost: self.total.cost - sum.cost,
                markup: self.total.markup - sum.markup,
                charge: self.total.charge - sum.charge,
            }
        });
        Section {
            simulated,
            lines,
            total: self.total,
            difference,
        }
    }
}

/// How a report is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ReportFormat {
    /// A table for a terminal.
    Table,
    /// Markdown, for a comment or a page.
    Markdown,
    /// Comma-separated values, safe to open in a spreadsheet.
    Csv,
    /// JSON of a stated schema.
    Json,
    /// One HTML page that needs nothing else.
    Html,
}

impl ReportFormat {
    /// Every format.
    pub const ALL: [Self; 5] = [Self::Table, Self::Markdown, Self::Csv, Self::Json, Self::Html];

    /// The word for it on command lines.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::Markdown => "markdown",
            Self::Csv => "csv",
            Self::Json => "json",
            Self::Html => "html",
        }
    }

    /// What it is called in the header of an HTTP answer.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Table => "text/plain; charset=utf-8",
            Self::Markdown => "text/markdown; charset=utf-8",
            Self::Csv => "text/csv; charset=utf-8; header=present",
            Self::Json => "application/json",
            Self::Html => "text/html; charset=utf-8",
        }
    }

    /// What the page may do, for the header `Content-Security-Policy`: be shown in its own style, and nothing else. The page says
    /// the same of itself.
    pub fn content_security_policy() -> String {
        html::policy()
    }
}

impl fmt::Display for ReportFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A word that is no format of a report.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no format; it is one of table, markdown, csv, json, html")]
pub struct UnknownReportFormat(pub String);

impl std::str::FromStr for ReportFormat {
    type Err = UnknownReportFormat;

    fn from_str(text: &str) -> Result<Self, UnknownReportFormat> {
        let found = Self::ALL.into_iter().find(|format| format.as_str() == text);
        found.ok_or_else(|| UnknownReportFormat(text.chars().take(40).flat_map(char::escape_debug).collect()))
    }
}
