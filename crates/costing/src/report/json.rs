//! JSON under a stated schema. Amounts are decimal strings with every digit; what is not known is `null`.

use std::fmt::{self, Write};

use serde_json::{Map, Value, json};

use super::amount::{basis_points, percent};
use super::calendar::rfc3339;
use super::{Figures, Group, Report, Section, insights, view};
use crate::charge::CostStatus;
use crate::rollup::PicoSum;

/// The name of what is written. Fields may be added under the same name; one that changes its meaning gets another.
pub(crate) const SCHEMA: &str = "waypost.cost-report/1";

pub(crate) fn write(report: &Report, out: &mut dyn Write) -> fmt::Result {
    let (query, context) = (&report.query, &report.context);
    let mut value = json!({
        "schema": SCHEMA,
        "generated_at": rfc3339(context.generated),
        "generated_by": context.app,
        "period": { "from": rfc3339(query.period.from()), "to": rfc3339(query.period.to()) },
        "by": query.grouping.as_str(),
        "filters": query.filters.iter().map(|(grouping, value)| json!({ "by": grouping.as_str(), "is": value }))
            .collect::<Vec<_>>(),
        "price_snapshots": context.snapshots.iter().map(|snapshot| json!({
            "id": snapshot.id,
            "fetched_at": snapshot.fetched.map(rfc3339),
            "age_seconds": snapshot.fetched.map(|at| context.generated.unix().saturating_sub(at.unix())),
        })).collect::<Vec<_>>(),
        "reconciliation": context.reconciliation.map(|found| json!({
            "delta_usd": found.delta.to_string(), "compared": found.compared, "unresolved": found.unresolved,
        })),
        "rounding": view::rounding_word(context.rounding),
        "rollup_rows": report.rows,
        "currency": "USD",
        "real": section(&report.real),
        "simulated": report.simulated.as_ref().map(section),
    });
    if let (Some(optimisation), Value::Object(fields)) = (&report.optimisation, &mut value) {
        fields.insert("optimisation".to_owned(), insights::json(optimisation));
    }
    writeln!(out, "{value:#}")
}

fn section(section: &Section) -> Value {
    let lines = section.lines.iter().map(|line| {
        let mut fields = Map::new();
        match &line.group {
            Group::Named(name) => fields.insert("group".to_owned(), json!(name)),
            Group::None => fields.insert("group".to_owned(), Value::Null),
            Group::Others(count) => fields.insert("others".to_owned(), json!(count)),
        };
        figures(&line.figures, &mut fields);
        let share = basis_points(line.figures.charge, section.total.charge)
            .filter(|_| !line.figures.is_unknown())
            .map(percent);
        fields.insert("share_percent".to_owned(), json!(share));
        Value::Object(fields)
    });
    let statuses = CostStatus::ALL.into_iter().map(|status| {
        let sum = section.total.status(status);
        let known = view::has_amount(status) || sum.charge != PicoSum::ZERO;
        let value = json!({
            "attempts": sum.attempts,
            "charge_usd": known.then(|| sum.charge.to_string()),
        });
        (status.to_string(), value)
    });
    let mut total = Map::new();
    figures(&section.total, &mut total);
    json!({
        "lines": lines.collect::<Vec<_>>(),
        "difference": section.difference.map(|found| json!({
            "cost_usd": found.cost.to_string(),
            "markup_usd": found.markup.to_string(),
            "charge_usd": found.charge.to_string(),
            "why": view::DIFFERENCE,
        })),
        "total": total,
        "status": statuses.collect::<Map<_, _>>(),
    })
}

fn figures(figures: &Figures, fields: &mut Map<String, Value>) {
    let counts = [
        ("requests", figures.requests),
        ("attempts", figures.attempts),
        ("prompt_tokens", figures.prompt_tokens),
        ("completion_tokens", figures.completion_tokens),
        ("cached_tokens", figures.cached_tokens),
        ("cache_write_tokens", figures.cache_write_tokens),
        ("reasoning_tokens", figures.reasoning_tokens),
        ("unknown_attempts", figures.unknown),
    ];
    fields.extend(
        counts
            .into_iter()
            .map(|(name, count)| (name.to_owned(), json!(count))),
    );
    let amounts = [
        ("cost_usd", figures.cost),
        ("markup_usd", figures.markup),
        ("charge_usd", figures.charge),
    ];
    let known = !figures.is_unknown();
    fields.extend(
        amounts
            .into_iter()
            .map(|(name, amount)| (name.to_owned(), json!(known.then(|| amount.to_string())))),
    );
    // Whether the amounts are less than the truth.
    fields.insert("at_least".to_owned(), json!(figures.unknown > 0));
}
