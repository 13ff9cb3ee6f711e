//! What is not certain is asked for again; what a crash left open is found at the next start.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod support;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use costing::reconcile::Reconciled;
use costing::{AttemptIntent, Caller, LedgerStore, MarkupRule};
use integration_core::{GenerationId, ManualClock, RequestId};
use provider_testkit::upstream::{Script, ScriptedUpstream};
use store_sqlite::SqliteStore;
use support::{Gateway, INSTANT, json, within_20_s};

const MINI: &str = r#"{"model":"openai/gpt-4o-mini","messages":[{"role":"user","content":"Hello"}]}"#;

fn clock() -> ManualClock {
    ManualClock::starting_at(UNIX_EPOCH + Duration::from_secs(1_795_348_800))
}

async fn reconciled(gateway: &Gateway) -> Reconciled {
    let far = UNIX_EPOCH + Duration::from_secs(4_000_000_000);
    let simulated = gateway.app.mode() == gateway::upstream::Mode::Simulated;
    gateway
        .app
        .store
        .reconciled(UNIX_EPOCH, far, simulated)
        .await
        .unwrap()
}

/// An upstream that answers chats with `answer`, and what they cost with `generation`.
async fn upstream(answer: Script, generation: Script) -> ScriptedUpstream {
    ScriptedUpstream::start(move |received| {
        if received.path.ends_with("/chat/completions") {
            answer.clone()
        } else if received.path.contains("/generation") {
            generation.clone()
        } else {
            Script::json(200, r#"{"data":{"label":"test","simulated":false}}"#)
        }
    })
    .await
}

async fn behind(upstream: &ScriptedUpstream, clock: &ManualClock, config: &str) -> Gateway {
    let base = format!("{}/api/v1", upstream.url());
    let env = [
        ("OPENROUTER_API_KEY", "sk-or-v1-test"),
        ("OPENROUTER_BASE_URL", &*base),
    ];
    Gateway::at(Arc::new(clock.clone()), config, env).await
}

fn answer(usage: &str) -> Script {
    Script::json(
        200,
        format!(
            r#"{{"id":"gen-7","model":"openai/gpt-4o-mini","choices":[{{"index":0,"message":{{"role":"assistant",
               "content":"Hello, how are you?"}},"finish_reason":"stop"}}]{usage}}}"#
        ),
    )
}

fn record(cost: &str) -> Script {
    Script::json(
        200,
        format!(r#"{{"data":{{"id":"gen-7","total_cost":{cost},"is_byok":false}}}}"#),
    )
}

/// Nothing was said of what it used: it is estimated, never zero, and the provider is asked until it says.
#[tokio::test]
async fn f21_a_missing_usage_is_estimated_and_asked_for() {
    let clock = clock();
    let gateway = Gateway::at(Arc::new(clock.clone()), INSTANT, []).await;
    let response = gateway
        .post(MINI)
        .header("x-simulator-fault", "no-usage")
        .send()
        .await
        .unwrap();
    assert_eq!(response.headers()["x-waypost-cost-status"], "estimated");
    let row = gateway.ledger().remove(0);
    assert_eq!(row.status.as_deref(), Some("estimated"));
    assert!(row.cost > Some(0), "{row:?}");
    let request = row.request.parse().unwrap();
    let corrected = async || {
        let rows = gateway.app.store.attempts(&request).await.unwrap();
        rows[0].corrections.last().map(|correction| correction.charge)
    };
    within_20_s(async || clock.due_in().contains(&Duration::from_millis(250))).await;
    assert_eq!(corrected().await, None);
    clock.advance(Duration::from_millis(250));
    within_20_s(async || corrected().await.is_some()).await;
    assert_eq!(corrected().await.unwrap().status.as_str(), "exact");
    within_20_s(async || reconciled(&gateway).await.found == 1).await;
    gateway.holds().await;
    gateway.stop().await;
}

/// The provider's record says more than its answer did, under a rule with a fee and a budget.
#[tokio::test]
async fn what_the_record_says_is_booked_and_told_to_the_budgets() {
    let upstream = upstream(
        answer(r#","usage":{"prompt_tokens":8,"completion_tokens":6}"#),
        record("0.002"),
    )
    .await;
    let config = "[[budget]]\nscope = \"global\"\nwindow = \"day\"\nlimit_usd = \"1\"\n\
                  [[markup]]\nmodel = \"openai/gpt-4o-mini\"\nbps = 1000\nfee_usd = \"0.0001\"\n";
    let clock = clock();
    let gateway = behind(&upstream, &clock, config).await;
    let response = gateway.post(MINI).send().await.unwrap();
    assert_eq!(
        response.headers()["x-waypost-cost-status"],
        "computed",
        "no cost was stated"
    );
    within_20_s(async || clock.due_in().contains(&Duration::from_millis(250))).await;
    clock.advance(Duration::from_millis(250));
    within_20_s(async || reconciled(&gateway).await.found == 1).await;
    // 0.002, a tenth of it, and the fee once.
    let charge = "SELECT charge_pico FROM corrections";
    assert_eq!(gateway.number(charge), 2_000_000_000 + 200_000_000 + 100_000_000);
    assert_eq!(gateway.number("SELECT fee_pico FROM corrections"), 100_000_000);
    let response = gateway.post(MINI).send().await.unwrap();
    let budget = json(&response.text().await.unwrap())["waypost"]["budget"].take();
    assert_eq!(budget["spent_usd"], "0.0023");
    gateway.holds().await;
    gateway.stop().await;
}

/// The first of two answers was no good, and its cost was not known when the second was begun: the fee is on the first alone, also after
/// both were corrected.
#[tokio::test]
async fn a_call_of_two_answers_bears_its_fee_once_when_their_costs_are_corrected() {
    let upstream = upstream(answer(""), record("0.002")).await;
    let config = "[[markup]]\nkey = \"local\"\nbps = 1000\nfee_usd = \"0.0001\"\n";
    let clock = clock();
    let gateway = behind(&upstream, &clock, config).await;
    let body = serde_json::json!({
        "model": "waypost/auto",
        "messages": [{ "role": "user", "content": "Hello" }],
        "response_format": { "type": "json_object" },
        "waypost": {
            "task": "reasoning", "strategy": "cascade", "only": ["google/gemini-3.7-flash", "z-ai/glm-5.3"],
        },
    });
    gateway
        .post(body.to_string())
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert_eq!(gateway.ledger().len(), 2);
    within_20_s(async || gateway.number("SELECT count(*) FROM lookups") == 2).await;
    within_20_s(async || clock.due_in().contains(&Duration::from_millis(250))).await;
    clock.advance(Duration::from_millis(250));
    within_20_s(async || reconciled(&gateway).await.found == 2).await;
    assert_eq!(
        gateway.number("SELECT sum(fee_pico) FROM corrections"),
        100_000_000
    );
    assert_eq!(
        gateway.number("SELECT sum(charge_pico) FROM corrections"),
        2 * 2_200_000_000 + 100_000_000
    );
    gateway.holds().await;
    gateway.stop().await;
}

/// The record is not there at first, then never: it is given up after a day, stays unknown, and is counted.
#[tokio::test]
async fn f63_a_record_that_never_appears_is_given_up_and_counted() {
    let missing = Script::json(404, r#"{"error":{"code":404,"message":"Generation not found"}}"#);
    // An answer that the provider ended with an error: what it bills nobody knows.
    let event =
        r#"{"id":"gen-7","model":"openai/gpt-4o-mini","choices":[{"index":0,"delta":{"content":"Hel"}}]}"#;
    let failed = r#"{"id":"gen-7","error":{"code":502,"message":"broken"},"choices":[{"index":0,"delta":{},"finish_reason":"error"}]}"#;
    let upstream = upstream(Script::sse([event, failed]), missing).await;
    let clock = clock();
    let gateway = behind(&upstream, &clock, "").await;
    let stream = MINI.replace("\"messages\"", "\"stream\":true,\"messages\"");
    gateway.post(stream).send().await.unwrap().text().await.unwrap();
    let row = gateway.ledger().remove(0);
    assert_eq!((row.cost, row.status.as_deref()), (None, Some("pending")));
    let mut asked = 0;
    // Nothing is under way while the clock is moved: all that was due has been asked for.
    let is_quiet = async || {
        let next = gateway.app.store.next_due().await.unwrap();
        next.is_none_or(|next| next > clock_time(&clock)) && !clock.due_in().is_empty()
    };
    while reconciled(&gateway).await.gave_up == 0 {
        within_20_s(is_quiet).await;
        clock.advance(Duration::from_secs(1_800));
        asked += 1;
        assert!(asked < 1_000, "it is never given up");
    }
    let sums = reconciled(&gateway).await;
    assert_eq!((sums.found, sums.open, sums.gave_up), (0, 0, 1));
    assert_eq!(gateway.ledger()[0].cost, None, "it is not known, and not zero");
    assert_eq!(
        gateway.number("SELECT count(*) FROM lookups WHERE outcome = 'not_found'"),
        1
    );
    assert!(
        gateway.number("SELECT tries FROM lookups") > 24,
        "by the hour, for a day"
    );
    gateway.holds().await;
    gateway.stop().await;
}

/// Both figures are on the line, and the provider's is what is charged.
#[tokio::test]
async fn f64_the_reported_cost_is_booked_and_the_computed_one_kept_beside_it() {
    let usage = r#","usage":{"prompt_tokens":1000,"completion_tokens":1000,"cost":0.5}"#;
    let upstream = upstream(answer(usage), record("0.5")).await;
    let gateway = behind(&upstream, &clock(), "").await;
    let response = gateway.post(MINI).send().await.unwrap();
    assert_eq!(response.headers()["x-waypost-cost-usd"], "0.5");
    let both =
        "SELECT count(*) FROM attempts WHERE reported_cost_usd = '0.5' AND computed_cost_usd LIKE '0.00075%'";
    assert_eq!(gateway.number(both), 1);
    // The difference is a line of the bill, so that nothing is lost between the two.
    assert_eq!(
        gateway.number("SELECT count(*) FROM attempts WHERE bill LIKE '%\"difference\"%'"),
        1
    );
    gateway.holds().await;
    gateway.stop().await;
}

/// What an earlier process left: an attempt that was sent and named, one that was not, and one of a simulation.
#[tokio::test]
async fn f34_what_a_crash_left_open_is_classed_at_the_start_and_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let began = UNIX_EPOCH + Duration::from_secs(1_795_348_700);
    let intent = |request: &str, simulated: bool| AttemptIntent {
        request: RequestId::new(request).unwrap(),
        attempt: 1,
        started: began,
        task: None,
        requested_model: "openai/gpt-4o-mini".to_owned(),
        provider: "openrouter".parse().unwrap(),
        model: "openai/gpt-4o-mini".parse().unwrap(),
        price_snapshot: "book".to_owned(),
        stream: true,
        simulated,
        user: None,
        tags: Vec::new(),
        arm: None,
        decision: None,
        caller: Caller::local(),
        markup: MarkupRule::DEFAULT,
        purpose: AttemptIntent::CALL.to_owned(),
        reserved: Some(costing::Pico::new(7_000_000)),
    };
    let store = SqliteStore::open(&dir.path().join("data")).unwrap();
    for (request, simulated) in [("named", false), ("nameless", false), ("simulated", true)] {
        store.intend(intent(request, simulated)).await.unwrap();
    }
    let named: RequestId = "named".parse().unwrap();
    store
        .name(&named, 1, &GenerationId::new("gen-7").unwrap())
        .await
        .unwrap();
    store.close().await;
    drop(store);

    let upstream = upstream(Script::empty(500), record("0.003")).await;
    let base = format!("{}/api/v1", upstream.url());
    let env = [
        ("OPENROUTER_API_KEY", "sk-or-v1-test"),
        ("OPENROUTER_BASE_URL", &*base),
    ];
    let clock = clock();
    let config = "[[budget]]\nscope = \"global\"\nwindow = \"day\"\nlimit_usd = \"1\"\n";
    let gateway = Gateway::in_folder(dir, Arc::new(clock.clone()), config, env).await;
    assert_eq!(
        gateway.number("SELECT count(*) FROM attempts WHERE outcome IS NULL"),
        0
    );
    assert_eq!(
        gateway.number("SELECT count(*) FROM attempts WHERE error_kind = 'abandoned'"),
        3
    );
    assert_eq!(
        gateway.number("SELECT count(*) FROM attempts WHERE cost_status = 'pending' AND cost_pico IS NULL"),
        2,
        "what may have been billed is not known, and not zero"
    );
    assert_eq!(
        gateway.number(
            "SELECT count(*) FROM attempts WHERE simulated AND cost_pico = 0 AND cost_status = 'exact'"
        ),
        1,
        "a simulation ended with its process"
    );
    // Until it is known, what was held counts as spent.
    let spent = async || {
        let subject = costing::budget::Subject::new(&Caller::local());
        let accounts: Vec<_> = gateway.app.settings.budgets.accounts(&subject).collect();
        let at = costing::UtcTime::from(clock_time(&clock));
        gateway.app.spending.store().facts(&accounts, at).await.unwrap()[0]
            .spent
            .get()
    };
    assert_eq!(spent().await, 14_000_000);
    within_20_s(async || !clock.due_in().is_empty()).await;
    clock.advance(Duration::from_millis(250));
    within_20_s(async || reconciled(&gateway).await.found == 1).await;
    assert_eq!(
        gateway.number("SELECT cost_pico FROM corrections WHERE request_id = 'named'"),
        3_000_000_000
    );
    assert_eq!(spent().await, 3_300_000_000 + 7_000_000);
    gateway.holds().await;
    gateway.stop().await;
}

fn clock_time(clock: &ManualClock) -> SystemTime {
    integration_core::Clock::wall(clock)
}

/// What a crash between a settlement and its question left out is found by looking through the last day.
#[tokio::test]
async fn a_question_that_was_never_written_is_asked_after_the_next_start() {
    let upstream = upstream(
        answer(r#","usage":{"prompt_tokens":8,"completion_tokens":6}"#),
        record("0.002"),
    )
    .await;
    let base = format!("{}/api/v1", upstream.url());
    let env = [
        ("OPENROUTER_API_KEY", "sk-or-v1-test"),
        ("OPENROUTER_BASE_URL", &*base),
    ];
    let clock = clock();
    let gateway = behind(&upstream, &clock, "").await;
    gateway.post(MINI).send().await.unwrap().text().await.unwrap();
    let dir = gateway.stop().await;
    let file = rusqlite::Connection::open(dir.path().join("data/waypost.db")).unwrap();
    file.execute("DELETE FROM lookups", []).unwrap();
    drop(file);
    let gateway = Gateway::in_folder(dir, Arc::new(clock.clone()), "", env).await;
    within_20_s(async || gateway.number("SELECT count(*) FROM lookups") == 1).await;
    within_20_s(async || !clock.due_in().is_empty()).await;
    clock.advance(Duration::from_millis(250));
    within_20_s(async || reconciled(&gateway).await.found == 1).await;
    gateway.holds().await;
    gateway.stop().await;
}

/// A deadline of ours cut the answer off: what came of it is billed, and is an estimate until the provider says.
#[tokio::test]
async fn f19_an_answer_that_our_deadline_cut_off_is_estimated_and_asked_for() {
    let event = format!(
        r#"{{"id":"gen-7","model":"openai/gpt-4o-mini","choices":[{{"index":0,"delta":{{"content":"{}"}}}}]}}"#,
        "x".repeat(3_000)
    );
    let upstream = upstream(Script::sse([event]).stall(), record("0.002")).await;
    let clock = clock();
    let config = "[[budget]]\nscope = \"global\"\nwindow = \"day\"\nlimit_usd = \"1\"\n\
                  [[markup]]\nmodel = \"openai/gpt-4o-mini\"\nbps = 1000\nfee_usd = \"0.5\"\n";
    let gateway = behind(&upstream, &clock, config).await;
    let body = MINI.replace(
        "\"messages\"",
        "\"stream\":true,\"waypost\":{\"max_latency_ms\":5000},\"messages\"",
    );
    let mut response = gateway.post(body).send().await.unwrap();
    assert!(response.chunk().await.unwrap().is_some());
    within_20_s(async || clock.due_in().contains(&Duration::from_secs(5))).await;
    clock.advance(Duration::from_secs(5));
    within_20_s(async || gateway.ledger()[0].outcome.is_some()).await;
    let row = gateway.ledger().remove(0);
    assert_eq!(
        (row.outcome.as_deref(), row.error_kind.as_deref()),
        (Some("failed"), Some("timeout"))
    );
    assert_eq!(row.status.as_deref(), Some("estimated"));
    // A thousand tokens at 0.6 dollars a million, and the prompt.
    assert!(
        row.cost > Some(600_000_000) && row.cost < Some(601_000_000),
        "{row:?}"
    );
    // The fixed fee is for an answer, and this was none: neither now nor when its cost is corrected.
    assert!(row.charge < Some(662_000_000), "{row:?}");
    within_20_s(async || gateway.number("SELECT count(*) FROM lookups") == 1).await;
    within_20_s(async || clock.due_in().contains(&Duration::from_millis(250))).await;
    clock.advance(Duration::from_millis(250));
    within_20_s(async || reconciled(&gateway).await.found == 1).await;
    assert_eq!(
        gateway.number("SELECT charge_pico FROM corrections"),
        2_200_000_000
    );
    drop(response);
    gateway.holds().await;
    gateway.stop().await;
}

/// Whoever goes while a whole answer is made has it billed all the same: it is waited for.
#[tokio::test]
async fn f27_a_caller_who_goes_while_a_whole_answer_is_made_is_billed() {
    let gate = provider_testkit::upstream::Gate::new();
    let usage = r#","usage":{"prompt_tokens":8,"completion_tokens":6,"cost":0.001}"#;
    let upstream = upstream(Script::new().wait(&gate).then(answer(usage)), record("0.001")).await;
    let gateway = behind(&upstream, &clock(), "").await;
    let chats = || {
        let requests = upstream.requests();
        let chats = requests
            .iter()
            .filter(|received| received.path.ends_with("/chat/completions"));
        chats.count()
    };
    let call = tokio::spawn(gateway.post(MINI).send());
    within_20_s(async || chats() == 1).await;
    gone(call).await;
    gate.open();
    within_20_s(async || gateway.ledger().first().is_some_and(|row| row.outcome.is_some())).await;
    let row = gateway.ledger().remove(0);
    assert_eq!(
        (row.outcome.as_deref(), row.cost),
        (Some("succeeded"), Some(1_000_000_000))
    );
    assert_eq!(chats(), 1);
    gateway.holds().await;
    gateway.stop().await;
}

/// The connection of a call is closed, and the gateway has seen it.
async fn gone<T>(call: tokio::task::JoinHandle<T>) {
    call.abort();
    let _ = call.await;
    quiet().await;
}

/// Lets everything go on that has something to do.
async fn quiet() {
    for _ in 0..5_000 {
        tokio::task::yield_now().await;
    }
}

/// What fails for somebody who has gone is not tried elsewhere.
#[tokio::test]
async fn f26_for_a_caller_who_has_gone_no_other_model_is_asked() {
    let gate = provider_testkit::upstream::Gate::new();
    let failing = Script::new().wait(&gate).then(Script::json(
        503,
        r#"{"error":{"code":503,"message":"No provider available"}}"#,
    ));
    let upstream = upstream(failing, record("0")).await;
    let gateway = behind(&upstream, &clock(), "").await;
    let chats = || {
        let requests = upstream.requests();
        let chats = requests
            .iter()
            .filter(|received| received.path.ends_with("/chat/completions"));
        chats.count()
    };
    let body = MINI.replace(
        "\"messages\"",
        "\"waypost\":{\"fallbacks\":[\"openai/gpt-4o\"]},\"messages\"",
    );
    let call = tokio::spawn(gateway.post(body).send());
    within_20_s(async || chats() == 1).await;
    gone(call).await;
    gate.open();
    within_20_s(async || gateway.ledger().first().is_some_and(|row| row.outcome.is_some())).await;
    quiet().await;
    let dir = gateway.stop().await;
    assert_eq!(chats(), 1, "the fallback is not asked");
    assert_eq!(support::unsettled(&dir), 0);
}

/// A start with simulated answers leaves the questions to the provider as they are.
#[tokio::test]
async fn a_simulation_ends_no_question_to_the_provider() {
    let upstream = upstream(
        answer(r#","usage":{"prompt_tokens":8,"completion_tokens":6}"#),
        record("0.002"),
    )
    .await;
    let clock = clock();
    let gateway = behind(&upstream, &clock, "").await;
    gateway.post(MINI).send().await.unwrap().text().await.unwrap();
    within_20_s(async || gateway.number("SELECT count(*) FROM lookups") == 1).await;
    let dir = gateway.stop().await;

    let open = "SELECT count(*) FROM lookups WHERE outcome IS NULL";
    let gateway = Gateway::in_folder(dir, Arc::new(clock.clone()), INSTANT, []).await;
    within_20_s(async || !clock.due_in().is_empty()).await;
    clock.advance(Duration::from_secs(25 * 3_600));
    within_20_s(async || gateway.number("SELECT tries FROM lookups") > 0 || gateway.number(open) == 0).await;
    assert_eq!(gateway.number(open), 1, "a simulation has nothing to say of it");
    let dir = gateway.stop().await;

    let base = format!("{}/api/v1", upstream.url());
    let env = [
        ("OPENROUTER_API_KEY", "sk-or-v1-test"),
        ("OPENROUTER_BASE_URL", &*base),
    ];
    let gateway = Gateway::in_folder(dir, Arc::new(clock.clone()), "", env).await;
    within_20_s(async || !clock.due_in().is_empty()).await;
    clock.advance(Duration::from_secs(3_600));
    within_20_s(async || reconciled(&gateway).await.found == 1).await;
    gateway.holds().await;
    gateway.stop().await;
}
