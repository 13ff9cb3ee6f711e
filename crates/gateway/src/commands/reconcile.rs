//! `waypost reconcile`.

use std::time::{Duration, SystemTime};

use anyhow::bail;
use costing::reconcile::{Cell, Comparison};
use costing::report::Period;
use costing::{PicoSum, UtcTime};
use serde_json::{Value, json};

use super::{Outcome, Progress, print_json, say, table};
use crate::app::App;
use crate::cli::{ReconcileArgs, WrongUsage};
use crate::config::Settings;
use crate::days::compare_days;
use crate::environment::Environment;
use crate::reconciler::Asked;
use crate::spending::rfc3339;
use crate::upstream::Mode;

/// How far back is looked unless it is said.
const USUAL: Duration = Duration::from_secs(86_400);

/// What came of asking.
#[derive(Debug, Default)]
struct Sums {
    asked: u64,
    found: u64,
    corrected: PicoSum,
    later: u64,
    gave_up: u64,
}

pub(super) async fn run(args: &ReconcileArgs, env: &Environment) -> anyhow::Result<Outcome> {
    let settings = Settings::resolve(&args.place.overrides(), env)?;
    let app = App::start(settings).await?;
    let outcome = reconcile(&app, args).await;
    app.upstreams.shutdown().await;
    outcome
}

async fn reconcile(app: &App, args: &ReconcileArgs) -> anyhow::Result<Outcome> {
    let since = match &args.since {
        None => app.utc_now().unix().saturating_sub(USUAL.as_secs().cast_signed()),
        Some(text) => Period::time(text)
            .map_err(|error| WrongUsage(format!("--since: {error}")))?
            .unix(),
    };
    let since = UtcTime::from_unix(since);
    if since > app.utc_now() {
        bail!(WrongUsage("--since lies in the future".to_owned()));
    }
    if app.upstreams.simulates() {
        say(
            "answers are simulated here, and a simulation forgets what it answered: there is no provider to ask",
        )?;
        return Ok(Outcome::Done);
    }
    app.reconciler.enlist_since(since.into(), true).await?;
    let sums = ask_all(app).await?;
    let mut days = Vec::new();
    for (provider, books) in app.upstreams.by_day() {
        // A simulation's books are no money.
        if app.mode() == Mode::Live {
            let compared = compare_days(&*app.store, &provider, &*books, since, app.utc_now(), &|row| {
                app.reconciler.had_override(row)
            })
            .await;
            days.push((provider, compared));
        }
    }
    if args.json {
        let days: Vec<Value> = days
            .iter()
            .map(|(provider, compared)| match compared {
                Ok(comparison) => json!({ "provider": provider, "cells": cells(comparison) }),
                Err(error) => json!({ "provider": provider, "error": format!("{error:#}") }),
            })
            .collect();
        print_json(&json!({
            "since": rfc3339(since),
            "asked": sums.asked,
            "found": sums.found,
            "corrected_usd": sums.corrected.to_string(),
            "later": sums.later,
            "gave_up": sums.gave_up,
            "days": days,
        }))?;
    } else {
        print(&sums)?;
        for (provider, compared) in &days {
            match compared {
                Ok(comparison) => print_days(comparison)?,
                Err(error) => say(format_args!(
                    "\nthe days cannot be compared with those of {provider}: {error:#} (OPENROUTER_MANAGEMENT_KEY is the key for that)"
                ))?,
            }
        }
    }
    Ok(Outcome::Done)
}

/// Asks once for everything that is open, whenever its time would be.
async fn ask_all(app: &App) -> anyhow::Result<Sums> {
    let end_of_time = SystemTime::from(UtcTime::from_unix(i64::from(u32::MAX)));
    let jobs = app.store.due(end_of_time, usize::MAX).await?;
    let mut sums = Sums::default();
    let progress = Progress::new(jobs.len(), "attempts asked for");
    for job in jobs {
        sums.asked += 1;
        match app.reconciler.ask(job).await? {
            Asked::Found(difference) => {
                sums.found += 1;
                sums.corrected += difference;
            }
            Asked::Later | Asked::Trouble(_) => sums.later += 1,
            Asked::GaveUp(_) => sums.gave_up += 1,
        }
        progress.step();
    }
    Ok(sums)
}

fn print(sums: &Sums) -> anyhow::Result<()> {
    say(format_args!(
        "asked for {} attempts: {} found, which cost ${} more than was booked; {} not known yet, {} never to be known",
        sums.asked, sums.found, sums.corrected, sums.later, sums.gave_up
    ))
}

fn print_days(comparison: &Comparison) -> anyhow::Result<()> {
    let mut rows = table(&["day", "model", "ours $", "theirs $", "difference $", "why"]);
    for cell in &comparison.cells {
        let why: Vec<String> = cell
            .findings
            .iter()
            .map(|finding| {
                let likely = if finding.is_certain { "" } else { " (likely)" };
                format!("{} {}{likely}", finding.class, finding.amount)
            })
            .collect();
        rows.add_row([
            day(cell),
            cell.model.clone(),
            cell.ours.to_string(),
            cell.theirs.to_string(),
            cell.difference.to_string(),
            why.join("; "),
        ]);
    }
    if comparison.cells.is_empty() {
        return say("\nno day since then is over, or nothing was spent on any");
    }
    say(format_args!("\n{rows}"))
}

fn day(cell: &Cell) -> String {
    let text = rfc3339(cell.day).unwrap_or_default();
    text.split('T').next().unwrap_or_default().to_owned()
}

fn cells(comparison: &Comparison) -> Value {
    let cells = comparison.cells.iter().map(|cell| {
        let findings = cell.findings.iter().map(|finding| {
            json!({
                "class": finding.class.as_str(),
                "amount_usd": finding.amount.to_string(),
                "attempts": finding.attempts,
                "certain": finding.is_certain,
            })
        });
        json!({
            "day": day(cell),
            "model": cell.model,
            "ours_usd": cell.ours.to_string(),
            "theirs_usd": cell.theirs.to_string(),
            "difference_usd": cell.difference.to_string(),
            "our_requests": cell.our_requests,
            "their_requests": cell.their_requests,
            "findings": findings.collect::<Vec<_>>(),
        })
    });
    cells.collect()
}
