//! The decision in a sentence for people who do not know statistics, and numbers as they are read.

use super::report::{Claimed, MetricReport, Report, Standing, Treatment};
use crate::metrics::{Direction, Kind, Margin};

/// A number with three digits that count, without an exponent where a reader would stumble over it.
pub(crate) fn number(value: f64) -> String {
    let size = value.abs();
    if value == 0.0 || !value.is_finite() {
        return format!("{value}");
    }
    if !(1e-9..1e15).contains(&size) {
        return format!("{value:.2e}");
    }
    let digits = (2 - size.log10().floor() as i32).clamp(0, 12) as usize;
    let text = format!("{value:.digits$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

/// A count with a comma between thousands.
pub(crate) fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn is_share(metric: &MetricReport) -> bool {
    matches!(metric.kind, Kind::Proportion { .. })
}

/// An arm's figure.
pub(crate) fn figure(metric: &MetricReport, value: Option<f64>) -> String {
    match value {
        None => "unknown".to_owned(),
        Some(value) if is_share(metric) => format!("{} %", number(100.0 * value)),
        Some(value) => number(value),
    }
}

/// A difference, or a bound of one: in points for a share.
pub(crate) fn difference(metric: &MetricReport, value: f64) -> String {
    let signed = |value: f64| {
        let text = number(value);
        if value > 0.0 { format!("+{text}") } else { text }
    };
    if is_share(metric) {
        format!("{} points", signed(100.0 * value))
    } else {
        signed(value)
    }
}

/// From where to where the difference lies.
pub(crate) fn interval(metric: &MetricReport) -> String {
    if metric.low.is_none() && metric.high.is_none() {
        return "–".to_owned();
    }
    let bound =
        |bound: Option<f64>| bound.map_or_else(|| "unbounded".to_owned(), |bound| difference(metric, bound));
    format!("{} to {}", bound(metric.low), bound(metric.high))
}

fn margin(metric: &MetricReport) -> String {
    match metric.margin {
        Some(Margin::Absolute(margin)) if is_share(metric) => format!("{} points", number(100.0 * margin)),
        Some(Margin::Absolute(margin)) => number(margin),
        Some(Margin::Relative(margin)) => format!("{} %", number(100.0 * margin)),
        None => "anything".to_owned(),
    }
}

/// By how much, and how sure: "61.8 % lower, 90 % interval −0.0021 to −0.0018".
fn evidence(report: &Report, metric: &MetricReport) -> String {
    let Some(estimate) = metric.difference else {
        return "no figure yet".to_owned();
    };
    let words = match metric.relative {
        Some(relative) if !is_share(metric) => {
            let way = if relative < 0.0 { "lower" } else { "higher" };
            format!("{} % {way}", number(100.0 * relative.abs()))
        }
        _ => format!("difference {}", difference(metric, estimate)),
    };
    if metric.low.is_none() && metric.high.is_none() {
        return words;
    }
    format!(
        "{words}, {} % interval {}",
        number(100.0 * report.confidence),
        interval(metric)
    )
}

fn claim(metric: &MetricReport) -> String {
    match (metric.claimed, metric.direction) {
        (Claimed::NotWorse, _) => format!("{} is not worse by more than {}", metric.metric, margin(metric)),
        (Claimed::Better, Direction::HigherIsBetter) => format!("{} is higher", metric.metric),
        (Claimed::Better, Direction::LowerIsBetter) => format!("{} is lower", metric.metric),
    }
}

fn harm(metric: &MetricReport) -> String {
    match (metric.claimed, metric.direction) {
        (Claimed::NotWorse, _) => format!("{} is worse by more than {}", metric.metric, margin(metric)),
        (Claimed::Better, Direction::HigherIsBetter) => format!("{} is lower, not higher", metric.metric),
        (Claimed::Better, Direction::LowerIsBetter) => format!("{} is higher, not lower", metric.metric),
    }
}

fn list(parts: &[String]) -> String {
    match parts {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{}, and {last}", first.join(", ")),
    }
}

fn with_evidence(report: &Report, metrics: &[&MetricReport], say: fn(&MetricReport) -> String) -> String {
    let parts: Vec<String> = metrics
        .iter()
        .map(|metric| format!("{} ({})", say(metric), evidence(report, metric)))
        .collect();
    list(&parts)
}

pub(super) fn ship(report: &Report, treatment: &Treatment, metrics: &[&MetricReport]) -> String {
    format!(
        "Ship '{}': against '{}', {}.",
        treatment.arm,
        report.control,
        with_evidence(report, metrics, claim)
    )
}

pub(super) fn roll_back(report: &Report, treatment: &Treatment, metrics: &[&MetricReport]) -> String {
    let all = if report.treatments.len() > 1 {
        "all treatments".to_owned()
    } else {
        format!("'{}'", treatment.arm)
    };
    let of = if report.treatments.len() > 1 {
        format!("with '{}', ", treatment.arm)
    } else {
        String::new()
    };
    format!(
        "Roll back {all}: against '{}', {of}{}.",
        report.control,
        with_evidence(report, metrics, harm)
    )
}

/// What is not shown, and why not.
fn missing(report: &Report, metrics: &[&MetricReport]) -> String {
    let parts: Vec<String> = metrics
        .iter()
        .map(|metric| match (&metric.unknown, metric.standing) {
            (Some(why), Standing::Unknown) => format!("that {} ({why})", claim(metric)),
            _ => format!("that {} ({})", claim(metric), evidence(report, metric)),
        })
        .collect();
    list(&parts)
}

pub(super) fn keep_running(report: &Report, treatment: &Treatment, open: &[&MetricReport]) -> String {
    if open.is_empty() {
        return format!(
            "Keep running: every claim for '{}' is shown by itself, but not yet after correction for {} treatments.",
            treatment.arm,
            report.treatments.len()
        );
    }
    let needed = open
        .iter()
        .map(|metric| metric.units_needed)
        .try_fold(0, |most: u64, needed| Some(most.max(needed?)))
        .map(|needed| needed.saturating_sub(report.units))
        .filter(|more| *more > 0);
    let after = needed.map_or_else(String::new, |more| {
        format!(
            " If the differences stay as they are, about {} more units would show it.",
            count(more)
        )
    });
    format!(
        "Keep running: for '{}' it is not shown yet {}.{after}",
        treatment.arm,
        missing(report, open)
    )
}

pub(super) fn no_answer(report: &Report, treatment: &Treatment, open: &[&MetricReport]) -> String {
    let open = if open.is_empty() {
        "that its claims hold after correction for the number of treatments".to_owned()
    } else {
        missing(report, open)
    };
    format!(
        "No answer: the planned {} units are there, and for '{}' it is not shown {open}. Keep '{}', or plan a larger experiment.",
        count(report.horizon_units.unwrap_or_default()),
        treatment.arm,
        report.control
    )
}

pub(super) fn waits(report: &Report, horizon: u64) -> String {
    format!(
        "Keep running: {} of the planned {} units are there, and this plan decides when all are.",
        count(report.units),
        count(horizon)
    )
}

pub(super) fn too_early(treatment: &Treatment, least: u32, left: u32) -> String {
    format!(
        "Keep running: every claim for '{}' is shown, but the plan asks for {least} days, of which {left} are left; days of a week \
         differ.",
        treatment.arm
    )
}

/// Where some treatments are worse and others are undecided.
pub(super) fn and_roll_back(sentence: String, arms: &[&str]) -> String {
    if arms.is_empty() {
        return sentence;
    }
    let names: Vec<String> = arms.iter().map(|arm| format!("'{arm}'")).collect();
    format!("{sentence} Roll back {} meanwhile.", list(&names))
}
