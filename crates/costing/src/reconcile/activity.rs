//! Two books of a day, taken apart until every difference has a name.

use std::collections::{BTreeMap, BTreeSet};

use integration_core::{GenerationId, RequestId};
use rust_decimal::Decimal;

use crate::budget::Window;
use crate::charge::CostStatus;
use crate::ledger::Outcome;
use crate::money::{MoneyError, Pico};
use crate::time::UtcTime;

/// An attempt in our books.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct OurLine {
    /// The caller's call.
    pub request: RequestId,
    /// Which attempt of that call, from 1.
    pub attempt: u16,
    /// When it began. It is compared on that day, in UTC.
    pub started: UtcTime,
    /// The model, by the name the provider's books have.
    pub model: String,
    /// The provider's name for it.
    pub generation: Option<GenerationId>,
    /// What is booked as its cost.
    pub cost: Option<Pico>,
    /// How sure that is.
    pub status: CostStatus,
    /// How it ended; `None` if it has no end.
    pub outcome: Option<Outcome>,
    /// Whether prices that hold only under a condition held for it.
    pub had_override: bool,
    /// What the provider's own record says it cost, where that is known and not booked yet.
    pub recorded: Option<Pico>,
    /// What it may have cost, where nothing is booked.
    pub estimate: Option<Pico>,
}

impl OurLine {
    /// An attempt of which nothing is known but that it began.
    pub fn new(request: RequestId, attempt: u16, started: UtcTime, model: impl Into<String>) -> Self {
        Self {
            request,
            attempt,
            started,
            model: model.into(),
            generation: None,
            cost: None,
            status: CostStatus::Pending,
            outcome: None,
            had_override: false,
            recorded: None,
            estimate: None,
        }
    }

    /// The same attempt with this cost.
    #[must_use]
    pub const fn with_cost(mut self, cost: Pico, status: CostStatus) -> Self {
        (self.cost, self.status) = (Some(cost), status);
        self
    }

    fn is_cancelled(&self) -> bool {
        self.outcome == Some(Outcome::Cancelled)
    }

    fn booked(&self) -> i128 {
        self.cost.map_or(0, whole)
    }
}

/// A row of the provider's books: one model on one day. Rows of the same day and model are added up.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TheirLine {
    /// Any time of the day.
    pub day: UtcTime,
    /// The model.
    pub model: String,
    /// How many requests.
    pub requests: u64,
    /// What was taken for them, in US dollars; under a key of our own, what the upstream took as well.
    pub cost: Decimal,
}

impl TheirLine {
    /// A row.
    pub fn new(day: UtcTime, model: impl Into<String>, requests: u64, cost: Decimal) -> Self {
        Self {
            day,
            model: model.into(),
            requests,
            cost,
        }
    }
}

/// Why two books differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ResidualClass {
    /// Attempts without a cost in our books.
    Unpriced,
    /// Attempts that were cancelled, whose cost we do not know or guessed.
    Cancelled,
    /// Attempts under prices of a tier or another condition, booked at other prices than were taken.
    TierDrift,
    /// Attempts without such a condition, booked at other prices than were taken.
    PriceDrift,
    /// Requests that are in the provider's books and not in ours.
    Missing,
    /// What is in our books twice.
    Double,
    /// Requests that are in our books and not in the provider's.
    NotTheirs,
    /// None of these can be why.
    Unexplained,
}

impl ResidualClass {
    /// The word for it in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unpriced => "unpriced",
            Self::Cancelled => "cancelled",
            Self::TierDrift => "tier_drift",
            Self::PriceDrift => "price_drift",
            Self::Missing => "missing",
            Self::Double => "double",
            Self::NotTheirs => "not_theirs",
            Self::Unexplained => "unexplained",
        }
    }
}

impl std::fmt::Display for ResidualClass {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// A part of a difference, with its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// Why.
    pub class: ResidualClass,
    /// How much of the difference: above zero where the provider took more than we booked.
    pub amount: Pico,
    /// How many attempts it is of; zero where that is not known.
    pub attempts: u64,
    /// Whether records prove it. Otherwise it is what is left, and the class is what can be why: by estimates where there are
    /// some, else in shares by the number of attempts.
    pub is_certain: bool,
}

/// One model on one day.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cell {
    /// The start of the day.
    pub day: UtcTime,
    /// The model.
    pub model: String,
    /// What we booked.
    pub ours: Pico,
    /// What the provider took, in whole pico-dollars.
    pub theirs: Pico,
    /// `theirs - ours`.
    pub difference: Pico,
    /// Attempts in our books.
    pub our_requests: u64,
    /// Requests in the provider's.
    pub their_requests: u64,
    /// Why. The amounts add up to the difference, to the last pico-dollar.
    pub findings: Vec<Finding>,
}

/// All days and models.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Comparison {
    /// By day and model.
    pub cells: Vec<Cell>,
    /// Attempts of days that are not over at the provider and were left out.
    pub left_out: u64,
}

impl Comparison {
    /// What each class comes to over all cells.
    ///
    /// # Errors
    /// [`MoneyError::OutOfRange`] if a sum cannot be held.
    pub fn by_class(&self) -> Result<BTreeMap<ResidualClass, Pico>, MoneyError> {
        let mut sums: BTreeMap<ResidualClass, Pico> = BTreeMap::new();
        for finding in self.cells.iter().flat_map(|cell| &cell.findings) {
            let sum = sums.entry(finding.class).or_default();
            *sum = sum.checked_add(finding.amount).ok_or(MoneyError::OutOfRange)?;
        }
        Ok(sums)
    }
}

#[derive(Debug, Default)]
struct Books<'a> {
    ours: Vec<&'a OurLine>,
    requests: u64,
    theirs: Decimal,
}

/// Compares our books with the provider's, by day and model. `today` is any time of the first day that is not compared: the
/// provider's books are of days that are over.
///
/// # Errors
/// [`MoneyError::OutOfRange`] if a day's sum of one model is more than 9.22 million US dollars.
pub fn compare(ours: &[OurLine], theirs: &[TheirLine], today: UtcTime) -> Result<Comparison, MoneyError> {
    let day_of = |time: UtcTime| Window::Day.span(time).map_or(time, |(start, _)| start);
    let today = day_of(today);
    let mut comparison = Comparison::default();
    let mut books: BTreeMap<(UtcTime, &str), Books<'_>> = BTreeMap::new();
    for line in ours {
        let day = day_of(line.started);
        if day >= today {
            comparison.left_out += 1;
            continue;
        }
        books.entry((day, &line.model)).or_default().ours.push(line);
    }
    for line in theirs.iter().filter(|line| day_of(line.day) < today) {
        let cell = books.entry((day_of(line.day), &line.model)).or_default();
        cell.requests = cell.requests.saturating_add(line.requests);
        cell.theirs = cell.theirs.checked_add(line.cost).ok_or(MoneyError::OutOfRange)?;
    }
    for ((day, model), mut books) in books {
        // In an order of their own, so that of two alike it is always the same one that is the second.
        books
            .ours
            .sort_by(|a, b| (a.started, &a.request, a.attempt).cmp(&(b.started, &b.request, b.attempt)));
        comparison.cells.push(cell(day, model, &books)?);
    }
    Ok(comparison)
}

fn cell(day: UtcTime, model: &str, books: &Books<'_>) -> Result<Cell, MoneyError> {
    let theirs = Pico::from_decimal(books.theirs)?;
    let ours: i128 = books.ours.iter().map(|line| line.booked()).sum();
    let difference = whole(theirs) - ours;
    let mut sums = Sums::default();
    // First what records prove.
    let mut seen = BTreeSet::new();
    let mut once = Vec::with_capacity(books.ours.len());
    for line in &books.ours {
        if line.generation.as_ref().is_some_and(|id| !seen.insert(id)) {
            sums.add(ResidualClass::Double, true, -line.booked(), 1);
        } else {
            once.push(*line);
        }
    }
    for line in &once {
        let Some(recorded) = line
            .recorded
            .map(whole)
            .filter(|recorded| line.cost.map(whole) != Some(*recorded))
        else {
            continue;
        };
        let class = match line {
            line if line.is_cancelled() => ResidualClass::Cancelled,
            line if line.cost.is_none() => ResidualClass::Unpriced,
            line if line.had_override => ResidualClass::TierDrift,
            _ => ResidualClass::PriceDrift,
        };
        sums.add(class, true, recorded - line.booked(), 1);
    }
    // Then who can be why of what is left.
    let rest = difference - sums.total();
    let our_requests = u64::try_from(once.len()).unwrap_or(u64::MAX);
    if rest != 0 {
        let suspects = suspects(&once, rest > 0, our_requests, books.requests);
        share_out(&mut sums, &suspects, rest);
    }
    let narrow = |amount: i128| {
        i64::try_from(amount)
            .map(Pico::new)
            .map_err(|_| MoneyError::OutOfRange)
    };
    let findings = sums.0.into_iter().filter(|(_, (amount, _))| *amount != 0);
    let findings = findings.map(|((class, uncertain), (amount, attempts))| {
        Ok(Finding {
            class,
            amount: narrow(amount)?,
            attempts,
            is_certain: !uncertain,
        })
    });
    Ok(Cell {
        day,
        model: model.to_owned(),
        ours: narrow(ours)?,
        theirs,
        difference: narrow(difference)?,
        our_requests: u64::try_from(books.ours.len()).unwrap_or(u64::MAX),
        their_requests: books.requests,
        findings: findings.collect::<Result<_, MoneyError>>()?,
    })
}

/// Amount and attempts by class and whether it is only likely; what is certain comes first.
#[derive(Debug, Default)]
struct Sums(BTreeMap<(ResidualClass, bool), (i128, u64)>);

impl Sums {
    fn add(&mut self, class: ResidualClass, certain: bool, amount: i128, attempts: u64) {
        let sum = self.0.entry((class, !certain)).or_default();
        sum.0 += amount;
        sum.1 += attempts;
    }

    fn total(&self) -> i128 {
        self.0.values().map(|(amount, _)| amount).sum()
    }
}

/// Attempts that can be why, and how much of it they are taken to be.
#[derive(Debug)]
struct Suspect {
    class: ResidualClass,
    attempts: u64,
    estimate: Option<i128>,
}

fn suspects(lines: &[&OurLine], they_took_more: bool, ours: u64, theirs: u64) -> Vec<Suspect> {
    let of = |class, is_one: &dyn Fn(&OurLine) -> bool, estimate: &dyn Fn(&OurLine) -> Option<Pico>| {
        let found = || {
            lines
                .iter()
                .copied()
                .filter(|line| line.recorded.is_none() && is_one(line))
        };
        // One without an estimate is one too many to add them up.
        let sum: Option<i128> = found().map(|line| estimate(line).map(whole)).sum();
        Suspect {
            class,
            attempts: u64::try_from(found().count()).unwrap_or(u64::MAX),
            estimate: sum,
        }
    };
    let counted = |class, attempts| Suspect {
        class,
        attempts,
        estimate: None,
    };
    let sure = |line: &OurLine| line.status == CostStatus::Exact;
    let tier = of(
        ResidualClass::TierDrift,
        &|line| line.cost.is_some() && line.had_override && !sure(line) && !line.is_cancelled(),
        &|_| None,
    );
    let mut all = if they_took_more {
        vec![
            of(
                ResidualClass::Cancelled,
                &|line| line.cost.is_none() && line.is_cancelled(),
                &|line| line.estimate,
            ),
            of(
                ResidualClass::Unpriced,
                &|line| line.cost.is_none() && !line.is_cancelled(),
                &|line| line.estimate,
            ),
            counted(ResidualClass::Missing, theirs.saturating_sub(ours)),
            tier,
        ]
    } else {
        vec![
            of(
                ResidualClass::Cancelled,
                &|line| line.status == CostStatus::Estimated && line.is_cancelled(),
                &|line| line.cost,
            ),
            counted(ResidualClass::NotTheirs, ours.saturating_sub(theirs)),
            tier,
        ]
    };
    all.retain(|suspect| suspect.attempts > 0);
    all
}

/// Gives each suspect its share of what is left, until nothing is.
fn share_out(sums: &mut Sums, suspects: &[Suspect], rest: i128) {
    let sign = rest.signum();
    let mut left = rest.abs();
    for suspect in suspects {
        let part = suspect.estimate.unwrap_or(0).clamp(0, left);
        left -= part;
        sums.add(suspect.class, false, sign * part, suspect.attempts);
    }
    if left == 0 {
        return;
    }
    // Those without an estimate share what is left; if all have one, the estimates were too low.
    let without = suspects.iter().any(|suspect| suspect.estimate.is_none());
    let mut pool = suspects
        .iter()
        .filter(|suspect| !without || suspect.estimate.is_none())
        .peekable();
    if pool.peek().is_none() {
        sums.add(ResidualClass::Unexplained, false, sign * left, 0);
        return;
    }
    let mut attempts: i128 = suspects
        .iter()
        .filter(|suspect| !without || suspect.estimate.is_none())
        .map(|suspect| i128::from(suspect.attempts))
        .sum();
    while let Some(suspect) = pool.next() {
        let own = i128::from(suspect.attempts);
        let part = match (pool.peek(), left.checked_mul(own)) {
            (Some(_), Some(product)) => product / attempts.max(1),
            _ => left,
        };
        left -= part;
        attempts -= own;
        sums.add(suspect.class, false, sign * part, 0);
    }
}

fn whole(amount: Pico) -> i128 {
    i128::from(amount.get())
}
