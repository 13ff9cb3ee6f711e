//! The page of an evaluation: it needs nothing else, no script, no font and no picture from anywhere.

use std::fmt::{self, Write};

use experiments::analysis::CONTENT_SECURITY_POLICY;
use integration_core::Html;
use routing_learned::curve::{Hull, Point};

use super::dollars;
use super::evaluate::{Model, Report};

const STYLE: &str = "
:root{color-scheme:light dark;--page:#fff;--card:#f5f7f9;--text:#1b2127;--soft:#515b66;--line:#d3dae1;--router:#1f5fbf;--zero:#8a3b00;--oracle:#0b6b3a}
@media (prefers-color-scheme:dark){:root{--page:#12161b;--card:#1b2128;--text:#e7ecf1;--soft:#a9b4bf;--line:#39424c;--router:#7db0ff;--zero:#ffb27a;--oracle:#6fd79d}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:75rem;padding:1rem;background:var(--page);color:var(--text);font:16px/1.5 system-ui,sans-serif;overflow-wrap:anywhere}
h1{font-size:1.5rem;margin:0 0 .5rem}.soft,caption{color:var(--soft)}
table{width:100%;border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:.9rem;margin:1rem 0}
caption{text-align:left}
th,td{padding:.35rem .5rem;text-align:right;border-bottom:1px solid var(--line);vertical-align:top}
th:first-child,td:first-child{text-align:left;min-width:8rem}
figure{margin:1rem 0;overflow-x:auto}figcaption{font-size:.9rem}
svg{display:block;width:100%;min-width:44rem;font:15px system-ui,sans-serif}
svg text{fill:var(--text);paint-order:stroke;stroke:var(--page);stroke-width:4px}svg .tick{fill:var(--soft)}
.grid{stroke:var(--line)}.dot{fill:var(--text)}
.curve{fill:none;stroke-width:2.5}.router{stroke:var(--router)}.zero{stroke:var(--zero);stroke-dasharray:9 5}.oracle{stroke:var(--oracle);stroke-dasharray:2 4}
@media (max-width:640px){thead{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
table,tbody,tr,td,caption{display:block}tr{border:1px solid var(--line);border-radius:.5rem;padding:.4rem .6rem;margin:.5rem 0;background:var(--card)}
td{display:flex;justify-content:space-between;gap:1rem;border:0;padding:.15rem 0}td:first-child{font-weight:600}
td[data-name]::before{content:attr(data-name);color:var(--soft)}}
@media print{body{max-width:none}tr,figure{break-inside:avoid}}
";

/// The evaluation as a page of its own.
pub(super) fn page(report: &Report) -> String {
    let mut page = String::new();
    // A `String` takes everything.
    let _ = write_page(report, &mut page);
    page
}

fn write_page(report: &Report, out: &mut String) -> fmt::Result {
    write!(
        out,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta http-equiv=\"Content-Security-Policy\" \
         content=\"{CONTENT_SECURITY_POLICY}\"><meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><link rel=\"icon\" \
         href=\"data:,\"><title>Routing by the prompt</title><style>{STYLE}</style></head>\n<body><main>\n<h1>Routing by the prompt</h1>\n\
         <p>{}</p>\n",
        Html(&report.method())
    )?;
    Plot::of(report).write(report, out)?;
    let models = report.models.iter().map(|model| {
        [
            model.model.clone(),
            format!("{:.4}", model.mean_score),
            format!("{:.4}", model.mean_predicted),
            dollars(model.point.cost),
        ]
    });
    table(
        "Models",
        ["model", "mean score", "predicted", "mean cost"],
        models,
        out,
    )?;
    table(
        "The best of them is 100 %; intervals of 95 % are by resampling prompts",
        ["measure", "router", "zero router", "oracle"],
        report.measures().into_iter(),
        out,
    )?;
    for sentence in report.sentences() {
        writeln!(out, "<p class=\"soft\">{}</p>", Html(&sentence))?;
    }
    out.write_str("</main></body></html>\n")
}

fn table(
    caption: &str,
    columns: [&str; 4],
    rows: impl Iterator<Item = [String; 4]>,
    out: &mut String,
) -> fmt::Result {
    write!(out, "<table><caption>{}</caption><thead><tr>", Html(caption))?;
    for column in columns {
        write!(out, "<th>{column}</th>")?;
    }
    out.write_str("</tr></thead><tbody>\n")?;
    for row in rows {
        out.write_str("<tr>")?;
        for (number, (column, cell)) in columns.iter().zip(&row).enumerate() {
            if number == 0 {
                write!(out, "<td>{}</td>", Html(cell))?;
            } else {
                write!(out, "<td data-name=\"{column}\">{}</td>", Html(cell))?;
            }
        }
        out.write_str("</tr>\n")?;
    }
    out.write_str("</tbody></table>\n")
}

/// The plot and its margins, in its own units.
const WIDTH: f64 = 1_000.0;
const HEIGHT: f64 = 520.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 30.0;
const TOP: f64 = 20.0;
const BOTTOM: f64 = 60.0;

/// How high a line of text is, and about how wide a letter.
const LINE: f64 = 18.0;
const LETTER: f64 = 8.0;

/// The longest label in the plot, in letters; the table has the whole name.
const LONGEST_LABEL: usize = 36;

/// Steps in which a curve is drawn: a straight line over costs is none over their logarithms.
const STEPS: u32 = 160;

/// From costs and scores to places in the plot.
struct Plot {
    scale: Scale,
    from: f64,
    to: f64,
    low: f64,
    high: f64,
}

/// How wide a step of the cost is.
#[derive(Clone, Copy, PartialEq)]
enum Scale {
    /// Each doubling alike.
    Doublings,
    /// Each dollar alike: a cost of nothing has no place among doublings.
    Even,
}

impl Scale {
    const fn caption(self) -> &'static str {
        match self {
            Self::Doublings => "each doubling as wide",
            Self::Even => "from nothing, in even steps, because something here costs nothing",
        }
    }
}

impl Plot {
    fn of(report: &Report) -> Self {
        let curves = &report.curves;
        let hulls = [&curves.router, &curves.zero_router, &curves.oracle];
        let points = || {
            let corners = hulls.into_iter().flat_map(|curve| curve.0.points());
            corners.chain(report.models.iter().map(|model| &model.point))
        };
        let costs = || points().map(|point| point.cost);
        let (from, to) = (costs().fold(f64::INFINITY, f64::min), costs().fold(0.0, f64::max));
        let (scale, from) = if from > 0.0 {
            (Scale::Doublings, from / 1.1)
        } else {
            (Scale::Even, 0.0)
        };
        let (low, high) = points().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), point| {
            (low.min(point.quality), high.max(point.quality))
        });
        let room = ((high - low) * 0.06).max(0.005);
        Self {
            scale,
            from,
            // If all cost nothing, any width will do.
            to: if to > 0.0 { to * 1.1 } else { f64::MIN_POSITIVE },
            low: low - room,
            high: high + room,
        }
    }

    fn x(&self, cost: f64) -> f64 {
        let share = match self.scale {
            Scale::Doublings => (cost.max(self.from) / self.from).ln() / (self.to / self.from).ln(),
            Scale::Even => cost / self.to,
        };
        LEFT + (WIDTH - LEFT - RIGHT) * share
    }

    fn y(&self, quality: f64) -> f64 {
        let share = (quality - self.low) / (self.high - self.low);
        HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share
    }

    fn write(&self, report: &Report, out: &mut String) -> fmt::Result {
        write!(
            out,
            "<figure><figcaption>Mean score over mean cost of a request ({}): solid, the router with single models among \
             its choices; dashed, the zero router, which looks at no prompt; dotted, the oracle, which knows every answer; dots, single \
             models.</figcaption>\n<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\"><title>Mean score over mean cost</title>\n",
            self.scale.caption()
        )?;
        self.grid(out)?;
        self.curve("oracle", &report.curves.oracle.0, out)?;
        self.curve("zero", &report.curves.zero_router.0, out)?;
        self.curve("router", &report.curves.router.0, out)?;
        self.labels(&report.models, out)?;
        out.write_str("</svg></figure>\n")
    }

    fn grid(&self, out: &mut String) -> fmt::Result {
        let (bottom, right) = (HEIGHT - BOTTOM, WIDTH - RIGHT);
        for quality in steps(self.low, self.high) {
            let y = self.y(quality);
            write!(
                out,
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/><text class=\"tick\" x=\"{:.1}\" \
                 y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                LEFT - 8.0,
                y + 5.0,
                (quality * 1e4).round() / 1e4
            )?;
        }
        let ticks = match self.scale {
            Scale::Doublings => doublings(self.from, self.to),
            Scale::Even if self.to <= f64::MIN_POSITIVE => vec![0.0],
            Scale::Even => steps(0.0, self.to),
        };
        for cost in ticks {
            let x = self.x(cost);
            write!(
                out,
                "<line class=\"grid\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{bottom}\"/><text class=\"tick\" x=\"{x:.1}\" \
                 y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                bottom + 22.0,
                dollars(cost)
            )?;
        }
        out.write_str("\n")
    }

    fn curve(&self, class: &str, hull: &Hull, out: &mut String) -> fmt::Result {
        let corners = hull.points();
        let Some(first) = corners.first() else {
            return Ok(());
        };
        let mut costs: Vec<f64> = corners.iter().map(|point| point.cost).collect();
        match self.scale {
            Scale::Doublings => {
                let start = first.cost.max(self.from);
                costs.extend(
                    (0..=STEPS)
                        .map(|step| start * (self.to / start).powf(f64::from(step) / f64::from(STEPS))),
                );
            }
            Scale::Even => costs.push(self.to),
        }
        costs.retain(|cost| *cost >= first.cost);
        costs.sort_by(f64::total_cmp);
        write!(out, "<polyline class=\"curve {class}\" points=\"")?;
        for cost in costs {
            if let Some(quality) = hull.quality_at(cost) {
                write!(out, "{:.1},{:.1} ", self.x(cost), self.y(quality))?;
            }
        }
        out.write_str("\"/>\n")
    }

    /// Dots with names. A name that would lie on another moves down, or stays where it is if there is no room.
    fn labels(&self, models: &[Model], out: &mut String) -> fmt::Result {
        let mut taken: Vec<[f64; 3]> = Vec::new();
        for Model { model, point, .. } in models {
            let Point { cost, quality } = *point;
            let (x, y) = (self.x(cost), self.y(quality));
            let label = shortened(model);
            let wide = LETTER * label.chars().count() as f64;
            let is_left = x + 10.0 + wide > WIDTH;
            let (anchor, at, start) = if is_left {
                ("end", x - 10.0, x - 10.0 - wide)
            } else {
                ("start", x + 10.0, x + 10.0)
            };
            let is_free = |line: f64| {
                !taken.iter().any(|[from, to, other]| {
                    (line - other).abs() < LINE && start < *to && start + wide > *from
                })
            };
            let moved = (0..12).map(|step| y + 20.0 + LINE * f64::from(step));
            let line = moved
                .take_while(|line| *line < HEIGHT - 4.0)
                .find(|line| is_free(*line))
                .unwrap_or(y + 20.0);
            taken.push([start, start + wide, line]);
            writeln!(
                out,
                "<circle class=\"dot\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"5\"><title>{}</title></circle><text x=\"{at:.1}\" y=\"{line:.1}\" \
                 text-anchor=\"{anchor}\">{}</text>",
                Html(model),
                Html(&label)
            )?;
        }
        Ok(())
    }
}

fn shortened(name: &str) -> String {
    if name.chars().count() <= LONGEST_LABEL {
        return name.to_owned();
    }
    let kept: String = name.chars().take(LONGEST_LABEL - 1).collect();
    kept + "…"
}

/// Round numbers between two, at most a dozen.
fn steps(low: f64, high: f64) -> Vec<f64> {
    let rough = (high - low) / 6.0;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|times| times * power)
        .find(|step| *step >= rough)
        .unwrap_or(rough);
    let first = (low / step).ceil() as i64;
    let last = (high / step).floor() as i64;
    (first..=last).map(|number| number as f64 * step).collect()
}

/// Costs of 1, 2 or 5 times a power of ten between two; of 1 alone if they are many.
fn doublings(from: f64, to: f64) -> Vec<f64> {
    let (first, last) = (from.log10().floor() as i32, to.log10().ceil() as i32);
    let times: &[f64] = if last - first > 4 {
        &[1.0]
    } else {
        &[1.0, 2.0, 5.0]
    };
    (first..=last)
        .flat_map(|power| times.iter().map(move |times| times * 10f64.powi(power)))
        .filter(|cost| *cost >= from && *cost <= to)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_few() {
        assert_eq!(steps(0.31, 0.92), [0.4, 0.6000000000000001, 0.8]);
        assert_eq!(doublings(3e6, 2.5e8), [5e6, 1e7, 2e7, 5e7, 1e8, 2e8]);
        assert_eq!(doublings(3.0, 2.5e8).len(), 8);
    }

    /// Where costs of nothing and of all else lie.
    #[test]
    fn a_cost_of_nothing_has_its_place_at_the_left_edge() {
        let even = |to: f64| Plot {
            scale: Scale::Even,
            from: 0.0,
            to,
            low: 0.0,
            high: 1.0,
        };
        let plot = even(2e9);
        assert!((plot.x(0.0) - LEFT).abs() < 1e-9);
        assert!((plot.x(1e9) - f64::midpoint(LEFT, WIDTH - RIGHT)).abs() < 1e-9);
        let point = |cost, quality| Point { cost, quality };
        let mut drawn = String::new();
        let hull = Hull::of([point(0.0, 0.5), point(2e9, 1.0)]);
        plot.curve("zero", &hull, &mut drawn).unwrap();
        assert!(
            drawn.contains("points=\"70.0,240.0 970.0,20.0 970.0,20.0 \""),
            "{drawn}"
        );
        let mut drawn = String::new();
        plot.grid(&mut drawn).unwrap();
        assert!(drawn.contains(">$0<") && drawn.contains(">$0.001<"), "{drawn}");
        // All are free: one place, and no division by it.
        let plot = even(f64::MIN_POSITIVE);
        let mut drawn = String::new();
        plot.grid(&mut drawn).unwrap();
        plot.curve("zero", &Hull::of([point(0.0, 0.5)]), &mut drawn)
            .unwrap();
        assert!(drawn.contains(">$0<") && !drawn.contains("NaN"), "{drawn}");
        assert!((plot.x(0.0) - LEFT).abs() < 1e-9);
    }

    #[test]
    fn long_names_are_cut_at_characters() {
        assert_eq!(shortened(&"ä".repeat(40)).chars().count(), LONGEST_LABEL);
    }
}
