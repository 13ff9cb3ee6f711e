//! What the service remembers of its answers: the records that can be looked up, and what each key has spent.

use std::time::Duration;

use costing::UtcTime;
use rust_decimal::Decimal;
use serde_json::{Map, Value, json};

use crate::bill::{Bill, number};
use crate::bounded::Bounded;
use crate::routes::dates::rfc3339;
use crate::routes::spending::{Spending, Spent};

/// How many records are kept; the oldest go first.
pub(crate) const KEPT: usize = 10_000;

/// One answer, to be looked up by its id.
#[derive(Debug, Clone)]
pub(crate) struct Generation {
    pub(crate) created: u64,
    pub(crate) model: String,
    pub(crate) provider: &'static str,
    pub(crate) streamed: bool,
    /// `None` where the answer did not come to its end.
    pub(crate) finish: Option<&'static str>,
    pub(crate) native_finish: Option<&'static str>,
    /// Whether whoever read it went before its end.
    pub(crate) cancelled: bool,
    pub(crate) bill: Bill,
    /// What else its record says, by the names of its fields.
    pub(crate) more: Map<String, Value>,
    /// When it can be looked up, since the start.
    pub(crate) visible: Duration,
}

/// All of it, bounded.
#[derive(Debug)]
pub(crate) struct Memory {
    /// Each with whether somebody has said something about it.
    records: Bounded<String, (Generation, bool)>,
    /// By the fingerprint of the key; keys themselves are not kept.
    pub(crate) spending: Spending,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            records: Bounded::new(KEPT),
            spending: Spending::default(),
        }
    }
}

impl Memory {
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    pub(crate) fn remember(&mut self, id: String, key: u64, generation: Generation) {
        let bill = &generation.bill;
        let byok = if bill.byok { bill.upstream() } else { None };
        self.spending.record(
            key,
            &Spent {
                at: generation.at(),
                model: &generation.model,
                provider: generation.provider,
                cost: bill.total().unwrap_or_default(),
                byok: byok.unwrap_or_default(),
                prompt: bill.prompt,
                completion: bill.completion,
                reasoning: bill.reasoning,
                cached: bill.cached,
            },
        );
        self.records.insert(id, (generation, false));
    }

    /// The record, if there is one and it can be seen by now.
    pub(crate) fn find(&self, id: &str, now: Duration) -> Option<&Generation> {
        self.records
            .get(id)
            .map(|(generation, _)| generation)
            .filter(|generation| now >= generation.visible)
    }

    /// Notes that somebody has said something about an answer; `false` if somebody had, `None` if there is no such answer.
    pub(crate) fn rate(&mut self, id: &str, now: Duration) -> Option<bool> {
        let record = self.records.get_mut(id);
        let (_, rated) = record.filter(|(generation, _)| now >= generation.visible)?;
        Some(!std::mem::replace(rated, true))
    }
}

/// Fields of a record that are always there and of which nothing is known here.
const UNKNOWN: &[&str] = &[
    "upstream_id",
    "request_id",
    "session_id",
    "app_id",
    "provider_responses",
    "moderation_latency",
    "num_media_prompt",
    "num_media_completion",
    "num_input_audio_prompt",
    "num_search_results",
    "num_fetches",
    "web_search_engine",
    "http_referer",
    "user_agent",
    "cache_discount",
    "router",
    "preset_id",
    "service_tier",
    "external_user",
    "workspace_id",
];

/// What kind of call an id belongs to.
fn api_type(id: &str) -> &'static str {
    if id.starts_with("gen-emb-") {
        "embeddings"
    } else if id.starts_with("gen-rerank-") {
        "rerank"
    } else {
        "completions"
    }
}

impl Generation {
    fn at(&self) -> UtcTime {
        UtcTime::from_unix(i64::try_from(self.created).unwrap_or(i64::MAX))
    }

    /// The body of `GET /generation`. Amounts are JSON numbers with every digit.
    pub(crate) fn page(&self, id: &str) -> String {
        let Bill {
            prompt,
            completion,
            reasoning,
            cached,
            ..
        } = self.bill;
        let amount = |text: Option<Decimal>| {
            text.and_then(number)
                .map_or_else(|| "null".to_owned(), |number| number.get().to_owned())
        };
        let mut data = json!({
            "id": id, "created_at": rfc3339(self.at()), "model": self.model, "api_type": api_type(id),
            "streamed": self.streamed, "cancelled": self.cancelled, "provider_name": self.provider,
            "latency": 0, "generation_time": 0,
            "finish_reason": self.finish, "native_finish_reason": self.native_finish,
            "tokens_prompt": prompt, "tokens_completion": completion,
            "native_tokens_prompt": prompt, "native_tokens_completion": completion,
            "native_tokens_reasoning": reasoning, "native_tokens_cached": cached, "native_tokens_completion_images": 0,
            "origin": "", "is_byok": self.bill.byok, "data_region": "global",
        });
        if let Some(fields) = data.as_object_mut() {
            fields.extend(UNKNOWN.iter().map(|name| ((*name).to_owned(), Value::Null)));
            fields.extend(self.more.clone());
        }
        let mut data = data.to_string();
        // The amounts are added as text: a JSON value would put them through a float.
        data.truncate(data.len() - 1);
        let cost = amount(self.bill.total());
        // Where the credits paid, the upstream's bill is none of the account's.
        let upstream = amount(Some(
            self.bill
                .upstream()
                .filter(|_| self.bill.byok)
                .unwrap_or_default(),
        ));
        format!(
            "{{\"data\":{data},\"upstream_inference_cost\":{upstream},\"usage\":{cost},\"total_cost\":{cost}}}}}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_records_are_forgotten_and_the_spending_is_not() {
        let now = Duration::ZERO;
        let bill = Bill {
            prompt: 1,
            completion: 1,
            ..Bill::default()
        };
        let generation = Generation {
            created: 0,
            model: "a/b".to_owned(),
            provider: "X",
            streamed: false,
            finish: Some("stop"),
            native_finish: Some("stop"),
            cancelled: false,
            bill,
            more: Map::new(),
            visible: now,
        };
        let mut memory = Memory::default();
        for number in 0..=KEPT {
            memory.remember(format!("gen-{number}"), 7, generation.clone());
        }
        assert!(memory.find("gen-0", now).is_none() && memory.find("gen-1", now).is_some());
        assert_eq!(memory.len(), KEPT);
        let sums: u64 = memory.spending.lines(0..1).map(|(_, sums)| sums.requests).sum();
        assert_eq!(sums, KEPT as u64 + 1);
        let page: Value = serde_json::from_str(&generation.page("gen-1")).unwrap();
        assert_eq!(page["data"]["total_cost"], Value::Null);
    }
}
