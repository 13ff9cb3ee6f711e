//! The kinds of wrong bills that other software has sent, by their numbers in the list of cost bugs: one test and more for each
//! that is about prices, usage, cost or markup. Those about the ledger, budgets and reports stand with these.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use costing::{
    Bucket, CallToPrice, CostStatus, Counted, Discount, Markup, Pico, PriceBook, PriceKey, PriceSheet,
    PricedCall, Quantities, Remark, ServiceTier, UsageDialect, UtcTime, expected_cost, price_call,
};
use integration_core::chat::{ChatFold, Choice, FinishReason, Message, Role, StreamEvent};
use integration_core::{ModelId, Usage};
use rust_decimal::Decimal;

const NOON: UtcTime = UtcTime::from_unix(12 * 3600);

fn sheet(json: &str) -> PriceSheet {
    PriceSheet::from_pricing_json(json).unwrap()
}

fn usage(json: &str) -> Usage {
    Usage::from_json(json).unwrap()
}

fn usd(text: &str) -> Decimal {
    Decimal::from_str_exact(text).unwrap()
}

fn id(name: &str) -> ModelId {
    ModelId::new(name).unwrap()
}

fn priced(usage: &Usage, sheet: &PriceSheet) -> PricedCall {
    price_call(Some(usage), Some(sheet), NOON, Markup::NONE)
}

fn computed(usage: &Usage, sheet: &PriceSheet) -> Decimal {
    priced(usage, sheet).computed.unwrap().total()
}

#[test]
fn c01_cached_tokens_are_not_priced_twice() {
    let sheet = sheet(r#"{"prompt":"0.0000005","completion":"0.000003","input_cache_read":"0.00000005"}"#);
    let cached = usage(
        r#"{"prompt_tokens":20212,"completion_tokens":931,"total_tokens":21143,"prompt_tokens_details":{"cached_tokens":16298}}"#,
    );
    assert_eq!(computed(&cached, &sheet), usd("0.0055649"));
    // The buckets share no token: together they are what the provider counts as the total.
    let quantities = Quantities::from_usage(&cached).unwrap();
    assert_eq!(Some(quantities.tokens()), cached.total_tokens);
    assert_eq!(quantities.get(Bucket::UncachedPrompt), 20_212 - 16_298);
    assert!(quantities.remarks().is_empty());
    let odd = usage(r#"{"prompt_tokens":20212,"completion_tokens":931,"total_tokens":37441}"#);
    assert!(priced(&odd, &sheet).remarks.contains(Remark::TotalDiffers));
}

/// An answer with this usage, whole and as the fold of its stream.
fn whole_and_streamed(usage: Option<Usage>) -> [Option<Usage>; 2] {
    let mut fold = ChatFold::new();
    let mut choice = Choice::new(0, Message::empty(Role::Assistant));
    choice.message = Message::assistant("Hello");
    choice.finish_reason = Some(FinishReason::Stop);
    let mut events = vec![
        StreamEvent::Start(Default::default()),
        StreamEvent::Content {
            choice: 0,
            text: "Hello".to_owned(),
        },
        StreamEvent::Finish {
            choice: 0,
            reason: FinishReason::Stop,
            native: None,
        },
    ];
    events.extend(usage.clone().map(|usage| StreamEvent::Usage(Box::new(usage))));
    events.push(StreamEvent::End);
    for event in events {
        fold.push(event).unwrap();
    }
    [usage, fold.finish().unwrap().usage]
}

#[test]
fn c02_a_streamed_answer_costs_what_the_whole_one_costs() {
    let sheet = sheet(r#"{"prompt":"0.000001","completion":"0.000002","input_cache_read":"0.0000001"}"#);
    let cached = usage(
        r#"{"prompt_tokens":2006,"completion_tokens":20,"prompt_tokens_details":{"cached_tokens":1920}}"#,
    );
    let [whole, streamed] = whole_and_streamed(Some(cached));
    let [whole, streamed] = [whole, streamed].map(|usage| priced(&usage.unwrap(), &sheet));
    assert_eq!(whole, streamed);
    // 86 at the full price, 1,920 at a tenth of it.
    assert_eq!(streamed.computed.unwrap().total(), usd("0.000318"));
}

#[test]
fn c03_a_stream_without_usage_is_pending_and_never_zero() {
    let sheet = sheet(r#"{"prompt":"0.000001","completion":"0.000002"}"#);
    for usage in whole_and_streamed(None) {
        let priced = price_call(usage.as_ref(), Some(&sheet), NOON, Markup::DEFAULT);
        assert_eq!(priced.charge.status, CostStatus::Pending);
        assert_eq!(
            [priced.charge.cost, priced.charge.markup, priced.charge.charge],
            [None; 3]
        );
        assert_eq!(priced.bill(), None);
    }
    // With counts of our own it is an estimate, and says so.
    let guess = Usage::of_tokens(100, 50);
    let priced = CallToPrice::new(Some(&guess), Some(&sheet), NOON)
        .with_estimated_counts()
        .price();
    assert_eq!(priced.charge.status, CostStatus::Estimated);
    assert_eq!(priced.charge.cost, Some(Pico::new(200_000_000)));
}

#[test]
fn c04_a_missing_price_is_unpriced_and_never_zero() {
    let many = Usage::of_tokens(62_900_000, 1);
    let only_prompt = sheet(r#"{"prompt":"0.000001"}"#);
    for sheet in [None, Some(&only_prompt)] {
        let priced = price_call(Some(&many), sheet, NOON, Markup::DEFAULT);
        assert_eq!(priced.charge.status, CostStatus::Unpriced);
        assert_eq!(
            [priced.charge.cost, priced.charge.markup, priced.charge.charge],
            [None; 3]
        );
        assert_eq!(priced.charge.markup_bps, 1_000);
        assert_eq!(priced.unpriced.is_some(), sheet.is_some());
    }
    // A price of zero is a price.
    let free = sheet(r#"{"prompt":"0","completion":"0"}"#);
    assert_eq!(priced(&many, &free).charge.cost, Some(Pico::ZERO));
}

const TIERS: &str = r#"{"prompt":"0.000001","completion":"0.00001","input_cache_read":"0.0000001","input_cache_write":"0.00000125",
    "overrides":[{"min_prompt_tokens":200000,"prompt":"0.000002","completion":"0.000015","input_cache_read":"0.0000002","input_cache_write":"0.0000025"}]}"#;

#[test]
fn c05_one_tier_for_the_whole_request_and_all_its_buckets() {
    let sheet = sheet(TIERS);
    // The prompt passes the threshold only together with what was cached.
    let cached = usage(
        r#"{"prompt_tokens":200001,"completion_tokens":100,"prompt_tokens_details":{"cached_tokens":150000,"cache_write_tokens":50000}}"#,
    );
    let cost = priced(&cached, &sheet).computed.unwrap();
    let prices: Vec<_> = cost
        .lines()
        .map(|line| (line.bucket.as_str(), line.unit_price))
        .collect();
    assert_eq!(
        prices,
        [
            ("uncached_prompt", usd("0.000002")),
            ("cache_read", usd("0.0000002")),
            ("cache_write", usd("0.0000025")),
            ("completion", usd("0.000015")),
        ]
    );
    assert_eq!(cost.total(), usd("0.156502"));
    // The same tokens where the provider counts the cache beside the prompt: the same tier.
    let beside = usage(
        r#"{"prompt_tokens":1,"completion_tokens":100,"prompt_tokens_details":{"cached_tokens":150000,"cache_write_tokens":50000}}"#,
    );
    let beside = CallToPrice::new(Some(&beside), Some(&sheet), NOON)
        .with_dialect(UsageDialect::ANTHROPIC)
        .price();
    assert_eq!(beside.computed.unwrap(), cost);
}

#[test]
fn c06_a_threshold_is_passed_by_one_token_more() {
    let strictly = sheet(TIERS);
    let price = |sheet: &PriceSheet, prompt| sheet.rate(PriceKey::Prompt, prompt, NOON).unwrap();
    let around = |sheet: &PriceSheet| [199_999, 200_000, 200_001].map(|prompt| price(sheet, prompt));
    let (base, tier) = (usd("0.000001"), usd("0.000002"));
    assert_eq!(around(&strictly), [base, base, tier]);
    assert_eq!(
        [200_000, 200_001].map(|prompt| strictly.has_override_for(prompt, NOON)),
        [false, true]
    );
    // Of a provider whose tier begins with the threshold itself, the list says one token less.
    let from = sheet(&TIERS.replace("200000", "199999"));
    assert_eq!(around(&from), [base, tier, tier]);
    assert_eq!(
        expected_cost(&strictly, 200_000, 0, NOON),
        expected_cost(&from, 199_999, 0, NOON).map(|cost| cost + base)
    );
}

#[test]
fn c07_no_written_token_is_lost_between_five_minutes_and_an_hour() {
    let sheet = sheet(
        r#"{"prompt":"0.000003","completion":"0.000015","input_cache_read":"0.0000003","input_cache_write":"0.00000375","input_cache_write_1h":"0.000006"}"#,
    );
    let split = usage(
        r#"{"prompt_tokens":184457,"completion_tokens":0,"prompt_tokens_details":{"cache_write_tokens":184457,"cache_write_1h_tokens":31490}}"#,
    );
    let priced_split = priced(&split, &sheet);
    let quantities = Quantities::from_usage(&split).unwrap();
    assert_eq!(quantities.get(Bucket::CacheWrite1h), 31_490);
    // The rest is not said to be anything, so it has the usual price.
    assert_eq!(quantities.get(Bucket::CacheWrite), 184_457 - 31_490);
    assert_eq!(priced_split.computed.unwrap().total(), usd("0.76256625"));
    assert!(priced_split.remarks.is_empty());
    // Nothing is said of the time: the usual price, and a remark.
    let unsaid = usage(
        r#"{"prompt_tokens":184457,"completion_tokens":0,"prompt_tokens_details":{"cache_write_tokens":184457}}"#,
    );
    let priced_unsaid = priced(&unsaid, &sheet);
    assert_eq!(priced_unsaid.computed.unwrap().total(), usd("0.69171375"));
    assert!(priced_unsaid.remarks.contains(Remark::CacheTermNotSaid));
    // Where an hour costs the same, or has no price, there is nothing to remark.
    let same = sheet_without_hour();
    assert!(priced(&unsaid, &same).remarks.is_empty());
}

fn sheet_without_hour() -> PriceSheet {
    sheet(r#"{"prompt":"0.000003","completion":"0.000015","input_cache_write":"0.00000375"}"#)
}

#[test]
fn c08_reasoning_is_within_or_beside_as_the_provider_declares() {
    let sheet = sheet(r#"{"prompt":"0.000001","completion":"0.00001"}"#);
    // The same answer of 100 visible and 900 reasoning tokens, in two ways of counting.
    let within = usage(
        r#"{"prompt_tokens":10,"completion_tokens":1000,"total_tokens":1010,"completion_tokens_details":{"reasoning_tokens":900}}"#,
    );
    let beside = usage(
        r#"{"prompt_tokens":10,"completion_tokens":100,"total_tokens":1010,"completion_tokens_details":{"reasoning_tokens":900}}"#,
    );
    let price = |usage, dialect| {
        let priced = CallToPrice::new(Some(usage), Some(&sheet), NOON)
            .with_dialect(dialect)
            .price();
        (priced.computed.unwrap().total(), priced.remarks)
    };
    let right = price(&within, UsageDialect::OPENAI);
    assert_eq!(right.0, usd("0.01001"));
    assert!(right.1.is_empty());
    assert_eq!(price(&beside, UsageDialect::GOOGLE), right);
    // The wrong dialect shows in the total.
    assert!(
        price(&beside, UsageDialect::OPENAI)
            .1
            .contains(Remark::TotalDiffers)
    );
    assert!(
        price(&within, UsageDialect::GOOGLE)
            .1
            .contains(Remark::TotalDiffers)
    );
    let own = UsageDialect::default()
        .with_reasoning(Counted::Beside)
        .with_cache(Counted::Within);
    assert_eq!(own, UsageDialect::GOOGLE);
}

#[test]
fn c09_the_tier_that_served_is_the_tier_that_is_billed() {
    let standard = sheet(r#"{"prompt":"0.000002","completion":"0.000008"}"#);
    let flex = sheet(r#"{"prompt":"0.000001","completion":"0.000004"}"#);
    let batch = sheet(r#"{"prompt":"0.0000005","completion":"0.000002"}"#);
    let book = PriceBook::new(
        "test",
        [(id("a/b"), standard.clone()), (id("a/b:batch"), batch.clone())],
    )
    .with_sheet(id("a/b"), ServiceTier::Flex, flex.clone());
    let billed = |requested, served| {
        book.tier_sheet(&id("a/b"), &ServiceTier::billed(requested, served))
            .cloned()
    };
    assert_eq!(billed(None, None), Some(standard.clone()));
    assert_eq!(billed(Some("flex"), Some("flex")), Some(flex.clone()));
    // Asked for one, served by another.
    assert_eq!(billed(Some("flex"), Some("default")), Some(standard.clone()));
    assert_eq!(billed(None, Some("FLEX")), Some(flex.clone()));
    // The answer does not say.
    assert_eq!(billed(Some("flex"), None), Some(flex));
    assert_eq!(billed(Some("auto"), None), Some(standard));
    assert_eq!(billed(Some("batch"), None), Some(batch.clone()));
    assert_eq!(
        book.tier_sheet(&id("a/b:batch"), &ServiceTier::Batch),
        Some(&batch)
    );
    // No price is known for it: then there is none, and not that of another tier.
    assert_eq!(billed(Some("priority"), Some("fast")), None);
    assert_eq!(billed(None, Some("turbo")), None);
    let none = price_call(
        Some(&Usage::of_tokens(1, 1)),
        billed(None, Some("priority")).as_ref(),
        NOON,
        Markup::DEFAULT,
    );
    assert_eq!(none.charge.status, CostStatus::Unpriced);
}

#[test]
fn c10_images_and_audio_have_their_own_price() {
    let sheet = sheet(
        r#"{"prompt":"0.0000003","completion":"0.0000025","audio":"0.000003","image_token":"0.000001","image_output":"0.00003","audio_output":"0.00002"}"#,
    );
    let media = usage(
        r#"{"prompt_tokens":1000,"completion_tokens":1400,"prompt_tokens_details":{"audio_tokens":400,"image_tokens":500},
            "completion_tokens_details":{"image_tokens":1290,"audio_tokens":10}}"#,
    );
    let lines: Vec<_> = priced(&media, &sheet)
        .computed
        .unwrap()
        .lines()
        .map(|line| (line.bucket.as_str(), line.quantity, line.amount.normalize()))
        .collect();
    assert_eq!(
        lines,
        [
            ("uncached_prompt", 100, usd("0.00003")),
            ("audio_prompt", 400, usd("0.0012")),
            ("image_prompt", 500, usd("0.0005")),
            ("completion", 100, usd("0.00025")),
            ("audio_completion", 10, usd("0.0002")),
            ("image_completion", 1290, usd("0.0387")),
        ]
    );
}

#[test]
fn c11_each_model_of_one_answer_is_priced_by_its_own_prices() {
    // A server-side fallback: the first model read the prompt and refused, the second answered.
    let [first, second] = [
        sheet(r#"{"prompt":"0.000005","completion":"0.000025"}"#),
        sheet(r#"{"prompt":"0.000003","completion":"0.000015"}"#),
    ];
    let [read, answered] = [Usage::of_tokens(60_000, 100), Usage::of_tokens(60_000, 5_000)];
    let parts = [priced(&read, &first), priced(&answered, &second)].map(|part| part.charge.cost.unwrap());
    assert_eq!(parts.map(|cost| cost.to_string()), ["0.3025", "0.255"]);
    let sum = parts[0].checked_add(parts[1]).unwrap();
    assert_eq!(sum.to_string(), "0.5575");
    // All of it at the prices of the last one would be another figure.
    let at_once = priced(&Usage::of_tokens(120_000, 5_100), &second);
    assert_ne!(at_once.charge.cost, Some(sum));
}

#[test]
fn c18_a_reservation_is_priced_as_the_answer_will_be() {
    let sheet = sheet(TIERS);
    for (prompt, completion) in [(0, 0), (200_000, 64_000), (200_001, 64_000), (1_000_000, 1)] {
        let answer = computed(&Usage::of_tokens(prompt, completion), &sheet);
        assert_eq!(expected_cost(&sheet, prompt, completion, NOON), Some(answer));
    }
    let dynamic = sheet_dynamic();
    assert_eq!(expected_cost(&dynamic, 1, 1, NOON), None);
}

fn sheet_dynamic() -> PriceSheet {
    sheet(r#"{"prompt":"-1","completion":"-1"}"#)
}

#[test]
fn c19_a_price_of_ones_own_changes_no_shared_entry() {
    let shared = sheet(r#"{"prompt":"0.000002","completion":"0.000008"}"#);
    let book = PriceBook::new("test", [(id("a/b"), shared.clone()), (id("a/c"), shared.clone())]);
    let before = (book.id().to_owned(), book.content());
    let copy = book.clone();
    let own = sheet(r#"{"prompt":"0.000001","completion":"0.000001"}"#);
    let custom = book.with_sheet(id("a/b"), ServiceTier::Standard, own.clone());
    let reduced = book.with_discount(Discount::from_bps(2_500).unwrap()).unwrap();
    assert_eq!(custom.sheet(&id("a/b")), Some(&own));
    assert_eq!(custom.sheet(&id("a/c")), Some(&shared));
    assert_eq!(
        reduced
            .sheet(&id("a/b"))
            .unwrap()
            .rate(PriceKey::Prompt, 0, NOON)
            .unwrap(),
        usd("0.0000015")
    );
    for book in [&book, &copy] {
        assert_eq!((book.id().to_owned(), book.content()), before);
        assert_eq!(book.sheet(&id("a/b")), Some(&shared));
    }
    let ids = [book.id(), custom.id(), reduced.id()];
    assert!(
        ids[0] != ids[1] && ids[1] != ids[2] && ids[0] != ids[2],
        "{ids:?}"
    );
}

#[test]
fn c20_the_upstreams_part_counts_once_and_only_under_a_key_of_our_own() {
    for (json, expected, for_usage) in [
        // Ours: the fee and the upstream's part.
        (
            r#"{"cost":0.95,"is_byok":true,"cost_details":{"upstream_inference_cost":19}}"#,
            Some("19.95"),
            Some("19"),
        ),
        // Not ours: the upstream's part is a repetition, or a part.
        (
            r#"{"cost":0.95,"is_byok":false,"cost_details":{"upstream_inference_cost":19}}"#,
            Some("0.95"),
            Some("0.95"),
        ),
        (
            r#"{"cost":0.000001979964,"is_byok":false,"cost_details":{"upstream_inference_cost":0.000001979964}}"#,
            Some("0.000001979964"),
            Some("0.000001979964"),
        ),
        // Within the free allowance the fee is zero, and the tokens are not.
        (
            r#"{"cost":0,"is_byok":true,"cost_details":{"upstream_inference_cost":19}}"#,
            Some("19"),
            Some("19"),
        ),
        // Nobody says whose key it was.
        (
            r#"{"cost":0.95,"cost_details":{"upstream_inference_cost":19}}"#,
            Some("19.95"),
            Some("19"),
        ),
        (
            r#"{"cost":0.95,"cost_details":{"upstream_inference_cost":0.95}}"#,
            Some("0.95"),
            Some("0.95"),
        ),
        // Ours, and the upstream's part is missing: not zero, and not the fee alone.
        (r#"{"cost":0.95,"is_byok":true}"#, None, None),
    ] {
        let stated = price_call(Some(&usage(json)), None, NOON, Markup::NONE);
        assert_eq!(stated.reported, expected.map(usd), "{json}");
        assert_eq!(stated.reported_for_usage, for_usage.map(usd), "{json}");
        assert_eq!(
            stated.charge.cost.map(|cost| cost.to_string()).as_deref(),
            expected,
            "{json}"
        );
    }
    // The markup is on the whole cost, once.
    let marked_up = price_call(
        Some(&usage(
            r#"{"cost":0.95,"is_byok":true,"cost_details":{"upstream_inference_cost":19}}"#,
        )),
        None,
        NOON,
        Markup::DEFAULT,
    );
    assert_eq!(marked_up.charge.charge.unwrap().to_string(), "21.945");
}

#[test]
fn c21_a_model_is_found_by_exactly_its_id() {
    let parent = sheet(r#"{"prompt":"0.00001","completion":"0.00003"}"#);
    let mini = sheet(r#"{"prompt":"0.0000001","completion":"0.0000004"}"#);
    let book = PriceBook::new(
        "test",
        [
            (id("a/large"), parent.clone()),
            (id("a/large-mini"), mini.clone()),
        ],
    );
    assert_eq!(book.sheet(&id("a/large")), Some(&parent));
    assert_eq!(book.sheet(&id("a/large-mini")), Some(&mini));
    for name in [
        "a/large-nano",
        "a/large-mini-2026-01-01",
        "a/larg",
        "large",
        "openai-compatible/a/large",
        "A/large",
        "a/large:free",
        "a/large:batch",
    ] {
        assert_eq!(book.sheet(&id(name)), None, "{name}");
        let unpriced = price_call(
            Some(&Usage::of_tokens(1, 1)),
            book.sheet(&id(name)),
            NOON,
            Markup::DEFAULT,
        );
        assert_eq!(
            (unpriced.charge.cost, unpriced.charge.status),
            (None, CostStatus::Unpriced)
        );
    }
}

#[test]
fn c22_no_amount_has_digits_that_nobody_wrote() {
    // A sum of floats is 25.000000000000004 here.
    let tenth = "0.1".parse::<Pico>().unwrap();
    let sum = (0..250).try_fold(Pico::ZERO, |sum, _| sum.checked_add(tenth));
    assert_eq!(sum.unwrap().to_string(), "25");
    let sheet = sheet(r#"{"prompt":"0.1","completion":"0.2"}"#);
    let third = priced(&Usage::of_tokens(1, 1), &sheet);
    assert_eq!(third.charge.cost.unwrap().to_string(), "0.3");
    // Digits that a float would not hold come through, from the answer and from the list.
    let long = usage(r#"{"prompt_tokens":1,"completion_tokens":1,"cost":0.1000000000000000055511151231}"#);
    assert_eq!(
        priced(&long, &sheet).reported,
        Some(usd("0.1000000000000000055511151231"))
    );
    let small = usage(r#"{"cost":8.6e-05}"#);
    assert_eq!(
        priced(&small, &sheet).charge.cost.unwrap().to_string(),
        "0.000086"
    );
}

#[test]
fn c22_there_is_no_float_in_this_crate() {
    // Forecasts and spikes are statistics; what they say is never an amount of record.
    let statistics = [
        "optimise/forecast.rs",
        "optimise/spikes.rs",
        "optimise/suggest.rs",
    ];
    let mut folders = vec![std::path::PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/src"
    ))];
    let mut paths = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let found = if path.is_dir() { &mut folders } else { &mut paths };
            found.push(path);
        }
    }
    let mut files = 0;
    for path in paths {
        if statistics.iter().any(|file| path.ends_with(file)) {
            continue;
        }
        let source = std::fs::read_to_string(&path).unwrap();
        files += 1;
        for (line, text) in source.lines().enumerate() {
            let code = text.split("//").next().unwrap();
            for float in ["f32", "f64", "from_f", "to_f"] {
                let at = || format!("{}:{}: {text}", path.display(), line + 1);
                let word = code
                    .split(|c: char| !c.is_alphanumeric() && c != '_')
                    .any(|word| word.starts_with(float) && !word.starts_with("from_fn"));
                assert!(!word, "{}", at());
            }
        }
    }
    assert!(files > 10);
}
