//! What an answer used and what it costs, by the prices of the catalogue.

use costing::{Bucket, Cost, PriceKey, PriceSheet, Quantities, UtcTime};
use integration_core::Usage;
use rust_decimal::Decimal;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::answer::Answer;
use crate::dice::Dice;

/// Prompts from this size on are sometimes found in a cache, where the model has a price for that.
const CACHED_FROM: u64 = 1024;
/// How often they are.
const CACHED: f64 = 0.4;
/// Caches keep whole blocks of so many tokens.
const CACHE_BLOCK: u64 = 128;

/// The counts of one call and their price.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bill {
    pub(crate) prompt: u64,
    pub(crate) completion: u64,
    pub(crate) reasoning: u64,
    pub(crate) cached: u64,
    /// `None` where the catalogue has no price.
    pub(crate) amounts: Option<Amounts>,
}

/// US dollars, exact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Amounts {
    pub(crate) total: Decimal,
    prompt: Decimal,
    completion: Decimal,
}

impl Bill {
    /// Prices an answer at the time of the call.
    pub(crate) fn new(
        prompt: u64,
        answer: &Answer,
        sheet: Option<&PriceSheet>,
        at: UtcTime,
        dice: &mut Dice,
    ) -> Self {
        let found = dice.chance(CACHED);
        let share = dice.between(50, 90);
        let has_price = sheet.is_some_and(|sheet| sheet.rate(PriceKey::InputCacheRead, prompt, at).is_some());
        let cached = if found && has_price && prompt >= CACHED_FROM {
            prompt.saturating_mul(share.into()) / 100 / CACHE_BLOCK * CACHE_BLOCK
        } else {
            0
        };
        let mut bill = Self {
            prompt,
            completion: answer.completion_tokens,
            reasoning: answer.reasoning_tokens,
            cached,
            amounts: None,
        };
        let cost = || {
            sheet?
                .cost(&Quantities::from_usage(&bill.counts()).ok()?, at)
                .ok()
        };
        bill.amounts = cost().and_then(|cost| Amounts::of(&cost));
        bill
    }

    fn counts(&self) -> Usage {
        let mut usage = Usage::of_tokens(self.prompt, self.completion);
        usage.cached_tokens = Some(self.cached);
        usage.reasoning_tokens = Some(self.reasoning);
        usage
    }

    /// What is charged for a call that ended in an error: the counts, and nothing.
    pub(crate) fn waived(self) -> Self {
        Self {
            amounts: self.amounts.map(|_| Amounts::default()),
            ..self
        }
    }

    /// US dollars in all.
    pub(crate) fn total(&self) -> Option<Decimal> {
        self.amounts.map(|amounts| amounts.total)
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
            is_byok: false,
            prompt_tokens_details: PromptDetails {
                cached_tokens: self.cached,
                cache_write_tokens: 0,
                audio_tokens: 0,
                video_tokens: 0,
            },
            cost_details: CostDetails {
                upstream_inference_cost: amount(|amounts| amounts.prompt + amounts.completion),
                upstream_inference_prompt_cost: amount(|amounts| amounts.prompt),
                upstream_inference_completions_cost: amount(|amounts| amounts.completion),
            },
            completion_tokens_details: CompletionDetails {
                reasoning_tokens: self.reasoning,
                image_tokens: 0,
                audio_tokens: 0,
            },
        }
    }
}

impl Amounts {
    /// The fee for the request itself is in the total and in neither part, as the service has it.
    fn of(cost: &Cost) -> Option<Self> {
        let mut amounts = Self {
            total: cost.total(),
            ..Self::default()
        };
        for line in cost.lines() {
            let part = match line.bucket {
                Bucket::UncachedPrompt | Bucket::CacheRead => &mut amounts.prompt,
                Bucket::Completion | Bucket::Reasoning => &mut amounts.completion,
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
    cost_details: CostDetails,
    completion_tokens_details: CompletionDetails,
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

#[cfg(test)]
mod tests {
    use model_catalogue::PriceStrings;
    use proptest::prelude::*;

    use super::*;

    fn answer(completion: u64, reasoning: u64) -> Answer {
        Answer {
            reasoning: None,
            content: String::new(),
            calls: Vec::new(),
            finish: "stop",
            native_finish: "stop",
            completion_tokens: completion,
            reasoning_tokens: reasoning,
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
        let bill = Bill::new(3, &answer(2, 0), Some(&sheet), AT, &mut Dice::new(1, "bill", &[]));
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
            let bill = Bill::new(3, &answer(2, 0), sheet, AT, &mut Dice::new(1, "bill", &[]));
            assert_eq!((bill.total(), bill.waived().total()), (None, None));
            assert!(
                serde_json::to_string(&bill.usage())
                    .unwrap()
                    .contains(r#""cost":null"#)
            );
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_what_costing_says(prompt in 1u64..20_000, completion in 0u64..5_000, share in 0u64..=100, seed: u64) {
            let sheet = sheet(&[
                ("prompt", "0.0000025"), ("completion", "0.000010000001"), ("input_cache_read", "0.00000031"),
                ("internal_reasoning", "0.00002"),
            ]);
            let reasoning = completion * share / 100;
            let bill = Bill::new(prompt, &answer(completion, reasoning), Some(&sheet), AT, &mut Dice::new(seed, "bill", &[]));
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
