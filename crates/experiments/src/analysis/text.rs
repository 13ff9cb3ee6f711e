//! The report in a terminal.

use std::fmt::Write;

use comfy_table::presets;
use comfy_table::{CellAlignment, Table};

use super::report::{MetricReport, Report, Standing, Treatment};
use super::words::{count, difference, figure, interval, number};

/// A p-value as it is read; `–` where there is none.
pub(super) fn p_value(p: Option<f64>) -> String {
    match p {
        None => "–".to_owned(),
        Some(p) if p < 0.0001 => "<0.0001".to_owned(),
        Some(p) => format!("{p:.4}"),
    }
}

fn e_value(e: Option<f64>) -> String {
    match e {
        None => "–".to_owned(),
        Some(e) if e >= 1e6 => ">1,000,000".to_owned(),
        Some(e) => number(e),
    }
}

/// How a metric stands, in a few words.
pub(super) fn standing(metric: &MetricReport) -> &'static str {
    use super::report::Claimed::{Better, NotWorse};
    match (metric.standing, metric.claimed) {
        (Standing::Shown, Better) => "better",
        (Standing::Shown, NotWorse) => "not worse",
        (Standing::Worse, _) => "worse",
        (Standing::Open, _) => "open",
        (Standing::Unknown, _) => "too little data",
    }
}

/// What a metric decides, as a word.
pub(super) const fn role(metric: &MetricReport) -> &'static str {
    match metric.role {
        crate::metrics::Role::Goal => "goal",
        crate::metrics::Role::Guardrail => "guardrail",
        crate::metrics::Role::Secondary => "secondary",
    }
}

/// The columns of the table of metrics.
pub(super) const COLUMNS: [&str; 10] = [
    "metric",
    "role",
    "control",
    "treatment",
    "difference",
    "interval",
    "p",
    "e",
    "chance better",
    "stands",
];

/// A row of it.
pub(super) fn cells(metric: &MetricReport) -> [String; 10] {
    [
        metric.metric.clone(),
        role(metric).to_owned(),
        figure(metric, metric.control.value),
        figure(metric, metric.treatment.value),
        metric
            .difference
            .map_or_else(|| "–".to_owned(), |value| difference(metric, value)),
        interval(metric),
        p_value(metric.p_value),
        e_value(metric.e_value),
        metric
            .chance_better
            .map_or_else(|| "–".to_owned(), |chance| format!("{:.1} %", 100.0 * chance)),
        standing(metric).to_owned(),
    ]
}

/// A sentence on how a treatment's figures were made and what they lack.
pub(super) fn notes(treatment: &Treatment) -> Vec<String> {
    let mut notes = Vec::new();
    for metric in &treatment.metrics {
        if let Some(why) = &metric.unknown {
            notes.push(format!("{}: {why}.", metric.metric));
        }
        if let Some(adjusted) = metric.adjusted_p_value {
            notes.push(format!(
                "{}: p of a difference in either direction, corrected over all secondary metrics, {}.",
                metric.metric,
                p_value(Some(adjusted))
            ));
        }
        if metric.control.missing + metric.treatment.missing > 0 {
            notes.push(format!(
                "{}: not known of {} units of the control and {} of the treatment.",
                metric.metric,
                count(metric.control.missing),
                count(metric.treatment.missing)
            ));
        }
    }
    notes
}

/// Who was left out, as a sentence; `None` if nobody was.
pub(super) fn left_out(report: &Report) -> Option<String> {
    let excluded = report.excluded;
    let parts: Vec<String> = [
        (excluded.immature, "whose window is not over"),
        (excluded.forced, "put into an arm without a draw"),
        (excluded.multiple_versions, "that met several versions"),
        (excluded.multiple_arms, "that met several arms"),
    ]
    .into_iter()
    .filter(|(units, _)| *units > 0)
    .map(|(units, why)| format!("{} {why}", count(units)))
    .collect();
    (!parts.is_empty()).then(|| format!("Left out: {}.", parts.join(", ")))
}

/// How the split of the traffic stands, as a sentence.
pub(super) fn split(report: &Report) -> Option<String> {
    report.sample_ratio.map(|ratio| {
        let verdict = if ratio.mismatch { "is not" } else { "is" };
        format!(
            "The split {verdict} as the weights say (p {}).",
            p_value(Some(ratio.p_value))
        )
    })
}

impl Report {
    /// The report as text for a terminal: the decision, the arms, each treatment's metrics. `title` is its first line.
    pub fn to_text(&self, title: &str) -> String {
        let mut text = String::new();
        // A `String` takes everything.
        let _ = self.write_text(title, &mut text);
        // Names come from outside, and a terminal takes control characters for commands.
        text.replace(|c: char| c.is_control() && c != '\n', "\u{fffd}")
    }

    fn write_text(&self, title: &str, out: &mut String) -> std::fmt::Result {
        writeln!(out, "{title}: {}", self.decision.state.as_str())?;
        writeln!(out, "{}\n", self.decision.sentence)?;
        let mut arms = table(&["arm", "units", "weight"]);
        for arm in &self.arms {
            let weight = arm.weight_bps.map_or_else(
                || "–".to_owned(),
                |bps| format!("{} %", number(f64::from(bps) / 100.0)),
            );
            let mark = if arm.arm == self.control { " (control)" } else { "" };
            arms.add_row([format!("{}{mark}", arm.arm), count(arm.units), weight]);
        }
        right_from(&mut arms, 1);
        writeln!(out, "{arms}\n")?;
        for treatment in &self.treatments {
            writeln!(
                out,
                "'{}' against '{}': {}. Differences are '{}' minus '{}'; intervals are right with {} %.",
                treatment.arm,
                self.control,
                treatment.state.as_str(),
                treatment.arm,
                self.control,
                number(100.0 * self.confidence)
            )?;
            let mut metrics = table(&COLUMNS);
            for metric in &treatment.metrics {
                metrics.add_row(cells(metric));
            }
            right_from(&mut metrics, 2);
            writeln!(out, "{metrics}")?;
            for note in notes(treatment) {
                writeln!(out, "  {note}")?;
            }
            writeln!(out)?;
        }
        for line in [split(self), left_out(self)].into_iter().flatten() {
            writeln!(out, "{line}")?;
        }
        for warning in &self.warnings {
            writeln!(out, "Warning: {warning}.")?;
        }
        writeln!(
            out,
            "{} engine, alpha {} of each claim.",
            self.engine.replace('_', " "),
            number(self.alpha)
        )
    }
}

fn table(head: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(head.to_vec());
    table
}

fn right_from(table: &mut Table, first: usize) {
    for column in table.column_iter_mut().skip(first) {
        column.set_cell_alignment(CellAlignment::Right);
    }
}
