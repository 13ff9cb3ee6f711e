//! A replay for people.

use super::super::number::Number;
use super::super::{say, table};
use super::figures::{Compared, Figure};
use super::report::Report;

const UNKNOWN: &str = "–";

pub(super) fn print(report: &Report) -> anyhow::Result<()> {
    let what = match report.kind {
        "logged" => "logged choices",
        _ => "full information",
    };
    say(format_args!(
        "{} over {} rows of {what}",
        report.policy, report.rows
    ))?;
    if report.refused.is_none() {
        let baseline = report.baseline.as_deref();
        let header = baseline.map_or_else(|| "no baseline".to_owned(), |name| format!("baseline: {name}"));
        let mut rows = table(&["per row", "policy (95 %)", &header, "difference", "rows"]);
        for (name, compared) in [
            ("score", &report.score),
            ("cost", &report.cost_usd),
            ("latency, ms", &report.latency_ms),
        ] {
            if let Some(compared) = compared.as_ref().filter(|one| one.policy.is_some()) {
                rows.add_row(row(name, compared));
            }
        }
        say(format_args!("\n{rows}"))?;
        for (name, compared) in [("cost", &report.cost_usd), ("latency", &report.latency_ms)] {
            if let Some(why) = compared.as_ref().and_then(|one| one.refused.as_ref()) {
                say(format_args!("no figure of {name}: {why}"))?;
            }
        }
        if let Some(total) = &report.total_cost_usd
            && let Some(policy) = total.policy
        {
            let other = total
                .baseline
                .map_or_else(String::new, |baseline| format!(", of the baseline ${baseline}"));
            say(format_args!("\nknown cost in all: ${policy}{other}"))?;
        }
    }
    if let Some(overlap) = &report.overlap {
        say(format_args!(
            "\nthe {} rows say as much of the policy as {:.0} of its own would; weights are {:.3} on average",
            overlap.rows, overlap.effective_rows, overlap.mean_weight
        ))?;
    }
    choices(report)
}

/// Who was chosen, and where nobody was.
fn choices(report: &Report) -> anyhow::Result<()> {
    let chosen = &report.chosen;
    if !chosen.models.is_empty() {
        let mut rows = table(&["chosen", "rows", "share"]);
        for share in &chosen.models {
            rows.add_row([
                share.model.clone(),
                share.rows.to_string(),
                format!("{:.1} %", 100.0 * share.share),
            ]);
        }
        say(format_args!("\n{rows}"))?;
    }
    if chosen.none.rows > 0 {
        let reasons = chosen.none.reasons.iter();
        let reasons: Vec<_> = reasons
            .map(|one| format!("{} {}", one.rows, one.reason))
            .collect();
        say(format_args!(
            "\nno choice in {} rows ({:.1} %): {}",
            chosen.none.rows,
            100.0 * chosen.none.share,
            reasons.join(", ")
        ))?;
    }
    if !report.unknown_models.is_empty() {
        let names: Vec<_> = report
            .unknown_models
            .iter()
            .map(|one| one.model.as_str())
            .collect();
        say(format_args!(
            "\nleft out, not in the catalogue: {}",
            names.join(", ")
        ))?;
    }
    if let Some(snapshot) = &report.snapshot {
        let least = report
            .min_quality
            .map_or_else(String::new, |least| format!(", quality {least} or more"));
        let tasks: Vec<_> = report
            .tasks
            .iter()
            .map(|one| format!("{} {}", one.rows, one.task))
            .collect();
        say(format_args!(
            "\ncatalogue {snapshot}{least}; rows by task: {}",
            tasks.join(", ")
        ))?;
    }
    Ok(())
}

fn row(name: &str, compared: &Compared) -> [String; 5] {
    let show = |figure: &Option<Figure>| figure.as_ref().map_or_else(|| UNKNOWN.to_owned(), mean);
    let rows = compared.policy.map_or_else(String::new, |figure| {
        if figure.unknown > 0 {
            format!("{} ({} unknown)", figure.rows, figure.unknown)
        } else {
            figure.rows.to_string()
        }
    });
    [
        name.to_owned(),
        show(&compared.policy),
        show(&compared.baseline),
        show(&compared.difference),
        rows,
    ]
}

fn mean(figure: &Figure) -> String {
    match figure.low.zip(figure.high) {
        Some((low, high)) => format!("{} ({} to {})", number(figure.mean), number(low), number(high)),
        None => number(figure.mean),
    }
}

fn number(number: Number) -> String {
    match number {
        Number::Plain(value) => format!("{value:.4}"),
        Number::Usd(amount) if amount.is_sign_negative() => format!("-${}", amount.abs().normalize()),
        Number::Usd(amount) => format!("${}", amount.normalize()),
    }
}
