//! What people are shown, as texts: the same for a terminal, for Markdown and for the page.

use super::amount::{PLACES, basis_points, count, fixed, percent, rounded};
use super::calendar::rfc3339;
use super::{Difference, Figures, Group, Report, Section};
use crate::charge::CostStatus;
use crate::rollup::PicoSum;
use crate::rounding::Rounding;

/// Why the lines of a report by tag do not add up to its total.
pub(crate) const DIFFERENCE: &str = "without a tag, less what several tags share";

pub(crate) const COLUMNS: [&str; 8] = [
    "",
    "Requests",
    "Attempts",
    "Tokens in",
    "Tokens out",
    "Cost $",
    "Markup $",
    "Charge $",
];

/// The column of shares, which stands after the others.
pub(crate) const SHARE: &str = "Share %";

/// One line as it is shown.
pub(crate) struct Shown {
    /// From outside, to be escaped, where it is a name.
    pub(crate) name: Name,
    /// A cell for each column but the first, share included.
    pub(crate) cells: [String; COLUMNS.len()],
    /// The line's charge, for charts.
    pub(crate) charge: PicoSum,
}

pub(crate) enum Name {
    /// A name from outside.
    Outside(String),
    /// Our own words.
    Ours(String),
}

impl Name {
    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Outside(text) | Self::Ours(text) => text,
        }
    }
}

/// The lines of a section and what follows them.
pub(crate) struct ShownSection {
    pub(crate) lines: Vec<Shown>,
    /// Difference, rounding and total, as far as there are any.
    pub(crate) sums: Vec<Shown>,
    /// Status, attempts, their share, charge.
    pub(crate) statuses: Vec<[String; 4]>,
    pub(crate) notes: Vec<String>,
}

/// Whether attempts of a status have a known cost.
pub(crate) const fn has_amount(status: CostStatus) -> bool {
    !matches!(status, CostStatus::Pending | CostStatus::Unpriced)
}

pub(crate) const fn rounding_word(rounding: Rounding) -> &'static str {
    match rounding {
        Rounding::HalfEven => "half to even",
        Rounding::HalfAwayFromZero => "half away from zero",
    }
}

pub(crate) fn title(report: &Report) -> String {
    format!("Cost by {}", report.query.grouping)
}

pub(crate) const fn section_title(section: &Section) -> &'static str {
    if section.simulated {
        "Simulated calls: nothing was paid"
    } else {
        "Real calls"
    }
}

/// What a report says of itself.
pub(crate) fn facts(report: &Report) -> Vec<(String, String)> {
    let (query, context) = (&report.query, &report.context);
    let mut facts = Vec::new();
    let mut fact = |name: &str, value: String| facts.push((name.to_owned(), value));
    fact("Period", format!("{} (UTC, the end not included)", query.period));
    let filters: Vec<String> = query
        .filters
        .iter()
        .map(|(grouping, value)| {
            value.map_or_else(
                || format!("no {grouping}"),
                |value| format!("{grouping} = {value}"),
            )
        })
        .collect();
    fact(
        "Filters",
        if filters.is_empty() {
            "none".to_owned()
        } else {
            filters.join("; ")
        },
    );
    fact(
        "Generated",
        format!("{} by {}", rfc3339(context.generated), context.app),
    );
    let snapshots: Vec<String> = context
        .snapshots
        .iter()
        .map(|snapshot| {
            let age = snapshot.fetched.map_or_else(
                || "age not known".to_owned(),
                |at| format!("{} old", age(context.generated.unix().saturating_sub(at.unix()))),
            );
            format!("{} ({age})", snapshot.id)
        })
        .collect();
    fact(
        "Price snapshots",
        if snapshots.is_empty() {
            "not stated".to_owned()
        } else {
            snapshots.join(", ")
        },
    );
    fact(
        "Made from",
        format!(
            "{} hourly sums of {} attempts",
            count(report.rows),
            attempts(report)
        ),
    );
    let reconciled = context.reconciliation.map_or_else(
        || "not measured".to_owned(),
        |found| {
            format!(
                "provider less ledger {} US dollars over {} attempts; {} not compared",
                found.delta,
                count(found.compared),
                count(found.unresolved)
            )
        },
    );
    fact("Reconciliation", reconciled);
    // The rule is on every line of the ledger; over many of them only the outcome can be said. Where nothing was real, it is that of
    // the simulated calls.
    let (total, of) = match &report.simulated {
        Some(simulated) if report.real.total.attempts == 0 => (&simulated.total, ", simulated"),
        _ => (&report.real.total, ""),
    };
    let markup = basis_points(total.markup, total.cost).map_or_else(
        || "none to speak of".to_owned(),
        |points| format!("{} % of cost on the whole{of}", percent(points)),
    );
    fact("Markup", markup);
    fact(
        "Rounding",
        format!(
            "{}, of sums only, never of prices",
            rounding_word(context.rounding)
        ),
    );
    for section in report.sections() {
        let kind = if section.simulated {
            "Exact total, simulated"
        } else {
            "Exact total"
        };
        let Figures {
            cost, markup, charge, ..
        } = section.total;
        let text = if section.total.is_unknown() {
            format!("not known ({} attempts)", count(section.total.unknown))
        } else {
            let least = if section.total.unknown > 0 {
                "at least "
            } else {
                ""
            };
            format!("{least}{cost} cost + {markup} markup = {charge} charge, US dollars")
        };
        fact(kind, text);
    }
    facts
}

fn attempts(report: &Report) -> String {
    count(
        report
            .sections()
            .fold(0, |sum, section| sum.saturating_add(section.total.attempts)),
    )
}

fn age(seconds: i64) -> String {
    match seconds.max(0) {
        s if s < 7_200 => format!("{} minutes", s / 60),
        s if s < 172_800 => format!("{} hours", s / 3_600),
        s => format!("{} days", s / 86_400),
    }
}

pub(crate) fn section(report: &Report, section: &Section) -> ShownSection {
    let context = &report.context;
    let amounts = section
        .lines
        .iter()
        .map(|line| &line.figures)
        .chain([&section.total])
        .flat_map(|figures| [figures.cost, figures.markup, figures.charge]);
    let places = context.precision.places(amounts);
    let round = |sum: PicoSum| rounded(sum, places, context.rounding);
    let parts = |figures: &Figures| [figures.cost, figures.markup, figures.charge].map(round);
    // What the rounding line has to make up for: the rounded total less everything that is shown above it.
    let mut rest = parts(&section.total);
    let mut take = |shown: [PicoSum; 3]| {
        rest.iter_mut()
            .zip(shown)
            .for_each(|(rest, shown)| *rest -= shown)
    };
    let lines = section
        .lines
        .iter()
        .map(|line| {
            take(parts(&line.figures));
            let name = match &line.group {
                Group::Named(name) => Name::Outside(name.clone()),
                Group::None => Name::Ours(format!("(no {})", report.query.grouping)),
                Group::Others(others) => Name::Ours(format!("({others} others)")),
            };
            shown(name, &line.figures, section, parts(&line.figures), places)
        })
        .collect();
    let mut sums = Vec::new();
    if let Some(Difference { cost, markup, charge }) = section.difference {
        let parts = [cost, markup, charge].map(round);
        take(parts);
        sums.push(amounts_only(&format!("({DIFFERENCE})"), parts, places));
    }
    if rest.iter().any(|rest| *rest != PicoSum::ZERO) {
        sums.push(amounts_only("(rounding)", rest, places));
    }
    let total = Name::Ours("Total".to_owned());
    sums.push(shown(
        total,
        &section.total,
        section,
        parts(&section.total),
        places,
    ));
    let statuses = CostStatus::ALL
        .into_iter()
        .map(|status| (status, section.total.status(status)))
        .filter(|(_, sum)| sum.attempts > 0 || sum.charge != PicoSum::ZERO)
        .map(|(status, sum)| {
            let share = percent_of(sum.attempts, section.total.attempts);
            let known = has_amount(status) || sum.charge != PicoSum::ZERO;
            let charge = if known {
                fixed(round(sum.charge), places)
            } else {
                "not known".to_owned()
            };
            [status.to_string(), count(sum.attempts), share, charge]
        })
        .collect();
    ShownSection {
        lines,
        sums,
        statuses,
        notes: notes(section, places, report),
    }
}

fn notes(section: &Section, places: u32, report: &Report) -> Vec<String> {
    let mut notes = Vec::new();
    if section.lines.is_empty() {
        notes.push("No attempts in this period.".to_owned());
    }
    if section.total.unknown > 0 {
        notes.push(format!(
            "The cost of {} of {} attempts is not known and is in no amount: a sum that lacks some is at least so much.",
            count(section.total.unknown),
            count(section.total.attempts)
        ));
    }
    if section.difference.is_some() {
        notes.push("An attempt with several tags is on several lines, one without a tag on none.".to_owned());
    }
    if places < PLACES {
        let rounding = rounding_word(report.context.rounding);
        notes.push(format!(
            "Amounts are rounded to {places} decimal places, {rounding}; CSV and JSON have every digit."
        ));
    }
    notes
}

fn percent_of(part: u64, whole: u64) -> String {
    basis_points(PicoSum::new(part.into()), PicoSum::new(whole.into()))
        .map(percent)
        .unwrap_or_default()
}

fn shown(name: Name, figures: &Figures, section: &Section, parts: [PicoSum; 3], places: u32) -> Shown {
    let amount = |sum: PicoSum| {
        if figures.is_unknown() {
            format!("not known ({})", count(figures.unknown))
        } else if figures.unknown > 0 {
            format!(
                "at least {} ({} unknown)",
                fixed(sum, places),
                count(figures.unknown)
            )
        } else {
            fixed(sum, places)
        }
    };
    let share = if figures.is_unknown() {
        None
    } else {
        basis_points(figures.charge, section.total.charge)
    };
    let [cost, markup, charge] = parts;
    Shown {
        name,
        cells: [
            count(figures.requests),
            count(figures.attempts),
            count(figures.prompt_tokens),
            count(figures.completion_tokens),
            amount(cost),
            amount(markup),
            amount(charge),
            share.map(percent).unwrap_or_default(),
        ],
        charge: figures.charge,
    }
}

fn amounts_only(name: &str, parts: [PicoSum; 3], places: u32) -> Shown {
    let [cost, markup, charge] = parts.map(|sum| fixed(sum, places));
    let none = String::new;
    Shown {
        name: Name::Ours(name.to_owned()),
        cells: [none(), none(), none(), none(), cost, markup, charge, none()],
        charge: PicoSum::ZERO,
    }
}
