//! The worst case is never less than what a call turns out to cost; the windows are those of the calendar; the configuration says
//! what it means.
#![allow(clippy::unwrap_used, missing_docs)]

use costing::budget::{
    BudgetConfig, CallerConfig, Estimate, HoldPolicy, Level, OnUnpriced, OutputLengths, Subject, Window,
    worst_case,
};
use costing::{Markup, MarkupRule, Pico, PriceSheet, Unpriced, UtcTime, price_call};
use integration_core::Usage;
use proptest::prelude::*;

#[path = "common/budgets.rs"]
#[allow(unused)]
mod budgets;
mod common;

use budgets::{NOON, usd};
use common::strings;

fn sheet(json: &str) -> PriceSheet {
    PriceSheet::from_pricing_json(json).unwrap()
}

fn most(estimate: Estimate, sheet: &PriceSheet) -> Pico {
    let rule = MarkupRule::new(Markup::NONE);
    let worst = worst_case(&estimate, sheet, NOON, rule, &HoldPolicy::DEFAULT).unwrap();
    assert_eq!(worst.held, worst.most);
    worst.most.unwrap()
}

#[test]
fn c18_the_worst_case_is_of_the_tier_that_the_call_may_be_in() {
    let sheet = sheet(
        r#"{"prompt":"0.000003","completion":"0.000015","input_cache_write":"0.00000375","input_cache_write_1h":"0.000006",
            "overrides":[{"min_prompt_tokens":200000,"prompt":"0.000006","completion":"0.0000225","input_cache_write":"0.0000075"}]}"#,
    );
    // 1,050 written tokens at 3.75 and 105 of the answer at 15 millionths.
    let small = Estimate::new(1_000).with_most_completion_tokens(100);
    assert_eq!(most(small, &sheet), usd("0.0055125"));
    assert_eq!(most(small.with_hour_cache(), &sheet), usd("0.007875"));
    // The slack alone lifts it over the threshold, and so the whole call.
    let near = Estimate::new(195_000).with_most_completion_tokens(100);
    assert_eq!(most(near, &sheet), usd("1.5379875"));
    let below = Estimate::new(190_476).with_most_completion_tokens(100);
    assert_eq!(most(below, &sheet), usd("0.751575"));
}

#[test]
fn a_tier_that_is_cheaper_does_not_hide_the_one_below() {
    let sheet = sheet(
        r#"{"prompt":"0.00001","completion":"0","overrides":[{"min_prompt_tokens":1000,"prompt":"0.000001"}]}"#,
    );
    // 2,000 tokens cost 0.002, but 1,000 cost 0.01, and the guess may be wrong.
    let estimate = Estimate::new(2_000).with_most_completion_tokens(0);
    assert_eq!(most(estimate, &sheet), usd("0.01"));
}

#[test]
fn fees_searches_and_markup_are_in_it() {
    let sheet = sheet(
        r#"{"prompt":"0.000001","completion":"0.000002","request":"0.01","web_search":"0.02","audio":"0.0001","internal_reasoning":"0.000004"}"#,
    );
    let estimate = Estimate::new(0).with_most_completion_tokens(100).with_searches(3);
    // 105 tokens of reasoning, three searches, the request; ten percent and a fee of a cent.
    let rule = MarkupRule::DEFAULT.with_fee(usd("0.01")).unwrap();
    let worst = worst_case(&estimate, &sheet, NOON, rule, &HoldPolicy::DEFAULT).unwrap();
    assert_eq!(worst.most, Some(usd("0.087462")));
    assert!(!worst.is_capped());
    // Sound only where the call can have it.
    let heard = Estimate::new(100).with_most_completion_tokens(0);
    assert_eq!(most(heard, &sheet), usd("0.010105"));
    assert_eq!(most(heard.with_audio_prompt(), &sheet), usd("0.0205"));
}

#[test]
fn an_answer_of_any_length_has_no_bound_but_a_cap() {
    let paid = sheet(r#"{"prompt":"0.000001","completion":"0.000002"}"#);
    let free = sheet(r#"{"prompt":"0","completion":"0"}"#);
    let open = Estimate::new(1_000);
    let worst = |sheet: &PriceSheet, policy: HoldPolicy| {
        worst_case(&open, sheet, NOON, MarkupRule::DEFAULT, &policy).unwrap()
    };
    let unbounded = worst(&paid, HoldPolicy::DEFAULT);
    assert_eq!((unbounded.most, unbounded.held), (None, None));
    let capped = worst(&paid, HoldPolicy::DEFAULT.with_most(usd("0.1")));
    assert_eq!((capped.most, capped.held), (None, Some(usd("0.1"))));
    let learned = worst(&paid, HoldPolicy::DEFAULT.with_usual_completion(1_000));
    assert_eq!(learned.held, Some(usd("0.003465")));
    assert!(learned.is_capped());
    let nothing = worst(&free, HoldPolicy::DEFAULT);
    assert_eq!((nothing.most, nothing.held), (Some(Pico::ZERO), Some(Pico::ZERO)));
    // More than can be held is no bound either, and no panic.
    let huge = Estimate::new(u64::MAX).with_most_completion_tokens(u64::MAX);
    let worst = worst_case(&huge, &paid, NOON, MarkupRule::DEFAULT, &HoldPolicy::DEFAULT).unwrap();
    assert_eq!(worst.most, None);
    // Said twice, the smaller one counts.
    let twice = open.with_most_completion_tokens(5).with_most_completion_tokens(9);
    assert_eq!(twice.most_completion_tokens(), Some(5));
    // A price that is decided per request is no price.
    let dynamic = sheet(r#"{"prompt":"-1","completion":"-1"}"#);
    let refused = worst_case(&open, &dynamic, NOON, MarkupRule::DEFAULT, &HoldPolicy::DEFAULT);
    assert!(matches!(refused, Err(Unpriced::Dynamic(_))));
}

proptest! {
    /// By the same function: whatever the answer says it used, up to the estimate with its slack, it is not charged more.
    #[test]
    fn c18_no_call_within_its_estimate_is_charged_more(
        prices in strings(),
        estimate in 0_u64..60, bound in 0_u64..60,
        parts in prop::array::uniform5(0_u64..=100),
        hour in 0_i64..24 * 7, bps in 0_u32..3_000,
    ) {
        let sheet = PriceSheet::parse(&prices).unwrap();
        let at = UtcTime::from_unix(NOON.unix() + hour * 3_600);
        let rule = MarkupRule::new(Markup::from_bps(bps));
        let told = Estimate::new(estimate).with_most_completion_tokens(bound).with_hour_cache().with_audio_prompt();
        let worst = worst_case(&told, &sheet, at, rule, &HoldPolicy::DEFAULT).unwrap();
        let share = |of: u64, part: u64| of * part / 100;
        let prompt = share(estimate + estimate.div_ceil(20), parts[0]);
        let completion = share(bound + bound.div_ceil(20), parts[1]);
        let mut usage = Usage::default();
        usage.prompt_tokens = Some(prompt);
        usage.completion_tokens = Some(completion);
        usage.cached_tokens = Some(share(prompt, parts[2]) / 2);
        usage.cache_write_tokens = Some(share(prompt, parts[3]) / 2);
        usage.cache_write_1h_tokens = Some(share(prompt, parts[3]) / 3);
        usage.prompt_audio_tokens = Some(share(prompt, parts[4]) / 2);
        usage.reasoning_tokens = Some(share(completion, parts[4]));
        let charge = price_call(Some(&usage), Some(&sheet), at, rule).charge.charge.unwrap();
        prop_assert!(charge <= worst.most.unwrap(), "{} of at most {:?}", charge, worst.most);
        prop_assert_eq!(worst.held, worst.most);
    }

    /// A calendar walked day by day.
    #[test]
    fn windows_are_those_of_the_calendar(seconds in -62_135_596_800_i64..253_402_300_799) {
        let at = UtcTime::from_unix(seconds);
        prop_assert_eq!(Window::Request.span(at), None);
        for (window, length) in [(Window::Minute, 60), (Window::Day, 86_400)] {
            let (from, to) = window.span(at).unwrap();
            prop_assert!(from <= at && at < to);
            prop_assert_eq!((to.unix() - from.unix(), from.unix().rem_euclid(length)), (length, 0));
        }
        let (from, to) = Window::Month.span(at).unwrap();
        prop_assert!(from <= at && at < to);
        let days = (to.unix() - from.unix()) / 86_400;
        prop_assert!((28..=31).contains(&days));
        // The next month begins where this one ends, and the last second of this one is in it.
        prop_assert_eq!(Window::Month.span(to).unwrap().0, to);
        prop_assert_eq!(Window::Month.span(UtcTime::from_unix(to.unix() - 1)).unwrap(), (from, to));
    }

    #[test]
    fn the_usual_length_is_one_that_few_pass(lengths in prop::collection::vec(0_u64..200_000, 40..400)) {
        let mut seen = OutputLengths::new();
        for length in &lengths {
            seen.see(*length);
        }
        let p95 = seen.p95().unwrap();
        let above = lengths.iter().filter(|length| **length > p95).count();
        prop_assert!(above * 20 <= lengths.len(), "{above} of {}", lengths.len());
        // And not much more than needed: the exact one, rounded up by an eighth at most.
        let mut sorted = lengths.clone();
        sorted.sort_unstable();
        let exact = sorted[(lengths.len() * 95).div_ceil(100) - 1];
        prop_assert!(exact <= p95 && p95 <= exact + exact / 8 + 1, "{exact} {p95}");
    }
}

#[test]
fn months_end_where_the_calendar_says() {
    // 400 years from 1970, month by month, with the rule as it is taught.
    let mut start = 0_i64;
    for year in 1970..2370_i64 {
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        for (month, days) in [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
            .into_iter()
            .enumerate()
        {
            let days = days + i64::from(leap && month == 1);
            let end = start + days * 86_400;
            let whole = Some((UtcTime::from_unix(start), UtcTime::from_unix(end)));
            for inside in [start, start + 1, end - 86_400, end - 1] {
                let found = Window::Month.span(UtcTime::from_unix(inside));
                assert_eq!(found, whole, "{year}-{}", month + 1);
            }
            start = end;
        }
    }
    // 2024-02-29T23:59:59Z and the second after.
    let leap_day = UtcTime::from_unix(1_709_251_199);
    assert_eq!(Window::Month.span(leap_day).unwrap().1.unix(), 1_709_251_200);
    // Ends of what can be held do not overflow.
    for seconds in [i64::MIN, i64::MAX] {
        for window in Window::ALL {
            let _ = window.span(UtcTime::from_unix(seconds));
        }
    }
}

#[test]
fn a_usual_length_needs_forty_answers_and_follows_habits() {
    let mut seen = OutputLengths::default();
    for _ in 0..39 {
        seen.see(7);
    }
    assert_eq!(seen.p95(), None);
    seen.see(7);
    assert_eq!(seen.p95(), Some(7));
    for _ in 0..100_000 {
        seen.see(50_000);
    }
    assert!(seen.p95().unwrap() >= 50_000);
    for _ in 0..100_000 {
        seen.see(u64::MAX);
    }
    assert_eq!(seen.p95(), Some(u64::MAX));
    for _ in 0..100_000 {
        seen.see(1);
    }
    assert_eq!(seen.p95(), Some(1));
}

#[derive(serde::Deserialize)]
struct File {
    #[serde(default)]
    caller: Vec<CallerConfig>,
    #[serde(default)]
    budget: Vec<BudgetConfig>,
}

fn read(text: &str) -> File {
    toml::from_str(text).unwrap()
}

#[test]
fn the_examples_of_the_page_mean_what_it_says() {
    let page = include_str!("../../../docs/budgets.md");
    let example = page
        .split("```toml\n")
        .nth(1)
        .unwrap()
        .split("```")
        .next()
        .unwrap();
    let file = read(example);
    assert_eq!(file.caller.len(), 2);
    assert_eq!(file.caller[0].token_env, "WEB_TEAM_TOKEN");
    let web = file.caller[0].caller();
    assert_eq!(
        (web.key.as_str(), web.project.as_deref(), web.team.as_deref()),
        ("web", Some("shop"), Some("sales"))
    );
    let rules = BudgetConfig::rules(&file.budget).unwrap();
    let anna = Subject::new(&web).with_user("anna");
    let accounts = rules.accounts(&anna);
    let told: Vec<String> = accounts
        .map(|(account, limits)| {
            let amount = |limit: Option<Pico>| limit.map_or("-".to_owned(), |limit| limit.to_string());
            format!(
                "{account}: {} {} {}",
                amount(limits.soft),
                amount(limits.shaping),
                amount(limits.hard)
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            "global per request: - - 2",
            "global per month: 400 450 500",
            "team sales per month: - - 200",
            "key web per day: - - 20",
            "user anna of key web per day: - - 0.5",
        ]
    );
    let team = rules.accounts(&Subject::new(&web)).nth(2).unwrap().1;
    assert_eq!(team.on_unpriced, OnUnpriced::Floor(usd("0.05")));
    assert_eq!(team.foremost(), Some((Level::Hard, usd("200"))));
}

#[test]
fn input_94_a_budget_that_says_nothing_clear_is_refused_by_name() {
    for (entry, told) in [
        (r#"scope = "gobal""#, "budget 1, `scope`: `gobal` is no scope"),
        (
            r#"scope = "global"
name = "x""#,
            "`name`: not for the global budget",
        ),
        (
            r#"scope = "key"
name = """#,
            "`name`: empty",
        ),
        (
            r#"scope = "user"
name = "anna""#,
            "`key`: missing",
        ),
        (
            r#"scope = "team"
key = "web""#,
            "`key`: for budgets of users only",
        ),
        (
            r#"scope = "global"
window = "week""#,
            "`window`: `week` is no window",
        ),
        (
            r#"scope = "global"
level = "firm""#,
            "`level`: `firm` is no level",
        ),
        (
            r#"scope = "global"
limit_usd = "1_000""#,
            "`limit_usd`: `1_000`: not a decimal number",
        ),
        (
            r#"scope = "global"
limit_usd = "-1""#,
            "`limit_usd`: `-1`, below zero",
        ),
        (
            r#"scope = "global"
limit_usd = "0.0000000000001""#,
            "more than twelve decimal places",
        ),
        (
            r#"scope = "global"
on_unpriced = "maybe""#,
            "`on_unpriced`: `maybe`; there are deny",
        ),
        (
            r#"scope = "global"
on_unpriced = { floor_usd = "-1" }"#,
            "`on_unpriced`: `-1`, below zero",
        ),
        (
            r#"scope = "global"
level = "soft"
on_unpriced = "allow""#,
            "`on_unpriced`: for hard budgets only",
        ),
    ] {
        let mut text = format!("[[budget]]\n{entry}\n");
        for (field, value) in [("window", "day"), ("limit_usd", "1")] {
            if !entry.contains(field) {
                text.push_str(&format!("{field} = \"{value}\"\n"));
            }
        }
        let error = BudgetConfig::rules(&read(&text).budget).unwrap_err().to_string();
        assert!(error.contains(told), "{text}{error}");
    }
    // A float, an unknown field, a token in the file.
    for text in [
        "[[budget]]\nscope = \"global\"\nwindow = \"day\"\nlimit_usd = 1.5\n",
        "[[budget]]\nscope = \"global\"\nwindow = \"day\"\nlimit_usd = \"1\"\nlimits = 2\n",
        "[[caller]]\nkey = \"web\"\ntoken = \"secret\"\n",
    ] {
        assert!(toml::from_str::<File>(text).is_err(), "{text}");
    }
    let twice = "[[budget]]\nscope = \"key\"\nname = \"*\"\nwindow = \"day\"\nlimit_usd = \"1\"\n";
    let error = BudgetConfig::rules(&read(&twice.repeat(2)).budget).unwrap_err();
    assert_eq!(
        error.to_string(),
        "there are two hard budgets of each key per day"
    );
    let others = "[[budget]]\nscope = \"user\"\nkey = \"web\"\nwindow = \"day\"\nlimit_usd = \"1\"\non_unpriced = \"allow\"\n\
        [[budget]]\nscope = \"user\"\nkey = \"web\"\nname = \"anna\"\nwindow = \"day\"\nlimit_usd = \"2\"\non_unpriced = \"deny\"\n";
    BudgetConfig::rules(&read(others).budget).unwrap();
}
