use model_catalogue::{Catalogue, ModelRecord};
use proptest::prelude::*;

use super::*;
use crate::endpoint::endpoints;
use crate::preferences::Cutoffs;

const AT: UtcTime = UtcTime::from_unix(1_787_000_000);

fn need<'a>(preferences: &'a Preferences, own_keys: &'a [String]) -> Need<'a> {
    Need {
        preferences,
        sort: preferences.sort,
        only_tier: None,
        with_tier: None,
        sent: &[],
        inputs: &[],
        prompt_tokens: 10,
        max_tokens: None,
        own_keys,
        at: AT,
    }
}

fn candidates(endpoints: &[Endpoint]) -> Vec<Candidate<'_>> {
    let candidate = |endpoint| Candidate {
        model: 0,
        endpoint,
        down: false,
        sticky: false,
    };
    endpoints.iter().map(candidate).collect()
}

fn tags<'a>(list: &[Candidate<'a>]) -> Vec<&'a str> {
    list.iter().map(|one| one.endpoint.tag.as_str()).collect()
}

fn of(model: &str, seed: u64) -> Vec<Endpoint> {
    static CATALOGUE: std::sync::OnceLock<Catalogue> = std::sync::OnceLock::new();
    let catalogue = CATALOGUE.get_or_init(|| Catalogue::bundled().unwrap());
    endpoints(seed, catalogue.get(model).unwrap())
}

/// A model with endpoints of these prices, in dollars a million tokens.
fn priced(prices: &[u32]) -> Vec<Endpoint> {
    let mut record = ModelRecord::new("somebody/thing".parse().unwrap());
    record.supported_parameters = vec!["max_tokens".to_owned()];
    let base = endpoints(1, &record).remove(0);
    let one = |(at, dollars): (usize, &u32)| {
        let rate = Decimal::new(i64::from(*dollars), 6).to_string();
        let prices = model_catalogue::PriceStrings::new([("prompt", rate), ("completion", "0".to_owned())]);
        Endpoint {
            tag: format!("{}/{at}", base.upstream.slug),
            sheet: costing::PriceSheet::parse(&prices).ok(),
            prices,
            uptime: 100.0,
            ..base.clone()
        }
    };
    prices.iter().enumerate().map(one).collect()
}

/// Draws many times and compares the counts with the weights 1/price²: the sum of the squared differences, each in units of
/// what is expected, is below the value that chance alone exceeds once in a thousand times.
#[test]
fn the_first_endpoint_is_drawn_with_one_over_the_price_squared() {
    for (prices, critical) in [
        (vec![1, 2, 4], 13.82),
        (vec![3, 3, 5, 9], 16.27),
        (vec![10, 11], 10.83),
    ] {
        let endpoints = priced(&prices);
        let preferences = Preferences::default();
        let need = need(&preferences, &[]);
        let rounds = 20_000u32;
        let mut counts = vec![0u32; prices.len()];
        for round in 0..rounds {
            let mut dice = Dice::new(42, "route", &[&round.to_le_bytes()]);
            let first = order(candidates(&endpoints), &need, &mut dice)[0];
            let at = endpoints
                .iter()
                .position(|one| one.tag == first.endpoint.tag)
                .unwrap();
            counts[at] += 1;
        }
        let weights: Vec<f64> = prices
            .iter()
            .map(|price| 1.0 / f64::from(price * price))
            .collect();
        let all: f64 = weights.iter().sum();
        let chi: f64 = counts
            .iter()
            .zip(&weights)
            .map(|(count, weight)| {
                let expected = f64::from(rounds) * weight / all;
                (f64::from(*count) - expected).powi(2) / expected
            })
            .sum();
        assert!(chi < critical, "{prices:?}: {counts:?}, {chi}");
    }
}

#[test]
fn the_rest_follow_by_price_and_those_in_trouble_last() {
    let mut endpoints = priced(&[4, 1, 2, 3]);
    let preferences = Preferences::default();
    let need = need(&preferences, &[]);
    for round in 0..50u32 {
        let list = order(
            candidates(&endpoints),
            &need,
            &mut Dice::new(1, "x", &[&round.to_le_bytes()]),
        );
        let rest: Vec<Decimal> = list[1..]
            .iter()
            .map(|one| one.endpoint.price(1, AT).unwrap())
            .collect();
        assert!(rest.is_sorted());
    }
    endpoints[1].uptime = 90.0;
    endpoints[2].uptime = 70.0;
    let mut list = candidates(&endpoints);
    list[0].down = true;
    let list = order(list, &need, &mut Dice::new(1, "x", &[]));
    let found: Vec<&str> = tags(&list)
        .iter()
        .map(|tag| tag.split('/').next_back().unwrap())
        .collect();
    assert_eq!(found, ["3", "1", "2", "0"]);
}

#[test]
fn prices_that_are_nothing_or_not_known_have_weights_too() {
    assert_eq!(weights(&[Some(2.0), Some(1.0), None]), [1.0, 4.0, 1.0]);
    assert_eq!(weights(&[Some(0.0), Some(1.0), None]), [1.0, 0.0, 0.0]);
    assert_eq!(weights(&[None, None]), [1.0, 1.0]);
    let mut dice = Dice::new(1, "x", &[]);
    assert_eq!(draw(&[], &mut dice), None);
    assert!((0..100).all(|_| draw(&[0.0, 1.0, 0.0], &mut dice) == Some(1)));
}

#[test]
fn sorting_takes_the_place_of_chance() {
    let endpoints: Vec<Endpoint> = of("google/gemini-2.5-flash", 3);
    for (sort, key) in [
        (
            Sort::Throughput,
            (|one| -one.throughput.p50) as fn(&Endpoint) -> f64,
        ),
        (Sort::Latency, |one| one.latency.p50),
        (Sort::Price, |one| one.price(10, AT).unwrap().to_f64().unwrap()),
        (Sort::Exacto, |one| -f64::from(one.quality)),
    ] {
        let preferences = Preferences {
            sort: Some(sort),
            ..Preferences::default()
        };
        let mut need = need(&preferences, &[]);
        need.with_tier = Some(Tier::Priority);
        let (left, _) = filter(candidates(&endpoints), &need);
        assert!(left.iter().any(|one| one.endpoint.tier == Some(Tier::Priority)));
        assert!(left.iter().all(|one| one.endpoint.tier != Some(Tier::Flex)));
        let list = order(left, &need, &mut Dice::new(1, "x", &[]));
        assert!(list.iter().map(|one| key(one.endpoint)).is_sorted(), "{sort:?}");
    }
}

#[test]
fn tiers_are_for_those_who_ask() {
    let endpoints = of("openai/gpt-4o-mini", 1);
    let preferences = Preferences::default();
    let run = |preferences: &Preferences, only, with| {
        let mut need = need(preferences, &[]);
        (need.only_tier, need.with_tier) = (only, with);
        let (left, _) = filter(candidates(&endpoints), &need);
        tags(&order(left, &need, &mut Dice::new(1, "x", &[])))
            .into_iter()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(run(&preferences, None, None).len(), 2);
    assert_eq!(run(&preferences, Some(Tier::Flex), None), ["openai/flex"]);
    let priority = run(&preferences, Some(Tier::Priority), None);
    assert_eq!((priority.len(), priority[0].as_str()), (3, "openai/priority"));
    // By its tag, and not by the slug of the upstream.
    let by = |order: &str| Preferences {
        order: vec![order.to_owned()],
        no_fallbacks: true,
        ..Preferences::default()
    };
    assert_eq!(run(&by("openai/priority"), None, None), ["openai/priority"]);
    assert_eq!(run(&by("openai"), None, None), ["openai"]);
    // A model without a flexible endpoint is served all the same.
    let plain = of("x-ai/grok-4.3", 1);
    let mut need = need(&preferences, &[]);
    need.only_tier = Some(Tier::Flex);
    assert_eq!(filter(candidates(&plain), &need).0.len(), plain.len());
}

#[test]
fn own_keys_come_before_everything_and_sticky_endpoints_before_the_rest() {
    let endpoints = of("anthropic/claude-haiku-4.5", 1);
    let by_order = Preferences {
        order: vec!["anthropic".to_owned()],
        ..Preferences::default()
    };
    let own = ["amazon-bedrock".to_owned()];
    let sticky = |preferences: &Preferences, own: &[String]| {
        let mut list = candidates(&endpoints);
        list.last_mut().unwrap().sticky = true;
        let need = need(preferences, own);
        let list = order(list, &need, &mut Dice::new(1, "x", &[]));
        tags(&list)[0].to_owned()
    };
    let usual = Preferences::default();
    assert_eq!(sticky(&usual, &[]), "google-vertex/us-east5");
    assert_eq!(sticky(&by_order, &[]), "anthropic");
    assert_eq!(sticky(&by_order, &own), "amazon-bedrock");
    assert_eq!(sticky(&usual, &own), "amazon-bedrock");
}

#[test]
fn what_is_preferred_moves_the_others_to_the_end_and_removes_none() {
    let endpoints = of("anthropic/claude-haiku-4.5", 1);
    let fastest = endpoints.iter().map(|one| one.throughput.p50).fold(0.0, f64::max);
    let preferences = Preferences {
        min_throughput: Cutoffs {
            p50: Some(fastest),
            ..Cutoffs::default()
        },
        ..Preferences::default()
    };
    for round in 0..20u32 {
        let mut dice = Dice::new(1, "x", &[&round.to_le_bytes()]);
        let list = order(candidates(&endpoints), &need(&preferences, &[]), &mut dice);
        assert_eq!(list.len(), endpoints.len());
        assert!(list[0].endpoint.throughput.p50 >= fastest);
    }
    // Seconds here, milliseconds there.
    let quickest = endpoints
        .iter()
        .map(|one| one.latency.p90)
        .fold(f64::MAX, f64::min);
    let preferences = Preferences {
        max_latency: Cutoffs {
            p90: Some(quickest / 1_000.0 + 1e-9),
            ..Cutoffs::default()
        },
        ..Preferences::default()
    };
    let list = order(
        candidates(&endpoints),
        &need(&preferences, &[]),
        &mut Dice::new(1, "x", &[]),
    );
    assert!(list[0].endpoint.latency.p90 <= quickest);
}

#[test]
fn a_soft_wish_chooses_between_endpoints_and_a_hard_one_excludes() {
    let mut endpoints = priced(&[1, 2]);
    endpoints[1].parameters.push("tools".to_owned());
    let soft = Preferences::default();
    let hard = Preferences {
        require_parameters: true,
        ..Preferences::default()
    };
    let left = |endpoints: &[Endpoint], preferences: &Preferences, sent: &[&'static str]| {
        let mut need = need(preferences, &[]);
        need.sent = sent;
        let (left, funnel) = filter(candidates(endpoints), &need);
        (left.len(), funnel.0.last().copied().unwrap())
    };
    assert_eq!(left(&endpoints, &soft, &["tools"]).0, 1);
    assert_eq!(left(&endpoints, &soft, &["seed"]).0, 2);
    assert_eq!(left(&endpoints, &hard, &["tools"]).0, 1);
    assert_eq!(left(&endpoints, &hard, &["seed"]), (0, (Step::Parameters, 0)));
    assert_eq!(left(&endpoints[..1], &soft, &["tools"]).0, 1);
}

/// The rules of the filter for one endpoint, as sentences.
fn naive(one: &Endpoint, need: &Need<'_>) -> bool {
    let wanted = need.preferences;
    let slug = one.upstream.slug;
    let is = |name: &String| {
        name == &one.tag || (name == slug && !one.tag.ends_with("/flex") && !one.tag.ends_with("/priority"))
    };
    let dollars = |key: &str| {
        let rate = one.prices.rates.get(key)?.parse::<Decimal>().ok()?;
        (rate >= Decimal::ZERO).then_some(rate * Decimal::from(1_000_000))
    };
    if let Some(only) = &wanted.only
        && !only.iter().any(is)
    {
        return false;
    }
    if wanted.ignore.iter().any(is) {
        return false;
    }
    if wanted.no_fallbacks && !wanted.order.is_empty() && !wanted.order.iter().any(is) {
        return false;
    }
    if one.tier.is_some() && need.only_tier != one.tier {
        let mut named = wanted.order.clone();
        named.extend(wanted.only.clone().unwrap_or_default());
        if !named.contains(&one.tag) {
            return false;
        }
    }
    if wanted.deny_collection && one.trains || wanted.zdr && !one.zdr {
        return false;
    }
    if wanted
        .quantizations
        .as_ref()
        .is_some_and(|list| !list.contains(&one.quantization.to_owned()))
    {
        return false;
    }
    for (most, key) in [
        (wanted.max_price.prompt, "prompt"),
        (wanted.max_price.completion, "completion"),
    ] {
        if let Some(most) = most
            && dollars(key).is_none_or(|price| price > most)
        {
            return false;
        }
    }
    if wanted.require_parameters
        && need
            .sent
            .iter()
            .any(|name| !one.parameters.contains(&(*name).to_owned()))
    {
        return false;
    }
    let room = need.prompt_tokens + need.max_tokens.unwrap_or(0);
    one.context_length.is_none_or(|context| room <= context)
        && need
            .max_tokens
            .is_none_or(|most| one.max_completion_tokens.is_none_or(|limit| most <= limit))
        && need
            .inputs
            .iter()
            .all(|input| one.input_modalities.contains(&(*input).to_owned()))
}

fn slugs() -> impl Strategy<Value = Vec<String>> {
    let names = [
        "openai",
        "azure",
        "openai/flex",
        "deepinfra",
        "deepinfra/fp8",
        "novita",
        "together",
        "nobody",
    ];
    proptest::collection::vec(
        proptest::sample::select(names.to_vec()).prop_map(str::to_owned),
        0..4,
    )
}

fn wishes() -> impl Strategy<Value = Preferences> {
    let price = || proptest::option::of((1i64..400).prop_map(|cents| Decimal::new(cents, 2)));
    let quantizations = proptest::sample::select(vec!["fp8", "bf16", "unknown"]).prop_map(str::to_owned);
    (
        slugs(),
        proptest::option::of(slugs()),
        slugs(),
        any::<[bool; 4]>(),
        proptest::option::of(proptest::collection::vec(quantizations, 0..3)),
        (price(), price()),
    )
        .prop_map(
            |(
                order,
                only,
                ignore,
                [no_fallbacks, require_parameters, deny_collection, zdr],
                quantizations,
                (prompt, completion),
            )| {
                Preferences {
                    order,
                    only,
                    ignore,
                    no_fallbacks,
                    require_parameters,
                    deny_collection,
                    zdr: zdr && deny_collection,
                    quantizations,
                    max_price: MaxPrice {
                        prompt,
                        completion,
                        ..MaxPrice::default()
                    },
                    ..Preferences::default()
                }
            },
        )
}

proptest! {
    #[test]
    fn the_filter_keeps_what_each_rule_keeps(
        seed in 0u64..50, wishes in wishes(), model in 0usize..3, flex: bool,
        prompt_tokens in 1u64..100_000, max_tokens in proptest::option::of(1u64..60_000),
        sent in proptest::sample::subsequence(vec!["seed", "logprobs", "temperature"], 0..3),
    ) {
        let name = ["openai/gpt-4o-mini", "meta-llama/llama-3.3-70b-instruct", "deepseek/deepseek-chat"][model];
        let endpoints = of(name, seed);
        let mut need = need(&wishes, &[]);
        need.only_tier = flex.then_some(Tier::Flex);
        (need.prompt_tokens, need.max_tokens, need.sent) = (prompt_tokens, max_tokens, &sent);
        let (left, funnel) = filter(candidates(&endpoints), &need);
        let mut expected: Vec<&str> = endpoints.iter().filter(|one| naive(one, &need)).map(|one| one.tag.as_str()).collect();
        if flex && expected.iter().any(|tag| tag.ends_with("/flex")) {
            expected.retain(|tag| tag.ends_with("/flex"));
        }
        prop_assert_eq!(tags(&left), expected);
        prop_assert!(funnel.0.iter().map(|(_, left)| std::cmp::Reverse(left)).is_sorted());
        prop_assert_eq!(funnel.0.last().unwrap().1 == 0, left.is_empty());
        // The order loses and invents nothing.
        let count = left.len();
        let list = order(left, &need, &mut Dice::new(seed, "x", &[]));
        prop_assert_eq!(list.len(), if wishes.no_fallbacks && wishes.order.is_empty() { count.min(1) } else { count });
    }
}
