//! The second part of a report, what could have been spent instead, and the page of several reports.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use costing::optimise::{Optimisation, OptimisationQuery, SAVINGS_ASSUMPTIONS, TaskNeed};
use costing::report::{CostPage, Filters, Grouping, Period, Report, ReportFormat, ReportQuery};
use costing::{CostStatus, Outcome, PicoSum, PriceBook, PriceSheet, RollupRow, UtcTime};
use integration_core::ModelId;
use serde_json::Value;

#[path = "common/rollups.rs"]
mod rollups;

use rollups::{DAY, HOUR, START, context, period, query, row, unknown, with};

const DOLLAR: i128 = 1_000_000_000_000;

fn model(name: &str) -> ModelId {
    ModelId::new(name).unwrap()
}

fn book() -> PriceBook {
    let sheet = |json: &str| PriceSheet::from_pricing_json(json).unwrap();
    PriceBook::new(
        "test",
        [
            (
                model("big/one"),
                sheet(r#"{"prompt":"0.00001","completion":"0.00004"}"#),
            ),
            (
                model("small/one"),
                sheet(r#"{"prompt":"0.000001","completion":"0.000004"}"#),
            ),
            (
                model("tiny/one"),
                sheet(r#"{"prompt":"0.0000001","completion":"0.0000004"}"#),
            ),
        ],
    )
}

fn asked(now: i64) -> OptimisationQuery {
    OptimisationQuery::new(UtcTime::from_unix(now), book())
        .with_baseline(Some(model("big/one")))
        .with_needs([TaskNeed::new(
            "<t>",
            50.0,
            [
                (model("small/one"), 55.0),
                (model("tiny/one"), 50.0),
                (model("big/one"), 70.0),
            ],
        )])
}

/// Two answers of 1,000 and 100 tokens for a task, one attempt that failed, one that was cut off at an unknown cost, and the same
/// answers once more from the simulator, with a cache.
fn traffic() -> Vec<RollupRow> {
    let task = |row| with(row, |row: &mut RollupRow| row.key.task = Some("<t>".to_owned()));
    vec![
        task(row(0, "small/one", 2, DOLLAR / 100)),
        task(with(row(1, "small/one", 1, DOLLAR / 1_000), |row| {
            row.key.outcome = Some(Outcome::Failed);
        })),
        task(with(
            unknown(row(1, "small/one", 1, 0), CostStatus::Pending),
            |row| row.key.outcome = Some(Outcome::Cancelled),
        )),
        with(row(0, "small/one", 2, DOLLAR / 100), |row| {
            row.key.simulated = true;
            row.sums.uncached_cost += PicoSum::new(DOLLAR);
        }),
        with(row(0, "small/one", 1, DOLLAR / 200), |row| {
            row.key.tag = Some("x".to_owned())
        }),
    ]
}

fn report(rows: &[RollupRow], query: ReportQuery, now: i64) -> Report {
    let optimisation = Optimisation::new(rows, &query, &asked(now));
    Report::new(rows, query, context()).with_optimisation(optimisation)
}

fn json(report: &Report) -> Value {
    serde_json::from_str(&report.to_text(ReportFormat::Json)).unwrap()
}

const NOW: i64 = START + 2 * DAY + HOUR;

#[test]
fn the_figures_are_those_of_the_module() {
    let found = json(&report(&traffic(), query(Grouping::Model), NOW));
    let found = &found["optimisation"];
    assert_eq!(
        found["assumptions"].as_array().unwrap().len(),
        SAVINGS_ASSUMPTIONS.len()
    );
    let real = &found["real"];
    // 2,000 × 0.00001 + 200 × 0.00004 = 0.028 beside 0.01 and the failed 0.001.
    let savings = &real["savings"];
    assert_eq!(savings["baseline"], "big/one");
    assert_eq!(savings["instead_usd"], "0.028");
    assert_eq!(savings["actual_usd"], "0.011");
    assert_eq!(savings["saved_usd"], "0.017");
    assert_eq!(
        (&savings["compared_attempts"], &savings["unknown_attempts"]),
        (&2.into(), &1.into())
    );
    assert_eq!(real["cache_savings_usd"], "0");
    assert_eq!(real["waste"]["wasted_usd"], "0.001");
    assert_eq!(real["waste"]["failed_first"]["cost_usd"], "0.001");
    let cancelled = &real["waste"]["cancelled_first"];
    assert!(
        cancelled["cost_usd"].is_null(),
        "what is not known is not zero: {cancelled}"
    );
    assert_eq!(cancelled["unknown_attempts"], 1);
    // 2,000 × 0.0000001 + 200 × 0.0000004 = 0.00028.
    let suggestion = &real["suggestions"][0];
    assert_eq!(
        (suggestion["task"].as_str(), suggestion["instead"].as_str()),
        (Some("<t>"), Some("tiny/one"))
    );
    assert_eq!(
        (
            suggestion["instead_usd"].as_str(),
            suggestion["saving_usd"].as_str()
        ),
        (Some("0.00028"), Some("0.01072"))
    );
    // 0.0121 by the end of the second day: 30 such days are 15 times that.
    let forecast = &real["forecast"];
    assert_eq!(forecast["charged_usd"], "0.0121");
    assert_eq!(forecast["whole_days"], 2);
    assert_eq!(forecast["expected_usd_estimate"], "0.181500");
    // The simulated calls are by themselves.
    let simulated = &found["simulated"];
    assert_eq!(simulated["cache_savings_usd"], "1");
    assert_eq!(simulated["savings"]["actual_usd"], "0.01");
    assert_eq!(simulated["suggestions"].as_array().unwrap().len(), 0);
}

#[test]
fn people_are_shown_the_same_with_what_is_assumed() {
    let report = report(&traffic(), query(Grouping::Task), NOW);
    for (format, says) in [
        (ReportFormat::Table, "Saved against big/one for everything"),
        (ReportFormat::Markdown, "### Saved against big/one for everything"),
        (
            ReportFormat::Html,
            "<h3>Saved against big/one for everything</h3>",
        ),
    ] {
        let text = report.to_text(format);
        assert!(text.contains(says), "{format}: {text}");
        for says in [
            "0.017000",
            "60.71 % of what big/one would have cost",
            "not known",
            "tiny/one",
            "0.010720",
            "about 0.181500",
            SAVINGS_ASSUMPTIONS[0],
            "had the simulated calls been paid for",
            "1.000000",
        ] {
            assert!(text.contains(says), "{format} lacks {says}: {text}");
        }
    }
    let page = report.to_text(ReportFormat::Html);
    assert!(page.contains("<td>&lt;t&gt;</td>") && !page.contains("<t>"));
    let markdown = report.to_text(ReportFormat::Markdown);
    assert!(!markdown.contains("<t>"));
    // The tables of machines have nothing of it.
    let plain = Report::new(&traffic(), query(Grouping::Task), context());
    assert_eq!(
        report.to_text(ReportFormat::Csv),
        plain.to_text(ReportFormat::Csv)
    );
    assert!(!plain.to_text(ReportFormat::Json).contains("optimisation"));
}

#[test]
fn what_has_nothing_to_say_is_left_out() {
    let one = [row(0, "small/one", 2, DOLLAR / 100)];
    let empty = OptimisationQuery::new(UtcTime::from_unix(NOW + 90 * DAY), book());
    let of = |rows: &[RollupRow]| {
        let found = Optimisation::new(rows, &query(Grouping::Model), &empty);
        Report::new(rows, query(Grouping::Model), context()).with_optimisation(found)
    };
    let without = of(&one);
    for format in [ReportFormat::Table, ReportFormat::Markdown, ReportFormat::Html] {
        let text = without.to_text(format);
        assert!(!text.contains("instead") && !text.contains("assumed"), "{text}");
    }
    let found = json(&without);
    let real = &found["optimisation"]["real"];
    assert!(real["savings"].is_null() && real["forecast"].is_null(), "{real}");
    assert!(found["optimisation"]["simulated"].is_null());
    assert!(json(&of(&[]))["optimisation"]["real"].is_null());
}

#[test]
fn filters_hold_for_the_second_part_too() {
    let rows = traffic();
    let asked = |filters: Filters| json(&report(&rows, query(Grouping::Model).with_filters(filters), NOW));
    let none = asked(Filters::none().with(Grouping::Model, "big/%").unwrap());
    assert!(none["optimisation"]["real"].is_null(), "{none}");
    let tag = asked(Filters::none().with(Grouping::Tag, "x").unwrap());
    let real = &tag["optimisation"]["real"];
    assert_eq!(real["savings"]["actual_usd"], "0.005", "{real}");
}

#[test]
fn an_hour_that_stands_out_is_held_against_those_before_the_period() {
    let mut rows: Vec<RollupRow> = (-40..0)
        .map(|hour| row(hour, "small/one", 1, DOLLAR / 10))
        .collect();
    rows.push(row(5, "small/one", 1, 50 * DOLLAR));
    let by = asked(NOW);
    assert!(by.reads_from(&period(24)).unix() <= START - 28 * DAY);
    let found = json(&report(&rows, query(Grouping::Model), NOW));
    let spikes = found["optimisation"]["real"]["spikes"].as_array().unwrap();
    assert_eq!(spikes.len(), 1);
    assert_eq!(spikes[0]["hour"], "2026-11-01T05:00:00Z");
    assert_eq!(
        (
            spikes[0]["charge_usd"].as_str(),
            spikes[0]["usual_usd_estimate"].as_str()
        ),
        (Some("55"), Some("0.110000"))
    );
    let text = report(&rows, query(Grouping::Model), NOW).to_text(ReportFormat::Table);
    assert!(
        text.contains("Hours that stand out") && text.contains("2026-11-01T05:00:00Z"),
        "{text}"
    );
}

#[test]
fn a_period_is_the_month_it_is_asked_for() {
    let month = |unix| Period::month_of(UtcTime::from_unix(unix)).map(|period| period.to_string());
    assert_eq!(
        month(START).unwrap(),
        "2026-11-01T00:00:00Z to 2026-12-01T00:00:00Z"
    );
    assert_eq!(
        month(START - 1).unwrap(),
        "2026-10-01T00:00:00Z to 2026-11-01T00:00:00Z"
    );
    for far in [-1, i64::MIN, i64::MAX, 253_402_300_800] {
        assert!(month(far).is_err(), "{far}");
    }
    assert!(month(253_402_300_799).is_ok());
}

#[test]
fn several_reports_are_one_page() {
    let rows = traffic();
    let reports = [Grouping::Model, Grouping::Day, Grouping::Key].map(|by| report(&rows, query(by), NOW));
    let page = CostPage::new("Costs <of> all", &reports)
        .with_notice("Nothing & nobody")
        .with_link("by model", "/costs?a=1&b=\"2\"")
        .to_text();
    assert!(page.contains("<h1>Costs &lt;of&gt; all</h1>"), "{page}");
    assert!(page.contains("Nothing &amp; nobody"));
    assert!(page.contains("<a href=\"/costs?a=1&amp;b=&quot;2&quot;\">by model</a>"));
    assert_eq!(page.matches("<h2>Real calls</h2>").count(), 1);
    assert_eq!(page.matches("Simulated calls: nothing was paid").count(), 1);
    for by in ["model", "day", "key"] {
        assert_eq!(page.matches(&format!("<h3>By {by}</h3>")).count(), 2, "{by}");
    }
    assert!(page.contains("<span>Attempts pending</span><b>1</b>"), "{page}");
    assert_eq!(page.matches("What could have been spent instead").count(), 2);
    assert!(!page.contains("<script") && page.contains(&"Content-Security-Policy".to_owned()));
    // Where nothing was real, nothing is said of it.
    let simulated: Vec<RollupRow> = rows.iter().filter(|row| row.key.simulated).cloned().collect();
    let reports = [report(&simulated, query(Grouping::Model), NOW)];
    let page = CostPage::new("Costs", &reports).to_text();
    assert!(
        !page.contains("Real calls") && page.contains("Simulated calls"),
        "{page}"
    );
    assert!(CostPage::new("Costs", &[]).to_text().ends_with("</html>\n"));
}

#[test]
fn a_chart_has_the_whole_of_a_short_period() {
    let rows = [
        row(3 * 24, "small/one", 1, DOLLAR),
        row(3 * 24 + 5, "small/one", 1, DOLLAR),
    ];
    let page = |by| Report::new(&rows, query(by), context()).to_text(ReportFormat::Html);
    let days = page(Grouping::Day);
    // Thirty days, of which the fourth has something.
    assert!(
        days.contains("viewBox=\"0 0 300 1000\"") && days.contains("x=\"31\""),
        "{days}"
    );
    assert!(
        days.contains("<span>2026-11-01</span><span>2026-11-30</span>"),
        "{days}"
    );
    // Of 720 hours, those from the first to the last one that has something.
    let hours = page(Grouping::Hour);
    assert!(
        hours.contains("viewBox=\"0 0 60 1000\"") && hours.contains("x=\"51\""),
        "{hours}"
    );
    assert!(
        hours.contains("<span>2026-11-04T00:00:00Z</span><span>2026-11-04T05:00:00Z</span>"),
        "{hours}"
    );
}
