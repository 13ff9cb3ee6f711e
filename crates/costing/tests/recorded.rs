//! Real answers priced again: what the provider took against what the shipped prices say.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use std::collections::BTreeMap;

use costing::{
    Bucket, Cost, CostStatus, Markup, Pico, PriceBook, PriceKey, PriceSheet, PricedCall, Quantities, UtcTime,
    price_call,
};
use integration_core::testing::shared_data;
use integration_core::{ServerToolUse, Usage};
use model_catalogue::{Catalogue, ModelRecord};
use rust_decimal::Decimal;
use serde::Deserialize;
use serde_json::value::RawValue;

/// 10⁻⁹ US dollars.
const NEAR: Decimal = Decimal::from_parts(1, 0, 0, false, 9);

/// Half a unit of the fifth place.
const ROUNDED_BY_THE_UPSTREAM: Decimal = Decimal::from_parts(5, 0, 0, false, 6);

#[derive(Deserialize)]
struct Exchange {
    source: String,
    url_path: String,
    request_body: serde_json::Value,
    response_body: serde_json::Value,
}

#[derive(Deserialize)]
struct Answer {
    model: Option<String>,
    created: Option<i64>,
    created_at: Option<i64>,
    service_tier: Option<String>,
    usage: Option<Box<RawValue>>,
    /// Events of the responses route carry the answer within.
    response: Option<Box<Answer>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    Agrees,
    ModelAbsent,
    PriceChanged,
    ToolFee,
    OtherTier,
    Byok,
}

struct Priced {
    what: String,
    reported: Decimal,
    computed: Option<Decimal>,
    /// What the named rule explains: the provider's figure less ours, or less our tokens where the rest is a fee.
    explained: Option<Decimal>,
    verdict: Option<Verdict>,
}

#[test]
fn recorded_costs_are_found_again() {
    let test = "costing::recorded_costs_are_found_again";
    let Some(path) = shared_data(test, "openrouter/recorded/exchanges.jsonl") else {
        return;
    };
    let catalogue = Catalogue::bundled().unwrap();
    let (book, _) = PriceBook::from_catalogue(&catalogue);
    let text = std::fs::read_to_string(path).unwrap();

    let mut counted: BTreeMap<String, usize> = BTreeMap::new();
    let mut verdicts: BTreeMap<Verdict, usize> = BTreeMap::new();
    let mut without_a_reason = Vec::new();
    let mut to_the_last_digit = 0;
    let mut without_cost: BTreeMap<CostStatus, usize> = BTreeMap::new();
    for (line, json) in text.lines().enumerate() {
        let exchange: Exchange = serde_json::from_str(json).unwrap();
        let Some((answer, usage)) = answer_with_usage(&exchange) else {
            continue;
        };
        if usage.reported.cost.is_none() {
            *without_cost
                .entry(status_without_cost(&catalogue, &book, &exchange, &answer, &usage))
                .or_default() += 1;
            continue;
        }
        let priced = price(&catalogue, &book, &exchange, &answer, &usage);
        let route = exchange.url_path.rsplit("/v1/").next().unwrap().to_owned();
        *counted.entry(route.clone()).or_default() += 1;
        // The routes whose models are in the list of models; the others are shown, but not counted among the 226.
        if is_counted(&route)
            && let Some(verdict) = priced.verdict
        {
            *verdicts.entry(verdict).or_default() += 1;
            to_the_last_digit += usize::from(
                verdict == Verdict::Agrees && priced.explained.is_some_and(|rest| rest.is_zero()),
            );
        }
        if priced.verdict != Some(Verdict::Agrees) {
            println!(
                "{:>3} {:<21} {:<13} reported {:<14} computed {:<16} explained {:<14} {} ({})",
                line + 1,
                route,
                priced
                    .verdict
                    .map_or_else(|| "NO REASON".to_owned(), |verdict| format!("{verdict:?}")),
                priced.reported.to_string(),
                priced
                    .computed
                    .map_or_else(|| "-".to_owned(), |cost| cost.normalize().to_string()),
                priced
                    .explained
                    .map_or_else(|| "-".to_owned(), |amount| amount.normalize().to_string()),
                priced.what,
                exchange.source,
            );
        }
        if priced.verdict.is_none() {
            without_a_reason.push(line + 1);
        }
    }
    let of_routes: usize = counted
        .iter()
        .filter(|(route, _)| is_counted(route))
        .map(|(_, n)| n)
        .sum();
    println!("exchanges whose answer states usage.cost, by route: {counted:?}");
    println!("of the {of_routes} of chat/completions, responses and embeddings: {verdicts:?}");
    println!(
        "{to_the_last_digit} of those that agree do so to the last digit the provider sent, the others within $0.000000001"
    );
    println!("exchanges whose usage states no cost, by status: {without_cost:?}");
    assert_eq!(without_a_reason, [] as [usize; 0]);
    assert_eq!(verdicts.values().sum::<usize>(), of_routes);
    assert_eq!(of_routes, 226);
    assert!(verdicts[&Verdict::Agrees] >= 205);
    assert!(!without_cost.is_empty());
}

fn is_counted(route: &str) -> bool {
    matches!(route, "chat/completions" | "responses" | "embeddings")
}

/// The last part of an answer that states a cost, or else the last with a usage: the whole body, or an event of a stream.
fn answer_with_usage(exchange: &Exchange) -> Option<(Answer, Usage)> {
    let body = exchange.response_body.as_str()?;
    let parts: Vec<&str> = if body.trim_start().starts_with('{') {
        vec![body]
    } else {
        body.lines()
            .filter_map(|line| line.strip_prefix("data:"))
            .collect()
    };
    let mut last = None;
    for part in parts {
        let Ok(mut answer) = serde_json::from_str::<Answer>(part.trim()) else {
            continue;
        };
        if let Some(inner) = answer.response.take() {
            answer = *inner;
        }
        let Some(raw) = &answer.usage else { continue };
        if raw.get() == "null" {
            continue;
        }
        let usage = Usage::from_json(raw.get()).unwrap();
        let stated = |last: &Option<(Answer, Usage)>| {
            last.as_ref()
                .is_some_and(|(_, usage)| usage.reported.cost.is_some())
        };
        if usage.reported.cost.is_some() || !stated(&last) {
            last = Some((answer, usage));
        }
    }
    last
}

/// The prices of the model that was asked for, or else of the one that answered.
fn sheet_of<'b>(
    catalogue: &Catalogue,
    book: &'b PriceBook,
    exchange: &Exchange,
    answer: &Answer,
) -> (String, Option<&'b PriceSheet>) {
    let request: Option<serde_json::Value> = exchange
        .request_body
        .as_str()
        .and_then(|text| serde_json::from_str(text).ok());
    let requested = request.as_ref().and_then(|body| body["model"].as_str());
    let served = answer.model.as_deref();
    let what = format!("{} -> {}", requested.unwrap_or("-"), served.unwrap_or("-"));
    let found = |name: Option<&str>| {
        let record: &ModelRecord = catalogue.resolve(name?)?;
        // A router is in the list, but the price is that of the model it chose.
        book.sheet(&record.id).filter(|sheet| !sheet.is_dynamic())
    };
    (what, found(requested).or_else(|| found(served)))
}

fn instant(answer: &Answer) -> UtcTime {
    UtcTime::from_unix(answer.created.or(answer.created_at).unwrap_or(0))
}

/// A usage without a cost is computed, or has no amount: it is never zero for want of a figure.
fn status_without_cost(
    catalogue: &Catalogue,
    book: &PriceBook,
    exchange: &Exchange,
    answer: &Answer,
    usage: &Usage,
) -> CostStatus {
    let (_, sheet) = sheet_of(catalogue, book, exchange, answer);
    let priced = price_call(Some(usage), sheet, instant(answer), Markup::DEFAULT);
    assert_eq!(priced.charge.cost.is_some(), priced.computed.is_some());
    assert_eq!(
        priced.charge.status == CostStatus::Computed,
        priced.computed.is_some()
    );
    check_bill(&priced);
    priced.charge.status
}

/// The lines add up to the charge, to the pico-dollar.
fn check_bill(priced: &PricedCall) {
    let sum = priced.bill().map(|bill| {
        bill.lines()
            .try_fold(Pico::ZERO, |sum, line| sum.checked_add(line.amount))
            .unwrap()
    });
    assert_eq!(sum, priced.charge.charge);
}

fn price(
    catalogue: &Catalogue,
    book: &PriceBook,
    exchange: &Exchange,
    answer: &Answer,
    usage: &Usage,
) -> Priced {
    let reported = usage.reported.total().unwrap();
    let (what, sheet) = sheet_of(catalogue, book, exchange, answer);
    let at = instant(answer);
    let priced = price_call(Some(usage), sheet, at, Markup::DEFAULT);
    assert_eq!(priced.charge.status, CostStatus::Reported);
    assert_eq!(priced.reported, Some(reported));
    check_bill(&priced);
    let Some(sheet) = sheet else {
        return Priced {
            what,
            reported,
            computed: None,
            explained: Some(reported),
            verdict: Some(Verdict::ModelAbsent),
        };
    };
    let byok = usage.reported.is_byok == Some(true);
    let verdict = if near(priced.difference(), Some(Decimal::ZERO)) {
        Some(Verdict::Agrees)
    } else {
        reason(sheet, usage, answer, at, byok)
    };
    Priced {
        what,
        reported,
        computed: priced.computed.map(|cost| cost.total()),
        explained: priced
            .difference()
            .or_else(|| Some(reported - tokens_alone(sheet, usage, at)?.total())),
        verdict,
    }
}

/// What the tokens cost, without the tools that were run.
fn tokens_alone(sheet: &PriceSheet, usage: &Usage, at: UtcTime) -> Option<Cost> {
    let mut tokens = usage.clone();
    tokens.server_tools = ServerToolUse::default();
    let quantities = Quantities::from_usage(&tokens).ok()?;
    sheet.cost(&quantities, at).ok()
}

fn near(a: Option<Decimal>, b: Option<Decimal>) -> bool {
    matches!((a, b), (Some(a), Some(b)) if (a - b).abs() <= NEAR)
}

/// Why the figures differ, by what the answer itself says. `None` if it does not say: then it is our mistake.
fn reason(sheet: &PriceSheet, usage: &Usage, answer: &Answer, at: UtcTime, byok: bool) -> Option<Verdict> {
    if byok {
        return Some(Verdict::Byok);
    }
    if answer
        .service_tier
        .as_deref()
        .is_some_and(|tier| !matches!(tier, "default" | "standard" | "auto"))
    {
        return Some(Verdict::OtherTier);
    }
    // The tokens alone, as the provider splits them off from all fees.
    let quantities = Quantities::from_usage(usage).unwrap();
    let cost = tokens_alone(sheet, usage, at)?;
    let (prompt, completion) = (
        usage.reported.upstream_prompt_cost?,
        usage.reported.upstream_completion_cost?,
    );
    let same_prompt = near(Some(part(&cost, is_prompt)), Some(prompt));
    let same_completion = near(Some(part(&cost, is_completion)), Some(completion));
    let fee = usage.reported.cost? - prompt - completion;
    if same_prompt && same_completion && fee > NEAR {
        // Our tokens are theirs to the last digit; on top comes what tools cost, which the answer says were run.
        return (usage.server_tools != ServerToolUse::default()).then_some(Verdict::ToolFee);
    }
    let search = sheet
        .rate(PriceKey::WebSearch, quantities.prompt_tokens(), at)
        .filter(|fee| !fee.is_zero());
    if let (true, Some(search)) = (same_prompt, search) {
        // An upstream that searches unasked puts the fee into the completion and rounds the sum to five places.
        let excess = usage.reported.cost? - cost.total();
        let searches = (excess / search).round();
        let off = (excess - searches * search).abs();
        if searches >= Decimal::ONE && off <= ROUNDED_BY_THE_UPSTREAM {
            return Some(Verdict::ToolFee);
        }
    }
    // Only where there is nothing but plain tokens does another amount prove another price, and not a mistake in our buckets.
    let plain = Bucket::ALL.into_iter().all(|bucket| {
        quantities.get(bucket) == 0
            || matches!(
                bucket,
                Bucket::UncachedPrompt | Bucket::Completion | Bucket::Reasoning | Bucket::Request
            )
    });
    (plain && fee.abs() <= NEAR && !same_prompt && !same_completion).then_some(Verdict::PriceChanged)
}

fn part(cost: &Cost, of: fn(Bucket) -> bool) -> Decimal {
    cost.lines()
        .filter(|line| of(line.bucket))
        .map(|line| line.amount)
        .sum()
}

fn is_prompt(bucket: Bucket) -> bool {
    bucket.is_tokens() && !is_completion(bucket)
}

fn is_completion(bucket: Bucket) -> bool {
    matches!(
        bucket,
        Bucket::Completion | Bucket::Reasoning | Bucket::AudioCompletion | Bucket::ImageCompletion
    )
}
