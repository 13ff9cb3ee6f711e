//! The ledger beside the provider's own books of whole days.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use costing::budget::Window;
use costing::reconcile::{Comparison, OurLine, ResidualClass, TheirLine, compare};
use costing::{AttemptRow, LedgerStore, Outcome, Pico, UtcTime};
use integration_core::{BillingClient, ModelId, ProviderId};
use model_catalogue::is_routing_variant;

use crate::app::App;

/// Attempts read at a time.
const ROWS: usize = 1_000;

/// How long after midnight a provider's books of the day before are taken to be complete.
const CLOSING: Duration = Duration::from_secs(3_600);

const DAY: Duration = Duration::from_secs(86_400);

/// Compares the days from that of `from` to the last one that is over at `now` with the books of a provider.
///
/// # Errors
/// The provider does not tell, the ledger cannot be read, or a sum is beyond what can be held.
pub async fn compare_days(
    ledger: &dyn LedgerStore,
    provider: &ProviderId,
    books: &dyn BillingClient,
    from: UtcTime,
    now: UtcTime,
) -> anyhow::Result<Comparison> {
    let day_of = |time: UtcTime| Window::Day.span(time).map_or(time, |(start, _)| start);
    let (first, today) = (day_of(from), day_of(now));
    let mut theirs = Vec::new();
    let mut day = first;
    while day < today {
        let date = date(day)?;
        let spending = books
            .spending_of_day(&date)
            .await
            .with_context(|| format!("{provider} does not tell what was spent on {date}"))?;
        theirs.extend(
            spending
                .into_iter()
                .map(|row| TheirLine::new(day, row.model, row.requests, row.cost)),
        );
        day = UtcTime::from_unix(day.unix().saturating_add(86_400));
    }
    let ours = our_lines(ledger, provider, first.into(), today.into()).await?;
    compare(&ours, &theirs, now).context("the sums of a day cannot be held")
}

fn date(day: UtcTime) -> anyhow::Result<String> {
    let at = jiff::Timestamp::from_second(day.unix()).context("the day is out of range")?;
    Ok(at.strftime("%Y-%m-%d").to_string())
}

async fn our_lines(
    ledger: &dyn LedgerStore,
    provider: &ProviderId,
    from: SystemTime,
    to: SystemTime,
) -> anyhow::Result<Vec<OurLine>> {
    let mut lines = Vec::new();
    let mut page = ledger.export(from, to, None, ROWS).await?;
    loop {
        let rows = page.rows.iter();
        let real = rows.filter(|row| row.intent.provider == *provider && !row.intent.simulated);
        lines.extend(real.filter(|row| reached_them(row)).map(our_line));
        let Some(next) = page.next else {
            return Ok(lines);
        };
        page = ledger.export(from, to, Some(&next), ROWS).await?;
    }
}

/// Whether an attempt can be in their books. One that was refused before it was answered is not.
fn reached_them(row: &AttemptRow) -> bool {
    let failed = row
        .settlement
        .as_ref()
        .is_some_and(|end| end.outcome == Outcome::Failed);
    let free = row.charge().is_some_and(|charge| charge.cost == Some(Pico::ZERO));
    !(failed && free && row.generation().is_none())
}

fn our_line(row: &AttemptRow) -> OurLine {
    let intent = &row.intent;
    let (started, model) = (UtcTime::from(intent.started), listed(&intent.model));
    let mut line = OurLine::new(intent.request.clone(), intent.attempt, started, model);
    if let Some(charge) = row.charge() {
        (line.cost, line.status) = (charge.cost, charge.status);
    }
    line.generation = row.generation().cloned();
    line.outcome = row.settlement.as_ref().map(|end| end.outcome);
    line
}

/// The name without suffixes that only tell how to route, which the provider's books do not have.
fn listed(model: &ModelId) -> String {
    let mut parts = model.as_str().split(':');
    let name = parts.next().unwrap_or_default().to_owned();
    parts
        .filter(|suffix| !is_routing_variant(suffix))
        .fold(name, |name, suffix| name + ":" + suffix)
}

/// Compares each day once it is over, where a key lets us see the provider's books, and logs what came of it. Never returns.
pub(crate) async fn watch(app: Arc<App>) {
    if !app.upstreams.has_management_key() {
        return std::future::pending().await;
    }
    loop {
        let now = app.utc_now();
        let since_midnight = Duration::from_secs(now.unix().rem_euclid(86_400).unsigned_abs());
        if since_midnight < CLOSING {
            app.clock.sleep(CLOSING - since_midnight).await;
            continue;
        }
        let yesterday = UtcTime::from_unix(now.unix().saturating_sub(86_400));
        for (provider, books) in app.upstreams.by_day() {
            match compare_days(&*app.store, &provider, &*books, yesterday, now).await {
                Ok(comparison) => tell(&provider, &comparison),
                Err(error) => tracing::warn!("{error:#}"),
            }
        }
        app.clock.sleep(DAY - since_midnight + CLOSING).await;
    }
}

fn tell(provider: &ProviderId, comparison: &Comparison) {
    let sums = match comparison.by_class() {
        Ok(sums) => sums,
        Err(error) => return tracing::warn!("the differences of yesterday cannot be added up: {error}"),
    };
    if sums.is_empty() {
        tracing::info!("yesterday's books agree with those of {provider} to the last pico-dollar");
    }
    for (class, amount) in sums {
        let known = class != ResidualClass::Unexplained;
        let word = class.as_str();
        if known {
            tracing::info!("yesterday {provider} took ${amount} more than is booked, by reason of {word}");
        } else {
            tracing::warn!(
                "yesterday {provider} took ${amount} more than is booked, and nothing explains it"
            );
        }
    }
}
