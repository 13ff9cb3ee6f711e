//! Markdown, as GitHub has it.

use std::fmt::{self, Write};

use super::escape::{Markdown, MarkdownText};
use super::view::{self, COLUMNS, Name, SHARE};
use super::{Report, insights};

pub(crate) fn write(report: &Report, out: &mut dyn Write) -> fmt::Result {
    writeln!(out, "# {}\n", view::title(report))?;
    for section in report.sections() {
        let shown = view::section(report, section);
        writeln!(out, "## {}\n", view::section_title(section))?;
        write!(out, "| {}", report.query.grouping)?;
        for column in COLUMNS.iter().skip(1).chain([&SHARE]) {
            write!(out, " | {column}")?;
        }
        writeln!(out, " |\n|:---{}|", "|---:".repeat(COLUMNS.len()))?;
        for (sum, line) in shown
            .lines
            .iter()
            .map(|line| (false, line))
            .chain(shown.sums.iter().map(|line| (true, line)))
        {
            match &line.name {
                Name::Outside(name) => write!(out, "| {}", Markdown(name))?,
                Name::Ours(name) if sum => write!(out, "| **{name}**")?,
                Name::Ours(name) => write!(out, "| *{name}*")?,
            }
            for cell in &line.cells {
                write!(out, " | {cell}")?;
            }
            writeln!(out, " |")?;
        }
        writeln!(out)?;
        if !shown.statuses.is_empty() {
            writeln!(
                out,
                "| How sure | Attempts | Share % | Charge $ |\n|:---|---:|---:|---:|"
            )?;
            for [status, attempts, share, charge] in &shown.statuses {
                writeln!(out, "| {status} | {attempts} | {share} | {charge} |")?;
            }
            writeln!(out)?;
        }
        for note in &shown.notes {
            writeln!(out, "{note}\n")?;
        }
    }
    let shown = report.optimisation.as_ref();
    for insights in shown
        .into_iter()
        .flat_map(|found| insights::shown(found, &report.context))
    {
        write_insights(&insights, out)?;
    }
    for (name, value) in view::facts(report) {
        writeln!(out, "- {name}: {}", MarkdownText(&value))?;
    }
    Ok(())
}

fn write_insights(insights: &insights::Insights, out: &mut dyn Write) -> fmt::Result {
    writeln!(out, "## {}\n", insights.title)?;
    for part in &insights.parts {
        writeln!(out, "### {}\n", MarkdownText(&part.title))?;
        writeln!(out, "| {} |", part.heads.join(" | "))?;
        writeln!(
            out,
            "|:---{}|",
            "|---:".repeat(part.heads.len().saturating_sub(1))
        )?;
        for row in &part.rows {
            for cell in row {
                match cell {
                    Name::Outside(name) => write!(out, "| {} ", Markdown(name))?,
                    Name::Ours(text) => write!(out, "| {text} ")?,
                }
            }
            writeln!(out, "|")?;
        }
        writeln!(out)?;
        for note in &part.notes {
            writeln!(out, "{}\n", MarkdownText(note))?;
        }
    }
    if !insights.assumptions.is_empty() {
        writeln!(
            out,
            "What is assumed where other prices are put on the same traffic:\n"
        )?;
        for assumption in insights.assumptions {
            writeln!(out, "- {assumption}")?;
        }
        writeln!(out)?;
    }
    Ok(())
}
