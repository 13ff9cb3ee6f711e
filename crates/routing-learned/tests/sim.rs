//! Simulated policies: the same world for all, to the last byte, and what outages, prices and limits do to each.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use costing::{MarkupRules, PicoSum};
use integration_core::{Clock, ManualClock, ModelId};
use model_catalogue::{Benchmarks, Catalogue, ModelRecord, PriceStrings};
use proptest::prelude::*;
use routing::{FactBook, QualityBook, STRATEGIES};
use routing_learned::sim::{
    Asked, MOST_REQUESTS, Policy, PolicyReport, Report, Scenario, SimulationError, World, policy, simulate,
};

const CHEAP: &str = "acme/cheap";
const FAIR: &str = "acme/fair";
const BEST: &str = "zenith/best";
const UNMEASURED: &str = "zenith/new";
/// Its price is decided request by request.
const DYNAMIC: &str = "zenith/any";

/// No failures but those a test asks for, and no answer that is too slow.
const RELIABLE: &str = "[[model]]\nmodels = \"*\"\nfailure = 0.0\nttft_ms = 300\ntokens_per_second = 300\n";

fn record(id: &str, prompt: &str, completion: &str, quality: Option<f64>) -> ModelRecord {
    let mut record = ModelRecord::new(id.parse().unwrap());
    record.context_length = Some(1_000_000);
    record.input_modalities = vec!["text".into()];
    record.output_modalities = vec!["text".into()];
    record.prices = PriceStrings::new([("prompt", prompt), ("completion", completion)]);
    record.benchmarks = Benchmarks::new(quality, quality, quality);
    record
}

/// Five models: the better, the dearer; of one nobody knows how good it is, and of another what it costs.
fn catalogue() -> Catalogue {
    let records = vec![
        record(CHEAP, "0.0000001", "0.0000004", Some(40.0)),
        record(FAIR, "0.000001", "0.000004", Some(60.0)),
        record(BEST, "0.00001", "0.00004", Some(80.0)),
        record(UNMEASURED, "0.00001", "0.00004", None),
        record(DYNAMIC, "-1", "-1", Some(70.0)),
    ];
    Catalogue::new("2026-08-22", "acme".parse().unwrap(), records).unwrap()
}

fn origin() -> Instant {
    ManualClock::new().now()
}

fn world(toml: &str) -> Result<World, String> {
    let scenario: Scenario = toml::from_str(toml).map_err(|error| error.to_string())?;
    let catalogue = catalogue();
    let quality = QualityBook::from_catalogue(&catalogue);
    let markups = MarkupRules::new();
    World::new(&scenario, &catalogue, &quality, &FactBook::new(), &markups).map_err(|error| error.to_string())
}

fn run(world: &World, words: &[&str]) -> Report {
    let mut policies: Vec<_> = words.iter().map(|word| policy(word, world).unwrap()).collect();
    simulate(world, &mut policies, origin(), &mut || {}).unwrap()
}

fn simulated(toml: &str, words: &[&str]) -> Report {
    run(&world(toml).unwrap(), words)
}

fn of<'r>(report: &'r Report, word: &str) -> &'r PolicyReport {
    report.policies.iter().find(|one| one.policy == word).unwrap()
}

/// How often a model was asked, how often it answered, and what it was paid.
fn share(report: &PolicyReport, model: &str) -> (u64, u64, PicoSum) {
    let found = report.models.iter().find(|one| one.model.as_str() == model);
    found.map_or((0, 0, PicoSum::ZERO), |one| {
        (one.attempts, one.answered, one.cost_usd.unwrap())
    })
}

fn adds_up(report: &Report) {
    for one in &report.policies {
        assert_eq!(one.succeeded + one.failed, one.requests, "{}", one.policy);
        assert_eq!(one.requests, report.requests);
        assert_eq!(one.failed_requests.values().sum::<u64>(), one.failed);
        // One unknown amount makes the sum unknown, never less.
        let mut costs = one.models.iter().map(|model| model.cost_usd);
        let by_model = costs.try_fold(PicoSum::ZERO, |sum, cost| Some(sum + cost?));
        assert_eq!(by_model, one.cost_usd, "{}", one.policy);
        assert_eq!(one.cost_usd.is_some(), one.cost_unknown == 0);
        let both = one
            .cost_usd
            .zip(one.markup_usd)
            .map(|(cost, markup)| cost + markup);
        assert_eq!(both, one.charge_usd);
        assert_eq!(
            one.models.iter().map(|model| model.attempts).sum::<u64>(),
            one.attempts
        );
        assert_eq!(
            one.models.iter().map(|model| model.answered).sum::<u64>(),
            one.succeeded
        );
        assert_eq!(
            one.failed_attempts.values().sum::<u64>() + one.succeeded,
            one.attempts
        );
    }
}

#[test]
fn the_same_seed_gives_the_same_report_to_the_last_byte() {
    let words: Vec<&str> = STRATEGIES
        .into_iter()
        .chain(["model:zenith/best", "cheapest@50"])
        .collect();
    let toml = "requests = 400\nseed = 7\n[[model]]\nmodels = \"acme/cheap\"\nfailure = 0.2\nrequests_per_minute = 30\n";
    let text = |toml: &str| serde_json::to_string(&simulated(toml, &words)).unwrap();
    let report = text(toml);
    assert_eq!(report, text(toml));
    assert_ne!(report, text(&toml.replace("seed = 7", "seed = 8")));
    // Another moment of this machine is the same world.
    let world = world(toml).unwrap();
    let mut policies: Vec<_> = words.iter().map(|word| policy(word, &world).unwrap()).collect();
    let later = origin() + Duration::from_secs(12_345);
    let mut finished = 0;
    let again = simulate(&world, &mut policies, later, &mut || finished += 1).unwrap();
    assert_eq!(report, serde_json::to_string(&again).unwrap());
    assert_eq!(finished, 400 * words.len());
    adds_up(&again);
}

type Seen = Arc<Mutex<Vec<String>>>;

/// Notes what it is asked, and always wants the same.
#[derive(Debug, Default)]
struct Notes {
    wants: Vec<ModelId>,
    seen: Seen,
}

impl Policy for Notes {
    fn name(&self) -> String {
        "notes".into()
    }

    fn choose(&mut self, asked: &Asked<'_>) -> Vec<ModelId> {
        let seen = (
            asked.number,
            asked.at,
            asked.prompt,
            asked.tag,
            asked.prompt_tokens,
            asked.seed,
        );
        self.seen.lock().unwrap().push(format!("{seen:?}"));
        self.wants.clone()
    }
}

#[test]
fn all_policies_see_the_same_world() {
    let toml = r#"
        requests = 2000
        [[request]]
        tag = "a"
        prompts = ["Why?", "How?"]
        [[request]]
        share = 3
        tag = "b"
        [[model]]
        models = "*"
        failure = 0.3
        tokens_per_second = 300
    "#;
    let world = world(toml).unwrap();
    let seen: [Seen; 2] = Default::default();
    let notes = |wants: &[&str], seen: &Seen| {
        Box::new(Notes {
            wants: wants.iter().map(|model| model.parse().unwrap()).collect(),
            seen: Arc::clone(seen),
        }) as Box<dyn Policy>
    };
    let mut policies = vec![notes(&[CHEAP], &seen[0]), notes(&[BEST, CHEAP], &seen[1])];
    let report = simulate(&world, &mut policies, origin(), &mut || {}).unwrap();
    adds_up(&report);
    let [one, other] = seen.map(|seen| seen.lock().unwrap().clone());
    assert_eq!(one, other, "the same requests at the same times");
    let with = |text: &str| one.iter().filter(|seen| seen.contains(text)).count();
    let tagged = with("Some(\"a\")");
    assert!((400..600).contains(&tagged), "a quarter of 2000: {tagged}");
    assert_eq!(with("\"How?\"") + with("\"Why?\""), tagged);
    assert!(with("\"How?\"") > 150 && with("\"Why?\"") > 150);

    // What comes of the cheap model does not depend on whether another one was asked before: it fails where it failed for the first
    // policy. So where the first answers, the second does too; the differences are 0 or 1, and their error is that of a share.
    let success = report.policies[1].difference.as_ref().unwrap().success.unwrap();
    assert_eq!(success.requests, 2000);
    let (alone, both) = (report.policies[0].failed as f64, report.policies[1].failed as f64);
    assert!((success.mean - (alone - both) / 2000.0).abs() < 1e-12);
    assert!((0.25..0.35).contains(&(alone / 2000.0)), "{alone}");
    assert!((0.06..0.12).contains(&(both / 2000.0)), "{both}");
    let expected = (success.mean * (1.0 - success.mean) / 1999.0).sqrt();
    assert!(
        (success.se.unwrap() - expected).abs() < 1e-9,
        "{success:?}, {expected}"
    );
}

#[test]
fn a_policy_against_itself_differs_in_nothing() {
    let report = simulated("requests = 500", &["cheapest", "cheapest"]);
    let difference = report.policies[1].difference.as_ref().unwrap();
    let (success, cost) = (difference.success.unwrap(), difference.cost.unwrap());
    assert_eq!((success.mean, success.se), (0.0, Some(0.0)));
    assert_eq!((cost.mean_usd.get(), cost.se_usd.unwrap().get()), (0, 0));
    assert!(report.policies[0].difference.is_none());
}

#[test]
fn in_an_outage_the_next_model_answers() {
    let outage = "requests = 3000\n[[outage]]\nmodels = \"acme/cheap\"\nstart_s = 600\nduration_s = 1200\n";
    let report = simulated(&format!("{outage}{RELIABLE}"), &["cheapest", "model:acme/cheap"]);
    adds_up(&report);
    let routed = of(&report, "cheapest");
    assert_eq!(routed.failed, 0, "{:?}", routed.failed_requests);
    // 1,200 of the 3,000 seconds, and up to 300 more before somebody finds out that it is back.
    let (_, answered, _) = share(routed, FAIR);
    assert!((1_100..1_600).contains(&answered), "{answered}");
    // The breaker leaves it alone for most of the time, and finds out when it is back.
    let out = routed.failed_attempts["outage"];
    assert!((5..150).contains(&out), "{out}");
    let alone = of(&report, "model:acme/cheap");
    assert!((0.55..0.65).contains(&alone.success), "{}", alone.success);
    assert_eq!(alone.failed_requests["outage"], alone.failed);
    let success = alone.difference.as_ref().unwrap().success.unwrap();
    assert!(
        (success.mean + 0.4).abs() < 0.05 && success.se.unwrap() < 0.01,
        "{success:?}"
    );
}

#[test]
fn the_cheapest_moves_when_prices_change() {
    let changes = r#"
        requests = 3000
        [[price_change]]
        models = "acme/cheap"
        at_s = 1000
        factor = "50"
        [[price_change]]
        models = "acme/cheap"
        at_s = 2000
        prompt_usd_per_million = "0.1"
        completion_usd_per_million = "0.4"
    "#;
    let report = simulated(&format!("{changes}{RELIABLE}"), &["cheapest"]);
    let one = &report.policies[0];
    let ((_, cheap, paid), (_, fair, _)) = (share(one, CHEAP), share(one, FAIR));
    assert!((900..1_100).contains(&fair), "{fair}");
    assert_eq!(cheap + fair, 3000);
    assert_eq!(report.prices.len(), 3);
    assert_ne!(report.prices[0].snapshot, report.prices[1].snapshot);
    // A price per million tokens is what the price per token was: the cheap model costs what it always did.
    let unchanged = simulated(&format!("requests = 3000\n{RELIABLE}"), &["cheapest"]);
    let always = unchanged.policies[0].cost_usd.unwrap();
    let ratio = (paid.get() as f64 / cheap as f64) / (always.get() as f64 / 3000.0);
    assert!((0.9..1.1).contains(&ratio), "{ratio}");
    assert!(one.cost_usd.unwrap() > always);
    // One who stays pays fifty times as much for a third of the time.
    let stays = simulated(&format!("{changes}{RELIABLE}"), &["model:acme/cheap"]);
    let ratio = stays.policies[0].cost_usd.unwrap().get() as f64 / always.get() as f64;
    assert!((16.0..18.7).contains(&ratio), "(1 + 50 + 1) / 3 is 17.3: {ratio}");
}

#[test]
fn what_is_over_a_limit_spills_over() {
    let limit = r#"
        requests = 3000
        [traffic]
        per_minute = 300
        [[model]]
        models = "acme/cheap"
        requests_per_minute = 60
    "#;
    let toml = format!("{limit}{RELIABLE}");
    let report = simulated(&toml, &["cheapest", "model:acme/cheap"]);
    adds_up(&report);
    let routed = of(&report, "cheapest");
    assert!(
        routed.failed_attempts["rate_limited"] > 10,
        "{:?}",
        routed.failed_attempts
    );
    assert!(routed.success > 0.999, "{:?}", routed.failed_requests);
    // Ten minutes of 60, and what is in the bucket at first.
    let (_, answered, _) = share(routed, CHEAP);
    assert!((300..=670).contains(&answered), "{answered}");
    assert!(share(routed, FAIR).1 > 2_000);
    let alone = of(&report, "model:acme/cheap");
    assert!((600..=670).contains(&alone.succeeded), "{}", alone.succeeded);
    assert_eq!(alone.failed_requests["rate_limited"], alone.failed);

    // Tokens are limited alike: 1,500 and a little more of each request.
    let tokens = toml.replace("requests_per_minute = 60", "tokens_per_minute = 100000");
    let succeeded = simulated(&tokens, &["model:acme/cheap"]).policies[0].succeeded;
    assert!((500..=1_000).contains(&succeeded), "{succeeded}");
}

#[test]
fn better_is_dearer() {
    let words = ["cheapest", "best-quality", "cheapest@50", "model:zenith/new"];
    let report = simulated(&format!("requests = 4000\n{RELIABLE}"), &words);
    adds_up(&report);
    let figure = |word: &str| of(&report, word).quality.unwrap();
    // The index over 100, within four standard errors.
    for (word, quality) in [("cheapest", 0.4), ("best-quality", 0.8), ("cheapest@50", 0.6)] {
        let found = figure(word);
        let expected = (quality * (1.0 - quality) / 4000.0_f64).sqrt();
        assert!((found.mean - quality).abs() < 4.0 * expected, "{word}: {found:?}");
        assert!(
            (found.se.unwrap() - expected).abs() < 0.1 * expected,
            "{word}: {found:?}"
        );
    }
    let cost = |word: &str| of(&report, word).cost_usd.unwrap();
    assert!(cost("cheapest") < cost("cheapest@50") && cost("cheapest@50") < cost("best-quality"));
    // The same sizes at a hundred times the price: exact money.
    assert_eq!(cost("best-quality").get(), 100 * cost("cheapest").get());
    let difference = of(&report, "best-quality").difference.as_ref().unwrap();
    let quality = difference.quality.unwrap();
    assert!((quality.mean - (figure("best-quality").mean - figure("cheapest").mean)).abs() < 1e-9);
    let total = i128::from(difference.cost.unwrap().mean_usd.get()) * 4000;
    assert!((total - (cost("best-quality").get() - cost("cheapest").get())).abs() <= 2000);
    assert!(difference.cost.unwrap().se_usd.unwrap().get() > 0);
    // Ten percent on each answer, rounded by the answer.
    let (markup, tenth) = (
        of(&report, "cheapest").markup_usd.unwrap().get(),
        cost("cheapest").get() / 10,
    );
    assert!((markup - tenth).abs() <= 4000, "{markup} {tenth}");

    // Nobody knows how good the new one is: that is not zero.
    let unknown = of(&report, "model:zenith/new");
    assert_eq!((unknown.quality, unknown.quality_unknown), (None, 4000));
    assert_eq!(unknown.difference.as_ref().unwrap().quality, None);
}

#[test]
fn what_nobody_knows_the_cost_of_is_not_free() {
    let report = simulated("requests = 200", &["cheapest", "model:zenith/any"]);
    adds_up(&report);
    let unknown = of(&report, "model:zenith/any");
    assert!(unknown.cost_unknown > 180 && unknown.cost_unknown == unknown.succeeded);
    assert_eq!(
        (unknown.cost_usd, unknown.charge_usd, unknown.cost_per_success_usd),
        (None, None, None)
    );
    // The few requests that failed, and so cost nothing, say nothing of the others.
    assert_eq!(unknown.difference.as_ref().unwrap().cost, None);
}

#[test]
fn what_the_scenario_says_of_quality_counts_though_nobody_believes_it() {
    let toml = "requests = 4000\n[[model]]\nmodels = \"zenith/*\"\nquality = 10\n";
    let report = simulated(toml, &["best-quality", "model:zenith/new"]);
    let quality = report.policies[0].quality.unwrap().mean;
    assert!(
        share(&report.policies[0], BEST).0 > 3_900,
        "{:?}",
        report.policies[0].models
    );
    assert!((0.07..0.14).contains(&quality), "{quality}");
    assert_eq!(report.policies[1].quality_unknown, 0);
}

#[test]
fn the_deadline_cuts_off_and_is_billed_as_far_as_it_came() {
    let toml = r#"
        requests = 500
        deadline_s = 2
        [[request]]
        spread = 0
        [[model]]
        models = "acme/cheap"
        ttft_ms = 1000
        ttft_spread = 0
        tokens_per_second = 100
        speed_spread = 0
        failure = 0
        [[model]]
        models = "acme/fair"
        ttft_ms = 3000
        ttft_spread = 0
        failure = 0
    "#;
    let report = simulated(toml, &["model:acme/cheap", "model:acme/fair"]);
    adds_up(&report);
    let cheap = of(&report, "model:acme/cheap");
    assert_eq!(cheap.failed_requests["deadline"], 500);
    // 1,000 tokens of the prompt and 100 of 500 of the answer: one second of five.
    assert_eq!(
        cheap.cost_usd.unwrap().get(),
        500 * (1_000 * 100_000 + 100 * 400_000)
    );
    assert_eq!((cheap.cost_per_success_usd, cheap.latency_p50_ms), (None, None));
    // Not even the first token came.
    let fair = of(&report, "model:acme/fair");
    assert_eq!((fair.failed, fair.cost_usd.unwrap().get()), (500, 0));
    // With time enough it takes a second and five.
    let report = simulated(
        &toml.replace("deadline_s = 2", "deadline_s = 10"),
        &["model:acme/cheap"],
    );
    let one = &report.policies[0];
    assert_eq!(
        (one.latency_p50_ms, one.latency_p95_ms),
        (Some(6_000.0), Some(6_000.0))
    );
    assert_eq!(
        one.cost_per_success_usd.unwrap().get(),
        1_000 * 100_000 + 500 * 400_000
    );
}

#[test]
fn traffic_swings_over_the_day() {
    let toml = "requests = 20000\n[traffic]\nper_minute = 10\ndaily_swing = 1.0\npeak_hour = 14\n";
    let notes = Notes::default();
    let seen = Arc::clone(&notes.seen);
    let report = simulate(
        &world(toml).unwrap(),
        &mut [Box::new(notes)],
        origin(),
        &mut || {},
    )
    .unwrap();
    // A policy that names no model fails every request.
    assert_eq!(report.policies[0].failed_requests["no_model"], 20_000);
    let minutes = report.last_request_s / 60.0;
    assert!(
        (1_800.0..2_300.0).contains(&minutes),
        "20,000 at 10 a minute: {minutes}"
    );
    // By the hours of the time that the policy is told, `UtcTime(seconds)`.
    let hours: Vec<i64> = seen
        .lock()
        .unwrap()
        .iter()
        .map(|seen| {
            let (_, rest) = seen.split_once("UtcTime(").unwrap();
            let seconds: i64 = rest.split_once(')').unwrap().0.parse().unwrap();
            seconds.rem_euclid(86_400) / 3_600
        })
        .collect();
    let at = |hour: i64| hours.iter().filter(|seen| **seen == hour).count();
    assert!(at(13) + at(14) > 10 * (at(1) + at(2)), "{} {}", at(14), at(2));
}

#[test]
fn what_cannot_be_is_said() {
    let most = format!("`requests` must be a whole number from 1 to {MOST_REQUESTS}");
    let change = |rest: &str| format!("[[price_change]]\nmodels = \"*\"\nat_s = 1\n{rest}");
    let model = |rest: &str| format!("[[model]]\nmodels = \"*\"\n{rest}");
    for (toml, says) in [
        ("requests = 0".to_owned(), most.as_str()),
        ("requests = 1000000000000".to_owned(), &most),
        ("requests = -1".to_owned(), "invalid value"),
        ("requests = 1e12".to_owned(), "invalid type"),
        ("tokens = 1".to_owned(), "unknown field `tokens`"),
        ("attempts = 0".to_owned(), "`attempts` must be"),
        (
            "deadline_s = nan".to_owned(),
            "`deadline_s` must be a number from 0.1 to 3600",
        ),
        ("min_quality = inf".to_owned(), "`min_quality` must be a number"),
        ("start = \"tomorrow\"".to_owned(), "`start` must be a day"),
        ("task = \"cooking\"".to_owned(), "`task`: 'cooking' is not a task"),
        (
            "[traffic]\nper_minute = -3".to_owned(),
            "`traffic.per_minute` must be",
        ),
        (
            "[traffic]\nper_minute = nan".to_owned(),
            "`traffic.per_minute` must be",
        ),
        (
            "[traffic]\nper_minute = 0".to_owned(),
            "`traffic.per_minute` must be",
        ),
        (
            "requests = 1000000\n[traffic]\nper_minute = 0.001".to_owned(),
            "within ten years",
        ),
        (
            "[traffic]\ndaily_swing = 1.1".to_owned(),
            "`traffic.daily_swing` must be",
        ),
        ("[[request]]\nshare = 0".to_owned(), "`request.share` must be"),
        ("[[request]]\nspread = inf".to_owned(), "`request.spread` must be"),
        (
            "[[request]]\nprompt_tokens = 0".to_owned(),
            "`request.prompt_tokens` must be",
        ),
        ("[[request]]\ntask = \"cooking\"".to_owned(), "`request.task`"),
        ("[[model]]\nfailure = 0.1".to_owned(), "missing field `models`"),
        ("[[model]]\nmodels = \"acme/*x\"".to_owned(), "is no pattern"),
        (
            "[[model]]\nmodels = \"nobody/*\"".to_owned(),
            "no model of the catalogue is meant by 'nobody/*'",
        ),
        (model("failure = -0.1"), "`model.failure` must be"),
        (model("ttft_ms = nan"), "`model.ttft_ms` must be"),
        (
            model("requests_per_minute = 0"),
            "`model.requests_per_minute` must be",
        ),
        (
            "[[outage]]\nmodels = \"*\"\nstart_s = -1\nduration_s = 1".to_owned(),
            "`outage.start_s` must be",
        ),
        (
            "[[outage]]\nmodels = \"*\"\nstart_s = 1\nduration_s = inf".to_owned(),
            "`outage.duration_s` must be",
        ),
        (change(""), "either a `factor`"),
        (change("factor = 2.0"), "invalid type: floating point"),
        (change("factor = \"-2\""), "`price_change.factor` must be"),
        (change("factor = \"1e3\""), "`price_change.factor` must be"),
        (
            change("factor = \"2\"\nprompt_usd_per_million = \"1\""),
            "either a `factor`",
        ),
    ] {
        let said = world(&toml).map(drop).unwrap_err();
        assert!(said.contains(says), "{toml}: {said}");
    }
    let many = "[[outage]]\nmodels = \"*\"\nstart_s = 1\nduration_s = 1\n".repeat(257);
    assert_eq!(
        world(&many).unwrap_err(),
        "there are 257 entries of `outage`; there may be 256"
    );

    let world = world("requests = 1").unwrap();
    for (word, says) in [
        ("cheap", "'cheap' is not a strategy"),
        ("cheapest@good", "the least quality, a number"),
        ("cheapest@nan", "the least quality, a number"),
        ("model:acme/none", "the catalogue has no such model"),
    ] {
        let said = policy(word, &world).unwrap_err().to_string();
        assert!(said.contains(says), "{word}: {said}");
    }
    let nothing = simulate(&world, &mut [], origin(), &mut || {}).unwrap_err();
    assert_eq!(nothing, SimulationError::NoPolicy);
    let strange = Notes {
        wants: vec!["acme/strange".parse().unwrap()],
        ..Notes::default()
    };
    let said = simulate(&world, &mut [Box::new(strange)], origin(), &mut || {}).unwrap_err();
    assert_eq!(
        said.to_string(),
        "the policy 'notes' chose 'acme/strange', which is not in the catalogue"
    );
}

#[test]
fn the_shipped_catalogue_is_simulated() {
    let catalogue = Catalogue::bundled().unwrap();
    let quality = QualityBook::from_catalogue(&catalogue);
    let mut scenario = Scenario::default();
    scenario.requests = 300;
    scenario.min_quality = Some(40.0);
    let markups = MarkupRules::new();
    let world = World::new(&scenario, &catalogue, &quality, &FactBook::new(), &markups).unwrap();
    let words: Vec<&str> = scenario.policies.iter().map(String::as_str).collect();
    let report = run(&world, &words);
    adds_up(&report);
    let (cheapest, best) = (of(&report, "cheapest"), of(&report, "best-quality"));
    assert!(cheapest.success > 0.98 && cheapest.cost_usd < best.cost_usd);
    assert!(cheapest.quality.unwrap().mean < best.quality.unwrap().mean);
}

/// A scenario with anything in it that may be there, and a share that may not.
fn scenarios() -> impl Strategy<Value = String> {
    let pattern = || prop::sample::select(vec!["*", "acme/*", CHEAP, FAIR, BEST, UNMEASURED]);
    let model = (pattern(), 0.0..=1.0, 1.0..1e5, 0.1..1e3, 1..200_u32, 0.0..3.0);
    let model = model.prop_map(|(models, failure, ttft, speed, limit, spread)| {
        format!(
            "[[model]]\nmodels = \"{models}\"\nfailure = {failure:?}\nttft_ms = {ttft:?}\ntokens_per_second = {speed:?}\n\
             requests_per_minute = {limit}\ntokens_per_minute = {}\nspeed_spread = {spread:?}\n",
            limit * 1_000
        )
    });
    let outage = (pattern(), 0.0..200.0, 0.0..200.0, 0.0..=1.0);
    let outage = outage.prop_map(|(models, start, lasts, failure)| {
        format!("[[outage]]\nmodels = \"{models}\"\nstart_s = {start:?}\nduration_s = {lasts:?}\nfailure = {failure:?}\n")
    });
    let change = (pattern(), 0.0..200.0, 0..1_000_u32);
    let change = change.prop_map(|(models, at, factor)| {
        format!("[[price_change]]\nmodels = \"{models}\"\nat_s = {at:?}\nfactor = \"{factor}.{factor}\"\n")
    });
    let share = prop_oneof![8 => Just("1"), 1 => Just("1000000"), 1 => Just("nan"), 1 => Just("-1")];
    let kind = (1..10_000_000_u64, 1..10_000_000_u64, 0.0..=3.0, share);
    let kind = kind.prop_map(|(prompt, answer, spread, share)| {
        format!(
            "[[request]]\nprompt_tokens = {prompt}\ncompletion_tokens = {answer}\nspread = {spread:?}\nshare = {share}\n"
        )
    });
    let lists = (
        prop::collection::vec(model, 0..3),
        prop::collection::vec(outage, 0..3),
        prop::collection::vec(change, 0..3),
        prop::collection::vec(kind, 0..3),
    );
    (0..60_u64, 1..6_u32, 0.1..100.0, 1.0..1e6, any::<u32>(), lists).prop_map(
        |(requests, attempts, deadline, rate, seed, (models, outages, changes, kinds))| {
            format!(
                "requests = {requests}\nattempts = {attempts}\ndeadline_s = {deadline:?}\nseed = {seed}\n{}{}{}{}\
                 [traffic]\nper_minute = {rate:?}\n",
                models.concat(),
                outages.concat(),
                changes.concat(),
                kinds.concat()
            )
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn whatever_the_scenario_the_totals_add_up(toml in scenarios()) {
        if let Ok(world) = world(&toml) {
            let words: Vec<&str> = STRATEGIES.into_iter().chain(["model:zenith/new", "model:zenith/any"]).collect();
            adds_up(&run(&world, &words));
        }
    }

    #[test]
    fn no_text_is_a_panic(toml in "((requests|seed|attempts|start|deadline_s|\\[traffic\\]\nper_minute) = ([0-9]{1,25}|nan|-[0-9]|\"x\")\n){0,4}") {
        let _ = world(&toml);
    }
}
