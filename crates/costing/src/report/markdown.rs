//! Markdown, as GitHub has it.

use std::fmt::{self, Write};

use super::Report;
use super::escape::{Markdown, MarkdownText};
use super::view::{self, COLUMNS, Name, SHARE};

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
    for (name, value) in view::facts(report) {
        writeln!(out, "- {name}: {}", MarkdownText(&value))?;
    }
    Ok(())
}
