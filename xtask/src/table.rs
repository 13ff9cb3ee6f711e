//! Tables for people: aligned text, and Markdown.

/// Rows under headings. Columns after the first are aligned to the right.
#[derive(Debug)]
pub(crate) struct Table {
    headings: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table.
    pub(crate) fn new(headings: &[&str]) -> Self {
        Self {
            headings: headings.iter().map(|heading| (*heading).to_owned()).collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row; cells beyond the headings are left out.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows
            .push(cells.into_iter().take(self.headings.len()).collect());
    }

    /// Whether there is any row.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// For a terminal.
    pub(crate) fn text(&self) -> String {
        let widths = self.widths();
        let mut text = String::new();
        for row in std::iter::once(&self.headings).chain(&self.rows) {
            let cells = row
                .iter()
                .zip(&widths)
                .enumerate()
                .map(|(column, (cell, width))| pad(cell, *width, column > 0));
            text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
            text.push('\n');
        }
        text
    }

    /// For a document.
    pub(crate) fn markdown(&self) -> String {
        let widths = self.widths();
        let line = |row: &[String]| {
            let cells = row
                .iter()
                .zip(&widths)
                .enumerate()
                .map(|(column, (cell, width))| pad(cell, *width, column > 0));
            format!("| {} |\n", cells.collect::<Vec<_>>().join(" | "))
        };
        let rule = widths.iter().enumerate().map(|(column, width)| {
            let dashes = "-".repeat(width.saturating_sub(usize::from(column > 0)).max(2));
            if column > 0 { dashes + ":" } else { dashes }
        });
        let mut text = line(&self.headings);
        text.push_str(&format!("| {} |\n", rule.collect::<Vec<_>>().join(" | ")));
        text.extend(self.rows.iter().map(|row| line(row)));
        text
    }

    fn widths(&self) -> Vec<usize> {
        let mut widths: Vec<usize> = self
            .headings
            .iter()
            .map(|heading| heading.chars().count().max(3))
            .collect();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        widths
    }
}

fn pad(cell: &str, width: usize, to_the_right: bool) -> String {
    if to_the_right {
        format!("{cell:>width$}")
    } else {
        format!("{cell:<width$}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let mut table = Table::new(&["crate", "lines"]);
        table.row(["routing".to_owned(), "9".to_owned()]);
        table.row(["costing".to_owned(), "1,234".to_owned()]);
        assert_eq!(table.text(), "crate    lines\nrouting      9\ncosting  1,234\n");
        assert_eq!(
            table.markdown(),
            "| crate   | lines |\n| ------- | ----: |\n| routing |     9 |\n| costing | 1,234 |\n"
        );
        assert!(!table.is_empty());
    }
}
