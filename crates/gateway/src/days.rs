//! The ledger beside the provider's own books of whole days.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use costing::budget::Window;
use costing::reconcile::{Comparison, OurLine, ResidualClass, TheirLine, compare};
use costing::{AttemptRow, LedgerStore, Outcome, Pico, UtcTime};
use integration_core::{BillingClient, ModelId, ProviderId};
use model_catalogue::is_routing_variant;

use crate::app::App;
use crate::upstream::Mode;

/// Attempts read at a time.
const ROWS: usize = 1_000;

/// How many seconds after midnight a provider's books of the day before are taken to be complete.
const CLOSING: i64 = 3_600;

const DAY: i64 = 86_400;

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
    had_override: &(dyn Fn(&AttemptRow) -> bool + Sync),
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
        day = UtcTime::from_unix(day.unix().saturating_add(DAY));
    }
    let mut ours = Vec::new();
    let mut page = ledger.export(first.into(), today.into(), None, ROWS).await?;
    loop {
        let rows = page.rows.iter();
        let real = rows.filter(|row| row.intent.provider == *provider && !row.intent.simulated);
        ours.extend(real.filter(|row| reached_them(row)).map(|row| {
            let mut line = our_line(row);
            line.had_override = had_override(row);
            line
        }));
        let Some(next) = page.next else { break };
        page = ledger
            .export(first.into(), today.into(), Some(&next), ROWS)
            .await?;
    }
    compare(&ours, &theirs, now).context("the sums of a day cannot be held")
}

fn date(day: UtcTime) -> anyhow::Result<String> {
    let at = jiff::Timestamp::from_second(day.unix()).context("the day is out of range")?;
    Ok(at.strftime("%Y-%m-%d").to_string())
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

/// The name without suffixes that only tell how to route, which the provider's books and lists do not have.
pub(crate) fn listed(model: &ModelId) -> String {
    let mut parts = model.as_str().split(':');
    let name = parts.next().unwrap_or_default().to_owned();
    parts
        .filter(|suffix| !is_routing_variant(suffix))
        .fold(name, |name, suffix| name + ":" + suffix)
}

/// Compares each day once it is over, where a key lets us see the provider's books, and logs what came of it. A day that the provider
/// did not tell of is asked for again, and none is left out while this runs. Never returns.
pub(crate) async fn watch(app: Arc<App>) {
    if !app.upstreams.has_management_key() || app.mode() != Mode::Live {
        return std::future::pending().await;
    }
    let midnight = |time: UtcTime| Window::Day.span(time).map_or(time, |(start, _)| start);
    let mut from = UtcTime::from_unix(midnight(app.utc_now()).unix().saturating_sub(DAY));
    loop {
        let (now, today) = (app.utc_now(), midnight(app.utc_now()));
        let is_closed = now.unix().saturating_sub(today.unix()) >= CLOSING;
        if from >= today || !is_closed {
            let open = if from >= today {
                today.unix().saturating_add(DAY)
            } else {
                today.unix()
            };
            let wait = open.saturating_add(CLOSING).saturating_sub(now.unix());
            app.clock
                .sleep(Duration::from_secs(wait.max(1).unsigned_abs()))
                .await;
            continue;
        }
        let mut told = true;
        for (provider, books) in app.upstreams.by_day() {
            let had_override = |row: &AttemptRow| app.reconciler.had_override(row);
            match compare_days(&*app.store, &provider, &*books, from, now, &had_override).await {
                Ok(comparison) => tell(&provider, &comparison),
                Err(error) => {
                    told = false;
                    tracing::warn!("{error:#}");
                }
            }
        }
        if told {
            from = today;
        } else {
            app.clock.sleep(Duration::from_secs(CLOSING.unsigned_abs())).await;
        }
    }
}

fn tell(provider: &ProviderId, comparison: &Comparison) {
    let sums = match comparison.by_class() {
        Ok(sums) => sums,
        Err(error) => {
            return tracing::warn!(
                "the differences from the books of {provider} cannot be added up: {error}"
            );
        }
    };
    if sums.is_empty() {
        tracing::info!("the days that are over agree with the books of {provider} to the last pico-dollar");
    }
    for (class, amount) in sums {
        let (word, less) = (class.as_str(), amount < Pico::ZERO);
        let direction = if less { "less than" } else { "more than" };
        let size = if less {
            Pico::ZERO.checked_sub(amount).unwrap_or(amount)
        } else {
            amount
        };
        // What was called under our key and not by us, what is booked twice, and what nothing explains is for somebody to look at.
        match class {
            ResidualClass::Missing | ResidualClass::Double | ResidualClass::Unexplained => {
                tracing::warn!("{provider} took ${size} {direction} is booked: {word}");
            }
            _ => tracing::info!("{provider} took ${size} {direction} is booked: {word}"),
        }
    }
}
