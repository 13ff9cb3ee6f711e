//! What a cost report is asked for in: the same words on the command line and in a URL.

use costing::UtcTime;
use costing::report::{FilterError, Filters, FocusVersion, Grouping, Period, PeriodError, ReportFormat};
use integration_core::ModelId;
use model_catalogue::Catalogue;

use crate::call::Refused;

/// The words there are, for messages.
const WORDS: &str = "by, from, to, format, focus, top, baseline, model, provider, upstream, key, team, project, task, tag and \
                     experiment";

/// How a cost report is written. Exhaustive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CostFormat {
    /// A report.
    Report(ReportFormat),
    /// A file of the FinOps Open Cost and Usage Specification.
    Focus(FocusVersion),
}

impl CostFormat {
    /// What it is called in the header of an HTTP answer.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Report(format) => format.media_type(),
            Self::Focus(_) => ReportFormat::Csv.media_type(),
        }
    }

    /// Whether the second part of a report, what could have been spent instead, is in it.
    pub const fn has_optimisation(self) -> bool {
        !matches!(self, Self::Report(ReportFormat::Csv) | Self::Focus(_))
    }

    /// The name of a file to save it in; `None` for what is to be looked at.
    pub(crate) fn file_name(self, query: &CostQuery) -> Option<String> {
        let kind = match self {
            Self::Report(ReportFormat::Csv) => query.grouping.as_str(),
            Self::Focus(_) => "focus",
            Self::Report(_) => return None,
        };
        // Both bounds by their days: `2026-11-01T00:00:00Z to 2026-12-01T00:00:00Z`.
        let period = query.period.to_string();
        let days: Vec<&str> = period
            .split(" to ")
            .filter_map(|bound| bound.split('T').next())
            .collect();
        Some(format!("waypost-costs-{kind}-{}.csv", days.join("-")))
    }
}

/// The model that all traffic is supposed to have gone to. Exhaustive.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Baseline {
    /// The one of the highest quality for the gateway's task, as if nothing were routed.
    #[default]
    Best,
    /// None.
    None,
    /// This one.
    Model(ModelId),
}

/// A cost report that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CostQuery {
    /// The time.
    pub period: Period,
    /// What it has a line for each of.
    pub grouping: Grouping,
    /// What it is restricted to, by the caller's own wish.
    pub filters: Filters,
    /// The only key whose calls may be seen, whatever the filters say; `None` for every key. Rows of other keys are not even read.
    pub only_key: Option<String>,
    /// At most so many lines, and one for the rest.
    pub top: Option<usize>,
    /// How it is written.
    pub format: CostFormat,
    /// What savings are held against.
    pub baseline: Baseline,
}

impl CostQuery {
    /// Everything of a period by model.
    pub fn new(period: Period, format: CostFormat) -> Self {
        Self {
            period,
            grouping: Grouping::Model,
            filters: Filters::none(),
            only_key: None,
            top: None,
            format,
            baseline: Baseline::default(),
        }
    }

    /// Reads names and values such as `by` and `model`. Without `from` and `to` it is the month of `now`; with one of them, the
    /// other is the edge of a month. `format` is what it is written in if nothing is said.
    ///
    /// # Errors
    /// [`Refused`], one sentence that names what is wrong: a word nobody knows, one that is there twice, a value that is none.
    pub fn read<'a>(
        words: impl IntoIterator<Item = (&'a str, &'a str)>,
        now: UtcTime,
        format: CostFormat,
        catalogue: &Catalogue,
    ) -> Result<Self, Refused> {
        let mut once = Once::default();
        let mut filters = Filters::none();
        for (name, value) in words {
            let single = match name {
                "by" => &mut once.by,
                "from" => &mut once.from,
                "to" => &mut once.to,
                "format" => &mut once.format,
                "focus" => &mut once.focus,
                "top" => &mut once.top,
                "baseline" => &mut once.baseline,
                _ => {
                    filters = filter(filters, name, value)?;
                    continue;
                }
            };
            if single.replace(value).is_some() {
                return Err(Refused::invalid(name, format!("`{name}` is there twice")));
            }
        }
        let mut query = Self::new(period(once.from, once.to, now)?, format);
        query.filters = filters;
        if let Some(word) = once.by {
            query.grouping = word
                .parse()
                .map_err(|e: costing::report::UnknownGrouping| Refused::invalid("by", e.to_string()))?;
        }
        query.format = self::format(once.format, once.focus, format)?;
        if let Some(word) = once.top {
            let lines = word.parse().ok().filter(|lines: &usize| *lines > 0);
            let refused = || Refused::invalid("top", "`top` must be a number of lines, 1 or more");
            query.top = Some(lines.ok_or_else(refused)?);
        }
        if let Some(name) = once.baseline {
            query.baseline = baseline(name, catalogue)?;
        }
        Ok(query)
    }

    /// The same for one caller alone: nothing of other keys is in it, whatever it asks for.
    #[must_use]
    pub fn for_key(mut self, key: impl Into<String>) -> Self {
        let key = key.into();
        // Said among the filters, unless it asks for a key itself: then it is that one, or nothing.
        if !self.filters.iter().any(|(grouping, _)| grouping == Grouping::Key)
            && let Ok(filters) = self.filters.clone().with(Grouping::Key, key.as_str())
        {
            self.filters = filters;
        }
        self.only_key = Some(key);
        self
    }
}

/// The words that may be there once.
#[derive(Default)]
struct Once<'a> {
    by: Option<&'a str>,
    from: Option<&'a str>,
    to: Option<&'a str>,
    format: Option<&'a str>,
    focus: Option<&'a str>,
    top: Option<&'a str>,
    baseline: Option<&'a str>,
}

/// A word from outside as it may stand in a message.
fn quoted(word: &str) -> String {
    word.chars().take(40).flat_map(char::escape_debug).collect()
}

fn filter(filters: Filters, name: &str, value: &str) -> Result<Filters, Refused> {
    let grouping: Option<Grouping> = name.parse().ok();
    let Some(grouping) = grouping.filter(|grouping| !grouping.is_time()) else {
        let message = format!("`{}` is not a parameter; there are {WORDS}", quoted(name));
        return Err(Refused::invalid(quoted(name), message));
    };
    filters
        .with(grouping, value)
        .map_err(|e: FilterError| Refused::invalid(name, e.to_string()))
}

fn period(from: Option<&str>, to: Option<&str>, now: UtcTime) -> Result<Period, Refused> {
    let time = |name: &str, word: &str| {
        Period::time(word).map_err(|error| Refused::invalid(name, error.to_string()))
    };
    let refused = |error: PeriodError| Refused::invalid("from", error.to_string());
    let from = from.map(|word| time("from", word)).transpose()?;
    let to = to.map(|word| time("to", word)).transpose()?;
    let from = match (from, to) {
        (Some(from), _) => from,
        // The end is not in the period: up to the first of a month is all of the one before.
        (None, Some(to)) => {
            let last = UtcTime::from_unix(to.unix().saturating_sub(1));
            Period::month_of(last).map_err(refused)?.from()
        }
        (None, None) => Period::month_of(now).map_err(refused)?.from(),
    };
    let to = match to {
        Some(to) => to,
        None => Period::month_of(now).map_err(refused)?.to(),
    };
    Period::new(from, to).map_err(refused)
}

fn format(word: Option<&str>, focus: Option<&str>, default: CostFormat) -> Result<CostFormat, Refused> {
    let version = match focus {
        None => FocusVersion::default(),
        Some("1.2") => FocusVersion::V1_2,
        Some("1.3") => FocusVersion::V1_3,
        Some(other) => {
            let message = format!(
                "`{}` is no version of FOCUS here; it is 1.2 or 1.3",
                quoted(other)
            );
            return Err(Refused::invalid("focus", message));
        }
    };
    match (word, focus) {
        (Some("focus"), _) | (None, Some(_)) => Ok(CostFormat::Focus(version)),
        (Some(_), Some(_)) => Err(Refused::invalid(
            "focus",
            "`focus` chooses the version of the format focus; leave it out with any other format",
        )),
        (None, None) => Ok(default),
        (Some(word), None) => word.parse().map(CostFormat::Report).map_err(|_| {
            let message = format!(
                "`{}` is no format; it is one of table, markdown, csv, json, html, focus",
                quoted(word)
            );
            Refused::invalid("format", message)
        }),
    }
}

fn baseline(name: &str, catalogue: &Catalogue) -> Result<Baseline, Refused> {
    if name == "none" {
        return Ok(Baseline::None);
    }
    let record = catalogue.resolve(name).ok_or_else(|| {
        let message = format!(
            "there is no model '{}' in the catalogue to compare with; `none` compares with none",
            quoted(name)
        );
        Refused::invalid("baseline", message)
    })?;
    Ok(Baseline::Model(record.id.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-23T10:20:30Z.
    const NOW: i64 = 1_795_429_230;

    fn read(words: &[(&str, &str)]) -> Result<CostQuery, Refused> {
        let catalogue = Catalogue::bundled().unwrap();
        let table = CostFormat::Report(ReportFormat::Table);
        CostQuery::read(words.iter().copied(), UtcTime::from_unix(NOW), table, &catalogue)
    }

    #[test]
    fn a_period_that_is_half_said_ends_at_the_edge_of_a_month() {
        for (words, period) in [
            (&[][..], "2026-11-01T00:00:00Z to 2026-12-01T00:00:00Z"),
            (
                &[("from", "2026-10-05")],
                "2026-10-05T00:00:00Z to 2026-12-01T00:00:00Z",
            ),
            (
                &[("to", "2026-10-05")],
                "2026-10-01T00:00:00Z to 2026-10-05T00:00:00Z",
            ),
            (
                &[("to", "2026-11-01")],
                "2026-10-01T00:00:00Z to 2026-11-01T00:00:00Z",
            ),
            (
                &[("from", "2026-11-23T05:00:00+01:00"), ("to", "2026-11-24")],
                "2026-11-23T04:00:00Z to 2026-11-24T00:00:00Z",
            ),
        ] {
            assert_eq!(read(words).unwrap().period.to_string(), period);
        }
    }

    #[test]
    fn formats_and_baselines() {
        use CostFormat::{Focus, Report};
        let format = |words: &[(&str, &str)]| read(words).unwrap().format;
        assert_eq!(format(&[]), Report(ReportFormat::Table));
        assert_eq!(format(&[("format", "focus")]), Focus(FocusVersion::V1_2));
        assert_eq!(format(&[("focus", "1.3")]), Focus(FocusVersion::V1_3));
        let csv = read(&[("format", "csv"), ("by", "day")]).unwrap();
        let name = csv.format.file_name(&csv);
        assert_eq!(
            name.as_deref(),
            Some("waypost-costs-day-2026-11-01-2026-12-01.csv")
        );
        let baseline = |name| read(&[("baseline", name)]).unwrap().baseline;
        assert_eq!(baseline("none"), Baseline::None);
        let model = ModelId::new("openai/gpt-4o").unwrap();
        assert_eq!(baseline("openai/gpt-4o"), Baseline::Model(model));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (words, param, says) in [
            (&[("colour", "red")][..], "colour", "is not a parameter"),
            (&[("day", "2026-11-01")], "day", "is not a parameter"),
            (&[("by", "day"), ("by", "key")], "by", "twice"),
            (&[("by", "moon")], "by", "moon"),
            (&[("format", "pdf")], "format", "focus"),
            (&[("focus", "9")], "focus", "1.3"),
            (&[("format", "csv"), ("focus", "1.2")], "focus", "leave it out"),
            (&[("top", "0")], "top", "1 or more"),
            (&[("tag", "a"), ("tag", "b")], "tag", "one tag"),
            (&[("baseline", "no/such")], "baseline", "no/such"),
            (&[("to", "1969-12-31")], "from", "1970"),
        ] {
            let refused = read(words).unwrap_err();
            assert_eq!(
                (refused.status, refused.param.as_deref()),
                (400, Some(param)),
                "{words:?}"
            );
            assert!(refused.message.contains(says), "{}", refused.message);
        }
    }
}
