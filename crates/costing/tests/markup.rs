//! Which markup holds, what it comes to, and what the charge says about it.
#![allow(clippy::unwrap_used, missing_docs)]

use costing::{
    Charge, CostStatus, Markup, MarkupConfig, MarkupRule, MarkupRules, MarkupSource, MarkupSubject,
    MoneyError, Pico, PriceSheet, UtcTime, price_call,
};
use integration_core::{ModelId, ProviderId, Usage};

const NOON: UtcTime = UtcTime::from_unix(12 * 3600);

fn usd(text: &str) -> Pico {
    text.parse().unwrap()
}

fn sheet(json: &str) -> PriceSheet {
    PriceSheet::from_pricing_json(json).unwrap()
}

#[test]
fn the_rule_nearest_to_the_call_holds() {
    let (provider, model) = (
        ProviderId::new("openrouter").unwrap(),
        ModelId::new("a/b").unwrap(),
    );
    let (other_provider, other) = (ProviderId::new("other").unwrap(), ModelId::new("a/c").unwrap());
    let call = MarkupSubject::new(&provider, &model)
        .with_key("alice")
        .with_team("research");
    let bps = |rules: &MarkupRules, call| {
        let rule = rules.rule_for(call);
        (rule.share().bps(), rule.source())
    };
    let mut rules = MarkupRules::new();
    assert_eq!(bps(&rules, call), (1_000, MarkupSource::Default));
    rules = rules.with_global(Markup::from_bps(900));
    assert_eq!(bps(&rules, call), (900, MarkupSource::Global));
    rules = rules.with_provider(provider.clone(), Markup::from_bps(800));
    assert_eq!(bps(&rules, call), (800, MarkupSource::Provider));
    rules = rules.with_model(model.clone(), Markup::from_bps(700));
    assert_eq!(bps(&rules, call), (700, MarkupSource::Model));
    rules = rules.with_team("research", Markup::from_bps(600));
    assert_eq!(bps(&rules, call), (600, MarkupSource::Team));
    rules = rules.with_key("alice", Markup::from_bps(0));
    assert_eq!(bps(&rules, call), (0, MarkupSource::Key));
    // A rule for somebody else holds for nobody else.
    let stranger = MarkupSubject::new(&other_provider, &other)
        .with_key("bob")
        .with_team("sales");
    assert_eq!(bps(&rules, stranger), (900, MarkupSource::Global));
    assert_eq!(bps(&rules, MarkupSubject::default()), (900, MarkupSource::Global));
    let unnamed = MarkupSubject::new(&provider, &model);
    assert_eq!(bps(&rules, unnamed), (700, MarkupSource::Model));
    let replaced = rules.with_key("alice", Markup::from_bps(50));
    assert_eq!(bps(&replaced, call), (50, MarkupSource::Key));
}

#[test]
fn the_line_says_how_much_and_from_where() {
    let rule = MarkupRule::new(Markup::from_bps(250)).from_source(MarkupSource::Team);
    let prices = sheet(r#"{"prompt":"0.001","completion":"0.002"}"#);
    let priced = price_call(Some(&Usage::of_tokens(10, 5)), Some(&prices), NOON, rule);
    assert_eq!(
        (priced.charge.cost, priced.charge.markup, priced.charge.charge),
        (Some(usd("0.02")), Some(usd("0.0005")), Some(usd("0.0205")))
    );
    assert_eq!(
        (priced.charge.markup_bps, priced.rule.source()),
        (250, MarkupSource::Team)
    );
    // Also where there is no amount yet.
    let pending = price_call(None, Some(&prices), NOON, rule);
    assert_eq!((pending.charge.markup_bps, pending.rule), (250, rule));
    for source in MarkupSource::ALL {
        assert_eq!(source.as_str().parse(), Ok(source));
        assert_eq!(serde_json::to_value(source).unwrap(), source.to_string());
    }
    assert!(
        "nobody"
            .parse::<MarkupSource>()
            .unwrap_err()
            .to_string()
            .contains("nobody")
    );
}

#[test]
fn it_is_on_every_kind_of_charge() {
    let prices = sheet(
        r#"{"prompt":"0.001","completion":"0.001","input_cache_read":"0.001","input_cache_write":"0.001","input_cache_write_1h":"0.001",
            "audio":"0.001","image_token":"0.001","audio_output":"0.001","image_output":"0.001","internal_reasoning":"0.002",
            "input_audio_cache":"0.001","request":"0.001","web_search":"0.001"}"#,
    );
    for (json, cost) in [
        (r#"{"prompt_tokens":1,"completion_tokens":0}"#, "0.002"),
        (r#"{"prompt_tokens":0,"completion_tokens":1}"#, "0.002"),
        (
            r#"{"prompt_tokens":1,"completion_tokens":0,"prompt_tokens_details":{"cached_tokens":1}}"#,
            "0.002",
        ),
        (
            r#"{"prompt_tokens":1,"completion_tokens":0,"prompt_tokens_details":{"cache_write_tokens":1}}"#,
            "0.002",
        ),
        (
            r#"{"prompt_tokens":1,"completion_tokens":0,"prompt_tokens_details":{"cache_write_1h_tokens":1}}"#,
            "0.002",
        ),
        (
            r#"{"prompt_tokens":1,"completion_tokens":0,"prompt_tokens_details":{"audio_tokens":1}}"#,
            "0.002",
        ),
        (
            r#"{"prompt_tokens":1,"completion_tokens":0,"prompt_tokens_details":{"audio_tokens":1,"cached_tokens":1}}"#,
            "0.002",
        ),
        (
            r#"{"prompt_tokens":1,"completion_tokens":0,"prompt_tokens_details":{"image_tokens":1}}"#,
            "0.002",
        ),
        (
            r#"{"prompt_tokens":0,"completion_tokens":1,"completion_tokens_details":{"audio_tokens":1}}"#,
            "0.002",
        ),
        (
            r#"{"prompt_tokens":0,"completion_tokens":1,"completion_tokens_details":{"image_tokens":1}}"#,
            "0.002",
        ),
        (
            r#"{"prompt_tokens":0,"completion_tokens":1,"completion_tokens_details":{"reasoning_tokens":1}}"#,
            "0.003",
        ),
        (
            r#"{"prompt_tokens":0,"completion_tokens":0,"server_tool_use_details":{"web_search_requests":1}}"#,
            "0.002",
        ),
        // A cost that is stated, tools and all.
        (
            r#"{"prompt_tokens":0,"completion_tokens":0,"cost":0.007}"#,
            "0.007",
        ),
    ] {
        let usage = Usage::from_json(json).unwrap();
        let charge = price_call(Some(&usage), Some(&prices), NOON, Markup::DEFAULT).charge;
        assert_eq!(charge.cost, Some(usd(cost)), "{json}");
        assert_eq!(
            charge.markup.unwrap().get() * 10,
            charge.cost.unwrap().get(),
            "{json}"
        );
    }
}

#[test]
fn what_is_free_stays_free_unless_a_fee_says_otherwise() {
    let free = sheet(r#"{"prompt":"0","completion":"0"}"#);
    let paid = sheet(r#"{"prompt":"0.001","completion":"0.001"}"#);
    let usage = Usage::of_tokens(10, 10);
    let share = MarkupRule::new(Markup::DEFAULT);
    let on_paid = share.with_fee(usd("0.0005")).unwrap();
    let on_all = share.with_fee_on_free_too(usd("0.0005")).unwrap();
    let charge = |sheet: &PriceSheet, rule| price_call(Some(&usage), Some(sheet), NOON, rule).charge;
    for (rule, of_free, of_paid) in [
        (share, "0", "0.002"),
        (on_paid, "0", "0.0025"),
        (on_all, "0.0005", "0.0025"),
    ] {
        let (free, paid) = (charge(&free, rule), charge(&paid, rule));
        assert_eq!(free.cost, Some(Pico::ZERO));
        assert_eq!(free.markup, Some(usd(of_free)));
        assert_eq!(free.charge, Some(usd(of_free)));
        assert_eq!(paid.cost, Some(usd("0.02")));
        assert_eq!(paid.markup, Some(usd(of_paid)));
    }
    let mut hit = usage.clone();
    hit.answer_from_cache = true;
    for (rule, expected) in [(on_paid, "0"), (on_all, "0.0005")] {
        let charge = price_call(Some(&hit), Some(&paid), NOON, rule).charge;
        assert_eq!(
            (charge.cost, charge.markup, charge.status),
            (Some(Pico::ZERO), Some(usd(expected)), CostStatus::Exact)
        );
    }
    // What is not known has no fee, and a credit bears none.
    assert_eq!(price_call(None, None, NOON, on_all).charge.markup, None);
    assert_eq!(on_all.on(usd("-1")), Ok(usd("-0.1")));
    assert_eq!(share.with_fee(usd("-0.01")), Err(MoneyError::Negative));
    assert!(share.with_fee_on_free_too(usd("-0.01")).is_err());
    assert_eq!((on_paid.fee(), on_paid.fee_on_free()), (usd("0.0005"), false));
    assert!(on_all.fee_on_free());
    let too_much = share.with_fee(Pico::new(i64::MAX)).unwrap();
    assert_eq!(too_much.on(usd("1")), Err(MoneyError::OutOfRange));
    assert_eq!(
        price_call(Some(&usage), Some(&paid), NOON, too_much)
            .charge
            .status,
        CostStatus::Unpriced
    );
}

#[test]
fn a_markup_is_no_margin() {
    let charge = Charge::known(usd("1"), Markup::DEFAULT, CostStatus::Computed).unwrap();
    assert_eq!(charge.charge, Some(usd("1.1")));
    let margin = charge.margin().unwrap();
    assert_eq!(margin.round_dp(6).to_string(), "0.090909");
    let nothing = Charge::known(Pico::ZERO, Markup::DEFAULT, CostStatus::Computed).unwrap();
    assert_eq!(nothing.margin(), None);
    assert_eq!(
        Charge::unknown(Markup::DEFAULT, CostStatus::Pending).margin(),
        None
    );
    assert_eq!(MarkupRule::default(), MarkupRule::from(Markup::DEFAULT));
}

#[test]
fn a_configuration_says_what_holds_for_whom() {
    let entries: Vec<MarkupConfig> = [
        r#"key = "web"
           bps = 2000
           fee_usd = "0.001""#,
        r#"team = "sales"
           bps = 0
           fee_usd = "0.5"
           fee_on_free = true"#,
        r#"model = "a/b"
           bps = 300"#,
        r#"provider = "openrouter"
           bps = 400"#,
    ]
    .into_iter()
    .map(|text| toml::from_str(text).unwrap())
    .collect();
    let rules = MarkupConfig::rules(&entries, Some(Markup::from_bps(50))).unwrap();
    let (provider, model) = ("openrouter".parse().unwrap(), "a/b".parse().unwrap());
    let call = MarkupSubject::new(&provider, &model);
    let rule = rules.rule_for(call.with_key("web").with_team("sales"));
    assert_eq!((rule.share().bps(), rule.source()), (2_000, MarkupSource::Key));
    assert_eq!(rule.fee_on(Pico::ZERO), Pico::ZERO, "what is free stays free");
    let rule = rules.rule_for(call.with_key("other").with_team("sales"));
    assert_eq!(rule.fee_on(Pico::ZERO), "0.5".parse().unwrap());
    assert_eq!(rules.rule_for(call).source(), MarkupSource::Model);
    let other = "a/c".parse().unwrap();
    assert_eq!(
        rules
            .rule_for(MarkupSubject::new(&provider, &other))
            .share()
            .bps(),
        400
    );
    assert_eq!(rules.rule_for(MarkupSubject::default()).share().bps(), 50);
    // Without anything said it is ten percent.
    let none = MarkupConfig::rules(&[], None).unwrap().rule_for(call);
    assert_eq!(
        (none.share().bps(), none.source()),
        (1_000, MarkupSource::Default)
    );
    assert!(toml::from_str::<MarkupConfig>("key = \"web\"\npercent = 5").is_err());
}
