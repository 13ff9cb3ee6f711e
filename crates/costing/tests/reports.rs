//! Reports: what is added up, what is left out, and that every format says the same.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use std::collections::BTreeMap;

use costing::report::{
    Filters, Focus, FocusAccount, FocusVersion, Group, Grouping, Precision, Reconciliation, Report,
    ReportFormat, SnapshotNote,
};
use costing::{CostStatus, Outcome, PicoSum, RollupRow, Rounding};
use integration_core::UpstreamName;
use proptest::prelude::*;
use serde_json::Value;

#[path = "common/csv.rs"]
mod csv;
#[path = "common/rollups.rs"]
mod rollups;

use csv::Sheet;
use rollups::{DAY, HOUR, START, any_row, context, period, query, row, unknown, with};

const DOLLAR: i128 = 1_000_000_000_000;

fn report(rows: &[RollupRow], grouping: Grouping) -> Report {
    Report::new(rows, query(grouping), context())
}

/// 0.0055649 and its tenth, 1 and its tenth, and two attempts nobody knows the cost of.
fn three() -> Vec<RollupRow> {
    vec![
        row(0, "openai/gpt-4o", 3, 5_564_900_000),
        row(1, "z-ai/glm", 1, DOLLAR),
        unknown(row(1, "a/b", 2, 0), CostStatus::Pending),
    ]
}

fn pico(text: &str) -> i128 {
    let (sign, text) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    assert!(part.len() <= 12 && !whole.is_empty(), "`{text}`");
    sign * (whole.parse::<i128>().unwrap() * DOLLAR + format!("{part:0<12}").parse::<i128>().unwrap())
}

#[test]
fn a_table_for_a_terminal() {
    let text = report(&three(), Grouping::Model).to_text(ReportFormat::Table);
    // Added up by hand: 1 + 0.0055649 = 1.0055649; of 1.10612139 the larger charge is 99.4466 %.
    let expected = "\
Cost by model
Period:                 2026-11-01T00:00:00Z to 2026-12-01T00:00:00Z (UTC, the end not included)
Filters:                none
Generated:              2026-11-03T00:00:00Z by waypost 0.1.0
Price snapshots:        openrouter-0123456789ab (24 hours old)
Made from:              3 hourly sums of 6 attempts
Reconciliation:         not measured
Markup:                 10.00 % of cost on the whole
Rounding:               half to even, of sums only, never of prices
Exact total:            at least 1.0055649 cost + 0.10055649 markup = 1.10612139 charge, US dollars

Real calls
 model          Requests  Attempts  Tokens in  Tokens out                          Cost $                        Markup $                        Charge $  Share %
 z-ai/glm              1         1      1,000         100                    1.000000000                    0.100000000                    1.100000000    99.45  ##########
 openai/gpt-4o         3         3      3,000         300                    0.005564900                    0.000556490                    0.006121390     0.55
 a/b                   2         2      2,000         200                   not known (2)                   not known (2)                   not known (2)
 Total                 6         6      6,000         600  at least 1.005564900 (2 unknown)  at least 0.100556490 (2 unknown)  at least 1.106121390 (2 unknown)   100.00

 how sure  Attempts  Share %      Charge $
 reported         4    66.67  1.106121390
 pending          2    33.33     not known
The cost of 2 of 6 attempts is not known and is in no amount: a sum that lacks some is at least so much.
Amounts are rounded to 9 decimal places, half to even; CSV and JSON have every digit.
";
    // Columns are as wide as their widest cell; only the words are compared.
    let words = |text: &str| {
        text.lines()
            .map(|l| l.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect::<Vec<_>>()
    };
    assert_eq!(words(&text), words(expected));
}

#[test]
fn markdown_for_a_comment() {
    let rows = [
        row(0, "openai/gpt-4o", 3, DOLLAR),
        with(row(0, "a/b", 1, DOLLAR / 2), |row| {
            row.key.task = Some("x|@y".into())
        }),
    ];
    let text = report(&rows, Grouping::Task).to_text(ReportFormat::Markdown);
    let expected = "\
# Cost by task

## Real calls

| task | Requests | Attempts | Tokens in | Tokens out | Cost $ | Markup $ | Charge $ | Share % |
|:---|---:|---:|---:|---:|---:|---:|---:|---:|
| *(no task)* | 3 | 3 | 3,000 | 300 | 1.000000 | 0.100000 | 1.100000 | 66.67 |
| <code>x&#124;&#64;y</code> | 1 | 1 | 1,000 | 100 | 0.500000 | 0.050000 | 0.550000 | 33.33 |
| **Total** | 4 | 4 | 4,000 | 400 | 1.500000 | 0.150000 | 1.650000 | 100.00 |
";
    assert!(text.starts_with(expected), "{text}");
    assert!(
        text.contains("\n- Exact total: 1.5 cost + 0.15 markup = 1.65 charge, US dollars\n"),
        "{text}"
    );
}

#[test]
fn csv_has_numbers_as_numbers() {
    let text = report(&three(), Grouping::Model).to_text(ReportFormat::Csv);
    let expected = "\
row,by,group,simulated,requests,attempts,prompt_tokens,completion_tokens,cached_tokens,cache_write_tokens,reasoning_tokens,cost_usd,markup_usd,charge_usd,unknown_attempts,share_percent,note
line,model,z-ai/glm,false,1,1,1000,100,0,0,0,1,0.1,1.1,0,99.45,
line,model,openai/gpt-4o,false,3,3,3000,300,0,0,0,0.0055649,0.00055649,0.00612139,0,0.55,
line,model,a/b,false,2,2,2000,200,0,0,0,,,,2,,
total,,,false,6,6,6000,600,0,0,0,1.0055649,0.10055649,1.10612139,2,,
status,,exact,false,,0,,,,,,,,0,,0.00,
status,,reported,false,,4,,,,,,,,1.10612139,,100.00,
";
    let expected = expected.replace('\n', "\r\n");
    assert!(text.starts_with(&expected), "{text}");
}

#[test]
fn json_has_a_schema_and_decimal_strings() {
    let text = report(&three(), Grouping::Model).to_text(ReportFormat::Json);
    let value: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["schema"], "waypost.cost-report/1");
    assert_eq!(value["period"]["to"], "2026-12-01T00:00:00Z");
    assert_eq!(value["price_snapshots"][0]["age_seconds"], 86_400);
    let real = &value["real"];
    assert_eq!(real["total"]["charge_usd"], "1.10612139");
    assert_eq!(real["total"]["at_least"], true);
    assert_eq!(real["lines"][1]["cost_usd"], "0.0055649");
    assert_eq!(real["lines"][2]["group"], "a/b");
    assert_eq!(real["lines"][2]["cost_usd"], Value::Null, "unknown is not zero");
    assert_eq!(real["status"]["pending"]["charge_usd"], Value::Null);
    assert_eq!(real["status"]["reported"]["attempts"], 4);
    assert_eq!(value["simulated"], Value::Null);
}

#[test]
fn a_page_needs_nothing_else_and_runs_nothing() {
    let rows = [with(row(0, "a/b", 1, DOLLAR), |row| {
        row.key.task = Some("<script>alert('\"1\"')</script>".into())
    })];
    for grouping in [Grouping::Task, Grouping::Hour] {
        let page = report(&rows, grouping).to_text(ReportFormat::Html);
        for outside in [
            "http://",
            "https://",
            "//",
            "url(",
            "@import",
            "javascript:",
            "<script",
            " style=\"",
            "src=",
        ] {
            assert!(!page.contains(outside), "{outside} in {page}");
        }
        assert!(page.contains("<svg"));
        assert!(page.contains("prefers-color-scheme:dark"));
    }
    let page = report(&rows, Grouping::Task).to_text(ReportFormat::Html);
    assert!(page.contains("&lt;script&gt;alert(&#39;&quot;1&quot;&#39;)&lt;/script&gt;"));
    // The policy the page states of itself is the one for the header, and lets nothing run.
    let policy = ReportFormat::content_security_policy();
    assert!(
        policy.starts_with("default-src 'none'; style-src 'sha256-"),
        "{policy}"
    );
    assert!(page.contains(&policy.replace('\'', "&#39;")));
    assert!(!policy.contains("unsafe"));
}

/// The contrast of the page's colours, calculated as WCAG 2 says.
#[test]
#[allow(clippy::float_arithmetic)]
fn every_text_of_the_page_stands_out() {
    let page = report(&[], Grouping::Model).to_text(ReportFormat::Html);
    let blocks: Vec<&str> = page
        .split(":root{")
        .skip(1)
        .map(|rest| rest.split('}').next().unwrap())
        .collect();
    assert_eq!(blocks.len(), 2, "light and dark");
    for block in blocks {
        let colour = |name: &str| {
            let text = block
                .split(&format!("--{name}:#"))
                .nth(1)
                .unwrap()
                .split(';')
                .next()
                .unwrap();
            let text: String = if text.len() == 3 {
                text.chars().flat_map(|c| [c, c]).collect()
            } else {
                text.into()
            };
            let part = |at: usize| {
                let value = f64::from(u8::from_str_radix(&text[at..at + 2], 16).unwrap()) / 255.0;
                if value <= 0.04045 {
                    value / 12.92
                } else {
                    ((value + 0.055) / 1.055).powf(2.4)
                }
            };
            0.2126 * part(0) + 0.7152 * part(2) + 0.0722 * part(4)
        };
        for text in ["text", "soft", "warn"] {
            for ground in ["page", "card"] {
                let (a, b) = (colour(text), colour(ground));
                let contrast = (a.max(b) + 0.05) / (a.min(b) + 0.05);
                assert!(contrast >= 4.5, "{text} on {ground} of {block}: {contrast}");
            }
        }
        let (bar, track) = (colour("bar"), colour("track"));
        assert!(
            (bar.max(track) + 0.05) / (bar.min(track) + 0.05) >= 3.0,
            "a bar on its track"
        );
    }
}

#[test]
fn simulated_calls_are_never_added_to_real_ones() {
    let rows = [
        row(0, "a/b", 1, DOLLAR),
        with(row(0, "a/b", 5, 7 * DOLLAR), |row| row.key.simulated = true),
    ];
    let report = report(&rows, Grouping::Model);
    assert_eq!(report.real.total.cost, PicoSum::new(DOLLAR));
    let simulated = report.simulated.as_ref().unwrap();
    assert_eq!(
        (simulated.total.cost, simulated.total.attempts),
        (PicoSum::new(7 * DOLLAR), 5)
    );
    for format in ReportFormat::ALL {
        let text = report.to_text(format);
        assert!(text.contains("imulated"), "{text}");
        assert!(
            !text.contains("8.8") && !text.contains("8 cost"),
            "{format}: {text}"
        );
    }
    let mut text = String::new();
    let focus = Focus::new(FocusVersion::V1_2, FocusAccount::new("acme", "Acme"), period(24));
    let totals = focus.write(&rows, &mut text).unwrap();
    assert_eq!((totals.rows, totals.billed), (1, PicoSum::new(DOLLAR)));
}

#[test]
fn a_rounding_line_makes_the_shown_lines_add_up() {
    // Three lines of 0.0045 are 0.01 together, and nothing if each is rounded.
    let rows = ["a/a", "a/b", "a/c"].map(|model| {
        with(row(0, model, 1, 4_500_000_000), |row| {
            row.sums.markup = PicoSum::ZERO;
            row.sums.charge = row.sums.cost;
        })
    });
    let cents = context().with_rounding(Rounding::HalfEven, Precision::Places(2));
    let text = Report::new(&rows, query(Grouping::Model), cents).to_text(ReportFormat::Markdown);
    assert_eq!(
        text.matches("| 0.00 | 0.00 | 0.00 | 33.33 |").count(),
        3,
        "{text}"
    );
    assert!(
        text.contains("| **(rounding)** |  |  |  |  | 0.01 | 0.00 | 0.01 |  |"),
        "{text}"
    );
    assert!(
        text.contains("| **Total** | 3 | 3 | 3,000 | 300 | 0.01 | 0.00 | 0.01 | 100.00 |"),
        "{text}"
    );
    assert!(text.contains("Exact total: 0.0135 cost"), "{text}");
    let exact = context().with_rounding(Rounding::HalfEven, Precision::Exact);
    let text = Report::new(&rows, query(Grouping::Model), exact).to_text(ReportFormat::Markdown);
    assert!(
        text.contains("0.004500000000") && !text.contains("(rounding)") && !text.contains("are rounded"),
        "{text}"
    );
}

#[test]
fn lines_by_tag_overlap_and_a_line_says_by_how_much() {
    // One attempt for 3 with tags x and y, one for 1 without.
    let tagged = |tag: &str| with(row(0, "a/b", 1, 3 * DOLLAR), |row| row.key.tag = Some(tag.into()));
    let rows = [row(0, "a/b", 2, 4 * DOLLAR), tagged("x"), tagged("y")];
    let by_tag = report(&rows, Grouping::Tag);
    assert_eq!(by_tag.real.total.cost, PicoSum::new(4 * DOLLAR));
    assert_eq!(by_tag.real.lines.len(), 2);
    assert_eq!(by_tag.real.difference.unwrap().cost, PicoSum::new(-2 * DOLLAR));
    assert!(by_tag.to_text(ReportFormat::Table).contains("-2.000000"));
    // Everything else counts each attempt once.
    assert_eq!(
        report(&rows, Grouping::Model).real.total.cost,
        PicoSum::new(4 * DOLLAR)
    );
    let only = Filters::none().with(Grouping::Tag, "x").unwrap();
    let of_x = Report::new(&rows, query(Grouping::Model).with_filters(only), context());
    assert_eq!(of_x.real.total.cost, PicoSum::new(3 * DOLLAR));
    assert_eq!(of_x.real.difference, None);
}

#[test]
fn lines_are_sorted_by_charge_and_times_by_time() {
    let rows: Vec<RollupRow> = (0..30)
        .map(|n| {
            row(
                n * 24,
                ["a/a", "a/b"][n as usize % 2],
                1,
                i128::from(n % 7) * DOLLAR,
            )
        })
        .collect();
    let by_model = report(&rows, Grouping::Model);
    assert!(
        by_model
            .real
            .lines
            .windows(2)
            .all(|pair| pair[0].figures.charge >= pair[1].figures.charge)
    );
    let by_day = report(&rows, Grouping::Day);
    let days: Vec<_> = by_day.real.lines.iter().map(|line| line.group.clone()).collect();
    assert_eq!(days.len(), 30);
    assert_eq!(days[9], Group::Named("2026-11-10".into()));
    assert!(days.is_sorted());
    let top = Report::new(&rows, query(Grouping::Day).with_top(3), context());
    assert_eq!(top.real.lines.len(), 4);
    assert_eq!(top.real.lines[3].group, Group::Others(27));
    assert_eq!(
        top.real
            .lines
            .iter()
            .map(|line| line.figures.charge)
            .sum::<PicoSum>(),
        top.real.total.charge
    );
}

#[test]
fn a_day_without_calls_keeps_its_place_in_the_chart() {
    let rows = [row(0, "a/b", 1, DOLLAR), row(3 * 24, "a/b", 1, DOLLAR / 2)];
    let page = report(&rows, Grouping::Day).to_text(ReportFormat::Html);
    assert!(page.contains(r#"viewBox="0 0 300 1000""#), "{page}");
    assert!(page.contains(
        r#"<rect class="fill" x="1" y="0" width="8" height="1000"><title>2026-11-01: 1.100000</title>"#
    ));
    assert!(page.contains(
        r#"<rect class="fill" x="31" y="500" width="8" height="500"><title>2026-11-04: 0.550000</title>"#
    ));
}

#[test]
fn requests_are_counted_by_their_first_attempts() {
    let rows = [
        row(0, "a/b", 5, DOLLAR),
        with(row(0, "a/b", 2, DOLLAR), |row| row.key.first = false),
    ];
    let total = report(&rows, Grouping::Model).real.total;
    assert_eq!((total.requests, total.attempts), (5, 7));
    assert_eq!(total.status(CostStatus::Reported).attempts, 7);
}

#[test]
fn the_end_of_the_period_is_not_in_it() {
    let rows: Vec<RollupRow> = (-1..=2).map(|hour| row(hour, "a/b", 1, DOLLAR)).collect();
    let mut query = query(Grouping::Hour);
    query.period = period(2);
    let report = Report::new(&rows, query, context());
    assert_eq!(report.rows, 2);
    assert_eq!(
        report.real.lines[1].group,
        Group::Named("2026-11-01T01:00:00Z".into())
    );
}

#[test]
fn a_report_says_how_far_it_is_from_the_providers_books() {
    let context = context()
        .with_reconciliation(Reconciliation::new(PicoSum::new(-1_500_000), 1_234, 5))
        .with_snapshots([SnapshotNote::new("book-1", None)]);
    let mut rows = three().to_vec();
    rows[0].key.price_snapshot = "book-1".to_owned();
    rows[1].key.price_snapshot = "openrouter-2026-10-31-0123456789ab".to_owned();
    let report = Report::new(&rows, query(Grouping::Model), context);
    let text = report.to_text(ReportFormat::Table);
    assert!(
        text.contains("provider less ledger -0.0000015 US dollars over 1,234 attempts; 5 not compared"),
        "{text}"
    );
    let books = "book-1 (age not known), openrouter-0123456789ab (age not known), openrouter-2026-10-31-0123456789ab (3 days old)";
    assert!(text.contains(books), "{text}");
    let json: Value = serde_json::from_str(&report.to_text(ReportFormat::Json)).unwrap();
    assert_eq!(json["reconciliation"]["delta_usd"], "-0.0000015");
}

#[test]
fn focus_has_the_mandatory_columns_and_no_invented_zero() {
    let rows = [
        with(row(26, "openai/gpt-4o", 3, 5_564_900_000), |row| {
            row.key.upstream = Some(UpstreamName::new("Azure").unwrap());
            row.key.caller.project = Some("=cmd".into());
            row.sums.uncached_cost = PicoSum::new(6_000_000_000);
        }),
        unknown(row(27, "a/b", 2, 0), CostStatus::Unpriced),
    ];
    let write = |version| {
        let mut text = String::new();
        let focus = Focus::new(version, FocusAccount::new("acme", "Acme"), period(48));
        let totals = focus.write(&rows, &mut text).unwrap();
        assert_eq!((totals.rows, totals.left_out, totals.unknown), (1, 1, 2));
        Sheet::read(&text)
    };
    let sheet = write(FocusVersion::V1_2);
    let mandatory = [
        "BilledCost",
        "BillingAccountId",
        "BillingAccountName",
        "BillingCurrency",
        "BillingPeriodEnd",
        "BillingPeriodStart",
        "ChargeCategory",
        "ChargeClass",
        "ChargeDescription",
        "ChargePeriodEnd",
        "ChargePeriodStart",
        "ContractedCost",
        "EffectiveCost",
        "InvoiceIssuerName",
        "ListCost",
        "PricingQuantity",
        "PricingUnit",
        "ProviderName",
        "PublisherName",
        "ServiceCategory",
        "ServiceName",
    ];
    assert_eq!(mandatory.len(), 21);
    assert!(
        mandatory
            .iter()
            .all(|column| sheet.0.iter().any(|name| name == column))
    );
    let line = &sheet.1[0];
    for (column, value) in [
        ("BilledCost", "0.0055649"),
        ("ChargePeriodStart", "2026-11-02T02:00:00Z"),
        ("ChargePeriodEnd", "2026-11-02T03:00:00Z"),
        ("BillingPeriodStart", "2026-11-01T00:00:00Z"),
        ("BillingPeriodEnd", "2026-12-01T00:00:00Z"),
        ("ConsumedQuantity", "3300"),
        ("ConsumedUnit", "Tokens"),
        ("ProviderName", "openrouter"),
        ("PublisherName", "openai"),
        ("ServiceName", "openai/gpt-4o"),
        ("SubAccountId", "local"),
        ("SubAccountName", "'=cmd"),
        ("x_CacheSavings", "0.0004351"),
        ("x_Charge", "0.00612139"),
        ("x_CostStatus", "reported"),
        ("x_Outcome", "succeeded"),
        ("ChargeClass", ""),
    ] {
        assert_eq!(sheet.get(line, column), value, "{column}");
    }
    let tags: Value = serde_json::from_str(sheet.get(line, "Tags")).unwrap();
    assert_eq!(tags["project"], "=cmd");
    let newer = write(FocusVersion::V1_3);
    assert_eq!(newer.get(&newer.1[0], "HostProviderName"), "Azure");
    assert_eq!(newer.get(&newer.1[0], "ServiceProviderName"), "openrouter");
    assert!(!sheet.0.iter().any(|name| name == "HostProviderName"));
}

#[test]
fn nothing_is_a_report_too() {
    let report = report(&[], Grouping::Model);
    for format in ReportFormat::ALL {
        assert!(!report.to_text(format).is_empty());
    }
    assert!(
        report
            .to_text(ReportFormat::Table)
            .contains("No attempts in this period.")
    );
}

/// Sums as one would make them without any of the code under test.
fn naive(rows: &[RollupRow], simulated: bool) -> (i128, i128, u64, BTreeMap<String, i128>) {
    let mut sums = (0, 0, 0, BTreeMap::new());
    for row in rows {
        let hour = row
            .key
            .hour
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap()
            .as_secs()
            .cast_signed();
        if row.key.simulated != simulated
            || row.key.tag.is_some()
            || !(START..START + 30 * DAY).contains(&hour)
        {
            continue;
        }
        assert_eq!(hour % HOUR, 0);
        sums.0 += row.sums.cost.get();
        sums.1 += row.sums.charge.get();
        sums.2 += row.sums.attempts;
        *sums.3.entry(row.key.model.to_string()).or_default() += row.sums.charge.get();
    }
    sums
}

proptest! {
    /// Every format's lines add up to the sum of the rows to the last digit, and what is read back is what was there.
    #[test]
    fn every_format_says_the_sum_of_the_rows(rows in prop::collection::vec(any_row(), 0..40), which in 0_usize..10, places in 0_u32..=12) {
        let grouping = Grouping::ALL[which];
        let context = context().with_rounding(Rounding::HalfEven, Precision::Places(places));
        let report = Report::new(&rows, query(grouping), context);
        let json: Value = serde_json::from_str(&report.to_text(ReportFormat::Json)).unwrap();
        let sheet = Sheet::read(&report.to_text(ReportFormat::Csv));
        for section in report.sections() {
            let (cost, charge, attempts, _) = naive(&rows, section.simulated);
            prop_assert_eq!(section.total.cost.get(), cost);
            prop_assert_eq!(section.total.charge.get(), charge);
            prop_assert_eq!(section.total.attempts, attempts);
            let by_status: u64 = CostStatus::ALL.iter().map(|status| section.total.status(*status).attempts).sum();
            prop_assert_eq!(by_status, attempts);
            let lines: i128 = section.lines.iter().map(|line| line.figures.charge.get()).sum();
            let difference = section.difference.unwrap_or_default().charge.get();
            prop_assert_eq!(lines + difference, charge);

            let known = |value: &Value| value.as_str().map_or(0, pico);
            let part = &json[if section.simulated { "simulated" } else { "real" }];
            prop_assert_eq!(known(&part["total"]["charge_usd"]), charge);
            let lines: i128 = part["lines"].as_array().unwrap().iter().map(|line| known(&line["charge_usd"])).sum();
            prop_assert_eq!(lines + known(&part["difference"]["charge_usd"]), charge);

            let of_section = |kind| {
                let rows: Vec<_> = sheet.of_kind(kind).filter(|row| sheet.get(row, "simulated") == section.simulated.to_string()).collect();
                let amount = |row: &Vec<String>| Some(sheet.get(row, "charge_usd")).filter(|text| !text.is_empty()).map_or(0, pico);
                (rows.len(), rows.iter().map(|row| amount(row)).sum::<i128>())
            };
            prop_assert_eq!(of_section("total"), (1, charge));
            let lines = of_section("line");
            prop_assert_eq!(lines.0, section.lines.len());
            prop_assert_eq!(lines.1 + of_section("difference").1, charge);
            prop_assert_eq!(of_section("status").1, charge);
        }
        prop_assert_eq!(report.simulated.is_some(), json["simulated"].is_object());

        // What people are shown adds up to the shown total, whatever it is rounded to.
        let markdown = report.to_text(ReportFormat::Markdown);
        for part in markdown.split("\n## ").skip(1) {
            let mut sums = [0_i128; 3];
            for line in part.lines().take_while(|line| !line.starts_with("| How sure")).filter(|line| line.starts_with("| ")).skip(1) {
                let cells: Vec<&str> = line.split(" | ").collect();
                let amount = |text: &str| {
                    let text = text.trim_start_matches("at least ").split(' ').next().unwrap();
                    if text == "not" { 0 } else { pico(text) }
                };
                let amounts = [5, 6, 7].map(|at| amount(cells[at]));
                if cells[0] == "| **Total**" {
                    prop_assert_eq!(sums, amounts);
                } else {
                    sums.iter_mut().zip(amounts).for_each(|(sum, amount)| *sum += amount);
                }
            }
        }
    }

    /// The order of the rows says nothing.
    #[test]
    fn rows_may_come_in_any_order(rows in prop::collection::vec(any_row(), 0..30)) {
        let mut turned = rows.clone();
        turned.reverse();
        for format in ReportFormat::ALL {
            prop_assert_eq!(report(&rows, Grouping::Task).to_text(format), report(&turned, Grouping::Task).to_text(format));
        }
    }

    /// What the bill by the specification comes to is what the report comes to.
    #[test]
    fn focus_adds_up_to_the_cost(rows in prop::collection::vec(any_row(), 0..40)) {
        let mut text = String::new();
        let totals = Focus::new(FocusVersion::V1_3, FocusAccount::new("a", "A"), period(30 * 24)).write(&rows, &mut text).unwrap();
        let sheet = Sheet::read(&text);
        let (cost, charge, attempts, _) = naive(&rows, false);
        prop_assert_eq!(totals.billed.get(), cost);
        let sum = |column: &str| sheet.1.iter().map(|row| pico(sheet.get(row, column))).sum::<i128>();
        prop_assert_eq!(sum("BilledCost"), cost);
        prop_assert_eq!(sum("x_Charge"), charge);
        let known: u64 = sheet.1.iter().map(|row| sheet.get(row, "x_AttemptCount").parse::<u64>().unwrap()).sum();
        prop_assert_eq!(known + totals.unknown, attempts);
    }
}

#[test]
fn failed_attempts_cost_too() {
    let rows = [
        row(0, "a/b", 1, DOLLAR),
        with(row(0, "a/b", 1, DOLLAR), |row| {
            row.key.outcome = Some(Outcome::Failed)
        }),
    ];
    assert_eq!(
        report(&rows, Grouping::Model).real.total.cost,
        PicoSum::new(2 * DOLLAR)
    );
}
