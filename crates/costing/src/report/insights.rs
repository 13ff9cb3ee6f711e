//! What could have been spent instead, as texts and as JSON: the second part of a report.
#![allow(
    clippy::float_arithmetic,
    reason = "estimates, which are never amounts of record"
)]

use serde_json::{Map, Value, json};

use super::ReportContext;
use super::amount::{basis_points, count, fixed, percent, rounded};
use super::calendar::{Date, rfc3339};
use super::view::Name;
use crate::optimise::{
    Comparison, Findings, Forecast, ForecastMethod, Optimisation, SAVINGS_ASSUMPTIONS, Spike, Suggestion,
    Waste, WasteSum, about,
};
use crate::rollup::PicoSum;

/// One table of the second part, with what is to be said of it.
pub(crate) struct Part {
    pub(crate) title: String,
    pub(crate) heads: Vec<&'static str>,
    /// A cell for each head. The first column is for words, the others for numbers, unless a cell is a name from outside.
    pub(crate) rows: Vec<Vec<Name>>,
    pub(crate) notes: Vec<String>,
}

/// The second part of a report for the real calls, or for the simulated ones.
pub(crate) struct Insights {
    pub(crate) title: &'static str,
    pub(crate) parts: Vec<Part>,
    /// What is supposed, where another model's prices were put on the traffic.
    pub(crate) assumptions: &'static [&'static str],
}

/// What there is to say, of the real calls first. What says nothing is left out.
pub(crate) fn shown(optimisation: &Optimisation, context: &ReportContext) -> Vec<Insights> {
    [
        (&optimisation.real, "What could have been spent instead"),
        (
            &optimisation.simulated,
            "What could have been spent instead, had the simulated calls been paid for",
        ),
    ]
    .into_iter()
    .filter_map(|(findings, title)| {
        let findings = findings.as_ref()?;
        let amount = Amounts::of(findings, context);
        let parts = [
            findings
                .savings
                .as_ref()
                .map(|(model, comparison)| savings(model.as_str(), comparison, &amount)),
            cache(findings.cache_savings, &amount),
            waste(&findings.waste, &amount),
            suggestions(&findings.suggestions, &amount),
            findings
                .forecast
                .as_ref()
                .and_then(|found| forecast(found, &amount)),
            spikes(&findings.spikes, &amount),
        ];
        let supposed = findings.savings.is_some() || !findings.suggestions.is_empty();
        let insights = Insights {
            title,
            parts: parts.into_iter().flatten().collect(),
            assumptions: if supposed { &SAVINGS_ASSUMPTIONS } else { &[] },
        };
        (!insights.parts.is_empty()).then_some(insights)
    })
    .collect()
}

/// How amounts are shown: all with the same decimal places.
struct Amounts<'a> {
    places: u32,
    context: &'a ReportContext,
}

impl<'a> Amounts<'a> {
    fn of(findings: &Findings, context: &'a ReportContext) -> Self {
        let compared = findings
            .savings
            .iter()
            .map(|(_, comparison)| comparison)
            .chain(findings.suggestions.iter().map(|found| &found.comparison))
            .flat_map(|comparison| [comparison.actual, comparison.instead]);
        let wasted = kinds(&findings.waste).into_iter().map(|(_, sum)| sum.cost);
        let spent = findings.forecast.iter().map(|forecast| forecast.spent);
        let others = spent.chain(findings.spikes.iter().map(|spike| spike.charge));
        let amounts = compared
            .chain(wasted)
            .chain(others)
            .chain([findings.cache_savings]);
        Self {
            places: context.precision.places(amounts),
            context,
        }
    }

    fn text(&self, sum: PicoSum) -> String {
        fixed(rounded(sum, self.places, self.context.rounding), self.places)
    }

    fn cell(&self, sum: PicoSum) -> Name {
        Name::Ours(self.text(sum))
    }
}

fn ours(text: impl Into<String>) -> Name {
    Name::Ours(text.into())
}

fn savings(model: &str, comparison: &Comparison, amount: &Amounts<'_>) -> Part {
    let share = basis_points(comparison.saved(), comparison.instead);
    let mut notes = Vec::new();
    if let Some(share) = share {
        notes.push(format!(
            "Saved are {} % of what {model} would have cost.",
            percent(share)
        ));
    }
    notes.extend(left_out(comparison));
    Part {
        title: format!("Saved against {model} for everything"),
        heads: vec!["costs without markup", "$"],
        rows: vec![
            vec![ours("spent"), amount.cell(comparison.actual)],
            vec![ours("with that model"), amount.cell(comparison.instead)],
            vec![ours("saved"), amount.cell(comparison.saved())],
        ],
        notes,
    }
}

fn left_out(comparison: &Comparison) -> Option<String> {
    let parts: Vec<String> = [
        (comparison.unpriced, "answers that could not be priced anew"),
        (comparison.unknown, "attempts whose cost is not known"),
    ]
    .into_iter()
    .filter(|(left_out, _)| *left_out > 0)
    .map(|(left_out, what)| format!("{} {what}", count(left_out)))
    .collect();
    (!parts.is_empty()).then(|| {
        format!(
            "Compared are {} answers; on neither side: {}.",
            count(comparison.compared),
            parts.join(", ")
        )
    })
}

fn cache(saved: PicoSum, amount: &Amounts<'_>) -> Option<Part> {
    (saved != PicoSum::ZERO).then(|| Part {
        title: "Saved by reading from caches".to_owned(),
        heads: vec!["cost without markup", "$"],
        rows: vec![vec![ours("saved"), amount.cell(saved)]],
        notes: Vec::new(),
    })
}

/// The kinds of attempts that gave the caller nothing.
fn kinds(waste: &Waste) -> [(&'static str, WasteSum); 4] {
    [
        ("failed, first attempts", waste.failed_first),
        ("failed, later attempts", waste.failed_later),
        ("cancelled, first attempts", waste.cancelled_first),
        ("cancelled, later attempts", waste.cancelled_later),
    ]
}

fn waste(waste: &Waste, amount: &Amounts<'_>) -> Option<Part> {
    let kinds = kinds(waste);
    let mut rows: Vec<_> = kinds
        .iter()
        .filter(|(_, sum)| sum.attempts > 0)
        .map(|(name, sum)| {
            // Of what is not known at all, nothing is shown as an amount.
            let cost = match (sum.unknown, sum.cost) {
                (0, cost) => amount.text(cost),
                (unknown, PicoSum::ZERO) if unknown >= sum.attempts => "not known".to_owned(),
                (unknown, cost) => {
                    format!("at least {} ({} unknown)", amount.text(cost), count(unknown))
                }
            };
            vec![ours(*name), ours(count(sum.attempts)), ours(cost)]
        })
        .collect();
    if rows.is_empty() {
        return None;
    }
    let sum = |part: fn(&WasteSum) -> u64| {
        kinds
            .iter()
            .fold(0_u64, |all, (_, sum)| all.saturating_add(part(sum)))
    };
    let least = if sum(|sum| sum.unknown) > 0 {
        "at least "
    } else {
        ""
    };
    rows.push(vec![
        ours("together"),
        ours(count(sum(|sum| sum.attempts))),
        ours(format!("{least}{}", amount.text(waste.wasted()))),
    ]);
    Some(Part {
        title: "Spent on attempts that gave the caller nothing".to_owned(),
        heads: vec!["attempts that", "Attempts", "Cost $"],
        rows,
        notes: Vec::new(),
    })
}

fn suggestions(found: &[Suggestion], amount: &Amounts<'_>) -> Option<Part> {
    let rows: Vec<_> = found
        .iter()
        .map(|found| {
            let comparison = &found.comparison;
            vec![
                Name::Outside(found.task.clone()),
                Name::Outside(found.from.as_str().to_owned()),
                ours(
                    found
                        .from_quality
                        .map_or_else(|| "–".to_owned(), |quality| quality.to_string()),
                ),
                Name::Outside(found.to.as_str().to_owned()),
                ours(found.to_quality.to_string()),
                amount.cell(comparison.actual),
                amount.cell(comparison.instead),
                amount.cell(comparison.saved_instead()),
            ]
        })
        .collect();
    (!rows.is_empty()).then(|| Part {
        title: "Cheaper models that are good enough".to_owned(),
        heads: vec![
            "task",
            "asked",
            "its quality",
            "good enough",
            "its quality",
            "Spent $",
            "Instead $",
            "Less by $",
        ],
        rows,
        notes: vec!["Good enough is a quality at or above the threshold of the task.".to_owned()],
    })
}

const fn method(method: ForecastMethod) -> &'static str {
    match method {
        ForecastMethod::RunRate => "run_rate",
        ForecastMethod::Weekdays => "weekdays",
    }
}

fn forecast(found: &Forecast, amount: &Amounts<'_>) -> Option<Part> {
    if found.expected.is_none() && found.spent == PicoSum::ZERO {
        return None;
    }
    let least = if found.unknown > 0 { "at least " } else { "" };
    let mut rows = vec![vec![
        ours("charged so far"),
        ours(format!("{least}{}", amount.text(found.spent))),
    ]];
    if let Some(expected) = found.expected {
        rows.push(vec![
            ours("expected, an estimate"),
            ours(format!("about {}", about(expected))),
        ]);
    }
    if let Some((low, high)) = found.range {
        rows.push(vec![
            ours("one month in ten ends below"),
            ours(format!("about {}", about(low))),
        ]);
        rows.push(vec![
            ours("one month in ten ends above"),
            ours(format!("about {}", about(high))),
        ]);
    }
    let mut notes = vec![format!(
        "Whole days looked back at: {}; {}.",
        count(found.days as u64),
        found.note()
    )];
    if let Some(test) = found.backtest {
        notes.push(format!(
            "Of {} past weeks foreseen in this way, the forecast was off by {} % on average.",
            count(test.tries as u64),
            test.mean_percent()
        ));
    }
    if found.unknown > 0 {
        notes.push(format!(
            "The cost of {} attempts of this month is not known and is in no amount.",
            count(found.unknown)
        ));
    }
    Some(Part {
        title: format!("Charge by the end of the month, before {}", Date::of(found.until)),
        heads: vec!["charge with markup", "$"],
        rows,
        notes,
    })
}

fn spikes(found: &[Spike], amount: &Amounts<'_>) -> Option<Part> {
    let rows: Vec<_> = found
        .iter()
        .map(|spike| {
            vec![
                ours(rfc3339(spike.hour)),
                Name::Outside(spike.key.clone()),
                amount.cell(spike.charge),
                ours(format!("about {}", about(spike.usual))),
                ours(format!("{:.1}", spike.z)),
            ]
        })
        .collect();
    (!rows.is_empty()).then(|| Part {
        title: "Hours that stand out".to_owned(),
        heads: vec!["hour", "key", "Charge $", "Usual $", "Robust z"],
        rows,
        notes: vec![
            "Each key's hours are held against its own earlier ones, on the logarithm: median and median absolute deviation."
                .to_owned(),
        ],
    })
}

/// The value of the key `optimisation`. Amounts are decimal strings; what has `estimate` in its name was a float.
pub(crate) fn json(optimisation: &Optimisation) -> Value {
    json!({
        "assumptions": SAVINGS_ASSUMPTIONS,
        "real": optimisation.real.as_ref().map(findings),
        "simulated": optimisation.simulated.as_ref().map(findings),
    })
}

fn findings(found: &Findings) -> Value {
    let waste = &found.waste;
    json!({
        "savings": found.savings.as_ref().map(|(model, comparison)| {
            let mut fields = comparison_json(comparison);
            fields.insert("baseline".to_owned(), json!(model));
            fields.insert("saved_usd".to_owned(), json!(comparison.saved()));
            fields
        }),
        "cache_savings_usd": found.cache_savings,
        "waste": {
            "wasted_usd": waste.wasted(),
            "useful": waste_json(&waste.useful),
            "failed_first": waste_json(&waste.failed_first),
            "failed_later": waste_json(&waste.failed_later),
            "cancelled_first": waste_json(&waste.cancelled_first),
            "cancelled_later": waste_json(&waste.cancelled_later),
            "open": waste_json(&waste.open),
        },
        "suggestions": found.suggestions.iter().map(|found| {
            let mut fields = Map::from_iter([
                ("task".to_owned(), json!(found.task)),
                ("model".to_owned(), json!(found.from)),
                ("quality".to_owned(), json!(found.from_quality)),
                ("instead".to_owned(), json!(found.to)),
                ("instead_quality".to_owned(), json!(found.to_quality)),
            ]);
            fields.extend(comparison_json(&found.comparison));
            fields.insert("saving_usd".to_owned(), json!(found.comparison.saved_instead()));
            fields
        }).collect::<Vec<_>>(),
        "forecast": found.forecast.as_ref().map(|forecast| json!({
            "until": rfc3339(forecast.until),
            "charged_usd": forecast.spent,
            "unknown_attempts": forecast.unknown,
            "method": method(forecast.method),
            "whole_days": forecast.days,
            "note": forecast.note(),
            "expected_usd_estimate": forecast.expected.map(about),
            "low_usd_estimate": forecast.range.map(|(low, _)| about(low)),
            "high_usd_estimate": forecast.range.map(|(_, high)| about(high)),
            "backtest": forecast.backtest.map(|test| json!({
                "mean_error_estimate": test.mean_error,
                "tries": test.tries,
                "days_ahead": test.days_ahead,
            })),
        })),
        "spikes": found.spikes.iter().map(|spike| json!({
            "hour": rfc3339(spike.hour),
            "key": spike.key,
            "charge_usd": spike.charge,
            "usual_usd_estimate": about(spike.usual),
            "z_estimate": spike.z,
        })).collect::<Vec<_>>(),
    })
}

fn comparison_json(comparison: &Comparison) -> Map<String, Value> {
    Map::from_iter([
        ("actual_usd".to_owned(), json!(comparison.actual)),
        ("instead_usd".to_owned(), json!(comparison.instead)),
        ("compared_attempts".to_owned(), json!(comparison.compared)),
        ("unpriced_attempts".to_owned(), json!(comparison.unpriced)),
        ("unknown_attempts".to_owned(), json!(comparison.unknown)),
    ])
}

fn waste_json(sum: &WasteSum) -> Value {
    // As everywhere: where nothing is known of an amount, it is not zero.
    let known = sum.unknown == 0 || sum.unknown < sum.attempts || sum.cost != PicoSum::ZERO;
    json!({
        "attempts": sum.attempts,
        "cost_usd": known.then_some(sum.cost),
        "unknown_attempts": sum.unknown,
    })
}
