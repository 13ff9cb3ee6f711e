//! Which limits hold for which model.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use integration_core::{ChatRequest, EmbeddingRequest, ModelId, chat::Message};
use rate_limits::{
    Account, FREE_DAILY_HIGH, FREE_DAILY_LOW, LimitRules, Limits, Scope, TokenEstimate, openrouter_free_tier,
};

fn model(id: &str) -> ModelId {
    id.parse().unwrap()
}

#[test]
fn the_first_rule_that_matches_is_the_only_one() {
    let minute = |requests| Limits::none().with_requests_per_minute(requests);
    let rules = LimitRules::new()
        .with(model("a/early").into(), minute(1))
        .with_shared("*:free".parse().unwrap(), "free", minute(2))
        .with("a/*".parse().unwrap(), minute(3))
        .then(
            LimitRules::new()
                .with(model("a/late").into(), minute(4))
                .with(model("b/late").into(), minute(5))
                .with(model("b/late").into(), minute(6)),
        )
        .with("*".parse().unwrap(), minute(7));
    for (id, requests, shared) in [
        ("a/early", 1, false),
        ("a/early:free", 2, true),
        ("a/late", 3, false),
        ("b/late", 5, false),
        ("c/d", 7, false),
    ] {
        let (scope, limits) = rules.find(&model(id));
        assert_eq!(limits.requests_per_minute, Some(requests), "{id}");
        let expected = match shared {
            true => Scope::Shared("free".into()),
            false => Scope::Model(model(id)),
        };
        assert_eq!(scope, expected);
        assert!(scope.to_string().contains(if shared { "free" } else { id }));
    }
    let (scope, limits) = LimitRules::new().find(&model("a/b"));
    assert!(limits.is_none() && scope == Scope::Model(model("a/b")));
}

#[test]
fn the_free_tier_is_the_accounts() {
    for (account, day) in [
        (Account::Unknown, None),
        (Account::Bought(0), Some(FREE_DAILY_LOW)),
        (Account::Bought(8), Some(FREE_DAILY_LOW)),
        (Account::Bought(9), Some(FREE_DAILY_HIGH)),
        (Account::Bought(10), Some(FREE_DAILY_HIGH)),
    ] {
        let rules = openrouter_free_tier(account);
        let (one, limits) = rules.find(&model("a/b:free"));
        assert_eq!(
            (limits.requests_per_minute, limits.requests_per_day),
            (Some(20), day),
            "{account:?}"
        );
        assert_eq!(rules.find(&model("openrouter/free")), (one.clone(), limits));
        assert_eq!(rules.find(&model("c/d:nitro:free")), (one, limits));
        assert!(rules.find(&model("a/b")).1.is_none());
    }
}

#[test]
fn a_prompt_is_a_fourth_of_its_bytes() {
    let request = |text: &str| ChatRequest::new(model("a/b"), vec![Message::user(text)]);
    for (text, prompt) in [("", 0), ("a", 1), ("four", 1), ("five!", 2), ("ééé", 2)] {
        let estimate = TokenEstimate::of_chat(&request(text), 100);
        assert_eq!((estimate.prompt, estimate.completion), (prompt, 100), "{text}");
    }
    let mut limited = request("four");
    limited.max_tokens = Some(7);
    assert_eq!(TokenEstimate::of_chat(&limited, 100).total(), 8);
    limited.max_completion_tokens = Some(u64::MAX);
    assert_eq!(TokenEstimate::of_chat(&limited, 100).total(), u64::MAX);
    let texts = EmbeddingRequest::new(model("a/b"), vec!["four".to_owned(), "five!".to_owned()]);
    assert_eq!(TokenEstimate::of_embedding(&texts), TokenEstimate::new(3, 0));
}
