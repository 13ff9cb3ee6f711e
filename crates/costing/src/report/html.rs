//! One page that needs nothing else: no script, no font, no picture from anywhere. It follows the reader's light or dark
//! setting, and on a narrow screen every row of a table becomes a card.

use std::fmt::{self, Write};

use integration_core::Html;
use sha2::{Digest, Sha256};

use super::calendar::{Date, rfc3339};
use super::view::{self, COLUMNS, SHARE, Shown, ShownSection};
use super::{Report, Section, insights, svg};
use crate::time::UtcTime;

/// The longest period that a chart shows as a whole, in days or hours: three months, four days.
const MOST_COLUMNS: i64 = 100;

const STYLE: &str = "
:root{color-scheme:light dark;--page:#fff;--card:#f5f7f9;--text:#1b2127;--soft:#515b66;--line:#d3dae1;--bar:#1f5fbf;--track:#e3e8ee;--warn:#8a3b00}
@media (prefers-color-scheme:dark){:root{--page:#12161b;--card:#1b2128;--text:#e7ecf1;--soft:#a9b4bf;--line:#39424c;--bar:#7db0ff;--track:#2a323b;--warn:#ffb27a}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:75rem;padding:1rem;background:var(--page);color:var(--text);font:16px/1.5 system-ui,sans-serif;overflow-wrap:anywhere}
h1{font-size:1.5rem;margin:0 0 .5rem}h2{font-size:1.15rem;margin:2rem 0 .5rem}h3{font-size:1rem;margin:1.25rem 0 .25rem}
a{color:var(--bar)}nav a{display:inline-block;margin:0 1rem .25rem 0}ul{padding-left:1.25rem}
.soft,dt,caption{color:var(--soft)}.warn{color:var(--warn);font-weight:600}
.sums{display:grid;grid-template-columns:repeat(auto-fit,minmax(10.5rem,1fr));gap:.75rem;margin:1rem 0}
.sums div{background:var(--card);border:1px solid var(--line);border-radius:.5rem;padding:.6rem .8rem}
.sums b{display:block;font-variant-numeric:tabular-nums}
.sums span{color:var(--soft);font-size:.875rem}
table{width:100%;border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:.9rem;margin:.5rem 0 1rem}
caption{text-align:left}
th,td{padding:.35rem .5rem;text-align:right;overflow-wrap:normal;border-bottom:1px solid var(--line);vertical-align:top}
th:first-child,td:first-child{text-align:left;overflow-wrap:anywhere;min-width:8rem}
tr.sum td{font-weight:600}
svg.bar{display:block;width:100%;height:.5rem;margin-top:.25rem}
svg.columns{display:block;width:100%;height:9rem;border-bottom:1px solid var(--line)}
.fill{fill:var(--bar)}.track{fill:var(--track)}
.axis{display:flex;justify-content:space-between;gap:1rem;color:var(--soft);font-size:.875rem}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.25rem 1rem;font-size:.9rem}dd{margin:0}
@media (max-width:960px){
thead{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
table,tbody,tr,td,caption{display:block}
tr{border:1px solid var(--line);border-radius:.5rem;padding:.4rem .6rem;margin:.5rem 0;background:var(--card)}
td,td:first-child{display:flex;justify-content:space-between;gap:1rem;border:0;padding:.15rem 0;text-align:right}
td:first-child{display:block;text-align:left;font-weight:600}
td[data-name]::before{content:attr(data-name);color:var(--soft);font-weight:400;text-align:left}
td:empty{display:none}
.sums b{font-size:.9rem}
dl{display:block}dd{margin:0 0 .5rem}}
@media print{body{max-width:none}tr{break-inside:avoid}}
";

/// What the page may do: have the style above and the empty icon it brings, without which a browser would ask for one, and nothing
/// else.
pub(super) fn policy() -> String {
    let hash = base64(&Sha256::digest(STYLE));
    format!(
        "default-src 'none'; style-src 'sha256-{hash}'; img-src data:; base-uri 'none'; form-action 'none'"
    )
}

fn base64(bytes: &[u8]) -> String {
    const SIGNS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for part in bytes.chunks(3) {
        let group = part
            .iter()
            .fold(0_u32, |group, byte| group << 8 | u32::from(*byte))
            << (8 * (3 - part.len()));
        for place in 0..4 {
            let sign = SIGNS[(group >> (18 - 6 * place) & 63) as usize];
            text.push(if place <= part.len() {
                char::from(sign)
            } else {
                '='
            });
        }
    }
    text
}

pub(crate) fn write(report: &Report, out: &mut dyn Write) -> fmt::Result {
    let title = view::title(report);
    begin(&title, out)?;
    writeln!(
        out,
        "<p class=\"soft\">{}</p>",
        Html(&report.query.period.to_string())
    )?;
    for section in report.sections() {
        let shown = view::section(report, section);
        section_title(section, out)?;
        cards(&shown, &[], out)?;
        lines(report, section, &shown, out)?;
        statuses(&shown, out)?;
        notes(&shown.notes, out)?;
        out.write_str("</section>\n")?;
    }
    let optimisation = report.optimisation.as_ref();
    for insights in optimisation
        .into_iter()
        .flat_map(|found| insights::shown(found, &report.context))
    {
        write_insights(&insights, out)?;
    }
    about(report, out)?;
    end(out)
}

/// Everything before what the page is about, its heading included.
pub(super) fn begin(title: &str, out: &mut dyn Write) -> fmt::Result {
    let title = Html(title);
    write!(
        out,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"referrer\" content=\"no-referrer\">\n\
         <link rel=\"icon\" href=\"data:,\">\n\
         <title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n",
        Html(&policy())
    )
}

pub(super) fn end(out: &mut dyn Write) -> fmt::Result {
    out.write_str("</main>\n</body>\n</html>\n")
}

/// What a report says of its own making.
pub(super) fn about(report: &Report, out: &mut dyn Write) -> fmt::Result {
    out.write_str("<h2>About this report</h2>\n<dl>\n")?;
    for (name, value) in view::facts(report) {
        writeln!(out, "<dt>{}</dt><dd>{}</dd>", Html(&name), Html(&value))?;
    }
    out.write_str("</dl>\n")
}

/// Begins a section.
pub(super) fn section_title(section: &Section, out: &mut dyn Write) -> fmt::Result {
    let class = if section.simulated { " class=\"warn\"" } else { "" };
    writeln!(out, "<section>\n<h2{class}>{}</h2>", view::section_title(section))
}

/// The total as cards, and more of them.
pub(super) fn cards(shown: &ShownSection, more: &[(&str, String)], out: &mut dyn Write) -> fmt::Result {
    let Some(total) = shown.sums.last() else {
        return Ok(());
    };
    out.write_str("<div class=\"sums\">")?;
    let sums = COLUMNS.iter().copied().skip(1).zip(&total.cells);
    for (name, cell) in sums.chain(more.iter().map(|(name, cell)| (*name, cell))) {
        write!(out, "<div><span>{name}</span><b>{}</b></div>", Html(cell))?;
    }
    out.write_str("</div>\n")
}

/// The lines of a section: a chart where they are times, and a table.
pub(super) fn lines(
    report: &Report,
    section: &Section,
    shown: &ShownSection,
    out: &mut dyn Write,
) -> fmt::Result {
    let by_time = report.query.grouping.is_time();
    if by_time && !shown.lines.is_empty() {
        chart(report, shown, out)?;
    }
    out.write_str("<table>\n<thead><tr>")?;
    write!(out, "<th scope=\"col\">{}</th>", report.query.grouping)?;
    for column in COLUMNS.iter().skip(1).chain([&SHARE]) {
        write!(out, "<th scope=\"col\">{column}</th>")?;
    }
    out.write_str("</tr></thead>\n<tbody>\n")?;
    let largest = section
        .lines
        .iter()
        .map(|line| line.figures.charge)
        .max()
        .unwrap_or_default();
    for line in &shown.lines {
        write!(out, "<tr><td>{}", Html(line.name.as_str()))?;
        if !by_time {
            svg::bar(line.charge, largest, out)?;
        }
        cells(line, out)?;
    }
    for line in &shown.sums {
        write!(out, "<tr class=\"sum\"><td>{}", Html(line.name.as_str()))?;
        cells(line, out)?;
    }
    out.write_str("</tbody>\n</table>\n")
}

fn chart(report: &Report, shown: &ShownSection, out: &mut dyn Write) -> fmt::Result {
    let by_day = report.query.grouping == super::Grouping::Day;
    let step = if by_day { 86_400 } else { 3_600 };
    let time = |line: &Shown| super::Period::time(line.name.as_str()).map(UtcTime::unix).ok();
    // A time at which nothing was spent has no line, and still its place. A short period is shown as a whole, a long one as far as
    // there is something in it.
    let period = report.query.period;
    let whole = (
        period.from().unix().div_euclid(step),
        (period.to().unix() - 1).div_euclid(step),
    );
    let used = || shown.lines.iter().filter_map(time).map(|at| at.div_euclid(step));
    let (first, last) = if whole.1 - whole.0 < MOST_COLUMNS {
        whole
    } else {
        (used().min().unwrap_or(whole.0), used().max().unwrap_or(whole.1))
    };
    let columns: Vec<svg::Column<'_>> = shown
        .lines
        .iter()
        .filter_map(|line| {
            Some(svg::Column {
                place: usize::try_from(time(line)?.div_euclid(step) - first).ok()?,
                name: line.name.as_str(),
                shown: line.cells[6].as_str(),
                amount: line.charge,
            })
        })
        .collect();
    let places = usize::try_from(last - first + 1).unwrap_or(1);
    let title = format!("Charge by {}", report.query.grouping);
    svg::columns(&columns, places, &title, out)?;
    let [first, last] = [first, last].map(|place| {
        let time = UtcTime::from_unix(place * step);
        if by_day {
            Date::of(time).to_string()
        } else {
            rfc3339(time)
        }
    });
    writeln!(
        out,
        "<p class=\"axis\"><span>{first}</span><span>{last}</span></p>"
    )
}

/// How sure the amounts are.
pub(super) fn statuses(shown: &ShownSection, out: &mut dyn Write) -> fmt::Result {
    if shown.statuses.is_empty() {
        return Ok(());
    }
    out.write_str(
        "<table>\n<caption>How sure the amounts are</caption>\n<thead><tr><th scope=\"col\">Status</th>\
         <th scope=\"col\">Attempts</th><th scope=\"col\">Share %</th><th scope=\"col\">Charge $</th></tr></thead>\n<tbody>\n",
    )?;
    for [status, attempts, share, charge] in &shown.statuses {
        writeln!(
            out,
            "<tr><td>{status}</td><td data-name=\"Attempts\">{attempts}</td><td data-name=\"Share %\">{share}</td>\
             <td data-name=\"Charge $\">{charge}</td></tr>"
        )?;
    }
    out.write_str("</tbody>\n</table>\n")
}

pub(super) fn notes(notes: &[String], out: &mut dyn Write) -> fmt::Result {
    notes
        .iter()
        .try_for_each(|note| writeln!(out, "<p class=\"soft\">{}</p>", Html(note)))
}

/// What could have been spent instead.
pub(super) fn write_insights(insights: &insights::Insights, out: &mut dyn Write) -> fmt::Result {
    writeln!(out, "<section>\n<h2>{}</h2>", Html(insights.title))?;
    for part in &insights.parts {
        writeln!(out, "<h3>{}</h3>\n<table>\n<thead><tr>", Html(&part.title))?;
        for head in &part.heads {
            write!(out, "<th scope=\"col\">{}</th>", Html(head))?;
        }
        out.write_str("</tr></thead>\n<tbody>\n")?;
        for row in &part.rows {
            out.write_str("<tr>")?;
            for (index, (head, cell)) in part.heads.iter().zip(row).enumerate() {
                match index {
                    0 => write!(out, "<td>{}</td>", Html(cell.as_str()))?,
                    _ => write!(
                        out,
                        "<td data-name=\"{}\">{}</td>",
                        Html(head),
                        Html(cell.as_str())
                    )?,
                }
            }
            out.write_str("</tr>\n")?;
        }
        out.write_str("</tbody>\n</table>\n")?;
        notes(&part.notes, out)?;
    }
    if !insights.assumptions.is_empty() {
        out.write_str(
            "<p class=\"soft\">What is assumed where other prices are put on the same traffic:</p>\n<ul class=\"soft\">\n",
        )?;
        for assumption in insights.assumptions {
            writeln!(out, "<li>{}</li>", Html(assumption))?;
        }
        out.write_str("</ul>\n")?;
    }
    out.write_str("</section>\n")
}

fn cells(line: &Shown, out: &mut dyn Write) -> fmt::Result {
    out.write_str("</td>")?;
    for (name, cell) in COLUMNS.iter().skip(1).chain([&SHARE]).zip(&line.cells) {
        write!(out, "<td data-name=\"{name}\">{}</td>", Html(cell))?;
    }
    out.write_str("</tr>\n")
}

#[cfg(test)]
mod tests {
    /// The examples of RFC 4648.
    #[test]
    fn base64_is_as_the_standard_has_it() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(super::base64(bytes.as_bytes()), text);
        }
    }
}
