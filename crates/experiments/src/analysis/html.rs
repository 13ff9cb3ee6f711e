//! The report as one page that needs nothing else: no script, no font, no picture from anywhere. It follows the reader's light or
//! dark setting, and on a narrow screen every row of a table becomes a card.

use std::fmt::{self, Write};

use integration_core::Html;

use super::report::{MetricReport, Point, Report, State};
use super::text::{COLUMNS, cells, left_out, notes, split};
use super::words::{count, difference, interval, number};

/// What a browser may do with the page: have its own style, and nothing else.
pub const CONTENT_SECURITY_POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'";

const STYLE: &str = "
:root{color-scheme:light dark;--page:#fff;--card:#f5f7f9;--text:#1b2127;--soft:#515b66;--line:#d3dae1;--mark:#1f5fbf;--band:#c9dcf7;--good:#0b6b3a;--bad:#a11d1d;--warn:#8a3b00}
@media (prefers-color-scheme:dark){:root{--page:#12161b;--card:#1b2128;--text:#e7ecf1;--soft:#a9b4bf;--line:#39424c;--mark:#7db0ff;--band:#27405f;--good:#6fd79d;--bad:#ff9c9c;--warn:#ffb27a}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:75rem;padding:1rem;background:var(--page);color:var(--text);font:16px/1.5 system-ui,sans-serif;overflow-wrap:anywhere}
h1{font-size:1.5rem;margin:0 0 .5rem}h2{font-size:1.15rem;margin:2rem 0 .5rem}h3{font-size:1rem;margin:1.25rem 0 .25rem}
.soft,dt,caption{color:var(--soft)}.warn{color:var(--warn);font-weight:600}
.decision{background:var(--card);border:1px solid var(--line);border-left:.4rem solid var(--mark);border-radius:.5rem;padding:.75rem 1rem}
.decision b{display:block;font-size:1.15rem}.ship{border-left-color:var(--good)}.roll_back{border-left-color:var(--bad)}.inconclusive{border-left-color:var(--warn)}
table{width:100%;border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:.9rem;margin:.5rem 0 1rem}
caption{text-align:left}
th,td{padding:.35rem .5rem;text-align:right;overflow-wrap:normal;border-bottom:1px solid var(--line);vertical-align:top}
th:first-child,td:first-child{text-align:left;overflow-wrap:anywhere;min-width:8rem}
figure{margin:1rem 0}figcaption{font-size:.9rem}
svg{display:block;width:100%;height:9rem;border-bottom:1px solid var(--line)}
.band{fill:var(--band)}.middle,.bar{stroke:var(--mark);stroke-width:2;fill:none;vector-effect:non-scaling-stroke}
.zero{stroke:var(--soft);vector-effect:non-scaling-stroke}.limit{stroke:var(--bad);stroke-dasharray:6 4;vector-effect:non-scaling-stroke}
.axis{display:flex;justify-content:space-between;gap:1rem;color:var(--soft);font-size:.875rem}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.25rem 1rem;font-size:.9rem}dd{margin:0}
@media (max-width:960px){
thead{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
table,tbody,tr,td,caption{display:block}
tr{border:1px solid var(--line);border-radius:.5rem;padding:.4rem .6rem;margin:.5rem 0;background:var(--card)}
td,td:first-child{display:flex;justify-content:space-between;gap:1rem;border:0;padding:.15rem 0;text-align:right}
td:first-child{display:block;text-align:left;font-weight:600}
td[data-name]::before{content:attr(data-name);color:var(--soft);font-weight:400;text-align:left}
dl{display:block}dd{margin:0 0 .5rem}}
@media print{body{max-width:none}tr,figure{break-inside:avoid}}
";

impl Report {
    /// The report as a page of its own. `notices` are sentences at the top that nobody is to miss, such as that the answers were
    /// simulated. Serve it under [`CONTENT_SECURITY_POLICY`].
    pub fn to_html(&self, title: &str, notices: &[String]) -> String {
        let mut page = String::new();
        // A `String` takes everything.
        let _ = self.write_html(title, notices, &mut page);
        page
    }

    fn write_html(&self, title: &str, notices: &[String], out: &mut String) -> fmt::Result {
        let title = Html(title);
        write!(
            out,
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
             content=\"width=device-width,initial-scale=1\"><link rel=\"icon\" href=\"data:,\"><title>{title}</title>\
             <style>{STYLE}</style></head>\n<body><main>\n<h1>{title}</h1>\n"
        )?;
        for notice in notices {
            writeln!(out, "<p class=\"warn\">{}</p>", Html(notice))?;
        }
        let class = match self.decision.state {
            State::Ship => "ship",
            State::RollBack => "roll_back",
            State::KeepRunning => "keep_running",
            State::Inconclusive => "inconclusive",
        };
        let mut word = self.decision.state.as_str().to_owned();
        if let Some(first) = word.get_mut(0..1) {
            first.make_ascii_uppercase();
        }
        writeln!(
            out,
            "<p class=\"decision {class}\"><b>{word}</b>{}</p>",
            Html(&self.decision.sentence)
        )?;
        for warning in &self.warnings {
            writeln!(out, "<p class=\"warn\">{}.</p>", Html(warning))?;
        }
        self.write_arms(out)?;
        for treatment in &self.treatments {
            writeln!(
                out,
                "<section>\n<h2>{} against {}: {}</h2>",
                Html(&treatment.arm),
                Html(&self.control),
                treatment.state.as_str()
            )?;
            self.write_metrics(treatment, out)?;
            for note in notes(treatment) {
                writeln!(out, "<p class=\"soft\">{}</p>", Html(&note))?;
            }
            for metric in treatment.metrics.iter().filter(|metric| !metric.looks.is_empty()) {
                plot(metric, out)?;
            }
            out.write_str("</section>\n")?;
        }
        self.write_facts(out)?;
        out.write_str("</main></body></html>\n")
    }

    fn write_arms(&self, out: &mut String) -> fmt::Result {
        out.write_str(
            "<table><caption>Units by arm</caption><thead><tr><th>arm</th><th>units</th><th>weight</th></tr></thead><tbody>\n",
        )?;
        for arm in &self.arms {
            let weight = arm.weight_bps.map_or_else(
                || "–".to_owned(),
                |bps| format!("{} %", number(f64::from(bps) / 100.0)),
            );
            let mark = if arm.arm == self.control { " (control)" } else { "" };
            writeln!(
                out,
                "<tr><td>{}{mark}</td><td data-name=\"units\">{}</td><td data-name=\"weight\">{weight}</td></tr>",
                Html(&arm.arm),
                count(arm.units)
            )?;
        }
        out.write_str("</tbody></table>\n")
    }

    fn write_metrics(&self, treatment: &super::report::Treatment, out: &mut String) -> fmt::Result {
        write!(
            out,
            "<table><caption>Differences are {} minus {}; intervals are right with {} %.</caption><thead><tr>",
            Html(&treatment.arm),
            Html(&self.control),
            number(100.0 * self.confidence)
        )?;
        for column in COLUMNS {
            write!(out, "<th>{column}</th>")?;
        }
        out.write_str("</tr></thead><tbody>\n")?;
        for metric in &treatment.metrics {
            out.write_str("<tr>")?;
            for (column, cell) in COLUMNS.iter().zip(cells(metric)) {
                write!(out, "<td data-name=\"{column}\">{}</td>", Html(&cell))?;
            }
            out.write_str("</tr>\n")?;
        }
        out.write_str("</tbody></table>\n")
    }

    fn write_facts(&self, out: &mut String) -> fmt::Result {
        out.write_str("<h2>How it was judged</h2>\n<dl>\n")?;
        let mut fact = |name: &str, text: &str| writeln!(out, "<dt>{name}</dt><dd>{}</dd>", Html(text));
        fact("Engine", &self.engine.replace('_', " "))?;
        fact("Alpha of each claim", &number(self.alpha))?;
        if let Some(horizon) = self.horizon_units {
            fact("Planned units", &count(horizon))?;
        }
        if let Some(sentence) = split(self) {
            fact("Split", &sentence)?;
        }
        if let Some(sentence) = left_out(self) {
            fact("Units", &sentence)?;
        }
        let mut methods: Vec<&str> = Vec::new();
        for metric in self.treatments.iter().flat_map(|treatment| &treatment.metrics) {
            if !methods.contains(&metric.method) {
                methods.push(metric.method);
            }
        }
        fact("Methods", &methods.join("; "))?;
        out.write_str("</dl>\n")
    }
}

/// The width and the height of a plot, in its own units.
const WIDTH: f64 = 1_000.0;
const HEIGHT: f64 = 300.0;

/// From the metric's unit and from time to places in the plot.
struct Scale {
    first_ms: f64,
    span_ms: f64,
    low: f64,
    span: f64,
}

impl Scale {
    fn of(metric: &MetricReport) -> Self {
        let limit = metric.limit.unwrap_or(0.0);
        let bounds = metric
            .looks
            .iter()
            .flat_map(|point| [Some(point.difference), point.low, point.high])
            .flatten()
            .chain([0.0, limit]);
        let (low, high) = bounds.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
            (low.min(value), high.max(value))
        });
        let room = ((high - low) * 0.08).max(f64::MIN_POSITIVE);
        let time = |point: Option<&Point>| point.map_or(0, |point| point.at_ms) as f64;
        let (first_ms, last_ms) = (time(metric.looks.first()), time(metric.looks.last()));
        Self {
            first_ms,
            span_ms: last_ms - first_ms,
            low: low - room,
            span: high - low + 2.0 * room,
        }
    }

    fn x(&self, at_ms: i64) -> f64 {
        if self.span_ms > 0.0 {
            20.0 + (WIDTH - 40.0) * (at_ms as f64 - self.first_ms) / self.span_ms
        } else {
            WIDTH / 2.0
        }
    }

    fn y(&self, value: f64) -> f64 {
        HEIGHT - HEIGHT * (value - self.low) / self.span
    }
}

/// The difference and its interval at each look, with the line of no difference and the limit of the claim. Numbers stand below, as
/// text.
fn plot(metric: &MetricReport, out: &mut String) -> fmt::Result {
    let scale = Scale::of(metric);
    let (Some(first), Some(last)) = (metric.looks.first(), metric.looks.last()) else {
        return Ok(());
    };
    let title = format!("{}: difference and interval over time", metric.metric);
    write!(
        out,
        "<figure><figcaption>{title}</figcaption>\n<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" preserveAspectRatio=\"none\" \
         role=\"img\"><title>{title}</title>",
        title = Html(&title)
    )?;
    let edge = |bound: Option<f64>, beyond: f64| bound.map_or(beyond, |bound| scale.y(bound));
    if metric.looks.len() > 1 {
        out.write_str("<polygon class=\"band\" points=\"")?;
        for point in &metric.looks {
            write!(out, "{:.1},{:.1} ", scale.x(point.at_ms), edge(point.high, 0.0))?;
        }
        for point in metric.looks.iter().rev() {
            write!(out, "{:.1},{:.1} ", scale.x(point.at_ms), edge(point.low, HEIGHT))?;
        }
        out.write_str("\"/><polyline class=\"middle\" points=\"")?;
        for point in &metric.looks {
            write!(
                out,
                "{:.1},{:.1} ",
                scale.x(point.at_ms),
                scale.y(point.difference)
            )?;
        }
        out.write_str("\"/>")?;
    }
    write!(
        out,
        "<line class=\"bar\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{:.1}\" y2=\"{:.1}\"/>",
        edge(last.low, HEIGHT),
        edge(last.high, 0.0),
        x = scale.x(last.at_ms)
    )?;
    let level = |class: &str, value: f64, out: &mut String| {
        write!(
            out,
            "<line class=\"{class}\" x1=\"0\" x2=\"{WIDTH}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>",
            y = scale.y(value)
        )
    };
    level("zero", 0.0, out)?;
    let limit = metric.limit.filter(|limit| *limit != 0.0);
    if let Some(limit) = limit {
        level("limit", limit, out)?;
    }
    let at_limit = limit.map_or_else(String::new, |limit| {
        format!("; dashed, the limit of {}", difference(metric, limit))
    });
    writeln!(
        out,
        "</svg>\n<p class=\"axis\"><span>{} units</span><span>{} units: {}, from {}; the thin line is no difference{}</span></p></figure>",
        count(first.units),
        count(last.units),
        Html(&difference(metric, last.difference)),
        Html(&interval(metric)),
        Html(&at_limit)
    )
}
