//! Callers, markups and budgets of the configuration, as calls meet them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod support;

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use integration_core::ManualClock;
use serde_json::Value;
use support::{Gateway, INSTANT, json, pico, within_20_s};

const MINI: &str = r#"{"model":"openai/gpt-4o-mini","messages":[{"role":"user","content":"Hello"}]}"#;

const CALLERS: &str = r#"
[[caller]]
key = "web"
token_env = "WEB_TOKEN"
project = "shop"
team = "sales"

[[caller]]
key = "nightly"
token_env = "NIGHTLY_TOKEN"
team = "research"
"#;

const TOKENS: [(&str, &str); 3] = [
    ("WEB_TOKEN", "token-of-web"),
    ("NIGHTLY_TOKEN", "token-of-nightly"),
    ("WAYPOST_ADMIN_KEY", "token-of-admin"),
];

/// The 2026-11-22T12:00:00Z of a clock that stands still.
fn noon() -> ManualClock {
    ManualClock::starting_at(UNIX_EPOCH + Duration::from_secs(1_795_348_800))
}

async fn asked(gateway: &Gateway, token: &str, body: &str) -> (u16, Value, reqwest::header::HeaderMap) {
    let response = gateway
        .post(body.to_owned())
        .bearer_auth(token)
        .send()
        .await
        .unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    (status, json(&response.text().await.unwrap()), headers)
}

#[tokio::test]
async fn a_token_says_who_is_charged() {
    let gateway = Gateway::with(&format!("{INSTANT}{CALLERS}"), TOKENS).await;
    for (token, key, project, team) in [
        ("token-of-web", "web", Some("shop"), Some("sales")),
        ("token-of-nightly", "nightly", None, Some("research")),
        ("token-of-admin", "local", None, None),
    ] {
        let (status, answer, _) = asked(&gateway, token, MINI).await;
        assert_eq!(status, 200, "{answer}");
        let request = answer["waypost"]["request_id"].as_str().unwrap().parse().unwrap();
        let row = gateway.app.store.attempts(&request).await.unwrap().remove(0);
        let caller = &row.intent.caller;
        assert_eq!(
            (
                caller.key.as_str(),
                caller.project.as_deref(),
                caller.team.as_deref()
            ),
            (key, project, team)
        );
    }
    for token in ["", "token", "token-of-we", "token-of-webx", "TOKEN-OF-WEB"] {
        let (status, answer, headers) = asked(&gateway, token, MINI).await;
        assert_eq!(
            (status, &answer["error"]["code"]),
            (401, &"invalid_api_key".into())
        );
        assert_eq!(headers["www-authenticate"], "Bearer, Basic realm=\"waypost\"");
        assert!(!answer.to_string().contains("token-of"), "{answer}");
    }
    assert_eq!(gateway.ledger().len(), 3);
    // Nobody is told of tokens.
    assert!(!format!("{:?}", gateway.app.settings).contains("token-of"));
    gateway.holds().await;
    gateway.stop().await;
}

#[test]
fn input_94_a_caller_that_says_nothing_clear_is_refused_by_name() {
    use gateway::config::{Overrides, Settings};
    use gateway::environment::Environment;
    let resolve = |config: &str, env: Environment| {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("waypost.toml");
        std::fs::write(&file, config).unwrap();
        let mut overrides = Overrides::default();
        overrides.config = Some(file);
        Settings::resolve(&overrides, &env).map_err(|error| format!("{error:#}"))
    };
    let one = "[[caller]]\nkey = \"web\"\ntoken_env = \"A\"\n";
    let two = format!("{one}[[caller]]\nkey = \"other\"\ntoken_env = \"B\"\n");
    for (config, a, b, says) in [
        (
            one,
            "",
            "",
            "environment variable A, which holds its token, is not set",
        ),
        (one, "with\nline", "", "A is not usable"),
        (&two, "same", "same", "its token is that of another caller"),
        (
            "[[caller]]\nkey = \" \"\ntoken_env = \"A\"\n",
            "x",
            "",
            "are names in reports",
        ),
        (
            "[[caller]]\nkey = \"web\"\ntoken = \"x\"\n",
            "x",
            "",
            "unknown field `token`",
        ),
        (
            "[[caller]]\nkey = \"web\"\ntoken_env = \"A\"\nteam = \"a\"\n[[caller]]\nkey = \"web\"\ntoken_env = \"B\"\nteam = \"b\"\n",
            "x",
            "y",
            "another project or team",
        ),
        (
            "[[budget]]\nscope = \"key\"\nwindow = \"day\"\nlimit_usd = \"-1\"\n",
            "",
            "",
            "below zero",
        ),
        (
            "[[budget]]\nscope = \"key\"\nwindow = \"week\"\nlimit_usd = \"1\"\n",
            "",
            "",
            "`week` is no window",
        ),
        (
            "[[markup]]\nbps = 5\n",
            "",
            "",
            "name one of key, team, model and provider",
        ),
        (
            "[[markup]]\nbps = 5\nkey = \"a\"\nteam = \"b\"\n",
            "",
            "",
            "name one of",
        ),
        (
            "[[markup]]\nbps = 5\nkey = \"a\"\n[[markup]]\nbps = 6\nkey = \"a\"\n",
            "",
            "",
            "there is one for key a already",
        ),
        (
            "[[markup]]\nbps = 5\nkey = \"a\"\nfee_usd = \"1_0\"\n",
            "",
            "",
            "fee_usd",
        ),
        (
            "[[markup]]\nbps = 5\nkey = \"a\"\nfee_on_free = true\n",
            "",
            "",
            "missing, and fee_on_free is set",
        ),
        (
            "[[budget]]\nscope = \"key\"\nname = \"nighty\"\nwindow = \"day\"\nlimit_usd = \"1\"\n",
            "",
            "",
            "the key 'nighty', which no [[caller]] has",
        ),
        (
            "[[budget]]\nscope = \"user\"\nkey = \"nighty\"\nwindow = \"day\"\nlimit_usd = \"1\"\n",
            "",
            "",
            "the key 'nighty'",
        ),
        (
            "[[markup]]\nbps = 5\nteam = \"sails\"\n",
            "",
            "",
            "the team 'sails', which no [[caller]] has",
        ),
        (
            "[costs]\ndurability = \"none\"\n",
            "",
            "",
            "there are power and process",
        ),
        ("[costs]\nhold_most_usd = \"-1\"\n", "", "", "below zero"),
    ] {
        let error = resolve(config, Environment::of([("A", a), ("B", b)])).unwrap_err();
        assert!(error.contains(says), "{config}: {error}");
        assert!(!error.contains("same"), "no token is told: {error}");
    }
    // The same token as the gateway's own key would make of a caller an administrator, or the other way round.
    let env = Environment::of([("A", "same"), ("WAYPOST_ADMIN_KEY", "same")]);
    assert!(resolve(one, env).unwrap_err().contains("WAYPOST_ADMIN_KEY"));
}

#[tokio::test]
async fn the_markup_nearest_to_the_call_is_on_its_line() {
    let rules = r#"
markup_bps = 500
[[markup]]
key = "web"
bps = 2000
fee_usd = "0.001"
[[markup]]
model = "openai/gpt-4o-mini"
bps = 0
"#;
    let config = format!("{rules}{INSTANT}{CALLERS}");
    let gateway = Gateway::with(&config, TOKENS).await;
    let big = MINI.replace("gpt-4o-mini", "gpt-4o");
    for (token, body, bps, fee) in [
        ("token-of-web", MINI, 2_000, 1_000_000_000),
        ("token-of-nightly", MINI, 0, 0),
        ("token-of-nightly", &big, 500, 0),
    ] {
        let (_, answer, headers) = asked(&gateway, token, body).await;
        let waypost = &answer["waypost"];
        let (cost, markup) = (pico(&waypost["cost_usd"]), pico(&waypost["markup_usd"]));
        assert_eq!(waypost["markup_bps"], bps);
        // Whole numbers, a half to the even neighbour; here none is a half.
        let share = (i128::from(cost) * i128::from(bps) + 5_000) / 10_000;
        assert_eq!(i128::from(markup), share + fee);
        assert_eq!(pico(&waypost["charge_usd"]), cost + markup);
        assert_eq!(
            headers["x-waypost-charge-usd"].to_str().unwrap(),
            waypost["charge_usd"]
        );
    }
    assert_eq!(
        gateway.number("SELECT count(*) FROM entries WHERE kind = 'fee' AND credit = 'fees'"),
        1
    );
    assert_eq!(
        gateway.number(
            "SELECT count(*) FROM attempts WHERE markup_source = 'key' AND rule_fee_pico = 1000000000"
        ),
        1
    );
    gateway.holds().await;
    gateway.stop().await;
}

#[tokio::test]
async fn c17_a_hard_budget_refuses_before_anything_is_sent() {
    let config = format!(
        "{INSTANT}{CALLERS}\n[[budget]]\nscope = \"key\"\nname = \"web\"\nwindow = \"day\"\nlimit_usd = \"0.005\"\n"
    );
    let gateway = Gateway::at(Arc::new(noon()), &config, TOKENS).await;
    let (status, answer, headers) = asked(&gateway, "token-of-web", MINI).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(headers["x-waypost-budget"], "key web per day");
    assert_eq!(headers["x-waypost-budget-limit-usd"], "0.005");
    assert_eq!(headers["x-waypost-budget-resets-at"], "2026-11-23T00:00:00Z");
    let budget = &answer["waypost"]["budget"];
    assert_eq!(
        (&budget["scope"], &budget["name"]),
        (&"key".into(), &"web".into())
    );
    // What was held is in the ledger before the call and let go of after it; what counts is what it was charged.
    assert_eq!(
        gateway.number("SELECT count(*) FROM entries WHERE kind IN ('reserve', 'release')"),
        2
    );
    let charge = pico(&answer["waypost"]["charge_usd"]);
    let held = gateway.number("SELECT reserved_pico FROM attempts");
    assert!(held > charge, "{held} {charge}");
    let url = format!("{}/v1/budgets", gateway.base);
    let response = gateway
        .http
        .get(url)
        .bearer_auth("token-of-web")
        .send()
        .await
        .unwrap();
    let stands = json(&response.text().await.unwrap())["budgets"][0].take();
    assert_eq!(
        (pico(&stands["spent_usd"]), pico(&stands["reserved_usd"])),
        (charge, 0),
        "{stands}"
    );
    // A call that may take more than there is: its own limit of tokens is large.
    let large = MINI.replace("\"messages\"", "\"max_tokens\":16000,\"messages\"");
    let config_rows = gateway.ledger().len();
    let large = large.replace("gpt-4o-mini", "gpt-4o");
    let (status, answer, headers) = asked(&gateway, "token-of-web", &large).await;
    assert_eq!(status, 402, "{answer}");
    let error = &answer["error"];
    assert_eq!(error["code"], "budget_exceeded");
    let message = error["message"].as_str().unwrap();
    assert!(
        message.starts_with("the budget of key web per day is $0.005, of which $"),
        "{message}"
    );
    let refusal = &answer["waypost"]["budget_refusal"];
    assert_eq!(
        (&refusal["reason"], &refusal["window"]),
        (&"too_large".into(), &"day".into())
    );
    assert_eq!(refusal["resets_at"], "2026-11-23T00:00:00Z");
    assert_eq!(headers["x-should-retry"], "false");
    assert_eq!(
        gateway.ledger().len(),
        config_rows,
        "nothing was sent, so nothing is recorded"
    );
    // Somebody else's budget is not touched.
    assert_eq!(asked(&gateway, "token-of-nightly", &large).await.0, 200);
    gateway.holds().await;
    gateway.stop().await;
}

/// A target that the budget has no room for is passed over for one that fits.
#[tokio::test]
async fn a_cheaper_fallback_fits_where_the_first_choice_does_not() {
    let config =
        format!("{INSTANT}[[budget]]\nscope = \"global\"\nwindow = \"request\"\nlimit_usd = \"0.05\"\n");
    let gateway = Gateway::with(&config, []).await;
    let body = r#"{"model":"openai/gpt-4o","messages":[{"role":"user","content":"Hello"}],
        "waypost":{"fallbacks":["openai/gpt-4o-mini"]}}"#;
    let response = gateway.post(body).send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["x-waypost-model"], "openai/gpt-4o-mini");
    let waypost = json(&response.text().await.unwrap())["waypost"].take();
    assert_eq!(waypost["passed_over"][0]["model"], "openai/gpt-4o");
    let why = waypost["passed_over"][0]["reason"].as_str().unwrap();
    assert!(
        why.starts_with("the budget of global per request is $0.05"),
        "{why}"
    );
    assert_eq!(gateway.ledger().len(), 1);
    gateway.stop().await;
}

#[tokio::test]
async fn a_soft_budget_warns_and_a_shaping_one_asks_the_cheaper_model_first() {
    let config = format!(
        "{INSTANT}[[budget]]\nscope = \"global\"\nwindow = \"month\"\nlevel = \"soft\"\nlimit_usd = \"0.000001\"\n\
         [[budget]]\nscope = \"user\"\nwindow = \"day\"\nlevel = \"shaping\"\nlimit_usd = \"0.000001\"\n"
    );
    let gateway = Gateway::with(&config, []).await;
    let body = r#"{"model":"openai/gpt-4o","messages":[{"role":"user","content":"Hello"}],
        "waypost":{"fallbacks":["openai/gpt-4o-mini"]USER}}"#;
    let by = |user: &str| body.replace("USER", user);
    // Without a user there is no such budget.
    let response = gateway.post(by("")).send().await.unwrap();
    assert_eq!(response.headers()["x-waypost-model"], "openai/gpt-4o");
    assert_eq!(response.headers()["x-waypost-budget-warning"], "global per month");
    let response = gateway.post(by(r#","user":"anna""#)).send().await.unwrap();
    assert_eq!(response.headers()["x-waypost-model"], "openai/gpt-4o-mini");
    let waypost = json(&response.text().await.unwrap())["waypost"].take();
    assert_eq!(waypost["budget_warnings"][0]["level"], "soft");
    gateway.stop().await;
}

#[tokio::test]
async fn f43_a_model_without_a_price_is_refused_by_a_hard_budget_unless_a_rule_says_otherwise() {
    let routed = r#"{"model":"openrouter/auto","messages":[{"role":"user","content":"Hello"}]}"#;
    for (rule, status) in [
        ("", 402),
        ("on_unpriced = \"allow\"\n", 200),
        ("on_unpriced = { floor_usd = \"0.01\" }\n", 200),
    ] {
        let config =
            format!("{INSTANT}[[budget]]\nscope = \"global\"\nwindow = \"day\"\nlimit_usd = \"1\"\n{rule}");
        let gateway = Gateway::with(&config, []).await;
        let response = gateway.post(routed).send().await.unwrap();
        let (got, text) = (response.status().as_u16(), response.text().await.unwrap());
        assert_eq!(got, status, "{rule}: {text}");
        if status == 402 {
            assert_eq!(json(&text)["waypost"]["budget_refusal"]["reason"], "no_price");
        }
        gateway.stop().await;
    }
}

/// What was spent is in the ledger, so a restart does not fill the budget again.
#[tokio::test]
async fn a_restart_forgets_nothing_that_was_spent() {
    let clock = noon();
    let config = format!(
        "{INSTANT}{CALLERS}\n[[budget]]\nscope = \"user\"\nkey = \"web\"\nwindow = \"day\"\nlimit_usd = \"0.01\"\n"
    );
    let body = MINI.replace("\"messages\"", "\"user\":\"anna\",\"messages\"");
    let gateway = Gateway::at(Arc::new(clock.clone()), &config, TOKENS).await;
    let mut spent = 0;
    for _ in 0..3 {
        let (status, answer, _) = asked(&gateway, "token-of-web", &body).await;
        assert_eq!(status, 200);
        spent += pico(&answer["waypost"]["charge_usd"]);
    }
    let dir = gateway.stop().await;
    let left = |headers: &reqwest::header::HeaderMap| {
        pico(&headers["x-waypost-budget-remaining-usd"].to_str().unwrap().into())
            + pico(&headers["x-waypost-budget-reserved-usd"].to_str().unwrap().into())
    };
    let gateway = Gateway::in_folder(dir, Arc::new(clock.clone()), &config, TOKENS).await;
    let (_, answer, headers) = asked(&gateway, "token-of-web", &body).await;
    assert_eq!(left(&headers), 10_000_000_000 - spent, "{answer}");
    // Another user has a budget of their own, and tomorrow is another day.
    let other = body.replace("anna", "ben");
    let (_, _, headers) = asked(&gateway, "token-of-web", &other).await;
    assert_eq!(left(&headers), 10_000_000_000);
    clock.advance(Duration::from_secs(86_400));
    let (_, _, headers) = asked(&gateway, "token-of-web", &body).await;
    assert_eq!(left(&headers), 10_000_000_000);
    gateway.holds().await;
    gateway.stop().await;
}

/// Everything held is given back, whatever becomes of the calls.
#[tokio::test]
async fn c18_nothing_stays_held_when_callers_go() {
    let config = "[simulator]\ninstant = false\n[[budget]]\nscope = \"global\"\nwindow = \"month\"\nlimit_usd = \"1\"\n";
    let gateway = Gateway::with(config, []).await;
    let stream = MINI.replace("\"messages\"", "\"stream\":true,\"messages\"");
    for _ in 0..5 {
        let mut response = gateway.post(stream.clone()).send().await.unwrap();
        assert!(response.chunk().await.unwrap().is_some());
        drop(response);
        // One that goes as soon as it is begun.
        let begun = gateway.ledger().len();
        let early = tokio::spawn(gateway.post(stream.clone()).send());
        within_20_s(async || gateway.ledger().len() > begun).await;
        early.abort();
    }
    let rules = Arc::clone(&gateway.app.settings.budgets);
    let subject = costing::budget::Subject::new(&costing::Caller::local());
    let accounts: Vec<_> = rules.accounts(&subject).collect();
    within_20_s(async || {
        let at = costing::UtcTime::from(gateway.app.clock.wall());
        let facts = gateway.app.spending.store().facts(&accounts, at).await.unwrap();
        facts[0].reserved == costing::Pico::ZERO
    })
    .await;
    within_20_s(async || gateway.ledger().iter().all(|row| row.outcome.is_some())).await;
    gateway.holds().await;
    gateway.stop().await;
}

#[tokio::test]
async fn how_the_budgets_stand_is_told_to_who_may_know() {
    let config = format!(
        "{INSTANT}{CALLERS}\n[[budget]]\nscope = \"global\"\nwindow = \"month\"\nlimit_usd = \"5\"\n\
         [[budget]]\nscope = \"key\"\nwindow = \"day\"\nlimit_usd = \"1\"\n\
         [[budget]]\nscope = \"user\"\nwindow = \"day\"\nlimit_usd = \"0.5\"\n\
         [[budget]]\nscope = \"team\"\nname = \"research\"\nwindow = \"day\"\nlimit_usd = \"2\"\n\
         [[budget]]\nscope = \"global\"\nwindow = \"request\"\nlimit_usd = \"1\"\n"
    );
    let gateway = Gateway::with(&config, TOKENS).await;
    let body = MINI.replace("\"messages\"", "\"user\":\"anna\",\"messages\"");
    assert_eq!(asked(&gateway, "token-of-web", &body).await.0, 200);
    assert_eq!(asked(&gateway, "token-of-nightly", MINI).await.0, 200);
    let told = async |token: &str| {
        let url = format!("{}/v1/budgets", gateway.base);
        let response = gateway.http.get(url).bearer_auth(token).send().await.unwrap();
        let body = json(&response.text().await.unwrap());
        let names = body["budgets"].as_array().unwrap().iter().map(|budget| {
            let name = budget["name"].as_str().unwrap_or("all");
            format!("{} {name}", budget["scope"].as_str().unwrap())
        });
        (names.collect::<Vec<_>>(), body["overshoot"].clone())
    };
    let (all, overshoot) = told("token-of-admin").await;
    assert_eq!(
        all,
        [
            "global all",
            "team research",
            "key nightly",
            "key web",
            "user anna"
        ]
    );
    assert_eq!(
        overshoot,
        serde_json::json!({"calls": 0, "total_usd": "0", "largest_usd": "0"})
    );
    assert_eq!(
        told("token-of-web").await,
        (
            vec!["global all".into(), "key web".into(), "user anna".into()],
            Value::Null
        )
    );
    assert_eq!(
        told("token-of-nightly").await.0,
        ["global all", "team research", "key nightly"]
    );
    gateway.stop().await;
}

/// A caller sees its own costs, on every form of the report and on the page.
#[tokio::test]
async fn a_token_shows_its_own_costs_alone() {
    let gateway = Gateway::with(&format!("{INSTANT}{CALLERS}"), TOKENS).await;
    for token in ["token-of-web", "token-of-nightly", "token-of-nightly"] {
        assert_eq!(asked(&gateway, token, MINI).await.0, 200);
    }
    let keys = async |token: &str, query: &str| {
        let url = format!("{}/v1/reports/costs?by=key&format=json{query}", gateway.base);
        let response = gateway.http.get(url).bearer_auth(token).send().await.unwrap();
        let text = response.text().await.unwrap();
        [text.contains("\"web\""), text.contains("\"nightly\"")]
    };
    assert_eq!(keys("token-of-admin", "").await, [true, true]);
    assert_eq!(keys("token-of-web", "").await, [true, false]);
    assert_eq!(keys("token-of-nightly", "").await, [false, true]);
    assert!(
        !keys("token-of-web", "&key=nightly").await[0],
        "another's costs are not to be had by asking"
    );
    // A browser answers with a password.
    for (password, web, nightly) in [("token-of-web", true, false), ("token-of-admin", true, true)] {
        let response = gateway
            .http
            .get(&gateway.base)
            .basic_auth("", Some(password))
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 200);
        let page = response.text().await.unwrap();
        assert_eq!(
            (page.contains(">web<"), page.contains(">nightly<")),
            (web, nightly),
            "{password}"
        );
    }
    let response = gateway.http.get(&gateway.base).send().await.unwrap();
    assert_eq!(response.status(), 401);
    gateway.stop().await;
}
