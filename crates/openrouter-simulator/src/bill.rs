//! What an answer used and what it costs, by the prices of the catalogue.

use costing::{Bucket, Cost, PriceKey, PriceSheet, Quantities, UtcTime};
use integration_core::Usage;
use rust_decimal::Decimal;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::dice::Dice;

/// Prompts from this size on are sometimes found in a cache, where the model has a price for that.
const CACHED_FROM: u64 = 1024;
/// How often they are.
const CACHED: f64 = 0.4;
/// Caches keep whole blocks of so many tokens.
const CACHE_BLOCK: u64 = 128;
/// What one search by the service's own engine costs, in US dollars, whoever serves the model.
pub(crate) const SEARCH_FEE: Decimal = Decimal::from_parts(7, 0, 0, false, 3);

/// What one call used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Counts {
    pub(crate) prompt: u64,
    /// Reasoning included.
    pub(crate) completion: u64,
    pub(crate) reasoning: u64,
    /// Tokens of the prompt that were read from a cache.
    pub(crate) cached: u64,
    /// Tokens of the prompt that were written to a cache.
    pub(crate) written: u64,
    /// Whether they are kept for an hour instead of five minutes.
    pub(crate) written_for_an_hour: bool,
    /// Searches by the service's own engine.
    pub(crate) searches: u64,
    /// Searches by the upstream itself, which are on its list.
    pub(crate) native_searches: u64,
    /// Calls of the service's own tools, searches among them.
    pub(crate) tool_calls: u64,
}

/// How a call is charged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Terms {
    /// From the credits.
    #[default]
    Credits,
    /// By the upstream itself, to a key of the account's own; the service takes a share of the list price, as far as that
    /// goes beyond what is still free this month.
    OwnKey { free: Decimal, share: Decimal },
}

/// All that decides what a call costs, for a call that may end before its answer does.
#[derive(Debug, Clone)]
pub(crate) struct Charge {
    pub(crate) counts: Counts,
    pub(crate) sheet: Option<PriceSheet>,
    pub(crate) at: UtcTime,
    pub(crate) terms: Terms,
}

impl Charge {
    /// The price of the whole answer.
    pub(crate) fn bill(&self) -> Bill {
        Bill::new(self.counts, self.sheet.as_ref(), self.at, self.terms)
    }

    /// The price of its first tokens. A model thinks before it speaks; where nothing came of it, nothing is charged but tools.
    pub(crate) fn of_part(&self, completion: u64) -> Bill {
        let counts = Counts {
            completion,
            reasoning: self.counts.reasoning.min(completion),
            ..self.counts
        };
        let bill = Bill::new(counts, self.sheet.as_ref(), self.at, self.terms);
        if completion == 0 { bill.waived() } else { bill }
    }
}

/// The counts of one call and their price.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Bill {
    pub(crate) prompt: u64,
    pub(crate) completion: u64,
    pub(crate) reasoning: u64,
    pub(crate) cached: u64,
    pub(crate) written: u64,
    pub(crate) searches: u64,
    pub(crate) tool_calls: u64,
    pub(crate) byok: bool,
    /// `None` where there is no price.
    pub(crate) amounts: Option<Amounts>,
}

/// US dollars, exact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Amounts {
    /// What the service charges.
    pub(crate) total: Decimal,
    /// What the service's own tools cost; a part of the total.
    tools: Decimal,
    prompt: Decimal,
    completion: Decimal,
    /// What the upstream charges besides, for searches.
    native: Decimal,
    /// What the list says of it all, without the service's own tools.
    list: Decimal,
}

/// How much of a prompt somebody else's request has left in a cache: nothing for a short one, or where caches have no price.
pub(crate) fn found_in_a_cache(prompt: u64, sheet: Option<&PriceSheet>, at: UtcTime, dice: &mut Dice) -> u64 {
    let found = dice.chance(CACHED);
    let share = dice.between(50, 90);
    let has_price = sheet.is_some_and(|sheet| sheet.rate(PriceKey::InputCacheRead, prompt, at).is_some());
    if found && has_price && prompt >= CACHED_FROM {
        prompt.saturating_mul(share.into()) / 100 / CACHE_BLOCK * CACHE_BLOCK
    } else {
        0
    }
}

impl Bill {
    /// Prices a call by the list of whoever served it, at the time of the call.
    pub(crate) fn new(counts: Counts, sheet: Option<&PriceSheet>, at: UtcTime, terms: Terms) -> Self {
        let mut usage = Usage::of_tokens(counts.prompt, counts.completion);
        usage.cached_tokens = Some(counts.cached);
        usage.reasoning_tokens = Some(counts.reasoning);
        usage.cache_write_tokens = Some(counts.written);
        usage.cache_write_1h_tokens = counts.written_for_an_hour.then_some(counts.written);
        usage.server_tools.web_search_requests = Some(counts.native_searches);
        let cost = || sheet?.cost(&Quantities::from_usage(&usage).ok()?, at).ok();
        let tools = SEARCH_FEE.checked_mul(Decimal::from(counts.searches));
        let amounts = cost()
            .zip(tools)
            .and_then(|(cost, tools)| Amounts::of(&cost, tools, terms));
        Self {
            prompt: counts.prompt,
            completion: counts.completion,
            reasoning: counts.reasoning,
            cached: counts.cached,
            written: counts.written,
            searches: counts.searches + counts.native_searches,
            tool_calls: counts.tool_calls,
            byok: terms != Terms::Credits,
            amounts,
        }
    }

    /// What is charged for a call that ended in an error or in nothing: the counts, and the fees of tools that did run.
    pub(crate) fn waived(self) -> Self {
        Self {
            amounts: self.amounts.map(|amounts| Amounts {
                total: amounts.tools,
                tools: amounts.tools,
                ..Amounts::default()
            }),
            ..self
        }
    }

    /// What an answer out of the response cache counts: nothing at all.
    pub(crate) fn cached_answer() -> Self {
        Self {
            amounts: Some(Amounts::default()),
            ..Self::default()
        }
    }

    /// US dollars that the service charges.
    pub(crate) fn total(&self) -> Option<Decimal> {
        self.amounts.map(|amounts| amounts.total)
    }

    /// US dollars by the list, which is what the allowance for own keys counts.
    pub(crate) fn list_price(&self) -> Decimal {
        self.amounts.map(|amounts| amounts.list).unwrap_or_default()
    }

    /// US dollars that the upstream charges, to whomever.
    pub(crate) fn upstream(&self) -> Option<Decimal> {
        self.amounts
            .map(|amounts| amounts.prompt + amounts.completion + amounts.native)
    }

    /// The object `usage`.
    pub(crate) fn usage(&self) -> UsageObject {
        let amount =
            |part: fn(&Amounts) -> Decimal| self.amounts.as_ref().and_then(|amounts| number(part(amounts)));
        UsageObject {
            prompt_tokens: self.prompt,
            completion_tokens: self.completion,
            total_tokens: self.prompt.saturating_add(self.completion),
            cost: amount(|amounts| amounts.total),
            is_byok: self.byok,
            prompt_tokens_details: PromptDetails {
                cached_tokens: self.cached,
                cache_write_tokens: self.written,
                audio_tokens: 0,
                video_tokens: 0,
            },
            // Without a price there is nothing to take apart; the parts may not be null where the object is there.
            cost_details: self.amounts.is_some().then(|| CostDetails {
                upstream_inference_cost: amount(|amounts| {
                    amounts.prompt + amounts.completion + amounts.native
                }),
                upstream_inference_prompt_cost: amount(|amounts| amounts.prompt),
                upstream_inference_completions_cost: amount(|amounts| amounts.completion),
            }),
            completion_tokens_details: CompletionDetails {
                reasoning_tokens: self.reasoning,
                image_tokens: 0,
                audio_tokens: 0,
            },
            server_tool_use_details: (self.searches + self.tool_calls > 0).then(|| ServerToolUse {
                tool_calls_requested: (self.tool_calls > 0).then_some(self.tool_calls),
                tool_calls_executed: (self.tool_calls > 0).then_some(self.tool_calls),
                web_search_requests: (self.searches > 0).then_some(self.searches),
            }),
        }
    }
}

impl Amounts {
    /// The fee for the request itself is in the total and in neither part, as the service has it; so are the service's own
    /// tools, which an own key does not pay for.
    fn of(cost: &Cost, tools: Decimal, terms: Terms) -> Option<Self> {
        let charged = match terms {
            Terms::Credits => cost.total(),
            Terms::OwnKey { free, share } => cost
                .total()
                .saturating_sub(free)
                .max(Decimal::ZERO)
                .checked_mul(share)?,
        };
        let mut amounts = Self {
            total: charged.checked_add(tools)?,
            tools,
            list: cost.total(),
            ..Self::default()
        };
        for line in cost.lines() {
            let part = match line.bucket {
                Bucket::UncachedPrompt | Bucket::CacheRead | Bucket::CacheWrite | Bucket::CacheWrite1h => {
                    &mut amounts.prompt
                }
                Bucket::Completion | Bucket::Reasoning => &mut amounts.completion,
                Bucket::WebSearch => &mut amounts.native,
                _ => continue,
            };
            *part = part.checked_add(line.amount)?;
        }
        Some(amounts)
    }
}

/// A decimal as a JSON number with every digit.
pub(crate) fn number(amount: Decimal) -> Option<Box<RawValue>> {
    RawValue::from_string(amount.normalize().to_string()).ok()
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct UsageObject {
    prompt_tokens: u64,
    completion_tokens: u64,
    total_tokens: u64,
    cost: Option<Box<RawValue>>,
    is_byok: bool,
    prompt_tokens_details: PromptDetails,
    cost_details: Option<CostDetails>,
    completion_tokens_details: CompletionDetails,
    #[serde(skip_serializing_if = "Option::is_none")]
    server_tool_use_details: Option<ServerToolUse>,
}

#[derive(Debug, Clone, Serialize)]
struct PromptDetails {
    cached_tokens: u64,
    cache_write_tokens: u64,
    audio_tokens: u64,
    video_tokens: u64,
}

#[derive(Debug, Clone, Serialize)]
struct CostDetails {
    upstream_inference_cost: Option<Box<RawValue>>,
    upstream_inference_prompt_cost: Option<Box<RawValue>>,
    upstream_inference_completions_cost: Option<Box<RawValue>>,
}

#[derive(Debug, Clone, Serialize)]
struct CompletionDetails {
    reasoning_tokens: u64,
    image_tokens: u64,
    audio_tokens: u64,
}

#[derive(Debug, Clone, Serialize)]
struct ServerToolUse {
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_calls_requested: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_calls_executed: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    web_search_requests: Option<u64>,
}

#[cfg(test)]
mod tests {
    use model_catalogue::PriceStrings;
    use proptest::prelude::*;

    use super::*;

    fn counts(prompt: u64, completion: u64) -> Counts {
        Counts {
            prompt,
            completion,
            ..Counts::default()
        }
    }

    fn sheet(rates: &[(&str, &str)]) -> PriceSheet {
        PriceSheet::parse(&PriceStrings::new(rates.iter().copied())).unwrap()
    }

    const AT: UtcTime = UtcTime::from_unix(1_787_000_000);

    #[test]
    fn the_digits_are_exact_and_a_request_fee_is_no_part_of_the_upstream_cost() {
        let sheet = sheet(&[
            ("prompt", "0.0000000208333333333333"),
            ("completion", "0.0000011"),
            ("request", "0.01"),
        ]);
        let bill = Bill::new(counts(3, 2), Some(&sheet), AT, Terms::Credits);
        let usage = serde_json::to_string(&bill.usage()).unwrap();
        assert!(usage.contains(r#""cost":0.0100022624999999999999,"#), "{usage}");
        assert!(
            usage.contains(r#""upstream_inference_cost":0.0000022624999999999999,"#),
            "{usage}"
        );
        assert!(
            usage.contains(r#""upstream_inference_prompt_cost":0.0000000624999999999999,"#),
            "{usage}"
        );
        assert!(
            usage.contains(r#""upstream_inference_completions_cost":0.0000022"#),
            "{usage}"
        );
        assert_eq!(bill.waived().total(), Some(Decimal::ZERO));
    }

    #[test]
    fn without_a_price_there_is_no_cost() {
        let dynamic = sheet(&[("prompt", "-1"), ("completion", "-1")]);
        for sheet in [None, Some(&dynamic)] {
            let bill = Bill::new(counts(3, 2), sheet, AT, Terms::Credits);
            assert_eq!((bill.total(), bill.waived().total()), (None, None));
            assert!(
                serde_json::to_string(&bill.usage())
                    .unwrap()
                    .contains(r#""cost":null"#)
            );
        }
    }

    #[test]
    fn an_own_key_pays_the_upstream_and_the_service_takes_its_share() {
        let sheet = sheet(&[("prompt", "0.001"), ("completion", "0.002")]);
        let used = Counts {
            searches: 2,
            tool_calls: 2,
            ..counts(10, 5)
        };
        let share = Decimal::new(5, 2);
        let terms = |free| Terms::OwnKey { free, share };
        let bill = Bill::new(used, Some(&sheet), AT, terms(Decimal::ZERO));
        // 5 % of 0.02, and two searches.
        assert_eq!(bill.total(), Some(Decimal::new(15, 3)));
        assert_eq!(bill.upstream(), Some(Decimal::new(20, 3)));
        let usage: serde_json::Value = serde_json::to_value(bill.usage()).unwrap();
        assert_eq!(usage["is_byok"], true);
        assert_eq!(usage["server_tool_use_details"]["web_search_requests"], 2);
        // The tools did run, whatever became of the answer.
        assert_eq!(bill.waived().total(), Some(Decimal::new(14, 3)));
        // The call that crosses the edge of the allowance pays for what lies beyond it, and no call more than that.
        for (free, fee) in [("0", "0.001"), ("0.004", "0.0008"), ("0.02", "0"), ("9", "0")] {
            let bill = Bill::new(counts(10, 5), Some(&sheet), AT, terms(free.parse().unwrap()));
            assert_eq!(bill.total(), Some(fee.parse().unwrap()), "{free}");
            assert_eq!(bill.list_price(), Decimal::new(20, 3));
        }
    }

    #[test]
    fn a_part_of_an_answer_costs_its_own_tokens() {
        let charge = Charge {
            counts: Counts {
                reasoning: 4,
                searches: 1,
                ..counts(10, 20)
            },
            sheet: Some(sheet(&[("prompt", "0.001"), ("completion", "0.002")])),
            at: AT,
            terms: Terms::Credits,
        };
        let part = charge.of_part(3);
        assert_eq!((part.completion, part.reasoning), (3, 3));
        assert_eq!(part.total(), Some(Decimal::new(23, 3)));
        assert_eq!(charge.of_part(20), charge.bill());
        // The search was made all the same.
        assert_eq!(charge.of_part(0).total(), Some(SEARCH_FEE));
    }

    #[test]
    fn what_is_written_to_a_cache_has_a_price_of_its_own() {
        let sheet = sheet(&[
            ("prompt", "0.001"),
            ("completion", "0"),
            ("input_cache_read", "0.0001"),
            ("input_cache_write", "0.00125"),
            ("input_cache_write_1h", "0.002"),
        ]);
        let used = Counts {
            cached: 2,
            written: 4,
            ..counts(10, 0)
        };
        let bill = Bill::new(used, Some(&sheet), AT, Terms::Credits);
        assert_eq!(bill.total(), Some(Decimal::new(92, 4)));
        let hour = Counts {
            written_for_an_hour: true,
            ..used
        };
        let bill = Bill::new(hour, Some(&sheet), AT, Terms::Credits);
        assert_eq!(bill.total(), Some(Decimal::new(122, 4)));
    }

    proptest! {
        #[test]
        fn what_is_written_is_what_costing_says(prompt in 1u64..20_000, completion in 0u64..5_000, share in 0u64..=100, seed: u64) {
            let sheet = sheet(&[
                ("prompt", "0.0000025"), ("completion", "0.000010000001"), ("input_cache_read", "0.00000031"),
                ("internal_reasoning", "0.00002"),
            ]);
            let reasoning = completion * share / 100;
            let cached = found_in_a_cache(prompt, Some(&sheet), AT, &mut Dice::new(seed, "bill", &[]));
            let counts = Counts { reasoning, cached, ..counts(prompt, completion) };
            let bill = Bill::new(counts, Some(&sheet), AT, Terms::Credits);
            prop_assert!(bill.cached <= prompt && (prompt >= CACHED_FROM || bill.cached == 0));
            let read = Usage::from_json(&serde_json::to_string(&bill.usage()).unwrap()).unwrap();
            let expected = sheet.cost(&Quantities::from_usage(&read).unwrap(), AT).unwrap();
            prop_assert_eq!(read.reported.cost, Some(expected.total()));
            prop_assert_eq!(read.reported.total(), Some(expected.total()));
            let parts = read.reported.upstream_prompt_cost.unwrap() + read.reported.upstream_completion_cost.unwrap();
            prop_assert_eq!(Some(parts), read.reported.upstream_cost);
        }
    }
}
