//! What the service remembers of its answers: the records that can be looked up, and what each key has spent.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Instant;

use costing::UtcTime;
use rust_decimal::Decimal;
use serde_json::{Value, json};

use crate::bill::{Bill, number};

/// How many records are kept; the oldest go first.
const KEPT: usize = 10_000;

/// One answer, to be looked up by its id.
#[derive(Debug, Clone)]
pub(crate) struct Generation {
    pub(crate) created: u64,
    pub(crate) model: String,
    pub(crate) provider: &'static str,
    pub(crate) streamed: bool,
    pub(crate) finish: &'static str,
    pub(crate) native_finish: &'static str,
    pub(crate) bill: Bill,
    /// When it can be looked up.
    pub(crate) visible: Instant,
}

/// All of it, bounded.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    records: HashMap<String, Generation>,
    order: VecDeque<String>,
    /// US dollars by the fingerprint of the key; keys themselves are not kept.
    spent: BTreeMap<u64, Decimal>,
}

impl Memory {
    pub(crate) fn remember(&mut self, id: String, key: u64, generation: Generation) {
        let spent = self.spent.entry(key).or_default();
        *spent = spent.saturating_add(generation.bill.total().unwrap_or_default());
        if self.order.len() == KEPT
            && let Some(oldest) = self.order.pop_front()
        {
            self.records.remove(&oldest);
        }
        self.order.push_back(id.clone());
        self.records.insert(id, generation);
    }

    /// The record, if there is one and it can be seen by now.
    pub(crate) fn find(&self, id: &str, now: Instant) -> Option<&Generation> {
        self.records
            .get(id)
            .filter(|generation| now >= generation.visible)
    }

    pub(crate) fn spent(&self, key: u64) -> Decimal {
        self.spent.get(&key).copied().unwrap_or_default()
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

impl Generation {
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
            "id": id, "created_at": rfc3339(self.created), "model": self.model, "api_type": "completions",
            "streamed": self.streamed, "cancelled": false, "provider_name": self.provider,
            "latency": 0, "generation_time": 0,
            "finish_reason": self.finish, "native_finish_reason": self.native_finish,
            "tokens_prompt": prompt, "tokens_completion": completion,
            "native_tokens_prompt": prompt, "native_tokens_completion": completion,
            "native_tokens_reasoning": reasoning, "native_tokens_cached": cached, "native_tokens_completion_images": 0,
            "origin": "", "upstream_inference_cost": 0, "is_byok": false, "data_region": "global",
        });
        if let Some(fields) = data.as_object_mut() {
            fields.extend(UNKNOWN.iter().map(|name| ((*name).to_owned(), Value::Null)));
        }
        let mut data = data.to_string();
        // The two amounts are added as text: a JSON value would put them through a float.
        data.truncate(data.len() - 1);
        let cost = amount(self.bill.total());
        format!("{{\"data\":{data},\"usage\":{cost},\"total_cost\":{cost}}}}}")
    }
}

/// The body of `GET /key`.
pub(crate) fn key_page(key: u64, spent: Decimal) -> String {
    let spent = number(spent).map_or_else(|| "0".to_owned(), |number| number.get().to_owned());
    let rest: Value = json!({
        "limit": null, "limit_remaining": null, "limit_reset": null,
        "byok_usage": 0, "byok_usage_daily": 0, "byok_usage_weekly": 0, "byok_usage_monthly": 0,
        "include_byok_in_limit": false, "is_free_tier": false, "is_management_key": false, "is_provisioning_key": false,
        "creator_user_id": crate::problem::USER_ID, "organization_id": null, "workspace_id": null, "expires_at": null,
        "allowed_data_regions": null, "free_model_daily_requests": { "limit": 1000, "used": 0, "remaining": 1000 },
        "budgets": [], "effective_budget": null, "simulated": true,
        "rate_limit": { "requests": -1, "interval": "10s", "note": "deprecated" },
    });
    let rest = rest.to_string();
    // The label shows which key it is without showing any part of it.
    format!(
        "{{\"data\":{{\"label\":\"sk-or-v1-sim...{:03x}\",\"usage\":{spent},\"usage_daily\":{spent},\
         \"usage_weekly\":{spent},\"usage_monthly\":{spent},{}}}",
        key & 0xfff,
        &rest[1..],
    )
}

/// A time in words, such as `2026-08-22T09:30:00.000Z`.
fn rfc3339(unix: u64) -> String {
    let at = UtcTime::from_unix(i64::try_from(unix).unwrap_or(i64::MAX));
    let (days, second) = (unix / 86_400, unix % 60);
    let (year, month, day) = civil(days);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{second:02}.000Z",
        at.hhmm() / 100,
        at.hhmm() % 100
    )
}

/// Year, month and day of a number of days since 1970. Years are counted from March, so that a leap day ends one.
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts day by day.
    fn naive(days: u64) -> (u64, u64, u64) {
        let leap =
            |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
        let (mut year, mut month, mut day) = (1970, 1, 1);
        for _ in 0..days {
            day += 1;
            let length = match month {
                2 => 28 + u64::from(leap(year)),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            if day > length {
                (month, day) = (month + 1, 1);
            }
            if month > 12 {
                (year, month) = (year + 1, 1);
            }
        }
        (year, month, day)
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        for days in (0..60_000)
            .step_by(97)
            .chain([58, 59, 60, 11_015, 11_016, 11_017])
        {
            assert_eq!(civil(days), naive(days), "{days}");
        }
        assert_eq!(rfc3339(1_787_391_000), "2026-08-22T09:30:00.000Z");
    }

    #[test]
    fn the_oldest_records_are_forgotten_and_the_spending_is_not() {
        let clock = integration_core::ManualClock::new();
        let now = integration_core::Clock::now(&clock);
        let bill = Bill {
            prompt: 1,
            completion: 1,
            reasoning: 0,
            cached: 0,
            amounts: None,
        };
        let generation = Generation {
            created: 0,
            model: "a/b".to_owned(),
            provider: "X",
            streamed: false,
            finish: "stop",
            native_finish: "stop",
            bill,
            visible: now,
        };
        let mut memory = Memory::default();
        for number in 0..=KEPT {
            memory.remember(format!("gen-{number}"), 7, generation.clone());
        }
        assert!(memory.find("gen-0", now).is_none() && memory.find("gen-1", now).is_some());
        assert_eq!((memory.records.len(), memory.order.len()), (KEPT, KEPT));
        assert_eq!(memory.spent(7), Decimal::ZERO);
        let page: Value = serde_json::from_str(&generation.page("gen-1")).unwrap();
        assert_eq!(page["data"]["total_cost"], Value::Null);
    }
}
