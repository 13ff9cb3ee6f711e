//! Comma-separated values as RFC 4180 has them: one row for each line, then what was left over, the total, its parts by status,
//! and what the report says of itself. Amounts have every digit; where nothing is known the field is empty.

use std::fmt::{self, Write};

use super::amount::{basis_points, percent};
use super::escape::Csv;
use super::{Difference, Figures, Group, Report, Section, view};
use crate::charge::CostStatus;
use crate::rollup::PicoSum;

/// The columns, in this order. More may be added at the end.
const COLUMNS: [&str; 17] = [
    "row",
    "by",
    "group",
    "simulated",
    "requests",
    "attempts",
    "prompt_tokens",
    "completion_tokens",
    "cached_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "cost_usd",
    "markup_usd",
    "charge_usd",
    "unknown_attempts",
    "share_percent",
    "note",
];

pub(crate) fn write(report: &Report, out: &mut dyn Write) -> fmt::Result {
    row(out, COLUMNS)?;
    for section in report.sections() {
        write_section(report, section, out)?;
    }
    for (name, value) in view::facts(report) {
        let mut fields = empty();
        fields[0] = "about".to_owned();
        fields[2] = Csv(&name).to_string();
        fields[16] = Csv(&value).to_string();
        row(out, fields)?;
    }
    Ok(())
}

fn write_section(report: &Report, section: &Section, out: &mut dyn Write) -> fmt::Result {
    let by = report.query.grouping.as_str();
    for line in &section.lines {
        let (group, note) = match &line.group {
            Group::Named(name) => (Csv(name).to_string(), String::new()),
            Group::None => (String::new(), "none".to_owned()),
            Group::Others(count) => (String::new(), format!("{count} others")),
        };
        let mut fields = figures(&line.figures, section);
        fields[0] = "line".to_owned();
        fields[1] = by.to_owned();
        fields[2] = group;
        if !line.figures.is_unknown() {
            fields[15] = share(line.figures.charge, section);
        }
        fields[16] = note;
        row(out, fields)?;
    }
    if let Some(Difference { cost, markup, charge }) = section.difference {
        let mut fields = empty();
        fields[0] = "difference".to_owned();
        fields[1] = by.to_owned();
        fields[3] = section.simulated.to_string();
        (fields[11], fields[12], fields[13]) = (cost.to_string(), markup.to_string(), charge.to_string());
        fields[16] = Csv(view::DIFFERENCE).to_string();
        row(out, fields)?;
    }
    let mut fields = figures(&section.total, section);
    fields[0] = "total".to_owned();
    row(out, fields)?;
    for status in CostStatus::ALL {
        let sum = section.total.status(status);
        let mut fields = empty();
        fields[0] = "status".to_owned();
        fields[2] = status.to_string();
        fields[3] = section.simulated.to_string();
        fields[5] = sum.attempts.to_string();
        if view::has_amount(status) || sum.charge != PicoSum::ZERO {
            fields[13] = sum.charge.to_string();
            fields[15] = share(sum.charge, section);
        }
        row(out, fields)?;
    }
    Ok(())
}

fn empty() -> [String; COLUMNS.len()] {
    std::array::from_fn(|_| String::new())
}

fn share(part: PicoSum, section: &Section) -> String {
    basis_points(part, section.total.charge)
        .map(percent)
        .unwrap_or_default()
}

fn figures(figures: &Figures, section: &Section) -> [String; COLUMNS.len()] {
    let mut fields = empty();
    fields[3] = section.simulated.to_string();
    let counts = [
        figures.requests,
        figures.attempts,
        figures.prompt_tokens,
        figures.completion_tokens,
        figures.cached_tokens,
        figures.cache_write_tokens,
        figures.reasoning_tokens,
    ];
    for (field, count) in fields.iter_mut().skip(4).zip(counts) {
        *field = count.to_string();
    }
    if !figures.is_unknown() {
        for (field, amount) in fields
            .iter_mut()
            .skip(11)
            .zip([figures.cost, figures.markup, figures.charge])
        {
            *field = amount.to_string();
        }
    }
    fields[14] = figures.unknown.to_string();
    fields
}

/// Writes fields that are safe already.
pub(super) fn row(out: &mut dyn Write, fields: impl IntoIterator<Item = impl AsRef<str>>) -> fmt::Result {
    for (index, field) in fields.into_iter().enumerate() {
        if index > 0 {
            out.write_char(',')?;
        }
        out.write_str(field.as_ref())?;
    }
    out.write_str("\r\n")
}
