//! A table for a terminal.

use std::fmt::{self, Write};

use comfy_table::{CellAlignment, Table, presets};

use super::escape::visible;
use super::view::{self, COLUMNS, Name, SHARE};
use super::{Report, insights};

/// The longest bar of a share.
const BAR: usize = 10;

pub(crate) fn write(report: &Report, out: &mut dyn Write) -> fmt::Result {
    writeln!(out, "{}", view::title(report))?;
    for (name, value) in view::facts(report) {
        writeln!(out, "{:<24}{}", format!("{name}:"), visible(&value))?;
    }
    for section in report.sections() {
        let shown = view::section(report, section);
        writeln!(out, "\n{}", view::section_title(section))?;
        let mut table = table();
        let first = report.query.grouping.as_str();
        let heads = std::iter::once(first)
            .chain(COLUMNS.iter().skip(1).copied())
            .chain([SHARE, ""]);
        table.set_header(heads.collect::<Vec<_>>());
        for line in shown.lines.iter().chain(&shown.sums) {
            let name = std::iter::once(visible(line.name.as_str()));
            let bar = if line.charge == section.total.charge {
                String::new()
            } else {
                bar(line.cells.last())
            };
            table.add_row(
                name.chain(line.cells.iter().cloned())
                    .chain([bar])
                    .collect::<Vec<_>>(),
            );
        }
        for column in table.column_iter_mut().skip(1).take(COLUMNS.len()) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        lines(&table, out)?;
        if !shown.statuses.is_empty() {
            let mut table = self::table();
            table.set_header(["how sure", "Attempts", "Share %", "Charge $"]);
            for status in &shown.statuses {
                table.add_row(status.iter());
            }
            for column in table.column_iter_mut().skip(1) {
                column.set_cell_alignment(CellAlignment::Right);
            }
            writeln!(out)?;
            lines(&table, out)?;
        }
        for note in &shown.notes {
            writeln!(out, "{note}")?;
        }
    }
    let shown = report.optimisation.as_ref();
    for insights in shown
        .into_iter()
        .flat_map(|found| insights::shown(found, &report.context))
    {
        write_insights(&insights, out)?;
    }
    Ok(())
}

fn write_insights(insights: &insights::Insights, out: &mut dyn Write) -> fmt::Result {
    writeln!(out, "\n{}", insights.title)?;
    for part in &insights.parts {
        writeln!(out, "\n{}", visible(&part.title))?;
        let mut table = table();
        table.set_header(&part.heads);
        for row in &part.rows {
            table.add_row(row.iter().map(|cell| visible(cell.as_str())));
        }
        for (index, column) in table.column_iter_mut().enumerate().skip(1) {
            // A column of names stands on the left, one of numbers on the right.
            let names = part
                .rows
                .iter()
                .any(|row| matches!(row.get(index), Some(Name::Outside(_))));
            if !names {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        lines(&table, out)?;
        for note in &part.notes {
            writeln!(out, "{}", visible(note))?;
        }
    }
    if !insights.assumptions.is_empty() {
        writeln!(
            out,
            "\nWhat is assumed where other prices are put on the same traffic:"
        )?;
        insights
            .assumptions
            .iter()
            .try_for_each(|assumption| writeln!(out, "- {assumption}"))?;
    }
    Ok(())
}

fn table() -> Table {
    let mut table = Table::new();
    *table.style_mut() = presets::NOTHING;
    table
}

fn lines(table: &Table, out: &mut dyn Write) -> fmt::Result {
    table
        .lines()
        .try_for_each(|line| writeln!(out, "{}", line.trim_end()))
}

fn bar(share: Option<&String>) -> String {
    let whole = share.and_then(|share| share.split('.').next()?.parse::<usize>().ok());
    "#".repeat((whole.unwrap_or_default() + 5) / BAR)
}
