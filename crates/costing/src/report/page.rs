//! Several reports of one period on one page: the first page of a dashboard.

use std::fmt::{self, Write};

use integration_core::Html;

use super::amount::count;
use super::{Report, Section, html, insights, view};
use crate::charge::CostStatus;

/// Several reports of the same calls on one page, one section of them for real calls and one for simulated ones. It is made like
/// the page of a single report and may be served under the same policy
/// ([`ReportFormat::content_security_policy`](super::ReportFormat::content_security_policy)).
#[derive(Debug)]
pub struct CostPage<'a> {
    title: &'a str,
    notices: Vec<String>,
    links: Vec<(String, String)>,
    reports: &'a [Report],
}

impl<'a> CostPage<'a> {
    /// A page of these reports, in this order. The first one gives the totals, what is said of the making, and what could have
    /// been spent instead. All of them are to be of the same period and made with the same filters.
    pub fn new(title: &'a str, reports: &'a [Report]) -> Self {
        Self {
            title,
            notices: Vec::new(),
            links: Vec::new(),
            reports,
        }
    }

    /// With a sentence at the top that nobody is to miss.
    #[must_use]
    pub fn with_notice(mut self, notice: impl Into<String>) -> Self {
        self.notices.push(notice.into());
        self
    }

    /// With a link: its text, and an address on the same server.
    #[must_use]
    pub fn with_link(mut self, text: impl Into<String>, address: impl Into<String>) -> Self {
        self.links.push((text.into(), address.into()));
        self
    }

    /// It as one text.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        // A `String` takes everything.
        let _ = self.write(&mut text);
        text
    }

    /// Writes it.
    ///
    /// # Errors
    /// Whatever `out` says; nothing else can go wrong.
    pub fn write(&self, out: &mut dyn Write) -> fmt::Result {
        html::begin(self.title, out)?;
        for notice in &self.notices {
            writeln!(out, "<p class=\"warn\">{}</p>", Html(notice))?;
        }
        let Some(first) = self.reports.first() else {
            return html::end(out);
        };
        writeln!(
            out,
            "<p class=\"soft\">{}</p>",
            Html(&first.query.period.to_string())
        )?;
        if !self.links.is_empty() {
            out.write_str("<nav aria-label=\"Reports\">")?;
            for (text, address) in &self.links {
                write!(out, "<a href=\"{}\">{}</a>", Html(address), Html(text))?;
            }
            out.write_str("</nav>\n")?;
        }
        // Where everything is simulated, an empty section of real calls would only hide it.
        if first.real.total.attempts > 0 || first.simulated.is_none() {
            self.section(|report| Some(&report.real), out)?;
        }
        self.section(|report| report.simulated.as_ref(), out)?;
        let optimisation = first.optimisation.as_ref();
        for insights in optimisation
            .into_iter()
            .flat_map(|found| insights::shown(found, &first.context))
        {
            html::write_insights(&insights, out)?;
        }
        html::about(first, out)?;
        html::end(out)
    }

    fn section(&self, of: impl Fn(&Report) -> Option<&Section>, out: &mut dyn Write) -> fmt::Result {
        let mut sections = self
            .reports
            .iter()
            .filter_map(|report| Some((report, of(report)?)))
            .peekable();
        let Some((report, section)) = sections.peek() else {
            return Ok(());
        };
        let shown = view::section(report, section);
        html::section_title(section, out)?;
        let more = [CostStatus::Pending, CostStatus::Unpriced].map(|status| {
            let name = match status {
                CostStatus::Pending => "Attempts pending",
                _ => "Attempts unpriced",
            };
            (name, count(section.total.status(status).attempts))
        });
        html::cards(&shown, &more, out)?;
        html::statuses(&shown, out)?;
        html::notes(&shown.notes, out)?;
        for (report, section) in sections {
            writeln!(out, "<h3>By {}</h3>", report.query.grouping)?;
            html::lines(report, section, &view::section(report, section), out)?;
        }
        out.write_str("</section>\n")
    }
}
