//! Learned policies under names that callers ask for: where calls go, and what labels do to a promise.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[path = "support/command.rs"]
mod command;
#[path = "support/prompts.rs"]
mod prompts;
mod support;

use std::sync::Arc;

use gateway::app::App;
use gateway::config::{Overrides, Settings};
use gateway::environment::Environment;
use http_transport::SystemClock;
use prompts::prompt;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use store_sqlite::{SqliteStore, StoreOptions};
use support::{Gateway, INSTANT};
use tempfile::TempDir;

const CHEAP: &str = "openai/gpt-4o-mini";
const DEAR: &str = "openai/gpt-4o";

/// The cheap model is as good as the dear one on `easy` prompts, and right one time in ten on `hard` ones.
fn truth(number: u32) -> Value {
    let half = number / 2;
    let cheap = if number.is_multiple_of(2) {
        half % 20 != 3
    } else {
        half % 10 == 7
    };
    json!({
        CHEAP: { "score": u8::from(cheap), "cost_usd": "0.000001" },
        DEAR: { "score": u8::from(half % 20 != 11), "cost_usd": "0.001" },
    })
}

/// A folder with a predictor `r.waypost` and certificates of it: `all.json`, and `tags.json` for each tag.
fn certified() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    prompts::write(dir.path(), truth);
    certify(dir)
}

/// The same of the prompts in a folder.
fn certify(dir: TempDir) -> TempDir {
    let train: &[&str] = &["train", "--data", "train.jsonl", "--out", "r.waypost"];
    let certify = [
        "certify",
        "--data",
        "fresh.jsonl",
        "--predictor",
        "r.waypost",
        "--max-loss",
        "0.1",
    ];
    let all = [&certify[..], &["--out", "all.json"]].concat();
    let tags = [&certify[..], &["--out", "tags.json", "--each-tag"]].concat();
    for args in [train, &all, &tags] {
        let (code, _, err) = command::run(dir.path(), args);
        assert_eq!((code, err.as_str()), (0, ""), "{args:?}");
    }
    dir
}

/// The configuration with one policy, `support`. Paths in `keys` begin with `/`, which stands for the folder.
fn config(dir: &TempDir, keys: &str) -> String {
    let folder = dir.path().display();
    let keys = keys.replace("= '/", &format!("= '{folder}/"));
    format!(
        "{INSTANT}[aliases]\nhelp = \"waypost/support\"\n[[learned]]\nname = \"support\"\npredictor = '{folder}/r.waypost'\n{keys}\n"
    )
}

async fn started(dir: TempDir, keys: &str) -> Gateway {
    let config = config(&dir, keys);
    Gateway::in_folder(dir, Arc::new(SystemClock), &config, []).await
}

/// Asks, under the tags of the prompt. The whole `waypost` object of the answer.
async fn ask(gateway: &Gateway, model: &str, number: u32, explain: bool) -> Value {
    let (prompt, tag) = prompt(number);
    let body = json!({
        "model": model,
        "messages": [
            { "role": "system", "content": "prove prove prove" },
            { "role": "user", "content": prompt },
        ],
        "waypost": { "tags": ["unseen", tag], "explain": explain },
    });
    let answer = gateway.post(body.to_string()).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    support::json(&answer.text().await.unwrap())["waypost"].clone()
}

async fn say(gateway: &Gateway, body: &Value) -> (u16, Value) {
    let url = format!("{}/v1/routing/learned/support/labels", gateway.base);
    let request = gateway.http.post(url).header("content-type", "application/json");
    let answer = request.body(body.to_string()).send().await.unwrap();
    let status = answer.status().as_u16();
    (status, support::json(&answer.text().await.unwrap()))
}

/// Asks for prompt after prompt from `first` on, and labels each, until something other than nothing follows. How many it took, and what followed.
async fn until_heard(gateway: &Gateway, first: u32, cheap: f64, most: u32) -> (u32, String, Value) {
    for taken in 1..=most {
        let number = first + 2 * taken;
        let told = ask(gateway, "help", number, false).await;
        let (text, _) = prompt(number);
        let label = json!({
            "request_id": told["request_id"], "prompt": text,
            "scores": { CHEAP: cheap, DEAR: 1 },
        });
        let (status, answer) = say(gateway, &label).await;
        assert_eq!(status, 200, "{answer}");
        if answer["heard"] != "nothing" {
            return (taken, answer["heard"].as_str().unwrap().to_owned(), label);
        }
    }
    panic!("{most} labels changed nothing");
}

async fn now(gateway: &Gateway) -> Value {
    let (status, all) = gateway.get("/v1/routing/learned").await;
    assert_eq!(status, 200);
    all["data"][0]["promises"][0]["now"].clone()
}

#[tokio::test]
async fn calls_go_where_the_certified_policy_sends_their_prompts() {
    let gateway = started(certified(), "certificate = '/all.json'\nlabels = 1.0").await;
    for (number, model) in [(20_000, CHEAP), (20_001, DEAR)] {
        for name in ["waypost/support", "help"] {
            let told = ask(&gateway, name, number, false).await;
            let (_, tag) = prompt(number);
            assert_eq!(told["model"], json!(model), "{told}");
            assert_eq!(
                told["learned"],
                json!({
                    "policy": "support", "basis": "certified", "model": model, "propensity": 1.0, "tag": tag,
                    "label": { "models": [DEAR, CHEAP] },
                })
            );
        }
    }
    // The answer in pieces tells the same at its end.
    let (text, _) = prompt(20_000);
    let body = json!({
        "model": "help", "stream": true, "messages": [{ "role": "user", "content": text }],
        "waypost": { "task": "reasoning" },
    });
    let lines = gateway.stream(gateway.post(body.to_string())).await;
    let last = support::json(&lines[lines.len() - 2]);
    assert_eq!(last["waypost"]["learned"]["model"], json!(CHEAP), "{last}");
    assert_eq!(last["waypost"]["learned"]["tag"], Value::Null);

    let told = ask(&gateway, "help", 20_001, true).await;
    assert_eq!(told["plan"]["strategy"], "learned");
    let why: Vec<_> = told["plan"]["candidates"].as_array().unwrap().iter().collect();
    assert_eq!(
        (&why[0]["model"], &why[0]["why"], &why[1]["model"], why.len()),
        (
            &json!(DEAR),
            &json!("chosen by the learned policy"),
            &json!(CHEAP),
            2
        )
    );
    let predicted = told["learned"]["predicted"].as_array().unwrap();
    assert_eq!(predicted[1]["expected_cost_usd"], "0.000001");
    assert!(predicted[0]["score"].as_f64() > predicted[1]["score"].as_f64());
    // Everything is on the ledger, under the name that was asked for.
    let sql = "SELECT count(*) FROM attempts WHERE requested_model IN ('help', 'waypost/support')";
    assert_eq!(gateway.number(sql), 6);
    gateway.holds().await;
    let (_, models) = gateway.get("/v1/models").await;
    let listed = models["data"].as_array().unwrap().iter();
    assert_eq!(listed.filter(|model| model["id"] == "waypost/support").count(), 1);
    gateway.stop().await;
}

/// A model that cannot do what a request needs is passed over; one that no request may go to is no error before.
#[tokio::test]
async fn what_the_chosen_model_cannot_serve_goes_to_the_next() {
    let gateway = started(certified(), "min_score = 0.5").await;
    let (text, tag) = prompt(20_000);
    let asks = |waypost: Value| {
        let body = json!({
            "model": "waypost/support", "messages": [{ "role": "user", "content": text }], "waypost": waypost,
        });
        gateway.post(body.to_string())
    };
    let model = async |waypost: Value| {
        let answer = asks(waypost).send().await.unwrap();
        let status = answer.status().as_u16();
        (status, support::json(&answer.text().await.unwrap()))
    };
    let (status, answer) = model(json!({ "tags": [tag] })).await;
    assert_eq!((status, &answer["model"]), (200, &json!(CHEAP)));
    assert_eq!(answer["waypost"]["learned"]["basis"], "predicted");
    assert_eq!(answer["waypost"]["learned"]["label"], Value::Null);
    let (status, answer) = model(json!({ "tags": [tag], "never": [CHEAP] })).await;
    assert_eq!((status, &answer["model"]), (200, &json!(DEAR)), "{answer}");
    let (status, answer) = model(json!({ "tags": [tag], "never": ["openai/*"] })).await;
    assert_eq!(status, 400, "{answer}");
    assert!(answer["error"]["message"].as_str().unwrap().contains(CHEAP));
    let label = json!({ "request_id": "a", "prompt": "b", "scores": {} });
    let (status, answer) = say(&gateway, &label).await;
    assert_eq!((status, &answer["error"]["code"]), (409, &json!("no_promise")));
    gateway.stop().await;
}

#[tokio::test]
async fn labels_break_a_promise_and_certify_a_new_one_and_a_restart_changes_nothing() {
    let keys = "certificate = '/all.json'\nlabels = 1.0\nwindow = 400";
    let gateway = started(certified(), keys).await;
    let before = now(&gateway).await;
    assert_eq!((&before["broken"], &before["labels"]), (&json!(false), &json!(0)));
    // On easy prompts the cheap model is no good any more.
    let (taken, heard, label) = until_heard(&gateway, 30_000, 0.0, 100).await;
    assert_eq!(heard, "promise_broken", "after {taken}");
    let broken = now(&gateway).await;
    assert_eq!(broken["policy"], json!({ "always": DEAR }));
    let told = ask(&gateway, "help", 20_000, false).await;
    assert_eq!(
        (&told["model"], &told["learned"]["basis"]),
        (&json!(DEAR), &json!("promise_broken"))
    );
    // The same label again is no second one.
    let (status, answer) = say(&gateway, &label).await;
    assert_eq!((status, &answer["heard"]), (200, &json!("known")));

    // What a crash left of a label that nobody heard of does no harm.
    let dir = gateway.stop().await;
    let folder = dir.path().join("data").join("learned-simulated");
    let file = std::fs::read_dir(&folder)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let whole = std::fs::read(&file).unwrap();
    assert!(
        !String::from_utf8_lossy(&whole).contains("translate"),
        "a prompt is kept"
    );
    // A label that could not be seen to be kept was sent and written once more; the last was not written to its end.
    let last = whole
        .trim_ascii_end()
        .rsplit(|byte| *byte == b'\n')
        .next()
        .unwrap();
    std::fs::write(&file, [&whole[..], last, b"\n{\"id\":\"half"].concat()).unwrap();
    let gateway = started(dir, keys).await;
    assert_eq!(now(&gateway).await, broken);
    let (_, answer) = say(&gateway, &label).await;
    assert_eq!(answer["heard"], "known");

    let (taken, heard, _) = until_heard(&gateway, 40_000, 1.0, 400).await;
    assert_eq!(heard, "certified", "after {taken}");
    let told = ask(&gateway, "help", 20_000, false).await;
    assert_eq!(
        (&told["model"], &told["learned"]["basis"]),
        (&json!(CHEAP), &json!("certified"))
    );
    let last = now(&gateway).await;
    let dir = gateway.stop().await;
    let gateway = started(dir, keys).await;
    assert_eq!(now(&gateway).await, last);

    // Another certificate begins anew: what was decided before it may be what it was certified by.
    let dir = gateway.stop().await;
    let file = dir.path().join("all.json");
    let text = std::fs::read_to_string(&file).unwrap() + "\n";
    std::fs::write(&file, text).unwrap();
    let gateway = started(dir, keys).await;
    let (status, answer) = say(&gateway, &label).await;
    assert_eq!(status, 400, "{answer}");
    assert!(answer.to_string().contains("another certificate"), "{answer}");
    assert_eq!(now(&gateway).await["labels"], 0);
    gateway.stop().await;
}

#[tokio::test]
async fn each_tag_has_its_own_promise_and_others_the_reference() {
    let gateway = started(certified(), "certificate = '/tags.json'\nlabels = 1.0").await;
    let told = ask(&gateway, "help", 20_000, false).await;
    assert_eq!(
        (&told["model"], &told["learned"]["basis"]),
        (&json!(CHEAP), &json!("certified"))
    );
    let body = json!({ "model": "help", "messages": [{ "role": "user", "content": "translate" }] });
    let answer = gateway.post(body.to_string()).send().await.unwrap();
    let answer = support::json(&answer.text().await.unwrap());
    assert_eq!(
        (&answer["model"], &answer["waypost"]["learned"]["basis"]),
        (&json!(DEAR), &json!("no_promise"))
    );
    let label = json!({ "request_id": answer["waypost"]["request_id"], "prompt": "translate", "scores": { CHEAP: 1, DEAR: 1 } });
    let foreign = json!({
        "model": "help", "messages": [{ "role": "user", "content": "translate" }], "waypost": { "tags": ["nobody-knows"] },
    });
    let other = gateway.post(foreign.to_string()).send().await.unwrap();
    let other = support::json(&other.text().await.unwrap());
    assert_eq!(other["waypost"]["learned"]["basis"], "no_promise");
    let (status, said) = say(&gateway, &label).await;
    assert_eq!((status, &said["error"]["code"]), (409, &json!("no_promise")));
    // A break is of one tag.
    let (_, heard, _) = until_heard(&gateway, 30_000, 0.0, 100).await;
    assert_eq!(heard, "promise_broken");
    let (_, all) = gateway.get("/v1/routing/learned").await;
    let promises = all["data"][0]["promises"].as_array().unwrap();
    let broken = |tag: &str| {
        let of_tag = promises.iter().find(|one| one["tag"] == tag);
        of_tag.unwrap()["now"]["broken"].clone()
    };
    assert_eq!((broken("easy"), broken("hard")), (json!(true), json!(false)));
    gateway.stop().await;
}

/// Before it is served, a policy is tried through an outage of its cheap model.
#[test]
fn a_policy_of_the_configuration_is_simulated() {
    let dir = certified();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    write("waypost.toml", &config(&dir, "certificate = '/all.json'"));
    let kind = |number: u32| {
        let (prompt, tag) = prompt(number);
        format!("[[request]]\ntag = \"{tag}\"\nprompts = [\"{prompt}\"]\n")
    };
    let outage = format!(
        "requests = 400\n[[model]]\nmodels = \"*\"\nfailure = 0\n[[outage]]\nmodels = \"{CHEAP}\"\nstart_s = 200\nduration_s = 100000\n\
         failure = 1.0\n{}{}",
        kind(20_000),
        kind(20_001)
    );
    write("s.toml", &outage);
    // It is simulated as it was certified: labels of this machine, damaged ones even, are not looked at.
    let certificate = std::fs::read(dir.path().join("all.json")).unwrap();
    let digest = Sha256::digest(&certificate);
    let sha: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    std::fs::create_dir_all(dir.path().join("waypost-data/learned-simulated")).unwrap();
    write(
        &format!("waypost-data/learned-simulated/support-{sha}.jsonl"),
        "damaged\n",
    );
    let (_, _, err) = command::run(dir.path(), &["chat", "Hello"]);
    assert!(err.contains("the labels"), "it is the file that is read: {err}");
    let dear = format!("model:{DEAR}");
    let args = [
        "simulate",
        "--scenario",
        "s.toml",
        "--policy",
        &dear,
        "--policy",
        "waypost/support",
    ];
    let report = command::json_of(dir.path(), &args, 0);
    let own = &report["policies"][1];
    assert_eq!(
        (&own["policy"], &own["success"]),
        (&json!("waypost/support"), &json!(1.0))
    );
    let count = |model: &str, what: &str| {
        let mut models = own["models"].as_array().unwrap().iter();
        let found = models.find(|one| one["model"] == model);
        found.unwrap_or_else(|| panic!("{own}"))[what].as_u64().unwrap()
    };
    // Half of the requests are for the cheap model, and half of those come before the outage. Then the reference answers after it, until the
    // breaker leaves it alone.
    assert!((70..130).contains(&count(CHEAP, "answered")), "{own}");
    assert_eq!(count(CHEAP, "answered") + count(DEAR, "answered"), 400);
    assert!(
        (1..40).contains(&(count(CHEAP, "attempts") - count(CHEAP, "answered"))),
        "{own}"
    );
    let cost = |of: &Value| of["cost_usd"].as_str().unwrap().parse::<f64>().unwrap();
    assert!(cost(own) < cost(&report["policies"][0]), "{report}");
    // Without prompts there is nothing to choose by.
    let (code, _, err) = command::run(dir.path(), &["simulate", "--policy", "waypost/support"]);
    assert!(
        code == 2 && err.contains("not every [[request]]"),
        "{code}: {err}"
    );
}

/// Without tags a call's task is its tag, and its label's too.
#[tokio::test]
async fn a_task_is_a_tag() {
    let dir = tempfile::tempdir().unwrap();
    prompts::write(dir.path(), truth);
    for name in ["train.jsonl", "fresh.jsonl"] {
        let lines = std::fs::read_to_string(dir.path().join(name)).unwrap();
        let lines = lines
            .replace("\"easy\"", "\"translate\"")
            .replace("\"hard\"", "\"reasoning\"");
        std::fs::write(dir.path().join(name), lines).unwrap();
    }
    let gateway = started(certify(dir), "certificate = '/tags.json'\nlabels = 1.0").await;
    for (number, task, model) in [(20_000, "translate", CHEAP), (20_001, "reasoning", DEAR)] {
        let body = json!({
            "model": "help", "messages": [{ "role": "user", "content": prompt(number).0 }], "waypost": { "task": task },
        });
        let answer = gateway.post(body.to_string()).send().await.unwrap();
        let answer = support::json(&answer.text().await.unwrap());
        let told = &answer["waypost"];
        assert_eq!(
            (&answer["model"], &told["learned"]["tag"]),
            (&json!(model), &json!(task))
        );
        let label = json!({
            "request_id": told["request_id"], "prompt": prompt(number).0, "scores": { CHEAP: 1, DEAR: 1 },
        });
        let (status, said) = say(&gateway, &label).await;
        assert_eq!((status, &said["promise"]["tag"]), (200, &json!(task)), "{said}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn labels_that_are_none_are_refused() {
    let twin = "[[learned]]\nname = \"twin\"\npredictor = '/r.waypost'\ncertificate = '/all.json'";
    let gateway = started(
        certified(),
        &format!("certificate = '/all.json'\nlabels = 0.5\n{twin}"),
    )
    .await;
    let (text, _) = prompt(20_000);
    // Of many calls about half are drawn, and only those take a label.
    let mut drawn = Vec::new();
    for _ in 0..40 {
        let told = ask(&gateway, "help", 20_000, false).await;
        let wanted = told["learned"]["label"].is_object();
        drawn.push((told["request_id"].clone(), wanted));
    }
    let count = drawn.iter().filter(|(_, wanted)| *wanted).count();
    assert!((8..=32).contains(&count), "{count}");
    let yes = drawn.iter().find(|(_, wanted)| *wanted).unwrap().0.clone();
    let no = drawn.iter().find(|(_, wanted)| !*wanted).unwrap().0.clone();
    let other = {
        let body = json!({ "model": CHEAP, "messages": [{ "role": "user", "content": text }] });
        let answer = gateway.post(body.to_string()).send().await.unwrap();
        support::json(&answer.text().await.unwrap())["waypost"]["request_id"].clone()
    };
    let with = |id: &Value, scores: Value| json!({ "request_id": id, "prompt": text, "scores": scores });
    let good = json!({ CHEAP: 1, DEAR: 1 });
    for (label, status, says) in [
        (with(&no, good.clone()), 400, "no label of this request"),
        (with(&other, good.clone()), 400, "not for this policy"),
        (with(&json!("nobody"), good.clone()), 404, "no such request"),
        (with(&yes, json!({ CHEAP: 1 })), 400, DEAR),
        (with(&yes, json!({ CHEAP: 1, DEAR: 1.5 })), 400, "from 0 to 1"),
        (with(&yes, json!({ CHEAP: 1, DEAR: null })), 400, "number"),
        (with(&yes, json!({ CHEAP: 1, DEAR: 1, "a/b": 1 })), 400, "'a/b'"),
        (json!({ "request_id": yes }), 400, "prompt"),
    ] {
        let (found, answer) = say(&gateway, &label).await;
        assert_eq!(found, status, "{label}: {answer}");
        let message = answer["error"]["message"].as_str().unwrap();
        assert!(message.contains(says), "{message}");
    }
    assert_eq!(now(&gateway).await["labels"], 0);
    let good = with(&yes, good);
    let (status, answer) = say(&gateway, &good).await;
    assert_eq!((status, &answer["heard"]), (200, &json!("nothing")), "{answer}");
    // Not even one by the same certificate takes another's label.
    for (name, status) in [("other", 404), ("twin", 400)] {
        let url = format!("{}/v1/routing/learned/{name}/labels", gateway.base);
        let request = gateway.http.post(url).header("content-type", "application/json");
        let answer = request.body(good.to_string()).send().await.unwrap();
        assert_eq!(answer.status(), status, "{name}");
    }
    gateway.stop().await;
}

/// Labels decide where everybody's calls go: a caller among others may not send them, nor see what is promised.
#[tokio::test]
async fn labels_are_for_administrators() {
    let dir = certified();
    let keys = "certificate = '/all.json'\n[[caller]]\nkey = \"team\"\ntoken_env = \"TEAM_TOKEN\"";
    let config = config(&dir, keys);
    let env = [
        ("TEAM_TOKEN", "team-token-1"),
        ("WAYPOST_ADMIN_KEY", "admin-key-1"),
    ];
    let gateway = Gateway::in_folder(dir, Arc::new(SystemClock), &config, env).await;
    let list = format!("{}/v1/routing/learned", gateway.base);
    for (token, expected) in [("team-token-1", 403), ("admin-key-1", 200)] {
        let answer = gateway.http.get(&list).bearer_auth(token).send().await.unwrap();
        assert_eq!(answer.status(), expected);
        let label = gateway
            .http
            .post(format!("{list}/support/labels"))
            .bearer_auth(token);
        let label = label.header("content-type", "application/json");
        let body = json!({ "request_id": "nobody", "prompt": "x", "scores": {} });
        let answer = label.body(body.to_string()).send().await.unwrap();
        assert_eq!(answer.status(), if expected == 200 { 404 } else { 403 });
    }
    gateway.stop().await;
}

/// One long word, which no other prompt has; the simulated embedding model takes it apart where it is underlined.
fn word(number: u32) -> (String, bool) {
    let hash = number.wrapping_mul(2_654_435_761) >> 8;
    let is_easy = hash.is_multiple_of(2);
    let words = if is_easy { "river_stone" } else { "prove_lemma" };
    (format!("{words}_{number:06}"), is_easy)
}

/// What was certified with vectors chooses with vectors, of calls that are on the ledger; without one the reference answers.
#[tokio::test]
async fn vectors_are_asked_for_before_a_choice() {
    let dir = tempfile::tempdir().unwrap();
    let line = |number: u32| {
        let (prompt, is_easy) = word(number);
        let cheap = u8::from(is_easy != (number % 10 == 7));
        let outcomes = json!({
            CHEAP: { "score": cheap, "cost_usd": "0.000001" },
            DEAR: { "score": u8::from(number % 10 != 3), "cost_usd": "0.001" },
        });
        json!({ "prompt": prompt, "outcomes": outcomes }).to_string() + "\n"
    };
    std::fs::write(dir.path().join("waypost.toml"), INSTANT).unwrap();
    for (name, numbers) in [("train.jsonl", 0..400), ("fresh.jsonl", 10_000..11_000)] {
        std::fs::write(dir.path().join(name), numbers.map(line).collect::<String>()).unwrap();
    }
    let train = "train --data train.jsonl --out r.waypost --embeddings openai/text-embedding-3-small";
    let certify = "certify --data fresh.jsonl --predictor r.waypost --max-loss 0.06 --out all.json";
    for args in [train, certify] {
        let args: Vec<_> = args.split(' ').collect();
        let (code, _, err) = command::run(dir.path(), &args);
        assert_eq!((code, err.as_str()), (0, ""), "{args:?}");
    }
    std::fs::remove_dir_all(dir.path().join("waypost-data")).unwrap();
    let fee = "[[markup]]\nprovider = \"openrouter\"\nbps = 1000\nfee_usd = \"0.001\"";
    let gateway = started(dir, &format!("certificate = '/all.json'\nlabels = 1.0\n{fee}")).await;
    let ask = async |number: u32, waypost: Value| {
        let body = json!({
            "model": "help", "messages": [{ "role": "user", "content": word(number).0 }], "waypost": waypost,
        });
        let answer = gateway.post(body.to_string()).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        support::json(&answer.text().await.unwrap())
    };
    let mut last = Value::Null;
    for number in 50_000..50_010 {
        last = ask(number, json!({})).await;
        let model = if word(number).1 { CHEAP } else { DEAR };
        assert_eq!(
            (&last["model"], &last["waypost"]["learned"]["basis"]),
            (&json!(model), &json!("certified"))
        );
    }
    let sql = "SELECT count(*) FROM attempts WHERE model = 'openai/text-embedding-3-small' AND purpose = 'embedding'";
    assert_eq!(gateway.number(sql), 10);
    // A prompt under a data policy is not sent for a vector.
    let kept = ask(50_000, json!({ "data_policy": "no-training" })).await;
    assert_eq!(
        (&kept["model"], &kept["waypost"]["learned"]["basis"]),
        (&json!(DEAR), &json!("no_vector"))
    );
    // Nor is it by a label.
    let label = json!({ "request_id": kept["waypost"]["request_id"], "prompt": word(50_000).0, "scores": { CHEAP: 1, DEAR: 1 } });
    let (status, said) = say(&gateway, &label).await;
    assert_eq!((status, &said["error"]["param"]), (400, &json!("request_id")));
    assert_eq!(gateway.number(sql), 10);
    // Whoever labels sends the prompt, and its vector is asked for again.
    let label = json!({
        "request_id": last["waypost"]["request_id"], "prompt": word(50_009).0, "scores": { CHEAP: 1, DEAR: 1 },
    });
    let mut wrong = label.clone();
    wrong["scores"][CHEAP] = json!(2);
    assert_eq!(say(&gateway, &wrong).await.0, 400);
    for heard in ["nothing", "known"] {
        let (status, answer) = say(&gateway, &label).await;
        assert_eq!((status, &answer["heard"]), (200, &json!(heard)), "{answer}");
    }
    // Once, and not for a label that is none or is known.
    assert_eq!(gateway.number(sql), 11);
    // A fixed fee is of answers.
    let with_fee = |purpose: &str| {
        let sql = "SELECT count(*) FROM attempts WHERE rule_fee_pico > 0 AND purpose";
        gateway.number(&format!("{sql} = '{purpose}'"))
    };
    assert_eq!((with_fee("embedding"), with_fee("call")), (0, 11));
    gateway.holds().await;
    gateway.stop().await;
}

/// Files that do not belong together are told at the start.
#[tokio::test]
async fn a_mistake_in_an_entry_is_told_at_the_start() {
    let dir = certified();
    let text = std::fs::read_to_string(dir.path().join("all.json")).unwrap();
    let write = |name: &str, text: String| std::fs::write(dir.path().join(name), text).unwrap();
    let other = text.replace("\"sha256\": \"", "\"sha256\": \"00");
    write("other.json", other);
    let mut number: Value = serde_json::from_str(&text).unwrap();
    number["result"]["verdict"]["certified"]["policy"] = json!({ "single": 2 });
    write("number.json", number.to_string());
    let mut loss: Value = serde_json::from_str(&text).unwrap();
    loss["result"]["verdict"]["certified"]["promise"]["loss"] = json!(2);
    write("loss.json", loss.to_string());
    let mut reference: Value = serde_json::from_str(&text).unwrap();
    reference["result"]["verdict"]["certified"]["reference"] = json!(CHEAP);
    write("reference.json", reference.to_string());
    number["result"]["verdict"] = json!({ "not_enough": { "labels": 3, "more_labels": null } });
    write("nothing.json", number.to_string());
    let mut ladder: Value = serde_json::from_str(&text).unwrap();
    ladder["ladder"]["rungs"][0]["policy"] = json!({ "mixed": { "cheap": 0, "dear": 9, "share": 0.5 } });
    write("ladder.json", ladder.to_string());
    for (keys, says) in [
        ("", "one of certificate, min_score and cascade"),
        (
            "certificate = '/all.json'\nmin_score = 0.5",
            "one of certificate, min_score and cascade",
        ),
        ("min_score = 1.5", "from 0 to 1"),
        ("min_score = 0.5\nlabels = 0.1", "nothing is promised"),
        ("certificate = '/all.json'\nlabels = 2.0", "labels is 2"),
        ("certificate = '/all.json'\nwindow = 10", "window is 10"),
        ("certificate = '/none.json'", "cannot be read"),
        ("certificate = '/r.waypost'", "no certificate"),
        ("certificate = '/other.json'", "another predictor"),
        ("certificate = '/number.json'", "number of a model"),
        ("certificate = '/ladder.json'", "number of a model"),
        ("certificate = '/loss.json'", "the promised loss"),
        ("certificate = '/reference.json'", "another reference"),
        ("certificate = '/nothing.json'", "nothing is certified"),
    ] {
        let error = start_error(&dir, &config(&dir, keys)).await;
        assert!(
            error.contains("support") && error.contains(says),
            "{keys}: {error}"
        );
    }
    let sent = config(&dir, "certificate = '/all.json'")
        .replace("help =", &format!("\"{CHEAP}\" = \"{DEAR}\"\nhelp ="));
    let error = start_error(&dir, &sent).await;
    assert!(
        error.contains("support") && error.contains("[aliases] sends"),
        "{error}"
    );
    let twice = "min_score = 0.5\n[[learned]]\nname = \"auto\"\npredictor = 'x'\nmin_score = 0.5";
    let error = start_error(&dir, &config(&dir, twice)).await;
    assert!(error.contains("taken"), "{error}");
}

async fn start_error(dir: &TempDir, config: &str) -> String {
    let file = dir.path().join("waypost.toml");
    std::fs::write(&file, config).unwrap();
    let mut overrides = Overrides::default();
    overrides.config = Some(file);
    overrides.data_dir = Some(dir.path().join("data"));
    let settings = match Settings::resolve(&overrides, &Environment::of([])) {
        Ok(settings) => settings,
        Err(error) => return format!("{error:#}"),
    };
    let store = SqliteStore::open_with(&settings.data_dir, StoreOptions::default()).unwrap();
    let started = App::with_parts(settings, Arc::new(store), Arc::new(SystemClock)).await;
    format!("{:#}", started.expect_err("it starts"))
}
