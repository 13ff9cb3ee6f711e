//! Which model has the beginning of a conversation in its cache.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use integration_core::chat::{Content, Role};
use integration_core::{ChatRequest, Usage};
use routing::{Target, Warm};
use serde_json::Value;

/// How long after its last use a prompt is taken to be in a provider's cache: the usual life of what is written to one, unless a
/// request asks for an hour.
const KEPT: Duration = Duration::from_secs(300);

/// How many conversations half of the memory holds. All of it is some ten megabytes.
const HALF: usize = 50_000;

/// A name for a conversation of a caller: what `session_id` says, else `prompt_cache_key`, as OpenRouter reads them, else how it
/// begins, which is its messages up to the first one that gives no instructions.
pub(crate) fn conversation(caller: &str, request: &ChatRequest) -> u64 {
    let mut name = DefaultHasher::new();
    caller.hash(&mut name);
    let said = ["session_id", "prompt_cache_key"].into_iter().find_map(|field| {
        let text = request.extra.get(field).and_then(Value::as_str)?;
        (!text.is_empty()).then_some((field, text))
    });
    if said.is_some() {
        said.hash(&mut name);
        return name.finish();
    }
    for message in &request.messages {
        message.role.as_str().hash(&mut name);
        message.content.as_ref().map(Content::text).hash(&mut name);
        if !matches!(message.role, Role::System | Role::Developer) {
            break;
        }
    }
    name.finish()
}

#[derive(Debug, Clone)]
struct Entry {
    target: Target,
    cached_tokens: u64,
    used: Instant,
}

/// What answers said of caches, by conversation. Bounded: those that were silent longest go first.
#[derive(Debug, Default)]
pub(crate) struct WarmCaches(Mutex<Halves>);

#[derive(Debug, Default)]
struct Halves {
    young: HashMap<u64, Entry>,
    old: HashMap<u64, Entry>,
}

impl WarmCaches {
    /// Who has a part of this conversation in its cache, by its last answer that said so, and how much.
    pub(crate) fn of(&self, conversation: u64, now: Instant) -> Option<Warm> {
        let halves = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = halves
            .young
            .get(&conversation)
            .or_else(|| halves.old.get(&conversation))?;
        let is_kept = now.saturating_duration_since(entry.used) < KEPT;
        is_kept.then(|| Warm::new(entry.target.clone(), entry.cached_tokens))
    }

    /// Takes over what a complete answer said: what it read from the cache and what it wrote there is what the next one can read.
    /// One that found nothing, where there was something, forgets it; one that says nothing of caches changes nothing.
    pub(crate) fn see(&self, conversation: u64, target: &Target, usage: Option<&Usage>, used: Instant) {
        let Some(usage) = usage else { return };
        if usage.cached_tokens.is_none() && usage.cache_write_tokens.is_none() {
            return;
        }
        let (read, written) = (usage.cached_tokens, usage.cache_write_tokens);
        let cached_tokens = read.unwrap_or(0).saturating_add(written.unwrap_or(0));
        let mut halves = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Halves { young, old } = &mut *halves;
        if cached_tokens == 0 {
            for half in [young, old] {
                if half
                    .get(&conversation)
                    .is_some_and(|entry| entry.target == *target)
                {
                    half.remove(&conversation);
                }
            }
            return;
        }
        if young.len() >= HALF && !young.contains_key(&conversation) {
            *old = std::mem::take(young);
        }
        let entry = Entry {
            target: target.clone(),
            cached_tokens,
            used,
        };
        old.remove(&conversation);
        young.insert(conversation, entry);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use integration_core::{Clock as _, ManualClock};
    use serde_json::json;

    use super::*;

    fn target(model: &str) -> Target {
        Target::new("openrouter".parse().unwrap(), model.parse().unwrap())
    }

    fn usage(read: u64, written: u64) -> Usage {
        let mut usage = Usage::of_tokens(5_000, 10);
        (usage.cached_tokens, usage.cache_write_tokens) = (Some(read), Some(written));
        usage
    }

    #[test]
    fn what_was_read_and_written_is_warm_for_five_minutes() {
        let (caches, start, one) = (WarmCaches::default(), ManualClock::new().now(), target("a/one"));
        assert_eq!(caches.of(1, start), None);
        caches.see(1, &one, Some(&usage(1_000, 2_000)), start);
        let warm = Some(Warm::new(one.clone(), 3_000));
        assert_eq!(caches.of(1, start + KEPT - Duration::from_millis(1)), warm);
        assert_eq!(caches.of(1, start + KEPT), None);
        assert_eq!(caches.of(2, start), None, "another conversation");
        // What says nothing of caches, and another model that has nothing, change nothing.
        caches.see(1, &one, None, start);
        caches.see(1, &one, Some(&Usage::of_tokens(5_000, 10)), start);
        caches.see(1, &target("b/two"), Some(&usage(0, 0)), start);
        assert_eq!(caches.of(1, start), warm);
        caches.see(1, &one, Some(&usage(0, 0)), start);
        assert_eq!(caches.of(1, start), None, "it found nothing");
    }

    #[test]
    fn memory_is_bounded_and_what_was_used_last_stays() {
        let (caches, now, one) = (WarmCaches::default(), ManualClock::new().now(), target("a/one"));
        for name in 0..3 * HALF as u64 {
            caches.see(name, &one, Some(&usage(1, 0)), now);
            caches.see(7, &one, Some(&usage(2, 0)), now);
        }
        let halves = caches.0.lock().unwrap();
        assert!(halves.young.len() <= HALF && halves.old.len() <= HALF);
        drop(halves);
        assert_eq!(caches.of(8, now), None);
        assert_eq!(caches.of(7, now), Some(Warm::new(one, 2)));
    }

    #[test]
    fn a_conversation_is_known_by_its_name_or_its_beginning() {
        let name = |caller: &str, more: serde_json::Value, texts: &[&str]| {
            let roles = ["system", "user", "assistant", "user"];
            let messages: Vec<_> = roles
                .iter()
                .zip(texts)
                .map(|(role, text)| json!({ "role": role, "content": text }))
                .collect();
            let mut body = json!({ "model": "a/one", "messages": messages });
            body.as_object_mut()
                .unwrap()
                .extend(more.as_object().unwrap().clone());
            conversation(caller, &serde_json::from_value(body).unwrap())
        };
        let plain = |texts: &[&str]| name("web", json!({}), texts);
        let first = plain(&["Be brief.", "Hello"]);
        assert_eq!(first, plain(&["Be brief.", "Hello", "Hi!", "And now?"]));
        assert_ne!(first, plain(&["Be brief.", "Good day"]));
        assert_ne!(first, plain(&["Be long.", "Hello"]));
        assert_ne!(first, name("nightly", json!({}), &["Be brief.", "Hello"]));
        let named = name("web", json!({ "session_id": "7" }), &["Be brief.", "Hello"]);
        assert_eq!(
            named,
            name(
                "web",
                json!({ "session_id": "7", "prompt_cache_key": "8" }),
                &["Be long."]
            )
        );
        assert_ne!(named, first);
        assert_ne!(
            named,
            name("web", json!({ "session_id": "8" }), &["Be brief.", "Hello"])
        );
        assert_ne!(
            named,
            name("web", json!({ "prompt_cache_key": "7" }), &["Be brief.", "Hello"])
        );
    }
}
